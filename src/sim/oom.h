/* Row 36: out of memory.  The victim is the process with many frames, short life and low priority:

     score = (pages present + pages swapped + frames of tables) / max(1, isqrt(references since birth / 2^20)),
             doubled for nice > 0, quartered for nice < 0, at least 1.

   The highest score dies; of equal ones the highest pid. */
#ifndef VM_SIM_OOM_H
#define VM_SIM_OOM_H

#include "sim/process.h"

uint64_t vm_sim_oom_score(const struct vm_sim_machine *m, const struct vm_sim_process *p); /* of one that has an mm */
/* Kills one (signal 9), with an event; *freed (unless NULL): the frames that came back.  NULL: nobody left to kill. */
struct vm_sim_process *vm_sim_oom_kill(struct vm_sim_machine *m, uint64_t *freed);

#endif
