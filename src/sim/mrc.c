/* Miss-ratio curves by stack distance; see mrc.h.

   Every followed page has the time of its last reference.  A bit for each time says whether it is still somebody's last,
   so the stack distance of a reference is the number of bits above the page's own.  Bits are counted in groups of
   GROUP times by a Fenwick tree, and within a group by population counts.  When the times are used up, the bits are
   packed to the bottom.

   Two references in a row to one page have distance 1 and are counted apart, also in a sample, where they would be most
   of the error.  A sample follows the pages whose hash is below the threshold, part `rate` of all: a distance of d
   among them stands for (d - 1) / rate + 1, and a reference for 1 / rate references.  Distances of a sample are kept in
   logarithmic buckets.  What the sample counts too much or too little of all references is taken from the shortest
   distance: hot pages are few, and it was one of them that was, or was not, in the sample.

   The error of a sample has two parts.  Misses with s pages are the Horvitz-Thompson sum over followed pages of what each
   missed, times 1 / rate (SHARDS: Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC Construction with SHARDS, FAST 2015).
   Its variance is taken from G random groups of pages (Wolter: Introduction to Variance Estimation, chapter 2):
   (1 - rate) G / (G - 1) sum (T_g - T / G)^2, T_g being the part of group g.  And a distance itself is estimated: d pages
   are followed binomially, so the square root of the estimate is off by sqrt((1 - rate) / rate) / 2 for one standard
   error; the curve is therefore read at sizes moved by so much.  Bounds are ERRORS standard errors in both.  References
   let go with their page were weighted by the rate of their time, which was higher: for them the variance is too large.

   Invariants (vm_sim_mrc_check): live = pages in the table = bits set; every page's bit is set; the tree's sums are the
   bits'; exact: refs = repeats + cold + sum of hist, cold = live; sampled: every hash is below the threshold. */
#include "sim/mrc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "sim/mem.h"

#define GROUP_SHIFT 9 /* 512 times: one cache line of bits */
#define GROUP ((uint64_t)1 << GROUP_SHIFT)
#define GROUP_WORDS (GROUP / 64)
#define FIRST_SLOTS 4096
#define FIRST_GROUPS 16
#define NO_PAGE UINT64_MAX
#define BUCKET_BITS 8 /* buckets of a sample: 256 for each power of two, so 0.4 % wide */
#define BUCKETS ((64 - BUCKET_BITS + 1) << BUCKET_BITS)
#define COARSE 4 /* 16 buckets are one of a group */
#define COARSE_BUCKETS (BUCKETS >> COARSE)
#define GROUPS 32 /* of pages, by their hash */
#define ERRORS 3.0
#define ALL_HASHES ((uint64_t)1 << 32)

struct page_slot {
    uint64_t page; /* NO_PAGE: free */
    uint64_t time;
};

