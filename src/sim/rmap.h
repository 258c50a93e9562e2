/* Row 34: from a frame to every page-table entry that maps it, through the areas: of its file, or of its anonymous group
   (the areas that a page first touched in one of them may be in: forks of it). */
#ifndef VM_SIM_RMAP_H
#define VM_SIM_RMAP_H

#include "sim/frame.h"
#include "sim/paging.h"
#include "sim/vma.h"

struct vm_sim_machine;

struct vm_sim_anon {
    struct vm_list vmas; /* by vma->anon_link */
    uint64_t pages;      /* frames whose owner it is; freed when both are empty */
    uint64_t swapped;    /* slots that belong to it */
};

struct vm_sim_anon *vm_sim_anon_of(struct vm_sim_vma *vma); /* made when there is none */
void vm_sim_anon_join(struct vm_sim_vma *child, struct vm_sim_vma *parent); /* at fork and split */
void vm_sim_anon_leave(struct vm_sim_vma *vma);

/* Calls f for every present entry that names the frame; f may change or clear it.  Ends when f returns non-zero. */
int vm_sim_rmap_each(struct vm_sim_machine *m, vm_sim_pfn frame,
                     int (*f)(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry), void *ctx);
/* Was it referenced through any mapping since the last time?  Clears A in all, and flushes. */
unsigned vm_sim_rmap_referenced(struct vm_sim_machine *m, vm_sim_pfn frame);
/* Puts `instead` (0, or a swap entry) in place of all entries; the dirty bits end in the frame's flag.  Count of them. */
unsigned vm_sim_rmap_unmap(struct vm_sim_machine *m, vm_sim_pfn frame, vm_sim_pte instead);
/* Counts found by rmap = mapcount, for all frames. */
bool vm_sim_rmap_check(struct vm_sim_machine *m);

#endif
