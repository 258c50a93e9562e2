/* How much freed memory to keep: pure arithmetic, no globals, no system calls, time passed in.
   What is kept is bounded by a share of what is live, by a floor, and by a credit that is earned: memory that was
   returned and asked for again soon after, in the same step of two seconds or the next, raises the credit, so that a
   repeating wave is paid for once.  Once a step the credit decays: not as far as it kept memory that came and went in
   this step or the one before, slowly beyond that, and fast as far as it kept what nobody asked for meanwhile.
   Two that keep memory, the frames and the extents, share the bound.  The caller locks. */
#ifndef VM_KEEP_H
#define VM_KEEP_H

#include "base/base.h"

/* Each may keep a share, of what is live or the floor, less what the other keeps, but a quarter of it in any case: so
   both together no more than 5/64 of what is live, or 10 MiB. */
#define VM_KEEP_SHARE(live) ((live) / 16)
#define VM_KEEP_FLOOR ((size_t)8 << 20)         /* bytes */
#define VM_KEEP_DECAY_NS ((uint64_t)2000000000) /* a step */
#define VM_KEEP_CREDIT_MAX ((size_t)1 << 30)    /* bytes */

struct vm_keep {
    size_t floor;                   /* const: bytes that may always be kept, of both together */
    size_t credit;                  /* bytes earned by requests that came soon after a return */
    size_t returned;                /* bytes returned since the last step and not asked for again yet ... */
    size_t returned_before;         /* ... and between that and the one before */
    size_t kept, low, high;         /* bytes kept, as told last, the least and the most since the last step ... */
    size_t low_before, high_before; /* ... and between that and the one before */
    uint64_t decayed;               /* ns, of the last step */
};

/* Invariant: credit <= VM_KEEP_CREDIT_MAX, low <= kept <= high, low_before <= high_before. */

/* `kept` bytes are kept from now on. */
VM_INLINE void vm_keep_set(struct vm_keep *k, size_t kept)
{
    k->kept = kept;
    if (kept < k->low)
        k->low = kept;
    if (kept > k->high)
        k->high = kept;
}

/* Bytes returned lately, so that a request for fresh memory may ask for them again. */
VM_INLINE size_t vm_keep_owed(const struct vm_keep *k) { return k->returned + k->returned_before; }

/* Bytes that may be kept while `live` bytes are in use in all and `other` are kept elsewhere, at time now (ns,
   monotonic). */
size_t vm_keep_bound(struct vm_keep *k, size_t live, size_t other, uint64_t now);

/* Bytes that may be kept for what was earned alone. */
size_t vm_keep_credit(struct vm_keep *k, uint64_t now);

/* What to return down to when more than `bound` is kept: a little less, so that returns are few and long. */
VM_INLINE size_t vm_keep_target(size_t bound) { return bound - bound / 8; }

/* `bytes` went back to the system / had to be fetched from it. */
void vm_keep_returned(struct vm_keep *k, size_t bytes, uint64_t now);
void vm_keep_fetched(struct vm_keep *k, size_t bytes, uint64_t now);

#endif
