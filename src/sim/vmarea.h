/* Row 22: the kernel's vmalloc area: virtually contiguous, physically scattered.  Areas in address order, a guard page
   after each, first fit; every page is an own frame, HIGHMEM first, mapped in the kernel's tables. */
#ifndef VM_SIM_VMAREA_H
#define VM_SIM_VMAREA_H

#include "sim/paging.h"
#include "sim/zone.h"

struct vm_sim_varea {
    struct vm_sim_varea *next;
    uint64_t start, bytes; /* the guard page not included */
    vm_sim_pfn *frame;     /* [bytes / 4096] */
};

struct vm_sim_vmareas {
    uint64_t start, end; /* of the range */
    struct vm_sim_varea *first;
    uint64_t areas, pages;
    struct vm_sim_memory *memory;
    struct vm_sim_pt *kernel;
    void (*flush)(void *ctx, struct vm_sim_linear from, uint64_t bytes); /* drops TLB entries; NULL: there is no TLB */
    void *flush_ctx;
};

/* end - start: whole pages. */
void vm_sim_vmareas_init(struct vm_sim_vmareas *v, uint64_t start, uint64_t end, struct vm_sim_memory *memory,
                         struct vm_sim_pt *kernel);
void vm_sim_vmareas_free(struct vm_sim_vmareas *v);
struct vm_sim_varea *vm_sim_vmalloc(struct vm_sim_vmareas *v, uint64_t bytes); /* NULL: no range or no frames; undone */
void vm_sim_vfree(struct vm_sim_vmareas *v, struct vm_sim_varea *area);
struct vm_sim_varea *vm_sim_varea_find(const struct vm_sim_vmareas *v, uint64_t at); /* that holds the address; NULL */
uint64_t vm_sim_varea_runs(const struct vm_sim_varea *area); /* how scattered: runs of frames that follow each other */
bool vm_sim_vmareas_check(const struct vm_sim_vmareas *v);

#endif
