/* Reverse mapping and the life of a mapping; see rmap.h. */
#include "sim/rmap.h"

#include <errno.h>

#include "base/fail.h"
#include "sim/machine.h"
#include "sim/mem.h"

static struct vm_sim_frame *frame_of(struct vm_sim_machine *m, vm_sim_pfn frame) { return &m->memory.map.frame[frame]; }

/* ---- Anonymous groups ---- */

static void anon_end(struct vm_sim_anon *a)
{
    if (a->pages == 0 && vm_list_empty(&a->vmas))
        free(a);
}

void vm_sim_anon_join(struct vm_sim_vma *child, const struct vm_sim_vma *parent)
{
    VM_ASSERT(!child->anon && parent->anon);
    child->anon = parent->anon;
    vm_list_push_back(&child->anon->vmas, &child->anon_link);
}

void vm_sim_anon_leave(struct vm_sim_vma *vma)
{
    struct vm_sim_anon *a = vma->anon;

    if (!a)
        return;
    vm_list_remove(&vma->anon_link);
    vma->anon = NULL;
    anon_end(a);
}

void vm_sim_anon_add(struct vm_sim_machine *m, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);

    if (!vma->anon) {
        vma->anon = vm_sim_zalloc(sizeof *vma->anon);
        vm_list_init(&vma->anon->vmas);
        vm_list_push_back(&vma->anon->vmas, &vma->anon_link);
    }
    VM_ASSERT(f->kind == VM_SIM_FRAME_ANON && !f->owner);
    f->owner = vma->anon;
    f->index = (at.at - vma->mm->base) >> VM_SIM_PAGE_SHIFT;
    f->flags |= VM_SIM_FRAME_DIRTY;
    vma->anon->pages++;
}

void vm_sim_anon_drop(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);
    struct vm_sim_anon *a = f->owner;

    VM_ASSERT(a->pages > 0);
    f->owner = NULL;
    a->pages--;
    anon_end(a);
}

/* ---- The life of a mapping ---- */

int vm_sim_store(struct vm_sim_machine *m, struct vm_sim_mm *mm, struct vm_sim_linear at, unsigned level,
                 vm_sim_pte entry)
{
    bool running = m->reclaim.running;

    m->reclaim.running = true; /* direct reclaim for a table would take entries and tables out under the hands of set */
    int error = vm_sim_pt_set(mm->pt, at, level, entry);
    m->reclaim.running = running;
    return error;
}

/* One count less; the last one ends the page. */
static void release(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);

    if (f->count == 1) {
        vm_sim_lru_remove(m, frame);
        if (f->kind == VM_SIM_FRAME_ANON && f->owner)
            vm_sim_anon_drop(m, frame);
    }
    vm_sim_put_frame(&m->memory, frame);
}

void vm_sim_uncache(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);
    vm_sim_pte slot = f->swap;

    VM_ASSERT((f->flags & VM_SIM_FRAME_SWAP_CACHE) && vm_sim_swap_cached(&m->swaps, slot) == frame);
    f->swap = 0;
    f->flags &= (uint16_t)~VM_SIM_FRAME_SWAP_CACHE;
    f->flags |= VM_SIM_FRAME_DIRTY;
    vm_sim_swap_cache_remove(&m->swaps, slot);
    release(m, frame);
}

/* In the swap cache, and no entry names page or slot. */
static bool is_forgotten(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);

    return (f->flags & VM_SIM_FRAME_SWAP_CACHE) && f->mapcount == 0 && vm_sim_swap_count(&m->swaps, f->swap) == 1
           && !(f->flags & VM_SIM_FRAME_LOCKED);
}

void vm_sim_swap_forget(struct vm_sim_machine *m, vm_sim_pte slot)
{
    if (vm_sim_swap_put(&m->swaps, slot))
        return;
    vm_sim_pfn frame = vm_sim_swap_cached(&m->swaps, slot);
    if (frame != VM_SIM_NO_FRAME && is_forgotten(m, frame))
        vm_sim_uncache(m, frame);
}

