/* Reading the TLB models of another process; see peek_tlb.h.  Their threads count on meanwhile, so that sums may be off by
   the references of a moment. */
#include "tool/peek_tlb.h"

#include <string.h>

#include "vm/tlb.h"

static bool read_word(const struct peek *p, uint64_t address, uint64_t *value)
{
    return peek_read(p, address, value, sizeof *value);
}

static void add(struct peek_tlb *sum, const struct vm_tlb_counts *c)
{
    for (unsigned size = 0; size < VM_TLB_SIZES; size++) {
        sum->l1_hits += c->hits[0][size];
        sum->l2_hits += c->hits[1][size];
        sum->misses += c->walks[size];
    }
    sum->threads++;
}

static void read_preset(const struct peek *p, struct peek_tlb *sum)
{
    uint64_t name;

    if (!read_word(p, peek_value(p, "&feed_config") + offsetof(struct vm_tlb_config, name), &name))
        return;
    for (size_t i = 0; i + 1 < sizeof sum->preset && peek_read(p, name + i, &sum->preset[i], 1) && sum->preset[i]; i++)
        if (sum->preset[i] < ' ' || sum->preset[i] == 0x7f)
            sum->preset[i] = '?';
    sum->preset[sizeof sum->preset - 1] = '\0';
}

bool peek_tlb(const struct peek *p, const struct peek_snapshot *s, struct peek_tlb *sum)
{
    const struct vm_fact *in_heap = peek_fact(p, "heap.feed"), *model = peek_fact(p, "feed.tlb"),
                         *turn = peek_fact(p, "feed.generation"), *counts = peek_fact(p, "tlb.counts");
    struct vm_tlb_counts c;
    uint64_t now, feed, generation, tlb;

    *sum = (struct peek_tlb){.threads = 0};
    if (!in_heap || !model || !turn || turn->size != sizeof generation || !counts || counts->size != sizeof c
        || !peek_root(p, "&feed_generation", &now) || now == 0)
        return false;
    for (size_t i = 0; i < s->heaps; i++)
        if (read_word(p, s->heap[i].address + in_heap->value, &feed) && feed != 0
            && read_word(p, feed + turn->value, &generation) && generation == now
            && read_word(p, feed + model->value, &tlb) && peek_read(p, tlb + counts->value, &c, sizeof c))
            add(sum, &c);
    sum->references = sum->l1_hits + sum->l2_hits + sum->misses;
    read_preset(p, sum);
    return sum->threads > 0;
}
