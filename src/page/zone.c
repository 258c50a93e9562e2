/* Growing zones and handing out frame runs; see zone.h.  Everything here is guarded by vm_frames_lock; readers without
   it touch only vm_brk, vm_zone_hints and descriptors of blocks they hold.

   Frames that are resident already serve before clean ones, so that a program's peak RSS is not raised by memory that
   lies free elsewhere.  Slabs touch their frames from the first byte up, so what is resident of a free frame is its
   beginning: how much of it is known, and a run is chosen whose resident part fits what the slab is expected to touch.
   Else frames that serve now this class and now that one would soon be resident to the end, every one.

   Invariants (vm_zone_check): a chunk is in by_free[longest run of its free bits] and in by_dirty[longest run of those
   that are not clean], in none of an array when that is 0; a frame has its free bit set just when its role is FREE and it
   lies in [first frame of ours, top). */
#include "page/zone.h"

#include <string.h>
#include <sys/mman.h>

#include "base/fail.h"
#include "base/lock.h"
#include "base/probe.h"
#include "os/meta.h"
#include "os/os.h"
#include "os/sleeper.h"
#include "page/extent.h"
#include "page/huge.h"
#include "reclaim/keep.h"
#include "reclaim/limit.h"
#include "reclaim/policy.h"
#include "vm/mmu.h"

#define BRK_SPAN_MAX (128 * VM_GIB)
#define BRK_SPAN_MIN (128 * VM_MIB)
#define READY_STEP (128 * VM_MIB) /* descriptors become accessible for that much heap at a time */
#define GROW_FRAMES_MIN 4
#define GROW_FRAMES_MAX 512 /* 32 MiB */
#define GROW_SHARE 8        /* grow by 1/8 of the heap */
#define ZONE_BYTES_MIN (4 * VM_MIB)
#define ZONE_BYTES_MAX (64 * VM_MIB)
#define FRAME_PARTS 16u /* in which it is known how much of a frame is resident */
#define PART_BYTES (VM_FRAME_BYTES / FRAME_PARTS)
#define TRIM_MIN (64 * VM_MIB) /* free at the top of the break: half of it goes back when it is that much ... */
#define TRIM_SHARE 4           /* ... and that part of the break */
#define DIRTY_LOOKS 16         /* chunks looked at for a run that starts resident */
#define WAVE_LOOKS 4           /* chunks looked at for one that is free but for a few dirty frames ... */
#define WAVE_DIRTY_SHARE 4     /* ... a quarter of its frames at most */

struct vm_chunk {
    struct vm_list in_free;  /* in by_free[] */
    struct vm_list in_dirty; /* in by_dirty[] */
    struct vm_zone *zone;
    uint32_t free;  /* bit i: frame i is free */
    uint32_t clean; /* bit i: frame i read as zero, not resident, when it was free last, or is free and does now */
    uint64_t resident[VM_CHUNK_FRAMES / 16]; /* four bits a frame that is not clean: how many parts are, less 1 */
};
_Static_assert(sizeof(struct vm_chunk) == 64, "64 chunks describe READY_STEP in one page");

struct vm_lock vm_frames_lock = VM_LOCK_INIT(VM_RANK_FRAMES);
struct vm_lock vm_purge_lock = VM_LOCK_INIT(VM_RANK_PURGE);
struct vm_brk vm_brk;
struct vm_zone *vm_zone_hints[VM_ZONE_HINTS];

/* All below: guarded by vm_frames_lock. */
static struct vm_zone brk_zone;
static struct vm_zone *zones;                        /* newest first; the brk zone is the last when it exists */
static struct vm_list by_free[VM_CHUNK_FRAMES + 1];  /* chunks by their longest free run */
static struct vm_list by_dirty[VM_CHUNK_FRAMES + 1]; /* chunks by their longest run of dirty frames */
static size_t used_frames, dirty_frames, clean_frames;
static size_t brk_frames, zone_frames;
static struct vm_keep keep = {.floor = VM_KEEP_FLOOR};
static size_t grow_least; /* frames by which the break grows at least, where that is possible */
static struct vm_age age;
static struct vm_chunk *filling; /* the one opened last for a wave; NULL: none so far */

VM_FACTS vm_zone_facts[] = {
    VM_FACT_STRUCT(chunk, struct vm_chunk),
    VM_FACT_FIELD(chunk, struct vm_chunk, zone),
    VM_FACT_FIELD(chunk, struct vm_chunk, free),
    VM_FACT_FIELD(chunk, struct vm_chunk, clean),
    VM_FACT_FIELD(chunk, struct vm_chunk, resident),
    VM_FACT_NUMBER(FRAME_PARTS, FRAME_PARTS),
    VM_FACT_ROOT(zones, zones),
    VM_FACT_ROOT(brk_zone, brk_zone),
    VM_FACT_ROOT(used_frames, used_frames),
    VM_FACT_ROOT(dirty_frames, dirty_frames),
    VM_FACT_ROOT(clean_frames, clean_frames),
    VM_FACT_ROOT(brk_frames, brk_frames),
    VM_FACT_ROOT(zone_frames, zone_frames),
    VM_FACT_END,
};

/* n > 0 */
static uint32_t run_mask(unsigned first, unsigned n) { return (n == 32 ? ~0u : (1u << n) - 1) << first; }

static unsigned longest_run(uint32_t bits)
{
    unsigned n = 0;

    for (; bits; bits &= bits << 1)
        n++;
    return n;
}

