/* Zones and the zoned page-frame allocator; see zone.h.

   Invariants (vm_sim_memory_check): the zones in their order, HIGHMEM last, cover the memory without gap or overlap;
   managed = frames that are not reserved = free ones + those handed out; min < low < high, or all 0; a frame handed out
   names its zone.  With another allocator instead: no zone has a free block; instead_used = frames handed out. */
#include "sim/zone.h"

#include "base/fail.h"

#define MIN_FREE_KBYTES_MAX ((uint64_t)64 * 1024)
#define KIB_PER_FRAME (VM_SIM_PAGE_SIZE / 1024)

static uint64_t integer_sqrt(uint64_t n)
{
    uint64_t root = 0;

    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= n)
            root += bit;
    return root;
}

/* ---- Zones and watermarks ---- */

static void zone_init(struct vm_sim_memory *m, enum vm_sim_zone_type type, uint64_t start, uint64_t end)
{
    static const char *const name[VM_SIM_ZONES] = {"DMA", "DMA32", "Normal", "HighMem"};
    struct vm_sim_zone *z = &m->zone[type];

    z->name = name[type];
    z->type = type;
    z->start = (vm_sim_pfn)vm_min(start, m->map.frames);
    z->end = (vm_sim_pfn)vm_max(vm_min(end, m->map.frames), z->start);
    vm_sim_buddy_init(&z->buddy, &m->map, z->start, z->end, z->name, m->events);
    z->managed = z->buddy.free;
}

static void set_watermarks(struct vm_sim_memory *m, const struct vm_sim_zone_limits *limits)
{
    uint64_t lowmem = 0, kbytes = limits->min_free_kbytes;

    for (unsigned t = VM_SIM_ZONE_DMA; t < VM_SIM_ZONE_HIGHMEM; t++)
        lowmem += m->zone[t].managed;
    if (!kbytes)
        kbytes = vm_min(integer_sqrt(16 * lowmem * KIB_PER_FRAME), MIN_FREE_KBYTES_MAX);
    for (unsigned t = 0; t < VM_SIM_ZONES; t++) {
        struct vm_sim_zone *z = &m->zone[t];
        if (z->managed == 0)
            continue;
        if (limits->watermark[0]) {
            z->min = limits->watermark[0];
            z->low = limits->watermark[1];
            z->high = limits->watermark[2];
            VM_ASSERT(z->min < z->low && z->low < z->high);
            continue;
        }
        if (t == VM_SIM_ZONE_HIGHMEM)
            z->min = vm_min(vm_min(vm_max(z->managed / 1024, 32), 128), z->managed / 4);
        else
            z->min = kbytes / KIB_PER_FRAME * z->managed / lowmem;
        z->low = z->min + vm_max(z->min / 4, 1);
        z->high = vm_max(z->min + z->min / 2, z->low + 1);
    }
}

void vm_sim_memory_init(struct vm_sim_memory *m, uint64_t bytes, const struct vm_sim_zone_limits *limits,
                        const struct vm_sim_range *reserved, size_t reserved_count, struct vm_sim_events *events)
{
    uint64_t dma = (limits->dma_end ? limits->dma_end : 16 * VM_MIB) >> VM_SIM_PAGE_SHIFT;
    uint64_t normal = (limits->normal_end ? limits->normal_end : 896 * VM_MIB) >> VM_SIM_PAGE_SHIFT;
    uint64_t dma32 = (limits->dma32_end ? limits->dma32_end : 4 * VM_GIB) >> VM_SIM_PAGE_SHIFT;

    *m = (struct vm_sim_memory){.events = events};
    vm_sim_mem_map_init(&m->map, bytes);
    for (size_t i = 0; i < reserved_count; i++)
        vm_sim_mem_map_reserve(&m->map, VM_SIM_PHYSICAL(reserved[i].from), reserved[i].bytes);
    if (!limits->wide)
        dma32 = dma;
    if (limits->wide)
        normal = m->map.frames;
    dma32 = vm_max(dma32, dma);
    normal = vm_max(normal, dma32);
    zone_init(m, VM_SIM_ZONE_DMA, 0, dma);
    zone_init(m, VM_SIM_ZONE_DMA32, dma, dma32);
    zone_init(m, VM_SIM_ZONE_NORMAL, dma32, normal);
    zone_init(m, VM_SIM_ZONE_HIGHMEM, normal, m->map.frames);
    set_watermarks(m, limits);
}

