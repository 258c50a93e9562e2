/* The lists of reclaimable frames (struct vm_sim_reclaim has them), and the end of a frame's life: what a mapping of a
   page that goes away leaves behind. */
#ifndef VM_SIM_LRU_H
#define VM_SIM_LRU_H

#include "sim/frame.h"

struct vm_sim_machine;

/* A page became reclaimable (first mapped, or read in): to the front of the inactive list.  Or stopped being so. */
void vm_sim_lru_add(struct vm_sim_machine *m, vm_sim_pfn frame);
void vm_sim_lru_remove(struct vm_sim_machine *m, vm_sim_pfn frame);
void vm_sim_lru_move(struct vm_sim_machine *m, vm_sim_pfn frame, bool active); /* to the front of a list */

#endif
