/* See walk.h.  A walk holds a lock for so many slabs at a time, and goes on from the address it came to. */
#include "heap/walk.h"

#include "base/lock.h"
#include "heap/slab.h"
#include "page/extent.h"
#include "page/zone.h"

#define SLABS_AT_ONCE 16 /* looked at under the lock */
#define EXTENTS_AT_ONCE 16

static struct vm_found found(enum vm_found_kind kind, uintptr_t start, size_t bytes, unsigned class_id)
{
    return (struct vm_found){start, bytes, (uint8_t)kind, (uint8_t)class_id, false};
}

/* Under vm_frames_lock. */
static struct vm_found in_slab(const struct vm_page *slab, uintptr_t address)
{
    size_t index = (address - slab->start) / slab->size, all = slab->capacity * slab->size;
    uintptr_t start = slab->start + index * slab->size;

    if (index >= slab->capacity)
        return found(VM_FOUND_TAIL, slab->start + all, slab->frames * VM_FRAME_BYTES - all, slab->class_id);
    if (index >= VM_LOAD(&slab->carved))
        return found(VM_FOUND_UNUSED, start, slab->size, slab->class_id);
    return found(vm_slab_is_out(slab, index) ? VM_FOUND_BLOCK : VM_FOUND_FREE, start, slab->size, slab->class_id);
}

/* The slab that the frame belongs to; NULL when it is in none, or in one that is being made. */
static const struct vm_page *slab_of_frame(const struct vm_page *page)
{
    if (!page || VM_LOAD_ACQUIRE(&page->role) == VM_PAGE_FREE)
        return NULL;
    page -= VM_LOAD(&page->tail);
    return VM_LOAD_ACQUIRE(&page->role) == VM_PAGE_SLAB ? page : NULL;
}

static struct vm_found in_frame(uintptr_t address)
{
    struct vm_found f = {0};

    vm_lock_outer(&vm_frames_lock);
    const struct vm_page *page = vm_page_of(address), *slab = slab_of_frame(page);
    if (slab)
        f = in_slab(slab, address);
    else if (page && page->start != 0)
        f = found(VM_FOUND_FRAME, page->start, VM_FRAME_BYTES, 0);
    vm_unlock(&vm_frames_lock);
    return f;
}

struct vm_found vm_walk_find(uintptr_t address)
{
    struct vm_found f = in_frame(address);
    struct vm_extent e;

    if (f.kind == VM_FOUND_NOTHING && !vm_page_of(address) && vm_extent_find(address, &e)) {
        f = found(e.state == VM_EXTENT_LIVE ? VM_FOUND_BLOCK : VM_FOUND_FREE, e.base, e.size, 0);
        f.large = true;
    }
    return f;
}

/* Under vm_frames_lock: the blocks of a slab from w->at on. */
static size_t from_slab(struct vm_walk *w, const struct vm_page *slab, struct vm_found *blocks, size_t room)
{
    size_t n = 0, carved = VM_LOAD(&slab->carved);
    size_t index = w->at > slab->start ? (w->at - slab->start + slab->size - 1) / slab->size : 0;

    for (; index < carved && n < room; index++)
        if (vm_slab_is_out(slab, index))
            blocks[n++] = found(VM_FOUND_BLOCK, slab->start + index * slab->size, slab->size, slab->class_id);
    w->at = slab->start + (index < carved ? index * slab->size : slab->frames * VM_FRAME_BYTES);
    return n;
}

/* Under vm_frames_lock: the slab that holds the address, or the first above it. */
static const struct vm_page *slab_from(uintptr_t address)
{
    const struct vm_page *slab = address ? slab_of_frame(vm_page_of(address)) : NULL;

    return slab ? slab : vm_slab_from(address);
}

static size_t next_small(struct vm_walk *w, struct vm_found *blocks, size_t room)
{
    size_t n = 0;

    vm_lock_outer(&vm_frames_lock);
    for (unsigned looks = 0; looks < SLABS_AT_ONCE && n < room; looks++) {
        const struct vm_page *slab = slab_from(w->at);
        if (!slab) {
            *w = (struct vm_walk){.large = true};
            break;
        }
        n += from_slab(w, slab, blocks + n, room - n);
    }
    vm_unlock(&vm_frames_lock);
    return n;
}

static size_t next_large(struct vm_walk *w, struct vm_found *blocks, size_t room)
{
    struct vm_extent e[EXTENTS_AT_ONCE];
    size_t n = vm_extents_from(&w->at, e, vm_min(room, EXTENTS_AT_ONCE));

    for (size_t i = 0; i < n; i++)
        blocks[i] = (struct vm_found){e[i].base, e[i].size, VM_FOUND_BLOCK, 0, true};
    w->done = w->at == 0;
    return n;
}

size_t vm_walk_next(struct vm_walk *w, struct vm_found *blocks, size_t room)
{
    return w->done ? 0 : w->large ? next_large(w, blocks, room) : next_small(w, blocks, room);
}
