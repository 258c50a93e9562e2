/* The randomised model test: threads allocate, resize and free at random against a table of what must be live, every
   block holding a pattern made of its id, so that an overlap, a lost byte or a moved border shows.  Run by
   tests/stress/run under LD_PRELOAD, and linked with the core under its own names in sanitizer builds (see stress.h).

   Environment: SEED (printed), SEEDS (how many from there, default 8), OPS (operations a seed, default 1000000),
   THREADS (default: 1 to 8, by the seed), BYTES (live bytes a thread may hold, default 24 MiB), MAYFAIL=1 (an
   allocation may fail with ENOMEM: for runs under a limit).

   A lane is a table of live blocks and the thread that works on it.  The thread ends now and then; its successor, which
   it starts itself, goes on with the table and so frees what an ended thread allocated.  Threads also swap blocks
   through the exchange, so that a good share of all frees is done by another thread than the allocating one. */
#include "stress.h"

#define LANES_MAX 8
#define SLOTS 4096
#define EXCHANGE 256
#define LARGE_BITS 20      /* log-uniform up to 1 MiB */
#define HUGE_MAX (8u << 20) /* and a few up to here */
#define PAGE 4096

struct block {
    unsigned char *p;
    size_t n;       /* filled bytes */
    size_t align;
    uint64_t id;
    bool sparse;
};

struct lane {
    unsigned number;
    uint64_t random, next_id;
    uint64_t ops_left;
    size_t live_bytes;
    unsigned live_count;
    pthread_t predecessor;
    bool has_predecessor;
    /* The phase: what kind of sizes, how eager to allocate. */
    unsigned phase_left, allocate_of_16, sizes;
    size_t phase_size;
    struct block slot[SLOTS];
};

static struct lane *lanes;
static struct {
    pthread_mutex_t lock;
    struct block b;
} exchange[EXCHANGE];

static uint64_t seed;
static size_t bytes_max;
static bool may_fail;
static uint64_t refused; /* allocations that failed, atomic */

static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_cond = PTHREAD_COND_INITIALIZER;
static unsigned lanes_done; /* under done_lock */

static _Noreturn void broken(const struct lane *l, const struct block *b, const char *what, size_t at)
{
    die("model: seed %llu lane %u: %s: block %p of %zu bytes (align %zu, id %llx), offset %zu", (unsigned long long)seed,
        l->number, what, (void *)b->p, b->n, b->align, (unsigned long long)b->id, at);
}

static void verify(const struct lane *l, const struct block *b, size_t upto, const char *what)
{
    size_t at = wrong_at(b->p, b->n, upto, b->id, b->sparse);

    if (at != SIZE_MAX)
        broken(l, b, what, at);
}

/* ---- What to do next ---- */

enum sizes { SIZES_ANY, SIZES_SMALL, SIZES_ONE_CLASS, SIZES_BORDER, SIZES_KINDS };

static void new_phase(struct lane *l)
{
    uint64_t *r = &l->random;

    l->phase_left = 500 + (unsigned)below(r, 8000);
    l->allocate_of_16 = 4 + (unsigned)below(r, 9);
    l->sizes = (unsigned)below(r, SIZES_KINDS);
    /* One class: many of about the same size, so that slabs fill up and empty. */
    l->phase_size = log_uniform(r, one_in(r, 4) ? 17 : 10);
}

static size_t pick_size(struct lane *l)
{
    uint64_t *r = &l->random;

    if (one_in(r, 4000))
        return below(r, HUGE_MAX) + 1;
    switch (l->sizes) {
    case SIZES_SMALL:
        return log_uniform(r, 10);
    case SIZES_ONE_CLASS:
        return l->phase_size + below(r, 8);
    case SIZES_BORDER: /* around the border between slabs and extents, and around whole pages */
        return one_in(r, 2) ? 131072 - 64 + below(r, 128) : (1 + below(r, 64)) * PAGE - 16 + below(r, 32);
    default:
        return log_uniform(r, LARGE_BITS);
    }
}

/* ---- Allocating ---- */

static void *call_aligned(uint64_t *r, size_t align, size_t n)
{
    void *p = NULL;
    int error;

    switch (below(r, 3)) {
    case 0:
        return FAMILY(memalign)(align, n);
    case 1:
        return FAMILY(aligned_alloc)(align, n);
    default:
        error = FAMILY(posix_memalign)(&p, align, n);
        if (error != 0 && error != ENOMEM)
            die("model: posix_memalign(%zu, %zu) returned %d", align, n, error);
        errno = error ? error : errno;
        return error ? NULL : p;
    }
}

