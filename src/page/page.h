/* struct vm_page: the descriptor of one 64 KiB frame, an element of a zone's mem_map, and, when the frame is the first
   of a slab, the slab's header.  This comment carries the whole structure.

   A slab is a run of 1 to 8 frames cut into equal blocks.  Its blocks are

       0 .. carved-1          given life, a page at a time, or more where pages are resident
       carved .. capacity-1   never touched

   and each block with life is in exactly one place:

       carved = handed out + |free| + (on its way home as a message) + |absent|

   `free` is one list: the owner's free pushes, malloc pops, the warmest block first.  With

       out = carved - |free| - |absent|      blocks not at home
       held = out - bias

   the free that brings `held` to 0 makes the owner look at the slab, at the number of blocks out that bias says:

       state             in                     bias               at 0
       FULL              no list                capacity - wake    `wake` blocks came back: PARTIAL, or
                                                                   CURRENT where the current one has none
       CURRENT, PARTIAL  current[], partial[]   n > 0              few blocks are out: sparse; bias falls, see slab.c
                                                0                  the slab is empty: quiet
       quiet             and heap->quiet        -1                 never

   so that one test finds what became empty, what is worth serving from again and what may have pages to spare.  wake is
   1/32 of the capacity, at least 1: a slab that served again at its first free block would be full again at the next
   malloc.

   A quiet slab may serve and become empty again and again at no cost.  What quiet slabs hold is bounded; when there is
   too much of it, the one that became quiet first is looked at: if it is empty, its frames go back, else it is quiet no
   more.  A sparse slab stands in heap->sparse until it is full or quiet.  What sparse slabs hold free is bounded as well;
   when there is too much of it, units (pages, or two) that hold nothing but free blocks go back to the system.  Blocks
   whose first bytes lie in such a unit are absent: on no list, reading as zero, given life again when the list is empty,
   before untouched ones.

   A current slab serves its own class or, when that has blocks to spare and a smaller one has none, the smaller one.

   A free block holds its link and a seal, so that a write to a freed block, or a second free of it, shows:

       +0  next     +8  seal = secret ^ address of the block ^ next

   malloc breaks the seal; a list ends at vm_block_end, whose seal is never right: so the test that finds a damaged
   block also finds the empty list.  The owner line is written by the owning thread only (others: under the heap's lock,
   when the heap is idle); the shared line is written when the slab is made, carved or changes its owner, and read by
   every thread that frees. */
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
    uint64_t seal;
};

enum vm_page_role {
    VM_PAGE_FREE, /* all zero: also what a frame that is not ours looks like */
    VM_PAGE_SLAB, /* first frame of a slab */
    VM_PAGE_TAIL, /* another frame of a slab: carved 0 makes every free miss, see vm_free_tail_hit() */
};

enum vm_slab_state { VM_SLAB_CURRENT, VM_SLAB_PARTIAL, VM_SLAB_FULL };

struct vm_page {
    /* Owner line. */
    struct vm_block *free; /* pushed by free, popped by malloc; ends at vm_block_end */
    uint32_t held;         /* see the table above */
    uint8_t state;         /* enum vm_slab_state */
    bool virgin;           /* blocks not carved yet read as zero */
    int16_t bias;          /* see the table above */
    struct vm_list list;   /* PARTIAL: in heap->partial[class] */
    struct vm_list aside;  /* in heap->quiet (bias < 0) or heap->sparse */
    uint32_t aside_bytes;  /* its share of heap->quiet_bytes or sparse_bytes; 0: in neither */
    uint32_t resident;     /* bytes from its start that were resident when it was made */
    uint64_t absent;       /* bit i: unit i was returned, and blocks begin in it */

