/* Unit tests of src/sim/fault and src/sim/file (row 28): demand paging, every way of getting a page and every way of not
   getting one, with all invariants after every step.  Run by `make check`. */
#include "sim.h"

static void space_only(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t free = vm_sim_free_frames(&m->memory), at = map_area(m, p, 1000);

    CHECK_MACHINE(m);
    assert_int_equal(p->mm->rss, 0); /* address space only */
    assert_int_equal(vm_sim_free_frames(&m->memory), free);
    listen_to(m, 1u << VM_SIM_EV_EXCEPTION | 1u << VM_SIM_EV_PAGE_IN);
    assert_int_equal(touch(m, p, at + 5 * PAGE + 17, VM_SIM_READ), 0);
    CHECK_MACHINE(m);
    assert_string_equal(heard.text, "no page zero ");
    assert_int_equal(p->mm->rss, 1);
    assert_int_equal(p->mm->min_faults, 1);
    assert_int_equal(touch(m, p, at + 5 * PAGE, VM_SIM_WRITE), 0); /* no fault more */
    assert_int_equal(p->mm->min_faults, 1);
    assert_int_equal(touch_pages(m, p, at, 1000, VM_SIM_WRITE), 1000);
    assert_int_equal(p->mm->rss, 1000);
    assert_int_equal(p->mm->min_faults, 1000);
    assert_int_equal(vm_sim_munmap(m, p->mm, at, 1000 * PAGE), 0);
    CHECK_MACHINE(m);
    assert_int_equal(p->mm->rss, 0);
    assert_int_equal(vm_sim_free_frames(&m->memory), free); /* tables too */
    vm_sim_machine_free(m);
}

/* CR2 and the error code: present, write, user. */
static struct vm_sim_event exception;
static void keep_exception(void *ctx, const struct vm_sim_event *event)
{
    (void)ctx;
    exception = *event;
}

static void error_codes(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 4);

    vm_sim_machine_listen(m, keep_exception, NULL, 1u << VM_SIM_EV_EXCEPTION);
    touch(m, p, at + 8, VM_SIM_READ);
    assert_int_equal(exception.vector, 14);
    assert_int_equal(exception.linear.at, at + 8);
    assert_int_equal(exception.error, VM_SIM_PF_USER);
    touch(m, p, at + PAGE, VM_SIM_WRITE);
    assert_int_equal(exception.error, VM_SIM_PF_USER | VM_SIM_PF_WRITE);
    assert_int_equal(vm_sim_mprotect(m, p->mm, at, PAGE, VM_SIM_R), 0);
    CHECK_MACHINE(m);
    assert_int_equal(touch(m, p, at, VM_SIM_WRITE), -EFAULT);
    assert_int_equal(exception.error, VM_SIM_PF_USER | VM_SIM_PF_WRITE | VM_SIM_PF_PRESENT);
    assert_int_equal(p->signal, 11);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* Each way to die, by one process each; the others go on. */
static void segmentation_faults(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p[6];
    struct vm_sim_file *f = vm_sim_file_open(m, "file", 5000);
    uint64_t at;

    for (unsigned i = 0; i < 6; i++)
        p[i] = vm_sim_process_new(m, "p");
    uint64_t free = vm_sim_free_frames(&m->memory);
    listen_to(m, 1u << VM_SIM_EV_SIGNAL);
    assert_int_equal(touch(m, p[0], 0x10, VM_SIM_READ), -EFAULT);
    vm_sim_mmap(m, p[1]->mm, 0, PAGE, VM_SIM_R, 0, VM_SIM_MMAP, NULL, 0, &at);
    assert_int_equal(touch(m, p[1], at, VM_SIM_WRITE), -EFAULT);
    at = map_area(m, p[2], 1);
    assert_int_equal(touch(m, p[2], at, VM_SIM_FETCH), -EFAULT);
    assert_int_equal(touch(m, p[3], 0xffff800000000000, VM_SIM_READ), -EFAULT);
    vm_sim_mmap(m, p[4]->mm, 0, 8 * PAGE, RW, 0, VM_SIM_FILE, f, 0, &at);
    assert_int_equal(touch(m, p[4], at + PAGE, VM_SIM_READ), 0);
    assert_int_equal(touch(m, p[4], at + 2 * PAGE, VM_SIM_READ), -EFAULT);
    vm_sim_mmap(m, p[5]->mm, 0, PAGE, 0, 0, VM_SIM_MMAP, NULL, 0, &at); /* PROT_NONE */
    assert_int_equal(touch(m, p[5], at, VM_SIM_READ), -EFAULT);
    assert_string_equal(heard.text, "no area access not allowed access not allowed kernel half beyond the end of the file "
                                    "access not allowed ");
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(p[i]->signal, i == 4 ? 7 : 11);
        assert_true(p[i]->exited);
    }
    assert_int_equal(touch(m, p[0], 0x10, VM_SIM_READ), -ESRCH);
    CHECK_MACHINE(m);
    assert_int_equal(vm_sim_free_frames(&m->memory), free + 6 - 1); /* a table each; one page stays in the page cache */
    vm_sim_machine_free(m);
}

