/* Row 28: interrupt 14.  From CR2 and the error code to a page: no area -> segmentation fault (but a stack grows), wrong
   access -> fault, else a zeroed frame, a file page through the page cache, swap-in, or the copy of a COW page. */
#ifndef VM_SIM_FAULT_H
#define VM_SIM_FAULT_H

#include "sim/cpu.h"
#include "sim/vma.h"

struct vm_sim_machine;

enum vm_sim_fault_cause {
    VM_SIM_FAULT_ZERO,    /* first touch of anonymous memory */
    VM_SIM_FAULT_FILE,    /* file page; from the cache: minor, read in: major */
    VM_SIM_FAULT_SWAP_IN, /* major; minor from the swap cache */
    VM_SIM_FAULT_COW_COPY,
    VM_SIM_FAULT_COW_REUSE, /* the count was one: taken back without a copy */
    VM_SIM_FAULT_STACK,     /* the area grew, then as ZERO */
    VM_SIM_FAULT_NO_AREA,   /* segmentation fault */
    VM_SIM_FAULT_ACCESS,    /* segmentation fault: area there, access not allowed */
    VM_SIM_FAULT_KERNEL,    /* segmentation fault: a user's reference to the kernel's half */
    VM_SIM_FAULT_BUS,       /* beyond the end of the file */
    VM_SIM_FAULT_OOM,
    VM_SIM_FAULT_CAUSES
};
const char *vm_sim_fault_name(enum vm_sim_fault_cause c);

/* cpu->fault: handles one.  0 (try the reference again), -EFAULT (signal 11, or 7; the process is dead), -ENOMEM (the
   process was the victim of OOM).  ctx: the machine. */
int vm_sim_handle_fault(void *ctx, struct vm_sim_context *context, struct vm_sim_linear at, unsigned error);

#endif