void vm_sim_memory_free(struct vm_sim_memory *m) { vm_sim_mem_map_free(&m->map); }

void vm_sim_memory_instead(struct vm_sim_memory *m, struct vm_sim_frame_source source)
{
    for (unsigned t = 0; t < VM_SIM_ZONES; t++) {
        VM_ASSERT(m->zone[t].buddy.free == m->zone[t].managed);
        vm_sim_buddy_drain(&m->zone[t].buddy);
    }
    m->instead = source;
}

/* ---- Allocation ---- */

enum mark { MARK_LOW, MARK_MIN };

/* How many frames a request must leave. */
static uint64_t frames_to_leave(const struct vm_sim_zone *z, enum mark mark, unsigned gfp)
{
    uint64_t floor = z->min;

    if (mark == MARK_LOW)
        return z->low;
    if (gfp & VM_SIM_GFP_HIGH) {
        floor -= floor / 2;
        floor -= floor / 4;
    }
    return floor;
}

static enum vm_sim_zone_type highest_zone(const struct vm_sim_memory *m, unsigned gfp)
{
    if (gfp & VM_SIM_GFP_DMA)
        return VM_SIM_ZONE_DMA;
    if ((gfp & VM_SIM_GFP_DMA32) && m->zone[VM_SIM_ZONE_DMA32].managed)
        return VM_SIM_ZONE_DMA32;
    return gfp & VM_SIM_GFP_HIGHMEM ? VM_SIM_ZONE_HIGHMEM : VM_SIM_ZONE_NORMAL;
}

/* The zone after z in the fallback order that has frames; NULL after the last. */
static struct vm_sim_zone *next_zone(struct vm_sim_memory *m, const struct vm_sim_zone *z)
{
    for (unsigned t = z->type; t-- > 0;)
        if (m->zone[t].managed)
            return &m->zone[t];
    return NULL;
}

static struct vm_sim_zone *first_zone(struct vm_sim_memory *m, enum vm_sim_zone_type highest)
{
    return m->zone[highest].managed ? &m->zone[highest] : next_zone(m, &m->zone[highest]);
}

static vm_sim_pfn take(struct vm_sim_memory *m, enum vm_sim_zone_type highest, enum mark mark, unsigned gfp,
                       unsigned order, enum vm_sim_frame_kind kind)
{
    uint64_t frames = (uint64_t)1 << order;
    struct vm_sim_zone *first = first_zone(m, highest);

    for (struct vm_sim_zone *z = first; z; z = next_zone(m, z)) {
        if (z->buddy.free < frames_to_leave(z, mark, gfp) + frames)
            continue;
        vm_sim_pfn frame = vm_sim_buddy_take(&z->buddy, order, kind);
        if (frame == VM_SIM_NO_FRAME)
            continue;
        for (uint64_t i = 0; i < frames; i++)
            vm_sim_pfn_frame(&m->map, frame)[i].zone = (uint8_t)z->type;
        bool reserve = z->buddy.free < z->min, fallback = z != first;
        z->allocated++;
        z->reserve_used += reserve;
        z->fallbacks += fallback;
        m->zeroed += gfp & VM_SIM_GFP_ZERO ? frames : 0;
        vm_sim_emit(m->events, VM_SIM_EV(ALLOC, .frame = frame, .order = (uint8_t)order, .name = z->name,
                                         .cause = reserve    ? "reserve"
                                                  : fallback ? "fallback"
                                                             : NULL));
        return frame;
    }
    return VM_SIM_NO_FRAME;
}

static void wake_kswapd(struct vm_sim_memory *m, enum vm_sim_zone_type highest)
{
    for (struct vm_sim_zone *z = first_zone(m, highest); z && m->wake; z = next_zone(m, z))
        m->wake(m->reclaim_ctx, z->type);
}