/* Where n set bits in a row start. */
static uint32_t run_starts(uint32_t bits, unsigned n)
{
    for (unsigned have = 1; have < n && bits;) {
        unsigned step = have < n - have ? have : n - have;
        bits &= bits >> step;
        have += step;
    }
    return bits;
}

/* Few are set as a rule, and a processor need not have an instruction for it. */
static unsigned count_bits(uint32_t bits)
{
    unsigned n = 0;

    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

static uint32_t dirty_bits(const struct vm_chunk *c) { return c->free & ~c->clean; }

static void to_bucket(struct vm_list buckets[], struct vm_list *node, uint32_t bits)
{
    unsigned run = longest_run(bits);

    vm_list_remove(node);
    if (run > 0)
        vm_list_push_front(&buckets[run], node);
}

static void rebucket(struct vm_chunk *c)
{
    to_bucket(by_free, &c->in_free, c->free);
    to_bucket(by_dirty, &c->in_dirty, dirty_bits(c));
}

static struct vm_chunk *chunk_at(const struct vm_zone *z, uintptr_t address)
{
    return &z->chunks[(address - z->base) >> VM_CHUNK_SHIFT];
}

static struct vm_page *page_at(const struct vm_zone *z, uintptr_t address)
{
    return &z->map[(address - z->base) >> VM_FRAME_SHIFT];
}

static uintptr_t chunk_base(const struct vm_chunk *c)
{
    return c->zone->base + ((uintptr_t)(c - c->zone->chunks) << VM_CHUNK_SHIFT);
}

static bool make_ready(struct vm_zone *z, size_t bytes)
{
    while (z->ready < bytes) {
        size_t step = vm_min(READY_STEP, z->span - z->ready);
        size_t page = vm_os.page_size;
        size_t map_from = z->ready / VM_FRAME_BYTES * sizeof(struct vm_page);
        size_t map_to = (z->ready + step) / VM_FRAME_BYTES * sizeof(struct vm_page);
        size_t chunks_from = vm_align_down(z->ready / VM_CHUNK_BYTES * sizeof(struct vm_chunk), page);
        size_t chunks_to = vm_align_up((z->ready + step) / VM_CHUNK_BYTES * sizeof(struct vm_chunk), page);
        if (step == 0 || vm_os.protect((char *)z->map + map_from, map_to - map_from, PROT_READ | PROT_WRITE) != 0
            || vm_os.protect((char *)z->chunks + chunks_from, chunks_to - chunks_from, PROT_READ | PROT_WRITE) != 0)
            return false;
        vm_os.dump((char *)z->map + map_from, map_to - map_from, true);
        vm_os.dump((char *)z->chunks + chunks_from, chunks_to - chunks_from, true);
        z->ready += step;
    }
    return true;
}

/* [from, to) becomes free frames of the zone, reading as zero. */
static void add_frames(struct vm_zone *z, uintptr_t from, uintptr_t to)
{
    for (uintptr_t at = from; at < to; at += VM_FRAME_BYTES) {
        struct vm_page *p = page_at(z, at);
        struct vm_chunk *c = chunk_at(z, at);
        uint32_t bit = 1u << ((at >> VM_FRAME_SHIFT) & (VM_CHUNK_FRAMES - 1));
        if (!c->zone) {
            c->zone = z;
            vm_list_init(&c->in_free);
            vm_list_init(&c->in_dirty);
        }
        p->zone = z;
        p->start = at;
        c->free |= bit;
        c->clean |= bit;
        if (bit == 1u << (VM_CHUNK_FRAMES - 1) || at + VM_FRAME_BYTES == to)
            rebucket(c);
    }
    clean_frames += (to - from) >> VM_FRAME_SHIFT;
    vm_mmu_note_mapped(from, to - from, VM_KIND_ZONE, z);
}

void vm_zones_start(bool use_brk)
{
    for (unsigned i = 0; i <= VM_CHUNK_FRAMES; i++) {
        vm_list_init(&by_free[i]);
        vm_list_init(&by_dirty[i]);
    }

    uintptr_t brk = use_brk ? (uintptr_t)vm_os.sbrk(0) : 0;
    if (brk == 0)
        return;
    size_t limit = vm_os_address_limit();
    size_t span = limit < BRK_SPAN_MAX ? vm_align_up(limit, BRK_SPAN_MIN) : BRK_SPAN_MAX;
    for (; span >= BRK_SPAN_MIN; span = vm_align_down(span / 2, BRK_SPAN_MIN)) {
        size_t map_bytes = span / VM_FRAME_BYTES * sizeof(struct vm_page);
        size_t bytes = map_bytes + vm_align_up(span / VM_CHUNK_BYTES * sizeof(struct vm_chunk), vm_os.page_size);
        void *reserved = vm_os.map(bytes, PROT_NONE);
        if (!reserved)
            continue;
        vm_os.dump(reserved, bytes, false);
        brk_zone.base = vm_align_down(brk, VM_CHUNK_BYTES);
        brk_zone.span = span;
        brk_zone.map = reserved;
        brk_zone.chunks = (struct vm_chunk *)((char *)reserved + map_bytes);
        brk_zone.top = brk_zone.base; /* no frame is ours yet */
        vm_brk.base = brk_zone.base;
        vm_brk.map = brk_zone.map;
        zones = &brk_zone;
        return;
    }
}

/* Gives `bytes` at the break back if nobody moved it since. */
static void undo_sbrk(uintptr_t old_break, size_t bytes)
{
    if ((uintptr_t)vm_os.sbrk(0) == old_break + bytes)
        vm_os.sbrk(-(intptr_t)bytes);
}

static bool grow_brk(size_t bytes)
{
    struct vm_zone *z = &brk_zone;

    if (z->span == 0)
        return false;
    /* The break may stand anywhere: it was never ours, or somebody moved it up.  What lies below it is not touched. */
    uintptr_t at = (uintptr_t)vm_os.sbrk(0);
    if (at < z->top)
        return false; /* somebody took it down below frames of ours: leave the break alone */
    uintptr_t from = vm_align_up(at, VM_FRAME_BYTES);
    size_t ask = from - at + bytes;
    if (from + bytes - z->base > z->span || !make_ready(z, from + bytes - z->base))
        return false;
    uintptr_t old = (uintptr_t)vm_os.sbrk((intptr_t)ask);
    if (old == 0)
        return false;
    if (old != at) { /* moved between the two calls: the next try sees it */
        undo_sbrk(old, ask);
        return false;
    }
    vm_huge_mapped(from, bytes);
    add_frames(z, from, from + bytes);
    VM_PROBE2(libvmalloc, heap_grow, from, bytes);
    z->top = from + bytes;
    brk_frames += bytes >> VM_FRAME_SHIFT;
    VM_STORE_RELEASE(&vm_brk.size, z->top - z->base);
    return true;
}

/* Gives [from, to) of an array of descriptors back, whole pages of it; false when nothing of it goes. */
static bool shed_part(void *array, size_t from, size_t to)
{
    size_t page = vm_os.page_size;

    from = vm_align_up(from, page);
    to = vm_align_up(to, page);
    return from < to && vm_os.unmap((char *)array + from, to - from) == 0; /* refused: it stays reserved, unused */
}

bool vm_frames_shed_reserve(void)
{
    struct vm_zone *z = &brk_zone;
    size_t limit = vm_os.is_confined() ? SIZE_MAX : vm_os_address_limit();

    if (limit == SIZE_MAX || vm_lock_is_mine(&vm_frames_lock)) /* in a signal handler */
        return false;
    vm_lock_outer(&vm_frames_lock);
    size_t old = z->span;
    if (limit < old)
        z->span = vm_min(vm_max(vm_align_up(limit, BRK_SPAN_MIN), z->ready), old);
    bool pages = shed_part(z->map, z->span / VM_FRAME_BYTES * sizeof(struct vm_page),
                           old / VM_FRAME_BYTES * sizeof(struct vm_page));
    bool chunks = shed_part(z->chunks, z->span / VM_CHUNK_BYTES * sizeof(struct vm_chunk),
                            old / VM_CHUNK_BYTES * sizeof(struct vm_chunk));
    vm_unlock(&vm_frames_lock);
    return pages || chunks;
}

/* Maps `bytes` of address space, aligned to a chunk when `aligned`. */
static uintptr_t map_zone(size_t bytes, bool aligned)
{
    size_t slack = aligned ? VM_CHUNK_BYTES : VM_FRAME_BYTES;
    uintptr_t p = (uintptr_t)vm_os.map(bytes + slack, PROT_READ | PROT_WRITE);

    if (p == 0)
        return 0;
    uintptr_t from = vm_align_up(p, slack);
    /* A cut that fails wastes address space and nothing else. */
    if (from > p)
        vm_os.unmap((void *)p, from - p);
    if (p + slack > from)
        vm_os.unmap((void *)(from + bytes), p + slack - from);
    vm_huge_mapped(from, bytes);
    return from;
}

static bool describe_zone(uintptr_t from, size_t bytes)
{
    uintptr_t base = vm_align_down(from, VM_CHUNK_BYTES);
    size_t span = vm_align_up(from + bytes - base, VM_CHUNK_BYTES);
    size_t map_bytes = span / VM_FRAME_BYTES * sizeof(struct vm_page);
    size_t chunk_bytes = span / VM_CHUNK_BYTES * sizeof(struct vm_chunk);
    struct vm_zone *z = vm_meta_alloc(sizeof *z + map_bytes + chunk_bytes, VM_CACHE_LINE);

    if (!z)
        return false;
    z->base = base;
    z->span = z->ready = span;
    z->map = (struct vm_page *)(z + 1);
    z->chunks = (struct vm_chunk *)((char *)z->map + map_bytes);
    z->top = from + bytes;
    vm_mmu_begin();
    bool entered = vm_mmu_reserve(vm_mmu_need(from, bytes));
    if (entered)
        vm_mmu_map(from, bytes, VM_KIND_ZONE, z);
    vm_mmu_end();
    if (!entered)
        return false; /* the descriptors stay behind unused; metadata is never given back */
    z->next = zones;
    VM_STORE_RELEASE(&zones, z);
    add_frames(z, from, from + bytes);
    zone_frames += bytes >> VM_FRAME_SHIFT;
    VM_PROBE2(libvmalloc, zone_map, from, bytes);
    return true;
}

static bool grow_zone_by(size_t bytes)
{
    uintptr_t from = map_zone(bytes, bytes >= VM_CHUNK_BYTES);

    if (from == 0)
        return false;
    if (describe_zone(from, bytes))
        return true;
    vm_os.unmap((void *)from, bytes);
    return false;
}

static bool grow_zone(size_t at_least)
{
    size_t want = vm_min(vm_max(zone_frames * VM_FRAME_BYTES / 2, ZONE_BYTES_MIN), ZONE_BYTES_MAX);
    /* A range that is not aligned to chunks may straddle one of their borders: it needs room for the run on one side. */
    size_t least = vm_min(2 * at_least, VM_CHUNK_BYTES);

    for (size_t bytes = vm_align_down(want, VM_CHUNK_BYTES); bytes > least;
         bytes = vm_align_down(bytes / 2, VM_FRAME_BYTES))
        if (grow_zone_by(bytes))
            return true;
    return grow_zone_by(least);
}

static bool grow(unsigned n)
{
    size_t room = (VM_CHUNK_BYTES - (brk_zone.top & (VM_CHUNK_BYTES - 1))) >> VM_FRAME_SHIFT;
    size_t least = (room < n ? room : 0) + n; /* frames, so that a run fits before the next chunk border or after it */
    size_t wish = vm_max(vm_min(vm_max(brk_frames / GROW_SHARE, GROW_FRAMES_MIN), GROW_FRAMES_MAX), grow_least);

    size_t used = used_frames * VM_FRAME_BYTES;
    wish = vm_huge_growth(brk_zone.top, wish * VM_FRAME_BYTES, vm_max(used, vm_keep_owed(&keep))) / VM_FRAME_BYTES;
    if (wish > least && grow_brk(wish * VM_FRAME_BYTES))
        return true;
    return grow_brk(least * VM_FRAME_BYTES) || grow_zone(n * VM_FRAME_BYTES);
}

/* Bytes in parts of a frame; of a run at most. */
static unsigned parts(size_t bytes) { return (unsigned)(vm_min(bytes + PART_BYTES - 1, VM_CHUNK_BYTES) / PART_BYTES); }

/* Parts of n frames from bit on that are resident. */
static unsigned resident_of(const struct vm_chunk *c, unsigned bit, unsigned n)
{
    unsigned sum = 0;

    for (uint32_t left = run_mask(bit, n) & ~c->clean; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);
        sum += (unsigned)(c->resident[i / 16] >> i % 16 * 4 & 15) + 1;
    }
    return sum;
}

