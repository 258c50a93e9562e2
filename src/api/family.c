/* The malloc family, with glibc's semantics and, where its versions differ, the newest's.  Each function is its hit path
   and one tail call; errno is set here and nowhere below. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/probe.h"
#include "report/sample.h"
#include "api/api.h"
#include "api/background.h"
#include "api/growth.h"
#include "api/feed.h"
#include "api/mallinfo.h"
#include "os/os.h"
#include "os/redirect.h"
#include "page/extent.h"
#include "page/zone.h"
#include "reclaim/limit.h"
#include "report/dump.h"
#include "report/info.h"
#include "report/tlb_feed.h"
#include "report/trace.h"
#include "vm/mmu.h"
#include "vmalloc/vmalloc.h"

#ifdef __clang__
#define ALIAS_AS(visibility, of) extern visibility __attribute__((alias(VM_API_STRING(of))))
#else
#define ALIAS_AS(visibility, of) extern visibility __attribute__((alias(VM_API_STRING(of)), copy(of)))
#endif

/* Does anybody want to hear of every block? */
static bool is_told(void)
{
    return VM_INSTRUMENT && (vm_trace_fd >= 0 || vm_sample_every != 0 || VM_LOAD(&vm_feed_on));
}

static VM_COLD void tell_alloc(void *p, size_t n, bool zero)
{
    int saved = errno;

    if (VM_LOAD(&vm_feed_on))
        vm_feed_alloc(vm_tls->real, p, n, zero);
    vm_trace_alloc(p);
    vm_sample_alloc(p, n);
    errno = saved;
}

static VM_COLD void tell_free(void *p)
{
    int saved = errno;

    vm_trace_free(p);
    vm_sample_free(p);
    if (VM_LOAD(&vm_feed_on))
        vm_feed_free(vm_tls->real, p);
    errno = saved;
}

static VM_NOINLINE void *alloc_missed(size_t n, size_t align, bool zero)
{
    int saved = errno;

    vm_start();
    void *p = vm_heap_alloc(n, align, zero);
    vm_growth();
    if (!p)
        VM_PROBE1(libvmalloc, out_of_memory, n);
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_counting) && !p)
        vm_count_call(false, true);
    errno = p ? saved : ENOMEM;
    return p;
}

static VM_NOINLINE void *alloc_slow(size_t n, size_t align, bool zero)
{
    void *p = vm_heap_alloc_warm(n, align, zero);

    if (!p)
        p = alloc_missed(n, align, zero);
    if (VM_UNLIKELY(is_told()) && p)
        tell_alloc(p, n, zero);
    return p;
}

VM_NOINLINE void *vm_api_alloc(size_t n, size_t align, bool zero)
{
    struct vm_entries *tap = VM_INSTRUMENT ? vm_tls->tap : NULL;
    void *p;

    if (VM_INSTRUMENT && VM_UNLIKELY(VM_LOAD(&vm_feed_on)) && (p = vm_api_alloc_fed(n, align, zero)) != NULL)
        return p;
    if (VM_LIKELY(tap == NULL))
        return alloc_slow(n, align, zero);
    p = vm_tap_any_hit(tap, n, align);
    if (VM_UNLIKELY(!p))
        return alloc_slow(n, align, zero);
    return zero ? memset(p, 0, n) : p;
}

/* What malloc does when it misses, as it always does where calls are counted and malloc_counted() could not take its place.
   (A heap that is fed to a TLB model has a front, and the entries of a front are empty.) */
static VM_NOINLINE void *malloc_missed(size_t n)
{
    struct vm_entries *tap = VM_INSTRUMENT ? vm_tls->tap : NULL;
    void *p;

    if (VM_UNLIKELY(tap != NULL) && VM_LIKELY(n <= VM_DIRECT_MAX) && VM_LIKELY((p = vm_tap_hit(tap, n)) != NULL))
        return p;
    return vm_api_alloc(n, VM_BLOCK_MIN, false);
}

static VM_NOINLINE void free_slow(void *p, const char *call)
{
    if (!p)
        return;
    if (VM_UNLIKELY(is_told()))
        tell_free(p);
    if (vm_heap_free_warm(p))
        return;
    int saved = errno;
    vm_start();
    vm_heap_free(p, call);
    errno = saved;
}

