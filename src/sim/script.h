/* The script language of `vmalloc sim --script`: one command a line, words separated by spaces, # to the end of the line;
   errors with line and column.  vmalloc-sim(1) lists the commands.  Reads a stream; keeps names alone.

   Sizes are as in machine descriptions (4096, 64K, 1.5M, 0x1000).  WHERE is an address, NAME or NAME+SIZE for what a
   command named, or SELECTOR:OFFSET, where the selector is a number or the name of a segment.  What the machine refuses (no
   memory, no hole) is told in the output and is no error of the script. */
#ifndef VM_SIM_SCRIPT_H
#define VM_SIM_SCRIPT_H

#include <stdio.h>

#include "sim/machine.h"

/* Runs the script.  *m may be NULL: its `machine` lines make it then, or x86_64 the first command that needs one; `set`
   ("key=value", NULL at the end; may be NULL) goes on top; a later
   `machine` line ends that machine and begins another one.  0, or -EINVAL and "FILE:LINE:COLUMN: what" in the message.
   The machine is the caller's to free in both cases. */
int vm_sim_script_run(struct vm_sim_machine **m, const char *file, FILE *in, FILE *out, const char *const *set,
                      struct vm_sim_message *message);

#endif
