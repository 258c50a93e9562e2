/* Sorting a view's pieces into blocks of 2 MiB, and judging them; see blocks.h. */
#include "tool/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool/grow.h"

static const char *const verdict_names[BLOCK_VERDICTS] = {"keep", "would gain from a huge page", "sparse", "empty"};

const char *block_verdict_name(enum block_verdict verdict) { return verdict_names[verdict]; }

/* The block that holds the address; pieces come by address, so it is the last one or a new one. */
static struct block *block_for(struct blocks *b, uint64_t address)
{
    uint64_t start = address & ~(BLOCK_BYTES - 1);

    if (b->count && b->block[b->count - 1].start == start)
        return &b->block[b->count - 1];
    struct block *more = tool_grow(b->block, b->count, sizeof *more);
    if (!more)
        return NULL;
    b->block = more;
    b->block[b->count] = (struct block){.start = start};
    return &b->block[b->count++];
}

static void add_piece(struct block *k, const struct view_piece *p)
{
    k->live += p->live;
    k->free += p->free + p->slack;
    k->kept += p->kept + p->unused;
    k->meta += p->meta;
    if (p->kind == VIEW_META)
        return;
    k->returned += p->end - p->start - p->resident - p->swapped;
    k->is_heap = true;
}

/* A huge page never reaches over a mapping's end. */
static bool can_be_huge(const struct view *v, const struct block *k)
{
    const struct procfs_mapping *m = procfs_mapping_at(&v->maps, k->start);
    return m && m->end >= k->start + BLOCK_BYTES && !m->is_file;
}

static enum block_verdict judge(const struct block *k)
{
    const uint64_t eighth = BLOCK_BYTES / 8;

    if (k->resident - k->other == 0)
        return BLOCK_EMPTY;
    if (k->live < BLOCK_SPARSE_LIVE * eighth)
        return BLOCK_SPARSE;
    if (!k->huge && k->can_be_huge && k->resident >= BLOCK_DENSE_RESIDENT * eighth
        && k->live >= BLOCK_DENSE_LIVE * eighth)
        return BLOCK_GAIN;
    return BLOCK_KEEP;
}

static void sum_up(struct blocks *b, const struct block *k)
{
    b->verdict[k->verdict]++;
    b->huge += k->huge != 0;
    b->sum.live += k->live;
    b->sum.free += k->free;
    b->sum.kept += k->kept;
    b->sum.meta += k->meta;
    b->sum.other += k->other;
    b->sum.returned += k->returned;
    b->sum.resident += k->resident;
    b->sum.huge += k->huge;
    if (k->verdict == BLOCK_GAIN)
        b->gain_adds += BLOCK_BYTES - k->resident;
    if (!k->huge && k->can_be_huge && k->verdict != BLOCK_EMPTY)
        b->all_add += BLOCK_BYTES - k->resident;
    if (k->verdict == BLOCK_SPARSE && k->huge)
        b->wasted += k->huge - vm_min(k->live, k->huge);
}

int blocks_make(const struct view *v, struct blocks *b)
{
    size_t hint = 0, huge_hint = 0, kept = 0;

    memset(b, 0, sizeof *b);
    for (size_t i = 0; i < v->count; i++) {
        struct block *k = block_for(b, v->piece[i].start);
        if (!k) {
            blocks_free(b);
            return -ENOMEM;
        }
        add_piece(k, &v->piece[i]);
    }
    for (size_t i = 0; i < b->count; i++) {
        struct block k = b->block[i];
        if (!k.is_heap)
            continue;
        k.resident = procfs_runs_bytes(&v->runs, k.start, k.start + BLOCK_BYTES, PROCFS_PRESENT, &hint);
        k.huge = procfs_runs_bytes(&v->runs, k.start, k.start + BLOCK_BYTES, PROCFS_PRESENT | PROCFS_HUGE, &huge_hint);
        k.other = k.resident - vm_min(k.resident, k.live + k.free + k.kept + k.meta);
        k.can_be_huge = can_be_huge(v, &k);
        k.verdict = (uint8_t)judge(&k);
        sum_up(b, &k);
        b->block[kept++] = k;
    }
    b->count = kept;
    return 0;
}

void blocks_free(struct blocks *b)
{
    free(b->block);
    b->block = NULL;
}
