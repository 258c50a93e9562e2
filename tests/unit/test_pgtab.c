/* Unit tests of src/vm/pgtab and pte.h: leaves of three sizes, both trees, exact promises of tables, and two random
   models, with vm_pgtab_check() after every step.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "vm/pgtab.h"

#define PAGE ((uint64_t)1 << VM_PAGE_SHIFT)
#define MB2 ((uint64_t)1 << 21)
#define GB1 ((uint64_t)1 << 30)
#define LOW_END ((uint64_t)1 << 48)
#define HIGH_END ((uint64_t)1 << 57)

/* Leaves of a made-up descriptor each. */
static vm_pte leaf_of(unsigned number, enum vm_kind kind)
{
    return vm_pte_number((void *)((uintptr_t)number << VM_PTE_ALIGN_SHIFT)) | (vm_pte)kind << VM_PTE_KIND_SHIFT;
}

static void same_leaf(vm_pte found, vm_pte leaf, uint64_t address)
{
    vm_pte mask = ~(VM_PTE_PRESENT | VM_PTE_LEAF | VM_PTE_HUGE);

    CHECKF((leaf == 0) == (found == 0) && (found & mask) == leaf, "at %#llx: %#llx instead of %#llx",
           (unsigned long long)address, (unsigned long long)found, (unsigned long long)leaf);
    if (found)
        CHECK((found & VM_PTE_PRESENT) && (found & VM_PTE_LEAF));
}

static void give(struct vm_pgtab *t, unsigned n)
{
    for (; n > 0; n--)
        vm_pgtab_give(t, own_memory(sizeof(struct vm_table)));
}

/* Maps with exactly the tables that were asked for: one too few dies in the code, one too many shows here. */
static void map(struct vm_pgtab *t, uint64_t base, uint64_t bytes, vm_pte leaf)
{
    unsigned need = vm_pgtab_need(t, base, bytes), before = t->tables;
    struct vm_table *set_aside[64];
    unsigned aside = 0;

    while (t->spares > need) { /* hide what is there beyond the promise */
        CHECK(aside < 64);
        struct vm_table *s = t->spare;
        t->spare = (struct vm_table *)(uintptr_t)s->entry[0];
        t->spares--;
        s->entry[0] = 0;
        set_aside[aside++] = s;
    }
    give(t, need - t->spares);
    vm_pgtab_map(t, base, bytes, leaf);
    CHECKF(t->tables - before == need, "%u tables taken, %u promised, at %#llx, %#llx bytes", t->tables - before, need,
           (unsigned long long)base, (unsigned long long)bytes);
    CHECK(t->spares == 0);
    CHECK(vm_pgtab_check(t));
    CHECK(vm_pgtab_need(t, base, bytes) == 0);
    while (aside > 0)
        vm_pgtab_give(t, set_aside[--aside]);
    CHECK(vm_pgtab_check(t));
}

static void unmap(struct vm_pgtab *t, uint64_t base, uint64_t bytes)
{
    unsigned all = t->tables + t->spares;

    vm_pgtab_unmap(t, base, bytes);
    CHECK(t->tables + t->spares == all);
    CHECK(vm_pgtab_check(t));
}

static void entries(void **state)
{
    (void)state;
    /* Descriptors anywhere in 57 bits survive the packing. */
    static const uintptr_t places[] = {64, 0x12340, 0x7fffffffffc0, HIGH_END / 2 - 64, HIGH_END - 64};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (unsigned kind = VM_KIND_ZONE; kind <= VM_KIND_EXTENT; kind++) {
            vm_pte e = vm_pte_number((void *)places[i]) | (vm_pte)kind << VM_PTE_KIND_SHIFT | VM_PTE_PRESENT;
            assert_true(vm_pte_descriptor(e | VM_PTE_LEAF | VM_PTE_HUGE) == (void *)places[i]);
            assert_int_equal(vm_pte_kind(e), kind);
            assert_int_equal(vm_pte_kind(e & ~VM_PTE_PRESENT), VM_KIND_NONE);
        }
    assert_int_equal(vm_pte_kind(0), VM_KIND_NONE);
}

/* ---- Leaves of every size, at the borders of both trees ---- */

struct expected {
    uint64_t base, bytes;
    unsigned need; /* tables from nothing */
    bool huge;     /* at the first page */
};