struct vm_sim_mrc {
    unsigned shift; /* const */
    size_t most;    /* const: 0: exact */
    uint64_t last_page;
    uint64_t refs, repeats; /* repeats: of the page referenced just before */
    /* the table of followed pages */
    struct page_slot *table;
    size_t slots, live;
    /* times */
    uint64_t *bits; /* [groups * GROUP_WORDS] */
    uint64_t *tree; /* [groups + 1]: Fenwick, from 1 */
    uint64_t groups;
    uint64_t now; /* the next time */
    /* exact */
    uint64_t *hist; /* [distance]; 0 is unused */
    size_t hist_cap;
    uint64_t cold; /* first references */
    /* sampled */
    uint64_t threshold; /* of 2^32 */
    double *bucket;
    double cold_weight;
    double (*part)[GROUPS]; /* [COARSE_BUCKETS + 1]: what each group adds; the last: first references */
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

/* The sample takes the upper half of the hash, the table the lower one. */
static uint64_t sample_of(uint64_t hash) { return hash >> 32; }

static unsigned group_of(uint64_t hash) { return (hash >> 32) % GROUPS; }

/* ---- Buckets of a sample: exact up to 256, then 256 for each power of two ---- */

static size_t bucket_of(uint64_t distance)
{
    if (distance < (uint64_t)1 << BUCKET_BITS)
        return distance;
    unsigned up = 63 - (unsigned)__builtin_clzll(distance) - BUCKET_BITS;
    return ((size_t)(up + 1) << BUCKET_BITS) + ((distance >> up) - ((uint64_t)1 << BUCKET_BITS));
}

/* The longest distance in it. */
static uint64_t bucket_end(size_t bucket)
{
    if (bucket < (size_t)2 << BUCKET_BITS)
        return bucket;
    unsigned up = (unsigned)(bucket >> BUCKET_BITS) - 1;
    uint64_t first = (uint64_t)1 << BUCKET_BITS | (bucket & (((size_t)1 << BUCKET_BITS) - 1));
    return ((first + 1) << up) - 1;
}

/* ---- Times ---- */

static void tree_add(struct vm_sim_mrc *c, uint64_t group, uint64_t n)
{
    for (uint64_t i = group + 1; i <= c->groups; i += i & -i)
        c->tree[i] += n; /* n may be -1: arithmetic is modulo 2^64 */
}

/* Bits at times up to `time`, it included. */
static uint64_t bits_up_to(const struct vm_sim_mrc *c, uint64_t time)
{
    uint64_t group = time >> GROUP_SHIFT, word = time / 64, sum = 0;

    for (uint64_t i = group; i > 0; i -= i & -i)
        sum += c->tree[i];
    for (uint64_t i = group * GROUP_WORDS; i < word; i++)
        sum += (uint64_t)__builtin_popcountll(c->bits[i]);
    return sum + (uint64_t)__builtin_popcountll(c->bits[word] << (63 - time % 64));
}

static void set_bit(struct vm_sim_mrc *c, uint64_t time) { c->bits[time / 64] |= (uint64_t)1 << time % 64; }

static void build_tree(struct vm_sim_mrc *c)
{
    memset(c->tree, 0, (c->groups + 1) * sizeof *c->tree);
    for (uint64_t g = 0; g < c->groups; g++)
        for (uint64_t w = 0; w < GROUP_WORDS; w++)
            c->tree[g + 1] += (uint64_t)__builtin_popcountll(c->bits[g * GROUP_WORDS + w]);
    for (uint64_t i = 1; i <= c->groups; i++)
        if (i + (i & -i) <= c->groups)
            c->tree[i + (i & -i)] += c->tree[i];
}

/* Last references get the times 0 to live - 1 in the same order; at least three quarters of the times are free then. */
static VM_NOINLINE void renumber(struct vm_sim_mrc *c)
{
    uint64_t groups = c->groups;

    for (size_t i = 0; i < c->slots; i++)
        if (c->table[i].page != NO_PAGE)
            c->table[i].time = bits_up_to(c, c->table[i].time) - 1;
    while (groups * GROUP < c->live * 4)
        groups *= 2;
    if (groups != c->groups) {
        free(c->bits);
        free(c->tree);
        c->groups = groups;
        c->bits = vm_sim_zalloc(groups * GROUP_WORDS * sizeof *c->bits);
        c->tree = vm_sim_zalloc((groups + 1) * sizeof *c->tree);
    } else {
        memset(c->bits, 0, groups * GROUP_WORDS * sizeof *c->bits);
    }
    for (uint64_t t = 0; t < c->live; t++)
        set_bit(c, t);
    build_tree(c);
    c->now = c->live;
}

/* ---- The table ---- */

static struct page_slot *slot_of(const struct vm_sim_mrc *c, uint64_t page, uint64_t hash)
{
    size_t at = hash & (c->slots - 1);

    while (c->table[at].page != page && c->table[at].page != NO_PAGE)
        at = (at + 1) & (c->slots - 1);
    return &c->table[at];
}

static struct page_slot *new_table(size_t slots)
{
    struct page_slot *table = vm_sim_zalloc(slots * sizeof *table);

    for (size_t i = 0; i < slots; i++)
        table[i].page = NO_PAGE;
    return table;
}

/* A table of `slots` slots with those of the old pages whose hash is below the threshold; the others' bits go too. */
static VM_NOINLINE void rebuild(struct vm_sim_mrc *c, size_t slots)
{
    struct page_slot *old = c->table;
    size_t old_slots = c->slots;

    c->table = new_table(slots);
    c->slots = slots;
    c->live = 0;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i].page == NO_PAGE)
            continue;
        uint64_t hash = mix(old[i].page);
        if (sample_of(hash) >= c->threshold) {
            c->bits[old[i].time / 64] &= ~((uint64_t)1 << old[i].time % 64);
            continue;
        }
        *slot_of(c, old[i].page, hash) = old[i];
        c->live++;
    }
    free(old);
    build_tree(c);
}

