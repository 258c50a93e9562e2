/* Unit tests of src/sim/mm (rows 24, 26, 27): the places of 32 and 64 bits, brk, mmap, munmap, mprotect, malloc's border.
   Run by `make check`. */
#include "sim.h"

static void layouts(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("i386-2level");
    struct vm_sim_process *p = vm_sim_process_new(m, "p"), *q = vm_sim_process_new(m, "q");
    uint64_t at;

    assert_int_equal(p->mm->layout.text, 0x08048000);
    assert_int_equal(p->mm->layout.stack_top, 0xc0000000);
    assert_int_equal(p->mm->layout.task_size, 0xc0000000);
    assert_int_equal(map_area(m, p, 3), 0x40000000); /* up */
    vm_sim_mmap(m, p->mm, 0, PAGE, VM_SIM_R, 0, VM_SIM_MMAP, NULL, 0, &at);
    assert_int_equal(at, 0x40003000);
    assert_int_equal(map_area(m, q, 1), 0x40000000); /* everyone's own */
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);

    m = MACHINE("x86_64");
    p = vm_sim_process_new(m, "p");
    assert_int_equal(p->mm->layout.text, 0x400000);
    assert_int_equal(p->mm->layout.stack_top, 0x7ffffffff000);
    assert_int_equal(map_area(m, p, 3), 0x7ffff7fff000 - 3 * PAGE); /* down */
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* The kernel's half is one and the same: a page mapped there is seen by all, and is no user's. */
static void kernel_half(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("i386-pae");
    struct vm_sim_process *p = vm_sim_process_new(m, "p"), *q = vm_sim_process_new(m, "q");
    struct vm_sim_varea *a = vm_sim_vmalloc(&m->vmareas, 3 * PAGE);

    assert_non_null(a);
    vm_sim_pte *e = vm_sim_pt_find(p->mm->pt, VM_SIM_LINEAR(a->start), NULL);
    assert_non_null(e);
    assert_ptr_equal(e, vm_sim_pt_find(q->mm->pt, VM_SIM_LINEAR(a->start), NULL));
    assert_int_equal(touch(m, p, a->start, VM_SIM_READ), -EFAULT);
    assert_int_equal(p->signal, 11);
    vm_sim_vfree(&m->vmareas, a);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

static void heap(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t start = p->mm->start_brk, areas = p->mm->vma_count, at;

    assert_int_equal(vm_sim_brk(m, p->mm, start - 1), -EINVAL);
    assert_int_equal(vm_sim_brk(m, p->mm, start + 100), 0);
    assert_int_equal(vm_sim_brk(m, p->mm, start + 10 * PAGE), 0);
    assert_int_equal(p->mm->vma_count, areas + 1); /* one area, that grows */
    assert_int_equal(touch_pages(m, p, start, 10, VM_SIM_WRITE), 10);
    assert_int_equal(vm_sim_pte_region(entry_at(p, start)), VM_SIM_HEAP);
    assert_int_equal(vm_sim_brk(m, p->mm, start + 4 * PAGE), 0); /* only at its end */
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->rss, 4);
    assert_int_equal(touch(m, p, start + 3 * PAGE, VM_SIM_READ), 0);
    assert_int_equal(p->mm->min_faults, 10);
    vm_sim_mmap(m, p->mm, start + 20 * PAGE, PAGE, RW, 0, VM_SIM_MMAP, NULL, 0, &at);
    assert_int_equal(vm_sim_brk(m, p->mm, start + 20 * PAGE), 0);
    assert_int_equal(vm_sim_brk(m, p->mm, start + 21 * PAGE), -ENOMEM); /* something is in the way */
    assert_int_equal(p->mm->brk, start + 20 * PAGE);
    assert_int_equal(vm_sim_brk(m, p->mm, start), 0);
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->rss, 0);
    vm_sim_machine_free(m);
}

