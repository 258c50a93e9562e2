/* Taking a snapshot of the heap in another process; see peek.h.  All descriptors are copied first, in a few large reads,
   so that what is looked at is as good as of one moment; then everything is found in the copies.  An address that leads
   nowhere in them, or a descriptor that cannot be, is left out and counted as odd: the process runs on meanwhile. */
#include "tool/peek_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/grow.h"
#include "tool/procfs.h"

#define TRIES 4
#define CHUNKS_MAX ((size_t)1 << 22) /* of metadata */
#define ZONES_MAX ((size_t)1 << 20)
#define HEAPS_MAX ((size_t)1 << 20)
#define ZONE_BYTES_MAX ((uint64_t)1 << 42) /* of heap in one zone */
#define COPY_MAX ((uint64_t)1 << 36)       /* bytes of descriptors; of a core file no more than it has */
#define SLACK (64 * VM_MIB)                /* metadata that may be mapped while we count it */
#define DESCRIPTOR_MAX 8192                /* bytes of one */

/* clang-format off */
/* The fields that a snapshot needs, by struct. */
#define FIELDS(X) \
    X(page, held) X(page, state) X(page, bias) X(page, absent) X(page, carved) X(page, owner) X(page, role) X(page, class_id) \
    X(page, frames) X(page, size) X(page, capacity) X(page, start) X(page, zone) \
    X(zone, base) X(zone, map) X(zone, chunks) X(zone, next) X(zone, top) X(zone, span) \
    X(chunk, free) X(chunk, clean) X(chunk, resident) \
    X(extent, base) X(extent, size) X(extent, state) X(extent, zeroed) \
    X(heap, next) X(heap, state) X(heap, quiet_bytes) X(heap, out) X(outbox, head) \
    X(meta, next) X(meta, bytes) X(pgtab, low) X(pgtab, high)
#define STRUCTS(X) X(page) X(zone) X(chunk) X(extent) X(heap) X(outbox) X(meta) X(pgtab)
#define NUMBERS(X) \
    X(FRAME_SHIFT) X(CHUNK_SHIFT) X(FRAME_PARTS) X(PAGE_FREE) X(PAGE_SLAB) X(SLAB_FULL) \
    X(EXTENT_LIVE) X(EXTENT_WARM) X(EXTENT_DIRTY) X(EXTENT_CLEAN) X(EXTENT_FLIGHT) X(HEAP_IDLE) X(HEAP_SHARED) \
    X(PAGE_SHIFT) X(PGTAB_BITS) X(LEVELS_LOW) X(LEVELS_HIGH) X(PTE_PRESENT) X(PTE_LEAF) X(PTE_KIND_SHIFT) X(PTE_KIND_MASK) \
    X(PTE_NUMBER_SHIFT) X(PTE_ALIGN_SHIFT) X(KIND_EXTENT)
/* clang-format on */

struct field {
    uint32_t offset, size;
};

struct layout {
#define X(s, f) struct field s##_##f;
    FIELDS(X)
#undef X
#define X(s) size_t size_of_##s;
    STRUCTS(X)
#undef X
#define X(n) uint64_t n;
    NUMBERS(X)
#undef X
};

struct copy {
    uint64_t start, end;
    unsigned char *bytes;
};

/* One try. */
struct taking {
    const struct peek *p;
    struct layout l;
    struct copy *copy; /* by start */
    size_t copies;
    uint64_t copied, most; /* bytes; what they may come to */
    struct peek_snapshot *s;
    const char *failed; /* what cannot be had at all */
};

/* ---- Layout ---- */

static bool take_fact(const struct peek *p, const char *name, struct vm_fact *to, char *error)
{
    const struct vm_fact *f = peek_fact(p, name);

    if (f)
        *to = *f;
    else
        snprintf(error, PEEK_ERROR_MAX, "%s: libvmalloc %s there does not export %s, which this command needs", p->what,
                 p->version, name);
    return f != NULL;
}

