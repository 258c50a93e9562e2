/* Fault injection: one script of everything the allocator does, run over and over with one call to the system failing,
   the first, the second, and so on to the last; then with several in a row failing; then with all of them failing from
   some call on.  Each run is a child of its own.  What must hold: an allocation fails only when the system refused
   something meanwhile, then with NULL and ENOMEM, and the same call works once the system gives again; no live block
   changes; all invariants hold after every fault; nothing is in use at the end.  Run by `make check`. */
#include "unit.h"

#include <sys/resource.h>

#include "heap/heap.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"
#include "reclaim/limit.h"
#include "vm/mmu.h"

enum call { MAP, UNMAP, REMAP, PURGE, PROTECT, SBRK, DUMP, CALLS };
static const char *const call_names[CALLS] = {"map", "unmap", "remap", "purge", "protect", "sbrk", "dump"};
#define ALL ((1u << CALLS) - 1)

/* ---- The table with faults ---- */

static struct vm_os real;
static struct {
    unsigned kinds;         /* bit c: calls of kind c count and fail */
    uint64_t first, number; /* call `first` (from 1) and number - 1 after it fail */
    bool no_break;          /* the break never moves: zones only */
    uint64_t calls, faults;
    uint64_t clock;
} plan;

static bool fails(enum call c)
{
    if (!(plan.kinds >> c & 1))
        return false;
    plan.calls++;
    if (plan.calls < plan.first || plan.calls - plan.first >= plan.number)
        return false;
    plan.faults++;
    return true;
}

static void *fake_sbrk(intptr_t by)
{
    if (fails(SBRK) || (by != 0 && plan.no_break)) {
        errno = ENOMEM;
        return NULL;
    }
    return real.sbrk(by);
}
static void *fake_map(size_t bytes, int prot)
{
    if (fails(MAP)) {
        errno = EAGAIN; /* must not come through to the caller */
        return NULL;
    }
    return real.map(bytes, prot);
}
static int fake_unmap(void *base, size_t bytes) { return fails(UNMAP) ? -ENOMEM : real.unmap(base, bytes); }
static void *fake_remap(void *base, size_t old, size_t new) { return fails(REMAP) ? NULL : real.remap(base, old, new); }
static int fake_purge(void *base, size_t bytes) { return fails(PURGE) ? -EINVAL : real.purge(base, bytes); }
static int fake_dump(void *base, size_t bytes, bool wanted) { return fails(DUMP) ? -EINVAL : real.dump(base, bytes, wanted); }
static int fake_protect(void *base, size_t bytes, int prot)
{
    return fails(PROTECT) ? -ENOMEM : real.protect(base, bytes, prot);
}
static uint64_t fake_now(void) { return plan.clock += 1000000; } /* so that every run is the same */

static void install(void)
{
    real = vm_os;
    vm_os.sbrk = fake_sbrk;
    vm_os.map = fake_map;
    vm_os.unmap = fake_unmap;
    vm_os.remap = fake_remap;
    vm_os.purge = fake_purge;
    vm_os.dump = fake_dump;
    vm_os.protect = fake_protect;
    vm_os.now = fake_now;
}

/* ---- Blocks, and calls that may fail ---- */

#define BLOCKS 2600

struct block {
    unsigned char *p;
    size_t n;
};
static struct block block[BLOCKS];

/* Every page that is touched costs a fault in every run: a block holds its pattern in its first bytes and its last. */
#define HEAD 512
#define TAIL 64

static void mark(unsigned i)
{
    size_t n = block[i].n, head = n < HEAD ? n : HEAD, tail = n < HEAD + TAIL ? head : (n - TAIL) & ~(size_t)7;

    fill_range(block[i].p, 0, head, i);
    fill_range(block[i].p, tail, n, i);
}

/* The first `upto` bytes of what was marked at p as block i; the offset of what is wrong, or SIZE_MAX. */
static size_t wrong_mark(const unsigned char *p, unsigned i, size_t upto)
{
    size_t n = block[i].n, head = n < HEAD ? n : HEAD, tail = n < HEAD + TAIL ? head : (n - TAIL) & ~(size_t)7;
    size_t at = wrong_in(p, 0, head < upto ? head : upto, i);

    n = n < upto ? n : upto;
    return at == SIZE_MAX && tail < n ? wrong_in(p, tail, n, i) : at;
}

static void check_all(void)
{
    CHECKF(VM_LOAD(&vm_limits.charged) == vm_frames_used() + vm_frames_kept() + vm_extents_used() + vm_extents_kept(),
           "after %llu calls", (unsigned long long)plan.calls);
    CHECKF(vm_zone_check(), "after %llu calls", (unsigned long long)plan.calls);
    CHECKF(vm_extent_check(), "after %llu calls", (unsigned long long)plan.calls);
    CHECKF(vm_heap_check(), "after %llu calls", (unsigned long long)plan.calls);
    CHECKF(vm_mmu_check(), "after %llu calls", (unsigned long long)plan.calls);
}

