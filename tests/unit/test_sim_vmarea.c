/* Unit tests of src/sim/vmarea: first fit with guard pages, scattered frames, shortages undone, and random requests
   against a map of pages.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/vmarea.h"

#define PAGE VM_SIM_PAGE_SIZE
#define START 0xf8000000u

struct world {
    struct vm_sim_memory memory;
    struct vm_sim_pt *kernel;
    struct vm_sim_vmareas areas;
    struct vm_sim_events events;
    uint64_t flushed; /* bytes */
};

static void flush(void *ctx, struct vm_sim_linear from, uint64_t bytes)
{
    struct world *w = ctx;

    assert_true(from.at >= w->areas.start && from.at + bytes <= w->areas.end);
    w->flushed += bytes;
}

static void world_new(struct world *w, uint64_t frames, uint64_t pages)
{
    struct vm_sim_zone_limits limits = {.min_free_kbytes = 1};

    memset(w, 0, sizeof *w);
    vm_sim_memory_init(&w->memory, frames * PAGE, &limits, NULL, 0, &w->events);
    w->kernel = vm_sim_pt_new(VM_SIM_PAGING_2LEVEL, vm_sim_table_source(&w->memory), NULL);
    vm_sim_vmareas_init(&w->areas, START, START + pages * PAGE, &w->memory, w->kernel);
    w->areas.flush = flush;
    w->areas.flush_ctx = w;
}

static bool check(const struct world *w)
{
    return vm_sim_vmareas_check(&w->areas) && vm_sim_pt_check(w->kernel) && vm_sim_memory_check(&w->memory);
}

static void world_free(struct world *w)
{
    vm_sim_vmareas_free(&w->areas);
    assert_true(check(w));
    vm_sim_pt_free(w->kernel);
    assert_int_equal(vm_sim_free_frames(&w->memory), w->memory.map.frames);
    vm_sim_memory_free(&w->memory);
}

static void first_fit_and_guards(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 256, 16);
    struct vm_sim_varea *a = vm_sim_vmalloc(&w.areas, 4 * PAGE), *b = vm_sim_vmalloc(&w.areas, 1);
    struct vm_sim_varea *c = vm_sim_vmalloc(&w.areas, 3 * PAGE + 1);
    assert_int_equal(a->start, START);
    assert_int_equal(b->start, START + 5 * PAGE); /* page 4 is the guard */
    assert_int_equal(b->bytes, PAGE);
    assert_int_equal(c->start, START + 7 * PAGE);
    assert_int_equal(c->bytes, 4 * PAGE);
    assert_int_equal(w.areas.pages, 9);
    assert_int_equal(vm_sim_pt_walk(w.kernel, VM_SIM_LINEAR(START + 4 * PAGE)).entry, 0);
    assert_int_equal(vm_sim_pte_frame(vm_sim_pt_walk(w.kernel, VM_SIM_LINEAR(c->start + PAGE)).entry), c->frame[1]);
    assert_ptr_equal(vm_sim_varea_find(&w.areas, START + 4 * PAGE - 1), a);
    assert_null(vm_sim_varea_find(&w.areas, START + 4 * PAGE));
    assert_ptr_equal(vm_sim_varea_find(&w.areas, c->start + PAGE), c);
    assert_null(vm_sim_varea_find(&w.areas, START - 1));
    assert_null(vm_sim_varea_find(&w.areas, START + 15 * PAGE));
    assert_null(vm_sim_vmalloc(&w.areas, 4 * PAGE)); /* 12..15 are left, but no guard */
    assert_null(vm_sim_vmalloc(&w.areas, 0));
    assert_null(vm_sim_vmalloc(&w.areas, UINT64_MAX));
    vm_sim_vfree(&w.areas, a);
    assert_int_equal(w.flushed, 4 * PAGE);
    assert_true(check(&w));
    assert_int_equal(vm_sim_vmalloc(&w.areas, 3 * PAGE)->start, START);
    assert_int_equal(vm_sim_vmalloc(&w.areas, 3 * PAGE)->start, START + 12 * PAGE);
    assert_true(check(&w));
    world_free(&w);
}

/* Every second frame is free: no block of two frames, but 32 pages in a row. */
static void scattered_frames(void **state)
{
    (void)state;
    struct world w;
    vm_sim_pfn frame[512];
    unsigned count = 0;

    world_new(&w, 512, 1024);
    struct vm_sim_varea *area = vm_sim_vmalloc(&w.areas, 32 * PAGE);
    assert_int_equal(vm_sim_varea_runs(area), 1);
    vm_sim_vfree(&w.areas, area);
    while ((frame[count] = vm_sim_alloc_pages(&w.memory, 0, 0, VM_SIM_FRAME_KERNEL)) != VM_SIM_NO_FRAME)
        count++;
    for (unsigned i = 0; i < count; i++)
        if (frame[i] % 2 == 0)
            vm_sim_free_pages(&w.memory, frame[i], 0);
    assert_int_equal(vm_sim_alloc_pages(&w.memory, 0, 1, VM_SIM_FRAME_KERNEL), VM_SIM_NO_FRAME);
    area = vm_sim_vmalloc(&w.areas, 32 * PAGE);
    assert_non_null(area);
    assert_int_equal(vm_sim_varea_runs(area), 32);
    assert_true(check(&w));
    for (unsigned i = 0; i < count; i++)
        if (frame[i] % 2 == 1)
            vm_sim_free_pages(&w.memory, frame[i], 0);
    world_free(&w);
}

