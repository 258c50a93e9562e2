/* Slow paths of slabs; see slab.h, and page.h for the picture of a slab and its states. */
#include "heap/slab.h"

#include "base/fail.h"
#include "heap/heap_fast.h"
#include "heap/remote.h"
#include "os/os.h"
#include "page/zone.h"

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

/* Slow: gives life to the next page of blocks; free must be empty, carved < capacity. */
static void carve(struct vm_page *slab)
{
    uint32_t n = (uint32_t)vm_max(vm_os.page_size / slab->size, 1);
    char *at = (char *)slab->start + (size_t)slab->carved * slab->size;

    n = slab->capacity - slab->carved < n ? slab->capacity - slab->carved : n;
    for (uint32_t i = 0; i < n; i++, at += slab->size) {
        struct vm_block *b = (struct vm_block *)at;
        struct vm_block *next = i + 1 < n ? (struct vm_block *)(at + slab->size) : NULL;
        b->next = next;
        b->key = vm_block_key(b, next);
    }
    VM_STORE_RELEASE(&slab->free, (struct vm_block *)(at - (size_t)n * slab->size));
    slab->fresh = slab->virgin;
    slab->held += n;
    VM_STORE(&slab->carved, slab->carved + n);
}

/* Slow: what was freed becomes what is handed out. */
static void swap_local_to_free(struct vm_page *slab)
{
    struct vm_block *local = slab->local;

    slab->local = NULL; /* a fork between the two stores loses the list in the child; the reverse would hand it out twice */
    VM_STORE_RELEASE(&slab->free, local);
    slab->fresh = false;
    slab->held = slab->carved;
}

static void make_current(struct vm_heap *h, unsigned class_id, struct vm_page *slab)
{
    slab->state = VM_SLAB_CURRENT;
    if (slab->local)
        swap_local_to_free(slab);
    else
        carve(slab);
    set_current(h, class_id, slab);
}

static void current_to_partial_or_full(struct vm_heap *h, unsigned class_id, struct vm_page *slab)
{
    if (slab->local) {
        slab->state = VM_SLAB_PARTIAL;
        vm_list_push_front(&h->partial[class_id], &slab->list);
    } else if (slab->carved < slab->capacity) {
        slab->state = VM_SLAB_PARTIAL;
        vm_list_push_back(&h->partial[class_id], &slab->list);
    } else {
        slab->state = VM_SLAB_FULL;
        slab->held = 1;
    }
}

static void partial_to_freed(struct vm_page *slab)
{
    unsigned frames = slab->frames;

    vm_list_remove(&slab->list);
    for (unsigned i = frames; i-- > 0;)
        vm_page_reset(slab + i);
    vm_frames_free(slab, frames);
}

static void full_to_partial(struct vm_heap *h, struct vm_page *slab)
{
    slab->held = slab->capacity - 1;
    slab->state = VM_SLAB_PARTIAL;
    vm_list_push_front(&h->partial[slab->class_id], &slab->list);
}

void vm_slab_event_locked(struct vm_heap *h, struct vm_page *slab)
{
    if (slab->state == VM_SLAB_FULL)
        full_to_partial(h, slab);
    if (slab->state == VM_SLAB_PARTIAL && slab->held == 0)
        partial_to_freed(slab);
}

/* Slow: a slab from fresh frames. */
static struct vm_page *make_slab(struct vm_heap *h, unsigned class_id)
{
    const struct vm_class *c = &vm_classes[class_id];
    bool zeroed;
    struct vm_page *slab = vm_frames_alloc(c->frames, &zeroed);

