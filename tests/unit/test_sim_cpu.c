/* Unit tests of src/sim/cpu: the way of one reference, with a fault handler of the test's own.  Run by `make check`.  SEED
   sets the seed. */
#include "unit.h"

#include "sim/cpu.h"
#include "sim/workset.h"

#define PAGE VM_SIM_PAGE_SIZE
static const struct vm_sim_frame_source no_source;

static struct vm_sim_cpu cpu;
static struct vm_sim_context process[3];
static struct vm_sim_event last;
static unsigned last_error;
static uint64_t last_cr2;
static vm_sim_pfn next_frame;
static bool refuse;

static void receive(void *ctx, const struct vm_sim_event *event)
{
    (void)ctx;
    if (event->kind == VM_SIM_EV_EXCEPTION)
        last = *event;
}
static struct vm_sim_events events = {.receive = receive, .mask = UINT32_MAX};

/* No page: a new frame, heap below 1 GiB, stack above.  Protection: made writable, if it is not the kernel's. */
static int handle(void *ctx, struct vm_sim_context *c, struct vm_sim_linear at, unsigned error)
{
    (void)ctx;
    last_error = error;
    last_cr2 = at.at;
    if (refuse)
        return -EFAULT;
    vm_sim_pte *e = vm_sim_pt_find(c->pt, at, NULL);
    if (error & VM_SIM_PF_PRESENT) {
        *e |= VM_SIM_PTE_W;
        vm_sim_cpu_flush_page(&cpu, c, at);
        return 0;
    }
    enum vm_sim_region region = at.at < (1u << 30) ? VM_SIM_HEAP : VM_SIM_STACK;
    return vm_sim_pt_set(c->pt, VM_SIM_LINEAR(at.at & ~(PAGE - 1)), 1,
                         vm_sim_pte_make(++next_frame, VM_SIM_PTE_P | VM_SIM_PTE_W | VM_SIM_PTE_U, region));
}

static void set_up(enum vm_sim_paging_mode mode, const char *tlb)
{
    vm_sim_cpu_free(&cpu);
    vm_sim_cpu_init(&cpu, mode, tlb ? vm_tlb_preset(tlb) : NULL, &events);
    cpu.fault = handle;
    refuse = false;
    next_frame = 0;
    for (uint16_t i = 0; i < 3; i++) {
        vm_sim_pt_free(process[i].pt);
        process[i] = (struct vm_sim_context){.pid = i + 1u, .slot = i, .asid = (uint16_t)(i + 1), .cpl = 3};
        process[i].pt = mode ? vm_sim_pt_new(mode, no_source, NULL) : NULL;
        cpu.context[i] = &process[i];
    }
}

static struct vm_sim_translation seen;

static int ref(unsigned slot, uint64_t at, enum vm_sim_access access)
{
    struct vm_sim_ref r = {.offset = at, .process = (uint16_t)slot, .access = (uint8_t)access, .bytes = 1};
    int error = vm_sim_cpu_ref(&cpu, r, &seen);

    CHECK(vm_sim_cpu_check(&cpu));
    return error;
}

static vm_sim_pte entry_of(unsigned slot, uint64_t at)
{
    vm_sim_pte *e = vm_sim_pt_find(process[slot].pt, VM_SIM_LINEAR(at), NULL);

    return e ? *e : 0;
}

static void one_way(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_4LEVEL, "skylake");
    assert_int_equal(ref(0, 0x2240, VM_SIM_READ), 0); /* page 2, offset 0x240 */
    assert_int_equal(last_error, VM_SIM_PF_USER);
    assert_int_equal(last_cr2, 0x2240);
    assert_int_equal(seen.linear.at, 0x2240);
    assert_int_equal(seen.physical.at, 0x1240); /* frame 1 */
    assert_int_equal(seen.faults, 1);
    assert_int_equal(seen.tlb_level, 0);
    assert_int_equal(entry_of(0, 0x2240) & (VM_SIM_PTE_A | VM_SIM_PTE_D), VM_SIM_PTE_A);
    assert_int_equal(ref(0, 0x2fff, VM_SIM_READ), 0);
    assert_int_equal(seen.tlb_level, 1);
    assert_int_equal(seen.memory_reads, 1);
    assert_int_equal(seen.physical.at, 0x1fff);
    assert_int_equal(ref(0, 0x2000, VM_SIM_WRITE), 0); /* D is set through a clean entry, once */
    assert_int_equal(entry_of(0, 0x2240) & (VM_SIM_PTE_A | VM_SIM_PTE_D), VM_SIM_PTE_A | VM_SIM_PTE_D);
    assert_int_equal(cpu.page_faults, 1);
    assert_int_equal(process[0].usage[VM_SIM_HEAP].hits[0], 2);
    assert_int_equal(process[0].usage[VM_SIM_HEAP].walks, 1);
    assert_int_equal(process[0].refs[VM_SIM_READ], 2);
    assert_int_equal(process[0].refs[VM_SIM_WRITE], 1);
}

