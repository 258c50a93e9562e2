/* Unit tests of src/sim/segment: the processor's words bit by bit, tables, the hidden cache, and every fault with its
   number.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/segment.h"

static void selectors(void **state)
{
    (void)state;
    assert_int_equal(vm_sim_selector_pack((struct vm_sim_selector){.index = 3, .ldt = true, .rpl = 2}), 0x1e);
    assert_int_equal(vm_sim_selector_pack((struct vm_sim_selector){.index = 0x1fff, .rpl = 3}), 0xfffb);
    for (unsigned word = 0; word < 65536; word++) {
        struct vm_sim_selector s = vm_sim_selector_unpack((uint16_t)word);
        CHECK(s.index == word >> 3 && s.ldt == (word >> 2 & 1) && s.rpl == (word & 3));
        CHECK(vm_sim_selector_pack(s) == word);
    }
}

static void descriptors(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();

    /* Words that Linux and the boot code have: flat code and data of 32 bits, of rings 0 and 3. */
    struct vm_sim_descriptor d = vm_sim_descriptor_unpack(0x00cf9a000000ffff);
    assert_int_equal(d.base, 0);
    assert_int_equal(vm_sim_descriptor_last(&d), 0xffffffff);
    assert_true(d.granular && d.big && d.present && d.code_or_data && !d.long_mode);
    assert_int_equal(d.type, VM_SIM_SEG_CODE | VM_SIM_SEG_READABLE);
    assert_int_equal(d.dpl, 0);
    d = vm_sim_descriptor_unpack(0x00cff2000000ffff);
    assert_int_equal(d.type, VM_SIM_SEG_WRITABLE);
    assert_int_equal(d.dpl, 3);
    d = vm_sim_descriptor_unpack(0x00af9a000000ffff);
    assert_true(d.long_mode && !d.big);
    d = (struct vm_sim_descriptor){
        .base = 0x12345678, .limit = 0xabcde, .type = 2, .dpl = 1, .present = true, .code_or_data = true};
    assert_int_equal(vm_sim_descriptor_pack(&d), 0x120ab2345678bcde);
    assert_int_equal(vm_sim_descriptor_last(&d), 0xabcde);
    for (unsigned i = 0; i < 10000; i++) { /* every bit has its place */
        uint64_t word = next_random(&seed);
        d = vm_sim_descriptor_unpack(word);
        CHECK(vm_sim_descriptor_pack(&d) == word);
    }
}

/* ---- A small machine of segments ---- */

static struct vm_sim_dtable gdt, ldt;
static struct vm_sim_segmentation seg;

static uint16_t selector(unsigned index, bool local, unsigned rpl)
{
    return vm_sim_selector_pack((struct vm_sim_selector){(uint16_t)index, local, (uint8_t)rpl});
}

static struct vm_sim_descriptor segment(uint32_t base, uint32_t bytes, unsigned type, unsigned dpl)
{
    return (struct vm_sim_descriptor){.base = base, .limit = bytes - 1, .type = (uint8_t)type, .dpl = (uint8_t)dpl,
                                      .present = true, .code_or_data = true};
}

enum { CODE = 1, DATA = 2, EXAMPLE = 3, READ_ONLY = 4, KERNEL = 5, ABSENT = 6, EXECUTE_ONLY = 7, STACK = 8, LDT = 9, DOWN = 10 };

