/* The hit paths, inlined into the malloc family.  Each returns NULL or false when it missed; the caller then goes to
   the functions of heap.h by a tail call.  No lock, no atomics, no system call, no test for "initialised": the heap a
   thread starts with has only empty slabs. */
#ifndef VM_HEAP_FAST_H
#define VM_HEAP_FAST_H

#include <string.h>

#include "heap/count.h"
#include "heap/heap.h"
#include "heap/remote.h"
#include "page/zone.h"

/* Fast: the slab that serves n bytes, or the empty one. */
VM_INLINE struct vm_page *vm_slab_for(const struct vm_heap *h, size_t n)
{
    if (VM_LIKELY(n <= VM_DIRECT_MAX))
        return h->hit.direct[(n + VM_BLOCK_MIN - 1) / VM_BLOCK_MIN];
    if (VM_LIKELY(n < VM_SMALL_LIMIT))
        return h->hit.current[vm_class_of(n)];
    return h->hit.current[0]; /* always the empty slab */
}

/* Fast: hands out a sealed block, the first of slab->free.  Any prefix of its stores leaves a sound slab: see heap.h. */
VM_INLINE void *vm_slab_pop(struct vm_page *slab, struct vm_block *b)
{
    slab->free = b->next;
    VM_STORE_RELEASE(&b->seal, (uint64_t)0);
    slab->held++;
    return b;
}

/* Fast: NULL when the list is empty, or its first block damaged; the slow path finds out which. */
VM_INLINE void *vm_slab_hit(struct vm_page *slab)
{
    struct vm_block *b = slab->free;

    return VM_LIKELY(vm_is_sealed(b)) ? vm_slab_pop(slab, b) : NULL;
}

/* Fast: align is a power of two.  Class 0, for what no slab serves, always misses. */
VM_INLINE void *vm_aligned_hit(size_t n, size_t align)
{
    return vm_slab_hit(vm_tls->hit.current[vm_class_of_aligned_hit(n, align)]);
}

VM_INLINE void *vm_malloc_hit(size_t n) { return vm_slab_hit(vm_slab_for(vm_tls, n)); }

/* Fast, after a miss in a heap whose calls are counted: what vm_malloc_hit() does for n <= VM_DIRECT_MAX. */
VM_INLINE void *vm_tap_hit(const struct vm_entries *tap, size_t n)
{
    size_t slot = vm_count_slot(n);
    void *p = vm_slab_hit(tap->direct[slot]);

    if (VM_LIKELY(p != NULL))
        VM_BUMP(&tap->counts->slot[slot]);
    return p;
}

/* The same for the others. */
VM_INLINE void *vm_tap_class_hit(const struct vm_entries *tap, size_t n, size_t align)
{
    unsigned class_id = vm_class_for(n, align);
    void *p = vm_slab_hit(tap->current[class_id]);

    if (VM_LIKELY(p != NULL))
        vm_count_class(tap->counts, class_id, n);
    return p;
}

VM_INLINE void *vm_tap_any_hit(const struct vm_entries *tap, size_t n, size_t align)
{
    return vm_count_by_slot(n, align) ? vm_tap_hit(tap, n) : vm_tap_class_hit(tap, n, align);
}

/* Fast: puts a block on the owner's list; it is sealed before the list shows it. */
VM_INLINE void vm_slab_push(struct vm_page *slab, struct vm_block *b)
{
    vm_block_seal(b, slab->free);
    VM_STORE_RELEASE(&slab->free, b);
}

/* Fast: a live block of the slab, whose owner this thread is, is freed. */
VM_INLINE void vm_slab_take_back(struct vm_page *slab, struct vm_block *b)
{
    vm_slab_push(slab, b);
    if (VM_UNLIKELY(--slab->held == 0))
        vm_heap_slab_event(slab);
}

/* Fast: what is to be done with a pointer that is freed. */
enum vm_free_verdict { VM_FREE_DONE, VM_FREE_FOREIGN, VM_FREE_MISS };

