/* How much of a running process's heap a TLB can map at once: bytes, by page size, region and size class.  Nothing is
   known of the references that the process makes, so there are no misses here, and none are made up.  Made from a view;
   printed by cmd_tlb_pid.c. */
#ifndef TOOL_REACH_H
#define TOOL_REACH_H

#include "tool/view.h"
#include "vm/tlb.h"

#define REACH_CLASSES 256

/* What the heap would look like in pages of one size, all of them resident that hold a resident byte now. */
enum reach_page { REACH_AS_IS, REACH_4K, REACH_64K, REACH_2M, REACH_PAGES };

struct reach_what_if {
    uint64_t pages;  /* entries that map all of it */
    uint64_t wasted; /* bytes that RSS would grow by */
};

struct reach_region {
    uint64_t resident, huge;
    uint64_t live;
    uint64_t chunks;          /* of 2 MiB that hold some of it */
    uint64_t huge_chunks;     /* ... as huge pages */
    uint64_t last, last_huge; /* chunks counted last, plus 1 */
};

struct reach {
    struct reach_region all;
    struct reach_what_if what_if[REACH_PAGES];
    struct reach_region region[VIEW_KINDS];
    struct reach_region of_class[REACH_CLASSES]; /* slabs, by class; without those of no slab */
    uint32_t class_size[REACH_CLASSES];
};

void reach_make(const struct view *v, struct reach *r);

/* Bytes of a region that the level (1, 2) maps at best: as it is, the huge pages first, or in pages of one size.  A 64 KiB
   page takes an entry for small ones. */
uint64_t reach_covered(const struct vm_tlb_config *c, unsigned level, enum reach_page page,
                       const struct reach_region *region);

/* Bytes that a whole level maps with pages of one size; not for REACH_AS_IS. */
uint64_t reach_of_level(const struct vm_tlb_config *c, unsigned level, enum reach_page page);

#endif