static void leaf_sizes(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {PAGE, PAGE, 4, false},
        {MB2, MB2, 3, true},             /* one entry of 2 MiB: root, two levels */
        {GB1, GB1, 2, true},             /* one of 1 GiB */
        {GB1, 5 * GB1, 2, true},
        {MB2 - PAGE, 2 * PAGE, 5, false}, /* two last tables */
        {MB2 - PAGE, MB2 + 2 * PAGE, 5, false},
        {GB1 - PAGE, GB1 + 2 * PAGE, 7 - 1, false}, /* a last and a middle table on either side, 1 GiB between */
        {LOW_END - PAGE, PAGE, 4, false},
        {LOW_END - GB1, GB1, 2, true},
        {LOW_END, PAGE, 5, false},
        {LOW_END, MB2, 4, true},
        {LOW_END, GB1, 3, true},
        {HIGH_END - PAGE, PAGE, 5, false},
        {HIGH_END - GB1, GB1, 3, true},
        {HIGH_END - 512 * GB1, 512 * GB1, 3, true}, /* there are no entries of 512 GiB */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expected *c = &cases[i];
        struct vm_pgtab t = VM_PGTAB_INIT;
        unsigned need = vm_pgtab_need(&t, c->base, c->bytes);
        if (need != c->need)
            fail_msg("case %zu: %u tables, not %u", i, need, c->need);
        map(&t, c->base, c->bytes, leaf_of(7, VM_KIND_ZONE));
        assert_int_equal(!!(vm_pgtab_lookup(&t, c->base) & VM_PTE_HUGE), c->huge);
        for (uint64_t at = c->base; at < c->base + c->bytes; at += c->bytes / 16 > PAGE ? c->bytes / 16 : PAGE)
            same_leaf(vm_pgtab_lookup(&t, at + at % 7), leaf_of(7, VM_KIND_ZONE), at);
        same_leaf(vm_pgtab_lookup(&t, c->base + c->bytes - 1), leaf_of(7, VM_KIND_ZONE), c->base + c->bytes - 1);
        same_leaf(vm_pgtab_lookup(&t, c->base - 1), 0, c->base - 1);
        same_leaf(vm_pgtab_lookup(&t, c->base + c->bytes), 0, c->base + c->bytes);
        unmap(&t, c->base, c->bytes);
        same_leaf(vm_pgtab_lookup(&t, c->base), 0, c->base);
        assert_int_equal(t.tables, 1); /* the root stays */
    }
}

static void addresses_nobody_has(void **state)
{
    (void)state;
    struct vm_pgtab t = VM_PGTAB_INIT;
    static const uint64_t wild[] = {0, 1, LOW_END, HIGH_END - 1, HIGH_END, (uint64_t)1 << 63, UINT64_MAX,
                                    HIGH_END + MB2, ((uint64_t)1 << 63) + MB2};

    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++)
        assert_int_equal(vm_pgtab_lookup(&t, wild[i]), 0);
    map(&t, MB2, MB2, leaf_of(1, VM_KIND_ZONE));
    map(&t, LOW_END + MB2, MB2, leaf_of(2, VM_KIND_ZONE));
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++)
        assert_int_equal(vm_pgtab_lookup(&t, wild[i]), 0);
    /* Nothing to unmap: nothing happens. */
    unmap(&t, 64 * GB1, 3 * GB1);
    unmap(&t, HIGH_END - GB1, GB1);
    same_leaf(vm_pgtab_lookup(&t, MB2), leaf_of(1, VM_KIND_ZONE), MB2);
    same_leaf(vm_pgtab_lookup(&t, LOW_END + MB2), leaf_of(2, VM_KIND_ZONE), LOW_END + MB2);
}

/* The same offset in both trees: the first 48 bits must not be taken for the address. */
static void both_trees_at_once(void **state)
{
    (void)state;
    struct vm_pgtab t = VM_PGTAB_INIT;
    uint64_t at = 0x7f1234567000;

    map(&t, LOW_END + at, PAGE, leaf_of(2, VM_KIND_EXTENT));
    same_leaf(vm_pgtab_lookup(&t, at), 0, at);
    map(&t, at, PAGE, leaf_of(1, VM_KIND_ZONE));
    for (unsigned i = 0; i < 2; i++) {
        same_leaf(vm_pgtab_lookup(&t, LOW_END + at), leaf_of(2, VM_KIND_EXTENT), at);
        same_leaf(vm_pgtab_lookup(&t, at), leaf_of(1, VM_KIND_ZONE), at);
        same_leaf(vm_pgtab_lookup(&t, 2 * LOW_END + at), 0, at);
        map(&t, 5 * LOW_END + at, 3 * PAGE, leaf_of(3, VM_KIND_ZONE));
    }
    unmap(&t, at, PAGE);
    same_leaf(vm_pgtab_lookup(&t, LOW_END + at), leaf_of(2, VM_KIND_EXTENT), at);
    same_leaf(vm_pgtab_lookup(&t, at), 0, at);
}

