/* The arithmetic of keep.h.  Invariant: credit <= VM_KEEP_CREDIT_MAX. */
#include "reclaim/keep.h"

static void decay(struct vm_keep *k, uint64_t now)
{
    if (k->decayed == 0 || now < k->decayed)
        k->decayed = now;
    for (int i = 0; now - k->decayed >= VM_KEEP_DECAY_NS; i++) {
        if (i == 64) { /* nothing is left after that many quarters */
            k->credit = k->returned = 0;
            k->decayed = now;
            return;
        }
        k->credit -= k->credit / 4;
        k->returned /= 2;
        k->decayed += VM_KEEP_DECAY_NS;
    }
}

size_t vm_keep_bound(struct vm_keep *k, size_t live, uint64_t now)
{
    decay(k, now);
    return vm_max(vm_max(k->floor, live / VM_KEEP_LIVE_SHARE), k->credit);
}

void vm_keep_returned(struct vm_keep *k, size_t bytes, uint64_t now)
{
    decay(k, now);
    k->returned += bytes;
}

void vm_keep_fetched(struct vm_keep *k, size_t bytes, uint64_t now)
{
    decay(k, now);
    size_t again = vm_min(bytes, k->returned);
    k->returned -= again;
    k->credit = vm_min(k->credit + again, VM_KEEP_CREDIT_MAX);
}
