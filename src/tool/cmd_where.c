/* vmalloc where: what an address of a running process, or of a core file, is: the walk of the shadow page table, the owner,
   the block and its neighbours.  Reads the process from outside (peek.h). */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/json.h"
#include "tool/command.h"
#include "tool/peek.h"
#include "tool/procfs.h"

static const char *const name = "where";

static const char usage[] =
    "usage: vmalloc where [OPTIONS] PID|CORE ADDRESS\n"
    "\n"
    "Says what ADDRESS (hexadecimal) is to libvmalloc in that process or core file: the walk of its shadow page table,\n"
    "who owns the page, the block that holds the address, whether it is free or live, and what lies beside it.\n"
    "\n"
    "  -j, --json   as JSON\n"
    "  -h, --help   this\n";

#define LEVELS_MAX 8

/* ---- The walk ---- */

struct step {
    unsigned level, index;
    uint64_t entry, table; /* table: the address of the one that the entry stands in */
};

struct walk {
    const char *tree; /* "names" or "pages" */
    struct step step[LEVELS_MAX];
    unsigned steps;
    bool broken; /* a table that cannot be read */
};

static const char *level_name(unsigned level, unsigned levels)
{
    static const char *const text[] = {"?", "PTE", "PMD", "PUD", "P4D", "PGD"};
    return level == levels ? "PGD" : text[level < 6 ? level : 0];
}

static uint64_t pte_target(const struct peek *p, uint64_t e)
{
    return e >> (peek_value(p, "#PTE_NUMBER_SHIFT") & 63) << (peek_value(p, "#PTE_ALIGN_SHIFT") & 63);
}

/* From the root on, as long as there are entries; root is the name of a fact. */
static void take_walk(const struct peek *p, const char *root, uint64_t address, struct walk *w)
{
    uint64_t bits = peek_value(p, "#PGTAB_BITS"), shift = peek_value(p, "#PAGE_SHIFT");
    uint64_t low = peek_value(p, "#LEVELS_LOW"), high = peek_value(p, "#LEVELS_HIGH"), entry = 0;

    if (!bits || bits > 13 || shift > 20 || !low || high < low || high > LEVELS_MAX || shift + bits * high > 64)
        return;
    bool is_low = address >> (shift + bits * low) == 0;
    uint64_t at = peek_value(p, root) + peek_value(p, is_low ? "pgtab.low" : "pgtab.high");
    if ((!is_low && shift + bits * high < 64 && address >> (shift + bits * high) != 0) || !peek_read(p, at, &entry, 8))
        return;
    for (unsigned level = (unsigned)(is_low ? low : high); level > 0 && entry != 0; level--) {
        struct step *s = &w->step[w->steps];
        s->level = level;
        s->index = (unsigned)(address >> (shift + bits * (level - 1)) & ((1u << bits) - 1));
        s->table = pte_target(p, entry);
        if (!peek_read(p, s->table + s->index * 8, &s->entry, 8)) {
            w->broken = true;
            return;
        }
        w->steps++;
        entry = s->entry & peek_value(p, "#PTE_LEAF") ? 0 : s->entry;
    }
}

/* The bits of a leaf in words. */
static const char *leaf_bits(const struct peek *p, uint64_t e)
{
    static const char *const fact[] = {"#PTE_PRESENT", "#PTE_HUGE", "#PTE_OUT", "#PTE_ACCESSED", "#PTE_DIRTY",
                                       "#PTE_ZERO",    "#PTE_LAZY", "#PTE_COW", "#PTE_RETURNED"};
    static const char *const word[] = {"present", "huge",         "handed-out", "accessed", "dirty",
                                       "zero",    "lazily-freed", "cow",        "returned"};
    static char text[128];
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof fact / sizeof *fact; i++)
        if (e & peek_value(p, fact[i]))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "", word[i]);
    return text;
}

static const char *leaf_owner(const struct peek *p, uint64_t e)
{
    uint64_t kind = (e & peek_value(p, "#PTE_KIND_MASK")) >> (peek_value(p, "#PTE_KIND_SHIFT") & 63);
    return kind == peek_value(p, "#KIND_ZONE") ? "zone" : kind == peek_value(p, "#KIND_EXTENT") ? "extent" : "nobody";
}

/* ---- The block ---- */

