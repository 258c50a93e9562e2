/* Unit tests of src/vm/tlb: exact equality with a straightforward set-associative LRU on many streams, for every preset and
   odd geometries, with all flushes, address spaces, global pages and page-walk caches; access times; what CPUID says.
   Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "vm/tlb.h"
#include "vm/tlb_host.h"

/* ---- The reference: entries with a time of last use, nothing clever ---- */

struct ref_entry {
    bool valid, global;
    uint64_t page, asid, used, value;
    unsigned size;
};

struct ref_array {
    struct vm_tlb_geometry g;
    struct ref_entry *e;
    uint64_t evictions;
};

struct reference {
    const struct vm_tlb_config *config;
    struct ref_array array[VM_TLB_LEVELS][VM_TLB_ARRAYS], cache[VM_TLB_WALK_LEVELS];
    uint64_t clock, asid;
    struct vm_tlb_counts counts;
};

static void ref_init(struct reference *r, const struct vm_tlb_config *c)
{
    memset(r, 0, sizeof *r);
    r->config = c;
    for (unsigned i = 0; i < VM_TLB_LEVELS * VM_TLB_ARRAYS + VM_TLB_WALK_LEVELS; i++) {
        bool cache = i >= VM_TLB_LEVELS * VM_TLB_ARRAYS;
        unsigned k = i - VM_TLB_LEVELS * VM_TLB_ARRAYS;
        struct ref_array *a = cache ? &r->cache[k] : &r->array[i / VM_TLB_ARRAYS][i % VM_TLB_ARRAYS];
        if (cache && (k == 0 || k >= c->walk_levels))
            continue;
        a->g = cache ? c->walk_cache[k] : c->array[i / VM_TLB_ARRAYS][i % VM_TLB_ARRAYS];
        a->e = calloc((size_t)a->g.sets * a->g.ways + 1, sizeof *a->e);
    }
}

static void ref_free(struct reference *r)
{
    for (unsigned i = 0; i < VM_TLB_LEVELS * VM_TLB_ARRAYS; i++)
        free(r->array[i / VM_TLB_ARRAYS][i % VM_TLB_ARRAYS].e);
    for (unsigned i = 0; i < VM_TLB_WALK_LEVELS; i++)
        free(r->cache[i].e);
}

static struct ref_array *ref_of_size(struct reference *r, unsigned level, unsigned size)
{
    for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
        if (r->array[level][i].g.ways && (r->array[level][i].g.sizes >> size & 1))
            return &r->array[level][i];
    return NULL;
}

static struct ref_entry *ref_find(struct reference *r, struct ref_array *a, uint64_t page, unsigned size)
{
    struct ref_entry *set = a->e + page % a->g.sets * a->g.ways;

    for (unsigned w = 0; w < a->g.ways; w++)
        if (set[w].valid && set[w].page == page && set[w].size == size && (set[w].global || set[w].asid == r->asid)) {
            set[w].used = ++r->clock;
            return &set[w];
        }
    return NULL;
}

static struct ref_entry *ref_insert(struct reference *r, struct ref_array *a, uint64_t page, unsigned size, bool global,
                                    uint64_t value)
{
    struct ref_entry *set = a->e + page % a->g.sets * a->g.ways, *victim = &set[0];

    for (unsigned w = 0; global && w < a->g.ways; w++)
        if (set[w].page == page && set[w].size == size)
            set[w].valid = false;
    for (unsigned w = 0; w < a->g.ways; w++) {
        if (!set[w].valid) {
            victim = &set[w];
            break;
        }
        if (set[w].used < victim->used)
            victim = &set[w];
    }
    a->evictions += victim->valid;
    *victim = (struct ref_entry){true, global, page, r->asid, ++r->clock, value, size};
    return victim;
}

