/* See dump.h. */
#include "report/dump.h"

#include <string.h>

#include "base/fmt.h"
#include "heap/count.h"
#include "heap/heap.h"
#include "page/zone.h"
#include "report/figures.h"
#include "report/info.h"

#define LINE 512         /* bytes; no piece is longer */
#define HEAPS_AT_ONCE 32 /* summed up in one walk over the slabs */

struct out {
    vm_dump_sink *sink;
    void *arg;
    bool failed;
};

static void put(struct out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct out *o, const char *format, ...)
{
    char line[LINE];
    va_list ap;

    va_start(ap, format);
    size_t n = vm_vfmt(line, sizeof line, format, ap);
    va_end(ap);
    o->failed = o->failed || !o->sink(o->arg, line, n);
}

struct vm_dump_class vm_dump_class(const struct vm_figures *f, const struct vm_counts_total *t, unsigned class_id)
{
    const struct vm_figures_class *c = &f->of_class[class_id];
    struct vm_dump_class d = {
        .block_bytes = vm_classes[class_id].size,
        .slabs = c->slabs,
        .slab_bytes = c->slab_bytes,
        .live_blocks = class_id == 0 ? f->large_live_blocks : c->live_blocks,
        .free_blocks = c->free_blocks,
        .calls = t->of_class[class_id].calls,
        .asked_bytes = t->of_class[class_id].asked,
    };
    uint64_t taken = t->born[class_id] + d.calls;
    d.frees = vm_counting && taken > d.live_blocks ? taken - d.live_blocks : 0;
    return d;
}

static bool is_empty(const struct vm_dump_class *d) { return d->slabs == 0 && d->live_blocks == 0 && d->calls == 0; }

/* ---- The heaps ---- */

struct heap_sum {
    const struct vm_heap *heap;
    size_t slabs, slab_bytes, live_bytes, live_blocks;
};

struct heap_sums {
    unsigned count;
    struct heap_sum of[HEAPS_AT_ONCE];
};

static void add_to_heap(struct vm_page *slab, void *arg)
{
    struct heap_sums *s = arg;
    const struct vm_heap *owner = VM_LOAD(&slab->owner);

    for (unsigned i = 0; i < s->count; i++)
        if (s->of[i].heap == owner) {
            s->of[i].slabs++;
            s->of[i].slab_bytes += slab->frames * VM_FRAME_BYTES;
            s->of[i].live_blocks += vm_slab_out(slab);
            s->of[i].live_bytes += vm_slab_out(slab) * slab->size;
            return;
        }
}

static const char *state_of(const struct vm_heap *h)
{
    uint8_t state = VM_LOAD(&h->state);
    return state == VM_HEAP_LIVE ? "live" : state == VM_HEAP_IDLE ? "idle" : "shared";
}

/* format: of number, state, slabs, their bytes, live blocks, their bytes. */
static void put_heaps(struct out *o, const char *first, const char *other)
{
    const struct vm_heap *next = vm_heaps_newest();

    for (size_t number = 0; next;) {
        struct heap_sums s = {0};
        for (; next && s.count < HEAPS_AT_ONCE; next = next->next)
            s.of[s.count++].heap = next;
        vm_slabs_each(add_to_heap, &s);
        for (unsigned i = 0; i < s.count; i++, number++) {
            const struct heap_sum *h = &s.of[i];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            put(o, number == 0 ? first : other, number, state_of(h->heap), h->slabs, h->slab_bytes, h->live_blocks,
                h->live_bytes);
#pragma GCC diagnostic pop
        }
    }
}

/* ---- The formats ---- */

bool vm_dump_text(vm_dump_sink *sink, void *arg)
{
    char text[VM_INFO_TEXT_MAX];
    size_t n = vm_info_text(text, sizeof text);
    struct vm_counts_total t;
    struct vm_figures f;
    struct out o = {sink, arg, !sink(arg, text, n)};

    vm_figures_read(&f);
    vm_counts_read(&t);
    if (vm_counting)
        put(&o, "  calls             %zu realloc, %zu failed; by size class:\n", t.reallocs, t.failures);
    for (unsigned id = 0; id < VM_CLASSES; id++) {
        struct vm_dump_class c = vm_dump_class(&f, &t, id);
        if (is_empty(&c) || (id == 0 && !vm_counting))
            continue;
        put(&o, "  class %zu: %zu live, %zu free, %zu slabs", c.block_bytes, c.live_blocks, c.free_blocks, c.slabs);
        if (vm_counting)
            put(&o, ", %zu calls, %zu frees, %zu bytes asked for", c.calls, c.frees, c.asked_bytes);
        put(&o, "\n");
    }
    return !o.failed;
}

