/* Allocator events through TLB models; see tlb_feed.h.  vm_feed_lock guards starting and stopping; a model is its heap's
   owner's, and counts are read by anyone, each word by itself. */
#include "report/tlb_feed.h"

#include <errno.h>
#include <string.h>

#include "base/lock.h"
#include "os/meta.h"
#include "vm/tlb_host.h"

#define PAGE ((uintptr_t)4096)

struct vm_feed {
    uint64_t generation; /* of the start that it belongs to */
    size_t room;         /* bytes of memory at tlb, which follows this struct */
    struct vm_tlb *tlb;
    uint64_t handed_out, zeroed, grown, freed, skipped;
    bool busy; /* the owner is inside the model: a signal handler stays out */
};

bool vm_feed_on;
static struct vm_tlb_config config; /* of the latest start; changed while it is off and nobody is inside a model */
static uint64_t generation;
static uint64_t homeless; /* events without a heap, or without memory for its model */
static struct vm_lock vm_feed_lock = VM_LOCK_INIT(VM_RANK_START);

VM_FACTS vm_feed_facts[] = {
    VM_FACT_FIELD(feed, struct vm_feed, tlb),
    VM_FACT_FIELD(feed, struct vm_feed, generation),
    VM_FACT_ROOT(feed_config, config),
    VM_FACT_ROOT(feed_generation, generation),
    VM_FACT_END,
};

int vm_feed_start(const char *preset)
{
    const struct vm_tlb_config *named = vm_tlb_preset(preset);
    struct vm_tlb_config host;

    if (!VM_INSTRUMENT)
        return -ENOSYS;
    if (!named && strcmp(preset, "host") != 0)
        return -ENOENT;
    if (!named && vm_tlb_host(&host) != 0)
        return -ENOTSUP;
    vm_lock(&vm_feed_lock);
    int error = vm_feed_on ? -EBUSY : 0;
    if (!error) {
        config = named ? *named : host;
        VM_STORE(&homeless, (uint64_t)0);
        __atomic_store_n(&generation, generation + 1, __ATOMIC_RELEASE);
        VM_STORE(&vm_feed_on, true);
        vm_heaps_instrument(true);
    }
    vm_unlock(&vm_feed_lock);
    return error;
}

void vm_feed_stop(void)
{
    vm_lock(&vm_feed_lock);
    if (vm_feed_on) {
        VM_STORE(&vm_feed_on, false);
        vm_heaps_instrument(false);
    }
    vm_unlock(&vm_feed_lock);
}

void vm_feed_forked(void)
{
    vm_lock_forget_holder(&vm_feed_lock);
    if (generation > 0)
        generation++;
    for (struct vm_heap *h = vm_heaps_newest(); h; h = h->next)
        if (h->feed)
            h->feed->busy = false;
}

/* Slow: the heap's model, empty. */
static VM_COLD void renew(struct vm_heap *h)
{
    struct vm_feed *f = h->feed;

    if (vm_lock_is_mine(&vm_feed_lock))
        return; /* in a signal handler that interrupted a start */
    vm_lock(&vm_feed_lock);
    size_t bytes = vm_tlb_bytes(&config), head = vm_align_up(sizeof *f, VM_CACHE_LINE);
    if ((!f || f->room < bytes)
        && (f = vm_meta_alloc(head + bytes, VM_CACHE_LINE)) != NULL) { /* a smaller one is lost */
        f->room = bytes;
        f->tlb = (struct vm_tlb *)(void *)((char *)f + head);
    }
    if (f)
        vm_tlb_init(f->tlb, &config);
    vm_unlock(&vm_feed_lock);
    if (!f)
        return;
    f->handed_out = f->zeroed = f->grown = f->freed = f->skipped = 0;
    VM_STORE(&f->generation, __atomic_load_n(&generation, __ATOMIC_ACQUIRE));
    VM_STORE_RELEASE(&h->feed, f);
}

