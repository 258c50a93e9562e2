/* Messages between heaps; see remote.h.  An inbox is eight stacks: senders push a whole batch onto one of them with
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
        if (h->out[i].head)
            vm_outbox_reuse(&h->out[i], h->out[i].owner);
}

VM_INLINE void to_slab(struct vm_heap *h, struct vm_page *slab, struct vm_block *b)
{
    vm_slab_push(slab, b);
    if (VM_UNLIKELY(--slab->held == 0))
        vm_slab_event_locked(h, slab);
}

/* A block that lies in no brk heap, or does not begin in its slab's first frame, or whose slab was adopted while the
   message was on its way. */
static VM_NOINLINE void take_in_slow(struct vm_heap *h, struct vm_block *b)
{
    struct vm_page *p = vm_page_of((uintptr_t)b), *slab = p - p->tail;
    struct vm_heap *owner = VM_PEEK(&slab->owner);

    if (owner == h)
        to_slab(h, slab, b);
    else
        vm_remote_send_one(owner, b);
}

VM_INLINE void take_in(struct vm_heap *h, struct vm_block *b)
{
    uintptr_t offset = (uintptr_t)b - vm_brk.base;

    if (VM_LIKELY(offset < VM_PEEK(&vm_brk.size))) {
        struct vm_page *slab = &vm_brk.map[offset >> VM_FRAME_SHIFT];
        if (VM_LIKELY(VM_PEEK(&slab->owner) == h)) { /* tails have no owner */
            to_slab(h, slab, b);
            return;
        }
    }
    take_in_slow(h, b);
}

/* As long as there are blocks in all lists: one of each in turn.  An array of them would not stay in registers. */
/* clang-format off */
#define EACH_LIST(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define BEGIN(i) struct vm_block *at##i = list[i];
#define IS_LEFT(i) && at##i
#define LOAD_NEXT(i) struct vm_block *next##i = at##i->next;
#define TAKE_IN(i) take_in(h, at##i); at##i = next##i;
#define END(i) list[i] = at##i;
/* clang-format on */
_Static_assert(VM_INBOXES == 8, "EACH_LIST");

static void take_in_side_by_side(struct vm_heap *h, struct vm_block *list[VM_INBOXES])
{
    EACH_LIST(BEGIN)
    while (true EACH_LIST(IS_LEFT)) {
        EACH_LIST(LOAD_NEXT)
        EACH_LIST(TAKE_IN)
    }
    EACH_LIST(END)
}

static VM_NOINLINE void drain(struct vm_heap *h)
{
    struct vm_block *list[VM_INBOXES];

    for (unsigned i = 0; i < VM_INBOXES; i++)
        list[i] = VM_LOAD(&h->inbox[i]) ? __atomic_exchange_n(&h->inbox[i], NULL, __ATOMIC_ACQUIRE) : NULL;
    take_in_side_by_side(h, list);
    for (unsigned i = 0; i < VM_INBOXES; i++)
        for (struct vm_block *at = list[i], *next; at; at = next) {
            next = at->next;
            take_in(h, at);
        }
}

void vm_remote_drain(struct vm_heap *h)
{
    uintptr_t any = 0;

    for (unsigned i = 0; i < VM_INBOXES; i++)
        any |= (uintptr_t)VM_LOAD(&h->inbox[i]);
    if (any)
        drain(h);
}
