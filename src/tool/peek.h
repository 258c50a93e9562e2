/* Reading the heap of another process, or of a core file, through the block that libvmalloc exports (report/block.h).
   The process is not stopped, prepared or slowed; it may change anything meanwhile, so every walk is bounded, and a
   snapshot says whether the heap moved while it was taken.  Used by the subcommands stat, where, rss, map and tlb.

       char error[PEEK_ERROR_MAX];
       struct peek *p = peek_open("1234", error);
       struct peek_snapshot *s = p ? peek_snapshot(p, error) : NULL;
       if (!s)
           return tool_failed(name, "%s", error);        */
#ifndef TOOL_PEEK_H
#define TOOL_PEEK_H

#include <sys/types.h>

#include "base/fact.h"

#define PEEK_ERROR_MAX 512

/* ---- Opening, reading bytes ---- */

struct peek_core;
struct peek {
    pid_t pid;              /* of the process; of a core file the one that it was, or 0 */
    pid_t task;             /* whose memory and /proc files to read: pid, or another thread when the first has ended */
    struct peek_core *core; /* NULL: a live process */
    char what[256];         /* as the user named it */
    uint64_t block;         /* address of the block there */
    char version[16];       /* of the library there, in printable characters */
    struct vm_fact *fact;
    size_t facts;
};

/* what: a process id (digits only), or the path of a core file.  NULL on failure, with one line in error that names
   `what` and says why. */
struct peek *peek_open(const char *what, char error[PEEK_ERROR_MAX]);
void peek_close(struct peek *p);

/* Why the process may not be looked at, for messages. */
const char *peek_not_allowed(pid_t pid);

/* All of [address, address + bytes) or false. */
bool peek_read(const struct peek *p, uint64_t address, void *to, size_t bytes);

/* The fact of that name ("zone.base", "#FRAME_SHIFT", "&zones"); NULL when the library there has none. */
const struct vm_fact *peek_fact(const struct peek *p, const char *name);

/* Value of a number or address of a root; 0 when there is no such fact. */
uint64_t peek_value(const struct peek *p, const char *name);

/* The number of up to 8 bytes that a root's address leads to; false when it cannot be had. */
bool peek_root(const struct peek *p, const char *name, uint64_t *value);

/* An option's value there: a number, or a text of less than cap bytes; false when it knows none of the name. */
bool peek_option(const struct peek *p, const char *name, uint64_t *value);
bool peek_option_text(const struct peek *p, const char *name, char *text, size_t cap);

/* ---- A snapshot: what every part of the heap is ---- */

enum peek_kind {
    PEEK_SLAB,          /* 1 to 8 frames of the brk heap or a zone, cut into blocks */
    PEEK_FRAME_DIRTY,   /* one free frame that holds pages: `resident` bytes from its start, as far as is known */
    PEEK_FRAME_CLEAN,   /* free frames, one or more in a row, that hold no pages */
    PEEK_FRAME_FLIGHT,  /* frames between free and slab at this moment */
    PEEK_EXTENT_LIVE,   /* a large block */
    PEEK_EXTENT_WARM,   /* freed just now, kept as it is for a request of its size */
    PEEK_EXTENT_DIRTY,  /* free, holds pages */
    PEEK_EXTENT_CLEAN,  /* free, holds no pages */
    PEEK_EXTENT_FLIGHT, /* changing its state at this moment */
    PEEK_METADATA,      /* a chunk of descriptors and tables */
    PEEK_MEM_MAP,       /* the reservation of the brk heap's descriptors; only what it needs holds pages */
    PEEK_FOREIGN,       /* inside the brk heap's bounds, but not ours: somebody else moved the break */
    PEEK_KINDS
};
const char *peek_kind_name(enum peek_kind kind); /* "slab", "free frame, dirty" ... */

struct peek_range {
    uint64_t start, end;
    uint64_t descriptor; /* its address there; 0: none */
    uint64_t owner;      /* slab: its heap's address */
    uint64_t resident;   /* dirty frame: see above */
    enum peek_kind kind;
    uint32_t block_size; /* slab: bytes a block */
    uint32_t capacity;   /* slab: blocks; the tail behind the last one is end - start - capacity * block_size */
    uint32_t carved;     /* slab: blocks ever given life; those above were never touched */
    uint32_t used;       /* slab: blocks handed out, or on their way home as a message */
    uint64_t absent;     /* slab: bit i: unit i of its pages went back, free blocks begin there: peek_unit_bytes() */
    uint8_t class_id;    /* slab */
    uint8_t state;       /* slab: enum vm_slab_state */
    bool quiet;          /* slab: known to be kept though it may be empty */
    bool zeroed;         /* extent: reads as zero (live: since it was handed out) */
};

enum peek_heap_state { PEEK_HEAP_LIVE, PEEK_HEAP_IDLE, PEEK_HEAP_SHARED };
struct peek_heap {
    uint64_t address;
    enum peek_heap_state state;
    uint64_t quiet_bytes;         /* what its quiet slabs hold */
    uint64_t slabs, carved, used; /* count; bytes; bytes */
    uint64_t outbox_boxes;        /* boxes in which it holds back blocks of other heaps */
};

struct peek_snapshot {
    struct peek_range *range; /* by address, none overlaps another */
    size_t ranges;
    struct peek_heap *heap; /* newest first */
    size_t heaps;
    uint64_t brk_base, brk_top; /* of the brk heap: first chunk to the end of what is ours; 0: there is none */
    uint64_t metadata_mapped;   /* bytes */
    uint64_t mem_map_used;      /* bytes of the brk heap's descriptors that describe frames of ours */
    bool moved;                 /* the heap changed while it was read, also at the last try */
    unsigned odd;               /* descriptors left out because they made no sense at that moment */
};

/* NULL on failure, with one line in error. */
struct peek_snapshot *peek_snapshot(const struct peek *p, char error[PEEK_ERROR_MAX]);
void peek_snapshot_free(struct peek_snapshot *s);

/* Bytes of a slab that one bit of `absent` stands for: a page of so many bytes, or more, so that 64 bits are enough. */
VM_INLINE uint64_t peek_unit_bytes(const struct peek_range *slab, uint64_t page)
{
    while (slab->end - slab->start > 64 * page)
        page *= 2;
    return page;
}

/* The range that holds the address, or NULL. */
const struct peek_range *peek_range_at(const struct peek_snapshot *s, uint64_t address);

#endif
