/* Unit tests of the TLB model that is fed with allocator events: what vmalloc_tlb_read() says is exactly what a model says
   that the test feeds with the pages of the same blocks; threads add up; start, stop and their errors.  Run by `make
   check`.  SEED sets the seed. */
#include "unit.h"

#include "vm/tlb.h"
#include "vmalloc/vmalloc.h"

/* The library's functions, under the names of the unit-test build. */
extern void *vmt_malloc(size_t n), *vmt_calloc(size_t count, size_t n), *vmt_realloc(void *p, size_t n);
extern void *vmt_memalign(size_t align, size_t n);
extern void vmt_free(void *p);
extern int vmt_vmalloc_tlb_start(const char *processor), vmt_vmalloc_tlb_read(struct vmalloc_tlb *out, size_t bytes);
extern void vmt_vmalloc_tlb_stop(void);
extern int vmt_vmalloc_check(void);

static struct vmalloc_tlb read_now(void)
{
    struct vmalloc_tlb t;

    CHECK(vmt_vmalloc_tlb_read(&t, sizeof t) == 0);
    CHECK(t.references == t.l1_hits + t.l2_hits + t.misses);
    return t;
}

/* ---- The same pages through a model of our own ---- */

static struct vm_tlb *own;

static void touch(const void *p, size_t from, size_t bytes)
{
    uintptr_t at = (uintptr_t)p + from, end = (uintptr_t)p + bytes;

    do
        vm_tlb_ref(own, at, VM_TLB_SMALL);
    while ((at = (at | 4095) + 1) < end);
}

#define BLOCKS 200
static struct {
    void *p;
    size_t bytes;
} block[BLOCKS];
static unsigned long handed_out, zeroed, grown, freed;

static void grow(size_t i, size_t n)
{
    extern size_t vmt_malloc_usable_size(void *p);
    size_t before = vmt_malloc_usable_size(block[i].p);
    uintptr_t old = (uintptr_t)block[i].p;
    void *q = vmt_realloc(block[i].p, n);

    CHECK(q);
    if ((uintptr_t)q != old)
        touch((void *)old, 0, before < n ? before : n);
    if ((uintptr_t)q != old || n > before)
        touch(q, (uintptr_t)q != old ? 0 : before, n);
    grown++;
    block[i].p = q;
    block[i].bytes = n;
}

static void step(uint64_t *r)
{
    size_t i = below(r, BLOCKS), n = log_uniform(r, 19);

    if (!block[i].p) {
        unsigned how = (unsigned)below(r, 3);
        block[i].p = how == 0 ? vmt_malloc(n) : how == 1 ? vmt_calloc(1, n) : vmt_memalign(64, n);
        CHECK(block[i].p);
        touch(block[i].p, 0, n);
        handed_out++;
        zeroed += how == 1;
        block[i].bytes = n;
    } else if (one_in(r, 3)) {
        grow(i, n);
    } else {
        touch(block[i].p, 0, 1);
        vmt_free(block[i].p);
        freed++;
        block[i].p = NULL;
    }
}

static void same_as_own(void)
{
    struct vm_tlb_counts c = vm_tlb_counts(own);
    struct vmalloc_tlb t = read_now();

    CHECKF(t.handed_out == handed_out && t.zeroed == zeroed && t.grown == grown && t.freed == freed,
           "%lu out, %lu zeroed, %lu grown, %lu freed; not %lu, %lu, %lu, %lu", t.handed_out, t.zeroed, t.grown, t.freed,
           handed_out, zeroed, grown, freed);
    CHECKF(t.references == vm_tlb_total_refs(&c) && t.l1_hits == c.hits[0][VM_TLB_SMALL]
               && t.l2_hits == c.hits[1][VM_TLB_SMALL] && t.misses == vm_tlb_total_walks(&c) && t.table_reads == c.walk_reads,
           "%lu references, %lu and %lu hits; not %lu, %lu, %lu", t.references, t.l1_hits, t.l2_hits,
           (unsigned long)vm_tlb_total_refs(&c), (unsigned long)c.hits[0][VM_TLB_SMALL], (unsigned long)c.hits[1][VM_TLB_SMALL]);
    CHECK(t.threads == 1 && t.skipped == 0);
}

static void exact_with(const char *preset)
{
    uint64_t r = unit_seed();
    const struct vm_tlb_config *config = vm_tlb_preset(preset);

    vmt_free(vmt_malloc(1)); /* the heap is there, and misses no more */
    own = vm_tlb_init(own_memory(vm_tlb_bytes(config)), config);
    CHECK(vmt_vmalloc_tlb_start(preset) == 0);
    for (unsigned i = 0; i < 20000; i++) {
        step(&r);
        if (i % 1000 == 0)
            same_as_own();
    }
    same_as_own();
    CHECK(vm_tlb_counts(own).walks[VM_TLB_SMALL] > 100 && strcmp(read_now().preset, preset) == 0);
    vmt_vmalloc_tlb_stop();
    struct vmalloc_tlb before = read_now();
    for (unsigned i = 0; i < BLOCKS; i++)
        vmt_free(block[i].p);
    struct vmalloc_tlb after = read_now();
    CHECK(memcmp(&before, &after, sizeof before) == 0); /* what was counted stays */
    CHECK(vmt_vmalloc_check() == 1);
}

