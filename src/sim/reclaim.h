/* Rows 31 to 33: which pages go when memory is short.  The lists of reclaimable frames and the policy over them, kswapd
   between low and high, direct reclaim at min.

   two-list: new pages at the front of the inactive list; the scan from its tail moves a referenced page to the active
   list on its second reference (first for a mapped anonymous one that came back from swap), reclaims the others; the
   active list is scanned when it is longer than the inactive one.  fifo: one list in order of arrival.  clock: one list,
   the hand skips a page with A set and clears it.  lru: one list, moved to the front by every reference (cpu.h,
   exact_lru).  The optimum needs the future: policy.h has it. */
#ifndef VM_SIM_RECLAIM_H
#define VM_SIM_RECLAIM_H

#include "sim/zone.h"

struct vm_sim_machine;

enum vm_sim_page_policy { VM_SIM_TWO_LIST, VM_SIM_FIFO, VM_SIM_CLOCK, VM_SIM_LRU, VM_SIM_OPTIMUM, VM_SIM_POLICIES };
const char *vm_sim_policy_name(enum vm_sim_page_policy p); /* two-list, fifo, clock, lru, optimum; in config.c */
int vm_sim_policy_of(const char *name);

enum vm_sim_page_kind { VM_SIM_UNRECLAIMABLE, VM_SIM_SWAPPABLE, VM_SIM_SYNCABLE, VM_SIM_DISCARDABLE, VM_SIM_PAGE_KINDS };
enum vm_sim_page_kind vm_sim_page_kind(struct vm_sim_machine *m, vm_sim_pfn frame);

struct vm_sim_reclaim {
    enum vm_sim_page_policy policy;
    struct vm_list active, inactive; /* front: newest; the other policies use inactive alone */
    uint64_t active_pages, inactive_pages;
    bool kswapd_awake;
    bool running; /* reclaim allocates nothing, and is not entered twice */
    struct vm_sim_reclaim_counts {
        uint64_t scanned, reclaimed, activated, deactivated;
        uint64_t swapped_out, written_back, dropped; /* by what was done */
        uint64_t kswapd_wakes, kswapd_frames, direct_runs, direct_frames;
        uint64_t refaults; /* pages faulted in again that reclaim had taken out */
    } counts;
};

void vm_sim_reclaim_init(struct vm_sim_machine *m, enum vm_sim_page_policy policy); /* hangs itself on the hooks of zone.h */
/* A page became reclaimable (first mapped, or read in), or stopped being so (freed, locked). */
void vm_sim_lru_add(struct vm_sim_machine *m, vm_sim_pfn frame);
void vm_sim_lru_remove(struct vm_sim_machine *m, vm_sim_pfn frame);

/* kswapd runs here, between references, until free > high or nothing is found; the hook only wakes it. */
void vm_sim_kswapd(struct vm_sim_machine *m);
/* Frees at least `want` frames of zones up to `highest`: clean and unmapped ones first, dirty ones written.  How many. */
uint64_t vm_sim_reclaim_frames(struct vm_sim_machine *m, enum vm_sim_zone_type highest, uint64_t want);
bool vm_sim_reclaim_check(const struct vm_sim_machine *m);

#endif
