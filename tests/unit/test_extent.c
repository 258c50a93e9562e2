/* Unit tests of src/page/extent: splitting, coalescing, reuse, growing and shrinking in place, remapping, refusals, and a
   random model with contents; vm_extent_check() after every step.  Each case is a process of its own.  Run by `make
   check`.  SEED sets the seed. */
#include <pthread.h>

#include "unit.h"

#include "os/os.h"
#include "page/extent.h"
#include "vm/mmu.h"

#define PAGE vm_os.page_size /* bytes; not always the kernel's: tests/ports/pages.c */
#define KIB VM_KIB
#define MIB VM_MIB

/* ---- The system: the real one, but that it can refuse, and with a clock of ours ---- */

static struct vm_os real;
static struct {
    bool map, unmap, remap, purge; /* refused */
    unsigned maps, unmaps, remaps, purges;
    size_t returned; /* bytes unmapped and purged */
} fake;

static void *fake_map(size_t bytes, int prot)
{
    fake.maps++;
    return fake.map ? NULL : real.map(bytes, prot);
}
static int fake_unmap(void *base, size_t bytes)
{
    fake.unmaps++;
    fake.returned += fake.unmap ? 0 : bytes;
    return fake.unmap ? -ENOMEM : real.unmap(base, bytes);
}
static void *fake_remap(void *base, size_t old, size_t new)
{
    fake.remaps++;
    return fake.remap ? NULL : real.remap(base, old, new);
}
static int fake_purge(void *base, size_t bytes)
{
    fake.purges++;
    fake.returned += fake.purge ? 0 : bytes;
    return fake.purge ? -EINVAL : real.purge(base, bytes);
}
static uint64_t clock_ns = 1000000000;
static uint64_t fake_now(void) { return clock_ns; }

static struct vm_extent *ballast; /* live, never touched: an eighth of it may be kept */

static void start(void)
{
    real = vm_os;
    vm_os.map = fake_map;
    vm_os.unmap = fake_unmap;
    vm_os.remap = fake_remap;
    vm_os.purge = fake_purge;
    vm_os.now = fake_now;
    vm_extents_start(); /* the archive's start-up is not linked in when nothing of the API is used */
    ballast = vm_extent_alloc(256 * MIB, 1); /* keeps up to 32 MiB */
    CHECK(ballast);
}

static struct vm_extents_stats stats(void)
{
    struct vm_extents_stats s;
    vm_extents_stats(&s);
    return s;
}

static void check(void)
{
    CHECK(vm_extent_check());
    CHECK(vm_mmu_check());
}

static struct vm_extent *get(size_t bytes, size_t align)
{
    size_t live = stats().live, count = stats().live_count;
    struct vm_extent *e = vm_extent_alloc(bytes, align);

    check();
    if (!e) {
        CHECK(stats().live == live && stats().live_count == count);
        return NULL;
    }
    CHECK(e->size >= bytes && e->size < bytes + PAGE && e->size % PAGE == 0);
    CHECK(e->base % PAGE == 0 && e->base % align == 0);
    CHECK(vm_extent_at(e->base) == e);
    CHECK(e->size == PAGE || !vm_extent_at(e->base + PAGE));
    CHECK(!vm_extent_at(e->base + e->size - 1) && !vm_extent_at(e->base + 16));
    CHECK(stats().live == live + e->size && stats().live_count == count + 1);
    return e;
}

static void put(struct vm_extent *e)
{
    uintptr_t base = e->base;
    struct vm_extent copy;

    vm_extent_free(e);
    check();
    CHECK(!vm_extent_at(base));
    CHECK((vm_extent_find(base, &copy) && copy.state == VM_EXTENT_WARM) || vm_extent_freed_lately(base));
}

static void touch(const struct vm_extent *e) { memset((void *)e->base, 0xee, e->size); }

/* ---- The cases ---- */

