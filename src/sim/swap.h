/* Row 35: swap areas by priority (equal ones in turn), each with a header slot, extents on the disk, a use count for
   every slot, and the swap cache: slots whose page is in memory too. */
#ifndef VM_SIM_SWAP_H
#define VM_SIM_SWAP_H

#include "sim/frame.h"
#include "sim/paging.h"

struct vm_sim_swap_extent { /* slots [first, first + slots) lie from disk block `block` on */
    uint32_t first, slots;
    uint64_t block; /* in 4 KiB */
};

/* used = slots with a count, the header not among them; cached slots have a count; extents follow each other in slots. */
struct vm_sim_swap_area {
    const char *name;
    int priority;   /* higher first */
    uint32_t slots; /* slot 0 is the header */
    uint32_t used;
    uint32_t next;     /* where the search goes on: clusters of neighbours */
    uint16_t *count;   /* [slots]: entries that name it, + 1 while in the swap cache */
    vm_sim_pfn *cache; /* [slots]: the frame, or VM_SIM_NO_FRAME */
    struct vm_sim_swap_extent *extent;
    uint32_t extents;              /* 1: a partition; several: a file */
    uint64_t reads, writes, seeks; /* seeks: transfers not next to the one before */
    uint64_t last_block;
};

struct vm_sim_swaps {
    struct vm_sim_swap_area area[VM_SIM_SWAP_AREAS];
    unsigned areas;
    unsigned turn; /* among areas of equal priority */
};

/* extents = 1: a partition; n: a file in n pieces with gaps.  -ENOSPC: too many areas or slots; -EINVAL: under 2 slots,
   no extent, or more extents than slots. */
int vm_sim_swap_add(struct vm_sim_swaps *s, const char *name, uint64_t bytes, int priority, unsigned extents);
void vm_sim_swaps_free(struct vm_sim_swaps *s);

vm_sim_pte vm_sim_swap_take(struct vm_sim_swaps *s);           /* a slot with count 1, as entry; 0: all full */
void vm_sim_swap_get(struct vm_sim_swaps *s, vm_sim_pte slot); /* one entry more names it (fork) */
bool vm_sim_swap_put(struct vm_sim_swaps *s, vm_sim_pte slot); /* one less; true: the slot is free now */
unsigned vm_sim_swap_count(const struct vm_sim_swaps *s, vm_sim_pte slot);
void vm_sim_swap_write(struct vm_sim_swaps *s, vm_sim_pte slot);
void vm_sim_swap_read(struct vm_sim_swaps *s, vm_sim_pte slot);
vm_sim_pfn vm_sim_swap_cached(const struct vm_sim_swaps *s, vm_sim_pte slot);
void vm_sim_swap_cache_add(struct vm_sim_swaps *s, vm_sim_pte slot, vm_sim_pfn frame); /* count + 1 */
bool vm_sim_swap_cache_remove(struct vm_sim_swaps *s, vm_sim_pte slot);                /* count - 1; as put */
uint64_t vm_sim_swap_block(const struct vm_sim_swaps *s, vm_sim_pte slot); /* on the disk, through the extents */
uint64_t vm_sim_swap_free(const struct vm_sim_swaps *s);                   /* slots */
bool vm_sim_swaps_check(const struct vm_sim_swaps *s);

#endif
