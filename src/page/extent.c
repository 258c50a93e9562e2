/* Large blocks; see extent.h.  All state is guarded by vm_extents_lock; system calls that work on pages of one extent
   are made without it, the extent being IN_FLIGHT meanwhile.

   Large extents whose like were seen to be touched everywhere (reclaim/thp.h) get mappings of their own that are advised
   for huge pages.  As mremap() takes one kernel mapping only, no extent is made of advised memory and other memory; and
   what is advised is unmapped when it goes back, never purged, so that nothing else is inflated by it.

   Invariants (vm_extent_check): the shadow names every extent at its first and last page and nothing in between; a
   dirty or clean extent is in the tree of its state, keyed by its size; no two free neighbours of one state and one advice touch;
   live_bytes, dirty_bytes and clean_bytes are the sums of the sizes, but that an extent which may come back to a warm
   slot (page/warm.h) is counted in dirty_bytes, not in live_bytes, whether it is out or not. */
#include "page/extent.h"

#include <string.h>
#include <sys/mman.h>

#include "base/fail.h"
#include "base/lock.h"
#include "base/probe.h"
#include "os/meta.h"
#include "os/os.h"
#include "os/sleeper.h"
#include "page/zone.h"
#include "page/huge.h"
#include "page/warm.h"
#include "reclaim/keep.h"
#include "reclaim/limit.h"
#include "reclaim/policy.h"
#include "vm/mmu.h"

#define GROW_SHARE 8            /* map 1/8 of what is mapped ahead of need ... */
#define GROW_MAX (32 * VM_MIB)  /* ... at most this */
#define GROW_MIN (2 * VM_MIB)   /* ... and nothing below this */
#define CLEAN_MAX (64 * VM_MIB) /* address space kept that holds no pages */
#define GROWN_MIN VM_MIB        /* a free extent that is grown for a request: mappings must not become many ... */
#define GROWN_SHARE 2           /* ... and half of the request at least, so that the move costs less than it saves */
#define FIT_CANDIDATES 8        /* extents looked at for an aligned request */
#define SPARES_PER_CHUNK 30     /* descriptors taken from the metadata at a time */
#define FREED_LATELY 64
#define WAVE_AHEAD (4 * VM_MIB)       /* mapped at a time for a wave that earns huge pages */
#define WITNESS_LOOKS 4               /* 2 MiB pieces of an extent looked at for pages that were never touched */
#define CLEAR_LOOK_MIN (2 * VM_MIB)   /* to be cleared: from there on it is worth a look what is resident */
#define CLEAR_LOOKS 8                 /* pages looked at */
#define META_PER_EXTENT (64 * VM_KIB) /* more than entering one takes: descriptors and the tables of its two ends */

struct vm_lock vm_extents_lock = VM_LOCK_INIT(VM_RANK_EXTENTS);

/* All below: guarded by vm_extents_lock. */
static struct vm_tree dirty_tree, clean_tree;
static struct vm_list dirty_list; /* oldest first */
static unsigned warm_next;        /* the slot to be ended when one is needed */
static struct vm_list spares;     /* unused descriptors */
static unsigned spare_count;
static size_t live_bytes, dirty_bytes, clean_bytes, live_count;
static struct vm_keep keep;
static struct vm_age age;
static uintptr_t freed_lately[FREED_LATELY]; /* ring of blocks freed, for messages about double frees */
static unsigned freed_next;
static struct vm_thp thp;
static unsigned returns;          /* extents that went back, for turns to be looked at */
static struct vm_extent *witness; /* the large extent made last, if it is live, was fresh and has not been resized */

VM_FACTS vm_extent_facts[] = {
    VM_FACT_ROOT(live_bytes, live_bytes),
    VM_FACT_ROOT(dirty_bytes, dirty_bytes),
    VM_FACT_ROOT(clean_bytes, clean_bytes),
    VM_FACT_ROOT(live_count, live_count),
    VM_FACT_END,
};

void vm_extents_start(void)
{
    vm_list_init(&dirty_list);
    vm_list_init(&spares);
}

/* Makes sure of n spare descriptors. */
static bool reserve_spares(unsigned n)
{
    if (spare_count >= n)
        return true;
    struct vm_extent *chunk = vm_meta_alloc(SPARES_PER_CHUNK * sizeof *chunk, VM_CACHE_LINE);
    if (!chunk)
        return false;
    for (unsigned i = SPARES_PER_CHUNK; i-- > 0;)
        vm_list_push_front(&spares, &chunk[i].list);
    spare_count += SPARES_PER_CHUNK;
    return true;
}

static struct vm_extent *take_spare(void)
{
    VM_ASSERT(spare_count > 0);
    struct vm_extent *e = VM_CONTAINER_OF(spares.next, struct vm_extent, list);
    vm_list_remove(&e->list);
    spare_count--;
    return e;
}

static void give_spare(struct vm_extent *e)
{
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_UNUSED);
    VM_STORE(&e->base, (uintptr_t)0);
    e->size = 0;
    vm_list_push_front(&spares, &e->list);
    spare_count++;
}

static uintptr_t page_down(uintptr_t a) { return vm_align_down(a, (size_t)1 << 12); }

/* Enters or removes the two pages by which the shadow names an extent.  Between vm_mmu_begin() and end. */
static void name_extent(const struct vm_extent *e)
{
    vm_mmu_map(e->base, (size_t)1 << 12, VM_KIND_EXTENT, e);
    vm_mmu_map(page_down(e->base + e->size - 1), (size_t)1 << 12, VM_KIND_EXTENT, e);
    vm_mmu_note_owner(e->base, e->size, VM_KIND_EXTENT, e);
}

