/* Unit tests of src/heap: slabs through all their states, messages between heaps, adoption of what ended threads leave,
   threads past their end, fork, and a random model; vmalloc_check() after every step.  Each case is a process of its
   own.  Run by `make check`, and by tests/stress/run with sanitizers.  SEED sets the seed. */
#include "unit.h"

#include <sys/mman.h>

#include "heap/heap.h"
#include "heap/heap_fast.h"
#include "heap/slab.h"
#include "os/os.h"
#include "page/zone.h"

int vmt_vmalloc_check(void);

#define SIZE 1000 /* a class with some tens of blocks a slab */

static const struct vm_class *class_of(size_t n) { return &vm_classes[vm_class_of(n)]; }

static struct vm_page *slab_of(const void *p)
{
    struct vm_page *page = vm_page_of((uintptr_t)p);

    CHECK(page && page->role != VM_PAGE_FREE);
    page -= page->tail;
    CHECK(page->role == VM_PAGE_SLAB);
    return page;
}

static pthread_barrier_t meeting_point;

static struct vm_heap *mine(void) { return vm_heap_mine(); }
static void check(void) { CHECK(vmt_vmalloc_check()); }

/* Changes with every batch that comes in; 0 when nothing is there. */
static UNUSED uintptr_t inbox_of(const struct vm_heap *h)
{
    uintptr_t state = 0;

    for (unsigned i = 0; i < VM_INBOXES; i++)
        state ^= (uintptr_t)VM_LOAD(&h->inbox[i]);
    return state;
}

/* Bytes handed out, this thread's outboxes and idle heaps' inboxes emptied first. */
static size_t used(void)
{
    struct vm_heaps_stats s;

    vm_heaps_collect();
    vm_heaps_collect();
    vm_heaps_stats(&s);
    return s.used_bytes;
}

static void run_thread(void *(*f)(void *), void *arg)
{
    pthread_t t;
    CHECK(pthread_create(&t, NULL, f, arg) == 0);
    pthread_join(t, NULL);
}

static unsigned free_blocks(const struct vm_page *slab)
{
    unsigned n = 0;
    for (const struct vm_block *b = slab->free; b != VM_BLOCK_END; b = b->next)
        n++;
    return n;
}

/* ---- One heap ---- */

CHILD_CASE(blocks_of_every_class)
{
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        const struct vm_class *c = &vm_classes[id];
        size_t n = c->size == VM_SMALL_LIMIT ? VM_SMALL_LIMIT - 1 : c->size;
        void *p[3];
        for (unsigned i = 0; i < 3; i++) {
            p[i] = vmt_malloc(n);
            CHECK(p[i] && slab_of(p[i])->class_id == id && vmt_malloc_usable_size(p[i]) == c->size);
            CHECK(slab_of(p[i])->owner == mine() && slab_of(p[i])->size == c->size);
            CHECK(vm_is_pow2(c->size) ? (uintptr_t)p[i] % vm_min(c->size, VM_SLAB_ALIGN_MAX) == 0 : (uintptr_t)p[i] % 16 == 0);
            fill(p[i], c->size, id * 10 + i, false);
        }
        check();
        for (unsigned i = 0; i < 3; i++)
            CHECK(wrong_at(p[i], c->size, c->size, id * 10 + i, false) == SIZE_MAX);
        vmt_free(p[1]);
        CHECK(vmt_malloc(n) == p[1]); /* the warmest block comes first */
        for (unsigned i = 0; i < 3; i++)
            vmt_free(p[i]);
        check();
    }
    CHECK(slab_of(vmt_malloc(VM_SMALL_LIMIT - 1))->size == VM_SMALL_LIMIT);
}

/* current -> full -> partial -> quiet -> freed, and partial -> current. */
CHILD_CASE(slab_states)
{
    const struct vm_class *c = class_of(SIZE);
    unsigned id = vm_class_of(SIZE), n = c->capacity;
    void **a = own_memory(sizeof(void *) * n);

    for (unsigned i = 0; i < n; i++) {
        a[i] = vmt_malloc(SIZE);
        CHECK(slab_of(a[i]) == slab_of(a[0]));
        CHECK(slab_of(a[0])->state == VM_SLAB_CURRENT && mine()->hit.current[id] == slab_of(a[0]));
        check();
    }
    struct vm_page *first = slab_of(a[0]);
    CHECK(first->held == n && first->carved == n && free_blocks(first) == 0);

    void *extra = vmt_malloc(SIZE);
    struct vm_page *second = slab_of(extra);
    CHECK(second != first && second->state == VM_SLAB_CURRENT && mine()->hit.current[id] == second);
    CHECK(first->state == VM_SLAB_FULL);
    check();

    /* It sleeps until `wake` blocks came back. */
    unsigned wake = first->wake;
    CHECK(wake >= 1 && wake <= n);
    for (unsigned i = 0; i < wake; i++) {
        CHECK(first->state == VM_SLAB_FULL);
        vmt_free(a[i]);
        check();
    }
    CHECK(first->state == VM_SLAB_PARTIAL && vm_slab_out(first) == n - wake && free_blocks(first) == wake);
    CHECK(mine()->partial[id].next == &first->list);

    /* The rest but one: still partial.  The last: it is quiet. */
    for (unsigned i = wake; i + 1 < n; i++)
        vmt_free(a[i]);
    CHECK(first->state == VM_SLAB_PARTIAL && vm_slab_out(first) == 1);
    check();
    vmt_free(a[n - 1]);
    CHECK(first->state == VM_SLAB_PARTIAL && first->aside_bytes > 0 && first->bias == -1 && first->held == 1);
    check();
    vmt_free(extra);
    CHECK(second->state == VM_SLAB_CURRENT && second->aside_bytes > 0 && second->held == 1);
    CHECK(mine()->hit.current[id] == second && mine()->quiet_bytes == first->aside_bytes + second->aside_bytes);
    check();
    vmt_malloc_trim(0); /* looks at quiet slabs */
    CHECK(first->role == VM_PAGE_FREE && first->carved == 0 && vm_list_empty(&mine()->partial[id]));
    check();
    CHECK(used() == 0);
}

