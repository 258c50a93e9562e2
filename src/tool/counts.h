/* Reading the area that stats=FILE counts in (base/counts.h): sums over the heaps of a process, or of all.  Used by
   vmalloc-launch and the command; allocates nothing, trusts no number in the area. */
#ifndef TOOL_COUNTS_H
#define TOOL_COUNTS_H

#include "base/counts.h"

struct counts_class {
    uint64_t calls, frees; /* blocks handed out, and taken back */
    uint64_t asked;        /* bytes asked for by these calls; those of up to 1024 bytes rounded up to 16 */
    uint64_t live, carved; /* blocks, at the last sample */
};

struct counts_sum {
    uint64_t processes, heaps;    /* one that executed several programs counts once */
    uint64_t calls, asked, given; /* blocks handed out, bytes asked for, bytes handed out (but for large blocks) */
    uint64_t frees, reallocs, failures; /* calls */
    uint64_t live, peak_live;           /* bytes; of several processes the largest one's */
    bool ended;                         /* every process took its last sample at exit */
    struct counts_class of[VM_COUNTS_CLASSES];
};

/* A file of VM_COUNTS_BYTES zeroed bytes for stats=FILE, made in the first of the usual places that will do, mapped;
   path: its name.  NULL when there is none, path is then "".  Those that killed makers left there are removed. */
struct vm_counts_file *counts_make(char *path, size_t size);

/* Maps a file that was written; NULL and errno when it cannot be. */
const struct vm_counts_file *counts_map(const char *path, size_t *bytes);

/* Has anybody counted in it, and in this layout? */
bool counts_good(const struct vm_counts_file *file, size_t bytes);

/* The process with the least number above *number, which is set to its; NULL when there is no more. */
const struct vm_counts_process *counts_next(const struct vm_counts_file *file, uint64_t *number);

/* Sums up the process of that number; 0: all of them. */
void counts_sum(const struct vm_counts_file *file, uint64_t number, struct counts_sum *sum);

#endif
