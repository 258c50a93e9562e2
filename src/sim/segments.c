/* The segments of processes; see segments.h. */
#include "sim/segments.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/machine.h"
#include "sim/mem.h"

#define LDT_ENTRIES 256
#define SEGMENT_MAX ((uint64_t)1 << 32)
#define FINE_MAX ((uint64_t)1 << 20) /* larger limits count in 4 KiB */

uint16_t vm_sim_segment_selector(const struct vm_sim_process *p, const struct vm_sim_segment *s)
{
    return vm_sim_selector_pack((struct vm_sim_selector){.index = s->index, .ldt = true, .rpl = p->context.cpl});
}

static struct vm_sim_descriptor descriptor_of(const struct vm_sim_segment *s)
{
    bool granular = s->bytes > FINE_MAX;

    return (struct vm_sim_descriptor){
        .base = (uint32_t)s->base,
        .limit = (uint32_t)(granular ? (s->bytes - 1) >> 12 : s->bytes - 1),
        .type = s->type,
        .dpl = s->dpl,
        .present = s->present,
        .granular = granular,
        .code_or_data = true,
        .big = true,
    };
}

/* Into the table, and into the registers that hold it: a kernel that moves a segment loads them again. */
static void store(struct vm_sim_machine *m, struct vm_sim_process *p, const struct vm_sim_segment *s)
{
    struct vm_sim_descriptor d = descriptor_of(s);
    struct vm_sim_segmentation *seg = &m->cpu.seg;

    vm_sim_dtable_set(&p->ldt, s->index, &d);
    for (unsigned r = 0; m->cpu.current == &p->context && r < VM_SIM_SEGREGS; r++) {
        struct vm_sim_selector selector = vm_sim_selector_unpack(seg->reg[r].selector);
        if (selector.ldt && selector.index == s->index && seg->reg[r].usable) {
            uint16_t word = seg->reg[r].selector;
            seg->reg[r] = (struct vm_sim_segment_register){0};
            vm_sim_seg_load(seg, (enum vm_sim_segreg)r, word);
        }
    }
}

static void make_ldt(struct vm_sim_machine *m, struct vm_sim_process *p)
{
    unsigned index = VM_SIM_GDT_USER_DATA + 1 + p->context.slot;
    struct vm_sim_descriptor d = {.limit = LDT_ENTRIES * 8 - 1, .type = VM_SIM_SEG_TYPE_LDT, .present = true};

    vm_sim_dtable_init(&p->ldt, LDT_ENTRIES);
    vm_sim_dtable_set(&m->gdt, index, &d);
    p->context.ldt = &p->ldt;
    p->context.ldt_selector = vm_sim_selector_pack((struct vm_sim_selector){.index = (uint16_t)index});
    if (m->cpu.current == &p->context)
        vm_sim_seg_load_ldtr(&m->cpu.seg, &p->ldt, p->context.ldt_selector);
}

/* A place for it: a hole of physical memory, or a range of linear addresses that paging stands behind. */
static int settle(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s)
{
    if (m->config.addressing == VM_SIM_SEG_PAGED) {
        bool code = s->type & VM_SIM_SEG_CODE;
        unsigned perms = VM_SIM_R | (code ? VM_SIM_X : s->type & VM_SIM_SEG_WRITABLE ? VM_SIM_W : 0);
        int error = vm_sim_mmap(m, p->mm, 0, vm_align_up(s->bytes, VM_SIM_PAGE_SIZE), perms, 0,
                                code ? VM_SIM_TEXT : VM_SIM_DATA, NULL, 0, &s->base);
        if (error)
            return error;
    } else {
        s->place = vm_sim_space_place(&m->core.space, s->bytes, s->name);
        if (!s->place)
            return -ENOMEM;
        s->base = s->place->base;
        s->place->base_follows = &s->base;
    }
    s->present = true;
    return 0;
}

static void unsettle(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s)
{
    if (s->place)
        vm_sim_space_release(&m->core.space, s->place);
    else if (s->present)
        vm_sim_munmap(m, p->mm, s->base, vm_align_up(s->bytes, VM_SIM_PAGE_SIZE));
    s->place = NULL;
    s->present = false;
}

