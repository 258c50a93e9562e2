/* The TLB model; see tlb.h for the contract.

   An array is sets of ways, and a set lies in one piece:

    +-----------------+-------------+------+---------------+----------------+----------------------+
    | a fingerprint a | ring, a     | head | a key a way   | a value a way  | slots, of sets with  |
    | way, 1 byte     | link a way  |      |               |                | more than NARROW ways|
    +-----------------+-------------+------+---------------+----------------+----------------------+

   A lookup compares the fingerprints of a whole set at once, without a branch that depends on where it is found, and then
   the keys of those that agree.  In a wide set it first looks into the slot that the page's hash leads to, which has the
   number of its entries with such a hash, mostly 0 or 1, and the way of the latest.  The ways are in a ring in order of use,
   the head the latest; entries that are not valid (NO_KEY) are the last ones of the ring, so that its end is always the one
   to replace.

     63                              19 18  17  16 15        0
    +----------------------------------+------+---+-----------+
    | page number (57-bit address)     | size | G |   asid    |   key
    +----------------------------------+------+---+-----------+

   A reference to the page of the one before is a hit in level 1 of the entry that is the latest of its set already:
   nothing changes but the count. */
#include "vm/tlb.h"

#include <errno.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define ADDRESS_MASK (((uint64_t)1 << 57) - 1)
#define KEY_ASID (((uint64_t)1 << VM_TLB_ASID_BITS) - 1)
#define KEY_GLOBAL ((uint64_t)1 << 16)
#define KEY_SIZE_SHIFT 17
#define KEY_PAGE_SHIFT 19
#define KEY_KIND ((uint64_t)7 << 16)         /* size, global */
#define KEY_WHERE (~(KEY_ASID | KEY_GLOBAL)) /* page and size */

#define PRINTS 16 /* are compared at a time */
#define NARROW (2 * PRINTS)
#define SLOTS_PER_WAY 8 /* at least */

#define NONE UINT32_MAX
#define NO_MASK UINT64_MAX
#define NO_KEY UINT64_MAX /* its size is none, so it is no page's */

struct ring {
    uint16_t older, newer; /* ways; the head's newer is the oldest */
};

struct slot {
    uint16_t entries; /* valid ones whose hash leads here */
    uint16_t way;     /* of the latest, if it is still there */
};

struct array {
    /* const: after init */
    uint32_t sets, ways, stride;                        /* stride: ways rounded up to PRINTS */
    uint32_t head_at, key_at, value_at, slot_at, bytes; /* of a set: offsets, and all of it; the ring is at `stride` */
    uint32_t slot_shift;                                /* of a hash; 0: there are no slots */
    uint32_t ways_mask;                                 /* a bit a way, of a narrow set */
    uint32_t sizes;
    uint64_t mask; /* sets - 1 when that is a power of two, else NO_MASK */
    char *memory;
    /* counts */
    uint32_t globals;            /* valid global entries */
    uint32_t live[VM_TLB_SIZES]; /* valid entries by page size */
    uint64_t evictions;
};

struct vm_tlb {
    struct vm_tlb_config config;
    struct array array[VM_TLB_LEVELS][VM_TLB_ARRAYS];
    struct array walk_cache[VM_TLB_WALK_LEVELS];
    struct array *of_size[VM_TLB_LEVELS][VM_TLB_SIZES]; /* NULL: none takes it */
    uint8_t leaf_level[VM_TLB_SIZES];                   /* of page tables, 1 the last */
    uint64_t asid;
    /* The page of the latest reference, when its entry is in level 1; else no page at all. */
    uint64_t last_page;
    uint64_t *last_value;
    uint8_t last_size;
    struct vm_tlb_counts counts;
};

VM_FACTS vm_tlb_facts[] = {VM_FACT_FIELD(tlb, struct vm_tlb, counts), VM_FACT_END};

#define NO_PAGE UINT64_MAX

/* ---- Arrays ---- */

static inline uint32_t set_of(const struct array *a, uint64_t page)
{
    return (uint32_t)(VM_LIKELY(a->mask != NO_MASK) ? page & a->mask : page % a->sets);
}

