/* The calls that a process counts with stats=1 or stats=FILE (base/counts.h), read from its memory or its core file.  Used
   by vmalloc stat. */
#ifndef TOOL_PEEK_COUNTS_H
#define TOOL_PEEK_COUNTS_H

#include "report/figures.h"
#include "tool/counts.h"
#include "tool/peek.h"

/* The sum over the heaps of this very process; false when it does not count, or what it counts in cannot be read.  now: what
   is live at this moment, from which frees are derived, since the process's own last sample may be old; its classes without
   a slab get their block_bytes. */
bool peek_counts(const struct peek *p, struct vm_figures *now, struct counts_sum *sum);

#endif
