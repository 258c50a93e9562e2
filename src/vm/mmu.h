/* The memory-management unit: the one shadow page table of the process and the only door through which mappings are
   entered and removed.  Writers work between vm_mmu_begin() and vm_mmu_end(), which hold vm_mmu_lock; lookups take no
   lock. */
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

/* All invariants of the table hold.  For tests: no other thread may be mapping. */
bool vm_mmu_check(void);

#endif