static void unname_extent(const struct vm_extent *e)
{
    vm_mmu_unmap(e->base, (size_t)1 << 12);
    vm_mmu_unmap(page_down(e->base + e->size - 1), (size_t)1 << 12);
}

/* Removes the names of the two pages on either side of where an extent ended. */
static void unname_border(uintptr_t border)
{
    vm_mmu_unmap(page_down(border - 1), (size_t)1 << 12);
    vm_mmu_unmap(border, (size_t)1 << 12);
}

/* Tables for naming whatever lies in [base, base + size) and one border inside it. */
static bool reserve_tables(uintptr_t base, size_t size, uintptr_t border)
{
    uintptr_t last = base + size - 1;
    unsigned need = vm_mmu_need(base, 1) + vm_mmu_need(last, 1);

    if (border > base && border < base + size)
        need += vm_mmu_need(border - 1, 1) + vm_mmu_need(border, 1);
    return vm_mmu_reserve(need);
}

static struct vm_extent *extent_named_at(uintptr_t address)
{
    vm_pte e = vm_mmu_lookup(address);
    return vm_pte_kind(e) == VM_KIND_EXTENT ? vm_pte_descriptor(e) : NULL;
}

static void to_free(struct vm_extent *e, enum vm_extent_state state)
{
    VM_STORE(&e->state, (uint8_t)state);
    e->node.key = e->size;
    e->node.order = e->base;
    vm_tree_insert(state == VM_EXTENT_DIRTY ? &dirty_tree : &clean_tree, &e->node);
    if (state == VM_EXTENT_DIRTY) {
        vm_list_push_back(&dirty_list, &e->list);
        VM_STORE(&dirty_bytes, dirty_bytes + e->size);
    } else {
        clean_bytes += e->size;
    }
}

/* Out of its tree; the state becomes IN_FLIGHT. */
static void from_free(struct vm_extent *e)
{
    if (e->state == VM_EXTENT_DIRTY) {
        vm_tree_remove(&dirty_tree, &e->node);
        vm_list_remove(&e->list);
        VM_STORE(&dirty_bytes, dirty_bytes - e->size);
    } else {
        vm_tree_remove(&clean_tree, &e->node);
        clean_bytes -= e->size;
    }
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_IN_FLIGHT);
}

/* Of somebody else's extent: from live to warm and back it changes without the lock. */
static enum vm_extent_state state_of(const struct vm_extent *e) { return VM_LOAD(&e->state); }

/* Appends free neighbours of the given state to e, which is in no tree.  Needs no table: borders only vanish. */
static void coalesce(struct vm_extent *e, enum vm_extent_state state)
{
    struct vm_extent *below = extent_named_at(e->base - 1), *above = extent_named_at(e->base + e->size);
    bool join_below = below && state_of(below) == state && below->huge == e->huge;
    bool join_above = above && state_of(above) == state && above->huge == e->huge;

    if (!join_below && !join_above)
        return;
    /* The outer pages of the whole are named already (no new table), the inner ones lose their names. */
    vm_mmu_begin();
    if (join_below) {
        from_free(below);
        unname_border(e->base);
        e->size += below->size;
        VM_STORE(&e->base, below->base);
    }
    if (join_above) {
        from_free(above);
        unname_border(above->base);
        e->size += above->size;
    }
    /* The tables of an end that was next to a border just came back to the spares, so that naming it cannot fail. */
    name_extent(e);
    vm_mmu_end();
    if (join_below)
        give_spare(below);
    if (join_above)
        give_spare(above);
}

/* Ends the letting of a slot: an extent in it becomes a dirty one, which every request may use, one that is out is live
   like all others. */
static void end_slot(unsigned slot)
{
    struct vm_extent *e;
    size_t size = vm_warm_end(slot, &e);

    VM_STORE(&dirty_bytes, dirty_bytes - size);
    if (e) {
        freed_lately[freed_next++ % FREED_LATELY] = e->base;
        VM_STORE(&e->state, (uint8_t)VM_EXTENT_IN_FLIGHT);
        coalesce(e, VM_EXTENT_DIRTY);
        to_free(e, VM_EXTENT_DIRTY);
    } else if (size > 0) {
        VM_STORE(&live_bytes, live_bytes + size);
        live_count++;
    }
}

static void end_slots(void)
{
    for (uint64_t let = vm_warm_slots_let(); let; let &= let - 1)
        end_slot((unsigned)__builtin_ctzl(let));
}

/* All warm extents become dirty ones; slots whose extents are out stay let. */
static void warm_to_dirty(void)
{
    struct vm_extent *e;

    for (uint64_t let = vm_warm_slots_let(); let; let &= let - 1) {
        unsigned slot = (unsigned)__builtin_ctzl(let);
        if (vm_warm_slot(slot, &e) > 0 && e)
            end_slot(slot);
    }
}

/* Lets a slot to an extent in flight, one that is not let or else the one let longest; false: it cannot be. */
static bool flight_to_warm(struct vm_extent *e)
{
    uint64_t vacant = ~vm_warm_slots_let();
    unsigned slot = vacant ? (unsigned)__builtin_ctzl(vacant) : warm_next++ % VM_WARM_SLOTS;

    if (!vacant)
        end_slot(slot);
    if (!vm_warm_let(slot, e))
        return false;
    VM_STORE(&dirty_bytes, dirty_bytes + e->size);
    return true;
}

/* What was taken from warm slots was asked for. */
static void note_warm_used(void)
{
    size_t idle = dirty_bytes - vm_min(vm_warm_used(), dirty_bytes);

    vm_age_used(&age, idle);
    vm_keep_set(&keep, idle);
    vm_keep_set(&keep, dirty_bytes);
}

