/* Thread heaps: what a thread allocates from without a lock.  heap_fast.h has the hit paths; the functions here are
   their misses.  A heap is LIVE (one thread's), IDLE (its thread ended; in the idle list) or SHARED (the one heap that
   serves threads which are past their own end; used under its lock only).

   The lock of a heap is held by every slow path of its owner, and by whoever takes from it while it is idle: so fork
   finds every heap either locked by itself or in the middle of a hit path, whose stores are ordered such that any
   prefix of them leaves a sound heap (a block may be lost in the child, none is handed out twice). */
#ifndef VM_HEAP_H
#define VM_HEAP_H

#include "base/fact.h"
#include "base/list.h"
#include "base/lock.h"
#include "heap/class.h"
#include "page/page.h"
#include "reclaim/keep.h"

#define VM_DIRECT_MAX 1024 /* direct[] finds the slab of requests up to here */
#define VM_DIRECT_SLOTS (VM_DIRECT_MAX / VM_BLOCK_MIN + 1)

#define VM_STEPS_FROM 4096 /* bytes: blocks that may get more than they ask for when they grow; see heap.c */

/* Blocks of one other heap that a thread freed and holds back to send together.  Each costs its size and
   VM_OUTBOX_BLOCK_COST against VM_OUTBOX_ROOM: so a box holds at most 31 blocks and 8 KiB, but for the last one. */
#define VM_OUTBOXES 8
#define VM_OUTBOX_ROOM 8192
#define VM_OUTBOX_BLOCK_COST 240

/* Batches come in by several lists in turn: the owner walks them side by side, so that the cache misses of one list,
   each of which must be over before the next block of it is known, overlap with those of the others. */
#define VM_INBOXES 8

struct vm_outbox {
    struct vm_heap *owner;
    struct vm_block *head, *tail; /* head NULL: empty */
    int32_t room;                 /* below 0: send it */
    uint32_t turn;                /* modulo VM_INBOXES: the list that the next batch goes to */
};

#define VM_SPARSE_FLOOR (2 * VM_MIB) /* what sparse slabs of a heap may always hold free */

enum vm_heap_state { VM_HEAP_LIVE, VM_HEAP_IDLE, VM_HEAP_SHARED };

/* What a hit reads: the slab to pop for (n + 15) / 16, and by class; vm_slab_none where there is none. */
struct vm_entries {
    struct vm_page *direct[VM_DIRECT_SLOTS];
    struct vm_page *current[VM_CLASSES];
    struct vm_counts_heap *counts; /* of a tap, see count.h: never NULL while a thread uses its heap; else NULL */
};

struct vm_heap {
    struct vm_entries hit; /* read by the hit paths */
    struct vm_heap *real;  /* const: itself; of a front (instrumentation) the heap behind it; NULL of constants */
    /* const: where calls are counted the true entries (of fronts and constants: `hit`, which is empty), else NULL */
    struct vm_entries *tap;

    /* Owner's, or the lock holder's while idle. */
    struct vm_list partial[VM_CLASSES]; /* slabs with blocks to give: those with freed ones first */
    struct vm_list quiet, sparse;       /* quiet and sparse slabs, the latest first; see page.h */
    size_t quiet_bytes;                 /* derived: what quiet slabs hold */
    size_t quiet_cut;                   /* by how much less that may be than it might; see slab.c */
    size_t sparse_bytes;                /* derived: what sparse slabs hold free */
    struct vm_keep sparse_keep;         /* how much of that may stay */
    struct vm_outbox out[VM_OUTBOXES];

    struct vm_lock lock;
    struct vm_heap *next;     /* const: the list of all heaps, newest first */
    struct vm_list idle_link; /* in the idle list; under vm_heaps_lock */
    struct vm_heap **seat;    /* LIVE: the address of its thread's vm_tls; under vm_heaps_lock */
    struct vm_heap *front;    /* owner's: the instrumented face of this heap, once made */
    struct vm_feed *feed;     /* owner's: its model of a TLB, once fed (report/tlb_feed.h) */
    uint8_t state;            /* enum vm_heap_state; under vm_heaps_lock */
    bool return_wanted;       /* the owner is asked to return what it can; set by any thread */
    int64_t sample_budget;    /* owner's: bytes to refill with before a sample is due (count.h) */