static unsigned ref_walk(struct reference *r, uint64_t address, unsigned leaf)
{
    const struct vm_tlb_config *c = r->config;
    unsigned from = c->walk_levels; /* the walk reads entries of levels from .. leaf */

    for (unsigned level = leaf + 1; level <= c->walk_levels; level++)
        if (r->cache[level - 1].g.ways && ref_find(r, &r->cache[level - 1], address >> c->walk_shift[level - 1], 0)) {
            r->counts.walk_cache_hits[level - 1]++;
            from = level - 1;
            break;
        }
    for (unsigned level = leaf + 1; level <= from; level++)
        if (r->cache[level - 1].g.ways)
            ref_insert(r, &r->cache[level - 1], address >> c->walk_shift[level - 1], 0, false, 0);
    r->counts.walk_reads += from - leaf + 1;
    return from - leaf + 1;
}

static unsigned ref_leaf(const struct vm_tlb_config *c, unsigned size)
{
    unsigned level = 1;

    while (level < c->walk_levels && c->walk_shift[level] <= c->shift[size])
        level++;
    return level;
}

static unsigned ref_ref(struct reference *r, uint64_t address, unsigned size, bool global, uint64_t value)
{
    uint64_t page = address >> r->config->shift[size];
    struct ref_array *first = ref_of_size(r, 0, size), *second = ref_of_size(r, 1, size);
    struct ref_entry *e;

    if (first && ref_find(r, first, page, size)) {
        r->counts.hits[0][size]++;
        return 0;
    }
    if (second && (e = ref_find(r, second, page, size))) {
        r->counts.hits[1][size]++;
        if (first)
            ref_insert(r, first, page, size, e->global, e->value);
        return 0;
    }
    r->counts.walks[size]++;
    unsigned reads = ref_walk(r, address, ref_leaf(r->config, size));
    if (second)
        ref_insert(r, second, page, size, global, value);
    if (first)
        ref_insert(r, first, page, size, global, value);
    return reads;
}

static size_t ref_flush(struct reference *r, enum vm_tlb_flush kind, uint64_t asid, uint64_t from, uint64_t bytes)
{
    size_t dropped = 0;

    for (unsigned i = 0; i < VM_TLB_LEVELS * VM_TLB_ARRAYS; i++) {
        struct ref_array *a = &r->array[i / VM_TLB_ARRAYS][i % VM_TLB_ARRAYS];
        for (size_t k = 0; k < (size_t)a->g.sets * a->g.ways; k++) {
            struct ref_entry *e = &a->e[k];
            unsigned shift = r->config->shift[e->size];
            bool mine = e->asid == asid || e->global;
            bool in = e->page << shift < from + bytes && from < (e->page + 1) << shift;
            bool goes = kind == VM_TLB_FLUSH_ALL || (kind == VM_TLB_FLUSH_NON_GLOBAL && !e->global)
                        || (kind == VM_TLB_FLUSH_ASID && !e->global && e->asid == asid)
                        || (kind <= VM_TLB_FLUSH_RANGE && mine && in);
            if (e->valid && goes) {
                e->valid = false;
                dropped++;
            }
        }
    }
    for (unsigned i = 1; i < r->config->walk_levels; i++)
        for (size_t k = 0; k < (size_t)r->cache[i].g.sets * r->cache[i].g.ways; k++)
            if (kind >= VM_TLB_FLUSH_NON_GLOBAL || r->cache[i].e[k].asid == asid)
                r->cache[i].e[k].valid = false;
    r->counts.flushes[kind]++;
    r->counts.flushed[kind] += dropped;
    return dropped;
}

/* ---- Both side by side ---- */

struct pair {
    struct vm_tlb *t;
    struct reference r;
};

static struct pair pair_new(const struct vm_tlb_config *c)
{
    struct pair p;
    const char *why;
    size_t bytes = vm_align_up(vm_tlb_bytes(c), 64);

    CHECKF(vm_tlb_config_check(c, &why) == 0, "%s: %s", c->name, why);
    p.t = vm_tlb_init(aligned_alloc(64, bytes), c);
    ref_init(&p.r, c);
    return p;
}

static void pair_free(struct pair *p)
{
    free(p->t);
    ref_free(&p->r);
}