/* ---- Random model: regions of any size, mapped, mapped anew and unmapped as a whole ---- */

#define REGIONS 12

struct region {
    uint64_t base, bytes;
    vm_pte leaf; /* 0: not in use */
};
static struct region region[REGIONS];

static const struct region *region_at(uint64_t address)
{
    for (unsigned i = 0; i < REGIONS; i++)
        if (region[i].leaf && address >= region[i].base && address < region[i].base + region[i].bytes)
            return &region[i];
    return NULL;
}

static struct region random_region(uint64_t *r)
{
    static const uint64_t places[] = {0, 3 * GB1, 0x555555554000, 0x7ffff0000000, LOW_END - 16 * GB1, LOW_END,
                                      LOW_END * 3 + 511 * GB1, HIGH_END - 16 * GB1};
    static const uint64_t units[] = {PAGE, PAGE, PAGE, MB2, GB1};
    uint64_t unit = units[below(r, 5)];
    struct region g = {places[below(r, 8)] + below(r, 8 * GB1), 0, 0};

    g.base = (one_in(r, 3) ? g.base & ~(GB1 - 1) : g.base) & ~(unit - 1);
    g.bytes = (unit == PAGE ? log_uniform(r, 20) : 1 + below(r, 4)) * unit;
    if (g.base < LOW_END && g.base + g.bytes > LOW_END)
        g.bytes = LOW_END - g.base;
    return g;
}

static bool is_apart(const struct region *g)
{
    for (unsigned i = 0; i < REGIONS; i++)
        if (region[i].leaf && g->base < region[i].base + region[i].bytes && region[i].base < g->base + g->bytes)
            return false;
    return true;
}

static void look_around(const struct vm_pgtab *t, const struct region *g, uint64_t *r)
{
    uint64_t at[6] = {g->base, g->base + g->bytes - 1, g->base - 1, g->base + g->bytes, g->base + below(r, g->bytes),
                      next_random(r) >> below(r, 40)};

    for (unsigned i = 0; i < 6; i++) {
        const struct region *owner = region_at(at[i]);
        same_leaf(vm_pgtab_lookup(t, at[i]), owner ? owner->leaf : 0, at[i]);
    }
}

static void random_regions(void **state)
{
    (void)state;
    uint64_t r = unit_seed();
    struct vm_pgtab t = VM_PGTAB_INIT;

    for (unsigned step = 0; step < 30000; step++) {
        struct region *g = &region[below(&r, REGIONS)];
        vm_pte leaf = leaf_of(1 + (unsigned)below(&r, 1000000), one_in(&r, 2) ? VM_KIND_ZONE : VM_KIND_EXTENT);
        if (!g->leaf) {
            struct region new = random_region(&r);
            if (!is_apart(&new))
                continue;
            map(&t, new.base, new.bytes, leaf);
            *g = new;
            g->leaf = leaf;
        } else if (one_in(&r, 3)) {
            map(&t, g->base, g->bytes, leaf);
            g->leaf = leaf;
        } else {
            unmap(&t, g->base, g->bytes);
            g->leaf = 0;
        }
        look_around(&t, g, &r);
        if (step % 50 == 0)
            for (unsigned i = 0; i < REGIONS; i++)
                if (region[i].leaf)
                    look_around(&t, &region[i], &r);
    }
    for (unsigned i = 0; i < REGIONS; i++)
        if (region[i].leaf)
            unmap(&t, region[i].base, region[i].bytes);
    assert_true(t.tables <= 2);
}

/* ---- Random model of pages: any run of pages (too short for a larger leaf) mapped and unmapped across borders ---- */

#define PAGES 4096

