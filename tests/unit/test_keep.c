/* Unit tests of src/reclaim/keep: the arithmetic of what to keep, with made-up times.  Run by `make check`. */
#include "unit.h"

#include "reclaim/keep.h"

#define SECOND VM_KEEP_DECAY_NS
#define T0 ((uint64_t)5000 * SECOND)

static void bound_is_the_largest_of_three(void **state)
{
    (void)state;
    struct vm_keep k = {.floor = 1000};

    assert_int_equal(vm_keep_bound(&k, 0, T0), 1000);
    assert_int_equal(vm_keep_bound(&k, 8000, T0), 1000);
    assert_int_equal(vm_keep_bound(&k, 8008, T0), 1001);
    assert_int_equal(vm_keep_bound(&k, SIZE_MAX, T0), SIZE_MAX / VM_KEEP_LIVE_SHARE);
    vm_keep_returned(&k, 5000, T0);
    vm_keep_fetched(&k, 4000, T0);
    assert_int_equal(vm_keep_bound(&k, 8000, T0), 4000);
    assert_int_equal(vm_keep_bound(&k, 80000, T0), 10000);
}

static void credit_is_earned_by_what_comes_back(void **state)
{
    (void)state;
    struct vm_keep k = {0};

    vm_keep_fetched(&k, 1 << 20, T0); /* the first time: nothing was returned */
    assert_int_equal(vm_keep_bound(&k, 0, T0), 0);
    vm_keep_returned(&k, 100, T0);
    vm_keep_fetched(&k, 1 << 20, T0); /* no more than was returned */
    assert_int_equal(vm_keep_bound(&k, 0, T0), 100);
    vm_keep_fetched(&k, 1 << 20, T0);
    assert_int_equal(vm_keep_bound(&k, 0, T0), 100);
    vm_keep_returned(&k, 70, T0);
    vm_keep_fetched(&k, 30, T0);
    vm_keep_fetched(&k, 30, T0);
    assert_int_equal(k.returned, 10);
    assert_int_equal(vm_keep_bound(&k, 0, T0), 160);
}

static void credit_has_a_limit(void **state)
{
    (void)state;
    struct vm_keep k = {0};

    for (int i = 0; i < 10; i++) {
        vm_keep_returned(&k, VM_KEEP_CREDIT_MAX / 3, T0);
        vm_keep_fetched(&k, VM_KEEP_CREDIT_MAX / 3, T0);
        assert_true(vm_keep_bound(&k, 0, T0) <= VM_KEEP_CREDIT_MAX);
    }
    assert_int_equal(vm_keep_bound(&k, 0, T0), VM_KEEP_CREDIT_MAX);
}

static void a_quarter_goes_every_second(void **state)
{
    (void)state;
    struct vm_keep k = {0};
    size_t credit = 1 << 20;

    vm_keep_returned(&k, credit + 1000, T0);
    vm_keep_fetched(&k, credit, T0);
    assert_int_equal(vm_keep_bound(&k, 0, T0 + SECOND - 1), credit);
    for (unsigned s = 1; s <= 20; s++) {
        credit -= credit / 4;
        assert_int_equal(vm_keep_bound(&k, 0, T0 + s * SECOND), credit);
        assert_int_equal(k.returned, 1000 >> s);
        assert_int_equal(vm_keep_bound(&k, 0, T0 + s * SECOND + SECOND / 2), credit);
    }
    /* Seconds that nobody looked at count as well. */
    struct vm_keep a = {.credit = 1 << 20, .decayed = T0}, b = a;
    for (unsigned s = 1; s <= 7; s++)
        vm_keep_bound(&a, 0, T0 + s * SECOND);
    assert_int_equal(vm_keep_bound(&b, 0, T0 + 7 * SECOND), vm_keep_bound(&a, 0, T0 + 7 * SECOND));
}

static void nothing_is_left_after_long(void **state)
{
    (void)state;
    struct vm_keep k = {.floor = 7};

    vm_keep_returned(&k, VM_KEEP_CREDIT_MAX, T0);
    vm_keep_fetched(&k, VM_KEEP_CREDIT_MAX / 2, T0);
    assert_int_equal(vm_keep_bound(&k, 0, T0 + 1000 * SECOND), 7);
    assert_int_equal(k.returned, 0);
    assert_int_equal(vm_keep_bound(&k, 0, UINT64_MAX), 7);
    vm_keep_returned(&k, 50, UINT64_MAX);
    vm_keep_fetched(&k, 50, UINT64_MAX);
    assert_int_equal(vm_keep_bound(&k, 0, UINT64_MAX), 50);
}

/* The coarse clock starts anywhere, and nothing may break if it ever went back. */
static void odd_clocks(void **state)
{
    (void)state;
    struct vm_keep k = {0};

    vm_keep_returned(&k, 100, 0);
    vm_keep_fetched(&k, 100, 0);
    assert_int_equal(vm_keep_bound(&k, 0, 0), 100);
    assert_int_equal(vm_keep_bound(&k, 0, T0), 100); /* the first time that is not 0 is the start */
    assert_int_equal(vm_keep_bound(&k, 0, T0 - 3 * SECOND), 100);
    assert_int_equal(vm_keep_bound(&k, 0, T0 - 2 * SECOND), 75);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bound_is_the_largest_of_three),
        cmocka_unit_test(credit_is_earned_by_what_comes_back),
        cmocka_unit_test(credit_has_a_limit),
        cmocka_unit_test(a_quarter_goes_every_second),
        cmocka_unit_test(nothing_is_left_after_long),
        cmocka_unit_test(odd_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
