/* Unit tests of src/report/sample: weights that sum up to what was asked for, for each caller of a pattern too, and the
   table of followed addresses.  Run by `make check`. */
#include "unit.h"

#include "base/probe.h"
#include "report/sample.h"

#define EVERY 4096

static void start_sampling(void)
{
    CHECK(!vm_sample_start(0) && vm_sample_every == 0);
    CHECK(vm_sample_start(EVERY) && vm_sample_every == EVERY);
}

/* Is `weight` within a twentieth of `bytes`? */
static bool is_about(uint64_t weight, uint64_t bytes)
{
    return weight > bytes - bytes / 20 && weight < bytes + bytes / 20;
}

CHILD_CASE(weights_sum_up)
{
    uint64_t state = 1, bytes = 0, weight = 0;

    start_sampling();
    for (unsigned i = 0; i < 200000; i++) {
        size_t n = log_uniform(&state, 12), w = vm_sample_weigh(n);
        CHECK(w % EVERY == 0);
        bytes += n;
        weight += w;
    }
    CHECKF(is_about(weight, bytes), "%llu of %llu", (unsigned long long)weight, (unsigned long long)bytes);
}

/* Requests that come in turns, the distance of whose turns divides EVERY: each is sampled for what it asks. */
CHILD_CASE(patterns_do_not_hide)
{
    static const size_t size[] = {48, 16, 1984};
    uint64_t bytes[3] = {0}, weight[3] = {0};

    start_sampling();
    for (unsigned i = 0; i < 12000000; i++) {
        bytes[i % 3] += size[i % 3];
        weight[i % 3] += vm_sample_weigh(size[i % 3]);
    }
    for (unsigned i = 0; i < 3; i++)
        CHECKF(is_about(weight[i], bytes[i]), "size %zu: %llu of %llu", size[i], (unsigned long long)weight[i],
               (unsigned long long)bytes[i]);
}

/* A block larger than the distance is always sampled, and weighs what it is. */
CHILD_CASE(large_requests)
{
    uint64_t weight = 0;

    start_sampling();
    for (unsigned i = 0; i < 1000; i++) {
        size_t w = vm_sample_weigh(100 * EVERY);
        CHECK(w > 0);
        weight += w;
    }
    CHECK(is_about(weight, (uint64_t)1000 * 100 * EVERY));
    CHECK(is_about(vm_sample_weigh((size_t)1 << 40), (uint64_t)1 << 40));
}

CHILD_CASE(followed_once)
{
    static char block[1000][16];

    start_sampling();
    CHECK(!vm_sample_forget(NULL) && !vm_sample_forget(block[0]));
    for (unsigned i = 0; i < 1000; i++)
        CHECK(vm_sample_follow(block[i]));
    for (unsigned i = 0; i < 1000; i++)
        CHECK(vm_sample_forget(block[i]) && !vm_sample_forget(block[i]));
}

/* When the table is full, what it did not take is not followed, and what it took is. */
CHILD_CASE(full_table)
{
    enum { MANY = 200000 };
    bool *followed = own_memory(MANY);
    size_t taken = 0;

    start_sampling();
    for (uintptr_t i = 0; i < MANY; i++)
        taken += followed[i] = vm_sample_follow((void *)((i + 1) * 16));
    CHECK(taken > 60000 && taken < MANY);
    for (uintptr_t i = 0; i < MANY; i++)
        CHECK(vm_sample_forget((void *)((i + 1) * 16)) == followed[i]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CHILD_TEST(weights_sum_up), CHILD_TEST(patterns_do_not_hide), CHILD_TEST(large_requests),
        CHILD_TEST(followed_once),  CHILD_TEST(full_table),
    };

    if (!VM_HAS_PROBES) {
        puts("SKIP: built without probes");
        return 77;
    }
    if (!VM_INSTRUMENT)
        return 77; /* automake: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
