/* The arithmetic of keep.h.  Invariant: credit <= VM_KEEP_CREDIT_MAX. */
#include "reclaim/keep.h"

static void step(struct vm_keep *k)
{
    size_t low = vm_min(k->low, k->low_before), high = vm_max(k->high, k->high_before);
    size_t idle = k->credit - vm_min(k->credit, high - low);

    k->credit -= vm_max(idle / 16, vm_min(k->credit / 4, low / 2));
    k->returned_before = k->returned;
    k->returned = 0;
    k->low_before = k->low;
    k->high_before = k->high;
    k->low = k->high = k->kept;
}

static void decay(struct vm_keep *k, uint64_t now)
{
    if (k->decayed == 0 || now < k->decayed)
        k->decayed = now;
    for (int i = 0; now - k->decayed >= VM_KEEP_DECAY_NS; i++) {
        if (i == 512) { /* nothing is left after that many sixteenths */
            k->credit = k->returned = k->returned_before = 0;
            k->decayed = now;
            return;
        }
        step(k);
        k->decayed += VM_KEEP_DECAY_NS;
    }
}

size_t vm_keep_bound(struct vm_keep *k, size_t live, size_t other, uint64_t now)
{
    decay(k, now);
    size_t share = vm_max(k->floor, VM_KEEP_SHARE(live));
    return vm_max(share - vm_min(other, share / 4 * 3), k->credit);
}

size_t vm_keep_credit(struct vm_keep *k, uint64_t now)
{
    decay(k, now);
    return k->credit;
}

void vm_keep_returned(struct vm_keep *k, size_t bytes, uint64_t now)
{
    decay(k, now);
    k->returned += bytes;
}

void vm_keep_fetched(struct vm_keep *k, size_t bytes, uint64_t now)
{
    decay(k, now);
    size_t before = vm_min(bytes, k->returned_before), again = before + vm_min(bytes - before, k->returned);
    k->returned_before -= before;
    k->returned -= again - before;
    k->credit = vm_min(k->credit + again + again / 8, VM_KEEP_CREDIT_MAX); /* the next wave may be a little larger */
}
