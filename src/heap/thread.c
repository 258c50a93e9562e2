/* The heaps of threads: birth, end, adoption, and what fork does to them; see heap.h.  vm_heaps_lock guards the list of
   all heaps' writers, the idle list and every heap's state.  Heaps are type-stable: made once, never unmapped. */
#include <string.h>

#include "base/fail.h"
#include "heap/count.h"
#include "heap/remote.h"
#include "heap/slab.h"
#include "os/meta.h"
#include "page/zone.h"

#define ADOPT_LOOKS 8 /* idle heaps looked at for one slab; the list is rotated, so all get their turn */

#define NONE ((struct vm_page *)&vm_slab_none)
/* clang-format off */
#define NO_ENTRIES {.direct = {[0 ... VM_DIRECT_SLOTS - 1] = NONE}, .current = {[0 ... VM_CLASSES - 1] = NONE}}
/* clang-format on */

const struct vm_block vm_block_end;
const struct vm_page vm_slab_none = {.free = (struct vm_block *)&vm_block_end};
const struct vm_heap vm_heap_none = {.hit = NO_ENTRIES, .tap = (struct vm_entries *)&vm_heap_none.hit};
const struct vm_heap vm_heap_gone = {.hit = NO_ENTRIES, .tap = (struct vm_entries *)&vm_heap_gone.hit};

__thread struct vm_heap *vm_tls = (struct vm_heap *)&vm_heap_none;
struct vm_lock vm_heaps_lock = VM_LOCK_INIT(VM_RANK_HEAPS);
void (*vm_thread_begin_hook)(void);

static struct vm_heap *all_heaps; /* newest first; written under vm_heaps_lock, read by anyone */
static struct vm_list idle_heaps; /* under vm_heaps_lock */
static size_t idle_count;
static unsigned live_count;         /* heaps in state LIVE; written under vm_heaps_lock */
static struct vm_heap *shared_heap; /* for threads past their end; const: once made */
static unsigned instrumented;       /* how many want fronts; relaxed */

VM_FACTS vm_heap_facts[] = {VM_FACT_ROOT(heaps, all_heaps), VM_FACT_ROOT(idle_heaps, idle_count), VM_FACT_END};

void vm_heaps_start(bool instrument)
{
    vm_list_init(&idle_heaps);
    instrumented = instrument;
}

static struct vm_heap *make_heap(enum vm_heap_state state)
{
    struct vm_heap *h = vm_meta_alloc(sizeof *h, VM_CACHE_LINE);

    if (!h)
        return NULL;
    h->hit = vm_heap_none.hit;
    if (VM_INSTRUMENT && !vm_tap_make(h))
        return NULL;
    for (unsigned i = 0; i < VM_CLASSES; i++)
        vm_list_init(&h->partial[i]);
    vm_list_init(&h->quiet);
    vm_list_init(&h->sparse);
    h->sparse_keep.floor = VM_SPARSE_FLOOR;
    vm_list_init(&h->idle_link);
    h->lock.rank = VM_RANK_HEAP;
    h->real = h;
    h->state = (uint8_t)state;
    h->next = all_heaps;
    VM_STORE_RELEASE(&all_heaps, h);
    return h;
}

/* A heap whose entries stay empty and whose address owns no slab: every call through it misses. */
static struct vm_heap *front_of(struct vm_heap *h)
{
    if (!h->front) {
        struct vm_heap *front = vm_meta_alloc(sizeof *front, VM_CACHE_LINE);
        if (!front)
            return h;
        front->hit = vm_heap_none.hit;
        front->tap = &front->hit;
        front->real = h;
        h->front = front;
    }
    return h->front;
}

/* Slow: the thread uses its heap itself, or through a front, as is wanted now. */
static VM_COLD void change_face(struct vm_heap *h)
{
    vm_tls = VM_INSTRUMENT && VM_LOAD(&instrumented) > 0 ? front_of(h) : h;
}

void vm_heaps_instrument(bool on)
{
    __atomic_fetch_add(&instrumented, on ? 1 : -1, __ATOMIC_RELAXED);
    if (vm_tls->real)
        change_face(vm_tls->real);
}

/* Under vm_heaps_lock: a live heap whose thread must have ended, since its vm_tls is now ours (libc gives the memory of
   ended threads to new ones).  Such a thread first allocated when its last destructors ran, too late to be told of its
   end. */