    /* Other threads'. */
    struct vm_block *inbox[VM_INBOXES] VM_ALIGNED(VM_CACHE_LINE); /* blocks freed by others, newest first */
} VM_ALIGNED(VM_CACHE_LINE);

/* This thread's heap, its front, or one of the two constant heaps: none yet, or no more. */
extern VM_HIDDEN __thread struct vm_heap *vm_tls __attribute__((tls_model("initial-exec")));
extern VM_HIDDEN const struct vm_heap vm_heap_none, vm_heap_gone;
extern VM_HIDDEN const struct vm_page vm_slab_none;
extern struct vm_lock vm_heaps_lock;
extern VM_HIDDEN struct vm_fact vm_heap_facts[]; /* for other processes */

/* ---- The misses.  NULL means a shortage.  For messages:
   `call` is the function the user called ("free()"), freeing says that it frees. ---- */

/* n bytes, aligned to align (a power of two >= 16), reading as zero when asked. */
void *vm_heap_alloc(size_t n, size_t align, bool zero);
void vm_heap_free(void *p, const char *call);

/* The same for large blocks, without a lock or a system call: NULL and false where one is needed, and
   NULL where calls are counted.  p: not NULL. */
void *vm_heap_alloc_warm(size_t n, size_t align, bool zero);
bool vm_heap_free_warm(void *p);
size_t vm_heap_usable(const void *p, const char *call, bool freeing);

/* As C's realloc for p != NULL and n > 0; never moves when n fits the block. */
void *vm_heap_realloc(void *p, size_t n, const char *call);

/* Is this a large block that stays as it is when it is resized to n?  No lock. */
bool vm_heap_has_room(const void *p, size_t n);

/* Bytes of frames and extents in use or kept: what is charged (reclaim/limit.h), but for what a thread has in hand. */
size_t vm_heap_accounted(void);

/* A block's `held` came to 0 in the owner's hit path. */
void vm_heap_slab_event(struct vm_page *slab);

/* ---- Threads. ---- */

/* Once, before anything else; instrument: every heap from now on gets a front, so that all calls take the misses. */
void vm_heaps_start(bool instrument);

/* The same at any time later, or no more of it: when the first comes, or the last goes, threads get a front, or lose it, at
   their next miss; the calling one now. */
void vm_heaps_instrument(bool on);

/* Gives the calling thread's heap up for others to adopt; from now on the shared heap serves it. */
void vm_thread_end(void);

/* The slabs that the heap serves from, by class. */
struct vm_page **vm_heap_currents(struct vm_heap *h);

/* Around fork: all heaps and their list locked (without `wait`: those that can be had at once), and unlocked.  In the
   child first, with these locks held: every heap but the caller's becomes idle.  interrupted: some other lock was held by
   the forking thread before. */
void vm_heaps_fork_lock(bool wait);
void vm_heaps_fork_unlock(void);
void vm_heaps_fork_child(bool interrupted);

/* The heap the calling thread allocates from, made when it has none; NULL when it is past its end or there is no
   memory.  And the heap of threads past their end, used under its lock; NULL without memory. */
struct vm_heap *vm_heap_mine(void);
struct vm_heap *vm_heap_shared(void);

/* Heaps that threads are using now; without a lock. */
unsigned vm_heaps_live(void);

/* All heaps, newest first, linked by next. */
struct vm_heap *vm_heaps_newest(void);

/* Returns to the frames, and from partly used slabs to the system, all that heaps can spare; see vm_slabs_return(). */
void vm_heaps_collect(void);

/* Runs when a thread first gets a heap; src/api arms the thread-exit destructor here. */
extern void (*vm_thread_begin_hook)(void);

struct vm_heaps_stats {
    size_t heaps, idle; /* count */
    size_t slab_bytes;  /* carved blocks of all slabs */
    size_t used_bytes;  /* handed out, or on its way home as a message */
};
void vm_heaps_stats(struct vm_heaps_stats *s);

/* All invariants of the calling thread's heap and its slabs, idle heaps included. */
bool vm_heap_check(void);

#endif
