/* Row 16: mem_map, one descriptor for every page frame of physical memory, reserved ranges (BIOS holes, devices) among
   them.  A descriptor of zeros is a frame that was never used, so that a machine of many gigabytes costs host memory
   only for what it touches. */
#ifndef VM_SIM_FRAME_H
#define VM_SIM_FRAME_H

#include "base/list.h"
#include "sim/event.h"

enum vm_sim_frame_kind {
    VM_SIM_FRAME_FREE,
    VM_SIM_FRAME_RESERVED, /* never handed out */
    VM_SIM_FRAME_KERNEL,   /* owned by whoever asked; unreclaimable */
    VM_SIM_FRAME_TABLE,    /* of page tables; unreclaimable */
    VM_SIM_FRAME_SLAB,     /* owner: struct vm_sim_slab */
    VM_SIM_FRAME_ANON,     /* owner: struct vm_sim_anon, index: linear page number; swappable */
    VM_SIM_FRAME_FILE,     /* owner: struct vm_sim_file, index: page of the file; dirty: syncable, clean: discardable */
    VM_SIM_FRAME_KINDS
};

enum vm_sim_frame_flag {
    VM_SIM_FRAME_HEAD = 1,  /* first of an allocated or free block of 1 << order frames */
    VM_SIM_FRAME_BUDDY = 2, /* on a free list */
    VM_SIM_FRAME_ON_LRU = 4,
    VM_SIM_FRAME_ACTIVE = 8,      /* on the active list, not the inactive one */
    VM_SIM_FRAME_REFERENCED = 16, /* once, by the second-chance scan */
    VM_SIM_FRAME_DIRTY = 32,      /* differs from its file or swap slot */
    VM_SIM_FRAME_SWAP_CACHE = 64, /* swap names a slot with the same contents */
    VM_SIM_FRAME_LOCKED = 128,    /* not to be reclaimed now */
};

#define VM_SIM_MAX_ORDER 10 /* blocks of 1 to 1024 frames */

/* A block of 1 << order frames is handed out and taken back as one; its head, the first, speaks for it.  Invariants:
   count > 0 exactly in heads of blocks handed out; the others of such a block have its kind and zone, and no count;
   mapcount <= count; free frames that are no heads, and those never used, are all zeros; on an LRU list exactly when
   ON_LRU.  The kernel's own mappings (direct map, vmalloc, kmap) are not in mapcount. */
struct vm_sim_frame {
    struct vm_list lru; /* free list of its zone (head frames), an LRU list, or its slab cache's list */
    void *owner;        /* see the kinds */
    uint64_t index;
    uint64_t swap;     /* vm_sim_pte_swap() of its slot in the swap cache, or 0 */
    uint32_t count;    /* references: mappings, page or swap cache, kernel users */
    uint32_t mapcount; /* present leaf entries of processes that name the frame */
    uint16_t flags;
    uint8_t kind;
    uint8_t zone;  /* enum vm_sim_zone_type, once handed out; of any frame: vm_sim_zone_of() */
    uint8_t order; /* of the block that it heads */
};

struct vm_sim_mem_map {
    struct vm_sim_frame *frame; /* [frames] */
    vm_sim_pfn frames;
    vm_sim_pfn reserved;     /* count of them */
    vm_sim_pfn reserved_end; /* the last one + 1, so that nobody looks at descriptors beyond for one */
};

VM_INLINE vm_sim_pfn vm_sim_frame_pfn(const struct vm_sim_mem_map *map, const struct vm_sim_frame *f)
{
    return (vm_sim_pfn)(f - map->frame);
}
VM_INLINE struct vm_sim_frame *vm_sim_pfn_frame(const struct vm_sim_mem_map *map, vm_sim_pfn pfn)
{
    return &map->frame[pfn];
}
VM_INLINE bool vm_sim_frame_is_blank(const struct vm_sim_frame *f)
{
    return !f->lru.next && !f->lru.prev && !f->owner && !f->index && !f->swap && !f->count && !f->mapcount && !f->flags
           && !f->kind && !f->zone && !f->order;
}

void vm_sim_mem_map_init(struct vm_sim_mem_map *map, uint64_t bytes);
void vm_sim_mem_map_free(struct vm_sim_mem_map *map);
/* Every frame that the range touches; what is beyond the memory is ignored.  Before any of them is in use. */
void vm_sim_mem_map_reserve(struct vm_sim_mem_map *map, struct vm_sim_physical from, uint64_t bytes);
const char *vm_sim_frame_kind_name(enum vm_sim_frame_kind k);
bool vm_sim_mem_map_check(const struct vm_sim_mem_map *map);

#endif
