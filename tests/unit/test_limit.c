/* Unit tests of src/reclaim/limit, and of what the allocator makes of the options limit and limit_hard: the account is
   right after every step (vmalloc_check), the hard limit is never passed, what is kept goes back before a request is
   refused.  Each case is a process of its own.  Run by `make check`.  SEED sets the seed. */
#include <pthread.h>
#include <semaphore.h>

#include "unit.h"

#include "heap/heap.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"
#include "reclaim/limit.h"
#include "reclaim/policy.h"
#include "report/info.h"

int vmt_vmalloc_check(void);

#define MIB ((size_t)1 << 20)

static void check(void) { CHECK(vmt_vmalloc_check()); }

static size_t kept(void) { return vm_frames_kept() + vm_extents_kept(); }

CHILD_CASE(the_account)
{
    struct vm_limits *l = &vm_limits;
    size_t start = l->charged;

    vm_limits_set(start + 1000, start + 3000);
    CHECK(vm_limit_charge(1000) && !vm_limit_strained() && l->passed == 0);
    CHECK(vm_limit_charge(1) && vm_limit_strained() && l->passed == 1);
    CHECK(vm_limit_charge(1999) && l->passed == 1);
    CHECK(!vm_limit_charge(1) && !vm_limit_charge(SIZE_MAX) && l->charged == start + 3000);
    vm_limit_recharge(10); /* what could not be returned counts whatever the limit */
    CHECK(l->charged == start + 3010 && l->highest == start + 3010);
    vm_limit_uncharge(3010);
    CHECK(l->charged == start && !vm_limit_strained() && l->highest == start + 3010);
    CHECK(vm_limit_charge(1001) && l->passed == 2);
    vm_limit_note_failure(1999);
    CHECK(l->refused == 0);
    vm_limit_note_failure(2000);
    vm_limit_note_failure(SIZE_MAX);
    CHECK(l->refused == 2);
    vm_limits_set(0, 0);
    CHECK(!vm_limit_strained() && !vm_limit_is_hard() && vm_limit_charge(1 << 30));
    vm_limit_note_failure(SIZE_MAX);
    CHECK(l->refused == 2);
}

static void *blocks[300000];

/* Fills with blocks of n bytes until one is refused; how many there were. */
static unsigned fill_up(size_t n)
{
    unsigned count = 0;

    errno = 0;
    while (count < sizeof blocks / sizeof *blocks && (blocks[count] = vmt_malloc(n)) != NULL) {
        memset(blocks[count], 1, n);
        count++;
    }
    CHECK(errno == ENOMEM);
    check();
    return count;
}

static void empty(unsigned count)
{
    while (count > 0)
        vmt_free(blocks[--count]);
    check();
}

CHILD_CASE(the_hard_limit_holds_for_every_size)
{
    static const size_t sizes[] = {300, 3000, 60000, 131071, 131072, 1000000, 24 * 1024 * 1024};
    size_t limit = 64 * MIB, refused = vm_limits.refused;

    vmt_free(vmt_malloc(1));
    vm_limits_set(0, limit);
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t n = sizes[i];
            unsigned count = fill_up(n);
            CHECKF(vm_limits.charged <= limit && vm_limits.highest <= limit, "%zu charged", vm_limits.charged);
            /* Nothing but what does not fit, and less than a fifth lost in slabs of the class. */
            CHECKF(count * n + n + limit / 5 > limit, "only %u of %zu bytes", count, n);
            CHECK(vm_limits.refused == ++refused);
            CHECK(!vmt_malloc(limit) && errno == ENOMEM && vm_limits.refused == ++refused);
            empty(count);
        }
    CHECK(vmt_malloc(1000));
}

