/* Unit tests of src/sim/buddy: splitting, coalescing, order of the lists, the fragmentation index, and millions of
   random requests against a reference that knows only which frames are in use.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/buddy.h"

#define PAGE VM_SIM_PAGE_SIZE

struct world {
    struct vm_sim_mem_map map;
    struct vm_sim_buddy buddy;
    struct vm_sim_events events;
};

static void world_new(struct world *w, unsigned frames, unsigned start, unsigned end, const unsigned (*reserved)[2])
{
    memset(&w->events, 0, sizeof w->events);
    vm_sim_mem_map_init(&w->map, frames * PAGE);
    for (; reserved && (*reserved)[1]; reserved++)
        vm_sim_mem_map_reserve(&w->map, VM_SIM_PHYSICAL((*reserved)[0] * PAGE), (*reserved)[1] * PAGE);
    vm_sim_buddy_init(&w->buddy, &w->map, start, end, "test", &w->events);
    assert_true(vm_sim_buddy_check(&w->buddy));
}

static vm_sim_pfn take(struct world *w, unsigned order)
{
    return vm_sim_buddy_take(&w->buddy, order, VM_SIM_FRAME_KERNEL);
}

static void expect_blocks(const struct world *w, const char *text)
{
    char have[128] = "";

    for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
        sprintf(have + strlen(have), "%s%u", o ? " " : "", (unsigned)w->buddy.blocks[o]);
    assert_string_equal(have, text);
    assert_true(vm_sim_buddy_check(&w->buddy));
}

/* All of 16 frames, one by one and back. */
static void split_and_coalesce(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 16, 0, 16, NULL);
    expect_blocks(&w, "0 0 0 0 1 0 0 0 0 0 0");
    assert_int_equal(take(&w, 0), 0);
    expect_blocks(&w, "1 1 1 1 0 0 0 0 0 0 0");
    assert_int_equal(w.buddy.splits, 4);
    assert_int_equal(w.events.count[VM_SIM_EV_SPLIT], 4);
    assert_int_equal(take(&w, 0), 1);
    assert_int_equal(take(&w, 1), 2);
    assert_int_equal(take(&w, 2), 4);
    expect_blocks(&w, "0 0 0 1 0 0 0 0 0 0 0");
    assert_int_equal(take(&w, 4), VM_SIM_NO_FRAME);
    assert_int_equal(take(&w, 3), 8);
    assert_int_equal(w.buddy.free, 0);
    assert_int_equal(take(&w, 0), VM_SIM_NO_FRAME);
    assert_int_equal(w.map.frame[4].count, 1);
    assert_int_equal(w.map.frame[5].count, 0);
    assert_int_equal(w.map.frame[7].kind, VM_SIM_FRAME_KERNEL);
    assert_true(vm_sim_mem_map_check(&w.map));
    vm_sim_buddy_give(&w.buddy, 1, 0);
    vm_sim_buddy_give(&w.buddy, 2, 1); /* 1 and 2..3 are no buddies */
    expect_blocks(&w, "1 1 0 0 0 0 0 0 0 0 0");
    vm_sim_buddy_give(&w.buddy, 8, 3);
    vm_sim_buddy_give(&w.buddy, 4, 2);
    expect_blocks(&w, "1 1 1 1 0 0 0 0 0 0 0");
    assert_int_equal(w.buddy.merges, 0);
    vm_sim_buddy_give(&w.buddy, 0, 0); /* four merges to 16 frames */
    expect_blocks(&w, "0 0 0 0 1 0 0 0 0 0 0");
    assert_int_equal(w.buddy.merges, 4);
    assert_int_equal(w.events.count[VM_SIM_EV_MERGE], 4);
    assert_true(vm_sim_mem_map_check(&w.map));
    vm_sim_mem_map_free(&w.map);
}

/* 256 frames free; 64 wanted twice, 128 once, as books draw it: 0..63, 64..127, 128..255. */
static void textbook_halves(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 256, 0, 256, NULL);
    assert_int_equal(take(&w, 6), 0);
    expect_blocks(&w, "0 0 0 0 0 0 1 1 0 0 0");
    assert_int_equal(take(&w, 6), 64);
    assert_int_equal(take(&w, 7), 128);
    vm_sim_buddy_give(&w.buddy, 64, 6);
    vm_sim_buddy_give(&w.buddy, 128, 7);
    expect_blocks(&w, "0 0 0 0 0 0 1 1 0 0 0");
    vm_sim_buddy_give(&w.buddy, 0, 6);
    expect_blocks(&w, "0 0 0 0 0 0 0 0 1 0 0");
    vm_sim_mem_map_free(&w.map);
}