enum block_state { BLOCK_LIVE, BLOCK_FREE, BLOCK_UNTOUCHED, BLOCK_TAIL, BLOCK_UNREADABLE };
static const char *const state_name[] = {"live", "free", "never handed out", "tail", "unreadable"};

/* A free block is sealed: seal = secret ^ its address ^ its link. */
static enum block_state block_state(const struct peek *p, const struct peek_range *r, uint64_t index)
{
    uint64_t block = r->start + index * r->block_size, next, seal, secret;

    if (index >= r->capacity)
        return BLOCK_TAIL;
    if (index >= r->carved)
        return BLOCK_UNTOUCHED;
    if (!peek_root(p, "&secret", &secret) || !peek_read(p, block + peek_value(p, "block.next"), &next, 8)
        || !peek_read(p, block + peek_value(p, "block.seal"), &seal, 8))
        return BLOCK_UNREADABLE;
    return seal == (secret ^ block ^ next) ? BLOCK_FREE : BLOCK_LIVE;
}

/* ---- What there is to say ---- */

struct where {
    const struct peek *p;
    const struct peek_snapshot *s;
    uint64_t address;
    struct walk walk[2]; /* the names; the pages, with vm=1 */
    unsigned walks;
    const struct peek_range *r; /* NULL: nothing of ours */
    char mapping[512];          /* the kernel's line for it, "" when there is none or it is a core file */
};

static void find_mapping(struct where *w)
{
    struct procfs_maps maps = {0};
    const struct procfs_mapping *m;

    if (w->p->core || procfs_read_maps(w->p->task, &maps) != 0)
        return;
    m = procfs_mapping_at(&maps, w->address);
    if (m)
        snprintf(w->mapping, sizeof w->mapping, "%#" PRIx64 "-%#" PRIx64 " %s %s", m->start, m->end, m->perms,
                 *m->path ? m->path : "anonymous");
    procfs_make_printable(w->mapping, PROCFS_ANY);
    procfs_maps_free(&maps);
}

static const char *heap_state(const struct where *w, uint64_t owner)
{
    static const char *const text[] = {"live", "idle: its thread has ended", "shared by threads past their end"};

    for (size_t i = 0; i < w->s->heaps; i++)
        if (w->s->heap[i].address == owner)
            return text[w->s->heap[i].state];
    return "unknown";
}

static const char *slab_state(const struct where *w, const struct peek_range *r)
{
    return r->state == peek_value(w->p, "#SLAB_CURRENT") ? "current"
           : r->state == peek_value(w->p, "#SLAB_FULL")  ? "full"
                                                         : "partial";
}

static bool is_in_brk(const struct where *w)
{
    return w->s->brk_top && w->address - w->s->brk_base < w->s->brk_top - w->s->brk_base;
}

/* ---- Text ---- */

static void print_walk(const struct where *w, const struct walk *k)
{
    uint64_t present = peek_value(w->p, "#PTE_PRESENT"), leaf = peek_value(w->p, "#PTE_LEAF");

    for (unsigned i = 0; i < k->steps; i++) {
        const struct step *s = &k->step[i];
        printf("  %-3s  index %3u  of table %#" PRIx64 "  entry 0x%016" PRIx64 "  ",
               level_name(s->level, k->step[0].level), s->index, s->table, s->entry);
        if (s->entry == 0)
            puts("none");
        else if (s->entry & leaf)
            printf("leaf: %s; owned by the %s at %#" PRIx64 "\n", leaf_bits(w->p, s->entry), leaf_owner(w->p, s->entry),
                   pte_target(w->p, s->entry));
        else if (s->entry & present)
            printf("table, %" PRIu64 " entries in use\n",
                   (s->entry & peek_value(w->p, "#PTE_USED_MASK")) >> (peek_value(w->p, "#PTE_USED_SHIFT") & 63));
        else
            puts("not present");
    }
    if (k->steps == 0)
        puts("  no entry: its root is empty");
    if (k->broken)
        puts("  the next table cannot be read");
}

static void print_block(const struct where *w, const char *label, uint64_t index)
{
    const struct peek_range *r = w->r;

    printf("  %-9s block %" PRIu64 " at %#" PRIx64 ", %u bytes: %s\n", label, index, r->start + index * r->block_size,
           r->block_size, state_name[block_state(w->p, r, index)]);
}