/* 128 KiB: below brk, from it on mmap. */
static void border_of_malloc(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t start = p->mm->start_brk, small, large;

    assert_int_equal(vm_sim_malloc(m, p->mm, 128 * 1024 - 1, &small), 0);
    assert_int_equal(small, start);
    assert_int_equal(p->mm->brk, start + 128 * 1024);
    assert_int_equal(vm_sim_malloc(m, p->mm, 128 * 1024, &large), 0);
    assert_int_equal(large, p->mm->layout.mmap_base - 128 * 1024);
    assert_int_equal(p->mm->brk, start + 128 * 1024);
    assert_int_equal(vm_sim_malloc(m, p->mm, 1, &small), 0);
    assert_int_equal(small, start + 128 * 1024);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

static void map_and_unmap(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 20), there, total = p->mm->total_vm;

    assert_int_equal(vm_sim_mmap(m, p->mm, 0, 0, RW, 0, VM_SIM_MMAP, NULL, 0, &there), -EINVAL);
    assert_int_equal(vm_sim_mmap(m, p->mm, 0x1234, PAGE, RW, 0, VM_SIM_MMAP, NULL, 0, &there), -EINVAL);
    assert_int_equal(vm_sim_mmap(m, p->mm, 0, (uint64_t)1 << 48, RW, 0, VM_SIM_MMAP, NULL, 0, &there), -ENOMEM);
    assert_int_equal(vm_sim_mmap(m, p->mm, (uint64_t)1 << 47, PAGE, RW, 0, VM_SIM_MMAP, NULL, 0, &there), -ENOMEM);
    assert_int_equal(vm_sim_munmap(m, p->mm, at + 1, PAGE), -EINVAL);
    touch_pages(m, p, at, 20, VM_SIM_WRITE);
    assert_int_equal(vm_sim_munmap(m, p->mm, at + 5 * PAGE, 3 * PAGE), 0);
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->rss, 17);
    assert_int_equal(p->mm->total_vm, total - 3);
    assert_int_equal(map_area(m, p, 3), at + 5 * PAGE); /* the highest hole that fits */
    assert_int_equal(vm_sim_mmap(m, p->mm, at + PAGE, 2 * PAGE, VM_SIM_R, 0, VM_SIM_MMAP, NULL, 0, &there), 0); /* over it */
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->rss, 15);
    assert_int_equal(touch(m, p, at + 5 * PAGE, VM_SIM_WRITE), 0); /* zeroed anew */
    assert_int_equal(p->mm->min_faults, 21);
    vm_sim_machine_free(m);
}

static void protections(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p"), *child;
    uint64_t at = map_area(m, p, 9), areas = p->mm->vma_count;

    touch_pages(m, p, at, 9, VM_SIM_WRITE);
    assert_int_equal(vm_sim_mprotect(m, p->mm, at + 3 * PAGE, 3 * PAGE, VM_SIM_R), 0);
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->vma_count, areas + 2);
    child = vm_sim_fork(m, p, NULL);
    assert_int_equal(touch(m, child, at + 3 * PAGE, VM_SIM_READ), 0);
    assert_int_equal(touch(m, child, at + 3 * PAGE, VM_SIM_WRITE), -EFAULT);
    assert_int_equal(vm_sim_mprotect(m, p->mm, at + 3 * PAGE, 3 * PAGE, RW), 0);
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->vma_count, areas); /* one again */
    child = vm_sim_fork(m, p, NULL);
    vm_sim_mprotect(m, p->mm, at, PAGE, VM_SIM_R);
    vm_sim_mprotect(m, p->mm, at, PAGE, RW);
    listen_to(m, 1u << VM_SIM_EV_PAGE_IN);
    assert_int_equal(touch(m, p, at, VM_SIM_WRITE), 0); /* writable again, but still the child's too */
    assert_string_equal(heard.text, "cow-copy ");
    CHECK_MACHINE(m);
    vm_sim_mprotect(m, p->mm, at, PAGE, 0);
    assert_int_equal(touch(m, p, at, VM_SIM_READ), -EFAULT);
    assert_int_equal(vm_sim_mprotect(m, child->mm, at + 8 * PAGE, 2 * PAGE, VM_SIM_R), -ENOMEM); /* a hole */
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts),          cmocka_unit_test(kernel_half),   cmocka_unit_test(heap),
        cmocka_unit_test(border_of_malloc), cmocka_unit_test(map_and_unmap), cmocka_unit_test(protections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
