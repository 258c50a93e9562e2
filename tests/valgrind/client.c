/* What a program may do wrong with its blocks, a case a process, for `run` to compare what Valgrind says of it with libvmalloc
   and without.  Every case ends with status 0 by itself. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static volatile int sink;

/* The compiler must see neither what a block is nor that it is freed. */
static char *hidden(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static void clean(void)
{
    for (size_t n = 0; n < 300000; n = n * 2 + 1) {
        char *p = hidden(malloc(n)), *q = hidden(calloc(n + 1, 1)), *r = hidden(memalign(256, n + 1));
        memset(p, 1, n);
        sink = q[n];
        r[n] = 1;
        p = hidden(realloc(p, n * 2 + 1));
        memset(p, 1, n * 2 + 1);
        free(p), free(q), free(r);
    }
}

static void family_of_both(void)
{
    char *p = hidden(reallocarray(NULL, 10, 10)), *q = hidden(reallocarray(hidden(malloc(5)), 3, 100));
    p[99] = q[299] = 1;
    p = hidden(realloc(p, 1000));
    p[999] = 1;
    free(p), free(q);
}

static void leak_small(void) { hidden(malloc(77))[0] = 1; }
static void leak_large(void) { hidden(malloc(300000))[0] = 1; }
static void leak_of_calloc(void) { hidden(calloc(7, 11))[0] = 1; }
static void leak_aligned(void) { hidden(memalign(4096, 100))[0] = 1; }

static void *volatile kept;
static void still_reachable(void) { kept = hidden(malloc(55)); }

static void overrun(void)
{
    char *p = hidden(malloc(40));
    p[40] = 1;
    free(p);
}

static void overrun_large(void)
{
    char *p = hidden(malloc(200001));
    p[200001] = 1;
    free(p);
}

static void underrun(void)
{
    char *p = hidden(malloc(40));
    p[-1] = 1;
    free(p);
}

static void read_after_free(void)
{
    char *p = hidden(calloc(1, 40));
    free(p);
    sink = hidden(p)[8];
}

static void write_after_free_large(void)
{
    char *p = hidden(malloc(200000));
    free(p);
    hidden(p)[100000] = 1;
}

static void read_after_realloc(void)
{
    char *p = hidden(calloc(1, 40)), *q = hidden(realloc(p, 4000));
    sink = hidden(p)[3];
    free(q);
}

static void uninitialised(void)
{
    char *p = hidden(malloc(40));
    if (p[7] == 1)
        puts("one");
    free(p);
}

static void uninitialised_again(void)
{
    char *p = hidden(malloc(40));
    memset(p, 1, 40);
    free(p);
    p = hidden(malloc(40));
    if (p[7] == 1)
        puts("one");
    free(p);
}

static void double_free(void)
{
    char *p = hidden(malloc(40));
    free(p);
    free(hidden(p));
}

static void free_of_the_middle(void)
{
    char *p = hidden(malloc(40));
    free(hidden(p + 16));
    free(p);
}

static void free_of_the_stack(void)
{
    char text[64];
    free(hidden(text));
}

/* For helgrind and DRD: blocks that go from thread to thread under a lock, and one that does not. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *shelf[64];

static void *trader(void *arg)
{
    unsigned at = (unsigned)(size_t)arg;
    for (int i = 0; i < 400; i++) {
        char *mine = hidden(malloc((size_t)(at * 7 + (unsigned)i) % 500 + 1)), *theirs;
        mine[0] = 1;
        at = (at * 5 + 3) % COUNT(shelf);
        pthread_mutex_lock(&lock);
        theirs = shelf[at];
        shelf[at] = mine;
        pthread_mutex_unlock(&lock);
        if (theirs)
            theirs[0]++;
        free(theirs);
    }
    return NULL;
}

static void in_threads(void *(*f)(void *))
{
    pthread_t thread[4];
    for (size_t i = 0; i < COUNT(thread); i++)
        pthread_create(&thread[i], NULL, f, (void *)i);
    for (size_t i = 0; i < COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 0; i < COUNT(shelf); i++)
        free(shelf[i]);
}

static void trade(void) { in_threads(trader); }

static char *shared;

static void *racer(void *arg)
{
    shared[10]++;
    return arg;
}

static void race(void)
{
    shared = hidden(calloc(1, 100));
    in_threads(racer);
    free(shared);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
#define CASE(name) {#name, name}
    CASE(clean), CASE(family_of_both), CASE(leak_small), CASE(leak_large), CASE(leak_of_calloc), CASE(leak_aligned),
    CASE(still_reachable), CASE(overrun), CASE(overrun_large), CASE(underrun), CASE(read_after_free),
    CASE(write_after_free_large), CASE(read_after_realloc), CASE(uninitialised), CASE(uninitialised_again), CASE(double_free),
    CASE(free_of_the_middle), CASE(free_of_the_stack), CASE(trade), CASE(race),
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    fprintf(stderr, "usage: %s CASE\n", argv[0]);
    return 2;
}
