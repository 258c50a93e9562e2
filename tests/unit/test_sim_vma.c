/* Unit tests of src/sim/vma (row 25): list and tree of areas against an array with an entry for every page, with
   vm_sim_vma_check() after every step; merging, splitting, find, holes, planted faults.  Run by `make check`.  SEED sets
   the seed. */
#include "sim.h"

static struct vm_sim_machine *m;
static struct vm_sim_mm *mm;

static int set_up(void **state)
{
    (void)state;
    m = MACHINE("x86_64", "memory=64M");
    mm = vm_sim_mm_new(m, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vm_sim_mm_put(m, mm);
    vm_sim_machine_free(m);
    return 0;
}

static int insert(uint64_t first, uint64_t last, unsigned perms, unsigned flags)
{
    struct vm_sim_vma like = {.start = first * PAGE, .end = (last + 1) * PAGE, .perms = (uint8_t)perms,
                              .flags = (uint8_t)flags, .region = VM_SIM_MMAP};
    int error = vm_sim_vma_insert(mm, &like, NULL);

    CHECK(vm_sim_vma_check(mm));
    return error;
}

static void merge_and_split(void **state)
{
    (void)state;
    assert_int_equal(insert(10, 19, RW, 0), 0);
    assert_int_equal(insert(30, 39, RW, 0), 0);
    assert_int_equal(mm->vma_count, 2);
    assert_int_equal(insert(15, 25, RW, 0), -EEXIST);
    assert_int_equal(insert(20, 29, RW, 0), 0); /* closes the gap: one area */
    assert_int_equal(mm->vma_count, 1);
    assert_int_equal(mm->total_vm, 30);
    assert_int_equal(insert(40, 49, VM_SIM_R, 0), 0); /* other permissions: its own */
    assert_int_equal(insert(50, 59, RW, VM_SIM_VMA_SHARED), 0);
    assert_int_equal(mm->vma_count, 3);
    vm_sim_vma_remove(mm, 15 * PAGE, 20 * PAGE); /* a hole in the middle */
    assert_true(vm_sim_vma_check(mm));
    assert_int_equal(mm->vma_count, 4);
    assert_int_equal(vm_sim_find_vma(mm, 12 * PAGE)->end, 15 * PAGE);
    assert_int_equal(vm_sim_find_vma(mm, 15 * PAGE)->start, 20 * PAGE); /* the next one above */
    assert_int_equal(vm_sim_find_vma(mm, 0)->start, 10 * PAGE);
    assert_int_equal(vm_sim_find_vma(mm, 15 * PAGE - 1)->start, 10 * PAGE);
    assert_null(vm_sim_find_vma(mm, 60 * PAGE));
    assert_null(vm_sim_find_vma(mm, UINT64_MAX));
    vm_sim_vma_remove(mm, 12 * PAGE, 55 * PAGE);
    assert_true(vm_sim_vma_check(mm));
    assert_int_equal(mm->vma_count, 2);
    assert_int_equal(mm->total_vm, 7);
}

/* Parts of a file are one area only when their offsets follow each other too. */
static void file_offsets(void **state)
{
    (void)state;
    struct vm_sim_file *f = vm_sim_file_open(m, "f", 100 * PAGE);
    struct vm_sim_vma like = {.start = 10 * PAGE, .end = 12 * PAGE, .perms = VM_SIM_R, .region = VM_SIM_FILE, .file = f,
                              .offset = 5};

    vm_sim_vma_insert(mm, &like, NULL);
    like.start = 12 * PAGE;
    like.end = 14 * PAGE;
    like.offset = 8;
    vm_sim_vma_insert(mm, &like, NULL);
    assert_int_equal(mm->vma_count, 2);
    like.start = 14 * PAGE;
    like.end = 15 * PAGE;
    like.offset = 10;
    vm_sim_vma_insert(mm, &like, NULL);
    assert_int_equal(mm->vma_count, 2);
    struct vm_sim_vma *upper = vm_sim_vma_split(vm_sim_find_vma(mm, 12 * PAGE), 13 * PAGE);
    assert_int_equal(upper->offset, 9);
    assert_int_equal(upper->start, 13 * PAGE);
    assert_false(vm_sim_vma_check(mm)); /* two that could be one */
    vm_sim_vma_merge(upper);
    assert_true(vm_sim_vma_check(mm));
}

static void holes(void **state)
{
    (void)state;
    insert(10, 19, RW, 0);
    insert(25, 29, RW, 0);
    assert_int_equal(vm_sim_vma_hole(mm, 5 * PAGE, 10 * PAGE, 40 * PAGE, false), 20 * PAGE);
    assert_int_equal(vm_sim_vma_hole(mm, 6 * PAGE, 10 * PAGE, 40 * PAGE, false), 30 * PAGE);
    assert_int_equal(vm_sim_vma_hole(mm, 5 * PAGE, 5 * PAGE, 40 * PAGE, false), 5 * PAGE);
    assert_int_equal(vm_sim_vma_hole(mm, 5 * PAGE, 5 * PAGE, 40 * PAGE, true), 35 * PAGE);
    assert_int_equal(vm_sim_vma_hole(mm, 5 * PAGE, 5 * PAGE, 33 * PAGE, true), 20 * PAGE);
    assert_int_equal(vm_sim_vma_hole(mm, 11 * PAGE, 10 * PAGE, 40 * PAGE, true), 0);
    assert_int_equal(vm_sim_vma_hole(mm, 10 * PAGE, 10 * PAGE, 40 * PAGE, true), 30 * PAGE);
}

#define SPAN 200

static void random_areas(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    unsigned kind[SPAN + 1] = {0}; /* 0: nothing; else perms + 8 * flags + 1 */

    for (unsigned step = 0; step < 20000; step++) {
        uint64_t first = below(&seed, SPAN), last = first + below(&seed, one_in(&seed, 4) ? 60 : 8);
        last = vm_min(last, SPAN - 1);
        bool there = false;
        for (uint64_t i = first; i <= last; i++)
            there |= kind[i] != 0;
        if (one_in(&seed, 2)) {
            unsigned perms = one_in(&seed, 3) ? VM_SIM_R : RW, flags = one_in(&seed, 5) ? VM_SIM_VMA_LOCKED : 0;
            assert_int_equal(insert(first + 1, last + 1, perms, flags), there ? -EEXIST : 0);
            for (uint64_t i = first; i <= last && !there; i++)
                kind[i] = perms + 8 * flags + 1;
        } else {
            vm_sim_vma_remove(mm, (first + 1) * PAGE, (last + 2) * PAGE);
            CHECK(vm_sim_vma_check(mm));
            for (uint64_t i = first; i <= last; i++)
                kind[i] = 0;
        }
        unsigned areas = 0, pages = 0;
        for (unsigned i = 0; i < SPAN; i++) {
            areas += kind[i] && (i == 0 || kind[i] != kind[i - 1]);
            pages += kind[i] != 0;
        }
        assert_int_equal(mm->vma_count, areas);
        assert_int_equal(mm->total_vm, pages);
        uint64_t at = below(&seed, SPAN);
        const struct vm_sim_vma *v = vm_sim_find_vma(mm, (at + 1) * PAGE + 5);
        while (at < SPAN && !kind[at])
            at++;
        assert_int_equal(v != NULL, at < SPAN);
        assert_true(!v || (v->start <= (at + 1) * PAGE && v->end > (at + 1) * PAGE));
        uint64_t want = 1 + below(&seed, 20), run = 0, found = 0;
        for (at = 0; at < SPAN && !found; at++)
            if ((run = kind[at] ? 0 : run + 1) == want)
                found = at + 2 - want;
        assert_int_equal(vm_sim_vma_hole(mm, want * PAGE, PAGE, (SPAN + 1) * PAGE, false), found * PAGE);
    }
}

static void check_finds(void **state)
{
    (void)state;
    insert(10, 19, RW, 0);
    insert(30, 39, RW, 0);
    struct vm_sim_vma *v = vm_sim_vma_first(mm);
    v->end += PAGE;
    assert_false(vm_sim_vma_check(mm));
    v->end -= PAGE;
    mm->total_vm++;
    assert_false(vm_sim_vma_check(mm));
    mm->total_vm--;
    v->offset++;
    assert_false(vm_sim_vma_check(mm));
    v->offset--;
    mm->vma_count++;
    assert_false(vm_sim_vma_check(mm));
    mm->vma_count--;
    assert_true(vm_sim_vma_check(mm));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(merge_and_split, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_offsets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_areas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(check_finds, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
