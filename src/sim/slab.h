/* Row 21: the slab allocator: caches of equal objects in slabs of page frames, full, partial and empty lists, colouring
   with the space left over, a constructor that runs once for an object's life in its slab, a cache of the caches, and
   reaping of empty slabs.  Objects have no contents; constructions are counted. */
#ifndef VM_SIM_SLAB_H
#define VM_SIM_SLAB_H

#include "sim/zone.h"

struct vm_sim_slab {
    struct vm_list link; /* on its cache's list: full, partial or empty; the one that changed last in front */
    struct vm_sim_cache *cache;
    vm_sim_pfn frame; /* first of 1 << cache->order; the owner of all of them is this slab */
    uint32_t colour;  /* offset of the first object in bytes */
    uint32_t used;
    uint32_t free_first;  /* index of the next free object; UINT32_MAX: none */
    uint32_t next_free[]; /* [objects per slab]: of a free object the next free one; VM_SIM_SLAB_IN_USE */
};
#define VM_SIM_SLAB_IN_USE (UINT32_MAX - 1)

struct vm_sim_object {        /* which object an allocation got */
    struct vm_sim_slab *slab; /* NULL: none */
    uint32_t index;
    struct vm_sim_physical at; /* frame * 4096 + colour + index * size */
};

/* objects * size + left_over = 4096 << order; allocated = sum of used; a slab is on the list that used tells.
   The order of slabs is the lowest at which an object fits and at most 1/8 is left over, or the first above 0. */
struct vm_sim_cache {
    struct vm_list link;       /* on the list of caches, in order of creation */
    const char *name;          /* of the caller's, who keeps it as long as the machine lives */
    struct vm_sim_object self; /* its descriptor, in the cache of caches */
    uint32_t size, align;      /* size rounded up to align */
    uint32_t order, objects;   /* of a slab */
    uint32_t left_over;        /* bytes; colours = left_over / align + 1 */
    uint32_t colours, colour_next;
    bool has_constructor; /* runs for all objects of a new slab; objects that are freed stay constructed */
    struct vm_list full, partial, empty;
    uint64_t slabs, slabs_empty, allocated, highest;
    uint64_t constructions, grown, reaped, failed;
};

#define VM_SIM_KMALLOC_CACHES 10
#define VM_SIM_CACHE_BYTES 232 /* of a cache's descriptor, in the simulated kernel */

struct vm_sim_slabs {
    struct vm_sim_memory *memory;
    struct vm_list caches;
    struct vm_sim_cache cache_cache; /* "kmem_cache": its objects stand for the struct vm_sim_cache of all others */
    struct vm_sim_cache *kmalloc[VM_SIM_KMALLOC_CACHES]; /* 8, 16 ... 4096: names kmalloc-8 ...; NULL: no frame */
    struct vm_sim_events *events;
};

void vm_sim_slabs_init(struct vm_sim_slabs *s, struct vm_sim_memory *memory, struct vm_sim_events *events);
void vm_sim_slabs_free(struct vm_sim_slabs *s);

/* align: a power of two, 0 for 8.  NULL: no frame for the cache's own descriptor, or no such objects (0 bytes, more
   than 4 MiB). */
struct vm_sim_cache *vm_sim_cache_new(struct vm_sim_slabs *s, const char *name, uint32_t size, uint32_t align,
                                      bool has_constructor);
int vm_sim_cache_destroy(struct vm_sim_slabs *s, struct vm_sim_cache *c); /* -EBUSY while objects are in use */
struct vm_sim_object vm_sim_cache_alloc(struct vm_sim_slabs *s, struct vm_sim_cache *c, unsigned gfp);
void vm_sim_cache_free(struct vm_sim_slabs *s, struct vm_sim_object o);

/* From the smallest general cache that fits; none above 4096 bytes, or for 0. */
struct vm_sim_object vm_sim_kmalloc(struct vm_sim_slabs *s, uint32_t bytes, unsigned gfp);
/* By the address alone, through mem_map; -EINVAL when no object in use begins there. */
int vm_sim_kfree(struct vm_sim_slabs *s, struct vm_sim_physical at);

uint64_t vm_sim_slabs_reap(struct vm_sim_slabs *s); /* empty slabs back to the buddy system; frames */
struct vm_sim_cache *vm_sim_cache_find(struct vm_sim_slabs *s, const char *name);
bool vm_sim_slabs_check(const struct vm_sim_slabs *s);

#endif
