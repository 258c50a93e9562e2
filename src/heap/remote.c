/* Messages between heaps; see remote.h.  An inbox is four stacks: senders push a whole batch onto one of them with
   one compare-and-swap, the owner takes all of each with one exchange, so that no order of threads can lose or repeat a
   block. */
#include "heap/remote.h"

#include "heap/heap_fast.h"
#include "heap/slab.h"

static void send(struct vm_block **inbox, struct vm_block *head, struct vm_block *tail)
{
    struct vm_block *old = VM_LOAD(inbox);

    do
        vm_block_seal(tail, old);
    while (!__atomic_compare_exchange_n(inbox, &old, head, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

void vm_remote_send_one(struct vm_heap *owner, struct vm_block *b) { send(&owner->inbox[0], b, b); }

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
        send(&to->inbox[box->turn++ % VM_INBOXES], head, tail);
}

void vm_remote_free(struct vm_heap *h, struct vm_page *slab, struct vm_block *b)
{
    struct vm_heap *owner = VM_LOAD(&slab->owner);
    struct vm_outbox *box = vm_outbox_for(h, owner);

    if (box->owner != owner)
        vm_outbox_reuse(box, owner);
    vm_outbox_put(box, slab, b);
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

VM_INLINE void take_in(struct vm_heap *h, struct vm_block *b)
{
    struct vm_page *slab = slab_of(b);
    struct vm_heap *owner = VM_PEEK(&slab->owner);

    if (VM_UNLIKELY(owner != h)) { /* the slab was adopted while the message was on its way */
        vm_remote_send_one(owner, b);
        return;
    }
    vm_slab_push(slab, b);
    if (VM_UNLIKELY(--slab->held == 0))
        vm_slab_event_locked(h, slab);
}

void vm_remote_drain(struct vm_heap *h)
{
    struct vm_block *list[VM_INBOXES];

    for (unsigned i = 0; i < VM_INBOXES; i++)
        list[i] = VM_LOAD(&h->inbox[i]) ? __atomic_exchange_n(&h->inbox[i], NULL, __ATOMIC_ACQUIRE) : NULL;

    struct vm_block *a = list[0], *b = list[1], *c = list[2], *d = list[3];
    _Static_assert(VM_INBOXES == 4, "walked by four variables");
    while (a && b && c && d) {
        struct vm_block *next_a = a->next, *next_b = b->next, *next_c = c->next, *next_d = d->next;
        take_in(h, a);
        take_in(h, b);
        take_in(h, c);
        take_in(h, d);
        a = next_a;
        b = next_b;
        c = next_c;
        d = next_d;
    }
    struct vm_block *rest[VM_INBOXES] = {a, b, c, d};
    for (unsigned i = 0; i < VM_INBOXES; i++)
        for (struct vm_block *at = rest[i], *next; at; at = next) {
            next = at->next;
            take_in(h, at);
        }
}