static void error_codes(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_4LEVEL, "zen4");
    refuse = true;
    assert_int_equal(ref(0, 0x1000, VM_SIM_WRITE), -EFAULT);
    assert_int_equal(last_error, VM_SIM_PF_USER | VM_SIM_PF_WRITE);
    assert_int_equal(last.vector, 14);
    assert_int_equal(ref(0, 0x1000, VM_SIM_FETCH), -EFAULT);
    assert_int_equal(last_error, VM_SIM_PF_USER | VM_SIM_PF_FETCH);
    vm_sim_pt_set(process[0].pt, VM_SIM_LINEAR(0x1000), 1,
                  vm_sim_pte_make(5, VM_SIM_PTE_P | VM_SIM_PTE_U | VM_SIM_PTE_NX, VM_SIM_DATA));
    assert_int_equal(ref(0, 0x1000, VM_SIM_READ), 0);
    assert_int_equal(ref(0, 0x1000, VM_SIM_WRITE), -EFAULT); /* from the TLB's entry */
    assert_int_equal(last_error, VM_SIM_PF_PRESENT | VM_SIM_PF_USER | VM_SIM_PF_WRITE);
    assert_int_equal(ref(0, 0x1000, VM_SIM_FETCH), -EFAULT);
    assert_int_equal(last_error, VM_SIM_PF_PRESENT | VM_SIM_PF_USER | VM_SIM_PF_FETCH);
    vm_sim_pt_set(process[0].pt, VM_SIM_LINEAR(0x3000), 1, vm_sim_pte_make(6, VM_SIM_PTE_P | VM_SIM_PTE_W, VM_SIM_KERNEL));
    assert_int_equal(ref(0, 0x3000, VM_SIM_READ), -EFAULT); /* not the user's */
    assert_int_equal(last_error, VM_SIM_PF_PRESENT | VM_SIM_PF_USER);
    process[0].cpl = 0;
    assert_int_equal(ref(0, 0x3000, VM_SIM_READ), 0);
    assert_int_equal(ref(0, 0x4000, VM_SIM_READ), -EFAULT);
    assert_int_equal(last_error, 0);
    refuse = false;
    process[0].cpl = 3;
    assert_int_equal(ref(0, 0x1000, VM_SIM_WRITE), 0); /* the handler gave it leave, and flushed */
    assert_int_equal(seen.faults, 1);
    assert_int_equal(ref(1, 0x0000800000000000, VM_SIM_READ), -EFAULT);
    assert_int_equal(last.vector, 13);
    assert_string_equal(last.cause, "not canonical");
    assert_int_equal(ref(7, 0x1000, VM_SIM_READ), -ESRCH);
    assert_int_equal(cpu.dropped, 1);
}

static void straddling(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_2LEVEL, "skylake");
    struct vm_sim_ref r = {.offset = 0x1ffc, .access = VM_SIM_WRITE, .bytes = 8};
    assert_int_equal(vm_sim_cpu_ref(&cpu, r, &seen), 0);
    assert_int_equal(cpu.page_faults, 2);
    assert_int_equal(cpu.refs, 2);
    assert_int_equal(last_cr2, 0x2000);
    r.bytes = 4;
    size_t good = 0;
    assert_int_equal(vm_sim_cpu_refs(&cpu, &r, 1, &good, NULL), 1);
    assert_int_equal(good, 1);
    assert_int_equal(cpu.refs, 3);
    r.offset = 0xfffffffe; /* beyond 4 GiB */
    assert_int_equal(vm_sim_cpu_refs(&cpu, &r, 1, &good, NULL), 1);
    assert_int_equal(good, 1);
    bool pause = true;
    assert_int_equal(vm_sim_cpu_refs(&cpu, &r, 1, &good, &pause), 0);
    assert_int_equal(last.vector, 13);
}