/* Current slabs that became empty hold a MiB at most; what is looked at in turn and found in use stays. */
CHILD_CASE(quiet_slabs_are_bounded)
{
    void *kept[VM_CLASSES], *p[16];

    for (unsigned id = 1; id < VM_CLASSES; id++) {
        size_t size = vm_classes[id].size - (id == VM_CLASSES - 1);
        unsigned n = vm_min(vm_classes[id].capacity, 16u);
        for (unsigned i = 0; i < n; i++)
            p[i] = vmt_malloc(size);
        for (unsigned i = 0; i < n; i++)
            vmt_free(p[i]);
        kept[id] = id % 3 == 0 ? vmt_malloc(size) : NULL; /* from the slab that is quiet by now */
        CHECK(mine()->quiet_bytes <= VM_MIB);
        check();
    }
    size_t held = 0;
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        struct vm_page *slab = mine()->hit.current[id];
        if (kept[id]) {
            CHECK(slab == slab_of(kept[id]));
            vmt_free(kept[id]);
            check();
        }
    }
    for (unsigned id = 1; id < VM_CLASSES; id++)
        if (mine()->hit.current[id] != &vm_slab_none)
            held += mine()->hit.current[id]->carved * mine()->hit.current[id]->size;
    CHECK(held <= VM_MIB && held == mine()->quiet_bytes && used() == 0);
}

/* One of several threads that has freed megabytes, and then waits, holds 64 KiB at most; while it works it may hold more. */
static void *frees_much(void *arg)
{
    enum { N = 20000 };
    static void *p[N];

    (void)arg;
    for (unsigned i = 0; i < N; i++)
        p[i] = vmt_malloc(16 + i % 64 * 16);
    for (unsigned i = 0; i < N; i++)
        vmt_free(p[i]);
    CHECKF(mine()->quiet_bytes <= 64 * VM_KIB, "%zu bytes", mine()->quiet_bytes);
    check();
    size_t most = 0;
    for (unsigned k = 0; k < 200; k++) {
        for (unsigned i = 0; i < 300; i++)
            p[i] = vmt_malloc(1024);
        for (unsigned i = 0; i < 300; i++)
            vmt_free(p[i]);
        most = vm_max(most, mine()->quiet_bytes);
    }
    CHECKF(most > 128 * VM_KIB && mine()->quiet_bytes <= VM_MIB / 2, "%zu bytes", most);
    check();
    return NULL;
}

CHILD_CASE(idle_threads_hold_little)
{
    vmt_free(vmt_malloc(SIZE)); /* so that there are two */
    run_thread(frees_much, NULL);
}

/* ---- Free pages of partly used slabs ---- */

static size_t resident_in(const struct vm_page *slab)
{
    unsigned char there[8 * VM_FRAME_BYTES / 4096];
    size_t pages = slab->frames * VM_FRAME_BYTES / 4096, n = 0;

    CHECK(vm_os.page_size == 4096 && mincore((void *)slab->start, pages * 4096, there) == 0);
    for (size_t i = 0; i < pages; i++)
        n += there[i] & 1;
    return n * 4096;
}

static size_t absent_bytes;

static void sum_absent(struct vm_page *slab, void *arg)
{
    (void)arg;
    absent_bytes += (size_t)__builtin_popcountll(slab->absent) * 4096;
    if (slab->frames <= 4)
        for (unsigned i = 0; i < 64; i++) /* nobody touched it since, but for the end of a block that begins before */
            CHECK(!(slab->absent >> i & 1) || (i + 1) * 4096u <= slab->carved * slab->size);
}

static bool refuse_purging;
static int (*real_purge)(void *, size_t);
static int purge_or_not(void *base, size_t bytes) { return refuse_purging ? -ENOMEM : real_purge(base, bytes); }

/* Nine in ten blocks of a size are freed at random: pages that hold free blocks only go back, what lives stays whole, and
   what is asked for again reads as zero where it must and is nobody else's. */
static void sparse_round(uint64_t r, size_t size, bool refused)
{
    enum { BYTES = 24 << 20 };
    size_t n = BYTES / size, live = 0;
    unsigned char **p = own_memory(n * sizeof *p);

    refuse_purging = refused;
    for (size_t i = 0; i < n; i++) {
        p[i] = vmt_malloc(size);
        fill(p[i], size, i, false);
    }
    for (size_t i = 0; i < n; i++)
        if (below(&r, 10)) {
            vmt_free(p[i]);
            p[i] = NULL;
        }
    check();
    vm_heaps_collect();
    check();
    absent_bytes = 0;
    vm_slabs_each(sum_absent, NULL);
    CHECKF(refused ? absent_bytes == 0 : absent_bytes > 0 || size < 256, "%zu bytes absent, size %zu, refused %d",
           absent_bytes, size, refused);
    for (size_t i = 0; i < n; i++)
        if (p[i]) {
            live++;
            CHECK(wrong_at(p[i], size, size, i, false) == SIZE_MAX);
        }
    CHECK(used() == live * class_of(size)->size);
    for (size_t i = 0; i < n; i++)
        if (!p[i]) {
            p[i] = vmt_calloc(1, size);
            for (size_t k = 0; k < size; k++)
                CHECK(p[i][k] == 0);
            fill(p[i], size, i, false);
        }
    check();
    for (size_t i = 0; i < n; i++) {
        CHECK(wrong_at(p[i], size, size, i, false) == SIZE_MAX);
        vmt_free(p[i]);
    }
    check();
    munmap(p, n * sizeof *p);
}

