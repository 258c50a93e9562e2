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

/* clang-format off */
#define VM_PGTAB_INIT {0, 0, NULL, 0, 0}
/* clang-format on */

/* Gives the tree a zeroed, page-aligned table to use later. */
void vm_pgtab_give(struct vm_pgtab *t, struct vm_table *table);

/* How many tables mapping [base, base + bytes) needs now. */
unsigned vm_pgtab_need(const struct vm_pgtab *t, uintptr_t base, size_t bytes);

/* A range must not cross 2^48 (no mapping of the kernel's does).  Maps every page of [base, base + bytes) (4 KiB
   multiples) to the leaf, with the largest entries that fit; pages mapped before change their leaf.  Needs
   vm_pgtab_need() spare tables; cannot fail then. */
void vm_pgtab_map(struct vm_pgtab *t, uintptr_t base, size_t bytes, vm_pte leaf);

/* Unmaps every page of the range; tables that become empty return to the spares.  A range must not cut a 2 MiB or
   1 GiB leaf (they are unmapped as they were mapped). */
void vm_pgtab_unmap(struct vm_pgtab *t, uintptr_t base, size_t bytes);

/* The leaf that covers the address, or 0. */
vm_pte vm_pgtab_lookup(const struct vm_pgtab *t, uintptr_t address);

/* ---- The complete shadow: leaves whose bits change; under the writer's lock, without concurrent readers ---- */

/* A leaf e of the range becomes (e & keep) | set; a page without one becomes `set` when fill, else it stays without.
   keep = set = 0 removes leaves.  Large leaves are split where the range cuts them, and made where a whole table comes to
   say the same. */
struct vm_pgtab_change {
    vm_pte keep, set; /* bits of leaves but for LEAF and HUGE, which take care of themselves */
    bool fill;
    uint64_t found; /* out, added to: 4 KiB pages that had a leaf before */
};

/* Spare tables that one change can take at most: a path at each end, and one for each 512 GiB, which has no leaf. */
#define VM_PGTAB_CHANGE_NEED(bytes) (2 * VM_PGTAB_LEVELS_HIGH + (unsigned)((bytes) >> 39))

void vm_pgtab_change(struct vm_pgtab *t, uintptr_t base, size_t bytes, struct vm_pgtab_change *change);

/* Calls f for every leaf in the order of addresses, until it returns false, which is returned.  f may change the bits that
   say a page's state. */
typedef bool vm_pgtab_visitor(void *ctx, uintptr_t base, size_t bytes, vm_pte *leaf);
bool vm_pgtab_each(struct vm_pgtab *t, vm_pgtab_visitor *f, void *ctx);

/* The leaf that covers the address, and how many bytes from the address on it covers; of a hole, how many have no leaf
   for sure. */
vm_pte vm_pgtab_run(const struct vm_pgtab *t, uintptr_t address, size_t *bytes);

/* Every count right, every spare zero?  True when all invariants hold. */
bool vm_pgtab_check(const struct vm_pgtab *t);

#endif
