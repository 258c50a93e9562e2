/* Slow paths of slabs; see slab.h, and page.h for the picture of a slab and its states. */
#include "heap/slab.h"

#include "base/fail.h"
#include "heap/count.h"
#include "heap/heap_fast.h"
#include "heap/remote.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"
#include "vm/mmu.h"

#define WAKE_SHARE 32 /* see page.h */

#define CARVE_MAX 64 /* blocks given life at a time where pages are resident */

/* What quiet slabs may hold: that much together in all threads, or that much in one when threads are many.  One of several
   threads that frees slab after slab and makes none may be about to wait for long, with all that: so what goes back lowers
   its bound by 1/QUIET_CUT of that, and what it makes raises it again by twice as much. */
#define QUIET_BYTES_ALL VM_MIB
#define QUIET_BYTES_EACH (32 * VM_KIB)
#define QUIET_CUT 4

/* Free units of a slab are looked for when at most this many blocks a page, and half of all, are out: with more, at
   random places, hardly a page (e^-3 = 5 %) has none.  A look goes through all blocks, so the next one waits until
   1/SPARSE_FREED as many have been freed.  Where that will never be, since so many lie on a page, the only look comes late:
   one block out on two pages leaves most (e^-1/2 = 61 %) without any. */
#define SPARSE_PER_PAGE 3
#define SPARSE_FREED 8
#define UNITS 64 /* bits of vm_page.absent */

/* A slab that serves another class: at least that part of its blocks is not out; looked at of each class. */
#define LENDER_SHARE 16
#define LENDER_LOOKS 8

/* Bytes that the last slab of the class to fill up, or to become empty, came to touch: a guess at what the next will.
   By any thread, without a lock. */
static uint32_t expected[VM_CLASSES];

/* Slow: points every entry that serves the class at the slab. */
static void set_current(struct vm_heap *h, unsigned class_id, struct vm_page *slab)
{
    struct vm_page **direct = VM_INSTRUMENT && h->tap ? h->tap->direct : h->hit.direct;

    vm_heap_currents(h)[class_id] = slab;
    size_t size = vm_classes[class_id].size, below = vm_classes[class_id - 1].size;
    if (size > VM_DIRECT_MAX)
        return;
    for (size_t slot = class_id == 1 ? 0 : below / VM_BLOCK_MIN + 1; slot <= size / VM_BLOCK_MIN; slot++)
        direct[slot] = slab;
}

static bool is_none(const struct vm_page *slab) { return slab == &vm_slab_none; }
static bool has_free(const struct vm_page *slab) { return slab->free != VM_BLOCK_END; }
static bool has_room(const struct vm_page *slab) { return slab->carved < slab->capacity || slab->absent; }
static bool is_quiet(const struct vm_page *slab) { return slab->aside_bytes != 0 && slab->bias < 0; }
static bool is_sparse(const struct vm_page *slab) { return slab->aside_bytes != 0 && slab->bias >= 0; }

static void set_bias(struct vm_page *slab, int bias)
{
    slab->held = (uint32_t)((int)vm_slab_out(slab) - bias);
    slab->bias = (int16_t)bias;
}

/* Pages, or as many as make the slab 64 units at most. */
static size_t unit_bytes(const struct vm_page *slab)
{
    size_t unit = vm_os.page_size;

    while (slab->frames * VM_FRAME_BYTES > UNITS * unit)
        unit *= 2;
    return unit;
}

/* Bytes that went back with an absent unit: where blocks are larger than units, all of the one that begins there. */
static size_t absent_unit_bytes(const struct vm_page *slab) { return vm_max(unit_bytes(slab), slab->size); }

/* The first block that begins at an offset or after it. */
static size_t first_block_from(const struct vm_page *slab, size_t offset)
{
    return (offset + slab->size - 1) / slab->size;
}
static struct vm_block *block_at(const struct vm_page *slab, size_t index)
{
    return (struct vm_block *)(slab->start + index * slab->size);
}

/* Blocks to give life to: a page of them, or what is resident anyway. */
static size_t next_batch(const struct vm_page *slab)
{
    size_t page = vm_max(vm_os.page_size / slab->size, 1), done = slab->carved * slab->size;
    size_t resident = slab->resident > done ? (slab->resident - done) / slab->size : 0;

    return vm_min(vm_max(page, vm_min(resident, CARVE_MAX)), slab->capacity - slab->carved);
}

