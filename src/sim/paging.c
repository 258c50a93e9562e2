/* Page tables of every mode; see paging.h.

   Invariants (vm_sim_pt_check): a table's used count = its non-zero entries; child[i] is there exactly when entry i names a
   table; only the top table may be empty; leaves stand at level 1 and at the mode's huge levels; the counts of the stats
   are those of the tables; a sorted list ascends. */
#include "sim/paging.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "sim/mem.h"

#define KIB4 ((uint64_t)4096)

/* clang-format off */
const struct vm_sim_paging_geometry vm_sim_paging_geometry[VM_SIM_PAGING_MODES] = {
    [VM_SIM_PAGING_NONE] = {.name = "none", .physical_bits = 44, .linear_bits = 44, .user_end = (uint64_t)1 << 44,
                            .kernel_start = UINT64_MAX},
    [VM_SIM_PAGING_SINGLE] = {.name = "single", .levels = 1, .bits = {20}, .shift = {12, 32}, .entry_bytes = 4,
                              .physical_bits = 32, .linear_bits = 32, .user_end = 0xc0000000, .kernel_start = 0xc0000000},
    [VM_SIM_PAGING_SORTED] = {.name = "sorted", .levels = 1, .bits = {20}, .shift = {12, 32}, .entry_bytes = 8,
                              .physical_bits = 32, .linear_bits = 32, .user_end = 0xc0000000, .kernel_start = 0xc0000000},
    [VM_SIM_PAGING_2LEVEL] = {.name = "2level", .levels = 2, .bits = {10, 10}, .shift = {12, 22, 32}, .entry_bytes = 4,
                              .physical_bits = 32, .linear_bits = 32, .huge_levels = 1 << 2, .user_end = 0xc0000000,
                              .kernel_start = 0xc0000000},
    [VM_SIM_PAGING_PAE] = {.name = "pae", .levels = 3, .bits = {9, 9, 2}, .shift = {12, 21, 30, 32}, .entry_bytes = 8,
                           .physical_bits = 36, .linear_bits = 32, .huge_levels = 1 << 2, .user_end = 0xc0000000,
                           .kernel_start = 0xc0000000},
    [VM_SIM_PAGING_4LEVEL] = {.name = "4level", .levels = 4, .bits = {9, 9, 9, 9}, .shift = {12, 21, 30, 39, 48},
                              .entry_bytes = 8, .physical_bits = 44, .linear_bits = 48, .huge_levels = 1 << 2 | 1 << 3,
                              .user_end = (uint64_t)1 << 47, .kernel_start = 0xffff800000000000},
    [VM_SIM_PAGING_5LEVEL] = {.name = "5level", .levels = 5, .bits = {9, 9, 9, 9, 9},
                              .shift = {12, 21, 30, 39, 48, 57}, .entry_bytes = 8, .physical_bits = 44,
                              .linear_bits = 57, .huge_levels = 1 << 2 | 1 << 3, .user_end = (uint64_t)1 << 56,
                              .kernel_start = 0xff00000000000000},
};
/* clang-format on */

int vm_sim_paging_mode_of(const char *name)
{
    for (int m = 0; m < VM_SIM_PAGING_MODES; m++)
        if (strcmp(vm_sim_paging_geometry[m].name, name) == 0)
            return m;
    return -EINVAL;
}

bool vm_sim_is_canonical(enum vm_sim_paging_mode mode, struct vm_sim_linear a)
{
    unsigned bits = vm_sim_paging_geometry[mode].linear_bits;

    if (bits < 48)
        return a.at >> bits == 0;
    int64_t high = (int64_t)a.at >> (bits - 1); /* bits 63 .. bits - 1 */
    return high == 0 || high == -1;
}

unsigned vm_sim_table_index(enum vm_sim_paging_mode mode, struct vm_sim_linear a, unsigned level)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[mode];

    return (unsigned)(a.at >> g->shift[level - 1]) & ((1u << g->bits[level - 1]) - 1);
}

uint64_t vm_sim_page_offset(enum vm_sim_paging_mode mode, struct vm_sim_linear a, unsigned level)
{
    return a.at & (((uint64_t)1 << vm_sim_paging_geometry[mode].shift[level - 1]) - 1);
}

/* ---- Tables ---- */

