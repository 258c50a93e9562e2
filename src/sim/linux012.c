/* Linux 0.12; see linux012.h. */
#include "sim/linux012.h"

#include "base/fail.h"
#include "sim/machine.h"
#include "sim/mem.h"

/* ---- Free frames: a byte each, from the top ---- */

static vm_sim_pfn find_free(struct vm_sim_012 *l)
{
    for (vm_sim_pfn i = l->frames; i-- > 0;) {
        l->scanned++;
        if (l->map[i] == 0)
            return i;
    }
    return VM_SIM_NO_FRAME;
}

/* get_free_page(): when there is none, one is swapped out, and the search starts again. */
static vm_sim_pfn take(void *ctx, unsigned order)
{
    struct vm_sim_machine *m = ctx;
    vm_sim_pfn frame;

    if (order > 0)
        return VM_SIM_NO_FRAME;
    while ((frame = find_free(&m->linux012)) == VM_SIM_NO_FRAME)
        if (vm_sim_reclaim_frames(m, VM_SIM_ZONE_NORMAL, 1) == 0)
            return VM_SIM_NO_FRAME;
    m->linux012.map[frame] = 1;
    return frame;
}

static void give(void *ctx, vm_sim_pfn frame, unsigned order)
{
    struct vm_sim_012 *l = &((struct vm_sim_machine *)ctx)->linux012;

    VM_ASSERT(order == 0 && l->map[frame] == 1);
    l->map[frame] = 0;
}

/* ---- swap_out(): the tables of all, in turn ---- */

struct search {
    struct vm_sim_machine *m;
    uint64_t found; /* linear address, 0: none */
    vm_sim_pfn frame;
};

/* Shared pages stay; the kernel has none in the tables. */
static int is_victim(void *ctx, struct vm_sim_linear at, unsigned level, vm_sim_pte *entry)
{
    struct search *s = ctx;

    (void)level;
    s->m->linux012.looked_at++;
    if (!(*entry & VM_SIM_PTE_P) || s->m->memory.map.frame[vm_sim_pte_frame(*entry)].mapcount != 1)
        return 0;
    s->found = at.at;
    s->frame = vm_sim_pte_frame(*entry);
    return 1;
}

static uint64_t swap_out(struct vm_sim_machine *m, uint64_t want)
{
    struct vm_sim_012 *l = &m->linux012;
    uint64_t got = 0;

    m->reclaim.running = true;
    for (unsigned rounds = 0; rounds < 2 && got < want;) {
        struct search s = {.m = m};
        vm_sim_pt_each(m->kernel, VM_SIM_LINEAR(l->next), VM_SIM_LINEAR((uint64_t)1 << 32), is_victim, &s);
        rounds += s.found == 0;
        l->next = s.found ? s.found + VM_SIM_PAGE_SIZE : 0;
        if (s.found)
            got += vm_sim_reclaim_page(m, s.frame);
    }
    l->swapped_out += got;
    m->reclaim.running = false;
    return got;
}

/* ---- Start and end ---- */

void vm_sim_012_init(struct vm_sim_machine *m)
{
    struct vm_sim_012 *l = &m->linux012;

    l->frames = m->memory.map.frames;
    l->map = vm_sim_zalloc(l->frames);
    for (vm_sim_pfn i = 0; i < l->frames; i++)
        l->map[i] = m->memory.map.frame[i].kind == VM_SIM_FRAME_RESERVED ? VM_SIM_012_USED : 0;
    vm_sim_memory_instead(&m->memory, (struct vm_sim_frame_source){take, give, m});
    m->reclaim.instead = swap_out;
}

void vm_sim_012_free(struct vm_sim_machine *m)
{
    free(m->linux012.map);
    m->linux012.map = NULL;
}

void vm_sim_012_segments(struct vm_sim_machine *m, struct vm_sim_process *p)
{
    unsigned index = VM_SIM_GDT_USER_DATA + 1 + p->context.slot;
    struct vm_sim_descriptor ldt = {
        .limit = (VM_SIM_012_DATA + 1) * 8 - 1, .type = VM_SIM_SEG_TYPE_LDT, .present = true};
    struct vm_sim_descriptor d = {.base = (uint32_t)p->mm->base,
                                  .limit = (uint32_t)(VM_SIM_012_SPACE >> 12) - 1,
                                  .dpl = 3,
                                  .present = true,
                                  .granular = true,
                                  .code_or_data = true,
                                  .big = true,
                                  .type = VM_SIM_SEG_CODE | VM_SIM_SEG_READABLE};
    struct vm_sim_selector code = {VM_SIM_012_CODE, true, 3}, data = {VM_SIM_012_DATA, true, 3};

    vm_sim_dtable_init(&p->ldt, VM_SIM_012_DATA + 1);
    vm_sim_dtable_set(&p->ldt, VM_SIM_012_CODE, &d);
    d.type = VM_SIM_SEG_WRITABLE;
    vm_sim_dtable_set(&p->ldt, VM_SIM_012_DATA, &d);
    vm_sim_dtable_set(&m->gdt, index, &ldt);
    p->context.ldt = &p->ldt;
    p->context.ldt_selector = vm_sim_selector_pack((struct vm_sim_selector){.index = (uint16_t)index});
    for (unsigned r = 0; r < VM_SIM_SEGREGS; r++)
        p->context.selector[r] = vm_sim_selector_pack(r == VM_SIM_CS ? code : data);
}

bool vm_sim_012_check(const struct vm_sim_machine *m)
{
    const struct vm_sim_012 *l = &m->linux012;

    for (vm_sim_pfn i = 0; l->map && i < l->frames; i++) {
        unsigned kind = m->memory.map.frame[i].kind;
        unsigned want = kind == VM_SIM_FRAME_RESERVED ? VM_SIM_012_USED : kind != VM_SIM_FRAME_FREE;
        if (l->map[i] != want)
            return false;
    }
    return true;
}
