/* When what is kept goes back, by time and by pressure: pure arithmetic, no globals, no system calls, time passed in.
   keep.h says how much may be kept while the program is at work; this, what becomes of it afterwards.

   Kept memory is active when some of it served since the last look, else inactive: what was never less than `low` since
   then has `low` bytes that nobody asked for.  A look returns the inactive ones and makes all that stay inactive, until
   they serve: a second chance.  There are two looks in a decay time, so that memory which nobody asks for is gone one
   decay time after it was freed, and what is used again within half of it stays.  The caller locks. */
#ifndef VM_POLICY_H
#define VM_POLICY_H

#include "base/base.h"

#define VM_POLICY_LOOKS 2           /* in a decay time */
#define VM_POLICY_EARLY 8           /* a look may come that part of the interval early: the clock is a coarse one */
#define VM_POLICY_STRAINED_SHARE 64 /* under strain, keep up to live / 64 ... */
#define VM_POLICY_STRAINED_MAX ((size_t)1 << 20) /* ... but no more than this, bytes */

struct vm_age {
    size_t low;      /* bytes, the least that was kept since the last look */
    uint64_t looked; /* ns; 0: never */
};

/* `kept` bytes are kept now, fewer than before. */
VM_INLINE void vm_age_used(struct vm_age *a, size_t kept)
{
    if (kept < a->low)
        a->low = kept;
}

/* How many of the `kept` bytes may stay at time now; those that go back are the ones freed first.  Nothing goes before
   half a decay time has passed, or nearly so, since the last look, but under strain everything does. */
size_t vm_age_look(struct vm_age *a, size_t kept, uint64_t now, uint64_t decay_ns, bool strained);

/* Nanoseconds from one look to the next, at least 1. */
uint64_t vm_age_interval(uint64_t decay_ns);

/* What may be kept under strain, of a bound in bytes, while `live` bytes are in use. */
size_t vm_policy_strained_bound(size_t bound, size_t live);

/* Is memory short, by the system's own account (proc(5), /proc/pressure)?  stalled: us that tasks waited for memory in
   all, now and at the last look; elapsed: ns between the two. */
bool vm_policy_pressed(uint64_t stalled, uint64_t stalled_before, uint64_t elapsed);

#endif