/* The last given is the first taken. */
static void last_in_first_out(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 8, 0, 8, NULL);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(take(&w, 0), i);
    vm_sim_buddy_give(&w.buddy, 6, 0);
    vm_sim_buddy_give(&w.buddy, 1, 0);
    vm_sim_buddy_give(&w.buddy, 4, 0);
    assert_int_equal(take(&w, 0), 4);
    assert_int_equal(take(&w, 0), 1);
    assert_int_equal(take(&w, 0), 6);
    vm_sim_mem_map_free(&w.map);
}

/* Zones that begin and end anywhere, with holes: the largest aligned blocks, and no merge over an edge. */
static void edges_and_holes(void **state)
{
    (void)state;
    struct world w;
    static const unsigned holes[][2] = {{40, 1}, {60, 2}, {0, 0}};

    world_new(&w, 3000, 3, 70, holes); /* 3 4-7 8-15 16-31 32-39 | 41 42-43 44-47 48-55 56-59 | 62-63 64-67 68-69 */
    assert_int_equal(w.buddy.free, 64);
    expect_blocks(&w, "2 3 4 3 1 0 0 0 0 0 0");
    vm_sim_pfn got[64];
    for (unsigned i = 0; i < 64; i++) {
        got[i] = take(&w, 0);
        assert_true(got[i] >= 3 && got[i] < 70 && got[i] != 40 && got[i] != 60 && got[i] != 61);
    }
    assert_int_equal(take(&w, 0), VM_SIM_NO_FRAME);
    for (unsigned i = 0; i < 64; i++)
        vm_sim_buddy_give(&w.buddy, got[(i * 29 + 5) % 64], 0);
    expect_blocks(&w, "2 3 4 3 1 0 0 0 0 0 0");
    vm_sim_mem_map_free(&w.map);

    world_new(&w, 3000, 0, 3000, NULL); /* 1024 1024 | 512 256 128 32 16 8 */
    expect_blocks(&w, "0 0 0 1 1 1 0 1 1 1 2");
    vm_sim_mem_map_free(&w.map);
    world_new(&w, 10, 5, 5, NULL);
    assert_int_equal(take(&w, 0), VM_SIM_NO_FRAME);
    vm_sim_mem_map_free(&w.map);
}

/* The kernel's index: of 64 frames every second one is free. */
static void fragmentation_index(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 64, 0, 64, NULL);
    assert_float_equal(vm_sim_buddy_fragmentation(&w.buddy, 6), -1, 0);
    for (unsigned i = 0; i < 64; i++)
        take(&w, 0);
    assert_float_equal(vm_sim_buddy_fragmentation(&w.buddy, 0), 0, 0); /* nothing free: lack of memory */
    for (unsigned i = 0; i < 64; i += 2)
        vm_sim_buddy_give(&w.buddy, i, 0);
    assert_float_equal(vm_sim_buddy_fragmentation(&w.buddy, 0), -1, 0);
    /* 1 - (1 + 32 / 2) / 32, and 1 - (1 + 32 / 16) / 32 */
    assert_float_equal(vm_sim_buddy_fragmentation(&w.buddy, 1), 0.46875, 1e-12);
    assert_float_equal(vm_sim_buddy_fragmentation(&w.buddy, 4), 0.90625, 1e-12);
    vm_sim_mem_map_free(&w.map);

    world_new(&w, 8, 0, 8, NULL); /* one block of two: 1 - (1 + 2 / 4) / 1: lack of memory, not fragmentation */
    take(&w, 2);
    take(&w, 1);
    assert_float_equal(vm_sim_buddy_fragmentation(&w.buddy, 2), -0.5, 1e-12);
    vm_sim_mem_map_free(&w.map);
}

/* ---- Random requests against a reference ---- */

/* The reference counts the frames in use in each aligned block of each order.  A block is free when its count is 0, and
   on a free list when the block above is not: so it tells the number of blocks on each list at any time. */
#define FRAMES 5120u /* whole blocks of the highest order */
struct reference {
    uint32_t used[VM_SIM_ORDERS][FRAMES];
    uint64_t blocks[VM_SIM_ORDERS];
};

static bool on_list(const struct reference *r, unsigned order, unsigned block)
{
    return r->used[order][block] == 0 && (order == VM_SIM_MAX_ORDER || r->used[order + 1][block >> 1] != 0);
}

