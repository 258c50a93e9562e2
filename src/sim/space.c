/* Contiguous placement and compaction; see space.h.
   Invariants (vm_sim_space_check): pieces ascend and do not overlap, unless placed at an address by force; used = their
   sum; none ends beyond the memory. */
#include "sim/space.h"

#include <stdlib.h>

#include "base/fail.h"
#include "sim/mem.h"

void vm_sim_space_init(struct vm_sim_space *s, uint64_t bytes, enum vm_sim_fit fit, struct vm_sim_events *events)
{
    *s = (struct vm_sim_space){.bytes = bytes, .fit = fit, .events = events};
}

void vm_sim_space_free(struct vm_sim_space *s)
{
    while (s->first)
        vm_sim_space_release(s, s->first);
}

/* The hole after *link's predecessors: from the end of what is before it to *link, or the end of memory. */
struct hole {
    struct vm_sim_hole_use **link;
    uint64_t base, bytes;
};

static bool next_hole(const struct vm_sim_space *s, struct hole *h)
{
    if (!h->link) {
        h->link = (struct vm_sim_hole_use **)(uintptr_t)&s->first;
        h->base = 0;
    } else {
        if (!*h->link)
            return false;
        uint64_t end = (*h->link)->base + (*h->link)->bytes;
        h->base = end > h->base ? end : h->base;
        h->link = &(*h->link)->next;
    }
    uint64_t to = *h->link ? (*h->link)->base : s->bytes;
    h->bytes = to > h->base ? to - h->base : 0;
    return true;
}

static struct vm_sim_hole_use *use(struct vm_sim_space *s, struct vm_sim_hole_use **link, uint64_t base, uint64_t bytes,
                                   const char *name)
{
    struct vm_sim_hole_use *piece = vm_sim_zalloc(sizeof *piece);

    *piece = (struct vm_sim_hole_use){.next = *link, .base = base, .bytes = bytes, .name = name};
    *link = piece;
    s->used += bytes;
    vm_sim_emit(s->events, VM_SIM_EV(PLACE, .physical = VM_SIM_PHYSICAL(base), .bytes = bytes, .name = name,
                                     .cause = s->fit == VM_SIM_BEST_FIT ? "best fit" : "first fit"));
    return piece;
}

struct vm_sim_hole_use *vm_sim_space_place(struct vm_sim_space *s, uint64_t bytes, const char *name)
{
    struct hole h = {0}, best = {0};

    if (bytes == 0)
        return NULL;
    while (next_hole(s, &h)) {
        if (h.bytes < bytes || (best.link && h.bytes >= best.bytes))
            continue;
        best = h;
        if (s->fit == VM_SIM_FIRST_FIT)
            break;
    }
    return best.link ? use(s, best.link, best.base, bytes, name) : NULL;
}

struct vm_sim_hole_use *vm_sim_space_place_at(struct vm_sim_space *s, uint64_t base, uint64_t bytes, const char *name)
{
    struct hole h = {0};

    if (bytes == 0 || bytes > s->bytes || base > s->bytes - bytes)
        return NULL;
    while (next_hole(s, &h))
        if (h.base <= base && base < h.base + h.bytes && bytes <= h.base + h.bytes - base)
            return use(s, h.link, base, bytes, name);
    return NULL;
}

void vm_sim_space_release(struct vm_sim_space *s, struct vm_sim_hole_use *piece)
{
    struct vm_sim_hole_use **link = &s->first;

    while (*link != piece) {
        VM_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = piece->next;
    s->used -= piece->bytes;
    free(piece);
}

uint64_t vm_sim_space_compact(struct vm_sim_space *s)
{
    uint64_t base = 0, moved = 0;

    for (struct vm_sim_hole_use *p = s->first; p; p = p->next) {
        if (p->fixed) {
            base = p->base;
        } else if (p->base != base) {
            moved += p->bytes;
            p->base = base;
            if (p->base_follows)
                *p->base_follows = base;
            vm_sim_emit(s->events, VM_SIM_EV(MOVE, .physical = VM_SIM_PHYSICAL(base), .bytes = p->bytes,
                                             .name = p->name, .cause = "compaction"));
        }
        base += p->bytes;
    }
    s->moved += moved;
    s->compactions++;
    return moved;
}

uint64_t vm_sim_space_available(const struct vm_sim_space *s) { return s->bytes - s->used; }

uint64_t vm_sim_space_largest_hole(const struct vm_sim_space *s)
{
    struct hole h = {0};
    uint64_t largest = 0;

    while (next_hole(s, &h))
        largest = vm_max(largest, h.bytes);
    return largest;
}

double vm_sim_space_fragmentation(const struct vm_sim_space *s)
{
    uint64_t available = vm_sim_space_available(s);

    return available ? 1 - (double)vm_sim_space_largest_hole(s) / (double)available : 0;
}

bool vm_sim_space_check(const struct vm_sim_space *s)
{
    uint64_t used = 0, end = 0;

    for (const struct vm_sim_hole_use *p = s->first; p; p = p->next) {
        if (p->base < end || p->bytes == 0 || p->bytes > s->bytes || p->base > s->bytes - p->bytes)
            return false;
        if (p->base_follows && *p->base_follows != p->base)
            return false;
        end = p->base + p->bytes;
        used += p->bytes;
    }
    return used == s->used;
}