/* Before the end of the element that vm_info_xml() writes. */
bool vm_dump_xml(vm_dump_sink *sink, void *arg)
{
    static const char heap[] = "<heap nr=\"%zu\" state=\"%s\" slabs=\"%zu\" slab_bytes=\"%zu\" live_blocks=\"%zu\" "
                               "live_bytes=\"%zu\"/>\n";
    static const char end[] = "</malloc>\n";
    char text[VM_INFO_TEXT_MAX];
    size_t n = vm_info_xml(text, sizeof text);
    struct vm_counts_total t;
    struct vm_figures f;
    struct out o = {sink, arg, !sink(arg, text, n - (sizeof end - 1))};

    vm_figures_read(&f);
    vm_counts_read(&t);
#define FIGURE(name, help) put(&o, "<figure name=\"%s\" value=\"%zu\"/>\n", #name, f.name);
#include "report/figures.def"
#undef FIGURE
    if (vm_counting)
        put(&o, "<counted reallocs=\"%zu\" failures=\"%zu\" peak_live_bytes=\"%zu\"/>\n", t.reallocs, t.failures,
            VM_LOAD(&vm_counts_process()->peak_live));
    for (unsigned id = 0; id < VM_CLASSES; id++) {
        struct vm_dump_class c = vm_dump_class(&f, &t, id);
        if (is_empty(&c))
            continue;
        put(&o, "<class bytes=\"%zu\" slabs=\"%zu\" slab_bytes=\"%zu\" live_blocks=\"%zu\" free_blocks=\"%zu\"",
            c.block_bytes, c.slabs, c.slab_bytes, c.live_blocks, c.free_blocks);
        if (vm_counting)
            put(&o, " calls=\"%zu\" frees=\"%zu\" asked_bytes=\"%zu\"", c.calls, c.frees, c.asked_bytes);
        put(&o, "/>\n");
    }
    put_heaps(&o, heap, heap);
    put(&o, "%s", end);
    return !o.failed;
}

bool vm_dump_json(vm_dump_sink *sink, void *arg)
{
    struct vm_counts_total t;
    struct vm_figures f;
    struct out o = {sink, arg, false};
    const char *comma = "";

    vm_figures_read(&f);
    vm_counts_read(&t);
    put(&o, "{\n  \"version\": \"%s\",\n", VM_VERSION);
#define FIGURE(name, help) put(&o, "  \"%s\": %zu,\n", #name, f.name);
#include "report/figures.def"
#undef FIGURE
    put(&o, "  \"counted\": %s,\n", vm_counting ? "true" : "false");
    if (vm_counting)
        put(&o, "  \"reallocs\": %zu,\n  \"failures\": %zu,\n  \"peak_live_bytes\": %zu,\n", t.reallocs, t.failures,
            VM_LOAD(&vm_counts_process()->peak_live));
    put(&o, "  \"classes\": [");
    for (unsigned id = 0; id < VM_CLASSES; id++) {
        struct vm_dump_class c = vm_dump_class(&f, &t, id);
        if (is_empty(&c))
            continue;
        put(&o,
            "%s\n    {\"class_bytes\": %zu, \"slabs\": %zu, \"slab_bytes\": %zu, \"live_blocks\": %zu, \"free_blocks\": %zu",
            comma, c.block_bytes, c.slabs, c.slab_bytes, c.live_blocks, c.free_blocks);
        if (vm_counting)
            put(&o, ", \"calls\": %zu, \"frees\": %zu, \"asked_bytes\": %zu", c.calls, c.frees, c.asked_bytes);
        put(&o, "}");
        comma = ",";
    }
    put(&o, "\n  ],\n  \"heap_list\": [");
#define HEAP \
    "\n    {\"number\": %zu, \"state\": \"%s\", \"slabs\": %zu, \"slab_bytes\": %zu, \"live_blocks\": %zu, \"live_bytes\": %zu}"
    put_heaps(&o, HEAP, "," HEAP);
#undef HEAP
    put(&o, "\n  ]\n}\n");
    return !o.failed;
}