/* All blocks that hold [frame, frame + size), and their halves, leave or enter the sums. */
static void count_blocks(struct reference *r, unsigned frame, unsigned order, int sign)
{
    for (unsigned o = order; o < VM_SIM_ORDERS; o++) {
        unsigned block = frame >> o;
        r->blocks[o] += (uint64_t)(sign * on_list(r, o, block));
        if (o > order)
            r->blocks[o - 1] += (uint64_t)(sign * on_list(r, o - 1, (frame >> (o - 1)) ^ 1));
    }
}

static void reference_use(struct reference *r, unsigned frame, unsigned order, int frames)
{
    count_blocks(r, frame, order, -1);
    for (unsigned o = 0; o < VM_SIM_ORDERS; o++) {
        if (o >= order)
            r->used[o][frame >> o] += (uint32_t)frames;
        for (unsigned i = 0; o < order && i < 1u << (order - o); i++)
            r->used[o][(frame >> o) + i] += (uint32_t)(frames < 0 ? -(1 << o) : 1 << o);
    }
    count_blocks(r, frame, order, 1);
}

/* Frames outside the zone, and reserved ones, are in use for good. */
static void reference_init(struct reference *r, const struct world *w)
{
    memset(r, 0, sizeof *r);
    for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
        for (unsigned block = 0; block < FRAMES >> o; block++)
            r->blocks[o] += on_list(r, o, block);
    for (unsigned i = 0; i < FRAMES; i++)
        if (i < w->buddy.start || i >= w->buddy.end || w->map.frame[i].kind == VM_SIM_FRAME_RESERVED)
            reference_use(r, i, 0, 1);
}

struct taken {
    vm_sim_pfn frame;
    unsigned order;
};

static void random_requests(unsigned start, unsigned end, unsigned steps, unsigned top_order)
{
    uint64_t seed = unit_seed();
    static const unsigned holes[][2] = {{160, 96}, {2000, 1}, {3333, 7}, {0, 0}};
    static struct reference r;
    static struct taken taken[FRAMES];
    unsigned count = 0, refused = 0;
    unsigned want = 120; /* how full it is to be, in percent; above 100 requests are refused */
    struct world w;

    world_new(&w, 6000, start, end, holes);
    reference_init(&r, &w);
    uint64_t all = w.buddy.free;
    for (unsigned step = 0; step < steps; step++) {
        if (step % 16384 == 0 && step > 0) /* emptier and fuller in turns: few steps split and merge enough, too */
            want = (unsigned)below(&seed, 60) + (step / 16384 % 2 ? 0 : 61);
        bool full = (all - w.buddy.free) * 100 >= all * want;
        if (count == 0 || (below(&seed, 100) < (full ? 30u : 70u))) {
            unsigned order = (unsigned)below(&seed, below(&seed, top_order) + 1), largest = VM_SIM_ORDERS;
            while (largest > 0 && r.blocks[largest - 1] == 0)
                largest--;
            vm_sim_pfn frame = take(&w, order);
            CHECK((frame != VM_SIM_NO_FRAME) == (order < largest)); /* it succeeds exactly when a block is there */
            if (frame == VM_SIM_NO_FRAME) {
                refused++;
                continue;
            }
            CHECK(frame % (1u << order) == 0 && r.used[order][frame >> order] == 0);
            reference_use(&r, frame, order, 1 << order);
            taken[count++] = (struct taken){frame, order};
        } else {
            unsigned i = (unsigned)below(&seed, count);
            vm_sim_buddy_give(&w.buddy, taken[i].frame, taken[i].order);
            reference_use(&r, taken[i].frame, taken[i].order, -(1 << taken[i].order));
            taken[i] = taken[--count];
        }
        CHECK(memcmp(r.blocks, w.buddy.blocks, sizeof r.blocks) == 0);
        if (step % 8192 == 0)
            CHECK(vm_sim_buddy_check(&w.buddy) && vm_sim_mem_map_check(&w.map));
    }
    CHECKF(refused > steps / 2000 && w.buddy.merges > steps / 50 && w.buddy.splits > steps / 50,
           "%u refused, %llu merges, %llu splits", refused, (unsigned long long)w.buddy.merges,
           (unsigned long long)w.buddy.splits);
    while (count > 0) {
        count--;
        vm_sim_buddy_give(&w.buddy, taken[count].frame, taken[count].order);
        reference_use(&r, taken[count].frame, taken[count].order, -(1 << taken[count].order));
    }
    CHECK(memcmp(r.blocks, w.buddy.blocks, sizeof r.blocks) == 0 && w.buddy.free == all);
    CHECK(vm_sim_buddy_check(&w.buddy) && vm_sim_mem_map_check(&w.map));
    vm_sim_mem_map_free(&w.map);
}