/* A live extent is live no more, of `bytes` that it had. */
static void account_freed(size_t bytes, size_t count)
{
    if (live_bytes < bytes || live_count < count) /* extents that are out are counted elsewhere */
        end_slots();
    VM_STORE(&live_bytes, live_bytes - bytes);
    live_count -= count;
}

/* Cuts [base + size ..) off e, which is in no tree, into a new extent that is in flight.  Tables and a spare reserved. */
static struct vm_extent *cut(struct vm_extent *e, size_t size)
{
    struct vm_extent *rest = take_spare();

    rest->size = e->size - size;
    rest->zeroed = e->zeroed;
    rest->huge = e->huge;
    VM_STORE(&rest->base, e->base + size);
    VM_STORE(&rest->state, (uint8_t)VM_EXTENT_IN_FLIGHT);
    e->size = size;
    name_extent(e);
    name_extent(rest);
    return rest;
}

/* Makes the aligned part of a free extent live and puts what is left on either side back.  False: no descriptors or
   tables to be had, nothing changed. */
static bool use_free(struct vm_extent **taken, size_t size, size_t align)
{
    struct vm_extent *e = *taken;
    enum vm_extent_state state = e->state;
    uintptr_t at = vm_align_up(e->base, align);

    if (!reserve_spares(2))
        return false;
    vm_mmu_begin();
    unsigned need = 0; /* the ends are named already */
    if (at > e->base)
        need += vm_mmu_need(at - 1, 1) + vm_mmu_need(at, 1);
    if (at + size < e->base + e->size)
        need += vm_mmu_need(at + size - 1, 1) + vm_mmu_need(at + size, 1);
    if (!vm_mmu_reserve(need)) {
        vm_mmu_end();
        return false;
    }
    from_free(e);
    struct vm_extent *head = NULL, *tail = NULL;
    if (at > e->base) {
        head = e;
        e = cut(head, at - head->base);
    }
    if (e->size > size)
        tail = cut(e, size);
    vm_mmu_end();
    if (head)
        to_free(head, state);
    if (tail)
        to_free(tail, state);
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_LIVE);
    *taken = e;
    return true;
}

/* Best fit: the smallest extent, then the lowest address, that holds size bytes at the alignment. */
static struct vm_extent *find_fit(const struct vm_tree *tree, size_t size, size_t align)
{
    struct vm_tree_node *n = vm_tree_first_at_least(tree, size);

    for (int i = 0; n && i < FIT_CANDIDATES; i++, n = vm_tree_next(tree, n)) {
        struct vm_extent *e = VM_CONTAINER_OF(n, struct vm_extent, node);
        if (vm_align_up(e->base, align) - e->base + size <= e->size)
            return e;
    }
    /* None of the small ones is aligned well: one that is larger by the alignment always fits. */
    n = align > vm_os.page_size ? vm_tree_first_at_least(tree, size + align) : NULL;
    return n ? VM_CONTAINER_OF(n, struct vm_extent, node) : NULL;
}

/* `bytes` of space that holds no pages are about to be touched. */
static void note_fetched(size_t bytes)
{
    if (vm_keep_owed(&keep) > 0)
        vm_keep_fetched(&keep, bytes, vm_os.now());
}

/* What pages fresh memory is to have: small ones; huge ones, in a mapping of its own; huge ones, for a wave, in a mapping
   that serves others, too. */
enum pages { PAGES_SMALL, PAGES_HUGE, PAGES_WAVE };

static void return_extent(struct vm_extent *e);

/* Clean space for a request; NULL when there is none, or its pages would be others.  It drops the lock where it gives space
   back that had small pages: the kernel keeps their tables, and where those are no huge page comes. */
static struct vm_extent *find_clean(size_t size, size_t align, enum pages pages)
{
    struct vm_extent *e = pages == PAGES_HUGE ? NULL : find_fit(&clean_tree, size, align);

    if (!e || pages == PAGES_SMALL || e->huge || e->size < VM_THP_BYTES)
        return e;
    return_extent(e);
    return NULL;
}

static struct vm_extent *take_grown(size_t size);

static struct vm_extent *take_kept(size_t size, size_t align, enum pages pages, bool zero)
{
    struct vm_extent *e = find_fit(&dirty_tree, size, align);

    if (!e && !zero && pages == PAGES_SMALL && align <= vm_os.page_size && (e = take_grown(size)))
        return e;
    if (!e)
        e = find_clean(size, align, pages);
    if (!e)
        return NULL;
    bool zeroed = e->state == VM_EXTENT_CLEAN;
    if (zeroed && !vm_limit_charge(size))
        return NULL;
    if (!use_free(&e, size, align)) {
        vm_limit_uncharge(zeroed ? size : 0);
        return NULL;
    }
    e->zeroed = zeroed;
    if (zeroed)
        note_fetched(size);
    return e;
}

/* Enters a fresh mapping as an extent in flight; on failure it is unmapped. */
static struct vm_extent *enter_mapping(uintptr_t base, size_t bytes, bool huge)
{
    struct vm_extent *e = NULL;

    if (reserve_spares(1)) {
        vm_mmu_begin();
        if (reserve_tables(base, bytes, 0)) {
            e = take_spare();
            vm_mmu_note_mapped(base, bytes, VM_KIND_EXTENT, e);
            e->size = bytes;
            e->zeroed = true;
            e->huge = huge;
            VM_STORE(&e->base, base);
            VM_STORE(&e->state, (uint8_t)VM_EXTENT_IN_FLIGHT);
            name_extent(e);
        }
        vm_mmu_end();
    }
    if (!e)
        vm_os.unmap((void *)base, bytes);
    return e;
}

