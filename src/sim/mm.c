/* Memory descriptors; see mm.h. */
#include "sim/mm.h"

#include <errno.h>
#include <stdio.h>

#include "base/fail.h"
#include "sim/machine.h"
#include "sim/mem.h"
#include "sim/rmap.h"

#define PAGE VM_SIM_PAGE_SIZE
#define MIB ((uint64_t)1 << 20)
#define STACK_GAP (128 * MIB)
#define BATCH 512

static uint64_t up(uint64_t bytes) { return vm_align_up(bytes, PAGE); }

static void tell(struct vm_sim_machine *m, const struct vm_sim_mm *mm, const char *what, uint64_t at, uint64_t bytes)
{
    vm_sim_emit(&m->events, VM_SIM_EV(MAP, .process = mm->context ? mm->context->pid : 0, .cause = what,
                                      .linear = VM_SIM_LINEAR(at), .bytes = bytes));
}

/* ---- Birth and death ---- */

static struct vm_sim_layout layout_of(const struct vm_sim_machine *m, uint64_t base)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[m->config.mode];
    uint64_t limit = m->config.stack_limit ? m->config.stack_limit : VM_SIM_STACK_LIMIT;

    if (m->config.shared_directory)
        return (struct vm_sim_layout){.text = base,
                                      .mmap_base = base + VM_SIM_012_SPACE / 2,
                                      .stack_top = base + VM_SIM_012_SPACE,
                                      .stack_limit = limit,
                                      .task_size = base + VM_SIM_012_SPACE};
    if (g->linear_bits == 32)
        return (struct vm_sim_layout){.text = 0x08048000,
                                      .mmap_base = 0x40000000,
                                      .stack_top = g->user_end,
                                      .stack_limit = limit,
                                      .task_size = g->user_end};
    uint64_t top = ((uint64_t)1 << 47) - PAGE; /* five levels too: the rest is for those who ask for it */
    return (struct vm_sim_layout){.text = 0x400000,
                                  .mmap_base = top - vm_max(STACK_GAP, up(limit)),
                                  .stack_top = top,
                                  .stack_limit = limit,
                                  .task_size = g->user_end - PAGE,
                                  .mmap_top_down = true};
}

struct vm_sim_mm *vm_sim_mm_new(struct vm_sim_machine *m, uint64_t base)
{
    bool shared = m->config.shared_directory;
    struct vm_sim_pt *pt = shared ? m->kernel
                                  : vm_sim_pt_new(m->config.mode, vm_sim_table_source(&m->memory), m->kernel);

    if (!pt)
        return NULL;
    struct vm_sim_mm *mm = vm_sim_zalloc(sizeof *mm);
    mm->pt = pt;
    mm->users = 1;
    mm->base = base;
    mm->layout = layout_of(m, base);
    vm_list_init(&mm->vmas);
    mm->start_code = mm->end_code = mm->start_data = mm->end_data = mm->layout.text;
    mm->start_brk = mm->brk = up(mm->layout.text);
    mm->start_stack = mm->layout.stack_top;
    vm_list_push_back(&m->mms, &mm->link);
    return mm;
}

void vm_sim_mm_add_stack(struct vm_sim_mm *mm)
{
    uint64_t bytes = vm_min(VM_SIM_STACK_START, mm->layout.stack_limit), top = mm->layout.stack_top;
    struct vm_sim_vma like = {.start = top - up(bytes),
                              .end = top,
                              .perms = VM_SIM_R | VM_SIM_W,
                              .flags = VM_SIM_VMA_GROWS_DOWN,
                              .region = VM_SIM_STACK};
    int error = vm_sim_vma_insert(mm, &like, NULL);

    VM_ASSERT(error == 0);
}

void vm_sim_mm_clear(struct vm_sim_machine *m, struct vm_sim_mm *mm)
{
    for (const struct vm_sim_vma *v = vm_sim_vma_first(mm); v; v = vm_sim_vma_next(v))
        vm_sim_zap(m, mm, v->start, v->end);
    vm_sim_vma_remove(mm, 0, UINT64_MAX);
    mm->start_brk = mm->brk = up(mm->layout.text);
}

void vm_sim_mm_put(struct vm_sim_machine *m, struct vm_sim_mm *mm)
{
    if (--mm->users > 0)
        return;
    vm_sim_mm_clear(m, mm);
    VM_ASSERT(mm->rss == 0 && mm->swapped == 0 && mm->total_vm == 0);
    if (mm->pt != m->kernel)
        vm_sim_pt_free(mm->pt);
    vm_list_remove(&mm->link);
    free(mm);
}

/* ---- Leaves ---- */