static void check_block(unsigned i)
{
    size_t at = block[i].p ? wrong_mark(block[i].p, i, block[i].n) : SIZE_MAX;
    CHECKF(at == SIZE_MAX, "block %u of %zu bytes at %zu, after %llu calls", i, block[i].n, at,
           (unsigned long long)plan.calls);
}

static void check_blocks(void)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        check_block(i);
}

static uint64_t faults_seen;

/* After every call of the family. */
static void look(void)
{
    if (plan.faults == faults_seen)
        return;
    faults_seen = plan.faults;
    check_all();
    if (plan.number == 1)
        check_blocks();
}

enum how { MALLOC, CALLOC, ALIGNED };

static void *call_once(enum how how, size_t n, size_t align)
{
    uint64_t before = plan.faults;
    void *p;

    errno = 0;
    switch (how) {
    case CALLOC:
        p = vmt_calloc(1, n);
        break;
    case ALIGNED:
        p = vmt_memalign(align, n);
        break;
    default:
        p = vmt_malloc(n);
    }
    if (!p) {
        CHECK(errno == ENOMEM);
        CHECKF(plan.faults > before, "%zu bytes refused, and nothing failed", n);
    } else {
        CHECK(errno == 0);
    }
    look();
    return p;
}

/* Fills slot i; false when memory is refused for good. */
static bool get(unsigned i, enum how how, size_t n, size_t align)
{
    CHECK(!block[i].p);
    void *p = call_once(how, n, align);
    for (unsigned tries = 1; !p && plan.number < 100 && tries <= plan.number; tries++)
        p = call_once(how, n, align);
    CHECKF(p || plan.number >= 100, "%zu bytes are refused for ever", n);
    if (!p)
        return false;
    CHECK((uintptr_t)p % align == 0);
    if (how == CALLOC)
        CHECK(not_zero_at(p, n < 300000 ? n : 300000) == SIZE_MAX);
    block[i] = (struct block){p, n};
    mark(i);
    return true;
}

static void put(unsigned i)
{
    check_block(i);
    errno = 77;
    vmt_free(block[i].p);
    CHECK(errno == 77);
    block[i].p = NULL;
    look();
}

static void resize_once(unsigned i, size_t n)
{
    uint64_t before = plan.faults;

    if (!block[i].p)
        return;
    errno = 0;
    unsigned char *p = vmt_realloc(block[i].p, n);
    if (!p) {
        CHECK(errno == ENOMEM);
        CHECK(plan.faults > before);
        CHECK(n > vmt_malloc_usable_size(block[i].p));
        check_block(i);
        look();
        return;
    }
    size_t at = wrong_mark(p, i, n);
    CHECKF(at == SIZE_MAX, "realloc from %zu to %zu lost byte %zu", block[i].n, n, at);
    block[i] = (struct block){p, n};
    mark(i);
    look();
}

static void resize(unsigned i, size_t n)
{
    resize_once(i, n);
    for (unsigned tries = 1; block[i].p && block[i].n != n && plan.number < 100 && tries <= plan.number; tries++)
        resize_once(i, n);
    CHECK(!block[i].p || block[i].n == n || plan.number >= 100);
}

/* ---- The script ---- */

static void *thread_work(void *arg)
{
    unsigned from = (unsigned)(uintptr_t)arg;

    for (unsigned i = from; i < from + 150; i++)
        get(i, MALLOC, 24 + i % 7 * 100, 16);
    for (unsigned i = from; i < from + 150; i += 2)
        put(i);
    for (unsigned i = 0; i < 400; i += 3) /* blocks of the first thread */
        if (block[i].p)
            put(i);
    return NULL;
}

static void threads(void)
{
    /* One after the other, so that every run is the same: the second adopts the heap of the first. */
    for (unsigned round = 0; round < 3; round++) {
        pthread_t t;
        CHECK(pthread_create(&t, NULL, thread_work, (void *)(uintptr_t)(2000 + 150 * round)) == 0);
        pthread_join(t, NULL);
        look();
    }
    for (unsigned i = 2000; i < 2450; i++)
        if (block[i].p)
            put(i);
}

