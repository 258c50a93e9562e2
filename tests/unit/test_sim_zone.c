/* Unit tests of src/sim/zone: zones of 32 and 64 bits, watermarks, fallback, the reserved pool, direct reclaim, and
   random requests against sums kept beside.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/paging.h"
#include "sim/zone.h"

#define PAGE VM_SIM_PAGE_SIZE
#define KERNEL_AT 0xc0000000u

static struct vm_sim_events events;
static struct vm_sim_event last;
static void receive(void *ctx, const struct vm_sim_event *event)
{
    (void)ctx;
    last = *event;
}

static void memory_new(struct vm_sim_memory *m, uint64_t bytes, struct vm_sim_zone_limits limits)
{
    events = (struct vm_sim_events){.receive = receive, .mask = 1 << VM_SIM_EV_ALLOC | 1 << VM_SIM_EV_ALLOC_FAILED};
    vm_sim_memory_init(m, bytes, &limits, NULL, 0, &events);
    assert_true(vm_sim_memory_check(m));
}

static vm_sim_pfn get(struct vm_sim_memory *m, unsigned gfp, unsigned order)
{
    vm_sim_pfn frame = vm_sim_alloc_pages(m, gfp, order, VM_SIM_FRAME_KERNEL);

    assert_true(vm_sim_memory_check(m));
    return frame;
}

static void expect_zones(const struct vm_sim_memory *m, const uint64_t mib[VM_SIM_ZONES + 1])
{
    for (unsigned t = 0; t < VM_SIM_ZONES; t++) {
        assert_int_equal(m->zone[t].start, mib[t] * 256);
        assert_int_equal(m->zone[t].end, mib[t + 1] * 256);
        assert_int_equal(m->zone[t].type, t);
    }
}

/* ---- Zones ---- */

static void zones_of_32_bits(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 1024 * VM_MIB, (struct vm_sim_zone_limits){0});
    expect_zones(&m, (uint64_t[]){0, 16, 16, 896, 1024});
    assert_string_equal(m.zone[VM_SIM_ZONE_HIGHMEM].name, "HighMem");
    assert_int_equal(m.zone[VM_SIM_ZONE_HIGHMEM].managed, 128 * 256);
    assert_int_equal(vm_sim_free_frames(&m), 1024 * 256);
    assert_ptr_equal(vm_sim_zone_of(&m, 4095), &m.zone[VM_SIM_ZONE_DMA]);
    assert_ptr_equal(vm_sim_zone_of(&m, 4096), &m.zone[VM_SIM_ZONE_NORMAL]);
    assert_ptr_equal(vm_sim_zone_of(&m, 896 * 256), &m.zone[VM_SIM_ZONE_HIGHMEM]);
    vm_sim_memory_free(&m);
    memory_new(&m, 8 * VM_MIB, (struct vm_sim_zone_limits){0});
    expect_zones(&m, (uint64_t[]){0, 8, 8, 8, 8});
    vm_sim_memory_free(&m);
}

static void zones_of_64_bits(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 4608 * VM_MIB, (struct vm_sim_zone_limits){.wide = true});
    expect_zones(&m, (uint64_t[]){0, 16, 4096, 4608, 4608});
    assert_int_equal(m.zone[VM_SIM_ZONE_HIGHMEM].managed, 0);
    vm_sim_memory_free(&m);
    memory_new(&m, 64 * VM_MIB, (struct vm_sim_zone_limits){.wide = true, .dma32_end = 32 * VM_MIB});
    expect_zones(&m, (uint64_t[]){0, 16, 32, 64, 64});
    assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_USER, 0))->type, VM_SIM_ZONE_NORMAL); /* no HIGHMEM */
    assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_KERNEL, 0))->type, VM_SIM_ZONE_NORMAL);
    assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_DMA32, 0))->type, VM_SIM_ZONE_DMA32);
    assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_DMA, 0))->type, VM_SIM_ZONE_DMA);
    vm_sim_memory_free(&m);
}