/* Without the owner's lock, and in blocks that programs write to meanwhile: any answer of the moment will do. */
VM_UNSANITIZED bool vm_slab_is_out(const struct vm_page *slab, size_t index)
{
    size_t offset = index * slab->size;

    const volatile struct vm_block *b = (const volatile struct vm_block *)(slab->start + offset);

    return !(*(const volatile uint64_t *)&slab->absent >> offset / unit_bytes(slab) & 1)
           && b->seal != (vm_secret ^ (uintptr_t)b ^ (uintptr_t)b->next);
}

/* Slow: gives the blocks of the first absent unit life again; true when the first of them reads as zero. */
static bool absent_to_free(struct vm_heap *h, struct vm_page *slab)
{
    size_t unit = unit_bytes(slab), i = (size_t)__builtin_ctzll(slab->absent);
    size_t first = first_block_from(slab, i * unit), end = first_block_from(slab, (i + 1) * unit);

    slab->absent &= slab->absent - 1;
    vm_mmu_note_carved((uintptr_t)block_at(slab, first), end - first, slab->size);
    for (size_t k = end; k-- > first;) {
        struct vm_block *b = block_at(slab, k);
        if (b->next || b->seal)
            vm_fatal("malloc(): free block %p was written to, or freed once more, after it was freed", (void *)b);
        vm_slab_push(slab, b);
    }
    if (vm_keep_owed(&h->sparse_keep) > 0)
        vm_keep_fetched(&h->sparse_keep, absent_unit_bytes(slab), vm_os.now());
    return (first + 1) * slab->size <= (i + 1) * unit;
}

/* Slow: gives life to the next blocks; free must be empty and there must be room.  True when the first of them reads as
   zero. */
static bool carve(struct vm_heap *h, struct vm_page *slab)
{
    if (slab->absent)
        return absent_to_free(h, slab);
    size_t n = next_batch(slab), from = slab->carved;
    vm_mmu_note_carved((uintptr_t)block_at(slab, from), n, slab->size);
    for (size_t i = n; i-- > 0;)
        vm_slab_push(slab, block_at(slab, from + i));
    VM_STORE(&slab->carved, from + n);
    return slab->virgin;
}

static void put_aside(struct vm_list *list, size_t *sum, struct vm_page *slab, size_t bytes)
{
    slab->aside_bytes = (uint32_t)bytes;
    *sum += bytes;
    vm_list_push_front(list, &slab->aside);
}

static void take_from(size_t *sum, struct vm_page *slab)
{
    *sum -= slab->aside_bytes;
    slab->aside_bytes = 0;
    vm_list_remove(&slab->aside);
}

static void from_sparse(struct vm_heap *h, struct vm_page *slab)
{
    if (is_sparse(slab))
        take_from(&h->sparse_bytes, slab);
}

static void to_quiet(struct vm_heap *h, struct vm_page *slab)
{
    from_sparse(h, slab);
    put_aside(&h->quiet, &h->quiet_bytes, slab, slab->carved * slab->size);
    set_bias(slab, -1);
}

static void from_quiet(struct vm_heap *h, struct vm_page *slab)
{
    take_from(&h->quiet_bytes, slab);
    set_bias(slab, 0);
}

/* Partial lists have slabs with freed blocks in front of those that have only room. */
static void current_to_partial_or_full(struct vm_heap *h, struct vm_page *slab)
{
    unsigned class_id = slab->class_id;

    if (has_free(slab)) {
        slab->state = VM_SLAB_PARTIAL;
        vm_list_push_front(&h->partial[class_id], &slab->list);
    } else if (has_room(slab)) {
        slab->state = VM_SLAB_PARTIAL;
        vm_list_push_back(&h->partial[class_id], &slab->list);
    } else {
        if (is_quiet(slab))
            from_quiet(h, slab);
        from_sparse(h, slab);
        slab->state = VM_SLAB_FULL;
        set_bias(slab, (int)(slab->capacity - slab->wake));
        VM_STORE(&expected[class_id], (uint32_t)(slab->capacity * slab->size));
    }
}

/* In place of the one before, if any. */
static void make_current(struct vm_heap *h, unsigned class_id, struct vm_page *slab)
{
    struct vm_page *before = vm_heap_currents(h)[class_id];

    if (!is_none(before))
        current_to_partial_or_full(h, before);
    slab->serves = (uint8_t)class_id;
    slab->state = VM_SLAB_CURRENT;
    set_current(h, class_id, slab);
}

