/* The script language: one command a line, words separated by spaces, # to the end of the line; errors with line and
   column.  README.md of this folder has the grammar.  Reads a stream, keeps only names. */
#ifndef VM_SIM_SCRIPT_H
#define VM_SIM_SCRIPT_H

#include <stdio.h>

#include "sim/machine.h"

/* Runs the script on the machine.  `machine ...` lines at its top may make the machine: *m may be NULL then.  Output of
   `show` commands goes to out.  0, or -EINVAL and "FILE:LINE:COLUMN: what" in the message. */
int vm_sim_script_run(struct vm_sim_machine **m, const char *file, FILE *in, FILE *out, struct vm_sim_message *message);

#endif