/* A set, and its parts. */
static inline char *nth_set(const struct array *a, uint32_t n) { return a->memory + (size_t)n * a->bytes; }
static inline char *set_for(const struct array *a, uint64_t page) { return nth_set(a, set_of(a, page)); }
static inline uint8_t *prints(char *set) { return (uint8_t *)set; }
static inline struct ring *ring_of(const struct array *a, char *set)
{
    return (struct ring *)(void *)(set + a->stride);
}
static inline uint16_t *head_of(const struct array *a, char *set) { return (uint16_t *)(void *)(set + a->head_at); }
static inline uint64_t *keys(const struct array *a, char *set) { return (uint64_t *)(void *)(set + a->key_at); }
static inline uint64_t *values(const struct array *a, char *set) { return (uint64_t *)(void *)(set + a->value_at); }
static inline struct slot *slots(const struct array *a, char *set) { return (struct slot *)(void *)(set + a->slot_at); }

static inline uint64_t hash_of(uint64_t page) { return page * 0x9e3779b97f4a7c15u; }

/* A word, since a spilled byte that is loaded as a word stalls. */
static inline uint32_t print_of(uint64_t hash) { return (uint32_t)(hash >> 56); }

static bool key_matches(uint64_t key, uint64_t want)
{
    uint64_t differ = key ^ want;
    return differ == 0 || ((key & KEY_GLOBAL) && (differ & KEY_WHERE) == 0);
}

/* Bit i: print[i] is p, for 16 bytes. */
#ifdef __SSE2__
static inline uint64_t match_16(const uint8_t *print, uint32_t p)
{
    __m128i all = _mm_load_si128((const __m128i *)(const void *)print);
    return (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_set1_epi8((char)p)));
}
#else
#define BYTES_01 0x0101010101010101u
#define BYTES_7F 0x7f7f7f7f7f7f7f7fu

static inline uint64_t match_8(const uint8_t *print, uint32_t p)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++) /* compilers make one load of it */
        word |= (uint64_t)print[i] << 8 * i;
    word ^= p * BYTES_01;
    word = ~(((word & BYTES_7F) + BYTES_7F) | word | BYTES_7F); /* 0x80 where the byte is 0 */
    return (word >> 7) * 0x0102040810204080u >> 56;
}
static inline uint64_t match_16(const uint8_t *print, uint32_t p)
{
    return match_8(print, p) | match_8(print + 8, p) << 8;
}
#endif

/* The way among those of the bits whose key it is, or NONE. */
static inline uint32_t way_among(const uint64_t *key, uint32_t from, uint64_t found, uint64_t want)
{
    for (; found; found &= found - 1) {
        uint32_t way = from + (uint32_t)__builtin_ctzl(found);
        if (VM_LIKELY(key_matches(key[way], want)))
            return way;
    }
    return NONE;
}

/* Slow: of a set with slots, whose latest entry is another one's. */
static VM_NOINLINE uint32_t scan_wide(const struct array *a, char *set, uint32_t p, uint64_t want)
{
    uint32_t way = NONE;

    for (uint32_t from = 0; way == NONE && from < a->ways; from += PRINTS) {
        uint64_t there = a->ways - from < PRINTS ? ((uint64_t)1 << (a->ways - from)) - 1 : UINT64_MAX;
        way = way_among(keys(a, set), from, match_16(prints(set) + from, p) & there, want);
    }
    return way;
}

/* The way in the set, or NONE. */
static inline uint32_t find(const struct array *a, char *set, uint64_t hash, uint64_t want)
{
    if (a->slot_shift) {
        struct slot slot = slots(a, set)[hash >> a->slot_shift];
        if (slot.entries == 0)
            return NONE;
        if (VM_LIKELY(key_matches(keys(a, set)[slot.way], want)))
            return slot.way;
        return scan_wide(a, set, print_of(hash), want);
    }
    uint64_t found = match_16(prints(set), print_of(hash));
    if (a->ways > PRINTS)
        found |= match_16(prints(set) + PRINTS, print_of(hash)) << PRINTS;
    return way_among(keys(a, set), 0, found & a->ways_mask, want);
}

static inline void touch(const struct array *a, char *set, uint32_t way)
{
    struct ring *ring = ring_of(a, set);
    uint32_t head = *head_of(a, set);

    if (way == head)
        return;
    if (way != ring[head].newer) { /* not the oldest, which is one turn away from the head */
        ring[ring[way].newer].older = ring[way].older;
        ring[ring[way].older].newer = ring[way].newer;
        uint32_t oldest = ring[head].newer;
        ring[way].older = (uint16_t)head;
        ring[way].newer = (uint16_t)oldest;
        ring[oldest].older = (uint16_t)way;
        ring[head].newer = (uint16_t)way;
    }
    *head_of(a, set) = (uint16_t)way;
}

