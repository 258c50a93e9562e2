/* The event log: a receiver of event.h that writes one line for each event, or one JSON object. */
#ifndef VM_SIM_LOG_H
#define VM_SIM_LOG_H

#include <stdio.h>

#include "sim/event.h"

struct vm_sim_log {
    FILE *out;
    bool json;
    uint64_t lines, limit; /* limit 0: none; after it a last line says how many were left out */
};

void vm_sim_log_event(void *log, const struct vm_sim_event *event); /* for vm_sim_machine_listen */
uint32_t vm_sim_log_mask(const char *names); /* "faults,walks,alloc" or "all"; 0: an unknown one */

#endif
