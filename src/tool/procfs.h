/* What /proc/PID says of a process: whether it lives, its memory: mappings with the figures of smaps, totals, threads' stacks,
   children, and pages one by one from pagemap.  Needs no help from the process, only the permission to read these files (the
   same user's, or root).  All sizes in bytes.  Functions return 0 or -errno; used by stat, where, rss, map and tlb. */
#ifndef TOOL_PROCFS_H
#define TOOL_PROCFS_H

#include <stdio.h>
#include <sys/types.h>

#include "base/base.h"

struct procfs_mapping {
    uint64_t start, end, offset;
    char perms[5]; /* "rw-p" */
    char *path;    /* "" when anonymous; "[heap]" and the like */
    uint64_t rss, anonymous, shared, private_, private_dirty, lazy_free, anon_huge, swap;
    bool is_file;     /* has an inode, that is, backed by a file or shared memory */
    bool not_forked;  /* VM_DONTCOPY or VM_WIPEONFORK: a child does not get its pages */
    bool is_special;  /* VM_PFNMAP, VM_IO: pages that no RSS counts */
    bool may_be_huge; /* THPeligible */
};

struct procfs_maps {
    struct procfs_mapping *mapping; /* by address */
    size_t count;
};

/* Of one line of maps or smaps ("start-end perms offset dev inode path"); false when it is none.  The path is
   allocated. */
bool procfs_parse_mapping(const char *line, struct procfs_mapping *m);

/* smaps, or maps without the figures, from an open file; closes nothing. */
int procfs_parse_maps(FILE *in, struct procfs_maps *maps);
int procfs_read_smaps(pid_t pid, struct procfs_maps *maps);
int procfs_read_maps(pid_t pid, struct procfs_maps *maps);
void procfs_maps_free(struct procfs_maps *maps);
bool procfs_maps_equal(const struct procfs_maps *a, const struct procfs_maps *b); /* borders, permissions and paths */
struct procfs_mapping *procfs_mapping_at(const struct procfs_maps *maps, uint64_t address); /* NULL: none covers it */

/* Characters of control and those above `last` become '?': programs may call themselves and their files anything, and
   this goes to terminals. */
VM_INLINE void procfs_make_printable(char *text, unsigned char last)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++)
        *at = *at >= ' ' && *at != 0x7f && *at <= last ? *at : '?';
}
#define PROCFS_ASCII 0x7e
#define PROCFS_ANY 0xff

/* ---- The process ---- */

#define PROCFS_STAT_ROOM 1024

/* Reads /proc/TASK/stat into the line; what stands behind the name, which is in brackets and may hold some.  NULL and
   errno when it cannot be read. */
const char *procfs_read_stat(pid_t task, char line[PROCFS_STAT_ROOM]);

/* There is no such task (any more), or it is a zombie or about to be one. */
bool procfs_has_ended(pid_t task);

/* The process, or when its first thread has ended, and is a zombie, another thread: only that has its memory. */
pid_t procfs_living_task(pid_t pid);

struct procfs_totals {
    uint64_t rss;        /* smaps_rollup: counted by walking the pages */
    uint64_t status_rss; /* VmRSS of status: the kernel's counters */
    uint64_t page_tables, swap;
    char name[32];
    bool has_rollup; /* else rss is status_rss */
};
int procfs_read_totals(pid_t pid, struct procfs_totals *t);

/* The stack pointers of all threads that are not running this moment; allocated. */
int procfs_stack_pointers(pid_t pid, uint64_t **sp, size_t *count);

/* The children of a process whose program is its own, that is, that forked and did not exec; allocated. */
int procfs_forked_children(pid_t pid, pid_t **child, size_t *count);

/* ---- Pages ---- */

enum {
    PROCFS_PRESENT = 1 << 0, /* counted in RSS */
    PROCFS_SWAPPED = 1 << 1,
    PROCFS_HUGE = 1 << 2,      /* mapped by a huge entry */
    PROCFS_FILE = 1 << 3,      /* of a file, or shared */
    PROCFS_EXCLUSIVE = 1 << 4, /* only this process maps it; from procfs_pages_words() alone */
};

struct procfs_run {
    uint64_t start, end;
    uint32_t flags;
};

struct procfs_runs {
    struct procfs_run *run; /* by address, neither adjoining with equal flags nor without flags */
    size_t count;
};

/* An open pagemap.  With PAGEMAP_SCAN (Linux 6.7) zero pages are told from others and huge mappings seen; without it
   `scans` is false, the zero page counts as present and PROCFS_HUGE is never set. */
struct procfs_pages {
    int fd;
    bool scans;
};

int procfs_pages_open(pid_t pid, struct procfs_pages *p);
void procfs_pages_close(struct procfs_pages *p);

/* Appends the runs of pages in [start, end) that are present or swapped. */
int procfs_pages_read(struct procfs_pages *p, uint64_t start, uint64_t end, struct procfs_runs *runs);

/* The same by the 64-bit words of the file, which know PROCFS_EXCLUSIVE; the zero page counts as present. */
int procfs_pages_words(struct procfs_pages *p, uint64_t start, uint64_t end, struct procfs_runs *runs);

/* Appends a run above all others; one that is neither present nor swapped is left out. */
int procfs_runs_add(struct procfs_runs *runs, uint64_t start, uint64_t end, uint32_t flags);
void procfs_runs_free(struct procfs_runs *runs);

/* Bytes of [start, end) in runs that have all of `flags`.  *hint: where to begin; 0 at first, for ascending calls. */
uint64_t procfs_runs_bytes(const struct procfs_runs *runs, uint64_t start, uint64_t end, uint32_t flags, size_t *hint);

#endif
