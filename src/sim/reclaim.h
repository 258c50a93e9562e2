/* Rows 31 to 33: which pages go when memory is short: the policies of policy.h over page frames, kswapd between low and
   high, direct reclaim at min.  A page's reference is the A bit of any of its entries; exact LRU is kept by the processor
   (cpu.h, exact_lru).  two-list looks at 32 pages from the tail at a time, and takes the clean ones among them first. */
#ifndef VM_SIM_RECLAIM_H
#define VM_SIM_RECLAIM_H

#include "sim/lru.h"
#include "sim/policy.h"
#include "sim/zone.h"

struct vm_sim_machine;

enum vm_sim_page_kind {
    VM_SIM_UNRECLAIMABLE,
    VM_SIM_SWAPPABLE,
    VM_SIM_SYNCABLE,
    VM_SIM_DISCARDABLE,
    VM_SIM_PAGE_KINDS
};
enum vm_sim_page_kind vm_sim_page_kind(struct vm_sim_machine *m, vm_sim_pfn frame);

#define VM_SIM_KSWAPD_FAILURES 16 /* as the kernel */

struct vm_sim_reclaim {
    enum vm_sim_page_policy policy;
    struct vm_list active, inactive; /* front: newest; the other policies use inactive alone */
    uint64_t active_pages, inactive_pages;
    uint64_t unmapped;                                            /* of both lists, those that no entry names */
    uint64_t (*instead)(struct vm_sim_machine *m, uint64_t want); /* linux-0.12: its own search; NULL: the lists */
    bool kswapd_awake;
    uint8_t kswapd_failures; /* in a row; at VM_SIM_KSWAPD_FAILURES it gives up until direct reclaim finds something */
    bool running;            /* not to be entered: it runs, or somebody has a table in hand */
    struct vm_sim_reclaim_counts {
        uint64_t scanned, reclaimed, activated, deactivated;
        uint64_t swapped_out, written_back, dropped; /* by what was done */
        uint64_t kswapd_wakes, kswapd_frames, direct_runs, direct_frames;
        uint64_t refaults; /* pages faulted in again that reclaim had taken out */
    } counts;
};

/* Hangs itself on the hooks of zone.h.  `instead` stays as it is. */
void vm_sim_reclaim_init(struct vm_sim_machine *m, enum vm_sim_page_policy policy);
/* kswapd runs here, between references, until free > high or nothing is found; the hook only wakes it. */
void vm_sim_kswapd(struct vm_sim_machine *m);
/* Frees at least `want` frames of zones up to `highest`: clean and unmapped ones first, dirty ones written.  How many. */
uint64_t vm_sim_reclaim_frames(struct vm_sim_machine *m, enum vm_sim_zone_type highest, uint64_t want);
/* Frees this page, whatever its age.  False: it cannot go now (locked, in use, no swap slot). */
bool vm_sim_reclaim_page(struct vm_sim_machine *m, vm_sim_pfn frame);
bool vm_sim_reclaim_check(const struct vm_sim_machine *m);

#endif