CHILD_CASE(pages_of_sparse_slabs_go_back)
{
    static const size_t size[] = {48, 256, 1000, 3000, 5000, 16384, 30000, 100000};

    uint64_t r = unit_seed();

    real_purge = vm_os.purge;
    vm_os.purge = purge_or_not;
    for (unsigned i = 0; i < sizeof size / sizeof *size; i++) {
        sparse_round(r, size[i], false);
        sparse_round(r, size[i], true);
    }
}

/* They go back by themselves, when there are many, and a page is really gone. */
CHILD_CASE(sparse_slabs_are_bounded)
{
    enum { N = 40000, SIZE_OF_THEM = 2048 };
    static void *p[N];
    struct vm_page *slab = NULL;

    for (unsigned i = 0; i < N; i++)
        p[i] = vmt_malloc(SIZE_OF_THEM);
    for (unsigned i = 0; i < N; i++)
        if (i % 32) {
            vmt_free(p[i]);
            CHECK(mine()->sparse_bytes <= vm_max(VM_SPARSE_FLOOR, vm_frames_used() / 16));
        } else if (i < N / 2) {
            slab = slab_of(p[i]);
        }
    check();
    CHECK(slab->absent != 0 && resident_in(slab) < slab->carved * slab->size / 2);
}

static size_t purges;
static int count_purges(void *base, size_t bytes)
{
    purges++;
    return real_purge(base, bytes);
}

static uint64_t same_time(void) { return 1000000000; }

/* Of blocks of several pages every page goes back once, and all of them are known to be wanted when the blocks are asked
   for again, so that the next wave is kept. */
CHILD_CASE(pages_of_blocks_are_counted)
{
    enum { N = 3000 };
    static const size_t pages[] = {2, 3, 4, 7};
    static void *p[N];

    real_purge = vm_os.purge;
    vm_os.purge = count_purges;
    vm_os.now = same_time;
    for (unsigned k = 0; k < sizeof pages / sizeof *pages; k++) {
        size_t size = pages[k] * vm_os.page_size;
        if (size >= VM_SMALL_LIMIT)
            break;
        for (unsigned i = 0; i < N; i++)
            CHECK((p[i] = vmt_malloc(size)) && memset(p[i], 1, size));
        for (unsigned i = 0; i < N; i++)
            if (i % 64) {
                vmt_free(p[i]);
                p[i] = NULL;
            }
        struct vm_keep *keep = &mine()->sparse_keep;
        size_t owed = vm_keep_owed(keep), credit = keep->credit;
        CHECKF(owed > 0, "nothing went back, size %zu", size);
        vm_heaps_collect();
        purges = 0;
        vm_heaps_collect();
        CHECKF(purges == 0, "%zu purges of what had gone, size %zu", purges, size);
        for (unsigned i = 0; i < N; i++)
            if (!p[i])
                CHECK((p[i] = vmt_malloc(size)) && memset(p[i], 1, size));
        credit = keep->credit - credit;
        CHECKF(credit >= owed, "%zu bytes went back, %zu were earned, size %zu", owed, credit, size);
        check();
        for (unsigned i = 0; i < N; i++)
            vmt_free(p[i]);
        vm_heaps_collect();
        *keep = (struct vm_keep){.floor = keep->floor};
    }
}

/* A second free of a block whose page went back is found when the block is to be handed out again. */
static void free_absent_twice(void *arg)
{
    (void)arg;
    enum { N = 40000, SIZE_OF_THEM = 2048 };
    static void *p[N];

    for (unsigned i = 0; i < N; i++)
        p[i] = vmt_malloc(SIZE_OF_THEM);
    for (unsigned i = 0; i < N; i++)
        if (i % 32)
            vmt_free(p[i]);
    vm_heaps_collect();
    vmt_free(p[3]); /* in a page of its own with p[2] */
    for (unsigned i = 0; i < 2 * N; i++)
        CHECK(vmt_malloc(SIZE_OF_THEM));
}

CHILD_CASE(double_free_of_an_absent_block)
{
    char text[200];
    int status = child_status(free_absent_twice, NULL, text, sizeof text);

    CHECKF(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, "or freed once more"), "status %#x: %s",
           status, text);
}

/* Another thread that is at work gives what it does not serve from at once, and the rest when it next refills. */
static void *holds_quiet_slabs(void *arg)
{
    static void *p[20000];

    for (unsigned i = 0; i < 20000; i++)
        p[i] = vmt_malloc(64 + i % 8 * 64);
    for (unsigned i = 0; i < 20000; i++)
        vmt_free(p[i]);
    *(struct vm_heap **)arg = mine();
    pthread_barrier_wait(&meeting_point);
    pthread_barrier_wait(&meeting_point);
    for (unsigned i = 0; i < 2000; i++)
        p[i] = vmt_malloc(64);
    for (unsigned i = 0; i < 2000; i++)
        vmt_free(p[i]);
    return NULL;
}