struct vm_sim_mrc *vm_sim_mrc_new(unsigned page_shift, size_t most)
{
    struct vm_sim_mrc *c = vm_sim_zalloc(sizeof *c);

    VM_ASSERT(page_shift > 0 && page_shift < 64);
    c->shift = page_shift;
    c->most = most;
    c->last_page = NO_PAGE;
    c->slots = FIRST_SLOTS;
    c->table = new_table(c->slots);
    c->groups = FIRST_GROUPS;
    c->bits = vm_sim_zalloc(c->groups * GROUP_WORDS * sizeof *c->bits);
    c->tree = vm_sim_zalloc((c->groups + 1) * sizeof *c->tree);
    c->threshold = ALL_HASHES;
    if (most) {
        c->bucket = vm_sim_zalloc(BUCKETS * sizeof *c->bucket);
        c->part = vm_sim_zalloc((COARSE_BUCKETS + 1) * sizeof *c->part);
    } else {
        vm_sim_grow(&c->hist, &c->hist_cap, FIRST_SLOTS, sizeof *c->hist);
    }
    return c;
}

void vm_sim_mrc_free(struct vm_sim_mrc *c)
{
    if (!c)
        return;
    free(c->table);
    free(c->bits);
    free(c->tree);
    free(c->hist);
    free(c->bucket);
    free(c->part);
    free(c);
}

/* ---- References ---- */

static double rate(const struct vm_sim_mrc *c) { return (double)c->threshold / (double)ALL_HASHES; }

static void count_distance(struct vm_sim_mrc *c, uint64_t distance, uint64_t hash)
{
    if (c->most) {
        double scaled = (double)(distance - 1) / rate(c) + 1;
        size_t bucket = bucket_of(vm_max((uint64_t)(scaled + 0.5), 2));
        c->bucket[bucket] += 1 / rate(c);
        c->part[bucket >> COARSE][group_of(hash)] += 1 / rate(c);
    } else {
        c->hist[distance]++;
    }
}

static VM_NOINLINE void first_reference(struct vm_sim_mrc *c, struct page_slot *slot, uint64_t page, uint64_t hash)
{
    *slot = (struct page_slot){.page = page, .time = c->now};
    set_bit(c, c->now);
    tree_add(c, c->now >> GROUP_SHIFT, 1);
    c->now++;
    c->live++;
    if (c->most) {
        c->cold_weight += 1 / rate(c);
        c->part[COARSE_BUCKETS][group_of(hash)] += 1 / rate(c);
        while (c->live > c->most) { /* an eighth of the pages is let go */
            c->threshold -= c->threshold / 8;
            rebuild(c, c->slots);
        }
    } else {
        c->cold++;
        vm_sim_grow(&c->hist, &c->hist_cap, c->live + 1, sizeof *c->hist);
    }
    if (c->live * 2 > c->slots)
        rebuild(c, c->slots * 2);
}

static void reference(struct vm_sim_mrc *c, uint64_t page, uint64_t hash)
{
    struct page_slot *slot;

    if (c->now == c->groups * GROUP)
        renumber(c);
    slot = slot_of(c, page, hash);
    if (slot->page == NO_PAGE) {
        first_reference(c, slot, page, hash);
        return;
    }
    uint64_t old = slot->time, from = old >> GROUP_SHIFT, to = c->now >> GROUP_SHIFT;
    count_distance(c, c->live - bits_up_to(c, old) + 1, hash);
    c->bits[old / 64] &= ~((uint64_t)1 << old % 64);
    set_bit(c, c->now);
    if (from != to) {
        tree_add(c, from, (uint64_t)-1);
        tree_add(c, to, 1);
    }
    slot->time = c->now++;
}

void vm_sim_mrc_refs(struct vm_sim_mrc *c, const uint64_t *address, size_t n)
{
    uint64_t last = c->last_page, repeats = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t page = address[i] >> c->shift;
        if (page == last) {
            repeats++;
            continue;
        }
        last = page;
        uint64_t hash = mix(page);
        if (sample_of(hash) < c->threshold)
            reference(c, page, hash);
    }
    c->last_page = last;
    c->refs += n;
    c->repeats += repeats;
}

/* ---- The curve ---- */

