/* One line of `strace -f` output after the other becomes items of a trace: brk, mmap, munmap, mremap, mprotect, fork,
   vfork, clone, execve and exits; other calls, and calls that failed, say nothing.  Calls that were cut in two
   (<unfinished ...>, <... resumed>) are put together for each process.  Threads count as their process.  trace.c gives
   the lines. */
#ifndef VM_SIM_STRACE_H
#define VM_SIM_STRACE_H

#include "sim/trace.h"

struct vm_sim_strace;

#define VM_SIM_STRACE_ITEMS 2 /* of one line at most: mremap is an munmap and an mmap */

struct vm_sim_strace *vm_sim_strace_new(void);
void vm_sim_strace_free(struct vm_sim_strace *s);
/* Is this what such a line looks like? */
bool vm_sim_strace_looks(const char *line);
/* Fills item[0..*n); names live until the next line.  NULL, or what is wrong (constant text) and in *at where. */
const char *vm_sim_strace_line(struct vm_sim_strace *s, const char *line, struct vm_sim_item *item, size_t *n,
                               const char **at);

#endif
