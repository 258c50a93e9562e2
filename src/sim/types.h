/* The words of the simulated machine: addresses, accesses, regions, requests.  Logical, linear and physical addresses
   are structs of their own, so that the compiler tells them apart; so does the output ("logical 0x10:0x2240", "linear
   0x2240", "physical 0x7240").  Included by every file of src/sim. */
#ifndef VM_SIM_TYPES_H
#define VM_SIM_TYPES_H

#include "base/base.h"

struct vm_sim_logical { /* what the program says: a segment and an offset in it */
    uint16_t selector;
    uint64_t offset;
};

struct vm_sim_linear { /* after segmentation, before paging */
    uint64_t at;
};

struct vm_sim_physical { /* in the memory chips */
    uint64_t at;
};

#define VM_SIM_LINEAR(x) ((struct vm_sim_linear){(x)})
#define VM_SIM_PHYSICAL(x) ((struct vm_sim_physical){(x)})

#define VM_SIM_PAGE_SHIFT 12
#define VM_SIM_PAGE_SIZE ((uint64_t)1 << VM_SIM_PAGE_SHIFT)

/* Page-frame number: physical address / 4 KiB.  44 bits of physical memory at most. */
typedef uint32_t vm_sim_pfn;
#define VM_SIM_NO_FRAME UINT32_MAX

enum vm_sim_access { VM_SIM_READ, VM_SIM_WRITE, VM_SIM_FETCH, VM_SIM_ACCESSES };

/* Permissions, or-ed. */
enum vm_sim_perm { VM_SIM_R = 1, VM_SIM_W = 2, VM_SIM_X = 4 };

/* The part of an address space that a page is in; kept in the page-table entry so that hits are counted by region. */
enum vm_sim_region {
    VM_SIM_NOWHERE,
    VM_SIM_TEXT,
    VM_SIM_DATA,
    VM_SIM_BSS,
    VM_SIM_HEAP,
    VM_SIM_MMAP, /* anonymous mappings */
    VM_SIM_FILE, /* mapped files */
    VM_SIM_STACK,
    VM_SIM_KERNEL,
    VM_SIM_REGIONS
};
const char *vm_sim_region_name(enum vm_sim_region r);

/* One reference of a program.  The batch interface takes arrays of these. */
struct vm_sim_ref {
    uint64_t offset;   /* in the segment; the linear address in the flat model */
    uint16_t selector; /* 0: the segment register that the access implies (CS for fetches, DS otherwise) */
    uint16_t process;  /* slot of the process, see process.h */
    uint8_t access;    /* enum vm_sim_access */
    uint8_t bytes;     /* 1..255; one that straddles pages is two references */
    uint16_t spare;
};
_Static_assert(sizeof(struct vm_sim_ref) == 16, "references are streamed");

#define VM_SIM_MAX_PROCESSES 4096

#endif
