/* Sampling for the otel_memory probes; see sample.h.

   Sample points lie on the axis of all bytes asked for, at random distances from 1 to 2 * every - 1, every on average; a
   request of n bytes covers n of that axis, and weighs `every` for each point in it.  So the expected weight of every
   request is its size, whatever pattern the program's requests make. */
#include "report/sample.h"

#include "base/fail.h"
#include "base/probe.h"
#include "os/meta.h"

#define SLOTS ((size_t)1 << 16)
#define WINDOW 8      /* an address lies in one of as many slots: a cache line */
#define POINTS_MAX 64 /* of one request, one by one; above that the average serves */

size_t vm_sample_every;
static uintptr_t *slots; /* followed addresses; 0: free */
static uint64_t asked;   /* bytes */
static uint64_t next;    /* the next sample point */

static uint64_t scramble(uint64_t x) /* the finaliser of splitmix64 */
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* From the point to the one after it; the same in every run. */
static uint64_t distance(uint64_t point)
{
    return 1 + scramble(point + 0x9e3779b97f4a7c15u) % (2 * vm_sample_every - 1);
}

bool vm_sample_start(size_t every)
{
    if (every == 0)
        return false;
    if (!VM_HAS_PROBES) {
        vm_warn("VMALLOC_OPTIONS: sample: built without probes; ignored");
        return false;
    }
    slots = vm_meta_alloc(SLOTS * sizeof *slots, VM_CACHE_LINE);
    if (!slots)
        return false;
    vm_sample_every = every;
    next = distance(0);
    return true;
}

size_t vm_sample_weigh(size_t n)
{
    uint64_t now = __atomic_add_fetch(&asked, n, __ATOMIC_RELAXED), from = VM_LOAD(&next), to;
    size_t points;

    do {
        if (now < from)
            return 0;
        points = 0;
        for (to = from; to <= now && points < POINTS_MAX; points++)
            to += distance(to);
        if (to <= now) {
            points += (now - to) / vm_sample_every;
            to = now + distance(now);
        }
    } while (!__atomic_compare_exchange_n(&next, &from, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return points * vm_sample_every;
}

static uintptr_t *window_of(const void *p) { return slots + scramble((uintptr_t)p) % (SLOTS / WINDOW) * WINDOW; }

/* Puts `with` in the place of `what` in the window. */
static bool replace(uintptr_t *window, uintptr_t what, uintptr_t with)
{
    for (unsigned i = 0; i < WINDOW; i++) {
        uintptr_t expected = what;
        if (VM_LOAD(&window[i]) == what
            && __atomic_compare_exchange_n(&window[i], &expected, with, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

bool vm_sample_follow(const void *p) { return replace(window_of(p), 0, (uintptr_t)p); }
bool vm_sample_forget(const void *p) { return p && replace(window_of(p), (uintptr_t)p, 0); }

void vm_sample_tell_alloc(const void *p, size_t n)
{
    size_t weight = vm_sample_weigh(n);

    if (weight > 0 && vm_sample_follow(p))
        VM_PROBE3(otel_memory, alloc, p, n, weight);
}

bool vm_sample_tell_free(const void *p)
{
    if (!vm_sample_forget(p))
        return false;
    VM_PROBE1(otel_memory, free, p);
    return true;
}

void vm_sample_keep(const void *p, size_t n)
{
    if (vm_sample_follow(p))
        VM_PROBE3(otel_memory, alloc, p, n, vm_sample_every);
}
