/* The mappings of a 32-bit kernel; see kmap.h.

   Invariants (vm_sim_kmaps_check): an entry of the window with count 0 maps nothing; one with more maps its frame,
   which is not in the direct map, in use when count > 1, and is found once through its bucket; atomic and fixed slots
   map the frame that they name, or nothing. */
#include "sim/kmap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fail.h"
#include "sim/mem.h"

#define PAGE VM_SIM_PAGE_SIZE
#define KERNEL_PAGE (VM_SIM_PTE_P | VM_SIM_PTE_W | VM_SIM_PTE_A | VM_SIM_PTE_D | VM_SIM_PTE_G)
#define NO_ENTRY UINT16_MAX
#define HASH_FACTOR 0x9e3779b1u /* 2^32 / golden ratio */

/* From the window's start to the top of the 32-bit addresses; see the picture in kmap.h. */
#define PKMAP_BASE 0xff800000u
#define ATOMIC_BASE 0xffc00000u
#define FIXMAP_TOP 0xfffff000u
#define FIXMAP_BASE (FIXMAP_TOP - (VM_SIM_FIXMAP_SLOTS - 1) * (uint32_t)PAGE)
_Static_assert(PKMAP_BASE + VM_SIM_KMAP_ENTRIES * 4096ull == ATOMIC_BASE, "the atomic slots follow the window");

static unsigned atomic_slots(const struct vm_sim_kmaps *k) { return k->processors * VM_SIM_KMAP_ATOMIC_SLOTS; }
static bool is_direct(const struct vm_sim_kmaps *k, vm_sim_pfn frame) { return frame < k->direct_end / PAGE; }
static unsigned bucket_of(vm_sim_pfn frame) { return frame * HASH_FACTOR >> (32 - 7); }
_Static_assert(VM_SIM_KMAP_BUCKETS == 1 << 7, "bucket_of");

static uint64_t window_at(const struct vm_sim_kmaps *k, unsigned i) { return k->pkmap_base + i * PAGE; }
static uint64_t atomic_at(const struct vm_sim_kmaps *k, unsigned i) { return k->atomic_base + i * PAGE; }
static uint64_t fixmap_at(const struct vm_sim_kmaps *k, unsigned slot)
{
    return k->fixmap_base + (VM_SIM_FIXMAP_SLOTS - 1 - slot) * PAGE;
}

void vm_sim_kmaps_init(struct vm_sim_kmaps *k, uint64_t page_offset, uint64_t direct_bytes, unsigned processors,
                       struct vm_sim_memory *memory, struct vm_sim_pt *kernel, struct vm_sim_events *events)
{
    *k = (struct vm_sim_kmaps){
        .page_offset = page_offset,
        .direct_end = vm_align_down(direct_bytes, PAGE),
        .processors = processors,
        .pkmap_base = PKMAP_BASE,
        .atomic_base = ATOMIC_BASE,
        .fixmap_base = FIXMAP_BASE,
        .memory = memory,
        .kernel = kernel,
        .events = events,
    };
    VM_ASSERT(page_offset + k->direct_end <= PKMAP_BASE);
    VM_ASSERT(atomic_at(k, atomic_slots(k)) <= FIXMAP_BASE);
    for (unsigned i = 0; i < VM_SIM_KMAP_ENTRIES; i++)
        k->entry[i] = (struct vm_sim_kmap_entry){VM_SIM_NO_FRAME, 0, NO_ENTRY};
    for (unsigned i = 0; i < VM_SIM_KMAP_BUCKETS; i++)
        k->bucket[i] = NO_ENTRY;
    for (unsigned i = 0; i < VM_SIM_FIXMAP_SLOTS; i++)
        k->fixmap[i] = VM_SIM_NO_FRAME;
    k->atomic = vm_sim_zalloc(atomic_slots(k) * sizeof *k->atomic);
    for (unsigned i = 0; i < atomic_slots(k); i++)
        k->atomic[i] = VM_SIM_NO_FRAME;
}

/* The entries are the tables', and go with them. */
void vm_sim_kmaps_free(struct vm_sim_kmaps *k)
{
    free(k->atomic);
    k->atomic = NULL;
}

static void flush(struct vm_sim_kmaps *k, uint64_t from, uint64_t bytes)
{
    if (k->flush)
        k->flush(k->flush_ctx, VM_SIM_LINEAR(from), bytes);
}

static int map(struct vm_sim_kmaps *k, uint64_t at, vm_sim_pfn frame, const char *cause)
{
    int error = vm_sim_pt_set(k->kernel, VM_SIM_LINEAR(at), 1, vm_sim_pte_make(frame, KERNEL_PAGE, VM_SIM_KERNEL));

    if (error == 0)
        vm_sim_emit(k->events,
                    VM_SIM_EV(MAP, .cause = cause, .linear = VM_SIM_LINEAR(at), .bytes = PAGE, .frame = frame));
    return error;
}