static void add_point(struct vm_sim_curve *curve, size_t *cap, uint64_t size, uint64_t misses)
{
    size_t cap2 = *cap;

    vm_sim_grow(&curve->size, cap, curve->points + 1, sizeof *curve->size);
    vm_sim_grow(&curve->misses, &cap2, curve->points + 1, sizeof *curve->misses);
    curve->size[curve->points] = size;
    curve->misses[curve->points++] = misses;
}

static void exact_curve(const struct vm_sim_mrc *c, struct vm_sim_curve *curve)
{
    uint64_t misses = c->refs;
    size_t cap = 0;

    add_point(curve, &cap, 0, misses);
    for (uint64_t d = 1; d <= c->live; d++) {
        uint64_t hits = c->hist[d] + (d == 1 ? c->repeats : 0);
        if (hits) {
            misses -= hits;
            add_point(curve, &cap, d, misses);
        }
    }
    VM_ASSERT(misses == c->cold);
}

/* error[i]: the standard error of the references beyond coarse bucket i - 1, first references among them. */
static void standard_errors(const struct vm_sim_mrc *c, double error[COARSE_BUCKETS + 1])
{
    double beyond[GROUPS] = {0};

    for (size_t i = COARSE_BUCKETS + 1; i-- > 0;) {
        double sum = 0, squares = 0;
        for (unsigned g = 0; g < GROUPS; g++)
            sum += beyond[g] += c->part[i][g];
        for (unsigned g = 0; g < GROUPS; g++)
            squares += (beyond[g] - sum / GROUPS) * (beyond[g] - sum / GROUPS);
        error[i] = sqrt((1 - rate(c)) * GROUPS / (GROUPS - 1) * squares);
    }
}

/* Misses fall with the size, so a bound of one size holds for the larger or the smaller ones too. */
static void add_bounds(const struct vm_sim_mrc *c, struct vm_sim_curve *curve)
{
    double *error = vm_sim_zalloc((COARSE_BUCKETS + 1) * sizeof *error);
    uint64_t worst = c->refs - c->repeats;
    size_t least_cap = 0, most_cap = 0;

    vm_sim_grow(&curve->least, &least_cap, curve->points, sizeof *curve->least);
    vm_sim_grow(&curve->most, &most_cap, curve->points, sizeof *curve->most);
    standard_errors(c, error);
    for (size_t i = 0; i < curve->points; i++) {
        uint64_t misses = curve->misses[i];
        size_t coarse = bucket_of(curve->size[i]) >> COARSE;
        double off = curve->size[i] < 2 ? 0 : ERRORS * fmax(error[coarse], error[coarse + 1]);
        curve->least[i] = (double)misses > off ? misses - (uint64_t)off : 0;
        curve->most[i] = vm_min(misses + (uint64_t)ceil(off), curve->size[i] ? worst : c->refs);
        if (i)
            curve->most[i] = vm_min(curve->most[i], curve->most[i - 1]);
    }
    for (size_t i = curve->points - 1; i-- > 0;)
        curve->least[i] = vm_max(curve->least[i], curve->least[i + 1]);
    free(error);
}

static void sampled_curve(const struct vm_sim_mrc *c, struct vm_sim_curve *curve)
{
    double sum = c->cold_weight, misses = (double)(c->refs - c->repeats);
    double cold = fmin(c->cold_weight, misses), low;
    size_t cap = 0;

    add_point(curve, &cap, 0, c->refs);
    if (c->repeats)
        add_point(curve, &cap, 1, c->refs - c->repeats);
    for (size_t i = 2; i < BUCKETS; i++)
        sum += c->bucket[i];
    low = misses - sum; /* the sample's error in references */
    for (size_t i = 2; i < BUCKETS; i++) {
        double hits = c->bucket[i] + low;
        low = 0;
        if (hits < 0) { /* more than the bucket has: the next one's too */
            low = hits;
            continue;
        }
        if (hits == 0)
            continue;
        misses = fmax(misses - hits, cold);
        uint64_t rounded = (uint64_t)(misses + 0.5);
        if (rounded < curve->misses[curve->points - 1])
            add_point(curve, &cap, bucket_end(i), rounded);
    }
    add_bounds(c, curve);
}

struct vm_sim_curve vm_sim_mrc_curve(const struct vm_sim_mrc *c)
{
    struct vm_sim_curve curve = {.name = "", .page_shift = c->shift, .refs = c->refs, .rate = rate(c)};