CHILD_CASE(what_is_kept_goes_first)
{
    size_t limit = 40 * MIB;

    vmt_free(vmt_malloc(1));
    vm_limits_set(0, limit);
    /* Kept extents make room for slabs, kept frames for extents, either for a block that grows. */
    for (int i = 0; i < 3; i++) {
        empty(fill_up(3 * MIB));
        empty(fill_up(5000));
        void *p = vmt_malloc(10 * MIB);
        CHECK(p);
        CHECK((p = vmt_realloc(p, 20 * MIB)) != NULL);
        CHECK((p = vmt_realloc(p, 36 * MIB)) != NULL);
        errno = 0;
        CHECK(!vmt_realloc(p, 44 * MIB) && errno == ENOMEM);
        CHECK(vmt_malloc_usable_size(p) >= 36 * MIB);
        check();
        vmt_free(p);
        check();
    }
    CHECK(vm_limits.highest <= limit);
}

/* The system, slow to take memory back from one thread. */
static struct vm_os quick;
static __thread bool is_slow;
static sem_t taking_back;

static void dawdle(void)
{
    if (!is_slow)
        return;
    sem_post(&taking_back);
    usleep(20000);
}
static int slow_unmap(void *base, size_t bytes)
{
    dawdle();
    return quick.unmap(base, bytes);
}
static int slow_purge(void *base, size_t bytes)
{
    dawdle();
    return quick.purge(base, bytes);
}

static void *return_extents(void *arg)
{
    is_slow = true;
    CHECK(vm_extents_keep(0) > 0);
    return arg;
}
static void *return_frames(void *arg)
{
    is_slow = true;
    CHECK(vm_frames_keep(0) > 0);
    return arg;
}

/* What another thread is giving back makes room: a request that comes meanwhile is not refused. */
CHILD_CASE(what_others_give_back_makes_room)
{
    static const struct {
        size_t kept, wanted; /* bytes a block */
        void *(*give_back)(void *);
    } cases[] = {
        {12 * MIB, 12 * MIB, return_extents}, {12 * MIB, 60000, return_extents}, {5000, 12 * MIB, return_frames}};
    pthread_t t;

    CHECK(vmt_malloc(256 * MIB)); /* for a share of it to be kept */
    quick = vm_os;
    CHECK(sem_init(&taking_back, 0, 0) == 0);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        vm_limits_set(0, vm_limits.charged + 14 * MIB);
        empty(fill_up(cases[i].kept));
        vm_limits_set(0, vm_limits.charged + 2 * MIB); /* room for the thread itself, not for what is wanted */
        CHECKF(kept() > 10 * MIB, "case %u: %zu kept", i, kept());
        vm_os.unmap = slow_unmap;
        vm_os.purge = slow_purge;
        CHECK(pthread_create(&t, NULL, cases[i].give_back, NULL) == 0);
        while (sem_wait(&taking_back) != 0)
            CHECK(errno == EINTR);
        unsigned count = 0;
        while (count < 12 * MIB / cases[i].wanted && (blocks[count] = vmt_malloc(cases[i].wanted)) != NULL)
            count++;
        CHECKF(count == 12 * MIB / cases[i].wanted, "case %u: only %u of %zu bytes", i, count, cases[i].wanted);
        pthread_join(t, NULL);
        vm_os = quick;
        empty(count);
        vmt_malloc_trim(0);
        while (sem_trywait(&taking_back) == 0)
            ;
    }
}

CHILD_CASE(beyond_the_soft_limit_little_is_kept)
{
    vmt_free(vmt_malloc(1));
    vm_limits_set(30 * MIB, 0);
    void *large = vmt_malloc(31 * MIB);
    CHECK(large && vm_limit_strained() && vm_limits.passed >= 1);
    for (unsigned i = 0; i < 3000; i++)
        CHECK((blocks[i] = vmt_malloc(i % 20 ? 5000 : 200000)) != NULL);
    for (unsigned i = 0; i < 3000; i++) {
        vmt_free(blocks[i]);
        CHECKF(kept() <= 2 * VM_POLICY_STRAINED_MAX, "%zu bytes kept", kept());
    }
    check();
    vmt_free(large); /* below it as much as ever may be kept: the next burst finds what this one leaves */
    CHECK(!vm_limit_strained());
    for (unsigned i = 0; i < 1000; i++)
        CHECK((blocks[i] = vmt_malloc(5000)) != NULL);
    for (unsigned i = 0; i < 1000; i++)
        vmt_free(blocks[i]);
    CHECKF(kept() > 3 * MIB, "%zu bytes kept", kept());
    check();
}