/* Fast: b, where a block of the slab begins. */
VM_INLINE enum vm_free_verdict vm_free_in_slab(struct vm_page *slab, struct vm_block *b)
{
    if (VM_UNLIKELY(VM_PEEK(&slab->owner) != vm_tls))
        return VM_FREE_FOREIGN;
    if (VM_UNLIKELY(vm_may_be_sealed(b)))
        return VM_FREE_MISS; /* which looks closely */
    vm_slab_take_back(slab, b);
    return VM_FREE_DONE;
}

/* Fast: the slab in the brk heap in whose first frame a block with life starts at the address; NULL: none does. */
VM_INLINE struct vm_page *vm_slab_starting_at(const void *p)
{
    uintptr_t offset = (uintptr_t)p - vm_brk.base;

    if (VM_UNLIKELY(offset >= VM_PEEK(&vm_brk.size)))
        return NULL;
    struct vm_page *slab = &vm_brk.map[offset >> VM_FRAME_SHIFT];
    bool starts = vm_block_index(VM_PEEK(&slab->magic), (uintptr_t)p & (VM_FRAME_BYTES - 1)) < VM_PEEK(&slab->carved);
    return VM_LIKELY(starts) ? slab : NULL;
}

/* Fast: a block of a slab in the brk heap with no sign of misuse, this thread's: done; another's: *slab_out is its slab,
   the seal not looked at yet; anything else is a miss, also a block that begins beyond its slab's first frame. */
VM_INLINE enum vm_free_verdict vm_free_hit(void *p, struct vm_page **slab_out)
{
    struct vm_page *slab = vm_slab_starting_at(p);

    if (VM_UNLIKELY(!slab))
        return VM_FREE_MISS;
    *slab_out = slab;
    return vm_free_in_slab(slab, p);
}

/* Fast, after a miss: the same for a block that begins in any frame of its slab, in any zone. */
VM_INLINE enum vm_free_verdict vm_free_tail_hit(void *p, struct vm_page **slab_out)
{
    uintptr_t offset = (uintptr_t)p - vm_brk.base;
    struct vm_page *page = VM_LIKELY(offset < VM_PEEK(&vm_brk.size)) ? &vm_brk.map[offset >> VM_FRAME_SHIFT]
                                                                     : vm_zone_page((uintptr_t)p);

    if (VM_UNLIKELY(!page))
        return VM_FREE_MISS;
    struct vm_page *slab = vm_slab_of_frame(page);
    if (VM_UNLIKELY(!vm_slab_has_block(slab, p)))
        return VM_FREE_MISS;
    *slab_out = slab;
    return vm_free_in_slab(slab, p);
}

/* Fast: the slab of a block of this thread's, in the brk heap and with no sign of misuse; NULL for anything else, and where
   calls are counted or traced. */
VM_INLINE struct vm_page *vm_slab_of_mine(const void *p)
{
    struct vm_page *slab = vm_slab_starting_at(p);

    if (VM_UNLIKELY(!slab))
        return NULL;
    if (VM_UNLIKELY(VM_PEEK(&slab->owner) != vm_tls) || (VM_INSTRUMENT && VM_UNLIKELY(vm_tls->tap != NULL)))
        return NULL;
    return VM_UNLIKELY(vm_may_be_sealed(p)) ? NULL : slab;
}

/* Fast: a block of this thread's slab that is to have n bytes, more than it has, in a new place.  NULL when there is none at
   hand, or it should have room to grow by steps. */
VM_INLINE void *vm_move_hit(struct vm_page *slab, void *p, size_t n)
{
    void *q = slab->size < VM_STEPS_FROM ? vm_malloc_hit(n) : NULL;

    if (VM_UNLIKELY(!q))
        return NULL;
    memcpy(q, p, slab->size);
    vm_slab_take_back(slab, p);
    return q;
}

/* Fast: puts another thread's block, which is not sealed, into the outbox for its owner; false when that box is not
   open: it serves another owner, or the thread has no heap of its own (or a front), whose boxes never open. */
VM_INLINE bool vm_free_foreign_hit(struct vm_page *slab, struct vm_block *b)
{
    struct vm_heap *h = vm_tls, *owner = VM_PEEK(&slab->owner);
    struct vm_outbox *box = vm_outbox_for(h, owner);

    if (VM_UNLIKELY(box->owner != owner))
        return false;
    vm_outbox_put(box, slab, b);
    return true;
}

#endif
