/* A program whose heap is looked at from outside: threads with heaps of their own hold blocks; the first line on stdout has
   the addresses of a live, a freed, a never used and a large block, then malloc_info's text, whose figures the reader must
   agree with.  Then by argument: "wait" ends when stdin does, "abort" dumps core, "busy" allocates and frees in all threads
   until stdin ends, "exec" becomes sleep.  Built and run by stat.py. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4
#define BLOCKS 2000

static pthread_barrier_t held;
static volatile int busy;

static void *hold(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed;
    static __thread char *block[BLOCKS];

    for (unsigned i = 0; i < BLOCKS; i++) {
        size_t n = 1 + (i * 37 + state * 101) % 3000;
        block[i] = malloc(n);
        memset(block[i], 1, n);
    }
    for (unsigned i = 0; i < BLOCKS; i += 3) {
        free(block[i]);
        block[i] = NULL;
    }
    pthread_barrier_wait(&held);
    for (unsigned turn = 0; busy; turn++) {
        state = state * 1103515245 + 12345;
        unsigned i = state / 65536 % BLOCKS;
        free(block[i]);
        block[i] = malloc(turn % 1000 == 0 ? 200000 + state % 1000000 : 1 + state / 65536 % 3000);
        memset(block[i], 1, 1);
    }
    pause();
    return NULL;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "wait";
    char *live, *freed, *large, last;
    pthread_t thread;

    busy = strcmp(what, "busy") == 0;
    pthread_barrier_init(&held, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, hold, (void *)(i + 1)) != 0)
            return 1;
    setvbuf(stdout, malloc(65536), _IOFBF, 65536);
    live = malloc(700);
    freed = malloc(700);
    large = malloc(5000000);
    memset(large, 1, 5000000);
    pthread_barrier_wait(&held);
    free(freed);
    printf("%p %p %p %d\n", (void *)live, (void *)freed, (void *)large, (int)getpid());
    malloc_info(0, stdout);
    fflush(stdout);
    if (strcmp(what, "abort") == 0)
        abort();
    if (strcmp(what, "exec") == 0)
        execlp("sleep", "sleep", "60", (char *)NULL);
    while (read(0, &last, 1) > 0)
        ;
    _exit(0);
}
