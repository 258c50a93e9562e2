/* Row 34: from a frame to every page-table entry that maps it, through the areas: of its file, or of its anonymous group
   (the areas that a page first touched in one of them may be in: forks and parts of it).  And the life of a mapping:
   whoever stores or removes a present leaf does it here, so that counts, groups and lists agree. */
#ifndef VM_SIM_RMAP_H
#define VM_SIM_RMAP_H

#include "sim/frame.h"
#include "sim/paging.h"
#include "sim/vma.h"

struct vm_sim_machine;

struct vm_sim_anon {
    struct vm_list vmas; /* by vma->anon_link, in order of joining */
    uint64_t pages;      /* frames whose owner it is; it is freed when both are empty */
};

void vm_sim_anon_join(struct vm_sim_vma *child, const struct vm_sim_vma *parent); /* at fork, split and merge */
void vm_sim_anon_leave(struct vm_sim_vma *vma);
/* The frame becomes a page of the area's group, of kind ANON; or is one no more. */
void vm_sim_anon_add(struct vm_sim_machine *m, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pfn frame);
void vm_sim_anon_drop(struct vm_sim_machine *m, vm_sim_pfn frame);

/* Stores a leaf (0 removes it), without any reclaim in the middle.  As vm_sim_pt_set(). */
int vm_sim_store(struct vm_sim_machine *m, struct vm_sim_mm *mm, struct vm_sim_linear at, unsigned level,
                 vm_sim_pte entry);
/* A present entry was stored for a frame that the caller holds a count of, which is the mapping's from now on. */
void vm_sim_mapped(struct vm_sim_machine *m, struct vm_sim_mm *mm, vm_sim_pfn frame);
/* A present entry that named a frame is gone: dirty bit, counts of the process, mapcount, TLB; the frame's count falls,
   and a page that nobody can reach any more is freed. */
void vm_sim_unmapped(struct vm_sim_machine *m, struct vm_sim_mm *mm, struct vm_sim_linear at, unsigned level,
                     vm_sim_pte was);
/* The frame of the swap cache leaves it, its slot with it when no entry names that. */
void vm_sim_uncache(struct vm_sim_machine *m, vm_sim_pfn frame);
/* A swap entry is gone: its slot, and a cached page that nobody can reach any more. */
void vm_sim_swap_forget(struct vm_sim_machine *m, vm_sim_pte slot);

/* Calls f for every present entry that names the frame; f may change or clear it.  Ends when f returns non-zero. */
int vm_sim_rmap_each(struct vm_sim_machine *m, vm_sim_pfn frame,
                     int (*f)(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry),
                     void *ctx);
/* Was it referenced through any mapping since the last time?  Clears A in all, and flushes. */
unsigned vm_sim_rmap_referenced(struct vm_sim_machine *m, vm_sim_pfn frame);
/* Written to through any mapping?  Changes nothing. */
bool vm_sim_rmap_dirty(struct vm_sim_machine *m, vm_sim_pfn frame);
/* Puts `instead` (0, or a swap entry) in place of all entries; the dirty bits end in the frame's flag.  Count of them.
   The caller holds a count of the frame. */
unsigned vm_sim_rmap_unmap(struct vm_sim_machine *m, vm_sim_pfn frame, vm_sim_pte instead);
/* Turns a large page into small ones, in all mappings.  0, -ENOMEM (no frame for a table; nothing lost). */
int vm_sim_split_huge(struct vm_sim_machine *m, vm_sim_pfn frame);
/* Counts found by rmap = mapcount, for all frames. */
bool vm_sim_rmap_check(struct vm_sim_machine *m);

#endif