/* The first n parts (1 to FRAME_PARTS) of a frame were touched; what was resident before stays so. */
static void note_touched(struct vm_chunk *c, unsigned bit, unsigned n)
{
    unsigned shift = bit % 16 * 4;
    uint64_t *word = &c->resident[bit / 16];

    if ((c->clean >> bit & 1) || n > (*word >> shift & 15) + 1)
        *word = (*word & ~((uint64_t)15 << shift)) | (uint64_t)(n - 1) << shift;
    c->clean &= ~(1u << bit);
}

/* n free frames in a row, the first of them dirty, of which about `touch` parts are resident: a little more rather
   than less, and as much as there is rather than little.  NULL when there are none in the chunks looked at. */
static struct vm_chunk *find_dirty(unsigned n, unsigned touch, uint32_t *mask)
{
    struct vm_chunk *best = NULL;
    unsigned best_has = 0;
    int looks = 0;

    for (unsigned run = 1; run <= VM_CHUNK_FRAMES && looks < DIRTY_LOOKS; run++)
        for (struct vm_list *l = by_dirty[run].next; l != &by_dirty[run] && looks < DIRTY_LOOKS; l = l->next, looks++) {
            struct vm_chunk *c = VM_CONTAINER_OF(l, struct vm_chunk, in_dirty);
            for (uint32_t starts = run_starts(c->free, n) & dirty_bits(c); starts; starts &= starts - 1) {
                unsigned bit = (unsigned)__builtin_ctz(starts), has = resident_of(c, bit, n);
                if (best && (best_has < touch ? has <= best_has : has < touch || has >= best_has))
                    continue;
                best = c;
                best_has = has;
                *mask = run_mask(bit, n);
                if (has == touch)
                    return c;
            }
        }
    return best;
}