static void stack(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M", "stack=1M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t top = p->mm->layout.stack_top;

    listen_to(m, 1u << VM_SIM_EV_PAGE_IN);
    assert_int_equal(touch(m, p, top - 8, VM_SIM_WRITE), 0);
    assert_int_equal(touch(m, p, top - 300 * 1024, VM_SIM_WRITE), 0);
    CHECK_MACHINE(m);
    assert_string_equal(heard.text, "zero stack ");
    assert_int_equal(vm_sim_find_vma(p->mm, top - 8)->start, vm_align_down(top - 300 * 1024, PAGE));
    assert_int_equal(touch(m, p, top - (1 << 20), VM_SIM_WRITE), 0); /* the whole limit */
    assert_int_equal(touch(m, p, top - (1 << 20) - 1, VM_SIM_WRITE), -EFAULT);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

static void files(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *a = vm_sim_process_new(m, "a"), *b = vm_sim_process_new(m, "b");
    struct vm_sim_file *f = vm_sim_file_open(m, "lib", 10 * PAGE);
    uint64_t private, shared, other;

    vm_sim_mmap(m, a->mm, 0, 10 * PAGE, RW, 0, VM_SIM_FILE, f, 0, &private);
    vm_sim_mmap(m, b->mm, 0, 10 * PAGE, RW, VM_SIM_VMA_SHARED, VM_SIM_FILE, f, 0, &shared);
    vm_sim_mmap(m, b->mm, 0, 4 * PAGE, VM_SIM_R, 0, VM_SIM_FILE, f, 3, &other);
    listen_to(m, 1u << VM_SIM_EV_PAGE_IN);
    touch(m, a, private + 3 * PAGE, VM_SIM_READ); /* read in: major */
    CHECK_MACHINE(m);
    touch(m, b, shared + 3 * PAGE, VM_SIM_READ); /* from the cache: minor */
    touch(m, b, other, VM_SIM_READ);
    CHECK_MACHINE(m);
    vm_sim_pfn frame = f->cached[3];
    assert_int_equal(vm_sim_pte_frame(entry_at(a, private + 3 * PAGE)), frame);
    assert_int_equal(vm_sim_pte_frame(entry_at(b, other)), frame);
    assert_int_equal(m->memory.map.frame[frame].mapcount, 3);
    assert_int_equal(m->memory.map.frame[frame].count, 4);
    assert_int_equal(a->mm->maj_faults, 1);
    assert_int_equal(b->mm->maj_faults, 0);
    assert_int_equal(f->reads, 1);
    touch(m, a, private + 3 * PAGE, VM_SIM_WRITE); /* a copy, not the file's page */
    CHECK_MACHINE(m);
    assert_int_not_equal(vm_sim_pte_frame(entry_at(a, private + 3 * PAGE)), frame);
    touch(m, b, shared + 3 * PAGE, VM_SIM_WRITE); /* the file's page */
    assert_int_equal(vm_sim_pte_frame(entry_at(b, shared + 3 * PAGE)), frame);
    touch(m, a, private + 4 * PAGE, VM_SIM_WRITE); /* read and copied in one fault */
    CHECK_MACHINE(m);
    assert_string_equal(heard.text, "file file file cow-copy cow-copy ");
    assert_int_equal(vm_sim_page_kind(m, frame), VM_SIM_SYNCABLE);
    assert_int_equal(vm_sim_page_kind(m, f->cached[4]), VM_SIM_DISCARDABLE);
    vm_sim_exit(m, b, 0);
    CHECK_MACHINE(m);
    assert_true(m->memory.map.frame[frame].flags & VM_SIM_FRAME_DIRTY); /* the dirty bit outlived the entry */
    assert_int_equal(f->cached_pages, 2);
    vm_sim_machine_free(m);
}

static void large_pages(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M", "page=2M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at;

    vm_sim_mmap(m, p->mm, 0, 5 << 20, RW, 0, VM_SIM_MMAP, NULL, 0, &at);
    assert_int_equal(at % (2 << 20), 0);
    assert_int_equal(touch_pages(m, p, at, 5 * 256, VM_SIM_WRITE), 5 * 256);
    assert_int_equal(p->mm->min_faults, 2 + 256); /* two large pages, and a rest of 1 MiB */
    assert_int_equal(p->mm->rss, 5 * 256);
    struct vm_sim_pt_stats s = vm_sim_pt_stats(p->mm->pt);
    assert_int_equal(s.leaves[1], 2);
    assert_int_equal(vm_sim_munmap(m, p->mm, at + PAGE, PAGE), 0); /* splits the first */
    CHECK_MACHINE(m);
    assert_int_equal(vm_sim_pt_stats(p->mm->pt).leaves[1], 1);
    assert_int_equal(p->mm->rss, 5 * 256 - 1);
    vm_sim_exit(m, p, 0);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* Every preset with paging, and every mode. */
static void modes(void **state)
{
    (void)state;
    static const char *const preset[] = {"x86_64", "x86_64-la57", "i386-2level", "i386-pae", "linux-0.12"};

    for (unsigned i = 0; i < sizeof preset / sizeof *preset; i++) {
        struct vm_sim_machine *m = MACHINE(preset[i]);
        struct vm_sim_process *p = vm_sim_process_new(m, "p");
        uint64_t at = map_area(m, p, 300);
        assert_int_equal(touch_pages(m, p, at - p->mm->base, 300, VM_SIM_WRITE), 300);
        assert_int_equal(p->mm->rss, 300);
        vm_sim_exit(m, p, 0);
        CHECK_MACHINE(m);
        vm_sim_machine_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_only), cmocka_unit_test(error_codes), cmocka_unit_test(segmentation_faults),
        cmocka_unit_test(stack),      cmocka_unit_test(files),       cmocka_unit_test(large_pages),
        cmocka_unit_test(modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