static void unmap(struct vm_sim_kmaps *k, uint64_t at)
{
    int error = vm_sim_pt_set(k->kernel, VM_SIM_LINEAR(at), 1, 0);

    VM_ASSERT(error == 0);
}

/* ---- Direct map ---- */

uint64_t vm_sim_direct_map(const struct vm_sim_kmaps *k, vm_sim_pfn frame)
{
    return is_direct(k, frame) ? k->page_offset + frame * PAGE : 0;
}

vm_sim_pfn vm_sim_direct_frame(const struct vm_sim_kmaps *k, uint64_t linear)
{
    if (linear < k->page_offset || linear - k->page_offset >= k->direct_end)
        return VM_SIM_NO_FRAME;
    return (vm_sim_pfn)((linear - k->page_offset) >> VM_SIM_PAGE_SHIFT);
}

int vm_sim_direct_map_fill(struct vm_sim_kmaps *k)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[vm_sim_pt_mode(k->kernel)];
    uint64_t large = g->huge_levels ? (uint64_t)1 << g->shift[1] : UINT64_MAX, bytes;
    uint64_t at = 0;
    int error = 0;

    for (; at < k->direct_end && error == 0; at += error ? 0 : bytes) {
        bytes = k->direct_end - at >= large ? large : PAGE;
        vm_sim_pte flags = KERNEL_PAGE | (bytes == PAGE ? 0 : VM_SIM_PTE_PS);
        error = vm_sim_pt_set(k->kernel, VM_SIM_LINEAR(k->page_offset + at), bytes == PAGE ? 1 : 2,
                              vm_sim_pte_make((vm_sim_pfn)(at / PAGE), flags, VM_SIM_KERNEL));
    }
    for (uint64_t undo = 0; error && undo < at; undo += bytes) {
        bytes = k->direct_end - undo >= large ? large : PAGE;
        vm_sim_pt_set(k->kernel, VM_SIM_LINEAR(k->page_offset + undo), bytes == PAGE ? 1 : 2, 0);
    }
    return error;
}

/* ---- The window ---- */

/* The link that names the frame's entry, or the last one of its bucket. */
static uint16_t *find(struct vm_sim_kmaps *k, vm_sim_pfn frame)
{
    uint16_t *link = &k->bucket[bucket_of(frame)];

    while (*link != NO_ENTRY && k->entry[*link].frame != frame)
        link = &k->entry[*link].hash_next;
    return link;
}

/* Entries without users go, with their translations. */
static void flush_window(struct vm_sim_kmaps *k)
{
    bool any = false;

    for (unsigned i = 0; i < VM_SIM_KMAP_ENTRIES; i++) {
        struct vm_sim_kmap_entry *e = &k->entry[i];
        if (e->count != 1)
            continue;
        uint16_t *link = find(k, e->frame);
        *link = e->hash_next;
        *e = (struct vm_sim_kmap_entry){VM_SIM_NO_FRAME, 0, NO_ENTRY};
        unmap(k, window_at(k, i));
        any = true;
    }
    if (!any)
        return;
    k->flushes++;
    flush(k, k->pkmap_base, VM_SIM_KMAP_ENTRIES * PAGE);
}

/* A free entry, going on behind the last one; the window is flushed each time the search begins anew. */
static unsigned free_entry(struct vm_sim_kmaps *k)
{
    for (unsigned tries = 0; tries < VM_SIM_KMAP_ENTRIES; tries++) {
        k->last = (k->last + 1) % VM_SIM_KMAP_ENTRIES;
        k->searches++;
        if (k->last == 0) {
            flush_window(k);
            tries = 0;
        }
        if (k->entry[k->last].count == 0)
            return k->last;
    }
    return NO_ENTRY;
}

uint64_t vm_sim_kmap(struct vm_sim_kmaps *k, vm_sim_pfn frame)
{
    if (is_direct(k, frame))
        return vm_sim_direct_map(k, frame);
    VM_ASSERT(frame < k->memory->map.frames);
    uint16_t found = *find(k, frame);
    if (found == NO_ENTRY) {
        found = (uint16_t)free_entry(k);
        if (found == NO_ENTRY) {
            k->waits++;
            return 0;
        }
        if (map(k, window_at(k, found), frame, "kmap") != 0)
            return 0;
        k->entry[found] = (struct vm_sim_kmap_entry){frame, 1, NO_ENTRY};
        *find(k, frame) = found;
    }
    k->entry[found].count++;
    return window_at(k, found);
}