CHILD_CASE(split_and_coalesce)
{
    start();
    struct vm_extent *e = get(4 * MIB, 1);
    uintptr_t base = e->base;
    CHECK(e->zeroed);
    touch(e);
    put(e);
    CHECK(stats().dirty == 4 * MIB);

    /* Pieces from the bottom up, none of them zero. */
    struct vm_extent *piece[4];
    unsigned maps = fake.maps;
    for (unsigned i = 0; i < 4; i++) {
        piece[i] = get(MIB, 1);
        CHECK(piece[i]->base == base + i * MIB && !piece[i]->zeroed);
        CHECK(stats().dirty == (3 - i) * MIB);
    }
    CHECK(fake.maps == maps);

    /* Every order of freeing makes one of them again. */
    static const unsigned orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 2, 1, 3}, {1, 3, 2, 0}, {0, 3, 1, 2}};
    for (unsigned o = 0; o < sizeof orders / sizeof *orders; o++) {
        for (unsigned i = 0; i < 4; i++)
            put(piece[orders[o][i]]);
        CHECK(stats().dirty == 4 * MIB);
        e = get(4 * MIB, 1);
        CHECK(e->base == base && stats().dirty == 0);
        put(e);
        for (unsigned i = 0; i < 4; i++)
            CHECK((piece[i] = get(MIB, 1))->base == base + i * MIB);
    }
    CHECK(fake.maps == maps && fake.unmaps == 0);
}

CHILD_CASE(best_fit_then_lowest)
{
    start();
    /* Free holes of 3, 1 and 2 MiB with live pages between. */
    struct vm_extent *all = get(10 * MIB, 1);
    uintptr_t base = all->base;
    put(all);
    static const size_t sizes[] = {3 * MIB, MIB, MIB, MIB, 2 * MIB, MIB};
    struct vm_extent *e[6];
    for (unsigned i = 0; i < 6; i++)
        e[i] = get(sizes[i], 1);
    put(e[0]);
    put(e[2]);
    put(e[4]);
    CHECK(get(MIB, 1)->base == base + 4 * MIB);
    CHECK(get(2 * MIB, 1)->base == base + 6 * MIB);
    CHECK(get(2 * MIB, 1)->base == base);
    CHECK(get(MIB, 1)->base == base + 2 * MIB);
}

/* What was freed last waits as it is for a request of its size; any other request may use all of it. */
CHILD_CASE(warm_extents)
{
    enum { COUNT = 72, SIZE = 128 * KIB }; /* more than there are slots */
    struct vm_extent *e[COUNT];

    start();
    for (unsigned i = 0; i < COUNT; i++)
        e[i] = get(SIZE, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        uintptr_t base = e[i]->base;
        put(e[i]);
        CHECK(e[i]->state == VM_EXTENT_WARM && !vm_extent_at(base));
    }
    CHECK(e[3]->state == VM_EXTENT_DIRTY || e[3]->state == VM_EXTENT_UNUSED); /* 64 are warm */
    struct vm_extent *a = get(SIZE, 1), *b = get(SIZE, 1);
    CHECK(a == e[COUNT - 1] && b == e[COUNT - 2] && a->state == VM_EXTENT_LIVE && !a->zeroed && !b->zeroed
          && stats().dirty == (COUNT - 2) * SIZE);
    put(b);
    put(a);
    unsigned maps = fake.maps;
    CHECK(get(COUNT * SIZE, 1) && fake.maps == maps); /* made of all of them */
}

CHILD_CASE(grow_into_warm)
{
    start();
    struct vm_extent *low = get(MIB, 1), *high = get(MIB, 1);
    if (high->base < low->base) {
        struct vm_extent *other = low;
        low = high;
        high = other;
    }
    CHECK(high->base == low->base + MIB);
    put(high);
    CHECK(high->state == VM_EXTENT_WARM && vm_extent_resize(low, 2 * MIB, true) && low->size == 2 * MIB);
    put(low);
    CHECK(vm_extents_trim() && !vm_extent_at(low->base));
}

CHILD_CASE(alignments)
{
    start();
    for (size_t align = 1; align <= 64 * MIB; align *= 2) {
        struct vm_extent *a = get(300 * KIB, align), *b = get(5, align);
        memset((void *)a->base, 1, 300 * KIB);
        memset((void *)b->base, 2, PAGE);
        put(a);
        put(b);
    }
    /* From what is kept: an aligned request cuts both ends off. */
    struct vm_extent *e = get(8 * MIB, 4 * MIB);
    uintptr_t base = e->base;
    put(e);
    struct vm_extent *filler = get(PAGE, 1);
    if (filler->base == base) {
        e = get(MIB, MIB);
        CHECK(e->base == base + MIB);
    }
    CHECK(!vm_extent_alloc(PTRDIFF_MAX, 1) && !vm_extent_alloc((size_t)PTRDIFF_MAX + 1, 1) && !vm_extent_alloc(SIZE_MAX, 1));
    CHECK(!vm_extent_alloc(MIB, (size_t)1 << 62) && !vm_extent_alloc(MIB, (size_t)1 << 63));
    CHECK(!vm_extent_alloc(PTRDIFF_MAX - PAGE, (size_t)1 << 63));
    check();
}

