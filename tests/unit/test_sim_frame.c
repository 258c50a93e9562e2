/* Unit tests of src/sim/frame: mem_map, frame numbers and descriptors, reserved ranges.  Run by `make check`. */
#include "unit.h"

#include "sim/frame.h"

#define PAGE VM_SIM_PAGE_SIZE

static void numbers_and_descriptors(void **state)
{
    (void)state;
    struct vm_sim_mem_map map;

    vm_sim_mem_map_init(&map, 100 * PAGE + 4095); /* half a frame is none */
    assert_int_equal(map.frames, 100);
    for (vm_sim_pfn i = 0; i < map.frames; i++) {
        struct vm_sim_frame *f = vm_sim_pfn_frame(&map, i);
        assert_ptr_equal(f, map.frame + i);
        assert_int_equal(vm_sim_frame_pfn(&map, f), i);
        assert_true(vm_sim_frame_is_blank(f));
        assert_int_equal(f->kind, VM_SIM_FRAME_FREE);
    }
    assert_true(vm_sim_mem_map_check(&map));
    vm_sim_mem_map_free(&map);
    assert_null(map.frame);
}

/* Which frames of 300 are reserved, after ranges of every kind. */
static void reserved_ranges(void **state)
{
    (void)state;
    struct vm_sim_mem_map map;

    vm_sim_mem_map_init(&map, 300 * PAGE);
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(0xa0000), 0x60000); /* 640 KiB to 1 MiB: frames 160 to 255 */
    assert_int_equal(map.reserved, 96);
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(0xb0000), 0x1000); /* again */
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(0x1000), 0);
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(400 * PAGE), PAGE); /* beyond the memory */
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(UINT64_MAX - 5), 100);
    assert_int_equal(map.reserved, 96);
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(10 * PAGE + 4095), 2); /* touches 10 and 11 */
    assert_int_equal(map.reserved, 98);
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(298 * PAGE), UINT64_MAX); /* cut at the end */
    assert_int_equal(map.reserved, 100);
    for (vm_sim_pfn i = 0; i < map.frames; i++) {
        bool is_reserved = (i >= 160 && i < 256) || i == 10 || i == 11 || i >= 298;
        assert_int_equal(vm_sim_pfn_frame(&map, i)->kind, is_reserved ? VM_SIM_FRAME_RESERVED : VM_SIM_FRAME_FREE);
    }
    assert_true(vm_sim_mem_map_check(&map));
    vm_sim_mem_map_free(&map);
}

static void kind_names(void **state)
{
    (void)state;

    for (unsigned k = 0; k < VM_SIM_FRAME_KINDS; k++)
        assert_non_null(vm_sim_frame_kind_name(k));
    assert_string_equal(vm_sim_frame_kind_name(VM_SIM_FRAME_RESERVED), "reserved");
    assert_string_equal(vm_sim_frame_kind_name(VM_SIM_FRAME_FILE), "file");
    assert_string_equal(vm_sim_frame_kind_name(VM_SIM_FRAME_KINDS), "?");
}

/* A machine of 16 GiB: descriptors that nobody touches stay zeros of the system. */
static void memory_untouched(void **state)
{
    (void)state;
    struct vm_sim_mem_map map;

    vm_sim_mem_map_init(&map, (uint64_t)1 << 34);
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(((uint64_t)1 << 34) - PAGE), PAGE);
    assert_int_equal(map.frames, 1 << 22);
    assert_int_equal(map.reserved, 1);
    vm_sim_mem_map_free(&map);
}

/* Frames 8 to 11 become a block handed out, 16 to 19 a free one. */
static void make_blocks(struct vm_sim_mem_map *map)
{
    struct vm_sim_frame *used = vm_sim_pfn_frame(map, 8), *vacant = vm_sim_pfn_frame(map, 16);

    for (unsigned i = 0; i < 4; i++)
        used[i].kind = VM_SIM_FRAME_KERNEL;
    used->count = 1;
    used->order = vacant->order = 2;
    used->flags = VM_SIM_FRAME_HEAD;
    vacant->flags = VM_SIM_FRAME_HEAD | VM_SIM_FRAME_BUDDY;
}

#define WITH_FAULT(what, value) \
    do { \
        uint64_t was = (what); \
        (what) = (value); \
        assert_false(vm_sim_mem_map_check(&map)); \
        (what) = (typeof(what))was; \
        assert_true(vm_sim_mem_map_check(&map)); \
    } while (0)

static void check_finds_faults(void **state)
{
    (void)state;
    struct vm_sim_mem_map map;

    vm_sim_mem_map_init(&map, 32 * PAGE);
    vm_sim_mem_map_reserve(&map, VM_SIM_PHYSICAL(0), PAGE);
    make_blocks(&map);
    assert_true(vm_sim_mem_map_check(&map));
    WITH_FAULT(map.reserved, 2);
    WITH_FAULT(map.reserved_end, 2);
    WITH_FAULT(map.frame[0].count, 1);
    WITH_FAULT(map.frame[0].flags, VM_SIM_FRAME_HEAD);
    WITH_FAULT(map.frame[1].count, 1);                  /* free, with a count */
    WITH_FAULT(map.frame[2].kind, VM_SIM_FRAME_ANON);   /* in no block */
    WITH_FAULT(map.frame[3].index, 7);                  /* free, but not blank */
    WITH_FAULT(map.frame[8].count, 0);
    WITH_FAULT(map.frame[8].mapcount, 2);               /* above count */
    WITH_FAULT(map.frame[8].order, 3);                  /* frames 12 to 15 are no part of it */
    WITH_FAULT(map.frame[8].order, 11);
    WITH_FAULT(map.frame[8].flags, VM_SIM_FRAME_HEAD | VM_SIM_FRAME_BUDDY);
    WITH_FAULT(map.frame[9].count, 1);
    WITH_FAULT(map.frame[10].kind, VM_SIM_FRAME_FILE);
    WITH_FAULT(map.frame[11].flags, VM_SIM_FRAME_HEAD);
    WITH_FAULT(map.frame[16].order, 5);                 /* misaligned, and beyond the end */
    WITH_FAULT(map.frame[16].count, 1);
    WITH_FAULT(map.frame[17].swap, 1);
    vm_sim_mem_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_descriptors),
        cmocka_unit_test(reserved_ranges),
        cmocka_unit_test(kind_names),
        cmocka_unit_test(memory_untouched),
        cmocka_unit_test(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
