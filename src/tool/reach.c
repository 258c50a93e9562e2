/* Reach; see reach.h. */
#include "tool/reach.h"

#include <string.h>

#define K4_SHIFT 12
#define K64_SHIFT 16
#define M2_SHIFT 21

/* ---- The heap ---- */

static void add_to(struct reach_region *region, const struct view_piece *p)
{
    uint64_t chunk = p->start / VIEW_CHUNK + 1;

    region->resident += p->resident;
    region->huge += p->huge;
    region->live += p->live;
    if (p->resident && region->last != chunk) {
        region->chunks++;
        region->last = chunk;
    }
    if (p->huge && region->last_huge != chunk) {
        region->huge_chunks++;
        region->last_huge = chunk;
    }
}

/* Counts the units of 1 << shift bytes that [start, end) touches, but for one counted already; *next is the first one
   that was not. */
static uint64_t units(uint64_t start, uint64_t end, unsigned shift, uint64_t *next)
{
    uint64_t first = vm_max(start >> shift, *next), last = (end - 1) >> shift;

    if (first > last)
        return 0;
    *next = last + 1;
    return last - first + 1;
}

/* Where counting stands: the first unit not counted yet. */
struct counting {
    uint64_t small, huge, k64, m2;
};

static void count_run(struct reach *r, struct counting *next, uint64_t start, uint64_t end, bool huge)
{
    r->what_if[REACH_AS_IS].pages += huge ? units(start, end, M2_SHIFT, &next->huge)
                                          : units(start, end, K4_SHIFT, &next->small);
    r->what_if[REACH_4K].pages += (end - start) >> K4_SHIFT;
    r->what_if[REACH_64K].pages += units(start, end, K64_SHIFT, &next->k64);
    r->what_if[REACH_2M].pages += units(start, end, M2_SHIFT, &next->m2);
}

/* Where pieces and resident pages overlap. */
static void count_units(const struct view *v, struct reach *r)
{
    struct counting next = {0};
    size_t i = 0;

    for (size_t n = 0; n < v->count; n++) {
        const struct view_piece *p = &v->piece[n];
        while (i < v->runs.count && v->runs.run[i].end <= p->start)
            i++;
        for (size_t k = i; k < v->runs.count && v->runs.run[k].start < p->end; k++) {
            const struct procfs_run *run = &v->runs.run[k];
            uint64_t start = vm_max(run->start, p->start), end = vm_min(run->end, p->end);
            if ((run->flags & PROCFS_PRESENT) && start < end)
                count_run(r, &next, start, end, run->flags & PROCFS_HUGE);
        }
    }
    r->what_if[REACH_64K].wasted = (r->what_if[REACH_64K].pages << K64_SHIFT) - r->all.resident;
    r->what_if[REACH_2M].wasted = (r->what_if[REACH_2M].pages << M2_SHIFT) - r->all.resident;
}

void reach_make(const struct view *v, struct reach *r)
{
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < v->count; i++) {
        const struct view_piece *p = &v->piece[i];
        add_to(&r->all, p);
        add_to(&r->region[p->kind], p);
        if (p->kind != VIEW_SLAB)
            continue;
        add_to(&r->of_class[p->class_id], p);
        r->class_size[p->class_id] = p->block_size;
    }
    count_units(v, r);
}

/* ---- The TLB ---- */

/* The array of the level that takes pages of the size, or NULL. */
static const struct vm_tlb_geometry *array_for(const struct vm_tlb_config *c, unsigned level, enum vm_tlb_size size)
{
    for (unsigned i = 0; i < VM_TLB_ARRAYS; i++) {
        const struct vm_tlb_geometry *g = &c->array[level - 1][i];
        if (g->ways && (g->sizes & 1u << size))
            return g;
    }
    return NULL;
}

static uint64_t entries(const struct vm_tlb_geometry *g) { return g ? (uint64_t)g->sets * g->ways : 0; }

uint64_t reach_of_level(const struct vm_tlb_config *c, unsigned level, enum reach_page page)
{
    if (page == REACH_2M)
        return c->shift[VM_TLB_LARGE] ? entries(array_for(c, level, VM_TLB_LARGE)) << M2_SHIFT : 0;
    return entries(array_for(c, level, VM_TLB_SMALL)) << (page == REACH_64K ? K64_SHIFT : K4_SHIFT);
}

uint64_t reach_covered(const struct vm_tlb_config *c, unsigned level, enum reach_page page,
                       const struct reach_region *region)
{
    if (page != REACH_AS_IS)
        return vm_min(reach_of_level(c, level, page), region->resident);
    const struct vm_tlb_geometry *small = array_for(c, level, VM_TLB_SMALL), *large = array_for(c, level, VM_TLB_LARGE);
    uint64_t mapped = vm_min(region->huge_chunks, c->shift[VM_TLB_LARGE] ? entries(large) : 0);
    uint64_t left = entries(small) - (small == large ? mapped : 0);
    uint64_t huge = region->huge_chunks ? region->huge / region->huge_chunks * mapped : 0;
    if (mapped == region->huge_chunks)
        huge = region->huge;
    return huge + vm_min(left << K4_SHIFT, region->resident - region->huge);
}
