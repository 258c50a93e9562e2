/* Unit tests of src/sim/slab: geometry of caches, full, partial and empty slabs, colouring, constructors, the cache of
   caches, reaping, and random requests against a map of bytes.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/slab.h"

#define PAGE VM_SIM_PAGE_SIZE
#define KERNEL VM_SIM_GFP_KERNEL

struct world {
    struct vm_sim_memory memory;
    struct vm_sim_slabs slabs;
    struct vm_sim_events events;
};

static void world_new(struct world *w, uint64_t frames)
{
    struct vm_sim_zone_limits limits = {.min_free_kbytes = 1};

    memset(&w->events, 0, sizeof w->events);
    vm_sim_memory_init(&w->memory, frames * PAGE, &limits, NULL, 0, &w->events);
    vm_sim_slabs_init(&w->slabs, &w->memory, &w->events);
    assert_true(vm_sim_slabs_check(&w->slabs) && vm_sim_memory_check(&w->memory));
}

/* Everything goes back. */
static void world_free(struct world *w)
{
    uint64_t managed = w->memory.zone[VM_SIM_ZONE_DMA].managed;

    vm_sim_slabs_free(&w->slabs);
    assert_int_equal(vm_sim_free_frames(&w->memory), managed);
    vm_sim_memory_free(&w->memory);
}

static struct vm_sim_object get(struct world *w, struct vm_sim_cache *c)
{
    struct vm_sim_object o = vm_sim_cache_alloc(&w->slabs, c, KERNEL);

    assert_true(vm_sim_slabs_check(&w->slabs));
    return o;
}

static void put(struct world *w, struct vm_sim_object o)
{
    vm_sim_cache_free(&w->slabs, o);
    assert_true(vm_sim_slabs_check(&w->slabs));
}

static unsigned length(const struct vm_list *list)
{
    unsigned n = 0;

    for (const struct vm_list *l = list->next; l != list; l = l->next)
        n++;
    return n;
}

static void expect_lists(const struct vm_sim_cache *c, unsigned full, unsigned partial, unsigned empty)
{
    assert_int_equal(length(&c->full), full);
    assert_int_equal(length(&c->partial), partial);
    assert_int_equal(length(&c->empty), empty);
}

/* size, align -> size, order, objects, left over, colours */
static void geometry(void **state)
{
    (void)state;
    struct world w;
    static const struct {
        uint32_t size, align, rounded, order, objects, left_over, colours;
    } want[] = {
        {1, 0, 8, 0, 512, 0, 1},        {8, 8, 8, 0, 512, 0, 1},         {100, 0, 104, 0, 39, 40, 6},
        {100, 64, 128, 0, 32, 0, 1},    {192, 64, 192, 0, 21, 64, 2},    {1000, 8, 1000, 0, 4, 96, 13},
        {1400, 8, 1400, 1, 5, 1192, 150}, /* 1296 of 4096 left over: too much */
        {2048, 0, 2048, 0, 2, 0, 1},    {4096, 0, 4096, 0, 1, 0, 1},     {5000, 0, 5000, 1, 1, 3192, 400},
        {9000, 64, 9024, 2, 1, 7360, 116}, {4 << 20, 0, 4 << 20, 10, 1, 0, 1},
    };

    world_new(&w, 2048);
    for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
        const struct vm_sim_cache *c = vm_sim_cache_new(&w.slabs, "c", want[i].size, want[i].align, false);
        assert_non_null(c);
        assert_int_equal(c->size, want[i].rounded);
        assert_int_equal(c->order, want[i].order);
        assert_int_equal(c->objects, want[i].objects);
        assert_int_equal(c->left_over, want[i].left_over);
        assert_int_equal(c->colours, want[i].colours);
        assert_true(vm_sim_slabs_check(&w.slabs));
    }
    assert_null(vm_sim_cache_new(&w.slabs, "c", 0, 0, false));
    assert_null(vm_sim_cache_new(&w.slabs, "c", (4 << 20) + 1, 0, false));
    assert_null(vm_sim_cache_new(&w.slabs, "c", 10, 24, false));
    assert_null(vm_sim_cache_new(&w.slabs, "c", UINT32_MAX, 0, false));
    world_free(&w);
}

