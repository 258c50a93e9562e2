/* Unit tests of src/sim/reclaim and src/sim/lru (rows 31 to 33): page kinds and what is done with each, the policies in a
   machine against the same ones on bare page numbers, kswapd between low and high, direct reclaim at min, thrashing.  Run
   by `make check`.  SEED sets the seed. */
#include "sim.h"

static void page_kinds(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M", "swap=none", "swap=1M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_file *f = vm_sim_file_open(m, "f", 4 * PAGE);
    uint64_t at = map_area(m, p, 4), file, locked;

    vm_sim_mmap(m, p->mm, 0, 4 * PAGE, RW, VM_SIM_VMA_SHARED, VM_SIM_FILE, f, 0, &file);
    vm_sim_mmap(m, p->mm, 0, PAGE, RW, VM_SIM_VMA_LOCKED, VM_SIM_MMAP, NULL, 0, &locked);
    touch_pages(m, p, at, 2, VM_SIM_WRITE);
    touch_pages(m, p, file, 1, VM_SIM_READ);
    touch_pages(m, p, file + PAGE, 1, VM_SIM_WRITE);
    touch_pages(m, p, locked, 1, VM_SIM_WRITE);
    vm_sim_pfn anonymous = vm_sim_pte_frame(entry_at(p, at)), table = vm_sim_pt_top(p->mm->pt);
    vm_sim_pfn keep = vm_sim_pte_frame(entry_at(p, locked));
    assert_int_equal(vm_sim_page_kind(m, anonymous), VM_SIM_SWAPPABLE);
    assert_int_equal(vm_sim_page_kind(m, f->cached[0]), VM_SIM_DISCARDABLE);
    assert_int_equal(vm_sim_page_kind(m, f->cached[1]), VM_SIM_SYNCABLE);
    assert_int_equal(vm_sim_page_kind(m, table), VM_SIM_UNRECLAIMABLE);
    assert_int_equal(vm_sim_page_kind(m, keep), VM_SIM_UNRECLAIMABLE);

    listen_to(m, 1u << VM_SIM_EV_PAGE_OUT);
    assert_true(vm_sim_reclaim_page(m, anonymous));
    assert_true(vm_sim_reclaim_page(m, f->cached[0]));
    assert_true(vm_sim_reclaim_page(m, f->cached[1]));
    assert_false(vm_sim_reclaim_page(m, keep));
    CHECK_MACHINE(m);
    assert_string_equal(heard.text, "swap drop write-back ");
    assert_int_equal(f->writes, 1);
    assert_int_equal(m->swaps.area[0].writes, 1);
    /* Read back and not written to: it stays in the swap cache, and goes without being written. */
    touch_pages(m, p, at, 1, VM_SIM_READ);
    anonymous = vm_sim_pte_frame(entry_at(p, at));
    assert_int_equal(vm_sim_page_kind(m, anonymous), VM_SIM_DISCARDABLE);
    assert_true(vm_sim_reclaim_page(m, anonymous));
    assert_int_equal(m->swaps.area[0].writes, 1);
    touch_pages(m, p, at, 1, VM_SIM_READ);
    touch_pages(m, p, at, 1, VM_SIM_WRITE); /* now the slot is old: given back */
    assert_int_equal(m->swaps.area[0].used, 0);
    assert_int_equal(m->reclaim.counts.refaults, 2);
    touch_pages(m, p, file, 2, VM_SIM_READ);
    assert_int_equal(m->reclaim.counts.refaults, 4);
    assert_int_equal(f->reads, 4);
    vm_sim_machine_free(m);
}

/* A machine that has `frames` frames for the pages of one process, its tables in place: what else is free is taken. */
static struct vm_sim_machine *small(const char *policy, unsigned frames, uint64_t pages, struct vm_sim_process **p,
                                    uint64_t *at)
{
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=2M", "reserved=none", "swap=none", "swap=4M",
                                       "watermarks=1 2 3", policy);

    *p = vm_sim_process_new(m, "p");
    *at = map_area(m, *p, pages);
    touch(m, *p, *at, VM_SIM_WRITE); /* makes the tables */
    vm_sim_zap(m, (*p)->mm, *at, *at + PAGE);
    touch(m, *p, *at + (pages - 1) * PAGE, VM_SIM_WRITE); /* and keeps them */
    while (vm_sim_free_frames(&m->memory) > frames + 1) /* min is 1 */
        CHECK(vm_sim_alloc_pages(&m->memory, VM_SIM_GFP_ATOMIC, 0, VM_SIM_FRAME_KERNEL) != VM_SIM_NO_FRAME);
    vm_sim_pfn keeper = vm_sim_pte_frame(entry_at(*p, *at + (pages - 1) * PAGE));
    vm_sim_lru_remove(m, keeper);
    m->memory.map.frame[keeper].flags |= VM_SIM_FRAME_LOCKED;
    CHECK_MACHINE(m);
    return m;
}