static void tell_failure(struct vm_sim_memory *m, enum vm_sim_zone_type highest, unsigned gfp, unsigned order)
{
    struct vm_sim_zone *first = first_zone(m, highest);
    bool fragmented = false;

    for (struct vm_sim_zone *z = first; z; z = next_zone(m, z))
        fragmented |= z->buddy.free >= frames_to_leave(z, MARK_MIN, gfp) + ((uint64_t)1 << order);
    first = first ? first : &m->zone[highest];
    first->failed++;
    vm_sim_emit(m->events, VM_SIM_EV(ALLOC_FAILED, .order = (uint8_t)order, .name = first->name,
                                     .cause = fragmented ? "fragmented" : "too few free frames"));
}

static vm_sim_pfn take_instead(struct vm_sim_memory *m, unsigned gfp, unsigned order, enum vm_sim_frame_kind kind)
{
    vm_sim_pfn frame = m->instead.take(m->instead.ctx, order);

    if (frame == VM_SIM_NO_FRAME) {
        tell_failure(m, highest_zone(m, gfp), gfp, order);
        return frame;
    }
    struct vm_sim_frame *f = vm_sim_pfn_frame(&m->map, frame);
    struct vm_sim_zone *z = vm_sim_zone_of(m, frame);
    uint64_t frames = (uint64_t)1 << order;
    for (uint64_t i = 0; i < frames; i++) {
        VM_ASSERT(vm_sim_frame_is_blank(f + i));
        f[i].kind = (uint8_t)kind;
        f[i].zone = (uint8_t)z->type;
    }
    f->flags = VM_SIM_FRAME_HEAD;
    f->order = (uint8_t)order;
    f->count = 1;
    vm_list_init(&f->lru);
    z->allocated++;
    m->instead_used += frames;
    m->zeroed += gfp & VM_SIM_GFP_ZERO ? frames : 0;
    vm_sim_emit(m->events, VM_SIM_EV(ALLOC, .frame = frame, .order = (uint8_t)order, .name = z->name));
    return frame;
}

static void give_instead(struct vm_sim_memory *m, vm_sim_pfn frame, unsigned order)
{
    struct vm_sim_frame *f = vm_sim_pfn_frame(&m->map, frame);
    uint64_t frames = (uint64_t)1 << order;

    for (uint64_t i = 0; i < frames; i++) {
        VM_ASSERT(f[i].mapcount == 0 && !(f[i].flags & (VM_SIM_FRAME_ON_LRU | VM_SIM_FRAME_SWAP_CACHE)));
        f[i] = (struct vm_sim_frame){0};
    }
    m->instead_used -= frames;
    m->instead.give(m->instead.ctx, frame, order);
}

vm_sim_pfn vm_sim_alloc_pages(struct vm_sim_memory *m, unsigned gfp, unsigned order, enum vm_sim_frame_kind kind)
{
    enum vm_sim_zone_type highest = highest_zone(m, gfp);
    vm_sim_pfn frame;

    VM_ASSERT(order <= VM_SIM_MAX_ORDER);
    if (m->instead.take)
        return take_instead(m, gfp, order, kind);
    frame = take(m, highest, MARK_LOW, gfp, order, kind);
    if (frame != VM_SIM_NO_FRAME)
        return frame;
    wake_kswapd(m, highest);
    frame = take(m, highest, MARK_MIN, gfp, order, kind);
    while (frame == VM_SIM_NO_FRAME && (gfp & VM_SIM_GFP_WAIT) && m->reclaim
           && m->reclaim(m->reclaim_ctx, highest, order) > 0)
        frame = take(m, highest, MARK_MIN, gfp, order, kind);
    if (frame == VM_SIM_NO_FRAME)
        tell_failure(m, highest, gfp, order);
    return frame;
}

uint64_t vm_sim_get_free_pages(struct vm_sim_memory *m, uint64_t page_offset, unsigned gfp, unsigned order,
                               enum vm_sim_frame_kind kind)
{
    if (gfp & VM_SIM_GFP_HIGHMEM)
        return 0;
    vm_sim_pfn frame = vm_sim_alloc_pages(m, gfp, order, kind);
    return frame == VM_SIM_NO_FRAME ? 0 : page_offset + ((uint64_t)frame << VM_SIM_PAGE_SHIFT);
}

