/* What the files of `vmalloc tlb` share. */
#ifndef TOOL_CMD_TLB_H
#define TOOL_CMD_TLB_H

#include "base/base.h"

/* Times of a look-up and of a memory access for EAT, where --eat names no others. */
#define TLB_LOOKUP 20.0
#define TLB_MEMORY 100.0

static inline double tlb_ratio(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }

/* Counts with the processor's counters: argv is a program with its arguments, or a pid.  Returns the exit status. */
int tlb_hardware(char **argv, bool is_pid, double seconds, bool json);

#endif