/* 1 GiB: 4 sqrt(896 x 1024) = 3831 KiB: 957 frames shared by 4096 and 225280. */
static void watermarks(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 1024 * VM_MIB, (struct vm_sim_zone_limits){0});
    const struct vm_sim_zone *z = &m.zone[VM_SIM_ZONE_DMA];
    assert_true(z->min == 17 && z->low == 21 && z->high == 25);
    z = &m.zone[VM_SIM_ZONE_NORMAL];
    assert_true(z->min == 939 && z->low == 1173 && z->high == 1408);
    z = &m.zone[VM_SIM_ZONE_HIGHMEM];
    assert_true(z->min == 32 && z->low == 40 && z->high == 48);
    z = &m.zone[VM_SIM_ZONE_DMA32];
    assert_true(z->min == 0 && z->low == 0 && z->high == 0);
    vm_sim_memory_free(&m);
    memory_new(&m, 32 * VM_MIB, (struct vm_sim_zone_limits){.min_free_kbytes = 1024});
    assert_true(m.zone[VM_SIM_ZONE_DMA].min == 128 && m.zone[VM_SIM_ZONE_NORMAL].min == 128);
    vm_sim_memory_free(&m);
    memory_new(&m, 64 * PAGE, (struct vm_sim_zone_limits){.watermark = {2, 5, 9}});
    z = &m.zone[VM_SIM_ZONE_DMA];
    assert_true(z->min == 2 && z->low == 5 && z->high == 9);
    vm_sim_memory_free(&m);
    for (uint64_t frames = 0; frames < 40; frames++) { /* impossibly small: still in order */
        memory_new(&m, frames * PAGE, (struct vm_sim_zone_limits){.dma_end = 4 * PAGE, .normal_end = 20 * PAGE});
        vm_sim_memory_free(&m);
    }
}

static void reserved_frames(void **state)
{
    (void)state;
    struct vm_sim_memory m;
    static const struct vm_sim_range reserved[] = {{0, 4096}, {0xa0000, 0x60000}};
    struct vm_sim_zone_limits limits = {.min_free_kbytes = 1};
    unsigned got = 0;

    vm_sim_memory_init(&m, 2 * VM_MIB, &limits, reserved, 2, NULL);
    assert_int_equal(m.map.reserved, 97);
    assert_int_equal(m.zone[VM_SIM_ZONE_DMA].managed, 512 - 97);
    for (vm_sim_pfn f; (f = vm_sim_alloc_pages(&m, 0, 0, VM_SIM_FRAME_ANON)) != VM_SIM_NO_FRAME; got++)
        assert_true(f != 0 && (f < 160 || f >= 256));
    assert_int_equal(got, 512 - 97);
    assert_true(vm_sim_memory_check(&m));
    vm_sim_memory_free(&m);
}

/* ---- Requests ---- */

/* Three zones of 64 frames, with min 8, low 10, high 12. */
static const struct vm_sim_zone_limits three_zones = {
    .dma_end = 64 * PAGE, .normal_end = 128 * PAGE, .watermark = {8, 10, 12}};

struct hooks {
    struct vm_sim_memory *m;
    unsigned wakes[VM_SIM_ZONES], reclaims;
    vm_sim_pfn give[200]; /* what reclaim can free, last first */
    unsigned count;
};

static void wake(void *ctx, enum vm_sim_zone_type zone) { ((struct hooks *)ctx)->wakes[zone]++; }

static uint64_t reclaim(void *ctx, enum vm_sim_zone_type highest, unsigned order)
{
    struct hooks *h = ctx;

    h->reclaims++;
    if (h->count == 0)
        return 0;
    vm_sim_pfn frame = h->give[--h->count];
    assert_true(vm_sim_zone_of(h->m, frame)->type <= highest && order <= VM_SIM_MAX_ORDER);
    vm_sim_free_pages(h->m, frame, 0);
    return 1;
}

static void hang(struct vm_sim_memory *m, struct hooks *h)
{
    *h = (struct hooks){.m = m};
    m->wake = wake;
    m->reclaim = reclaim;
    m->reclaim_ctx = h;
}