CHILD_CASE(others_are_asked_to_return)
{
    struct vm_heap *other;
    pthread_t t;

    CHECK(pthread_barrier_init(&meeting_point, NULL, 2) == 0);
    CHECK(pthread_create(&t, NULL, holds_quiet_slabs, &other) == 0);
    pthread_barrier_wait(&meeting_point);
    size_t before = other->quiet_bytes;
    vmt_malloc_trim(0);
    CHECK(other->quiet_bytes < before && other->return_wanted);
    pthread_barrier_wait(&meeting_point);
    pthread_join(t, NULL);
    CHECK(!other->return_wanted);
    check();
}

/* A partial slab serves before a new one is made. */
CHILD_CASE(partial_serves_first)
{
    const struct vm_class *c = class_of(SIZE);
    unsigned id = vm_class_of(SIZE), n = c->capacity;
    void **a = own_memory(sizeof(void *) * (3 * n + 1));

    for (unsigned i = 0; i <= 3 * n; i++)
        a[i] = vmt_malloc(SIZE);
    struct vm_page *first = slab_of(a[0]);
    struct vm_page *last = slab_of(a[3 * n]);
    CHECK(slab_of(a[n]) != first && first->state == VM_SLAB_FULL && last->state == VM_SLAB_CURRENT);
    for (unsigned i = 0; i < n / 2; i++)
        vmt_free(a[i]);
    CHECK(first->state == VM_SLAB_PARTIAL && mine()->hit.current[id] == last);
    while (last->free != VM_BLOCK_END)
        vmt_malloc(SIZE);
    for (unsigned i = 0; i < n / 2; i++) {
        a[i] = vmt_malloc(SIZE);
        CHECK(slab_of(a[i]) == first && first->state == VM_SLAB_CURRENT && mine()->hit.current[id] == first);
        check();
    }
    void *next = vmt_malloc(SIZE);
    CHECK(slab_of(next) != first);
    check();
}

/* A full slab that gets blocks back serves at once where the current one has none at hand, which is then full, or partial
   when it has room. */
CHILD_CASE(woken_serves_at_once)
{
    const struct vm_class *c = class_of(SIZE);
    unsigned id = vm_class_of(SIZE), n = c->capacity;
    void **a = own_memory(sizeof(void *) * 4 * n);

    for (unsigned i = 0; i < 2 * n; i++)
        a[i] = vmt_malloc(SIZE);
    struct vm_page *first = slab_of(a[0]), *second = slab_of(a[n]);
    unsigned wake = first->wake;
    CHECK(first->state == VM_SLAB_FULL && second->state == VM_SLAB_CURRENT && second->free == VM_BLOCK_END);
    for (unsigned i = 0; i < wake; i++) {
        CHECK(first->state == VM_SLAB_FULL && mine()->hit.current[id] == second);
        vmt_free(a[i]);
    }
    CHECK(first->state == VM_SLAB_CURRENT && mine()->hit.current[id] == first && second->state == VM_SLAB_FULL);
    check();
    for (unsigned i = wake; i-- > 0;) {
        void *p = vmt_malloc(SIZE);
        CHECK(p == a[i]);
    }
    for (unsigned i = 0; i < wake; i++)
        vmt_free(a[n + i]);
    CHECK(first->state == VM_SLAB_FULL && mine()->hit.current[id] == second);
    check();
    for (unsigned i = 0; i < wake; i++)
        a[n + i] = vmt_malloc(SIZE);

    struct vm_page *third = slab_of(a[2 * n] = vmt_malloc(SIZE));
    while (third->free != VM_BLOCK_END)
        vmt_malloc(SIZE);
    bool room = third->carved < third->capacity; /* unless pages are as large as slabs */
    CHECK(second->state == VM_SLAB_FULL && (room || vm_os.page_size >= VM_FRAME_BYTES));
    for (unsigned i = 0; i < wake; i++)
        vmt_free(a[i]);
    CHECK(first->state == VM_SLAB_CURRENT && mine()->hit.current[id] == first);
    CHECK(third->state == (room ? VM_SLAB_PARTIAL : VM_SLAB_FULL));
    check();
}

/* A full slab of the class, of which blocks `from` to the end are then given back. */
static struct vm_page *partly_used(size_t size, void **a, unsigned from)
{
    unsigned n = class_of(size)->capacity;

    for (unsigned i = 0; i < n; i++)
        a[i] = vmt_malloc(size);
    struct vm_page *slab = slab_of(a[0]);
    a[n] = vmt_malloc(size);
    CHECK(slab_of(a[n]) != slab && slab->state == VM_SLAB_FULL);
    for (unsigned i = from; i < n; i++)
        vmt_free(a[i]);
    CHECK(slab->state == VM_SLAB_PARTIAL && vm_slab_out(slab) == from);
    return slab;
}

/* A partly used slab of 960 bytes a block serves requests of 832, but none that could be half its size or be aligned to
   more than 64, nor any when it is empty; when it is full, or its thread has ended, it is one of its own class. */
