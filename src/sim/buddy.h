/* Row 20: the buddy system of one zone: free lists by order, splitting on the way down, coalescing on the way up.  The
   buddy of the block at frame f of order o is at f ^ (1 << o).  Lists are last in, first out, so that runs repeat
   exactly.  Only zone.c calls the allocating functions. */
#ifndef VM_SIM_BUDDY_H
#define VM_SIM_BUDDY_H

#include "sim/frame.h"

#define VM_SIM_ORDERS (VM_SIM_MAX_ORDER + 1) /* 0..10: 4 KiB to 4 MiB */

struct vm_sim_buddy {
    struct vm_sim_mem_map *map;
    vm_sim_pfn start, end; /* frames of the zone */
    struct vm_list list[VM_SIM_ORDERS];
    uint64_t blocks[VM_SIM_ORDERS]; /* on each list */
    uint64_t free;                  /* frames: sum of blocks[o] << o */
    uint64_t splits, merges;
    const char *name; /* of the zone, for events */
    struct vm_sim_events *events;
};

/* All frames of [start, end) that are not reserved become free, in the largest aligned blocks. */
void vm_sim_buddy_init(struct vm_sim_buddy *b, struct vm_sim_mem_map *map, vm_sim_pfn start, vm_sim_pfn end,
                       const char *name, struct vm_sim_events *events);
/* A block with count 1, its frames of this kind; or VM_SIM_NO_FRAME.  The lower half of a block that is split. */
vm_sim_pfn vm_sim_buddy_take(struct vm_sim_buddy *b, unsigned order, enum vm_sim_frame_kind kind);
/* Its descriptors become zeros; nobody may map it or have it on a list. */
void vm_sim_buddy_give(struct vm_sim_buddy *b, vm_sim_pfn frame, unsigned order);

/* Every block is free: the lists forget them, and another allocator has the frames. */
void vm_sim_buddy_drain(struct vm_sim_buddy *b);

/* The kernel's external-fragmentation index for a request that fails: 0 towards lack of memory, 1 towards
   fragmentation; -1 when the request would succeed.  1 - (1 + free / requested) / free blocks, as fragmentation_index()
   has it; a value in thousandths there. */
double vm_sim_buddy_fragmentation(const struct vm_sim_buddy *b, unsigned order);
bool vm_sim_buddy_check(const struct vm_sim_buddy *b);

#endif