/* Row 9: segment, page, offset: three accesses without a TLB. */
static struct vm_sim_dtable gdt, ldt[2];

static void segments(uint32_t base0, uint32_t base1)
{
    struct vm_sim_descriptor table = {.limit = 63, .type = VM_SIM_SEG_TYPE_LDT, .present = true};
    struct vm_sim_descriptor data = {
        .limit = 0xffff, .type = VM_SIM_SEG_WRITABLE, .dpl = 3, .present = true, .code_or_data = true};

    vm_sim_dtable_free(&gdt);
    vm_sim_dtable_init(&gdt, 4);
    for (unsigned i = 0; i < 2; i++) {
        vm_sim_dtable_free(&ldt[i]);
        vm_sim_dtable_init(&ldt[i], 4);
        vm_sim_dtable_set(&gdt, i + 1, &table);
        data.base = i ? base1 : base0;
        vm_sim_dtable_set(&ldt[i], 2, &data);
        process[i].ldt = &ldt[i];
        process[i].ldt_selector = (uint16_t)((i + 1) << 3);
        process[i].selector[VM_SIM_DS] = 2 << 3 | 4 | 3;
    }
    cpu.flat = false;
    cpu.seg = (struct vm_sim_segmentation){.gdt = &gdt};
}

static void three_accesses(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_SINGLE, NULL);
    segments(0x10000, 0x20000);
    cpu.descriptor_cache = false;
    ref(0, 0x234, VM_SIM_READ); /* the page comes */
    assert_int_equal(ref(0, 0x234, VM_SIM_READ), 0);
    assert_int_equal(seen.memory_reads, 3);
    assert_int_equal(seen.linear.at, 0x10234);
    cpu.descriptor_cache = true; /* the hidden part of the register saves one */
    assert_int_equal(ref(0, 0x234, VM_SIM_READ), 0);
    assert_int_equal(seen.memory_reads, 2);
    set_up(VM_SIM_PAGING_SINGLE, "textbook"); /* the TLB the other */
    segments(0x10000, 0x20000);
    ref(0, 0x234, VM_SIM_READ);
    assert_int_equal(ref(0, 0x234, VM_SIM_READ), 0);
    assert_int_equal(seen.memory_reads, 1);
}

/* Row 2: one logical address, two processes, two linear addresses, two physical ones. */
static void three_kinds_of_address(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_2LEVEL, "skylake");
    segments(0x10000, 0x4000000);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ref(i, 0x2240, VM_SIM_WRITE), 0);
        assert_int_equal(seen.logical.offset, 0x2240);
        assert_int_equal(seen.linear.at, i ? 0x4002240 : 0x12240);
        assert_int_equal(seen.physical.at, (i + 1) * PAGE + 0x240);
    }
    assert_int_equal(ref(0, 0x10000, VM_SIM_READ), -EFAULT);
    assert_int_equal(last.vector, 13);
    assert_string_equal(last.cause, "limit");
    struct vm_sim_ref r = {.offset = 0, .selector = 3 << 3 | 4 | 3, .access = VM_SIM_READ, .bytes = 4};
    assert_int_equal(vm_sim_cpu_ref(&cpu, r, NULL), -EFAULT); /* an empty descriptor */
    assert_int_equal(last.error, 3 << 3 | 4);
    /* Flat: they are one. */
    cpu.flat = true;
    assert_int_equal(ref(2, 0x2240, VM_SIM_READ), 0);
    assert_int_equal(seen.linear.at, seen.logical.offset);
}

