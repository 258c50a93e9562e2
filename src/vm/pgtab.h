/* The shadow page table as a data structure: a radix tree of 512-entry tables, 9 address bits a level below 12 bits
   of page offset.  Addresses below 2^48 are in a tree of 4 levels, those from there to 2^57 in one of 5: two roots, so
   that readers never see a tree change its depth.  Leaves stand at the last level (4 KiB), or above it for 2 MiB and
   1 GiB.  Knows nothing of locks or of who owns what: mmu is the only caller.  Readers may walk while one writer changes
   the tree: entries are single words, and tables are type-stable (an emptied one goes to the free list, never back to
   the system). */
#ifndef VM_PGTAB_H
#define VM_PGTAB_H

#include "vm/pte.h"

#define VM_PGTAB_ENTRIES 512
#define VM_PGTAB_BITS 9
#define VM_PAGE_SHIFT 12
#define VM_PGTAB_LEVELS_LOW 4  /* addresses of up to 48 bits */
#define VM_PGTAB_LEVELS_HIGH 5 /* of up to 57 */

struct vm_table {
    vm_pte entry[VM_PGTAB_ENTRIES];
};

struct vm_pgtab {
    vm_pte low, high;       /* the roots: table entries, or 0 when nothing was ever mapped there */
    struct vm_table *spare; /* free tables, linked by their first entry; all else in them is zero */
    unsigned spares;
    unsigned tables; /* tables in use */
};

#define VM_PGTAB_INIT {0, 0, NULL, 0, 0}

/* Gives the tree a zeroed, page-aligned table to use later. */
void vm_pgtab_give(struct vm_pgtab *t, struct vm_table *table);

/* How many tables mapping [base, base + bytes) needs now. */
unsigned vm_pgtab_need(const struct vm_pgtab *t, uintptr_t base, size_t bytes);

/* A range must not cross 2^48 (no mapping of the kernel's does).  Maps every page of [base, base + bytes) (4 KiB multiples) to the leaf, with the largest entries that fit; pages
   mapped before change their leaf.  Needs vm_pgtab_need() spare tables; cannot fail then. */
void vm_pgtab_map(struct vm_pgtab *t, uintptr_t base, size_t bytes, vm_pte leaf);

/* Unmaps every page of the range; tables that become empty return to the spares.  A range must not cut a 2 MiB or
   1 GiB leaf (they are unmapped as they were mapped). */
void vm_pgtab_unmap(struct vm_pgtab *t, uintptr_t base, size_t bytes);

/* The leaf that covers the address, or 0. */
vm_pte vm_pgtab_lookup(const struct vm_pgtab *t, uintptr_t address);

/* Every count right, every spare zero?  True when all invariants hold. */
bool vm_pgtab_check(const struct vm_pgtab *t);

#endif
