/* The slots of warm.h.  No lock: whoever exchanges a word has what was in it.  An extent on its way into a slot or out of
   it is warm and in no slot; the child of a fork at that moment loses it, as every block in another thread's hands.
   Descriptors are never unmapped, so that the one a word names can be looked at before it is taken. */
#include "page/warm.h"

#include "base/fail.h"
#include "page/extent.h"
#include "vm/mmu.h"

#define PAGE_SHIFT 12
#define PAGES_BITS 22
#define PAGES_MASK (((uint64_t)1 << PAGES_BITS) - 1)
#define ALIGN_SHIFT 6 /* descriptors lie on 64-byte lines */

#define SIZE_MARKS 64 /* by a hash of the size */

static struct {
    uint64_t word[VM_WARM_SLOTS];
    unsigned end; /* derived: slots from there on are not let; written under the lock */
    unsigned top; /* where to look first: the slot that an extent was taken from or put into last, or any other */
    struct vm_extent *noted; /* taken or resized last: any extent will do, as who reads it looks at that */
    uint64_t marks; /* derived: a bit is clear where no slot is let to a size of that hash; written under the lock */
    bool used[VM_WARM_SLOTS]; /* an extent was taken from it: set without the lock, read and cleared under it */
    /* Under the lock. */
    uint64_t let; /* bit i: slot i is let */
    uint8_t marked[SIZE_MARKS];
} VM_ALIGNED(VM_CACHE_LINE) slots;

_Static_assert(VM_WARM_SLOTS == 64, "a bit each in one word");

static struct vm_extent *extent_in(uint64_t word)
{
    return (struct vm_extent *)(uintptr_t)(word >> PAGES_BITS << ALIGN_SHIFT);
}

static uint64_t word_of(const struct vm_extent *e)
{
    return (uint64_t)(uintptr_t)e >> ALIGN_SHIFT << PAGES_BITS | e->size >> PAGE_SHIFT;
}

static size_t size_in(uint64_t word) { return (word & PAGES_MASK) << PAGE_SHIFT; }

/* Fibonacci hashing, the multiplier being 2^64 over the golden ratio. */
static unsigned mark_of(uint64_t pages) { return (unsigned)(pages * 0x9e3779b97f4a7c15u >> 58); }

static bool may_be_let(uint64_t pages) { return VM_LOAD(&slots.marks) >> mark_of(pages) & 1; }

struct vm_extent *vm_warm_noted(void) { return VM_LOAD(&slots.noted); }

void vm_warm_note(struct vm_extent *e)
{
    if (VM_LOAD(&slots.noted) != e)
        VM_STORE(&slots.noted, e);
}

/* Takes the extent in the slot, if it is what is wanted. */
VM_INLINE struct vm_extent *take_from(unsigned slot, uint64_t pages, size_t align)
{
    uint64_t word = VM_LOAD(&slots.word[slot]);
    struct vm_extent *e = extent_in(word);

    if ((word & PAGES_MASK) != pages || !e || (VM_LOAD(&e->base) & (align - 1))
        || !__atomic_compare_exchange_n(&slots.word[slot], &word, pages, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return NULL;
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_LIVE);
    if (VM_UNLIKELY(!VM_LOAD(&slots.used[slot])))
        VM_STORE(&slots.used[slot], true);
    vm_warm_note(e);
    return e;
}

/* Downwards, and upwards what comes back: as with a stack, while all are of one size. */
static VM_NOINLINE struct vm_extent *take_searching(unsigned slot, uint64_t pages, size_t align)
{
    unsigned end = VM_LOAD(&slots.end);

    if (!may_be_let(pages))
        return NULL;
    for (unsigned i = 0; i < end; i++) {
        slot = slot - 1 < end ? slot - 1 : end - 1;
        struct vm_extent *e = take_from(slot, pages, align);
        if (!e)
            continue;
        VM_STORE(&slots.top, slot);
        return e;
    }
    return NULL;
}

struct vm_extent *vm_warm_take(size_t size, size_t align)
{
    uint64_t pages = size >> PAGE_SHIFT;
    unsigned slot = VM_LOAD(&slots.top);
    struct vm_extent *e = take_from(slot, pages, align);

    return VM_LIKELY(e != NULL) ? e : take_searching(slot, pages, align);
}

/* Puts the extent, whose word is full, into the slot, if one of its size is out. */
VM_INLINE bool put_into(unsigned slot, struct vm_extent *e, uint64_t full)
{
    uint64_t word = full & PAGES_MASK;

    if (VM_LOAD(&slots.word[slot]) != word)
        return false;
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_WARM);
    vm_mmu_note(VM_MMU_KEPT, e->base, e->size); /* before it is anybody's */
    if (VM_LIKELY(
            __atomic_compare_exchange_n(&slots.word[slot], &word, full, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)))
        return true;
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_LIVE);
    return false;
}