static void check_refusal(const struct lane *l, const char *call, size_t n)
{
    if (errno != ENOMEM)
        die("model: lane %u: %s(%zu) failed with errno %d", l->number, call, n, errno);
    if (!may_fail)
        die("model: lane %u: %s(%zu) failed with ENOMEM; set MAYFAIL=1 if there is a limit", l->number, call, n);
    __atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
}

/* Fills a block that was just handed out; a quarter of the time up to its usable size. */
static void settle(struct lane *l, struct block *b, size_t n)
{
    uint64_t *r = &l->random;
    size_t usable = FAMILY(malloc_usable_size)(b->p);

    if (usable < n)
        broken(l, b, "usable size is less than what was asked for", usable);
    if ((uintptr_t)b->p % b->align != 0)
        broken(l, b, "not aligned", b->align);
    b->n = one_in(r, 4) ? usable : n;
    b->id = (uint64_t)l->number << 56 | l->next_id++;
    b->sparse = !one_in(r, 8);
    fill(b->p, b->n, b->id, b->sparse);
    l->live_bytes += b->n;
}

static void allocate(struct lane *l, struct block *b)
{
    uint64_t *r = &l->random;
    size_t n = pick_size(l);
    const char *call = "malloc";
    uint64_t kind = below(r, 8);

    b->n = n;
    b->align = 16;
    if (kind == 0) {
        call = "memalign";
        b->align = (size_t)16 << below(r, one_in(r, 16) ? 17 : 9);
        b->p = call_aligned(r, b->align, n);
    } else if (kind <= 2) {
        call = "calloc";
        b->p = one_in(r, 2) ? FAMILY(calloc)(n, 1) : FAMILY(calloc)(1, n);
        size_t at = b->p ? not_zero_at(b->p, n) : SIZE_MAX;
        if (at != SIZE_MAX)
            broken(l, b, "calloc: not zero", at);
    } else {
        b->p = FAMILY(malloc)(n);
    }
    if (!b->p) {
        check_refusal(l, call, n);
        return;
    }
    settle(l, b, n);
    l->live_count++;
}

static void release(struct lane *l, struct block *b)
{
    verify(l, b, b->n, "damaged when freed");
    l->live_bytes -= b->n;
    l->live_count--;
    FAMILY(free)(b->p);
    b->p = NULL;
}

static void resize(struct lane *l, struct block *b)
{
    uint64_t *r = &l->random;
    size_t n, before = FAMILY(malloc_usable_size)(b->p);

    switch (below(r, 4)) {
    case 0: /* small steps, as a growing string */
        n = b->n + 1 + below(r, b->n / 8 + 16);
        break;
    case 1:
        n = 1 + below(r, b->n + 1);
        break;
    default:
        n = pick_size(l);
    }
    struct block old = *b;
    unsigned char *p = FAMILY(realloc)(b->p, n);
    if (!p) {
        check_refusal(l, "realloc", n);
        verify(l, b, b->n, "damaged by a realloc that failed");
        return;
    }
    if (n <= before && p != old.p)
        broken(l, &old, "realloc moved a block that was large enough", n);
    l->live_bytes -= b->n;
    b->p = p;
    verify(l, b, n, "damaged by realloc");
    if (p != old.p)
        b->align = 16;
    settle(l, b, n);
}

static void swap_away(struct lane *l, struct block *b)
{
    unsigned i = (unsigned)below(&l->random, EXCHANGE);
    struct block out = *b;

    verify(l, b, b->n, "damaged when handed over");
    pthread_mutex_lock(&exchange[i].lock);
    *b = exchange[i].b;
    exchange[i].b = out;
    pthread_mutex_unlock(&exchange[i].lock);
    l->live_bytes -= out.n;
    if (!b->p) {
        l->live_count--;
        return;
    }
    l->live_bytes += b->n;
    verify(l, b, b->n, "damaged when taken over");
    if (one_in(&l->random, 2)) /* a free of what another thread allocated, soon after */
        release(l, b);
}

static void step(struct lane *l)
{
    uint64_t *r = &l->random;
    struct block *b = &l->slot[below(r, SLOTS)];

    if (l->phase_left-- == 0)
        new_phase(l);
    if (l->live_bytes > bytes_max) /* the largest fall first: the table is in no order, so look at some */
        for (unsigned i = 0; i < 64; i++) {
            struct block *other = &l->slot[below(r, SLOTS)];
            if (other->p && (!b->p || other->n > b->n))
                b = other;
        }
    if (!b->p) {
        if (l->live_bytes <= bytes_max && below(r, 16) < l->allocate_of_16)
            allocate(l, b);
        return;
    }
    if (l->live_bytes > bytes_max) {
        release(l, b);
        return;
    }
    switch (below(r, 16)) {
    case 0:
    case 1:
        resize(l, b);
        break;
    case 2:
    case 3:
        swap_away(l, b);
        break;
    case 4:
        verify(l, b, b->n, "damaged while it was live");
        break;
    default:
        if (below(r, 16) >= l->allocate_of_16)
            release(l, b);
    }
    if (one_in(r, 200000))
        FAMILY(malloc_trim)(below(r, 1 << 20));
}