/* HIGHMEM down to low, then NORMAL, then DMA, nobody being woken; then kswapd is woken, and min is the limit. */
static void fallback_order(void **state)
{
    (void)state;
    struct vm_sim_memory m;
    struct hooks h;

    memory_new(&m, 192 * PAGE, three_zones);
    hang(&m, &h);
    for (unsigned i = 0; i < 54; i++) {
        assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_HIGHMEM, 0))->type, VM_SIM_ZONE_HIGHMEM);
        assert_null(last.cause);
    }
    for (unsigned i = 0; i < 54; i++) {
        assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_HIGHMEM, 0))->type, VM_SIM_ZONE_NORMAL);
        assert_string_equal(last.cause, "fallback");
    }
    for (unsigned i = 0; i < 54; i++)
        assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_HIGHMEM, 0))->type, VM_SIM_ZONE_DMA);
    assert_int_equal(h.wakes[VM_SIM_ZONE_HIGHMEM], 0);
    static const enum vm_sim_zone_type order[] = {VM_SIM_ZONE_HIGHMEM, VM_SIM_ZONE_NORMAL, VM_SIM_ZONE_DMA};
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(vm_sim_zone_of(&m, get(&m, VM_SIM_GFP_HIGHMEM, 0))->type, order[i / 2]);
        assert_int_equal(h.wakes[VM_SIM_ZONE_HIGHMEM], i + 1);
        assert_int_equal(h.wakes[VM_SIM_ZONE_DMA32], 0);
        assert_int_equal(h.wakes[VM_SIM_ZONE_DMA], i + 1);
    }
    assert_int_equal(get(&m, VM_SIM_GFP_HIGHMEM, 0), VM_SIM_NO_FRAME);
    assert_int_equal(last.kind, VM_SIM_EV_ALLOC_FAILED);
    assert_string_equal(last.name, "HighMem");
    assert_int_equal(m.zone[VM_SIM_ZONE_HIGHMEM].failed, 1);
    assert_int_equal(m.zone[VM_SIM_ZONE_NORMAL].fallbacks, 56);
    assert_int_equal(m.zone[VM_SIM_ZONE_DMA].allocated, 56);
    assert_int_equal(h.reclaims, 0); /* may not wait */
    assert_int_equal(vm_sim_free_frames(&m), 24);
    vm_sim_memory_free(&m);
}

/* Row 19: at min the others are refused; atomic requests go on down to min / 2 less a quarter: 8 -> 3. */
static void reserved_pool(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 64 * PAGE, three_zones);
    for (unsigned i = 0; i < 56; i++)
        assert_int_not_equal(get(&m, VM_SIM_GFP_KERNEL, 0), VM_SIM_NO_FRAME);
    assert_int_equal(get(&m, VM_SIM_GFP_KERNEL, 0), VM_SIM_NO_FRAME);
    assert_int_equal(get(&m, 0, 0), VM_SIM_NO_FRAME);
    assert_int_equal(m.zone[VM_SIM_ZONE_DMA].failed, 2);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_not_equal(get(&m, VM_SIM_GFP_ATOMIC, 0), VM_SIM_NO_FRAME);
        assert_string_equal(last.cause, "reserve");
    }
    assert_int_equal(get(&m, VM_SIM_GFP_ATOMIC, 0), VM_SIM_NO_FRAME);
    assert_int_equal(m.zone[VM_SIM_ZONE_DMA].reserve_used, 5);
    assert_int_equal(vm_sim_free_frames(&m), 3);
    vm_sim_memory_free(&m);
}

static void direct_reclaim(void **state)
{
    (void)state;
    struct vm_sim_memory m;
    struct hooks h;

    memory_new(&m, 64 * PAGE, three_zones);
    hang(&m, &h);
    for (unsigned i = 0; i < 56; i++)
        h.give[i] = get(&m, 0, 0);
    h.count = 56;
    assert_int_equal(get(&m, 0, 0), VM_SIM_NO_FRAME);
    assert_int_equal(h.reclaims, 0);
    vm_sim_pfn freed = h.give[55], frame = get(&m, VM_SIM_GFP_WAIT, 0);
    assert_int_equal(frame, freed);
    assert_int_equal(h.reclaims, 1);
    frame = get(&m, VM_SIM_GFP_WAIT, 2); /* frame by frame, until a block of 4 is there above min */
    assert_int_not_equal(frame, VM_SIM_NO_FRAME);
    assert_true(h.reclaims >= 5 && h.reclaims < 57);
    assert_int_equal(get(&m, VM_SIM_GFP_WAIT, 6), VM_SIM_NO_FRAME); /* all of it, and in vain */
    assert_int_equal(h.count, 0);
    vm_sim_memory_free(&m);
}

