/* Unit tests of src/reclaim/keep: the arithmetic of what to keep, with made-up times.  Run by `make check`. */
#include "unit.h"

#include "reclaim/keep.h"

#define STEP VM_KEEP_DECAY_NS
#define T0 ((uint64_t)5000 * STEP)

static void bound_is_the_largest_of_three(void **state)
{
    (void)state;
    struct vm_keep k = {.floor = 3000};

    assert_int_equal(vm_keep_bound(&k, 0, 0, T0), 3000);
    assert_int_equal(vm_keep_bound(&k, 48000, 0, T0), 3000);
    assert_int_equal(vm_keep_bound(&k, 48016, 0, T0), 3001);
    assert_true(vm_keep_bound(&k, SIZE_MAX, 0, T0) <= SIZE_MAX / 8);
    vm_keep_returned(&k, 9000, T0);
    vm_keep_fetched(&k, 8000, T0);
    assert_int_equal(vm_keep_bound(&k, 32000, 0, T0), 9000);
    assert_int_equal(vm_keep_bound(&k, 480000, 0, T0), 30000);
}

/* Both together never have more than 1/8 of what is live, or 16 MiB, by right. */
static void two_share_the_bound(void **state)
{
    (void)state;

    for (size_t live = 0; live < (size_t)1 << 40; live = live * 3 + 1000003) {
        struct vm_keep a = {.floor = VM_KEEP_FLOOR}, b = a;
        size_t most = vm_max(live / 8, (size_t)16 << 20);
        size_t first = vm_keep_bound(&a, live, 0, T0), second = vm_keep_bound(&b, live, first, T0);
        assert_true(first + second <= most && second >= first / 4);
        assert_int_equal(vm_keep_bound(&a, live, second, T0), first - second);
        assert_int_equal(vm_keep_bound(&a, live, SIZE_MAX, T0), second);
        assert_true(vm_keep_target(first) <= first && vm_keep_target(first) >= first / 8 * 7);
    }
}

/* And an eighth more. */
static void credit_is_earned_by_what_comes_back(void **state)
{
    (void)state;
    struct vm_keep k = {0};

    vm_keep_fetched(&k, 1 << 20, T0); /* the first time: nothing was returned */
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0), 0);
    vm_keep_returned(&k, 800, T0);
    vm_keep_fetched(&k, 1 << 20, T0); /* no more than was returned */
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0), 900);
    vm_keep_fetched(&k, 1 << 20, T0);
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0), 900);
    vm_keep_returned(&k, 70, T0);
    vm_keep_fetched(&k, 32, T0);
    vm_keep_fetched(&k, 32, T0);
    assert_int_equal(vm_keep_owed(&k), 6);
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0), 972);
}

static void credit_has_a_limit(void **state)
{
    (void)state;
    struct vm_keep k = {0};

    for (int i = 0; i < 10; i++) {
        vm_keep_returned(&k, VM_KEEP_CREDIT_MAX / 3, T0);
        vm_keep_fetched(&k, VM_KEEP_CREDIT_MAX / 3, T0);
        assert_true(vm_keep_bound(&k, 0, 0, T0) <= VM_KEEP_CREDIT_MAX);
    }
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0), VM_KEEP_CREDIT_MAX);
}

/* What keeps memory that lies idle loses a quarter every step, what keeps nothing a sixteenth, what serves nothing. */
static void credit_decays(void **state)
{
    (void)state;
    struct vm_keep idle = {0}, none = {0}, wave = {0};
    size_t credit = (1 << 20) / 8 * 9, slow = credit;

    vm_keep_returned(&idle, 1 << 20, T0);
    vm_keep_fetched(&idle, 1 << 20, T0);
    none = wave = idle;
    vm_keep_set(&idle, SIZE_MAX);
    idle.low = idle.low_before = idle.high_before = SIZE_MAX;
    assert_int_equal(vm_keep_bound(&idle, 0, 0, T0 + STEP - 1), credit);
    for (unsigned s = 1; s <= 20; s++) {
        credit -= vm_max(credit / 4, credit / 16);
        slow -= slow / 16;
        assert_int_equal(vm_keep_bound(&idle, 0, 0, T0 + s * STEP), credit);
        assert_int_equal(vm_keep_bound(&idle, 0, 0, T0 + s * STEP + STEP / 2), credit);
        assert_int_equal(vm_keep_bound(&none, 0, 0, T0 + s * STEP), slow);
        vm_keep_set(&wave, (1 << 20) / 8 * 9); /* kept ... */
        vm_keep_set(&wave, 0);                 /* ... and used again */
        assert_int_equal(vm_keep_bound(&wave, 0, 0, T0 + s * STEP), (1 << 20) / 8 * 9);
    }
    /* Steps that nobody looked at count as well. */
    struct vm_keep a = {.credit = 1 << 20, .decayed = T0, .kept = SIZE_MAX, .low = SIZE_MAX, .high = SIZE_MAX}, b = a;
    for (unsigned s = 1; s <= 7; s++)
        vm_keep_bound(&a, 0, 0, T0 + s * STEP);
    assert_int_equal(vm_keep_bound(&b, 0, 0, T0 + 7 * STEP), vm_keep_bound(&a, 0, 0, T0 + 7 * STEP));
}

