/* Replacement policies on bare page numbers: faults of one reference string with n frames, without machine or processes.
   For textbook strings and --compare-policies; reclaim.h has the same policies over page frames.  Example: 1 2 3 4 1 2 5
   1 2 3 4 5 under FIFO: 9 faults with 3 frames, 10 with 4.

   two-list: new pages at the front of the inactive list; the scan from its tail moves a page found referenced to the
   front, the second time to the active list (the first time when it was put out before), and takes the others; while the
   active list is the longer one its tail goes to the inactive list, once more round when it was referenced.  fifo: one
   list in order of arrival.  clock: one list, the hand skips a page with A set and clears it.  lru: one list, moved to
   the front by every reference.  The optimum puts out the page that is used latest. */
#ifndef VM_SIM_POLICY_H
#define VM_SIM_POLICY_H

#include "sim/types.h"

enum vm_sim_page_policy { VM_SIM_TWO_LIST, VM_SIM_FIFO, VM_SIM_CLOCK, VM_SIM_LRU, VM_SIM_OPTIMUM, VM_SIM_POLICIES };
const char *vm_sim_policy_name(enum vm_sim_page_policy p); /* two-list, fifo, clock, lru, optimum */
int vm_sim_policy_of(const char *name);                    /* -EINVAL */

struct vm_sim_policy_run; /* in policy.c */

/* Not for VM_SIM_OPTIMUM.  frames > 0. */
struct vm_sim_policy_run *vm_sim_policy_start(enum vm_sim_page_policy p, uint64_t frames);
/* true: a fault; *victim (unless NULL) the page it put out, or UINT64_MAX. */
bool vm_sim_policy_ref(struct vm_sim_policy_run *r, uint64_t page, uint64_t *victim);
uint64_t vm_sim_policy_faults(const struct vm_sim_policy_run *r);
void vm_sim_policy_end(struct vm_sim_policy_run *r);
bool vm_sim_policy_check(const struct vm_sim_policy_run *r);

/* Any of them on a string in memory; the optimum with one pass from behind and a heap of next uses. */
uint64_t vm_sim_policy_count(enum vm_sim_page_policy p, const uint64_t *page, size_t n, uint64_t frames);

#endif
