/* Messages between heaps; see remote.h.  An inbox is a stack: senders push a whole batch with one compare-and-swap,
   the owner takes all of it with one exchange, so that no order of threads can lose or repeat a block. */
#include "heap/remote.h"

#include "heap/heap_fast.h"
#include "heap/slab.h"

static void send(struct vm_heap *owner, struct vm_block *head, struct vm_block *tail)
{
    struct vm_block *old = VM_LOAD(&owner->inbox);

    do
        vm_block_seal(tail, old);
    while (!__atomic_compare_exchange_n(&owner->inbox, &old, head, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

void vm_remote_send_one(struct vm_heap *owner, struct vm_block *b) { send(owner, b, b); }

void vm_outbox_reuse(struct vm_outbox *box, struct vm_heap *owner)
{
    struct vm_heap *to = box->owner;
    struct vm_block *head = box->head, *tail = box->tail;

    /* Emptied before it is sent: a fork in between loses the batch in the child instead of sending it twice. */
    VM_STORE(&box->head, NULL);
    box->room = VM_OUTBOX_ROOM;
    box->owner = owner;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (head)
        send(to, head, tail);
}

void vm_remote_free(struct vm_heap *h, struct vm_page *slab, struct vm_block *b)
{
    struct vm_heap *owner = VM_LOAD(&slab->owner);
    struct vm_outbox *box = vm_outbox_for(h, owner);

    if (box->owner != owner)
        vm_outbox_reuse(box, owner);
    vm_outbox_put(box, slab, b);
    if (box->room < 0)
        vm_outbox_reuse(box, owner);
}

void vm_remote_flush(struct vm_heap *h)
{
    for (unsigned i = 0; i < VM_OUTBOXES; i++)
        vm_outbox_reuse(&h->out[i], h->out[i].owner);
}

static VM_NOINLINE struct vm_page *slab_of_slow(const struct vm_block *b)
{
    struct vm_page *p = vm_page_of((uintptr_t)b);
    return p - p->tail;
}

/* The slab of a block that is known to be one. */
VM_INLINE struct vm_page *slab_of(const struct vm_block *b)
{
    uintptr_t offset = (uintptr_t)b - vm_brk.base;

    if (VM_UNLIKELY(offset >= VM_PEEK(&vm_brk.size)))
        return slab_of_slow(b);
    struct vm_page *p = &vm_brk.map[offset >> VM_FRAME_SHIFT];
    return VM_LIKELY(VM_PEEK(&p->carved) != 0) ? p : p - p->tail;
}

void vm_remote_drain(struct vm_heap *h)
{
    if (VM_LOAD(&h->inbox) == NULL)
        return;
    for (struct vm_block *b = __atomic_exchange_n(&h->inbox, NULL, __ATOMIC_ACQUIRE), *next; b; b = next) {
        struct vm_page *slab = slab_of(b);
        struct vm_heap *owner = VM_PEEK(&slab->owner);
        next = b->next;
        if (VM_UNLIKELY(owner != h)) { /* the slab was adopted while the message was on its way */
            vm_remote_send_one(owner, b);
            continue;
        }
        vm_slab_push(slab, b);
        if (--slab->held == 0)
            vm_slab_event_locked(h, slab);
    }
}