CHILD_CASE(exact_zen4) { exact_with("zen4"); }
CHILD_CASE(exact_cortex) { exact_with("cortex-a72"); }

/* Stopped and started again, with a larger model: from zero. */
CHILD_CASE(again)
{
    CHECK(vmt_vmalloc_tlb_start("textbook") == 0);
    vmt_free(vmt_malloc(100));
    CHECK(read_now().handed_out == 1 && read_now().references == 2);
    vmt_vmalloc_tlb_stop();
    CHECK(vmt_vmalloc_tlb_start("icelake") == 0);
    CHECK(read_now().references == 0);
    void *p = vmt_malloc(100);
    CHECK(read_now().handed_out == 1 && read_now().misses == 1 && strcmp(read_now().preset, "icelake") == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(read_now().references == 0);
        vmt_free(p);
        CHECK(read_now().freed == 1 && read_now().references == 1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(read_now().freed == 0);
}

CHILD_CASE(wrong_calls)
{
    struct vmalloc_tlb t = {.threads = 7, .freed = 7};
    struct {
        struct vmalloc_tlb t;
        char more[64];
    } newer;

    CHECK(read_now().preset[0] == '\0' && read_now().references == 0);
    CHECK(vmt_vmalloc_tlb_start("abacus") == -1 && errno == ENOENT);
    CHECK(vmt_vmalloc_tlb_start(NULL) == -1 && errno == EINVAL);
    CHECK(vmt_vmalloc_tlb_read(&t, 0) == -1 && errno == EINVAL);
    CHECK(vmt_vmalloc_tlb_read(NULL, sizeof t) == -1 && errno == EINVAL);
    vmt_vmalloc_tlb_stop();
    CHECK(vmt_vmalloc_tlb_start("skylake") == 0);
    CHECK(vmt_vmalloc_tlb_start("zen3") == -1 && errno == EBUSY);
    memset(newer.more, 1, sizeof newer.more);
    CHECK(vmt_vmalloc_tlb_read(&newer.t, sizeof newer) == 0 && newer.more[0] == 0 && newer.more[63] == 0);
    CHECK(vmt_vmalloc_tlb_read(&t, offsetof(struct vmalloc_tlb, freed)) == 0 && t.threads == 0
          && t.freed == 7); /* an older caller */
}

#define THREADS 6
#define ROUNDS 20000

static void *work(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        vmt_free(vmt_malloc(16 + i % 200));
    return arg;
}

CHILD_CASE(threads_add_up)
{
    pthread_t t[THREADS];

    CHECK(vmt_vmalloc_tlb_start("zen4") == 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, work, NULL) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    struct vmalloc_tlb n = read_now();
    CHECKF(n.handed_out + n.freed + n.skipped == 2 * THREADS * ROUNDS && n.handed_out == n.freed,
           "%lu out, %lu freed, %lu skipped", n.handed_out, n.freed, n.skipped);
    CHECK(n.threads >= 1 && n.references == 2 * THREADS * ROUNDS && vmt_vmalloc_check() == 1);
}

static bool stop;
static unsigned long done;

static void *work_until_stopped(void *arg)
{
    void *held[100];

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < 100; i++)
            held[i] = vmt_malloc(64);
        for (unsigned i = 0; i < 100; i++)
            vmt_free(held[i]);
        __atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
    }
    return arg;
}

static void wait_for_more(unsigned long rounds)
{
    for (unsigned long from = __atomic_load_n(&done, __ATOMIC_RELAXED); __atomic_load_n(&done, __ATOMIC_RELAXED) < from + rounds;)
        sched_yield();
}

/* Threads that are at work take part when they next miss, and leave when it is stopped. */
CHILD_CASE(started_in_midst)
{
    pthread_t t[2];

    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&t[i], NULL, work_until_stopped, NULL) == 0);
    for (unsigned round = 0; round < 20; round++) {
        wait_for_more(20);
        CHECK(vmt_vmalloc_tlb_start(round % 2 ? "zen4" : "textbook") == 0);
        wait_for_more(20);
        vmt_vmalloc_tlb_stop();
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(vmt_vmalloc_check() == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(exact_zen4), CHILD_TEST(exact_cortex), CHILD_TEST(again), CHILD_TEST(wrong_calls),
        CHILD_TEST(threads_add_up), CHILD_TEST(started_in_midst),
    };
    if (!VM_INSTRUMENT)
        return 77; /* automake: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
