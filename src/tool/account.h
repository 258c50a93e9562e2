/* The reconciliation behind `vmalloc rss`: every byte of a process's RSS in one part, and what is left over.  Made from a
   view: the heap's parts are sums over its pieces, the others come from smaps, mapping by mapping; in mappings that hold
   both, what no piece covers counts as the mapping's kind.

       rss = sum of the parts + residual

   Where the heap cannot be read and the program publishes its account (share=1), the heap's parts are what it holds,
   resident or not, and the other anonymous memory is what they leave: then the residual proves nothing. */
#ifndef TOOL_ACCOUNT_H
#define TOOL_ACCOUNT_H

#include "tool/view.h"

enum account_part {
    ACCOUNT_SMALL,   /* live blocks in slabs */
    ACCOUNT_LARGE,   /* live extents */
    ACCOUNT_SLACK,   /* of slabs: no block */
    ACCOUNT_FREE,    /* blocks in slabs */
    ACCOUNT_FRAMES,  /* kept */
    ACCOUNT_EXTENTS, /* kept */
    ACCOUNT_LAZY,    /* freed with MADV_FREE: counts until the kernel takes it */
    ACCOUNT_UNUSED,  /* in huge pages */
    ACCOUNT_META,
    ACCOUNT_LIBRARY, /* libvmalloc's code and data */
    ACCOUNT_PROGRAM, /* its file's mappings, and what lies beside them */
    ACCOUNT_LIBRARIES,
    ACCOUNT_FILES,  /* other files, privately or read only */
    ACCOUNT_SHARED, /* shared memory and files mapped shared, writable */
    ACCOUNT_STACKS,
    ACCOUNT_BREAK,  /* [heap], but none of our frames: before the first, or of somebody who moves the break too */
    ACCOUNT_ANON,   /* anonymous memory that somebody else mapped */
    ACCOUNT_KERNEL, /* [vdso] and the like */
    ACCOUNT_PARTS
};
#define ACCOUNT_OTHERS ACCOUNT_PROGRAM /* from here on not ours */

/* What a fork now would have to copy if every page were written afterwards, by either side: anonymous pages of private
   mappings that a child gets. */
struct account_fork {
    uint64_t part[ACCOUNT_PARTS];
    uint64_t all, swapped;
    uint64_t page_tables; /* copied at once, by fork itself, at most */
};

/* What became of one that happened: this process and a child of it that runs the same program. */
struct account_child {
    pid_t pid;
    uint64_t rss;
    uint64_t shared;      /* bytes of anonymous pages that the child still shares */
    uint64_t private_;    /* ... that are its own */
    uint64_t copied;      /* addresses at which both have a page of their own: copied since, or new in both */
    uint64_t copied_heap; /* ... in the heap as it is now */
    uint64_t shared_heap; /* pages of the heap that the child shares */
    bool knows_copies;    /* the three above were read */
};

struct account {
    uint64_t rss, sum;
    uint64_t part[ACCOUNT_PARTS];
    int64_t residual;
    uint64_t handed_out; /* bytes of live blocks, resident or not */
    uint64_t huge;       /* resident bytes of the heap in huge pages */
    uint64_t returned;   /* bytes of slabs, frames and extents that are not resident */
    uint64_t swapped;
    struct account_fork fork;
    struct account_child *child;
    size_t children;
    struct account_mapping {
        const struct procfs_mapping *mapping;
        uint64_t bytes; /* of it that are not the heap's */
        enum account_part part;
    } * other; /* by address, those with bytes */
    size_t others;
};

/* 0 or -errno; children only when asked for. */
int account_make(struct view *v, bool children, struct account *a);
void account_free(struct account *a);

const char *account_name(enum account_part part);
const char *account_key(enum account_part part); /* in JSON */

#endif
