/* Counting of calls by size class (stats=1, stats=FILE) at a few instructions a call.  When it is on, every heap has a
   tap: the heap's own entries for the hit paths stay on the empty slab, so that every malloc misses, and the miss finds
   the true entries in the tap, takes the block there as a hit would, and counts it.  Where the system lets it, start-up
   makes the most used functions jump to forms of theirs that look into the tap at once (os/redirect.h): they cost four
   instructions more than a hit, a miss some twenty.  Frees hit as ever: what was freed is what was handed out and is not
   live.  When it is off there are no taps, and no hit path knows of them.

   The cells counted in are base/counts.h's.  A tap belongs to the thread its heap belongs to; what is kept of the whole
   process is written by whoever samples, one at a time. */
#ifndef VM_COUNT_H
#define VM_COUNT_H

#include "base/counts.h"
#include "base/fact.h"
#include "heap/heap.h"

/* const: after start-up. */
extern VM_HIDDEN bool vm_counting;

/* Counts in the area (of that many bytes, zeroed when new) from now on: every heap made from here on gets a tap.  False
   when there is no room in it, or it is none. */
bool vm_counts_start(void *area, size_t bytes, const char *command);

/* A new heap's tap (false without memory for it), and the cell of a heap that a thread begins to use.  Nothing when counting
   is off. */
bool vm_tap_make(struct vm_heap *h);
void vm_tap_begin(struct vm_heap *h);

/* A block that was handed out without a hit, for n bytes by the class (0: large). */
void vm_count_slow(unsigned class_id, size_t n, size_t align);

/* A call of realloc, or a call of any function that failed. */
void vm_count_call(bool realloc, bool failed);

/* Walks the slabs and writes the sample.  Not when the calling thread is inside one of our locks. */
void vm_counts_sample(void);
void vm_counts_exit(void);

/* What a TLB model says at exit. */
void vm_counts_tlb(const struct vm_counts_tlb *tlb);

/* In the child of a fork, with no lock held: it counts in cells of its own. */
void vm_counts_fork_child(void);

extern VM_HIDDEN struct vm_fact vm_count_facts[]; /* for other processes */

/* What the process has counted so far: sums over its heaps, by class. */
struct vm_counts_total {
    uint64_t reallocs, failures;
    struct vm_counts_class of_class[VM_CLASSES];
    uint64_t born[VM_CLASSES]; /* blocks that were live when it was forked */
};
void vm_counts_read(struct vm_counts_total *t);

/* The process's cells; NULL when counting is off. */
const struct vm_counts_file *vm_counts_area(void);
const struct vm_counts_process *vm_counts_process(void);

/* Is the request counted in slot[], rather than in of_class[]? */
VM_INLINE bool vm_count_by_slot(size_t n, size_t align) { return n <= VM_DIRECT_MAX && align <= VM_BLOCK_MIN; }

VM_INLINE size_t vm_count_slot(size_t n) { return (n + VM_BLOCK_MIN - 1) / VM_BLOCK_MIN; }

VM_INLINE void vm_count_class(struct vm_counts_heap *c, unsigned class_id, size_t n)
{
    VM_STORE(&c->of_class[class_id].calls, c->of_class[class_id].calls + 1);
    VM_STORE(&c->of_class[class_id].asked, c->of_class[class_id].asked + n);
}

#endif
