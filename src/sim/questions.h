/* The questions of `vmalloc sim` that a trace answers without a machine: each reads it once or several times and writes
   its answer as text or JSON.  0, or a negative errno and the message.  Those that need a machine are in what_if.h. */
#ifndef VM_SIM_QUESTIONS_H
#define VM_SIM_QUESTIONS_H

#include <stdio.h>

#include "sim/mrc.h"
#include "sim/trace.h"

struct vm_sim_ask {
    const char *trace; /* path; read again for each run, so it must not be a pipe where that happens */
    enum vm_sim_trace_format format;
    const char *machine;    /* description or preset; NULL: x86_64 */
    const char *const *set; /* "key=value" for the machine, NULL at the end; may be NULL */
    bool json, progress;
    FILE *out;
};

/* Calls f for every item, with a line of progress on stderr now and then. */
int vm_sim_each_item(const struct vm_sim_ask *ask, void (*f)(void *ctx, const struct vm_sim_item *item), void *ctx,
                     struct vm_sim_message *message);

/* Curves for 4 KiB and 2 MiB pages; sample: the most pages followed, 0: exact. */
int vm_sim_mrc_curves(const struct vm_sim_ask *ask, size_t sample, struct vm_sim_curve curve[2],
                      struct vm_sim_message *message);
int vm_sim_ask_mrc(const struct vm_sim_ask *ask, size_t sample, struct vm_sim_message *message);
/* Faults of every policy with each number of frames; sizes = 0: parts of what the trace touches.  The optimum needs the
   future: the string of pages is held in memory, without repetitions. */
int vm_sim_ask_policies(const struct vm_sim_ask *ask, const uint64_t *frames, size_t sizes,
                        struct vm_sim_message *message);
/* The smallest memory with a fault rate (faults / references) of at most `ratio`. */
int vm_sim_ask_min_memory(const struct vm_sim_ask *ask, double ratio, size_t sample, struct vm_sim_message *message);

#endif