static void set_up(unsigned cpl)
{
    vm_sim_dtable_free(&gdt);
    vm_sim_dtable_free(&ldt);
    vm_sim_dtable_init(&gdt, 16);
    vm_sim_dtable_init(&ldt, 8);
    struct vm_sim_descriptor d[11] = {
        [CODE] = segment(0x10000, 0x1000, VM_SIM_SEG_CODE | VM_SIM_SEG_READABLE, 3),
        [DATA] = segment(0x20000, 0x1000, VM_SIM_SEG_WRITABLE, 3),
        [EXAMPLE] = segment(7000, 1000, VM_SIM_SEG_WRITABLE, 3),
        [READ_ONLY] = segment(0x30000, 0x1000, 0, 3),
        [KERNEL] = segment(0x40000, 0x1000, VM_SIM_SEG_WRITABLE, 0),
        [ABSENT] = segment(0x50000, 0x1000, VM_SIM_SEG_WRITABLE, 3),
        [EXECUTE_ONLY] = segment(0x60000, 0x1000, VM_SIM_SEG_CODE, 3),
        [STACK] = segment(0x70000, 0x1000, VM_SIM_SEG_WRITABLE, cpl),
        [LDT] = {.base = 0x80000, .limit = 63, .type = VM_SIM_SEG_TYPE_LDT, .present = true},
        [DOWN] = segment(0x90000, 0x1000, VM_SIM_SEG_WRITABLE | VM_SIM_SEG_DOWN, 3),
    };
    d[ABSENT].present = false;
    for (unsigned i = 1; i < 11; i++)
        vm_sim_dtable_set(&gdt, i, &d[i]);
    seg = (struct vm_sim_segmentation){.gdt = &gdt, .cpl = (uint8_t)cpl};
}

static void faults_with(struct vm_sim_seg_result r, enum vm_sim_seg_fault f, unsigned vector, unsigned error)
{
    CHECKF(r.fault == f && r.vector == vector && r.error == error, "%s, vector %u, error %#x", vm_sim_seg_fault_name(r.fault),
           r.vector, r.error);
    CHECK(vm_sim_segmentation_check(&seg));
}

static struct vm_sim_seg_result use(uint16_t sel, uint64_t offset, enum vm_sim_access access, uint64_t *linear)
{
    struct vm_sim_linear out = {0};
    struct vm_sim_seg_result r
        = vm_sim_seg_translate_logical(&seg, (struct vm_sim_logical){sel, offset}, 4, access, &out);

    if (linear)
        *linear = out.at;
    return r;
}

static void example_7500(void **state)
{
    (void)state;
    uint64_t linear;

    set_up(3);
    faults_with(use(selector(EXAMPLE, false, 3), 500, VM_SIM_READ, &linear), VM_SIM_SEG_OK, 0, 0);
    assert_int_equal(linear, 7500);
}

