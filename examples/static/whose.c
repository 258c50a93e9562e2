/* Whose malloc is it?  Says for every function of the malloc family, and for some of libc's that call it, whether its blocks are
   libvmalloc's, with whatever C library and however the program is linked; exit status 1 when one is not.  See README.md. */
#define _GNU_SOURCE
#include "whose.h"

#include <malloc.h>

enum { SIZE = 100, ALIGN = 64 };

static void *by_malloc(void) { return malloc(SIZE); }
static void *by_calloc(void) { return calloc(3, SIZE); }
static void *by_realloc(void) { return realloc(malloc(SIZE), 50 * SIZE); }
static void *by_reallocarray(void) { return reallocarray(NULL, 3, SIZE); }
static void *by_aligned_alloc(void) { return aligned_alloc(ALIGN, SIZE); }
static void *by_memalign(void) { return memalign(ALIGN, SIZE); }
static void *by_valloc(void) { return valloc(SIZE); }

static void *by_posix_memalign(void)
{
    void *p = NULL;
    return posix_memalign(&p, ALIGN, SIZE) == 0 ? p : NULL;
}

static void *by_strdup(void) { return strdup("a string"); }
static void *by_large_malloc(void) { return malloc(1000000); }

static void *by_asprintf(void)
{
    char *text = NULL;
    return asprintf(&text, "%d", SIZE) > 0 ? text : NULL;
}

static void *by_getline(void)
{
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen("/proc/self/status", "r");

    if (!f || getline(&line, &room, f) < 0)
        exit(2);
    fclose(f);
    return line;
}

#ifdef __GLIBC__
static void *by_pvalloc(void) { return pvalloc(SIZE); }
#else
#define by_pvalloc NULL
#endif

static const struct maker makers[] = {
    {"malloc", by_malloc, free},
    {"malloc, large", by_large_malloc, free},
    {"calloc", by_calloc, free},
    {"realloc", by_realloc, free},
    {"reallocarray", by_reallocarray, free},
    {"posix_memalign", by_posix_memalign, free},
    {"aligned_alloc", by_aligned_alloc, free},
    {"memalign", by_memalign, free},
    {"valloc", by_valloc, free},
    {"pvalloc", by_pvalloc, free},
    {"strdup", by_strdup, free},
    {"asprintf", by_asprintf, free},
    {"getline", by_getline, free},
};

int main(void) { return report(makers, sizeof makers / sizeof *makers); }
