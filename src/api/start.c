/* Start-up, at the first call that misses (often before any constructor has run): page size, secret, options, zones,
   and the destructor that tells when a thread ends.  No stdio, no allocation, nothing that could call malloc. */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/sample.h"
#include "api/api.h"
#include "api/background.h"
#include "api/growth.h"
#include "api/feed.h"
#include "base/fail.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/count.h"
#include "heap/heap.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/huge.h"
#include "page/zone.h"
#include "reclaim/limit.h"
#include "report/fidelity.h"
#include "report/share.h"
#include "report/stats.h"
#include "report/tlb_feed.h"
#include "report/trace.h"
#include "vm/mmu.h"

static struct vm_lock start_lock = VM_LOCK_INIT(VM_RANK_START);
static bool started; /* set once everything is ready */
static pthread_key_t thread_end_key;
static bool have_key; /* const: after start-up */

/* Other destructors may still free, and allocate, after ours has run.  A destructor that sets its key again is called
   again in the next round: so the heap is given up in the second of the (at least four) rounds, and what comes later
   is served by the shared heap. */
static void thread_ends(void *round)
{
    if (round == (void *)1 && pthread_setspecific(thread_end_key, (void *)2) == 0)
        return;
    vm_thread_end();
    vm_background_thread_ends();
}

static void thread_begins(void)
{
    if (have_key)
        pthread_setspecific(thread_end_key, (void *)1);
}

#ifndef VM_PREFIX
/* Of gcc's sanitizers that are shared libraries and know memory by having handed it out.  Behind a malloc that comes before
   theirs they crash, or see nothing. */
extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

static VM_COLD _Noreturn void refuse(const char *sanitizer, const char *library)
{
    char line[256];
    size_t n = vm_fmt(
        line, sizeof line,
        "libvmalloc: the %s sanitizer of this program needs malloc for itself: run it without libvmalloc, "
        "or with LD_PRELOAD=\"%s libvmalloc.so\"\n",
        sanitizer, library);
    vm_os_end(line, n);
}

/* Not when the sanitizer is in the program, as clang's are, or preloaded before us: then its malloc is the process's. */
static void refuse_sanitizers(void)
{
    if (VM_LIKELY(!__asan_init && !__tsan_init) || VM_API(malloc) != vm_own_malloc)
        return;
    if (__asan_init)
        refuse("address", "libasan.so");
    refuse("thread", "libtsan.so");
}
#else
static void refuse_sanitizers(void) {}
#endif

/* Without instrumentation its options are refused, in a line each. */
static void refuse_instruments(void)
{
    const struct vm_options *o = &vm_options;
    const struct {
        const char *name;
        bool asked;
    } instrument[] = {
        {"stats", o->stats[0] && strcmp(o->stats, "0") != 0},
        {"trace", o->trace[0]},
        {"sample", o->sample != 0},
        {"vm", o->vm != 0},
        {"vm_check", o->vm_check[0]},
        {"tlb", o->tlb[0]},
    };

    for (size_t i = 0; i < sizeof instrument / sizeof *instrument; i++)
        if (instrument[i].asked)
            vm_warn("VMALLOC_OPTIONS: %s is not compiled in (--disable-instrumentation); ignored", instrument[i].name);
    vm_options.stats[0] = vm_options.trace[0] = vm_options.vm_check[0] = vm_options.tlb[0] = '\0';
    vm_options.sample = vm_options.vm = 0;
}

static VM_COLD void start_counting(void)
{
    vm_stats_start(vm_options.stats);
    if (!vm_counting)
        return;
    vm_family_counted();
#ifndef VM_PREFIX
    vm_cxx_counted();
#endif
}

/* What options ask for is called only when they do: it lies apart from the code that every program runs (src/cold.ld). */
void vm_start(void)
{
    if (VM_LIKELY(VM_LOAD_ACQUIRE(&started))) {
        vm_fidelity_tick();
        vm_share_tick();
        return;
    }
    vm_lock(&start_lock);
    if (started) {
        vm_unlock(&start_lock);
        return;
    }
    refuse_sanitizers();
    vm_os_start();
    /* The topmost byte 0xf8 to 0xfb is rare there in what programs store: no pointer, no small number, no text, no double
       but huge negative ones.  So vm_may_be_sealed() hardly ever says yes for nothing. */
    vm_secret = (vm_os_secret() & ~((uint64_t)0xfc << 56)) | (uint64_t)0xf8 << 56;
    vm_secret += vm_is_sealed(VM_BLOCK_END); /* the one secret that would make the end of a list look like a block */
    vm_options_read(secure_getenv("VMALLOC_OPTIONS"));
    if (!VM_INSTRUMENT)
        refuse_instruments();
    if (vm_options.vm || vm_options.vm_check[0])
        vm_mmu_full_start();
    vm_limits_set(vm_options.limit, vm_options.limit_hard);
    if (vm_options.vm_check[0])
        vm_fidelity_start(vm_options.vm_check);
    vm_huge_start(vm_options.thp);
    /* sbrk is not made for two callers at once: where libc's malloc is at work as well, the break is its. */
    vm_zones_start(vm_options.brk != 0 && (VM_API(malloc) == vm_own_malloc || vm_api_is_process_malloc()));
    vm_extents_start();
    if (vm_options.stats[0])
        start_counting();
    bool tracing = vm_options.trace[0] && vm_trace_start(vm_options.trace);
    bool sampling = vm_options.sample != 0 && vm_sample_start(vm_options.sample);
    vm_heaps_start(tracing || sampling);
    if (vm_options.tlb[0] && vm_feed_start(vm_options.tlb) != 0)
        vm_warn("VMALLOC_OPTIONS: tlb: no processor '%s' (vmalloc tlb --list); ignored", vm_options.tlb);
    have_key = pthread_key_create(&thread_end_key, thread_ends) == 0;
    vm_thread_begin_hook = thread_begins;
    if (vm_options.background)
        vm_background_start();
    if (vm_options.share)
        vm_share_start(true);
    vm_growth_start();
    VM_STORE_RELEASE(&started, true);
    vm_unlock(&start_lock);
    vm_fork_start();
}

/* So that even a program that never allocates before it starts threads registers its fork handlers first. */
__attribute__((constructor(101))) static void at_load(void)
{
    vm_start();
    if (vm_options.background) {
        thread_begins(); /* so that the end of the main thread is seen, even if it never allocates */
        vm_background_ready();
        vm_growth_changed();
    }
}

/* One line for who asked for statistics and set limits that mattered. */
static void report_limits(void)
{
    size_t passed = VM_LOAD(&vm_limits.passed), refused = VM_LOAD(&vm_limits.refused);

    if (passed > 0 || refused > 0)
        vm_warn("limits: passed limit %zu times, %zu requests refused by limit_hard, %zu bytes counted at most", passed,
                refused, VM_LOAD(&vm_limits.highest));
}

__attribute__((destructor)) static void at_exit(void)
{
    if (vm_counting) {
        vm_counts_exit();
        report_limits();
    }
    if (vm_options.tlb[0])
        vm_feed_report();
    if (vm_options.vm_check[0])
        vm_fidelity_now();
    if (vm_options.share)
        vm_share_end();
}
