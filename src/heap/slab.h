/* Slabs of one heap: making, carving, choosing and retiring them.  Everything here runs under the heap's lock. */
#ifndef VM_SLAB_H
#define VM_SLAB_H

#include "heap/heap.h"

/* The current slab's list has run out: a slab to serve the class whose `free` is not empty, made current; NULL when there is
   no memory.  *fresh: its first block reads as zero behind link and seal. */
struct vm_page *vm_slab_refill(struct vm_heap *h, unsigned class_id, bool *fresh);

/* held came to 0; see the table in page.h. */
void vm_slab_event_locked(struct vm_heap *h, struct vm_page *slab);

/* Every current slab becomes partial, full or free, so that others can take them over. */
void vm_slabs_park(struct vm_heap *h);

/* Returns all that can be: what others freed is taken in, empty slabs and free pages inside partly used ones go back.  The
   caller's own heap, or an idle one. */
void vm_slabs_return(struct vm_heap *h);

/* The same for the heap of another thread that is at work: only empty slabs which that thread does not serve from now;
   the rest it returns itself when it next refills. */
void vm_slabs_return_unused(struct vm_heap *h);

/* A slab of from's partial list of the class becomes to's; false when there is none.  Both locks held. */
bool vm_slab_take_over(struct vm_heap *to, struct vm_heap *from, unsigned class_id);

/* Is the block of that index (below carved) handed out?  Without the heap's lock: as it was a moment ago. */
bool vm_slab_is_out(const struct vm_page *slab, size_t index);

/* All invariants of one slab. */
bool vm_slab_check(const struct vm_page *slab);

#endif
