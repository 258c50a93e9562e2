/* Unit tests of src/sim/kmap: direct map, the window of permanent mappings with its hash and flush, atomic slots, fixed
   map, and random requests against a plain count of users.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/kmap.h"

#define PAGE VM_SIM_PAGE_SIZE
#define PAGE_OFFSET 0xc0000000u
#define WINDOW 0xff800000u
#define DIRECT 256u   /* frames in the direct map, all of DMA and NORMAL */
#define FRAMES 3000u

struct world {
    struct vm_sim_memory memory;
    struct vm_sim_pt *kernel;
    struct vm_sim_kmaps maps;
    struct vm_sim_events events;
    uint64_t flushed, flushes; /* bytes */
};

static void flush(void *ctx, struct vm_sim_linear from, uint64_t bytes)
{
    struct world *w = ctx;

    CHECK(from.at >= WINDOW);
    w->flushed += bytes;
    w->flushes++;
}

static void world_new(struct world *w, enum vm_sim_paging_mode mode, uint64_t frames)
{
    struct vm_sim_zone_limits limits = {
        .dma_end = 64 * PAGE, .normal_end = DIRECT * PAGE, .watermark = {1, 2, 3}};

    memset(w, 0, sizeof *w);
    vm_sim_memory_init(&w->memory, frames * PAGE, &limits, NULL, 0, &w->events);
    w->kernel = vm_sim_pt_new(mode, vm_sim_table_source(&w->memory), NULL);
    assert_non_null(w->kernel);
    vm_sim_kmaps_init(&w->maps, PAGE_OFFSET, vm_min(frames, DIRECT) * PAGE, 2, &w->memory, w->kernel, &w->events);
    w->maps.flush = flush;
    w->maps.flush_ctx = w;
    assert_true(vm_sim_kmaps_check(&w->maps));
}

static void world_free(struct world *w)
{
    assert_true(vm_sim_kmaps_check(&w->maps) && vm_sim_pt_check(w->kernel) && vm_sim_memory_check(&w->memory));
    vm_sim_kmaps_free(&w->maps);
    vm_sim_pt_free(w->kernel);
    vm_sim_memory_free(&w->memory);
}

/* All of HIGHMEM is in use, but for what its low watermark keeps. */
static void take_highmem(struct world *w)
{
    for (unsigned i = 0; i < FRAMES - DIRECT - 2; i++)
        CHECK(vm_sim_alloc_pages(&w->memory, VM_SIM_GFP_HIGHMEM, 0, VM_SIM_FRAME_ANON) >= DIRECT);
}

static vm_sim_pfn mapped(const struct world *w, uint64_t at)
{
    struct vm_sim_walk walk = vm_sim_pt_walk(w->kernel, VM_SIM_LINEAR(at));

    if (!(walk.entry & VM_SIM_PTE_P))
        return VM_SIM_NO_FRAME;
    return vm_sim_pte_frame(walk.entry) +
           (vm_sim_pfn)(vm_sim_page_offset(vm_sim_pt_mode(w->kernel), VM_SIM_LINEAR(at), walk.level) / PAGE);
}

static void direct_map(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    assert_int_equal(vm_sim_direct_map(&w.maps, 1), 0xc0001000);
    assert_int_equal(vm_sim_direct_map(&w.maps, 0), PAGE_OFFSET);
    assert_int_equal(vm_sim_direct_map(&w.maps, DIRECT), 0);
    assert_int_equal(vm_sim_direct_frame(&w.maps, 0xc0001fff), 1);
    assert_int_equal(vm_sim_direct_frame(&w.maps, PAGE_OFFSET - 1), VM_SIM_NO_FRAME);
    assert_int_equal(vm_sim_direct_frame(&w.maps, PAGE_OFFSET + DIRECT * PAGE), VM_SIM_NO_FRAME);
    for (vm_sim_pfn f = 0; f < DIRECT; f++)
        assert_int_equal(vm_sim_direct_frame(&w.maps, vm_sim_direct_map(&w.maps, f)), f);
    world_free(&w);
}

