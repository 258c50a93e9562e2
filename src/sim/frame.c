/* mem_map; see frame.h. */
#include "sim/frame.h"

#include <stdlib.h>

#include "base/fail.h"
#include "sim/mem.h"

void vm_sim_mem_map_init(struct vm_sim_mem_map *map, uint64_t bytes)
{
    uint64_t frames = bytes >> VM_SIM_PAGE_SHIFT;

    VM_ASSERT(frames < VM_SIM_NO_FRAME);
    *map = (struct vm_sim_mem_map){.frames = (vm_sim_pfn)frames};
    map->frame = vm_sim_zalloc(frames * sizeof *map->frame);
}

void vm_sim_mem_map_free(struct vm_sim_mem_map *map)
{
    free(map->frame);
    *map = (struct vm_sim_mem_map){0};
}

void vm_sim_mem_map_reserve(struct vm_sim_mem_map *map, struct vm_sim_physical from, uint64_t bytes)
{
    uint64_t first = from.at >> VM_SIM_PAGE_SHIFT;
    uint64_t last = bytes ? (from.at + vm_min(bytes - 1, UINT64_MAX - from.at)) >> VM_SIM_PAGE_SHIFT : 0;

    for (uint64_t i = first; bytes && i < map->frames && i <= last; i++) {
        struct vm_sim_frame *f = &map->frame[i];
        VM_ASSERT(f->kind == VM_SIM_FRAME_RESERVED || vm_sim_frame_is_blank(f));
        map->reserved += f->kind != VM_SIM_FRAME_RESERVED;
        f->kind = VM_SIM_FRAME_RESERVED;
        map->reserved_end = (vm_sim_pfn)vm_max(map->reserved_end, i + 1);
    }
}

const char *vm_sim_frame_kind_name(enum vm_sim_frame_kind k)
{
    static const char *const name[VM_SIM_FRAME_KINDS] = {
        [VM_SIM_FRAME_FREE] = "free",   [VM_SIM_FRAME_RESERVED] = "reserved", [VM_SIM_FRAME_KERNEL] = "kernel",
        [VM_SIM_FRAME_TABLE] = "table", [VM_SIM_FRAME_SLAB] = "slab",         [VM_SIM_FRAME_ANON] = "anon",
        [VM_SIM_FRAME_FILE] = "file",
    };

    return k < VM_SIM_FRAME_KINDS ? name[k] : "?";
}

/* A block as its head tells it. */
static bool check_block(const struct vm_sim_mem_map *map, vm_sim_pfn head)
{
    const struct vm_sim_frame *h = &map->frame[head];
    uint64_t size = (uint64_t)1 << h->order;
    bool is_free = h->flags & VM_SIM_FRAME_BUDDY;

    if (head % size != 0 || head + size > map->frames || is_free != (h->kind == VM_SIM_FRAME_FREE))
        return false;
    if (is_free ? h->count != 0 || h->mapcount != 0 : h->count == 0 || h->mapcount > h->count)
        return false;
    for (vm_sim_pfn i = head + 1; i < head + size; i++) {
        const struct vm_sim_frame *f = &map->frame[i];
        if (is_free ? !vm_sim_frame_is_blank(f)
                    : f->kind != h->kind || f->count != 0 || (f->flags & (VM_SIM_FRAME_HEAD | VM_SIM_FRAME_BUDDY)))
            return false;
    }
    return true;
}

bool vm_sim_mem_map_check(const struct vm_sim_mem_map *map)
{
    vm_sim_pfn reserved = 0, reserved_end = 0;

    for (vm_sim_pfn i = 0; i < map->frames;) {
        const struct vm_sim_frame *f = &map->frame[i];
        if (f->flags & VM_SIM_FRAME_HEAD) {
            if (f->order > VM_SIM_MAX_ORDER || f->kind == VM_SIM_FRAME_RESERVED || !check_block(map, i))
                return false;
            i += (vm_sim_pfn)1 << f->order;
            continue;
        }
        if (f->kind == VM_SIM_FRAME_RESERVED ? f->count != 0 || f->mapcount != 0 || f->flags != 0
                                             : !vm_sim_frame_is_blank(f))
            return false;
        i++;
        if (f->kind == VM_SIM_FRAME_RESERVED) {
            reserved++;
            reserved_end = i;
        }
    }
    return reserved == map->reserved && reserved_end == map->reserved_end;
}
