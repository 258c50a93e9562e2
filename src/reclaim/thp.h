/* Which memory earns huge pages: pure arithmetic, no globals, no system calls, time passed in.  A huge page saves 511 of
   512 faults and as many entries of the TLB, and costs what its owner never touches of it, for good.  So
   - a chunk (2 MiB of the frames heap) gets one when it is opened, that is, its first frame is handed out, in a heap that
     is large and in use but for a small share, if chunks given huge pages before lived on: those that were broken up
     soon, because frames or pages of theirs went back, count against it until that is forgotten;
   - a chunk gets one, too, when memory in plenty that went back lately is asked for again: a wave, which will fill it;
     and so do extents of any size, mapped together, if those that went back were seen to be touched nearly everywhere;
   - a large extent gets them when the program's large extents were seen to be touched nearly everywhere.  One that was
     not makes the evidence needed from then on twice as much.  Some extents stay without, so that there is evidence;
   - neither does while huge pages are dearer than the faults they save: where memory is fragmented, or where a host takes
     the guest's free ones away (free page reporting), the first touch of one takes milliseconds.  Then nothing gets one
     for a while, which is longer every time.
   The caller locks. */
#ifndef VM_THP_H
#define VM_THP_H

#include "base/base.h"

#define VM_THP_BYTES (2 * VM_MIB)      /* of a huge page, where pages have 4 KiB */
#define VM_THP_HEAP_MIN (256 * VM_MIB) /* in use, before a chunk earns a huge page */
#define VM_THP_FREE_SHARE 8            /* at most that part of what is in use may lie free */
#define VM_THP_WAVE_MIN (64 * VM_MIB)  /* that goes back and is asked for again, before it earns huge pages */
#define VM_THP_BROKEN_SHARE 4          /* at most that part of the huge chunks may have been broken up lately */
#define VM_THP_FORGET_NS ((uint64_t)8000000000) /* half of what happened is forgotten in this time */
#define VM_THP_COST_MAX_NS ((uint64_t)500000)   /* of a huge page; 512 faults of 1 us: bench/reclaim/dense, thp=never */
#define VM_THP_COST_LOOKS 3                     /* dear ones in a row; a busy processor may spoil one */
#define VM_THP_COST_FAR 6 /* times that: one such is enough; a host's takes 4 ms (bench/NOTES.md) */
#define VM_THP_PAUSE_NS ((uint64_t)2000000000)
#define VM_THP_PAUSE_DOUBLINGS 9
#define VM_THP_EXTENT_MIN (4 * VM_MIB)
#define VM_THP_EXTENT_NEED 2      /* dense extents in a row that earn huge pages for the next */
#define VM_THP_EXTENT_NEED_MAX 64 /* ... after many sparse ones */
#define VM_THP_DENSE_SHARE 16     /* at most that part of a dense extent is not resident */
#define VM_THP_RETURN_TURN 8      /* one of so many extents that go back is looked at ... */
#define VM_THP_RETURN_PAGES 512   /* ... until so many pages were, at least; half is forgotten at 64 times that */
#define VM_THP_WITNESS_TURN 8     /* every so many extents one stays without huge pages */

enum vm_thp_mode { VM_THP_AUTO, VM_THP_NEVER, VM_THP_ALWAYS };

/* What the system does, /sys/kernel/mm/transparent_hugepage/enabled. */
enum vm_thp_system { VM_THP_SYSTEM_NEVER, VM_THP_SYSTEM_MADVISE, VM_THP_SYSTEM_ALWAYS };

struct vm_thp {
    uint32_t opened, broken; /* chunks that got huge pages, and that were broken up, lately */
    uint64_t decayed;        /* ns, when both last decayed */
    uint64_t paused_until;   /* ns */
    uint32_t pauses;         /* so far */
    uint32_t dear;           /* first touches in a row that were too dear */
    uint32_t dense;          /* extents found dense in a row */
    uint32_t need;           /* 0: none was sparse so far; else dense ones needed */
    uint32_t turn;           /* extents that have earned huge pages since the last witness */
    uint32_t looked;         /* pages looked at of extents that went back, ... */
    uint32_t resident;       /* ... of which so many were touched */
};

/* The mode of that name, -1 when there is none. */
int vm_thp_mode_of(const char *name);

/* What the kernel's text says, the word in brackets; NEVER for what is no such text. */
enum vm_thp_system vm_thp_system_of(const char *text);

/* Does a chunk that is opened earn a huge page?  `used` bytes of frames are in use, `kept` lie free and resident. */
bool vm_thp_open_chunk(struct vm_thp *t, size_t used, size_t kept, uint64_t now);

/* Does a chunk that is opened earn a huge page as part of a wave?  `owed` bytes went back lately and were not asked for
   again so far, `earned` were (reclaim/keep.h). */
bool vm_thp_open_wave(struct vm_thp *t, size_t owed, size_t earned, uint64_t now);

/* The first touch of a huge page took that long. */
void vm_thp_note_cost(struct vm_thp *t, uint64_t ns, uint64_t now);

/* A chunk with a huge page lost part of it. */
void vm_thp_break_chunk(struct vm_thp *t, uint64_t now);

/* Were (nearly) all pages that were looked at touched? */
bool vm_thp_is_dense(size_t resident, size_t looked);

/* Of an extent that had no huge pages `looked` pages were looked at; `resident` of them were touched. */
void vm_thp_note_extent(struct vm_thp *t, size_t resident, size_t looked);

/* The same of an extent that goes back, and does a mapping for extents of a wave earn huge pages? */
void vm_thp_note_return(struct vm_thp *t, size_t resident, size_t looked);
bool vm_thp_map_wave(const struct vm_thp *t, size_t owed, size_t earned, uint64_t now);

/* Does an extent of that size, of which nothing is resident, earn huge pages? */
bool vm_thp_open_extent(struct vm_thp *t, size_t bytes, uint64_t now);

#endif