static void empty_to_freed(struct vm_heap *h, struct vm_page *slab)
{
    unsigned frames = slab->frames;
    size_t touched = slab->carved * slab->size;

    if (slab->state == VM_SLAB_CURRENT)
        set_current(h, slab->serves, (struct vm_page *)(uintptr_t)&vm_slab_none);
    VM_STORE(&expected[slab->class_id], (uint32_t)touched);
    vm_list_remove(&slab->list);
    for (unsigned i = frames; i-- > 0;)
        vm_page_reset(slab + i);
    vm_mmu_note(VM_MMU_KEPT, slab->start, frames * VM_FRAME_BYTES);
    vm_frames_free(slab, frames, touched);
}

/* Blocks out at which a slab that was full is sparse; 0: not to be looked at before it is empty. */
static int sparse_from(const struct vm_page *slab)
{
    size_t pages = slab->carved * slab->size / vm_os.page_size, n = vm_min(pages * SPARSE_PER_PAGE, slab->capacity / 2);

    if ((slab->carved - n) / SPARSE_FREED >= n)
        n = pages / 2;
    return n < vm_slab_out(slab) ? (int)n : 0;
}

/* Where the current slab has no block at hand, this one takes its place at once: the next malloc of the class would miss
   and do so. */
static void full_to_partial_or_current(struct vm_heap *h, struct vm_page *slab)
{
    struct vm_page *current = vm_heap_currents(h)[slab->class_id];

    set_bias(slab, sparse_from(slab));
    if (!is_none(current) && !has_free(current)) {
        make_current(h, slab->class_id, slab);
        return;
    }
    slab->state = VM_SLAB_PARTIAL;
    vm_list_push_front(&h->partial[slab->class_id], &slab->list);
}

/* Looks at quiet slabs, the longest quiet first, and lets empty ones go until the rest holds no more than `bound`; bytes
   that went. */
static size_t retire_quiet(struct vm_heap *h, size_t bound)
{
    size_t gone = 0;

    while (h->quiet_bytes > bound) {
        struct vm_page *slab = VM_CONTAINER_OF(h->quiet.prev, struct vm_page, aside);
        from_quiet(h, slab);
        if (slab->held == 0) {
            gone += slab->carved * slab->size;
            empty_to_freed(h, slab);
        }
    }
    return gone;
}

/* Bytes; nothing for a heap that no thread uses. */
static size_t quiet_bound(const struct vm_heap *h)
{
    unsigned live = vm_heaps_live();

    if (h->state == VM_HEAP_IDLE)
        return 0;
    if (live <= 1)
        return QUIET_BYTES_ALL;
    size_t share = QUIET_BYTES_ALL / live;
    return share > QUIET_BYTES_EACH + h->quiet_cut ? share - h->quiet_cut : QUIET_BYTES_EACH;
}

/* A bit for each block: it is free, on the list or absent. */
struct free_map {
    uint64_t bits[VM_FRAME_BYTES / VM_BLOCK_MIN / 64];
};

static bool is_marked(const struct free_map *map, size_t k) { return map->bits[k / 64] >> k % 64 & 1; }
static void mark(struct free_map *map, size_t k) { map->bits[k / 64] |= (uint64_t)1 << k % 64; }

/* Marks what bears a seal, in the order of the blocks' addresses, many times faster than the list where they are cold.
   How many: more than are free when others are on their way home. */
static size_t mark_sealed(const struct vm_page *slab, struct free_map *map)
{
    size_t n = 0;

    *map = (struct free_map){0};
    for (size_t k = 0; k < slab->carved; k++) {
        if (vm_slab_is_out(slab, k))
            continue;
        mark(map, k);
        n++;
    }
    return n;
}

static void mark_list(const struct vm_page *slab, const struct vm_block *list, size_t unit, struct free_map *map)
{
    *map = (struct free_map){0};
    for (const struct vm_block *b = list; b != VM_BLOCK_END; b = b->next) {
        if (!vm_is_sealed(b))
            vm_fatal("free block %p was written to after it was freed", (const void *)b);
        mark(map, ((uintptr_t)b - slab->start) / slab->size);
    }
    for (uint64_t left = slab->absent; left; left &= left - 1) {
        size_t i = (size_t)__builtin_ctzll(left);
        for (size_t k = first_block_from(slab, i * unit); k < first_block_from(slab, (i + 1) * unit); k++)
            mark(map, k);
    }
}