struct table {
    struct table **child; /* [entries]; NULL at level 1 */
    vm_sim_pfn frame;
    uint32_t used;
    uint8_t level;
    vm_sim_pte entry[];
};

struct sorted_entry {
    uint64_t page;
    vm_sim_pte entry;
};

struct vm_sim_pt {
    enum vm_sim_paging_mode mode;
    const struct vm_sim_paging_geometry *g;
    struct vm_sim_frame_source source;
    struct vm_sim_pt *kernel;
    struct table *top;
    /* sorted */
    struct sorted_entry *list;
    size_t listed, list_cap;
    vm_sim_pfn *list_frame; /* one for 512 entries */
    size_t list_frames, list_frame_cap;
    vm_sim_pfn next_made_up;
    struct vm_sim_pt_stats stats; /* bytes and frames are derived */
};

#define TABLE_FLAGS (VM_SIM_PTE_P | VM_SIM_PTE_W | VM_SIM_PTE_U | VM_SIM_PTE_A)
#define SORTED_PER_FRAME (KIB4 / 8)

static uint32_t entries_at(const struct vm_sim_pt *pt, unsigned level) { return 1u << pt->g->bits[level - 1]; }

static unsigned order_at(const struct vm_sim_pt *pt, unsigned level)
{
    uint64_t bytes = (uint64_t)entries_at(pt, level) * pt->g->entry_bytes;

    return bytes <= KIB4 ? 0 : vm_log2(bytes / KIB4);
}

static vm_sim_pfn take_frame(struct vm_sim_pt *pt, unsigned order)
{
    return pt->source.take ? pt->source.take(pt->source.ctx, order) : ++pt->next_made_up;
}

static void give_frame(struct vm_sim_pt *pt, vm_sim_pfn frame, unsigned order)
{
    if (pt->source.take)
        pt->source.give(pt->source.ctx, frame, order);
}

static struct table *table_new(struct vm_sim_pt *pt, unsigned level)
{
    vm_sim_pfn frame = take_frame(pt, order_at(pt, level));
    uint32_t entries = entries_at(pt, level);

    if (frame == VM_SIM_NO_FRAME)
        return NULL;
    struct table *t = vm_sim_zalloc(sizeof *t + entries * sizeof t->entry[0]);
    t->frame = frame;
    t->level = (uint8_t)level;
    t->child = level > 1 ? vm_sim_zalloc(entries * sizeof *t->child) : NULL;
    pt->stats.tables[level - 1]++;
    return t;
}

static void table_free(struct vm_sim_pt *pt, struct table *t)
{
    give_frame(pt, t->frame, order_at(pt, t->level));
    pt->stats.tables[t->level - 1]--;
    free(t->child);
    free(t);
}

static void free_below(struct vm_sim_pt *pt, struct table *t)
{
    for (uint32_t i = 0; t->child && i < entries_at(pt, t->level); i++)
        if (t->child[i])
            free_below(pt, t->child[i]);
    table_free(pt, t);
}

struct vm_sim_pt *vm_sim_pt_new(enum vm_sim_paging_mode mode, struct vm_sim_frame_source source,
                                struct vm_sim_pt *kernel)
{
    struct vm_sim_pt *pt = vm_sim_zalloc(sizeof *pt);

    VM_ASSERT(mode > VM_SIM_PAGING_NONE && mode < VM_SIM_PAGING_MODES);
    pt->mode = mode;
    pt->g = &vm_sim_paging_geometry[mode];
    pt->source = source;
    pt->kernel = kernel;
    if (mode != VM_SIM_PAGING_SORTED && !(pt->top = table_new(pt, pt->g->levels))) {
        free(pt);
        return NULL;
    }
    return pt;
}

void vm_sim_pt_free(struct vm_sim_pt *pt)
{
    if (!pt)
        return;
    if (pt->top)
        free_below(pt, pt->top);
    for (size_t i = 0; i < pt->list_frames; i++)
        give_frame(pt, pt->list_frame[i], 0);
    free(pt->list_frame);
    free(pt->list);
    free(pt);
}

enum vm_sim_paging_mode vm_sim_pt_mode(const struct vm_sim_pt *pt) { return pt->mode; }

