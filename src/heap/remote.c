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

static void flush_box(struct vm_outbox *box)
{
    struct vm_block *head = box->head, *tail = box->tail;

    if (!head)
        return;
    /* Emptied before it is sent: a fork in between loses the batch in the child instead of sending it twice. */
    VM_STORE(&box->head, NULL);
    box->count = box->bytes = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    send(box->owner, head, tail);
}

void vm_remote_free(struct vm_heap *h, struct vm_page *slab, struct vm_block *b)
{
    struct vm_heap *owner = VM_LOAD(&slab->owner);
    struct vm_outbox *box = &h->out[((uintptr_t)owner / sizeof *owner) % VM_OUTBOXES];

    if (VM_UNLIKELY(box->owner != owner)) {
        flush_box(box);
        box->owner = owner;
    }
    vm_block_seal(b, box->head);
    if (!box->head)
        box->tail = b;
    VM_STORE_RELEASE(&box->head, b);
    box->bytes += slab->size;
    if (VM_UNLIKELY(++box->count >= VM_OUTBOX_BLOCKS) || VM_UNLIKELY(box->bytes >= VM_OUTBOX_BYTES))
        flush_box(box);
}

void vm_remote_flush(struct vm_heap *h)
{
    for (unsigned i = 0; i < VM_OUTBOXES; i++)
        flush_box(&h->out[i]);
}

struct vm_page *vm_slab_of(const struct vm_block *b)
{
    struct vm_page *p = vm_page_of((uintptr_t)b);
    return p - VM_LOAD(&p->tail);
}

void vm_remote_drain(struct vm_heap *h)
{
    if (VM_LOAD(&h->inbox) == NULL)
        return;
    for (struct vm_block *b = __atomic_exchange_n(&h->inbox, NULL, __ATOMIC_ACQUIRE), *next; b; b = next) {
        struct vm_page *slab = vm_slab_of(b);
        struct vm_heap *owner = VM_LOAD(&slab->owner);
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