/* In the tables: 4 MiB or 2 MiB pages where they fit, small ones for the rest. */
static void direct_map_in_the_tables(void **state)
{
    (void)state;
    static const struct {
        enum vm_sim_paging_mode mode;
        uint64_t direct, large, small, tables; /* frames, leaves, frames of tables */
    } want[] = {
        {VM_SIM_PAGING_2LEVEL, 2048, 2, 0, 1},    {VM_SIM_PAGING_2LEVEL, 2100, 2, 52, 2},
        {VM_SIM_PAGING_PAE, 2100, 4, 52, 3},      {VM_SIM_PAGING_PAE, 512, 1, 0, 2},
        {VM_SIM_PAGING_SINGLE, 100, 0, 100, 1024}, {VM_SIM_PAGING_SORTED, 600, 0, 600, 2},
    };

    for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
        struct world w;
        world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
        vm_sim_kmaps_free(&w.maps);
        vm_sim_pt_free(w.kernel);
        vm_sim_memory_free(&w.memory);
        struct vm_sim_zone_limits limits = {.min_free_kbytes = 1};
        vm_sim_memory_init(&w.memory, FRAMES * PAGE, &limits, NULL, 0, NULL);
        w.kernel = vm_sim_pt_new(want[i].mode, vm_sim_table_source(&w.memory), NULL);
        vm_sim_kmaps_init(&w.maps, PAGE_OFFSET, want[i].direct * PAGE, 1, &w.memory, w.kernel, NULL);
        assert_int_equal(vm_sim_direct_map_fill(&w.maps), 0);
        struct vm_sim_pt_stats s = vm_sim_pt_stats(w.kernel);
        assert_int_equal(s.leaves[0], want[i].small);
        assert_int_equal(s.leaves[1], want[i].large);
        assert_int_equal(s.frames, want[i].tables);
        for (vm_sim_pfn f = 0; f < want[i].direct; f += 7)
            assert_int_equal(mapped(&w, vm_sim_direct_map(&w.maps, f)), f);
        assert_int_equal(mapped(&w, PAGE_OFFSET + want[i].direct * PAGE), VM_SIM_NO_FRAME);
        world_free(&w);
    }
}

static void direct_map_without_memory(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, 64); /* 64 small pages want one table */
    while (vm_sim_alloc_pages(&w.memory, VM_SIM_GFP_ATOMIC, 0, VM_SIM_FRAME_KERNEL) != VM_SIM_NO_FRAME)
        ;
    assert_int_equal(vm_sim_direct_map_fill(&w.maps), -ENOMEM);
    assert_int_equal(vm_sim_pt_stats(w.kernel).leaves[0], 0);
    world_free(&w);
}

static void permanent_map(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_PAE, FRAMES);
    take_highmem(&w);
    assert_int_equal(vm_sim_kmap(&w.maps, 5), PAGE_OFFSET + 5 * PAGE); /* in the direct map: nothing to do */
    vm_sim_kunmap(&w.maps, 5);
    uint64_t at = vm_sim_kmap(&w.maps, 1000);
    assert_int_equal(at, WINDOW + PAGE); /* the search begins behind entry 0 */
    assert_int_equal(mapped(&w, at), 1000);
    assert_int_equal(vm_sim_kmap(&w.maps, 1000), at); /* two users */
    assert_int_equal(vm_sim_kmap(&w.maps, 1001), WINDOW + 2 * PAGE);
    vm_sim_kunmap(&w.maps, 1000);
    vm_sim_kunmap(&w.maps, 1000);
    assert_int_equal(w.maps.entry[1].count, 1); /* free, but its translation is there */
    assert_int_equal(mapped(&w, at), 1000);
    assert_int_equal(vm_sim_kmap(&w.maps, 1000), at); /* found by its hash: no search, no flush */
    assert_int_equal(w.maps.searches, 2);
    assert_int_equal(w.flushes, 0);
    world_free(&w);
}

/* A full round, then one flush, then the entries of those that unmapped. */
static void flush_after_a_round(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    take_highmem(&w);
    for (unsigned i = 1; i <= 1023; i++) {
        assert_int_equal(vm_sim_kmap(&w.maps, DIRECT + i), WINDOW + i * PAGE);
        if (i % 2)
            vm_sim_kunmap(&w.maps, DIRECT + i);
    }
    assert_int_equal(w.maps.flushes, 0);
    assert_true(vm_sim_kmaps_check(&w.maps));
    assert_int_equal(vm_sim_kmap(&w.maps, 2000), WINDOW); /* entry 0, after the flush */
    assert_int_equal(w.maps.flushes, 1);
    assert_int_equal(w.flushed, 1024 * PAGE);
    assert_int_equal(mapped(&w, WINDOW + PAGE), VM_SIM_NO_FRAME);
    assert_true(vm_sim_kmaps_check(&w.maps));
    assert_int_equal(vm_sim_kmap(&w.maps, 2001), WINDOW + PAGE);
    assert_int_equal(vm_sim_kmap(&w.maps, 2002), WINDOW + 3 * PAGE); /* 2 is in use */
    assert_int_equal(vm_sim_kmap(&w.maps, DIRECT + 2), WINDOW + 2 * PAGE);
    world_free(&w);
}