static void each_fault(void **state)
{
    (void)state;
    uint16_t data = selector(DATA, false, 3);

    set_up(3);
    faults_with(use(selector(0, false, 3), 0, VM_SIM_READ, NULL), VM_SIM_SEG_NULL, 13, 0);
    faults_with(use(selector(16, false, 3), 0, VM_SIM_READ, NULL), VM_SIM_SEG_NO_ENTRY, 13, 16 << 3);
    faults_with(use(selector(2, true, 3), 0, VM_SIM_READ, NULL), VM_SIM_SEG_NO_ENTRY, 13, 2 << 3 | 4); /* no LDT */
    faults_with(use(data, 0xffc, VM_SIM_READ, NULL), VM_SIM_SEG_OK, 0, 0);
    faults_with(use(data, 0xffd, VM_SIM_READ, NULL), VM_SIM_SEG_LIMIT, 13, 0);
    faults_with(use(data, UINT64_MAX, VM_SIM_READ, NULL), VM_SIM_SEG_LIMIT, 13, 0);
    faults_with(use(selector(READ_ONLY, false, 3), 0, VM_SIM_READ, NULL), VM_SIM_SEG_OK, 0, 0);
    faults_with(use(selector(READ_ONLY, false, 3), 0, VM_SIM_WRITE, NULL), VM_SIM_SEG_TYPE, 13, 0);
    faults_with(use(selector(EXECUTE_ONLY, false, 3), 0, VM_SIM_READ, NULL), VM_SIM_SEG_TYPE, 13, EXECUTE_ONLY << 3);
    faults_with(use(selector(EXECUTE_ONLY, false, 3), 0, VM_SIM_FETCH, NULL), VM_SIM_SEG_OK, 0, 0);
    faults_with(use(data, 0, VM_SIM_FETCH, NULL), VM_SIM_SEG_TYPE, 13, DATA << 3);
    faults_with(use(selector(LDT, false, 3), 0, VM_SIM_READ, NULL), VM_SIM_SEG_TYPE, 13, LDT << 3);
    faults_with(use(selector(KERNEL, false, 0), 0, VM_SIM_READ, NULL), VM_SIM_SEG_PRIVILEGE, 13, KERNEL << 3);
    faults_with(use(selector(ABSENT, false, 3), 0, VM_SIM_READ, NULL), VM_SIM_SEG_NOT_PRESENT, 11, ABSENT << 3);

    /* The stack's faults are vector 12. */
    struct vm_sim_linear out;
    faults_with(vm_sim_seg_load(&seg, VM_SIM_SS, selector(STACK, false, 3)), VM_SIM_SEG_OK, 0, 0);
    faults_with(vm_sim_seg_translate(&seg, VM_SIM_SS, 0x1000, 4, VM_SIM_WRITE, &out), VM_SIM_SEG_LIMIT, 12, 0);
    faults_with(vm_sim_seg_load(&seg, VM_SIM_SS, selector(ABSENT, false, 3)), VM_SIM_SEG_NOT_PRESENT, 12, ABSENT << 3);
    faults_with(vm_sim_seg_load(&seg, VM_SIM_SS, selector(READ_ONLY, false, 3)), VM_SIM_SEG_TYPE, 13, READ_ONLY << 3);
    faults_with(vm_sim_seg_load(&seg, VM_SIM_SS, 0), VM_SIM_SEG_NULL, 13, 0);
    faults_with(vm_sim_seg_load(&seg, VM_SIM_DS, 0), VM_SIM_SEG_OK, 0, 0); /* only its use faults */
    faults_with(vm_sim_seg_translate(&seg, VM_SIM_DS, 0, 4, VM_SIM_READ, &out), VM_SIM_SEG_NULL, 13, 0);
}

/* max(CPL, RPL) <= DPL, all of them. */
static void privileges(void **state)
{
    (void)state;

    for (unsigned cpl = 0; cpl < 4; cpl++)
        for (unsigned rpl = 0; rpl < 4; rpl++)
            for (unsigned dpl = 0; dpl < 4; dpl++) {
                set_up(cpl);
                struct vm_sim_descriptor d = segment(0, 100, VM_SIM_SEG_WRITABLE, dpl);
                vm_sim_dtable_set(&gdt, 15, &d);
                struct vm_sim_seg_result r = vm_sim_seg_load(&seg, VM_SIM_DS, selector(15, false, rpl));
                CHECK((r.fault == VM_SIM_SEG_OK) == ((cpl > rpl ? cpl : rpl) <= dpl));
                r = vm_sim_seg_load(&seg, VM_SIM_SS, selector(15, false, rpl));
                CHECK((r.fault == VM_SIM_SEG_OK) == (rpl == cpl && dpl == cpl));
            }
}

static void tables(void **state)
{
    (void)state;
    uint64_t linear;
    struct vm_sim_descriptor d = segment(0xa0000, 0x100, VM_SIM_SEG_WRITABLE, 3);

    set_up(3);
    vm_sim_dtable_set(&ldt, EXAMPLE, &d);
    faults_with(vm_sim_seg_load_ldtr(&seg, &ldt, selector(DATA, false, 0)), VM_SIM_SEG_TYPE, 13, DATA << 3);
    faults_with(vm_sim_seg_load_ldtr(&seg, &ldt, selector(LDT, true, 0)), VM_SIM_SEG_NO_ENTRY, 13, LDT << 3 | 4);
    faults_with(vm_sim_seg_load_ldtr(&seg, &ldt, selector(LDT, false, 0)), VM_SIM_SEG_OK, 0, 0);
    /* Index 3 is one segment in the GDT and another in the LDT. */
    use(selector(EXAMPLE, false, 3), 16, VM_SIM_READ, &linear);
    assert_int_equal(linear, 7016);
    use(selector(EXAMPLE, true, 3), 16, VM_SIM_READ, &linear);
    assert_int_equal(linear, 0xa0010);
    faults_with(vm_sim_seg_load_ldtr(&seg, &ldt, 0), VM_SIM_SEG_OK, 0, 0); /* no LDT any more */
    assert_null(seg.ldt);
}