static void pair_same(struct pair *p)
{
    struct vm_tlb_counts got = vm_tlb_counts(p->t), want = p->r.counts;

    for (unsigned i = 0; i < VM_TLB_LEVELS * VM_TLB_ARRAYS; i++)
        want.evictions[i / VM_TLB_ARRAYS] += p->r.array[i / VM_TLB_ARRAYS][i % VM_TLB_ARRAYS].evictions;
    CHECK(vm_tlb_check(p->t));
    CHECKF(memcmp(&got, &want, sizeof got) == 0, "%s: walks %llu, not %llu", p->r.config->name,
           (unsigned long long)vm_tlb_total_walks(&got), (unsigned long long)vm_tlb_total_walks(&want));
}

static void pair_ref(struct pair *p, uint64_t address, unsigned size)
{
    unsigned got = vm_tlb_ref(p->t, address, (enum vm_tlb_size)size), want = ref_ref(&p->r, address, size, false, 0);

    CHECKF(got == want, "%s: %#llx read %u entries, not %u", p->r.config->name, (unsigned long long)address, got, want);
}

/* ---- Streams ---- */

static uint64_t zipf(uint64_t *seed, uint64_t pages) { return log_uniform(seed, 40) % pages; }

static uint64_t stream(unsigned kind, uint64_t i, uint64_t *seed, const struct vm_tlb_config *c)
{
    uint64_t base = 0x7f0000000000;
    /* One page more than the ways of a set, all in the same set of the second level: LRU misses always. */
    uint64_t sets = c->array[1][0].ways ? c->array[1][0].sets : c->array[0][0].sets;
    uint64_t ways = (c->array[1][0].ways ? c->array[1][0].ways : c->array[0][0].ways) + 1 + i / 5000 % 2;

    switch (kind) {
    case 0: return base + below(seed, 5000) * 4096 + below(seed, 4096);
    case 1: return base + i * 64;
    case 2: return base + i % 4000 * 4096;
    case 3: return base + zipf(seed, 100000) * 4096;
    case 4: return base + i % ways * sets * 4096;
    case 5: return base + (i & 1 ? below(seed, 70) : zipf(seed, 3000)) * 4096;
    case 6: return base + below(seed, 40) * ((uint64_t)1 << 30) + below(seed, 3) * ((uint64_t)1 << 21);
    default: return next_random(seed) & (((uint64_t)1 << 57) - 1);
    }
}
#define STREAMS 8

static const struct vm_tlb_config odd[] = {
    {.name = "odd sets", .shift = {12, 21, 30}, .walk_levels = 5, .walk_shift = {12, 21, 30, 39, 48},
     .array = {{{3, 5, 1}, {7, 2, 2}, {1, 1, 4}}, {{100, 9, 3}, {5, 3, 4}}},
     .walk_cache = {{0}, {3, 3, 0}, {1, 2, 0}, {1, 1, 0}, {0}}},
    {.name = "no first level", .shift = {12, 21, 0}, .walk_levels = 4, .walk_shift = {12, 21, 30, 39},
     .array = {{{0}}, {{16, 17, 3}}}},
    {.name = "no second level for large pages", .shift = {12, 22, 0}, .walk_levels = 2, .walk_shift = {12, 22},
     .array = {{{1, 9, 3}}, {{8, 4, 1}}}, .walk_cache = {{0}, {1, 4, 0}}},
    {.name = "one entry", .shift = {16, 0, 0}, .walk_levels = 4, .walk_shift = {12, 21, 30, 39}, .array = {{{1, 1, 1}}}},
    {.name = "nothing at all", .shift = {12, 0, 0}, .walk_levels = 4, .walk_shift = {12, 21, 30, 39}},
    {.name = NULL},
};

static const struct vm_tlb_config *config_number(unsigned i)
{
    unsigned presets = 0;

    while (vm_tlb_presets[presets].name)
        presets++;
    if (i < presets)
        return &vm_tlb_presets[i];
    return odd[i - presets].name ? &odd[i - presets] : NULL;
}