CHILD_CASE(neighbours_lend)
{
    unsigned n = class_of(960)->capacity, left = n - n / 4;
    void **a = own_memory(sizeof(void *) * (n + 1)), **b = own_memory(sizeof(void *) * n), *own = NULL;
    struct vm_page *lender = partly_used(960, a, n / 4);

    void *unlike[] = {vmt_malloc(448), vmt_malloc(512), vmt_malloc(640)};
    for (unsigned i = 0; i < 3; i++)
        CHECK(slab_of(unlike[i]) != lender);
    for (unsigned i = 0; i < left; i++) {
        b[i] = i % 2 ? vmt_malloc(832) : vmt_memalign(64, 832);
        CHECK(slab_of(b[i]) == lender && vmt_malloc_usable_size(b[i]) == 960 && (uintptr_t)b[i] % 64 == 0);
        CHECK(lender->state == VM_SLAB_CURRENT && mine()->hit.current[vm_class_of(832)] == lender);
        fill(b[i], 960, i, false);
        check();
    }
    own = vmt_malloc(832);
    CHECK(slab_of(own)->size == 832 && lender->state == VM_SLAB_FULL);
    check();
    for (unsigned i = 0; i < left; i++) {
        CHECK(wrong_at(b[i], 960, 960, i, false) == SIZE_MAX);
        vmt_free(b[i]);
        check();
    }
    CHECK(mine()->partial[vm_class_of(960)].next == &lender->list);
    for (unsigned i = 0; i < n / 4; i++)
        vmt_free(a[i]);
    vmt_free(own);
    void *other = vmt_malloc(704);
    CHECK(vm_slab_out(lender) == 0 && slab_of(other)->size == 704);
    check();
}

static void *end_while_lending(void *arg)
{
    void **a = arg;
    unsigned n = class_of(960)->capacity;
    struct vm_page *lender = partly_used(960, a, n / 2);

    a[n + 1] = vmt_malloc(832);
    CHECK(slab_of(a[n + 1]) == lender);
    vmt_free(a[n]); /* so that no other slab of the class is left */
    return NULL;
}

CHILD_CASE(a_lender_is_adopted)
{
    unsigned n = class_of(960)->capacity;
    void **a = own_memory(sizeof(void *) * (n + 2));

    mine(); /* made now, so that it is not the ended thread's */
    run_thread(end_while_lending, a);
    struct vm_page *lender = slab_of(a[0]);
    check();
    CHECK(lender->state == VM_SLAB_PARTIAL && lender->owner != mine());
    void *p = vmt_malloc(960);
    CHECK(slab_of(p) == lender && lender->owner == mine() && lender->serves == vm_class_of(960));
    vmt_free(a[n + 1]);
    check();
}

/* Memory that was never asked for is never touched: blocks come to life a page at a time. */
CHILD_CASE(carving)
{
    struct vm_page *slab = slab_of(vmt_malloc(16));
    size_t a_page = 4096 / 16;

    CHECK(slab->carved == a_page);
    for (unsigned i = 1; i < a_page; i++)
        CHECK(slab_of(vmt_malloc(16)) == slab && slab->carved == a_page);
    CHECK(slab_of(vmt_malloc(16)) == slab && slab->carved == 2 * a_page);
    check();
    slab = slab_of(vmt_malloc(50000));
    CHECK(slab->carved == 1 && slab->capacity > 1);
}

CHILD_CASE(calloc_is_zero)
{
    void *p[40];

    for (unsigned round = 0; round < 3; round++) {
        for (size_t n = 1; n < 200000; n = n * 3 + 1) {
            for (unsigned i = 0; i < 40; i++) {
                p[i] = vmt_calloc(1, n);
                CHECK(not_zero_at(p[i], vmt_malloc_usable_size(p[i]) < n ? 0 : n) == SIZE_MAX);
                memset(p[i], 0xff, vmt_malloc_usable_size(p[i]));
            }
            for (unsigned i = 0; i < 40; i++)
                vmt_free(p[i]);
        }
        vmt_malloc_trim(0);
        check();
    }
}

/* ---- Blocks freed by other threads ---- */

struct batch {
    void *p[4096];
    unsigned n;
    struct vm_heap *heap; /* of the thread that worked on it */
};
static struct batch batch;

static void *free_batch(void *arg)
{
    struct batch *b = arg;

    vmt_free(vmt_malloc(1));
    b->heap = mine();
    for (unsigned i = 0; i < b->n; i++)
        vmt_free(b->p[i]);
    return NULL;
}

static void *allocate_batch(void *arg)
{
    struct batch *b = arg;

    for (unsigned i = 0; i < b->n; i++)
        b->p[i] = vmt_malloc(SIZE);
    b->heap = mine();
    return NULL;
}

CHILD_CASE(messages_come_home)
{
    batch.n = 500;
    allocate_batch(&batch);
    struct vm_heap *owner = mine();
    struct vm_page *slab = slab_of(batch.p[0]);
    run_thread(free_batch, &batch);
    CHECK(batch.heap != owner);
    /* The thread has ended, so nothing is held back; nothing of it is taken in yet either. */
    CHECK(inbox_of(owner) != 0 && slab->state == VM_SLAB_FULL && slab->held == slab->wake);
    check();
    vm_lock(&owner->lock);
    vm_remote_drain(owner);
    vm_unlock(&owner->lock);
    CHECK(inbox_of(owner) == 0);
    check();
    CHECK(used() == 0);
}

/* What a thread holds back is bounded by VM_OUTBOX_ROOM. */
static void *free_one_by_one(void *arg)
{
    struct batch *b = arg;
    struct vm_heap *owner = slab_of(b->p[0])->owner;
    size_t cost = slab_of(b->p[0])->send_cost;

    vmt_free(vmt_malloc(1));
    size_t held = 0;
    for (unsigned i = 0; i < b->n; i++) {
        uintptr_t before = inbox_of(owner);
        vmt_free(b->p[i]);
        held += cost;
        if (inbox_of(owner) != before)
            held = 0;
        CHECKF(held <= VM_OUTBOX_ROOM, "%zu held back after %u", held, i);
    }
    vm_remote_flush(mine());
    for (unsigned i = 0; i < VM_OUTBOXES; i++)
        CHECK(mine()->out[i].head == NULL);
    return NULL;
}