/* What was returned is owed until the end of the next step, wholly. */
static void soon_is_a_step_or_two(void **state)
{
    (void)state;
    struct vm_keep first = {0};

    vm_keep_returned(&first, 800, T0);
    vm_keep_returned(&first, 80, T0 + 2 * STEP - 1);
    assert_int_equal(vm_keep_owed(&first), 880);
    struct vm_keep late = first;
    vm_keep_fetched(&first, 880, T0 + 2 * STEP - 1);
    assert_int_equal(vm_keep_owed(&first), 0);
    assert_int_equal(vm_keep_credit(&first, T0 + 2 * STEP - 1), 990);
    vm_keep_fetched(&late, 880, T0 + 2 * STEP); /* too late for most of it */
    assert_int_equal(vm_keep_owed(&late), 0);
    assert_int_equal(vm_keep_credit(&late, T0 + 2 * STEP), 90);
}

/* A wave takes what an earlier one gave back, of before the step first: what came later stays owed. */
static void the_older_is_asked_for_first(void **state)
{
    (void)state;
    struct vm_keep k = {0};

    vm_keep_returned(&k, 100, T0);
    vm_keep_returned(&k, 50, T0 + STEP);
    vm_keep_fetched(&k, 120, T0 + STEP);
    assert_int_equal(vm_keep_owed(&k), 30);
    vm_keep_bound(&k, 0, 0, T0 + 2 * STEP);
    assert_int_equal(vm_keep_owed(&k), 30);
    vm_keep_bound(&k, 0, 0, T0 + 3 * STEP);
    assert_int_equal(vm_keep_owed(&k), 0);
}

/* Half of what is kept is used again and again: credit for the other half goes. */
static void idle_part_decays_fast(void **state)
{
    (void)state;
    struct vm_keep k = {.credit = 100 << 20, .decayed = T0};

    for (unsigned s = 1; s <= 10; s++) {
        vm_keep_set(&k, 50 << 20);
        vm_keep_bound(&k, 0, 0, T0 + s * STEP);
        vm_keep_set(&k, 100 << 20);
    }
    assert_true(k.credit < 40 << 20 && k.credit > 1 << 20);
}

static void nothing_is_left_after_long(void **state)
{
    (void)state;
    struct vm_keep k = {.floor = 7};

    vm_keep_returned(&k, VM_KEEP_CREDIT_MAX, T0);
    vm_keep_fetched(&k, VM_KEEP_CREDIT_MAX / 2, T0);
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0 + 1000 * STEP), 7);
    assert_int_equal(vm_keep_owed(&k), 0);
    assert_int_equal(vm_keep_bound(&k, 0, 0, UINT64_MAX), 7);
    vm_keep_returned(&k, 56, UINT64_MAX);
    vm_keep_fetched(&k, 56, UINT64_MAX);
    assert_int_equal(vm_keep_bound(&k, 0, 0, UINT64_MAX), 63);
}

/* The coarse clock starts anywhere, and nothing may break if it ever went back. */
static void odd_clocks(void **state)
{
    (void)state;
    struct vm_keep k = {0};

    vm_keep_returned(&k, 1024, 0);
    vm_keep_fetched(&k, 1024, 0);
    assert_int_equal(vm_keep_bound(&k, 0, 0, 0), 1152);
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0), 1152); /* the first time that is not 0 is the start */
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0 - 3 * STEP), 1152);
    assert_int_equal(vm_keep_bound(&k, 0, 0, T0 - 2 * STEP), 1080);
    vm_keep_returned(&k, 8, T0 - 2 * STEP);
    assert_int_equal(vm_keep_owed(&k), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bound_is_the_largest_of_three),
        cmocka_unit_test(two_share_the_bound),
        cmocka_unit_test(credit_is_earned_by_what_comes_back),
        cmocka_unit_test(credit_has_a_limit),
        cmocka_unit_test(credit_decays),
        cmocka_unit_test(soon_is_a_step_or_two),
        cmocka_unit_test(the_older_is_asked_for_first),
        cmocka_unit_test(idle_part_decays_fast),
        cmocka_unit_test(nothing_is_left_after_long),
        cmocka_unit_test(odd_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