CHILD_CASE(grow_into_the_neighbour)
{
    start();
    struct vm_extent *e = get(4 * MIB, 1);
    uintptr_t base = e->base;
    put(e);
    e = get(MIB, 1);
    struct vm_extent *end = NULL;
    fill((void *)e->base, MIB, 1, false);
    unsigned remaps = fake.remaps;
    CHECK(vm_extent_resize(e, 2 * MIB - 5, true));
    check();
    CHECK(e->base == base && e->size == 2 * MIB && stats().dirty == 2 * MIB && !e->zeroed);
    CHECK(wrong_at((void *)e->base, MIB, MIB, 1, false) == SIZE_MAX);
    CHECK(vm_extent_at(base) == e);
    end = get(MIB, 1);
    CHECK(end->base == base + 2 * MIB);
    /* One free MiB is left above `end`, none above e. */
    CHECK(!vm_extent_resize(e, 2 * MIB + 1, true));
    CHECK(e->size == 2 * MIB);
    CHECK(vm_extent_resize(end, 2 * MIB, true) && stats().dirty == 0);
    CHECK(fake.remaps == remaps);
    check();
}

CHILD_CASE(shrink_in_place)
{
    start();
    struct vm_extent *e = get(4 * MIB, 1);
    uintptr_t base = e->base;
    size_t live = stats().live;
    fill((void *)base, 4 * MIB, 9, false);
    CHECK(vm_extent_resize(e, 4 * MIB, true) && vm_extent_resize(e, 4 * MIB - 4095, true) && e->size == 4 * MIB);
    CHECK(vm_extent_resize(e, 3 * MIB + 1, true));
    check();
    CHECK(e->base == base && e->size == 3 * MIB + PAGE && stats().dirty == MIB - PAGE);
    CHECK(stats().live == live - (MIB - PAGE));
    CHECK(vm_extent_resize(e, 1, true) && e->size == PAGE);
    check();
    CHECK(stats().dirty == 4 * MIB - PAGE);
    CHECK(wrong_at((void *)base, 4 * MIB, PAGE, 9, false) == SIZE_MAX);
    CHECK(!vm_extent_resize(e, 0, true) && !vm_extent_resize(e, SIZE_MAX, false) && e->size == PAGE);
    CHECK(vm_extent_resize(e, 4 * MIB, true) && e->base == base); /* and back */
    check();
}

CHILD_CASE(remap_moves_the_pages)
{
    start();
    struct vm_extent *e = get(MIB, 1), *above = get(MIB, 1), *below = get(MIB, 1);
    fill((void *)e->base, MIB, 3, false);
    for (size_t size = 2 * MIB; size <= 128 * MIB; size *= 2) {
        uintptr_t before = e->base;
        CHECK(vm_extent_resize(e, size, false));
        check();
        CHECK(e->size == size && vm_extent_at(e->base) == e && !e->zeroed);
        CHECK(e->base == before || !vm_extent_at(before));
        CHECK(wrong_at((void *)e->base, MIB, MIB, 3, false) == SIZE_MAX);
        *(char *)(e->base + size - 1) = 1;
    }
    CHECK(fake.remaps > 0);
    fake.remap = true;
    uintptr_t before = e->base;
    size_t live = stats().live;
    CHECK(!vm_extent_resize(e, 200 * MIB, false));
    check();
    CHECK(e->base == before && e->size == 128 * MIB && vm_extent_at(before) == e && stats().live == live);
    CHECK(vm_extent_at(above->base) == above && vm_extent_at(below->base) == below);
}

