/* The hits of a fed heap, and vmalloc_tlb_start(), _stop(), _read(); see feed.h.  No lock. */
#include "api/feed.h"

#include <errno.h>
#include <string.h>

#include "api/api.h"
#include "base/fail.h"
#include "base/fmt.h"
#include "base/options.h"
#include "heap/count.h"
#include "os/os.h"
#include "report/sample.h"
#include "report/tlb_feed.h"
#include "report/trace.h"
#include "vmalloc/vmalloc.h"

/* Others want to see every call too: hits are not for them. */
static bool is_watched(void) { return vm_trace_fd >= 0 || vm_sample_every != 0; }

void *vm_api_alloc_fed(size_t n, size_t align, bool zero)
{
    struct vm_heap *h = vm_tls->real;

    if (!h || align > VM_BLOCK_MIN || n >= VM_SMALL_LIMIT || is_watched())
        return NULL;
    void *p = vm_slab_hit(vm_slab_for(h, n));
    if (!p)
        return NULL;
    if (zero)
        memset(p, 0, n);
    vm_feed_alloc(h, p, n, zero);
    return p;
}

/* What vm_free_hit() does, of the heap behind the front. */
bool vm_api_free_fed(void *p)
{
    struct vm_heap *h = vm_tls->real;

    if (!h || is_watched())
        return false;
    struct vm_page *slab = vm_slab_starting_at(p);
    if (!slab || VM_PEEK(&slab->owner) != h || vm_may_be_sealed(p))
        return false;
    vm_feed_free(h, p);
    vm_slab_take_back(slab, p);
    return true;
}

static void fill(struct vmalloc_tlb *t)
{
    struct vm_feed_sum sum;

    vm_feed_read(&sum);
    memset(t, 0, sizeof *t);
    strncpy(t->preset, sum.config ? sum.config->name : "", sizeof t->preset - 1);
    t->threads = sum.threads;
    t->handed_out = sum.handed_out;
    t->zeroed = sum.zeroed;
    t->grown = sum.grown;
    t->freed = sum.freed;
    t->skipped = sum.skipped;
    t->references = vm_tlb_total_refs(&sum.counts);
    t->l1_hits = sum.counts.hits[0][VM_TLB_SMALL];
    t->l2_hits = sum.counts.hits[1][VM_TLB_SMALL];
    t->misses = vm_tlb_total_walks(&sum.counts);
    t->table_reads = sum.counts.walk_reads;
}

void vm_feed_report(void)
{
    struct vmalloc_tlb t;

    if (!vm_options.tlb[0])
        return;
    fill(&t);
    if (t.preset[0] == '\0')
        return;
    struct vm_counts_tlb sum = {
        .references = t.references, .l1_hits = t.l1_hits, .l2_hits = t.l2_hits, .misses = t.misses};
    vm_fmt(sum.preset, sizeof sum.preset, "%s", t.preset);
    vm_counts_tlb(&sum);
    if (vm_counting && strcmp(vm_options.stats, "1") != 0)
        return; /* who made the file for the counts will tell */
    vm_warn(
        "pid %d: tlb %s, fed with allocator events, 4 KiB pages: %zu references (%zu blocks handed out, %zu freed, %zu "
        "grown), %zu level-1 hits, %zu level-2 hits, %zu misses",
        vm_os_pid(), t.preset, (size_t)t.references, (size_t)t.handed_out, (size_t)t.freed, (size_t)t.grown,
        (size_t)t.l1_hits, (size_t)t.l2_hits, (size_t)t.misses);
}

/* ---- The C interface ---- */

VM_EXPORT int VM_API(vmalloc_tlb_start)(const char *preset)
{
    vm_start();
    int error = preset ? -vm_feed_start(preset) : EINVAL;
    if (error)
        errno = error;
    return error ? -1 : 0;
}

VM_EXPORT void VM_API(vmalloc_tlb_stop)(void)
{
    vm_start();
    vm_feed_stop();
}

VM_EXPORT int VM_API(vmalloc_tlb_read)(struct vmalloc_tlb *out, size_t bytes)
{
    struct vmalloc_tlb t;

    if (!out || bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    vm_start();
    fill(&t);
    memset(out, 0, bytes);
    memcpy(out, &t, vm_min(bytes, sizeof t));
    return 0;
}
