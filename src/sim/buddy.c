/* The buddy system of one zone; see buddy.h.

   Invariants (vm_sim_buddy_check): a block of order o begins at a multiple of 1 << o and lies in the zone; no two free
   buddies of one order below the highest, so the free blocks are the largest aligned ones that the free frames make;
   blocks[o] = length of list[o]; free = sum of blocks[o] << o; each frame of the zone is reserved, in one free block,
   or in one that was handed out. */
#include "sim/buddy.h"

#include "base/fail.h"

static vm_sim_pfn size_of(unsigned order) { return (vm_sim_pfn)1 << order; }

/* The block's head becomes free; its descriptor is all zeros before. */
static void list_add(struct vm_sim_buddy *b, vm_sim_pfn frame, unsigned order, bool last)
{
    struct vm_sim_frame *f = vm_sim_pfn_frame(b->map, frame);

    f->flags = VM_SIM_FRAME_HEAD | VM_SIM_FRAME_BUDDY;
    f->order = (uint8_t)order;
    if (last)
        vm_list_push_back(&b->list[order], &f->lru);
    else
        vm_list_push_front(&b->list[order], &f->lru);
    b->blocks[order]++;
    b->free += size_of(order);
}

static void list_remove(struct vm_sim_buddy *b, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = vm_sim_pfn_frame(b->map, frame);

    VM_ASSERT(f->flags & VM_SIM_FRAME_BUDDY);
    vm_list_remove(&f->lru);
    b->blocks[f->order]--;
    b->free -= size_of(f->order);
    *f = (struct vm_sim_frame){0};
}

/* Is it the head of a free block of this order? */
static bool is_free_block(const struct vm_sim_buddy *b, vm_sim_pfn frame, unsigned order)
{
    if (frame < b->start || frame >= b->end)
        return false;
    const struct vm_sim_frame *f = vm_sim_pfn_frame(b->map, frame);
    return (f->flags & VM_SIM_FRAME_BUDDY) && f->order == order;
}

/* The largest order of an aligned block at `at` that ends by `end`. */
static unsigned order_at(vm_sim_pfn at, vm_sim_pfn end)
{
    unsigned order = 0;

    while (order < VM_SIM_MAX_ORDER && at % size_of(order + 1) == 0 && end - at >= size_of(order + 1))
        order++;
    return order;
}

void vm_sim_buddy_init(struct vm_sim_buddy *b, struct vm_sim_mem_map *map, vm_sim_pfn start, vm_sim_pfn end,
                       const char *name, struct vm_sim_events *events)
{
    vm_sim_pfn at = start, run;

    VM_ASSERT(start <= end && end <= map->frames);
    *b = (struct vm_sim_buddy){.map = map, .start = start, .end = end, .name = name, .events = events};
    for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
        vm_list_init(&b->list[o]);
    for (; at < end; at = run + 1) { /* each run of frames up to a reserved one; lowest addresses are taken first */
        run = at;
        while (run < end && run < map->reserved_end && vm_sim_pfn_frame(map, run)->kind != VM_SIM_FRAME_RESERVED)
            run++;
        if (run >= map->reserved_end)
            run = end;
        for (unsigned order; at < run; at += size_of(order)) {
            order = order_at(at, run);
            list_add(b, at, order, true);
        }
    }
}

vm_sim_pfn vm_sim_buddy_take(struct vm_sim_buddy *b, unsigned order, enum vm_sim_frame_kind kind)
{
    unsigned found = order;

    VM_ASSERT(order <= VM_SIM_MAX_ORDER && kind > VM_SIM_FRAME_RESERVED);
    while (found <= VM_SIM_MAX_ORDER && vm_list_empty(&b->list[found]))
        found++;
    if (found > VM_SIM_MAX_ORDER)
        return VM_SIM_NO_FRAME;
    struct vm_sim_frame *f = VM_CONTAINER_OF(b->list[found].next, struct vm_sim_frame, lru);
    vm_sim_pfn frame = vm_sim_frame_pfn(b->map, f);
    list_remove(b, frame);
    for (; found > order; found--) { /* the upper half stays */
        vm_sim_emit(b->events, VM_SIM_EV(SPLIT, .frame = frame, .order = (uint8_t)found, .name = b->name));
        list_add(b, frame + size_of(found - 1), found - 1, false);
        b->splits++;
    }
    for (vm_sim_pfn i = 0; i < size_of(order); i++)
        f[i].kind = (uint8_t)kind;
    f->flags = VM_SIM_FRAME_HEAD;
    f->order = (uint8_t)order;
    f->count = 1;
    vm_list_init(&f->lru);
    return frame;
}