static inline struct slot *slot_of_key(const struct array *a, char *set, uint64_t key)
{
    return &slots(a, set)[hash_of(key >> KEY_PAGE_SHIFT) >> a->slot_shift];
}

static void drop(struct array *a, char *set, uint32_t way)
{
    uint64_t key = keys(a, set)[way];

    keys(a, set)[way] = NO_KEY;
    if (a->slot_shift)
        slot_of_key(a, set, key)->entries--;
    a->live[key >> KEY_SIZE_SHIFT & 3]--;
    a->globals -= !!(key & KEY_GLOBAL);
    /* To the old end: to the front, and the front one step on. */
    touch(a, set, way);
    *head_of(a, set) = ring_of(a, set)[way].older;
}

/* A page is global or it is not: of a global one no other entry stays. */
static VM_NOINLINE void drop_same_page(struct array *a, char *set, uint64_t key)
{
    for (uint32_t way = 0; way < a->ways; way++)
        if (((keys(a, set)[way] ^ key) & KEY_WHERE) == 0)
            drop(a, set, way);
}

/* An entry is going to take the place of one of another kind, or of none. */
static VM_NOINLINE void count_kinds(struct array *a, uint64_t old, uint64_t key)
{
    if (old != NO_KEY) {
        a->live[old >> KEY_SIZE_SHIFT & 3]--;
        a->globals -= !!(old & KEY_GLOBAL);
    } else {
        a->evictions--; /* which insert() counted */
    }
    a->live[key >> KEY_SIZE_SHIFT & 3]++;
    a->globals += !!(key & KEY_GLOBAL);
}

/* In place of the oldest of its set; it must not be there.  Returns where its value is. */
static inline uint64_t *insert(struct array *a, char *set, uint64_t hash, uint64_t key, uint64_t value)
{
    if (VM_UNLIKELY(key & KEY_GLOBAL))
        drop_same_page(a, set, key);
    uint32_t way = ring_of(a, set)[*head_of(a, set)].newer;
    uint64_t *where = &keys(a, set)[way], *its_value = &values(a, set)[way], old = *where;
    if (a->slot_shift) {
        struct slot *slot = &slots(a, set)[hash >> a->slot_shift];
        if (old != NO_KEY)
            slot_of_key(a, set, old)->entries--;
        slot->entries++;
        slot->way = (uint16_t)way;
    }
    a->evictions++;
    if (VM_UNLIKELY((old ^ key) & KEY_KIND))
        count_kinds(a, old, key);
    *head_of(a, set) = (uint16_t)way;
    *where = key;
    *its_value = value;
    prints(set)[way] = (uint8_t)print_of(hash);
    return its_value;
}

static inline uint64_t *find_value(const struct array *a, char *set, uint64_t hash, uint64_t want)
{
    uint32_t way = find(a, set, hash, want);

    if (way == NONE)
        return NULL;
    touch(a, set, way);
    return &values(a, set)[way];
}

/* What a flush takes. */
struct flush {
    uint64_t asid;
    uint64_t from, last; /* addresses; for page and range */
    const struct vm_tlb *t;
};

/* Drops every entry of these sets that `goes` says. */
static size_t drop_if(struct array *a, uint32_t set, uint32_t end, bool (*goes)(const struct flush *f, uint64_t key),
                      const struct flush *f)
{
    size_t dropped = 0;

    for (; set < end; set++) {
        char *s = nth_set(a, set);
        for (uint32_t way = 0; way < a->ways; way++)
            if (keys(a, s)[way] != NO_KEY && goes(f, keys(a, s)[way])) {
                drop(a, s, way);
                dropped++;
            }
    }
    return dropped;
}

/* ---- Building ---- */

/* Sets, and where their parts are. */
static void array_shape(struct array *a, const struct vm_tlb_geometry *g)
{
    unsigned bits = g->ways > NARROW ? vm_log2(g->ways * SLOTS_PER_WAY - 1) + 1 : 0; /* log2 */

    *a = (struct array){.sets = g->sets, .ways = g->ways, .sizes = g->sizes};
    a->stride = (uint32_t)vm_align_up(g->ways, PRINTS);
    a->mask = vm_is_pow2(g->sets) ? g->sets - 1 : NO_MASK;
    a->head_at = a->stride + g->ways * (uint32_t)sizeof(struct ring);
    a->key_at = (uint32_t)vm_align_up(a->head_at + sizeof(uint16_t), sizeof(uint64_t));
    a->value_at = a->key_at + g->ways * (uint32_t)sizeof(uint64_t);
    a->slot_at = a->value_at + g->ways * (uint32_t)sizeof(uint64_t);
    a->ways_mask = g->ways < NARROW ? ((uint32_t)1 << g->ways) - 1 : UINT32_MAX;
    a->slot_shift = bits ? 64 - bits : 0;
    a->bytes = (uint32_t)vm_align_up(a->slot_at + (bits ? sizeof(struct slot) << bits : 0), PRINTS);
}

