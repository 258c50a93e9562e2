/* The way of a reference through the processor; see cpu.h.

   one_ref() is the fast path: a TLB hit whose entry allows the access.  The value of a TLB entry is the page-table leaf as
   it was when it was filled; A is set in it always, D when a write came by.  All else is in slow_ref(), which walks and
   faults until the access is allowed or given up. */
#include "sim/cpu.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "sim/mem.h"
#include "sim/workset.h"

/* A handler that says "again" more often than this for one reference makes no progress: a bug in it. */
#define FAULTS_MAX 64

static const uint8_t size_of_level[] = {0, VM_TLB_SMALL, VM_TLB_LARGE, VM_TLB_GIANT};

void vm_sim_cpu_init(struct vm_sim_cpu *cpu, enum vm_sim_paging_mode mode, const struct vm_tlb_config *tlb,
                     struct vm_sim_events *events)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[mode];

    memset(cpu, 0, sizeof *cpu);
    cpu->mode = mode;
    cpu->lower_half = (uint64_t)1 << (g->linear_bits - (g->linear_bits >= 48));
    cpu->flat = cpu->descriptor_cache = true;
    cpu->events = events;
    if (!tlb || mode == VM_SIM_PAGING_NONE)
        return;
    struct vm_tlb_config c = *tlb; /* page sizes and tables are the mode's, whatever processor the arrays are from */
    memset(c.shift, 0, sizeof c.shift);
    c.shift[VM_TLB_SMALL] = g->shift[0];
    for (unsigned level = 2; level <= 3; level++)
        c.shift[size_of_level[level]] = g->huge_levels >> level & 1 ? g->shift[level - 1] : 0;
    c.walk_levels = g->levels;
    memcpy(c.walk_shift, g->shift, sizeof c.walk_shift);
    VM_ASSERT(vm_tlb_config_check(&c, NULL) == 0);
    cpu->tlb_memory = vm_sim_zalloc_aligned(vm_tlb_bytes(&c));
    cpu->tlb = vm_tlb_init(cpu->tlb_memory, &c);
}

void vm_sim_cpu_free(struct vm_sim_cpu *cpu)
{
    free(cpu->tlb_memory);
    cpu->tlb_memory = cpu->tlb = NULL;
}

/* ---- Exceptions ---- */

static VM_COLD int exception(struct vm_sim_cpu *cpu, struct vm_sim_context *c, const struct vm_sim_ref *ref,
                             unsigned vector, unsigned error, const char *cause)
{
    cpu->exceptions++;
    vm_sim_emit(cpu->events,
                VM_SIM_EV(EXCEPTION, .process = c->pid, .vector = (uint8_t)vector, .error = error, .cause = cause,
                          .access = ref->access, .selector = ref->selector, .linear = VM_SIM_LINEAR(ref->offset)));
    if (cpu->exception)
        cpu->exception(cpu->ctx, c, vector, error, cause);
    return -EFAULT;
}

static VM_COLD int page_fault(struct vm_sim_cpu *cpu, struct vm_sim_context *c, struct vm_sim_linear at, unsigned error,
                              enum vm_sim_access access, vm_sim_pte entry)
{
    cpu->page_faults++;
    vm_sim_emit(cpu->events, VM_SIM_EV(EXCEPTION, .process = c->pid, .vector = VM_SIM_PF, .error = error, .linear = at,
                                       .access = (uint8_t)access, .entry = entry,
                                       .cause = error & VM_SIM_PF_PRESENT ? "protection" : "no page"));
    return cpu->fault ? cpu->fault(cpu->ctx, c, at, error) : -EFAULT;
}

/* ---- Paging ---- */

/* The bits that an entry must have for this access. */
static inline vm_sim_pte needed(const struct vm_sim_context *c, enum vm_sim_access access)
{
    return VM_SIM_PTE_P | (c->cpl == 3 ? VM_SIM_PTE_U : 0) | (access == VM_SIM_WRITE ? VM_SIM_PTE_W : 0);
}

static inline bool allowed(vm_sim_pte e, vm_sim_pte need, enum vm_sim_access access)
{
    return (e & need) == need && !(access == VM_SIM_FETCH && (e & VM_SIM_PTE_NX));
}