/* In a machine with HIGHMEM its frames come from there. */
static void highmem_first(void **state)
{
    (void)state;
    struct world w;
    struct vm_sim_zone_limits limits = {.dma_end = 64 * PAGE, .normal_end = 128 * PAGE, .min_free_kbytes = 1};

    world_new(&w, 0, 64);
    vm_sim_memory_free(&w.memory);
    vm_sim_memory_init(&w.memory, 192 * PAGE, &limits, NULL, 0, &w.events);
    w.kernel = vm_sim_pt_new(VM_SIM_PAGING_PAE, vm_sim_table_source(&w.memory), NULL);
    vm_sim_vmareas_init(&w.areas, START, START + 64 * PAGE, &w.memory, w.kernel);
    struct vm_sim_varea *area = vm_sim_vmalloc(&w.areas, 2 * PAGE);
    assert_true(area->frame[0] >= 128 && area->frame[1] >= 128);
    assert_true(check(&w));
    world_free(&w);
}

/* Neither frames nor range are lost when there is not enough, wherever it happens: in the frames, or in the tables. */
static void shortage_is_undone(void **state)
{
    (void)state;
    struct world w;

    for (unsigned frames = 2; frames < 20; frames++) {
        world_new(&w, frames, 4096);
        uint64_t left = vm_sim_free_frames(&w.memory);
        struct vm_sim_varea *area = vm_sim_vmalloc(&w.areas, 16 * PAGE);
        assert_true(check(&w));
        assert_true(!area == (frames < 18)); /* 16, the top table, and one below it */
        assert_int_equal(vm_sim_free_frames(&w.memory), area ? left - 17 : left);
        assert_null(vm_sim_vmalloc(&w.areas, 4000 * PAGE));
        world_free(&w);
    }
}

#define PAGES 200
#define AREAS 40
static void random_requests(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static uint8_t map[PAGES]; /* 1: a page, or a guard */
    struct vm_sim_varea *area[AREAS] = {NULL};
    unsigned refused = 0;
    struct world w;

    world_new(&w, 120, PAGES);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)below(&seed, AREAS), run = 0, fit = PAGES;
        if (area[i]) {
            memset(map + (area[i]->start - START) / PAGE, 0, area[i]->bytes / PAGE + 1);
            vm_sim_vfree(&w.areas, area[i]);
            area[i] = NULL;
        } else {
            unsigned pages = 1 + (unsigned)below(&seed, 12);
            for (unsigned k = 0; k < PAGES && fit == PAGES; k++) {
                run = map[k] ? 0 : run + 1;
                fit = run == pages + 1 ? k - pages : PAGES;
            }
            uint64_t had = vm_sim_free_frames(&w.memory);
            area[i] = vm_sim_vmalloc(&w.areas, pages * PAGE - below(&seed, PAGE));
            CHECK(area[i] ? fit < PAGES && area[i]->start == START + fit * PAGE : fit == PAGES || had < pages + 1);
            refused += !area[i];
            if (area[i])
                memset(map + fit, 1, pages + 1);
        }
        CHECK(check(&w));
    }
    CHECK(refused > 100);
    world_free(&w);
}

#define WITH_FAULT(what, value) \
    do { \
        typeof(what) was = (what); \
        (what) = (value); \
        assert_false(vm_sim_vmareas_check(&w.areas)); \
        (what) = was; \
        assert_true(vm_sim_vmareas_check(&w.areas)); \
    } while (0)

static void check_finds_faults(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 256, 64);
    struct vm_sim_varea *a = vm_sim_vmalloc(&w.areas, 2 * PAGE), *b = vm_sim_vmalloc(&w.areas, 3 * PAGE);
    WITH_FAULT(w.areas.areas, 1u);
    WITH_FAULT(w.areas.pages, 6u);
    WITH_FAULT(w.areas.end, START + 6 * PAGE);
    WITH_FAULT(a->bytes, 3 * PAGE);
    WITH_FAULT(a->bytes, PAGE);
    WITH_FAULT(b->start, a->start + PAGE);
    WITH_FAULT(b->frame[1], b->frame[2]);
    WITH_FAULT(vm_sim_pfn_frame(&w.memory.map, b->frame[0])->count, 2u);
    WITH_FAULT(vm_sim_pfn_frame(&w.memory.map, b->frame[0])->kind, VM_SIM_FRAME_ANON);
    WITH_FAULT(*vm_sim_pt_find(w.kernel, VM_SIM_LINEAR(b->start), NULL), 0u);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_fit_and_guards),
        cmocka_unit_test(scattered_frames),
        cmocka_unit_test(highmem_first),
        cmocka_unit_test(shortage_is_undone),
        cmocka_unit_test(random_requests),
        cmocka_unit_test(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