/* Page faults of a string of pages, all written, by direct reclaim alone. */
static uint64_t faults_of(const char *policy, unsigned frames, const uint64_t *page, size_t n, uint64_t pages)
{
    struct vm_sim_process *p;
    uint64_t at;
    struct vm_sim_machine *m = small(policy, frames, pages + 1, &p, &at);
    uint64_t before = p->mm->min_faults + p->mm->maj_faults;

    for (size_t i = 0; i < n; i++) {
        m->reclaim.kswapd_awake = true; /* it stays out of this: the hook wakes it once only */
        struct vm_sim_ref r = {.offset = at + page[i] * PAGE, .process = p->context.slot, .access = VM_SIM_WRITE, .bytes = 1};
        CHECK(vm_sim_cpu_ref(&m->cpu, r, NULL) == 0);
        if (i % 50 == 0)
            CHECK_MACHINE(m);
    }
    CHECK_MACHINE(m);
    uint64_t faults = p->mm->min_faults + p->mm->maj_faults - before;
    vm_sim_machine_free(m);
    return faults;
}

/* Belady's anomaly in the whole machine: three and four frames. */
static void beladys_anomaly(void **state)
{
    (void)state;
    static const uint64_t page[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};

    assert_int_equal(faults_of("policy=fifo", 3, page, 12, 6), 9);
    assert_int_equal(faults_of("policy=fifo", 4, page, 12, 6), 10);
    assert_int_equal(faults_of("policy=lru", 3, page, 12, 6), 10);
    assert_int_equal(faults_of("policy=lru", 4, page, 12, 6), 8);
}

/* Random strings: page frames and page numbers fault alike. */
static void policies_agree(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        enum vm_sim_page_policy policy;
    } which[] = {{"policy=fifo", VM_SIM_FIFO}, {"policy=clock", VM_SIM_CLOCK}, {"policy=lru", VM_SIM_LRU}};
    uint64_t seed = unit_seed(), page[400];

    for (unsigned round = 0; round < 12; round++) {
        unsigned frames = 2 + (unsigned)below(&seed, 20);
        for (unsigned i = 0; i < 400; i++)
            page[i] = one_in(&seed, 3) ? below(&seed, 40) : below(&seed, 12);
        for (unsigned w = 0; w < 3; w++)
            assert_int_equal(faults_of(which[w].set, frames, page, 400, 40),
                             vm_sim_policy_count(which[w].policy, page, 400, frames));
    }
}

/* Two lists: what is used again and again survives a pass over a large file; under FIFO it does not. */
static void two_lists(void **state)
{
    (void)state;
    static const char *const policy[] = {"policy=two-list", "policy=fifo"};
    uint64_t majors[2];

    for (unsigned k = 0; k < 2; k++) {
        struct vm_sim_machine *m = MACHINE("x86_64", "memory=4M", "swap=none", "swap=8M", policy[k]);
        struct vm_sim_process *p = vm_sim_process_new(m, "p");
        struct vm_sim_file *f = vm_sim_file_open(m, "large", 8000 * PAGE);
        uint64_t hot = map_area(m, p, 100), file;
        vm_sim_mmap(m, p->mm, 0, 8000 * PAGE, VM_SIM_R, 0, VM_SIM_FILE, f, 0, &file);
        for (unsigned i = 0; i < 8000; i++) {
            touch(m, p, file + i * PAGE, VM_SIM_READ);
            for (unsigned j = 0; j < 10; j++)
                touch(m, p, hot + (i * 10 + j) % 100 * PAGE, VM_SIM_WRITE);
        }
        CHECK_MACHINE(m);
        majors[k] = p->mm->maj_faults - 8000;
        assert_true(m->reclaim.counts.dropped > 7000);
        vm_sim_machine_free(m);
    }
    assert_true(majors[0] * 10 < majors[1]);
}

static void kswapd(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=4M", "reserved=none", "swap=none", "swap=8M", "watermarks=20 40 80");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_zone *z = &m->memory.zone[VM_SIM_ZONE_DMA];
    uint64_t at = map_area(m, p, 2000), lowest = UINT64_MAX, woken = 0;

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t wakes = m->reclaim.counts.kswapd_wakes;
        assert_int_equal(touch(m, p, at + i * PAGE, VM_SIM_WRITE), 0);
        lowest = vm_min(lowest, z->buddy.free);
        if (m->reclaim.counts.kswapd_wakes != wakes) {
            assert_true(z->buddy.free > z->high); /* stopped above high */
            woken++;
        }
    }
    CHECK_MACHINE(m);
    assert_true(woken > 10 && lowest >= 39); /* woken at low, never near min */
    assert_int_equal(m->reclaim.counts.direct_runs, 0);
    assert_true(m->reclaim.counts.kswapd_frames >= woken * 40);
    assert_true(p->mm->swapped > 900);
    vm_sim_machine_free(m);
}

