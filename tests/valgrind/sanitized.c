/* A program with threads that allocate, to be built with a sanitizer and run above libvmalloc; with an argument it makes a
   mistake of each kind that a sanitizer looks for. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, BLOCKS = 500 };

static int counter, fault;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char *hidden(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static void *work(void *arg)
{
    for (int i = 0; i < BLOCKS; i++) {
        char *p = hidden(malloc((size_t)i * 10 + 1));
        p[i * 10] = 1;
        if (fault) {
            counter++;
        } else {
            pthread_mutex_lock(&lock);
            counter++;
            pthread_mutex_unlock(&lock);
        }
        free(p);
    }
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];

    (void)argv;
    fault = argc > 1;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, work, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    if (fault) {
        char *p = hidden(malloc(10));
        if (hidden(p)[3] == 1)
            puts("uninitialised");
        p[hidden(p) == p ? 10 : 0] = 1;
        free(p);
    }
    puts("done");
    return !fault && counter != THREADS * BLOCKS;
}
