/* The lists of reclaimable frames; see lru.h. */
#include "sim/lru.h"

#include "base/fail.h"
#include "sim/machine.h"

static struct vm_sim_frame *frame_of(struct vm_sim_machine *m, vm_sim_pfn frame) { return &m->memory.map.frame[frame]; }

void vm_sim_lru_add(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);

    VM_ASSERT(!(f->flags & (VM_SIM_FRAME_ON_LRU | VM_SIM_FRAME_BUDDY)));
    f->flags |= VM_SIM_FRAME_ON_LRU;
    vm_list_push_front(&m->reclaim.inactive, &f->lru);
    m->reclaim.inactive_pages++;
    m->reclaim.unmapped += f->mapcount == 0;
}

void vm_sim_lru_remove(struct vm_sim_machine *m, vm_sim_pfn frame)
{
    struct vm_sim_frame *f = frame_of(m, frame);

    if (!(f->flags & VM_SIM_FRAME_ON_LRU))
        return;
    vm_list_remove(&f->lru);
    f->lru.next = f->lru.prev = NULL;
    m->reclaim.unmapped -= f->mapcount == 0;
    --*(f->flags & VM_SIM_FRAME_ACTIVE ? &m->reclaim.active_pages : &m->reclaim.inactive_pages);
    f->flags &= (uint16_t) ~(VM_SIM_FRAME_ON_LRU | VM_SIM_FRAME_ACTIVE | VM_SIM_FRAME_REFERENCED);
}

void vm_sim_lru_move(struct vm_sim_machine *m, vm_sim_pfn frame, bool active)
{
    uint16_t referenced = frame_of(m, frame)->flags & VM_SIM_FRAME_REFERENCED;

    vm_sim_lru_remove(m, frame);
    vm_sim_lru_add(m, frame);
    struct vm_sim_frame *f = frame_of(m, frame);
    f->flags |= referenced;
    if (active) {
        vm_list_remove(&f->lru);
        vm_list_push_front(&m->reclaim.active, &f->lru);
        f->flags |= VM_SIM_FRAME_ACTIVE;
        m->reclaim.inactive_pages--;
        m->reclaim.active_pages++;
    }
}
