/* The misses of the malloc family: everything the hit paths of heap_fast.h do not settle.  See heap.h. */
#include "heap/heap.h"

#include <sched.h>
#include <string.h>

#include "base/fail.h"
#include "heap/count.h"
#include "heap/heap_fast.h"
#include "heap/misuse.h"
#include "heap/remote.h"
#include "heap/slab.h"
#include "os/os.h"
#include "page/extent.h"
#include "vm/mmu.h"
#include "reclaim/limit.h"
#include "reclaim/policy.h"

uint64_t vm_secret;

/* A large block that grows asks for an eighth of its size more, so that growing by small steps does not remap at every
   step; the surplus is address space until it is touched. */
#define GROWTH_SHARE 8
/* So does a block in a slab of VM_STEPS_FROM or more that moves, if it grows by less than half. */

#define AWAIT_NS ((uint64_t)200000000) /* unmapping a GiB of small pages takes 0.06 s (2026-11-22) */

/* Slow: a block of the class from the heap, whose lock is held or whose list is not empty. */
static struct vm_block *pop_or_refill(struct vm_heap *h, unsigned class_id, bool *fresh)
{
    struct vm_page *slab = vm_heap_currents(h)[class_id];

    *fresh = false;
    if (slab->free == VM_BLOCK_END)
        slab = vm_slab_refill(h, class_id, fresh);
    if (!slab)
        return NULL;
    if (!vm_is_sealed(slab->free))
        vm_fatal("malloc(): free block %p was written to after it was freed", (void *)slab->free);
    return vm_slab_pop(slab, slab->free);
}

static struct vm_block *take_block(unsigned class_id, bool *fresh)
{
    struct vm_heap *h = vm_heap_mine();
    struct vm_block *b = NULL;

    if (!h) { /* past the thread's end, or no memory for a heap */
        h = vm_heap_shared();
        if (!h)
            return NULL;
    } else if (vm_heap_currents(h)[class_id]->free != VM_BLOCK_END) { /* a hit, through a front */
        return pop_or_refill(h, class_id, fresh);
    }
    if (vm_lock_is_mine(&h->lock))
        return NULL; /* as interrupted_ourselves() */
    vm_lock_outer(&h->lock);
    b = pop_or_refill(h, class_id, fresh);
    vm_unlock(&h->lock);
    return b;
}

/* A signal handler interrupted one of our slow paths in this very thread: a shortage, or a block that is not freed, is
   better than waiting for ourselves. */
static bool interrupted_ourselves(void)
{
    const struct vm_heap *h = vm_tls->real;
    return vm_lock_is_mine(&vm_extents_lock) || (h && vm_lock_is_mine(&h->lock));
}

size_t vm_heap_accounted(void) { return vm_frames_used() + vm_frames_kept() + vm_extents_used() + vm_extents_kept(); }

static bool is_on_its_way(void) { return VM_LOAD(&vm_limits.charged) > vm_heap_accounted(); }

/* Slow, under a hard limit: what other threads are giving back is charged until the system has it.  Waits for that, AWAIT_NS
   at most: who gives back may be who a signal handler interrupted here. */
static void await_returns(void)
{
    if (!is_on_its_way() || vm_os.is_confined()) /* to yield would be a call of a new kind */
        return;
    uint64_t until = vm_os.now() + AWAIT_NS;
    while (is_on_its_way() && vm_os.now() < until)
        sched_yield();
}

/* Slow: n bytes are refused, by the system or by the hard limit.  True when there may be room now. */
static bool give_back(size_t n)
{
    struct vm_frames_stats frames;
    bool hard = vm_limit_is_hard();

    vm_frames_stats(&frames);
    if (n > frames.brk_bytes + frames.zone_bytes && !hard)
        return false; /* not even all of it would do */
    vm_heaps_collect();
    bool given = vm_frames_trim(0);
    if (hard)
        await_returns();
    return given || hard;
}

static void *alloc_large(size_t n, size_t align, bool zero)
{
    if (interrupted_ourselves())
        return NULL;
    struct vm_extent *(*take)(size_t bytes, size_t alignment) = zero ? vm_extent_alloc_zero : vm_extent_alloc;
    struct vm_extent *e = take(n, align);
    if (!e && give_back(n))
        e = take(n, align);
    if (!e)
        return NULL;
    if (zero && !e->zeroed)
        vm_extent_clear(e, n);
    return (void *)e->base;
}

