/* How much freed memory to keep: pure arithmetic, no globals, no system calls, time passed in.
   What is kept is bounded by a share of what is live, by a floor, and by a credit that is earned: memory that was
   returned and asked for again soon after raises the credit, so that a repeating wave is paid for once, and the credit
   decays when the wave ends.  The caller locks. */
#ifndef VM_KEEP_H
#define VM_KEEP_H

#include "base/base.h"

#define VM_KEEP_LIVE_SHARE 8                      /* keep up to live / 8 */
#define VM_KEEP_DECAY_NS ((uint64_t)1000000000)   /* the credit loses a quarter in this time */
#define VM_KEEP_CREDIT_MAX ((size_t)1 << 30)      /* bytes */

struct vm_keep {
    size_t floor;      /* const: bytes that may always be kept */
    size_t credit;     /* bytes earned by requests that came soon after a return */
    size_t returned;   /* bytes returned lately and not asked for again yet */
    uint64_t decayed;  /* ns, when credit and returned last decayed */
};

/* Bytes that may be kept while `live` bytes are in use, at time now (ns, monotonic). */
size_t vm_keep_bound(struct vm_keep *k, size_t live, uint64_t now);

/* `bytes` went back to the system / had to be fetched from it. */
void vm_keep_returned(struct vm_keep *k, size_t bytes, uint64_t now);
void vm_keep_fetched(struct vm_keep *k, size_t bytes, uint64_t now);

#endif
