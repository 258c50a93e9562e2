/* Unit tests of src/sim/exec: areas and pages of programs.  Run by `make check`. */
#include "unit.h"

#include "sim/exec.h"
#include "sim/machine.h"

#define PAGE VM_SIM_PAGE_SIZE

static struct vm_sim_message message;

static struct vm_sim_machine *machine(const char *preset)
{
    struct vm_sim_config c;

    assert_int_equal(vm_sim_config_preset(&c, preset), 0);
    assert_int_equal(vm_sim_config_set(&c, preset[0] == 'l' ? "memory=16M" : "memory=64M", &message), 0);
    struct vm_sim_machine *m = vm_sim_machine_new(&c, &message);
    CHECKF(m != NULL, "%s", message.text);
    return m;
}

static struct vm_sim_translation seen;

static int ref(struct vm_sim_machine *m, struct vm_sim_process *p, uint64_t at, enum vm_sim_access access)
{
    struct vm_sim_ref r = {.offset = at, .process = p->context.slot, .access = (uint8_t)access, .bytes = 1};
    int error = vm_sim_ref(m, r, &seen);

    CHECK(vm_sim_machine_check(m));
    return error;
}

/* Text of 1.5 pages, data that begins in the same page of the file, bss of 3 pages. */
static const struct vm_sim_exec_segment program[] = {
    {0x400000, 0, 0x1800, 0x1800, VM_SIM_R | VM_SIM_X},
    {0x402800, 0x1800, 0xa00, 0x3a00, VM_SIM_R | VM_SIM_W},
};

static void areas(void **state)
{
    (void)state;
    struct vm_sim_machine *m = machine("x86_64");
    struct vm_sim_process *p = vm_sim_process_new(m, "sh");

    assert_int_equal(vm_sim_exec(m, p, "/bin/p", program, 2), 0);
    assert_string_equal(p->name, "/bin/p");
    static const struct {
        uint64_t start, end;
        unsigned perms;
        enum vm_sim_region region;
    } want[] = {
        {0x400000, 0x402000, VM_SIM_R | VM_SIM_X, VM_SIM_TEXT},
        {0x402000, 0x404000, VM_SIM_R | VM_SIM_W, VM_SIM_DATA},
        {0x404000, 0x407000, VM_SIM_R | VM_SIM_W, VM_SIM_BSS},
    };
    const struct vm_sim_vma *v = vm_sim_vma_first(p->mm);
    for (unsigned i = 0; i < 3; i++, v = vm_sim_vma_next(v))
        CHECK(v && v->start == want[i].start && v->end == want[i].end && v->perms == want[i].perms
              && v->region == want[i].region);
    CHECK(v && v->region == VM_SIM_STACK && !vm_sim_vma_next(v));
    assert_int_equal(p->mm->brk, 0x407000);
    assert_int_equal(p->mm->end_code, 0x401800);
    assert_int_equal(p->mm->start_data, 0x402800);
    assert_int_equal(vm_sim_brk(m, p->mm, 0x409000), 0);
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
}

static void neighbours_share_a_page(void **state)
{
    (void)state;
    struct vm_sim_machine *m = machine("x86_64");
    struct vm_sim_process *p = vm_sim_process_new(m, "sh");

    vm_sim_exec(m, p, "/bin/p", program, 2);
    assert_int_equal(ref(m, p, 0x401700, VM_SIM_FETCH), 0); /* page 1 of the file, by the text */
    uint64_t frame = seen.physical.at / PAGE;
    assert_int_equal(ref(m, p, 0x402900, VM_SIM_READ), 0); /* and by the data */
    assert_int_equal(seen.physical.at / PAGE, frame);
    assert_int_equal(m->memory.map.frame[frame].mapcount, 2);
    assert_int_equal(p->mm->rss_file, 2);
    assert_int_equal(ref(m, p, 0x402900, VM_SIM_WRITE), 0); /* a write parts them */
    assert_int_not_equal(seen.physical.at / PAGE, frame);
    assert_int_equal(m->memory.map.frame[frame].mapcount, 1);
    assert_int_equal(ref(m, p, 0x401700, VM_SIM_READ), 0);
    assert_int_equal(seen.physical.at / PAGE, frame);
    assert_int_equal(ref(m, p, 0x405000, VM_SIM_READ), 0);
    assert_int_equal(p->context.usage[VM_SIM_BSS].walks, 1);

    /* A second process of the same program reads nothing from the disk. */
    uint64_t reads = m->files->reads;
    struct vm_sim_process *q = vm_sim_process_new(m, "sh");
    vm_sim_exec(m, q, "/bin/p", program, 2);
    assert_int_equal(ref(m, q, 0x401700, VM_SIM_FETCH), 0);
    assert_int_equal(seen.physical.at / PAGE, frame);
    assert_int_equal(m->files->reads, reads);
    assert_int_equal(ref(m, q, 0x400000, VM_SIM_WRITE), -EFAULT); /* text is not written to */
    assert_true(q->exited && q->signal == 11);
    vm_sim_machine_free(m);
}