/* A chunk with n free frames in a row and which of them to take; NULL when there is none. */
static struct vm_chunk *find_frames(unsigned n, unsigned touch, uint32_t *mask)
{
    struct vm_chunk *c = find_dirty(n, touch, mask);

    for (unsigned run = n; !c && run <= VM_CHUNK_FRAMES; run++)
        if (!vm_list_empty(&by_free[run])) {
            c = VM_CONTAINER_OF(by_free[run].next, struct vm_chunk, in_free);
            *mask = run_mask((unsigned)__builtin_ctz(run_starts(c->free, n)), n);
        }
    return c;
}

/* Bytes of the run from its start that are resident. */
static size_t resident_start(const struct vm_chunk *c, unsigned bit, unsigned n)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < n && sum == i * FRAME_PARTS; i++)
        sum += resident_of(c, bit + i, 1);
    return sum * PART_BYTES;
}

/* A chunk that has got a huge page, none of it in use or resident: all of it is as good as resident. */
static bool clean_to_huge(struct vm_chunk *c)
{
    if (!vm_limit_charge(VM_CHUNK_BYTES)) {
        vm_huge_break(chunk_base(c), 1);
        return false;
    }
    c->clean = 0;
    memset(c->resident, 0xff, sizeof c->resident);
    clean_frames -= VM_CHUNK_FRAMES;
    VM_STORE(&dirty_frames, dirty_frames + VM_CHUNK_FRAMES);
    if (vm_keep_owed(&keep) > 0)
        vm_keep_fetched(&keep, VM_CHUNK_BYTES, vm_os.now());
    return true;
}