/* Advises a fresh mapping; true: it will have huge pages that were earned. */
static bool advise_mapping(uintptr_t base, size_t bytes, bool earned)
{
    if (earned && vm_os.huge((void *)base, bytes, true) == 0)
        return true;
    vm_huge_mapped(base, bytes);
    return false;
}

/* Maps memory for size bytes at the alignment and a share ahead.  Called with the lock, which it drops meanwhile. */
static struct vm_extent *take_mapped(size_t size, size_t align, enum pages pages)
{
    size_t slack = align > vm_os.page_size ? align - vm_os.page_size : 0, exact = size + slack;
    size_t ahead = vm_min(vm_align_down((live_bytes + dirty_bytes) / GROW_SHARE, GROW_MIN), GROW_MAX);
    size_t bytes = pages == PAGES_HUGE ? exact : vm_max(ahead, exact); /* what lies ahead must not be inflated */

    if (exact < size)
        return NULL;
    if (pages == PAGES_WAVE && exact < exact + WAVE_AHEAD)
        bytes = vm_align_up(exact, WAVE_AHEAD); /* small steps: huge pages may turn out to be dear */
    vm_unlock(&vm_extents_lock);
    vm_meta_reserve(META_PER_EXTENT);
    void *p = vm_os.map(bytes, PROT_READ | PROT_WRITE);
    if (!p && bytes > exact)
        p = vm_os.map(bytes = exact, PROT_READ | PROT_WRITE);
    bool huge = p && advise_mapping((uintptr_t)p, bytes, pages != PAGES_SMALL);
    vm_lock(&vm_extents_lock);
    if (!p)
        return NULL;
    struct vm_extent *e = enter_mapping((uintptr_t)p, bytes, huge);
    if (!e)
        return NULL;
    VM_PROBE2(libvmalloc, extent_map, p, bytes);
    coalesce(e, VM_EXTENT_CLEAN);
    to_free(e, VM_EXTENT_CLEAN);
    struct vm_extent *whole = e;
    if (use_free(&e, size, align)) {
        e->zeroed = true;
        note_fetched(size);
        return e;
    }
    from_free(whole); /* descriptors ran out between the two: give it all back */
    vm_mmu_begin();
    unname_extent(whole);
    vm_mmu_note(VM_MMU_UNMAPPED, whole->base, whole->size);
    vm_mmu_end();
    vm_os.unmap((void *)whole->base, whole->size);
    give_spare(whole);
    return NULL;
}

static struct vm_extent *take_charged(size_t size, size_t align, enum pages pages)
{
    if (!vm_limit_charge(size))
        return NULL;
    struct vm_extent *e = take_mapped(size, align, pages);
    if (!e)
        vm_limit_uncharge(size);
    return e;
}

/* Sends a free extent back: unmapped when nothing of ours lies on one side of it, so that the kernel's mapping only
   shrinks; else purged and kept as clean address space.  Called with the lock, which it drops meanwhile. */
static void return_extent(struct vm_extent *e)
{
    bool dirty = e->state == VM_EXTENT_DIRTY;
    bool at_edge = e->huge || !extent_named_at(e->base - 1) || !extent_named_at(e->base + e->size);

    from_free(e);
    if (at_edge) {
        vm_mmu_begin();
        unname_extent(e);
        vm_mmu_note(VM_MMU_UNMAPPED, e->base, e->size);
        vm_mmu_end();
    }
    vm_unlock(&vm_extents_lock);
    bool gone = at_edge && vm_os.unmap((void *)e->base, e->size) == 0;
    bool purged = !gone && (!dirty || vm_os.purge((void *)e->base, e->size) == 0);
    if (purged && dirty)
        vm_mmu_note(VM_MMU_PURGED, e->base, e->size);
    vm_lock(&vm_extents_lock);
    vm_limit_uncharge(dirty ? e->size : 0);
    if (gone) {
        VM_PROBE2(libvmalloc, extent_unmap, e->base, e->size);
        give_spare(e);
        return;
    }
    if (at_edge) { /* the kernel refused to unmap: it stays ours; its tables came back to the spares just now */
        vm_mmu_begin();
        if (!reserve_tables(e->base, e->size, 0)) {
            vm_mmu_end(); /* no way to name it any more: it is lost as address space, purged or not */
            give_spare(e);
            return;
        }
        vm_mmu_note_mapped(e->base, e->size, VM_KIND_EXTENT, e);
        if (!purged) { /* present as it was */
            vm_mmu_note(VM_MMU_OUT, e->base, e->size);
            vm_mmu_note(VM_MMU_KEPT, e->base, e->size);
        }
        name_extent(e);
        vm_mmu_end();
    }
    enum vm_extent_state state = purged ? VM_EXTENT_CLEAN : VM_EXTENT_DIRTY;
    e->zeroed = purged;
    vm_limit_recharge(purged ? 0 : e->size);
    coalesce(e, state);
    to_free(e, state);
}

/* Cuts a dirty extent after `size` bytes, where descriptors and tables are to be had; the rest keeps its age. */
static void cut_dirty(struct vm_extent *e, size_t size)
{
    if (!reserve_spares(1))
        return;
    vm_mmu_begin();
    struct vm_extent *rest = NULL;
    if (reserve_tables(e->base, e->size, e->base + size)) {
        from_free(e);
        rest = cut(e, size);
    }
    vm_mmu_end();
    if (!rest)
        return;
    to_free(e, VM_EXTENT_DIRTY);
    to_free(rest, VM_EXTENT_DIRTY);
    vm_list_remove(&rest->list);
    vm_list_push_front(&dirty_list, &rest->list);
}

