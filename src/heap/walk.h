/* Looking at blocks from outside: what an address is, and all blocks that are handed out.  For vmalloc_translate and
   vmalloc_walk.  Slabs are looked at under vm_frames_lock, which keeps them slabs, but not under their heaps' locks: their
   owners work on. */
#ifndef VM_WALK_H
#define VM_WALK_H

#include "base/base.h"

enum vm_found_kind {
    VM_FOUND_NOTHING,
    VM_FOUND_BLOCK,
    VM_FOUND_FREE,   /* a block that is not handed out */
    VM_FOUND_UNUSED, /* one that never was */
    VM_FOUND_TAIL,   /* the end of a slab */
    VM_FOUND_FRAME,  /* a free one */
};

/* A block, or what the address lies in else. */
struct vm_found {
    uintptr_t start;
    size_t bytes;
    uint8_t kind;     /* enum vm_found_kind */
    uint8_t class_id; /* 0: large, or no block */
    bool large;
};

/* What the address lies in. */
struct vm_found vm_walk_find(uintptr_t address);

/* Where a walk is: {0} at its beginning. */
struct vm_walk {
    uintptr_t at;
    bool large, done;
};

/* The next blocks, at most `room`; may be none although the walk is not done. */
size_t vm_walk_next(struct vm_walk *w, struct vm_found *blocks, size_t room);

#endif
