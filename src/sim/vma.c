/* Areas of an address space; see vma.h. */
#include "sim/vma.h"

#include <errno.h>

#include "base/fail.h"
#include "sim/mem.h"
#include "sim/mm.h"
#include "sim/paging.h"
#include "sim/rmap.h"

static struct vm_sim_vma *of_node(struct vm_tree_node *n)
{
    return n ? VM_CONTAINER_OF(n, struct vm_sim_vma, node) : NULL;
}
static struct vm_sim_vma *of_link(struct vm_list *l) { return VM_CONTAINER_OF(l, struct vm_sim_vma, link); }

static uint64_t pages_between(uint64_t from, uint64_t to) { return (to - from) >> VM_SIM_PAGE_SHIFT; }

struct vm_sim_vma *vm_sim_find_vma(const struct vm_sim_mm *mm, uint64_t address)
{
    return address == UINT64_MAX ? NULL : of_node(vm_tree_first_at_least(&mm->tree, address + 1));
}

struct vm_sim_vma *vm_sim_vma_first(const struct vm_sim_mm *mm)
{
    return vm_list_empty(&mm->vmas) ? NULL : of_link(mm->vmas.next);
}

struct vm_sim_vma *vm_sim_vma_next(const struct vm_sim_vma *vma)
{
    return vma->link.next == &vma->mm->vmas ? NULL : of_link(vma->link.next);
}

static struct vm_sim_vma *previous(const struct vm_sim_mm *mm, const struct vm_sim_vma *next)
{
    const struct vm_list *at = next ? &next->link : &mm->vmas;

    return at->prev == &mm->vmas ? NULL : of_link(at->prev);
}

/* ---- Entering and leaving list and tree ---- */

static void enter(struct vm_sim_mm *mm, struct vm_sim_vma *v, struct vm_sim_vma *next)
{
    vm_list_push_back(next ? &next->link : &mm->vmas, &v->link);
    v->node.key = v->end;
    v->node.order = v->start;
    vm_tree_insert(&mm->tree, &v->node);
    mm->vma_count++;
}

static void leave(struct vm_sim_vma *v)
{
    vm_tree_remove(&v->mm->tree, &v->node);
    vm_list_remove(&v->link);
    v->mm->vma_count--;
    if (v->file)
        vm_list_remove(&v->file_link);
    vm_sim_anon_leave(v);
    free(v);
}

void vm_sim_vma_resize(struct vm_sim_vma *v, uint64_t start, uint64_t end)
{
    vm_tree_remove(&v->mm->tree, &v->node);
    v->mm->total_vm += pages_between(start, end) - pages_between(v->start, v->end);
    v->offset += (start >> VM_SIM_PAGE_SHIFT) - (v->start >> VM_SIM_PAGE_SHIFT); /* modulo 2^64: downwards too */
    v->start = start;
    v->end = end;
    v->node.key = end;
    v->node.order = start;
    vm_tree_insert(&v->mm->tree, &v->node);
}

/* ---- Merging ---- */

/* Could they be one, low ending where high begins? */
static bool fits(const struct vm_sim_vma *low, const struct vm_sim_vma *high)
{
    return low && high && low->end == high->start && low->perms == high->perms && low->flags == high->flags
           && low->region == high->region && low->file == high->file
           && high->offset == low->offset + pages_between(low->start, low->end)
           && (!low->anon || !high->anon || low->anon == high->anon) && !(low->flags & VM_SIM_VMA_GROWS_DOWN);
}

/* Takes high into low. */
static void merge(struct vm_sim_vma *low, struct vm_sim_vma *high)
{
    uint64_t end = high->end;

    if (!low->anon && high->anon)
        vm_sim_anon_join(low, high);
    low->mm->total_vm -= pages_between(high->start, end);
    leave(high);
    vm_sim_vma_resize(low, low->start, end);
}

struct vm_sim_vma *vm_sim_vma_merge(struct vm_sim_vma *v)
{
    struct vm_sim_vma *low = previous(v->mm, v), *high = vm_sim_vma_next(v);

    if (fits(v, high))
        merge(v, high);
    if (fits(low, v)) {
        merge(low, v);
        return low;
    }
    return v;
}