int vm_sim_segment_add(struct vm_sim_machine *m, struct vm_sim_process *p, unsigned index, const char *name,
                       uint64_t bytes, unsigned type, unsigned dpl, struct vm_sim_segment **out)
{
    struct vm_sim_segment **link = &p->segments;
    bool segmented = m->config.addressing == VM_SIM_SEGMENTS || m->config.addressing == VM_SIM_SEG_PAGED;
    /* A granular limit is a multiple of 4 KiB; an expand-down one would not say where the segment is. */
    if (bytes > FINE_MAX)
        bytes = vm_align_up(bytes, VM_SIM_PAGE_SIZE);
    bool down = !(type & VM_SIM_SEG_CODE) && (type & VM_SIM_SEG_DOWN);
    if (!segmented || index >= LDT_ENTRIES || bytes == 0 || bytes > SEGMENT_MAX || type > 15 || down || dpl > 3)
        return -EINVAL;
    while (*link && (*link)->index < index)
        link = &(*link)->next;
    if (*link && (*link)->index == index)
        return -EEXIST;
    struct vm_sim_segment *s = vm_sim_zalloc(sizeof *s);
    *s = (struct vm_sim_segment){.next = *link,
                                 .name = name,
                                 .index = (uint16_t)index,
                                 .bytes = bytes,
                                 .type = (uint8_t)type,
                                 .dpl = (uint8_t)dpl};
    int error = settle(m, p, s);
    if (error) {
        free(s);
        return error;
    }
    *link = s;
    if (!p->context.ldt)
        make_ldt(m, p);
    store(m, p, s);
    if (out)
        *out = s;
    return 0;
}

struct vm_sim_segment *vm_sim_segment_find(const struct vm_sim_process *p, unsigned index)
{
    struct vm_sim_segment *s = p->segments;

    while (s && s->index != index)
        s = s->next;
    return s;
}

void vm_sim_segment_remove(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s)
{
    struct vm_sim_segment **link = &p->segments;

    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    unsettle(m, p, s);
    store(m, p, s); /* not present: registers that held it hold nothing */
    p->ldt.entry[s->index] = 0;
    free(s);
}

void vm_sim_segments_free(struct vm_sim_machine *m, struct vm_sim_process *p)
{
    while (p->segments)
        vm_sim_segment_remove(m, p, p->segments);
    if (!p->context.ldt)
        return;
    if (m->cpu.seg.ldt == &p->ldt)
        vm_sim_seg_load_ldtr(&m->cpu.seg, NULL, 0);
    m->gdt.entry[vm_sim_selector_unpack(p->context.ldt_selector).index] = 0;
    p->context.ldt = NULL;
    vm_sim_dtable_free(&p->ldt);
}

void vm_sim_segment_out(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s)
{
    if (!s->present)
        return;
    unsettle(m, p, s);
    store(m, p, s);
}

int vm_sim_segment_in(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s)
{
    int error = s->present ? 0 : settle(m, p, s);

    if (!error)
        store(m, p, s);
    return error;
}

uint64_t vm_sim_compact(struct vm_sim_machine *m)
{
    uint64_t moved = vm_sim_space_compact(&m->core.space);

    for (struct vm_list *at = m->processes.next; at != &m->processes; at = at->next) {
        struct vm_sim_process *p = VM_CONTAINER_OF(at, struct vm_sim_process, link);
        for (const struct vm_sim_segment *s = p->segments; s; s = s->next)
            if (s->place)
                store(m, p, s);
    }
    return moved;
}

bool vm_sim_segments_check(const struct vm_sim_machine *m)
{
    for (struct vm_list *at = m->processes.next; at != &m->processes; at = at->next) {
        const struct vm_sim_process *p = VM_CONTAINER_OF(at, struct vm_sim_process, link);
        for (const struct vm_sim_segment *s = p->segments; s; s = s->next) {
            struct vm_sim_descriptor want = descriptor_of(s), have = vm_sim_dtable_get(&p->ldt, s->index);
            want.type |= VM_SIM_SEG_ACCESSED;
            have.type |= VM_SIM_SEG_ACCESSED;
            if (vm_sim_descriptor_pack(&want) != vm_sim_descriptor_pack(&have)
                || (s->next && s->next->index <= s->index)
                || (s->place && (s->place->base != s->base || s->place->bytes != s->bytes || !s->present)))
                return false;
        }
    }
    return true; /* that pieces do not overlap says vm_sim_space_check */
}