/* What is kept when the soft limit is passed goes back then, from within malloc. */
CHILD_CASE(passing_the_soft_limit_returns_what_is_kept)
{
    vmt_free(vmt_malloc(1));
    for (unsigned i = 0; i < 2000; i++)
        CHECK((blocks[i] = vmt_malloc(5000)) != NULL);
    for (unsigned i = 0; i < 2000; i++)
        vmt_free(blocks[i]);
    CHECK(vm_frames_kept() > 5 * MIB);
    vm_limits_set(vm_limits.charged + 20 * MIB, 0);
    void *large = vmt_malloc(21 * MIB);
    CHECK(large);
    CHECKF(vm_frames_kept() <= VM_POLICY_STRAINED_MAX, "%zu bytes kept", vm_frames_kept());
    CHECK(vm_limits.passed == 1);
    check();
}

/* Also when the system is short of memory, by the flag that the background thread sets. */
CHILD_CASE(pressure_keeps_little)
{
    vmt_free(vmt_malloc(1));
    VM_STORE(&vm_limits.pressed, true);
    for (unsigned i = 0; i < 2000; i++)
        CHECK((blocks[i] = vmt_malloc(5000)) != NULL);
    for (unsigned i = 0; i < 2000; i++)
        vmt_free(blocks[i]);
    CHECKF(kept() <= VM_POLICY_STRAINED_MAX, "%zu bytes kept", kept());
    check();
}

CHILD_CASE(a_random_model_under_a_limit)
{
    uint64_t seed = unit_seed();
    size_t limit = 24 * MIB, refusals = 0;
    enum { SLOTS = 400 };

    vmt_free(vmt_malloc(1));
    vm_limits_set(limit / 2, limit);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)below(&seed, SLOTS);
        size_t n = (size_t)1 << below(&seed, 22);
        n += below(&seed, n);
        if (blocks[i] && below(&seed, 3) == 0) {
            void *q = vmt_realloc(blocks[i], n);
            refusals += !q;
            blocks[i] = q ? q : blocks[i];
        } else if (blocks[i]) {
            vmt_free(blocks[i]);
            blocks[i] = NULL;
        } else {
            blocks[i] = below(&seed, 2) ? vmt_malloc(n) : vmt_memalign((size_t)16 << below(&seed, 14), n);
            refusals += !blocks[i];
        }
        CHECK(vm_limits.highest <= limit);
        if (step % 97 == 0)
            check();
    }
    CHECK(refusals > 0 && vm_limits.refused > 0 && vm_limits.refused <= refusals);
    for (unsigned i = 0; i < SLOTS; i++)
        vmt_free(blocks[i]);
    vmt_malloc_trim(0);
    check();
    CHECKF(vm_limits.charged <= MIB, "%zu still charged", vm_limits.charged);
}

CHILD_CASE(the_report)
{
    char text[VM_INFO_TEXT_MAX];

    vmt_free(vmt_malloc(1));
    vm_info_text(text, sizeof text);
    CHECKF(strstr(text, "soft none (passed 0 times), hard none (0 requests refused)"), "%s", text);
    vm_limits_set(1000000, 2000000);
    CHECK(!vmt_malloc(3000000));
    CHECK(vmt_malloc(1500000));
    vm_info_text(text, sizeof text);
    CHECKF(strstr(text, "soft 1000000 (passed 1 times), hard 2000000 (1 requests refused)"), "%s", text);
    vm_info_xml(text, sizeof text);
    CHECKF(strstr(text, "soft=\"1000000\" passed=\"1\" hard=\"2000000\" refused=\"1\""), "%s", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(the_account),
        CHILD_TEST(the_hard_limit_holds_for_every_size),
        CHILD_TEST(what_is_kept_goes_first),
        CHILD_TEST(what_others_give_back_makes_room),
        CHILD_TEST(beyond_the_soft_limit_little_is_kept),
        CHILD_TEST(passing_the_soft_limit_returns_what_is_kept),
        CHILD_TEST(pressure_keeps_little),
        CHILD_TEST(a_random_model_under_a_limit),
        CHILD_TEST(the_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