/* ---- Threads ---- */

static void *work(void *arg)
{
    struct lane *l = arg;
    uint64_t life = 1000 + below(&l->random, 60000);
    bool joined = !l->has_predecessor;
    uint64_t join_at = joined ? 0 : below(&l->random, life);

    for (; life > 0 && l->ops_left > 0; life--, l->ops_left--) {
        step(l);
        if (!joined && life <= join_at) {
            pthread_join(l->predecessor, NULL);
            joined = true;
        }
    }
    if (!joined)
        pthread_join(l->predecessor, NULL);
    l->predecessor = pthread_self();
    l->has_predecessor = true;
    if (l->ops_left > 0) {
        pthread_t successor;
        int error = pthread_create(&successor, NULL, work, l);
        if (error == 0)
            return NULL;
        if (!may_fail)
            die("model: pthread_create: %s", strerror(error));
        l->ops_left = 0; /* no memory for one more stack: this lane ends early */
    }
    pthread_mutex_lock(&done_lock);
    lanes_done++;
    pthread_cond_signal(&done_cond);
    pthread_mutex_unlock(&done_lock);
    return NULL;
}

static unsigned start_lanes(unsigned threads, uint64_t ops)
{
    unsigned started = 0;

    lanes_done = 0;
    for (unsigned i = 0; i < threads; i++) {
        struct lane *l = &lanes[i];
        pthread_t thread;
        memset(l, 0, sizeof *l);
        l->number = i;
        l->random = mix(seed * LANES_MAX + i);
        l->ops_left = ops / threads;
        new_phase(l);
        int error = pthread_create(&thread, NULL, work, l);
        if (error == 0)
            started++;
        else if (!may_fail || i == 0)
            die("model: pthread_create: %s", strerror(error));
    }
    return started;
}

static void run_seed(unsigned threads, uint64_t ops)
{
    unsigned started = start_lanes(threads, ops);

    pthread_mutex_lock(&done_lock);
    while (lanes_done < started)
        pthread_cond_wait(&done_cond, &done_lock);
    pthread_mutex_unlock(&done_lock);
    for (unsigned i = 0; i < threads; i++)
        if (lanes[i].has_predecessor)
            pthread_join(lanes[i].predecessor, NULL);

    /* Nobody else is left: look at everything, then free what is live, which this thread allocated none of. */
    check_structures("after the threads ended");
    for (unsigned i = 0; i < threads; i++) {
        unsigned live = 0;
        for (unsigned s = 0; s < SLOTS; s++)
            if (lanes[i].slot[s].p) {
                live++;
                release(&lanes[i], &lanes[i].slot[s]);
            }
        if (lanes[i].live_count != 0 || lanes[i].live_bytes != 0)
            die("model: lane %u: the reference itself is wrong by %u blocks of %u", i, lanes[i].live_count, live);
    }
    for (unsigned i = 0; i < EXCHANGE; i++)
        if (exchange[i].b.p) {
            verify(&lanes[0], &exchange[i].b, exchange[i].b.n, "damaged in the exchange");
            FAMILY(free)(exchange[i].b.p);
            exchange[i].b.p = NULL;
        }
    check_structures("after everything was freed");
    check_nothing_left("after everything was freed");
    check_structures("after malloc_trim");
}

int main(void)
{
    uint64_t first = seed_from_environment(), seeds = number_from_environment("SEEDS", 8);
    uint64_t ops = number_from_environment("OPS", 1000000), threads = number_from_environment("THREADS", 0);

    bytes_max = number_from_environment("BYTES", 24u << 20);
    may_fail = number_from_environment("MAYFAIL", 0) != 0;
    printf("model: SEED=%llu SEEDS=%llu OPS=%llu\n", (unsigned long long)first, (unsigned long long)seeds,
           (unsigned long long)ops);
    fflush(stdout);
    lanes = own_memory(sizeof *lanes * LANES_MAX);
    for (unsigned i = 0; i < EXCHANGE; i++)
        pthread_mutex_init(&exchange[i].lock, NULL);
    for (seed = first; seed < first + seeds; seed++) {
        unsigned n = threads ? (unsigned)threads : (unsigned)(seed % LANES_MAX) + 1;
        if (n > LANES_MAX)
            die("model: THREADS is at most %d", LANES_MAX);
        run_seed(n, ops);
    }
    printf("model: %llu seeds passed, %llu allocations refused\n", (unsigned long long)seeds, (unsigned long long)refused);
    return 0;
}