void vm_sim_buddy_give(struct vm_sim_buddy *b, vm_sim_pfn frame, unsigned order)
{
    struct vm_sim_frame *f = vm_sim_pfn_frame(b->map, frame);

    VM_ASSERT(frame >= b->start && frame + (uint64_t)size_of(order) <= b->end);
    VM_ASSERT(f->kind > VM_SIM_FRAME_RESERVED && (f->flags & VM_SIM_FRAME_HEAD) && f->order == order);
    for (vm_sim_pfn i = 0; i < size_of(order); i++) {
        VM_ASSERT(f[i].mapcount == 0 && !(f[i].flags & (VM_SIM_FRAME_ON_LRU | VM_SIM_FRAME_SWAP_CACHE)));
        f[i] = (struct vm_sim_frame){0};
    }
    for (; order < VM_SIM_MAX_ORDER && is_free_block(b, frame ^ size_of(order), order); order++) {
        list_remove(b, frame ^ size_of(order));
        frame &= ~size_of(order);
        b->merges++;
        vm_sim_emit(b->events, VM_SIM_EV(MERGE, .frame = frame, .order = (uint8_t)(order + 1), .name = b->name));
    }
    list_add(b, frame, order, false);
}

void vm_sim_buddy_drain(struct vm_sim_buddy *b)
{
    for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
        while (!vm_list_empty(&b->list[o]))
            list_remove(b, vm_sim_frame_pfn(b->map, VM_CONTAINER_OF(b->list[o].next, struct vm_sim_frame, lru)));
}

double vm_sim_buddy_fragmentation(const struct vm_sim_buddy *b, unsigned order)
{
    uint64_t blocks = 0;

    for (unsigned o = 0; o < VM_SIM_ORDERS; o++) {
        if (o >= order && b->blocks[o])
            return -1;
        blocks += b->blocks[o];
    }
    if (blocks == 0)
        return 0;
    return 1 - (1 + (double)b->free / (double)((uint64_t)1 << order)) / (double)blocks;
}

static bool check_lists(const struct vm_sim_buddy *b)
{
    uint64_t frames = 0;

    for (unsigned o = 0; o < VM_SIM_ORDERS; o++) {
        uint64_t length = 0;
        for (const struct vm_list *l = b->list[o].next; l != &b->list[o]; l = l->next) {
            const struct vm_sim_frame *f = VM_CONTAINER_OF(l, const struct vm_sim_frame, lru);
            if (!is_free_block(b, vm_sim_frame_pfn(b->map, f), o) || l->next->prev != l || ++length > b->blocks[o])
                return false;
        }
        if (length != b->blocks[o])
            return false;
        frames += length << o;
    }
    return frames == b->free;
}

bool vm_sim_buddy_check(const struct vm_sim_buddy *b)
{
    uint64_t blocks[VM_SIM_ORDERS] = {0};

    for (vm_sim_pfn i = b->start; i < b->end;) {
        const struct vm_sim_frame *f = vm_sim_pfn_frame(b->map, i);
        if (f->kind == VM_SIM_FRAME_RESERVED) {
            i++;
            continue;
        }
        if (!(f->flags & VM_SIM_FRAME_HEAD) || f->order > VM_SIM_MAX_ORDER || i % size_of(f->order) != 0
            || b->end - i < size_of(f->order))
            return false;
        bool is_free = f->flags & VM_SIM_FRAME_BUDDY;
        if (is_free != (f->kind == VM_SIM_FRAME_FREE))
            return false;
        if (is_free && f->order < VM_SIM_MAX_ORDER && is_free_block(b, i ^ size_of(f->order), f->order))
            return false;
        for (vm_sim_pfn k = 1; k < size_of(f->order); k++)
            if (is_free ? !vm_sim_frame_is_blank(f + k) : f[k].kind != f->kind || (f[k].flags & VM_SIM_FRAME_HEAD))
                return false;
        blocks[f->order] += is_free;
        i += size_of(f->order);
    }
    for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
        if (blocks[o] != b->blocks[o])
            return false;
    return check_lists(b);
}