/* A request that nothing kept is large enough for takes the largest that is kept and lets the system lengthen it. */
CHILD_CASE(kept_is_grown)
{
    start();
    struct vm_extent *e = get(4 * MIB, 1), *guard = get(PAGE, 1);
    fill((void *)e->base, 4 * MIB, 7, false);
    put(e);
    e = get(6 * MIB, 1);
    CHECK(!e->zeroed && stats().dirty == 0);
    CHECK(wrong_at((void *)e->base, 4 * MIB, 4 * MIB, 7, false) == SIZE_MAX); /* the pages that were kept */
    put(e);

    /* Not for a request twice as large, at an alignment, or for zeros, nor where the system refuses. */
    struct vm_extent *larger = get(13 * MIB, 1), *aligned = get(7 * MIB, 128 * KIB);
    CHECK(larger->zeroed && aligned->zeroed && stats().dirty == 6 * MIB);
    struct vm_extent *zeros = vm_extent_alloc_zero(8 * MIB, 1);
    CHECK(zeros && zeros->zeroed && stats().dirty == 6 * MIB);
    fake.remap = true;
    struct vm_extent *fresh = get(12 * MIB, 1);
    CHECK(fresh->zeroed && stats().dirty == 6 * MIB);
    fake.remap = false;
    e = get(12 * MIB, 1);
    CHECK(!e->zeroed && stats().dirty == 0 && vm_extent_at(guard->base) == guard);
}

CHILD_CASE(kept_is_bounded)
{
    start();
    struct vm_extent *e[64];

    for (unsigned i = 0; i < 64; i++)
        touch(e[i] = get(2 * MIB, 1));
    for (unsigned i = 0; i < 64; i++) {
        put(e[i]);
        CHECK(stats().dirty <= stats().live / 8);
    }
    CHECK(stats().live == 256 * MIB);
    vm_extents_trim();
    check();
    CHECK(stats().dirty == 0);
    put(ballast);
    vm_extents_trim();
    check();
    CHECK(stats().live == 0 && stats().dirty == 0);
    /* Of clean address space only what lies between other mappings may be left. */
    CHECK(stats().clean <= 64 * MIB);
}

/* A wave that comes back is paid for once or twice: what was returned and asked for again soon after is kept the next
   time (reclaim/keep.h). */
CHILD_CASE(a_wave_earns_credit)
{
    start();
    struct vm_extent *e[40];
    size_t first = 0;

    for (unsigned wave = 0; wave < 8; wave++) {
        fake.returned = 0;
        for (unsigned i = 0; i < 40; i++)
            touch(e[i] = get(2 * MIB, 1));
        for (unsigned i = 0; i < 40; i++)
            put(e[i]);
        if (wave == 0)
            first = fake.returned;
    }
    CHECK(first >= 32 * MIB);
    CHECKF(fake.returned <= first / 8, "%zu KiB returned in the eighth wave, %zu KiB in the first", fake.returned >> 10,
           first >> 10);
    clock_ns += (uint64_t)3600 * 1000000000;
    put(get(MIB, 1)); /* an hour later the credit is gone */
    CHECK(stats().dirty <= stats().live / 8);
}

/* 64 blocks of 2 MiB touched, freed and given back, as far as the system lets them. */
static void use_and_trim(struct vm_extent *e[64])
{
    for (unsigned i = 0; i < 64; i++)
        touch(e[i] = get(2 * MIB, 1));
    for (unsigned i = 0; i < 64; i++)
        put(e[i]);
    vm_extents_trim();
    check();
}

/* A growing heap calls: as much as it grew by goes back, but the share of what is live stays. */
CHILD_CASE(settling)
{
    start();
    for (unsigned i = 0; i < 6; i++) { /* earns credit */
        struct vm_extent *e = get(100 * MIB, 1);
        put(e);
    }
    size_t dirty = stats().dirty;
    CHECK(dirty >= 100 * MIB);
    vm_extents_settle(5 * MIB);
    CHECK(stats().dirty == dirty - 5 * MIB && vm_extent_check());
    vm_extents_settle(SIZE_MAX);
    CHECK(stats().dirty <= stats().live / 8);
    dirty = stats().dirty;
    vm_extents_settle(SIZE_MAX);
    CHECK(stats().dirty == dirty && vm_extent_check());
}

