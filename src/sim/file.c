/* Files and the page cache; see file.h. */
#include "sim/file.h"

#include <string.h>

#include "base/fail.h"
#include "sim/machine.h"
#include "sim/mem.h"

static void file_grow(struct vm_sim_file *f, uint64_t bytes)
{
    uint64_t pages = vm_align_up(bytes, VM_SIM_PAGE_SIZE) >> VM_SIM_PAGE_SHIFT;

    f->bytes = vm_max(f->bytes, bytes);
    if (pages <= f->pages)
        return;
    vm_sim_pfn *cached = vm_sim_zalloc(pages * sizeof *cached);
    bool *evicted = vm_sim_zalloc(pages * sizeof *evicted);
    for (uint64_t i = 0; i < pages; i++) {
        cached[i] = i < f->pages ? f->cached[i] : VM_SIM_NO_FRAME;
        evicted[i] = i < f->pages && f->evicted[i];
    }
    free(f->cached);
    free(f->evicted);
    f->cached = cached;
    f->evicted = evicted;
    f->pages = pages;
}

struct vm_sim_file *vm_sim_file_open(struct vm_sim_machine *m, const char *name, uint64_t bytes)
{
    struct vm_sim_file **at = &m->files;

    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    if (!*at) {
        *at = vm_sim_zalloc(sizeof **at);
        (*at)->name = vm_sim_strdup(name);
        vm_list_init(&(*at)->vmas);
    }
    file_grow(*at, bytes);
    return *at;
}

vm_sim_pfn vm_sim_file_page(struct vm_sim_machine *m, struct vm_sim_file *f, uint64_t page, bool *was_cached)
{
    VM_ASSERT(page < f->pages);
    vm_sim_pfn frame = f->cached[page];
    *was_cached = frame != VM_SIM_NO_FRAME || (f->is_memory && !f->evicted[page]);
    if (frame == VM_SIM_NO_FRAME) {
        frame = vm_sim_alloc_pages(&m->memory, VM_SIM_GFP_USER, 0, VM_SIM_FRAME_FILE);
        if (frame == VM_SIM_NO_FRAME)
            return frame;
        struct vm_sim_frame *d = &m->memory.map.frame[frame];
        d->owner = f;
        d->index = page;
        f->cached[page] = frame;
        f->cached_pages++;
        f->reads += !*was_cached;
        m->reclaim.counts.refaults += f->evicted[page];
        f->evicted[page] = false;
        vm_sim_lru_add(m, frame);
    }
    vm_sim_get_frame(&m->memory, frame);
    return frame;
}

static void forget_page(struct vm_sim_machine *m, struct vm_sim_file *f, uint64_t page)
{
    vm_sim_pfn frame = f->cached[page];

    VM_ASSERT(m->memory.map.frame[frame].mapcount == 0);
    f->cached[page] = VM_SIM_NO_FRAME;
    f->cached_pages--;
    vm_sim_lru_remove(m, frame);
    vm_sim_put_frame(&m->memory, frame);
}

void vm_sim_file_drop_page(struct vm_sim_machine *m, struct vm_sim_file *f, uint64_t page)
{
    VM_ASSERT(!(m->memory.map.frame[f->cached[page]].flags & VM_SIM_FRAME_DIRTY));
    f->evicted[page] = true;
    forget_page(m, f, page);
}

void vm_sim_files_free(struct vm_sim_machine *m)
{
    for (struct vm_sim_file *f = m->files, *next; f; f = next) {
        next = f->next;
        VM_ASSERT(vm_list_empty(&f->vmas));
        for (uint64_t i = 0; i < f->pages; i++)
            if (f->cached[i] != VM_SIM_NO_FRAME)
                forget_page(m, f, i);
        free(f->cached);
        free(f->evicted);
        free((char *)(uintptr_t)f->name);
        free(f);
    }
    m->files = NULL;
}

bool vm_sim_files_check(const struct vm_sim_machine *m)
{
    for (const struct vm_sim_file *f = m->files; f; f = f->next) {
        uint64_t cached = 0;
        for (uint64_t i = 0; i < f->pages; i++) {
            if (f->cached[i] == VM_SIM_NO_FRAME)
                continue;
            const struct vm_sim_frame *d = &m->memory.map.frame[f->cached[i]];
            if (d->kind != VM_SIM_FRAME_FILE || d->owner != f || d->index != i || d->count != d->mapcount + 1)
                return false;
            cached++;
        }
        if (cached != f->cached_pages || f->pages < f->bytes >> VM_SIM_PAGE_SHIFT)
            return false;
    }
    return true;
}