    if (!slab)
        return NULL;
    slab->virgin = zeroed;
    slab->class_id = (uint8_t)class_id;
    slab->frames = c->frames;
    slab->size = c->size;
    slab->capacity = c->capacity;
    vm_list_init(&slab->list);
    for (unsigned i = 1; i < c->frames; i++) {
        slab[i].tail = (uint8_t)i;
        VM_STORE(&slab[i].role, (uint8_t)VM_PAGE_TAIL);
    }
    VM_STORE(&slab->owner, h);
    VM_STORE(&slab->recip, c->recip);
    VM_STORE(&slab->role, (uint8_t)VM_PAGE_SLAB);
    return slab;
}

static struct vm_page *first_partial(struct vm_heap *h, unsigned class_id)
{
    struct vm_list *l = &h->partial[class_id];
    return vm_list_empty(l) ? NULL : VM_CONTAINER_OF(l->next, struct vm_page, list);
}

struct vm_page *vm_slab_refill(struct vm_heap *h, unsigned class_id)
{
    struct vm_page *slab = h->current[class_id], *other;

    if (slab->free)
        return slab; /* a message from ourselves: nothing to do */
    if (!slab->local)
        vm_remote_drain(h);
    if (slab->local) {
        swap_local_to_free(slab);
        return slab;
    }
    /* Freed blocks before untouched ones, one's own before those of ended threads, those before fresh frames. */
    other = first_partial(h, class_id);
    if ((!other || !other->local) && !is_none(slab) && slab->carved < slab->capacity) {
        carve(slab);
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
    return other;
}

/* Slow: free joins local, so that the slab can leave its place as current. */
static void merge_free_into_local(struct vm_page *slab)
{
    struct vm_block *b = slab->free;

    slab->free = NULL;
    while (b) {
        struct vm_block *next = b->next;
        vm_slab_push(slab, b);
        slab->held--;
        b = next;
    }
    slab->fresh = false;
}

void vm_slabs_park(struct vm_heap *h)
{
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        struct vm_page *slab = h->current[id];
        if (is_none(slab))
            continue;
        set_current(h, id, (struct vm_page *)&vm_slab_none);
        merge_free_into_local(slab);
        current_to_partial_or_full(h, id, slab);
        if (slab->state == VM_SLAB_PARTIAL && slab->held == 0)
            partial_to_freed(slab);
    }
}

bool vm_slab_take_over(struct vm_heap *to, struct vm_heap *from, unsigned class_id)
{
    struct vm_page *slab = first_partial(from, class_id);

    if (!slab)
        return false;
    vm_list_remove(&slab->list);
    vm_list_push_front(&to->partial[class_id], &slab->list);
    VM_STORE(&slab->owner, to);
    return true;
}

/* Length of a list whose blocks all lie in the slab, sealed; -1 when one does not. */
static long list_length(const struct vm_page *slab, const struct vm_block *b)
{
    long n = 0;

    for (; b; b = b->next, n++) {
        bool is_start;
        uint32_t index = vm_block_index(slab->recip, (uintptr_t)b - slab->start, &is_start);
        if ((uintptr_t)b < slab->start || !is_start || index >= slab->carved || n > slab->carved
            || b->key != vm_block_key(b, b->next))
            return -1;
    }
    return n;
}

size_t vm_slab_count_free(const struct vm_page *slab)
{
    size_t n = 0;

    for (const struct vm_block *b = slab->free; b; b = b->next)
        n++;
    return n;
}

bool vm_slab_check(const struct vm_page *slab)
{
    long free_blocks = list_length(slab, slab->free), local = list_length(slab, slab->local);

    if (free_blocks < 0 || local < 0 || free_blocks + local > slab->carved || slab->carved > slab->capacity)
        return false;
    switch (slab->state) {
    case VM_SLAB_CURRENT:
        return slab->held == slab->carved - (uint32_t)local;
    case VM_SLAB_PARTIAL:
        return free_blocks == 0 && slab->held == slab->carved - (uint32_t)local && slab->held > 0
            && (slab->local || slab->carved < slab->capacity);
    default:
        return free_blocks == 0 && local == 0 && slab->held == 1 && slab->carved == slab->capacity;
    }
}