static struct vm_heap *left_behind(void)
{
    struct vm_heap *h = all_heaps;

    while (h && !(h->state == VM_HEAP_LIVE && h->seat == &vm_tls))
        h = h->next;
    return h;
}

/* Slow: the calling thread's first need of a heap. */
static VM_COLD struct vm_heap *begin_thread(void)
{
    struct vm_heap *h = NULL;

    vm_lock_outer(&vm_heaps_lock);
    if ((h = left_behind()) != NULL) {
        /* as it is */
    } else if (!vm_list_empty(&idle_heaps)) {
        h = VM_CONTAINER_OF(idle_heaps.next, struct vm_heap, idle_link);
        vm_list_remove(&h->idle_link);
        VM_STORE(&idle_count, idle_count - 1);
        h->state = VM_HEAP_LIVE;
        VM_STORE(&live_count, live_count + 1);
    } else if ((h = make_heap(VM_HEAP_LIVE)) != NULL) {
        VM_STORE(&live_count, live_count + 1);
    }
    if (h)
        h->seat = &vm_tls;
    vm_unlock(&vm_heaps_lock);
    if (!h)
        return NULL;
    /* Somebody may still be taking a slab out of it: from here on nobody starts to. */
    vm_lock(&h->lock);
    vm_unlock(&h->lock);
    vm_tap_begin(h);
    change_face(h);
    if (vm_thread_begin_hook)
        vm_thread_begin_hook();
    return h;
}

struct vm_heap *vm_heap_mine(void)
{
    struct vm_heap *h = vm_tls;

    if (VM_LIKELY(h->real != NULL)) {
        if (VM_INSTRUMENT && VM_UNLIKELY((h != h->real) != (VM_LOAD(&instrumented) > 0)))
            change_face(h->real);
        return h->real;
    }
    return h == &vm_heap_gone ? NULL : begin_thread();
}

struct vm_heap *vm_heap_shared(void)
{
    if (!VM_LOAD_ACQUIRE(&shared_heap)) {
        vm_lock(&vm_heaps_lock);
        if (!shared_heap)
            VM_STORE_RELEASE(&shared_heap, make_heap(VM_HEAP_SHARED));
        vm_unlock(&vm_heaps_lock);
    }
    return shared_heap;
}

struct vm_page **vm_heap_currents(struct vm_heap *h)
{
    return VM_INSTRUMENT && h->tap ? h->tap->current : h->hit.current;
}

unsigned vm_heaps_live(void) { return VM_LOAD(&live_count); }

struct vm_heap *vm_heaps_newest(void) { return VM_LOAD_ACQUIRE(&all_heaps); }

/* Under h's lock: everything h has to give stands in its partial lists afterwards. */
static void quiesce(struct vm_heap *h)
{
    vm_remote_flush(h);
    vm_remote_drain(h);
    vm_slabs_park(h);
}

/* Under vm_heaps_lock. */
static void to_idle(struct vm_heap *h)
{
    h->state = VM_HEAP_IDLE;
    VM_STORE(&live_count, live_count - 1);
    vm_list_push_front(&idle_heaps, &h->idle_link);
    VM_STORE(&idle_count, idle_count + 1);
}

void vm_thread_end(void)
{
    struct vm_heap *h = vm_tls->real;

    if (!h)
        return;
    vm_lock_outer(&h->lock);
    quiesce(h);
    vm_tls = (struct vm_heap *)&vm_heap_gone;
    vm_unlock(&h->lock);
    vm_lock_outer(&vm_heaps_lock);
    to_idle(h);
    vm_unlock(&vm_heaps_lock);
}

bool vm_heaps_adopt_slab(struct vm_heap *h, unsigned class_id)
{
    bool found = false;

    if (VM_LOAD(&idle_count) == 0)
        return false;
    vm_lock(&vm_heaps_lock);
    for (int looks = 0; !found && looks < ADOPT_LOOKS && !vm_list_empty(&idle_heaps); looks++) {
        struct vm_heap *idle = VM_CONTAINER_OF(idle_heaps.next, struct vm_heap, idle_link);
        vm_list_remove(&idle->idle_link);
        vm_list_push_back(&idle_heaps, &idle->idle_link);
        if (!vm_trylock(&idle->lock))
            continue;
        vm_remote_drain(idle);
        found = vm_slab_take_over(h, idle, class_id);
        vm_unlock(&idle->lock);
    }
    vm_unlock(&vm_heaps_lock);
    return found;
}