static unsigned error_code(const struct vm_sim_context *c, enum vm_sim_access access, vm_sim_pte e)
{
    return (e & VM_SIM_PTE_P ? VM_SIM_PF_PRESENT : 0) | (access == VM_SIM_WRITE ? VM_SIM_PF_WRITE : 0)
           | (c->cpl == 3 ? VM_SIM_PF_USER : 0) | (access == VM_SIM_FETCH ? VM_SIM_PF_FETCH : 0);
}

struct found { /* what a reference ended at */
    vm_sim_pte leaf;
    uint8_t level; /* of the tables */
    uint8_t tlb_level;
    uint8_t faults;
    unsigned reads;
};

/* Sets D in the tables and in the TLB's copy: a first write through a clean entry. */
static VM_NOINLINE void set_dirty(struct vm_sim_context *c, struct vm_sim_linear at, uint64_t *value)
{
    vm_sim_pte *e = vm_sim_pt_find(c->pt, at, NULL);

    VM_ASSERT(e && (*e & VM_SIM_PTE_P));
    *e |= VM_SIM_PTE_D;
    *value |= VM_SIM_PTE_D;
}

/* One walk.  True: allowed, and in the TLB now. */
static bool walk(struct vm_sim_cpu *cpu, struct vm_sim_context *c, struct vm_sim_linear at, enum vm_sim_access access,
                 struct found *f)
{
    struct vm_sim_walk w = vm_sim_pt_walk(c->pt, at);
    bool good = w.where && allowed(w.entry, needed(c, access), access);
    unsigned reads = w.reads;

    if (good) {
        w.entry |= VM_SIM_PTE_A | (access == VM_SIM_WRITE ? VM_SIM_PTE_D : 0);
        *w.where = w.entry;
    }
    if (cpu->tlb) {
        unsigned counted = good ? vm_tlb_fill(cpu->tlb, at.at, (enum vm_tlb_size)size_of_level[w.level],
                                              w.entry & VM_SIM_PTE_G, w.entry)
                                : vm_tlb_failed_walk(cpu->tlb, at.at, w.level);
        reads = cpu->mode == VM_SIM_PAGING_SORTED ? reads : counted;
    }
    f->leaf = w.entry;
    f->level = w.level;
    f->reads += reads;
    vm_sim_emit(cpu->events,
                VM_SIM_EV(WALK, .process = c->pid, .linear = at, .reads = reads, .level = w.level, .entry = w.entry));
    return good;
}

/* refused: an entry of the TLB that does not allow the access, or 0 for a miss. */
static VM_NOINLINE int slow_ref(struct vm_sim_cpu *cpu, struct vm_sim_context *c, struct vm_sim_linear at,
                                enum vm_sim_access access, vm_sim_pte refused, struct found *f)
{
    f->leaf = refused;
    while (refused || !walk(cpu, c, at, access, f)) {
        VM_ASSERT(f->faults < FAULTS_MAX);
        if (refused) /* the processor forgets an entry that faulted */
            vm_tlb_flush_page(cpu->tlb, cpu->pcid ? c->asid : 0, at.at);
        refused = 0;
        f->faults++;
        int error = page_fault(cpu, c, at, error_code(c, access, f->leaf), access, f->leaf);
        c->usage[vm_sim_pte_region(f->leaf)].faults++;
        if (error)
            return error;
        if (c->dead)
            return -EFAULT;
    }
    struct vm_sim_usage *u = &c->usage[vm_sim_pte_region(f->leaf)];
    u->walks++;
    u->walk_reads += f->reads;
    return 0;
}

static inline void touch_lru(struct vm_sim_cpu *cpu, vm_sim_pfn pfn)
{
    struct vm_sim_frame *frame = &cpu->map->frame[pfn];

    if ((frame->flags & VM_SIM_FRAME_ON_LRU) && cpu->exact_lru->next != &frame->lru) {
        vm_list_remove(&frame->lru);
        vm_list_push_front(cpu->exact_lru, &frame->lru);
    }
}

/* ---- Segmentation ---- */