static VM_NOINLINE void free_missed(void *p, const char *call)
{
    if (!VM_INSTRUMENT || VM_LIKELY(!VM_LOAD(&vm_feed_on)) || !vm_api_free_fed(p))
        free_slow(p, call);
}

VM_ALIGNED(VM_CACHE_LINE) VM_NOINLINE void vm_api_free(void *p, const char *call)
{
    struct vm_page *slab;

    switch (vm_free_tail_hit(p, &slab)) {
    case VM_FREE_DONE: return;
    case VM_FREE_FOREIGN: /* which, where every block is told, a front makes of every block */
        if (VM_LIKELY(!vm_may_be_sealed(p)) && VM_LIKELY(vm_free_foreign_hit(slab, p)))
            return;
        break;
    default: break;
    }
    free_missed(p, call);
}

VM_HIT_EXPORT void *VM_API(malloc)(size_t n)
{
    void *p = vm_malloc_hit(n);

    return VM_LIKELY(p != NULL) ? p : malloc_missed(n);
}

/* The exported name can be interposed, the hidden one is ours. */
ALIAS_AS(VM_HIDDEN, VM_API(malloc)) void *vm_own_malloc(size_t n);

/* malloc, where calls are counted. */
static void *malloc_counted(size_t n)
{
    void *p = VM_LIKELY(n <= VM_DIRECT_MAX) ? vm_tap_hit(vm_tls->tap, n) : NULL;

    return VM_LIKELY(p != NULL) ? p : vm_api_alloc(n, VM_BLOCK_MIN, false);
}

void vm_family_counted(void) { vm_redirect((void *)vm_own_malloc, (const void *)malloc_counted); }

static VM_NOINLINE void free_foreign(void *b, struct vm_page *slab) { vm_api_free_foreign(b, slab, "free()"); }

VM_HIT_EXPORT void VM_API(free)(void *p) { vm_api_free_fast(p, "free()", free_foreign); }

VM_HIT_EXPORT void *VM_API(calloc)(size_t count, size_t size)
{
    size_t n;

    if (VM_UNLIKELY(__builtin_mul_overflow(count, size, &n))) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = vm_malloc_hit(n);
    return VM_LIKELY(p != NULL) ? memset(p, 0, n) : vm_api_alloc(n, VM_BLOCK_MIN, true);
}

static void *resize(void *p, size_t n, const char *call)
{
    int saved = errno;

    if (!p)
        return VM_API(malloc)(n);
    vm_start();
    if (n == 0) {
        vm_api_free(p, call);
        return NULL;
    }
    size_t before = VM_INSTRUMENT && VM_UNLIKELY(VM_LOAD(&vm_feed_on)) ? vm_heap_usable(p, call, false) : 0;
    vm_trace_free(p); /* it may be somebody else's at once */
    bool told = vm_sample_free(p);
    void *q = vm_heap_realloc(p, n, call);
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_counting))
        vm_count_call(true, q == NULL);
    vm_trace_alloc(q ? q : p);
    vm_sample_alloc(q, n);
    if (!q)
        VM_PROBE1(libvmalloc, out_of_memory, n);
    if (!q && told)
        vm_sample_keep(p, vm_heap_usable(p, call, false));
    if (before > 0 && q)
        vm_feed_grown(vm_tls->real, p, before, q, n);
    errno = q ? saved : ENOMEM;
    return q;
}

static VM_NOINLINE void *realloc_missed(void *p, size_t n)
{
    bool heard = is_told() || (VM_INSTRUMENT && VM_UNLIKELY(vm_counting));

    return !heard && vm_heap_has_room(p, n) ? p : resize(p, n, "realloc()");
}

static VM_NOINLINE void *realloc_moves(void *p, size_t n, struct vm_page *slab)
{
    void *q = n != 0 ? vm_move_hit(slab, p, n) : NULL;

    return VM_LIKELY(q != NULL) ? q : realloc_missed(p, n);
}

VM_EXPORT VM_NOINLINE void *VM_API(realloc)(void *p, size_t n)
{
    if (!p) {
        void *q = vm_malloc_hit(n);
        return VM_LIKELY(q != NULL) ? q : malloc_missed(n);
    }
    struct vm_page *slab = vm_slab_of_mine(p);
    if (VM_UNLIKELY(!slab))
        return realloc_missed(p, n);
    return VM_LIKELY(n - 1 < slab->size) ? p : realloc_moves(p, n, slab);
}