vm_sim_pfn vm_sim_pt_top(const struct vm_sim_pt *pt)
{
    if (pt->top)
        return pt->top->frame;
    return pt->list_frames ? pt->list_frame[0] : VM_SIM_NO_FRAME;
}

/* ---- The sorted list ---- */

/* Index of the first entry with a page >= page; steps of the search through *steps. */
static size_t sorted_find(const struct vm_sim_pt *pt, uint64_t page, unsigned *steps)
{
    size_t low = 0, high = pt->listed;

    for (*steps = 0; low < high; ++*steps) {
        size_t middle = low + (high - low) / 2;
        if (pt->list[middle].page == page)
            return ++*steps, middle;
        if (pt->list[middle].page < page)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int sorted_insert(struct vm_sim_pt *pt, size_t at, uint64_t page, vm_sim_pte entry)
{
    if (pt->listed == pt->list_frames * SORTED_PER_FRAME) {
        vm_sim_pfn frame = take_frame(pt, 0);
        if (frame == VM_SIM_NO_FRAME)
            return -ENOMEM;
        vm_sim_grow(&pt->list_frame, &pt->list_frame_cap, pt->list_frames + 1, sizeof *pt->list_frame);
        pt->list_frame[pt->list_frames++] = frame;
    }
    vm_sim_grow(&pt->list, &pt->list_cap, pt->listed + 1, sizeof *pt->list);
    memmove(&pt->list[at + 1], &pt->list[at], (pt->listed - at) * sizeof *pt->list);
    pt->list[at] = (struct sorted_entry){page, entry};
    pt->listed++;
    return 0;
}

static void sorted_remove(struct vm_sim_pt *pt, size_t at)
{
    pt->listed--;
    memmove(&pt->list[at], &pt->list[at + 1], (pt->listed - at) * sizeof *pt->list);
    if (pt->listed + SORTED_PER_FRAME <= pt->list_frames * SORTED_PER_FRAME)
        give_frame(pt, pt->list_frame[--pt->list_frames], 0);
}

static void count_leaf(struct vm_sim_pt *pt, vm_sim_pte entry, unsigned level, int by)
{
    if (entry & VM_SIM_PTE_P)
        pt->stats.leaves[level - 1] += (uint64_t)by;
    else if (entry)
        pt->stats.swapped += (uint64_t)by;
}

static int sorted_set(struct vm_sim_pt *pt, struct vm_sim_linear a, vm_sim_pte entry)
{
    uint64_t page = a.at >> VM_SIM_PAGE_SHIFT;
    unsigned steps;
    size_t at = sorted_find(pt, page, &steps);
    bool there = at < pt->listed && pt->list[at].page == page;
    int error = 0;

    if (there) {
        count_leaf(pt, pt->list[at].entry, 1, -1);
        if (entry)
            pt->list[at].entry = entry;
        else
            sorted_remove(pt, at);
    } else if (entry) {
        error = sorted_insert(pt, at, page, entry);
    }
    if (!error)
        count_leaf(pt, entry, 1, 1);
    return error;
}

/* ---- Walking ---- */

/* Whose tables an address is in. */
static const struct vm_sim_pt *half_of(const struct vm_sim_pt *pt, struct vm_sim_linear a)
{
    return pt->kernel && a.at >= pt->g->kernel_start ? pt->kernel : pt;
}

static struct vm_sim_walk sorted_walk(struct vm_sim_pt *pt, struct vm_sim_linear a)
{
    struct vm_sim_walk w = {.level = 1};
    unsigned steps;
    size_t at = sorted_find(pt, a.at >> VM_SIM_PAGE_SHIFT, &steps);

    pt->stats.searches++;
    pt->stats.steps += steps;
    w.reads = (uint8_t)steps;
    if (at < pt->listed && pt->list[at].page == a.at >> VM_SIM_PAGE_SHIFT) {
        w.where = &pt->list[at].entry;
        w.entry = w.path[0] = *w.where;
    }
    return w;
}

struct vm_sim_walk vm_sim_pt_walk(const struct vm_sim_pt *pt, struct vm_sim_linear a)
{
    struct vm_sim_walk w = {0};

    pt = half_of(pt, a);
    if (pt->mode == VM_SIM_PAGING_SORTED)
        return sorted_walk((struct vm_sim_pt *)(uintptr_t)pt, a);
    for (struct table *t = pt->top; t;) {
        unsigned level = t->level, i = vm_sim_table_index(pt->mode, a, level);
        w.level = (uint8_t)level;
        w.reads++;
        w.entry = w.path[level - 1] = t->entry[i];
        struct table *next = t->child ? t->child[i] : NULL;
        /* A missing table has no entry to set bits in; a leaf, or an entry of the last level, has. */
        w.where = next || (level > 1 && w.entry == 0) ? NULL : &t->entry[i];
        t = next;
    }
    return w;
}

vm_sim_pte *vm_sim_pt_find(const struct vm_sim_pt *pt, struct vm_sim_linear a, unsigned *level)
{
    pt = half_of(pt, a);
    if (pt->mode == VM_SIM_PAGING_SORTED) {
        unsigned steps;
        size_t at = sorted_find(pt, a.at >> VM_SIM_PAGE_SHIFT, &steps);
        if (level)
            *level = 1;
        return at < pt->listed && pt->list[at].page == a.at >> VM_SIM_PAGE_SHIFT ? &pt->list[at].entry : NULL;
    }
    for (struct table *t = pt->top;;) {
        unsigned i = vm_sim_table_index(pt->mode, a, t->level);
        if (t->child && t->child[i]) {
            t = t->child[i];
            continue;
        }
        if (level)
            *level = t->level;
        return t->level > 1 && t->entry[i] == 0 ? NULL : &t->entry[i];
    }
}

/* ---- Changing ---- */

/* Takes tables that are empty out, from the deepest of the path on; the top one stays. */
static void prune(struct vm_sim_pt *pt, struct table **path, unsigned level, struct vm_sim_linear a)
{
    for (; level < pt->g->levels && path[level - 1]->used == 0; level++) {
        struct table *above = path[level];
        unsigned i = vm_sim_table_index(pt->mode, a, level + 1);
        above->entry[i] = 0;
        above->child[i] = NULL;
        above->used--;
        table_free(pt, path[level - 1]);
    }
}

static int entry_fault(const struct vm_sim_pt *pt, struct vm_sim_linear a, unsigned level, vm_sim_pte entry)
{
    const struct vm_sim_paging_geometry *g = pt->g;

    if (level < 1 || level > g->levels || (level > 1 && !(g->huge_levels >> level & 1)))
        return -EINVAL;
    if (!vm_sim_is_canonical(pt->mode, a))
        return -EINVAL;
    if (!(entry & VM_SIM_PTE_P))
        return entry != 0 && level > 1 ? -EINVAL : 0; /* large pages are split before they are swapped */
    uint64_t pages = (uint64_t)1 << (g->shift[level - 1] - VM_SIM_PAGE_SHIFT), frame = vm_sim_pte_frame(entry);
    if (frame % pages != 0)
        return -EINVAL;
    return (frame + pages - 1) >> (g->physical_bits - VM_SIM_PAGE_SHIFT) ? -ERANGE : 0;
}

/* Goes down to the table at `level`, making what is missing when `make`.  0, -ENOMEM, -EEXIST (a leaf in the way) or
   -ENOENT (not made); path[l - 1] is the table at level l, from *reached up. */
static int descend(struct vm_sim_pt *pt, struct vm_sim_linear a, unsigned level, bool make, struct table **path,
                   unsigned *reached)
{
    struct table *t = pt->top;

    path[t->level - 1] = t;
    for (*reached = t->level; t->level > level; *reached = t->level) {
        unsigned i = vm_sim_table_index(pt->mode, a, t->level);
        if (!t->child[i]) {
            if (t->entry[i])
                return -EEXIST;
            if (!make)
                return -ENOENT;
            struct table *made = table_new(pt, t->level - 1);
            if (!made)
                return -ENOMEM;
            t->child[i] = made;
            t->entry[i] = vm_sim_pte_make(made->frame, TABLE_FLAGS, VM_SIM_NOWHERE);
            t->used++;
        }
        t = t->child[i];
        path[t->level - 1] = t;
    }
    return 0;
}

int vm_sim_pt_set(struct vm_sim_pt *pt, struct vm_sim_linear a, unsigned level, vm_sim_pte entry)
{
    struct table *path[5];
    unsigned reached;
    int error = entry_fault(pt, a, level, entry);

    if (error)
        return error;
    pt = (struct vm_sim_pt *)(uintptr_t)half_of(pt, a);
    if (pt->mode == VM_SIM_PAGING_SORTED)
        return sorted_set(pt, a, entry);
    error = descend(pt, a, level, entry != 0, path, &reached);
    if (error) {
        prune(pt, path, reached, a);
        return error == -ENOENT ? 0 : error;
    }
    struct table *t = path[level - 1];
    unsigned i = vm_sim_table_index(pt->mode, a, level);
    if (t->child && t->child[i])
        return -EEXIST;
    entry |= (entry & VM_SIM_PTE_P) && level > 1 ? VM_SIM_PTE_PS : 0;
    count_leaf(pt, t->entry[i], level, -1);
    count_leaf(pt, entry, level, 1);
    t->used += !!entry - !!t->entry[i];
    t->entry[i] = entry;
    prune(pt, path, level, a);
    return 0;
}

int vm_sim_pt_split(struct vm_sim_pt *pt, struct vm_sim_linear a)
{
    unsigned level, i;

    pt = (struct vm_sim_pt *)(uintptr_t)half_of(pt, a);
    vm_sim_pte *where = vm_sim_pt_find(pt, a, &level);
    if (!where || level == 1 || !(*where & VM_SIM_PTE_P))
        return -ENOENT;
    struct table *below = table_new(pt, level - 1), *t = pt->top;
    if (!below)
        return -ENOMEM;
    vm_sim_pfn step = (vm_sim_pfn)1 << (pt->g->shift[level - 2] - VM_SIM_PAGE_SHIFT);
    vm_sim_pte leaf = level - 1 == 1 ? *where & ~VM_SIM_PTE_PS : *where;
    below->used = entries_at(pt, level - 1);
    for (i = 0; i < below->used; i++)
        below->entry[i] = leaf + ((vm_sim_pte)(step * i) << VM_SIM_PTE_FRAME_SHIFT);
    while (t->level > level)
        t = t->child[vm_sim_table_index(pt->mode, a, t->level)];
    i = vm_sim_table_index(pt->mode, a, level);
    t->child[i] = below;
    t->entry[i] = vm_sim_pte_make(below->frame, TABLE_FLAGS, VM_SIM_NOWHERE);
    pt->stats.leaves[level - 1]--;
    pt->stats.leaves[level - 2] += below->used;
    return 0;
}

/* ---- All entries of a range ---- */

struct each {
    const struct vm_sim_pt *pt;
    uint64_t from, last;
    int (*f)(void *ctx, struct vm_sim_linear page, unsigned level, vm_sim_pte *entry);
    void *ctx;
};

/* base: the address of the table's first entry, canonical form applied below. */
static int each_table(const struct each *e, struct table *t, uint64_t base)
{
    unsigned shift = e->pt->g->shift[t->level - 1], bits = e->pt->g->linear_bits;
    bool is_top = t == e->pt->top;
    uint32_t entries = entries_at(e->pt, t->level), left = t->used;
    int stop = 0;

    for (uint32_t i = 0; i < entries && left > 0 && !stop; i++) {
        uint64_t at = base + ((uint64_t)i << shift), last;
        if (is_top && bits >= 48 && at >> (bits - 1))
            at |= ~(uint64_t)0 << bits;
        last = at + (((uint64_t)1 << shift) - 1);
        if (at > e->last)
            break;
        if (t->entry[i] == 0)
            continue;
        left--;
        if (last < e->from)
            continue;
        stop = t->child && t->child[i] ? each_table(e, t->child[i], at)
                                       : e->f(e->ctx, VM_SIM_LINEAR(at), t->level, &t->entry[i]);
    }
    return stop;
}

int vm_sim_pt_each(const struct vm_sim_pt *pt, struct vm_sim_linear from, struct vm_sim_linear to,
                   int (*f)(void *ctx, struct vm_sim_linear page, unsigned level, vm_sim_pte *entry), void *ctx)
{
    struct each e = {pt, from.at, to.at - 1, f, ctx};
    unsigned steps;
    int stop = 0;

    if (from.at == to.at && to.at != 0)
        return 0;
    if (pt->mode != VM_SIM_PAGING_SORTED)
        return each_table(&e, pt->top, 0);
    for (size_t i = sorted_find(pt, from.at >> VM_SIM_PAGE_SHIFT, &steps); i < pt->listed && !stop; i++) {
        uint64_t at = pt->list[i].page << VM_SIM_PAGE_SHIFT;
        if (at > e.last)
            break;
        stop = f(ctx, VM_SIM_LINEAR(at), 1, &pt->list[i].entry);
    }
    return stop;
}

struct vm_sim_pt_stats vm_sim_pt_stats(const struct vm_sim_pt *pt)
{
    struct vm_sim_pt_stats s = pt->stats;

    s.bytes = pt->listed * pt->g->entry_bytes;
    s.frames = pt->list_frames;
    for (unsigned level = 1; level <= pt->g->levels; level++) {
        s.bytes += s.tables[level - 1] * entries_at(pt, level) * pt->g->entry_bytes;
        s.frames += s.tables[level - 1] << order_at(pt, level);
    }
    return s;
}

/* ---- Invariants ---- */

static bool check_table(const struct vm_sim_pt *pt, const struct table *t, struct vm_sim_pt_stats *found)
{
    uint32_t used = 0;

    found->tables[t->level - 1]++;
    for (uint32_t i = 0; i < entries_at(pt, t->level); i++) {
        const struct table *child = t->child ? t->child[i] : NULL;
        vm_sim_pte e = t->entry[i];
        used += e != 0;
        if (child) {
            if (child->level != t->level - 1 || vm_sim_pte_frame(e) != child->frame || (e & VM_SIM_PTE_PS)
                || !(e & VM_SIM_PTE_P) || child->used == 0 || !check_table(pt, child, found))
                return false;
        } else if (e) {
            if (t->level > 1 && (!(pt->g->huge_levels >> t->level & 1) || !(e & VM_SIM_PTE_PS) || !(e & VM_SIM_PTE_P)))
                return false;
            found->leaves[t->level - 1] += !!(e & VM_SIM_PTE_P);
            found->swapped += vm_sim_pte_is_swap(e);
        }
    }
    return used == t->used;
}

bool vm_sim_pt_check(const struct vm_sim_pt *pt)
{
    struct vm_sim_pt_stats found = {.steps = pt->stats.steps, .searches = pt->stats.searches};

    for (size_t i = 0; i < pt->listed; i++) {
        if ((i > 0 && pt->list[i].page <= pt->list[i - 1].page) || pt->list[i].entry == 0)
            return false;
        found.leaves[0] += !!(pt->list[i].entry & VM_SIM_PTE_P);
        found.swapped += vm_sim_pte_is_swap(pt->list[i].entry);
    }
    if ((pt->listed + SORTED_PER_FRAME - 1) / SORTED_PER_FRAME != pt->list_frames)
        return false;
    return (!pt->top || check_table(pt, pt->top, &found)) && memcmp(&found, &pt->stats, sizeof found) == 0;
}

/* ---- Row 11 ---- */

/* Bytes of all tables at a level. */
static uint64_t level_full(const struct vm_sim_paging_geometry *g, unsigned level)
{
    uint64_t entries = (uint64_t)1 << (g->shift[g->levels] - g->shift[level - 1]);

    return entries * g->entry_bytes;
}

uint64_t vm_sim_tables_full(enum vm_sim_paging_mode mode)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[mode];
    uint64_t bytes = 0;

    for (unsigned level = 1; level <= g->levels; level++)
        bytes += level_full(g, level);
    return bytes;
}

double vm_sim_tables_part(enum vm_sim_paging_mode mode, double part)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[mode];
    double bytes = 0;

    for (unsigned level = 1; level <= g->levels; level++) {
        bool whole = level == g->levels && mode != VM_SIM_PAGING_SORTED; /* the top table is there as a whole */
        bytes += (whole ? 1 : part) * (double)level_full(g, level);
    }
    return bytes;
}

uint64_t vm_sim_tables_for(enum vm_sim_paging_mode mode, struct vm_sim_linear at, uint64_t pages)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[mode];
    uint64_t last = at.at + pages * VM_SIM_PAGE_SIZE - 1, tables = g->levels ? 1 : 0;

    for (unsigned level = 1; level < g->levels && pages > 0; level++)
        tables += (last >> g->shift[level]) - (at.at >> g->shift[level]) + 1;
    return tables;
}
