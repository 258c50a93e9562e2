/* A futex mutex that knows its owner and its rank.  Ranks give the one order in which locks nest (fork takes all of
   them in that order); the owner lets a signal handler that interrupted malloc, and fork inside one, see that it
   would wait for itself. */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include "base/base.h"

/* FUTEX_WAIT and FUTEX_WAKE of <linux/futex.h>, which not every C library can include, each with FUTEX_PRIVATE_FLAG. */
enum { VM_FUTEX_WAIT = 0 | 128, VM_FUTEX_WAKE = 1 | 128 };

/* Taken in this order; of two heaps' locks the second is only ever tried, never waited for (fork excepted). */
enum vm_lock_rank {
    VM_RANK_START,   /* one-time initialisation */
    VM_RANK_HEAP,    /* struct vm_heap: slow paths of one heap */
    VM_RANK_HEAPS,   /* the list of heaps and of idle heaps */
    VM_RANK_PURGE,   /* returning frames */
    VM_RANK_EXTENTS, /* large blocks */
    VM_RANK_FRAMES,  /* frames of the brk heap and the zones */
    VM_RANK_MMU,     /* the shadow page table's writers */
    VM_RANK_META,    /* the metadata bump allocator */
};

/* The holder stands in the word itself: a signal handler never sees a lock that is taken by nobody.

     31                                         1  0
    +--------------------------------------------+---+
    | vm_thread_self() of the holder, 0 when free| W |     W: somebody may wait
    +--------------------------------------------+---+ */
struct vm_lock {
    uint32_t word;
    uint32_t rank; /* const: enum vm_lock_rank, for the reader and the debugger */
    bool kept;     /* not taken by the fork under way: its thread held it, or it was not to be had; under the gate */
};

/* clang-format off */
#define VM_LOCK_INIT(r) {0, (r), false}
/* clang-format on */

/* A number that is this thread's alone while it lives (until 2^31 threads have come and gone); never 0.  The same in the
   child of its fork. */
uint32_t vm_thread_self(void);

void vm_lock(struct vm_lock *l);

/* Is it worth to try for a while before waiting for a lock?  Yes, unless the process has one processor at most. */
void vm_lock_spin(bool worth);
bool vm_trylock(struct vm_lock *l);
void vm_unlock(struct vm_lock *l);
bool vm_lock_is_mine(const struct vm_lock *l);

/* Takes a lock while holding none of ours: the same as vm_lock(), but while a thread is about to fork it waits until that
   is done.  Without this gate threads that come back for their lock again and again keep the forking one, which has to
   take all of them, waiting for seconds. */
void vm_lock_outer(struct vm_lock *l);
void vm_gate_close(void);
void vm_gate_open(void);

/* For a signal handler that is going to wait: the thread it interrupted may have been woken to take a lock, which nobody
   else is woken for until it does.  Wakes all others who wait for that lock. */
void vm_lock_pass_on(void);

/* For fork: takes the lock unless the caller has it (a signal handler that forks inside malloc), and undoes just that.
   Without `wait` it is only tried: its holder may be waiting for another lock, which the caller has.
   vm_unlock_after_fork() returns true when it was not taken; in the child, before that, vm_lock_forget_holder() frees a
   lock whose holder is a thread that the child does not have, and says so. */
void vm_lock_for_fork(struct vm_lock *l, bool wait);
bool vm_lock_forget_holder(struct vm_lock *l);
bool vm_unlock_after_fork(struct vm_lock *l);

#endif