static VM_NOINLINE int segment_ref(struct vm_sim_cpu *cpu, struct vm_sim_context *c, const struct vm_sim_ref *ref,
                                   struct vm_sim_linear *at)
{
    enum vm_sim_access access = (enum vm_sim_access)ref->access;
    enum vm_sim_segreg r = access == VM_SIM_FETCH ? VM_SIM_CS : VM_SIM_DS;
    uint16_t selector = ref->selector ? ref->selector : cpu->seg.reg[r].selector;
    uint64_t before = cpu->seg.table_reads;
    struct vm_sim_seg_result e = {VM_SIM_SEG_OK, 0, 0};

    if (!cpu->descriptor_cache)
        e = vm_sim_seg_load(&cpu->seg, r, selector);
    if (e.fault == VM_SIM_SEG_OK)
        e = vm_sim_seg_translate_logical(&cpu->seg, (struct vm_sim_logical){selector, ref->offset}, ref->bytes, access,
                                         at);
    cpu->memory_reads += cpu->seg.table_reads - before;
    if (e.fault != VM_SIM_SEG_OK)
        return exception(cpu, c, ref, e.vector, e.error, vm_sim_seg_fault_name(e.fault));
    return 0;
}

/* ---- One reference ---- */

/* A reference to linear addresses of one page. */
static inline int page_ref(struct vm_sim_cpu *cpu, struct vm_sim_context *c, const struct vm_sim_ref *ref,
                           struct vm_sim_linear at, struct found *f)
{
    enum vm_sim_access access = (enum vm_sim_access)ref->access;
    vm_sim_pte refused = 0;

    if (VM_UNLIKELY(at.at >= cpu->lower_half) && !vm_sim_is_canonical(cpu->mode, at))
        return exception(cpu, c, ref, VM_SIM_GP, 0, "not canonical");
    if (VM_LIKELY(cpu->tlb)) {
        struct vm_tlb_hit hit;
        uint64_t *value = vm_tlb_lookup(cpu->tlb, at.at, &hit);
        if (VM_LIKELY(value)) {
            if (VM_LIKELY(allowed(*value, needed(c, access), access))) {
                if (access == VM_SIM_WRITE && VM_UNLIKELY(!(*value & VM_SIM_PTE_D)))
                    set_dirty(c, at, value);
                f->leaf = *value;
                f->level = (uint8_t)(hit.size + 1);
                f->tlb_level = hit.level;
                c->usage[vm_sim_pte_region(*value)].hits[hit.level - 1]++;
                goto done;
            }
            refused = *value;
        }
    }
    int error = slow_ref(cpu, c, at, access, refused, f);
    if (error)
        return error;
done:
    cpu->memory_reads += f->reads + 1;
    if (VM_UNLIKELY(cpu->exact_lru))
        touch_lru(cpu, vm_sim_pte_frame(f->leaf));
    if (VM_UNLIKELY(c->workset))
        vm_sim_workset_ref(c->workset, at.at >> VM_SIM_PAGE_SHIFT, c->resident ? *c->resident : 0, cpu->page_faults);
    return 0;
}

static VM_NOINLINE void fill_translation(struct vm_sim_cpu *cpu, const struct vm_sim_ref *ref, struct vm_sim_linear at,
                                         const struct found *f, uint64_t reads, struct vm_sim_translation *out)
{
    out->logical = (struct vm_sim_logical){ref->selector, ref->offset};
    out->linear = at;
    out->physical = VM_SIM_PHYSICAL(at.at);
    if (cpu->mode != VM_SIM_PAGING_NONE)
        out->physical.at = ((uint64_t)vm_sim_pte_frame(f->leaf) << VM_SIM_PAGE_SHIFT)
                           + vm_sim_page_offset(cpu->mode, at, f->level);
    out->memory_reads = (unsigned)(cpu->memory_reads - reads);
    out->tlb_level = f->tlb_level;
    out->faults = f->faults;
}

static VM_NOINLINE bool come_to(struct vm_sim_cpu *cpu, unsigned slot)
{
    struct vm_sim_context *c = slot < VM_SIM_MAX_PROCESSES ? cpu->context[slot] : NULL;

    if (!c || c->dead) {
        cpu->dropped++;
        return false;
    }
    vm_sim_cpu_switch(cpu, c);
    return true;
}