/* Enough frames, but no two of them together. */
static void fragmented(void **state)
{
    (void)state;
    struct vm_sim_memory m;
    vm_sim_pfn frame[64 + 1];
    unsigned count = 0;

    memory_new(&m, 64 * PAGE, (struct vm_sim_zone_limits){.min_free_kbytes = 1});
    while ((frame[count] = get(&m, 0, 0)) != VM_SIM_NO_FRAME)
        count++;
    assert_int_equal(count, 64);
    assert_string_equal(last.cause, "too few free frames");
    for (unsigned i = 0; i < 64; i += 2)
        vm_sim_free_pages(&m, frame[i], 0);
    assert_int_equal(get(&m, 0, 1), VM_SIM_NO_FRAME);
    assert_string_equal(last.cause, "fragmented");
    assert_int_not_equal(get(&m, 0, 0), VM_SIM_NO_FRAME);
    vm_sim_memory_free(&m);
}

static void free_pages_in_the_direct_map(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 192 * PAGE, three_zones);
    assert_int_equal(vm_sim_get_free_pages(&m, KERNEL_AT, VM_SIM_GFP_USER, 0, VM_SIM_FRAME_KERNEL), 0);
    assert_int_equal(vm_sim_get_free_pages(&m, KERNEL_AT, VM_SIM_GFP_KERNEL, 1, VM_SIM_FRAME_KERNEL),
                     KERNEL_AT + 64 * PAGE);
    assert_int_equal(vm_sim_get_free_pages(&m, KERNEL_AT, VM_SIM_GFP_DMA, 0, VM_SIM_FRAME_KERNEL), KERNEL_AT);
    assert_int_equal(vm_sim_get_free_pages(&m, KERNEL_AT, VM_SIM_GFP_KERNEL, 10, VM_SIM_FRAME_KERNEL), 0);
    vm_sim_memory_free(&m);
}

static void reference_counts(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 64 * PAGE, three_zones);
    vm_sim_pfn frame = get(&m, VM_SIM_GFP_KERNEL | VM_SIM_GFP_ZERO, 3);
    assert_int_equal(m.zeroed, 8);
    vm_sim_get_frame(&m, frame);
    vm_sim_get_frame(&m, frame);
    assert_int_equal(vm_sim_pfn_frame(&m.map, frame)->count, 3);
    vm_sim_put_frame(&m, frame);
    vm_sim_put_frame(&m, frame);
    assert_int_equal(vm_sim_free_frames(&m), 56);
    vm_sim_put_frame(&m, frame);
    assert_int_equal(vm_sim_free_frames(&m), 64);
    assert_int_equal(events.count[VM_SIM_EV_FREE], 1);
    assert_true(vm_sim_memory_check(&m));
    vm_sim_memory_free(&m);
}

/* Page tables take their frames here, and give them back. */
static void source_of_tables(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 64 * PAGE, three_zones);
    struct vm_sim_pt *pt = vm_sim_pt_new(VM_SIM_PAGING_2LEVEL, vm_sim_table_source(&m), NULL);
    assert_non_null(pt);
    vm_sim_pte leaf = vm_sim_pte_make(5, VM_SIM_PTE_P, VM_SIM_HEAP);
    assert_int_equal(vm_sim_pt_set(pt, VM_SIM_LINEAR(0x1000), 1, leaf), 0);
    assert_int_equal(vm_sim_free_frames(&m), 62);
    assert_int_equal(vm_sim_pfn_frame(&m.map, vm_sim_pt_top(pt))->kind, VM_SIM_FRAME_TABLE);
    while (get(&m, VM_SIM_GFP_ATOMIC, 0) != VM_SIM_NO_FRAME)
        ;
    assert_int_equal(vm_sim_pt_set(pt, VM_SIM_LINEAR(0x800000), 1, leaf), -ENOMEM);
    assert_null(vm_sim_pt_new(VM_SIM_PAGING_2LEVEL, vm_sim_table_source(&m), NULL));
    uint64_t left = vm_sim_free_frames(&m);
    vm_sim_pt_free(pt);
    assert_int_equal(vm_sim_free_frames(&m), left + 2);
    assert_true(vm_sim_memory_check(&m));
    vm_sim_memory_free(&m);
}

