/* Unit tests of src/reclaim/policy: ageing, strain and pressure, with made-up times and amounts.  Run by `make check`. */
#include "unit.h"

#include "reclaim/policy.h"

#define SECOND ((uint64_t)1000000000)
#define T0 (5000 * SECOND)

static size_t look(struct vm_age *a, size_t kept, uint64_t now) { return vm_age_look(a, kept, now, SECOND, false); }

static void idle_memory_goes_at_the_second_look(void **state)
{
    (void)state;
    struct vm_age a = {0};

    assert_int_equal(look(&a, 100, T0), 100);
    assert_int_equal(look(&a, 100, T0 + SECOND / 2 - SECOND / 16 - 1), 100); /* no look yet */
    assert_int_equal(look(&a, 100, T0 + SECOND / 2), 0);
    assert_int_equal(look(&a, 0, T0 + SECOND), 0);
}

/* Whenever it is freed, it is gone a decay time after that, and was there for half of it at least. */
static void nothing_stays_longer_than_the_decay_time(void **state)
{
    (void)state;
    const uint64_t tick = SECOND / 2;

    for (uint64_t freed = 0; freed < SECOND; freed += SECOND / 64) {
        struct vm_age a = {0};
        size_t kept = 0;
        uint64_t gone = 0;
        look(&a, 0, T0);
        bool done = false;
        for (uint64_t t = tick; t <= 3 * SECOND && !gone; t += tick) {
            if (!done && freed < t) {
                kept = 1000;
                done = true;
            }
            kept = look(&a, kept, T0 + t);
            if (done && kept == 0)
                gone = t;
        }
        assert_true(gone > 0 && gone - freed <= SECOND);
        assert_true(gone - freed >= SECOND / 2);
    }
}

static void what_serves_again_stays(void **state)
{
    (void)state;
    struct vm_age a = {0};

    look(&a, 1000, T0);
    for (unsigned i = 1; i < 50; i++) { /* all of it is used and freed again between any two looks */
        vm_age_used(&a, 0);
        assert_int_equal(look(&a, 1000, T0 + i * SECOND / 2), 1000);
    }
    /* Then only 300 of it: the other 700 go. */
    vm_age_used(&a, 700);
    assert_int_equal(look(&a, 1000, T0 + 25 * SECOND), 300);
    vm_age_used(&a, 0);
    assert_int_equal(look(&a, 300, T0 + 25 * SECOND + SECOND / 2), 300);
    assert_int_equal(look(&a, 300, T0 + 26 * SECOND), 0);
}

/* Against a model that knows every byte: a stack of kept bytes, where the latest freed serves first. */
static void as_a_model_of_every_byte(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    enum { MOST = 200 };

    for (unsigned round = 0; round < 300; round++) {
        struct vm_age a = {0};
        unsigned untouched_looks[MOST] = {0}; /* of each kept byte, bottom first: looks since it was freed */
        size_t kept = 0;
        for (unsigned step = 0; step < 60; step++) {
            unsigned changes = (unsigned)(next_random(&seed) % 6);
            for (unsigned c = 0; c < changes; c++) {
                size_t n = next_random(&seed) % 60;
                if (next_random(&seed) & 1) {
                    for (; n > 0 && kept < MOST; n--)
                        untouched_looks[kept++] = 0;
                } else {
                    kept -= n < kept ? n : kept;
                    vm_age_used(&a, kept);
                }
            }
            size_t old = 0;
            while (old < kept && untouched_looks[old] > 0)
                old++;
            assert_int_equal(look(&a, kept, T0 + step * SECOND / 2), kept - old);
            memmove(untouched_looks, untouched_looks + old, (kept - old) * sizeof *untouched_looks);
            kept -= old;
            for (size_t i = 0; i < kept; i++)
                untouched_looks[i]++;
        }
    }
}

static void strain_takes_everything_at_once(void **state)
{
    (void)state;
    struct vm_age a = {0};

    assert_int_equal(vm_age_look(&a, 500, T0, SECOND, true), 0);
    assert_int_equal(vm_age_look(&a, 500, T0 + 1, SECOND, false), 500);
    assert_int_equal(vm_age_look(&a, 500, T0 + 2, SECOND, true), 0);

    assert_int_equal(vm_policy_strained_bound(16 << 20, 0), 0);
    assert_int_equal(vm_policy_strained_bound(16 << 20, 64 * 1000), 1000);
    assert_int_equal(vm_policy_strained_bound(16 << 20, SIZE_MAX), VM_POLICY_STRAINED_MAX);
    assert_int_equal(vm_policy_strained_bound(10, SIZE_MAX), 10);
}

static void odd_clocks(void **state)
{
    (void)state;
    struct vm_age a = {0};

    look(&a, 10, T0);
    assert_int_equal(look(&a, 10, T0 - SECOND), 0); /* it went back: as if the time was over */
    assert_int_equal(look(&a, 10, UINT64_MAX), 10);
    assert_int_equal(vm_age_interval(0), 1);
    assert_int_equal(vm_age_interval(1), 1);
    assert_int_equal(vm_age_interval(SECOND), SECOND / 2);
}

static void pressed_by_a_twentieth(void **state)
{
    (void)state;

    assert_false(vm_policy_pressed(0, 0, SECOND));
    assert_false(vm_policy_pressed(50000, 0, SECOND)); /* us of 1 s */
    assert_true(vm_policy_pressed(50001, 0, SECOND));
    assert_true(vm_policy_pressed(1000000 + 25001, 1000000, SECOND / 2));
    assert_false(vm_policy_pressed(5, 1000000, SECOND / 2)); /* another cgroup's account */
    assert_true(vm_policy_pressed(1, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_memory_goes_at_the_second_look),
        cmocka_unit_test(nothing_stays_longer_than_the_decay_time),
        cmocka_unit_test(what_serves_again_stays),
        cmocka_unit_test(as_a_model_of_every_byte),
        cmocka_unit_test(strain_takes_everything_at_once),
        cmocka_unit_test(odd_clocks),
        cmocka_unit_test(pressed_by_a_twentieth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
