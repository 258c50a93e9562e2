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

static struct {
    uint64_t word[VM_WARM_SLOTS];
    /* The extent that was put into it last, and where: any value will do, as who reads them looks at the extent. */
    uintptr_t base[VM_WARM_SLOTS];
    struct vm_extent *extent[VM_WARM_SLOTS];
    bool used[VM_WARM_SLOTS]; /* an extent was taken from it: set without the lock, read and cleared under it */
} VM_ALIGNED(VM_CACHE_LINE) slots;

static struct vm_extent *extent_in(uint64_t word)
{
    return (struct vm_extent *)(uintptr_t)(word >> PAGES_BITS << ALIGN_SHIFT);
}

static uint64_t word_of(const struct vm_extent *e)
{
    return (uint64_t)(uintptr_t)e >> ALIGN_SHIFT << PAGES_BITS | e->size >> PAGE_SHIFT;
}

static size_t size_in(uint64_t word) { return (word & PAGES_MASK) << PAGE_SHIFT; }

struct vm_extent *vm_warm_take(size_t size, size_t align)
{
    uint64_t pages = size >> PAGE_SHIFT;

    for (unsigned i = 0; i < VM_WARM_SLOTS; i++) {
        uint64_t word = VM_LOAD(&slots.word[i]);
        struct vm_extent *e = extent_in(word);
        if (VM_LIKELY((word & PAGES_MASK) != pages) || !e || (VM_LOAD(&e->base) & (align - 1)))
            continue;
        if (!__atomic_compare_exchange_n(&slots.word[i], &word, pages, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        VM_STORE(&e->state, (uint8_t)VM_EXTENT_LIVE);
        if (!VM_LOAD(&slots.used[i]))
            VM_STORE(&slots.used[i], true);
        return e;
    }
    return NULL;
}

static void note_extent(unsigned slot, struct vm_extent *e)
{
    VM_STORE(&slots.base[slot], e->base);
    VM_STORE(&slots.extent[slot], e);
}

/* full: the extent's word. */
static bool put_into(unsigned slot, struct vm_extent *e, uint64_t full)
{
    uint64_t word = full & PAGES_MASK;

    VM_STORE(&e->state, (uint8_t)VM_EXTENT_WARM);
    vm_mmu_note(VM_MMU_KEPT, e->base, e->size); /* before it is anybody's */
    if (__atomic_compare_exchange_n(&slots.word[slot], &word, full, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return true;
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_LIVE);
    return false;
}

bool vm_warm_put(struct vm_extent *e)
{
    uint64_t full = word_of(e);

    if (e->zeroed || extent_in(full) != e)
        return false;
    for (unsigned i = 0; i < VM_WARM_SLOTS; i++) {
        if (VM_LOAD(&slots.word[i]) != e->size >> PAGE_SHIFT)
            continue;
        note_extent(i, e);
        if (put_into(i, e, full))
            return true;
    }
    return false;
}

bool vm_warm_put_at(uintptr_t base)
{
    unsigned i = 0;

    while (VM_LOAD(&slots.base[i]) != base)
        if (++i == VM_WARM_SLOTS)
            return false;
    struct vm_extent *e = VM_LOAD(&slots.extent[i]);
    if (!e || VM_LOAD(&e->base) != base || VM_LOAD(&e->state) != VM_EXTENT_LIVE || e->zeroed)
        return false;
    uint64_t full = word_of(e);
    return VM_LOAD(&slots.word[i]) == e->size >> PAGE_SHIFT && extent_in(full) == e && put_into(i, e, full);
}

size_t vm_warm_slot(unsigned slot, struct vm_extent **e)
{
    uint64_t word = VM_LOAD(&slots.word[slot]);

    *e = extent_in(word);
    return size_in(word);
}

size_t vm_warm_out(size_t *count)
{
    size_t bytes = 0;

    *count = 0;
    for (unsigned i = 0; i < VM_WARM_SLOTS; i++) {
        uint64_t word = VM_LOAD(&slots.word[i]);
        if (word == 0 || extent_in(word))
            continue;
        bytes += size_in(word);
        ++*count;
    }
    return bytes;
}

bool vm_warm_let(unsigned slot, struct vm_extent *e)
{
    uint64_t word = word_of(e);

    if (extent_in(word) != e || e->size >> PAGE_SHIFT > PAGES_MASK)
        return false;
    VM_ASSERT(VM_LOAD(&slots.word[slot]) == 0);
    VM_STORE(&slots.used[slot], false);
    note_extent(slot, e);
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_WARM);
    VM_STORE_RELEASE(&slots.word[slot], word);
    return true;
}

size_t vm_warm_end(unsigned slot, struct vm_extent **e)
{
    uint64_t word = __atomic_exchange_n(&slots.word[slot], 0, __ATOMIC_ACQUIRE);

    *e = extent_in(word);
    return size_in(word);
}

size_t vm_warm_used(void)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < VM_WARM_SLOTS; i++) {
        if (!VM_LOAD(&slots.used[i]))
            continue;
        VM_STORE(&slots.used[i], false);
        bytes += size_in(VM_LOAD(&slots.word[i]));
    }
    return bytes;
}
