/* Unit tests of src/sim/linux012 (row 24): 64 processes of 64 MiB in one page directory, segments, frames from the top of
   the byte map, swapping out by a scan of the tables.  Run by `make check`. */
#include "sim.h"

#define MIB64 ((uint64_t)64 << 20)

static void address_spaces(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("linux-0.12");
    struct vm_sim_process *p[63];

    for (unsigned i = 0; i < 63; i++) { /* process 0 is the kernel's */
        p[i] = vm_sim_process_new(m, "p");
        assert_non_null(p[i]);
        assert_int_equal(p[i]->context.slot, i + 1);
        assert_int_equal(p[i]->mm->base, (i + 1) * MIB64);
        assert_ptr_equal(p[i]->mm->pt, p[0]->mm->pt);
    }
    assert_null(vm_sim_process_new(m, "one too many"));
    struct vm_sim_translation t;
    struct vm_sim_ref r = {.offset = MIB64 - 0x1234, .process = 7, .access = VM_SIM_WRITE, .bytes = 4};
    assert_int_equal(vm_sim_ref(m, r, &t), 0);
    assert_int_equal(t.logical.offset, MIB64 - 0x1234);
    assert_int_equal(t.linear.at, 7 * MIB64 + MIB64 - 0x1234);
    r.offset = MIB64 - 2; /* beyond the limit of the segment: general protection, not a page fault */
    uint64_t faults = m->cpu.page_faults;
    assert_int_equal(vm_sim_ref(m, r, &t), -EFAULT);
    assert_int_equal(m->cpu.page_faults, faults);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

static void frames_from_the_top(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("linux-0.12");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    vm_sim_pfn top = m->memory.map.frames - 1;

    assert_int_equal(m->linux012.map[top], 1); /* the page directory, and tables of the kernel */
    while (m->linux012.map[top])
        top--;
    top++;
    uint64_t at = map_area(m, p, 4) - p->mm->base;
    touch_pages(m, p, at, 3, VM_SIM_WRITE);
    assert_int_equal(vm_sim_pte_frame(entry_at(p, p->mm->base + at)), top - 1);
    assert_int_equal(m->linux012.map[top - 2], 1); /* its table */
    assert_int_equal(vm_sim_pte_frame(entry_at(p, p->mm->base + at + PAGE)), top - 3);
    vm_sim_munmap(m, p->mm, p->mm->base + at, PAGE);
    touch_pages(m, p, at + 3 * PAGE, 1, VM_SIM_WRITE);
    assert_int_equal(vm_sim_pte_frame(entry_at(p, p->mm->base + at + 3 * PAGE)), top - 1); /* the highest free one */
    assert_int_equal(m->linux012.map[0xa0], VM_SIM_012_USED); /* the hole of the BIOS */
    vm_sim_machine_free(m);
}

static void forks(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("linux-0.12");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 1100) - p->mm->base;
    struct vm_sim_fork_cost cost;

    touch_pages(m, p, at, 1100, VM_SIM_WRITE);
    struct vm_sim_process *child = vm_sim_fork(m, p, &cost);
    CHECK_MACHINE(m);
    assert_int_equal(cost.entries, 1100);
    assert_int_equal(cost.tables_copied, 2);
    assert_int_equal(vm_sim_pte_frame(entry_at(child, child->mm->base + at)), vm_sim_pte_frame(entry_at(p, p->mm->base + at)));
    listen_to(m, 1u << VM_SIM_EV_PAGE_IN);
    touch_pages(m, child, at, 1, VM_SIM_WRITE);
    touch_pages(m, p, at, 1, VM_SIM_WRITE);
    assert_string_equal(heard.text, "cow-copy cow-reuse ");
    vm_sim_exit(m, p, 0);
    CHECK_MACHINE(m);
    assert_int_equal(touch_pages(m, child, at, 1100, VM_SIM_WRITE), 1100);
    vm_sim_machine_free(m);
}

/* More pages than frames: the scan goes through the tables of all, in order of address, and comes round. */
static void swapping(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("linux-0.12", "memory=2M", "swap=none", "swap=4M");
    struct vm_sim_process *a = vm_sim_process_new(m, "a"), *b = vm_sim_process_new(m, "b");
    uint64_t at = map_area(m, a, 300) - a->mm->base, there = map_area(m, b, 300) - b->mm->base;

    assert_int_equal(touch_pages(m, a, at, 300, VM_SIM_WRITE), 300);
    assert_int_equal(m->linux012.swapped_out, 0);
    assert_int_equal(touch_pages(m, b, there, 300, VM_SIM_WRITE), 300);
    assert_true(m->linux012.swapped_out > 0);
    assert_int_equal(a->mm->swapped + b->mm->swapped, m->linux012.swapped_out);
    assert_true(vm_sim_pte_is_swap(entry_at(a, a->mm->base + at))); /* the first one of all */
    assert_int_equal(touch_pages(m, a, at, 300, VM_SIM_READ), 300);
    assert_true(a->mm->maj_faults > 0);
    CHECK_MACHINE(m);
    m->linux012.map[m->memory.map.frames - 1] = 0;
    assert_false(vm_sim_012_check(m));
    m->linux012.map[m->memory.map.frames - 1] = 1;
    vm_sim_machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_spaces),
        cmocka_unit_test(frames_from_the_top),
        cmocka_unit_test(forks),
        cmocka_unit_test(swapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
