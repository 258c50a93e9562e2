/* The slab allocator; see slab.h.

   Invariants (vm_sim_slabs_check): every slab is on one list: full (used = objects), partial, or empty (used = 0); its
   free list and the objects in use are all its objects; its frames name it; colours are multiples of align within what is
   left over; the counts of a cache are those of its slabs; the cache of caches has one object for each other cache. */
#include "sim/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "sim/mem.h"

#define NONE UINT32_MAX
#define SMALLEST_ALIGN 8
#define SMALLEST_KMALLOC_SHIFT 3
#define WASTE_LIMIT 8 /* 1/8 of a slab */
#define ORDER_THAT_WASTES 1

static const struct vm_sim_object no_object;

static uint32_t slab_bytes(unsigned order) { return (uint32_t)VM_SIM_PAGE_SIZE << order; }
static struct vm_sim_slab *slab_of(const struct vm_list *link)
{
    return VM_CONTAINER_OF(link, struct vm_sim_slab, link);
}

static struct vm_list *list_of(struct vm_sim_cache *c, const struct vm_sim_slab *slab)
{
    return slab->used == 0 ? &c->empty : slab->used == c->objects ? &c->full : &c->partial;
}

/* ---- Slabs ---- */

static struct vm_sim_slab *grow(struct vm_sim_slabs *s, struct vm_sim_cache *c, unsigned gfp)
{
    vm_sim_pfn frame = vm_sim_alloc_pages(s->memory, gfp & ~(unsigned)VM_SIM_GFP_HIGHMEM, c->order, VM_SIM_FRAME_SLAB);

    if (frame == VM_SIM_NO_FRAME)
        return NULL;
    struct vm_sim_slab *slab = vm_sim_zalloc(sizeof *slab + c->objects * sizeof slab->next_free[0]);
    slab->cache = c;
    slab->frame = frame;
    slab->colour = c->colour_next * c->align;
    c->colour_next = (c->colour_next + 1) % c->colours;
    for (uint32_t i = 0; i < c->objects; i++)
        slab->next_free[i] = i + 1 < c->objects ? i + 1 : NONE;
    for (uint32_t i = 0; i < 1u << c->order; i++)
        vm_sim_pfn_frame(&s->memory->map, frame + i)->owner = slab;
    vm_list_push_front(&c->empty, &slab->link);
    c->slabs++;
    c->slabs_empty++;
    c->grown++;
    c->constructions += c->has_constructor ? c->objects : 0;
    vm_sim_emit(s->events, VM_SIM_EV(SLAB_GROW, .name = c->name, .frame = frame, .order = (uint8_t)c->order,
                                     .number = slab->colour));
    return slab;
}

static void slab_free(struct vm_sim_slabs *s, struct vm_sim_slab *slab)
{
    struct vm_sim_cache *c = slab->cache;

    vm_list_remove(&slab->link);
    c->slabs--;
    c->slabs_empty -= slab->used == 0;
    vm_sim_free_pages(s->memory, slab->frame, c->order);
    free(slab);
}

static uint64_t reap(struct vm_sim_slabs *s, struct vm_sim_cache *c)
{
    uint64_t frames = 0;

    while (!vm_list_empty(&c->empty)) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a freed one was taken off the list */
        struct vm_sim_slab *slab = slab_of(c->empty.next);
        vm_sim_emit(s->events, VM_SIM_EV(SLAB_REAP, .name = c->name, .frame = slab->frame, .order = (uint8_t)c->order));
        slab_free(s, slab);
        frames += (uint64_t)1 << c->order;
        c->reaped++;
    }
    return frames;
}

uint64_t vm_sim_slabs_reap(struct vm_sim_slabs *s)
{
    uint64_t frames = 0;

    for (struct vm_list *l = s->caches.next; l != &s->caches; l = l->next)
        frames += reap(s, VM_CONTAINER_OF(l, struct vm_sim_cache, link));
    return frames;
}

/* ---- Objects ---- */

/* To the list that its new count tells. */
static void slab_used(struct vm_sim_cache *c, struct vm_sim_slab *slab, uint32_t used)
{
    const struct vm_list *was = list_of(c, slab);

    c->slabs_empty -= slab->used == 0;
    slab->used = used;
    c->slabs_empty += used == 0;
    if (list_of(c, slab) == was)
        return;
    vm_list_remove(&slab->link);
    vm_list_push_front(list_of(c, slab), &slab->link);
}

static struct vm_sim_object object_at(const struct vm_sim_cache *c, struct vm_sim_slab *slab, uint32_t index)
{
    uint64_t at = (uint64_t)slab->frame * VM_SIM_PAGE_SIZE + slab->colour + (uint64_t)index * c->size;

    return (struct vm_sim_object){slab, index, VM_SIM_PHYSICAL(at)};
}

struct vm_sim_object vm_sim_cache_alloc(struct vm_sim_slabs *s, struct vm_sim_cache *c, unsigned gfp)
{
    struct vm_sim_slab *slab = NULL;

