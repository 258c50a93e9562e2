/* The entry of the shadow page table, laid out after the x86-64 one (Intel SDM vol. 3A, 4.5) with the number of the
   owner's descriptor where the processor keeps the frame number.

     63 62                                    12 11 10  9  8  7  6  5  4  3    2  1      0
    +--+----------------------------------------+--+--+--+--+--+--+--+--+------+----+-------+
    |0 | descriptor number: its address / 64    |R |C |F |Z |H |D |A |O | kind |leaf|present|
    +--+----------------------------------------+--+--+--+--+--+--+--+--+------+----+-------+

   H: the entry is a leaf above the last level (2 MiB or 1 GiB).  The other letters are kept by the complete shadow only
   (vm=1, see mmu.h); without it every leaf is present and they are 0.  There

     present   may be resident: a block on it was handed out since it last came from the kernel
     O  handed out now: it belongs to blocks that were given life, in a slab, or to a live extent
     A  the allocator read or wrote it;  D  it wrote it: what the program does it cannot see
     Z  known zero: what was not written since it came from the kernel (never handed out, or handed out reading as zero)
     F  lazily freed: the kernel may take it (MADV_FREE)
     C  copy-on-write: was present at a fork, and not known to be written since
     R  returned: was present, and went back to the kernel; it is not present now

   In a table entry (present, not a leaf) the number is that of the next table and bits 2..11 count the entries in use
   there:

     63 62                                       12 11                       2  1      0
    +--+-------------------------------------------+--------------------------+----+-------+
    |0 | next table: its address / 64              | entries in use, 0 to 512 |  0 |present|
    +--+-------------------------------------------+--------------------------+----+-------+

   51 bits of number cover descriptors anywhere in a 57-bit address space. */
#ifndef VM_PTE_H
#define VM_PTE_H

#include "base/base.h"

typedef uint64_t vm_pte;

#define VM_PTE_PRESENT ((vm_pte)1 << 0)
#define VM_PTE_LEAF ((vm_pte)1 << 1)
#define VM_PTE_NUMBER_SHIFT 12
#define VM_PTE_ALIGN_SHIFT 6 /* descriptors lie on 64-byte lines */

/* Leaf entries. */
#define VM_PTE_KIND_SHIFT 2
#define VM_PTE_KIND_MASK ((vm_pte)3 << VM_PTE_KIND_SHIFT)
#define VM_PTE_OUT ((vm_pte)1 << 4)
#define VM_PTE_ACCESSED ((vm_pte)1 << 5)
#define VM_PTE_DIRTY ((vm_pte)1 << 6)
#define VM_PTE_HUGE ((vm_pte)1 << 7)
#define VM_PTE_ZERO ((vm_pte)1 << 8)
#define VM_PTE_LAZY ((vm_pte)1 << 9)
#define VM_PTE_COW ((vm_pte)1 << 10)
#define VM_PTE_RETURNED ((vm_pte)1 << 11)
#define VM_PTE_OWNER_MASK (~(vm_pte)0 << VM_PTE_NUMBER_SHIFT | VM_PTE_KIND_MASK)

/* Table entries. */
#define VM_PTE_USED_SHIFT 2
#define VM_PTE_USED_ONE ((vm_pte)1 << VM_PTE_USED_SHIFT)
#define VM_PTE_USED_MASK ((vm_pte)0x3ff << VM_PTE_USED_SHIFT)

/* Who owns a page. */
enum vm_kind {
    VM_KIND_NONE,
    VM_KIND_ZONE,   /* descriptor: struct vm_zone */
    VM_KIND_EXTENT, /* descriptor: struct vm_extent */
};

VM_INLINE void *vm_pte_descriptor(vm_pte e)
{
    return (void *)(uintptr_t)(e >> VM_PTE_NUMBER_SHIFT << VM_PTE_ALIGN_SHIFT);
}

VM_INLINE vm_pte vm_pte_number(const void *descriptor)
{
    return (vm_pte)(uintptr_t)descriptor >> VM_PTE_ALIGN_SHIFT << VM_PTE_NUMBER_SHIFT;
}

VM_INLINE enum vm_kind vm_pte_kind(vm_pte e)
{
    return e & VM_PTE_PRESENT ? (enum vm_kind)((e & VM_PTE_KIND_MASK) >> VM_PTE_KIND_SHIFT) : VM_KIND_NONE;
}

/* The same of a leaf of the complete shadow, present or not. */
VM_INLINE enum vm_kind vm_pte_owner_kind(vm_pte e)
{
    return (enum vm_kind)((e & VM_PTE_KIND_MASK) >> VM_PTE_KIND_SHIFT);
}

#endif
