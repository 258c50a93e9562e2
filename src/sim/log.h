/* The event log: a receiver of event.h that writes one line for each event, or one JSON object on a line. */
#ifndef VM_SIM_LOG_H
#define VM_SIM_LOG_H

#include <stdio.h>

#include "sim/event.h"

struct vm_sim_log {
    FILE *out;
    bool json;
    uint64_t lines, limit; /* limit 0: none; what comes after it is counted in lines alone */
};

void vm_sim_log_event(void *log, const struct vm_sim_event *event); /* for vm_sim_machine_listen */
void vm_sim_log_end(struct vm_sim_log *log); /* the last line: how many events the limit left out */

/* "all", or names of events and groups with commas: faults, walks, frames, slabs, reclaim, tlb, processes, segments.
   0: one is unknown. */
uint32_t vm_sim_log_mask(const char *names);

#endif
