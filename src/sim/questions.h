/* The questions of `vmalloc sim` as functions: each reads a trace once or several times and writes its answer as text or
   JSON.  0, or a negative errno and the message. */
#ifndef VM_SIM_QUESTIONS_H
#define VM_SIM_QUESTIONS_H

#include <stdio.h>

#include "sim/machine.h"

struct vm_sim_ask {
    const char *trace;     /* path; read again for each run */
    const char *machine;   /* description or preset */
    const char *const *set; /* "key=value" for the machine, NULL at the end */
    bool json, progress;
    FILE *out;
};

int vm_sim_ask_mrc(const struct vm_sim_ask *ask, size_t sample, struct vm_sim_message *message);
int vm_sim_ask_policies(const struct vm_sim_ask *ask, const uint64_t *frames, size_t sizes, struct vm_sim_message *message);
/* As is, and with the changes: TLB misses, EAT, table memory, faults, bytes that larger pages waste. */
int vm_sim_ask_what_if(const struct vm_sim_ask *ask, const char *const *change, struct vm_sim_message *message);
int vm_sim_ask_min_memory(const struct vm_sim_ask *ask, double ratio, struct vm_sim_message *message);
int vm_sim_ask_fork_cost(const struct vm_sim_ask *ask, struct vm_sim_message *message);

#endif