static void all_entries_in_use(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    take_highmem(&w);
    for (unsigned i = 0; i < 1024; i++)
        assert_true(vm_sim_kmap(&w.maps, DIRECT + i) != 0);
    assert_int_equal(vm_sim_kmap(&w.maps, 2000), 0);
    assert_int_equal(w.maps.waits, 1);
    assert_true(vm_sim_kmap(&w.maps, DIRECT) != 0); /* mapped already */
    vm_sim_kunmap(&w.maps, DIRECT + 500);
    assert_int_equal(vm_sim_kmap(&w.maps, 2000), WINDOW + 501 * PAGE);
    world_free(&w);
}

static void atomic_slots(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    take_highmem(&w);
    uint64_t a = vm_sim_kmap_atomic(&w.maps, 0, 3, 1000), b = vm_sim_kmap_atomic(&w.maps, 1, 3, 1000);
    assert_int_equal(a, 0xffc00000 + 3 * PAGE);
    assert_int_equal(b, a + VM_SIM_KMAP_ATOMIC_SLOTS * PAGE);
    assert_true(mapped(&w, a) == 1000 && mapped(&w, b) == 1000);
    assert_int_equal(vm_sim_kmap_atomic(&w.maps, 0, 3, 1001), 0); /* in use */
    vm_sim_kunmap_atomic(&w.maps, 0, 3);
    assert_int_equal(w.flushed, PAGE);
    assert_int_equal(mapped(&w, a), VM_SIM_NO_FRAME);
    assert_int_equal(mapped(&w, b), 1000);
    assert_int_equal(vm_sim_kmap_atomic(&w.maps, 0, 3, 1001), a);
    assert_int_equal(vm_sim_kmap_atomic(&w.maps, 0, 4, 7), PAGE_OFFSET + 7 * PAGE);
    vm_sim_kunmap_atomic(&w.maps, 0, 4);
    world_free(&w);
}

static void fixed_map(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    assert_int_equal(vm_sim_fixmap(&w.maps, 0, 0xfee00), 0xfffff000); /* a device beyond the memory */
    assert_int_equal(vm_sim_fixmap(&w.maps, 63, 9), 0xfffc0000);
    assert_true(mapped(&w, 0xfffff000) == 0xfee00 && mapped(&w, 0xfffc0000) == 9);
    assert_int_equal(w.flushes, 0);
    assert_int_equal(vm_sim_fixmap(&w.maps, 0, 10), 0xfffff000); /* the same address, another frame */
    assert_int_equal(w.flushes, 1);
    assert_int_equal(mapped(&w, 0xfffff000), 10);
    assert_int_equal(vm_sim_fixmap(&w.maps, 0, VM_SIM_NO_FRAME), 0xfffff000);
    assert_int_equal(w.flushes, 2);
    assert_int_equal(mapped(&w, 0xfffff000), VM_SIM_NO_FRAME);
    world_free(&w);
}

static void no_table(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    take_highmem(&w);
    while (vm_sim_alloc_pages(&w.memory, VM_SIM_GFP_ATOMIC, 0, VM_SIM_FRAME_KERNEL) != VM_SIM_NO_FRAME)
        ;
    assert_int_equal(vm_sim_kmap(&w.maps, 1000), 0);
    assert_int_equal(vm_sim_kmap_atomic(&w.maps, 0, 0, 1000), 0);
    assert_int_equal(vm_sim_fixmap(&w.maps, 0, 1000), 0);
    assert_int_equal(w.maps.waits, 0);
    world_free(&w);
}