/* Slow: a heap without a good model, or one whose owner is inside it; NULL, and counted as skipped, when there is none. */
static VM_COLD struct vm_feed *enter_slow(struct vm_heap *h)
{
    if (h && !(h->feed && h->feed->busy))
        renew(h);
    struct vm_feed *f = h ? h->feed : NULL;
    if (f && f->generation == VM_LOAD(&generation) && !f->busy)
        return f;
    if (f)
        f->skipped++;
    else
        __atomic_fetch_add(&homeless, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* The heap's model, to be left again; NULL: this event is not counted. */
VM_INLINE struct vm_feed *enter(struct vm_heap *h)
{
    struct vm_feed *f = VM_LIKELY(h != NULL) ? h->feed : NULL;

    if (VM_UNLIKELY(!f || f->generation != VM_LOAD(&generation) || f->busy) && !(f = enter_slow(h)))
        return NULL;
    f->busy = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return f;
}

static void leave(struct vm_feed *f)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    f->busy = false;
}

static void touch(struct vm_feed *f, uintptr_t from, uintptr_t end)
{
    do
        vm_tlb_ref(f->tlb, from, VM_TLB_SMALL);
    while ((from = (from | (PAGE - 1)) + 1) < end);
}

void vm_feed_alloc(struct vm_heap *h, const void *p, size_t bytes, bool zeroed)
{
    struct vm_feed *f = enter(h);

    if (!f)
        return;
    touch(f, (uintptr_t)p, (uintptr_t)p + bytes);
    f->handed_out++;
    f->zeroed += zeroed;
    leave(f);
}

void vm_feed_free(struct vm_heap *h, const void *p)
{
    struct vm_feed *f = enter(h);

    if (!f)
        return;
    touch(f, (uintptr_t)p, 0);
    f->freed++;
    leave(f);
}

void vm_feed_grown(struct vm_heap *h, const void *from, size_t before, const void *to, size_t bytes)
{
    struct vm_feed *f = enter(h);
    uintptr_t start = (uintptr_t)to;

    if (!f)
        return;
    if (from != to) /* copied: the old block's pages are read, those of large ones move along */
        touch(f, (uintptr_t)from, (uintptr_t)from + vm_min(before, bytes));
    else if (bytes > before)
        start += before;
    if (from != to || bytes > before)
        touch(f, start, (uintptr_t)to + bytes);
    f->grown++;
    leave(f);
}

static void add_counts(struct vm_tlb_counts *to, const struct vm_tlb_counts *c)
{
    for (unsigned s = 0; s < VM_TLB_SIZES; s++) {
        for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
            to->hits[level][s] += c->hits[level][s];
        to->walks[s] += c->walks[s];
    }
    for (unsigned i = 0; i < VM_TLB_WALK_LEVELS; i++)
        to->walk_cache_hits[i] += c->walk_cache_hits[i];
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        to->evictions[level] += c->evictions[level];
    to->walk_reads += c->walk_reads;
}

void vm_feed_read(struct vm_feed_sum *sum)
{
    uint64_t now = VM_LOAD(&generation);

    memset(sum, 0, sizeof *sum);
    sum->config = now > 0 ? &config : NULL;
    sum->skipped = VM_LOAD(&homeless);
    for (struct vm_heap *h = vm_heaps_newest(); h; h = h->next) {
        const struct vm_feed *f = VM_LOAD_ACQUIRE(&h->feed);
        if (!f || VM_LOAD(&f->generation) != now)
            continue;
        struct vm_tlb_counts counts = vm_tlb_counts(f->tlb);
        add_counts(&sum->counts, &counts);
        sum->handed_out += VM_LOAD(&f->handed_out);
        sum->zeroed += VM_LOAD(&f->zeroed);
        sum->grown += VM_LOAD(&f->grown);
        sum->freed += VM_LOAD(&f->freed);
        sum->skipped += VM_LOAD(&f->skipped);
        sum->threads++;
    }
}
