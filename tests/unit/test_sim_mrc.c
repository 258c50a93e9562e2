/* Unit tests of src/sim/mrc: stack distances against a list moved to front, the textbook string, samples against the
   exact curve and within the error that they state.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/mrc.h"

#include "sim/mem.h"

/* The plain way: a list of pages, the last one referenced first. */
struct stack {
    uint64_t *page;
    size_t n;
};

/* Distance from 1; 0: never seen. */
static size_t stack_ref(struct stack *s, uint64_t page)
{
    size_t i = 0, distance;

    while (i < s->n && s->page[i] != page)
        i++;
    distance = i < s->n ? i + 1 : 0;
    if (!distance)
        s->n++;
    memmove(s->page + 1, s->page, i * sizeof *s->page);
    s->page[0] = page;
    return distance;
}

static void textbook_string(void **state)
{
    (void)state;
    static const uint64_t string[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
    static const uint64_t faults[] = {12, 12, 12, 10, 8, 5, 5}; /* LRU with 0, 1, 2 ... frames */
    struct vm_sim_mrc *c = vm_sim_mrc_new(12, 0);

    for (size_t i = 0; i < sizeof string / sizeof *string; i++) {
        uint64_t address = string[i] << 12 | i;
        vm_sim_mrc_refs(c, &address, 1);
        assert_true(vm_sim_mrc_check(c));
    }
    struct vm_sim_curve curve = vm_sim_mrc_curve(c);
    assert_int_equal(curve.refs, 12);
    assert_int_equal(curve.distinct, 5);
    for (uint64_t frames = 0; frames < sizeof faults / sizeof *faults; frames++)
        assert_int_equal(vm_sim_curve_misses(&curve, frames), faults[frames]);
    assert_int_equal(vm_sim_curve_smallest(&curve, 1), 0);
    assert_int_equal(vm_sim_curve_smallest(&curve, 9.0 / 12), 4);
    assert_int_equal(vm_sim_curve_smallest(&curve, 5.0 / 12), 5);
    assert_true(vm_sim_curve_smallest(&curve, 4.0 / 12) == UINT64_MAX);
    vm_sim_curve_free(&curve);
    vm_sim_mrc_free(c);
}

static void nothing_at_all(void **state)
{
    (void)state;

    for (size_t most = 0; most < 2; most++) {
        struct vm_sim_mrc *c = vm_sim_mrc_new(21, most);
        struct vm_sim_curve curve = vm_sim_mrc_curve(c);
        assert_true(vm_sim_mrc_check(c));
        assert_int_equal(curve.refs, 0);
        assert_int_equal(vm_sim_curve_misses(&curve, 10), 0);
        assert_int_equal(vm_sim_curve_smallest(&curve, 0), 0);
        vm_sim_curve_free(&curve);
        vm_sim_mrc_free(c);
    }
    vm_sim_mrc_free(NULL);
}

/* References with locality: a page near the last one, or any. */
static uint64_t some_page(uint64_t *random, uint64_t last, uint64_t pages)
{
    uint64_t r = vm_sim_random(random);

    return r % 8 < 6 ? (last + r / 8 % 16) % pages : r / 8 % pages;
}

/* Runs long enough that times are renumbered and tables grow. */
static void random_model(void **state)
{
    (void)state;
    enum { PAGES = 1500, REFS = 60000 };
    uint64_t random = unit_seed() | 1, last = 0;
    struct stack stack = {.page = test_malloc((PAGES + 1) * sizeof *stack.page)};
    uint64_t *hist = test_calloc(PAGES + 1, sizeof *hist);
    struct vm_sim_mrc *c = vm_sim_mrc_new(12, 0);

    for (size_t i = 0; i < REFS; i++) {
        uint64_t address[1];
        last = some_page(&random, last, 1 + PAGES * i / REFS);
        hist[stack_ref(&stack, last)]++;
        address[0] = last << 12;
        vm_sim_mrc_refs(c, address, 1);
        if (i % 500 == 0)
            assert_true(vm_sim_mrc_check(c));
    }
    assert_true(vm_sim_mrc_check(c));
    struct vm_sim_curve curve = vm_sim_mrc_curve(c);
    uint64_t misses = REFS;
    assert_int_equal(curve.distinct, stack.n);
    for (uint64_t size = 0; size <= PAGES; size++) {
        misses -= size ? hist[size] : 0;
        assert_int_equal(vm_sim_curve_misses(&curve, size), misses);
    }
    assert_int_equal(curve.misses[curve.points - 1], stack.n);
    for (size_t i = 1; i < curve.points; i++)
        assert_true(curve.size[i - 1] < curve.size[i] && curve.misses[i - 1] > curve.misses[i]);
    vm_sim_curve_free(&curve);
    vm_sim_mrc_free(c);
    test_free(hist);
    test_free(stack.page);
}

/* Batches cut anywhere give the same curve, and page sizes only differ in the shift. */
static void batches_and_shifts(void **state)
{
    (void)state;
    enum { REFS = 20000 };
    uint64_t random = unit_seed() | 1, *address = test_malloc(REFS * sizeof *address);
    struct vm_sim_mrc *whole = vm_sim_mrc_new(21, 0), *cut = vm_sim_mrc_new(12, 0);

    for (size_t i = 0; i < REFS; i++)
        address[i] = some_page(&random, i ? address[i - 1] >> 21 : 0, 300) << 21 | vm_sim_random(&random) % (1 << 21);
    vm_sim_mrc_refs(whole, address, REFS);
    for (size_t i = 0; i < REFS; i++)
        address[i] = address[i] >> 21 << 12;
    for (size_t i = 0, n; i < REFS; i += n) {
        n = vm_min(1 + vm_sim_random(&random) % 700, REFS - i);
        vm_sim_mrc_refs(cut, address + i, n);
    }
    struct vm_sim_curve a = vm_sim_mrc_curve(whole), b = vm_sim_mrc_curve(cut);
    assert_int_equal(a.points, b.points);
    assert_memory_equal(a.size, b.size, a.points * sizeof *a.size);
    assert_memory_equal(a.misses, b.misses, a.points * sizeof *a.misses);
    vm_sim_curve_free(&a);
    vm_sim_curve_free(&b);
    vm_sim_mrc_free(whole);
    vm_sim_mrc_free(cut);
    test_free(address);
}

/* The mean difference of the miss ratio over 100 sizes. */
static double difference(const struct vm_sim_curve *a, const struct vm_sim_curve *b)
{
    double sum = 0;

    for (unsigned i = 1; i <= 100; i++) {
        uint64_t size = a->distinct * i / 100;
        double x = (double)vm_sim_curve_misses(a, size) / (double)a->refs;
        double y = (double)vm_sim_curve_misses(b, size) / (double)b->refs;
        sum += x > y ? x - y : y - x;
    }
    return sum / 100;
}

static void samples(void **state)
{
    (void)state;
    enum { PAGES = 40000, REFS = 800000, BATCH = 1000 };
    uint64_t random = 12345, address[BATCH], last = 0;
    struct vm_sim_mrc *exact = vm_sim_mrc_new(12, 0), *all = vm_sim_mrc_new(12, PAGES), *part = vm_sim_mrc_new(12, 4096);

    for (size_t i = 0; i < REFS; i += BATCH) {
        for (size_t k = 0; k < BATCH; k++)
            address[k] = (last = some_page(&random, last, i % 3 ? PAGES : PAGES / 4)) << 12;
        vm_sim_mrc_refs(exact, address, BATCH);
        vm_sim_mrc_refs(all, address, BATCH);
        vm_sim_mrc_refs(part, address, BATCH);
    }
    assert_true(vm_sim_mrc_check(exact));
    assert_true(vm_sim_mrc_check(all));
    assert_true(vm_sim_mrc_check(part));
    struct vm_sim_curve e = vm_sim_mrc_curve(exact), a = vm_sim_mrc_curve(all), p = vm_sim_mrc_curve(part);
    assert_true(a.rate == 1);
    assert_true(p.rate < 0.15 && p.rate > 0.05);
    assert_int_equal(a.distinct, e.distinct);
    assert_true(p.distinct > e.distinct * 9 / 10 && p.distinct < e.distinct * 11 / 10);
    assert_true(difference(&e, &a) < 0.002); /* the width of buckets */
    assert_true(difference(&e, &p) < 0.02);
    for (size_t i = 1; i < p.points; i++)
        assert_true(p.size[i - 1] < p.size[i] && p.misses[i - 1] > p.misses[i]);
    vm_sim_curve_free(&e);
    vm_sim_curve_free(&a);
    vm_sim_curve_free(&p);
    vm_sim_mrc_free(exact);
    vm_sim_mrc_free(all);
    vm_sim_mrc_free(part);
}

/* One page of a trace of some kind. */
static uint64_t page_of(unsigned kind, uint64_t *random, uint64_t i, uint64_t last)
{
    uint64_t r = vm_sim_random(random);
    unsigned bits = (unsigned)(r % 16);

    switch (kind) {
    case 0: return some_page(random, last, 30000);
    case 1: return i % 12000;                                        /* a loop: the curve is a cliff */
    case 2: return (r >> 8) % ((uint64_t)1 << bits) + (1u << bits);  /* Zipf */
    case 3: return r % 20000;                                        /* any */
    case 4: return i / 100000 * 5000 + r % 9000;                     /* a working set that moves on */
    case 5: return r % 4 ? i % 50 : 1000 + i % 40000;                /* a hot loop within a scan */
    default: return r % 8 ? r / 8 % 300 : 1000 + r / 8 % 30000;      /* hot pages */
    }
}

static void stated_error(void **state)
{
    (void)state;
    enum { REFS = 600000, KINDS = 7, BATCH = 1000 };
    uint64_t address[BATCH], last = 0, least, most;

    for (unsigned run = 0; run < KINDS * 3; run++) {
        unsigned kind = run % KINDS;
        size_t followed = run / KINDS == 0 ? 512 : run / KINDS == 1 ? 4096 : 100000;
        uint64_t random = 12345 + run;
        double width = 0; /* of the bounds, as miss ratio: they must say something */
        unsigned sizes = 0;
        struct vm_sim_mrc *exact = vm_sim_mrc_new(12, 0), *part = vm_sim_mrc_new(12, followed);
        for (uint64_t i = 0; i < REFS; i += BATCH) {
            for (uint64_t k = 0; k < BATCH; k++)
                address[k] = (last = page_of(kind, &random, i + k, last)) << 12;
            vm_sim_mrc_refs(exact, address, BATCH);
            vm_sim_mrc_refs(part, address, BATCH);
        }
        struct vm_sim_curve e = vm_sim_mrc_curve(exact), p = vm_sim_mrc_curve(part);
        assert_true(p.followed <= followed);
        assert_true((p.rate < 1) == (p.followed < e.distinct));
        for (uint64_t size = 0; size < e.distinct * 5 / 4; size += size < 100 ? 1 : e.distinct / 500) {
            uint64_t misses = vm_sim_curve_misses(&e, size), estimate = vm_sim_curve_misses(&p, size);
            vm_sim_curve_bounds(&p, size, &least, &most);
            if (misses < least || misses > most)
                fail_msg("kind %u, %zu followed, %llu pages: %llu misses are not in %llu to %llu", kind, followed,
                         (unsigned long long)size, (unsigned long long)misses, (unsigned long long)least,
                         (unsigned long long)most);
            assert_true(least <= estimate && estimate <= most);
            if (size >= 100) {
                width += (double)(most - least) / (double)e.refs;
                sizes++;
            }
            vm_sim_curve_bounds(&e, size, &least, &most);
            assert_true(least == misses && most == misses);
        }
        assert_true(width / sizes < (followed == 512 ? 0.5 : followed == 4096 ? 0.2 : 0.01));
        for (unsigned percent = 1; percent <= 100; percent++) {
            uint64_t size = vm_sim_curve_smallest(&e, percent / 100.0), from, to;
            vm_sim_curve_smallest_bounds(&p, percent / 100.0, &from, &to);
            assert_true(from <= size && size <= to);
        }
        vm_sim_curve_free(&e);
        vm_sim_curve_free(&p);
        vm_sim_mrc_free(exact);
        vm_sim_mrc_free(part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(textbook_string), cmocka_unit_test(nothing_at_all), cmocka_unit_test(random_model),
        cmocka_unit_test(batches_and_shifts), cmocka_unit_test(samples),
        cmocka_unit_test(stated_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
