/* Reclaim; see reclaim.h. */
#include "sim/reclaim.h"

#include "base/fail.h"
#include "sim/machine.h"
#include "sim/rmap.h"

#define CLUSTER 32 /* frames that two-list looks at together */

static struct vm_sim_frame *frame_of(struct vm_sim_machine *m, vm_sim_pfn frame) { return &m->memory.map.frame[frame]; }

static vm_sim_pfn pfn_of(struct vm_sim_machine *m, struct vm_list *l)
{
    return vm_sim_frame_pfn(&m->memory.map, VM_CONTAINER_OF(l, struct vm_sim_frame, lru));
}

enum vm_sim_page_kind vm_sim_page_kind(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    const struct vm_sim_frame *f = frame_of(m, frame);

    if (f->flags & VM_SIM_FRAME_LOCKED)
        return VM_SIM_UNRECLAIMABLE;
    if (f->kind == VM_SIM_FRAME_FILE)
        return (f->flags & VM_SIM_FRAME_DIRTY) || vm_sim_rmap_dirty(m, frame) ? VM_SIM_SYNCABLE : VM_SIM_DISCARDABLE;
    if (f->kind != VM_SIM_FRAME_ANON || f->count == 0)
        return VM_SIM_UNRECLAIMABLE;
    if (f->flags & VM_SIM_FRAME_SWAP_CACHE)
        return VM_SIM_DISCARDABLE; /* its slot has the same contents */
    return vm_sim_swap_free(&m->swaps) > 0 ? VM_SIM_SWAPPABLE : VM_SIM_UNRECLAIMABLE;
}

/* ---- Taking one page ---- */

static void tell(struct vm_sim_machine *m, vm_sim_pfn frame, const char *what, vm_sim_pte slot)
{
    const struct vm_sim_frame *f = frame_of(m, frame);

    vm_sim_emit(&m->events,
                VM_SIM_EV(PAGE_OUT, .frame = frame, .cause = what, .number = slot,
                          .linear = VM_SIM_LINEAR(f->index << VM_SIM_PAGE_SHIFT),
                          .name = f->kind == VM_SIM_FRAME_FILE ? ((struct vm_sim_file *)f->owner)->name : NULL));
}

static bool take_file_page(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);
    struct vm_sim_file *file = f->owner;
    bool write;

    if (f->count != f->mapcount + 1) /* somebody is about to map it */
        return false;
    vm_sim_rmap_unmap(m, frame, 0); /* the dirty bits are in the flag now */
    write = f->flags & VM_SIM_FRAME_DIRTY;
    tell(m, frame, write ? "write-back" : "drop", 0);
    if (write) {
        file->writes++;
        m->reclaim.counts.written_back++;
        f->flags &= (uint16_t)~VM_SIM_FRAME_DIRTY;
    } else {
        m->reclaim.counts.dropped++;
    }
    vm_sim_file_drop_page(m, file, f->index);
    return true;
}

/* A page in the swap cache is clean: its slot has it.  Another one gets a slot and is written to it. */
static bool take_anon_page(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);
    bool was_cached = f->flags & VM_SIM_FRAME_SWAP_CACHE;
    vm_sim_pte slot = f->swap;

    if (f->count != f->mapcount + was_cached)
        return false;
    if (!was_cached) {
        slot = vm_sim_swap_take(&m->swaps);
        if (!slot)
            return false;
        vm_sim_get_frame(&m->memory, frame);
        vm_sim_swap_cache_add(&m->swaps, slot, frame);
        f->flags |= VM_SIM_FRAME_SWAP_CACHE;
        f->swap = slot;
    }
    tell(m, frame, was_cached ? "drop" : "swap", slot);
    f->flags |= VM_SIM_FRAME_LOCKED;
    vm_sim_rmap_unmap(m, frame, slot);
    f->flags &= (uint16_t)~VM_SIM_FRAME_LOCKED;
    if (was_cached) {
        m->reclaim.counts.dropped++;
    } else {
        vm_sim_swap_write(&m->swaps, slot);
        m->reclaim.counts.swapped_out++;
        vm_sim_swap_put(&m->swaps, slot); /* the taker's */
    }
    vm_sim_uncache(m, frame); /* the cache's count was the last */
    return true;
}

bool vm_sim_reclaim_page(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);

    if (f->flags & VM_SIM_FRAME_LOCKED)
        return false;
    if (f->order > 0 && (vm_sim_swap_free(&m->swaps) == 0 || vm_sim_split_huge(m, frame) != 0))
        return false;
    if (!(f->kind == VM_SIM_FRAME_FILE ? take_file_page(m, frame) : take_anon_page(m, frame)))
        return false;
    m->reclaim.counts.reclaimed++;
    return true;
}

/* ---- Scanning ---- */

struct scan {
    struct vm_sim_machine *m;
    unsigned zones; /* mask of 1 << type */
    uint64_t want, got;
};

static bool in_zones(const struct scan *s, vm_sim_pfn frame) { return s->zones >> frame_of(s->m, frame)->zone & 1; }