static unsigned size_of(const struct vm_tlb_config *c, uint64_t address, bool mixed)
{
    unsigned size = mixed ? (unsigned)(address >> 30) % 3 : 0;

    return c->shift[size] ? size : 0;
}

static void equal_to_the_reference(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    const struct vm_tlb_config *c;
    uint64_t n = UNIT_SANITIZED ? 6000 : 40000;

    for (unsigned i = 0; (c = config_number(i)); i++)
        for (unsigned kind = 0; kind < STREAMS; kind++)
            for (unsigned mixed = 0; mixed < 2; mixed++) {
                struct pair p = pair_new(c);
                for (uint64_t k = 0; k < n; k++) {
                    uint64_t a = stream(kind, k, &seed, c);
                    pair_ref(&p, a, size_of(c, a, mixed));
                    if (k % 5000 == 0)
                        pair_same(&p);
                }
                pair_same(&p);
                pair_free(&p);
            }
}

/* Random steps of everything: address spaces, global pages, lookups and fills with values, every flush. */
static void random_step(struct pair *p, uint64_t *seed)
{
    const struct vm_tlb_config *c = p->r.config;
    uint64_t a = stream((unsigned)below(seed, STREAMS), below(seed, 20000), seed, c), asid = below(seed, 4);
    unsigned size = size_of(c, a, true);
    size_t got = 0, want = 0;
    uint64_t bytes = 1 + below(seed, one_in(seed, 3) ? (uint64_t)1 << 32 : 40000);
    bool global = a >> 20 & 1;

    switch (below(seed, 400)) {
    case 0: vm_tlb_switch(p->t, (unsigned)asid), p->r.asid = asid; break;
    case 1: got = vm_tlb_flush_page(p->t, (unsigned)asid, a), want = ref_flush(&p->r, VM_TLB_FLUSH_PAGE, asid, a, 1); break;
    case 2:
        if ((a + bytes) >> 57)
            return;
        got = vm_tlb_flush_range(p->t, (unsigned)asid, a, bytes);
        want = ref_flush(&p->r, VM_TLB_FLUSH_RANGE, asid, a, bytes);
        break;
    case 3: got = vm_tlb_flush_asid(p->t, (unsigned)asid), want = ref_flush(&p->r, VM_TLB_FLUSH_ASID, asid, 0, 0); break;
    case 4: got = vm_tlb_flush_non_global(p->t), want = ref_flush(&p->r, VM_TLB_FLUSH_NON_GLOBAL, 0, 0, 0); break;
    case 5:
        if (one_in(seed, 5))
            got = vm_tlb_flush_all(p->t), want = ref_flush(&p->r, VM_TLB_FLUSH_ALL, 0, 0, 0);
        break;
    case 6: got = vm_tlb_failed_walk(p->t, a, 1 + (unsigned)(asid % c->walk_levels)),
            want = ref_walk(&p->r, a, 1 + (unsigned)(asid % c->walk_levels));
        break;
    default:
        if (global)
            got = vm_tlb_ref_global(p->t, a, (enum vm_tlb_size)size), want = ref_ref(&p->r, a, size, true, 0);
        else
            got = vm_tlb_ref(p->t, a, (enum vm_tlb_size)size), want = ref_ref(&p->r, a, size, false, 0);
    }
    CHECKF(got == want, "%s: %zu, not %zu", c->name, got, want);
}

static void flushes_and_address_spaces(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    const struct vm_tlb_config *c;

    for (unsigned i = 0; (c = config_number(i)); i++) {
        struct pair p = pair_new(c);
        for (unsigned k = 0; k < (UNIT_SANITIZED ? 10000 : 100000); k++) {
            random_step(&p, &seed);
            if (k % 500 == 0)
                pair_same(&p);
        }
        pair_same(&p);
        pair_free(&p);
    }
}

