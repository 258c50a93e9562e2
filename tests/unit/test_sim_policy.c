/* Unit tests of src/sim/policy: textbook strings with their counts, every policy against a straightforward reference, the
   optimum against a search through the future, LRU never worse with more frames.  Run by `make check`.  SEED sets the
   seed. */
#include "unit.h"

#include "sim/policy.h"

static const uint64_t belady[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
/* Silberschatz, Galvin, Gagne: 3 frames. */
static const uint64_t textbook[] = {7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1};
#define LENGTH(a) (sizeof(a) / sizeof *(a))

static void beladys_anomaly(void **state)
{
    (void)state;
    assert_int_equal(vm_sim_policy_count(VM_SIM_FIFO, belady, LENGTH(belady), 3), 9);
    assert_int_equal(vm_sim_policy_count(VM_SIM_FIFO, belady, LENGTH(belady), 4), 10);
    assert_int_equal(vm_sim_policy_count(VM_SIM_LRU, belady, LENGTH(belady), 3), 10);
    assert_int_equal(vm_sim_policy_count(VM_SIM_LRU, belady, LENGTH(belady), 4), 8);
    assert_int_equal(vm_sim_policy_count(VM_SIM_OPTIMUM, belady, LENGTH(belady), 3), 7);
    assert_int_equal(vm_sim_policy_count(VM_SIM_OPTIMUM, belady, LENGTH(belady), 4), 6);
}

static void textbook_string(void **state)
{
    (void)state;
    assert_int_equal(vm_sim_policy_count(VM_SIM_FIFO, textbook, LENGTH(textbook), 3), 15);
    assert_int_equal(vm_sim_policy_count(VM_SIM_LRU, textbook, LENGTH(textbook), 3), 12);
    assert_int_equal(vm_sim_policy_count(VM_SIM_OPTIMUM, textbook, LENGTH(textbook), 3), 9);
}

/* A loop over one page more than there are frames: LRU, FIFO and clock miss always. */
static void loop_too_large(void **state)
{
    (void)state;
    uint64_t page[400];

    for (unsigned i = 0; i < 400; i++)
        page[i] = i % 5;
    for (enum vm_sim_page_policy p = VM_SIM_FIFO; p <= VM_SIM_LRU; p++)
        assert_int_equal(vm_sim_policy_count(p, page, 400, 4), 400);
    assert_int_equal(vm_sim_policy_count(VM_SIM_OPTIMUM, page, 400, 4), 4 + 396 / 4);
    for (enum vm_sim_page_policy p = 0; p < VM_SIM_POLICIES; p++)
        assert_int_equal(vm_sim_policy_count(p, page, 400, 5), 5);
}

/* Two lists: a page used again and again survives a scan of pages used once; under FIFO it does not. */
static void scan_resistance(void **state)
{
    (void)state;
    static const enum vm_sim_page_policy policy[] = {VM_SIM_TWO_LIST, VM_SIM_FIFO};
    uint64_t hot_faults[2] = {0};

    for (unsigned k = 0; k < 2; k++) {
        struct vm_sim_policy_run *r = vm_sim_policy_start(policy[k], 8);
        for (unsigned i = 0; i < 4000; i++) {
            hot_faults[k] += vm_sim_policy_ref(r, i % 2, NULL);
            vm_sim_policy_ref(r, 1000 + i, NULL);
            assert_true(vm_sim_policy_check(r));
        }
        vm_sim_policy_end(r);
    }
    assert_int_equal(hot_faults[0], 3); /* both, and one that was put out before its second reference was seen */
    assert_true(hot_faults[1] > 500);
}

static void names(void **state)
{
    (void)state;
    for (int p = 0; p < VM_SIM_POLICIES; p++)
        assert_int_equal(vm_sim_policy_of(vm_sim_policy_name((enum vm_sim_page_policy)p)), p);
    assert_int_equal(vm_sim_policy_of("mru"), -EINVAL);
}

/* ---- The reference: an array of frames, searched ---- */

struct slow {
    uint64_t page[16], when[16];
    bool accessed[16];
    unsigned used, frames, hand;
};

static unsigned slow_victim(struct slow *s, enum vm_sim_page_policy p, const uint64_t *page, size_t n, size_t now)
{
    unsigned worst = 0;
    uint64_t worst_use = 0;

    if (p == VM_SIM_CLOCK) {
        for (; s->accessed[s->hand]; s->hand = (s->hand + 1) % s->frames)
            s->accessed[s->hand] = false;
        worst = s->hand;
        s->hand = (s->hand + 1) % s->frames;
        return worst;
    }
    for (unsigned i = 0; i < s->used; i++) {
        uint64_t use = UINT64_MAX - s->when[i]; /* earliest arrival or use */
        if (p == VM_SIM_OPTIMUM) {
            for (use = now + 1; use < n && page[use] != s->page[i]; use++)
                ;
        }
        if (use > worst_use) {
            worst_use = use;
            worst = i;
        }
    }
    return worst;
}

static uint64_t slow_count(enum vm_sim_page_policy p, const uint64_t *page, size_t n, unsigned frames)
{
    struct slow s = {.frames = frames};
    uint64_t faults = 0;

    for (size_t now = 0; now < n; now++) {
        unsigned i = 0;
        while (i < s.used && s.page[i] != page[now])
            i++;
        if (i == s.used) {
            faults++;
            if (s.used == frames)
                i = slow_victim(&s, p, page, n, now);
            else
                s.used++;
            s.page[i] = page[now];
            s.when[i] = now;
        }
        if (p == VM_SIM_LRU)
            s.when[i] = now;
        s.accessed[i] = true;
    }
    return faults;
}

static void random_strings(void **state)
{
    (void)state;
    uint64_t seed = unit_seed(), page[600];

    for (unsigned round = 0; round < 200; round++) {
        unsigned frames = 1 + (unsigned)below(&seed, 16);
        uint64_t span = 1 + below(&seed, 40), best;
        for (unsigned i = 0; i < 600; i++)
            page[i] = (one_in(&seed, 3) ? below(&seed, span) : below(&seed, span / 4 + 1)) * 0x100001;
        best = vm_sim_policy_count(VM_SIM_OPTIMUM, page, 600, frames);
        for (enum vm_sim_page_policy p = 0; p < VM_SIM_POLICIES; p++) {
            uint64_t faults = vm_sim_policy_count(p, page, 600, frames);
            assert_true(faults >= best);
            if (p != VM_SIM_TWO_LIST)
                assert_int_equal(faults, slow_count(p, page, 600, frames));
        }
        assert_true(vm_sim_policy_count(VM_SIM_LRU, page, 600, frames + 1) <= vm_sim_policy_count(VM_SIM_LRU, page, 600, frames));
    }
}

/* Victims and hits of every policy: a set of resident pages says the same. */
static void victims(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();

    for (enum vm_sim_page_policy p = 0; p < VM_SIM_OPTIMUM; p++) {
        struct vm_sim_policy_run *r = vm_sim_policy_start(p, 20);
        bool resident[100] = {0};
        unsigned count = 0;
        uint64_t faults = 0;
        for (unsigned i = 0; i < 5000; i++) {
            uint64_t page = one_in(&seed, 2) ? below(&seed, 100) : below(&seed, 15), victim;
            bool fault = vm_sim_policy_ref(r, page, &victim);
            assert_int_equal(fault, !resident[page]);
            assert_int_equal(victim != UINT64_MAX, fault && count == 20);
            if (victim != UINT64_MAX) {
                assert_true(victim < 100 && resident[victim]);
                resident[victim] = false;
                count--;
            }
            count += fault;
            faults += fault;
            resident[page] = true;
            assert_true(vm_sim_policy_check(r));
        }
        assert_int_equal(vm_sim_policy_faults(r), faults);
        vm_sim_policy_end(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beladys_anomaly), cmocka_unit_test(textbook_string), cmocka_unit_test(loop_too_large),
        cmocka_unit_test(scan_resistance), cmocka_unit_test(names),           cmocka_unit_test(random_strings),
        cmocka_unit_test(victims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
