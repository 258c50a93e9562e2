/* Rows 24, 26 and 27: the memory descriptor of a process and the calls that change an address space: brk, mmap, munmap,
   mprotect.  All descriptors are on one list of the machine. */
#ifndef VM_SIM_MM_H
#define VM_SIM_MM_H

#include "sim/paging.h"
#include "sim/vma.h"

struct vm_sim_machine;
struct vm_sim_context;

/* The usual places: i386: text 0x08048000, mmap area from 0x40000000 up, stack down from 3 GiB.  x86-64: text 0x400000,
   mmap area top down, 128 MiB (or the stack's limit) below the stack's top, stack down from 0x7ffffffff000.  linux-0.12:
   64 MiB from base on, text at its start, stack down from its end, mmap area (which it had not) from the middle up.  No
   randomisation. */
struct vm_sim_layout {
    uint64_t text, mmap_base, stack_top, stack_limit, task_size;
    bool mmap_top_down;
};
#define VM_SIM_012_SPACE ((uint64_t)64 << 20)

/* rss = rss_anon + rss_file = present leaves in small pages; swapped = swap entries; total_vm = pages of all areas. */
struct vm_sim_mm {
    struct vm_list link; /* on machine->mms */
    struct vm_list vmas;
    struct vm_tree tree;
    struct vm_sim_pt *pt;           /* linux-0.12: the one shared page directory */
    struct vm_sim_context *context; /* of the process that runs on it, for flushes */
    uint32_t users;                 /* processes and threads */
    uint64_t base;                  /* linear address of its address 0: 0, or n x 64 MiB in linux-0.12 */
    struct vm_sim_layout layout;
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    uint64_t total_vm;                         /* pages of all areas */
    uint64_t rss, rss_anon, rss_file, swapped; /* pages present, and out */
    uint64_t highest_rss;
    uint64_t min_faults, maj_faults;
    uint64_t vma_count;
};

#define VM_SIM_MMAP_THRESHOLD ((uint64_t)128 * 1024) /* malloc's border: smaller requests move brk */
#define VM_SIM_STACK_LIMIT ((uint64_t)8 << 20)
#define VM_SIM_STACK_START ((uint64_t)132 * 1024) /* of the stack's area in the beginning */

/* An empty address space at the base (0 but for linux-0.12).  NULL: no frame for the top table. */
struct vm_sim_mm *vm_sim_mm_new(struct vm_sim_machine *m, uint64_t base);
void vm_sim_mm_put(struct vm_sim_machine *m, struct vm_sim_mm *mm); /* the last user gives everything back */
/* Enters the stack's area.  And the other way round: all areas and pages go. */
void vm_sim_mm_add_stack(struct vm_sim_mm *mm);
void vm_sim_mm_clear(struct vm_sim_machine *m, struct vm_sim_mm *mm);

/* All return 0 or a negative errno; addresses are linear. */
/* Moves the end of the heap.  -ENOMEM: something is in the way; -EINVAL: below its start. */
int vm_sim_brk(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t brk);
/* at = 0: where there is room; else exactly there, what is there being unmapped first (MAP_FIXED).  file NULL:
   anonymous; shared anonymous memory becomes a file of its own.  offset: in pages. */
int vm_sim_mmap(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes, unsigned perms,
                unsigned flags, enum vm_sim_region region, struct vm_sim_file *file, uint64_t offset, uint64_t *out);
int vm_sim_munmap(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes);
int vm_sim_mprotect(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes, unsigned perms);
/* malloc by the border of 128 KiB: brk below it, mmap from it on.  *out: the block. */
int vm_sim_malloc(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t bytes, uint64_t *out);

/* The bits that an area's permissions give an entry, COW and W aside. */
vm_sim_pte vm_sim_vma_bits(const struct vm_sim_vma *vma);

/* Up to `cap` non-zero leaves from [*at, end) on; *at moves behind the last one.  To change tables while going through
   them. */
struct vm_sim_leaf {
    struct vm_sim_linear at;
    unsigned level;
    vm_sim_pte entry;
};
size_t vm_sim_leaves(const struct vm_sim_mm *mm, uint64_t *at, uint64_t end, struct vm_sim_leaf *leaf, size_t cap);

/* Takes the pages of a range out of the tables: counts down, slots freed, TLB flushed.  Areas stay.  No large page may
   stick out of the range. */
void vm_sim_zap(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t start, uint64_t end);
bool vm_sim_mm_check(const struct vm_sim_machine *m, const struct vm_sim_mm *mm);

#endif
