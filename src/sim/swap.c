/* Swap areas; see swap.h. */
#include "sim/swap.h"

#include <errno.h>

#include "base/fail.h"
#include "sim/mem.h"

/* The pieces of a swap file are as far apart as a piece is long: any transfer from one to the next is a seek. */
int vm_sim_swap_add(struct vm_sim_swaps *s, const char *name, uint64_t bytes, int priority, unsigned extents)
{
    uint64_t slots = bytes / VM_SIM_PAGE_SIZE, piece;

    if (slots < 2 || extents == 0 || extents > slots)
        return -EINVAL;
    if (s->areas == VM_SIM_SWAP_AREAS || slots > VM_SIM_SWAP_SLOTS)
        return -ENOSPC;
    struct vm_sim_swap_area *a = &s->area[s->areas++];
    *a = (struct vm_sim_swap_area){.name = name,
                                   .priority = priority,
                                   .slots = (uint32_t)slots,
                                   .next = 1,
                                   .extents = extents,
                                   .last_block = UINT64_MAX};
    a->count = vm_sim_zalloc(slots * sizeof *a->count);
    a->cache = vm_sim_zalloc(slots * sizeof *a->cache);
    for (uint64_t i = 0; i < slots; i++)
        a->cache[i] = VM_SIM_NO_FRAME;
    a->extent = vm_sim_zalloc(extents * sizeof *a->extent);
    piece = slots / extents;
    for (unsigned i = 0; i < extents; i++)
        a->extent[i] = (struct vm_sim_swap_extent){.first = (uint32_t)(i * piece),
                                                   .slots = (uint32_t)(i + 1 < extents ? piece : slots - i * piece),
                                                   .block = i * piece * 2};
    return 0;
}

void vm_sim_swaps_free(struct vm_sim_swaps *s)
{
    for (unsigned i = 0; i < s->areas; i++) {
        free(s->area[i].count);
        free(s->area[i].cache);
        free(s->area[i].extent);
    }
    *s = (struct vm_sim_swaps){0};
}

static struct vm_sim_swap_area *area_of(const struct vm_sim_swaps *s, vm_sim_pte slot)
{
    unsigned i = vm_sim_pte_swap_area(slot);

    VM_ASSERT(vm_sim_pte_is_swap(slot) && i < s->areas);
    struct vm_sim_swap_area *a = (struct vm_sim_swap_area *)(uintptr_t)&s->area[i];
    VM_ASSERT(vm_sim_pte_swap_slot(slot) > 0 && vm_sim_pte_swap_slot(slot) < a->slots);
    return a;
}

/* The area of highest priority that has room; of equal ones each in its turn. */
static struct vm_sim_swap_area *best_area(struct vm_sim_swaps *s)
{
    struct vm_sim_swap_area *best = NULL;

    for (unsigned i = 0; i < s->areas; i++) {
        struct vm_sim_swap_area *a = &s->area[(s->turn + i) % s->areas];
        if (a->used < a->slots - 1 && (!best || a->priority > best->priority))
            best = a;
    }
    return best;
}

vm_sim_pte vm_sim_swap_take(struct vm_sim_swaps *s)
{
    struct vm_sim_swap_area *a = best_area(s);
    uint32_t slot;

    if (!a)
        return 0;
    for (slot = a->next; a->count[slot] != 0; slot = slot + 1 < a->slots ? slot + 1 : 1)
        ;
    a->count[slot] = 1;
    a->used++;
    a->next = slot + 1 < a->slots ? slot + 1 : 1;
    s->turn = ((unsigned)(a - s->area) + 1) % s->areas;
    return vm_sim_pte_swap((unsigned)(a - s->area), slot);
}

void vm_sim_swap_get(struct vm_sim_swaps *s, vm_sim_pte slot)
{
    uint16_t *count = &area_of(s, slot)->count[vm_sim_pte_swap_slot(slot)];

    VM_ASSERT(*count > 0 && *count < UINT16_MAX);
    ++*count;
}