static void full_partial_empty(void **state)
{
    (void)state;
    struct world w;
    struct vm_sim_object o[9];

    world_new(&w, 64);
    struct vm_sim_cache *c = vm_sim_cache_new(&w.slabs, "inode", 1000, 8, false); /* 4 in a slab */
    expect_lists(c, 0, 0, 0);
    for (unsigned i = 0; i < 9; i++) {
        o[i] = get(&w, c);
        assert_int_equal(o[i].index, i % 4);
        assert_int_equal(o[i].at.at, o[i].slab->frame * PAGE + o[i].slab->colour + i % 4 * 1000);
        expect_lists(c, (i + 1) / 4, (i + 1) % 4 != 0, 0);
        assert_int_equal(vm_sim_pfn_frame(&w.memory.map, o[i].slab->frame)->kind, VM_SIM_FRAME_SLAB);
        assert_ptr_equal(vm_sim_pfn_frame(&w.memory.map, o[i].slab->frame)->owner, o[i].slab);
    }
    assert_int_equal(c->slabs, 3);
    put(&w, o[1]); /* full -> partial */
    expect_lists(c, 1, 2, 0);
    struct vm_sim_object again = get(&w, c); /* the object freed last, partial -> full */
    assert_true(again.slab == o[1].slab && again.index == 1 && again.at.at == o[1].at.at);
    expect_lists(c, 2, 1, 0);
    put(&w, o[8]); /* partial -> empty: kept */
    expect_lists(c, 2, 0, 1);
    assert_int_equal(c->slabs_empty, 1);
    get(&w, c); /* the empty one is taken before the cache grows */
    assert_int_equal(c->grown, 3);
    assert_int_equal(c->allocated, 9);
    assert_int_equal(c->highest, 9);
    for (unsigned i = 0; i < 4; i++)
        put(&w, o[i]);
    expect_lists(c, 1, 1, 1);
    world_free(&w);
}

/* A slab of one object goes from empty to full and back. */
static void one_object(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 64);
    struct vm_sim_cache *c = vm_sim_cache_new(&w.slabs, "page", 4096, 0, false);
    struct vm_sim_object o = get(&w, c);
    expect_lists(c, 1, 0, 0);
    put(&w, o);
    expect_lists(c, 0, 0, 1);
    world_free(&w);
}

/* 100 bytes aligned to 8: 39 x 104 = 4056, 40 left over: colours 0 8 16 24 32 40, and from 0 again. */
static void colouring(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 64);
    struct vm_sim_cache *c = vm_sim_cache_new(&w.slabs, "dentry", 100, 8, false);
    for (unsigned slab = 0; slab < 8; slab++)
        for (unsigned i = 0; i < 39; i++) {
            struct vm_sim_object o = get(&w, c);
            assert_int_equal(o.slab->colour, slab % 6 * 8);
            assert_true(o.at.at % PAGE + 104 <= PAGE);
            assert_int_equal(o.at.at % PAGE, slab % 6 * 8 + i * 104);
        }
    assert_int_equal(c->slabs, 8);
    world_free(&w);
}

/* Objects are constructed once for each slab, not once for each allocation. */
static void constructor(void **state)
{
    (void)state;
    struct world w;
    struct vm_sim_object o[10];

    world_new(&w, 64);
    struct vm_sim_cache *c = vm_sim_cache_new(&w.slabs, "inode", 400, 0, true); /* 10 in a slab */
    assert_int_equal(c->constructions, 0);
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 10; i++)
            o[i] = get(&w, c);
        for (unsigned i = 0; i < 10; i++)
            put(&w, o[i]);
        assert_int_equal(c->constructions, 10);
    }
    assert_int_equal(vm_sim_slabs_reap(&w.slabs), 1);
    get(&w, c);
    assert_int_equal(c->constructions, 20);
    assert_int_equal(vm_sim_cache_find(&w.slabs, "kmem_cache")->constructions, 0);
    world_free(&w);
}

/* Row 21: the cache of caches: 17 descriptors of 232 bytes a frame, ten of them the general caches'. */
static void cache_of_caches(void **state)
{
    (void)state;
    struct world w;
    struct vm_sim_cache *c[8];

    world_new(&w, 64);
    struct vm_sim_cache *caches = &w.slabs.cache_cache;
    assert_ptr_equal(vm_sim_cache_find(&w.slabs, "kmem_cache"), caches);
    assert_int_equal(caches->objects, 17);
    assert_int_equal(caches->allocated, 10);
    assert_int_equal(vm_sim_free_frames(&w.memory), 63);
    for (unsigned i = 0; i < 8; i++)
        c[i] = vm_sim_cache_new(&w.slabs, "c", 64, 0, false);
    assert_int_equal(caches->allocated, 18);
    assert_int_equal(caches->slabs, 2);
    struct vm_sim_object o = get(&w, c[7]);
    assert_int_equal(vm_sim_cache_destroy(&w.slabs, c[7]), -EBUSY);
    put(&w, o);
    assert_int_equal(vm_sim_free_frames(&w.memory), 61);
    assert_int_equal(vm_sim_cache_destroy(&w.slabs, c[7]), 0); /* its empty slab goes back, its descriptor too */
    assert_int_equal(caches->allocated, 17);
    expect_lists(caches, 1, 0, 1);
    assert_int_equal(vm_sim_free_frames(&w.memory), 62);
    assert_int_equal(vm_sim_slabs_reap(&w.slabs), 1);
    assert_int_equal(vm_sim_free_frames(&w.memory), 63);
    assert_null(vm_sim_cache_find(&w.slabs, "no such cache"));
    world_free(&w);
}

