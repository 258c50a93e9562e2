/* Unit tests of src/sim/process (rows 24, 26, 29): fork and copy-on-write with exact counts, against what a kernel does
   with the same writes; swapped pages at fork; failure in the middle; exit; the list of descriptors.  Run by `make check`. */
#include "sim.h"

#include <sys/mman.h>

static uint64_t anonymous_copies(const struct vm_sim_process *p) { return p->mm->rss_anon; }

static void counts(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_fork_cost cost;
    uint64_t at = map_area(m, p, 100);

    assert_int_equal(touch_pages(m, p, at, 100, VM_SIM_WRITE), 100);
    uint64_t free = vm_sim_free_frames(&m->memory);
    struct vm_sim_process *child = vm_sim_fork(m, p, &cost);
    CHECK_MACHINE(m);
    assert_int_equal(cost.entries, 100);
    assert_int_equal(cost.protected_, 100);
    assert_int_equal(cost.shared, 100);
    assert_int_equal(cost.swapped, 0);
    assert_int_equal(cost.tables_copied, 4);
    assert_int_equal(free - vm_sim_free_frames(&m->memory), 4); /* tables, no page */
    assert_int_equal(child->mm->rss, 100);
    assert_int_equal(m->memory.map.frame[vm_sim_pte_frame(entry_at(p, at))].mapcount, 2);
    assert_int_equal(entry_at(p, at) & VM_SIM_PTE_W, 0);
    assert_int_equal(entry_at(child, at) & (VM_SIM_PTE_W | VM_SIM_PTE_COW), VM_SIM_PTE_COW);

    listen_to(m, 1u << VM_SIM_EV_PAGE_IN);
    assert_int_equal(touch_pages(m, child, at, 100, VM_SIM_READ), 100); /* reading copies nothing */
    assert_string_equal(heard.text, "");
    free = vm_sim_free_frames(&m->memory);
    assert_int_equal(touch_pages(m, child, at, 30, VM_SIM_WRITE), 30);
    assert_int_equal(free - vm_sim_free_frames(&m->memory), 30);
    assert_int_equal(child->mm->min_faults, 30);
    heard.length = 0;
    assert_int_equal(touch_pages(m, p, at, 2, VM_SIM_WRITE), 2); /* the count is one: taken back */
    assert_string_equal(heard.text, "cow-reuse cow-reuse ");
    heard.length = 0;
    assert_int_equal(touch_pages(m, p, at + 30 * PAGE, 1, VM_SIM_WRITE), 1); /* still shared */
    assert_string_equal(heard.text, "cow-copy ");
    assert_int_equal(free - vm_sim_free_frames(&m->memory), 31);
    assert_int_equal(touch_pages(m, child, at + 30 * PAGE, 1, VM_SIM_WRITE), 1);
    assert_int_equal(free - vm_sim_free_frames(&m->memory), 31);
    assert_int_equal(vm_sim_exit(m, child, 0), 31 + 4);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* Shared mappings stay shared, private file pages that were not written are left to faults, as in Linux. */
static void kinds_of_areas(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_file *f = vm_sim_file_open(m, "f", 10 * PAGE);
    struct vm_sim_fork_cost cost;
    uint64_t shared, file, memory;

    vm_sim_mmap(m, p->mm, 0, 10 * PAGE, RW, VM_SIM_VMA_SHARED, VM_SIM_FILE, f, 0, &shared);
    vm_sim_mmap(m, p->mm, 0, 10 * PAGE, VM_SIM_R, 0, VM_SIM_FILE, f, 0, &file);
    vm_sim_mmap(m, p->mm, 0, 10 * PAGE, RW, VM_SIM_VMA_SHARED, VM_SIM_MMAP, NULL, 0, &memory);
    touch_pages(m, p, shared, 10, VM_SIM_WRITE);
    touch_pages(m, p, file, 10, VM_SIM_READ);
    touch_pages(m, p, memory, 5, VM_SIM_WRITE);
    struct vm_sim_process *child = vm_sim_fork(m, p, &cost);
    CHECK_MACHINE(m);
    assert_int_equal(cost.entries, 0);
    assert_int_equal(child->mm->total_vm, p->mm->total_vm);
    uint64_t free = vm_sim_free_frames(&m->memory);
    touch_pages(m, child, memory, 5, VM_SIM_WRITE);
    touch_pages(m, child, shared, 10, VM_SIM_WRITE);
    touch_pages(m, child, file, 10, VM_SIM_READ);
    assert_int_equal(free - vm_sim_free_frames(&m->memory), 3); /* tables alone */
    assert_int_equal(vm_sim_pte_frame(entry_at(child, memory)), vm_sim_pte_frame(entry_at(p, memory)));
    assert_int_equal(child->mm->maj_faults, 0);
    assert_int_equal(anonymous_copies(child), 0);
    vm_sim_machine_free(m);
}

/* A chain of generations: the last user of a page takes it. */
static void generations(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p[8];

    p[0] = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p[0], 16);
    touch_pages(m, p[0], at, 16, VM_SIM_WRITE);
    for (unsigned i = 1; i < 8; i++)
        p[i] = vm_sim_fork(m, p[i - 1], NULL);
    CHECK_MACHINE(m);
    vm_sim_pfn frame = vm_sim_pte_frame(entry_at(p[7], at));
    assert_int_equal(m->memory.map.frame[frame].mapcount, 8);
    for (unsigned i = 0; i < 7; i++) {
        vm_sim_exit(m, p[i], 0);
        CHECK_MACHINE(m);
    }
    listen_to(m, 1u << VM_SIM_EV_PAGE_IN);
    touch_pages(m, p[7], at, 2, VM_SIM_WRITE);
    assert_string_equal(heard.text, "cow-reuse cow-reuse ");
    assert_int_equal(vm_sim_pte_frame(entry_at(p[7], at)), frame);
    vm_sim_machine_free(m);
}

