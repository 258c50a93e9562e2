/* Traces through TLB models; see tlb_study.h. */
#include "sim/tlb_study.h"

#include <string.h>

#include "base/tree.h"
#include "sim/mem.h"

#define BLOCK_SHIFT 21
#define BLOCK_PAGES 512
#define REGION_GAP ((uint64_t)64 << 20)
#define BATCH (2 * VM_SIM_TRACE_BATCH)
/* Where valgrind puts the stack of the programs it runs, and what lies below its first mapping: the program and its brk. */
#define VALGRIND_STACK 0x1ff0000000
#define VALGRIND_STACK_END 0x2000000000
#define VALGRIND_MAPPINGS 0x4000000
/* Linux, x86-64 and aarch64 with 48 bits. */
#define LINUX_PROGRAM 0x550000000000
#define LINUX_PROGRAM_END 0x570000000000
#define LINUX_STACK 0x7ff000000000

static const unsigned shift_of[VM_SIM_TLB_PAGES] = {12, 16, 21};

struct model {
    struct vm_tlb_config config;
    struct vm_tlb *tlb[VM_SIM_TLB_PAGES]; /* NULL: no such pages */
};

struct block {    /* 2 MiB of addresses that were touched */
    uint64_t key; /* address / 2 MiB + 1, with the process above; 0: the slot is free */
    uint64_t touched[BLOCK_PAGES / 64];
    struct vm_sim_tlb_use use;
};

struct live {                 /* handed out and not taken back */
    struct vm_tree_node node; /* key: address */
    uint64_t bytes;
};

struct vm_sim_tlb_study {
    struct model model[VM_SIM_TLB_MODELS];
    size_t models;
    struct vm_sim_mrc *mrc[VM_SIM_TLB_PAGES];
    uint64_t refs, blocks;
    struct block *block; /* open addressing; a power of two slots, at most half of them used */
    size_t slots, used;
    struct block *last;
    uint32_t pid;
    struct vm_tree live;
    struct vm_sim_tlb_use class_use[VM_SIM_TLB_CLASSES];
    uint64_t address[BATCH];
};

/* ---- Building ---- */

static struct vm_tlb *make_tlb(const struct vm_tlb_config *config)
{
    return vm_tlb_init(vm_sim_zalloc_aligned(vm_tlb_bytes(config)), config);
}

static void add_model(struct model *m, const struct vm_tlb_config *config)
{
    struct vm_tlb_config with_64k = *config;

    m->config = *config;
    m->tlb[VM_SIM_TLB_4K] = make_tlb(config);
    with_64k.shift[VM_TLB_SMALL] = 16;
    if (vm_tlb_config_check(&with_64k, NULL) == 0)
        m->tlb[VM_SIM_TLB_64K] = make_tlb(&with_64k);
    if (config->shift[VM_TLB_LARGE] == BLOCK_SHIFT)
        m->tlb[VM_SIM_TLB_2M] = make_tlb(config);
}

struct vm_sim_tlb_study *vm_sim_tlb_study_new(const struct vm_tlb_config *const *model, size_t models, size_t sample)
{
    struct vm_sim_tlb_study *s = vm_sim_zalloc(sizeof *s);

    s->models = vm_min(models, VM_SIM_TLB_MODELS);
    for (size_t i = 0; i < s->models; i++)
        add_model(&s->model[i], model[i]);
    for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++)
        s->mrc[p] = vm_sim_mrc_new(shift_of[p], sample);
    s->slots = 1024;
    s->block = vm_sim_zalloc(s->slots * sizeof *s->block);
    return s;
}

static struct live *live_at(const struct vm_sim_tlb_study *s, uint64_t address)
{
    struct vm_tree_node *n = vm_tree_first_at_least(&s->live, address);
    struct live *b = n ? VM_CONTAINER_OF(n, struct live, node) : NULL;

    return b && b->node.key >= address ? b : NULL;
}

void vm_sim_tlb_study_free(struct vm_sim_tlb_study *s)
{
    struct live *b;

    if (!s)
        return;
    while ((b = live_at(s, 0))) {
        vm_tree_remove(&s->live, &b->node);
        free(b);
    }
    for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++) {
        for (size_t i = 0; i < s->models; i++)
            free(s->model[i].tlb[p]);
        vm_sim_mrc_free(s->mrc[p]);
    }
    free(s->block);
    free(s);
}

/* ---- Blocks of 2 MiB ---- */

static struct block *slot_of(struct block *block, size_t slots, uint64_t key)
{
    size_t i = key * 0x9e3779b97f4a7c15u >> 20;

    while (block[i & (slots - 1)].key != 0 && block[i & (slots - 1)].key != key)
        i++;
    return &block[i & (slots - 1)];
}

