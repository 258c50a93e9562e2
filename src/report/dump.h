/* The account in full, as XML (malloc_info), as JSON and as text: written piece by piece through a sink, so that its
   length has no bound and no memory is needed.  Names are those of figures.def. */
#ifndef VM_DUMP_H
#define VM_DUMP_H

#include "base/base.h"

/* Takes n bytes; false: it cannot, and is not called again. */
typedef bool vm_dump_sink(void *arg, const char *text, size_t n);

/* No lock of ours is held while the sink is called.  False when the sink failed. */
bool vm_dump_text(vm_dump_sink *sink, void *arg);
bool vm_dump_xml(vm_dump_sink *sink, void *arg);
bool vm_dump_json(vm_dump_sink *sink, void *arg);

/* One class: what figures and counts say of it; class 0: large blocks. */
struct vm_figures;
struct vm_counts_total;
struct vm_dump_class {
    uint64_t block_bytes, slabs, slab_bytes, live_blocks, free_blocks;
    uint64_t calls, frees, asked_bytes; /* 0 unless calls are counted */
};
struct vm_dump_class vm_dump_class(const struct vm_figures *f, const struct vm_counts_total *t, unsigned class_id);

#endif
