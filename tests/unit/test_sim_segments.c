/* Unit tests of src/sim/segments: processes with LDTs, compaction under them, swapping out and in.  The address space of
   segments over paging is a stand-in here.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/machine.h"

static struct vm_sim_machine m;
static struct vm_sim_process process[3];
static uint64_t next_linear, unmapped;
static struct vm_sim_event last;

int vm_sim_mmap(struct vm_sim_machine *machine, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes, unsigned perms,
                unsigned flags, enum vm_sim_region region, struct vm_sim_file *file, uint64_t offset, uint64_t *out)
{
    CHECK(machine == &m && !mm && at == 0 && bytes % VM_SIM_PAGE_SIZE == 0 && perms && !flags && region && !file && !offset);
    if (next_linear + bytes > 0xc0000000)
        return -ENOMEM;
    *out = next_linear;
    next_linear += bytes;
    return 0;
}

int vm_sim_munmap(struct vm_sim_machine *machine, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes)
{
    CHECK(machine == &m && !mm && at < next_linear);
    unmapped += bytes;
    return 0;
}

static void receive(void *ctx, const struct vm_sim_event *event)
{
    (void)ctx;
    if (event->kind == VM_SIM_EV_EXCEPTION)
        last = *event;
}

static void tear_down(void)
{
    for (unsigned i = 0; i < 3; i++)
        vm_sim_segments_free(&m, &process[i]);
    CHECK(m.core.space.used == 0);
    vm_sim_core_free(&m.core);
    vm_sim_cpu_free(&m.cpu);
    vm_sim_dtable_free(&m.gdt);
}

static void set_up(enum vm_sim_addressing addressing, uint64_t memory)
{
    memset(&m, 0, sizeof m);
    m.config.addressing = addressing;
    m.events.receive = receive;
    m.events.mask = UINT32_MAX;
    vm_list_init(&m.processes);
    vm_sim_core_init(&m.core, memory, VM_SIM_FIRST_FIT, &m.events);
    vm_sim_cpu_init(&m.cpu, VM_SIM_PAGING_NONE, NULL, &m.events);
    vm_sim_dtable_init(&m.gdt, 64);
    vm_sim_gdt_flat(&m.gdt);
    m.cpu.flat = false;
    m.cpu.seg.gdt = &m.gdt;
    memset(process, 0, sizeof process);
    for (uint16_t i = 0; i < 3; i++) {
        process[i].context = (struct vm_sim_context){.pid = i + 1u, .slot = i, .asid = i, .cpl = 3};
        vm_list_push_back(&m.processes, &process[i].link);
        m.cpu.context[i] = &process[i].context;
    }
    next_linear = 0x40000000;
    unmapped = 0;
}

/* The physical address, or UINT64_MAX. */
static uint64_t reach(unsigned slot, unsigned index, uint64_t offset, enum vm_sim_access access)
{
    struct vm_sim_segment *s = vm_sim_segment_find(&process[slot], index);
    uint16_t selector = vm_sim_selector_pack((struct vm_sim_selector){(uint16_t)index, true, 3});
    struct vm_sim_ref r = {
        .offset = offset, .selector = selector, .process = (uint16_t)slot, .access = (uint8_t)access, .bytes = 1};
    struct vm_sim_translation out;

    CHECK(!s || vm_sim_segment_selector(&process[slot], s) == selector);
    CHECK(vm_sim_segments_check(&m));
    return vm_sim_cpu_ref(&m.cpu, r, &out) == 0 ? out.physical.at : UINT64_MAX;
}

static int add(unsigned slot, unsigned index, uint64_t bytes, unsigned type)
{
    return vm_sim_segment_add(&m, &process[slot], index, "segment", bytes, type, 3, NULL);
}

