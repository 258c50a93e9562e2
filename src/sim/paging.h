/* Rows 10 to 12: page tables of every mode, as a data structure.  Tables stand in page frames that come from a source,
   so that their memory is counted and can run out; entries are the processor's (x86-64 layout in every mode; the
   narrower ones refuse frames that do not fit their entries).

   A present entry:                                                An entry that is not present, but not 0:
    63 62  56 55  52 51              12 11  9  8  7  6  5  4  2  1  0     63      32 31        8 7    3 2  1  0
   +--+------+------+------------------+-----+--+--+--+--+-----+--+--+   +----------+-----------+------+----+--+
   |NX|  0   |region|   frame number   |  sw |G |PS|D |A | 0 U | W| P|   |    0     |  offset   | area | 2-1| 0|
   +--+------+------+------------------+-----+--+--+--+--+-----+--+--+   +----------+-----------+------+----+--+
   sw: bit 9 COW (read-only now, private and writable by its VMA).  Region is the simulator's own (enum vm_sim_region):
   such bits are free in 64-bit entries; narrower ones keep theirs beside the table, which costs no simulated memory.
   Not present: a swap slot, bit 1 set (so that no entry is 0): area of 5 bits, offset of 24. */
#ifndef VM_SIM_PAGING_H
#define VM_SIM_PAGING_H

#include "sim/event.h"

typedef uint64_t vm_sim_pte;

#define VM_SIM_PTE_P ((vm_sim_pte)1 << 0)
#define VM_SIM_PTE_W ((vm_sim_pte)1 << 1)
#define VM_SIM_PTE_U ((vm_sim_pte)1 << 2)
#define VM_SIM_PTE_A ((vm_sim_pte)1 << 5)
#define VM_SIM_PTE_D ((vm_sim_pte)1 << 6)
#define VM_SIM_PTE_PS ((vm_sim_pte)1 << 7) /* a leaf above the last level */
#define VM_SIM_PTE_G ((vm_sim_pte)1 << 8)
#define VM_SIM_PTE_COW ((vm_sim_pte)1 << 9)
#define VM_SIM_PTE_NX ((vm_sim_pte)1 << 63)
#define VM_SIM_PTE_FRAME_SHIFT 12
#define VM_SIM_PTE_FRAME_MASK ((((vm_sim_pte)1 << 40) - 1) << 12)
#define VM_SIM_PTE_REGION_SHIFT 52
#define VM_SIM_PTE_REGION_MASK ((vm_sim_pte)15 << 52)
#define VM_SIM_PTE_SWAP ((vm_sim_pte)1 << 1) /* with P clear */

VM_INLINE vm_sim_pfn vm_sim_pte_frame(vm_sim_pte e)
{
    return (vm_sim_pfn)((e & VM_SIM_PTE_FRAME_MASK) >> VM_SIM_PTE_FRAME_SHIFT);
}
VM_INLINE enum vm_sim_region vm_sim_pte_region(vm_sim_pte e)
{
    return (enum vm_sim_region)((e & VM_SIM_PTE_REGION_MASK) >> VM_SIM_PTE_REGION_SHIFT);
}
VM_INLINE vm_sim_pte vm_sim_pte_make(vm_sim_pfn frame, vm_sim_pte flags, enum vm_sim_region region)
{
    return (vm_sim_pte)frame << VM_SIM_PTE_FRAME_SHIFT | flags | (vm_sim_pte)region << VM_SIM_PTE_REGION_SHIFT;
}
#define VM_SIM_SWAP_AREAS 32
#define VM_SIM_SWAP_SLOTS ((uint32_t)1 << 24) /* of one area */
VM_INLINE bool vm_sim_pte_is_swap(vm_sim_pte e) { return e != 0 && !(e & VM_SIM_PTE_P); }
VM_INLINE vm_sim_pte vm_sim_pte_swap(unsigned area, uint32_t slot)
{
    return VM_SIM_PTE_SWAP | (vm_sim_pte)area << 3 | (vm_sim_pte)slot << 8;
}
VM_INLINE unsigned vm_sim_pte_swap_area(vm_sim_pte e) { return (unsigned)(e >> 3) & 31; }
VM_INLINE uint32_t vm_sim_pte_swap_slot(vm_sim_pte e) { return (uint32_t)(e >> 8) & (VM_SIM_SWAP_SLOTS - 1); }

/* ---- Modes ---- */

enum vm_sim_paging_mode {
    VM_SIM_PAGING_NONE,   /* linear = physical */
    VM_SIM_PAGING_SINGLE, /* 32 bits: one table of 2^20 entries of 4 bytes */
    VM_SIM_PAGING_SORTED, /* a sorted list of the pages in use, binary search */
    VM_SIM_PAGING_2LEVEL, /* 10/10/12, 4 MiB pages */
    VM_SIM_PAGING_PAE,    /* 2/9/9/12, 36 bits physical, 2 MiB pages */
    VM_SIM_PAGING_4LEVEL, /* 9/9/9/9/12, 2 MiB and 1 GiB */
    VM_SIM_PAGING_5LEVEL,
    VM_SIM_PAGING_MODES
};

struct vm_sim_paging_geometry { /* const, one for each mode */
    const char *name;           /* as in machine descriptions: none, single, sorted, 2level, pae, 4level, 5level */
    uint8_t levels;             /* 0: none; 1 for single and sorted */
    uint8_t bits[5];            /* index bits of the tables at level i + 1 (1: the last) */
    uint8_t shift[6];           /* log2 of what an entry at level i + 1 covers; [levels]: of the whole address space */
    uint8_t entry_bytes;        /* 4 or 8; sorted: 8 (page number and entry) */
    uint8_t physical_bits;
    uint8_t linear_bits;   /* 32, 48, 57 */
    uint8_t huge_levels;   /* mask of 1 << level: leaves may stand there, beside level 1 */
    uint64_t user_end;     /* first address that is not the user's: 3 GiB, 128 TiB, 64 PiB */
    uint64_t kernel_start; /* first one of the kernel's: 3 GiB, 0xffff800000000000, ... */
};
extern const struct vm_sim_paging_geometry vm_sim_paging_geometry[VM_SIM_PAGING_MODES];
int vm_sim_paging_mode_of(const char *name); /* -EINVAL */