static void small_and_medium(void)
{
    for (unsigned i = 0; i < 900; i++)
        get(i, i % 5 ? MALLOC : CALLOC, 16 + i * 37 % 3000, 16);
    for (unsigned i = 900; i < 940; i++)
        get(i, i % 4 ? MALLOC : CALLOC, 9000 + (i - 900) * 2900, 16);
    for (unsigned i = 940; i < 980; i++)
        get(i, ALIGNED, 100 + (i - 940) * 500, (size_t)16 << (i % 13));
    for (unsigned i = 0; i < 980; i += 2)
        if (block[i].p)
            put(i);
    for (unsigned i = 0; i < 400; i += 2)
        get(i, MALLOC, 16 + i * 11 % 700, 16);
}

static void large(void)
{
    for (unsigned i = 1000; i < 1012; i++)
        get(i, i % 3 ? MALLOC : CALLOC, 131072 + (i - 1000) * 90000, 16);
    for (unsigned i = 1000; i < 1012; i += 2)
        if (block[i].p)
            put(i);
    for (unsigned i = 1012; i < 1018; i++) /* split what was freed */
        get(i, i % 2 ? MALLOC : CALLOC, 140000, 16);
    for (unsigned i = 1018; i < 1022; i++)
        get(i, ALIGNED, 200000, (size_t)65536 << (i % 5));
    for (unsigned i = 1001; i < 1012; i += 4)
        if (block[i].p)
            put(i);
    get(1022, MALLOC, 3 << 20, 16);
    get(1023, MALLOC, 40 << 20, 16);
}

static void resizing(void)
{
    static const size_t steps[] = {100,    5000,   70000,  131072, 200000, 210000, 900000, 905000,
                                   300000, 150000, 160000, 200000, 3 << 20, 140000, 5000,  100};

    for (unsigned i = 1100; i < 1104; i++)
        get(i, MALLOC, 50, 16);
    for (unsigned s = 0; s < sizeof steps / sizeof *steps; s++)
        for (unsigned i = 1100; i < 1104; i++)
            resize(i, steps[s] + (i - 1100) * 4096);
}

/* Frees enough frames that some are purged, and trims the top of the break. */
static void returning(void)
{
    for (unsigned i = 1200; i < 1400; i++)
        get(i, MALLOC, 65536, 16);
    for (unsigned i = 1400; i < 1600; i++)
        get(i, MALLOC, 120000, 16);
    for (unsigned i = 1200; i < 1600; i++)
        if (block[i].p && i % 20 != 0)
            put(i);
    /* As the background thread does it, and the limits. */
    for (unsigned i = 0; i < 4; i++) {
        vm_frames_age(1000000);
        vm_extents_age(1000000);
        look();
    }
    for (unsigned i = 1203; i < 1600; i += 5)
        if (!block[i].p)
            get(i, MALLOC, 60000, 16);
    for (unsigned i = 1203; i < 1600; i += 5)
        if (block[i].p)
            put(i);
    vm_frames_keep(1 << 20);
    vm_extents_keep(1 << 20);
    look();
    vmt_malloc_trim(1 << 20);
    look();
    for (unsigned i = 1200; i < 1300; i++)
        if (!block[i].p)
            get(i, i % 2 ? MALLOC : CALLOC, 60000, 16);
}

static void all_back(void)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (block[i].p)
            put(i);
    vmt_malloc_trim(0);
    look();
}

static void script(void)
{
    small_and_medium();
    large();
    threads();
    resizing();
    returning();
    check_blocks();
    all_back();
    check_all();
    /* The system gives again: everything works. */
    plan.kinds = 0;
    large();
    get(0, MALLOC, 100, 16);
    get(1, MALLOC, 60000, 16);
    check_blocks();
    all_back();
    check_all();
    check_nothing_left("after the script");
}

/* ---- The cases ---- */

struct run {
    unsigned kinds;
    uint64_t first, number;
    bool no_break;
    uint64_t *calls; /* shared with the parent: how many there were, faults or not */
};

static void run_script(void *arg)
{
    const struct run *r = arg;

    plan.kinds = r->kinds;
    plan.first = r->first;
    plan.number = r->number;
    plan.no_break = r->no_break;
    install();
    script();
    *r->calls = plan.calls;
}

static uint64_t *shared_calls(void)
{
    static uint64_t *shared;

    if (!shared) {
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(shared != MAP_FAILED);
    }
    return shared;
}

static void name_kinds(unsigned kinds, char *text, size_t cap)
{
    snprintf(text, cap, "%s", "all");
    for (unsigned c = 0; c < CALLS; c++)
        if (kinds == 1u << c)
            snprintf(text, cap, "%s", call_names[c]);
}