/* Slow: the same for a small block. */
static bool give_back_for_block(void)
{
    if (interrupted_ourselves())
        return false;
    bool given = vm_extents_trim();
    if (vm_limit_is_hard()) {
        vm_heaps_collect(); /* may find blocks even when nothing goes back */
        vm_frames_keep(0);
        await_returns();
        given = true;
    }
    return given;
}

static void *alloc_small(size_t n, unsigned class_id, bool zero)
{
    bool fresh = false;
    struct vm_block *b = take_block(class_id, &fresh);

    if (!b && give_back_for_block())
        b = take_block(class_id, &fresh);
    if (b && zero)
        memset(b, 0, fresh ? sizeof *b : n);
    return b;
}

/* Slow: beyond the soft limit, or when the system is short of memory, little of what is free is kept. */
static VM_COLD void ease_strain(void)
{
    if (interrupted_ourselves())
        return;
    if (vm_extents_kept() > VM_POLICY_STRAINED_MAX)
        vm_extents_keep(0);
    if (vm_frames_kept() > VM_POLICY_STRAINED_MAX)
        vm_frames_keep(0);
}

static void *try_alloc(size_t n, size_t align, bool zero)
{
    unsigned class_id = vm_class_for(n, align);

    if (n > PTRDIFF_MAX)
        return NULL;
    void *p = class_id == 0 ? alloc_large(vm_max(n, 1), align, zero) : alloc_small(n, class_id, zero);
    if (VM_UNLIKELY(vm_limit_strained()) && p)
        ease_strain();
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_counting) && p)
        vm_count_slow(class_id, n, align);
    return p;
}

void *vm_heap_alloc_warm(size_t n, size_t align, bool zero)
{
    if (VM_LIKELY(n < VM_SMALL_LIMIT) || (VM_INSTRUMENT && VM_UNLIKELY(vm_counting)))
        return NULL;
    const struct vm_extent *e = vm_extent_take_warm(n, align);
    if (!e)
        return NULL;
    if (zero) {
        memset((void *)e->base, 0, n);
        vm_mmu_note(VM_MMU_TOUCHED, e->base, n);
    }
    return (void *)e->base;
}

void *vm_heap_alloc(size_t n, size_t align, bool zero)
{
    void *p = try_alloc(n, align, zero);

    if (VM_UNLIKELY(!p) && n <= PTRDIFF_MAX && !interrupted_ourselves() && vm_frames_shed_reserve())
        p = try_alloc(n, align, zero);
    if (VM_UNLIKELY(!p)) {
        unsigned class_id = vm_class_for(n, align);
        vm_limit_note_failure(class_id == 0 ? n : vm_classes[class_id].frames * VM_FRAME_BYTES);
    }
    return p;
}

/* May a large block, or one of a mapped zone, start here? */
static bool may_be_mapped(const void *p)
{
    return ((uintptr_t)p & (vm_os.page_size - 1)) == 0 && (uintptr_t)p - vm_brk.base >= VM_LOAD(&vm_brk.size);
}

/* The large block at the address, NULL if it is none. */
static struct vm_extent *large_at(const void *p) { return may_be_mapped(p) ? vm_extent_at((uintptr_t)p) : NULL; }

/* The slab of a live block, or NULL when the address is in no slab; dies when it is in one but no live block. */
static struct vm_page *slab_of_live(const void *p, const char *call, bool freeing)
{
    struct vm_page *page = vm_page_of((uintptr_t)p);

    if (!page)
        return NULL;
    struct vm_page *slab = vm_slab_of_frame(page);
    if (VM_UNLIKELY(!vm_slab_has_block(slab, p) || (vm_may_be_sealed(p) && vm_is_sealed(p))))
        vm_misuse(p, call, freeing);
    return slab;
}

static void free_in_slab(struct vm_page *slab, struct vm_block *b)
{
    struct vm_heap *h = vm_heap_mine();

    if (!h) {
        vm_remote_send_one(VM_LOAD(&slab->owner), b);
    } else if (VM_LOAD(&slab->owner) != h) {
        vm_remote_free(h, slab, b);
    } else {
        vm_slab_take_back(slab, b);
    }
}