static void print_slab(const struct where *w)
{
    const struct peek_range *r = w->r;
    uint64_t index = (w->address - r->start) / r->block_size;

    printf("slab %#" PRIx64 "-%#" PRIx64 ", %s%s; class %u: %u bytes a block, %u blocks, %u ever handed out, %u live\n",
           r->start, r->end, slab_state(w, r), r->quiet ? ", quiet" : "", r->class_id, r->block_size, r->capacity,
           r->carved, r->used);
    printf("  heap      %#" PRIx64 ", %s\n", r->owner, heap_state(w, r->owner));
    printf("  frame     descriptor at %#" PRIx64 "\n", r->descriptor);
    if (index >= r->capacity) {
        puts("  no block: the address lies in the tail behind the last one");
        return;
    }
    print_block(w, "block", index);
    printf("  the address is %s\n", w->address == r->start + index * r->block_size ? "its start" : "inside it");
    if (w->address != r->start + index * r->block_size)
        printf("  offset    %" PRIu64 "\n", w->address - r->start - index * r->block_size);
    if (index > 0)
        print_block(w, "before", index - 1);
    if (index + 1 < r->capacity)
        print_block(w, "behind", index + 1);
}

static void print_neighbour(const char *label, const struct peek_range *r)
{
    printf("  %-9s %#" PRIx64 "-%#" PRIx64 ": %s", label, r->start, r->end, peek_kind_name(r->kind));
    if (r->kind == PEEK_SLAB)
        printf(" of %u-byte blocks, %u live", r->block_size, r->used);
    putchar('\n');
}

static void print_text(const struct where *w)
{
    const struct peek_range *r = w->r;

    printf("0x%" PRIx64 " in process %d, libvmalloc %s\n", w->address, (int)w->p->pid, w->p->version);
    for (unsigned i = 0; i < w->walks; i++) {
        printf("shadow page table, %s\n",
               i == 0 ? "names: of mmap'd zones every page, of large blocks the first and the last"
                      : "complete (vm=1): every page of the heap");
        print_walk(w, &w->walk[i]);
    }
    if (is_in_brk(w))
        printf("brk heap %#" PRIx64 "-%#" PRIx64 ": frame %" PRIu64 ", found by subtraction; it needs no names\n",
               w->s->brk_base, w->s->brk_top, (w->address - w->s->brk_base) >> (peek_value(w->p, "#FRAME_SHIFT") & 63));
    if (*w->mapping)
        printf("mapping  %s\n", w->mapping);
    if (!r) {
        puts("owner    not libvmalloc");
        return;
    }
    if (r->kind == PEEK_SLAB)
        print_slab(w);
    else
        printf("%s %#" PRIx64 "-%#" PRIx64 ", %" PRIu64 " bytes, offset %" PRIu64 "%s\n", peek_kind_name(r->kind),
               r->start, r->end, r->end - r->start, w->address - r->start,
               r->zeroed ? ", handed out reading as zero" : "");
    size_t i = (size_t)(r - w->s->range);
    if (i > 0)
        print_neighbour("below", r - 1);
    if (i + 1 < w->s->ranges)
        print_neighbour("above", r + 1);
}

/* ---- JSON ---- */