struct leaves {
    struct vm_sim_leaf *leaf;
    size_t n, cap;
};

static int add_leaf(void *ctx, struct vm_sim_linear at, unsigned level, vm_sim_pte *entry)
{
    struct leaves *l = ctx;

    l->leaf[l->n++] = (struct vm_sim_leaf){at, level, *entry};
    return l->n == l->cap;
}

size_t vm_sim_leaves(const struct vm_sim_mm *mm, uint64_t *at, uint64_t end, struct vm_sim_leaf *leaf, size_t cap)
{
    struct leaves l = {leaf, 0, cap};

    vm_sim_pt_each(mm->pt, VM_SIM_LINEAR(*at), VM_SIM_LINEAR(end), add_leaf, &l);
    if (l.n == cap) {
        const struct vm_sim_leaf *last = &leaf[cap - 1];
        *at = last->at.at + ((uint64_t)1 << vm_sim_paging_geometry[vm_sim_pt_mode(mm->pt)].shift[last->level - 1]);
        *at = vm_min(*at, end);
    } else {
        *at = end;
    }
    return l.n;
}

void vm_sim_zap(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t start, uint64_t end)
{
    struct vm_sim_leaf leaf[BATCH];

    while (start < end) {
        uint64_t from = start;
        size_t n = vm_sim_leaves(mm, &start, end, leaf, BATCH);
        for (size_t i = 0; i < n; i++) {
            VM_ASSERT(leaf[i].at.at >= from || i > 0);
            int error = vm_sim_store(m, mm, leaf[i].at, leaf[i].level, 0);
            VM_ASSERT(error == 0);
            if (leaf[i].entry & VM_SIM_PTE_P) {
                vm_sim_unmapped(m, mm, leaf[i].at, leaf[i].level, leaf[i].entry);
            } else {
                mm->swapped--;
                vm_sim_swap_forget(m, leaf[i].entry);
            }
        }
    }
}

/* No large page is to lie across the address. */
static int split_page_at(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t at)
{
    unsigned level;
    vm_sim_pte *e = vm_sim_pt_find(mm->pt, VM_SIM_LINEAR(at), &level);

    if (!e || !(*e & VM_SIM_PTE_P) || level == 1 || vm_sim_page_offset(m->config.mode, VM_SIM_LINEAR(at), level) == 0)
        return 0;
    return vm_sim_split_huge(m, vm_sim_pte_frame(*e));
}

static int split_pages(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t start, uint64_t end)
{
    return split_page_at(m, mm, start) != 0 || split_page_at(m, mm, end) != 0 ? -ENOMEM : 0;
}

/* ---- The calls ---- */

static bool is_valid(const struct vm_sim_mm *mm, uint64_t at, uint64_t bytes)
{
    return bytes > 0 && at % PAGE == 0 && at >= mm->base && at < mm->layout.task_size
           && bytes <= mm->layout.task_size - at;
}

int vm_sim_munmap(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes)
{
    if (!is_valid(mm, at, bytes))
        return -EINVAL;
    bytes = up(bytes);
    int error = split_pages(m, mm, at, at + bytes);
    if (error)
        return error;
    for (const struct vm_sim_vma *v = vm_sim_find_vma(mm, at); v && v->start < at + bytes; v = vm_sim_vma_next(v))
        vm_sim_zap(m, mm, vm_max(v->start, at), vm_min(v->end, at + bytes));
    vm_sim_vma_remove(mm, at, at + bytes);
    tell(m, mm, "munmap", at, bytes);
    return 0;
}

/* The size of a large page of the mode, if areas get some; else of a small one. */
static uint64_t large_page(const struct vm_sim_machine *m)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[m->config.mode];

    return m->config.huge && (g->huge_levels >> 2 & 1) ? (uint64_t)1 << g->shift[1] : PAGE;
}

static uint64_t find_room(const struct vm_sim_machine *m, const struct vm_sim_mm *mm, uint64_t bytes)
{
    const struct vm_sim_layout *l = &mm->layout;
    uint64_t low = l->mmap_top_down ? vm_max(mm->brk, PAGE) : l->mmap_base;
    uint64_t high = l->mmap_top_down ? l->mmap_base : l->stack_top - up(l->stack_limit);
    uint64_t align = bytes >= large_page(m) ? large_page(m) : PAGE;
    uint64_t at = vm_sim_vma_hole(mm, bytes + align - PAGE, low, high, l->mmap_top_down);

    if (!at && align > PAGE)
        return vm_sim_vma_hole(mm, bytes, low, high, l->mmap_top_down);
    return vm_align_up(at, align);
}