/* A machine's use: the size is known only after the walk; the value comes back from every level. */
static void lookup_and_fill(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    const struct vm_tlb_config *c;

    for (unsigned i = 0; (c = config_number(i)); i++) {
        struct pair p = pair_new(c);
        for (unsigned k = 0; k < (UNIT_SANITIZED ? 10000 : 60000); k++) {
            uint64_t a = stream((unsigned)below(&seed, 7), k, &seed, c);
            unsigned size = size_of(c, a, true);
            struct vm_tlb_hit found = {VM_TLB_GIANT, 0};
            uint64_t second = p.r.counts.hits[1][size];
            uint64_t *value = vm_tlb_lookup(p.t, a, &found), tag = a >> c->shift[size];
            if (value) {
                CHECK(found.size == size && *value == tag);
                CHECK(ref_ref(&p.r, a, size, false, tag) == 0);
                CHECK(found.level == 1 + (p.r.counts.hits[1][size] > second));
            } else {
                unsigned reads = vm_tlb_fill(p.t, a, (enum vm_tlb_size)size, false, tag);
                CHECK(reads == ref_ref(&p.r, a, size, false, tag) && reads > 0);
            }
            if (one_in(&seed, 1000))
                CHECK(vm_tlb_flush_page(p.t, 0, a) == ref_flush(&p.r, VM_TLB_FLUSH_PAGE, 0, a, 1));
            if (k % 500 == 0)
                pair_same(&p);
        }
        pair_same(&p);
        pair_free(&p);
    }
}

/* A second fill of a page that is there changes its value in all levels, and makes no second entry. */
static void fill_again(void **state)
{
    (void)state;
    const struct vm_tlb_config *c = vm_tlb_preset("skylake");
    struct pair p = pair_new(c);

    vm_tlb_fill(p.t, 0x1000, VM_TLB_SMALL, false, 7);
    vm_tlb_fill(p.t, 0x1000, VM_TLB_SMALL, false, 8);
    assert_int_equal(*vm_tlb_lookup(p.t, 0x1fff, NULL), 8);
    assert_int_equal(vm_tlb_live(p.t, 1, VM_TLB_SMALL), 1);
    for (uint64_t i = 1; i <= 4; i++) /* out of the first level's set, not of the second */
        vm_tlb_ref(p.t, 0x1000 + i * 16 * 4096, VM_TLB_SMALL);
    assert_int_equal(*vm_tlb_lookup(p.t, 0x1000, NULL), 8);
    assert_true(vm_tlb_check(p.t));
    assert_int_equal(vm_tlb_flush_page(p.t, 0, 0x1234), 2);
    assert_null(vm_tlb_lookup(p.t, 0x1000, NULL));
    pair_free(&p);
}

static bool count_entry(void *ctx, const struct vm_tlb_entry *e)
{
    uint64_t *sum = ctx;

    CHECK(e->size == VM_TLB_SMALL && e->asid == 3 && !e->global && e->value == e->address + 1);
    sum[e->level] += e->address;
    return e->address != 0x9000;
}

static void entries_listed(void **state)
{
    (void)state;
    struct pair p = pair_new(vm_tlb_preset("skylake"));
    uint64_t sum[3] = {0};

    vm_tlb_switch(p.t, 3);
    assert_true(vm_tlb_each(p.t, count_entry, sum));
    for (uint64_t a = 0x1000; a < 0x5000; a += 0x1000)
        vm_tlb_fill(p.t, a + 5, VM_TLB_SMALL, false, a + 1);
    assert_true(vm_tlb_each(p.t, count_entry, sum));
    assert_int_equal(sum[1], 0xa000);
    assert_int_equal(sum[2], 0xa000);
    vm_tlb_fill(p.t, 0x9000, VM_TLB_SMALL, false, 0x9001);
    assert_false(vm_tlb_each(p.t, count_entry, sum));
    pair_free(&p);
}