    curve.followed = c->live;
    curve.distinct = c->most ? (uint64_t)(c->cold_weight + 0.5) : c->cold;
    if (c->most)
        sampled_curve(c, &curve);
    else
        exact_curve(c, &curve);
    return curve;
}

void vm_sim_curve_free(struct vm_sim_curve *curve)
{
    free(curve->size);
    free(curve->misses);
    free(curve->least);
    free(curve->most);
    memset(curve, 0, sizeof *curve);
}

/* The last point at or below `pages`. */
static size_t point_of(const struct vm_sim_curve *curve, uint64_t pages)
{
    size_t low = 0, high = curve->points; /* size[low] <= pages < size[high] */

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (curve->size[middle] <= pages)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t vm_sim_curve_misses(const struct vm_sim_curve *curve, uint64_t pages)
{
    return curve->points ? curve->misses[point_of(curve, pages)] : 0;
}

/* A size moved by the error of its estimate, and by the width of a bucket. */
static double moved(const struct vm_sim_curve *curve, uint64_t pages, double errors)
{
    double root = sqrt((double)pages) + errors / 2 * sqrt((1 - curve->rate) / curve->rate);

    if (curve->rate >= 1 && pages < (uint64_t)1 << BUCKET_BITS)
        return (double)pages; /* buckets of one size */
    if (root <= 1)
        return pages ? 1 : 0;
    return errors < 0 ? root * root * (1 - 1.0 / (1 << BUCKET_BITS)) - 1
                      : root * root * (1 + 1.0 / (1 << BUCKET_BITS)) + 1;
}

void vm_sim_curve_bounds(const struct vm_sim_curve *curve, uint64_t pages, uint64_t *least, uint64_t *most)
{
    *least = *most = vm_sim_curve_misses(curve, pages);
    if (!curve->least || pages <= 1) /* no memory, and one page, are counted exactly */
        return;
    *least = curve->least[point_of(curve, (uint64_t)moved(curve, pages, ERRORS))];
    *most = curve->most[point_of(curve, (uint64_t)fmax(moved(curve, pages, -ERRORS), 1.0))];
}

/* The first of descending misses that are few enough. */
static uint64_t first_below(const struct vm_sim_curve *curve, const uint64_t *misses, double ratio)
{
    for (size_t i = 0; i < curve->points; i++)
        if ((double)misses[i] <= ratio * (double)curve->refs)
            return curve->size[i];
    return UINT64_MAX;
}

uint64_t vm_sim_curve_smallest(const struct vm_sim_curve *curve, double ratio)
{
    return first_below(curve, curve->misses, ratio);
}

void vm_sim_curve_smallest_bounds(const struct vm_sim_curve *curve, double ratio, uint64_t *from, uint64_t *to)
{
    *from = *to = vm_sim_curve_smallest(curve, ratio);
    if (!curve->least || *from <= 1)
        return;
    *from = first_below(curve, curve->least, ratio);
    *to = first_below(curve, curve->most, ratio);
    if (*from != UINT64_MAX)
        *from = (uint64_t)fmax(moved(curve, *from, -ERRORS), 0.0);
    if (*to != UINT64_MAX)
        *to = (uint64_t)ceil(moved(curve, *to, ERRORS));
}

bool vm_sim_mrc_check(const struct vm_sim_mrc *c)
{
    uint64_t live = 0, bits = 0, sum = 0;

    for (size_t i = 0; i < c->slots; i++) {
        const struct page_slot *s = &c->table[i];
        if (s->page == NO_PAGE)
            continue;
        uint64_t hash = mix(s->page);
        if (s->time >= c->now || !(c->bits[s->time / 64] >> s->time % 64 & 1) || slot_of(c, s->page, hash) != s
            || sample_of(hash) >= c->threshold)
            return false;
        live++;
    }
    for (uint64_t g = 0; g < c->groups; g++) {
        for (uint64_t w = 0; w < GROUP_WORDS; w++)
            bits += (uint64_t)__builtin_popcountll(c->bits[g * GROUP_WORDS + w]);
        if (bits_up_to(c, g * GROUP + GROUP - 1) != bits)
            return false;
    }
    if (live != c->live || bits != live || c->now > c->groups * GROUP)
        return false;
    if (c->most)
        return live <= c->most;
    for (uint64_t d = 1; d <= live; d++)
        sum += c->hist[d];
    return c->cold == live && c->refs == sum + c->cold + c->repeats;
}
