/* The option stats: what the calls are counted in (base/counts.h has the layout, heap/count.h how it is done).  stats=1
   counts in memory of the process's own, for vmalloc_stats() and `vmalloc stat PID`; stats=FILE in a file that a process
   shares with its children, for `vmalloc run` and scripts/run. */
#ifndef VM_STATS_H
#define VM_STATS_H

#include "base/base.h"

/* Begins to count as the option says; "" and "0" mean off.  What cannot be is warned about. */
void vm_stats_start(const char *option);

#endif