static void old_areas_go(void **state)
{
    (void)state;
    struct vm_sim_machine *m = machine("x86_64");
    uint64_t before = vm_sim_free_frames(&m->memory), at;
    struct vm_sim_process *p = vm_sim_process_new(m, "sh");

    assert_int_equal(vm_sim_mmap(m, p->mm, 0, 1 << 20, VM_SIM_R | VM_SIM_W, 0, VM_SIM_MMAP, NULL, 0, &at), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(ref(m, p, at + i * PAGE, VM_SIM_WRITE), 0);
    assert_int_equal(vm_sim_exec(m, p, "/bin/p", program, 2), 0);
    assert_int_equal(p->mm->rss, 0);
    assert_null(vm_sim_pt_find(p->mm->pt, VM_SIM_LINEAR(at), NULL));
    assert_int_equal(ref(m, p, 0x400000, VM_SIM_FETCH), 0);
    uint64_t freed = vm_sim_exit(m, p, 0);
    assert_true(freed > 0);
    assert_int_equal(vm_sim_free_frames(&m->memory) + m->files->cached_pages, before);
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
}

static void refused(void **state)
{
    (void)state;
    struct vm_sim_machine *m = machine("i386-2level");
    struct vm_sim_process *p = vm_sim_process_new(m, "sh");
    struct vm_sim_exec_segment s[2] = {program[0], program[1]};

    assert_int_equal(vm_sim_exec(m, p, "x", s, 0), -EINVAL);
    s[1].at = 0x401800; /* the same page of memory */
    assert_int_equal(vm_sim_exec(m, p, "x", s, 2), -EINVAL);
    s[1].at = 0xbfff0800; /* in the stack */
    assert_int_equal(vm_sim_exec(m, p, "x", s, 2), -EINVAL);
    s[1].at = 0x500000800;
    assert_int_equal(vm_sim_exec(m, p, "x", s, 2), -EINVAL);
    s[1] = program[1];
    s[1].file_offset++;
    assert_int_equal(vm_sim_exec(m, p, "x", s, 2), -EINVAL);
    assert_string_equal(p->name, "sh");
    vm_sim_machine_free(m);
}

/* This very test, as the kernel would map it. */
static void a_real_program(void **state)
{
    (void)state;
    static const char *const presets[] = {"x86_64", "x86_64-la57"};
    struct vm_sim_exec_segment s[16];
    size_t n;
    const char *why;

    for (unsigned i = 0; i < 2; i++) {
        struct vm_sim_machine *m = machine(presets[i]);
        struct vm_sim_process *p = vm_sim_process_new(m, "sh");
        assert_int_equal(vm_sim_elf_segments("/proc/self/exe", s, 16, &n, &why), 0);
        assert_int_equal(vm_sim_exec(m, p, "/proc/self/exe", s, n), 0);
        assert_int_equal(ref(m, p, p->mm->start_code, VM_SIM_FETCH), 0);
        assert_int_equal(ref(m, p, p->mm->start_data, VM_SIM_WRITE), 0);
        assert_int_equal(ref(m, p, p->mm->start_stack - 8, VM_SIM_WRITE), 0);
        vm_sim_machine_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(areas),   cmocka_unit_test(neighbours_share_a_page), cmocka_unit_test(old_areas_go),
        cmocka_unit_test(refused), cmocka_unit_test(a_real_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