/* One request after another without kswapd's turn: the process reclaims itself, at min. */
static void direct_reclaim(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=4M", "reserved=none", "swap=none", "swap=8M", "watermarks=20 40 80");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 1500);

    for (unsigned i = 0; i < 1500; i++) {
        struct vm_sim_ref r = {.offset = at + i * PAGE, .process = p->context.slot, .access = VM_SIM_WRITE, .bytes = 1};
        assert_int_equal(vm_sim_cpu_ref(&m->cpu, r, NULL), 0);
        assert_true(vm_sim_free_frames(&m->memory) >= 19); /* a table may go below min */
    }
    CHECK_MACHINE(m);
    assert_int_equal(m->reclaim.counts.kswapd_wakes, 1);
    assert_true(m->reclaim.counts.direct_frames > 500);
    vm_sim_kswapd(m);
    assert_true(vm_sim_free_frames(&m->memory) > 80);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* Nothing can go: it tries sixteen times, not at every fault. */
static void kswapd_gives_up(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=4M", "reserved=none", "swap=none", "watermarks=20 200 300");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_file *f = vm_sim_file_open(m, "f", 4 * PAGE);
    uint64_t at = map_area(m, p, 950), file;

    assert_int_equal(touch_pages(m, p, at, 950, VM_SIM_WRITE), 950);
    assert_int_equal(m->reclaim.counts.kswapd_wakes, VM_SIM_KSWAPD_FAILURES);
    assert_int_equal(m->reclaim.counts.kswapd_frames, 0);
    vm_sim_mmap(m, p->mm, 0, 4 * PAGE, VM_SIM_R, 0, VM_SIM_FILE, f, 0, &file);
    touch_pages(m, p, file, 4, VM_SIM_READ);
    vm_sim_munmap(m, p->mm, file, 4 * PAGE);
    assert_int_equal(vm_sim_reclaim_frames(m, VM_SIM_ZONE_HIGHMEM, 1), 1);
    touch_pages(m, p, p->mm->layout.stack_top - PAGE, 1, VM_SIM_WRITE); /* hope again */
    assert_int_equal(m->reclaim.counts.kswapd_frames, 3);
    vm_sim_machine_free(m);
}

/* Files whose pages nobody maps go first, whatever their age. */
static void unmapped_first(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=4M", "policy=fifo");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_file *f = vm_sim_file_open(m, "f", 20 * PAGE);
    uint64_t at = map_area(m, p, 20), file;

    vm_sim_mmap(m, p->mm, 0, 20 * PAGE, VM_SIM_R, 0, VM_SIM_FILE, f, 0, &file);
    touch_pages(m, p, at, 20, VM_SIM_WRITE);
    touch_pages(m, p, file, 20, VM_SIM_READ);
    vm_sim_munmap(m, p->mm, file, 20 * PAGE);
    assert_int_equal(f->cached_pages, 20);
    assert_int_equal(vm_sim_reclaim_frames(m, VM_SIM_ZONE_HIGHMEM, 12), 12);
    CHECK_MACHINE(m);
    assert_int_equal(f->cached_pages, 8);
    assert_int_equal(vm_sim_reclaim_frames(m, VM_SIM_ZONE_HIGHMEM, 12), 12);
    assert_int_equal(f->cached_pages, 0);
    assert_int_equal(p->mm->swapped, 4);
    vm_sim_machine_free(m);
}

/* Less and less memory for one working set: faults stay few until it does not fit, then they are most references. */
static void thrashing(void **state)
{
    (void)state;
    uint64_t seed = unit_seed(), page[400], before = 0;

    for (unsigned i = 0; i < 400; i++)
        page[i] = below(&seed, 30);
    for (int frames = 36; frames >= 4; frames -= 8) {
        uint64_t faults = faults_of("policy=lru", (unsigned)frames, page, 400, 30);
        assert_true(faults >= before);
        assert_true(frames < 30 || faults == 30);
        before = faults;
    }
    assert_true(before > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_kinds), cmocka_unit_test(beladys_anomaly), cmocka_unit_test(policies_agree),
        cmocka_unit_test(two_lists),  cmocka_unit_test(kswapd),          cmocka_unit_test(direct_reclaim),
        cmocka_unit_test(kswapd_gives_up), cmocka_unit_test(unmapped_first), cmocka_unit_test(thrashing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
