/* Miss-ratio curves by stack distance, in one pass, for every size of memory (or of a fully associative LRU TLB).
   Exact: a Fenwick tree over the times of last references, renumbered when it is full, so that memory is proportional to
   distinct pages; at least 5 million references a second.  Sampled: only pages whose hash falls below a threshold, which
   sinks when more than `most` pages are followed, distances and counts scaled up; 50 million a second. */
#ifndef VM_SIM_MRC_H
#define VM_SIM_MRC_H

#include "sim/types.h"

struct vm_sim_mrc;

/* page_shift: 12, 21 ...; most = 0: exact; else the most pages followed at once. */
struct vm_sim_mrc *vm_sim_mrc_new(unsigned page_shift, size_t most);
void vm_sim_mrc_free(struct vm_sim_mrc *c);
void vm_sim_mrc_refs(struct vm_sim_mrc *c, const uint64_t *address, size_t n);

struct vm_sim_curve {
    const char *name;
    unsigned page_shift;
    uint64_t refs, distinct;
    /* misses[k]: with size[k] pages of memory; descending misses, ascending sizes; the last one is the cold misses. */
    uint64_t *size;
    uint64_t *misses;
    size_t points;
    double rate; /* sampled part of pages; 1: exact */
};
/* All sizes at which the number of misses changes (exact), or as many as were seen (sampled). */
struct vm_sim_curve vm_sim_mrc_curve(const struct vm_sim_mrc *c);
void vm_sim_curve_free(struct vm_sim_curve *curve);
uint64_t vm_sim_curve_misses(const struct vm_sim_curve *curve, uint64_t pages);
/* The smallest memory in pages with misses / refs <= ratio; UINT64_MAX: none (cold misses alone are more). */
uint64_t vm_sim_curve_smallest(const struct vm_sim_curve *curve, double ratio);
bool vm_sim_mrc_check(const struct vm_sim_mrc *c);

#endif
