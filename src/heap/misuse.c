/* The diagnoses behind the fatal messages; tests/misuse has a program for each.  Runs once, then the process ends: it
   may be slow, but takes no lock that the caller may hold (extents only, which no caller here holds). */
#include "heap/misuse.h"

#include <sys/resource.h>

#include "base/fail.h"
#include "heap/heap.h"
#include "page/extent.h"
#include "page/zone.h"

static _Noreturn void already_free(const void *p, const char *call, bool freeing)
{
    if (freeing)
        vm_fatal("%s: double free of %p", call, (void *)(uintptr_t)p);
    vm_fatal("%s: %p is already free", call, (void *)(uintptr_t)p);
}

static _Noreturn void not_a_start(const void *p, const char *call, uintptr_t base, size_t size)
{
    vm_fatal("%s: %p is not the start of a block: it lies %zu bytes into block %p of %zu bytes", call,
             (void *)(uintptr_t)p, (uintptr_t)p - base, (void *)base, size);
}

/* Page: the frame the address lies in. */
static void judge_frame(const struct vm_page *page, const void *p, const char *call, bool freeing)
{
    const struct vm_page *slab = page - page->tail;

    if (page->role == VM_PAGE_FREE) {
        if (page->start == 0)
            return; /* not a frame of ours: somebody else's break */
        if ((uintptr_t)p % VM_BLOCK_MIN == 0 && vm_is_sealed(p))
            already_free(p, call, freeing); /* its slab was emptied since */
        vm_fatal("%s: %p was never handed out", call, (void *)(uintptr_t)p);
    }
    size_t offset = (uintptr_t)p - slab->start, index = offset / slab->size;
    if (index >= slab->carved)
        vm_fatal("%s: %p was never handed out", call, (void *)(uintptr_t)p);
    if (offset % slab->size != 0)
        not_a_start(p, call, slab->start + index * slab->size, slab->size);
    already_free(p, call, freeing);
}

/* The stack grows down from above this frame, as far as its limit allows. */
static bool points_into_stack(const void *p)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), at = (uintptr_t)p;
    struct rlimit limit;

    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur > 64 * VM_MIB)
        limit.rlim_cur = 8 * VM_MIB;
    return at >= here && at - here < limit.rlim_cur;
}

void vm_misuse(const void *p, const char *call, bool freeing)
{
    const struct vm_page *page = vm_page_of((uintptr_t)p);
    struct vm_extent e;

    if (page)
        judge_frame(page, p, call, freeing);
    if (vm_extent_find((uintptr_t)p, &e)) {
        if (e.state == VM_EXTENT_LIVE && e.base != (uintptr_t)p)
            not_a_start(p, call, e.base, e.size);
        already_free(p, call, freeing);
    }
    if (vm_extent_freed_lately((uintptr_t)p))
        already_free(p, call, freeing);
    if (points_into_stack(p))
        vm_fatal("%s: %p is not from libvmalloc: it points into the stack", call, (void *)(uintptr_t)p);
    vm_fatal("%s: %p is not from libvmalloc: it comes from another allocator, from before libvmalloc was loaded, or is "
             "no heap address",
             call, (void *)(uintptr_t)p);
}
