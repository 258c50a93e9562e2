/* Blocks freed by a thread that does not own them: batched by owner in the freeing thread's outboxes, sent with one
   exchange to the owner's inbox, taken in by the owner's next refill.  See struct vm_outbox for what may be held back. */
#ifndef VM_REMOTE_H
#define VM_REMOTE_H

#include "heap/heap.h"

/* h, the caller's heap, frees a block of somebody else's slab. */
void vm_remote_free(struct vm_heap *h, struct vm_page *slab, struct vm_block *b);

/* Sends one block straight to the heap: for callers that have no heap of their own. */
void vm_remote_send_one(struct vm_heap *owner, struct vm_block *b);

/* Sends everything h holds back. */
void vm_remote_flush(struct vm_heap *h);

/* Takes in what others freed of h's blocks.  Under h's lock. */
void vm_remote_drain(struct vm_heap *h);

/* Moves a slab with blocks to give from an idle heap to h; false when no idle heap has one of the class.  Under h's
   lock; see thread.c. */
bool vm_heaps_adopt_slab(struct vm_heap *h, unsigned class_id);

/* Sends what the box holds and makes it the new owner's. */
void vm_outbox_reuse(struct vm_outbox *box, struct vm_heap *owner);

VM_INLINE struct vm_outbox *vm_outbox_for(struct vm_heap *h, const struct vm_heap *owner)
{
    /* Heaps lie about a page apart.  As one byte offset, so that the address is computed once (callgrind: 8 of 36
       instructions of a free of another thread's block). */
    size_t offset = ((uintptr_t)owner >> 12) % VM_OUTBOXES * sizeof(struct vm_outbox);
    char *box = (char *)h->out + offset;
    __asm__("" : "+r"(box));
    return (struct vm_outbox *)(void *)box;
}

/* Fast: puts a block of the box's owner in, and sends them all when that was the last it has room for. */
VM_INLINE void vm_outbox_put(struct vm_outbox *box, const struct vm_page *slab, struct vm_block *b)
{
    struct vm_block *head = box->head;

    vm_block_seal(b, head);
    if (!head)
        box->tail = b;
    VM_STORE_RELEASE(&box->head, b);
    box->room -= (int32_t)slab->send_cost;
    if (VM_UNLIKELY(box->room < 0))
        vm_outbox_reuse(box, box->owner);
}

#endif