/* The units whose every byte is in free blocks, but for those that are absent. */
static uint64_t free_units(const struct vm_page *slab, const struct free_map *map, size_t unit)
{
    uint64_t units = 0;

    for (size_t i = 0; i < slab->carved * slab->size / unit; i++) {
        size_t k = i * unit / slab->size, end = first_block_from(slab, (i + 1) * unit);
        if (slab->absent >> (end - 1) * slab->size / unit & 1)
            continue; /* it went, itself or with the unit in which its only block begins */
        while (k < end && is_marked(map, k))
            k++;
        if (k == end)
            units |= (uint64_t)1 << i;
    }
    return units;
}

/* Puts the free blocks that begin in none of the units back, in the order of their addresses. */
static void keep_present(struct vm_page *slab, const struct free_map *map, size_t unit, uint64_t units)
{
    struct vm_block *first = VM_BLOCK_END, *last = NULL;

    for (size_t k = slab->carved; k-- > 0;) {
        if (!is_marked(map, k) || units >> k * slab->size / unit & 1)
            continue;
        vm_block_seal(block_at(slab, k), first);
        first = block_at(slab, k);
        if (!last)
            last = first;
    }
    if (last) {
        vm_block_seal(last, slab->free); /* not empty when a signal handler freed in between */
        VM_STORE_RELEASE(&slab->free, first);
    }
}

/* The system refused: the blocks that begin there are as they were. */
static void dropped_to_free(struct vm_page *slab, size_t unit, size_t from, size_t to)
{
    for (size_t k = first_block_from(slab, to * unit); k-- > first_block_from(slab, from * unit);)
        vm_slab_push(slab, block_at(slab, k));
}

/* Returns what is resident behind the blocks with life; bytes returned. */
static size_t return_tail(struct vm_page *slab)
{
    size_t from = vm_align_up(slab->carved * slab->size, vm_os.page_size),
           end = vm_align_down(slab->resident, vm_os.page_size);

    if (end <= from || vm_os.purge((char *)slab->start + from, end - from) != 0)
        return 0;
    slab->resident = (uint32_t)from;
    vm_mmu_note(VM_MMU_PURGED, slab->start + from, end - from);
    return end - from;
}

/* Returns units that hold free blocks only; bytes returned. */
static size_t return_units(struct vm_page *slab)
{
    size_t unit = unit_bytes(slab), returned = 0, n = slab->carved - vm_slab_out(slab);
    struct vm_block *list = __atomic_exchange_n(&slab->free, VM_BLOCK_END, __ATOMIC_ACQ_REL);
    struct free_map map;

    /* A block of a page or more may be one that its user has forbidden to read. */
    if (slab->size >= vm_os.page_size || mark_sealed(slab, &map) != n)
        mark_list(slab, list, unit, &map);
    uint64_t units = free_units(slab, &map, unit);
    keep_present(slab, &map, unit, units | slab->absent);
    if (units) {
        vm_frames_break(slab->start);
        returned += return_tail(slab);
    }
    for (size_t from = 0, to; from < UNITS; from = to) {
        for (to = from; to < UNITS && (units >> to & 1) == (units >> from & 1);)
            to++;
        if (!(units >> from & 1))
            continue;
        if (vm_os.purge((char *)slab->start + from * unit, (to - from) * unit) != 0) {
            dropped_to_free(slab, unit, from, to);
            continue;
        }
        returned += (to - from) * unit;
        vm_mmu_note(VM_MMU_PURGED, slab->start + from * unit, (to - from) * unit);
        /* A free block that begins before, and is not absent, may end here. */
        vm_mmu_note(VM_MMU_OUT, slab->start + from * unit,
                    vm_min(first_block_from(slab, from * unit) * slab->size, to * unit) - from * unit);
        for (size_t i = from; i < to; i++)
            if (first_block_from(slab, i * unit) < first_block_from(slab, (i + 1) * unit))
                slab->absent |= (uint64_t)1 << i;
    }
    return returned;
}

/* Returns free units of a partial slab, whose place in its list depends on what it has left. */
static size_t return_units_of_partial(struct vm_heap *h, struct vm_page *slab)
{
    size_t returned = return_units(slab);

    if (!has_free(slab)) {
        vm_list_remove(&slab->list);
        vm_list_push_back(&h->partial[slab->class_id], &slab->list);
    }
    return returned;
}

