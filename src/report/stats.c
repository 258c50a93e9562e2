/* Counting for stats=FILE; see stats.h.  A thread counts in its heap and hands the counts in now and then, so that
   threads do not meet on the shared page at every call. */
#include "report/stats.h"

#include "base/fail.h"
#include "heap/heap.h"
#include "os/os.h"

#define HAND_IN_CALLS 64 /* at most; fewer in a thread's beginning, so that a program that ends by _exit is counted too */
#define HAND_IN_SHARE 32
#define HAND_IN_BYTES (16 * 1024)

bool vm_stats_on;
static struct vm_stats_block *block; /* const: after start-up */

bool vm_stats_start(const char *path)
{
    if (path[0] == '\0')
        return false;
    block = vm_os_map_file(path, VM_STATS_BYTES);
    if (!block) {
        vm_warn("VMALLOC_OPTIONS: stats: cannot map %s; ignored", path);
        return false;
    }
    VM_STORE(&block->magic, VM_STATS_MAGIC);
    __atomic_fetch_add(&block->processes, 1, __ATOMIC_RELAXED);
    vm_stats_on = true;
    return true;
}

static void hand_in(struct vm_counts *c)
{
    __atomic_fetch_add(&block->allocs, c->allocs, __ATOMIC_RELAXED);
    __atomic_fetch_add(&block->frees, c->frees, __ATOMIC_RELAXED);
    __atomic_fetch_add(&block->reallocs, c->reallocs, __ATOMIC_RELAXED);
    int64_t live = __atomic_add_fetch(&block->live, c->live, __ATOMIC_RELAXED);
    int64_t peak = VM_LOAD(&block->peak_live);
    while (live > peak
           && !__atomic_compare_exchange_n(&block->peak_live, &peak, live, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    *c = (struct vm_counts){.handed_in = c->handed_in + c->allocs + c->frees + c->reallocs};
}

static void count(unsigned allocs, unsigned frees, unsigned reallocs, int64_t live)
{
    struct vm_heap *h = vm_heap_mine();
    struct vm_counts straight = {0}, *c = h ? &h->counts : &straight;

    c->allocs += allocs;
    c->frees += frees;
    c->reallocs += reallocs;
    c->live += live;
    uint64_t calls = c->allocs + c->frees + c->reallocs;
    if (!h || calls > c->handed_in / HAND_IN_SHARE || calls >= HAND_IN_CALLS || c->live >= HAND_IN_BYTES
        || c->live <= -HAND_IN_BYTES)
        hand_in(c);
}

void vm_stats_count_alloc(const void *p) { count(1, 0, 0, p ? (int64_t)vm_heap_usable(p, "malloc()", false) : 0); }

void vm_stats_count_free(const void *p, const char *call) { count(0, 1, 0, -(int64_t)vm_heap_usable(p, call, true)); }

void vm_stats_count_realloc(const void *q, size_t before)
{
    count(0, 0, 1, q ? (int64_t)vm_heap_usable(q, "realloc()", false) - (int64_t)before : 0);
}

void vm_stats_flush_all(void)
{
    if (!vm_stats_on)
        return;
    for (struct vm_heap *h = vm_heaps_newest(); h; h = h->next)
        hand_in(&h->counts);
}