static void count_pages(struct vm_sim_mm *mm, const struct vm_sim_frame *f, bool more)
{
    uint64_t pages = (uint64_t)1 << f->order;
    uint64_t *kind = f->kind == VM_SIM_FRAME_ANON ? &mm->rss_anon : &mm->rss_file;

    *kind += more ? pages : -pages;
    mm->rss += more ? pages : -pages;
    mm->highest_rss = vm_max(mm->highest_rss, mm->rss);
}

void vm_sim_mapped(struct vm_sim_machine *m, struct vm_sim_mm *mm, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);

    m->reclaim.unmapped -= f->mapcount == 0 && (f->flags & VM_SIM_FRAME_ON_LRU);
    f->mapcount++;
    VM_ASSERT(f->mapcount <= f->count);
    count_pages(mm, f, true);
}

void vm_sim_unmapped(struct vm_sim_machine *m, struct vm_sim_mm *mm, struct vm_sim_linear at, unsigned level,
                     vm_sim_pte was)
{
    vm_sim_pfn frame = vm_sim_pte_frame(was);
    struct vm_sim_frame *f = frame_of(m, frame);

    VM_ASSERT(f->mapcount > 0 && (level > 1) == (f->order > 0));
    if (was & VM_SIM_PTE_D)
        f->flags |= VM_SIM_FRAME_DIRTY;
    f->mapcount--;
    m->reclaim.unmapped += f->mapcount == 0 && (f->flags & VM_SIM_FRAME_ON_LRU);
    count_pages(mm, f, false);
    vm_sim_cpu_flush_page(&m->cpu, mm->context, at);
    bool last = f->count == 1;
    release(m, frame);
    if (!last && is_forgotten(m, frame))
        vm_sim_uncache(m, frame);
}

/* ---- From a frame to its entries ---- */

typedef int each_fn(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry);

static int try_vma(struct vm_sim_vma *v, uint64_t at, vm_sim_pfn frame, each_fn *f, void *ctx)
{
    if (at < v->start || at >= v->end)
        return 0;
    vm_sim_pte *e = vm_sim_pt_find(v->mm->pt, VM_SIM_LINEAR(at), NULL);
    return e && (*e & VM_SIM_PTE_P) && vm_sim_pte_frame(*e) == frame ? f(ctx, v, VM_SIM_LINEAR(at), e) : 0;
}

int vm_sim_rmap_each(struct vm_sim_machine *m, vm_sim_pfn frame, each_fn *f, void *ctx)
{
    const struct vm_sim_frame *page = frame_of(m, frame);
    bool is_anon = page->kind == VM_SIM_FRAME_ANON;
    uint64_t index = page->index;
    int stop = 0;

    if (!page->owner || page->mapcount == 0 || (!is_anon && page->kind != VM_SIM_FRAME_FILE))
        return 0;
    struct vm_list *list = is_anon ? &((struct vm_sim_anon *)page->owner)->vmas
                                   : &((struct vm_sim_file *)page->owner)->vmas;
    for (struct vm_list *l = list->next, *next; l != list && !stop; l = next) {
        struct vm_sim_vma *v = is_anon ? VM_CONTAINER_OF(l, struct vm_sim_vma, anon_link)
                                       : VM_CONTAINER_OF(l, struct vm_sim_vma, file_link);
        next = l->next;
        if (is_anon)
            stop = try_vma(v, v->mm->base + (index << VM_SIM_PAGE_SHIFT), frame, f, ctx);
        else if (index >= v->offset)
            stop = try_vma(v, v->start + ((index - v->offset) << VM_SIM_PAGE_SHIFT), frame, f, ctx);
    }
    return stop;
}

struct count {
    struct vm_sim_machine *m;
    unsigned n;
    vm_sim_pte instead;
};

static int clear_accessed(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry)
{
    struct count *c = ctx;

    if (*entry & VM_SIM_PTE_A) {
        *entry &= ~VM_SIM_PTE_A;
        vm_sim_cpu_flush_page(&c->m->cpu, vma->mm->context, at);
        c->n++;
    }
    return 0;
}