/* Returns free units of sparse slabs, the longest sparse first, until the rest holds no more than `target`. */
static void return_sparse(struct vm_heap *h, size_t target)
{
    size_t returned = 0;

    while (h->sparse_bytes > target) {
        struct vm_page *slab = VM_CONTAINER_OF(h->sparse.prev, struct vm_page, aside);
        from_sparse(h, slab);
        if (slab->state != VM_SLAB_PARTIAL)
            continue; /* it serves again */
        returned += return_units_of_partial(h, slab);
    }
    if (returned > 0)
        vm_keep_returned(&h->sparse_keep, returned, vm_os.now());
}

static void to_sparse(struct vm_heap *h, struct vm_page *slab)
{
    size_t absent = slab->absent ? (size_t)__builtin_popcountll(slab->absent) * absent_unit_bytes(slab) : 0;
    size_t free_bytes = (slab->carved - vm_slab_out(slab)) * slab->size;

    from_sparse(h, slab);
    if (free_bytes > absent)
        put_aside(&h->sparse, &h->sparse_bytes, slab, free_bytes - absent);
    if (h->sparse_bytes > h->sparse_keep.floor) {
        size_t bound = vm_keep_bound(&h->sparse_keep, vm_frames_used() / 2, 0, vm_os.now());
        if (h->sparse_bytes > bound) /* its slabs would be kept when they are empty */
            bound = vm_max(bound, vm_frames_awaited());
        if (h->sparse_bytes > bound)
            return_sparse(h, bound / 2);
    }
}

void vm_slab_event_locked(struct vm_heap *h, struct vm_page *slab)
{
    if (slab->state == VM_SLAB_FULL) {
        full_to_partial_or_current(h, slab);
    } else if (slab->bias > 0) {
        size_t out = (size_t)slab->bias, step = vm_max((slab->carved - out) / SPARSE_FREED, (size_t)1);
        set_bias(slab, (int)(out - vm_min(out, step)));
        to_sparse(h, slab);
    }
    if (slab->held == 0) {
        to_quiet(h, slab);
        h->quiet_cut = vm_min(h->quiet_cut + retire_quiet(h, quiet_bound(h)) / QUIET_CUT, QUIET_BYTES_ALL);
    }
}

static void return_partial(struct vm_heap *h)
{
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        struct vm_list *l = h->partial[id].next, *last = h->partial[id].prev;
        for (bool more = l != &h->partial[id]; more;) {
            struct vm_page *slab = VM_CONTAINER_OF(l, struct vm_page, list);
            more = l != last;
            l = l->next;
            from_sparse(h, slab);
            return_units_of_partial(h, slab);
        }
    }
}

void vm_slabs_return(struct vm_heap *h)
{
    h->return_wanted = false;
    vm_remote_flush(h);
    vm_remote_drain(h);
    retire_quiet(h, 0);
    return_partial(h);
}

void vm_slabs_return_unused(struct vm_heap *h)
{
    struct vm_list *next;

    for (struct vm_list *l = h->quiet.next; l != &h->quiet; l = next) {
        struct vm_page *slab = VM_CONTAINER_OF(l, struct vm_page, aside);
        next = l->next;
        if (slab->state != VM_SLAB_PARTIAL || vm_slab_out(slab) != 0)
            continue;
        from_quiet(h, slab);
        empty_to_freed(h, slab);
    }
    VM_STORE(&h->return_wanted, true);
}

/* Slow: a slab from fresh frames. */
static struct vm_page *make_slab(struct vm_heap *h, unsigned class_id)
{
    const struct vm_class *c = &vm_classes[class_id];
    struct vm_frames_news news;
    struct vm_page *slab = vm_frames_alloc(c->frames, VM_LOAD(&expected[class_id]), &news);

    if (!slab)
        return NULL;
    if (news.grown > 0)
        vm_extents_settle(news.grown);
    h->quiet_cut -= vm_min(h->quiet_cut, c->frames * VM_FRAME_BYTES * 2 / QUIET_CUT);
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
    vm_list_init(&slab->aside);
    for (unsigned i = 1; i < c->frames; i++) {
        slab[i].tail = (uint8_t)i;
        VM_STORE(&slab[i].role, (uint8_t)VM_PAGE_TAIL);
    }
    VM_STORE(&slab->owner, h);
    VM_STORE(&slab->magic, c->magic);
    VM_STORE_RELEASE(&slab->role, (uint8_t)VM_PAGE_SLAB); /* who walks the slabs sees all of the above */
    return slab;
}