static void grow_blocks(struct vm_sim_tlb_study *s)
{
    struct block *bigger = vm_sim_zalloc(2 * s->slots * sizeof *bigger);

    for (size_t i = 0; i < s->slots; i++)
        if (s->block[i].key)
            *slot_of(bigger, 2 * s->slots, s->block[i].key) = s->block[i];
    free(s->block);
    s->block = bigger;
    s->slots *= 2;
}

static struct block *block_of(struct vm_sim_tlb_study *s, uint64_t address)
{
    uint64_t key = (address >> BLOCK_SHIFT) + 1;

    if (s->last && s->last->key == key)
        return s->last;
    if (2 * s->used >= s->slots)
        grow_blocks(s);
    s->last = slot_of(s->block, s->slots, key);
    s->used += s->last->key == 0;
    s->last->key = key;
    return s->last;
}

/* ---- References ---- */

/* The first model's 4 KiB pages, one by one, so that each reference can be laid to a block; all others in batches. */
static void play(struct vm_sim_tlb_study *s, size_t n, struct vm_sim_tlb_use *also)
{
    struct vm_tlb *first = s->model[0].tlb[VM_SIM_TLB_4K];
    uint64_t walks = 0;

    for (size_t i = 0; i < n; i++) {
        struct block *b = block_of(s, s->address[i]);
        unsigned page = s->address[i] >> 12 & (BLOCK_PAGES - 1);
        bool walked = vm_tlb_ref(first, s->address[i], VM_TLB_SMALL) > 0;
        b->touched[page / 64] |= (uint64_t)1 << page % 64;
        b->use.refs++;
        b->use.walks += walked;
        walks += walked;
    }
    for (size_t m = 0; m < s->models; m++)
        for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++)
            if (s->model[m].tlb[p] && s->model[m].tlb[p] != first)
                vm_tlb_refs(s->model[m].tlb[p], s->address, n, p == VM_SIM_TLB_2M ? VM_TLB_LARGE : VM_TLB_SMALL);
    for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++)
        vm_sim_mrc_refs(s->mrc[p], s->address, n);
    s->refs += n;
    if (also) {
        also->refs += n;
        also->walks += walks;
    }
}

/* Processes have memories of their own; the TLB knows them by number, the rest by bits that no address has. */
static uint64_t apart(const struct vm_sim_tlb_study *s, uint64_t address)
{
    return s->pid > 1 ? address ^ (uint64_t)(s->pid & 0x1ff) << 48 : address;
}

static void play_refs(struct vm_sim_tlb_study *s, const struct vm_sim_item *item)
{
    size_t n = 0;

    for (size_t i = 0; i < item->n; i++) {
        const struct vm_sim_ref *r = &item->ref[i];
        uint64_t last = r->offset + (r->bytes ? r->bytes : 1) - 1;
        if (r->access == VM_SIM_FETCH)
            continue; /* another TLB's */
        s->address[n++] = apart(s, r->offset);
        if (last >> 12 != r->offset >> 12)
            s->address[n++] = apart(s, last);
    }
    play(s, n, NULL);
}

static struct vm_sim_tlb_use *class_of(struct vm_sim_tlb_study *s, uint64_t bytes)
{
    unsigned log = bytes > 1 ? vm_log2(bytes - 1) + 1 : 0;

    return &s->class_use[vm_min(log, VM_SIM_TLB_CLASSES - 1)];
}

/* Handed out: every page of it is touched once. */
static void play_malloc(struct vm_sim_tlb_study *s, const struct vm_sim_item *item)
{
    struct live *b = vm_sim_zalloc(sizeof *b);
    uint64_t address = apart(s, item->address), end = address + (item->bytes ? item->bytes : 1);
    size_t n = 0;

    b->node.key = address;
    b->node.order = (uintptr_t)s->blocks++;
    b->bytes = item->bytes;
    vm_tree_insert(&s->live, &b->node);
    for (uint64_t at = address; at < end; at = (at | 4095) + 1) {
        s->address[n++] = at;
        if (n == BATCH || (at | 4095) + 1 >= end) {
            play(s, n, class_of(s, item->bytes));
            n = 0;
        }
    }
}

/* Taken back: the allocator touches its beginning. */
static void play_free(struct vm_sim_tlb_study *s, const struct vm_sim_item *item)
{
    uint64_t address = apart(s, item->address);
    struct live *b = live_at(s, address);

    if (!b || b->node.key != address)
        return;
    s->address[0] = address;
    play(s, 1, class_of(s, b->bytes));
    vm_tree_remove(&s->live, &b->node);
    free(b);
}

void vm_sim_tlb_study_item(struct vm_sim_tlb_study *s, const struct vm_sim_item *item)
{
    if (item->pid != s->pid) {
        s->pid = item->pid;
        for (size_t m = 0; m < s->models; m++)
            for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++)
                if (s->model[m].tlb[p])
                    vm_tlb_switch(s->model[m].tlb[p], item->pid);
    }
    switch (item->kind) {
    case VM_SIM_ITEM_REFS: play_refs(s, item); break;
    case VM_SIM_ITEM_MALLOC: play_malloc(s, item); break;
    case VM_SIM_ITEM_FREE: play_free(s, item); break;
    default: break;
    }
}

