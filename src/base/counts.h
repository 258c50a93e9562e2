/* The layout of what stats=1 and stats=FILE count in: an area of VM_COUNTS_BYTES, the process's own memory or a file that
   a process shares with its children and with whoever started them.  It begins with struct vm_counts_file, which
   describes the rest: cells of VM_COUNTS_CELL bytes, each taken once, by one process, and never given back.  A process
   has a process cell, and a heap cell for every thread heap that its calls went through; only the owner of a heap writes
   into its cell, so that counts are exact however the process ends.  The process cell holds the last sample: what was
   live then, by size class.  Native byte order; readers take every field as it is. */
#ifndef VM_COUNTS_H
#define VM_COUNTS_H

#include "base/base.h"

#define VM_COUNTS_MAGIC UINT64_C(0x324b4c4254534d56) /* "VMSTBLK2" in memory on little-endian machines */
#define VM_COUNTS_BYTES (16 * VM_MIB)                /* of a file made for it; sparse */
#define VM_COUNTS_BYTES_MIN (64 * VM_KIB)            /* smaller ones are refused */
#define VM_COUNTS_CLASSES 89                         /* as VM_CLASSES; class 0 stands for large blocks */
#define VM_COUNTS_SLOTS 65                           /* requests up to 1024 bytes, by (bytes + 15) / 16 */

enum vm_counts_kind { VM_COUNTS_UNUSED, VM_COUNTS_PROCESS, VM_COUNTS_HEAP };

enum vm_counts_end {
    VM_COUNTS_RUNNING, /* or ended by _exit, exec or a signal: the sample is the last one taken while it ran */
    VM_COUNTS_EXITED,  /* the sample was taken at exit */
};

struct vm_counts_class {
    uint64_t calls; /* blocks handed out */
    uint64_t asked; /* bytes asked for by these calls */
};

struct vm_counts_heap {
    uint64_t kind;     /* VM_COUNTS_HEAP */
    uint64_t process;  /* number of the cell of its process */
    uint64_t reallocs; /* calls of realloc with a block and a size; those that moved count as a block handed out, too */
    uint64_t failures; /* calls that returned NULL for want of memory */
    uint64_t slot[VM_COUNTS_SLOTS];                     /* blocks handed out for requests of no special alignment */
    struct vm_counts_class of_class[VM_COUNTS_CLASSES]; /* all others */
};

struct vm_counts_process {
    uint64_t kind; /* VM_COUNTS_PROCESS */
    uint64_t pid;
    uint64_t parent;  /* number of the cell of the process that forked it; 0: it was started by exec */
    uint64_t end;     /* enum vm_counts_end */
    char command[16]; /* cut to 15 characters */

    /* The sample, and what is derived from all of them.  Bytes unless said otherwise. */
    uint64_t samples;      /* count */
    uint64_t peak_live;    /* live blocks, by the sizes of their classes, and large ones, at most */
    uint64_t peak_space;   /* slab_space, frames_free, large_live and large_kept when live was at the peak */
    uint64_t live;         /* the same now */
    uint64_t large_live;   /* large blocks */
    uint64_t large_count;  /* count */
    uint64_t large_kept;   /* free extents with pages */
    uint64_t slab_space;   /* slabs */
    uint64_t frames_free;  /* free frames with pages */
    uint64_t metadata;     /* mapped */
    uint64_t heaps;        /* count */
    uint64_t minor_faults; /* count; as getrusage says, as the next two */
    uint64_t major_faults; /* count */
    uint64_t rss_peak;     /* of the process, with what it inherited of the one that executed it */
    uint64_t born_large;   /* count: large blocks that were live when it was forked */
    struct vm_counts_tlb { /* written at exit with the option tlb; 4 KiB pages, fed with allocator events */
        char preset[24];   /* of the processor; "": none */
        uint64_t references, l1_hits, l2_hits, misses; /* count */
    } tlb;
    uint32_t live_blocks[VM_COUNTS_CLASSES];   /* handed out, or on their way home in a message */
    uint32_t carved_blocks[VM_COUNTS_CLASSES]; /* ever given life, in slabs that stand now */
    uint32_t born_blocks[VM_COUNTS_CLASSES];   /* live when it was forked */
};

/* Blocks freed are derived: born + calls - live, by class. */

struct vm_counts_file {
    uint64_t magic;
    uint64_t cell_bytes; /* VM_COUNTS_CELL */
    uint64_t first_cell; /* offset of cell 1 from the start of the area; there is no cell 0 */
    uint64_t cells;      /* that there is room for */
    uint64_t next;       /* number of the next cell to take; above `cells`: some found no room and are not counted */
    uint64_t classes;    /* VM_COUNTS_CLASSES */
    uint64_t slots;      /* VM_COUNTS_SLOTS */
    uint64_t reserved;
    uint32_t class_size[VM_COUNTS_CLASSES]; /* bytes */
};

#define VM_COUNTS_FIRST 4096
#define VM_COUNTS_CELL 2496

_Static_assert(sizeof(struct vm_counts_file) <= VM_COUNTS_FIRST, "the first page is the description");
_Static_assert(sizeof(struct vm_counts_heap) <= VM_COUNTS_CELL && sizeof(struct vm_counts_process) <= VM_COUNTS_CELL,
               "cells hold both kinds");
_Static_assert(VM_COUNTS_CELL % VM_CACHE_LINE == 0, "cells share no cache line");

#endif
