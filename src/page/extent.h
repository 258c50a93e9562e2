/* Extents: mmap'd ranges of whole pages for requests of 128 KiB and more.  A live extent is one block.  A freed one is
   kept for a while (see reclaim/keep.h), coalesced with free neighbours of its kind, split for smaller requests or
   lengthened for a larger one, and in the end unmapped, or purged where unmapping would cut a mapping in two.  The shadow
   page table names the extent at the first and the last page of every extent, live or free: that is the owner lookup and
   the way to neighbours.

       a free extent is   warm: freed just now, in a slot for its size (page/warm.h)
                          dirty: pages of the last owner, resident     in dirty tree, dirty list (oldest first)
                          clean: reads as zero, not resident           in clean tree
       in flight          being unmapped, purged or remapped, lock not held: in no tree, coalesced with nobody  */
#ifndef VM_EXTENT_H
#define VM_EXTENT_H

#include "base/fact.h"
#include "base/list.h"
#include "base/tree.h"

enum vm_extent_state {
    VM_EXTENT_UNUSED,
    VM_EXTENT_LIVE,
    VM_EXTENT_WARM,
    VM_EXTENT_DIRTY,
    VM_EXTENT_CLEAN,
    VM_EXTENT_IN_FLIGHT
};

struct vm_extent {
    struct vm_tree_node node; /* free: in the tree of its state; key size, order base */
    struct vm_list list;      /* dirty: by age; unused: spare descriptors */
    uintptr_t base;           /* bytes, page aligned */
    size_t size;              /* bytes, page multiple */
    uint8_t state;            /* enum vm_extent_state */
    bool zeroed;              /* reads as zero (live: since it was handed out) */
    bool huge;                /* its mapping was advised for huge pages: see extent.c */
    uint8_t pad[29];
} VM_ALIGNED(VM_CACHE_LINE);
_Static_assert(sizeof(struct vm_extent) == 128, "two cache lines");

struct vm_lock;
extern struct vm_lock vm_extents_lock;
extern VM_HIDDEN struct vm_fact vm_extent_facts[]; /* for other processes */

void vm_extents_start(void);

/* The same as the two below, without a lock: NULL and false where one is needed. */
struct vm_extent *vm_extent_take_warm(size_t bytes, size_t align);
bool vm_extent_put_warm(struct vm_extent *e);

/* A live extent of at least `bytes` (> 0, up to PTRDIFF_MAX) whose base is a multiple of `align` (a power of two);
   NULL when the system refuses.  Its size is the request rounded to pages.  e->zeroed: all of it reads as zero. */
struct vm_extent *vm_extent_alloc(size_t bytes, size_t align);

/* The same for what is to read as zero (if it does not, vm_extent_clear() follows): rather fresh pages, which may stay
   untouched, than kept ones that are too few. */
struct vm_extent *vm_extent_alloc_zero(size_t bytes, size_t align);

/* Makes the first bytes of a live extent that was just handed out read as zero: by writing, or, where hardly a page is
   there to be written, by returning what there is. */
void vm_extent_clear(struct vm_extent *e, size_t bytes);

/* Takes a live extent back.  */
void vm_extent_free(struct vm_extent *e);

/* Resizes a live extent to hold `bytes`: in place (trimming the tail, or growing into a free neighbour), else by moving
   its pages with mremap, never by copying.  Returns false, all as before, when that cannot be done.  The extent keeps
   its descriptor; its base may change unless `stay`. */
bool vm_extent_resize(struct vm_extent *e, size_t bytes, bool stay);

/* The live extent whose first page starts at the address, or NULL; any address, without a lock. */
struct vm_extent *vm_extent_at(uintptr_t address);

/* For diagnosis: copies the extent (live or free) that covers the address; false when there is none, also says whether
   a block at this very address was freed lately.  Scans under the lock. */
bool vm_extent_find(uintptr_t address, struct vm_extent *copy);
bool vm_extent_freed_lately(uintptr_t address);

/* Copies live extents from *address on, in the order of addresses, no more than `room`; *address is then where to go on,
   0 at the end.  Returns how many. */
size_t vm_extents_from(uintptr_t *address, struct vm_extent *copy, size_t room);

/* Returns every free extent to the system.  True when there was one. */
bool vm_extents_trim(void);

/* Returns dirty extents, those freed first at first, until at most `bytes` of them are kept; how many bytes went back.
   With `age` it keeps, instead, what policy.h lets stay at this time, and of address space without pages nothing. */
size_t vm_extents_keep(size_t bytes);
size_t vm_extents_age(uint64_t decay_ns);

/* Bytes of free extents that hold pages, and of live ones; without a lock. */
size_t vm_extents_kept(void);
size_t vm_extents_used(void);

/* Bytes of free extents that hold pages, and of live ones that may become free without the lock being taken. */
size_t vm_extents_claimed(void);

/* The heap of frames grew by that: returns as much of what is kept beyond its share of live extents, whatever credit it has
   earned, so that it does not stand beside what is new. */
void vm_extents_settle(size_t grown);

struct vm_extents_stats {
    size_t live, dirty, clean; /* bytes */
    size_t claimed;            /* vm_extents_claimed() */
    size_t live_count;
};
void vm_extents_stats(struct vm_extents_stats *s);

/* All invariants.  For tests: no other thread may be at work. */
bool vm_extent_check(void);

#endif