static size_t array_bytes(const struct vm_tlb_geometry *g)
{
    struct array a;

    if (g->ways == 0)
        return 0;
    array_shape(&a, g);
    return vm_align_up((size_t)a.sets * a.bytes, VM_CACHE_LINE);
}

static char *array_init(struct array *a, const struct vm_tlb_geometry *g, char *memory)
{
    memset(a, 0, sizeof *a);
    if (g->ways == 0)
        return memory;
    array_shape(a, g);
    a->memory = memory;
    memset(memory, 0, array_bytes(g));
    for (uint32_t set = 0; set < a->sets; set++) {
        struct ring *ring = ring_of(a, nth_set(a, set));
        memset(keys(a, nth_set(a, set)), 0xff, a->ways * sizeof(uint64_t)); /* NO_KEY */
        for (uint32_t way = 0; way < a->ways; way++)
            ring[way] = (struct ring){(uint16_t)((way + 1) % a->ways), (uint16_t)((way + a->ways - 1) % a->ways)};
    }
    return memory + array_bytes(g);
}

static const char *geometry_fault(const struct vm_tlb_geometry *g)
{
    if (g->ways == 0 && g->sets == 0)
        return NULL;
    if (g->ways == 0 || g->sets == 0)
        return "an array needs sets and ways";
    if (g->sets > VM_TLB_ENTRIES_MAX || g->ways > VM_TLB_ENTRIES_MAX
        || (uint64_t)g->sets * g->ways > VM_TLB_ENTRIES_MAX)
        return "an array has more than 65534 entries";
    return NULL;
}

static const char *config_fault(const struct vm_tlb_config *c)
{
    const char *why = NULL;

    for (unsigned s = 0; s < VM_TLB_SIZES; s++)
        if (c->shift[s] != 0 && (c->shift[s] < 12 || c->shift[s] > 40))
            return "a page size is not between 4 KiB and 1 TiB";
    if (c->shift[0] == 0)
        return "there is no small page size";
    if ((c->shift[1] && c->shift[1] <= c->shift[0]) || (c->shift[2] && c->shift[2] <= vm_max(c->shift[0], c->shift[1])))
        return "page sizes do not rise";
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++) {
        uint32_t seen = 0;
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++) {
            const struct vm_tlb_geometry *g = &c->array[level][i];
            if ((why = geometry_fault(g)))
                return why;
            if (g->ways == 0)
                continue;
            if (g->sizes == 0 || g->sizes >> VM_TLB_SIZES)
                return "an array takes no page size, or an unknown one";
            if (g->sizes & seen)
                return "two arrays of a level take the same page size";
            seen |= g->sizes;
        }
    }
    if (c->walk_levels < 1 || c->walk_levels > VM_TLB_WALK_LEVELS)
        return "page tables have 1 to 5 levels";
    if (c->walk_shift[0] > c->shift[0])
        return "the last table's entries cover more than a small page";
    for (unsigned i = 0; i < c->walk_levels; i++) {
        if (c->walk_shift[i] < 12 || c->walk_shift[i] > 57 || (i > 0 && c->walk_shift[i] <= c->walk_shift[i - 1]))
            return "what entries of tables cover does not rise from level to level";
        if (i > 0 && (why = geometry_fault(&c->walk_cache[i])))
            return why;
    }
    return NULL;
}

int vm_tlb_config_check(const struct vm_tlb_config *config, const char **why)
{
    const char *fault = config_fault(config);

    if (why)
        *why = fault;
    return fault ? -EINVAL : 0;
}

#define HEADER_BYTES vm_align_up(sizeof(struct vm_tlb), VM_CACHE_LINE)

size_t vm_tlb_bytes(const struct vm_tlb_config *config)
{
    size_t bytes = HEADER_BYTES;

    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
            bytes += array_bytes(&config->array[level][i]);
    for (unsigned i = 1; i < config->walk_levels; i++)
        bytes += array_bytes(&config->walk_cache[i]);
    return bytes;
}