CHILD_CASE(outboxes_are_bounded)
{
    static const size_t sizes[] = {16, 100, 1000, 8192, 60000};

    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        batch.n = 200;
        for (unsigned i = 0; i < batch.n; i++)
            batch.p[i] = vmt_malloc(sizes[s]);
        run_thread(free_one_by_one, &batch);
        CHECK(used() == 0);
        check();
    }
}

/* ---- Threads that end ---- */

CHILD_CASE(heaps_are_used_again)
{
    struct vm_heaps_stats s;

    vmt_free(vmt_malloc(1));
    batch.n = 100;
    run_thread(allocate_batch, &batch);
    struct vm_heap *first = batch.heap;
    CHECK(first->state == VM_HEAP_IDLE);
    for (unsigned i = 0; i < 50; i++) {
        free_batch(&batch);
        run_thread(allocate_batch, &batch);
        CHECK(batch.heap == first);
        check();
    }
    vm_heaps_stats(&s);
    CHECK(s.heaps == 2 && s.idle == 1);
    free_batch(&batch);
    CHECK(used() == 0);
}

CHILD_CASE(slabs_of_ended_threads_are_adopted)
{
    struct vm_frames_stats before, after;

    vmt_free(vmt_malloc(1));
    batch.n = 3 * class_of(SIZE)->capacity + 7;
    run_thread(allocate_batch, &batch);
    struct vm_heap *ended = batch.heap;
    struct vm_page *slab = slab_of(batch.p[batch.n - 1]);
    CHECK(ended != mine() && slab->owner == ended && slab->state == VM_SLAB_PARTIAL);
    vm_frames_stats(&before);
    void *p = vmt_malloc(SIZE);
    vm_frames_stats(&after);
    CHECK(slab_of(p) == slab && slab->owner == mine() && slab->state == VM_SLAB_CURRENT);
    CHECK(after.in_use == before.in_use);
    check();
    /* Its blocks are ours to free now; those of the slabs that stayed go as messages, and all of it is found again. */
    for (unsigned i = 0; i < batch.n; i++) {
        vmt_free(batch.p[i]);
        if (i % 16 == 0)
            check();
    }
    vmt_free(p);
    CHECK(used() == 0);
    check();
}

/* What empties in the heap of an ended thread is kept for nobody. */
CHILD_CASE(ended_threads_keep_nothing)
{
    struct vm_frames_stats stats;

    vmt_free(vmt_malloc(1));
    batch.n = 3 * class_of(SIZE)->capacity;
    run_thread(allocate_batch, &batch);
    for (unsigned i = 0; i < batch.n; i++)
        vmt_free(batch.p[i]);
    vmt_malloc_trim(0); /* sends what is held back and takes in what came */
    vm_frames_stats(&stats);
    CHECK(stats.in_use == 0 && used() == 0);
    check();
}

/* A message to a heap whose slab went to somebody else on the way. */
CHILD_CASE(messages_follow_the_slab)
{
    vmt_free(vmt_malloc(1));
    batch.n = 40;
    run_thread(allocate_batch, &batch);
    struct vm_page *slab = slab_of(batch.p[0]);
    struct vm_heap *ended = slab->owner;
    for (unsigned i = 0; i < 20; i++)
        vm_remote_send_one(ended, batch.p[i]);
    vm_lock(&mine()->lock);
    vm_lock(&ended->lock);
    CHECK(slab->state == VM_SLAB_PARTIAL);
    CHECK(vm_slab_take_over(mine(), ended, vm_class_of(SIZE)) && slab->owner == mine());
    vm_remote_drain(ended);
    CHECK(inbox_of(ended) == 0 && inbox_of(mine()) != 0);
    vm_unlock(&ended->lock);
    vm_remote_drain(mine());
    CHECK(inbox_of(mine()) == 0);
    vm_unlock(&mine()->lock);
    check();
    for (unsigned i = 20; i < 40; i++)
        vmt_free(batch.p[i]);
    CHECK(used() == 0);
}

static void *work_past_the_end(void *arg)
{
    struct batch *b = arg;

    b->p[0] = vmt_malloc(SIZE);
    b->p[1] = vmt_malloc(SIZE);
    vm_thread_end();
    CHECK(vm_heap_mine() == NULL);
    vmt_free(b->p[1]);
    for (unsigned i = 1; i < b->n; i++) {
        b->p[i] = i % 3 ? vmt_malloc(SIZE) : vmt_calloc(1, 100 + i);
        CHECK(b->p[i] && (i % 3 || not_zero_at(b->p[i], 100 + i) == SIZE_MAX));
        memset(b->p[i], 1, 100 + i % 50);
        CHECK(slab_of(b->p[i])->owner == vm_heap_shared());
    }
    void *large = vmt_realloc(vmt_malloc(5), 300000);
    CHECK(large);
    vmt_free(large);
    for (unsigned i = 1; i < b->n; i += 2)
        vmt_free(b->p[i]);
    return NULL;
}