/* ---- Reference counts ---- */

void vm_sim_get_frame(struct vm_sim_memory *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = vm_sim_pfn_frame(&m->map, frame);

    VM_ASSERT(f->count > 0 && f->count < UINT32_MAX);
    f->count++;
}

void vm_sim_put_frame(struct vm_sim_memory *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = vm_sim_pfn_frame(&m->map, frame);

    VM_ASSERT(f->count > 0);
    if (--f->count > 0)
        return;
    struct vm_sim_zone *z = vm_sim_zone_of(m, frame);
    vm_sim_emit(m->events, VM_SIM_EV(FREE, .frame = frame, .order = f->order, .name = z->name));
    if (m->instead.take)
        give_instead(m, frame, f->order);
    else
        vm_sim_buddy_give(&z->buddy, frame, f->order);
}

void vm_sim_free_pages(struct vm_sim_memory *m, vm_sim_pfn frame, unsigned order)
{
    const struct vm_sim_frame *f = vm_sim_pfn_frame(&m->map, frame);

    VM_ASSERT(f->count == 1 && f->order == order);
    vm_sim_put_frame(m, frame);
}

struct vm_sim_zone *vm_sim_zone_of(struct vm_sim_memory *m, vm_sim_pfn frame)
{
    unsigned t = VM_SIM_ZONE_DMA;

    VM_ASSERT(frame < m->map.frames);
    while (frame >= m->zone[t].end || m->zone[t].start == m->zone[t].end)
        t++;
    return &m->zone[t];
}

uint64_t vm_sim_free_frames(const struct vm_sim_memory *m)
{
    uint64_t frames = 0;

    for (unsigned t = 0; t < VM_SIM_ZONES; t++)
        frames += m->instead.take ? m->zone[t].managed : m->zone[t].buddy.free;
    return frames - m->instead_used;
}

static vm_sim_pfn table_take(void *ctx, unsigned order)
{
    return vm_sim_alloc_pages(ctx, VM_SIM_GFP_ATOMIC, order, VM_SIM_FRAME_TABLE);
}

static void table_give(void *ctx, vm_sim_pfn frame, unsigned order) { vm_sim_free_pages(ctx, frame, order); }

struct vm_sim_frame_source vm_sim_table_source(struct vm_sim_memory *m)
{
    return (struct vm_sim_frame_source){table_take, table_give, m};
}

/* ---- Check ---- */

static bool check_zone(const struct vm_sim_memory *m, const struct vm_sim_zone *z, uint64_t *used_by_all)
{
    uint64_t managed = 0, used = 0;
    bool marked = z->min || z->low || z->high;

    if (marked && !(z->min < z->low && z->low < z->high))
        return false;
    for (vm_sim_pfn i = z->start; i < z->end; i++) {
        const struct vm_sim_frame *f = vm_sim_pfn_frame(&m->map, i);
        bool is_used = f->kind > VM_SIM_FRAME_RESERVED;
        managed += f->kind != VM_SIM_FRAME_RESERVED;
        used += is_used;
        if (is_used && f->zone != z->type)
            return false;
    }
    if (managed != z->managed)
        return false;
    *used_by_all += used;
    if (m->instead.take)
        return z->buddy.free == 0;
    return managed == used + z->buddy.free && vm_sim_buddy_check(&z->buddy);
}

bool vm_sim_memory_check(const struct vm_sim_memory *m)
{
    vm_sim_pfn end = 0;
    uint64_t used = 0;

    for (unsigned t = 0; t < VM_SIM_ZONES; t++) {
        const struct vm_sim_zone *z = &m->zone[t];
        if (z->start != end || z->end < z->start || z->buddy.start != z->start || z->buddy.end != z->end
            || !check_zone(m, z, &used))
            return false;
        end = z->end;
    }
    return end == m->map.frames && (!m->instead.take || used == m->instead_used) && vm_sim_mem_map_check(&m->map);
}