struct vm_tlb *vm_tlb_init(void *memory, const struct vm_tlb_config *config)
{
    struct vm_tlb *t = memory;
    char *at = (char *)memory + HEADER_BYTES;

    memset(t, 0, sizeof *t);
    t->config = *config;
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++) {
            struct array *a = &t->array[level][i];
            at = array_init(a, &config->array[level][i], at);
            for (unsigned s = 0; s < VM_TLB_SIZES; s++)
                if (a->sizes >> s & 1)
                    t->of_size[level][s] = a;
        }
    for (unsigned i = 1; i < config->walk_levels; i++)
        at = array_init(&t->walk_cache[i], &config->walk_cache[i], at);
    for (unsigned s = 0; s < VM_TLB_SIZES; s++)
        for (unsigned i = 0; i < config->walk_levels; i++)
            if (config->walk_shift[i] <= config->shift[s] || i == 0)
                t->leaf_level[s] = (uint8_t)(i + 1);
    t->last_page = NO_PAGE;
    return t;
}

const struct vm_tlb_config *vm_tlb_config_of(const struct vm_tlb *t) { return &t->config; }

/* ---- References ---- */

/* Entries read by a walk that ends at the entry at `level`, and the page-walk caches after it. */
static unsigned walk(struct vm_tlb *t, uint64_t address, unsigned level)
{
    unsigned levels = t->config.walk_levels, known = level;

    for (; known < levels; known++) { /* index of the entry at level known + 1 */
        struct array *a = &t->walk_cache[known];
        if (a->ways == 0)
            continue;
        uint64_t page = address >> t->config.walk_shift[known];
        if (find_value(a, set_for(a, page), hash_of(page), page << KEY_PAGE_SHIFT | t->asid)) {
            t->counts.walk_cache_hits[known]++;
            break;
        }
    }
    for (unsigned i = level; i < known; i++) {
        struct array *a = &t->walk_cache[i];
        if (a->ways == 0)
            continue;
        uint64_t page = address >> t->config.walk_shift[i];
        insert(a, set_for(a, page), hash_of(page), page << KEY_PAGE_SHIFT | t->asid, 0);
    }
    t->counts.walk_reads += known - level + 1;
    return known - level + 1;
}

static inline void remember(struct vm_tlb *t, uint64_t page, enum vm_tlb_size size, uint64_t *value)
{
    t->last_page = t->of_size[0][size] ? page : NO_PAGE;
    t->last_value = value;
    t->last_size = (uint8_t)size;
}

/* first_set: of the first level's array, if there is one. */
static VM_NOINLINE unsigned ref_past_level_1(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size, uint64_t key,
                                             char *first_set)
{
    struct array *first = t->of_size[0][size], *second = t->of_size[1][size];
    uint64_t page = key >> KEY_PAGE_SHIFT, hash = hash_of(page);
    char *set = second ? set_for(second, page) : NULL;
    uint32_t way = second ? find(second, set, hash, key & ~KEY_GLOBAL) : NONE;
    unsigned reads = 0;

    if (way != NONE) {
        touch(second, set, way);
        key = (key & ~KEY_GLOBAL) | (keys(second, set)[way] & KEY_GLOBAL);
        t->counts.hits[1][size]++;
    } else {
        reads = walk(t, address, t->leaf_level[size]);
        t->counts.walks[size]++;
        if (second)
            insert(second, set, hash, key, 0);
    }
    remember(t, page, size, first ? insert(first, first_set, hash, key, 0) : NULL);
    return reads;
}

static inline unsigned ref(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size, uint64_t global)
{
    address &= ADDRESS_MASK;
    uint64_t page = address >> t->config.shift[size];

    if (page == t->last_page && size == t->last_size) {
        t->counts.hits[0][size]++;
        return 0;
    }
    const struct array *a = t->of_size[0][size];
    uint64_t want = page << KEY_PAGE_SHIFT | (uint64_t)size << KEY_SIZE_SHIFT | t->asid;
    char *set = NULL;
    if (VM_LIKELY(a)) {
        set = set_for(a, page);
        uint32_t way = find(a, set, hash_of(page), want);
        if (way != NONE) {
            touch(a, set, way);
            t->counts.hits[0][size]++;
            remember(t, page, size, &values(a, set)[way]);
            return 0;
        }
    }
    return ref_past_level_1(t, address, size, want | global, set);
}

