/* struct vm_page: the descriptor of one 64 KiB frame, an element of a zone's mem_map, and, when the frame is the first
   of a slab, the slab's header.  This comment carries the whole structure.

   A slab is a run of 1 to 8 frames cut into equal blocks.  Its blocks are

       0 .. carved-1          given life, a page at a time
       carved .. capacity-1   never touched

   and each block with life is in exactly one place:

       carved = handed out + |free| + |local| + (on its way home as a message)

   `free` is what malloc pops; `local` is what the owner's free pushes; when `free` runs out the owner swaps them.  So a
   block is not handed out again at once, and malloc keeps no count: `held` counts the frees that may come before the
   owner has to look at the slab, and the free that brings it to 0 does:

       state     in                       held                                       at 0
       CURRENT   heap->current[class]     carved - |local|                           nothing: the next swap resets it
       PARTIAL   heap->partial[class]     carved - |local|  (free is empty)          slab is empty: frames go back
       FULL      no list                  1  (all blocks are out)                    first block came back: PARTIAL

   A free block holds its link and a key that seals it, so that a write to a freed block, or a second free of it, shows:

       +0  next     +8  key = secret ^ address of the block ^ next

   malloc clears the key.  The owner line is written by the owning thread only (others: under the heap's lock, when the
   heap is idle); the shared line is written when the slab is made, carved or changes its owner, and read by every
   thread that frees. */
#ifndef VM_PAGE_H
#define VM_PAGE_H

#include "base/base.h"
#include "base/list.h"

#define VM_FRAME_SHIFT 16
#define VM_FRAME_BYTES ((size_t)1 << VM_FRAME_SHIFT)

struct vm_heap;
struct vm_zone;

struct vm_block {
    struct vm_block *next;
    uint64_t key;
};

enum vm_page_role {
    VM_PAGE_FREE, /* all zero: also what a frame that is not ours looks like */
    VM_PAGE_SLAB, /* first frame of a slab */
    VM_PAGE_TAIL, /* another frame of a slab: recip 0 sends every free to the slow path */
};

enum vm_slab_state { VM_SLAB_CURRENT, VM_SLAB_PARTIAL, VM_SLAB_FULL };

struct vm_page {
    /* Owner line. */
    struct vm_block *free;  /* what malloc pops */
    struct vm_block *local; /* what the owner's free pushes */
    uint32_t held;          /* see the table above */
    uint8_t state;          /* enum vm_slab_state */
    bool fresh;             /* all of `free` reads as zero behind its 16 bytes */
    bool virgin;            /* blocks not carved yet read as zero */
    uint8_t pad0;
    struct vm_list list; /* in heap->partial[class] */
    uint8_t pad1[24];

    /* Shared line. */
    uint64_t recip;        /* ceil(2^64 / size) for block start and index; 0 unless role is SLAB */
    struct vm_heap *owner; /* whose `local` its frees go to */
    uint32_t carved;       /* blocks given life */
    uint8_t role;          /* enum vm_page_role */
    uint8_t class_id;
    uint8_t tail;   /* TAIL: frames back to the first */
    uint8_t frames; /* SLAB: its length in frames */
    uint32_t size;  /* SLAB: bytes a block */
    uint32_t capacity;
    uintptr_t start;      /* address of the frame */
    struct vm_zone *zone; /* const: once set */
    uint8_t pad2[16];
} VM_ALIGNED(VM_CACHE_LINE);

_Static_assert(sizeof(struct vm_page) == 128, "one owner line and one shared line");
_Static_assert(offsetof(struct vm_page, recip) == 64, "the shared line starts at 64");

/* Random bits that seal free blocks; const: after start-up. */
extern uint64_t vm_secret;

VM_INLINE uint64_t vm_block_key(const struct vm_block *b, const struct vm_block *next)
{
    return vm_secret ^ (uintptr_t)b ^ (uintptr_t)next;
}

/* Splits an address within a slab into block index (quotient, returned) and "is a block start" (exact): with
   m = ceil(2^64 / d), n * m = q * 2^64 + r with q = n / d, and r < m just when d divides n, for all n, d < 2^32
   (Lemire, Kaser, Kurz: Faster remainder by direct computation, 2019). */
VM_INLINE uint32_t vm_block_index(uint64_t recip, uint64_t offset, bool *is_start)
{
    unsigned __int128 product = (unsigned __int128)recip * offset;
    *is_start = (uint64_t)product < recip;
    return (uint32_t)(product >> 64);
}

#endif
