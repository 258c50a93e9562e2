/* Row 30: exec: the segments of a program's file become the areas of a process.  A page of the file that two segments
   have a part of (the end of the text, the beginning of the data) is one frame of the page cache behind both, until one
   of them writes. */
#ifndef VM_SIM_EXEC_H
#define VM_SIM_EXEC_H

#include "sim/elf.h"
#include "sim/process.h"

/* Old areas are dropped; text, data, bss and stack made; brk begins behind the bss.  Segments ascend and do not share a
   page of memory; position-independent ones (from address 0 on) are moved to where text usually is.  0, -EINVAL (before
   anything is dropped).  name: of the file. */
int vm_sim_exec(struct vm_sim_machine *m, struct vm_sim_process *p, const char *name,
                const struct vm_sim_exec_segment *segment, size_t segments);

#endif