unsigned vm_tlb_ref(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size) { return ref(t, address, size, 0); }

unsigned vm_tlb_ref_global(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size)
{
    return ref(t, address, size, KEY_GLOBAL);
}

void vm_tlb_refs(struct vm_tlb *t, const uint64_t *address, size_t n, enum vm_tlb_size size)
{
    for (size_t i = 0; i < n; i++)
        ref(t, address[i], size, 0);
}

static VM_NOINLINE uint64_t *lookup_past_last(struct vm_tlb *t, uint64_t address, struct vm_tlb_hit *hit)
{
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned s = 0; s < VM_TLB_SIZES; s++) {
            struct array *a = t->of_size[level][s];
            if (!a || a->live[s] == 0)
                continue;
            uint64_t page = address >> t->config.shift[s];
            uint64_t want = page << KEY_PAGE_SHIFT | (uint64_t)s << KEY_SIZE_SHIFT | t->asid;
            char *set = set_for(a, page);
            uint32_t way = find(a, set, hash_of(page), want);
            if (way == NONE)
                continue;
            touch(a, set, way);
            uint64_t *value = &values(a, set)[way];
            struct array *first = t->of_size[0][s];
            if (level > 0 && first)
                value = insert(first, set_for(first, page), hash_of(page), keys(a, set)[way], *value);
            t->counts.hits[level][s]++;
            remember(t, page, (enum vm_tlb_size)s, value);
            if (hit)
                *hit = (struct vm_tlb_hit){(uint8_t)s, (uint8_t)(level + 1)};
            return value;
        }
    return NULL;
}

uint64_t *vm_tlb_lookup(struct vm_tlb *t, uint64_t address, struct vm_tlb_hit *hit)
{
    address &= ADDRESS_MASK;
    if (address >> t->config.shift[t->last_size] == t->last_page) {
        t->counts.hits[0][t->last_size]++;
        if (hit)
            *hit = (struct vm_tlb_hit){t->last_size, 1};
        return t->last_value;
    }
    return lookup_past_last(t, address, hit);
}

unsigned vm_tlb_fill(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size, bool global, uint64_t value)
{
    address &= ADDRESS_MASK;
    uint64_t page = address >> t->config.shift[size], *where = NULL;
    uint64_t key = page << KEY_PAGE_SHIFT | (uint64_t)size << KEY_SIZE_SHIFT | t->asid | (global ? KEY_GLOBAL : 0);
    unsigned reads = walk(t, address, t->leaf_level[size]);

    t->counts.walks[size]++;
    for (unsigned level = VM_TLB_LEVELS; level-- > 0;) {
        struct array *a = t->of_size[level][size];
        if (!a)
            continue;
        char *set = set_for(a, page);
        where = find_value(a, set, hash_of(page), key & ~KEY_GLOBAL);
        if (where)
            *where = value;
        else
            where = insert(a, set, hash_of(page), key, value);
    }
    remember(t, page, size, where);
    return reads;
}

unsigned vm_tlb_failed_walk(struct vm_tlb *t, uint64_t address, unsigned level)
{
    return walk(t, address & ADDRESS_MASK, level);
}

/* ---- Flushes ---- */

void vm_tlb_switch(struct vm_tlb *t, unsigned asid)
{
    t->asid = asid & KEY_ASID;
    t->last_page = NO_PAGE;
}

static bool goes_range(const struct flush *f, uint64_t key)
{
    unsigned shift = f->t->config.shift[key >> KEY_SIZE_SHIFT & 3];
    uint64_t page = key >> KEY_PAGE_SHIFT;

    return ((key & KEY_GLOBAL) || (key & KEY_ASID) == f->asid) && f->from >> shift <= page && page <= f->last >> shift;
}
static bool goes_asid(const struct flush *f, uint64_t key)
{
    return !(key & KEY_GLOBAL) && (key & KEY_ASID) == f->asid;
}
static bool goes_non_global(const struct flush *f, uint64_t key)
{
    (void)f;
    return !(key & KEY_GLOBAL);
}
static bool goes_always(const struct flush *f, uint64_t key)
{
    (void)f;
    (void)key;
    return true;
}

/* After the arrays.  The page-walk caches are never flushed by address: as in the processor, an invlpg drops all that they
   hold of the address space (Intel SDM vol. 3A, 4.10.4.1). */