static void tlb_by_region(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_4LEVEL, "skylake");
    for (unsigned round = 0; round < 10; round++)
        for (uint64_t i = 0; i < 100; i++) { /* 100 heap pages overflow level 1 (64), not level 2; one of stack */
            ref(0, i * PAGE, VM_SIM_READ);
            ref(0, 0x7ffffffff000, VM_SIM_WRITE);
        }
    struct vm_sim_usage heap = process[0].usage[VM_SIM_HEAP], stack = process[0].usage[VM_SIM_STACK];
    assert_int_equal(heap.walks, 100);
    assert_int_equal(stack.walks, 1);
    assert_int_equal(heap.hits[0] + heap.hits[1], 900);
    assert_int_equal(stack.hits[0] + stack.hits[1], 999);
    assert_true(heap.hits[1] > 500);
    assert_true(stack.hits[1] < 50);
    struct vm_tlb_counts c = vm_tlb_counts(cpu.tlb);
    assert_int_equal(vm_tlb_total_refs(&c), cpu.refs);
    assert_int_equal(c.walks[VM_TLB_SMALL], 101);
    /* 4 entries for the first page, 3 where the stack's first tables are; 1 for the others: the PDE is known.  A walk
       that failed left what it read in the caches, so that the one after the fault read a single entry. */
    assert_int_equal(heap.walk_reads + stack.walk_reads, c.walk_reads);
}

static void switches(void **state)
{
    (void)state;
    for (unsigned pcid = 0; pcid < 2; pcid++) {
        set_up(VM_SIM_PAGING_4LEVEL, "zen4");
        cpu.pcid = pcid;
        for (unsigned i = 0; i < 2; i++)
            ref(i, 0x1000, VM_SIM_WRITE);
        assert_int_equal(cpu.switches, 2);
        uint64_t walks = process[0].usage[VM_SIM_HEAP].walks;
        ref(0, 0x1000, VM_SIM_READ);
        assert_int_equal(process[0].usage[VM_SIM_HEAP].walks, pcid ? walks : walks + 1);
        assert_int_equal(seen.physical.at, PAGE);
        ref(1, 0x1000, VM_SIM_READ);
        assert_int_equal(seen.physical.at, 2 * PAGE);
        /* A page of a process that does not run is taken away. */
        vm_sim_pt_set(process[0].pt, VM_SIM_LINEAR(0x1000), 1, 0);
        vm_sim_cpu_flush_page(&cpu, &process[0], VM_SIM_LINEAR(0x1000));
        assert_true(vm_sim_cpu_check(&cpu));
        ref(0, 0x1000, VM_SIM_READ);
        assert_int_equal(seen.faults, 1);
        vm_sim_cpu_forget(&cpu, &process[0]);
        assert_int_equal(ref(0, 0x1000, VM_SIM_READ), -ESRCH);
        assert_true(vm_sim_cpu_check(&cpu));
    }
}

/* A page whose entry was changed without a flush: the check says so. */
static void stale_entries(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_4LEVEL, "skylake");
    ref(0, 0x1000, VM_SIM_WRITE);
    vm_sim_pte *e = vm_sim_pt_find(process[0].pt, VM_SIM_LINEAR(0x1000), NULL);
    *e &= ~VM_SIM_PTE_W;
    assert_false(vm_sim_cpu_check(&cpu));
    vm_sim_cpu_flush_page(&cpu, &process[0], VM_SIM_LINEAR(0x1000));
    assert_true(vm_sim_cpu_check(&cpu));
    ref(0, 0x1000, VM_SIM_READ);
    vm_sim_pt_set(process[0].pt, VM_SIM_LINEAR(0x1000), 1, 0);
    assert_false(vm_sim_cpu_check(&cpu));
    vm_sim_cpu_flush_range(&cpu, &process[0], VM_SIM_LINEAR(0), 0x10000);
    assert_true(vm_sim_cpu_check(&cpu));
    vm_sim_cpu_flush_context(&cpu, &process[0]);
}

static void large_pages(void **state)
{
    (void)state;
    set_up(VM_SIM_PAGING_4LEVEL, "skylake");
    vm_sim_pt_set(process[0].pt, VM_SIM_LINEAR(0x40000000), 2,
                  vm_sim_pte_make(1024, VM_SIM_PTE_P | VM_SIM_PTE_W | VM_SIM_PTE_U, VM_SIM_MMAP));
    for (uint64_t i = 0; i < 512; i++)
        ref(0, 0x40000000 + i * PAGE + 5, VM_SIM_WRITE);
    assert_int_equal(seen.physical.at, (1024 + 511) * PAGE + 5);
    assert_int_equal(process[0].usage[VM_SIM_MMAP].walks, 1);
    assert_int_equal(vm_tlb_live(cpu.tlb, 1, VM_TLB_LARGE), 1);
}

