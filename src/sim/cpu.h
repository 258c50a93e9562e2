/* One reference's way through the processor: logical -> segmentation -> linear -> TLB, or walk -> physical, and the
   exceptions on the way.  Rows 2, 8, 9, 13 and 14.  Knows address spaces only as struct vm_sim_context; what a page
   fault means is the fault handler's affair (fault.h). */
#ifndef VM_SIM_CPU_H
#define VM_SIM_CPU_H

#include "sim/event.h"
#include "sim/frame.h"
#include "sim/paging.h"
#include "sim/segment.h"
#include "vm/tlb.h"

/* Error code of a page fault. */
#define VM_SIM_PF_PRESENT 1 /* 0: no page; 1: protection */
#define VM_SIM_PF_WRITE 2
#define VM_SIM_PF_USER 4
#define VM_SIM_PF_FETCH 16

enum vm_sim_vector { VM_SIM_NP = 11, VM_SIM_SS_FAULT = 12, VM_SIM_GP = 13, VM_SIM_PF = 14 };

/* By region, of references that succeeded; faults at pages that are not there yet have no region and count under
   VM_SIM_NOWHERE.  The counts of the TLB itself have every try in them: a reference that faulted is looked up again. */
struct vm_sim_usage {
    uint64_t hits[VM_TLB_LEVELS]; /* of the TLB */
    uint64_t walks;
    uint64_t walk_reads;
    uint64_t faults;
};

struct vm_sim_context { /* embedded in struct vm_sim_process */
    uint32_t pid;
    uint16_t slot; /* what references name */
    uint16_t asid; /* PCID */
    uint8_t cpl;
    bool dead; /* its references are dropped, and counted in cpu->dropped */
    struct vm_sim_pt *pt;
    struct vm_sim_dtable *ldt; /* NULL: none */
    uint16_t ldt_selector;
    uint16_t selector[VM_SIM_SEGREGS]; /* loaded at a switch; all 0: the machine is flat */
    uint64_t refs[VM_SIM_ACCESSES];
    struct vm_sim_usage usage[VM_SIM_REGIONS];
    struct vm_sim_workset *workset; /* NULL: not recorded */
    const uint64_t *resident;       /* for it: pages that the process has; NULL: not known */
};

struct vm_sim_cpu {
    struct vm_tlb *tlb; /* NULL: none, every reference walks */
    void *tlb_memory;
    enum vm_sim_paging_mode mode;
    uint64_t lower_half;   /* derived: addresses below it are canonical */
    bool flat;             /* no segment checks: logical offset = linear address */
    bool descriptor_cache; /* false: the descriptor is read at every reference (row 9) */
    bool pcid;             /* a switch keeps the TLB */
    struct vm_sim_segmentation seg;
    struct vm_sim_context *context[VM_SIM_MAX_PROCESSES]; /* by slot; NULL: none */
    struct vm_sim_context *current;
    struct vm_sim_mem_map *map; /* NULL: no frames behind the entries */
    struct vm_list *exact_lru;  /* exact LRU: a reference moves its frame to the front; NULL: other policies */
    /* The handler of page faults: 0 to try again, or a negative errno: the reference is given up. */
    int (*fault)(void *ctx, struct vm_sim_context *context, struct vm_sim_linear at, unsigned error);
    /* Told of exceptions 11 to 13, which always give the reference up.  May be NULL. */
    void (*exception)(void *ctx, struct vm_sim_context *context, unsigned vector, unsigned error, const char *cause);
    void *ctx;
    struct vm_sim_events *events;
    uint64_t refs;         /* the machine's clock */
    uint64_t memory_reads; /* descriptors, table entries and data: what a machine without caches would access */
    uint64_t page_faults, exceptions, switches, dropped;
};

/* No TLB when config is NULL. */
void vm_sim_cpu_init(struct vm_sim_cpu *cpu, enum vm_sim_paging_mode mode, const struct vm_tlb_config *tlb,
                     struct vm_sim_events *events);
void vm_sim_cpu_free(struct vm_sim_cpu *cpu);

struct vm_sim_translation { /* of one reference, for those who want to see it */
    struct vm_sim_logical logical;
    struct vm_sim_linear linear;
    struct vm_sim_physical physical;
    unsigned memory_reads; /* descriptors + entries + 1 */
    uint8_t tlb_level;     /* 1, 2, or 0: walked */
    uint8_t faults;
};

/* One reference, to the end: 0, or the negative errno of the handler, -EFAULT for exceptions.  out may be NULL. */
int vm_sim_cpu_ref(struct vm_sim_cpu *cpu, struct vm_sim_ref ref, struct vm_sim_translation *out);

/* Many; those that fail are given up, the rest go on.  Returns how many were made; *good grows by those that succeeded.
   Fewer than n are made when *pause becomes true (kswapd was woken); NULL: never. */
size_t vm_sim_cpu_refs(struct vm_sim_cpu *cpu, const struct vm_sim_ref *ref, size_t n, size_t *good, const bool *pause);

/* CR3 (and LDTR) load.  Only when another context comes. */
void vm_sim_cpu_switch(struct vm_sim_cpu *cpu, struct vm_sim_context *to);

/* It runs no more: its slot is free, its entries are dropped.  Its memory may go after that. */
void vm_sim_cpu_forget(struct vm_sim_cpu *cpu, struct vm_sim_context *c);

/* Whoever changes or removes an entry that was present calls one of these; clearing A needs it too, else the processor
   does not set it again. */
void vm_sim_cpu_flush_page(struct vm_sim_cpu *cpu, const struct vm_sim_context *c, struct vm_sim_linear a);
void vm_sim_cpu_flush_range(struct vm_sim_cpu *cpu, const struct vm_sim_context *c, struct vm_sim_linear a,
                            uint64_t bytes);
void vm_sim_cpu_flush_context(struct vm_sim_cpu *cpu, const struct vm_sim_context *c);

/* Every live TLB entry of the current contexts says what the tables say.  Slow. */
bool vm_sim_cpu_check(const struct vm_sim_cpu *cpu);

#endif