void vm_sim_kunmap(struct vm_sim_kmaps *k, vm_sim_pfn frame)
{
    if (is_direct(k, frame))
        return;
    uint16_t found = *find(k, frame);
    VM_ASSERT(found != NO_ENTRY && k->entry[found].count > 1);
    k->entry[found].count--;
}

/* ---- Slots ---- */

uint64_t vm_sim_kmap_atomic(struct vm_sim_kmaps *k, unsigned processor, unsigned slot, vm_sim_pfn frame)
{
    unsigned i = processor * VM_SIM_KMAP_ATOMIC_SLOTS + slot;

    VM_ASSERT(processor < k->processors && slot < VM_SIM_KMAP_ATOMIC_SLOTS && frame < k->memory->map.frames);
    if (is_direct(k, frame))
        return vm_sim_direct_map(k, frame);
    if (k->atomic[i] != VM_SIM_NO_FRAME || map(k, atomic_at(k, i), frame, "kmap-atomic") != 0)
        return 0;
    k->atomic[i] = frame;
    return atomic_at(k, i);
}

void vm_sim_kunmap_atomic(struct vm_sim_kmaps *k, unsigned processor, unsigned slot)
{
    unsigned i = processor * VM_SIM_KMAP_ATOMIC_SLOTS + slot;

    VM_ASSERT(processor < k->processors && slot < VM_SIM_KMAP_ATOMIC_SLOTS);
    if (k->atomic[i] == VM_SIM_NO_FRAME) /* it was a frame of the direct map */
        return;
    k->atomic[i] = VM_SIM_NO_FRAME;
    unmap(k, atomic_at(k, i));
    flush(k, atomic_at(k, i), PAGE);
}

uint64_t vm_sim_fixmap(struct vm_sim_kmaps *k, unsigned slot, vm_sim_pfn frame)
{
    VM_ASSERT(slot < VM_SIM_FIXMAP_SLOTS);
    uint64_t at = fixmap_at(k, slot);
    vm_sim_pfn was = k->fixmap[slot];
    if (frame != VM_SIM_NO_FRAME && map(k, at, frame, "fixmap") != 0)
        return 0;
    if (frame == VM_SIM_NO_FRAME && was != VM_SIM_NO_FRAME)
        unmap(k, at);
    k->fixmap[slot] = frame;
    if (was != VM_SIM_NO_FRAME && was != frame)
        flush(k, at, PAGE);
    return at;
}

/* ---- Check ---- */

static bool maps(const struct vm_sim_kmaps *k, uint64_t at, vm_sim_pfn frame)
{
    const vm_sim_pte *e = vm_sim_pt_find(k->kernel, VM_SIM_LINEAR(at), NULL);

    if (frame == VM_SIM_NO_FRAME)
        return !e || *e == 0;
    return e && (*e & VM_SIM_PTE_P) && vm_sim_pte_frame(*e) == frame;
}

static bool check_entry(const struct vm_sim_kmaps *k, unsigned i)
{
    const struct vm_sim_kmap_entry *e = &k->entry[i];

    if ((e->count == 0) != (e->frame == VM_SIM_NO_FRAME) || !maps(k, window_at(k, i), e->frame))
        return false;
    if (e->count == 0)
        return true;
    if (is_direct(k, e->frame) || e->frame >= k->memory->map.frames)
        return false;
    return e->count == 1 || vm_sim_pfn_frame(&k->memory->map, e->frame)->kind > VM_SIM_FRAME_RESERVED;
}

bool vm_sim_kmaps_check(const struct vm_sim_kmaps *k)
{
    unsigned used = 0, hashed = 0;

    for (unsigned i = 0; i < VM_SIM_KMAP_ENTRIES; i++) {
        if (!check_entry(k, i))
            return false;
        used += k->entry[i].count > 0;
    }
    for (unsigned b = 0; b < VM_SIM_KMAP_BUCKETS; b++)
        for (uint16_t i = k->bucket[b]; i != NO_ENTRY; i = k->entry[i].hash_next)
            if (i >= VM_SIM_KMAP_ENTRIES || ++hashed > used || k->entry[i].count == 0
                || bucket_of(k->entry[i].frame) != b
                || *find((struct vm_sim_kmaps *)(uintptr_t)k, k->entry[i].frame) != i)
                return false;
    for (unsigned i = 0; i < atomic_slots(k); i++)
        if (!maps(k, atomic_at(k, i), k->atomic[i]))
            return false;
    for (unsigned i = 0; i < VM_SIM_FIXMAP_SLOTS; i++)
        if (!maps(k, fixmap_at(k, i), k->fixmap[i]))
            return false;
    return used == hashed;
}