static void json_walk(struct vm_sim_json *j, const struct where *w, const struct walk *k)
{
    uint64_t leaf = peek_value(w->p, "#PTE_LEAF");

    vm_sim_json_begin(j, k->tree, '[');
    for (unsigned i = 0; i < k->steps; i++) {
        const struct step *s = &k->step[i];
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_number(j, "level", s->level);
        vm_sim_json_string(j, "name", level_name(s->level, k->step[0].level));
        vm_sim_json_number(j, "index", s->index);
        vm_sim_json_hex(j, "table", s->table);
        vm_sim_json_hex(j, "entry", s->entry);
        vm_sim_json_bool(j, "leaf", s->entry & leaf);
        if (s->entry & leaf) {
            vm_sim_json_string(j, "bits", leaf_bits(w->p, s->entry));
            vm_sim_json_string(j, "owner", leaf_owner(w->p, s->entry));
            vm_sim_json_hex(j, "descriptor", pte_target(w->p, s->entry));
        }
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
}

static void json_block(struct vm_sim_json *j, const struct where *w, const char *key, uint64_t index)
{
    vm_sim_json_begin(j, key, '{');
    vm_sim_json_number(j, "index", index);
    vm_sim_json_hex(j, "start", w->r->start + index * w->r->block_size);
    vm_sim_json_string(j, "state", state_name[block_state(w->p, w->r, index)]);
    vm_sim_json_end(j, '}');
}

static void json_slab(struct vm_sim_json *j, const struct where *w)
{
    const struct peek_range *r = w->r;
    uint64_t index = (w->address - r->start) / r->block_size;

    vm_sim_json_number(j, "class", r->class_id);
    vm_sim_json_number(j, "block_bytes", r->block_size);
    vm_sim_json_number(j, "capacity", r->capacity);
    vm_sim_json_number(j, "carved", r->carved);
    vm_sim_json_number(j, "live", r->used);
    vm_sim_json_string(j, "slab_state", slab_state(w, r));
    vm_sim_json_hex(j, "heap", r->owner);
    if (index >= r->capacity)
        return;
    json_block(j, w, "block", index);
    if (index > 0)
        json_block(j, w, "before", index - 1);
    if (index + 1 < r->capacity)
        json_block(j, w, "behind", index + 1);
}

static void json_range(struct vm_sim_json *j, const char *key, const struct peek_range *r)
{
    vm_sim_json_begin(j, key, '{');
    vm_sim_json_string(j, "kind", peek_kind_name(r->kind));
    vm_sim_json_hex(j, "start", r->start);
    vm_sim_json_hex(j, "end", r->end);
    vm_sim_json_end(j, '}');
}

static void print_json(const struct where *w)
{
    struct vm_sim_json j = {.out = stdout};
    const struct peek_range *r = w->r;

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_number(&j, "pid", (uint64_t)w->p->pid);
    vm_sim_json_hex(&j, "address", w->address);
    vm_sim_json_begin(&j, "walk", '{');
    for (unsigned i = 0; i < w->walks; i++)
        json_walk(&j, w, &w->walk[i]);
    vm_sim_json_end(&j, '}');
    vm_sim_json_bool(&j, "brk_heap", is_in_brk(w));
    vm_sim_json_string(&j, "mapping", *w->mapping ? w->mapping : NULL);
    vm_sim_json_string(&j, "owner", r ? peek_kind_name(r->kind) : NULL);
    if (r) {
        vm_sim_json_hex(&j, "start", r->start);
        vm_sim_json_hex(&j, "end", r->end);
        vm_sim_json_number(&j, "offset", w->address - r->start);
        if (r->descriptor)
            vm_sim_json_hex(&j, "descriptor", r->descriptor);
        if (r->kind == PEEK_SLAB)
            json_slab(&j, w);
        if (r > w->s->range)
            json_range(&j, "below", r - 1);
        if (r + 1 < w->s->range + w->s->ranges)
            json_range(&j, "above", r + 1);
    }
    vm_sim_json_end(&j, '}');
}

/* ---- The command line ---- */

static void answer(const struct peek *p, const struct peek_snapshot *s, uint64_t address, bool json)
{
    struct where w = {.p = p, .s = s, .address = address, .walk = {{.tree = "names"}, {.tree = "pages"}}, .walks = 1};
    uint64_t full;

    take_walk(p, "&shadow", address, &w.walk[0]);
    if (peek_root(p, "&full", &full) && full) {
        w.walks = 2;
        take_walk(p, "&pages", address, &w.walk[1]);
    }
    w.r = peek_range_at(s, address);
    find_mapping(&w);
    if (json)
        print_json(&w);
    else
        print_text(&w);
}

int cmd_where(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    char error[PEEK_ERROR_MAX], *end;
    bool json = false;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1)
        switch (c) {
        case 'j': json = true; break;
        case 'h': fputs(usage, stdout); return TOOL_OK;
        default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
        }
    if (argc - optind != 2)
        return tool_usage(name, "a process id or core file, and an address are needed");
    const char *text = argv[optind + 1];
    errno = 0;
    uint64_t address = strtoull(text, &end, 16);
    if (*end || end == text || *text == '-' || errno != 0)
        return tool_usage(name, "'%s' is no address: up to 16 hexadecimal digits, with or without 0x", text);
    struct peek *p = peek_open(argv[optind], error);
    struct peek_snapshot *s = p ? peek_snapshot(p, error) : NULL;
    if (s)
        answer(p, s, address, json);
    peek_snapshot_free(s);
    peek_close(p);
    return s ? TOOL_OK : tool_failed(name, "%s", error);
}
