/* Reading and formatting the account; see info.h.  Takes the locks of the layers one after the other, never two. */
#include "report/info.h"

#include "base/fmt.h"
#include "heap/heap.h"
#include "os/meta.h"
#include "page/extent.h"
#include "page/zone.h"
#include "reclaim/limit.h"

void vm_info_read(struct vm_info *i)
{
    struct vm_heaps_stats heaps;
    struct vm_frames_stats frames;
    struct vm_extents_stats extents;

    vm_heaps_stats(&heaps);
    vm_frames_stats(&frames);
    vm_extents_stats(&extents);
    *i = (struct vm_info){
        .heaps = heaps.heaps,
        .idle_heaps = heaps.idle,
        .brk_space = frames.brk_bytes,
        .zone_space = frames.zone_bytes,
        .slab_space = frames.brk_bytes + frames.zone_bytes,
        .small_used = heaps.used_bytes,
        .slab_carved = heaps.slab_bytes,
        .frames_free = frames.free_dirty,
        .large_used = extents.live,
        .large_count = extents.live_count,
        .large_kept = extents.dirty,
        .metadata = vm_meta_mapped(),
        .charged = VM_LOAD(&vm_limits.charged),
        .highest = VM_LOAD(&vm_limits.highest),
        .limit_soft = VM_LOAD(&vm_limits.soft),
        .limit_hard = VM_LOAD(&vm_limits.hard),
        .limit_passed = VM_LOAD(&vm_limits.passed),
        .limit_refused = VM_LOAD(&vm_limits.refused),
    };
}

/* A limit as a number, or "none". */
static const char *limit_text(char text[24], size_t limit)
{
    if (limit == SIZE_MAX)
        return "none";
    vm_fmt(text, 24, "%zu", limit);
    return text;
}

size_t vm_info_text(char *buf, size_t cap)
{
    char soft[24], hard[24];
    struct vm_info i;

    vm_info_read(&i);
    return vm_fmt(buf, cap,
                  "libvmalloc\n"
                  "  heaps             %zu (%zu idle)\n"
                  "  brk heap          %zu bytes\n"
                  "  mmap'd zones      %zu bytes\n"
                  "  small blocks      %zu bytes in use of %zu carved\n"
                  "  free frames kept  %zu bytes\n"
                  "  large blocks      %zu, %zu bytes in use, %zu kept\n"
                  "  metadata          %zu bytes mapped\n"
                  "  counted           %zu bytes, %zu at most\n"
                  "  limits            soft %s (passed %zu times), hard %s (%zu requests refused)\n",
                  i.heaps, i.idle_heaps, i.brk_space, i.zone_space, i.small_used, i.slab_carved, i.frames_free,
                  i.large_count, i.large_used, i.large_kept, i.metadata, i.charged, i.highest,
                  limit_text(soft, i.limit_soft), i.limit_passed, limit_text(hard, i.limit_hard), i.limit_refused);
}

size_t vm_info_xml(char *buf, size_t cap)
{
    char soft[24], hard[24];
    struct vm_info i;

    vm_info_read(&i);
    return vm_fmt(buf, cap,
                  "<malloc version=\"1\">\n"
                  "<heaps count=\"%zu\" idle=\"%zu\"/>\n"
                  "<total type=\"small\" size=\"%zu\"/>\n"
                  "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
                  "<total type=\"kept\" frames=\"%zu\" extents=\"%zu\"/>\n"
                  "<system type=\"current\" size=\"%zu\"/>\n"
                  "<aspace type=\"brk\" size=\"%zu\"/>\n"
                  "<aspace type=\"zones\" size=\"%zu\"/>\n"
                  "<aspace type=\"metadata\" size=\"%zu\"/>\n"
                  "<limits counted=\"%zu\" most=\"%zu\" soft=\"%s\" passed=\"%zu\" hard=\"%s\" refused=\"%zu\"/>\n"
                  "</malloc>\n",
                  i.heaps, i.idle_heaps, i.small_used, i.large_count, i.large_used, i.frames_free, i.large_kept,
                  i.slab_space + i.large_used + i.large_kept, i.brk_space, i.zone_space, i.metadata, i.charged,
                  i.highest, limit_text(soft, i.limit_soft), i.limit_passed, limit_text(hard, i.limit_hard),
                  i.limit_refused);
}
