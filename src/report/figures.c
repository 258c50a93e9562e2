/* Reading the account of this process; see figures.h. */
#include "report/figures.h"

#include "heap/heap.h"
#include "os/meta.h"
#include "page/extent.h"
#include "page/zone.h"

_Static_assert(VM_CLASSES <= VM_FIGURES_CLASSES, "every class has a place");

/* The slab's owner works on meanwhile: what it is caught at may be off by the blocks of a moment, never out of bounds. */
static void add_slab(struct vm_page *slab, void *arg)
{
    uint64_t carved = VM_LOAD(&slab->carved), out = vm_slab_out(slab), used = (int64_t)out < 0 ? 0 : out;
    bool quiet = VM_LOAD(&slab->bias) < 0;
    struct vm_figures_slab s = {slab->class_id, slab->frames * VM_FRAME_BYTES, slab->size, slab->capacity,
                                carved,         vm_min(used, carved),          quiet};

    if (s.carved <= s.capacity)
        vm_figures_add_slab(arg, &s);
}

void vm_figures_read(struct vm_figures *f)
{
    struct vm_frames_stats frames;
    struct vm_extents_stats extents;
    struct vm_heaps_stats heaps;

    *f = (struct vm_figures){0};
    vm_slabs_each(add_slab, f);
    vm_heaps_stats(&heaps);
    vm_frames_stats(&frames);
    vm_extents_stats(&extents);
    f->large_live_bytes = extents.live;
    f->large_live_blocks = extents.live_count;
    f->frames_dirty_bytes = frames.free_dirty;
    f->frames_clean_bytes = frames.free_clean;
    f->extents_dirty_bytes = extents.dirty;
    f->extents_clean_bytes = extents.clean;
    f->metadata_bytes = vm_meta_mapped();
    f->mem_map_bytes = vm_mem_map_bytes();
    f->heaps = heaps.heaps;
    f->heaps_idle = heaps.idle;
}
