/* Unit tests of src/sim/workset: windows against a plain count, joining, growth.  Run by `make check`.  SEED sets the
   seed. */
#include "unit.h"

#include "sim/workset.h"

static void windows(void **state)
{
    (void)state;
    struct vm_sim_workset w;

    vm_sim_workset_init(&w, 4, 8);
    static const uint64_t pages[] = {1, 2, 1, 2, 3, 3, 3, 3, 1, 2, 3, 4, 9, 9};
    for (unsigned i = 0; i < 14; i++) {
        vm_sim_workset_ref(&w, pages[i], 10 + i, i + 1);
        assert_true(vm_sim_workset_check(&w));
    }
    vm_sim_workset_end(&w, 77, 14);
    vm_sim_workset_end(&w, 78, 15); /* once is enough */
    assert_int_equal(w.samples, 4);
    static const struct vm_sim_sample want[] = {{4, 2, 13, 4}, {8, 1, 17, 4}, {12, 4, 21, 4}, {14, 1, 77, 2}};
    assert_memory_equal(w.sample, want, sizeof want);
    assert_true(vm_sim_workset_check(&w));
    w.sample[1].referenced = 5;
    assert_false(vm_sim_workset_check(&w));
    vm_sim_workset_free(&w);
}

static void windows_are_joined(void **state)
{
    (void)state;
    struct vm_sim_workset w;

    vm_sim_workset_init(&w, 10, 4);
    for (unsigned i = 0; i < 1000; i++) {
        vm_sim_workset_ref(&w, i / 10 % 3 + i % (i / 10 + 1), 1, 0);
        assert_true(vm_sim_workset_check(&w));
    }
    assert_true(w.samples < 4);
    assert_int_equal(w.window, 320); /* of at most 4 samples in 1000 references */
    vm_sim_workset_free(&w);
}

static void random_pages(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static uint8_t seen[20000];
    struct vm_sim_workset w;
    uint64_t distinct = 0;

    vm_sim_workset_init(&w, 5000, 1000);
    for (unsigned i = 1; i <= 200000; i++) {
        uint64_t page = one_in(&seed, 2) ? below(&seed, 20000) : below(&seed, 20);
        distinct += !seen[page];
        seen[page] = 1;
        vm_sim_workset_ref(&w, page, i, 0);
        if (i % 5000 == 0) {
            assert_int_equal(w.sample[w.samples - 1].referenced, distinct);
            assert_int_equal(w.sample[w.samples - 1].resident, i);
            memset(seen, 0, sizeof seen);
            distinct = 0;
            assert_true(vm_sim_workset_check(&w));
        }
    }
    vm_sim_workset_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(windows_are_joined),
        cmocka_unit_test(random_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