static inline int one_ref(struct vm_sim_cpu *cpu, const struct vm_sim_ref *ref, struct vm_sim_translation *out)
{
    struct vm_sim_context *c = cpu->current;
    struct vm_sim_linear at = {ref->offset};
    struct found f = {0};
    uint64_t reads = cpu->memory_reads;
    int error;

    if (VM_UNLIKELY(!c || c->slot != ref->process || c->dead)) {
        if (!come_to(cpu, ref->process))
            return -ESRCH;
        c = cpu->current;
    }
    cpu->refs++;
    c->refs[ref->access]++;
    if (VM_UNLIKELY(!cpu->flat) && (error = segment_ref(cpu, c, ref, &at)) != 0)
        return error;
    if (VM_UNLIKELY(cpu->mode == VM_SIM_PAGING_NONE)) {
        cpu->memory_reads++;
    } else {
        uint64_t last = at.at + (ref->bytes ? ref->bytes : 1) - 1;
        if ((error = page_ref(cpu, c, ref, at, &f)) != 0)
            return error;
        if (VM_UNLIKELY((at.at ^ last) >> VM_SIM_PAGE_SHIFT)) { /* the other page's part */
            struct found second = {0};
            struct vm_sim_linear next = {last & ~(VM_SIM_PAGE_SIZE - 1)};
            cpu->refs++;
            c->refs[ref->access]++;
            if ((error = page_ref(cpu, c, ref, next, &second)) != 0)
                return error;
            f.faults = (uint8_t)(f.faults + second.faults);
        }
    }
    if (out)
        fill_translation(cpu, ref, at, &f, reads, out);
    return 0;
}

int vm_sim_cpu_ref(struct vm_sim_cpu *cpu, struct vm_sim_ref ref, struct vm_sim_translation *out)
{
    return one_ref(cpu, &ref, out);
}

size_t vm_sim_cpu_refs(struct vm_sim_cpu *cpu, const struct vm_sim_ref *ref, size_t n, size_t *good, const bool *pause)
{
    size_t i, succeeded = 0;

    for (i = 0; i < n && !(pause && VM_UNLIKELY(*pause)); i++)
        succeeded += one_ref(cpu, &ref[i], NULL) == 0;
    *good += succeeded;
    return i;
}

/* ---- Address spaces ---- */

static unsigned asid_of(const struct vm_sim_cpu *cpu, const struct vm_sim_context *c)
{
    return cpu->pcid && c ? c->asid : 0;
}

/* Null selectors, and such as the tables do not have, leave the register as it would be after a fault at the switch: not
   usable. */
static void load_segments(struct vm_sim_cpu *cpu, struct vm_sim_context *to)
{
    struct vm_sim_segmentation *s = &cpu->seg;

    s->cpl = to->cpl;
    vm_sim_seg_load_ldtr(s, to->ldt, to->ldt ? to->ldt_selector : 0);
    for (unsigned r = 0; r < VM_SIM_SEGREGS; r++) {
        s->reg[r] = (struct vm_sim_segment_register){0};
        if (to->selector[r])
            vm_sim_seg_load(s, (enum vm_sim_segreg)r, to->selector[r]);
    }
}

void vm_sim_cpu_switch(struct vm_sim_cpu *cpu, struct vm_sim_context *to)
{
    struct vm_sim_context *from = cpu->current;
    size_t dropped = 0;

    if (from == to)
        return;
    cpu->current = to;
    cpu->switches++;
    if (!cpu->flat)
        load_segments(cpu, to);
    if (cpu->tlb) {
        vm_tlb_switch(cpu->tlb, asid_of(cpu, to));
        if (!cpu->pcid && from && from->pt != to->pt) /* CR3 changes */
            dropped = vm_tlb_flush_non_global(cpu->tlb);
    }
    vm_sim_emit(cpu->events, VM_SIM_EV(SWITCH, .process = to->pid, .number = asid_of(cpu, to), .count = dropped));
}