#define MILLION (UNIT_SANITIZED ? 100000u : 1000000u)
static void random_all_orders(void **state)
{
    (void)state;
    random_requests(0, 4096, 3 * MILLION, 11);
}

static void random_small_orders_uneven_zone(void **state)
{
    (void)state;
    random_requests(37, 4999, 2 * MILLION, 3);
}

/* Few frames, so that check() can run after every step. */
static void random_checked(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    struct taken taken[64];
    unsigned count = 0;
    struct world w;

    world_new(&w, 64, 1, 62, NULL);
    for (unsigned step = 0; step < 100000; step++) {
        if (count < 64 && one_in(&seed, 2)) {
            unsigned order = (unsigned)below(&seed, 6);
            vm_sim_pfn frame = take(&w, order);
            if (frame != VM_SIM_NO_FRAME)
                taken[count++] = (struct taken){frame, order};
        } else if (count > 0) {
            unsigned i = (unsigned)below(&seed, count);
            vm_sim_buddy_give(&w.buddy, taken[i].frame, taken[i].order);
            taken[i] = taken[--count];
        }
        CHECK(vm_sim_buddy_check(&w.buddy));
    }
    vm_sim_mem_map_free(&w.map);
}

#define WITH_FAULT(what, value) \
    do { \
        typeof(what) was = (what); \
        (what) = (value); \
        assert_false(vm_sim_buddy_check(&w.buddy)); \
        (what) = was; \
        assert_true(vm_sim_buddy_check(&w.buddy)); \
    } while (0)

static void check_finds_faults(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 16, 0, 16, NULL);
    take(&w, 1); /* 0-1 handed out; 2-3, 4-7, 8-15 free */
    struct vm_sim_frame *f = w.map.frame;
    WITH_FAULT(w.buddy.free, 13u);
    WITH_FAULT(w.buddy.blocks[2], 2u);
    WITH_FAULT(f[2].order, 0u);
    WITH_FAULT(f[2].flags, 0u);
    WITH_FAULT(f[2].flags, VM_SIM_FRAME_HEAD);
    WITH_FAULT(f[5].kind, VM_SIM_FRAME_ANON);
    WITH_FAULT(f[5].mapcount, 1u);
    WITH_FAULT(f[1].kind, VM_SIM_FRAME_FREE);
    WITH_FAULT(f[0].order, 4u);
    WITH_FAULT(f[4].lru.next->prev, &f[2].lru);
    /* Two free buddies that did not merge: 8-11 and 12-15. */
    vm_list_remove(&f[8].lru);
    f[8].order = f[12].order = 2;
    f[12].flags = VM_SIM_FRAME_HEAD | VM_SIM_FRAME_BUDDY;
    vm_list_push_back(&w.buddy.list[2], &f[8].lru);
    vm_list_push_back(&w.buddy.list[2], &f[12].lru);
    w.buddy.blocks[3] = 0;
    w.buddy.blocks[2] = 3;
    assert_false(vm_sim_buddy_check(&w.buddy));
    vm_sim_mem_map_free(&w.map);
}

/* A block given twice, or with a wrong order, or a reserved frame, is a bug of the caller's. */
static void give_reserved(void *arg)
{
    struct world w;
    static const unsigned holes[][2] = {{4, 1}, {0, 0}};
    const struct taken *what = arg;

    world_new(&w, 16, 0, 16, holes);
    vm_sim_pfn frame = take(&w, 1);
    if (what->order == 1)
        vm_sim_buddy_give(&w.buddy, frame, 1);
    vm_sim_buddy_give(&w.buddy, what->frame ? what->frame : frame, what->order);
}

static void misuse_is_found(void **state)
{
    (void)state;
    struct taken twice = {0, 1}, wrong_order = {0, 0}, reserved = {4, 0};
    char text[512];

    assert_int_equal(WTERMSIG(child_status(give_reserved, &twice, text, sizeof text)), SIGABRT);
    assert_int_equal(WTERMSIG(child_status(give_reserved, &wrong_order, text, sizeof text)), SIGABRT);
    assert_int_equal(WTERMSIG(child_status(give_reserved, &reserved, text, sizeof text)), SIGABRT);
    assert_non_null(strstr(text, "buddy.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_and_coalesce),
        cmocka_unit_test(textbook_halves),
        cmocka_unit_test(last_in_first_out),
        cmocka_unit_test(edges_and_holes),
        cmocka_unit_test(fragmentation_index),
        cmocka_unit_test(random_all_orders),
        cmocka_unit_test(random_small_orders_uneven_zone),
        cmocka_unit_test(random_checked),
        cmocka_unit_test(check_finds_faults),
        cmocka_unit_test(misuse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
