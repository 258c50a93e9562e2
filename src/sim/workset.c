/* Working sets over time; see workset.h.
   Invariants (vm_sim_workset_check): samples end in ascending order, every window but the last is `window` references
   long, none has more pages than references; used = slots stamped with this window's number. */
#include "sim/workset.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "sim/mem.h"

#define FIRST_SLOTS 1024

void vm_sim_workset_init(struct vm_sim_workset *w, uint64_t window, size_t samples)
{
    VM_ASSERT(window > 0 && samples >= 2);
    *w = (struct vm_sim_workset){.window = window, .cap = samples & ~(size_t)1, .slots = FIRST_SLOTS, .now = 1};
    w->sample = vm_sim_zalloc(w->cap * sizeof *w->sample);
    w->page = vm_sim_zalloc(w->slots * sizeof *w->page);
    w->stamp = vm_sim_zalloc(w->slots * sizeof *w->stamp);
    w->last_page = UINT64_MAX;
}

void vm_sim_workset_free(struct vm_sim_workset *w)
{
    free(w->sample);
    free(w->page);
    free(w->stamp);
    memset(w, 0, sizeof *w);
}

static size_t slot_of(const struct vm_sim_workset *w, uint64_t page)
{
    size_t at = (page * 0x9e3779b97f4a7c15u >> 32) & (w->slots - 1);

    while (w->stamp[at] == w->now && w->page[at] != page)
        at = (at + 1) & (w->slots - 1);
    return at;
}

static void grow(struct vm_sim_workset *w)
{
    struct vm_sim_workset old = *w;

    w->slots *= 2;
    w->page = vm_sim_zalloc(w->slots * sizeof *w->page);
    w->stamp = vm_sim_zalloc(w->slots * sizeof *w->stamp);
    for (size_t i = 0; i < old.slots; i++)
        if (old.stamp[i] == w->now) {
            size_t at = slot_of(w, old.page[i]);
            w->page[at] = old.page[i];
            w->stamp[at] = w->now;
        }
    free(old.page);
    free(old.stamp);
}

/* Pairs of windows become one.  Pages referenced in both are counted twice in the sum, and the joint working set lies
   between the greater and the sum: the greater is kept, which is what both windows needed at the least. */
static void join_pairs(struct vm_sim_workset *w)
{
    for (size_t i = 0; i + 1 < w->samples; i += 2) {
        struct vm_sim_sample a = w->sample[i], b = w->sample[i + 1];
        b.referenced = vm_max(a.referenced, b.referenced);
        b.faults += a.faults;
        w->sample[i / 2] = b;
    }
    w->samples /= 2;
    w->window *= 2;
}

static VM_NOINLINE void close_window(struct vm_sim_workset *w, uint64_t resident, uint64_t faults)
{
    w->open.end = w->refs;
    w->open.referenced = w->used;
    w->open.resident = resident;
    w->open.faults = faults - w->faults_before;
    w->sample[w->samples++] = w->open;
    w->faults_before = faults;
    w->used = 0;
    w->last_page = UINT64_MAX;
    if (++w->now == 0) { /* stamps would repeat */
        memset(w->stamp, 0, w->slots * sizeof *w->stamp);
        w->now = 1;
    }
    if (w->samples == w->cap)
        join_pairs(w);
}

void vm_sim_workset_ref(struct vm_sim_workset *w, uint64_t page, uint64_t resident, uint64_t faults)
{
    w->refs++;
    if (page != w->last_page) {
        size_t at = slot_of(w, page);
        w->last_page = page;
        if (w->stamp[at] != w->now) {
            w->stamp[at] = w->now;
            w->page[at] = page;
            if (++w->used * 4 > w->slots * 3)
                grow(w);
        }
    }
    if (w->refs % w->window == 0)
        close_window(w, resident, faults);
}

void vm_sim_workset_end(struct vm_sim_workset *w, uint64_t resident, uint64_t faults)
{
    if (w->refs % w->window != 0 && (w->samples == 0 || w->sample[w->samples - 1].end != w->refs))
        close_window(w, resident, faults);
}

bool vm_sim_workset_check(const struct vm_sim_workset *w)
{
    size_t stamped = 0;

    for (size_t i = 0; i < w->samples; i++) {
        uint64_t from = i ? w->sample[i - 1].end : 0;
        uint64_t length = w->sample[i].end - from;
        if (w->sample[i].end <= from || length > w->window || (length < w->window && i + 1 < w->samples)
            || w->sample[i].referenced > length)
            return false;
    }
    for (size_t i = 0; i < w->slots; i++)
        stamped += w->stamp[i] == w->now;
    return stamped == w->used && w->samples < w->cap && w->used < w->slots;
}