/* Where huge pages are a question at all: by themselves, on systems that have them, for so many bytes that come and go or
   are in use. */
static bool may_ask_for_huge(size_t bytes, size_t at_least)
{
    return bytes >= at_least && vm_huge_mode() == VM_THP_AUTO && vm_huge_system() == VM_THP_SYSTEM_MADVISE;
}

/* One of some extents that go back is looked at, for the wave that may ask for them again. */
static void look_at_return(const struct vm_extent *e)
{
    if (e->huge || ++returns % VM_THP_RETURN_TURN != 0
        || !may_ask_for_huge(vm_keep_owed(&keep) + keep.credit, VM_THP_WAVE_MIN / 4))
        return;
    size_t looked = vm_min(e->size, VM_THP_BYTES);
    long found = vm_os.resident((void *)e->base, looked);
    if (found >= 0)
        vm_thp_note_return(&thp, (size_t)found, looked / vm_os.page_size);
}

/* Returns dirty extents, oldest first, down to the target, of a large one no more than that takes; a refused one ends the
   round. */
static void return_dirty(size_t target)
{
    size_t returned = 0;

    end_slots();
    while (dirty_bytes > target && !vm_list_empty(&dirty_list)) {
        struct vm_extent *e = VM_CONTAINER_OF(dirty_list.next, struct vm_extent, list);
        size_t excess = vm_align_up(dirty_bytes - target, vm_os.page_size);
        if (e->size >= excess + GROW_MIN)
            cut_dirty(e, excess);
        size_t before = dirty_bytes, size = e->size;
        look_at_return(e);
        return_extent(e);
        if (dirty_bytes >= before)
            break;
        returned += size;
    }
    if (returned > 0)
        vm_keep_returned(&keep, returned, vm_os.now());
}

/* Unmaps the largest clean extents that lie at an edge until at most `target` bytes of address space are kept. */
static void return_clean(size_t target)
{
    while (clean_bytes > target) {
        struct vm_tree_node *n = clean_tree.root;
        while (n && n->right)
            n = n->right;
        size_t before = clean_bytes;
        if (!n)
            return;
        return_extent(VM_CONTAINER_OF(n, struct vm_extent, node));
        if (clean_bytes >= before)
            return;
    }
}

/* In large programs, for large extents. */
static bool asks_for_huge(size_t size)
{
    return size >= VM_THP_EXTENT_MIN && may_ask_for_huge(live_bytes + vm_frames_used(), VM_THP_HEAP_MIN);
}

/* Looks where a live extent was touched, as long as that tells anything: it was handed out without a page.  Before its end
   it can only be found dense: it may be yet to be filled. */
static void bear_witness(const struct vm_extent *e, bool at_end)
{
    if (e == witness)
        witness = NULL;
    if (!e->zeroed || e->huge || !asks_for_huge(e->size))
        return;
    uintptr_t first = vm_align_up(e->base, VM_THP_BYTES);
    size_t chunks = (e->base + e->size - first) / VM_THP_BYTES, resident = 0, looked = 0;
    for (size_t i = 0; i < WITNESS_LOOKS && i < chunks; i++) {
        size_t chunk = chunks <= WITNESS_LOOKS ? i : i * (chunks - 1) / (WITNESS_LOOKS - 1);
        long found = vm_os.resident((void *)(first + chunk * VM_THP_BYTES), VM_THP_BYTES);
        if (found < 0)
            return; /* no evidence */
        resident += (size_t)found;
        looked += VM_THP_BYTES / vm_os.page_size;
    }
    if (at_end || vm_thp_is_dense(resident, looked))
        vm_thp_note_extent(&thp, resident, looked);
}

/* Which pages does an extent that is about to be made earn?  The one made before it is a witness now. */
static enum pages earned_pages(size_t size)
{
    size_t owed = vm_keep_owed(&keep);

    if (owed > 0 && may_ask_for_huge(owed + keep.credit, VM_THP_WAVE_MIN)
        && vm_thp_map_wave(&thp, owed, keep.credit, vm_os.now()))
        return PAGES_WAVE;
    if (!asks_for_huge(size))
        return PAGES_SMALL;
    if (witness)
        bear_witness(witness, false);
    return vm_thp_open_extent(&thp, size, vm_os.now()) ? PAGES_HUGE : PAGES_SMALL;
}

/* Takes the first faults of a fresh extent, to see what a huge page costs, until one was cheap; of a mapping that it shares,
   where it holds the first byte of a huge page. */
static void touch_huge(struct vm_extent *e, enum pages pages)
{
    size_t least = pages == PAGES_WAVE ? 1 : VM_THP_BYTES;
    uintptr_t at = vm_align_up(e->base, VM_THP_BYTES);
    uint64_t ns = UINT64_MAX;

    for (unsigned i = 0; i < VM_THP_COST_LOOKS && at + least <= e->base + e->size && ns > VM_THP_COST_MAX_NS; i++) {
        ns = vm_huge_time_touch(at);
        at += VM_THP_BYTES;
        vm_lock_outer(&vm_extents_lock);
        vm_thp_note_cost(&thp, ns, vm_os.now());
        vm_unlock(&vm_extents_lock);
    }
}

struct vm_extent *vm_extent_take_warm(size_t bytes, size_t align)
{
    size_t size = vm_align_up(bytes, vm_os.page_size);
    struct vm_extent *e = vm_warm_take(size, align);