void vm_heaps_collect(void)
{
    struct vm_heap *mine = vm_tls->real;

    if (mine) {
        vm_lock_outer(&mine->lock);
        vm_slabs_park(mine);
        vm_slabs_return(mine);
        vm_unlock(&mine->lock);
    }
    for (struct vm_heap *h = VM_LOAD_ACQUIRE(&all_heaps); h; h = h->next) {
        if (h == mine || vm_lock_is_mine(&h->lock))
            continue;
        vm_lock_outer(&h->lock);
        if (VM_LOAD(&h->state) == VM_HEAP_IDLE)
            vm_slabs_return(h);
        else
            vm_slabs_return_unused(h);
        vm_unlock(&h->lock);
    }
}

/* Every heap, then the list.  A heap made in between is found on the second look, and made to wait for as well. */
void vm_heaps_fork_lock(bool wait)
{
    struct vm_heap *done = NULL;

    for (;;) {
        struct vm_heap *newest = VM_LOAD_ACQUIRE(&all_heaps);
        for (struct vm_heap *h = newest; h != done; h = h->next)
            vm_lock_for_fork(&h->lock, wait);
        done = newest;
        vm_lock_for_fork(&vm_heaps_lock, wait);
        if (all_heaps == done || !wait)
            return;
        vm_unlock_after_fork(&vm_heaps_lock);
    }
}

void vm_heaps_fork_unlock(void)
{
    vm_unlock_after_fork(&vm_heaps_lock);
    for (struct vm_heap *h = VM_LOAD_ACQUIRE(&all_heaps); h; h = h->next)
        if (h->lock.kept || vm_lock_is_mine(&h->lock)) /* else it was made after we tried */
            vm_unlock_after_fork(&h->lock);
}

/* In the child: heaps whose locks could not be had were in use by threads that are not here.  Nobody takes anything out
   of them again. */
static void abandon_heaps_in_use(void)
{
    if (vm_lock_forget_holder(&vm_heaps_lock)) {
        vm_list_init(&idle_heaps);
        VM_STORE(&idle_count, 0);
    }
    for (struct vm_heap *h = all_heaps; h; h = h->next)
        if (vm_lock_forget_holder(&h->lock) && h->state == VM_HEAP_IDLE) {
            h->state = VM_HEAP_LIVE;
            if (idle_count > 0) {
                vm_list_remove(&h->idle_link);
                VM_STORE(&idle_count, idle_count - 1);
            }
        }
}

void vm_heaps_fork_child(bool interrupted)
{
    struct vm_heap *mine = vm_tls->real;

    abandon_heaps_in_use();
    /* Forked inside one of our own critical sections, by a signal handler: what it interrupted may be half done, so the
       other heaps stay as they are.  Their blocks can still be freed; what they had to give is not used again. */
    interrupted |= vm_heaps_lock.kept || (mine && mine->lock.kept);
    for (struct vm_heap *h = all_heaps; h; h = h->next) {
        if (h == mine || h->state != VM_HEAP_LIVE)
            continue;
        h->seat = NULL;
        if (interrupted)
            continue;
        quiesce(h);
        to_idle(h);
    }
}

static void count_slab(struct vm_page *slab, void *arg)
{
    struct vm_heaps_stats *s = arg;

    s->slab_bytes += VM_LOAD(&slab->carved) * slab->size;
    s->used_bytes += vm_slab_out(slab) * slab->size;
}

void vm_heaps_stats(struct vm_heaps_stats *s)
{
    *s = (struct vm_heaps_stats){0};
    for (struct vm_heap *h = VM_LOAD_ACQUIRE(&all_heaps); h; h = h->next)
        s->heaps++;
    s->idle = VM_LOAD(&idle_count);
    vm_slabs_each(count_slab, s);
}

struct check {
    const struct vm_heap *mine;
    bool good;
};

static void check_slab(struct vm_page *slab, void *arg)
{
    struct check *c = arg;

    if (slab->owner == c->mine || slab->owner->state == VM_HEAP_IDLE)
        c->good = c->good && vm_slab_check(slab)
                  && (slab->state != VM_SLAB_CURRENT || vm_heap_currents(slab->owner)[slab->serves] == slab);
}

bool vm_heap_check(void)
{
    struct check c = {vm_tls->real, true};

    vm_slabs_each(check_slab, &c);
    return c.good;
}