/* Pages that are out: the slot's count rises; the first one back reads, the second finds it in the swap cache. */
static void swapped_pages(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M", "swap=none", "swap=1M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_fork_cost cost;
    uint64_t at = map_area(m, p, 4);

    touch_pages(m, p, at, 4, VM_SIM_WRITE);
    for (unsigned i = 0; i < 4; i++)
        assert_true(vm_sim_reclaim_page(m, vm_sim_pte_frame(entry_at(p, at + i * PAGE))));
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->swapped, 4);
    struct vm_sim_process *child = vm_sim_fork(m, p, &cost);
    CHECK_MACHINE(m);
    assert_int_equal(cost.swapped, 4);
    assert_int_equal(cost.entries, 0);
    assert_int_equal(vm_sim_swap_count(&m->swaps, entry_at(p, at)), 2);
    touch_pages(m, child, at, 1, VM_SIM_READ); /* major: read */
    touch_pages(m, p, at, 1, VM_SIM_READ);     /* minor: in the swap cache */
    assert_int_equal(child->mm->maj_faults, 1);
    assert_int_equal(p->mm->maj_faults, 0);
    assert_int_equal(vm_sim_pte_frame(entry_at(child, at)), vm_sim_pte_frame(entry_at(p, at)));
    assert_int_equal(m->swaps.area[0].reads, 1);
    touch_pages(m, child, at, 1, VM_SIM_WRITE); /* two have it: a copy */
    assert_int_not_equal(vm_sim_pte_frame(entry_at(child, at)), vm_sim_pte_frame(entry_at(p, at)));
    touch_pages(m, child, at + PAGE, 1, VM_SIM_WRITE); /* the parent's slot stays */
    assert_int_equal(p->mm->swapped, 3);
    vm_sim_exit(m, p, 0);
    CHECK_MACHINE(m);
    touch_pages(m, child, at + 2 * PAGE, 1, VM_SIM_WRITE); /* alone: taken, the slot is free */
    assert_int_equal(m->swaps.area[0].used, 1);
    vm_sim_exit(m, child, 0);
    CHECK_MACHINE(m);
    assert_int_equal(m->swaps.area[0].used, 0);
    vm_sim_machine_free(m);
}

/* No memory for the tables in the middle: as if it had not been. */
static void failure(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=8M", "swap=none");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 1 << 20), wanted = 0;
    unsigned children = 0;

    for (unsigned i = 0; i < 100; i++)
        wanted += touch(m, p, at + i * 512 * PAGE, VM_SIM_WRITE) == 0; /* a table for every page */
    assert_int_equal(wanted, 100);
    CHECK_MACHINE(m);
    uint64_t free = 0;
    for (;;) {
        free = vm_sim_free_frames(&m->memory);
        if (!vm_sim_fork(m, p, NULL))
            break;
        children++;
        CHECK_MACHINE(m);
    }
    assert_true(children > 3);
    CHECK_MACHINE(m);
    assert_int_equal(vm_sim_free_frames(&m->memory), free);
    vm_sim_machine_free(m);
}