CHILD_CASE(unmap_refused)
{
    start();
    fake.unmap = true;
    struct vm_extent *e[64];
    use_and_trim(e);
    CHECK(fake.purges > 0 && stats().dirty == 0 && stats().clean > 0); /* purged instead */
    for (unsigned i = 0; i < 64; i++) {
        e[i] = get(2 * MIB, 1);
        CHECK(!e[i]->zeroed || not_zero_at((void *)e[i]->base, e[i]->size) == SIZE_MAX);
    }
    fake.unmap = false;
}

CHILD_CASE(unmap_and_purge_refused)
{
    start();
    fake.unmap = fake.purge = true;
    struct vm_extent *e[64];
    use_and_trim(e);
    CHECK(stats().dirty == 128 * MIB); /* nothing is lost */
    size_t clean = stats().clean;
    for (unsigned i = 0; i < 64; i++)
        CHECK(!(e[i] = get(2 * MIB, 1))->zeroed);
    CHECK(stats().dirty == 0 && stats().clean == clean);
}

CHILD_CASE(map_refused)
{
    start();
    struct vm_extent *e = get(8 * MIB, 1);
    touch(e);
    put(e);
    fake.map = true;
    CHECK(!get(64 * MIB, 1)); /* and what was kept has gone to make room */
    CHECK(stats().dirty == 0);
    CHECK(!get(400 * MIB, 16 * MIB));
    fake.map = false;
    CHECK(get(64 * MIB, 1));
}

CHILD_CASE(diagnosis)
{
    start();
    struct vm_extent *e = get(3 * MIB, 1), copy;
    uintptr_t base = e->base;

    CHECK(vm_extent_find(base, &copy) && copy.base == base && copy.size == e->size && copy.state == VM_EXTENT_LIVE);
    CHECK(vm_extent_find(base + 1, &copy) && copy.base == base);
    CHECK(vm_extent_find(base + MIB + 77, &copy) && copy.base == base);
    CHECK(vm_extent_find(base + 3 * MIB - 1, &copy) && copy.base == base);
    CHECK(!vm_extent_find((uintptr_t)&copy, &copy));
    CHECK(!vm_extent_freed_lately(base) && !vm_extent_freed_lately(0));
    put(e);
    CHECK(vm_extent_find(base + MIB, &copy) && copy.state != VM_EXTENT_LIVE);
    CHECK(!vm_extent_at(0) && !vm_extent_at(1) && !vm_extent_at(UINTPTR_MAX));
}

/* ---- Random model ---- */

#define LIVE 150
#define MARKS 8 /* pages that hold a mark, from both ends */

struct live {
    struct vm_extent *e;
    uint64_t id;
};

static uint64_t *mark_of(const struct live *l, size_t page) { return (uint64_t *)(l->e->base + page * PAGE + page % 500 * 8); }

static void mark(struct live *l, uint64_t id)
{
    size_t pages = l->e->size / PAGE;

    l->id = id;
    for (size_t i = 0; i < pages; i += pages / MARKS + 1)
        *mark_of(l, i) = id + i;
    *mark_of(l, pages - 1) = id + pages - 1;
}

/* The first `upto` pages of what was marked when it had `pages`. */
static void check_marks(const struct live *l, size_t pages, size_t upto)
{
    for (size_t i = 0; i < pages && i < upto; i += pages / MARKS + 1)
        CHECKF(*mark_of(l, i) == l->id + i, "page %zu of %zu", i, pages);
    if (pages <= upto)
        CHECK(*mark_of(l, pages - 1) == l->id + pages - 1);
}

static size_t random_size(uint64_t *r)
{
    return one_in(r, 3) ? 128 * KIB + below(r, 256 * KIB) : one_in(r, 10) ? 1 + below(r, 20 * MIB) : 1 + below(r, 2 * MIB);
}

