/* The vmalloc_* functions that look at the allocator: statistics, dump, addresses, blocks, purge.  None of them changes
   errno but by failing. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "heap/count.h"
#include "heap/walk.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"
#include "report/dump.h"
#include "report/figures.h"
#include "vmalloc/vmalloc.h"

#define BLOCKS_AT_ONCE 128 /* noted before they are visited */

/* What we have, in as much room as the caller has. */
static int fill(void *to, size_t bytes, const void *from, size_t have)
{
    if (bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    memset(to, 0, bytes);
    memcpy(to, from, vm_min(bytes, have));
    return 0;
}

VM_EXPORT int VM_API(vmalloc_stats_read)(struct vmalloc_stats *s, size_t bytes)
{
    struct vmalloc_stats own = {0};
    struct vm_counts_total t;
    struct vm_figures f;

    vm_start();
    vm_figures_read(&f);
    vm_counts_read(&t);
#define FIGURE(name, help) own.name = f.name;
#include "report/figures.def"
#undef FIGURE
    if (vm_counting) {
        own.counted = 1;
        own.reallocs = t.reallocs;
        own.failures = t.failures;
        own.peak_live_bytes = vm_max(VM_LOAD(&vm_counts_process()->peak_live),
                                     own.small_live_bytes + own.large_live_bytes);
    }
    for (unsigned id = 0; vm_counting && id < VM_CLASSES; id++) {
        struct vm_dump_class c = vm_dump_class(&f, &t, id);
        own.calls += c.calls;
        own.frees += c.frees;
    }
    return fill(s, bytes, &own, sizeof own);
}

VM_EXPORT int VM_API(vmalloc_class_read)(unsigned class_id, struct vmalloc_class *c, size_t bytes)
{
    struct vm_counts_total t;
    struct vm_figures f;

    if (class_id >= VM_CLASSES) {
        errno = EINVAL;
        return -1;
    }
    vm_start();
    vm_figures_read(&f);
    vm_counts_read(&t);
    struct vm_dump_class d = vm_dump_class(&f, &t, class_id);
    struct vmalloc_class own = {d.block_bytes, d.slabs, d.slab_bytes, d.live_blocks,
                                d.free_blocks, d.calls, d.frees,      d.asked_bytes};
    return fill(c, bytes, &own, sizeof own);
}

static bool to_descriptor(void *arg, const char *text, size_t n)
{
    const int *fd = arg;

    while (n > 0) {
        ssize_t written = write(*fd, text, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        n -= (size_t)written;
    }
    return true;
}

VM_EXPORT int VM_API(vmalloc_dump)(int fd, enum vmalloc_format format)
{
    int saved = errno;
    bool done;

    vm_start();
    switch (format) {
    case VMALLOC_TEXT: done = vm_dump_text(to_descriptor, &fd); break;
    case VMALLOC_XML: done = vm_dump_xml(to_descriptor, &fd); break;
    case VMALLOC_JSON: done = vm_dump_json(to_descriptor, &fd); break;
    default: errno = EINVAL; return -1;
    }
    if (!done)
        return -1;
    errno = saved;
    return 0;
}

static enum vmalloc_owner owner_of(const struct vm_found *f)
{
    switch ((enum vm_found_kind)f->kind) {
    case VM_FOUND_BLOCK: return f->large ? VMALLOC_LARGE_BLOCK : VMALLOC_SMALL_BLOCK;
    case VM_FOUND_FREE: return f->large ? VMALLOC_LARGE_FREE : VMALLOC_SMALL_FREE;
    case VM_FOUND_UNUSED: return VMALLOC_SMALL_UNUSED;
    case VM_FOUND_TAIL: return VMALLOC_SLAB_TAIL;
    case VM_FOUND_FRAME: return VMALLOC_FREE_FRAME;
    default: return VMALLOC_NOT_OURS;
    }
}

VM_EXPORT int VM_API(vmalloc_translate)(const void *address, struct vmalloc_address *a, size_t bytes)
{
    int saved = errno;

    vm_start();
    struct vm_found f = vm_walk_find((uintptr_t)address);
    struct vmalloc_address own = {
        .owner = owner_of(&f),
        .class_id = f.class_id,
        .start = (void *)f.start,
        .bytes = f.bytes,
        .resident = f.kind == VM_FOUND_NOTHING ? -1 : vm_os_resident(address),
    };
    errno = saved;
    return fill(a, bytes, &own, sizeof own);
}

VM_EXPORT int VM_API(vmalloc_walk)(int (*visit)(void *start, size_t bytes, unsigned class_id, void *arg), void *arg)
{
    struct vm_found block[BLOCKS_AT_ONCE];
    struct vm_walk w = {0};

    vm_start();
    while (!w.done) {
        size_t n = vm_walk_next(&w, block, BLOCKS_AT_ONCE);
        for (size_t i = 0; i < n; i++) {
            int result = visit((void *)block[i].start, block[i].bytes, block[i].class_id, arg);
            if (result != 0)
                return result;
        }
    }
    return 0;
}

VM_EXPORT size_t VM_API(vmalloc_purge)(void)
{
    int saved = errno;

    vm_start();
    vm_heaps_collect();
    size_t before = vm_frames_kept() + vm_extents_kept();
    vm_frames_trim(0);
    vm_extents_trim();
    size_t after = vm_frames_kept() + vm_extents_kept();
    errno = saved;
    return before > after ? before - after : 0;
}