    if (!e)
        return NULL;
    vm_mmu_note(VM_MMU_OUT, e->base, e->size);
    if (VM_LIKELY((e->base & (align - 1)) == 0))
        return e;
    vm_extent_free(e); /* it was moved between the look at it and the taking */
    return NULL;
}

static struct vm_extent *alloc(size_t bytes, size_t align, bool zero)
{
    size_t size = vm_align_up(bytes, vm_os.page_size);

    if (size < bytes || size > PTRDIFF_MAX)
        return NULL;
    align = vm_max(align, vm_os.page_size);
    struct vm_extent *e = vm_extent_take_warm(bytes, align);
    if (e)
        return e;
    vm_lock_outer(&vm_extents_lock);
    enum pages pages = earned_pages(size);
    warm_to_dirty();
    e = take_kept(size, align, pages, zero);
    if (!e)
        e = take_charged(size, align, pages);
    if (!e && (dirty_bytes > 0 || clean_bytes > 0)) { /* refused: what we keep may be what is missing */
        return_dirty(0);
        return_clean(0);
        e = take_charged(size, align, PAGES_SMALL);
    }
    if (e) {
        VM_STORE(&live_bytes, live_bytes + e->size);
        live_count++;
        vm_mmu_note(VM_MMU_OUT, e->base, e->size);
        vm_age_used(&age, dirty_bytes);
        vm_keep_set(&keep, dirty_bytes);
        witness = e->zeroed && size >= VM_THP_EXTENT_MIN ? e : witness;
    }
    vm_unlock(&vm_extents_lock);
    if (pages != PAGES_SMALL && e && e->huge && e->zeroed)
        touch_huge(e, pages);
    return e;
}

struct vm_extent *vm_extent_alloc(size_t bytes, size_t align) { return alloc(bytes, align, false); }
struct vm_extent *vm_extent_alloc_zero(size_t bytes, size_t align) { return alloc(bytes, align, true); }

/* Is hardly a page of a live extent resident, as far as a few of them show?  The first one found ends the looking. */
static bool is_hollow(const struct vm_extent *e)
{
    if (vm_os.is_confined())
        return false;
    for (size_t i = 0; i < CLEAR_LOOKS; i++)
        if (vm_os_resident((void *)(e->base + e->size / CLEAR_LOOKS * i + e->size / (2 * CLEAR_LOOKS))) != 0)
            return false;
    return true;
}

void vm_extent_clear(struct vm_extent *e, size_t bytes)
{
    if (bytes >= CLEAR_LOOK_MIN && !e->huge && is_hollow(e) && vm_os.purge((void *)e->base, e->size) == 0) {
        vm_mmu_note(VM_MMU_PURGED, e->base, e->size);
        vm_mmu_note(VM_MMU_OUT, e->base, e->size);
        return;
    }
    memset((void *)e->base, 0, bytes);
    vm_mmu_note(VM_MMU_TOUCHED, e->base, bytes);
}

/* Bytes of dirty extents that may be kept now. */
static size_t keep_bound(void)
{
    note_warm_used();
    size_t bound = vm_keep_bound(&keep, live_bytes + vm_frames_used(), vm_frames_kept(), vm_os.now());
    return vm_limit_strained() ? vm_policy_strained_bound(bound, live_bytes) : bound;
}

bool vm_extent_put_warm(struct vm_extent *e) { return !vm_limit_strained() && vm_warm_put(e); }

void vm_extent_free(struct vm_extent *e)
{
    if (vm_extent_put_warm(e))
        return;
    vm_lock_outer(&vm_extents_lock);
    bear_witness(e, true);
    account_freed(e->size, 1);
    freed_lately[freed_next++ % FREED_LATELY] = e->base;
    vm_mmu_note(VM_MMU_KEPT, e->base, e->size);
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_IN_FLIGHT);
    e->zeroed = false;
    size_t bound = keep_bound();
    if (dirty_bytes + e->size <= bound && flight_to_warm(e)) {
        vm_sleeper_rouse();
        vm_unlock(&vm_extents_lock);
        return;
    }
    coalesce(e, VM_EXTENT_DIRTY);
    to_free(e, VM_EXTENT_DIRTY);
    if (dirty_bytes > bound)
        return_dirty(vm_keep_target(bound));
    if (clean_bytes > CLEAN_MAX)
        return_clean(CLEAN_MAX / 2);
    vm_sleeper_rouse();
    vm_unlock(&vm_extents_lock);
}

/* Cuts the tail off a live extent and frees it. */
static bool shrink(struct vm_extent *e, size_t size)
{
    if (!reserve_spares(1))
        return false;
    vm_mmu_begin();
    bool ready = reserve_tables(e->base, e->size, e->base + size);
    struct vm_extent *tail = ready ? cut(e, size) : NULL;
    vm_mmu_end();
    if (!tail)
        return false;
    account_freed(tail->size, 0);
    vm_mmu_note(VM_MMU_KEPT, tail->base, tail->size);
    tail->zeroed = false;
    coalesce(tail, VM_EXTENT_DIRTY);
    to_free(tail, VM_EXTENT_DIRTY);
    size_t bound = keep_bound();
    if (dirty_bytes > bound)
        return_dirty(vm_keep_target(bound));
    vm_sleeper_rouse();
    return true;
}

