/* What model.c and xfree.c share: the names of the family under test, random numbers, contents of blocks, and a way to
   die with one line.  Included by both, and by tests/unit/unit.h.

   Without VM_PREFIX the programs call malloc, free ... and are run under LD_PRELOAD; with -DVM_PREFIX=vmt_ they call
   vmt_malloc ... and are linked with the core, so that a sanitizer's own malloc stays with libc. */
#ifndef STRESS_H
#define STRESS_H

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef VM_PREFIX
#define STRESS_JOIN2(a, b) a##b
#define STRESS_JOIN(a, b) STRESS_JOIN2(a, b)
#define FAMILY(name) STRESS_JOIN(VM_PREFIX, name)
void *FAMILY(malloc)(size_t n);
void *FAMILY(calloc)(size_t count, size_t size);
void *FAMILY(realloc)(void *p, size_t n);
void *FAMILY(memalign)(size_t align, size_t n);
void *FAMILY(aligned_alloc)(size_t align, size_t n);
int FAMILY(posix_memalign)(void **result, size_t align, size_t n);
void FAMILY(free)(void *p);
size_t FAMILY(malloc_usable_size)(void *p);
int FAMILY(malloc_trim)(size_t pad);
struct mallinfo2 FAMILY(mallinfo2)(void);
#else
#define FAMILY(name) name
#endif
/* libvmalloc's own check of its structures; absent under another allocator. */
extern int FAMILY(vmalloc_check)(void) __attribute__((weak));

#define UNUSED __attribute__((unused))

static UNUSED _Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
static UNUSED void die(const char *format, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, format);
    int n = vsnprintf(line, sizeof line - 1, format, ap);
    va_end(ap);
    n = n < (int)sizeof line - 1 ? n : (int)sizeof line - 2;
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written;
    _exit(1);
}

static UNUSED void check_structures(const char *when)
{
    if (FAMILY(vmalloc_check) && !FAMILY(vmalloc_check)())
        die("vmalloc_check() fails %s", when);
}

/* Everything the test allocated is freed and its threads are gone: under libvmalloc, whose account is exact once
   malloc_trim has taken in what was on its way between heaps, no more than libc's own few blocks may be in use.  Twice:
   a message may have to follow its slab to another heap. */
#define LEFT_MAX ((size_t)256 << 10)
static UNUSED void check_nothing_left(const char *when)
{
    if (!FAMILY(vmalloc_check))
        return;
    FAMILY(malloc_trim)(0);
    FAMILY(malloc_trim)(0);
    struct mallinfo2 m = FAMILY(mallinfo2)();
    if (m.uordblks > LEFT_MAX || m.hblkhd > LEFT_MAX)
        die("%zu bytes of small and %zu of large blocks still in use %s", m.uordblks, m.hblkhd, when);
}

/* ---- Random numbers: splitmix64 ---- */

static inline UNUSED uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
static inline UNUSED uint64_t next_random(uint64_t *state) { return mix(*state += 0x9e3779b97f4a7c15u); }
/* 0 .. n - 1 */
static inline UNUSED uint64_t below(uint64_t *state, uint64_t n) { return next_random(state) % n; }
static inline UNUSED bool one_in(uint64_t *state, unsigned n) { return below(state, n) == 0; }

/* Log-uniform in [1, 2^bits]. */
static inline UNUSED size_t log_uniform(uint64_t *state, unsigned bits)
{
    unsigned exponent = (unsigned)below(state, bits);
    return ((size_t)1 << exponent) + below(state, ((size_t)1 << exponent) + (exponent == bits - 1));
}

static UNUSED uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* SEED, or one that differs from run to run. */
static UNUSED uint64_t seed_from_environment(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return number_from_environment("SEED", mix((uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec << 32 ^ (uint64_t)getpid()) % 1000000);
}

/* Memory of the tests' own, which must not depend on the allocator under test. */
static UNUSED void *own_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die("no memory for the test itself: %zu bytes", bytes);
    return p;
}

/* ---- Contents ----
   A block of n bytes filled for id holds at offset i the byte i % 8 of pattern(id, i / 8).  Filling a megabyte at every
   step would be all the test does: a sparse filling covers the first and last 256 bytes and eight bytes in 512 between. */

#define ENDS 256
#define STRIDE 512

static inline uint64_t pattern(uint64_t id, size_t word)
{
    return (id * 0x9e3779b97f4a7c15u) ^ ((word + 1) * 0xd6e8feb86659fd93u);
}

static inline void fill_range(unsigned char *p, size_t from, size_t to, uint64_t id)
{
    size_t i = from; /* a multiple of 8 */

    for (; i + 8 <= to; i += 8) {
        uint64_t w = pattern(id, i / 8);
        memcpy(p + i, &w, 8);
    }
    if (i < to) {
        uint64_t w = pattern(id, i / 8);
        memcpy(p + i, &w, to - i);
    }
}

/* Offset of the first wrong byte's word in [from, to), or SIZE_MAX. */
static inline size_t wrong_in(const unsigned char *p, size_t from, size_t to, uint64_t id)
{
    size_t i = from;

    for (; i + 8 <= to; i += 8) {
        uint64_t w;
        memcpy(&w, p + i, 8);
        if (w != pattern(id, i / 8))
            return i;
    }
    if (i < to) {
        uint64_t w = pattern(id, i / 8);
        if (memcmp(p + i, &w, to - i) != 0)
            return i;
    }
    return SIZE_MAX;
}

static UNUSED void fill(void *block, size_t n, uint64_t id, bool sparse)
{
    unsigned char *p = block;

    if (!sparse || n <= 4 * STRIDE) {
        fill_range(p, 0, n, id);
        return;
    }
    size_t tail = (n - ENDS) & ~(size_t)7;
    fill_range(p, 0, ENDS, id);
    for (size_t at = STRIDE; at < tail; at += STRIDE)
        fill_range(p, at, at + 8, id);
    fill_range(p, tail, n, id);
}

/* Checks the first `upto` bytes of a block that was filled with n; the offset of what is wrong, or SIZE_MAX. */
static UNUSED size_t wrong_at(const void *block, size_t n, size_t upto, uint64_t id, bool sparse)
{
    const unsigned char *p = block;

    upto = upto < n ? upto : n;
    if (!sparse || n <= 4 * STRIDE)
        return wrong_in(p, 0, upto, id);
    size_t tail = (n - ENDS) & ~(size_t)7;
    size_t wrong = wrong_in(p, 0, upto < ENDS ? upto : ENDS, id);
    for (size_t at = STRIDE; wrong == SIZE_MAX && at < tail && at + 8 <= upto; at += STRIDE)
        wrong = wrong_in(p, at, at + 8, id);
    return wrong == SIZE_MAX && tail < upto ? wrong_in(p, tail, upto, id) : wrong;
}

/* Offset of the first byte that is not zero, or SIZE_MAX. */
static UNUSED size_t not_zero_at(const void *block, size_t n)
{
    const unsigned char *p = block;

    if (n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0))
        return SIZE_MAX;
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return i;
    return SIZE_MAX;
}

static UNUSED size_t rss_bytes(void)
{
    unsigned long size = 0, resident = 0;
    char text[128];
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f || !fgets(text, sizeof text, f) || sscanf(text, "%lu %lu", &size, &resident) != 2)
        die("cannot read /proc/self/statm");
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

#endif
