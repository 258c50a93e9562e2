/* Stress of frees by other threads: rings from producers to consumers, every thread with every other, threads that end
   before their blocks are freed, and a bound on memory over many rounds of all that.  Run by tests/stress/run under
   LD_PRELOAD, and linked with the core under its own names in sanitizer builds (see stress.h).

   Usage: xfree [ring|all|orphans]...   (none: all three)
   Environment: SEED (printed), ROUNDS (default 100), OPS (blocks a thread allocates in a round, default 10000).
   After ROUNDS rounds the process must not hold much more memory than after a tenth of them. */
#include "stress.h"

#include <stdatomic.h>

#define THREADS_MAX 16
#define RING 256
#define PARCEL_MAX 64
/* Generous: what is kept for reuse depends on the order of events.  check_nothing_left() is the sharp test. */
#define GROWTH_FACTOR 2
#define GROWTH_SLACK ((size_t)32 << 20)

static uint64_t seed;
static unsigned ops;

struct header { /* at the start of every block */
    uint64_t n, id;
};

static void *new_block(uint64_t *r, uint64_t id)
{
    size_t n = one_in(r, 500) ? log_uniform(r, 18) : one_in(r, 20) ? log_uniform(r, 14) : log_uniform(r, 9);
    struct header *h;

    n += sizeof *h;
    h = one_in(r, 8) ? FAMILY(calloc)(1, n) : FAMILY(malloc)(n);
    if (!h)
        die("xfree: seed %llu: %zu bytes: %s", (unsigned long long)seed, n, strerror(errno));
    h->n = n;
    h->id = id;
    fill(h + 1, n - sizeof *h, id, true);
    return h;
}

static void check_block(const void *p)
{
    const struct header *h = p;
    size_t at = h->n < sizeof *h || h->n > (size_t)1 << 20 ? 0
        : wrong_at(h + 1, h->n - sizeof *h, h->n - sizeof *h, h->id, true);

    if (at != SIZE_MAX)
        die("xfree: seed %llu: block %p of %llu bytes is damaged at %zu", (unsigned long long)seed, p,
            (unsigned long long)h->n, at);
}

static void free_block(void *p)
{
    check_block(p);
    FAMILY(free)(p);
}

static pthread_t start(void *(*f)(void *), void *arg)
{
    pthread_t t;
    int error = pthread_create(&t, NULL, f, arg);

    if (error)
        die("xfree: pthread_create: %s", strerror(error));
    return t;
}

/* ---- Rings: one producer, one consumer each; what the producer allocates only the consumer frees ---- */

struct ring {
    _Atomic(void *) slot[RING];
    uint64_t random;
};