static void kmalloc_and_kfree(void **state)
{
    (void)state;
    struct world w;
    struct vm_sim_object o;

    world_new(&w, 64);
    for (uint32_t bytes = 1; bytes <= 4096; bytes++) {
        o = vm_sim_kmalloc(&w.slabs, bytes, KERNEL);
        assert_non_null(o.slab);
        uint32_t size = o.slab->cache->size;
        assert_true(size >= bytes && (size == 8 || size / 2 < bytes) && vm_is_pow2(size));
        assert_int_equal(o.at.at % size, 0);
        assert_int_equal(vm_sim_kfree(&w.slabs, o.at), 0);
    }
    assert_string_equal(vm_sim_cache_find(&w.slabs, "kmalloc-4096")->name, o.slab->cache->name);
    assert_null(vm_sim_kmalloc(&w.slabs, 4097, KERNEL).slab);
    assert_null(vm_sim_kmalloc(&w.slabs, 0, KERNEL).slab);
    o = vm_sim_kmalloc(&w.slabs, 100, KERNEL);
    assert_int_equal(vm_sim_kfree(&w.slabs, VM_SIM_PHYSICAL(o.at.at + 8)), -EINVAL);   /* inside an object */
    assert_int_equal(vm_sim_kfree(&w.slabs, VM_SIM_PHYSICAL(o.at.at + 128)), -EINVAL); /* a free one */
    assert_int_equal(vm_sim_kfree(&w.slabs, VM_SIM_PHYSICAL(63 * PAGE)), -EINVAL);     /* no slab */
    assert_int_equal(vm_sim_kfree(&w.slabs, VM_SIM_PHYSICAL(UINT64_MAX)), -EINVAL);
    assert_int_equal(vm_sim_kfree(&w.slabs, o.at), 0);
    assert_int_equal(vm_sim_kfree(&w.slabs, o.at), -EINVAL); /* twice */
    assert_true(vm_sim_slabs_check(&w.slabs));
    world_free(&w);
}

/* No frame: no object; reaping helps. */
static void no_memory_and_reaping(void **state)
{
    (void)state;
    struct world w;
    struct vm_sim_object o[40];
    unsigned count = 0;

    world_new(&w, 32);
    struct vm_sim_cache *big = vm_sim_cache_new(&w.slabs, "big", 4096, 0, false);
    struct vm_sim_cache *pair = vm_sim_cache_new(&w.slabs, "pair", 8192, 0, false);
    while ((o[count] = get(&w, big)).slab)
        count++;
    assert_int_equal(count, 31);
    assert_int_equal(big->failed, 1);
    assert_null(get(&w, pair).slab);
    for (unsigned i = 0; i < count; i++)
        put(&w, o[i]);
    assert_null(get(&w, pair).slab); /* the cache keeps its slabs */
    assert_int_equal(vm_sim_slabs_reap(&w.slabs), 31);
    assert_int_equal(big->reaped, 31);
    assert_int_equal(w.events.count[VM_SIM_EV_SLAB_REAP], 31);
    assert_non_null(get(&w, pair).slab);
    assert_true(vm_sim_memory_check(&w.memory));
    world_free(&w);

    world_new(&w, 0); /* not even a descriptor */
    assert_null(vm_sim_cache_new(&w.slabs, "c", 8, 0, false));
    assert_null(vm_sim_kmalloc(&w.slabs, 8, KERNEL).slab);
    world_free(&w);
}

/* ---- Random requests: no two objects share a byte, and every cache's counts are those of the reference ---- */

#define FRAMES 96
#define OBJECTS 600
#define CACHES 6

static void mark(uint8_t *map, struct vm_sim_object o, uint8_t from, uint8_t to)
{
    for (uint32_t i = 0; i < o.slab->cache->size; i++) {
        CHECK(map[o.at.at + i] == from);
        map[o.at.at + i] = to;
    }
}