/* A chunk that is about to be used for the first time may earn a huge page. */
static bool open_chunk(struct vm_chunk *c)
{
    return (c->free & c->clean) == ~0u
           && vm_huge_open(chunk_base(c), used_frames * VM_FRAME_BYTES, dirty_frames * VM_FRAME_BYTES)
           && clean_to_huge(c);
}

/* Returns the few dirty frames of a chunk that is wholly free, in one call for all of it, so that the kernel gives up the
   table of its small pages as well: where there is one no huge page comes. */
static bool free_to_clean(struct vm_chunk *c)
{
    size_t dirty = (size_t)__builtin_popcount(dirty_bits(c));

    if (vm_os.purge((void *)chunk_base(c), VM_CHUNK_BYTES) != 0)
        return false;
    vm_mmu_note(VM_MMU_PURGED, chunk_base(c), VM_CHUNK_BYTES);
    c->clean = ~0u;
    rebucket(c);
    clean_frames += dirty;
    VM_STORE(&dirty_frames, dirty_frames - dirty);
    vm_limit_uncharge(dirty * VM_FRAME_BYTES);
    vm_keep_returned(&keep, dirty * VM_FRAME_BYTES, vm_os.now());
    return true;
}

/* Opens a chunk, free but for a few dirty frames, for a wave; NULL when there is none, or it earns no huge page. */
static struct vm_chunk *open_wave(void)
{
    int looks = 0;

    for (struct vm_list *l = by_free[VM_CHUNK_FRAMES].next; l != &by_free[VM_CHUNK_FRAMES] && looks < WAVE_LOOKS;
         l = l->next, looks++) {
        struct vm_chunk *c = VM_CONTAINER_OF(l, struct vm_chunk, in_free);
        if ((unsigned)__builtin_popcount(dirty_bits(c)) > VM_CHUNK_FRAMES / WAVE_DIRTY_SHARE)
            continue;
        if (!vm_huge_open_wave(chunk_base(c), vm_keep_owed(&keep), keep.credit))
            return NULL;
        return free_to_clean(c) && clean_to_huge(c) ? c : NULL;
    }
    return NULL;
}

/* n frames for a wave, which is to say, for requests that ask for what was returned just before, when next to nothing is
   kept: chunks serve whole and one after the other, each with a huge page.  NULL: there is no wave, or it earns none. */
static struct vm_chunk *find_wave(unsigned n, uint32_t *mask, bool *opened)
{
    uint32_t starts = filling ? run_starts(dirty_bits(filling), n) : 0;

    *opened = false;
    if (vm_keep_owed(&keep) < VM_CHUNK_BYTES || dirty_frames * VM_FRAME_BYTES > VM_KEEP_FLOOR + VM_CHUNK_BYTES)
        return NULL;
    if (!starts) {
        struct vm_chunk *c = open_wave();
        if (!c)
            return NULL;
        *opened = true;
        filling = c;
        starts = ~0u;
    }
    *mask = run_mask((unsigned)__builtin_ctz(starts), n);
    return filling;
}

struct vm_page *vm_frames_alloc(unsigned n, size_t touch_bytes, struct vm_frames_news *news)
{
    unsigned touch = parts(touch_bytes);
    struct vm_page *first = NULL;
    uint32_t mask;

    vm_lock(&vm_frames_lock);
    bool opened;
    struct vm_chunk *c = find_wave(n, &mask, &opened);
    if (!c)
        c = find_frames(n, touch, &mask);
    size_t frames = brk_frames + zone_frames;
    /* A foreign move of the break can spoil the run that growth made room for; the second growth starts behind it. */
    for (int tries = 0; !c && tries < 3 && grow(n); tries++)
        c = find_frames(n, touch, &mask);
    news->grown = (brk_frames + zone_frames - frames) << VM_FRAME_SHIFT;
    opened = opened || (c && open_chunk(c));
    unsigned clean = c ? count_bits(c->clean & mask) : 0;
    if (clean > 0 && !vm_limit_charge(clean * VM_FRAME_BYTES))
        c = NULL;
    if (c) {
        unsigned bit = (unsigned)__builtin_ctz(mask);
        news->zeroed = clean == n;
        news->resident = resident_start(c, bit, n);
        c->free &= ~mask;
        clean_frames -= clean;
        VM_STORE(&dirty_frames, dirty_frames - (n - clean));
        vm_keep_set(&keep, dirty_frames * VM_FRAME_BYTES);
        VM_STORE(&used_frames, used_frames + n);
        if (clean > 0 && vm_keep_owed(&keep) > 0)
            vm_keep_fetched(&keep, clean * VM_FRAME_BYTES, vm_os.now());
        vm_age_used(&age, dirty_frames * VM_FRAME_BYTES);
        rebucket(c);
        first = page_at(c->zone, chunk_base(c) + ((size_t)bit << VM_FRAME_SHIFT));
    }
    vm_unlock(&vm_frames_lock);
    if (opened && first)
        vm_huge_touch(first->start);
    return first;
}