    if (!vm_list_empty(&c->partial))
        slab = slab_of(c->partial.next);
    else if (!vm_list_empty(&c->empty))
        slab = slab_of(c->empty.next);
    else
        slab = grow(s, c, gfp);
    if (!slab) {
        c->failed++;
        return no_object;
    }
    uint32_t index = slab->free_first;
    slab->free_first = slab->next_free[index];
    slab->next_free[index] = VM_SIM_SLAB_IN_USE;
    slab_used(c, slab, slab->used + 1);
    c->allocated++;
    c->highest = vm_max(c->highest, c->allocated);
    return object_at(c, slab, index);
}

void vm_sim_cache_free(struct vm_sim_slabs *s, struct vm_sim_object o)
{
    struct vm_sim_slab *slab = o.slab;
    struct vm_sim_cache *c = slab->cache;

    (void)s;
    VM_ASSERT(o.index < c->objects && slab->next_free[o.index] == VM_SIM_SLAB_IN_USE);
    slab->next_free[o.index] = slab->free_first;
    slab->free_first = o.index;
    slab_used(c, slab, slab->used - 1);
    c->allocated--;
}

struct vm_sim_object vm_sim_kmalloc(struct vm_sim_slabs *s, uint32_t bytes, unsigned gfp)
{
    unsigned i = 0;

    while (i < VM_SIM_KMALLOC_CACHES && bytes > 1u << (SMALLEST_KMALLOC_SHIFT + i))
        i++;
    if (bytes == 0 || i == VM_SIM_KMALLOC_CACHES || !s->kmalloc[i])
        return no_object;
    return vm_sim_cache_alloc(s, s->kmalloc[i], gfp);
}

int vm_sim_kfree(struct vm_sim_slabs *s, struct vm_sim_physical at)
{
    uint64_t frame = at.at >> VM_SIM_PAGE_SHIFT;

    if (frame >= s->memory->map.frames)
        return -EINVAL;
    const struct vm_sim_frame *f = vm_sim_pfn_frame(&s->memory->map, (vm_sim_pfn)frame);
    if (f->kind != VM_SIM_FRAME_SLAB)
        return -EINVAL;
    struct vm_sim_slab *slab = f->owner;
    uint64_t first = object_at(slab->cache, slab, 0).at.at;
    uint64_t index = (at.at - first) / slab->cache->size;
    if (at.at < first || index >= slab->cache->objects || slab->next_free[index] != VM_SIM_SLAB_IN_USE)
        return -EINVAL;
    struct vm_sim_object o = object_at(slab->cache, slab, (uint32_t)index);
    if (o.at.at != at.at)
        return -EINVAL;
    vm_sim_cache_free(s, o);
    return 0;
}

/* ---- Caches ---- */

static void cache_init(struct vm_sim_slabs *s, struct vm_sim_cache *c, const char *name, uint32_t size, uint32_t align,
                       bool has_constructor)
{
    *c = (struct vm_sim_cache){.name = name, .align = align, .has_constructor = has_constructor};
    c->size = (uint32_t)vm_align_up(size, align);
    while (slab_bytes(c->order) < c->size
           || (c->order < ORDER_THAT_WASTES && slab_bytes(c->order) % c->size > slab_bytes(c->order) / WASTE_LIMIT))
        c->order++;
    c->objects = slab_bytes(c->order) / c->size;
    c->left_over = slab_bytes(c->order) % c->size;
    c->colours = c->left_over / align + 1;
    vm_list_init(&c->full);
    vm_list_init(&c->partial);
    vm_list_init(&c->empty);
    vm_list_push_back(&s->caches, &c->link);
}

struct vm_sim_cache *vm_sim_cache_new(struct vm_sim_slabs *s, const char *name, uint32_t size, uint32_t align,
                                      bool has_constructor)
{
    uint32_t most = slab_bytes(VM_SIM_MAX_ORDER);

    align = align ? align : SMALLEST_ALIGN;
    if (size == 0 || size > most || align > most || !vm_is_pow2(align))
        return NULL;
    struct vm_sim_object self = vm_sim_cache_alloc(s, &s->cache_cache, VM_SIM_GFP_KERNEL);
    if (!self.slab)
        return NULL;
    struct vm_sim_cache *c = vm_sim_zalloc(sizeof *c);
    cache_init(s, c, name, size, align, has_constructor);
    c->self = self;
    return c;
}

int vm_sim_cache_destroy(struct vm_sim_slabs *s, struct vm_sim_cache *c)
{
    VM_ASSERT(c != &s->cache_cache);
    if (c->allocated > 0)
        return -EBUSY;
    reap(s, c);
    vm_sim_cache_free(s, c->self);
    vm_list_remove(&c->link);
    for (unsigned i = 0; i < VM_SIM_KMALLOC_CACHES; i++)
        s->kmalloc[i] = s->kmalloc[i] == c ? NULL : s->kmalloc[i];
    free(c);
    return 0;
}