bool vm_sim_swap_put(struct vm_sim_swaps *s, vm_sim_pte slot)
{
    struct vm_sim_swap_area *a = area_of(s, slot);
    uint32_t i = vm_sim_pte_swap_slot(slot);

    VM_ASSERT(a->count[i] > (a->cache[i] != VM_SIM_NO_FRAME));
    if (--a->count[i] > 0)
        return false;
    a->used--;
    return true;
}

unsigned vm_sim_swap_count(const struct vm_sim_swaps *s, vm_sim_pte slot)
{
    return area_of(s, slot)->count[vm_sim_pte_swap_slot(slot)];
}

uint64_t vm_sim_swap_block(const struct vm_sim_swaps *s, vm_sim_pte slot)
{
    const struct vm_sim_swap_area *a = area_of(s, slot);
    const struct vm_sim_swap_extent *e = a->extent;
    uint32_t i = vm_sim_pte_swap_slot(slot);

    while (i - e->first >= e->slots)
        e++;
    return e->block + (i - e->first);
}

static void transfer(struct vm_sim_swaps *s, vm_sim_pte slot)
{
    struct vm_sim_swap_area *a = area_of(s, slot);
    uint64_t block = vm_sim_swap_block(s, slot);

    a->seeks += block != a->last_block + 1;
    a->last_block = block;
}

void vm_sim_swap_write(struct vm_sim_swaps *s, vm_sim_pte slot)
{
    area_of(s, slot)->writes++;
    transfer(s, slot);
}

void vm_sim_swap_read(struct vm_sim_swaps *s, vm_sim_pte slot)
{
    area_of(s, slot)->reads++;
    transfer(s, slot);
}

/* ---- The swap cache ---- */

vm_sim_pfn vm_sim_swap_cached(const struct vm_sim_swaps *s, vm_sim_pte slot)
{
    return area_of(s, slot)->cache[vm_sim_pte_swap_slot(slot)];
}

void vm_sim_swap_cache_add(struct vm_sim_swaps *s, vm_sim_pte slot, vm_sim_pfn frame)
{
    vm_sim_pfn *cache = &area_of(s, slot)->cache[vm_sim_pte_swap_slot(slot)];

    VM_ASSERT(*cache == VM_SIM_NO_FRAME);
    vm_sim_swap_get(s, slot);
    *cache = frame;
}

bool vm_sim_swap_cache_remove(struct vm_sim_swaps *s, vm_sim_pte slot)
{
    vm_sim_pfn *cache = &area_of(s, slot)->cache[vm_sim_pte_swap_slot(slot)];

    VM_ASSERT(*cache != VM_SIM_NO_FRAME);
    *cache = VM_SIM_NO_FRAME;
    return vm_sim_swap_put(s, slot);
}

uint64_t vm_sim_swap_free(const struct vm_sim_swaps *s)
{
    uint64_t slots = 0;

    for (unsigned i = 0; i < s->areas; i++)
        slots += s->area[i].slots - 1 - s->area[i].used;
    return slots;
}

bool vm_sim_swaps_check(const struct vm_sim_swaps *s)
{
    for (unsigned i = 0; i < s->areas; i++) {
        const struct vm_sim_swap_area *a = &s->area[i];
        uint32_t used = 0, first = 0;
        for (uint32_t slot = 0; slot < a->slots; slot++) {
            used += a->count[slot] > 0;
            if (a->cache[slot] != VM_SIM_NO_FRAME && a->count[slot] == 0)
                return false;
        }
        for (uint32_t e = 0; e < a->extents; first += a->extent[e++].slots)
            if (a->extent[e].first != first || a->extent[e].slots == 0)
                return false;
        if (used != a->used || a->count[0] != 0 || first != a->slots || a->next < 1 || a->next >= a->slots)
            return false;
    }
    return s->areas == 0 || s->turn < s->areas;
}
