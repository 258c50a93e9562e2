/* The TLB model that a process feeds with its allocator events (tlb=PRESET, vmalloc_tlb_start()), read from its memory or its
   core file.  Used by vmalloc stat and, in a view, tlb. */
#ifndef TOOL_PEEK_TLB_H
#define TOOL_PEEK_TLB_H

#include "tool/peek.h"

struct peek_tlb {
    char preset[32]; /* "" when the name cannot be read, as in a core file */
    uint64_t threads;
    uint64_t references, l1_hits, l2_hits, misses; /* references = the sum of the others */
};

/* The sum over the threads' models; false when there is none. */
bool peek_tlb(const struct peek *p, const struct peek_snapshot *s, struct peek_tlb *sum);

#endif