static enum { NOT_KNOWN, OURS, ANOTHERS } whose_malloc; /* found out when it is first asked */

/* Does a call of malloc reach somebody else?  Valgrind replaces malloc and most of the family where it finds them, and a program
   may define its own: then what they did not replace must give out blocks that they know. */
static bool malloc_is_anothers(void)
{
    if (VM_LOAD(&whose_malloc) == NOT_KNOWN) {
        void *(*get)(size_t) = VM_API(malloc);
        void (*give_back)(void *) = VM_API(free);
        __asm__("" : "+r"(get), "+r"(give_back)); /* a compiler that inlines them asks nobody */
        void *p = get(1);
        VM_STORE(&whose_malloc, !p ? NOT_KNOWN : vm_page_of((uintptr_t)p) ? OURS : ANOTHERS);
        give_back(p);
    }
    return VM_LOAD(&whose_malloc) == ANOTHERS;
}

VM_EXPORT void *VM_API(reallocarray)(void *p, size_t count, size_t size)
{
    size_t n;

    if (__builtin_mul_overflow(count, size, &n)) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc_is_anothers() ? VM_API(realloc)(p, n) : resize(p, n, "reallocarray()");
}

static void *alloc_aligned(size_t align, size_t n)
{
    if (align <= VM_BLOCK_MIN)
        return VM_API(malloc)(n);
    void *p = vm_aligned_hit(n, align);
    return VM_LIKELY(p != NULL) ? p : vm_api_alloc(n, align, false);
}

VM_EXPORT int VM_API(posix_memalign)(void **result, size_t align, size_t n)
{
    if (align % sizeof(void *) != 0 || !vm_is_pow2(align))
        return EINVAL;
    void *p = alloc_aligned(align, n);
    if (!p)
        return ENOMEM;
    *result = p;
    return 0;
}

VM_EXPORT void *VM_API(aligned_alloc)(size_t align, size_t n)
{
    if (!vm_is_pow2(align)) {
        errno = EINVAL;
        return NULL;
    }
    return alloc_aligned(align, n);
}