CHILD_CASE(random_model)
{
    static struct live live[LIVE];
    uint64_t r = unit_seed(), id = 1;

    real = vm_os;
    start();
    put(ballast);
    for (unsigned step = 0; step < (UNIT_SANITIZED ? 2000 : 12000); step++) {
        struct live *l = &live[below(&r, LIVE)];
        fake.map = one_in(&r, 30);
        fake.unmap = one_in(&r, 10);
        fake.purge = one_in(&r, 10);
        fake.remap = one_in(&r, 10);
        clock_ns += below(&r, 30000000);
        if (!l->e) {
            l->e = get(random_size(&r), one_in(&r, 5) ? PAGE << below(&r, 11) : 1);
            if (!l->e)
                continue;
            if (l->e->zeroed)
                for (size_t at = 0; at < l->e->size; at += l->e->size / 16 / PAGE * PAGE + PAGE)
                    CHECK(not_zero_at((void *)(l->e->base + at), 64) == SIZE_MAX);
            mark(l, id += 100000);
            continue;
        }
        size_t pages = l->e->size / PAGE;
        check_marks(l, pages, pages);
        if (one_in(&r, 2)) {
            put(l->e);
            l->e = NULL;
            continue;
        }
        size_t size = one_in(&r, 2) ? 1 + below(&r, l->e->size) : l->e->size + below(&r, one_in(&r, 2) ? 10 * PAGE : 4 * MIB);
        bool stay = one_in(&r, 2);
        uintptr_t base = l->e->base;
        bool done = vm_extent_resize(l->e, size, stay);
        check();
        CHECK(done ? l->e->size == vm_align_up(size, PAGE) : l->e->size == pages * PAGE);
        CHECK((done && !stay && size > pages * PAGE) || l->e->base == base);
        CHECK(vm_extent_at(l->e->base) == l->e);
        check_marks(l, pages, l->e->size / PAGE);
        mark(l, id += 100000);
        if (one_in(&r, 200)) {
            vm_extents_trim();
            check();
        }
    }
    size_t bytes = 0, count = 0;
    for (unsigned i = 0; i < LIVE; i++)
        if (live[i].e) {
            check_marks(&live[i], live[i].e->size / PAGE, SIZE_MAX);
            bytes += live[i].e->size;
            count++;
        }
    CHECK(stats().live == bytes && stats().live_count == count);
}

/* A block to be cleared that was hardly touched gives its pages back; any other is written. */
CHILD_CASE(clearing)
{
    start();
    static const struct {
        size_t size, dense; /* bytes written before it is freed, from the start; the last page always */
        bool refused;
        unsigned purges;
    } cases[] = {{4 * MIB, KIB, false, 1}, {4 * MIB, 4 * MIB, false, 0}, {4 * MIB, KIB, true, 1}, {MIB, KIB, false, 0}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = cases[i].size;
        struct vm_extent *e = get(size, 1);
        memset((void *)e->base, 7, cases[i].dense);
        memset((void *)(e->base + size - PAGE), 7, PAGE);
        put(e);
        e = get(size, 1);
        CHECK(!e->zeroed);
        unsigned before = fake.purges;
        fake.purge = cases[i].refused;
        vm_extent_clear(e, size);
        fake.purge = false;
        CHECKF(fake.purges - before == cases[i].purges, "case %u", i);
        CHECK(not_zero_at((void *)e->base, size) == SIZE_MAX);
        put(e);
        vm_extents_trim();
        check();
    }
}

/* ---- Warm extents without a lock ---- */

/* An extent that comes and goes through a slot counts as live while it is out, and what was let to it does not outlast
   its growth, its move and its end. */
CHILD_CASE(account_of_warm_extents)
{
    start();
    struct vm_extent *e = get(MIB, 1), *other = get(2 * MIB, 1);
    CHECK(!vm_extent_put_warm(e)); /* a fresh one is a witness: not without the lock */
    put(e);
    CHECK(!vm_extent_take_warm(MIB + PAGE, 1) && !vm_extent_take_warm(MIB, (size_t)1 << 40));
    CHECK(vm_extent_take_warm(MIB - 5, 16) == e && vm_extent_at(e->base) == e && !e->zeroed);
    check();
    CHECK(stats().dirty == 0 && stats().claimed == MIB && vm_extents_kept() == 0 && vm_extents_used() == stats().live);
    CHECK(!vm_extent_put_warm(other) && vm_extent_put_warm(e) && !vm_extent_at(e->base));
    check();
    CHECK(stats().dirty == MIB && vm_extents_kept() == MIB);
    CHECK(get(MIB, 1) == e && vm_extent_resize(e, 3 * MIB, false));
    check();
    CHECK(!vm_extent_put_warm(e)); /* of another size now */
    put(e);
    put(other);
    put(ballast);
    CHECK(stats().live == 0 && stats().live_count == 0);
    vm_extents_trim();
    check();
    CHECK(stats().dirty == 0 && stats().claimed == 0);
}