/* ---- Another allocator instead ---- */

/* As linux-0.12 has it: a byte for each frame, searched from the top. */
static uint8_t used_byte[64];
static vm_sim_pfn scan_take(void *ctx, unsigned order)
{
    (void)ctx;
    for (unsigned i = 64; order == 0 && i-- > 0;)
        if (!used_byte[i])
            return used_byte[i] = 1, i;
    return VM_SIM_NO_FRAME;
}
static void scan_give(void *ctx, vm_sim_pfn frame, unsigned order)
{
    (void)ctx;
    CHECK(order == 0 && used_byte[frame] == 1);
    used_byte[frame] = 0;
}

static void instead_of_zones(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 64 * PAGE, three_zones);
    vm_sim_memory_instead(&m, (struct vm_sim_frame_source){scan_take, scan_give, NULL});
    assert_true(vm_sim_memory_check(&m));
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(vm_sim_free_frames(&m), 64 - i);
        assert_int_equal(get(&m, VM_SIM_GFP_USER, 0), 63 - i);
    }
    assert_int_equal(get(&m, VM_SIM_GFP_USER, 0), VM_SIM_NO_FRAME);
    assert_int_equal(last.kind, VM_SIM_EV_ALLOC_FAILED);
    vm_sim_put_frame(&m, 17);
    vm_sim_put_frame(&m, 30);
    assert_int_equal(get(&m, VM_SIM_GFP_KERNEL, 1), VM_SIM_NO_FRAME);
    assert_int_equal(get(&m, VM_SIM_GFP_KERNEL, 0), 30);
    m.instead_used++;
    assert_false(vm_sim_memory_check(&m));
    vm_sim_memory_free(&m);
}

/* ---- Random requests: which zone serves follows from the free frames of the zones and the watermarks ---- */

struct block {
    vm_sim_pfn frame;
    unsigned order, references;
};

/* The zone that must serve a request for one frame, VM_SIM_ZONES for none. */
static unsigned expected_zone(const struct vm_sim_memory *m, unsigned gfp)
{
    unsigned highest = gfp & VM_SIM_GFP_DMA       ? VM_SIM_ZONE_DMA
                       : gfp & VM_SIM_GFP_HIGHMEM ? VM_SIM_ZONE_HIGHMEM
                                                  : VM_SIM_ZONE_NORMAL;

    for (unsigned round = 0; round < 2; round++)
        for (int t = (int)highest; t >= 0; t--) {
            uint64_t leave = round == 0 ? 10 : gfp & VM_SIM_GFP_HIGH ? 3 : 8;
            if (m->zone[t].managed && m->zone[t].buddy.free >= leave + 1)
                return (unsigned)t;
        }
    return VM_SIM_ZONES;
}

static void random_requests(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static const unsigned gfps[] = {0, VM_SIM_GFP_DMA, VM_SIM_GFP_HIGHMEM, VM_SIM_GFP_HIGH,
                                    VM_SIM_GFP_DMA | VM_SIM_GFP_HIGH, VM_SIM_GFP_HIGHMEM | VM_SIM_GFP_HIGH};
    static struct block block[200];
    unsigned count = 0, served[VM_SIM_ZONES + 1] = {0};
    uint64_t out = 0;
    struct vm_sim_memory m;

    memory_new(&m, 192 * PAGE, three_zones);
    for (unsigned step = 0; step < 50000; step++) {
        if (count < 200 && below(&seed, 100) < (step / 1000 % 2 ? 70u : 40u)) {
            unsigned gfp = gfps[below(&seed, 6)], order = one_in(&seed, 10) ? (unsigned)below(&seed, 4) : 0;
            unsigned zone = expected_zone(&m, gfp);
            vm_sim_pfn frame = vm_sim_alloc_pages(&m, gfp, order, VM_SIM_FRAME_ANON);
            unsigned from = frame == VM_SIM_NO_FRAME ? VM_SIM_ZONES : vm_sim_zone_of(&m, frame)->type;
            CHECK(order > 0 || from == zone);
            served[from]++;
            if (frame != VM_SIM_NO_FRAME) {
                block[count++] = (struct block){frame, order, 1};
                out += 1u << order;
            }
        } else if (count > 0) {
            unsigned i = (unsigned)below(&seed, count);
            if (one_in(&seed, 4)) {
                vm_sim_get_frame(&m, block[i].frame);
                block[i].references++;
            } else {
                vm_sim_put_frame(&m, block[i].frame);
                if (--block[i].references == 0) {
                    out -= 1u << block[i].order;
                    block[i] = block[--count];
                }
            }
        }
        CHECK(vm_sim_memory_check(&m));
        CHECK(vm_sim_free_frames(&m) == 192 - out);
    }
    for (unsigned t = 0; t <= VM_SIM_ZONES; t++)
        CHECK(t == VM_SIM_ZONE_DMA32 ? served[t] == 0 : served[t] > 100);
    vm_sim_memory_free(&m);
}