/* Every field inside its struct, every shift possible: from then on they are used unchecked. */
static bool check_layout(const struct peek *p, const struct layout *l, char *error)
{
    bool good = true;

#define X(s, m) good = good && l->s##_##m.size > 0 && (size_t)l->s##_##m.offset + l->s##_##m.size <= l->size_of_##s;
    FIELDS(X)
#undef X
#define X(s) good = good && l->size_of_##s <= DESCRIPTOR_MAX;
    STRUCTS(X)
#undef X
    good = good && l->FRAME_SHIFT >= 12 && l->FRAME_SHIFT <= 21 && l->CHUNK_SHIFT > l->FRAME_SHIFT
           && l->CHUNK_SHIFT - l->FRAME_SHIFT <= 5 && l->PAGE_SHIFT >= 12 && l->PAGE_SHIFT <= 16 && l->PGTAB_BITS > 0
           && l->PGTAB_BITS <= 13 && l->LEVELS_LOW > 0 && l->LEVELS_LOW < l->LEVELS_HIGH && l->LEVELS_HIGH <= 8
           && l->PAGE_SHIFT + l->PGTAB_BITS * l->LEVELS_HIGH <= 64 && l->PTE_NUMBER_SHIFT < 64
           && l->PTE_ALIGN_SHIFT < 64 && l->PTE_KIND_SHIFT < 64;
    if (!good)
        snprintf(error, PEEK_ERROR_MAX, "%s: its exported block is damaged: sizes that cannot be", p->what);
    return good;
}

