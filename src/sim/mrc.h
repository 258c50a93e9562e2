/* Miss-ratio curves by stack distance, in one pass, for every size of memory (or of a fully associative LRU TLB).
   Exact: a Fenwick tree over the times of last references, renumbered when it is full, so that memory is proportional to
   distinct pages; at least 5 million references a second.  Sampled: only pages whose hash falls below a threshold, which
   sinks when more than `most` pages are followed, distances and counts scaled up; 50 million a second; the error is stated
   as bounds of three standard errors (the formula is in mrc.c). */
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
    double rate;       /* sampled part of pages; 1: all */
    uint64_t followed; /* pages, at the end */
    uint64_t *least;   /* sampled: bounds of misses[k], without the error of the size; exact: NULL */
    uint64_t *most;
};
/* All sizes at which the number of misses changes (exact), or as many as were seen (sampled). */
struct vm_sim_curve vm_sim_mrc_curve(const struct vm_sim_mrc *c);
void vm_sim_curve_free(struct vm_sim_curve *curve);
uint64_t vm_sim_curve_misses(const struct vm_sim_curve *curve, uint64_t pages);
/* The smallest memory in pages with misses / refs <= ratio; UINT64_MAX: none (cold misses alone are more). */
uint64_t vm_sim_curve_smallest(const struct vm_sim_curve *curve, double ratio);
/* Between what the exact curve's answers lie: three standard errors; both are the answer for an exact curve. */
void vm_sim_curve_bounds(const struct vm_sim_curve *curve, uint64_t pages, uint64_t *least, uint64_t *most);
void vm_sim_curve_smallest_bounds(const struct vm_sim_curve *curve, double ratio, uint64_t *from, uint64_t *to);
bool vm_sim_mrc_check(const struct vm_sim_mrc *c);

#endif