static struct vm_page *first_partial(struct vm_heap *h, unsigned class_id)
{
    struct vm_list *l = &h->partial[class_id];
    return vm_list_empty(l) ? NULL : VM_CONTAINER_OF(l->next, struct vm_page, list);
}

/* A partly used slab of a class at most twice as large, the nearest first, whose blocks are aligned as this class's are;
   NULL when there is none.  What lies free there is resident and would wait for requests of another size; a block wastes
   less than opening a page does.  Not while calls are counted: by class, calls and live blocks then belong together. */
static struct vm_page *find_lender(struct vm_heap *h, unsigned class_id)
{
    size_t size = vm_classes[class_id].size, alignment = size & -size;

    if (VM_INSTRUMENT && vm_counting)
        return NULL;
    for (unsigned id = class_id + 1; id < VM_CLASSES && vm_classes[id].size <= 2 * size; id++) {
        struct vm_list *l = &h->partial[id];
        if (vm_list_empty(l) || (vm_classes[id].size & (alignment - 1)) != 0)
            continue;
        for (int looks = 0; looks < LENDER_LOOKS && (l = l->next) != &h->partial[id]; looks++) {
            struct vm_page *slab = VM_CONTAINER_OF(l, struct vm_page, list);
            if (!has_free(slab))
                break;
            if (vm_slab_out(slab) > 0 && vm_slab_out(slab) <= slab->capacity - slab->capacity / LENDER_SHARE)
                return slab;
        }
    }
    return NULL;
}

/* The slab to serve the class from next, in no list any more: the current one when it has room.  Freed blocks before
   untouched ones, one's own before those of ended threads, those before a neighbour's, those before fresh frames. */
static struct vm_page *next_slab(struct vm_heap *h, unsigned class_id, struct vm_page *current)
{
    struct vm_page *slab = first_partial(h, class_id);

    if ((!slab || !has_free(slab)) && current->class_id == class_id && has_room(current))
        return current;
    if (!slab && vm_heaps_adopt_slab(h, class_id))
        slab = first_partial(h, class_id);
    if (!slab)
        slab = find_lender(h, class_id);
    if (slab) {
        vm_list_remove(&slab->list);
        return slab;
    }
    vm_remote_flush(h); /* rare enough, and the memory held back may be what others lack */
    return make_slab(h, class_id);
}

struct vm_page *vm_slab_refill(struct vm_heap *h, unsigned class_id, bool *fresh)
{
    struct vm_page *slab, *next;

    *fresh = false;
    if (VM_UNLIKELY(VM_LOAD(&h->return_wanted)))
        vm_slabs_return(h);
    vm_remote_drain(h);
    slab = vm_heap_currents(h)[class_id];
    if (has_free(slab))
        return slab;
    next = next_slab(h, class_id, slab);
    if (!next)
        return NULL;
    if (next != slab)
        make_current(h, class_id, next);
    if (!has_free(next))
        *fresh = carve(h, next);
    return next;
}

void vm_slabs_park(struct vm_heap *h)
{
    retire_quiet(h, 0);
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        struct vm_page *slab = vm_heap_currents(h)[id];
        if (is_none(slab))
            continue;
        set_current(h, id, (struct vm_page *)(uintptr_t)&vm_slab_none);
        current_to_partial_or_full(h, slab);
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
    from_sparse(from, slab);
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
        if (offset / slab->size >= slab->carved || offset % slab->size != 0 || n > (long)slab->carved
            || !vm_is_sealed(b))
            return -1;
    }
    return n;
}

static size_t absent_blocks(const struct vm_page *slab)
{
    size_t unit = unit_bytes(slab), n = 0;

    for (uint64_t left = slab->absent; left; left &= left - 1) {
        size_t i = (size_t)__builtin_ctzll(left);
        n += first_block_from(slab, (i + 1) * unit) - first_block_from(slab, i * unit);
    }
    return n;
}

bool vm_slab_check(const struct vm_page *slab)
{
    long n = free_length(slab);

    if (n < 0 || slab->carved > slab->capacity || vm_slab_out(slab) + (size_t)n + absent_blocks(slab) != slab->carved)
        return false;
    switch (slab->state) {
    case VM_SLAB_CURRENT: return slab->bias >= -is_quiet(slab);
    case VM_SLAB_PARTIAL: return slab->held > 0 && slab->bias >= -is_quiet(slab) && (n > 0 || has_room(slab));
    default:
        return slab->held > 0 && slab->bias == (int)(slab->capacity - slab->wake) && !has_room(slab)
               && !slab->aside_bytes;
    }
}