static void random_requests(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static uint8_t map[FRAMES * 4096];
    static struct vm_sim_object object[OBJECTS];
    static const uint32_t size[CACHES] = {24, 100, 700, 1400, 3000, 9000};
    struct vm_sim_cache *cache[CACHES];
    uint64_t allocated[CACHES] = {0};
    unsigned count = 0, failed = 0, reaped = 0;
    struct world w;

    world_new(&w, FRAMES);
    for (unsigned i = 0; i < CACHES; i++)
        cache[i] = vm_sim_cache_new(&w.slabs, "random", size[i], i % 2 ? 64 : 8, i % 3 == 0);
    for (unsigned step = 0; step < 60000; step++) {
        if (count < OBJECTS && below(&seed, 100) < (step / 2000 % 2 ? 30u : 60u)) {
            unsigned i = (unsigned)below(&seed, CACHES);
            struct vm_sim_object o = vm_sim_cache_alloc(&w.slabs, cache[i], KERNEL);
            failed += !o.slab;
            if (o.slab) {
                CHECK(o.slab->cache == cache[i] && o.at.at % cache[i]->align == 0);
                mark(map, o, 0, 1);
                object[count++] = o;
                allocated[i]++;
            }
        } else if (count > 0) {
            unsigned i = (unsigned)below(&seed, count);
            mark(map, object[i], 1, 0);
            for (unsigned k = 0; k < CACHES; k++)
                allocated[k] -= object[i].slab->cache == cache[k];
            if (one_in(&seed, 2))
                CHECK(vm_sim_kfree(&w.slabs, object[i].at) == 0);
            else
                vm_sim_cache_free(&w.slabs, object[i]);
            object[i] = object[--count];
        }
        if (one_in(&seed, 500)) {
            uint64_t had = vm_sim_free_frames(&w.memory), frames = vm_sim_slabs_reap(&w.slabs);
            CHECK(vm_sim_free_frames(&w.memory) == had + frames);
            reaped += frames > 0;
        }
        CHECK(vm_sim_slabs_check(&w.slabs));
        for (unsigned k = 0; k < CACHES; k++)
            CHECK(cache[k]->allocated == allocated[k]);
    }
    CHECK(failed > 10 && reaped > 10);
    CHECK(vm_sim_memory_check(&w.memory));
    world_free(&w);
}

#define WITH_FAULT(what, value) \
    do { \
        typeof(what) was = (what); \
        (what) = (value); \
        assert_false(vm_sim_slabs_check(&w.slabs)); \
        (what) = was; \
        assert_true(vm_sim_slabs_check(&w.slabs)); \
    } while (0)

static void check_finds_faults(void **state)
{
    (void)state;
    struct world w;

    world_new(&w, 64);
    struct vm_sim_cache *c = vm_sim_cache_new(&w.slabs, "inode", 1000, 8, true);
    struct vm_sim_slab *slab = get(&w, c).slab;
    get(&w, c);
    WITH_FAULT(c->allocated, 1u);
    WITH_FAULT(c->slabs, 0u);
    WITH_FAULT(c->slabs_empty, 1u);
    WITH_FAULT(c->left_over, 95u);
    WITH_FAULT(c->colour_next, 13u);
    WITH_FAULT(c->constructions, 5u);
    WITH_FAULT(c->highest, 1u);
    WITH_FAULT(c->self.index, 16u);
    WITH_FAULT(slab->used, 3u);
    WITH_FAULT(slab->used, 4u);
    WITH_FAULT(slab->colour, 4u);
    WITH_FAULT(slab->colour, 104u);
    WITH_FAULT(slab->free_first, 3u);
    WITH_FAULT(slab->next_free[2], 2u); /* a ring */
    WITH_FAULT(slab->next_free[2], 77u);
    WITH_FAULT(slab->next_free[0], 5u);
    WITH_FAULT(vm_sim_pfn_frame(&w.memory.map, slab->frame)->owner, NULL);
    WITH_FAULT(w.slabs.cache_cache.allocated, 10u);
    world_free(&w);
}

static void free_twice(void *arg)
{
    struct world w;

    (void)arg;
    world_new(&w, 64);
    struct vm_sim_object o = vm_sim_kmalloc(&w.slabs, 8, KERNEL);
    vm_sim_cache_free(&w.slabs, o);
    vm_sim_cache_free(&w.slabs, o);
}

static void misuse_is_found(void **state)
{
    (void)state;
    char text[512];

    assert_int_equal(WTERMSIG(child_status(free_twice, NULL, text, sizeof text)), SIGABRT);
    assert_non_null(strstr(text, "slab.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry),
        cmocka_unit_test(full_partial_empty),
        cmocka_unit_test(one_object),
        cmocka_unit_test(colouring),
        cmocka_unit_test(constructor),
        cmocka_unit_test(cache_of_caches),
        cmocka_unit_test(kmalloc_and_kfree),
        cmocka_unit_test(no_memory_and_reaping),
        cmocka_unit_test(random_requests),
        cmocka_unit_test(check_finds_faults),
        cmocka_unit_test(misuse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