static struct vm_sim_file *shared_memory(struct vm_sim_machine *m, uint64_t bytes)
{
    char name[40];
    unsigned n = 1;

    for (const struct vm_sim_file *f = m->files; f; f = f->next)
        n += f->is_memory;
    snprintf(name, sizeof name, "/dev/zero (shared %u)", n);
    struct vm_sim_file *f = vm_sim_file_open(m, name, bytes);
    f->is_memory = true;
    return f;
}

int vm_sim_mmap(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes, unsigned perms,
                unsigned flags, enum vm_sim_region region, struct vm_sim_file *file, uint64_t offset, uint64_t *out)
{
    if (bytes == 0 || bytes > mm->layout.task_size)
        return bytes ? -ENOMEM : -EINVAL;
    bytes = up(bytes);
    if (at && (!is_valid(mm, at, bytes) || vm_sim_munmap(m, mm, at, bytes) != 0))
        return at % PAGE ? -EINVAL : -ENOMEM;
    if (!at && !(at = find_room(m, mm, bytes)))
        return -ENOMEM;
    if (!file && (flags & VM_SIM_VMA_SHARED))
        file = shared_memory(m, bytes);
    if (!file && large_page(m) > PAGE)
        flags |= VM_SIM_VMA_HUGE;
    struct vm_sim_vma like = {.start = at,
                              .end = at + bytes,
                              .perms = (uint8_t)perms,
                              .flags = (uint8_t)flags,
                              .region = (uint8_t)region,
                              .file = file,
                              .offset = offset};
    int error = vm_sim_vma_insert(mm, &like, NULL);
    VM_ASSERT(error == 0);
    tell(m, mm, "mmap", at, bytes);
    if (out)
        *out = at;
    return 0;
}

int vm_sim_brk(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t brk)
{
    uint64_t old = up(mm->brk), now = up(brk);
    int error;

    if (brk < mm->start_brk)
        return -EINVAL;
    if (brk > mm->layout.task_size)
        return -ENOMEM;
    if (now > old) {
        struct vm_sim_vma like = {.start = old,
                                  .end = now,
                                  .perms = VM_SIM_R | VM_SIM_W,
                                  .region = VM_SIM_HEAP,
                                  .flags = large_page(m) > PAGE ? VM_SIM_VMA_HUGE : 0};
        if (vm_sim_vma_insert(mm, &like, NULL) != 0)
            return -ENOMEM;
    } else if (now < old) {
        if ((error = split_pages(m, mm, now, old)) != 0)
            return error;
        vm_sim_zap(m, mm, now, old);
        vm_sim_vma_remove(mm, now, old);
    }
    mm->brk = brk;
    tell(m, mm, "brk", brk, brk - mm->start_brk);
    return 0;
}

int vm_sim_malloc(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t bytes, uint64_t *out)
{
    if (bytes >= VM_SIM_MMAP_THRESHOLD)
        return vm_sim_mmap(m, mm, 0, bytes, VM_SIM_R | VM_SIM_W, 0, VM_SIM_MMAP, NULL, 0, out);
    *out = vm_align_up(mm->brk, 16);
    return vm_sim_brk(m, mm, *out + vm_align_up(vm_max(bytes, 1), 16));
}

/* ---- Permissions ---- */

vm_sim_pte vm_sim_vma_bits(const struct vm_sim_vma *vma)
{
    enum vm_sim_paging_mode mode = vm_sim_pt_mode(vma->mm->pt);
    bool has_nx = mode >= VM_SIM_PAGING_PAE;

    return VM_SIM_PTE_P | (vma->perms ? VM_SIM_PTE_U : 0) | (has_nx && !(vma->perms & VM_SIM_X) ? VM_SIM_PTE_NX : 0);
}

static int set_bits(void *ctx, struct vm_sim_linear at, unsigned level, vm_sim_pte *entry)
{
    const struct vm_sim_vma *v = ctx;
    vm_sim_pte was_writable = *entry & (VM_SIM_PTE_W | VM_SIM_PTE_COW);

    (void)at;
    (void)level;
    if (!(*entry & VM_SIM_PTE_P))
        return 0;
    *entry &= ~(VM_SIM_PTE_W | VM_SIM_PTE_COW | VM_SIM_PTE_U | VM_SIM_PTE_NX);
    *entry |= vm_sim_vma_bits(v);
    if (v->perms & VM_SIM_W) /* a private page that was not writable may be shared: the write finds out */
        *entry |= v->flags & VM_SIM_VMA_SHARED ? VM_SIM_PTE_W : was_writable ? was_writable : VM_SIM_PTE_COW;
    return 0;
}