static void which_entries_survive(void **state)
{
    (void)state;
    struct pair p = pair_new(vm_tlb_preset("zen4"));

    vm_tlb_ref(p.t, 0x1000, VM_TLB_SMALL);
    vm_tlb_ref_global(p.t, 0x2000, VM_TLB_SMALL);
    vm_tlb_switch(p.t, 1); /* PCIDs: nothing is lost */
    assert_int_equal(vm_tlb_ref(p.t, 0x2000, VM_TLB_SMALL), 0);
    assert_int_not_equal(vm_tlb_ref(p.t, 0x1000, VM_TLB_SMALL), 0);
    vm_tlb_switch(p.t, 0);
    assert_int_equal(vm_tlb_ref(p.t, 0x1000, VM_TLB_SMALL), 0);
    assert_int_equal(vm_tlb_flush_non_global(p.t), 4); /* two address spaces, two levels */
    assert_int_equal(vm_tlb_ref(p.t, 0x2000, VM_TLB_SMALL), 0);
    assert_int_equal(vm_tlb_ref(p.t, 0x1000, VM_TLB_SMALL), 4);
    assert_int_equal(vm_tlb_flush_page(p.t, 5, 0x2000), 2); /* invlpg takes global ones too */
    assert_int_not_equal(vm_tlb_ref(p.t, 0x2000, VM_TLB_SMALL), 0);
    assert_int_equal(vm_tlb_flush_range(p.t, 0, 0x1000, 0), 0);
    pair_free(&p);
}

static void effective_access_time(void **state)
{
    (void)state;
    assert_float_equal(vm_tlb_eat_textbook(0.98, 20, 100, 1), 122, 1e-9);
    assert_float_equal(vm_tlb_eat_textbook(0.98, 20, 100, 4), 128, 1e-9);

    /* The same from counts: 98 hits and 2 walks of one read. */
    struct vm_tlb_latency latency = {{20, 0}, 100};
    struct pair p = pair_new(vm_tlb_preset("textbook"));
    for (unsigned i = 0; i < 100; i++)
        vm_tlb_ref(p.t, i < 50 ? 0x1000 : 0x2000, VM_TLB_SMALL);
    struct vm_tlb_counts c = vm_tlb_counts(p.t);
    assert_int_equal(vm_tlb_total_refs(&c), 100);
    assert_int_equal(vm_tlb_total_walks(&c), 2);
    assert_float_equal(vm_tlb_eat(&c, &latency), 122, 1e-9);
    vm_tlb_counts_clear(p.t);
    c = vm_tlb_counts(p.t);
    assert_float_equal(vm_tlb_eat(&c, &latency), 0, 0);
    pair_free(&p);

    /* Two levels and walk caches: 1 walk of 4, 1 of 1 (PDE known), 6 hits at once, 2 in the second level. */
    c = (struct vm_tlb_counts){.hits = {{6, 0, 0}, {2, 0, 0}}, .walks = {2, 0, 0}, .walk_reads = 5};
    latency = (struct vm_tlb_latency){{1, 7}, 100};
    assert_float_equal(vm_tlb_eat(&c, &latency), 1 + 0.4 * 7 + 0.5 * 100 + 100, 1e-9);
}

static void presets_and_reach(void **state)
{
    (void)state;
    static const char *const names[] = {"skylake", "icelake",     "sapphirerapids", "zen3",
                                        "zen4",    "cortex-a72", "neoverse-n1",    "textbook"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(vm_tlb_preset(names[i]));
    assert_null(vm_tlb_preset("pentium"));
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("skylake"), 1, VM_TLB_SMALL), 256 * 1024);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("skylake"), 2, VM_TLB_LARGE), (uint64_t)3 << 30);
    assert_int_equal(vm_tlb_preset("skylake")->array[1][0].sets, 128);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("skylake"), 2, VM_TLB_GIANT), (uint64_t)16 << 30);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("icelake"), 1, VM_TLB_GIANT), (uint64_t)8 << 30);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("icelake"), 2, VM_TLB_SMALL), 8 << 20);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("icelake"), 2, VM_TLB_LARGE), (uint64_t)2 << 30);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("sapphirerapids"), 1, VM_TLB_SMALL), 384 * 1024);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("sapphirerapids"), 2, VM_TLB_LARGE), (uint64_t)2 << 30);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("zen3"), 2, VM_TLB_SMALL), 8 << 20);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("zen4"), 1, VM_TLB_SMALL), 72 * 4096);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("zen4"), 2, VM_TLB_SMALL), 12 << 20);
    assert_int_equal(vm_tlb_preset("neoverse-n1")->array[1][0].sets, 256);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("zen4"), 2, VM_TLB_GIANT), (uint64_t)64 << 30);
    assert_int_equal(vm_tlb_reach(vm_tlb_preset("textbook"), 2, VM_TLB_SMALL), 0);
}

