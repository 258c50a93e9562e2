/* A program with a heap whose truth is known, for tests/tool/residence.py: threads that own blocks and do what the lines of
   standard input say, one after the other; after each one line with what is live now, in bytes asked for.

       fill MIB       every thread allocates its share, all bytes written
       drop K         every thread frees all blocks but one in K, at random
       grow MIB       large blocks of 1 MiB, of which only the first half is written
       huge MIB       so much of the heap, from the middle of the slabs on, becomes huge pages
       fork           a child that waits
       write MIB      so much of the live blocks is written
       churn          threads allocate and free until the end of input

   Usage: resident THREADS SEED */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX 16
#define BLOCKS_MAX 400000 /* a thread */
#define HUGE ((size_t)2 << 20)
#define MADV_COLLAPSE_NOW 25 /* MADV_COLLAPSE; headers older than Linux 6.1 lack it */

struct block {
    char *p;
    size_t size;
};

struct worker {
    pthread_t thread;
    uint64_t seed;
    struct block *block; /* of mmap'd memory, so that the heap holds nothing but blocks */
    size_t count;
    uint64_t bytes;
};

static struct worker worker[THREADS_MAX];
static unsigned workers;
static pthread_barrier_t before, after;
static char command[16];
static size_t amount;

static void die(const char *what)
{
    fprintf(stderr, "resident: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t next(struct worker *w)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return w->seed;
}

/* Most are small, some of pages, few large. */
static size_t some_size(struct worker *w)
{
    uint64_t r = next(w), kind = r % 1000;

    r >>= 20;
    return kind < 900 ? 16 + r % 1000 : kind < 990 ? 1024 + r % 7000 : kind < 998 ? 8192 + r % 50000 : 150000 + r % 100000;
}

static void take(struct worker *w, size_t size, size_t touch)
{
    char *p = malloc(size);

    if (!p || w->count == BLOCKS_MAX)
        die("malloc");
    memset(p, 1, touch);
    w->block[w->count++] = (struct block){p, size};
    w->bytes += size;
}

static void fill(struct worker *w, size_t bytes)
{
    for (uint64_t end = w->bytes + bytes; w->bytes < end;) {
        size_t size = some_size(w);
        take(w, size, size);
    }
}

static void drop(struct worker *w, size_t one_in)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->count; i++) {
        if ((next(w) >> 11) % one_in) {
            w->bytes -= w->block[i].size;
            free(w->block[i].p);
        } else {
            w->block[kept++] = w->block[i];
        }
    }
    w->count = kept;
}

static void write_some(struct worker *w, size_t bytes)
{
    for (size_t i = 0, done = 0; i < w->count && done < bytes; done += w->block[i++].size)
        memset(w->block[i].p, 2, w->block[i].size);
}

static void churn(struct worker *w)
{
    pthread_barrier_wait(&after);
    for (;;) {
        void *p[64];
        for (int i = 0; i < 64; i++)
            p[i] = malloc(some_size(w));
        for (int i = 0; i < 64; i++)
            free(p[i]);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;

    for (;;) {
        pthread_barrier_wait(&before);
        size_t share = amount / workers;
        if (strcmp(command, "fill") == 0)
            fill(w, share << 20);
        else if (strcmp(command, "drop") == 0)
            drop(w, amount);
        else if (strcmp(command, "write") == 0)
            write_some(w, share << 20);
        else if (strcmp(command, "churn") == 0)
            churn(w);
        else
            for (size_t i = 0; strcmp(command, "grow") == 0 && i < share; i++)
                take(w, 1 << 20, 1 << 19);
        pthread_barrier_wait(&after);
    }
    return NULL;
}

/* From the block in the middle of the first worker's small ones. */
static void make_huge(size_t bytes)
{
    const struct worker *w = &worker[0];
    size_t middle = w->count / 2;

    while (middle > 0 && w->block[middle].size >= 4096)
        middle--;
    char *from = (char *)(((uintptr_t)w->block[middle].p + HUGE - 1) & ~(HUGE - 1));
    if (madvise(from, bytes, MADV_HUGEPAGE) != 0)
        die("madvise(MADV_HUGEPAGE)");
    madvise(from, bytes, MADV_COLLAPSE_NOW); /* what it did the page tables tell */
}

static pid_t fork_child(void)
{
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    if (child < 0)
        die("fork");
    return child;
}

static void start(unsigned threads, uint64_t seed)
{
    workers = threads;
    pthread_barrier_init(&before, NULL, threads + 1);
    pthread_barrier_init(&after, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        struct worker *w = &worker[i];
        w->seed = (seed + i) * 0x9e3779b97f4a7c15u | 1;
        w->block = mmap(NULL, BLOCKS_MAX * sizeof *w->block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (w->block == MAP_FAILED || pthread_create(&w->thread, NULL, work, w) != 0)
            die("thread");
    }
}

int main(int argc, char **argv)
{
    char line[64];
    pid_t child = 0;
    int threads = argc == 3 ? atoi(argv[1]) : 0;

    if (threads < 1 || threads > THREADS_MAX) {
        fputs("usage: resident THREADS SEED\n", stderr);
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0);
    start((unsigned)threads, strtoull(argv[2], NULL, 0));
    puts("0 0");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        uint64_t live = 0;
        amount = 0;
        if (sscanf(line, "%15s %zu", command, &amount) < 1)
            continue;
        if (strcmp(command, "huge") == 0) {
            make_huge(amount << 20);
        } else if (strcmp(command, "fork") == 0) {
            child = fork_child();
        } else {
            pthread_barrier_wait(&before);
            pthread_barrier_wait(&after);
        }
        for (unsigned i = 0; i < workers; i++)
            live += worker[i].bytes;
        printf("%llu %d\n", (unsigned long long)live, (int)child);
        fflush(stdout);
    }
    if (child > 0)
        kill(child, SIGKILL);
    _exit(0);
}