void vm_page_reset(struct vm_page *p)
{
    VM_STORE(&p->carved, (uint64_t)0);
    VM_STORE(&p->owner, (struct vm_heap *)NULL);
    VM_STORE(&p->role, (uint8_t)VM_PAGE_FREE);
    p->free = NULL;
    p->held = 0;
    p->bias = 0;
    p->absent = 0;
    p->state = 0;
    p->virgin = false;
    VM_STORE(&p->magic, (uint64_t)0);
    p->class_id = p->tail = p->frames = 0;
    p->size = p->capacity = p->send_cost = p->wake = 0;
}

static bool is_dirty(const struct vm_zone *z, uintptr_t at)
{
    return dirty_bits(chunk_at(z, at)) >> ((at >> VM_FRAME_SHIFT) & (VM_CHUNK_FRAMES - 1)) & 1;
}

/* The longest run of dirty frames there is in a chunk, and beyond its borders up to `most` bytes; false: there are none. */
static bool pick_dirty(size_t most, struct vm_zone **zone, uintptr_t *from, uintptr_t *to)
{
    unsigned run = VM_CHUNK_FRAMES;

    while (run > 0 && vm_list_empty(&by_dirty[run]))
        run--;
    if (run == 0)
        return false;
    struct vm_chunk *c = VM_CONTAINER_OF(by_dirty[run].next, struct vm_chunk, in_dirty);
    struct vm_zone *z = *zone = c->zone;
    *from = chunk_base(c) + ((uintptr_t)__builtin_ctz(run_starts(dirty_bits(c), run)) << VM_FRAME_SHIFT);
    *to = *from + run * VM_FRAME_BYTES;
    while (*to < z->top && *to - *from < most && is_dirty(z, *to))
        *to += VM_FRAME_BYTES;
    while (*from > z->base && *to - *from < most && is_dirty(z, *from - VM_FRAME_BYTES))
        *from -= VM_FRAME_BYTES;
    return true;
}

enum run_state { RUN_IN_FLIGHT, RUN_CLEAN, RUN_DIRTY };

/* Takes a run of dirty frames out of the free ones, or puts it back. */
static void set_run(struct vm_zone *z, uintptr_t from, uintptr_t to, enum run_state state)
{
    size_t frames = (to - from) >> VM_FRAME_SHIFT;

    for (uintptr_t at = from, end; at < to; at = end) {
        struct vm_chunk *c = chunk_at(z, at);
        end = vm_min(to, chunk_base(c) + VM_CHUNK_BYTES);
        uint32_t mask = run_mask((unsigned)(at >> VM_FRAME_SHIFT) & (VM_CHUNK_FRAMES - 1),
                                 (unsigned)((end - at) >> VM_FRAME_SHIFT));
        c->free = state == RUN_IN_FLIGHT ? c->free & ~mask : c->free | mask;
        if (state == RUN_CLEAN)
            c->clean |= mask;
        rebucket(c);
    }
    if (state == RUN_CLEAN)
        clean_frames += frames;
    else
        VM_STORE(&dirty_frames, state == RUN_DIRTY ? dirty_frames + frames : dirty_frames - frames);
}

/* Returns dirty frames to the system, long runs first, until at most `target` are left; how many.  Under both locks, the
   frames' one dropped while the system works. */
static size_t purge_frames(size_t target)
{
    size_t purged = 0;
    struct vm_zone *z;
    uintptr_t from, to;
    bool done = true;

    while (done && dirty_frames > target && pick_dirty((dirty_frames - target) << VM_FRAME_SHIFT, &z, &from, &to)) {
        vm_huge_break(from, to - from);
        set_run(z, from, to, RUN_IN_FLIGHT);
        vm_unlock(&vm_frames_lock);
        done = vm_os.purge((void *)from, to - from) == 0;
        if (done)
            vm_mmu_note(VM_MMU_PURGED, from, to - from);
        vm_lock(&vm_frames_lock);
        set_run(z, from, to, done ? RUN_CLEAN : RUN_DIRTY); /* refused: nothing is lost */
        if (done) {
            vm_limit_uncharge(to - from);
            purged += (to - from) >> VM_FRAME_SHIFT;
        }
    }
    vm_keep_set(&keep, dirty_frames * VM_FRAME_BYTES);
    if (purged > 0)
        vm_keep_returned(&keep, purged * VM_FRAME_BYTES, vm_os.now());
    return purged;
}

/* Frames that may be kept now. */
static size_t keep_bound(void)
{
    size_t live = used_frames * VM_FRAME_BYTES + vm_extents_used();
    size_t bound = vm_keep_bound(&keep, live, vm_extents_kept(), vm_os.now());
    return (vm_limit_strained() ? vm_policy_strained_bound(bound, live) : bound) >> VM_FRAME_SHIFT;
}

