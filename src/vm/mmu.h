/* The memory-management unit: the shadow page table of the process and the only door through which mappings are
   entered and removed.  Writers work between vm_mmu_begin() and vm_mmu_end(), which hold vm_mmu_lock; lookups take no
   lock.

   It has two trees.  The names, always there, say who owns an address, as far as somebody must look it up: all pages of
   mmap'd zones, the first and the last page of extents.  The pages, with vm=1 only, are the complete shadow: an entry for
   every page of frames and extents, brk heap included, with the bits of pte.h.  It hears of every change by a
   vm_mmu_note_*(), in this order around the system calls, so that under vm_mmu_lock a page that is resident is present
   here: what makes a page touchable is noted before it is touched, what takes it away after the kernel has taken it (a
   removal of addresses that others may map at once: before). */
#ifndef VM_MMU_H
#define VM_MMU_H

#include "base/fact.h"
#include "vm/pte.h"

struct vm_lock;
extern struct vm_lock vm_mmu_lock;
extern VM_HIDDEN struct vm_fact vm_mmu_facts[]; /* for other processes */

/* Tables that entering one page can need at most, wherever it lies: a whole path of five levels. */
#define VM_MMU_PAGE_NEED 5

void vm_mmu_begin(void);
void vm_mmu_end(void);

/* Between begin and end: the tables that entering [base, base + bytes) needs, and a promise of that many, so that what
   follows cannot fail; false when memory for them is refused. */
unsigned vm_mmu_need(uintptr_t base, size_t bytes);
bool vm_mmu_reserve(unsigned tables);

/* Enters [base, base + bytes) as owned by the descriptor (64-byte aligned).  Between begin and end. */
void vm_mmu_map(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor);
void vm_mmu_unmap(uintptr_t base, size_t bytes);

/* Who owns the page of this address: a leaf entry or 0.  Any address, from any thread, without a lock. */
vm_pte vm_mmu_lookup(uintptr_t address);

/* The same, and how many bytes from the address on are of one leaf, or of none for sure. */
vm_pte vm_mmu_run(uintptr_t address, size_t *bytes);

/* ---- The complete shadow (vm=1).  A note takes the lock unless the caller is between begin and end. ---- */

extern VM_HIDDEN bool vm_mmu_full; /* const: after start-up */

void vm_mmu_full_start(void);

enum vm_mmu_event {
    VM_MMU_OUT,     /* blocks on it got life, or the extent is live: may be touched from now on */
    VM_MMU_TOUCHED, /* the allocator wrote to it */
    VM_MMU_KEPT,    /* no block has life on it, or the extent is free; it keeps its pages */
    VM_MMU_PURGED,  /* its pages went back to the kernel */
    VM_MMU_LAZY,    /* the kernel may take its pages */
    VM_MMU_UNMAPPED,
    VM_MMU_EVENTS
};

void vm_mmu_page_event(enum vm_mmu_event event, uintptr_t base, size_t bytes);
void vm_mmu_page_mapped(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor);
void vm_mmu_page_owner(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor);
void vm_mmu_page_moved(uintptr_t from, size_t from_bytes, uintptr_t to, size_t to_bytes);
void vm_mmu_page_carved(uintptr_t first, size_t blocks, size_t size);

/* What is written rounds outward to whole pages. */
VM_INLINE void vm_mmu_note(enum vm_mmu_event event, uintptr_t base, size_t bytes)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_mmu_full))
        vm_mmu_page_event(event, base, bytes);
}

/* Fresh from the kernel, reading as zero. */
VM_INLINE void vm_mmu_note_mapped(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_mmu_full))
        vm_mmu_page_mapped(base, bytes, kind, descriptor);
}

/* Split off or merged: another descriptor, the pages as they are. */
VM_INLINE void vm_mmu_note_owner(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_mmu_full))
        vm_mmu_page_owner(base, bytes, kind, descriptor);
}

/* A live extent was remapped; what it gained is handed out, and zero. */
VM_INLINE void vm_mmu_note_moved(uintptr_t from, size_t from_bytes, uintptr_t to, size_t to_bytes)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_mmu_full))
        vm_mmu_page_moved(from, from_bytes, to, to_bytes);
}

/* Blocks side by side in a slab get life: their first words are about to be written. */
VM_INLINE void vm_mmu_note_carved(uintptr_t first, size_t blocks, size_t size)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_mmu_full))
        vm_mmu_page_carved(first, blocks, size);
}

/* After a fork, on both sides, before any lock is given back: what is present may be shared. */
void vm_mmu_forked(void);

/* Between begin and end: calls f for every leaf in the order of addresses (see vm_pgtab_each). */
bool vm_mmu_pages_each(bool (*f)(void *ctx, uintptr_t base, size_t bytes, vm_pte *leaf), void *ctx);

/* The leaf of this address, 0 when the shadow has none or is not complete.  Takes the lock. */
vm_pte vm_mmu_page(uintptr_t address);

/* 4 KiB pages of [from, to) that have a leaf with all these bits (VM_PTE_LEAF: any).  Takes the lock. */
uint64_t vm_mmu_pages_with(uintptr_t from, uintptr_t to, vm_pte bits);

struct vm_mmu_faults {
    uint64_t mapped_twice; /* pages that were entered while they had an owner */
    uint64_t lost;         /* changes that could not be noted for want of memory: the shadow is wrong from then on */
};
struct vm_mmu_faults vm_mmu_faults(void);

/* All invariants of the table hold.  For tests: no other thread may be mapping. */
bool vm_mmu_check(void);

#endif
