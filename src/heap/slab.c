/* Slow paths of slabs; see slab.h, and page.h for the picture of a slab and its states. */
#include "heap/slab.h"

#include "base/fail.h"
#include "heap/heap_fast.h"
#include "heap/remote.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"
#include "vm/mmu.h"

#define WAKE_SHARE 32 /* see page.h */

#define CARVE_MAX 64 /* blocks given life at a time where pages are resident */

/* What quiet slabs may hold: that much together in all threads, or that much in one when threads are many. */
#define QUIET_BYTES_ALL VM_MIB
#define QUIET_BYTES_EACH (32 * VM_KIB)

/* Bytes that the last slab of the class to fill up, or to become empty, came to touch: a guess at what the next will.
   By any thread, without a lock. */
static uint32_t expected[VM_CLASSES];

/* Slow: points every entry that serves the class at the slab. */
static void set_current(struct vm_heap *h, unsigned class_id, struct vm_page *slab)
{
    h->current[class_id] = slab;
    size_t size = vm_classes[class_id].size, below = vm_classes[class_id - 1].size;
    if (size > VM_DIRECT_MAX)
        return;
    for (size_t slot = class_id == 1 ? 0 : below / VM_BLOCK_MIN + 1; slot <= size / VM_BLOCK_MIN; slot++)
        h->direct[slot] = slab;
}

static bool is_none(const struct vm_page *slab) { return slab == &vm_slab_none; }
static bool has_free(const struct vm_page *slab) { return slab->free != VM_BLOCK_END; }
static bool has_room(const struct vm_page *slab) { return slab->carved < slab->capacity; }

/* Blocks to give life to: a page of them, or what is resident anyway. */
static size_t next_batch(const struct vm_page *slab)
{
    size_t page = vm_max(vm_os.page_size / slab->size, 1), done = slab->carved * slab->size;
    size_t resident = slab->resident > done ? (slab->resident - done) / slab->size : 0;

    return vm_min(vm_max(page, vm_min(resident, CARVE_MAX)), slab->capacity - slab->carved);
}

/* Slow: gives life to the next blocks; free must be empty and there must be room. */
static void carve(struct vm_page *slab)
{
    size_t n = next_batch(slab);
    char *first = (char *)slab->start + slab->carved * slab->size;

    vm_mmu_note_carved((uintptr_t)first, n, slab->size);
    for (size_t i = n; i-- > 0;)
        vm_slab_push(slab, (struct vm_block *)(first + i * slab->size));
    VM_STORE(&slab->carved, slab->carved + n);
}

static void make_current(struct vm_heap *h, unsigned class_id, struct vm_page *slab)
{
    slab->state = VM_SLAB_CURRENT;
    set_current(h, class_id, slab);
}

static bool is_quiet(const struct vm_page *slab) { return slab->quiet_bytes != 0; }

static void to_quiet(struct vm_heap *h, struct vm_page *slab)
{
    slab->held++;
    slab->quiet_bytes = (uint32_t)(slab->carved * slab->size);
    h->quiet_bytes += slab->quiet_bytes;
    vm_list_push_front(&h->quiet, &slab->quiet);
}

static void from_quiet(struct vm_heap *h, struct vm_page *slab)
{
    slab->held--;
    h->quiet_bytes -= slab->quiet_bytes;
    slab->quiet_bytes = 0;
    vm_list_remove(&slab->quiet);
}

/* Partial lists have slabs with freed blocks in front of those that have only room. */
static void current_to_partial_or_full(struct vm_heap *h, unsigned class_id, struct vm_page *slab)
{
    if (has_free(slab)) {
        slab->state = VM_SLAB_PARTIAL;
        vm_list_push_front(&h->partial[class_id], &slab->list);
    } else if (has_room(slab)) {
        slab->state = VM_SLAB_PARTIAL;
        vm_list_push_back(&h->partial[class_id], &slab->list);
    } else {
        if (is_quiet(slab))
            from_quiet(h, slab);
        slab->state = VM_SLAB_FULL;
        slab->held = slab->wake;
        VM_STORE(&expected[class_id], (uint32_t)(slab->capacity * slab->size));
    }
}

static void empty_to_freed(struct vm_heap *h, struct vm_page *slab)
{
    unsigned frames = slab->frames;
    size_t touched = slab->carved * slab->size;

    if (slab->state == VM_SLAB_CURRENT)
        set_current(h, slab->class_id, (struct vm_page *)(uintptr_t)&vm_slab_none);
    VM_STORE(&expected[slab->class_id], (uint32_t)touched);
    vm_list_remove(&slab->list);
    for (unsigned i = frames; i-- > 0;)
        vm_page_reset(slab + i);
    vm_mmu_note(VM_MMU_KEPT, slab->start, frames * VM_FRAME_BYTES);
    vm_frames_free(slab, frames, touched);
}

static void full_to_partial(struct vm_heap *h, struct vm_page *slab)
{
    slab->held = slab->capacity - slab->wake;
    slab->state = VM_SLAB_PARTIAL;
    vm_list_push_front(&h->partial[slab->class_id], &slab->list);
}

/* Looks at quiet slabs, the longest quiet first, and lets empty ones go until the rest holds no more than `bound`. */
static void retire_quiet(struct vm_heap *h, size_t bound)
{
    while (h->quiet_bytes > bound) {
        struct vm_page *slab = VM_CONTAINER_OF(h->quiet.prev, struct vm_page, quiet);
        from_quiet(h, slab);
        if (slab->held == 0)
            empty_to_freed(h, slab);
    }
}