static bool trim_brk(size_t pad)
{
    struct vm_zone *z = &brk_zone;
    uintptr_t low = z->top;

    while (low > z->base) {
        struct vm_chunk *c = chunk_at(z, low - VM_FRAME_BYTES);
        if (!c->zone || !(c->free & 1u << (((low - 1) >> VM_FRAME_SHIFT) & (VM_CHUNK_FRAMES - 1))))
            break;
        low -= VM_FRAME_BYTES;
    }
    low = vm_min(vm_align_up(low + vm_min(pad, z->top - low), VM_FRAME_BYTES), z->top);
    if (low == z->top || (uintptr_t)vm_os.sbrk(0) != z->top)
        return false;
    size_t old_size = z->top - z->base, bytes = z->top - low;
    VM_STORE_RELEASE(&vm_brk.size, low - z->base);
    if (!vm_os.sbrk(-(intptr_t)bytes)) {
        VM_STORE_RELEASE(&vm_brk.size, old_size);
        return false;
    }
    vm_mmu_note(VM_MMU_UNMAPPED, low, bytes);
    for (uintptr_t at = low; at < z->top; at += VM_FRAME_BYTES) {
        struct vm_chunk *c = chunk_at(z, at);
        uint32_t bit = 1u << ((at >> VM_FRAME_SHIFT) & (VM_CHUNK_FRAMES - 1));
        if (c->clean & bit)
            clean_frames--;
        else
            VM_STORE(&dirty_frames, dirty_frames - 1);
        vm_limit_uncharge(c->clean & bit ? 0 : VM_FRAME_BYTES);
        c->free &= ~bit;
        c->clean &= ~bit;
        rebucket(c);
    }
    brk_frames -= bytes >> VM_FRAME_SHIFT;
    vm_huge_gone(low, z->top);
    z->top = low;
    return true;
}

/* Bytes of free frames at the top of the break, whole chunks only. */
static size_t free_top(void)
{
    const struct vm_zone *z = &brk_zone;
    uintptr_t low = vm_align_down(z->top, VM_CHUNK_BYTES);

    while (low > z->base && chunk_at(z, low - 1)->free == ~0u)
        low -= VM_CHUNK_BYTES;
    return z->top - low;
}

/* Returns what is kept beyond the bound, and address space where much of it lies free at the top.  Under the purge lock. */
static void return_surplus(void)
{
    vm_lock(&vm_frames_lock);
    size_t bound = keep_bound();
    if (dirty_frames > bound && purge_frames(vm_keep_target(bound)) > 0) {
        size_t top = free_top();
        if (top >= TRIM_MIN && top >= (brk_frames << VM_FRAME_SHIFT) / TRIM_SHARE)
            trim_brk(top / 2);
    }
    vm_unlock(&vm_frames_lock);
}

void vm_frames_free(struct vm_page *first, unsigned n, size_t touched_bytes)
{
    vm_lock(&vm_frames_lock);
    struct vm_chunk *c = chunk_at(first->zone, first->start);
    unsigned bit = (unsigned)(first->start >> VM_FRAME_SHIFT) & (VM_CHUNK_FRAMES - 1);
    uint32_t mask = run_mask(bit, n);
    VM_ASSERT((c->free & mask) == 0);
    c->free |= mask;
    unsigned touched = parts(vm_huge_has(first->start) ? n * VM_FRAME_BYTES : touched_bytes);
    for (unsigned i = 0; i < n && touched > 0; i++) {
        note_touched(c, bit + i, vm_min(touched, FRAME_PARTS));
        touched -= vm_min(touched, FRAME_PARTS);
    }
    unsigned clean = count_bits(c->clean & mask);
    VM_STORE(&used_frames, used_frames - n);
    clean_frames += clean;
    vm_limit_uncharge(clean * VM_FRAME_BYTES); /* never touched */
    VM_STORE(&dirty_frames, dirty_frames + n - clean);
    vm_keep_set(&keep, dirty_frames * VM_FRAME_BYTES);
    rebucket(c);
    vm_sleeper_rouse();
    bool too_many = (dirty_frames > VM_KEEP_FLOOR / 4 / VM_FRAME_BYTES || vm_limit_strained())
                    && dirty_frames > keep_bound();
    vm_unlock(&vm_frames_lock);
    /* Where another thread is at it already, it finds these as well. */
    if (too_many && !vm_lock_is_mine(&vm_purge_lock) && vm_trylock(&vm_purge_lock)) {
        return_surplus();
        vm_unlock(&vm_purge_lock);
    }
}

/* Takes both locks.  False in a signal handler that interrupted a holder of one of them. */
static bool begin_return(void)
{
    if (vm_lock_is_mine(&vm_purge_lock) || vm_lock_is_mine(&vm_frames_lock))
        return false;
    vm_lock_outer(&vm_purge_lock);
    vm_lock(&vm_frames_lock);
    return true;
}

static void end_return(void)
{
    vm_unlock(&vm_frames_lock);
    vm_unlock(&vm_purge_lock);
}

bool vm_frames_trim(size_t pad)
{
    if (!begin_return())
        return false;
    bool trimmed = brk_zone.span != 0 && trim_brk(pad);
    bool purged = purge_frames(0) > 0;
    end_return();
    return trimmed || purged;
}

size_t vm_frames_keep(size_t bytes)
{
    if (!begin_return())
        return 0;
    size_t purged = purge_frames(bytes >> VM_FRAME_SHIFT);
    end_return();
    return purged * VM_FRAME_BYTES;
}

size_t vm_frames_age(uint64_t decay_ns)
{
    if (!begin_return())
        return 0;
    size_t stay = vm_age_look(&age, dirty_frames * VM_FRAME_BYTES, vm_os.now(), decay_ns, vm_limit_strained());
    size_t purged = purge_frames(stay >> VM_FRAME_SHIFT);
    end_return();
    return purged * VM_FRAME_BYTES;
}

void vm_frames_set_floor(size_t bytes)
{
    vm_lock_outer(&vm_frames_lock);
    keep.floor = bytes;
    vm_unlock(&vm_frames_lock);
}