/* A large block has room for what it holds now, and for no more than an eighth less. */
CHILD_CASE(room_in_large_blocks)
{
    const size_t size = (size_t)1 << 20;
    char *large = vmt_malloc(size), *small = vmt_malloc(100);

    CHECK(vm_heap_has_room(large, size) && vm_heap_has_room(large, size - size / 8));
    CHECK(!vm_heap_has_room(large, size + 1) && !vm_heap_has_room(large, size / 2) && !vm_heap_has_room(large, 0));
    CHECK(!vm_heap_has_room(small, 100) && !vm_heap_has_room(large + 4096, 1) && !vm_heap_has_room(large + 1, size));
    CHECK(vmt_realloc(large, size - 5) == large && vmt_malloc_usable_size(large) == size);
    CHECK(vmt_realloc(large, size / 2) == large && vmt_malloc_usable_size(large) == size / 2);
    vmt_free(large);
    CHECK(!vm_heap_has_room(large, size / 2));
    vmt_free(small);
}

CHILD_CASE(threads_past_their_end)
{
    for (unsigned round = 0; round < 5; round++) {
        batch.n = 400;
        run_thread(work_past_the_end, &batch);
        check();
        for (unsigned i = 0; i < batch.n; i += 2)
            vmt_free(batch.p[i]);
        check();
    }
    /* The shared heap takes its blocks in when it is used the next time. */
    batch.n = 2;
    run_thread(work_past_the_end, &batch);
    vmt_free(batch.p[0]);
    vm_heaps_collect(); /* sends what this thread holds back */
    vm_lock(&vm_heap_shared()->lock);
    vm_remote_drain(vm_heap_shared());
    vm_unlock(&vm_heap_shared()->lock);
    CHECK(used() == 0);
}

/* ---- Fork ---- */

static pthread_barrier_t barrier;