/* Bytes; nothing for a heap that no thread uses. */
static size_t quiet_bound(const struct vm_heap *h)
{
    if (h->state == VM_HEAP_IDLE)
        return 0;
    return vm_max(QUIET_BYTES_ALL / vm_max(vm_heaps_live(), 1u), QUIET_BYTES_EACH);
}

void vm_slab_event_locked(struct vm_heap *h, struct vm_page *slab)
{
    if (slab->state == VM_SLAB_FULL)
        full_to_partial(h, slab);
    if (slab->held == 0) {
        to_quiet(h, slab);
        retire_quiet(h, quiet_bound(h));
    }
}

/* Slow: a slab from fresh frames. */
static struct vm_page *make_slab(struct vm_heap *h, unsigned class_id)
{
    const struct vm_class *c = &vm_classes[class_id];
    struct vm_frames_news news;
    struct vm_page *slab = vm_frames_alloc(c->frames, VM_LOAD(&expected[class_id]), &news);

    if (!slab)
        return NULL;
    if (news.grew) /* what is kept of large blocks should not stand beside a growing heap; it grows by an eighth */
        vm_extents_settle();
    slab->free = VM_BLOCK_END;
    slab->held = 0;
    slab->virgin = news.zeroed;
    slab->resident = (uint32_t)news.resident;
    slab->class_id = (uint8_t)class_id;
    slab->frames = c->frames;
    slab->size = c->size;
    slab->capacity = c->capacity;
    slab->wake = vm_max(c->capacity / WAKE_SHARE, 1);
    slab->send_cost = c->size + VM_OUTBOX_BLOCK_COST;
    vm_list_init(&slab->list);
    vm_list_init(&slab->quiet);
    for (unsigned i = 1; i < c->frames; i++) {
        slab[i].tail = (uint8_t)i;
        VM_STORE(&slab[i].role, (uint8_t)VM_PAGE_TAIL);
    }
    VM_STORE(&slab->owner, h);
    VM_STORE(&slab->magic, c->magic);
    VM_STORE(&slab->role, (uint8_t)VM_PAGE_SLAB);
    return slab;
}

static struct vm_page *first_partial(struct vm_heap *h, unsigned class_id)
{
    struct vm_list *l = &h->partial[class_id];
    return vm_list_empty(l) ? NULL : VM_CONTAINER_OF(l->next, struct vm_page, list);
}

struct vm_page *vm_slab_refill(struct vm_heap *h, unsigned class_id, bool *fresh)
{
    struct vm_page *slab, *other;

    *fresh = false;
    vm_remote_drain(h);
    slab = h->current[class_id];
    if (has_free(slab))
        return slab;
    /* Freed blocks before untouched ones, one's own before those of ended threads, those before fresh frames. */
    other = first_partial(h, class_id);
    if ((!other || !has_free(other)) && !is_none(slab) && has_room(slab)) {
        carve(slab);
        *fresh = slab->virgin;
        return slab;
    }
    if (!other && vm_heaps_adopt_slab(h, class_id))
        other = first_partial(h, class_id);
    if (other) {
        vm_list_remove(&other->list);
    } else {
        vm_remote_flush(h); /* rare enough, and the memory held back may be what others lack */
        other = make_slab(h, class_id);
        if (!other)
            return NULL;
    }
    if (!is_none(slab))
        current_to_partial_or_full(h, class_id, slab);
    make_current(h, class_id, other);
    if (!has_free(other)) {
        carve(other);
        *fresh = other->virgin;
    }
    return other;
}

void vm_slabs_park(struct vm_heap *h)
{
    retire_quiet(h, 0);
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        struct vm_page *slab = h->current[id];
        if (is_none(slab))
            continue;
        set_current(h, id, (struct vm_page *)(uintptr_t)&vm_slab_none);
        current_to_partial_or_full(h, id, slab);
    }
}

bool vm_slab_take_over(struct vm_heap *to, struct vm_heap *from, unsigned class_id)
{
    struct vm_page *slab = first_partial(from, class_id);

    if (!slab)
        return false;
    bool quiet = is_quiet(slab);
    if (quiet)
        from_quiet(from, slab);
    vm_list_remove(&slab->list);
    vm_list_push_front(&to->partial[class_id], &slab->list);
    if (quiet)
        to_quiet(to, slab);
    VM_STORE(&slab->owner, to);
    return true;
}

/* Length of the list of free blocks, all of which must lie in the slab and be sealed; -1 when one does not. */
static long free_length(const struct vm_page *slab)
{
    long n = 0;

    for (const struct vm_block *b = slab->free; b != VM_BLOCK_END; b = b->next, n++) {
        size_t offset = (uintptr_t)b - slab->start;
        if (offset / slab->size >= slab->carved || offset % slab->size != 0 || n > (long)slab->carved || !vm_is_sealed(b))
            return -1;
    }
    return n;
}

bool vm_slab_check(const struct vm_page *slab)
{
    long n = free_length(slab);

    if (n < 0 || n > (long)slab->carved || slab->carved > slab->capacity)
        return false;
    uint64_t out = slab->carved - (uint64_t)n;
    switch (slab->state) {
    case VM_SLAB_CURRENT:
        return slab->held == out + is_quiet(slab);
    case VM_SLAB_PARTIAL:
        return slab->held == out + is_quiet(slab) && slab->held > 0 && (n > 0 || has_room(slab));
    default:
        return slab->held == slab->wake - (uint64_t)n && slab->held > 0 && !has_room(slab) && !is_quiet(slab);
    }
}