/* Grows into the free extent above, if it is large enough. */
static bool grow_in_place(struct vm_extent *e, size_t size)
{
    struct vm_extent *above = extent_named_at(e->base + e->size);
    size_t more = size - e->size;

    if (above && state_of(above) == VM_EXTENT_WARM) {
        warm_to_dirty();
        above = extent_named_at(e->base + e->size);
    }
    if (!above || (state_of(above) != VM_EXTENT_DIRTY && state_of(above) != VM_EXTENT_CLEAN) || above->size < more
        || above->huge != e->huge)
        return false;
    bool clean = state_of(above) == VM_EXTENT_CLEAN;
    if (clean && !vm_limit_charge(more))
        return false;
    if (!use_free(&above, more, vm_os.page_size)) {
        vm_limit_uncharge(clean ? more : 0);
        return false;
    }
    vm_mmu_begin();
    bool ready = reserve_tables(e->base, e->size + more, 0);
    if (ready) {
        unname_border(above->base);
        e->size += more;
        name_extent(e);
        vm_mmu_note(VM_MMU_OUT, e->base + e->size - more, more);
    }
    vm_mmu_end();
    if (!ready) { /* what was clean stays charged, as it counts as dirty from here on */
        VM_STORE(&above->state, (uint8_t)VM_EXTENT_IN_FLIGHT);
        above->zeroed = false;
        to_free(above, VM_EXTENT_DIRTY);
        return false;
    }
    VM_STORE(&live_bytes, live_bytes + more);
    e->zeroed = false;
    if (clean)
        note_fetched(more);
    give_spare(above);
    return true;
}

/* Lets the kernel extend the mapping or move its pages elsewhere. */
static bool grow_remapped(struct vm_extent *e, size_t size)
{
    size_t old = e->size;

    if (!vm_limit_charge(size - old))
        return false;
    /* Other threads may map what the move leaves behind at once: the old names go before it. */
    vm_mmu_begin();
    bool ready = vm_mmu_reserve(2 * VM_MMU_PAGE_NEED);
    if (ready) {
        unname_extent(e);
        void *moved = vm_os.remap((void *)e->base, old, size);
        if (moved) {
            vm_mmu_note_moved(e->base, old, (uintptr_t)moved, size);
            VM_STORE(&e->base, (uintptr_t)moved);
            e->size = size;
        }
        name_extent(e); /* the tables are there either way */
    }
    vm_mmu_end();
    if (e->size != size) {
        vm_limit_uncharge(size - old);
        return false;
    }
    VM_STORE(&live_bytes, live_bytes + (size - old));
    e->zeroed = false;
    note_fetched(size - old);
    return true;
}

/* Makes the largest dirty extent, which is too small, large enough, so that its pages serve instead of lying beside fresh
   ones; NULL: it cannot be done or does not pay.  live_bytes is left to the caller, as in the other ways to take one. */
static struct vm_extent *take_grown(size_t size)
{
    struct vm_tree_node *n = dirty_tree.root;

    while (n && n->right)
        n = n->right;
    struct vm_extent *e = n ? VM_CONTAINER_OF(n, struct vm_extent, node) : NULL;
    if (!e || e->size < GROWN_MIN || e->size < size / GROWN_SHARE || e->huge)
        return NULL;
    size_t had = e->size;
    if (!use_free(&e, had, vm_os.page_size))
        return NULL;
    if (grow_in_place(e, size) || grow_remapped(e, size)) {
        VM_STORE(&live_bytes, live_bytes - (size - had));
        e->zeroed = false;
        return e;
    }
    VM_STORE(&e->state, (uint8_t)VM_EXTENT_IN_FLIGHT);
    coalesce(e, VM_EXTENT_DIRTY);
    to_free(e, VM_EXTENT_DIRTY);
    return NULL;
}

static bool grow(struct vm_extent *e, size_t size, bool stay)
{
    if (grow_in_place(e, size) || (!stay && grow_remapped(e, size)))
        return true;
    if (stay || !vm_limit_is_hard() || dirty_bytes == 0)
        return false;
    return_dirty(0); /* what we keep may be what the limit lacks */
    return grow_in_place(e, size) || grow_remapped(e, size);
}

bool vm_extent_resize(struct vm_extent *e, size_t bytes, bool stay)
{
    size_t size = vm_align_up(bytes, vm_os.page_size);
    bool done = false;

    if (size < bytes || size > PTRDIFF_MAX || size == 0)
        return false;
    vm_lock_outer(&vm_extents_lock);
    if (size == e->size)
        done = true;
    else if (size < e->size)
        done = shrink(e, size);
    else
        done = grow(e, size, stay);
    vm_age_used(&age, dirty_bytes);
    vm_unlock(&vm_extents_lock);
    if (done)
        vm_warm_note(e);
    return done;
}

static bool is_live_at(const struct vm_extent *e, uintptr_t address)
{
    return e && VM_LOAD(&e->base) == address && state_of(e) == VM_EXTENT_LIVE;
}

struct vm_extent *vm_extent_at(uintptr_t address)
{
    struct vm_extent *e = vm_warm_noted(); /* what was handed out or grown last is often asked for next */

    if (is_live_at(e, address))
        return e;
    e = extent_named_at(address);
    return is_live_at(e, address) ? e : NULL;
}

/* What is of use to others. */
static void copy_of(struct vm_extent *copy, const struct vm_extent *e)
{
    *copy = (struct vm_extent){
        .base = e->base, .size = e->size, .state = state_of(e), .zeroed = e->zeroed, .huge = e->huge};
}

bool vm_extent_find(uintptr_t address, struct vm_extent *copy)
{
    struct vm_extent *found = NULL;

    vm_lock_outer(&vm_extents_lock);
    /* Only the ends of an extent are named: step down page by page to the first page of the one that covers us.  Far
       enough for any message; a block larger than that is reported as not ours. */
    for (uintptr_t at = page_down(address), steps = 0; at != 0 && steps < 1u << 20 && !found; at -= 4096, steps++) {
        struct vm_extent *e = extent_named_at(at);
        if (e && e->base <= address && address < e->base + e->size)
            found = e;
        else if (e)
            break;
    }
    if (found)
        copy_of(copy, found);
    vm_unlock(&vm_extents_lock);
    return found != NULL;
}