int vm_sim_mprotect(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t at, uint64_t bytes, unsigned perms)
{
    uint64_t end = at + up(bytes), covered = at;

    if (!is_valid(mm, at, bytes))
        return -EINVAL;
    for (const struct vm_sim_vma *v = vm_sim_find_vma(mm, at); v && v->start <= covered && covered < end;
         v = vm_sim_vma_next(v))
        covered = v->end;
    if (covered < end || split_pages(m, mm, at, end) != 0)
        return -ENOMEM;
    struct vm_sim_vma *v = vm_sim_find_vma(mm, at);
    if (v->start < at)
        v = vm_sim_vma_split(v, at);
    for (; v && v->start < end; v = vm_sim_vma_next(v)) {
        if (v->end > end)
            vm_sim_vma_split(v, end);
        v->perms = (uint8_t)perms;
        vm_sim_pt_each(mm->pt, VM_SIM_LINEAR(v->start), VM_SIM_LINEAR(v->end), set_bits, v);
        v = vm_sim_vma_merge(v);
    }
    if ((v = vm_sim_find_vma(mm, end)) != NULL)
        vm_sim_vma_merge(v);
    vm_sim_cpu_flush_range(&m->cpu, mm->context, VM_SIM_LINEAR(at), end - at);
    tell(m, mm, "mprotect", at, end - at);
    return 0;
}

/* ---- Invariants ---- */

struct found {
    const struct vm_sim_machine *m;
    uint64_t anon, file, swapped;
    bool bad;
    const struct vm_sim_vma *vma;
};

static int check_leaf(void *ctx, struct vm_sim_linear at, unsigned level, vm_sim_pte *entry)
{
    struct found *f = ctx;
    uint64_t bytes = (uint64_t)1 << vm_sim_paging_geometry[f->m->config.mode].shift[level - 1];
    const struct vm_sim_vma *v = f->vma;

    if (!(*entry & VM_SIM_PTE_P)) {
        f->swapped++;
        f->bad |= v->file && (v->flags & VM_SIM_VMA_SHARED);
        return 0;
    }
    const struct vm_sim_frame *frame = &f->m->memory.map.frame[vm_sim_pte_frame(*entry)];
    bool is_anon = frame->kind == VM_SIM_FRAME_ANON;
    *(is_anon ? &f->anon : &f->file) += bytes / PAGE;
    f->bad |= at.at < v->start || at.at + bytes > v->end || frame->count == 0 || (PAGE << frame->order) != bytes;
    f->bad |= is_anon ? frame->owner != v->anon || frame->index != (at.at - v->mm->base) / PAGE
                      : frame->owner != v->file;
    f->bad |= (*entry & VM_SIM_PTE_W) && !(v->perms & VM_SIM_W);
    f->bad |= (*entry & VM_SIM_PTE_W) && (*entry & VM_SIM_PTE_COW);
    f->bad |= (*entry & VM_SIM_PTE_W) && !(v->flags & VM_SIM_VMA_SHARED) && (!is_anon || frame->mapcount != 1);
    f->bad |= vm_sim_pte_region(*entry) != (enum vm_sim_region)v->region;
    return f->bad;
}

bool vm_sim_mm_check(const struct vm_sim_machine *m, const struct vm_sim_mm *mm)
{
    struct found f = {.m = m};

    if (!vm_sim_vma_check(mm) || mm->users == 0 || mm->brk < mm->start_brk)
        return false;
    for (f.vma = vm_sim_vma_first(mm); f.vma && !f.bad; f.vma = vm_sim_vma_next(f.vma)) {
        vm_sim_pt_each(mm->pt, VM_SIM_LINEAR(f.vma->start), VM_SIM_LINEAR(f.vma->end), check_leaf, &f);
        if (f.vma->start < mm->base || f.vma->end > mm->layout.task_size)
            return false;
    }
    if (mm->pt != m->kernel) { /* nothing outside of the areas */
        struct vm_sim_pt_stats s = vm_sim_pt_stats(mm->pt);
        uint64_t pages = 0;
        for (unsigned level = 1; level <= vm_sim_paging_geometry[m->config.mode].levels; level++)
            pages += s.leaves[level - 1] << (vm_sim_paging_geometry[m->config.mode].shift[level - 1]
                                             - VM_SIM_PAGE_SHIFT);
        if (pages != mm->rss || s.swapped != mm->swapped || !vm_sim_pt_check(mm->pt))
            return false;
    }
    return !f.bad && f.anon == mm->rss_anon && f.file == mm->rss_file && f.swapped == mm->swapped
           && mm->rss == mm->rss_anon + mm->rss_file && mm->rss <= mm->highest_rss;
}