static void *produce(void *arg)
{
    struct ring *ring = arg;
    uint64_t r = ring->random;

    for (unsigned i = 0; i < ops; i++) {
        _Atomic(void *) *slot = &ring->slot[i % RING];
        void *p = new_block(&r, i);
        while (atomic_load_explicit(slot, memory_order_acquire))
            sched_yield();
        atomic_store_explicit(slot, p, memory_order_release);
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct ring *ring = arg;

    for (unsigned i = 0; i < ops; i++) {
        _Atomic(void *) *slot = &ring->slot[i % RING];
        void *p;
        while (!(p = atomic_load_explicit(slot, memory_order_acquire)))
            sched_yield();
        if (((struct header *)p)->id != i)
            die("xfree: seed %llu: the ring holds block %llu for %u", (unsigned long long)seed,
                (unsigned long long)((struct header *)p)->id, i);
        atomic_store_explicit(slot, NULL, memory_order_release);
        free_block(p);
    }
    return NULL;
}

static void round_of_rings(uint64_t *r, unsigned step)
{
    static struct ring ring[THREADS_MAX / 2];
    pthread_t t[THREADS_MAX];
    unsigned pairs = 1 + step % (THREADS_MAX / 2);

    for (unsigned i = 0; i < pairs; i++) {
        ring[i].random = next_random(r);
        t[2 * i] = start(produce, &ring[i]);
        t[2 * i + 1] = start(consume, &ring[i]);
    }
    for (unsigned i = 0; i < 2 * pairs; i++)
        pthread_join(t[i], NULL);
}

/* ---- All to all: parcels of blocks in boxes that everybody puts into and takes from ---- */

struct parcel {
    unsigned count;
    void *block[PARCEL_MAX];
};

static struct {
    pthread_mutex_t lock;
    struct parcel parcel;
} box[THREADS_MAX];

static void *exchange(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    struct parcel mine = {0};

    for (unsigned done = 0; done < ops;) {
        unsigned count = 1 + (unsigned)below(&r, PARCEL_MAX), b = (unsigned)below(&r, THREADS_MAX);
        for (; mine.count < count; done++)
            mine.block[mine.count++] = new_block(&r, done);
        pthread_mutex_lock(&box[b].lock);
        struct parcel other = box[b].parcel;
        box[b].parcel = mine;
        pthread_mutex_unlock(&box[b].lock);
        /* Some stay for the next parcel: blocks travel through several threads before they are freed. */
        unsigned keep = other.count ? (unsigned)below(&r, other.count) / 2 : 0;
        for (unsigned i = keep; i < other.count; i++)
            free_block(other.block[i]);
        mine = other;
        mine.count = keep;
    }
    for (unsigned i = 0; i < mine.count; i++)
        free_block(mine.block[i]);
    return NULL;
}

static void round_of_all(uint64_t *r, unsigned step)
{
    pthread_t t[THREADS_MAX];
    uint64_t random[THREADS_MAX];
    unsigned threads = 2 + step % (THREADS_MAX - 1);

    for (unsigned i = 0; i < threads; i++) {
        random[i] = next_random(r);
        t[i] = start(exchange, &random[i]);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        for (unsigned k = 0; k < box[i].parcel.count; k++)
            free_block(box[i].parcel.block[k]);
        box[i].parcel.count = 0;
    }
}

/* ---- Orphans: chains of threads; each frees what its predecessor allocated while that one is just ending ---- */

struct brood {
    uint64_t random;
    unsigned count;
    void **block;
    struct brood *before; /* freed bit by bit by the thread that fills this one; NULL for the first of a chain */
    pthread_t parent;     /* filled `before`; may still be ending */
    atomic_bool full;     /* the thread has nothing left to do but end */
};

static void *breed(void *arg)
{
    struct brood *mine = arg, *old = mine->before;
    uint64_t r = mine->random;
    unsigned freed = 0;

    for (mine->count = 0; mine->count < ops / 4; mine->count++) {
        mine->block[mine->count] = new_block(&r, mine->count);
        if (old && freed < old->count && !one_in(&r, 4))
            free_block(old->block[freed++]);
        if (old && mine->count == ops / 8)
            pthread_join(mine->parent, NULL);
    }
    while (old && freed < old->count)
        free_block(old->block[freed++]);
    atomic_store_explicit(&mine->full, true, memory_order_release);
    return NULL;
}

struct chain {
    struct brood brood[2];
    uint64_t random;
    unsigned links;
};

static void *run_chain(void *arg)
{
    struct chain *c = arg;
    pthread_t last = {0};

    for (unsigned i = 0; i < c->links; i++) {
        struct brood *mine = &c->brood[i % 2];
        mine->random = next_random(&c->random);
        mine->before = i > 0 ? &c->brood[(i + 1) % 2] : NULL;
        mine->parent = last;
        atomic_store(&mine->full, false);
        last = start(breed, mine);
        while (!atomic_load_explicit(&mine->full, memory_order_acquire))
            sched_yield();
    }
    pthread_join(last, NULL);
    struct brood *left = &c->brood[(c->links + 1) % 2];
    while (left->count > 0)
        free_block(left->block[--left->count]);
    return NULL;
}

static void round_of_orphans(uint64_t *r, unsigned step)
{
    static struct chain chain[THREADS_MAX / 2];
    pthread_t t[THREADS_MAX / 2];
    unsigned chains = 1 + step % (THREADS_MAX / 2);

    for (unsigned i = 0; i < chains; i++) {
        struct chain *c = &chain[i];
        c->random = next_random(r);
        c->links = 2 + (unsigned)below(r, 5);
        for (unsigned k = 0; k < 2; k++)
            if (!c->brood[k].block)
                c->brood[k].block = own_memory(sizeof(void *) * (ops / 4 + 1));
        t[i] = start(run_chain, c);
    }
    for (unsigned i = 0; i < chains; i++)
        pthread_join(t[i], NULL);
}

/* ---- Rounds ---- */

struct scenario {
    const char *name;
    void (*round)(uint64_t *r, unsigned step);
};

static const struct scenario scenarios[] = {
    {"ring", round_of_rings}, {"all", round_of_all}, {"orphans", round_of_orphans}};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

static void run(const struct scenario *s, unsigned rounds)
{
    uint64_t r = mix(seed + (uint64_t)s->name[0]);
    size_t early = 0, now = 0;

    for (unsigned i = 1; i <= rounds; i++) {
        s->round(&r, 7 * i); /* sizes of all kinds among the first ten rounds */
        check_structures("after a round");
        now = rss_bytes();
        if (i == rounds)
            check_nothing_left("after the last round");
        if (i == (rounds + 9) / 10)
            early = now;
    }
    printf("xfree: %s: %u rounds, RSS %zu KiB after a tenth, %zu KiB at the end\n", s->name, rounds, early >> 10, now >> 10);
    fflush(stdout);
#ifndef VM_PREFIX /* a sanitizer's own memory grows as it likes */
    if (rounds >= 20 && now > early * GROWTH_FACTOR + GROWTH_SLACK)
        die("xfree: %s: RSS grew from %zu KiB to %zu KiB", s->name, early >> 10, now >> 10);
#endif
}

int main(int argc, char **argv)
{
    unsigned rounds = (unsigned)number_from_environment("ROUNDS", 100), ran = 0;

    seed = seed_from_environment();
    ops = (unsigned)number_from_environment("OPS", 10000);
    printf("xfree: SEED=%llu ROUNDS=%u OPS=%u\n", (unsigned long long)seed, rounds, ops);
    fflush(stdout);
    for (unsigned i = 0; i < THREADS_MAX; i++)
        pthread_mutex_init(&box[i].lock, NULL);
    for (size_t s = 0; s < SCENARIOS; s++) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; i++)
            wanted |= strcmp(argv[i], scenarios[s].name) == 0;
        if (wanted) {
            run(&scenarios[s], rounds);
            ran++;
        }
    }
    if (ran == 0)
        die("usage: xfree [ring|all|orphans]...");
    return 0;
}