#define WITH_FAULT(what, value) \
    do { \
        typeof(what) was = (what); \
        (what) = (value); \
        assert_false(vm_sim_memory_check(&m)); \
        (what) = was; \
        assert_true(vm_sim_memory_check(&m)); \
    } while (0)

static void check_finds_faults(void **state)
{
    (void)state;
    struct vm_sim_memory m;

    memory_new(&m, 192 * PAGE, three_zones);
    vm_sim_pfn frame = get(&m, VM_SIM_GFP_KERNEL, 1);
    struct vm_sim_frame *f = vm_sim_pfn_frame(&m.map, frame);
    WITH_FAULT(m.zone[VM_SIM_ZONE_NORMAL].managed, 63u);
    WITH_FAULT(m.zone[VM_SIM_ZONE_NORMAL].low, 8u);
    WITH_FAULT(m.zone[VM_SIM_ZONE_NORMAL].end, 127u);
    WITH_FAULT(m.zone[VM_SIM_ZONE_HIGHMEM].buddy.free, 65u);
    WITH_FAULT(f->zone, VM_SIM_ZONE_DMA);
    WITH_FAULT(f[1].zone, VM_SIM_ZONE_DMA);
    WITH_FAULT(f->count, 0u);
    WITH_FAULT(f->kind, VM_SIM_FRAME_FREE);
    WITH_FAULT(m.map.reserved, 1u);
    WITH_FAULT(m.map.frames, 191u);
    vm_sim_memory_free(&m);
}

static void put_twice(void *arg)
{
    struct vm_sim_memory m;

    (void)arg;
    memory_new(&m, 64 * PAGE, three_zones);
    vm_sim_pfn frame = get(&m, 0, 0);
    vm_sim_put_frame(&m, frame);
    vm_sim_put_frame(&m, frame);
}

static void free_while_shared(void *arg)
{
    struct vm_sim_memory m;

    (void)arg;
    memory_new(&m, 64 * PAGE, three_zones);
    vm_sim_pfn frame = get(&m, 0, 0);
    vm_sim_get_frame(&m, frame);
    vm_sim_free_pages(&m, frame, 0);
}

static void misuse_is_found(void **state)
{
    (void)state;
    char text[512];

    assert_int_equal(WTERMSIG(child_status(put_twice, NULL, text, sizeof text)), SIGABRT);
    assert_non_null(strstr(text, "zone.c"));
    assert_int_equal(WTERMSIG(child_status(free_while_shared, NULL, text, sizeof text)), SIGABRT);
    assert_non_null(strstr(text, "zone.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zones_of_32_bits),
        cmocka_unit_test(zones_of_64_bits),
        cmocka_unit_test(watermarks),
        cmocka_unit_test(reserved_frames),
        cmocka_unit_test(fallback_order),
        cmocka_unit_test(reserved_pool),
        cmocka_unit_test(direct_reclaim),
        cmocka_unit_test(fragmented),
        cmocka_unit_test(free_pages_in_the_direct_map),
        cmocka_unit_test(reference_counts),
        cmocka_unit_test(source_of_tables),
        cmocka_unit_test(instead_of_zones),
        cmocka_unit_test(random_requests),
        cmocka_unit_test(check_finds_faults),
        cmocka_unit_test(misuse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
