/* The arithmetic of policy.h.  Invariant after a look: low = what it let stay. */
#include "reclaim/policy.h"

#define STALLED_SHARE 20 /* pressed: tasks waited for memory more than 1/20 of the time */

uint64_t vm_age_interval(uint64_t decay_ns) { return decay_ns < VM_POLICY_LOOKS ? 1 : decay_ns / VM_POLICY_LOOKS; }

size_t vm_age_look(struct vm_age *a, size_t kept, uint64_t now, uint64_t decay_ns, bool strained)
{
    uint64_t interval = vm_age_interval(decay_ns);

    if (strained) {
        a->low = 0;
        a->looked = now;
        return 0;
    }
    if (a->looked != 0 && now >= a->looked && now - a->looked < interval - interval / VM_POLICY_EARLY)
        return kept;
    size_t inactive = a->looked == 0 ? 0 : vm_min(a->low, kept);
    a->low = kept - inactive;
    a->looked = now;
    return a->low;
}

size_t vm_policy_strained_bound(size_t bound, size_t live)
{
    return vm_min(bound, vm_min(live / VM_POLICY_STRAINED_SHARE, VM_POLICY_STRAINED_MAX));
}

bool vm_policy_pressed(uint64_t stalled, uint64_t stalled_before, uint64_t elapsed)
{
    return stalled > stalled_before && stalled - stalled_before > elapsed / 1000 / STALLED_SHARE;
}