int vm_sim_vma_insert(struct vm_sim_mm *mm, const struct vm_sim_vma *like, struct vm_sim_vma **out)
{
    struct vm_sim_vma *next = vm_sim_find_vma(mm, like->start);

    VM_ASSERT(like->start < like->end && (like->start | like->end) % VM_SIM_PAGE_SIZE == 0);
    if (next && next->start < like->end)
        return -EEXIST;
    struct vm_sim_vma *v = vm_sim_zalloc(sizeof *v);
    *v = (struct vm_sim_vma){.mm = mm,
                             .start = like->start,
                             .end = like->end,
                             .perms = like->perms,
                             .flags = like->flags,
                             .region = like->region,
                             .file = like->file,
                             .offset = like->offset};
    if (!v->file)
        v->offset = pages_between(mm->base, v->start);
    vm_list_init(&v->anon_link);
    if (like->anon)
        vm_sim_anon_join(v, like);
    if (v->file)
        vm_list_push_back(&v->file->vmas, &v->file_link);
    enter(mm, v, next);
    mm->total_vm += pages_between(v->start, v->end);
    v = vm_sim_vma_merge(v);
    if (out)
        *out = v;
    return 0;
}

struct vm_sim_vma *vm_sim_vma_split(struct vm_sim_vma *vma, uint64_t at)
{
    struct vm_sim_vma *upper = vm_sim_zalloc(sizeof *upper);
    uint64_t end = vma->end;

    VM_ASSERT(at > vma->start && at < end && at % VM_SIM_PAGE_SIZE == 0);
    *upper = *vma;
    upper->start = at;
    upper->offset += pages_between(vma->start, at);
    upper->anon = NULL;
    upper->flags &= (uint8_t)~VM_SIM_VMA_GROWS_DOWN; /* only the lower end of a stack grows */
    vm_list_init(&upper->anon_link);
    if (vma->anon)
        vm_sim_anon_join(upper, vma);
    if (upper->file)
        vm_list_push_back(&upper->file->vmas, &upper->file_link);
    vm_sim_vma_resize(vma, vma->start, at);
    enter(vma->mm, upper, vm_sim_vma_next(vma));
    vma->mm->total_vm += pages_between(at, end);
    return upper;
}

void vm_sim_vma_remove(struct vm_sim_mm *mm, uint64_t start, uint64_t end)
{
    struct vm_sim_vma *v = vm_sim_find_vma(mm, start), *next;

    if (v && v->start < start)
        v = vm_sim_vma_split(v, start);
    for (; v && v->start < end; v = next) {
        if (v->end > end)
            vm_sim_vma_split(v, end);
        next = vm_sim_vma_next(v);
        mm->total_vm -= pages_between(v->start, v->end);
        leave(v);
    }
}

/* ---- Holes ---- */

uint64_t vm_sim_vma_hole(const struct vm_sim_mm *mm, uint64_t bytes, uint64_t low, uint64_t high, bool top_down)
{
    uint64_t from = low, best = 0;

    for (struct vm_sim_vma *v = vm_sim_find_vma(mm, low);; v = vm_sim_vma_next(v)) {
        uint64_t to = v ? vm_min(v->start, high) : high;
        if (to >= from && to - from >= bytes) {
            best = top_down ? to - bytes : from;
            if (!top_down)
                return best;
        }
        if (!v || v->end >= high)
            return best;
        from = vm_max(from, v->end);
    }
}

/* ---- Invariants ---- */

bool vm_sim_vma_check(const struct vm_sim_mm *mm)
{
    uint64_t count = 0, pages = 0, end = 0;
    const struct vm_sim_vma *before = NULL;
    const struct vm_tree_node *node = vm_tree_first_at_least(&mm->tree, 0);

    for (const struct vm_sim_vma *v = vm_sim_vma_first(mm); v; before = v, v = vm_sim_vma_next(v)) {
        if (v->mm != mm || v->start >= v->end || v->start < end || (v->start | v->end) % VM_SIM_PAGE_SIZE != 0
            || fits(before, v))
            return false;
        if (node != &v->node || v->node.key != v->end || v->node.order != v->start)
            return false;
        if (!v->file && v->offset != pages_between(mm->base, v->start))
            return false;
        node = vm_tree_next(&mm->tree, node);
        end = v->end;
        pages += pages_between(v->start, v->end);
        count++;
    }
    return !node && count == mm->vma_count && pages == mm->total_vm && vm_tree_check(&mm->tree) == (long)count;
}
