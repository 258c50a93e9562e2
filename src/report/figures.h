/* The account in figures, as a struct that other processes read as well: figures.def names them.  vmalloc_dump and the
   page that share=1 publishes are made of it, and `vmalloc stat` fills it from outside. */
#ifndef VM_FIGURES_H
#define VM_FIGURES_H

#include "base/base.h"

#define VM_FIGURES_CLASSES 128 /* at least as many as there are size classes */

struct vm_figures_class {
    uint64_t block_bytes; /* 0: no slab of this class */
    uint64_t slabs, slab_bytes;
    uint64_t live_blocks, free_blocks; /* free: given life and not handed out */
};

struct vm_figures {
#define FIGURE(name, help) uint64_t name;
#include "report/figures.def"
#undef FIGURE
    struct vm_figures_class of_class[VM_FIGURES_CLASSES];
};

/* One slab's share. */
struct vm_figures_slab {
    unsigned class_id;
    uint64_t bytes, block_bytes, capacity, carved, used; /* bytes, bytes, and three times blocks */
    bool quiet;
};

VM_INLINE void vm_figures_add_slab(struct vm_figures *f, const struct vm_figures_slab *s)
{
    struct vm_figures_class *c = &f->of_class[s->class_id % VM_FIGURES_CLASSES];
    uint64_t free_bytes = (s->carved - s->used) * s->block_bytes,
             untouched = (s->capacity - s->carved) * s->block_bytes;

    f->small_live_bytes += s->used * s->block_bytes;
    f->small_live_blocks += s->used;
    f->slab_bytes += s->bytes;
    f->slab_free_bytes += free_bytes;
    f->slab_untouched_bytes += untouched;
    f->slab_tail_bytes += s->bytes - s->capacity * s->block_bytes;
    f->slab_quiet_bytes += s->quiet ? s->bytes - s->used * s->block_bytes : 0;
    c->block_bytes = s->block_bytes;
    c->slabs++;
    c->slab_bytes += s->bytes;
    c->live_blocks += s->used;
    c->free_blocks += s->carved - s->used;
}

/* Of this process.  Takes the locks of the layers one after the other; walks all slabs. */
void vm_figures_read(struct vm_figures *f);

#endif
