/* Unit tests of src/sim/swap: the header slot, priorities and turns, extents and seeks, counts, the cache; random use against
   a plain array of counts.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/swap.h"

#define PAGE VM_SIM_PAGE_SIZE

static void header_slot(void **state)
{
    (void)state;
    struct vm_sim_swaps s = {0};

    assert_int_equal(vm_sim_swap_add(&s, "small", PAGE, 0, 1), -EINVAL);
    assert_int_equal(vm_sim_swap_add(&s, "none", 8 * PAGE, 0, 0), -EINVAL);
    assert_int_equal(vm_sim_swap_add(&s, "huge", ((uint64_t)VM_SIM_SWAP_SLOTS + 1) * PAGE, 0, 1), -ENOSPC);
    assert_int_equal(vm_sim_swap_take(&s), 0);
    assert_int_equal(vm_sim_swap_add(&s, "a", 8 * PAGE, 0, 1), 0);
    assert_int_equal(vm_sim_swap_free(&s), 7);
    for (unsigned i = 1; i < 8; i++) {
        assert_int_equal(vm_sim_swap_take(&s), vm_sim_pte_swap(0, i));
        assert_true(vm_sim_swaps_check(&s));
    }
    assert_int_equal(vm_sim_swap_take(&s), 0);
    assert_true(vm_sim_swap_put(&s, vm_sim_pte_swap(0, 3)));
    assert_int_equal(vm_sim_swap_take(&s), vm_sim_pte_swap(0, 3)); /* used again */
    vm_sim_swaps_free(&s);
}

static void priorities(void **state)
{
    (void)state;
    static const unsigned want[] = {1, 2, 1, 2, 1, 1, 0, 0, 0};
    struct vm_sim_swaps s = {0};

    vm_sim_swap_add(&s, "slow", 4 * PAGE, -1, 1);
    vm_sim_swap_add(&s, "fast", 5 * PAGE, 5, 1);
    vm_sim_swap_add(&s, "fast too", 3 * PAGE, 5, 1);
    for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(vm_sim_pte_swap_area(vm_sim_swap_take(&s)), want[i]);
    assert_int_equal(vm_sim_swap_take(&s), 0);
    assert_true(vm_sim_swaps_check(&s));
    vm_sim_swaps_free(&s);
}

static void extents(void **state)
{
    (void)state;
    struct vm_sim_swaps s = {0};

    vm_sim_swap_add(&s, "partition", 10 * PAGE, 1, 1);
    vm_sim_swap_add(&s, "file", 10 * PAGE, 0, 3); /* slots 0-2, 3-5, 6-9 at blocks 0, 6, 12 */
    assert_int_equal(vm_sim_swap_block(&s, vm_sim_pte_swap(0, 9)), 9);
    static const uint64_t block[] = {0, 1, 2, 6, 7, 8, 12, 13, 14, 15};
    for (unsigned slot = 1; slot < 10; slot++)
        assert_int_equal(vm_sim_swap_block(&s, vm_sim_pte_swap(1, slot)), block[slot]);
    for (unsigned i = 0; i < 18; i++)
        vm_sim_swap_write(&s, vm_sim_swap_take(&s));
    assert_int_equal(s.area[0].writes, 9);
    assert_int_equal(s.area[0].seeks, 1);
    assert_int_equal(s.area[1].seeks, 3);
    vm_sim_swap_read(&s, vm_sim_pte_swap(0, 4));
    assert_int_equal(s.area[0].reads, 1);
    assert_int_equal(s.area[0].seeks, 2);
    vm_sim_swaps_free(&s);
}

static void counts_and_cache(void **state)
{
    (void)state;
    struct vm_sim_swaps s = {0};

    vm_sim_swap_add(&s, "a", 8 * PAGE, 0, 1);
    vm_sim_pte slot = vm_sim_swap_take(&s);
    vm_sim_swap_get(&s, slot);
    assert_int_equal(vm_sim_swap_cached(&s, slot), VM_SIM_NO_FRAME);
    vm_sim_swap_cache_add(&s, slot, 77);
    assert_int_equal(vm_sim_swap_cached(&s, slot), 77);
    assert_int_equal(vm_sim_swap_count(&s, slot), 3);
    assert_false(vm_sim_swap_put(&s, slot));
    assert_false(vm_sim_swap_put(&s, slot));
    assert_true(vm_sim_swaps_check(&s));
    assert_true(vm_sim_swap_cache_remove(&s, slot));
    assert_int_equal(vm_sim_swap_free(&s), 7);
    assert_true(vm_sim_swaps_check(&s));
    vm_sim_swaps_free(&s);
}

static void check_finds(void **state)
{
    (void)state;
    struct vm_sim_swaps s = {0};

    vm_sim_swap_add(&s, "a", 8 * PAGE, 0, 2);
    s.area[0].count[3] = 1;
    assert_false(vm_sim_swaps_check(&s));
    s.area[0].count[3] = 0;
    s.area[0].cache[3] = 1;
    assert_false(vm_sim_swaps_check(&s));
    s.area[0].cache[3] = VM_SIM_NO_FRAME;
    s.area[0].extent[1].first++;
    assert_false(vm_sim_swaps_check(&s));
    s.area[0].extent[1].first--;
    assert_true(vm_sim_swaps_check(&s));
    vm_sim_swaps_free(&s);
}

static void random_use(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    struct vm_sim_swaps s = {0};
    static unsigned count[3][64];
    uint64_t used = 0;

    memset(count, 0, sizeof count);
    for (unsigned i = 0; i < 3; i++)
        vm_sim_swap_add(&s, "area", 64 * PAGE, (int)(i / 2), 1 + i);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned a = (unsigned)below(&seed, 3), i = 1 + (unsigned)below(&seed, 63);
        vm_sim_pte slot = vm_sim_pte_swap(a, i);
        if (below(&seed, 100) < 45) {
            vm_sim_pte got = vm_sim_swap_take(&s);
            assert_int_equal(got == 0, used == 3 * 63);
            if (got) {
                unsigned *c = &count[vm_sim_pte_swap_area(got)][vm_sim_pte_swap_slot(got)];
                assert_int_equal(*c, 0);
                *c = 1;
                used++;
            }
        } else if (count[a][i] > 0 && one_in(&seed, 3)) {
            vm_sim_swap_get(&s, slot);
            count[a][i]++;
        } else if (count[a][i] > 0) {
            assert_int_equal(vm_sim_swap_put(&s, slot), --count[a][i] == 0);
            used -= count[a][i] == 0;
        }
        assert_true(vm_sim_swaps_check(&s));
        assert_int_equal(vm_sim_swap_free(&s), 3 * 63 - used);
    }
    vm_sim_swaps_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_slot),      cmocka_unit_test(priorities),  cmocka_unit_test(extents),
        cmocka_unit_test(counts_and_cache), cmocka_unit_test(check_finds), cmocka_unit_test(random_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
