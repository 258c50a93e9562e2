/* The vmalloc area; see vmarea.h.

   Invariants (vm_sim_vmareas_check): areas ascend within the range, each followed by a page that is nobody's; page i
   of an area is mapped to frame[i], which the kernel holds with one count; areas and pages are counted. */
#include "sim/vmarea.h"

#include <stdlib.h>

#include "base/fail.h"
#include "sim/mem.h"

#define PAGE VM_SIM_PAGE_SIZE
#define KERNEL_PAGE (VM_SIM_PTE_P | VM_SIM_PTE_W | VM_SIM_PTE_A | VM_SIM_PTE_D | VM_SIM_PTE_G | VM_SIM_PTE_NX)

void vm_sim_vmareas_init(struct vm_sim_vmareas *v, uint64_t start, uint64_t end, struct vm_sim_memory *memory,
                         struct vm_sim_pt *kernel)
{
    VM_ASSERT(start <= end && start % PAGE == 0 && end % PAGE == 0);
    *v = (struct vm_sim_vmareas){.start = start, .end = end, .memory = memory, .kernel = kernel};
}

void vm_sim_vmareas_free(struct vm_sim_vmareas *v)
{
    while (v->first)
        vm_sim_vfree(v, v->first);
}

/* First `count` pages of an area. */
static void unmap(struct vm_sim_vmareas *v, const struct vm_sim_varea *area, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int error = vm_sim_pt_set(v->kernel, VM_SIM_LINEAR(area->start + i * PAGE), 1, 0);
        VM_ASSERT(error == 0);
    }
    if (count && v->flush)
        v->flush(v->flush_ctx, VM_SIM_LINEAR(area->start), count * PAGE);
}

static void give_frames(struct vm_sim_vmareas *v, const struct vm_sim_varea *area, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        vm_sim_put_frame(v->memory, area->frame[i]);
}

/* All frames, then all entries, or nothing. */
static bool populate(struct vm_sim_vmareas *v, struct vm_sim_varea *area)
{
    uint64_t pages = area->bytes / PAGE;

    for (uint64_t i = 0; i < pages; i++) {
        area->frame[i] = vm_sim_alloc_pages(v->memory, VM_SIM_GFP_KERNEL | VM_SIM_GFP_HIGHMEM, 0, VM_SIM_FRAME_KERNEL);
        if (area->frame[i] == VM_SIM_NO_FRAME) {
            give_frames(v, area, i);
            return false;
        }
    }
    for (uint64_t i = 0; i < pages; i++) {
        vm_sim_pte entry = vm_sim_pte_make(area->frame[i], KERNEL_PAGE, VM_SIM_KERNEL);
        if (vm_sim_pt_set(v->kernel, VM_SIM_LINEAR(area->start + i * PAGE), 1, entry) != 0) {
            unmap(v, area, i);
            give_frames(v, area, pages);
            return false;
        }
    }
    return true;
}

struct vm_sim_varea *vm_sim_vmalloc(struct vm_sim_vmareas *v, uint64_t bytes)
{
    struct vm_sim_varea **link = &v->first;
    uint64_t at = v->start;

    if (bytes == 0 || bytes > v->end - v->start)
        return NULL;
    bytes = vm_align_up(bytes, PAGE);
    while (*link && (*link)->start - at < bytes + PAGE) {
        at = (*link)->start + (*link)->bytes + PAGE;
        link = &(*link)->next;
    }
    if (!*link && v->end - at < bytes + PAGE)
        return NULL;
    if (bytes / PAGE > vm_sim_free_frames(v->memory) && !v->memory->reclaim)
        return NULL;
    struct vm_sim_varea *area = vm_sim_zalloc(sizeof *area);
    *area = (struct vm_sim_varea){.next = *link, .start = at, .bytes = bytes};
    area->frame = vm_sim_zalloc(bytes / PAGE * sizeof *area->frame);
    if (!populate(v, area)) {
        free(area->frame);
        free(area);
        return NULL;
    }
    *link = area;
    v->areas++;
    v->pages += bytes / PAGE;
    vm_sim_emit(v->memory->events, VM_SIM_EV(MAP, .cause = "vmalloc", .linear = VM_SIM_LINEAR(at), .bytes = bytes));
    return area;
}

void vm_sim_vfree(struct vm_sim_vmareas *v, struct vm_sim_varea *area)
{
    struct vm_sim_varea **link = &v->first;

    while (*link != area) {
        VM_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = area->next;
    unmap(v, area, area->bytes / PAGE);
    give_frames(v, area, area->bytes / PAGE);
    v->areas--;
    v->pages -= area->bytes / PAGE;
    vm_sim_emit(v->memory->events,
                VM_SIM_EV(MAP, .cause = "vfree", .linear = VM_SIM_LINEAR(area->start), .bytes = area->bytes));
    free(area->frame);
    free(area);
}

struct vm_sim_varea *vm_sim_varea_find(const struct vm_sim_vmareas *v, uint64_t at)
{
    struct vm_sim_varea *area = v->first;

    while (area && at >= area->start && at - area->start >= area->bytes)
        area = area->next;
    return area && at >= area->start ? area : NULL;
}

uint64_t vm_sim_varea_runs(const struct vm_sim_varea *area)
{
    uint64_t runs = 1;

    for (uint64_t i = 1; i < area->bytes / PAGE; i++)
        runs += area->frame[i] != area->frame[i - 1] + 1;
    return runs;
}

bool vm_sim_vmareas_check(const struct vm_sim_vmareas *v)
{
    uint64_t areas = 0, pages = 0, from = v->start;

    for (const struct vm_sim_varea *a = v->first; a; a = a->next) {
        if (a->start < from || a->bytes == 0 || a->start >= v->end || a->bytes + PAGE > v->end - a->start
            || a->start % PAGE != 0 || a->bytes % PAGE != 0)
            return false;
        for (uint64_t i = 0; i <= a->bytes / PAGE; i++) {
            const vm_sim_pte *e = vm_sim_pt_find(v->kernel, VM_SIM_LINEAR(a->start + i * PAGE), NULL);
            bool is_guard = i == a->bytes / PAGE;
            if (is_guard ? e && *e : !e || !(*e & VM_SIM_PTE_P) || vm_sim_pte_frame(*e) != a->frame[i])
                return false;
            const struct vm_sim_frame *f = is_guard ? NULL : vm_sim_pfn_frame(&v->memory->map, a->frame[i]);
            if (f && (f->kind != VM_SIM_FRAME_KERNEL || f->count != 1))
                return false;
        }
        from = a->start + a->bytes + PAGE;
        areas++;
        pages += a->bytes / PAGE;
    }
    return areas == v->areas && pages == v->pages;
}
