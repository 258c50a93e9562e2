/* The entry of the shadow page table, laid out after the x86-64 one (Intel SDM vol. 3A, 4.5) with the number of the
   owner's descriptor where the processor keeps the frame number.

     63 62                                       12 11    8  7  6       4 3    2  1      0
    +--+-------------------------------------------+-------+---+---------+------+----+-------+
    |0 | descriptor number: its address / 64       | spare | H |  spare  | kind |leaf|present|
    +--+-------------------------------------------+-------+---+---------+------+----+-------+

   H: the entry is a leaf above the last level (2 MiB or 1 GiB).  In a table entry (present, not a leaf) the number
   is that of the next table and bits 2..11 count the entries in use there:

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
#define VM_PTE_HUGE ((vm_pte)1 << 7)

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

#endif
