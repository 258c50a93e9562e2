/* Zones and their frames.  A zone is a range of addresses with a mem_map: zone 0 is the brk heap, the others are mmap'd
   when the break cannot grow.  Frames are handed out in runs of 1 to 32 that never cross a 2 MiB chunk, resident ones
   first; the chunk whose longest run fits most tightly serves first, so that chunks fill up and others become wholly
   free. */
#ifndef VM_ZONE_H
#define VM_ZONE_H

#include "base/fact.h"
#include "page/page.h"

#define VM_CHUNK_SHIFT 21
#define VM_CHUNK_BYTES ((size_t)1 << VM_CHUNK_SHIFT)
#define VM_CHUNK_FRAMES 32

struct vm_zone {
    uintptr_t base;          /* const: first chunk, 2 MiB aligned; its first frames need not be ours */
    size_t span;             /* const: bytes from base that map and chunks are reserved for */
    struct vm_page *map;     /* const: mem_map, one descriptor a frame */
    struct vm_chunk *chunks; /* const */
    struct vm_zone *next;    /* const: older zone */
    uintptr_t top;           /* end of the frames that are ours; the brk zone's moves */
    size_t ready;            /* bytes from base whose descriptors are accessible */
    uint8_t pad[8];
} VM_ALIGNED(VM_CACHE_LINE);

/* What the hit path of free() needs of the brk heap: address -> descriptor is a subtraction and a shift. */
struct vm_brk {
    uintptr_t base;      /* const: after start-up */
    struct vm_page *map; /* const: after start-up */
    size_t size;         /* bytes from base to the top */
};
extern VM_HIDDEN struct vm_brk vm_brk;

/* What free() needs of the mmap'd zones: the one that vm_page_of() found last with a chunk of that number, modulo their count
   (512 chunks are 1 GiB of them).  Zones stay for ever. */
#define VM_ZONE_HINTS 512
extern VM_HIDDEN struct vm_zone *vm_zone_hints[VM_ZONE_HINTS];

VM_INLINE struct vm_zone **vm_zone_hint(uintptr_t address)
{
    return &vm_zone_hints[address >> VM_CHUNK_SHIFT & (VM_ZONE_HINTS - 1)];
}

/* Fast: the descriptor of the frame at an address in a mmap'd zone, all zero where the frame is not ours, as at the border
   of a chunk that the zone has only a part of; NULL when the hints do not know. */
VM_INLINE struct vm_page *vm_zone_page(uintptr_t address)
{
    const struct vm_zone *z = VM_LOAD_ACQUIRE(vm_zone_hint(address));

    if (!z || address - z->base >= z->span)
        return NULL;
    return &z->map[(address - z->base) >> VM_FRAME_SHIFT];
}

struct vm_lock;
extern struct vm_lock vm_frames_lock;
extern struct vm_lock vm_purge_lock; /* held by whoever returns frames: runs of them are then out of the free ones */
extern VM_HIDDEN struct vm_fact vm_zone_facts[]; /* for other processes */

/* Prepares the brk heap; it stays empty.  Without memory even for that, only mmap'd zones will serve. */
void vm_zones_start(bool use_brk);

struct vm_frames_news {
    size_t resident; /* bytes of the run from its start that are resident */
    bool zeroed;     /* every byte of it reads as zero */
    size_t grown;    /* bytes that the heap had to grow by */
};

/* A run of n frames (1 to 32), descriptors all zero but start and zone.  The caller expects to touch the first
   touch_bytes; it may touch more, from the first byte up.  NULL when the system refuses. */
struct vm_page *vm_frames_alloc(unsigned n, size_t touch_bytes, struct vm_frames_news *news);

/* Takes the run back, of which no more than the first touched_bytes were touched; its descriptors must be reset to role
   FREE first (vm_page_reset). */
void vm_frames_free(struct vm_page *first, unsigned n, size_t touched_bytes);
void vm_page_reset(struct vm_page *p);

/* Returns what is free to the system, the top of the brk heap by the break (leaving `pad` bytes), the rest by
   MADV_DONTNEED.  True when anything was returned. */
bool vm_frames_trim(size_t pad);

/* For mallopt(): bytes of free frames that may be kept however little is in use, and bytes that the break is moved by at
   least when it grows. */
void vm_frames_set_floor(size_t bytes);
void vm_frames_set_growth(size_t bytes);

/* Returns free frames until at most `bytes` of them are kept; how many bytes went back.  With `age` it keeps, instead,
   what policy.h lets stay at this time: decay_ns is the decay time. */
size_t vm_frames_keep(size_t bytes);
size_t vm_frames_age(uint64_t decay_ns);

/* Bytes of free frames that are kept; without a lock. */
size_t vm_frames_kept(void);

/* Bytes of free frames that would be kept for the credit they have earned (reclaim/keep.h) and are not there. */
size_t vm_frames_awaited(void);

/* Pages of the slab at the address are about to go back to the system: see page/huge.h. */
void vm_frames_break(uintptr_t base);

/* The system refused memory: gives back address space in reserve for descriptors, if a limit (RLIMIT_AS) set since the start
   leaves no use for it.  False when nothing went back. */
bool vm_frames_shed_reserve(void);

/* The descriptor of the frame that holds the address, whatever its role, or NULL when no zone has it. */
struct vm_page *vm_page_of(uintptr_t address);

/* Bytes in frames that are handed out; without a lock. */
size_t vm_frames_used(void);

struct vm_frames_stats {
    size_t in_use, free_dirty, free_clean; /* bytes in frames */
    size_t brk_bytes, zone_bytes;          /* bytes of frames in the brk heap and in mmap'd zones */
};
void vm_frames_stats(struct vm_frames_stats *s);

/* Bytes of descriptors between the two ends of the brk heap. */
size_t vm_mem_map_bytes(void);

/* Calls f for the first frame of every slab; under vm_frames_lock. */
void vm_slabs_each(void (*f)(struct vm_page *slab, void *arg), void *arg);

/* The slab with the lowest address at or above this one, NULL when there is none.  Under vm_frames_lock. */
struct vm_page *vm_slab_from(uintptr_t address);

/* All invariants of zones, chunks and buckets. */
bool vm_zone_check(void);

#endif
