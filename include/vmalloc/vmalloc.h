/* libvmalloc: what it offers beside the malloc family, which it serves under the names of the C library. */
#ifndef VMALLOC_VMALLOC_H
#define VMALLOC_VMALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that runs, as "major.minor.patch". */
const char *vmalloc_version(void);

/* Checks every invariant of the allocator's structures that can be checked while the calling thread is the only one
   that allocates: 1 when all hold, 0 otherwise.  For tests; walks the whole heap. */
int vmalloc_check(void);

/* ---- The account ---- */

/* Bytes, unless the name ends otherwise.  Fields are only ever added, at the end. */
struct vmalloc_stats {
    uint64_t small_live_bytes;     /* small blocks handed out, or on their way home to the heap that owns them */
    uint64_t small_live_blocks;    /* count */
    uint64_t large_live_bytes;     /* large blocks (128 KiB and more) handed out, rounded to pages */
    uint64_t large_live_blocks;    /* count */
    uint64_t slab_bytes;           /* slabs: what small blocks are cut from */
    uint64_t slab_free_bytes;      /* freed small blocks in slabs */
    uint64_t slab_untouched_bytes; /* small blocks in slabs that were never handed out */
    uint64_t slab_tail_bytes;      /* what is left behind the last block of slabs */
    uint64_t slab_quiet_bytes;     /* what is not live of slabs that are kept although they may be empty */
    uint64_t frames_dirty_bytes;   /* free frames that hold pages */
    uint64_t frames_clean_bytes;   /* free frames that hold none */
    uint64_t extents_dirty_bytes;  /* freed large blocks that hold pages */
    uint64_t extents_clean_bytes;  /* free large ranges that hold none */
    uint64_t metadata_bytes;       /* mapped for descriptors and tables, without the brk heap's mem_map */
    uint64_t mem_map_bytes;        /* descriptors of the frames between the ends of the brk heap */
    uint64_t heaps;                /* count: heaps of threads */
    uint64_t heaps_idle;           /* count: those whose thread has ended */
    /* Counted with VMALLOC_OPTIONS=stats=1 (or stats=FILE) only; else counted is 0, and so are these. */
    uint64_t counted;         /* 1: calls are counted */
    uint64_t calls;           /* blocks handed out, by malloc and its kin and by realloc when it moved a block */
    uint64_t frees;           /* blocks taken back; derived: exact while no other thread is at work */
    uint64_t reallocs;        /* calls of realloc with a block and a size */
    uint64_t failures;        /* calls that failed for want of memory */
    uint64_t peak_live_bytes; /* of small and large blocks together, sampled: low by 1/16 or 64 KiB at most */
};

/* One size class; class 0 stands for large blocks. */
struct vmalloc_class {
    uint64_t block_bytes; /* 0 of class 0 */
    uint64_t slabs;       /* count */
    uint64_t slab_bytes;
    uint64_t live_blocks; /* count */
    uint64_t free_blocks; /* count: freed, or given life and not handed out */
    uint64_t calls;       /* as above; with stats=1 only, as the next two */
    uint64_t frees;
    uint64_t asked_bytes; /* that the calls asked for; those of up to 1024 bytes rounded up to 16 */
};

/* Fill *s and *c; bytes: sizeof of what the caller has, so that programs and libraries of different versions fit together
   (what the library does not know reads as zero).  They walk all slabs (100 us for 1 GiB of heap or so) and take locks one
   after another; other threads may go on.  0; or -1 and errno EINVAL: bytes is 0, or there is no such class. */
int vmalloc_stats_read(struct vmalloc_stats *s, size_t bytes);
int vmalloc_class_read(unsigned class_id, struct vmalloc_class *c, size_t bytes);

/* Writes the account to a descriptor: for people, as malloc_info()'s XML, or as JSON with the names above.  0; or -1 and
   errno: EINVAL for the format, else write(2)'s. */
enum vmalloc_format { VMALLOC_TEXT, VMALLOC_XML, VMALLOC_JSON };
int vmalloc_dump(int fd, enum vmalloc_format format);

/* ---- Addresses and blocks ---- */

enum vmalloc_owner {
    VMALLOC_NOT_OURS,
    VMALLOC_SMALL_BLOCK,  /* a block below 128 KiB that is handed out */
    VMALLOC_SMALL_FREE,   /* one that was freed, or is on its way home */
    VMALLOC_SMALL_UNUSED, /* one that was never handed out */
    VMALLOC_SLAB_TAIL,    /* behind the last block of a slab */
    VMALLOC_FREE_FRAME,   /* 64 KiB of the heap that belong to no slab */
    VMALLOC_LARGE_BLOCK,
    VMALLOC_LARGE_FREE,
};

struct vmalloc_address {
    enum vmalloc_owner owner;
    unsigned class_id; /* of a slab's block or tail, else 0 */
    void *start;       /* of the block, tail, frame or large range; NULL when it is not ours */
    size_t bytes;      /* its length */
    int resident;      /* is the page of the address in memory?  1, 0; -1: the system does not say, or not ours */
};

/* What an address, any address, is to the allocator; at one moment: another thread may hand the block out or free it at
   once.  0; -1 and errno EINVAL when bytes, sizeof *a, is 0. */
int vmalloc_translate(const void *address, struct vmalloc_address *a, size_t bytes);

/* Calls visit(start, bytes, class_id, arg) for every block that is handed out, the small ones by address, then the large
   ones (class_id 0), until it returns something else than 0; returns that, or 0.  Blocks that are handed out or freed
   meanwhile may be met or not.  Blocks are noted some at a time under a lock, and visited with no lock held: visit may
   allocate and free, but the block it is shown may be gone when another thread frees it. */
int vmalloc_walk(int (*visit)(void *start, size_t bytes, unsigned class_id, void *arg), void *arg);

/* Gives what is free back to the system: as malloc_trim(0), and says how many bytes of free frames and large ranges that
   were. */
size_t vmalloc_purge(void);

/* ---- The TLB model, fed with allocator events ----

   Exact models of data TLBs (4 KiB pages, two levels, LRU, page-walk caches), one for each thread.  Every block handed
   out, zeroed or grown touches its pages, every block freed its first one.  What the program does with its blocks is not
   seen: for that, record it (vmalloc trace) and ask vmalloc tlb.  No time can be had from these counts. */

/* Starts from zero with the model of a processor: "skylake", "zen4" ... (vmalloc tlb --list), "textbook", or "host", this
   one.  0; or -1 and errno: ENOENT (no such processor), ENOTSUP (this one does not tell), EBUSY (it runs already), EINVAL
   (NULL), ENOSYS (compiled without).  Other threads take part from their next call that is not served at once from what
   they have at hand.  Calls cost about three times as much until it is stopped. */
int vmalloc_tlb_start(const char *processor);

/* Stops; what was counted stays to be read. */
void vmalloc_tlb_stop(void);

struct vmalloc_tlb {
    char preset[32];     /* the processor; "" when it was never started */
    uint64_t threads;    /* that have a model */
    uint64_t handed_out; /* blocks: by malloc, calloc, aligned forms, operator new */
    uint64_t zeroed;     /* of these by calloc */
    uint64_t grown;      /* calls of realloc that succeeded */
    uint64_t freed;      /* blocks */
    uint64_t skipped;    /* events that could not be fed: in signal handlers, in threads past their end */
    uint64_t references; /* = l1_hits + l2_hits + misses */
    uint64_t l1_hits;
    uint64_t l2_hits;
    uint64_t misses;      /* page walks */
    uint64_t table_reads; /* entries of page tables that they read */
};

/* The sum over threads since the start, while it runs too; bytes: sizeof *out.  0; or -1 and errno EINVAL: bytes is 0. */
int vmalloc_tlb_read(struct vmalloc_tlb *out, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