/* Pages of files that nobody maps and nobody wrote to, and swap-cached ones: nothing to unmap, nothing to write. */
static void scan_unmapped(struct scan *s)
{
    struct vm_list *list = &s->m->reclaim.inactive;

    for (struct vm_list *l = list->prev, *before; l != list && s->got < s->want && s->m->reclaim.unmapped > 0;
         l = before) {
        vm_sim_pfn frame = pfn_of(s->m, l);
        const struct vm_sim_frame *f = frame_of(s->m, frame);
        before = l->prev;
        if (f->mapcount == 0 && in_zones(s, frame) && vm_sim_page_kind(s->m, frame) == VM_SIM_DISCARDABLE)
            s->got += vm_sim_reclaim_page(s->m, frame);
    }
}

/* fifo, clock, lru: from the tail.  clock: a page with A set goes to the front without it, and is met again there. */
static void scan_one_list(struct scan *s)
{
    struct vm_sim_reclaim *r = &s->m->reclaim;

    for (struct vm_list *l = r->inactive.prev, *before; l != &r->inactive && s->got < s->want; l = before) {
        vm_sim_pfn frame = pfn_of(s->m, l);
        before = l->prev;
        r->counts.scanned++;
        if (!in_zones(s, frame))
            continue;
        if (r->policy == VM_SIM_CLOCK && vm_sim_rmap_referenced(s->m, frame) > 0) {
            vm_sim_lru_move(s->m, frame, false);
            before = before == &r->inactive ? r->inactive.prev : before;
        } else {
            s->got += vm_sim_reclaim_page(s->m, frame);
        }
    }
}

static void shorten_active(struct scan *s)
{
    struct vm_sim_reclaim *r = &s->m->reclaim;

    for (uint64_t left = r->active_pages; left > 0 && r->active_pages > r->inactive_pages; left--) {
        vm_sim_pfn frame = pfn_of(s->m, r->active.prev);
        bool stays = vm_sim_rmap_referenced(s->m, frame) > 0;
        vm_sim_lru_move(s->m, frame, stays);
        r->counts.deactivated += !stays;
    }
}

/* Referenced: once more round, or to the active list.  True: a candidate. */
static bool is_candidate(struct scan *s, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(s->m, frame);

    s->m->reclaim.counts.scanned++;
    if (in_zones(s, frame) && vm_sim_rmap_referenced(s->m, frame) == 0)
        return true;
    if (!in_zones(s, frame)) {
        vm_sim_lru_move(s->m, frame, false);
    } else if (f->flags & VM_SIM_FRAME_REFERENCED) {
        f->flags &= (uint16_t)~VM_SIM_FRAME_REFERENCED;
        vm_sim_lru_move(s->m, frame, true);
        s->m->reclaim.counts.activated++;
    } else {
        f->flags |= VM_SIM_FRAME_REFERENCED;
        vm_sim_lru_move(s->m, frame, false);
    }
    return false;
}

/* A cluster from the tail: candidates; of them the clean ones go first, then as many others as are wanted.  Those that
   cannot go (no swap slot, about to be mapped) go to the front. */
static void scan_cluster(struct scan *s)
{
    vm_sim_pfn candidate[CLUSTER];
    struct vm_sim_reclaim *r = &s->m->reclaim;
    struct vm_list *l = r->inactive.prev, *before;
    unsigned n = 0;

    for (unsigned left = CLUSTER; left > 0 && l != &r->inactive; left--, l = before) {
        before = l->prev;
        if (is_candidate(s, pfn_of(s->m, l)))
            candidate[n++] = pfn_of(s->m, l);
    }
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < n && s->got < s->want; i++) {
            if (candidate[i] == VM_SIM_NO_FRAME
                || (round == 0 && vm_sim_page_kind(s->m, candidate[i]) != VM_SIM_DISCARDABLE))
                continue;
            if (vm_sim_reclaim_page(s->m, candidate[i]))
                s->got++;
            else
                vm_sim_lru_move(s->m, candidate[i], false);
            candidate[i] = VM_SIM_NO_FRAME;
        }
}

static void scan_two_lists(struct scan *s)
{
    struct vm_sim_reclaim *r = &s->m->reclaim;
    /* A page can be met four times before it goes: its first and its second reference, on the active list, and then. */
    uint64_t left = 4 * (r->active_pages + r->inactive_pages) + CLUSTER;

    for (; left >= CLUSTER && s->got < s->want && r->active_pages + r->inactive_pages > 0; left -= CLUSTER) {
        shorten_active(s);
        scan_cluster(s);
        if (left < 2 * CLUSTER)
            break;
    }
}

static uint64_t reclaim(struct vm_sim_machine *m, unsigned zones, uint64_t want)
{
    struct scan s = {m, zones, want, 0};

    if (m->reclaim.running)
        return 0;
    if (m->reclaim.instead)
        return m->reclaim.instead(m, want);
    m->reclaim.running = true;
    scan_unmapped(&s);
    if (s.got < want) {
        if (m->reclaim.policy == VM_SIM_TWO_LIST)
            scan_two_lists(&s);
        else
            scan_one_list(&s);
    }
    m->reclaim.running = false;
    if (s.got > 0)
        m->reclaim.kswapd_failures = 0;
    return s.got;
}