static void slots_and_pids(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M", "processes=3");
    struct vm_sim_process *a = vm_sim_process_new(m, "a"), *b = vm_sim_process_new(m, "b"), *c = vm_sim_fork(m, a, NULL);

    assert_int_equal(c->context.pid, 3);
    assert_ptr_equal(c->parent, a);
    assert_null(vm_sim_process_new(m, "d"));
    assert_null(vm_sim_fork(m, a, NULL));
    vm_sim_exit(m, b, 9);
    struct vm_sim_process *d = vm_sim_process_new(m, "d");
    assert_int_equal(d->context.slot, b->context.slot); /* free again */
    assert_int_equal(d->context.pid, 4);
    assert_ptr_equal(vm_sim_process_by_pid(m, 2), b); /* exited, but known */
    assert_int_equal(b->signal, 9);
    assert_ptr_equal(vm_sim_process_by_name(m, "a"), c);
    unsigned mms = 0;
    for (struct vm_list *l = m->mms.next; l != &m->mms; l = l->next)
        mms++;
    assert_int_equal(mms, 3); /* all descriptors are on one list */
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* The whole address space: what fork copies of large pages. */
static void large_pages(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M", "page=2M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_fork_cost cost;
    uint64_t at = map_area(m, p, 1024);

    touch_pages(m, p, at, 1, VM_SIM_WRITE);
    touch_pages(m, p, at + 512 * PAGE, 1, VM_SIM_WRITE);
    struct vm_sim_process *child = vm_sim_fork(m, p, &cost);
    CHECK_MACHINE(m);
    assert_int_equal(cost.entries, 2);
    uint64_t free = vm_sim_free_frames(&m->memory);
    touch_pages(m, child, at + 7 * PAGE, 1, VM_SIM_WRITE);
    assert_int_equal(free - vm_sim_free_frames(&m->memory), 512); /* a whole one is copied */
    assert_int_equal(vm_sim_munmap(m, p->mm, at + 600 * PAGE, 8 * PAGE), 0); /* splits a shared one, in both */
    CHECK_MACHINE(m);
    assert_int_equal(vm_sim_pt_stats(child->mm->pt).leaves[0], 512);
    vm_sim_exit(m, child, 0);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* ---- A real fork ---- */

struct sharing { /* pages of an area, as smaps has them */
    unsigned long shared, private;
};

static bool real_sharing(const void *area, struct sharing *out)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long start, kib;
    bool inside = false, found = false;

    *out = (struct sharing){0, 0};
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%*x ", &start) == 1 && strchr(line, '-'))
            inside = start == (unsigned long)area;
        if (inside && sscanf(line, "Shared_Dirty: %lu", &kib) == 1)
            found = true, out->shared = kib / 4;
        if (inside && sscanf(line, "Private_Dirty: %lu", &kib) == 1)
            out->private = kib / 4;
    }
    if (f)
        fclose(f);
    return found;
}

static struct sharing simulated_sharing(struct vm_sim_machine *m, const struct vm_sim_process *p, uint64_t at, unsigned pages)
{
    struct sharing s = {0, 0};

    for (unsigned i = 0; i < pages; i++)
        ++*(m->memory.map.frame[vm_sim_pte_frame(entry_at(p, at + i * PAGE))].mapcount > 1 ? &s.shared : &s.private);
    return s;
}

/* The same area, the same writes, here and there: 100 pages; the child writes to 30, the parent to 20 of them and 10
   others. */
static void as_this_kernel(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 100);
    /* A guard page on each side, so that the area is one of its own. */
    unsigned char *area = mmap(NULL, 102 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sharing real[4], simulated[4];
    int go[2], come[2];

    assert_ptr_not_equal(area, MAP_FAILED);
    area += PAGE;
    assert_int_equal(mprotect(area, 100 * PAGE, PROT_READ | PROT_WRITE), 0);
    madvise(area, 100 * PAGE, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < 100; i++)
        area[i * PAGE] = 1;
    if (!real_sharing(area, &real[0]) || real[0].private != 100) {
        vm_sim_machine_free(m);
        skip(); /* no smaps here */
    }
    assert_true(pipe(go) == 0 && pipe(come) == 0);
    pid_t child = fork();
    if (child == 0) {
        char c;
        struct sharing s;
        for (unsigned i = 0; i < 30; i++)
            area[i * PAGE] = 2;
        real_sharing(area, &s);
        if (write(come[1], &s, sizeof s) != sizeof s || read(go[0], &c, 1) != 1)
            _exit(1);
        real_sharing(area, &s);
        _exit(write(come[1], &s, sizeof s) != sizeof s);
    }
    assert_int_equal(read(come[0], &real[1], sizeof real[1]), sizeof real[1]);
    for (unsigned i = 10; i < 40; i++)
        area[i * PAGE] = 3;
    real_sharing(area, &real[2]);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(read(come[0], &real[3], sizeof real[3]), sizeof real[3]);
    assert_int_equal(waitpid(child, NULL, 0), child);

    touch_pages(m, p, at, 100, VM_SIM_WRITE);
    simulated[0] = simulated_sharing(m, p, at, 100);
    struct vm_sim_process *q = vm_sim_fork(m, p, NULL);
    touch_pages(m, q, at, 30, VM_SIM_WRITE);
    simulated[1] = simulated_sharing(m, q, at, 100);
    touch_pages(m, p, at + 10 * PAGE, 30, VM_SIM_WRITE);
    simulated[2] = simulated_sharing(m, p, at, 100);
    simulated[3] = simulated_sharing(m, q, at, 100);
    for (unsigned i = 0; i < 4; i++) {
        printf("shared %lu private %lu\n", real[i].shared, real[i].private);
        assert_int_equal(real[i].shared, simulated[i].shared);
        assert_int_equal(real[i].private, simulated[i].private);
    }
    close(go[0]), close(go[1]), close(come[0]), close(come[1]);
    munmap(area - PAGE, 102 * PAGE);
    vm_sim_machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),  cmocka_unit_test(kinds_of_areas), cmocka_unit_test(generations),
        cmocka_unit_test(swapped_pages), cmocka_unit_test(failure), cmocka_unit_test(slots_and_pids),
        cmocka_unit_test(large_pages), cmocka_unit_test(as_this_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