    /* Shared line. */
    uint64_t magic;        /* see vm_block_index() */
    uint64_t carved;       /* blocks given life; 0 unless role is SLAB */
    struct vm_heap *owner; /* whose `free` its frees go to; NULL unless role is SLAB */
    uint8_t role;          /* enum vm_page_role */
    uint8_t class_id;
    uint8_t tail;       /* TAIL: frames back to the first */
    uint8_t frames;     /* SLAB: its length in frames */
    uint32_t size;      /* SLAB: bytes a block */
    uint32_t capacity;  /* SLAB: blocks */
    uint32_t send_cost; /* SLAB: what a block takes of an outbox; see heap.h */
    uint32_t wake;      /* SLAB: see above */
    uint8_t serves;     /* CURRENT: the class whose current slab it is, its own or a smaller one's */
    uint8_t pad[3];
    uintptr_t start;      /* address of the frame */
    struct vm_zone *zone; /* const: once set */
} VM_ALIGNED(VM_CACHE_LINE);

_Static_assert(sizeof(struct vm_page) == 128, "one owner line and one shared line");
_Static_assert(offsetof(struct vm_page, magic) == 64, "the shared line starts at 64");

/* Blocks that are not at home: handed out, or on their way as messages. */
VM_INLINE size_t vm_slab_out(const struct vm_page *slab)
{
    return (size_t)((int64_t)VM_LOAD(&slab->held) + VM_LOAD(&slab->bias));
}

/* Random bits that seal free blocks; const: after start-up. */
extern VM_HIDDEN uint64_t vm_secret;
#define VM_SECRET_TOP 48

/* Where lists of free blocks end. */
extern VM_HIDDEN const struct vm_block vm_block_end;
#define VM_BLOCK_END ((struct vm_block *)(uintptr_t)&vm_block_end)

VM_INLINE uint64_t vm_seal(const struct vm_block *b, const struct vm_block *next)
{
    return vm_secret ^ (uintptr_t)b ^ (uintptr_t)next;
}

/* Is the block sealed, that is, free? */
VM_INLINE bool vm_is_sealed(const struct vm_block *b) { return b->seal == vm_seal(b, b->next); }

/* Fast: false for every block that is not free but for one in some 10^4, without a look at its first word, which its
   user may just have written in pieces that the processor cannot forward to a load of the whole.  Pointers have 48 bits,
   so the topmost 16 of every seal are those of the secret. */
VM_INLINE bool vm_may_be_sealed(const struct vm_block *b)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the topmost bits lie last");
    typedef uint16_t __attribute__((may_alias)) word;
    const word *words = (const word *)&b->seal;
    return VM_PEEK(&words[3]) == (uint16_t)(vm_secret >> VM_SECRET_TOP);
}

VM_INLINE void vm_block_seal(struct vm_block *b, struct vm_block *next)
{
    b->next = next;
    b->seal = vm_seal(b, next);
}

/* The index of the block that starts at an offset of a slab; for an offset where none starts, a number that no block of the
   slab has.  One multiplication and a rotation by a constant:

   let the size be d = 2^k * o with o odd, and magic = 2^(48-k) * (the inverse of o modulo 2^(16+k)).  Then
   offset * magic mod 2^64 = 2^(48-k) * w with w = offset / o in the ring of integers modulo 2^(16+k).  As dividing by o
   is a bijection there, w = 2^k * q just when offset = q * d (q * d, of a block of the slab, never wraps: slabs longer than a
   frame have k >= 10), so the product is q * 2^48: rotated by 16 it is q.  For every other offset w is no multiple of 2^k
   below 2^(16+k), or one whose q is none of the slab's: rotated, the former leaves bits above the 16 lowest, the latter a
   q >= capacity.  tests/unit/test_class.c tries every offset of every class. */
VM_INLINE uint64_t vm_block_index(uint64_t magic, uint64_t offset)
{
    uint64_t product = offset * magic;
    return product << 16 | product >> 48;
}

/* The slab that a frame belongs to: the frame itself when it belongs to none, and then it has no blocks. */
VM_INLINE struct vm_page *vm_slab_of_frame(struct vm_page *page) { return page - VM_PEEK(&page->tail); }

/* Does a block that has life start at the address, which lies in a frame of the slab? */
VM_INLINE bool vm_slab_has_block(const struct vm_page *slab, const void *p)
{
    return vm_block_index(VM_PEEK(&slab->magic), (uintptr_t)p - VM_PEEK(&slab->start)) < VM_PEEK(&slab->carved);
}

#endif
