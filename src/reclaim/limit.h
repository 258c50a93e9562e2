/* The account of memory that the system has to provide for us, and its limits: arithmetic on one structure, atomic, so
   that nobody holds a lock for it.  Charged are bytes of frames in use, of live extents, and of both that are kept
   though free; not charged is what was never touched or went back, and the metadata.  src/page charges before it hands
   out memory that held no pages, and uncharges what it returned.  The hard limit refuses a charge, as the system refuses
   memory: the callers then return what is kept and try again.  Beyond the soft limit nothing is refused, but little is
   kept. */
#ifndef VM_LIMIT_H
#define VM_LIMIT_H

#include "base/base.h"

struct vm_limits {
    size_t soft, hard; /* bytes; SIZE_MAX: none */
    size_t charged;    /* bytes */
    size_t highest;    /* derived: the most that was ever charged */
    size_t passed;     /* times that a charge passed the soft limit */
    size_t refused;    /* requests that failed for want of the hard limit's room */
    bool pressed;      /* the system is short of memory */
};

extern struct vm_limits vm_limits;

/* Sets the limits, in bytes; 0 and SIZE_MAX mean none. */
void vm_limits_set(size_t soft, size_t hard);

/* False when the charge would pass the hard limit: nothing is charged then. */
bool vm_limit_charge(size_t bytes);

/* For memory that could not be returned after all: charges it whatever the limit. */
void vm_limit_recharge(size_t bytes);
void vm_limit_uncharge(size_t bytes);

/* In the child of a fork: that much is charged. */
void vm_limit_recount(size_t bytes);

/* A request of `bytes` failed: counts it when that was the hard limit's doing. */
void vm_limit_note_failure(size_t bytes);

VM_INLINE bool vm_limit_is_hard(void) { return VM_LOAD(&vm_limits.hard) != SIZE_MAX; }

/* Is more charged than the soft limit wants, or memory short in the whole system? */
VM_INLINE bool vm_limit_strained(void)
{
    return VM_LOAD(&vm_limits.charged) > VM_LOAD(&vm_limits.soft) || VM_LOAD(&vm_limits.pressed);
}

#endif