struct vm_sim_cache *vm_sim_cache_find(struct vm_sim_slabs *s, const char *name)
{
    for (struct vm_list *l = s->caches.next; l != &s->caches; l = l->next) {
        struct vm_sim_cache *c = VM_CONTAINER_OF(l, struct vm_sim_cache, link);
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

void vm_sim_slabs_init(struct vm_sim_slabs *s, struct vm_sim_memory *memory, struct vm_sim_events *events)
{
    static const char *const name[VM_SIM_KMALLOC_CACHES] = {
        "kmalloc-8",   "kmalloc-16",  "kmalloc-32",   "kmalloc-64",   "kmalloc-128",
        "kmalloc-256", "kmalloc-512", "kmalloc-1024", "kmalloc-2048", "kmalloc-4096",
    };

    *s = (struct vm_sim_slabs){.memory = memory, .events = events};
    vm_list_init(&s->caches);
    cache_init(s, &s->cache_cache, "kmem_cache", VM_SIM_CACHE_BYTES, SMALLEST_ALIGN, false);
    for (unsigned i = 0; i < VM_SIM_KMALLOC_CACHES; i++)
        s->kmalloc[i] = vm_sim_cache_new(s, name[i], 1u << (SMALLEST_KMALLOC_SHIFT + i), 0, false);
}

static void free_all(struct vm_sim_slabs *s, struct vm_sim_cache *c)
{
    struct vm_list *const list[] = {&c->full, &c->partial, &c->empty};

    for (unsigned i = 0; i < 3; i++)
        while (!vm_list_empty(list[i]))
            /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a freed one was taken off the list */
            slab_free(s, slab_of(list[i]->next));
}

void vm_sim_slabs_free(struct vm_sim_slabs *s)
{
    if (!s->memory)
        return;
    while (!vm_list_empty(&s->caches)) {
        struct vm_sim_cache *c = VM_CONTAINER_OF(s->caches.next, struct vm_sim_cache, link);
        free_all(s, c); /* NOLINT(clang-analyzer-unix.Malloc): a freed one was taken off the list */
        vm_list_remove(&c->link);
        if (c != &s->cache_cache)
            free(c);
    }
    *s = (struct vm_sim_slabs){0};
}

/* ---- Check ---- */

static bool check_slab(const struct vm_sim_slabs *s, const struct vm_sim_cache *c, const struct vm_sim_slab *slab)
{
    uint32_t vacant = 0, in_use = 0;

    if (slab->cache != c || slab->used > c->objects || slab->colour % c->align != 0 || slab->colour > c->left_over)
        return false;
    for (uint32_t i = slab->free_first; i != NONE; i = slab->next_free[i])
        if (i >= c->objects || ++vacant > c->objects)
            return false;
    for (uint32_t i = 0; i < c->objects; i++)
        in_use += slab->next_free[i] == VM_SIM_SLAB_IN_USE;
    for (uint32_t i = 0; i < 1u << c->order; i++) {
        const struct vm_sim_frame *f = vm_sim_pfn_frame(&s->memory->map, slab->frame + i);
        if (f->kind != VM_SIM_FRAME_SLAB || f->owner != slab)
            return false;
    }
    return in_use == slab->used && vacant + in_use == c->objects;
}

static bool check_cache(const struct vm_sim_slabs *s, const struct vm_sim_cache *c)
{
    const struct vm_list *const list[] = {&c->full, &c->partial, &c->empty};
    uint64_t slabs = 0, empty = 0, used = 0;

    if ((uint64_t)c->objects * c->size + c->left_over != slab_bytes(c->order) || c->left_over >= c->size
        || c->colours != c->left_over / c->align + 1 || c->colour_next >= c->colours || c->size % c->align != 0)
        return false;
    for (unsigned i = 0; i < 3; i++)
        for (const struct vm_list *l = list[i]->next; l != list[i]; l = l->next) {
            const struct vm_sim_slab *slab = slab_of(l);
            if (++slabs > c->slabs || !check_slab(s, c, slab)
                || list_of((struct vm_sim_cache *)(uintptr_t)c, slab) != list[i])
                return false;
            used += slab->used;
            empty += slab->used == 0;
        }
    return slabs == c->slabs && empty == c->slabs_empty && used == c->allocated && c->allocated <= c->highest
           && c->grown == c->slabs + c->reaped && c->constructions == (c->has_constructor ? c->grown * c->objects : 0);
}

bool vm_sim_slabs_check(const struct vm_sim_slabs *s)
{
    uint64_t caches = 0;

    for (const struct vm_list *l = s->caches.next; l != &s->caches; l = l->next) {
        const struct vm_sim_cache *c = VM_CONTAINER_OF(l, const struct vm_sim_cache, link);
        bool is_first = c == &s->cache_cache;
        if (!check_cache(s, c)
            || (!is_first
                && (c->self.slab->cache != &s->cache_cache
                    || c->self.slab->next_free[c->self.index] != VM_SIM_SLAB_IN_USE)))
            return false;
        caches += !is_first;
    }
    return caches == s->cache_cache.allocated;
}