size_t vm_extents_from(uintptr_t *address, struct vm_extent *copy, size_t room)
{
    size_t n = 0, bytes;
    uintptr_t at = page_down(*address);

    vm_lock_outer(&vm_extents_lock);
    while (n < room) {
        struct vm_extent *e = vm_pte_kind(vm_mmu_run(at, &bytes)) == VM_KIND_EXTENT ? extent_named_at(at) : NULL;
        if (e && e->base == at && state_of(e) == VM_EXTENT_LIVE)
            copy_of(&copy[n++], e);
        bytes = e && e->base == at ? e->size : bytes;
        if (__builtin_add_overflow(at, bytes, &at)) {
            at = 0;
            break;
        }
    }
    vm_unlock(&vm_extents_lock);
    *address = at;
    return n;
}

bool vm_extent_freed_lately(uintptr_t address)
{
    bool found = false;

    vm_lock_outer(&vm_extents_lock);
    for (unsigned i = 0; i < FREED_LATELY; i++)
        found |= freed_lately[i] == address && address != 0;
    vm_unlock(&vm_extents_lock);
    return found;
}

bool vm_extents_trim(void)
{
    vm_lock_outer(&vm_extents_lock);
    end_slots();
    size_t before = dirty_bytes + clean_bytes;
    return_dirty(0);
    return_clean(0);
    bool trimmed = dirty_bytes + clean_bytes < before;
    vm_unlock(&vm_extents_lock);
    return trimmed;
}

/* Returns how many bytes went back. */
static size_t keep_at_most(size_t bytes)
{
    end_slots();
    size_t before = dirty_bytes;
    return_dirty(bytes);
    return before > dirty_bytes ? before - dirty_bytes : 0;
}

size_t vm_extents_keep(size_t bytes)
{
    vm_lock_outer(&vm_extents_lock);
    size_t returned = dirty_bytes > bytes ? keep_at_most(bytes) : 0;
    vm_unlock(&vm_extents_lock);
    return returned;
}

size_t vm_extents_age(uint64_t decay_ns)
{
    vm_lock_outer(&vm_extents_lock);
    note_warm_used();
    size_t stay = vm_age_look(&age, dirty_bytes, vm_os.now(), decay_ns, vm_limit_strained());
    size_t returned = dirty_bytes > stay ? keep_at_most(stay) : 0;
    vm_unlock(&vm_extents_lock);
    return returned;
}

size_t vm_extents_claimed(void) { return VM_LOAD(&dirty_bytes); }

size_t vm_extents_kept(void)
{
    size_t count, out = vm_warm_out(&count), claimed = vm_extents_claimed();
    return claimed - vm_min(out, claimed);
}

size_t vm_extents_used(void)
{
    size_t count;
    return VM_LOAD(&live_bytes) + vm_warm_out(&count);
}

void vm_extents_settle(size_t grown)
{
    if (vm_lock_is_mine(&vm_extents_lock))
        return; /* in a signal handler that interrupted us here */
    vm_lock(&vm_extents_lock);
    size_t share = VM_KEEP_SHARE(live_bytes);
    if (dirty_bytes > share)
        return_dirty(vm_max(share, dirty_bytes - vm_min(dirty_bytes, grown)));
    vm_unlock(&vm_extents_lock);
}

void vm_extents_stats(struct vm_extents_stats *s)
{
    vm_lock_outer(&vm_extents_lock);
    size_t count, out = vm_warm_out(&count);
    s->live = live_bytes + out;
    s->dirty = dirty_bytes - out;
    s->claimed = dirty_bytes;
    s->clean = clean_bytes;
    s->live_count = live_count + count;
    vm_unlock(&vm_extents_lock);
}

static bool check_node(const struct vm_tree_node *n, enum vm_extent_state state, size_t *bytes)
{
    if (!n)
        return true;
    struct vm_extent *e = VM_CONTAINER_OF((struct vm_tree_node *)(uintptr_t)n, struct vm_extent, node);
    struct vm_extent *above = extent_named_at(e->base + e->size);
    *bytes += e->size;
    return e->state == state && n->key == e->size && n->order == e->base && extent_named_at(e->base) == e
           && extent_named_at(e->base + e->size - 1) == e && !(above && above->state == state && above->huge == e->huge)
           && check_node(n->left, state, bytes) && check_node(n->right, state, bytes);
}

bool vm_extent_check(void)
{
    size_t dirty = 0, clean = 0;

    vm_lock_outer(&vm_extents_lock);
    bool good = vm_tree_check(&dirty_tree) >= 0 && vm_tree_check(&clean_tree) >= 0
                && check_node(dirty_tree.root, VM_EXTENT_DIRTY, &dirty)
                && check_node(clean_tree.root, VM_EXTENT_CLEAN, &clean) && clean == clean_bytes;
    for (unsigned i = 0; i < VM_WARM_SLOTS; i++) {
        struct vm_extent *e;
        size_t size = vm_warm_slot(i, &e);
        good = good && (!e || (e->state == VM_EXTENT_WARM && e->size == size && extent_named_at(e->base) == e));
        dirty += size;
    }
    good = good && dirty == dirty_bytes;
    unsigned count = 0;
    for (struct vm_list *l = spares.next; l != &spares; l = l->next)
        count++;
    good = good && count == spare_count;
    vm_unlock(&vm_extents_lock);
    return good;
}