static size_t flush_end(struct vm_tlb *t, enum vm_tlb_flush kind, const struct flush *f, size_t dropped)
{
    for (unsigned i = 1; i < t->config.walk_levels; i++)
        drop_if(&t->walk_cache[i], 0, t->walk_cache[i].sets, kind < VM_TLB_FLUSH_NON_GLOBAL ? goes_asid : goes_always,
                f);
    t->last_page = NO_PAGE;
    t->counts.flushes[kind]++;
    t->counts.flushed[kind] += dropped;
    return dropped;
}

static size_t flush(struct vm_tlb *t, enum vm_tlb_flush kind, const struct flush *f,
                    bool (*goes)(const struct flush *f, uint64_t key))
{
    size_t dropped = 0;

    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
            dropped += drop_if(&t->array[level][i], 0, t->array[level][i].sets, goes, f);
    return flush_end(t, kind, f, dropped);
}

size_t vm_tlb_flush_page(struct vm_tlb *t, unsigned asid, uint64_t address)
{
    struct flush f = {asid & KEY_ASID, address & ADDRESS_MASK, address & ADDRESS_MASK, t};
    size_t dropped = 0;

    /* One set for each page size that may be there. */
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned s = 0; s < VM_TLB_SIZES; s++) {
            struct array *a = t->of_size[level][s];
            if (a && a->live[s]) {
                uint32_t set = set_of(a, f.from >> t->config.shift[s]);
                dropped += drop_if(a, set, set + 1, goes_range, &f);
            }
        }
    return flush_end(t, VM_TLB_FLUSH_PAGE, &f, dropped);
}

size_t vm_tlb_flush_range(struct vm_tlb *t, unsigned asid, uint64_t address, uint64_t bytes)
{
    uint64_t from = address & ADDRESS_MASK;
    struct flush f = {asid & KEY_ASID, from, bytes - 1 > ADDRESS_MASK - from ? ADDRESS_MASK : from + bytes - 1, t};

    return bytes == 0 ? 0 : flush(t, VM_TLB_FLUSH_RANGE, &f, goes_range);
}

size_t vm_tlb_flush_asid(struct vm_tlb *t, unsigned asid)
{
    struct flush f = {asid & KEY_ASID, 0, 0, t};

    return flush(t, VM_TLB_FLUSH_ASID, &f, goes_asid);
}

size_t vm_tlb_flush_non_global(struct vm_tlb *t)
{
    struct flush f = {0, 0, 0, t};

    return flush(t, VM_TLB_FLUSH_NON_GLOBAL, &f, goes_non_global);
}

size_t vm_tlb_flush_all(struct vm_tlb *t)
{
    struct flush f = {0, 0, 0, t};

    return flush(t, VM_TLB_FLUSH_ALL, &f, goes_always);
}

/* ---- Counts ---- */

struct vm_tlb_counts vm_tlb_counts(const struct vm_tlb *t)
{
    struct vm_tlb_counts c = t->counts;

    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
            c.evictions[level] += t->array[level][i].evictions;
    return c;
}

void vm_tlb_counts_clear(struct vm_tlb *t)
{
    memset(&t->counts, 0, sizeof t->counts);
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
            t->array[level][i].evictions = 0;
}

uint64_t vm_tlb_total_walks(const struct vm_tlb_counts *c)
{
    uint64_t sum = 0;

    for (unsigned s = 0; s < VM_TLB_SIZES; s++)
        sum += c->walks[s];
    return sum;
}

uint64_t vm_tlb_total_refs(const struct vm_tlb_counts *c)
{
    uint64_t sum = vm_tlb_total_walks(c);

    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned s = 0; s < VM_TLB_SIZES; s++)
            sum += c->hits[level][s];
    return sum;
}

size_t vm_tlb_live(const struct vm_tlb *t, unsigned level, enum vm_tlb_size size)
{
    const struct array *a = t->of_size[level - 1][size];

    return a ? a->live[size] : 0;
}

uint64_t vm_tlb_reach(const struct vm_tlb_config *config, unsigned level, enum vm_tlb_size size)
{
    for (unsigned i = 0; i < VM_TLB_ARRAYS; i++) {
        const struct vm_tlb_geometry *g = &config->array[level - 1][i];
        if (g->ways && (g->sizes >> size & 1))
            return (uint64_t)g->sets * g->ways << config->shift[size];
    }
    return 0;
}