/* What is in use through slots is neither returned as idle nor forgotten: only what nobody took since the last look goes. */
CHILD_CASE(warm_extents_age)
{
    start();
    struct vm_extent *e = get(MIB, 1);
    put(e);
    for (unsigned i = 0; i < 8; i++) {
        clock_ns += 600000000;
        struct vm_extent *taken = vm_extent_take_warm(MIB, 1);
        CHECK(taken == e && vm_extent_put_warm(taken));
        CHECK(vm_extents_age(1000000000) == 0 && stats().dirty == MIB);
    }
    e = vm_extent_take_warm(MIB, 1);
    size_t live = stats().live, returned = 0;
    for (unsigned i = 0; i < 3; i++) {
        clock_ns += 600000000;
        returned += vm_extents_age(1000000000);
    }
    check();
    CHECK(returned == 0 && stats().claimed == 0 && stats().live == live); /* it is out: the slot is let no more */
    put(e);
    for (unsigned i = 0; i < 3; i++) {
        clock_ns += 600000000;
        returned += vm_extents_age(1000000000);
    }
    CHECK(returned == MIB && stats().dirty == 0);
    check();
}

#define TRADERS 4

/* Takes, marks, resizes and frees extents of few sizes.  A mark that is not there was another's: handed out twice. */
static void *trade(void *arg)
{
    struct vm_extent *mine[4] = {0};
    uint64_t r = unit_seed() + (uintptr_t)arg;

    for (unsigned step = 0; step < (UNIT_SANITIZED ? 5000 : 40000); step++) {
        struct vm_extent **e = &mine[below(&r, 4)];
        uint64_t *mark = *e ? (uint64_t *)(*e)->base : NULL;
        if (!*e) {
            *e = vm_extent_alloc((1 + below(&r, 3)) * 32 * PAGE, PAGE << below(&r, 2));
            CHECK(*e && vm_extent_at((*e)->base) == *e);
            mark = (uint64_t *)(*e)->base;
            mark[0] = (uintptr_t)arg;
            mark[1] = (*e)->size;
            continue;
        }
        CHECK(mark[0] == (uintptr_t)arg && mark[1] == (*e)->size);
        if (one_in(&r, 50)) {
            vm_extent_resize(*e, (1 + below(&r, 3)) * 32 * PAGE, false);
            ((uint64_t *)(*e)->base)[1] = (*e)->size;
            continue;
        }
        mark[0] = 0;
        if (!vm_extent_put_warm(*e))
            vm_extent_free(*e);
        *e = NULL;
        if (one_in(&r, 500))
            vm_extents_trim();
        if (one_in(&r, 500))
            vm_extents_age(1);
    }
    for (unsigned i = 0; i < 4; i++)
        if (mine[i])
            vm_extent_free(mine[i]);
    return NULL;
}

CHILD_CASE(warm_by_threads)
{
    pthread_t t[TRADERS];

    start();
    vm_os = real; /* as ours is for one thread */
    for (uintptr_t i = 0; i < TRADERS; i++)
        CHECK(pthread_create(&t[i], NULL, trade, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < TRADERS; i++)
        pthread_join(t[i], NULL);
    check();
    CHECK(stats().live == 256 * MIB && stats().live_count == 1);
    vm_extents_trim();
    check();
    CHECK(stats().claimed == 0 && stats().live == 256 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(split_and_coalesce),
        CHILD_TEST(best_fit_then_lowest),
        CHILD_TEST(warm_extents),
        CHILD_TEST(grow_into_warm),
        CHILD_TEST(alignments),
        CHILD_TEST(grow_into_the_neighbour),
        CHILD_TEST(shrink_in_place),
        CHILD_TEST(remap_moves_the_pages),
        CHILD_TEST(kept_is_grown),
        CHILD_TEST(kept_is_bounded),
        CHILD_TEST(a_wave_earns_credit),
        CHILD_TEST(settling),
        CHILD_TEST(unmap_refused),
        CHILD_TEST(unmap_and_purge_refused),
        CHILD_TEST(map_refused),
        CHILD_TEST(diagnosis),
        CHILD_TEST(random_model),
        CHILD_TEST(clearing),
        CHILD_TEST(account_of_warm_extents),
        CHILD_TEST(warm_extents_age),
        CHILD_TEST(warm_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
