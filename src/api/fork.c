/* fork: before it every lock is taken, in the order of ranks and without waiting for one that the forking thread itself
   holds; after it both sides let them go, and the child turns the heaps of the threads it does not have into idle ones.

   A signal handler that forks may have interrupted a thread which holds an inner lock, and the holder of an outer one may
   wait for just that lock, in the midst of its work.  Such an outer lock is tried and not waited for; the child leaves
   the heap behind it alone for good, though blocks in it can still be freed.  The extents and the frames are never left
   half done by that: no signal comes while the metadata's lock is held (os/meta.c), the table's is held under one of
   theirs, and who waits for it with the frames' has a new zone in hand that is not entered yet.

   glibc's fork takes the lock of stdio's list of files after our handler has run, while a thread inside stdio that
   holds it may wait for one of ours: so it is taken here first, as glibc does for its own malloc. */
#include <pthread.h>

#include "api/api.h"
#include "api/background.h"
#include "api/growth.h"
#include "base/lock.h"
#include "heap/count.h"
#include "heap/heap.h"
#include "os/meta.h"
#include "page/extent.h"
#include "page/zone.h"
#include "report/fidelity.h"
#include "reclaim/limit.h"
#include "report/share.h"
#include "report/tlb_feed.h"
#include "report/trace.h"
#include "vm/mmu.h"

/* glibc's, absent elsewhere.  The reset in the child is what fork itself does, and safe to repeat. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

/* Below the heaps' locks, in the order of their ranks. */
static struct vm_lock *const inner_locks[] = {&vm_purge_lock, &vm_extents_lock, &vm_frames_lock, &vm_mmu_lock,
                                              &vm_meta_lock};
#define INNER_LOCKS (sizeof inner_locks / sizeof *inner_locks)

/* The rank of the innermost lock that we hold when a signal handler that interrupted us forks; VM_RANK_HEAP if none. */
static unsigned innermost_held(void)
{
    for (size_t i = INNER_LOCKS; i-- > 0;)
        if (vm_lock_is_mine(inner_locks[i]))
            return inner_locks[i]->rank;
    return vm_lock_is_mine(&vm_heaps_lock) ? VM_RANK_HEAPS : VM_RANK_HEAP;
}

/* May a thread that holds a lock of this rank be waiting for one that we hold?  Then we must not wait for it.  Of the
   extents and the frames neither waits for the other. */
static bool may_wait_for_us(unsigned rank, unsigned held)
{
    return rank < held && !(rank == VM_RANK_EXTENTS && held == VM_RANK_FRAMES);
}

static void before_fork(void)
{
    if (_IO_list_lock && _IO_list_unlock && _IO_list_resetlock)
        _IO_list_lock();
    vm_lock_pass_on();
    vm_gate_close();
    unsigned held = innermost_held();
    vm_heaps_fork_lock(!may_wait_for_us(VM_RANK_HEAP, held));
    for (size_t i = 0; i < INNER_LOCKS; i++)
        vm_lock_for_fork(inner_locks[i], !may_wait_for_us(inner_locks[i]->rank, held));
}

/* True when the fork interrupted a critical section of the forking thread. */
static bool unlock_inner(void)
{
    bool kept = false;

    for (size_t i = INNER_LOCKS; i-- > 0;)
        kept |= vm_unlock_after_fork(inner_locks[i]);
    return kept;
}

static void after_fork_in_parent(void)
{
    vm_mmu_forked();
    unlock_inner();
    vm_heaps_fork_unlock();
    vm_gate_open();
    if (_IO_list_lock && _IO_list_unlock && _IO_list_resetlock)
        _IO_list_unlock();
}

static void after_fork_in_child(void)
{
    vm_trace_stop();
    vm_mmu_forked();
    vm_fidelity_forked();
    vm_feed_forked();
    vm_share_forked();
    for (size_t i = 0; i < INNER_LOCKS; i++)
        vm_lock_forget_holder(inner_locks[i]);
    bool interrupted = unlock_inner();
    vm_heaps_fork_child(interrupted);
    vm_heaps_fork_unlock();
    if (!interrupted) /* other threads may have had memory in hand that is charged and counted nowhere else */
        vm_limit_recount(vm_heap_accounted());
    vm_background_forked();
    vm_growth_changed();
    vm_gate_open();
    vm_counts_fork_child();
    if (_IO_list_lock && _IO_list_unlock && _IO_list_resetlock)
        _IO_list_resetlock();
}

void vm_fork_start(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }
