/* Row 23: how a 32-bit kernel reaches physical memory: the direct map (physical + PAGE_OFFSET) for the first 896 MiB,
   fixed-map slots, the permanent kmap (a window of 1024 entries, found by a hash of the frame, reused after a flush
   when a full round was made) and atomic kmap slots, a few for each processor.  Addresses, from page_offset 3 GiB:

    c0000000          f8000000     fe000000       ff800000      ffc00000          fffc0000     fffff000
       +-- direct map ----+-- vmalloc --+--  ...  ----+-- kmap ----+-- atomic ------+-- fixmap ----+

   Mappings hold no count of their frames: who maps one has it. */
#ifndef VM_SIM_KMAP_H
#define VM_SIM_KMAP_H

#include "sim/paging.h"
#include "sim/zone.h"

#define VM_SIM_KMAP_ENTRIES 1024
#define VM_SIM_KMAP_BUCKETS 128
#define VM_SIM_KMAP_ATOMIC_SLOTS 13 /* one for each kind of use, for each processor */
#define VM_SIM_FIXMAP_SLOTS 64

struct vm_sim_kmap_entry {
    vm_sim_pfn frame;   /* VM_SIM_NO_FRAME: none */
    uint32_t count;     /* 0: free; 1: free, but its translation is still there, not flushed; n + 1: n users */
    uint16_t hash_next; /* index, or UINT16_MAX */
};

struct vm_sim_kmaps {
    uint64_t page_offset; /* of the direct map */
    uint64_t direct_end;  /* bytes of physical memory in it */
    uint64_t pkmap_base, atomic_base, fixmap_base;
    struct vm_sim_kmap_entry entry[VM_SIM_KMAP_ENTRIES];
    uint16_t bucket[VM_SIM_KMAP_BUCKETS];
    unsigned last;                     /* where the search goes on */
    uint64_t flushes, searches, waits; /* of the window; entries looked at; requests that found all entries in use */
    unsigned processors;
    vm_sim_pfn *atomic; /* [processors * VM_SIM_KMAP_ATOMIC_SLOTS]; VM_SIM_NO_FRAME: nothing */
    vm_sim_pfn fixmap[VM_SIM_FIXMAP_SLOTS];
    struct vm_sim_memory *memory;
    struct vm_sim_pt *kernel;
    struct vm_sim_events *events;
    void (*flush)(void *ctx, struct vm_sim_linear from, uint64_t bytes); /* drops TLB entries; NULL: there is no TLB */
    void *flush_ctx;
};

/* direct_bytes: 896 MiB at most. */
void vm_sim_kmaps_init(struct vm_sim_kmaps *k, uint64_t page_offset, uint64_t direct_bytes, unsigned processors,
                       struct vm_sim_memory *memory, struct vm_sim_pt *kernel, struct vm_sim_events *events);
void vm_sim_kmaps_free(struct vm_sim_kmaps *k);

uint64_t vm_sim_direct_map(const struct vm_sim_kmaps *k, vm_sim_pfn frame);    /* 0: HIGHMEM */
vm_sim_pfn vm_sim_direct_frame(const struct vm_sim_kmaps *k, uint64_t linear); /* VM_SIM_NO_FRAME: not in it */
/* Puts the direct map into the kernel's tables, with the largest pages that the mode has.  0, -ENOMEM (undone). */
int vm_sim_direct_map_fill(struct vm_sim_kmaps *k);

/* The address of the frame, mapped when it is HIGHMEM; 0 when all 1024 entries are in use (a real caller would sleep),
   or there is no frame for a table. */
uint64_t vm_sim_kmap(struct vm_sim_kmaps *k, vm_sim_pfn frame);
void vm_sim_kunmap(struct vm_sim_kmaps *k, vm_sim_pfn frame);
/* 0: the slot is in use, or no frame for a table. */
uint64_t vm_sim_kmap_atomic(struct vm_sim_kmaps *k, unsigned processor, unsigned slot, vm_sim_pfn frame);
void vm_sim_kunmap_atomic(struct vm_sim_kmaps *k, unsigned processor, unsigned slot);
/* Slot n is always at fffff000 - n x 4096; any physical frame, also a device's; VM_SIM_NO_FRAME clears it.  Its
   address, or 0 when there is no frame for a table. */
uint64_t vm_sim_fixmap(struct vm_sim_kmaps *k, unsigned slot, vm_sim_pfn frame);
bool vm_sim_kmaps_check(const struct vm_sim_kmaps *k);

#endif