static void impossible_configs(void **state)
{
    (void)state;
    const char *why = NULL;
    struct vm_tlb_config good = *vm_tlb_preset("skylake"), c;

#define REFUSED(change) \
    do { \
        c = good; \
        change; \
        assert_int_equal(vm_tlb_config_check(&c, &why), -EINVAL); \
        assert_non_null(why); \
    } while (0)
    assert_int_equal(vm_tlb_config_check(&good, &why), 0);
    assert_null(why);
    REFUSED(c.array[0][0].ways = 0);
    REFUSED(c.array[0][0].sets = 70000);
    REFUSED(c.array[0][1].sizes = 1);
    REFUSED(c.array[0][1].sizes = 8);
    REFUSED(c.array[0][1].sizes = 0);
    REFUSED(c.shift[0] = 0);
    REFUSED(c.shift[1] = 12);
    REFUSED(c.shift[0] = 11);
    REFUSED(c.walk_levels = 0);
    REFUSED(c.walk_levels = 6);
    REFUSED(c.walk_shift[2] = 21);
    REFUSED(c.walk_cache[1].sets = 0);
}

/* ---- CPUID ---- */

static struct vm_cpuid leaf_18(uint32_t leaf, uint32_t sub) /* an Ice Lake */
{
    static const struct vm_cpuid sub_18[] = {
        {7, 0, 0, 0},
        {0, 0x00080007, 1, 0x4122},   /* instructions */
        {0, 0x0010000f, 1, 0x4125},   /* stores */
        {0, 0x00040001, 16, 0x4024},  /* loads, first level, 4 KiB: 16 sets of 4 */
        {0, 0x00040006, 8, 0x4024},   /* 2 MiB: 8 of 4 */
        {0, 0x00080008, 1, 0x4124},   /* 1 GiB: 8 */
        {0, 0x00080007, 128, 0x4043}, /* unified, second level, 4 KiB and 2 MiB: 128 of 8 */
        {0, 0x00080009, 128, 0x4043}, /* 4 KiB and 1 GiB */
    };

    if (leaf == 0)
        return (struct vm_cpuid){0x1b, 0, 0, 0};
    return leaf == 0x18 && sub < 8 ? sub_18[sub] : (struct vm_cpuid){0, 0, 0, 0};
}

static struct vm_cpuid leaf_2(uint32_t leaf, uint32_t sub) /* a Skylake */
{
    (void)sub;
    if (leaf == 0)
        return (struct vm_cpuid){0x16, 0, 0, 0};
    return leaf == 2 ? (struct vm_cpuid){0x76036301, 0x00f0b5ff, 0, 0x00c30000} : (struct vm_cpuid){0, 0, 0, 0};
}

static struct vm_cpuid leaf_amd(uint32_t leaf, uint32_t sub) /* a Zen 3 */
{
    (void)sub;
    switch (leaf) {
    case 0: return (struct vm_cpuid){0x10, 0, 0, 0};
    case 0x80000000: return (struct vm_cpuid){0x80000023, 0, 0, 0};
    case 0x80000005: return (struct vm_cpuid){0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140};
    case 0x80000006: return (struct vm_cpuid){0x48002200, 0x68004200, 0x02006140, 0x08009140};
    case 0x80000019: return (struct vm_cpuid){0xf040f040, 0xf0400000, 0, 0};
    default: return (struct vm_cpuid){0, 0, 0, 0};
    }
}