void vm_frames_set_growth(size_t bytes)
{
    vm_lock_outer(&vm_frames_lock);
    grow_least = vm_min(bytes, BRK_SPAN_MAX) >> VM_FRAME_SHIFT;
    vm_unlock(&vm_frames_lock);
}

size_t vm_frames_kept(void) { return VM_LOAD(&dirty_frames) * VM_FRAME_BYTES; }

size_t vm_frames_awaited(void)
{
    vm_lock(&vm_frames_lock);
    size_t kept = dirty_frames * VM_FRAME_BYTES, credit = vm_keep_credit(&keep, vm_os.now());
    vm_unlock(&vm_frames_lock);
    return credit - vm_min(credit, kept);
}

void vm_frames_break(uintptr_t base)
{
    vm_lock(&vm_frames_lock);
    vm_huge_break(base, 1);
    vm_unlock(&vm_frames_lock);
}

struct vm_page *vm_page_of(uintptr_t address)
{
    uintptr_t offset = address - vm_brk.base;

    if (offset < VM_LOAD_ACQUIRE(&vm_brk.size))
        return &vm_brk.map[offset >> VM_FRAME_SHIFT];
    struct vm_page *page = vm_zone_page(address);
    if (page && page->zone)
        return page;
    vm_pte e = vm_mmu_lookup(address);
    if (vm_pte_kind(e) != VM_KIND_ZONE)
        return NULL;
    struct vm_zone *z = vm_pte_descriptor(e);
    VM_STORE_RELEASE(vm_zone_hint(address), z);
    return page_at(z, address);
}

size_t vm_frames_used(void) { return VM_LOAD(&used_frames) * VM_FRAME_BYTES; }

void vm_frames_stats(struct vm_frames_stats *s)
{
    vm_lock(&vm_frames_lock);
    s->in_use = used_frames * VM_FRAME_BYTES;
    s->free_dirty = dirty_frames * VM_FRAME_BYTES;
    s->free_clean = clean_frames * VM_FRAME_BYTES;
    s->brk_bytes = brk_frames * VM_FRAME_BYTES;
    s->zone_bytes = zone_frames * VM_FRAME_BYTES;
    vm_unlock(&vm_frames_lock);
}

size_t vm_mem_map_bytes(void)
{
    size_t bytes = VM_LOAD(&vm_brk.size);
    return (bytes >> VM_FRAME_SHIFT) * sizeof(struct vm_page)
           + (vm_align_up(bytes, VM_CHUNK_BYTES) >> VM_CHUNK_SHIFT) * sizeof(struct vm_chunk);
}

void vm_slabs_each(void (*f)(struct vm_page *slab, void *arg), void *arg)
{
    vm_lock(&vm_frames_lock);
    for (struct vm_zone *z = zones; z; z = z->next)
        for (struct vm_page *p = z->map; p < z->map + ((z->top - z->base) >> VM_FRAME_SHIFT); p++)
            if (VM_LOAD_ACQUIRE(&p->role) == VM_PAGE_SLAB)
                f(p, arg);
    vm_unlock(&vm_frames_lock);
}

struct vm_page *vm_slab_from(uintptr_t address)
{
    struct vm_page *lowest = NULL;

    for (struct vm_zone *z = zones; z; z = z->next) {
        size_t first = address > z->base ? (vm_align_up(address, VM_FRAME_BYTES) - z->base) >> VM_FRAME_SHIFT : 0;
        size_t end = (z->top - z->base) >> VM_FRAME_SHIFT;
        while (first < end && VM_LOAD_ACQUIRE(&z->map[first].role) != VM_PAGE_SLAB)
            first++;
        if (first < end && (!lowest || z->map[first].start < lowest->start))
            lowest = &z->map[first];
    }
    return lowest;
}

static bool in_bucket(const struct vm_list buckets[], const struct vm_list *node, uint32_t bits)
{
    const struct vm_list *bucket = &buckets[longest_run(bits)];

    if (bits == 0)
        return vm_list_empty(node);
    for (const struct vm_list *l = bucket->next; l != bucket; l = l->next)
        if (l == node)
            return true;
    return false;
}

static bool check_chunk(const struct vm_chunk *c, size_t *free_frames, size_t *clean)
{
    for (unsigned i = 0; i < VM_CHUNK_FRAMES; i++) {
        const struct vm_page *p = page_at(c->zone, chunk_base(c) + ((size_t)i << VM_FRAME_SHIFT));
        if ((c->free >> i & 1) && (p->role != VM_PAGE_FREE || p->carved != 0 || p->start >= c->zone->top))
            return false;
    }
    *free_frames += (size_t)__builtin_popcount(c->free);
    *clean += (size_t)__builtin_popcount(c->clean & c->free);
    return in_bucket(by_free, &c->in_free, c->free) && in_bucket(by_dirty, &c->in_dirty, dirty_bits(c));
}

bool vm_zone_check(void)
{
    size_t free_frames = 0, clean = 0;
    bool good = true;

    vm_lock(&vm_frames_lock);
    for (struct vm_zone *z = zones; z && good; z = z->next)
        for (size_t i = 0; i < (z->top - z->base + VM_CHUNK_BYTES - 1) >> VM_CHUNK_SHIFT && good; i++)
            good = !z->chunks[i].zone || check_chunk(&z->chunks[i], &free_frames, &clean);
    good = good && clean == clean_frames && free_frames == clean_frames + dirty_frames;
    vm_unlock(&vm_frames_lock);
    return good;
}