bool vm_tlb_each(const struct vm_tlb *t, bool (*f)(void *ctx, const struct vm_tlb_entry *entry), void *ctx)
{
    for (unsigned n = 0; n < VM_TLB_LEVELS * VM_TLB_ARRAYS; n++) {
        const struct array *a = &t->array[n / VM_TLB_ARRAYS][n % VM_TLB_ARRAYS];
        for (size_t i = 0; i < (size_t)a->sets * a->ways; i++) {
            char *set = nth_set(a, (uint32_t)(i / a->ways));
            size_t way = i % a->ways;
            uint64_t key = keys(a, set)[way];
            if (key == NO_KEY)
                continue;
            unsigned size = key >> KEY_SIZE_SHIFT & 3;
            struct vm_tlb_entry e = {
                .address = key >> KEY_PAGE_SHIFT << t->config.shift[size],
                .value = values(a, set)[way],
                .asid = (uint16_t)(key & KEY_ASID),
                .size = (uint8_t)size,
                .level = (uint8_t)(n / VM_TLB_ARRAYS + 1),
                .global = key & KEY_GLOBAL,
            };
            if (!f(ctx, &e))
                return false;
        }
    }
    return true;
}

/* ---- Effective access time ---- */

double vm_tlb_eat_textbook(double hit_ratio, double lookup, double memory, unsigned levels)
{
    return hit_ratio * (lookup + memory) + (1 - hit_ratio) * (lookup + (1 + levels) * memory);
}

double vm_tlb_eat(const struct vm_tlb_counts *c, const struct vm_tlb_latency *latency)
{
    uint64_t refs = vm_tlb_total_refs(c), first = 0;

    if (refs == 0)
        return 0;
    for (unsigned s = 0; s < VM_TLB_SIZES; s++)
        first += c->hits[0][s];
    return latency->lookup[0] + (double)(refs - first) / (double)refs * latency->lookup[1]
           + (double)c->walk_reads / (double)refs * latency->memory + latency->memory;
}

/* ---- Invariants ---- */

/* Every slot has as many entries as keys lead to it. */
static bool slots_are_good(const struct array *a, char *set)
{
    const struct slot *slot = slots(a, set);

    for (uint64_t i = 0; i < (a->slot_shift ? (uint64_t)1 << (64 - a->slot_shift) : 0); i++) {
        uint32_t entries = 0;
        for (uint32_t way = 0; slot[i].entries > 0 && way < a->ways; way++)
            entries += keys(a, set)[way] != NO_KEY && slot_of_key(a, set, keys(a, set)[way]) == &slot[i];
        if (entries != slot[i].entries || slot[i].way >= a->ways)
            return false;
    }
    return true;
}

static bool set_is_good(const struct array *a, uint32_t number, uint64_t *live, uint32_t *globals)
{
    char *set = nth_set(a, number);
    const struct ring *ring = ring_of(a, set);
    const uint64_t *key = keys(a, set);
    uint32_t head = *head_of(a, set), way = head, seen = 0;
    bool free_part = false;

    if (way >= a->ways || !slots_are_good(a, set))
        return false;
    do {
        if (ring[way].older >= a->ways || ring[ring[way].older].newer != way || ++seen > a->ways)
            return false;
        free_part |= key[way] == NO_KEY;
        if (free_part && key[way] != NO_KEY) /* free ones are the oldest */
            return false;
        if (key[way] != NO_KEY) {
            uint64_t page = key[way] >> KEY_PAGE_SHIFT, hash = hash_of(page);
            if (set_of(a, page) != number || print_of(hash) != prints(set)[way]
                || find(a, set, hash, key[way] & ~KEY_GLOBAL) != way)
                return false;
            live[key[way] >> KEY_SIZE_SHIFT & 3]++;
            *globals += !!(key[way] & KEY_GLOBAL);
        }
        way = ring[way].older;
    } while (way != head);
    return seen == a->ways;
}

static bool array_is_good(const struct array *a)
{
    uint64_t live[4] = {0};
    uint32_t globals = 0;

    for (uint32_t set = 0; set < a->sets; set++)
        if (!set_is_good(a, set, live, &globals))
            return false;
    for (unsigned s = 0; s < VM_TLB_SIZES; s++)
        if (live[s] != a->live[s] || (live[s] && a->sizes && !(a->sizes >> s & 1)))
            return false;
    return globals == a->globals && live[3] == 0;
}

bool vm_tlb_check(const struct vm_tlb *t)
{
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
            if (!array_is_good(&t->array[level][i]))
                return false;
    for (unsigned i = 1; i < t->config.walk_levels; i++)
        if (!array_is_good(&t->walk_cache[i]))
            return false;
    return true;
}