static struct vm_cpuid leaf_none(uint32_t leaf, uint32_t sub)
{
    (void)leaf;
    (void)sub;
    return (struct vm_cpuid){0, 0, 0, 0};
}

static void same_geometry(struct vm_tlb_geometry g, uint32_t sets, uint32_t ways, uint32_t sizes)
{
    assert_int_equal(g.sets, sets);
    assert_int_equal(g.ways, ways);
    assert_int_equal(g.sizes, sizes);
}

static void cpuid_decoded(void **state)
{
    (void)state;
    struct vm_tlb_config c;

    assert_int_equal(vm_tlb_host_decode(&c, leaf_18), 0);
    assert_int_equal(vm_tlb_config_check(&c, NULL), 0);
    same_geometry(c.array[0][0], 16, 4, 1);
    same_geometry(c.array[0][1], 8, 4, 2);
    same_geometry(c.array[0][2], 1, 8, 4);
    same_geometry(c.array[1][0], 128, 8, 3);
    same_geometry(c.array[1][1], 128, 8, 4); /* 4 KiB pages are in the other half already */
    assert_int_equal(vm_tlb_host_decode(&c, leaf_2), 0);
    assert_int_equal(vm_tlb_config_check(&c, NULL), 0);
    same_geometry(c.array[1][0], 256, 6, 3);
    assert_int_equal(vm_tlb_reach(&c, 1, VM_TLB_SMALL), 64 * 4096);
    assert_int_equal(vm_tlb_reach(&c, 1, VM_TLB_LARGE), (uint64_t)32 << 21);
    assert_int_equal(vm_tlb_reach(&c, 1, VM_TLB_GIANT), (uint64_t)4 << 30);
    assert_int_equal(vm_tlb_host_decode(&c, leaf_amd), 0);
    assert_int_equal(vm_tlb_config_check(&c, NULL), 0);
    same_geometry(c.array[0][0], 1, 64, 7);
    same_geometry(c.array[1][0], 256, 8, 3);
    same_geometry(c.array[1][1], 1, 64, 4);
    assert_int_equal(vm_tlb_host_decode(&c, leaf_none), -ENOTSUP);
    int found = vm_tlb_host(&c);
    assert_true(found == -ENOTSUP || (found == 0 && vm_tlb_config_check(&c, NULL) == 0));
}

/* vm_tlb_check must find what it is there to find: single bytes of the memory behind the header turned over. */
static void check_finds_faults(void **state)
{
    (void)state;
    const struct vm_tlb_config *c = vm_tlb_preset("cortex-a72");
    size_t bytes = vm_tlb_bytes(c);
    unsigned char *memory = aligned_alloc(64, bytes);
    struct vm_tlb *t = vm_tlb_init(memory, c);
    unsigned found = 0, tried = 0;

    for (uint64_t i = 0; i < 5000; i++)
        vm_tlb_ref(t, i * 4096, VM_TLB_SMALL);
    assert_true(vm_tlb_check(t));
    for (size_t at = bytes - 4096 * 4; at < bytes; at += 97) { /* links, heads and fingerprints at the least */
        memory[at] ^= 0x81;
        tried++;
        found += !vm_tlb_check(t);
        memory[at] ^= 0x81;
    }
    assert_true(vm_tlb_check(t));
    assert_true(found > tried / 4); /* values and unused room are anybody's */
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_to_the_reference),
        cmocka_unit_test(flushes_and_address_spaces),
        cmocka_unit_test(lookup_and_fill),
        cmocka_unit_test(fill_again),
        cmocka_unit_test(entries_listed),
        cmocka_unit_test(which_entries_survive),
        cmocka_unit_test(effective_access_time),
        cmocka_unit_test(presets_and_reach),
        cmocka_unit_test(impossible_configs),
        cmocka_unit_test(cpuid_decoded),
        cmocka_unit_test(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