static void own_tables(void **state)
{
    (void)state;
    set_up(VM_SIM_SEGMENTS, 100000);
    assert_int_equal(add(0, 3, 7000, VM_SIM_SEG_WRITABLE), 0);
    assert_int_equal(add(1, 3, 1000, VM_SIM_SEG_WRITABLE), 0); /* the model's: segment 3 at 7000 */
    assert_int_equal(add(1, 1, 500, VM_SIM_SEG_CODE | VM_SIM_SEG_READABLE), 0);
    assert_int_equal(reach(0, 3, 500, VM_SIM_READ), 500);
    assert_int_equal(reach(1, 3, 500, VM_SIM_READ), 7500);
    assert_int_equal(reach(1, 1, 10, VM_SIM_FETCH), 8010);
    assert_int_equal(reach(0, 3, 6999, VM_SIM_WRITE), 6999);
    assert_int_equal(reach(0, 3, 7000, VM_SIM_WRITE), UINT64_MAX);
    assert_string_equal(last.cause, "limit");
    assert_int_equal(reach(1, 1, 10, VM_SIM_WRITE), UINT64_MAX);
    assert_string_equal(last.cause, "type");
    assert_int_equal(reach(0, 1, 10, VM_SIM_READ), UINT64_MAX); /* none there */
    assert_int_equal(last.vector, 13);
    assert_int_equal(reach(0, 256, 10, VM_SIM_READ), UINT64_MAX);
    assert_string_equal(last.cause, "selector beyond the table");
    assert_int_equal(add(0, 3, 10, VM_SIM_SEG_WRITABLE), -EEXIST);
    assert_int_equal(add(0, 256, 10, VM_SIM_SEG_WRITABLE), -EINVAL);
    assert_int_equal(add(0, 4, 0, VM_SIM_SEG_WRITABLE), -EINVAL);
    assert_int_equal(add(0, 4, 10, VM_SIM_SEG_WRITABLE | VM_SIM_SEG_DOWN), -EINVAL);
    assert_int_equal(add(0, 4, 92000, VM_SIM_SEG_WRITABLE), -ENOMEM);
    vm_sim_segment_remove(&m, &process[0], vm_sim_segment_find(&process[0], 3));
    assert_int_equal(reach(0, 3, 500, VM_SIM_READ), UINT64_MAX);
    assert_int_equal(add(0, 4, 5000000, VM_SIM_SEG_WRITABLE), -ENOMEM);
    tear_down();
}

/* Row 7 with segments: what is loaded in a register is moved under the process. */
static void compaction(void **state)
{
    (void)state;
    set_up(VM_SIM_SEGMENTS, 1024 << 20);
    assert_int_equal(add(0, 1, 512 << 20, VM_SIM_SEG_WRITABLE), 0); /* granular limits */
    assert_int_equal(add(1, 1, 128 << 20, VM_SIM_SEG_WRITABLE), 0);
    assert_int_equal(add(2, 1, 256 << 20, VM_SIM_SEG_WRITABLE), 0);
    assert_int_equal(reach(2, 1, 5, VM_SIM_WRITE), (640 << 20) + 5);
    vm_sim_segments_free(&m, &process[1]);
    assert_int_equal(add(0, 2, 200 << 20, VM_SIM_SEG_WRITABLE), -ENOMEM);
    assert_int_equal(vm_sim_compact(&m), 256 << 20);
    assert_int_equal(reach(2, 1, 5, VM_SIM_WRITE), (512 << 20) + 5);
    assert_int_equal(add(0, 2, 200 << 20, VM_SIM_SEG_WRITABLE), 0);
    assert_int_equal(reach(0, 2, 5, VM_SIM_WRITE), (768 << 20) + 5);
    assert_int_equal(reach(0, 1, (512 << 20) - 1, VM_SIM_READ), (512 << 20) - 1);
    assert_int_equal(reach(0, 1, 512 << 20, VM_SIM_READ), UINT64_MAX);
    tear_down();
}