void vm_sim_cpu_forget(struct vm_sim_cpu *cpu, struct vm_sim_context *c)
{
    if (cpu->tlb && (cpu->pcid || cpu->current == c))
        vm_tlb_flush_asid(cpu->tlb, asid_of(cpu, c));
    if (cpu->current == c)
        cpu->current = NULL;
    if (c->slot < VM_SIM_MAX_PROCESSES && cpu->context[c->slot] == c)
        cpu->context[c->slot] = NULL;
}

/* Without PCIDs the entries of who does not run are gone, unless it shares its tables with who does. */
static bool is_cached(const struct vm_sim_cpu *cpu, const struct vm_sim_context *c)
{
    return cpu->tlb && (cpu->pcid || !c || !cpu->current || c == cpu->current || c->pt == cpu->current->pt);
}

static void tell_flush(struct vm_sim_cpu *cpu, const struct vm_sim_context *c, enum vm_tlb_flush kind, size_t dropped,
                       struct vm_sim_linear a, uint64_t bytes)
{
    vm_sim_emit(cpu->events, VM_SIM_EV(TLB_FLUSH, .process = c ? c->pid : 0, .number = kind, .count = dropped,
                                       .linear = a, .bytes = bytes));
}

void vm_sim_cpu_flush_page(struct vm_sim_cpu *cpu, const struct vm_sim_context *c, struct vm_sim_linear a)
{
    if (is_cached(cpu, c))
        tell_flush(cpu, c, VM_TLB_FLUSH_PAGE, vm_tlb_flush_page(cpu->tlb, asid_of(cpu, c), a.at), a, VM_SIM_PAGE_SIZE);
}

void vm_sim_cpu_flush_range(struct vm_sim_cpu *cpu, const struct vm_sim_context *c, struct vm_sim_linear a,
                            uint64_t bytes)
{
    if (is_cached(cpu, c))
        tell_flush(cpu, c, VM_TLB_FLUSH_RANGE, vm_tlb_flush_range(cpu->tlb, asid_of(cpu, c), a.at, bytes), a, bytes);
}

void vm_sim_cpu_flush_context(struct vm_sim_cpu *cpu, const struct vm_sim_context *c)
{
    if (is_cached(cpu, c))
        tell_flush(cpu, c, VM_TLB_FLUSH_ASID, vm_tlb_flush_asid(cpu->tlb, asid_of(cpu, c)), VM_SIM_LINEAR(0), 0);
}

/* ---- Invariants ---- */

static bool entry_is_true(void *ctx, const struct vm_tlb_entry *e)
{
    const struct vm_sim_cpu *cpu = ctx;
    unsigned bits = vm_sim_paging_geometry[cpu->mode].linear_bits, level;
    uint64_t address = e->address;
    const struct vm_sim_context *c = cpu->current;

    for (unsigned i = 0; cpu->pcid && !e->global && i < VM_SIM_MAX_PROCESSES; i++)
        if (cpu->context[i] && cpu->context[i]->asid == e->asid)
            c = cpu->context[i];
    if (!c)
        return true;
    if (bits >= 48 && address >> (bits - 1))
        address |= ~(uint64_t)0 << (bits - 1);
    const vm_sim_pte *now = vm_sim_pt_find(c->pt, VM_SIM_LINEAR(address), &level);
    vm_sim_pte rights = VM_SIM_PTE_W | VM_SIM_PTE_U | VM_SIM_PTE_D | VM_SIM_PTE_A;
    return now && (*now & VM_SIM_PTE_P) && size_of_level[level] == e->size
           && vm_sim_pte_frame(*now) == vm_sim_pte_frame(e->value) && (e->value & rights & ~*now) == 0
           && (*now & VM_SIM_PTE_NX & ~e->value) == 0;
}

bool vm_sim_cpu_check(const struct vm_sim_cpu *cpu)
{
    if (!cpu->flat && !vm_sim_segmentation_check(&cpu->seg))
        return false;
    if (cpu->current && cpu->context[cpu->current->slot] != cpu->current)
        return false;
    return !cpu->tlb
           || (vm_tlb_check(cpu->tlb) && vm_tlb_each(cpu->tlb, entry_is_true, (struct vm_sim_cpu *)(uintptr_t)cpu));
}