/* Fails calls first .. first + number - 1, for first = 1, 1 + step, ... up to the last call there is. */
static void every_call(unsigned kinds, uint64_t number, uint64_t step, bool no_break)
{
    struct run r = {kinds, 0, number, no_break, shared_calls()};
    char kind[16];
    uint64_t total = UINT64_MAX, runs = 0;

    name_kinds(kinds, kind, sizeof kind);
    for (r.first = 1; r.first <= total; r.first += step, runs++) {
        int status = child_status(run_script, &r, NULL, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("%s: %llu calls from call %llu on fail%s: wait status %#x", kind, (unsigned long long)number,
                     (unsigned long long)r.first, no_break ? ", no break" : "", (unsigned)status);
        total = *r.calls;
    }
    print_message("%s%s: %llu calls a run, %llu runs with %llu in a row failing\n", kind, no_break ? " (no break)" : "",
                  (unsigned long long)total, (unsigned long long)runs, (unsigned long long)number);
    assert_true(total > 0 || kinds != ALL);
}

/* Every call; where a sanitizer makes a run slow, a sample of them that differs from kind to kind. */
static uint64_t step_of(unsigned wish) { return UNIT_SANITIZED ? wish * 13 : wish; }

static void one_fault(unsigned kinds)
{
    every_call(kinds, 1, step_of(1), false);
    if (kinds & (1u << MAP | 1u << UNMAP)) /* zones are what makes the difference */
        every_call(kinds, 1, step_of(1), true);
}
static void test_map(void **state) { (void)state, one_fault(1u << MAP); }
static void test_unmap(void **state) { (void)state, one_fault(1u << UNMAP); }
static void test_remap(void **state) { (void)state, one_fault(1u << REMAP); }
static void test_purge(void **state) { (void)state, one_fault(1u << PURGE); }
static void test_protect(void **state) { (void)state, one_fault(1u << PROTECT); }
static void test_sbrk(void **state) { (void)state, one_fault(1u << SBRK); }

static void test_any(void **state) { (void)state, one_fault(ALL); }

static void test_several_in_a_row(void **state)
{
    (void)state;
    for (unsigned kinds = 0; kinds <= CALLS; kinds++) {
        every_call(kinds < CALLS ? 1u << kinds : ALL, 2, step_of(7), kinds & 1);
        every_call(kinds < CALLS ? 1u << kinds : ALL, 7, step_of(17), !(kinds & 1));
    }
}

static void test_for_ever(void **state)
{
    (void)state;
    for (unsigned kinds = 0; kinds <= CALLS; kinds++) {
        every_call(kinds < CALLS ? 1u << kinds : ALL, UINT64_MAX, step_of(17), kinds & 1);
        every_call(kinds < CALLS ? 1u << kinds : ALL, 150, step_of(31), !(kinds & 1));
    }
}

/* ---- Start-up: faults from the very first call on need a program that starts anew ---- */

static char **own_argv;

/* Runs before the constructor of the library: argv is NAME start-up KINDS FIRST NUMBER in such a child. */
static void before_constructors(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc != 5 || strcmp(argv[1], "start-up") != 0)
        return;
    plan.kinds = (unsigned)strtoul(argv[2], NULL, 10);
    plan.first = strtoull(argv[3], NULL, 10);
    plan.number = strtoull(argv[4], NULL, 10);
    install();
}
__attribute__((section(".preinit_array"), used)) static void (*const run_before)(int, char **, char **) = before_constructors;

static void start_anew(void *arg)
{
    const struct run *r = arg;
    char kinds[24], first[24], number[24];

    snprintf(kinds, sizeof kinds, "%u", r->kinds);
    snprintf(first, sizeof first, "%llu", (unsigned long long)r->first);
    snprintf(number, sizeof number, "%llu", (unsigned long long)r->number);
    execl("/proc/self/exe", own_argv[0], "start-up", kinds, first, number, (char *)NULL);
    die("cannot start %s anew", own_argv[0]);
}

static void test_start_up(void **state)
{
    static const uint64_t numbers[] = {1, 2, 3, 1000};

    (void)state;
    for (unsigned kinds = 0; kinds <= CALLS; kinds++)
        for (unsigned n = 0; n < sizeof numbers / sizeof *numbers; n++)
            for (uint64_t first = 1; first <= (UNIT_SANITIZED ? 3 : 12); first++) {
                struct run r = {kinds < CALLS ? 1u << kinds : ALL, first, numbers[n], false, NULL};
                int status = child_status(start_anew, &r, NULL, 0);
                if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                    fail_msg("kinds %#x: %llu calls from call %llu on fail: wait status %#x", r.kinds,
                             (unsigned long long)numbers[n], (unsigned long long)first, (unsigned)status);
            }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_unmap),
        cmocka_unit_test(test_remap),
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_protect),
        cmocka_unit_test(test_sbrk),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_several_in_a_row),
        cmocka_unit_test(test_for_ever),
        cmocka_unit_test(test_start_up),
    };

    own_argv = argv;
    if (argc > 1) {
        script();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