uint64_t vm_sim_reclaim_frames(struct vm_sim_machine *m, enum vm_sim_zone_type highest, uint64_t want)
{
    uint64_t got = reclaim(m, (2u << highest) - 1, want);

    m->reclaim.counts.direct_runs++;
    m->reclaim.counts.direct_frames += got;
    vm_sim_emit(&m->events, VM_SIM_EV(DIRECT, .name = m->memory.zone[highest].name, .count = got));
    return got;
}

/* ---- kswapd, and the hooks of zone.h ---- */

static uint64_t direct(void *ctx, enum vm_sim_zone_type highest, unsigned order)
{
    struct vm_sim_machine *m = ctx;

    return m->reclaim.running ? 0 : vm_sim_reclaim_frames(m, highest, (uint64_t)1 << order);
}

static void wake(void *ctx, enum vm_sim_zone_type zone)
{
    struct vm_sim_machine *m = ctx;
    const struct vm_sim_zone *z = &m->memory.zone[zone];

    if (m->reclaim.kswapd_awake || z->managed == 0 || z->buddy.free > z->low
        || m->reclaim.kswapd_failures >= VM_SIM_KSWAPD_FAILURES)
        return;
    m->reclaim.kswapd_awake = true;
    m->reclaim.counts.kswapd_wakes++;
    vm_sim_emit(&m->events, VM_SIM_EV(KSWAPD_WAKE, .name = z->name, .number = z->buddy.free));
}

void vm_sim_kswapd(struct vm_sim_machine *m)
{
    struct vm_sim_reclaim *r = &m->reclaim;

    if (!r->kswapd_awake || r->running)
        return;
    r->kswapd_awake = false;
    for (unsigned t = 0; t < VM_SIM_ZONES; t++) {
        const struct vm_sim_zone *z = &m->memory.zone[t];
        uint64_t got = 0;
        if (z->managed == 0 || z->buddy.free > z->low)
            continue;
        if (z->buddy.free <= z->high)
            got = reclaim(m, 1u << t, z->high + 1 - z->buddy.free);
        r->counts.kswapd_frames += got;
        r->kswapd_failures = (uint8_t)(got || z->buddy.free > z->high
                                           ? 0
                                           : vm_min(r->kswapd_failures + 1u, VM_SIM_KSWAPD_FAILURES));
        vm_sim_emit(&m->events, VM_SIM_EV(KSWAPD_SLEEP, .name = z->name, .number = z->buddy.free, .count = got));
    }
}

void vm_sim_reclaim_init(struct vm_sim_machine *m, enum vm_sim_page_policy policy)
{
    VM_ASSERT(policy < VM_SIM_OPTIMUM);
    m->reclaim = (struct vm_sim_reclaim){.policy = policy, .instead = m->reclaim.instead};
    vm_list_init(&m->reclaim.active);
    vm_list_init(&m->reclaim.inactive);
    m->memory.reclaim = direct;
    m->memory.wake = wake;
    m->memory.reclaim_ctx = m;
}

/* ---- Invariants ---- */

static bool check_list(const struct vm_list *list, bool active, uint64_t pages)
{
    uint64_t n = 0;

    for (const struct vm_list *l = list->next; l != list; l = l->next, n++) {
        const struct vm_sim_frame *f = VM_CONTAINER_OF(l, struct vm_sim_frame, lru);
        if (n > pages || l->next->prev != l || !(f->flags & VM_SIM_FRAME_ON_LRU)
            || !(f->flags & VM_SIM_FRAME_ACTIVE) != !active || f->count == 0 || (f->flags & VM_SIM_FRAME_LOCKED)
            || (f->kind != VM_SIM_FRAME_ANON && f->kind != VM_SIM_FRAME_FILE))
            return false;
    }
    return n == pages;
}

bool vm_sim_reclaim_check(const struct vm_sim_machine *m)
{
    const struct vm_sim_reclaim *r = &m->reclaim;
    uint64_t flagged = 0, unmapped = 0;

    if (!check_list(&r->active, true, r->active_pages) || !check_list(&r->inactive, false, r->inactive_pages))
        return false;
    for (vm_sim_pfn i = 0; i < m->memory.map.frames; i++) {
        const struct vm_sim_frame *f = &m->memory.map.frame[i];
        flagged += (f->flags & VM_SIM_FRAME_ON_LRU) != 0;
        unmapped += (f->flags & VM_SIM_FRAME_ON_LRU) && f->mapcount == 0;
    }
    return flagged == r->active_pages + r->inactive_pages && unmapped == r->unmapped && !r->running
           && (r->policy == VM_SIM_TWO_LIST || r->active_pages == 0)
           && r->counts.reclaimed == r->counts.swapped_out + r->counts.written_back + r->counts.dropped;
}