static void random_pages(void **state)
{
    (void)state;
    static const uint64_t bases[] = {GB1 - PAGES / 2 * PAGE, 512 * GB1 - PAGES / 2 * PAGE, 0x7f0000000000, LOW_END,
                                     LOW_END + 512 * GB1 - PAGES / 2 * PAGE, HIGH_END - PAGES * PAGE};
    static vm_pte reference[PAGES];
    uint64_t r = unit_seed();

    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++) {
        struct vm_pgtab t = VM_PGTAB_INIT;
        memset(reference, 0, sizeof reference);
        for (unsigned step = 0; step < 4000; step++) {
            unsigned from = (unsigned)below(&r, PAGES), n = (unsigned)log_uniform(&r, 9);
            n = n > 511 ? 511 : n;
            n = n > PAGES - from ? PAGES - from : n;
            vm_pte leaf = one_in(&r, 2) ? leaf_of(1 + step, VM_KIND_ZONE) : 0;
            if (leaf)
                map(&t, bases[b] + from * PAGE, n * PAGE, leaf);
            else
                unmap(&t, bases[b] + from * PAGE, n * PAGE);
            for (unsigned i = from; i < from + n; i++)
                reference[i] = leaf;
            for (unsigned i = 0; i < PAGES; i += step % 20 ? 61 : 1)
                same_leaf(vm_pgtab_lookup(&t, bases[b] + i * PAGE + below(&r, PAGE)), reference[i], bases[b] + i * PAGE);
        }
        unmap(&t, bases[b], PAGES * PAGE);
        assert_int_equal(t.tables, 1);
    }
}

/* ---- Readers beside a writer: what stays mapped is found at any moment ---- */

static struct vm_pgtab shared = VM_PGTAB_INIT;
static bool stop;
#define STABLE 0x7f0000200000

static void *read_stable(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        for (unsigned i = 0; i < 3; i++)
            same_leaf(vm_pgtab_lookup(&shared, STABLE + i * 3 * PAGE), leaf_of(5 + i, VM_KIND_EXTENT), STABLE);
    return NULL;
}

CHILD_CASE(readers_beside_a_writer)
{
    uint64_t r = unit_seed();
    pthread_t t[2];

    give(&shared, 400);
    for (unsigned i = 0; i < 3; i++)
        vm_pgtab_map(&shared, STABLE + i * 3 * PAGE, PAGE, leaf_of(5 + i, VM_KIND_EXTENT));
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&t[i], NULL, read_stable, NULL) == 0);
    for (unsigned i = 0; i < (UNIT_SANITIZED ? 3000 : 50000); i++) {
        /* Neighbours in the same table, in the one beside it, far away, and above 2^48. */
        static const uint64_t places[] = {STABLE + PAGE, STABLE - PAGE, STABLE + GB1, LOW_END + STABLE, PAGE};
        uint64_t at = places[below(&r, 5)];
        if (one_in(&r, 2))
            vm_pgtab_map(&shared, at, PAGE, leaf_of(100, VM_KIND_ZONE));
        else
            vm_pgtab_unmap(&shared, at, PAGE);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    CHECK(vm_pgtab_check(&shared));
}

/* vm_pgtab_check must find what it is there to find. */
static void check_finds_faults(void **state)
{
    (void)state;
    struct vm_pgtab t = VM_PGTAB_INIT;

    map(&t, MB2 - PAGE, 3 * PAGE, leaf_of(1, VM_KIND_ZONE));
    assert_true(vm_pgtab_check(&t));
    t.low += VM_PTE_USED_ONE;
    assert_false(vm_pgtab_check(&t));
    t.low -= VM_PTE_USED_ONE;
    t.tables++;
    assert_false(vm_pgtab_check(&t));
    t.tables--;
    struct vm_table *root = vm_pte_descriptor(t.low);
    vm_pte saved = root->entry[0];
    root->entry[0] = saved & ~VM_PTE_PRESENT;
    assert_false(vm_pgtab_check(&t));
    root->entry[0] = VM_PTE_PRESENT | VM_PTE_LEAF | VM_PTE_HUGE; /* a leaf at level 4 */
    assert_false(vm_pgtab_check(&t));
    root->entry[0] = saved;
    give(&t, 1);
    assert_true(vm_pgtab_check(&t));
    t.spare->entry[9] = 1;
    assert_false(vm_pgtab_check(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries),
        cmocka_unit_test(leaf_sizes),
        cmocka_unit_test(addresses_nobody_has),
        cmocka_unit_test(both_trees_at_once),
        cmocka_unit_test(random_regions),
        cmocka_unit_test(random_pages),
        CHILD_TEST(readers_beside_a_writer),
        cmocka_unit_test(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