/* Bits 63..47 (..56 with five levels) equal?  32-bit modes: below 4 GiB.  If not: general protection, not a page
   fault. */
bool vm_sim_is_canonical(enum vm_sim_paging_mode mode, struct vm_sim_linear a);

/* Table index of an address at a level, and its offset in a page of that level. */
unsigned vm_sim_table_index(enum vm_sim_paging_mode mode, struct vm_sim_linear a, unsigned level);
uint64_t vm_sim_page_offset(enum vm_sim_paging_mode mode, struct vm_sim_linear a, unsigned level);

/* ---- One address space's tables ---- */

struct vm_sim_frame_source { /* where tables' frames come from; take NULL: numbers are made up, never refused */
    vm_sim_pfn (*take)(void *ctx, unsigned order); /* VM_SIM_NO_FRAME: none */
    void (*give)(void *ctx, vm_sim_pfn frame, unsigned order);
    void *ctx;
};

struct vm_sim_pt; /* in paging.c */

/* The kernel's tables of the machine, or NULL: addresses from kernel_start on are looked up there, so that the kernel
   half is one and the same in every process.  NULL when the top table's frame is refused. */
struct vm_sim_pt *vm_sim_pt_new(enum vm_sim_paging_mode mode, struct vm_sim_frame_source source,
                                struct vm_sim_pt *kernel);
void vm_sim_pt_free(struct vm_sim_pt *pt); /* gives back all tables; what leaves name is the caller's affair */

enum vm_sim_paging_mode vm_sim_pt_mode(const struct vm_sim_pt *pt);
vm_sim_pfn vm_sim_pt_top(const struct vm_sim_pt *pt); /* what CR3 holds */

/* The walk of the processor. */
struct vm_sim_walk {
    vm_sim_pte entry;   /* the last one read: a leaf, a swap entry, or 0 */
    vm_sim_pte *where;  /* it, to set A and D in (only bits of an entry that stays non-zero may be changed directly);
                          NULL when a table on the way is missing */
    uint8_t level;      /* of it */
    uint8_t reads;      /* entries read; for sorted: steps of the search */
    vm_sim_pte path[5]; /* the entry read at level i + 1, 0 when none was */
};
struct vm_sim_walk vm_sim_pt_walk(const struct vm_sim_pt *pt, struct vm_sim_linear a);

/* The entry that covers the address and, through level (unless NULL), its level; NULL: no table there. */
vm_sim_pte *vm_sim_pt_find(const struct vm_sim_pt *pt, struct vm_sim_linear a, unsigned *level);

/* Stores an entry at a level (1: a small page), making tables as needed; 0 removes it, and tables that become empty.
   0, -ENOMEM (no frame for a table; nothing changed), -EEXIST (a table or a larger leaf is in the way), -ERANGE (the
   frame does not fit the mode's entry), -EINVAL (no leaves at this level, misaligned frame, not canonical). */
int vm_sim_pt_set(struct vm_sim_pt *pt, struct vm_sim_linear a, unsigned level, vm_sim_pte entry);

/* Calls f for every non-zero leaf entry (present or swap) of these tables (not the kernel's) whose page touches [from,
   to), in order; to = 0 is the end of the address space.  f may change bits of the entry, not remove it or make a
   present one a swap entry (vm_sim_pt_set does that, after the loop); it ends the loop by returning a value other than
   0, which is returned. */
int vm_sim_pt_each(const struct vm_sim_pt *pt, struct vm_sim_linear from, struct vm_sim_linear to,
                   int (*f)(void *ctx, struct vm_sim_linear page, unsigned level, vm_sim_pte *entry), void *ctx);

/* Turns a leaf above level 1 into a table of smaller leaves with the same flags.  0, -ENOMEM, -ENOENT. */
int vm_sim_pt_split(struct vm_sim_pt *pt, struct vm_sim_linear a);

struct vm_sim_pt_stats {
    uint64_t tables[5];       /* at level i + 1; the kernel's are not counted here */
    uint64_t bytes;           /* simulated memory that they take */
    uint64_t frames;          /* the same in page frames */
    uint64_t leaves[5];       /* present leaf entries at level i + 1 */
    uint64_t swapped;         /* swap entries */
    uint64_t steps, searches; /* sorted: of all walks */
};
struct vm_sim_pt_stats vm_sim_pt_stats(const struct vm_sim_pt *pt);

/* Used counts = non-zero entries; no empty table but the top; no leaf at a level that has none; sorted: ascending. */
bool vm_sim_pt_check(const struct vm_sim_pt *pt);

/* ---- Row 11: what tables take, by arithmetic ---- */

/* Bytes of the tables of a mode with every table there. */
uint64_t vm_sim_tables_full(enum vm_sim_paging_mode mode);
/* Two-level with this part of the last level in use: 0.2 -> 4 KiB + 0.2 x 4 MiB. */
double vm_sim_tables_part(enum vm_sim_paging_mode mode, double part);
/* Least and exact: tables needed for `pages` contiguous small pages from `at` on, top table included. */
uint64_t vm_sim_tables_for(enum vm_sim_paging_mode mode, struct vm_sim_linear at, uint64_t pages);

#endif
