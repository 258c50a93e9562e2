/* Replacement policies on bare page numbers: faults of one reference string with n frames, without machine or processes.
   FIFO, clock, exact LRU, two lists, and the optimum, which looks into the future.  For textbook strings and
   --compare-policies.  Example: 1 2 3 4 1 2 5 1 2 3 4 5 under FIFO: 9 faults with 3 frames, 10 with 4. */
#ifndef VM_SIM_POLICY_H
#define VM_SIM_POLICY_H

#include "sim/reclaim.h"

struct vm_sim_policy_run;

/* Not for VM_SIM_OPTIMUM. */
struct vm_sim_policy_run *vm_sim_policy_start(enum vm_sim_page_policy p, uint64_t frames);
/* true: a fault; *victim (unless NULL) the page it put out, or UINT64_MAX. */
bool vm_sim_policy_ref(struct vm_sim_policy_run *r, uint64_t page, uint64_t *victim);
uint64_t vm_sim_policy_faults(const struct vm_sim_policy_run *r);
void vm_sim_policy_end(struct vm_sim_policy_run *r);
bool vm_sim_policy_check(const struct vm_sim_policy_run *r);

/* Any of them on a string in memory; the optimum with one pass from behind and a heap of next uses. */
uint64_t vm_sim_policy_count(enum vm_sim_page_policy p, const uint64_t *page, size_t n, uint64_t frames);

#endif