VM_EXPORT VM_NOINLINE void *VM_API(memalign)(size_t align, size_t n)
{
    if (align > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    /* The next power of two for what is none. */
    return alloc_aligned(vm_is_pow2(align) || align <= VM_BLOCK_MIN ? align : (size_t)2 << vm_log2(align), n);
}

VM_EXPORT void *VM_API(valloc)(size_t n)
{
    vm_start();
    return alloc_aligned(vm_os.page_size, n);
}

VM_EXPORT void *VM_API(pvalloc)(size_t n)
{
    vm_start();
    size_t whole = vm_align_up(n, vm_os.page_size);
    if (whole < n) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc_is_anothers() ? VM_API(memalign)(vm_os.page_size, whole) : alloc_aligned(vm_os.page_size, whole);
}

VM_EXPORT size_t VM_API(malloc_usable_size)(void *p)
{
    return p ? vm_heap_usable(p, "malloc_usable_size()", false) : 0;
}

static VM_NOINLINE void free_sized_foreign(void *b, struct vm_page *slab)
{
    vm_api_free_foreign(b, slab, "free_sized()");
}

VM_EXPORT void VM_API(free_sized)(void *p, size_t n)
{
    (void)n;
    vm_api_free_fast(p, "free_sized()", free_sized_foreign);
}

static VM_NOINLINE void free_aligned_sized_foreign(void *b, struct vm_page *slab)
{
    vm_api_free_foreign(b, slab, "free_aligned_sized()");
}

VM_EXPORT void VM_API(free_aligned_sized)(void *p, size_t align, size_t n)
{
    (void)align;
    (void)n;
    vm_api_free_fast(p, "free_aligned_sized()", free_aligned_sized_foreign);
}

static VM_NOINLINE void cfree_foreign(void *b, struct vm_page *slab) { vm_api_free_foreign(b, slab, "cfree()"); }

VM_EXPORT void VM_API(cfree)(void *p) { vm_api_free_fast(p, "cfree()", cfree_foreign); }

VM_EXPORT int VM_API(malloc_trim)(size_t pad)
{
    int saved = errno;

    vm_start();
    vm_heaps_collect();
    bool trimmed = vm_frames_trim(pad);
    trimmed |= vm_extents_trim();
    errno = saved;
    return trimmed;
}

VM_EXPORT void VM_API(malloc_stats)(void)
{
    char text[VM_INFO_TEXT_MAX];

    vm_start();
    size_t n = vm_info_text(text, sizeof text);
    ssize_t written = write(STDERR_FILENO, text, n);
    (void)written;
}

/* Written with no lock of ours held: stdio has its own, and fork waits for both. */
static bool to_stream(void *arg, const char *text, size_t n) { return fwrite(text, 1, n, (FILE *)arg) == n; }

VM_EXPORT int VM_API(malloc_info)(int options, FILE *out)
{
    if (options != 0)
        return EINVAL;
    vm_start();
    return vm_dump_xml(to_stream, out) ? 0 : -1;
}

VM_EXPORT struct mallinfo2 VM_API(mallinfo2)(void)
{
    struct vm_info i;

    vm_start();
    vm_info_read(&i);
    return (struct mallinfo2){
        .arena = i.slab_space,
        .ordblks = i.slab_space > i.small_used,
        .hblks = i.large_count,
        .hblkhd = i.large_used,
        .uordblks = i.small_used,
        .fordblks = i.slab_space - i.small_used,
        .keepcost = i.frames_free,
    };
}

VM_EXPORT struct mallinfo VM_API(mallinfo)(void)
{
    struct mallinfo2 m = VM_API(mallinfo2)();

    return (struct mallinfo){
        .arena = (int)m.arena,
        .ordblks = (int)m.ordblks,
        .hblks = (int)m.hblks,
        .hblkhd = (int)m.hblkhd,
        .uordblks = (int)m.uordblks,
        .fordblks = (int)m.fordblks,
        .keepcost = (int)m.keepcost,
    };
}

/* glibc's tunables.  Two mean something here: M_TRIM_THRESHOLD is what may be kept of free memory of the brk heap however
   little is in use (as in glibc, a negative value keeps all), M_TOP_PAD by how much the break moves at least when the heap
   grows.  The others tune mechanisms that we do not have (the border between brk and mmap stays where it is, heaps are
   made by threads, checks always abort): accepted, as any value is valid here, but for those that glibc refuses. */
VM_EXPORT int VM_API(mallopt)(int param, int value)
{
    const int mxfast_max = 80 * (int)sizeof(size_t) / 4;

    vm_start();
    if (param == M_TRIM_THRESHOLD)
        vm_frames_set_floor((size_t)value);
    if (param == M_TOP_PAD)
        vm_frames_set_growth(value > 0 ? (size_t)value : 0);
    if (param == M_MXFAST)
        return value >= 0 && value <= mxfast_max;
    return 1;
}

#ifndef VM_PREFIX
/* Names that programs and old libraries reach into glibc with. */
#define ALIAS(of) ALIAS_AS(VM_EXPORT, of)
ALIAS(malloc) void *__libc_malloc(size_t n);
ALIAS(free) void __libc_free(void *p);
ALIAS(calloc) void *__libc_calloc(size_t count, size_t size);
ALIAS(realloc) void *__libc_realloc(void *p, size_t n);
ALIAS(memalign) void *__libc_memalign(size_t align, size_t n);
ALIAS(valloc) void *__libc_valloc(size_t n);
ALIAS(pvalloc) void *__libc_pvalloc(size_t n);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* mallinfo is; it is still called */
ALIAS(mallinfo) struct mallinfo __libc_mallinfo(void);
#pragma GCC diagnostic pop
ALIAS(mallopt) int __libc_mallopt(int param, int value);
ALIAS(posix_memalign) int __posix_memalign(void **result, size_t align, size_t n);
#endif

VM_EXPORT const char *VM_API(vmalloc_version)(void) { return VM_VERSION; }

/* The account of the limits is the sum of what frames and extents hold. */
static bool account_is_right(void)
{
    struct vm_frames_stats f;
    struct vm_extents_stats e;

    vm_frames_stats(&f);
    vm_extents_stats(&e);
    return VM_LOAD(&vm_limits.charged) == f.in_use + f.free_dirty + e.live + e.dirty;
}

VM_EXPORT int VM_API(vmalloc_check)(void)
{
    vm_start();
    vm_background_hold();
    bool good = vm_zone_check() && vm_extent_check() && vm_heap_check() && vm_mmu_check() && account_is_right();
    vm_background_release();
    return good;
}
