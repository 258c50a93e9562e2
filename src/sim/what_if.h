/* Questions that need a machine: playing a trace on it, the same with changes, and what a fork costs.  0, or a negative
   errno and the message. */
#ifndef VM_SIM_WHAT_IF_H
#define VM_SIM_WHAT_IF_H

#include "sim/questions.h"
#include "sim/trace_run.h"

/* The machine that ask->machine and ask->set say, with `change` (NULL at the end; may be NULL) on top; NULL. */
struct vm_sim_machine *vm_sim_ask_machine(const struct vm_sim_ask *ask, const char *const *change,
                                          struct vm_sim_message *message);
/* Plays the whole trace. */
int vm_sim_play(const struct vm_sim_ask *ask, struct vm_sim_machine *m, struct vm_sim_player_stats *stats,
                struct vm_sim_message *message);

/* As is, and with the changes: TLB misses, EAT, table memory, faults, memory taken. */
int vm_sim_ask_what_if(const struct vm_sim_ask *ask, const char *const *change, struct vm_sim_message *message);
/* The forks of the trace; when it has none, one after half of its references, whose child stays and does nothing: what is
   copied at once, and what the writes that follow copy page by page. */
int vm_sim_ask_fork_cost(const struct vm_sim_ask *ask, struct vm_sim_message *message);

#endif
