/* The TLB model fed with allocator events: the option tlb=PRESET and vmalloc_tlb_start().  Every block handed out, zeroed or
   grown touches its pages, every block taken back its first one, as 4 KiB pages of a model of src/vm/tlb.h.  A heap has a
   model of its own, used by its thread alone and without a lock, as a thread has a processor; what is read is the sum.
   The program's own loads and stores are not seen.

   While it is on, every heap has a front, so that every call misses.  When it is off, nothing on a hit path knows of it,
   and nothing of the model is touched. */
#ifndef VM_TLB_FEED_H
#define VM_TLB_FEED_H

#include "heap/heap.h"
#include "vm/tlb.h"

extern VM_HIDDEN bool vm_feed_on;                /* relaxed */
extern VM_HIDDEN struct vm_fact vm_feed_facts[]; /* for other processes */

struct vm_feed_sum {
    struct vm_tlb_counts counts;
    uint64_t handed_out, zeroed, grown, freed; /* events: blocks; those zeroed are among those handed out */
    uint64_t skipped;                          /* events of threads without a heap, or inside a signal handler */
    unsigned threads;                          /* heaps that have a model */
    const struct vm_tlb_config *config;        /* NULL: never started */
};

/* A preset or "host"; from zero.  0; -ENOENT: no such preset; -ENOTSUP: this processor does not tell; -EBUSY: it is on;
   -ENOSYS: compiled without.  The calling thread feeds it at once, others from their next call that misses. */
int vm_feed_start(const char *preset);
void vm_feed_stop(void);
void vm_feed_read(struct vm_feed_sum *sum);

/* In the child of a fork: it counts from zero. */
void vm_feed_forked(void);

/* What happened to a block, in the heap h of the calling thread (NULL: it has none). */
void vm_feed_alloc(struct vm_heap *h, const void *p, size_t bytes, bool zeroed);
void vm_feed_free(struct vm_heap *h, const void *p);
void vm_feed_grown(struct vm_heap *h, const void *from, size_t before, const void *to, size_t bytes);

#endif