static VM_NOINLINE bool put_searching(unsigned slot, struct vm_extent *e, uint64_t full)
{
    unsigned end = VM_LOAD(&slots.end);

    if (!may_be_let(full & PAGES_MASK))
        return false;
    for (unsigned i = 0; i < end; i++) {
        slot = slot + 1 < end ? slot + 1 : 0;
        if (!put_into(slot, e, full))
            continue;
        VM_STORE(&slots.top, slot);
        return true;
    }
    return false;
}

bool vm_warm_put(struct vm_extent *e)
{
    uint64_t full = word_of(e);
    unsigned slot = VM_LOAD(&slots.top);

    if (e->zeroed || extent_in(full) != e || e->size >> PAGE_SHIFT > PAGES_MASK)
        return false;
    return VM_LIKELY(put_into(slot, e, full)) || put_searching(slot, e, full);
}

size_t vm_warm_slot(unsigned slot, struct vm_extent **e)
{
    uint64_t word = VM_LOAD(&slots.word[slot]);

    *e = extent_in(word);
    return size_in(word);
}

size_t vm_warm_out(size_t *count)
{
    unsigned end = VM_LOAD(&slots.end);
    size_t bytes = 0;

    *count = 0;
    for (unsigned i = 0; i < end; i++) {
        uint64_t word = VM_LOAD(&slots.word[i]);
        if (word == 0 || extent_in(word))
            continue;
        bytes += size_in(word);
        ++*count;
    }
    return bytes;
}

uint64_t vm_warm_slots_let(void) { return slots.let; }

static void set_let(uint64_t let)
{
    slots.let = let;
    VM_STORE(&slots.end, let ? vm_log2(let) + 1 : 0);
}

bool vm_warm_let(unsigned slot, struct vm_extent *e)
{
    uint64_t word = word_of(e), pages = e->size >> PAGE_SHIFT;
    unsigned mark = mark_of(pages);

    if (extent_in(word) != e || pages > PAGES_MASK)
        return false;
    VM_ASSERT(VM_LOAD(&slots.word[slot]) == 0);
    VM_STORE(&slots.used[slot], false);
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_WARM);
    VM_STORE_RELEASE(&slots.word[slot], word);
    set_let(slots.let | UINT64_C(1) << slot);
    slots.marked[mark]++;
    VM_STORE(&slots.marks, slots.marks | UINT64_C(1) << mark);
    VM_STORE(&slots.top, slot);
    return true;
}

size_t vm_warm_end(unsigned slot, struct vm_extent **e)
{
    uint64_t word = __atomic_exchange_n(&slots.word[slot], 0, __ATOMIC_ACQUIRE);
    unsigned mark = mark_of(word & PAGES_MASK);

    *e = extent_in(word);
    if (word != 0) {
        set_let(slots.let & ~(UINT64_C(1) << slot));
        if (--slots.marked[mark] == 0)
            VM_STORE(&slots.marks, slots.marks & ~(UINT64_C(1) << mark));
    }
    return size_in(word);
}

size_t vm_warm_used(void)
{
    size_t bytes = 0;

    for (uint64_t let = slots.let; let; let &= let - 1) {
        unsigned slot = (unsigned)__builtin_ctzl(let);
        if (!VM_LOAD(&slots.used[slot]))
            continue;
        VM_STORE(&slots.used[slot], false);
        bytes += size_in(VM_LOAD(&slots.word[slot]));
    }
    return bytes;
}