static void out_and_in(void **state)
{
    (void)state;
    set_up(VM_SIM_SEGMENTS, 10000);
    add(0, 1, 3000, VM_SIM_SEG_WRITABLE);
    add(0, 2, 3000, VM_SIM_SEG_WRITABLE);
    struct vm_sim_segment *s = vm_sim_segment_find(&process[0], 1);
    assert_int_equal(reach(0, 1, 7, VM_SIM_READ), 7);
    vm_sim_segment_out(&m, &process[0], s);
    assert_int_equal(reach(0, 1, 7, VM_SIM_READ), UINT64_MAX);
    assert_int_equal(last.vector, 11);
    assert_int_equal(last.error, 1 << 3 | 4);
    assert_int_equal(add(1, 1, 3000, VM_SIM_SEG_WRITABLE), 0); /* in its place */
    assert_int_equal(vm_sim_segment_in(&m, &process[0], s), 0);
    assert_int_equal(reach(0, 1, 7, VM_SIM_READ), 6007);
    vm_sim_segment_out(&m, &process[0], s);
    assert_int_equal(add(1, 2, 2000, VM_SIM_SEG_WRITABLE), 0);
    assert_int_equal(vm_sim_segment_in(&m, &process[0], s), -ENOMEM);
    tear_down();
}

static void over_paging(void **state)
{
    (void)state;
    set_up(VM_SIM_SEG_PAGED, 0);
    assert_int_equal(add(0, 1, 5000, VM_SIM_SEG_WRITABLE), 0);
    assert_int_equal(add(0, 2, 5000, VM_SIM_SEG_CODE), 0);
    assert_int_equal(reach(0, 1, 4999, VM_SIM_WRITE), 0x40000000 + 4999); /* linear; no paging in this test */
    assert_int_equal(reach(0, 2, 0, VM_SIM_FETCH), 0x40002000);
    assert_int_equal(add(0, 3, 0xffffffff, VM_SIM_SEG_WRITABLE), -ENOMEM);
    vm_sim_segment_remove(&m, &process[0], vm_sim_segment_find(&process[0], 1));
    assert_int_equal(unmapped, 8192);
    tear_down();
    set_up(VM_SIM_FLAT, 10000);
    assert_int_equal(add(0, 1, 100, VM_SIM_SEG_WRITABLE), -EINVAL); /* there are none */
    tear_down();
}

/* Segments come, go and move; each keeps its own bytes. */
static void random_segments(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();

    set_up(VM_SIM_SEGMENTS, 50000);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned slot = (unsigned)below(&seed, 3), index = (unsigned)below(&seed, 20);
        struct vm_sim_segment *s = vm_sim_segment_find(&process[slot], index);
        uint64_t offset = s ? below(&seed, s->bytes) : 0;
        switch (below(&seed, 6)) {
        case 0:
            if (!s)
                add(slot, index, 1 + below(&seed, 3000), VM_SIM_SEG_WRITABLE);
            break;
        case 1:
            if (s)
                vm_sim_segment_remove(&m, &process[slot], s);
            break;
        case 2:
            if (s)
                vm_sim_segment_out(&m, &process[slot], s);
            break;
        case 3:
            if (s && vm_sim_segment_in(&m, &process[slot], s) != 0)
                CHECK(vm_sim_space_largest_hole(&m.core.space) < s->bytes);
            break;
        case 4:
            if (one_in(&seed, 20))
                vm_sim_compact(&m);
            break;
        default: CHECK(reach(slot, index, offset, VM_SIM_WRITE) == (s && s->present ? s->base + offset : UINT64_MAX));
        }
        CHECK(vm_sim_segments_check(&m) && vm_sim_core_check(&m.core));
        CHECK(vm_sim_segmentation_check(&m.cpu.seg));
    }
    tear_down();
}

static void check_finds_faults(void **state)
{
    (void)state;
    set_up(VM_SIM_SEGMENTS, 10000);
    add(0, 1, 100, VM_SIM_SEG_WRITABLE);
    add(0, 2, 100, VM_SIM_SEG_WRITABLE);
    assert_true(vm_sim_segments_check(&m));
    process[0].ldt.entry[2] += (uint64_t)1 << 16; /* base + 1 */
    assert_false(vm_sim_segments_check(&m));
    process[0].ldt.entry[2] -= (uint64_t)1 << 16;
    vm_sim_space_compact(&m.core.space);
    assert_true(vm_sim_segments_check(&m));
    process[0].segments->bytes++;
    assert_false(vm_sim_segments_check(&m));
    process[0].segments->bytes--;
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_tables),  cmocka_unit_test(compaction),      cmocka_unit_test(out_and_in),
        cmocka_unit_test(over_paging), cmocka_unit_test(random_segments), cmocka_unit_test(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