unsigned vm_sim_rmap_referenced(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct count c = {.m = m};

    vm_sim_rmap_each(m, frame, clear_accessed, &c);
    return c.n;
}

static int is_dirty(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry)
{
    (void)ctx;
    (void)vma;
    (void)at;
    return (*entry & VM_SIM_PTE_D) != 0;
}

bool vm_sim_rmap_dirty(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    return vm_sim_rmap_each(m, frame, is_dirty, NULL);
}

static int replace(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry)
{
    struct count *c = ctx;
    vm_sim_pte was = *entry;
    int error = vm_sim_store(c->m, vma->mm, at, 1, c->instead);

    VM_ASSERT(error == 0);
    if (c->instead) {
        vm_sim_swap_get(&c->m->swaps, c->instead);
        vma->mm->swapped++;
    }
    vm_sim_unmapped(c->m, vma->mm, at, 1, was);
    c->n++;
    return 0;
}

unsigned vm_sim_rmap_unmap(struct vm_sim_machine *m, vm_sim_pfn frame, vm_sim_pte instead)
{
    struct count c = {m, 0, instead};

    VM_ASSERT(frame_of(m, frame)->order == 0);
    vm_sim_rmap_each(m, frame, replace, &c);
    VM_ASSERT(frame_of(m, frame)->mapcount == 0);
    return c.n;
}

/* ---- Large pages ---- */

/* Could `frames` tables be made now?  They are taken and given back: nothing comes between this and their use. */
static bool room_for_tables(struct vm_sim_machine *m, unsigned frames)
{
    struct vm_sim_frame_source source = vm_sim_table_source(&m->memory);
    vm_sim_pfn *taken = vm_sim_zalloc(frames * sizeof *taken);
    unsigned n = 0;

    while (n < frames && (taken[n] = source.take(source.ctx, 0)) != VM_SIM_NO_FRAME)
        n++;
    bool good = n == frames;
    while (n > 0)
        source.give(source.ctx, taken[--n], 0);
    free(taken);
    return good;
}

static int split_entry(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry)
{
    struct count *c = ctx;
    int error = vm_sim_pt_split(vma->mm->pt, at);

    (void)entry;
    VM_ASSERT(error == 0);
    vm_sim_cpu_flush_page(&c->m->cpu, vma->mm->context, at);
    return 0;
}

int vm_sim_split_huge(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);
    struct count c = {.m = m};
    bool running = m->reclaim.running;
    int error = -ENOMEM;

    VM_ASSERT(f->kind == VM_SIM_FRAME_ANON && f->order > 0 && f->count == f->mapcount);
    m->reclaim.running = true;
    if (room_for_tables(m, f->mapcount)) {
        vm_sim_rmap_each(m, frame, split_entry, &c);
        uint32_t pages = 1u << f->order;
        f->order = 0;
        for (uint32_t i = 1; i < pages; i++) {
            struct vm_sim_frame *g = f + i;
            g->owner = f->owner;
            g->index = f->index + i;
            g->count = g->mapcount = f->count;
            g->flags = VM_SIM_FRAME_HEAD | VM_SIM_FRAME_DIRTY;
            vm_sim_lru_add(m, frame + i);
        }
        ((struct vm_sim_anon *)f->owner)->pages += pages - 1;
        error = 0;
    }
    m->reclaim.running = running;
    return error;
}

/* ---- Invariants ---- */

static int count_entry(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry)
{
    (void)vma;
    (void)at;
    (void)entry;
    ((struct count *)ctx)->n++;
    return 0;
}

bool vm_sim_rmap_check(struct vm_sim_machine *m)
{
    for (vm_sim_pfn i = 0; i < m->memory.map.frames; i++) {
        struct vm_sim_frame *f = frame_of(m, i);
        struct count c = {.m = m};
        if (f->mapcount == 0)
            continue;
        vm_sim_rmap_each(m, i, count_entry, &c);
        if (c.n != f->mapcount)
            return false;
    }
    return true;
}