static void exact_lru(void **state)
{
    (void)state;
    struct vm_sim_frame frame[8];
    struct vm_sim_mem_map map = {.frame = frame, .frames = 8};
    struct vm_list list;

    memset(frame, 0, sizeof frame);
    vm_list_init(&list);
    set_up(VM_SIM_PAGING_4LEVEL, "skylake");
    cpu.map = &map;
    cpu.exact_lru = &list;
    for (unsigned i = 1; i < 4; i++) { /* frames 1, 2, 3 come in order */
        ref(0, i * PAGE, VM_SIM_READ);
        frame[i].flags |= VM_SIM_FRAME_ON_LRU;
        vm_list_push_front(&list, &frame[i].lru);
    }
    assert_ptr_equal(list.prev, &frame[1].lru);
    ref(0, PAGE, VM_SIM_READ);
    assert_ptr_equal(list.next, &frame[1].lru);
    assert_ptr_equal(list.prev, &frame[2].lru);
    ref(0, 2 * PAGE, VM_SIM_READ);
    assert_ptr_equal(list.prev, &frame[3].lru);
}

/* Any references of three processes, in every mode: what they reach is what was put there. */
static void random_references(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static const char *const tlbs[] = {"skylake", "zen4", "textbook", NULL};

    for (int mode = VM_SIM_PAGING_SINGLE; mode < VM_SIM_PAGING_MODES; mode++)
        for (unsigned t = 0; t < 4; t++) {
            static vm_sim_pfn where[3][512];
            set_up((enum vm_sim_paging_mode)mode, tlbs[t]);
            cpu.pcid = one_in(&seed, 2);
            memset(where, 0, sizeof where);
            for (unsigned step = 0; step < 4000; step++) {
                unsigned slot = (unsigned)(step / 50 % 3), page = (unsigned)below(&seed, 512);
                uint64_t at = (page < 256 ? 0x400000 : 0xbfe00000) + page * PAGE;
                struct vm_sim_ref r = {.offset = at + below(&seed, PAGE), .process = (uint16_t)slot,
                                       .access = (uint8_t)below(&seed, 3), .bytes = 1};
                CHECK(vm_sim_cpu_ref(&cpu, r, &seen) == 0);
                if (where[slot][page] == 0) {
                    CHECK(seen.faults == 1);
                    where[slot][page] = next_frame;
                }
                CHECK(seen.physical.at == where[slot][page] * PAGE + r.offset % PAGE);
                if (one_in(&seed, 20)) {
                    CHECK(vm_sim_pt_set(process[slot].pt, VM_SIM_LINEAR(at), 1, 0) == 0);
                    vm_sim_cpu_flush_page(&cpu, &process[slot], VM_SIM_LINEAR(at));
                    where[slot][page] = 0;
                }
                if (step % 100 == 0)
                    CHECK(vm_sim_cpu_check(&cpu));
            }
        }
}

static void working_set_recorded(void **state)
{
    (void)state;
    struct vm_sim_workset w;
    uint64_t resident = 5;

    set_up(VM_SIM_PAGING_4LEVEL, "skylake");
    vm_sim_workset_init(&w, 10, 100);
    process[0].workset = &w;
    process[0].resident = &resident;
    for (unsigned i = 0; i < 30; i++)
        ref(0, i % 3 * PAGE, VM_SIM_READ);
    assert_int_equal(w.samples, 3);
    assert_int_equal(w.sample[0].referenced, 3);
    assert_int_equal(w.sample[0].resident, 5);
    assert_int_equal(w.sample[0].faults, 3);
    assert_int_equal(w.sample[2].faults, 0);
    vm_sim_workset_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_way),        cmocka_unit_test(error_codes),
        cmocka_unit_test(straddling),     cmocka_unit_test(three_accesses),
        cmocka_unit_test(three_kinds_of_address), cmocka_unit_test(tlb_by_region),
        cmocka_unit_test(switches),       cmocka_unit_test(stale_entries),
        cmocka_unit_test(large_pages),    cmocka_unit_test(exact_lru),
        cmocka_unit_test(random_references), cmocka_unit_test(working_set_recorded),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    vm_sim_cpu_free(&cpu);
    for (unsigned i = 0; i < 3; i++)
        vm_sim_pt_free(process[i].pt);
    vm_sim_dtable_free(&gdt);
    vm_sim_dtable_free(&ldt[0]);
    vm_sim_dtable_free(&ldt[1]);
    return failed;
}
