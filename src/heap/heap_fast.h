/* The hit paths, inlined into the malloc family.  Each returns NULL or false when it missed; the caller then goes to
   the functions of heap.h by a tail call.  No lock, no atomics, no system call, no test for "initialised": the heap a
   thread starts with has only empty slabs. */
#ifndef VM_HEAP_FAST_H
#define VM_HEAP_FAST_H

#include "heap/heap.h"
#include "page/zone.h"

/* Fast: the slab that serves n bytes, or the empty one. */
VM_INLINE struct vm_page *vm_slab_for(const struct vm_heap *h, size_t n)
{
    if (VM_LIKELY(n <= VM_DIRECT_MAX))
        return h->direct[(n + VM_BLOCK_MIN - 1) / VM_BLOCK_MIN];
    if (VM_LIKELY(n < VM_SMALL_LIMIT))
        return h->current[vm_class_of(n)];
    return h->current[0]; /* always the empty slab */
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
VM_INLINE void *vm_malloc_hit(size_t n)
{
    struct vm_page *slab = vm_slab_for(vm_tls, n);
    struct vm_block *b = slab->free;

    return VM_LIKELY(vm_is_sealed(b)) ? vm_slab_pop(slab, b) : NULL;
}

/* Fast: puts a block on the owner's list; it is sealed before the list shows it. */
VM_INLINE void vm_slab_push(struct vm_page *slab, struct vm_block *b)
{
    vm_block_seal(b, slab->free);
    VM_STORE_RELEASE(&slab->free, b);
}

/* Fast: a block of a slab of this thread in the brk heap, with no sign of misuse. */
VM_INLINE bool vm_free_hit(void *p)
{
    uintptr_t offset = (uintptr_t)p - vm_brk.base;
    struct vm_block *b = p;

    if (VM_UNLIKELY(offset >= VM_PEEK(&vm_brk.size)))
        return false;
    struct vm_page *slab = &vm_brk.map[offset >> VM_FRAME_SHIFT];
    if (VM_UNLIKELY(vm_block_index(VM_PEEK(&slab->magic), (uintptr_t)p & (VM_FRAME_BYTES - 1)) >= VM_PEEK(&slab->carved)))
        return false;
    if (VM_UNLIKELY(VM_PEEK(&slab->owner) != vm_tls) || VM_UNLIKELY(vm_is_sealed(b)))
        return false;
    vm_slab_push(slab, b);
    if (VM_UNLIKELY(--slab->held == 0))
        vm_heap_slab_event(slab);
    return true;
}

#endif