static void hidden_cache(void **state)
{
    (void)state;
    uint64_t linear, reads;
    uint16_t sel = selector(EXAMPLE, false, 3);

    set_up(3);
    use(sel, 500, VM_SIM_READ, &linear);
    reads = seg.table_reads;
    assert_true(vm_sim_dtable_get(&gdt, EXAMPLE).type & VM_SIM_SEG_ACCESSED); /* set by the load */
    struct vm_sim_descriptor d = segment(9000, 1000, VM_SIM_SEG_WRITABLE, 3);
    vm_sim_dtable_set(&gdt, EXAMPLE, &d);
    use(sel, 500, VM_SIM_READ, &linear);
    assert_int_equal(linear, 7500); /* the table changed, the register did not */
    assert_int_equal(seg.table_reads, reads);
    vm_sim_seg_load(&seg, VM_SIM_DS, sel);
    use(sel, 500, VM_SIM_READ, &linear);
    assert_int_equal(linear, 9500);
    assert_int_equal(seg.table_reads, reads + 1);
}

static void expand_down(void **state)
{
    (void)state;
    uint16_t sel = selector(DOWN, false, 3);

    set_up(3);
    faults_with(use(sel, 0xfff, VM_SIM_WRITE, NULL), VM_SIM_SEG_LIMIT, 13, 0);
    faults_with(use(sel, 0x1000, VM_SIM_WRITE, NULL), VM_SIM_SEG_OK, 0, 0);
    faults_with(use(sel, 0xfffd, VM_SIM_WRITE, NULL), VM_SIM_SEG_LIMIT, 13, 0); /* 16-bit: to 0xffff */
}

static void flat(void **state)
{
    (void)state;

    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        set_up(cpl);
        vm_sim_gdt_flat(&gdt);
        vm_sim_segmentation_flat(&seg, &gdt, cpl);
        static const uint64_t offsets[] = {0, 0x2240, 0x08048000, 0xbffffffc, 0xfffffffc};
        for (unsigned i = 0; i < 5; i++) {
            struct vm_sim_linear out;
            CHECK(vm_sim_seg_translate(&seg, VM_SIM_DS, offsets[i], 4, VM_SIM_WRITE, &out).fault == VM_SIM_SEG_OK);
            CHECK(out.at == offsets[i]);
            CHECK(vm_sim_seg_translate(&seg, VM_SIM_CS, offsets[i], 4, VM_SIM_FETCH, &out).fault == VM_SIM_SEG_OK);
            CHECK(out.at == offsets[i]);
        }
        CHECK(vm_sim_segmentation_check(&seg));
    }
    /* What is left of protection: a user cannot load the kernel's segments. */
    faults_with(vm_sim_seg_load(&seg, VM_SIM_DS, selector(VM_SIM_GDT_KERNEL_DATA, false, 3)), VM_SIM_SEG_PRIVILEGE, 13,
                VM_SIM_GDT_KERNEL_DATA << 3);
    seg.reg[VM_SIM_DS].hidden.base = 4;
    assert_false(vm_sim_segmentation_check(&seg));
    vm_sim_dtable_free(&gdt);
    vm_sim_dtable_free(&ldt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors),  cmocka_unit_test(descriptors), cmocka_unit_test(example_7500),
        cmocka_unit_test(each_fault), cmocka_unit_test(privileges),  cmocka_unit_test(tables),
        cmocka_unit_test(hidden_cache), cmocka_unit_test(expand_down), cmocka_unit_test(flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
