/* Unit tests of src/sim/space: placement, holes, compaction; the example of the model; a random model against a map of
   bytes.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/space.h"

#define MIB ((uint64_t)1 << 20)

static void example_1024(void **state)
{
    (void)state;
    struct vm_sim_space s;

    vm_sim_space_init(&s, 1024 * MIB, VM_SIM_FIRST_FIT, NULL);
    assert_int_equal(vm_sim_space_place(&s, 512 * MIB, "a")->base, 0);
    struct vm_sim_hole_use *b = vm_sim_space_place(&s, 128 * MIB, "b");
    struct vm_sim_hole_use *c = vm_sim_space_place(&s, 256 * MIB, "c");
    vm_sim_space_release(&s, b);
    assert_int_equal(vm_sim_space_available(&s), 256 * MIB);
    assert_int_equal(vm_sim_space_largest_hole(&s), 128 * MIB);
    assert_float_equal(vm_sim_space_fragmentation(&s), 0.5, 1e-12);
    assert_null(vm_sim_space_place(&s, 200 * MIB, "d"));
    assert_int_equal(vm_sim_space_compact(&s), 256 * MIB);
    assert_int_equal(c->base, 512 * MIB);
    assert_int_equal(vm_sim_space_place(&s, 200 * MIB, "d")->base, 768 * MIB);
    assert_float_equal(vm_sim_space_fragmentation(&s), 0, 0);
    assert_true(vm_sim_space_check(&s));
    vm_sim_space_free(&s);
}

static void first_and_best_fit(void **state)
{
    (void)state;

    for (unsigned best = 0; best < 2; best++) {
        struct vm_sim_space s;
        vm_sim_space_init(&s, 1000, best ? VM_SIM_BEST_FIT : VM_SIM_FIRST_FIT, NULL);
        assert_non_null(vm_sim_space_place_at(&s, 300, 100, "x"));
        assert_non_null(vm_sim_space_place_at(&s, 500, 300, "y")); /* holes: 0..300, 400..500, 800..1000 */
        assert_null(vm_sim_space_place_at(&s, 350, 10, "z"));
        assert_null(vm_sim_space_place_at(&s, 250, 51, "z"));
        assert_null(vm_sim_space_place_at(&s, 990, 11, "z"));
        assert_null(vm_sim_space_place(&s, 0, "nothing"));
        assert_int_equal(vm_sim_space_place(&s, 100, "p")->base, best ? 400 : 0);
        assert_int_equal(vm_sim_space_place(&s, 150, "q")->base, best ? 800 : 100);
        assert_true(vm_sim_space_check(&s));
        vm_sim_space_free(&s);
    }
}

#define BYTES 512
#define PIECES 40

static void random_model(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static uint8_t map[BYTES]; /* 1 + number of the piece */
    static struct vm_sim_hole_use *piece[PIECES];
    struct vm_sim_space s;

    vm_sim_space_init(&s, BYTES, VM_SIM_BEST_FIT, NULL);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)below(&seed, PIECES), largest = 0, run = 0, available = 0;
        s.fit = one_in(&seed, 2) ? VM_SIM_FIRST_FIT : VM_SIM_BEST_FIT;
        if (piece[i]) {
            memset(map + piece[i]->base, 0, piece[i]->bytes);
            vm_sim_space_release(&s, piece[i]);
            piece[i] = NULL;
        } else {
            uint64_t bytes = 1 + below(&seed, 60), had = vm_sim_space_largest_hole(&s);
            piece[i] = vm_sim_space_place(&s, bytes, "piece");
            CHECK(!piece[i] == (had < bytes));
            for (uint64_t k = 0; piece[i] && k < bytes; k++) {
                CHECK(map[piece[i]->base + k] == 0);
                map[piece[i]->base + k] = (uint8_t)(i + 1);
            }
        }
        if (one_in(&seed, 50)) {
            vm_sim_space_compact(&s);
            memset(map, 0, sizeof map);
            for (unsigned k = 0; k < PIECES; k++)
                if (piece[k])
                    memset(map + piece[k]->base, (int)k + 1, piece[k]->bytes);
            CHECK(vm_sim_space_largest_hole(&s) == vm_sim_space_available(&s));
        }
        for (unsigned k = 0; k < BYTES; k++) {
            run = map[k] ? 0 : run + 1;
            available += !map[k];
            largest = run > largest ? run : largest;
        }
        CHECK(vm_sim_space_check(&s) && vm_sim_space_available(&s) == available);
        CHECK(vm_sim_space_largest_hole(&s) == largest);
    }
    vm_sim_space_free(&s);
}

static void check_finds_faults(void **state)
{
    (void)state;
    struct vm_sim_space s;

    vm_sim_space_init(&s, 100, VM_SIM_FIRST_FIT, NULL);
    struct vm_sim_hole_use *a = vm_sim_space_place(&s, 10, "a");
    vm_sim_space_place(&s, 10, "b");
    assert_true(vm_sim_space_check(&s));
    a->bytes = 11;
    assert_false(vm_sim_space_check(&s));
    a->bytes = 10;
    s.used++;
    assert_false(vm_sim_space_check(&s));
    s.used--;
    a->base = 95;
    assert_false(vm_sim_space_check(&s));
    a->base = 0;
    vm_sim_space_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_1024),
        cmocka_unit_test(first_and_best_fit),
        cmocka_unit_test(random_model),
        cmocka_unit_test(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