/* The same frame is always at the same address while it has users, and no two frames are at one. */
static void random_requests(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static unsigned users[FRAMES];
    static uint64_t at[FRAMES];
    static vm_sim_pfn frame_at[VM_SIM_KMAP_ENTRIES];
    unsigned in_use = 0, refused = 0;
    struct world w;

    world_new(&w, VM_SIM_PAGING_PAE, FRAMES);
    take_highmem(&w);
    for (unsigned step = 0; step < 200000; step++) {
        vm_sim_pfn frame = DIRECT + (vm_sim_pfn)below(&seed, 1700);
        if (below(&seed, 100) < (step / 20000 % 2 ? 45u : 70u)) {
            uint64_t got = vm_sim_kmap(&w.maps, frame);
            unsigned i = (unsigned)((got - WINDOW) / PAGE);
            CHECK((got != 0) == (users[frame] > 0 || in_use < VM_SIM_KMAP_ENTRIES));
            refused += got == 0;
            if (got) {
                CHECK(i < VM_SIM_KMAP_ENTRIES && mapped(&w, got) == frame);
                CHECK(users[frame] ? at[frame] == got : !users[frame_at[i]] || at[frame_at[i]] != got);
                in_use += users[frame] == 0;
                users[frame]++;
                at[frame] = got;
                frame_at[i] = frame;
            }
        } else if (users[frame] > 0) {
            vm_sim_kunmap(&w.maps, frame);
            users[frame]--;
            in_use -= users[frame] == 0;
        }
        if (step % 64 == 0)
            CHECK(vm_sim_kmaps_check(&w.maps));
    }
    CHECK(refused > 0 && w.maps.flushes > 0);
    world_free(&w);
}

#define WITH_FAULT(what, value) \
    do { \
        typeof(what) was = (what); \
        (what) = (value); \
        assert_false(vm_sim_kmaps_check(&w.maps)); \
        (what) = was; \
        assert_true(vm_sim_kmaps_check(&w.maps)); \
    } while (0)

static void check_finds_faults(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    take_highmem(&w);
    vm_sim_kmap(&w.maps, 1000);
    vm_sim_kmap_atomic(&w.maps, 1, 1, 1001);
    WITH_FAULT(w.maps.entry[1].count, 0u);
    WITH_FAULT(w.maps.entry[1].frame, 1002u);
    WITH_FAULT(w.maps.entry[1].frame, 3u);
    WITH_FAULT(w.maps.entry[1].hash_next, 1u); /* a ring */
    WITH_FAULT(w.maps.entry[2].count, 1u);
    WITH_FAULT(w.maps.direct_end, 2000 * PAGE);
    WITH_FAULT(w.maps.atomic[VM_SIM_KMAP_ATOMIC_SLOTS + 1], 1000u);
    WITH_FAULT(w.maps.fixmap[4], 7u);
    WITH_FAULT(vm_sim_pfn_frame(&w.memory.map, 1000)->kind, VM_SIM_FRAME_FREE);
    WITH_FAULT(*vm_sim_pt_find(w.kernel, VM_SIM_LINEAR(WINDOW + PAGE), NULL), 0u);
    for (unsigned b = 0; b < VM_SIM_KMAP_BUCKETS; b++)
        if (w.maps.bucket[b] != UINT16_MAX)
            WITH_FAULT(w.maps.bucket[b], UINT16_MAX);
    world_free(&w);
}

static void unmap_twice(void *arg)
{
    struct world w;

    (void)arg;
    world_new(&w, VM_SIM_PAGING_2LEVEL, FRAMES);
    vm_sim_kmap(&w.maps, 1000);
    vm_sim_kunmap(&w.maps, 1000);
    vm_sim_kunmap(&w.maps, 1000);
}

static void misuse_is_found(void **state)
{
    (void)state;
    char text[512];

    assert_int_equal(WTERMSIG(child_status(unmap_twice, NULL, text, sizeof text)), SIGABRT);
    assert_non_null(strstr(text, "kmap.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(direct_map),
        cmocka_unit_test(direct_map_in_the_tables),
        cmocka_unit_test(direct_map_without_memory),
        cmocka_unit_test(permanent_map),
        cmocka_unit_test(flush_after_a_round),
        cmocka_unit_test(all_entries_in_use),
        cmocka_unit_test(atomic_slots),
        cmocka_unit_test(fixed_map),
        cmocka_unit_test(no_table),
        cmocka_unit_test(random_requests),
        cmocka_unit_test(check_finds_faults),
        cmocka_unit_test(misuse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
