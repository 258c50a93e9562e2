/* Warm extents: the few that were freed last wait, as they are, for a request of their very size, which takes one by one
   atomic operation, as its free puts it back by one.  A slot is let to a size and ended under vm_extents_lock
   (page/extent.c); in between its extent comes and goes without a lock:

      63                           22 21             0
     +-------------------------------+----------------+
     | address of the extent / 64    | size / 4 KiB   |     all 0: not let;  address 0: the extent is out
     +-------------------------------+----------------+

   As the size stands in the word, an exchange succeeds only where the extent is of the size that the slot is let to, and
   any extent of that size may come back.  What is let counts as kept whether the extent is in or out, so that nothing
   that comes back needs room made for it. */
#ifndef VM_WARM_H
#define VM_WARM_H

#include "base/base.h"

#define VM_WARM_SLOTS 64

struct vm_extent;

/* ---- Without a lock. ---- */

/* An extent of just that size in a slot, live from now on; NULL when there is none.  Its base was a multiple of align
   when it was looked at. */
struct vm_extent *vm_warm_take(size_t size, size_t align);

/* The extent that was taken or noted last, or another one, which may be anybody's and in any state, or NULL. */
struct vm_extent *vm_warm_noted(void);
void vm_warm_note(struct vm_extent *e);

/* Puts a live extent, which is warm from then on, into a slot of its size whose extent is out; false: there is none, or
   the extent may read as zero: the first free of such a one is not for us. */
bool vm_warm_put(struct vm_extent *e);

/* Bytes let to extents that are out, and how many these are. */
size_t vm_warm_out(size_t *count);

/* The size that the slot is let to, and the extent in it (NULL: out); 0: not let. */
size_t vm_warm_slot(unsigned slot, struct vm_extent **e);

/* ---- Under vm_extents_lock. ---- */

/* Bit i: slot i is let. */
uint64_t vm_warm_slots_let(void);

/* Lets a slot that is not let to the extent, which becomes warm; false: the word has no room for it, nothing done. */
bool vm_warm_let(unsigned slot, struct vm_extent *e);

/* The slot is let no more; as vm_warm_slot() before that.  The extent in it is the caller's. */
size_t vm_warm_end(unsigned slot, struct vm_extent **e);

/* Bytes of slots from which an extent was taken since the last call. */
size_t vm_warm_used(void);

#endif