static bool read_layout(const struct peek *p, struct layout *l, char *error)
{
    struct vm_fact f;
    bool good = true;

#define X(s, m) \
    if ((good = good && take_fact(p, #s "." #m, &f, error))) \
        l->s##_##m = (struct field){(uint32_t)f.value, f.size};
    FIELDS(X)
#undef X
#define X(s) \
    if ((good = good && take_fact(p, #s, &f, error))) \
        l->size_of_##s = f.size;
    STRUCTS(X)
#undef X
#define X(n) \
    if ((good = good && take_fact(p, "#" #n, &f, error))) \
        l->n = f.value;
    NUMBERS(X)
#undef X
    return good && check_layout(p, l, error);
}

/* ---- Copies ---- */

static uint64_t get(const unsigned char *base, struct field f)
{
    uint64_t value = 0;

    memcpy(&value, base + f.offset, vm_min(f.size, sizeof value));
    return value;
}

static bool add_copy(struct taking *t, uint64_t start, uint64_t bytes)
{
    struct copy *more = tool_grow(t->copy, t->copies, sizeof *more);

    if (more)
        t->copy = more;
    if (!more || bytes > t->most - t->copied) {
        t->failed = "not enough memory for a copy of its descriptors";
        return false;
    }
    struct copy c = {start, start + bytes, malloc(bytes)};
    if (!c.bytes || !peek_read(t->p, start, c.bytes, bytes)) {
        t->failed = c.bytes ? NULL : "not enough memory for a copy of its descriptors";
        free(c.bytes);
        return false;
    }
    t->copied += bytes;
    t->copy[t->copies++] = c;
    return true;
}

static int copy_by_start(const void *a, const void *b)
{
    const struct copy *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* `bytes` at that address in the copies, or NULL. */
static const unsigned char *at(const struct taking *t, uint64_t address, uint64_t bytes)
{
    size_t low = 0, high = t->copies;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->copy[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == t->copies || address < t->copy[low].start || bytes > t->copy[low].end - address)
        return NULL;
    return t->copy[low].bytes + (address - t->copy[low].start);
}

/* ---- Ranges ---- */

static struct peek_range *add_range(struct taking *t, uint64_t start, uint64_t end, enum peek_kind kind)
{
    struct peek_snapshot *s = t->s;
    struct peek_range *more = tool_grow(s->range, s->ranges, sizeof *more);

    if (!more) {
        t->failed = "not enough memory";
        return NULL;
    }
    s->range = more;
    s->range[s->ranges] = (struct peek_range){.start = start, .end = end, .kind = kind};
    return &s->range[s->ranges++];
}

/* The range goes on, when the last one is of its kind and ends here, or a new one begins. */
static void extend_range(struct taking *t, uint64_t start, uint64_t end, enum peek_kind kind)
{
    struct peek_range *last = t->s->ranges ? &t->s->range[t->s->ranges - 1] : NULL;

    if (last && last->kind == kind && last->end == start)
        last->end = end;
    else
        add_range(t, start, end, kind);
}

/* ---- Metadata, and the copies ---- */

static void take_metadata(struct taking *t)
{
    const struct layout *l = &t->l;
    unsigned char raw[DESCRIPTOR_MAX];
    uint64_t chunk, total = 0, seen = 0;

    peek_root(t->p, "&meta_mapped", &t->s->metadata_mapped);
    peek_root(t->p, "&meta_chunks", &chunk);
    for (size_t i = 1; chunk != 0 && chunk != seen && i < CHUNKS_MAX; i++) {
        if (!peek_read(t->p, chunk, raw, l->size_of_meta))
            break;
        uint64_t bytes = get(raw, l->meta_bytes), most = t->s->metadata_mapped + SLACK - total;
        if (bytes < l->size_of_meta || bytes > most || !add_copy(t, chunk, bytes)
            || !add_range(t, chunk, chunk + bytes, PEEK_METADATA))
            break;
        total += bytes;
        seen = vm_is_pow2(i) ? chunk : seen; /* a loop comes by here again */
        chunk = get(raw, l->meta_next);
    }
    t->s->odd += chunk != 0;
}

struct zone {
    uint64_t base, top, map, chunks, span, next;
};

static bool read_zone(const struct taking *t, uint64_t address, struct zone *z)
{
    const struct layout *l = &t->l;
    unsigned char raw[DESCRIPTOR_MAX];

    if (!peek_read(t->p, address, raw, l->size_of_zone))
        return false;
    *z = (struct zone){get(raw, l->zone_base),   get(raw, l->zone_top),  get(raw, l->zone_map),
                       get(raw, l->zone_chunks), get(raw, l->zone_span), get(raw, l->zone_next)};
    return z->span <= ZONE_BYTES_MAX && z->base <= UINT64_MAX - ZONE_BYTES_MAX && z->top >= z->base
           && z->top - z->base <= z->span && z->base % ((uint64_t)1 << l->CHUNK_SHIFT) == 0
           && z->top % ((uint64_t)1 << l->FRAME_SHIFT) == 0;
}

static uint64_t zone_frames(const struct taking *t, const struct zone *z)
{
    return (z->top - z->base) >> t->l.FRAME_SHIFT;
}

static uint64_t zone_chunks(const struct taking *t, const struct zone *z)
{
    return (z->top - z->base + ((uint64_t)1 << t->l.CHUNK_SHIFT) - 1) >> t->l.CHUNK_SHIFT;
}

/* The brk heap's descriptors have a reservation of their own. */
static void take_mem_map(struct taking *t)
{
    const struct layout *l = &t->l;
    uint64_t address = peek_value(t->p, "&brk_zone"), zones;
    struct zone z;

    if (!address || !peek_root(t->p, "&zones", &zones) || zones == 0 || !read_zone(t, address, &z) || z.span == 0)
        return;
    t->s->brk_base = z.base;
    t->s->brk_top = z.top;
    t->s->mem_map_used = zone_frames(t, &z) * l->size_of_page + zone_chunks(t, &z) * l->size_of_chunk;
    uint64_t end = z.chunks + (z.span >> l->CHUNK_SHIFT) * l->size_of_chunk;
    if (z.chunks > z.map && z.chunks - z.map < COPY_MAX)
        add_range(t, z.map, vm_align_up(end, 4096), PEEK_MEM_MAP);
    if (z.top > z.base
        && (!add_copy(t, z.map, zone_frames(t, &z) * l->size_of_page)
            || !add_copy(t, z.chunks, zone_chunks(t, &z) * l->size_of_chunk)))
        t->s->odd++;
}

/* ---- Frames ---- */

static void take_slab(struct taking *t, const unsigned char *page, uint64_t start, uint64_t frames, uint64_t descriptor)
{
    const struct layout *l = &t->l;
    uint64_t size = get(page, l->page_size), carved = get(page, l->page_carved), capacity = get(page, l->page_capacity);
    uint64_t bytes = frames << l->FRAME_SHIFT;

    if (size == 0 || capacity == 0 || capacity > bytes / size || carved > capacity) {
        t->s->odd++; /* being made or taken apart */
        extend_range(t, start, start + bytes, PEEK_FRAME_FLIGHT);
        return;
    }
    struct peek_range *r = add_range(t, start, start + bytes, PEEK_SLAB);
    if (!r)
        return;
    /* As vm_heaps_stats() counts; see the table in page/page.h. */
    int64_t bias = (int16_t)get(page, l->page_bias), used = (int64_t)get(page, l->page_held) + bias;
    r->state = (uint8_t)get(page, l->page_state);
    r->quiet = bias < 0;
    r->used = (uint32_t)(used < 0 ? 0 : vm_min((size_t)used, carved));
    r->descriptor = descriptor;
    r->owner = get(page, l->page_owner);
    r->block_size = (uint32_t)size;
    r->capacity = (uint32_t)capacity;
    r->carved = (uint32_t)carved;
    r->class_id = (uint8_t)get(page, l->page_class_id);
    r->absent = get(page, l->page_absent);
}

/* Bytes from the start of a dirty frame that are resident: four bits a frame count sixteenths, less one. */
static uint64_t frame_resident(const struct layout *l, const unsigned char *chunk, unsigned frame)
{
    uint64_t bytes = (uint64_t)1 << l->FRAME_SHIFT;

    if (l->FRAME_PARTS != 16 || l->chunk_resident.size * 2 <= frame)
        return bytes;
    unsigned parts = chunk[l->chunk_resident.offset + frame / 2] >> (frame % 2 * 4) & 15;
    return bytes / 16 * (parts + 1);
}

/* One frame that begins no slab. */
static void take_frame(struct taking *t, const unsigned char *page, const unsigned char *chunk, unsigned frame,
                       uint64_t start, bool *ours)
{
    const struct layout *l = &t->l;
    uint64_t end = start + ((uint64_t)1 << l->FRAME_SHIFT);
    bool is_free = get(chunk, l->chunk_free) >> frame & 1, clean = get(chunk, l->chunk_clean) >> frame & 1;

    if (is_free && clean) {
        extend_range(t, start, end, PEEK_FRAME_CLEAN);
    } else if (is_free) {
        struct peek_range *r = add_range(t, start, end, PEEK_FRAME_DIRTY);
        if (r)
            r->resident = frame_resident(l, chunk, frame);
    } else if (get(page, l->page_zone) != 0) {
        extend_range(t, start, end, PEEK_FRAME_FLIGHT);
    } else if (*ours) { /* what lies below the first frame of ours is none of our heap */
        extend_range(t, start, end, PEEK_FOREIGN);
    }
    *ours |= is_free || get(page, l->page_zone) != 0;
}

static void take_frames(struct taking *t, const struct zone *z)
{
    const struct layout *l = &t->l;
    uint64_t frames = zone_frames(t, z), in_chunk = (uint64_t)1 << (l->CHUNK_SHIFT - l->FRAME_SHIFT), n;
    const unsigned char *map = at(t, z->map, frames * l->size_of_page);
    const unsigned char *chunks = at(t, z->chunks, zone_chunks(t, z) * l->size_of_chunk);
    bool ours = false;

    if (frames == 0)
        return;
    if (!map || !chunks) {
        t->s->odd++;
        return;
    }
    for (uint64_t i = 0; i < frames && !t->failed; i += n) {
        const unsigned char *page = map + i * l->size_of_page, *chunk = chunks + i / in_chunk * l->size_of_chunk;
        uint64_t start = z->base + (i << l->FRAME_SHIFT);
        n = get(page, l->page_role) == l->PAGE_SLAB ? get(page, l->page_frames) : 0;
        if (n > 0 && n <= in_chunk - i % in_chunk && n <= frames - i) {
            take_slab(t, page, start, n, z->map + i * l->size_of_page);
            ours = true;
        } else {
            t->s->odd += n > 0;
            n = 1;
            take_frame(t, page, chunk, (unsigned)(i % in_chunk), start, &ours);
        }
    }
}

static void take_zones(struct taking *t)
{
    uint64_t address, frames = t->copied / t->l.size_of_page; /* that have descriptors: more means a loop */
    struct zone z;

    peek_root(t->p, "&zones", &address);
    for (size_t i = 0; address != 0 && i < ZONES_MAX && !t->failed; i++, address = z.next) {
        if (!read_zone(t, address, &z) || zone_frames(t, &z) > frames) {
            t->s->odd++;
            return;
        }
        frames -= zone_frames(t, &z);
        take_frames(t, &z);
    }
}

/* ---- Extents ---- */

static void take_extent(struct taking *t, uint64_t address, uint64_t page)
{
    const struct layout *l = &t->l;
    const unsigned char *e = at(t, address, l->size_of_extent);
    uint64_t base = e ? get(e, l->extent_base) : 0, size = e ? get(e, l->extent_size) : 0, state;

    if (e && base != page)
        return; /* its last page, or one inside */
    if (!e || size == 0 || size > UINT64_MAX / 2 || base > UINT64_MAX / 2) {
        t->s->odd++;
        return;
    }
    state = get(e, l->extent_state);
    struct peek_range *r = add_range(t, base, base + size,
                                     state == l->EXTENT_LIVE    ? PEEK_EXTENT_LIVE
                                     : state == l->EXTENT_WARM  ? PEEK_EXTENT_WARM
                                     : state == l->EXTENT_DIRTY ? PEEK_EXTENT_DIRTY
                                     : state == l->EXTENT_CLEAN ? PEEK_EXTENT_CLEAN
                                                                : PEEK_EXTENT_FLIGHT);
    if (!r)
        return;
    r->descriptor = address;
    r->zeroed = get(e, l->extent_zeroed) != 0;
}

/* Every extent that the tables below the entry name.  `tables` is what may be looked at yet: more than there are means a
   loop. */
static void walk_tables(struct taking *t, uint64_t entry, uint64_t level, uint64_t base, uint64_t *tables)
{
    const struct layout *l = &t->l;
    uint64_t count = (uint64_t)1 << l->PGTAB_BITS, shift = l->PAGE_SHIFT + l->PGTAB_BITS * (level - 1);
    const unsigned char *table = at(t, entry >> l->PTE_NUMBER_SHIFT << l->PTE_ALIGN_SHIFT, count * 8);

    if (!table || *tables == 0) {
        t->s->odd++;
        return;
    }
    --*tables;
    for (uint64_t i = 0; i < count && !t->failed; i++) {
        uint64_t e = get(table, (struct field){(uint32_t)(i * 8), 8}), address = base + (i << shift);
        if (!(e & l->PTE_PRESENT))
            continue;
        if (!(e & l->PTE_LEAF)) {
            if (level > 1)
                walk_tables(t, e, level - 1, address, tables);
        } else if ((e & l->PTE_KIND_MASK) >> l->PTE_KIND_SHIFT == l->KIND_EXTENT) {
            take_extent(t, e >> l->PTE_NUMBER_SHIFT << l->PTE_ALIGN_SHIFT, address);
        }
    }
}

static void take_extents(struct taking *t)
{
    const struct layout *l = &t->l;
    uint64_t shadow = peek_value(t->p, "&shadow"), tables = t->copied / ((uint64_t)8 << l->PGTAB_BITS) + 1;
    unsigned char raw[DESCRIPTOR_MAX];

    if (!shadow || !peek_read(t->p, shadow, raw, l->size_of_pgtab)) {
        t->s->odd++;
        return;
    }
    if (get(raw, l->pgtab_low))
        walk_tables(t, get(raw, l->pgtab_low), l->LEVELS_LOW, 0, &tables);
    if (get(raw, l->pgtab_high))
        walk_tables(t, get(raw, l->pgtab_high), l->LEVELS_HIGH, 0, &tables);
}

/* ---- Heaps ---- */

static void take_heaps(struct taking *t)
{
    const struct layout *l = &t->l;
    struct peek_snapshot *s = t->s;
    const unsigned char *h;
    uint64_t address;

    peek_root(t->p, "&heaps", &address);
    for (; address != 0 && s->heaps < HEAPS_MAX; address = get(h, l->heap_next)) {
        struct peek_heap *more = tool_grow(s->heap, s->heaps, sizeof *more);
        if (!more) {
            t->failed = "not enough memory";
            return;
        }
        s->heap = more;
        h = at(t, address, l->size_of_heap);
        if (!h)
            break;
        uint64_t state = get(h, l->heap_state);
        struct peek_heap *to = &s->heap[s->heaps++];
        *to = (struct peek_heap){.address = address, .quiet_bytes = get(h, l->heap_quiet_bytes)};
        to->state = state == l->HEAP_IDLE     ? PEEK_HEAP_IDLE
                    : state == l->HEAP_SHARED ? PEEK_HEAP_SHARED
                                              : PEEK_HEAP_LIVE;
        for (uint32_t i = 0; i + l->size_of_outbox <= l->heap_out.size; i += (uint32_t)l->size_of_outbox)
            to->outbox_boxes += get(h + l->heap_out.offset + i, l->outbox_head) != 0;
    }
    s->odd += address != 0;
}

static int heap_by_address(const void *a, const void *b)
{
    const struct peek_heap *const *x = a, *const *y = b;
    return ((*x)->address > (*y)->address) - ((*x)->address < (*y)->address);
}

/* What of every slab is whose. */
static void sum_heaps(struct taking *t)
{
    struct peek_snapshot *s = t->s;
    struct peek_heap **by_address = malloc((s->heaps + 1) * sizeof *by_address);

    for (size_t i = 0; by_address && i < s->heaps; i++)
        by_address[i] = &s->heap[i];
    if (by_address)
        qsort(by_address, s->heaps, sizeof *by_address, heap_by_address);
    for (size_t i = 0; by_address && i < s->ranges; i++) {
        const struct peek_range *r = &s->range[i];
        struct peek_heap key = {.address = r->owner}, *wanted = &key;
        struct peek_heap **found = r->kind == PEEK_SLAB
                                       ? bsearch(&wanted, by_address, s->heaps, sizeof wanted, heap_by_address)
                                       : NULL;
        if (!found)
            continue;
        (*found)->slabs++;
        (*found)->carved += (uint64_t)r->carved * r->block_size;
        (*found)->used += (uint64_t)r->used * r->block_size;
    }
    free(by_address);
}

/* ---- All of it ---- */

static int range_by_start(const void *a, const void *b)
{
    const struct peek_range *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* By address; of two that overlap, which cannot both be right, the first stays. */
static void sort_ranges(struct peek_snapshot *s)
{
    size_t kept = 0;

    if (s->ranges > 0)
        qsort(s->range, s->ranges, sizeof *s->range, range_by_start);
    for (size_t i = 0; i < s->ranges; i++) {
        if (kept > 0 && s->range[i].start < s->range[kept - 1].end)
            s->odd++;
        else
            s->range[kept++] = s->range[i];
    }
    s->ranges = kept;
}

#define WATCHED 9
static void read_counters(const struct peek *p, uint64_t value[WATCHED])
{
    static const char *const name[WATCHED] = {"&used_frames", "&dirty_frames", "&clean_frames",
                                              "&live_bytes",  "&dirty_bytes",  "&clean_bytes",
                                              "&live_count",  "&heaps",        "&meta_chunks"};
    for (unsigned i = 0; i < WATCHED; i++)
        peek_root(p, name[i], &value[i]);
}

static void take(struct taking *t)
{
    uint64_t before[WATCHED], after[WATCHED];

    read_counters(t->p, before);
    take_metadata(t);
    take_mem_map(t);
    read_counters(t->p, after);
    t->s->moved = memcmp(before, after, sizeof before) != 0;
    if (t->failed)
        return;
    if (t->copies > 0)
        qsort(t->copy, t->copies, sizeof *t->copy, copy_by_start);
    take_zones(t);
    take_extents(t);
    take_heaps(t);
    sort_ranges(t->s);
    sum_heaps(t);
}

struct peek_snapshot *peek_snapshot(const struct peek *p, char error[PEEK_ERROR_MAX])
{
    struct taking t = {.p = p};
    struct peek_snapshot *s = NULL;
    bool again = true;

    if (!read_layout(p, &t.l, error))
        return NULL;
    uint64_t most = p->core ? peek_core_length(p->core) : COPY_MAX;
    for (int tries = 0; again && tries < TRIES; tries++) {
        peek_snapshot_free(s);
        s = calloc(1, sizeof *s);
        t = (struct taking){.p = p, .l = t.l, .most = most, .s = s};
        if (s)
            take(&t);
        else
            t.failed = "not enough memory";
        for (size_t i = 0; i < t.copies; i++)
            free(t.copy[i].bytes);
        free(t.copy);
        again = !t.failed && !p->core && (s->moved || s->odd > 0);
    }
    if (!p->core && procfs_has_ended(p->task))
        t.failed = "the process has ended";
    if (!t.failed)
        return s;
    snprintf(error, PEEK_ERROR_MAX, "%s: %s", p->what, t.failed);
    peek_snapshot_free(s);
    return NULL;
}

void peek_snapshot_free(struct peek_snapshot *s)
{
    if (!s)
        return;
    free(s->range);
    free(s->heap);
    free(s);
}

const struct peek_range *peek_range_at(const struct peek_snapshot *s, uint64_t address)
{
    size_t low = 0, high = s->ranges;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->range[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low < s->ranges && s->range[low].start <= address ? &s->range[low] : NULL;
}

const char *peek_kind_name(enum peek_kind kind)
{
    static const char *const name[PEEK_KINDS] = {
        "slab",
        "free frame, dirty",
        "free frames, clean",
        "frames in flight",
        "large block",
        "freed large block, warm",
        "free extent, dirty",
        "free extent, clean",
        "extent in flight",
        "metadata",
        "mem_map",
        "not ours",
    };
    return name[kind];
}