/* ---- What it saw ---- */

uint64_t vm_sim_tlb_study_refs(const struct vm_sim_tlb_study *s) { return s->refs; }
uint64_t vm_sim_tlb_study_blocks(const struct vm_sim_tlb_study *s) { return s->blocks; }
unsigned vm_sim_tlb_study_shift(enum vm_sim_tlb_pages pages) { return shift_of[pages]; }

bool vm_sim_tlb_study_counts(const struct vm_sim_tlb_study *s, size_t model, enum vm_sim_tlb_pages pages,
                             struct vm_tlb_counts *counts)
{
    const struct vm_tlb *t = s->model[model].tlb[pages];

    if (t)
        *counts = vm_tlb_counts(t);
    return t != NULL;
}

unsigned vm_sim_tlb_walk_levels(const struct vm_tlb_config *config, enum vm_sim_tlb_pages pages)
{
    unsigned leaf = 1;

    for (unsigned i = 1; i < config->walk_levels; i++)
        if (config->walk_shift[i] <= shift_of[pages])
            leaf = i + 1;
    return config->walk_levels - leaf + 1u;
}

uint64_t vm_sim_tlb_reach(const struct vm_tlb_config *config, unsigned level, enum vm_sim_tlb_pages pages)
{
    struct vm_tlb_config with_64k = *config;

    with_64k.shift[VM_TLB_SMALL] = (uint8_t)shift_of[VM_SIM_TLB_64K];
    return vm_tlb_reach(pages == VM_SIM_TLB_64K ? &with_64k : config, level,
                        pages == VM_SIM_TLB_2M ? VM_TLB_LARGE : VM_TLB_SMALL);
}

static uint64_t touched_pages(const struct block *b, enum vm_sim_tlb_pages pages)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < BLOCK_PAGES / 64; i++)
        if (pages == VM_SIM_TLB_4K)
            n += (uint64_t)__builtin_popcountl(b->touched[i]);
        else if (pages == VM_SIM_TLB_64K)
            for (unsigned j = 0; j < 64; j += 16)
                n += (b->touched[i] >> j & 0xffff) != 0;
    return pages == VM_SIM_TLB_2M ? 1 : n;
}

uint64_t vm_sim_tlb_study_touched(const struct vm_sim_tlb_study *s, enum vm_sim_tlb_pages pages)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->slots; i++)
        n += s->block[i].key ? touched_pages(&s->block[i], pages) : 0;
    return n << shift_of[pages];
}

static const char *region_name(uint64_t from)
{
    uint64_t at = from & 0xffffffffffff;

    if ((at >= VALGRIND_STACK && at < VALGRIND_STACK_END) || at >= LINUX_STACK)
        return "stack";
    if (at < VALGRIND_MAPPINGS || (at >= LINUX_PROGRAM && at < LINUX_PROGRAM_END))
        return "program and brk heap";
    return "mappings";
}

static int by_address(const void *a, const void *b)
{
    const struct block *const *x = a, *const *y = b;

    return ((*x)->key > (*y)->key) - ((*x)->key < (*y)->key);
}

size_t vm_sim_tlb_study_regions(const struct vm_sim_tlb_study *s, struct vm_sim_tlb_region **regions)
{
    const struct block **sorted = vm_sim_zalloc((s->used + 1) * sizeof *sorted);
    size_t n = 0, count = 0, cap = 0;

    for (size_t i = 0; i < s->slots; i++)
        if (s->block[i].key)
            sorted[n++] = &s->block[i];
    qsort(sorted, n, sizeof *sorted, by_address);
    *regions = NULL;
    for (size_t i = 0; i < n; i++) {
        uint64_t from = (sorted[i]->key - 1) << BLOCK_SHIFT;
        struct vm_sim_tlb_region *r = count ? *regions + count - 1 : NULL;
        if (!r || from - r->to >= REGION_GAP || region_name(from) != r->name) {
            vm_sim_grow(regions, &cap, count + 1, sizeof **regions);
            r = *regions + count++;
            *r = (struct vm_sim_tlb_region){.from = from, .name = region_name(from)};
        }
        r->to = from + ((uint64_t)1 << BLOCK_SHIFT);
        r->pages += touched_pages(sorted[i], VM_SIM_TLB_4K);
        r->use.refs += sorted[i]->use.refs;
        r->use.walks += sorted[i]->use.walks;
    }
    free(sorted);
    return count;
}

struct vm_sim_tlb_use vm_sim_tlb_study_class(const struct vm_sim_tlb_study *s, unsigned class_log2)
{
    return s->class_use[class_log2];
}

struct vm_sim_curve vm_sim_tlb_study_curve(const struct vm_sim_tlb_study *s, enum vm_sim_tlb_pages pages)
{
    return vm_sim_mrc_curve(s->mrc[pages]);
}