static void *wait_with_blocks(void *arg)
{
    allocate_batch(arg);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* In the child the heaps of the threads it does not have are idle, and their blocks can be freed. */
CHILD_CASE(fork_leaves_idle_heaps)
{
    struct vm_heaps_stats s;
    pthread_t t;
    int status;

    if (UNIT_SANITIZED) {
        puts("SKIP: fork_leaves_idle_heaps: sanitizers' fork handlers do not expect a child to go on with threads gone");
        fflush(stdout);
        return;
    }
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    vmt_free(vmt_malloc(1));
    batch.n = 1000;
    CHECK(pthread_create(&t, NULL, wait_with_blocks, &batch) == 0);
    pthread_barrier_wait(&barrier);
    vm_heaps_stats(&s);
    CHECK(s.idle == 0 && s.heaps == 2);
    pid_t child = fork();
    if (child == 0) {
        vm_heaps_stats(&s);
        CHECK(s.idle == 1 && s.heaps == 2);
        CHECK(batch.heap->state == VM_HEAP_IDLE);
        check();
        void *p = vmt_malloc(SIZE);
        CHECK(slab_of(p)->owner == mine() && slab_of(p) == slab_of(batch.p[999]));
        vmt_free(p);
        for (unsigned i = 0; i < batch.n; i++)
            vmt_free(batch.p[i]);
        check();
        CHECK(used() == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(batch.heap->state == VM_HEAP_LIVE);
    pthread_barrier_wait(&barrier);
    pthread_join(t, NULL);
    free_batch(&batch);
    CHECK(used() == 0);
}

/* A thread is interrupted while it holds an inner lock, and its handler forks; another one waits for that lock with its own
   heap's lock in hand.  The system call made under the inner lock stands for the signal. */
static struct {
    void *(*sbrk)(intptr_t);
    int (*purge)(void *, size_t);
    void *(*remap)(void *, size_t, size_t);
    pthread_t other;
    unsigned long turns;
    bool forked, stop;
} meeting;

static void *uses_heap_and_extents(void *arg)
{
    static void *volatile held[20000]; /* volatile: the child sees what was done when it was made */

    for (size_t n = 0; !VM_LOAD(&meeting.stop); n++) {
        void *volatile *slot = &held[n % 20000], *old = *slot;
        *slot = NULL; /* the child's thread, which has these too, must not free one twice */
        vmt_free(old);
        *slot = vmt_malloc(n % 100 ? 3000 : 200 * VM_KIB);
        VM_STORE(&meeting.turns, n + 1);
    }
    for (size_t n = 0; n < 20000; n++) {
        vmt_free(held[n]);
        held[n] = NULL;
    }
    return arg;
}

static void forking_handler(void)
{
    int status;

    if (meeting.forked)
        return;
    meeting.forked = true;
    CHECK(pthread_create(&meeting.other, NULL, uses_heap_and_extents, NULL) == 0);
    unsigned long before = 1;
    for (int i = 0; i < 5 && before != VM_LOAD(&meeting.turns); i++) { /* where it need not wait, it is at work */
        before = VM_LOAD(&meeting.turns);
        usleep(200000);
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        meeting.stop = true; /* the child goes on with what was interrupted */
        return;
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void *sbrk_interrupted(intptr_t by)
{
    forking_handler();
    return meeting.sbrk(by);
}

static int purge_interrupted(void *base, size_t bytes)
{
    forking_handler();
    return meeting.purge(base, bytes);
}

static void *remap_interrupted(void *base, size_t old_bytes, size_t new_bytes)
{
    forking_handler();
    return meeting.remap(base, old_bytes, new_bytes);
}

/* In the child everything can be freed and made, by the interrupted thread and by a new one. */
static void child_goes_on(pid_t parent)
{
    pthread_t t;

    if (getpid() == parent)
        return;
    for (unsigned i = 0; i < batch.n; i++)
        vmt_free(batch.p[i]);
    for (size_t n = 1; n < 2 * VM_MIB; n += n / 3 + 1)
        vmt_free(vmt_malloc(n));
    CHECK(pthread_create(&t, NULL, uses_heap_and_extents, NULL) == 0);
    pthread_join(t, NULL);
    _exit(0);
}

CHILD_CASE(fork_where_another_waits_for_an_inner_lock)
{
    pid_t self = getpid();

    if (UNIT_SANITIZED) {
        puts("SKIP: fork_where_another_waits_for_an_inner_lock: sanitizers' fork handlers do not expect a child to go on");
        fflush(stdout);
        return;
    }
    struct vm_os plain = vm_os;
    meeting.sbrk = plain.sbrk;
    meeting.purge = plain.purge;
    meeting.remap = plain.remap;
    for (int kind = 0; kind < 3; kind++) {
        static void *block[6000];
        meeting.forked = meeting.stop = false;
        allocate_batch(&batch);
        if (kind == 0) /* under the frames' lock */
            vm_os.sbrk = sbrk_interrupted;
        for (int i = 0; i < 6000; i++)
            block[i] = vmt_malloc(3000);
        if (kind == 1) /* while it returns frames */
            vm_os.purge = purge_interrupted;
        for (int i = 0; i < 5990; i++)
            vmt_free(block[i]);
        vmt_malloc_trim(0);
        if (kind == 2) { /* under the locks of the extents and of the table */
            void *p = vmt_malloc(VM_MIB);
            vm_os.remap = remap_interrupted;
            for (size_t n = VM_MIB; !meeting.forked && n < VM_GIB; n += VM_MIB)
                p = vmt_realloc(p, n);
            vmt_free(p);
        }
        child_goes_on(self);
        vm_os = plain;
        CHECK(meeting.forked);
        VM_STORE(&meeting.stop, true);
        pthread_join(meeting.other, NULL);
        free_batch(&batch);
        check();
    }
}

/* ---- Random model of one thread, with threads that end in between ---- */

#define SLOTS 3000

CHILD_CASE(random_model)
{
    static struct {
        unsigned char *p;
        size_t n;
        uint64_t id;
    } slot[SLOTS];
    uint64_t r = unit_seed(), id = 1;
    unsigned steps = UNIT_SANITIZED ? 8000 : 40000;

    for (unsigned step = 0; step < steps; step++) {
        unsigned i = (unsigned)below(&r, SLOTS), phase = step / 2000;
        if (!slot[i].p && below(&r, 4) < (phase % 2 ? 1 : 3)) {
            slot[i].n = phase % 3 == 0 ? 1 + below(&r, 200) : phase % 3 == 1 ? 990 + below(&r, 20) : log_uniform(&r, 16);
            slot[i].p = vmt_malloc(slot[i].n);
            slot[i].id = id++;
            CHECK(slot[i].p && vmt_malloc_usable_size(slot[i].p) >= slot[i].n);
            fill(slot[i].p, slot[i].n, slot[i].id, true);
        } else if (slot[i].p) {
            CHECK(wrong_at(slot[i].p, slot[i].n, slot[i].n, slot[i].id, true) == SIZE_MAX);
            vmt_free(slot[i].p);
            slot[i].p = NULL;
        }
        if (step % 5000 == 0) {
            batch.n = 300;
            run_thread(allocate_batch, &batch);
            free_batch(&batch);
        }
        if (step < 3000 || step % 50 == 0)
            check();
    }
    for (unsigned i = 0; i < SLOTS; i++)
        vmt_free(slot[i].p);
    CHECK(used() == 0);
    check();
}

/* vmalloc_check must find what it is there to find. */
CHILD_CASE(check_finds_faults)
{
    struct vm_page *slab = slab_of(vmt_malloc(SIZE));
    struct vm_block *b = slab->free;

    check();
    slab->held++;
    CHECK(!vmt_vmalloc_check());
    slab->held--;
    slab->free = b->next;
    CHECK(!vmt_vmalloc_check());
    slab->free = b;
    b->seal++;
    CHECK(!vmt_vmalloc_check());
    b->seal--;
    slab->state = VM_SLAB_FULL;
    CHECK(!vmt_vmalloc_check());
    slab->state = VM_SLAB_CURRENT;
    check();
    mine()->hit.current[slab->class_id] = slab + 1;
    CHECK(!vmt_vmalloc_check());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(blocks_of_every_class),
        CHILD_TEST(slab_states),
        CHILD_TEST(quiet_slabs_are_bounded),
        CHILD_TEST(idle_threads_hold_little),
        CHILD_TEST(partial_serves_first),
        CHILD_TEST(woken_serves_at_once),
        CHILD_TEST(pages_of_sparse_slabs_go_back),
        CHILD_TEST(sparse_slabs_are_bounded),
        CHILD_TEST(pages_of_blocks_are_counted),
        CHILD_TEST(double_free_of_an_absent_block),
        CHILD_TEST(others_are_asked_to_return),
        CHILD_TEST(neighbours_lend),
        CHILD_TEST(a_lender_is_adopted),
        CHILD_TEST(carving),
        CHILD_TEST(calloc_is_zero),
        CHILD_TEST(messages_come_home),
        CHILD_TEST(outboxes_are_bounded),
        CHILD_TEST(heaps_are_used_again),
        CHILD_TEST(slabs_of_ended_threads_are_adopted),
        CHILD_TEST(ended_threads_keep_nothing),
        CHILD_TEST(messages_follow_the_slab),
        CHILD_TEST(room_in_large_blocks),
        CHILD_TEST(threads_past_their_end),
        CHILD_TEST(fork_leaves_idle_heaps),
        CHILD_TEST(fork_where_another_waits_for_an_inner_lock),
        CHILD_TEST(random_model),
        CHILD_TEST(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
