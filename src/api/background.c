/* The background thread.  It is made at the first slow path of an allocation that finds MAKE_FROM bytes in use or kept:
   a program that never has so much never gets it.  While something is kept it looks twice in a decay time (src/reclaim/
   policy.h), and at the system's account of how long tasks waited for memory, and rests between; when nothing is kept
   it sleeps without a tick until src/page rouses it.  It takes locks as every thread does and holds none while it
   sleeps; all signals but libc's own are blocked in it.

   The process must end as if the thread was not there: it is detached, exit() does not wait for it, and when the main
   thread leaves by pthread_exit() it ends for good, so that the last thread of the program is the last of the process.
   After a fork the child has none and makes its own when it comes to need one.

   What it cannot take back: blocks in the current slabs of living threads and free pages in their partly used ones, which
   are theirs to touch (page.h); they are asked to return these when they next refill a slab, and what they hold is
   bounded (QUIET_BYTES_ALL in slab.c, VM_SPARSE_FLOOR).  No lock: `state` is changed atomically. */
#include "api/background.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/heap.h"
#include "os/cgroup.h"
#include "os/os.h"
#include "os/sleeper.h"
#include "page/extent.h"
#include "page/zone.h"
#include "reclaim/limit.h"
#include "reclaim/policy.h"

#define MAKE_FROM VM_MIB
#define STACK_BYTES (64 * VM_KIB)
#define NS_PER_MS UINT64_C(1000000)
#define PRESSURE_NS (500 * NS_PER_MS) /* from one look at the pressure to the next, at most */

enum { OFF, NOT_READY, WANTED, BEING_MADE, RUNNING };

size_t vm_background_from = SIZE_MAX;
static uint32_t state;
static bool refused; /* once, and said so; by the thread that says BEING_MADE */
/* What vm_background_hold() takes; before every other lock. */
static struct vm_lock at_work = VM_LOCK_INIT(VM_RANK_START);
static pid_t process; /* whose thread it is, or will be: a child of vfork has our memory, but is another */

static bool kept_something(void)
{
    struct vm_frames_stats frames;
    struct vm_extents_stats extents;

    vm_frames_stats(&frames);
    vm_extents_stats(&extents);
    return frames.free_dirty > 0 || extents.claimed > 0;
}

/* What the thread knows of the system's shortage of memory; its own. */
struct pressure {
    char path[VM_CGROUP_PATH]; /* "": not looked for yet */
    uint64_t stalled, at;      /* us, ns: at the last look; at 0: none yet */
};

/* Every look asks anew and keeps no descriptor, which the program might close, and use for something else. */
static void look_at_pressure(struct pressure *p)
{
    uint64_t stalled, now = vm_os.now();
    bool pressed = false;

    if (vm_os.is_confined())
        return;
    if (p->path[0] == '\0')
        vm_cgroup_pressure_file(p->path);
    if (vm_cgroup_stalled(p->path, &stalled)) {
        pressed = p->at != 0 && now > p->at && vm_policy_pressed(stalled, p->stalled, now - p->at);
        p->stalled = stalled;
        p->at = now;
    }
    VM_STORE(&vm_limits.pressed, pressed);
}

/* The heaps are asked for what they have only under strain and when nothing else is left: it costs them something.  What
   they give ages like all that is kept; to return it here would take what the program freed meanwhile, too. */
static void look(uint64_t decay_ns)
{
    if (vm_limit_strained())
        vm_heaps_collect();
    vm_frames_age(decay_ns);
    vm_extents_age(decay_ns);
    if (vm_frames_kept() + vm_extents_claimed() == 0)
        vm_heaps_collect();
}

static void *run(void *arg)
{
    uint64_t decay_ns = vm_options.decay * NS_PER_MS;
    uint64_t interval = vm_age_interval(decay_ns),
             rest = vm_options.pressure ? vm_min(interval, PRESSURE_NS) : interval;
    struct pressure pressure = {.at = 0};

    (void)arg;
    pthread_setname_np(pthread_self(), "vmalloc");
    while (VM_LOAD(&vm_sleeper) != VM_SLEEPER_STOPPED) {
        if (vm_options.pressure)
            look_at_pressure(&pressure);
        vm_background_hold();
        look(decay_ns);
        vm_background_release();
        if (vm_frames_kept() + vm_extents_claimed() > 0) {
            vm_sleeper_rest(rest);
            continue;
        }
        if (!vm_sleeper_lie_down())
            break;
        if (kept_something()) {
            vm_sleeper_get_up();
            continue;
        }
        pressure.at = 0; /* how memory fares meanwhile is of no account */
        VM_STORE(&vm_limits.pressed, false);
        vm_sleeper_sleep();
    }
    return NULL;
}

void vm_background_hold(void) { vm_lock_outer(&at_work); }
void vm_background_release(void) { vm_unlock(&at_work); }

void vm_background_start(void)
{
    process = getpid();
    VM_STORE(&state, NOT_READY);
}

void vm_background_ready(void)
{
    if (VM_LOAD(&state) != NOT_READY)
        return;
    VM_STORE(&state, WANTED);
    VM_STORE(&vm_background_from, MAKE_FROM);
}

/* libc's own signals stay open, which setuid() sends to every thread and waits for: so sigfillset(), which knows them. */
static int make_thread(void)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int error = pthread_create(&thread, &attributes, run, NULL);
    if (error) { /* a program with much thread-local data needs more stack than that for it */
        pthread_attr_destroy(&attributes);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        error = pthread_create(&thread, &attributes, run, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* A signal handler that interrupted us may allocate, too: not the time. */
static bool holding_a_lock(void)
{
    const struct vm_heap *h = vm_heap_mine();

    return vm_lock_is_mine(&vm_frames_lock) || vm_lock_is_mine(&vm_extents_lock) || vm_lock_is_mine(&vm_heaps_lock)
           || (h && vm_lock_is_mine(&h->lock));
}

VM_COLD void vm_background_make(void)
{
    uint32_t expected = WANTED;

    if (VM_LOAD(&state) != WANTED || holding_a_lock() || getpid() != process)
        return;
    if (!__atomic_compare_exchange_n(&state, &expected, BEING_MADE, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    VM_STORE(&vm_background_from, SIZE_MAX);
    int error = make_thread();
    expected = BEING_MADE;
    if (!error) {
        __atomic_compare_exchange_n(&state, &expected, RUNNING, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        return;
    }
    if (!refused)
        vm_warn("background: no thread can be made (error %d); tried again when twice as much memory is in use", error);
    refused = true;
    VM_STORE(&vm_background_from, 2 * VM_LOAD(&vm_limits.charged));
    __atomic_store_n(&state, WANTED, __ATOMIC_RELEASE);
}

void vm_background_thread_ends(void)
{
    if (VM_LOAD(&state) == OFF || syscall(SYS_gettid) != getpid())
        return;
    VM_STORE(&state, OFF);
    VM_STORE(&vm_background_from, SIZE_MAX);
    vm_sleeper_stop();
}

void vm_background_forked(void)
{
    VM_STORE(&vm_limits.pressed, false);
    process = getpid();
    vm_lock_forget_holder(&at_work);
    if (VM_LOAD(&state) == OFF || VM_LOAD(&state) == NOT_READY)
        return;
    VM_STORE(&vm_sleeper, VM_SLEEPER_AWAKE);
    VM_STORE(&vm_background_from, MAKE_FROM);
    VM_STORE(&state, WANTED);
}
