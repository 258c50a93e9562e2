/* One look at a process: the heap's ranges (tool/peek.h) laid over the pages that the kernel says are resident
   (tool/procfs.h).  Used by rss, map and tlb.  The process runs on meanwhile: mappings are read before and after, and the
   look is repeated, a few times at most, while they differ.

   Every resident byte of the heap is in one of a piece's six shares:

       resident = live + free + slack + kept + unused + meta

   live    in blocks that the program has.  Which pages of a slab they lie on is known exactly for blocks of a page and
           more, by the seals of the free ones; smaller ones are counted: each touches every page it lies on
   free    in blocks of a slab that are free
   slack   of a slab and no block: the end that holds no whole block, and what is not yet cut into blocks
   kept    free frames and extents that hold pages
   unused  the heap's, never handed out or given back, and resident all the same: the rest of huge pages
   meta    descriptors, page tables, mem_map */
#ifndef TOOL_VIEW_H
#define TOOL_VIEW_H

#include "tool/peek_tlb.h"
#include "tool/procfs.h"
#include "tool/shared.h"

#define VIEW_CHUNK (UINT64_C(1) << 21)
#define VIEW_LOOKS 8 /* at most */

enum view_kind { VIEW_SLAB, VIEW_FRAMES, VIEW_EXTENT_LIVE, VIEW_EXTENT_FREE, VIEW_META, VIEW_KINDS };

struct view_piece {
    uint64_t start, end; /* never across a multiple of VIEW_CHUNK */
    uint64_t live, free, slack, kept, unused, meta;
    uint64_t resident, huge, swapped; /* huge: bytes of `resident` mapped by huge entries */
    uint64_t handed_out;              /* bytes in live blocks, resident or not */
    uint32_t block_size;              /* SLAB */
    uint32_t blocks;                  /* SLAB: handed out; EXTENT_LIVE: 1 in the piece that it starts in */
    uint8_t kind;                     /* enum view_kind */
    uint8_t class_id;                 /* SLAB */
};

struct view {
    pid_t pid, task;              /* task: whose files in /proc are read; see struct peek */
    struct peek *peek;            /* NULL: the heap could not be read, there are no pieces, see `shared` */
    struct vm_share_page *shared; /* what the program published, of view_open_shared(); else NULL */
    struct procfs_totals totals;
    struct procfs_maps maps; /* with the figures of smaps */
    struct procfs_pages pages;
    struct procfs_runs runs;  /* pages of all mappings in which pieces lie */
    struct view_piece *piece; /* by address */
    size_t count;
    bool modelled; /* the process feeds a TLB model */
    struct peek_tlb tlb;
    bool has_pages; /* pagemap could be read; else no shares: resident is not known by piece */
    bool knows_huge;
    bool moved;    /* mappings changed in every look */
    int64_t drift; /* bytes: RSS after the look less RSS before it */
};

/* Looks at the process.  NULL after one line on stderr, which begins with the command's name. */
struct view *view_open(const char *command, pid_t pid);

/* The same, and where the heap cannot be read, or when `only` says so, with what the program publishes (share=1): figures
   without addresses. */
struct view *view_open_shared(const char *command, pid_t pid, bool only);
void view_close(struct view *v);

/* Resident bytes of a mapping that lie in no piece; `next` is the first piece that may reach into it. */
uint64_t view_uncovered(const struct view *v, const struct procfs_mapping *m, size_t next);

/* The mapping of the library's exported block: its own, or the program's when it is linked statically; NULL: not known. */
const struct procfs_mapping *view_library(const struct view *v);

const char *view_version(const struct view *v); /* of the library */

/* A process id from the command line: TOOL_OK, or the status after a message.  Digits that no process can have are no
   mistake in usage but no such process. */
int view_take_pid(const char *command, const char *text, pid_t *pid);

/* After a -errno: one line on stderr that names the process; returns TOOL_FAILED. */
int view_failed(const char *command, pid_t pid, int error);

#endif