bool vm_heap_free_warm(void *p)
{
    struct vm_extent *e = large_at(p);
    return e && vm_extent_put_warm(e);
}

void vm_heap_free(void *p, const char *call)
{
    if (!p)
        return;
    struct vm_extent *e = large_at(p);
    struct vm_page *slab = e ? NULL : slab_of_live(p, call, true);
    if (slab)
        free_in_slab(slab, p);
    else if (!e)
        vm_misuse(p, call, true);
    else if (!interrupted_ourselves())
        vm_extent_free(e);
}

size_t vm_heap_usable(const void *p, const char *call, bool freeing)
{
    const struct vm_extent *e = large_at(p);

    if (e)
        return e->size;
    const struct vm_page *slab = slab_of_live(p, call, freeing);
    if (!slab)
        vm_misuse(p, call, freeing);
    return slab->size;
}

/* slab: that p lies in, or NULL. */
static void *move(void *p, struct vm_page *slab, size_t old, size_t n, const char *call)
{
    void *q = NULL;

    if (slab && old >= VM_STEPS_FROM && n > old && n - old < old / 2
        && n < VM_SMALL_LIMIT) /* a small request stays small */
        q = try_alloc(vm_min(n + n / GROWTH_SHARE, (size_t)VM_SMALL_LIMIT - 1), VM_BLOCK_MIN, false);
    if (!q)
        q = VM_INSTRUMENT && vm_tls->tap ? vm_tap_any_hit(vm_tls->tap, n, VM_BLOCK_MIN) : vm_malloc_hit(n);
    if (!q)
        q = vm_heap_alloc(n, VM_BLOCK_MIN, false);
    if (!q)
        return NULL;
    memcpy(q, p, vm_min(old, n));
    if (slab)
        free_in_slab(slab, p);
    else
        vm_heap_free(p, call);
    return q;
}

/* Pages that a block does not need any more go back, unless they are no more than growth asks for ahead. */
static bool has_room(const struct vm_extent *e, size_t n)
{
    return n - 1 < e->size && e->size - n <= e->size / GROWTH_SHARE;
}

bool vm_heap_has_room(const void *p, size_t n)
{
    const struct vm_extent *e = large_at(p);
    return e && has_room(e, n);
}

static void *realloc_large(struct vm_extent *e, size_t n, const char *call)
{
    if (n <= e->size) { /* stays where it is */
        if (!has_room(e, n) && !interrupted_ourselves())
            vm_extent_resize(e, n, true);
        return (void *)e->base;
    }
    if (interrupted_ourselves())
        return NULL;
    size_t roomy = vm_min(n + e->size / GROWTH_SHARE, (size_t)PTRDIFF_MAX);
    if (vm_extent_resize(e, roomy, true) || vm_extent_resize(e, n, true) || vm_extent_resize(e, roomy, false)
        || vm_extent_resize(e, n, false))
        return (void *)e->base;
    if (vm_limit_is_hard() && give_back(n) && vm_extent_resize(e, n, false)) /* both at once would hold it twice */
        return (void *)e->base;
    return move((void *)e->base, NULL, e->size, n, call);
}

void *vm_heap_realloc(void *p, size_t n, const char *call)
{
    struct vm_extent *e = large_at(p);
    struct vm_page *slab = e ? NULL : slab_of_live(p, call, false);

    if (n > PTRDIFF_MAX)
        return NULL;
    if (slab)
        return n <= slab->size ? p : move(p, slab, slab->size, n, call);
    if (!e)
        vm_misuse(p, call, false);
    return realloc_large(e, n, call);
}

void vm_heap_slab_event(struct vm_page *slab)
{
    struct vm_heap *h = slab->owner;

    if (vm_lock_is_mine(&h->lock))
        return; /* a free in a signal handler inside our slow path: the slab is looked at no more, nothing breaks */
    vm_lock_outer(&h->lock);
    if (slab->held == 0)
        vm_slab_event_locked(h, slab);
    vm_unlock(&h->lock);
}
