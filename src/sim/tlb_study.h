/* A recorded program and the data TLBs of one or more processors: every data reference of a trace, or every page of the
   blocks that an allocation trace hands out and takes back, goes through models of src/vm/tlb.h with all pages of 4 KiB, all
   of 64 KiB and all of 2 MiB, side by side in one pass; the first model's hits and misses are told by region, and by size
   of block where blocks are known; miss-ratio curves are made for every size of a fully associative TLB.  No memory is
   managed and no fault is taken: trace_run.h does that. */
#ifndef VM_SIM_TLB_STUDY_H
#define VM_SIM_TLB_STUDY_H

#include "sim/mrc.h"
#include "sim/trace.h"
#include "vm/tlb.h"

enum vm_sim_tlb_pages { VM_SIM_TLB_4K, VM_SIM_TLB_64K, VM_SIM_TLB_2M, VM_SIM_TLB_PAGES };

#define VM_SIM_TLB_MODELS 16
#define VM_SIM_TLB_CLASSES 48 /* by powers of two: blocks of up to 1 << class bytes */

struct vm_sim_tlb_use {
    uint64_t refs, walks; /* what was not found in any level is walked for */
};

struct vm_sim_tlb_region {
    uint64_t from, to; /* touched 2 MiB blocks, with less than 64 MiB untouched between two */
    const char *name;
    uint64_t pages; /* touched, of 4 KiB */
    struct vm_sim_tlb_use use;
};

struct vm_sim_tlb_study;

/* sample: pages that a curve follows at most; 0: all. */
struct vm_sim_tlb_study *vm_sim_tlb_study_new(const struct vm_tlb_config *const *model, size_t models, size_t sample);
void vm_sim_tlb_study_free(struct vm_sim_tlb_study *s);
void vm_sim_tlb_study_item(struct vm_sim_tlb_study *s, const struct vm_sim_item *item);

/* ---- What it saw ---- */

uint64_t vm_sim_tlb_study_refs(const struct vm_sim_tlb_study *s);
uint64_t vm_sim_tlb_study_blocks(const struct vm_sim_tlb_study *s); /* handed out */

/* False: the processor has no such pages. */
bool vm_sim_tlb_study_counts(const struct vm_sim_tlb_study *s, size_t model, enum vm_sim_tlb_pages pages,
                             struct vm_tlb_counts *counts);
unsigned vm_sim_tlb_study_shift(enum vm_sim_tlb_pages pages);
/* Entries of page tables that a walk reads without page-walk caches. */
unsigned vm_sim_tlb_walk_levels(const struct vm_tlb_config *config, enum vm_sim_tlb_pages pages);
/* Bytes that one level maps with pages of this size; 0: it takes none. */
uint64_t vm_sim_tlb_reach(const struct vm_tlb_config *config, unsigned level, enum vm_sim_tlb_pages pages);

/* Bytes of pages of this size that hold what was touched, by 4 KiB pages. */
uint64_t vm_sim_tlb_study_touched(const struct vm_sim_tlb_study *s, enum vm_sim_tlb_pages pages);

/* Regions in the order of addresses, freed with free(); how many. */
size_t vm_sim_tlb_study_regions(const struct vm_sim_tlb_study *s, struct vm_sim_tlb_region **regions);
struct vm_sim_tlb_use vm_sim_tlb_study_class(const struct vm_sim_tlb_study *s, unsigned class_log2);
struct vm_sim_curve vm_sim_tlb_study_curve(const struct vm_sim_tlb_study *s, enum vm_sim_tlb_pages pages);

#endif
