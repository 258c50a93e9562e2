/* What the files of `vmalloc tlb` share. */
#ifndef TOOL_CMD_TLB_H
#define TOOL_CMD_TLB_H

#include "base/base.h"

/* Counts with the processor's counters: argv is a program with its arguments, or a pid.  Returns the exit status. */
int tlb_hardware(char **argv, bool is_pid, double seconds, bool json);

#endif
