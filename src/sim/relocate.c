/* Programs in bare memory; see relocate.h.  Absolute programs are not in the space (they may overlap); those that are
   relocated keep out of each other's way and of the absolute ones' too, which are put there as a piece when the place is
   free. */
#include "sim/relocate.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/mem.h"

void vm_sim_core_init(struct vm_sim_core *core, uint64_t bytes, enum vm_sim_fit fit, struct vm_sim_events *events)
{
    *core = (struct vm_sim_core){.events = events};
    vm_sim_space_init(&core->space, bytes, fit, events);
}

void vm_sim_core_free(struct vm_sim_core *core)
{
    for (struct vm_sim_program *p = core->first, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    core->first = NULL;
    vm_sim_space_free(&core->space);
}

static bool overlap(const struct vm_sim_program *a, const struct vm_sim_program *b)
{
    return a->base < b->base + b->limit && b->base < a->base + a->limit;
}

static void report_collisions(struct vm_sim_core *core, const struct vm_sim_program *p)
{
    for (const struct vm_sim_program *other = core->first; other; other = other->next)
        if (other != p && other->loaded && overlap(p, other)) {
            uint64_t from = vm_max(p->base, other->base);
            uint64_t to = vm_min(p->base + p->limit, other->base + other->limit);
            vm_sim_emit(core->events, VM_SIM_EV(COLLISION, .process = p->pid, .physical = VM_SIM_PHYSICAL(from),
                                                .bytes = to - from, .name = other->name, .number = other->pid));
        }
}

/* Puts the program somewhere: at p->base when `there`. */
static int settle(struct vm_sim_core *core, struct vm_sim_program *p, bool there)
{
    if (there) {
        if (p->limit > core->space.bytes || p->base > core->space.bytes - p->limit)
            return -ENOMEM;
        p->place = vm_sim_space_place_at(&core->space, p->base, p->limit, p->name);
        if (!p->place && p->how != VM_SIM_ABSOLUTE)
            return -EBUSY;
    } else {
        p->place = vm_sim_space_place(&core->space, p->limit, p->name);
        if (!p->place)
            return -ENOMEM;
        p->base = p->place->base;
    }
    /* Only what the registers find may be moved by compaction. */
    if (p->place) {
        p->place->fixed = p->how != VM_SIM_BASE_LIMIT;
        p->place->base_follows = &p->base;
    }
    p->loaded = true;
    return 0;
}

struct vm_sim_program *vm_sim_load(struct vm_sim_core *core, const char *name, uint32_t pid, enum vm_sim_relocation how,
                                   uint64_t at, uint64_t bytes, uint64_t addresses)
{
    struct vm_sim_program *p = vm_sim_zalloc(sizeof *p), **link = &core->first;

    *p = (struct vm_sim_program){.name = name, .pid = pid, .how = how, .base = at, .limit = bytes, .linked_at = at};
    if (settle(core, p, how == VM_SIM_ABSOLUTE) != 0) {
        free(p);
        return NULL;
    }
    if (how == VM_SIM_STATIC) {
        p->linked_at = p->base;
        p->relocated += addresses;
    } else if (how == VM_SIM_BASE_LIMIT) {
        p->linked_at = 0;
    }
    while (*link)
        link = &(*link)->next;
    *link = p;
    if (how == VM_SIM_ABSOLUTE)
        report_collisions(core, p);
    return p;
}

int vm_sim_relocate(struct vm_sim_core *core, struct vm_sim_program *p, uint64_t address, struct vm_sim_physical *out)
{
    bool beyond = p->how == VM_SIM_BASE_LIMIT && address >= p->limit;

    if (!p->loaded || beyond || (p->how != VM_SIM_BASE_LIMIT && address >= core->space.bytes)) {
        p->faults++;
        vm_sim_emit(core->events, VM_SIM_EV(EXCEPTION, .process = p->pid, .linear = VM_SIM_LINEAR(address),
                                            .cause = !p->loaded ? "swapped out"
                                                     : beyond   ? "limit"
                                                                : "no memory there"));
        return -EFAULT;
    }
    /* The image of the others holds physical addresses. */
    *out = VM_SIM_PHYSICAL(p->how == VM_SIM_BASE_LIMIT ? p->base + address : address);
    return 0;
}

void vm_sim_program_out(struct vm_sim_core *core, struct vm_sim_program *p)
{
    if (!p->loaded)
        return;
    if (p->place)
        vm_sim_space_release(&core->space, p->place);
    p->place = NULL;
    p->loaded = false;
}

int vm_sim_program_in(struct vm_sim_core *core, struct vm_sim_program *p)
{
    uint64_t before = p->base;

    if (p->loaded)
        return 0;
    int error = settle(core, p, p->how != VM_SIM_BASE_LIMIT);
    if (error)
        return error;
    if (p->base != before)
        vm_sim_emit(core->events, VM_SIM_EV(MOVE, .process = p->pid, .physical = VM_SIM_PHYSICAL(p->base),
                                            .bytes = p->limit, .name = p->name, .cause = "swapped in elsewhere"));
    if (p->how == VM_SIM_ABSOLUTE)
        report_collisions(core, p);
    return 0;
}

bool vm_sim_core_check(const struct vm_sim_core *core)
{
    for (const struct vm_sim_program *p = core->first; p; p = p->next) {
        if (p->place && (!p->loaded || p->place->base != p->base || p->place->bytes != p->limit))
            return false;
        if (p->loaded && !p->place && p->how != VM_SIM_ABSOLUTE)
            return false;
        for (const struct vm_sim_program *q = p->next; q; q = q->next)
            if (p->loaded && q->loaded && p->how != VM_SIM_ABSOLUTE && q->how != VM_SIM_ABSOLUTE && overlap(p, q))
                return false;
    }
    return vm_sim_space_check(&core->space);
}
