/* Simulated files and the page cache: file pages that are in memory, by (file, page).  Files have a name and a size, no
   contents.  Row 28 (file pages), row 30 (neighbouring segments share a page), row 31 (syncable, discardable). */
#ifndef VM_SIM_FILE_H
#define VM_SIM_FILE_H

#include "base/list.h"
#include "sim/types.h"

struct vm_sim_machine;

/* cached[p] is a frame of kind FILE with this owner and index p, and count 1 for the cache. */
struct vm_sim_file {
    struct vm_sim_file *next;
    const char *name;
    uint64_t bytes;
    uint64_t pages;
    vm_sim_pfn *cached; /* [pages]: VM_SIM_NO_FRAME when not in memory */
    bool *evicted;      /* [pages]: reclaim took it */
    uint64_t cached_pages;
    struct vm_list vmas;    /* every VMA that maps it, by vma->file_link: reverse mapping */
    uint64_t reads, writes; /* pages from and to the disk */
    bool is_memory;         /* shared anonymous memory: its first touch reads nothing */
};

/* By name; made with this size when it is new, grown when it is shorter. */
struct vm_sim_file *vm_sim_file_open(struct vm_sim_machine *m, const char *name, uint64_t bytes);
/* The frame of a page, read in when it is not there; its count is raised.  VM_SIM_NO_FRAME: no memory. */
vm_sim_pfn vm_sim_file_page(struct vm_sim_machine *m, struct vm_sim_file *f, uint64_t page, bool *was_cached);
void vm_sim_file_drop_page(struct vm_sim_machine *m, struct vm_sim_file *f,
                           uint64_t page);        /* of reclaim: unmapped, clean */
void vm_sim_files_free(struct vm_sim_machine *m); /* no area maps one any more */
bool vm_sim_files_check(const struct vm_sim_machine *m);

#endif
