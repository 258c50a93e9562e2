/* x86 segmentation; see segment.h.  Checks are those of the Intel SDM vol. 3A, 5.2 to 5.7, as far as data references and
   loads of segment registers go: no gates, no task switches, no conforming jumps. */
#include "sim/segment.h"

#include <stdlib.h>

#include "base/fail.h"
#include "sim/mem.h"

/* ---- Words ---- */

uint16_t vm_sim_selector_pack(struct vm_sim_selector s)
{
    return (uint16_t)((s.index & 0x1fff) << 3 | (s.ldt ? 4 : 0) | (s.rpl & 3));
}

struct vm_sim_selector vm_sim_selector_unpack(uint16_t word)
{
    return (struct vm_sim_selector){.index = word >> 3, .ldt = word & 4, .rpl = word & 3};
}

#define BIT(n) ((uint64_t)1 << (n))

uint64_t vm_sim_descriptor_pack(const struct vm_sim_descriptor *d)
{
    return (uint64_t)(d->limit & 0xffff) | (uint64_t)(d->base & 0xffffff) << 16 | (uint64_t)(d->type & 15) << 40
           | (d->code_or_data ? BIT(44) : 0) | (uint64_t)(d->dpl & 3) << 45 | (d->present ? BIT(47) : 0)
           | (uint64_t)(d->limit >> 16 & 15) << 48 | (d->available ? BIT(52) : 0) | (d->long_mode ? BIT(53) : 0)
           | (d->big ? BIT(54) : 0) | (d->granular ? BIT(55) : 0) | (uint64_t)(d->base >> 24) << 56;
}

struct vm_sim_descriptor vm_sim_descriptor_unpack(uint64_t word)
{
    return (struct vm_sim_descriptor){
        .base = (uint32_t)(word >> 16 & 0xffffff) | (uint32_t)(word >> 56) << 24,
        .limit = (uint32_t)(word & 0xffff) | (uint32_t)(word >> 48 & 15) << 16,
        .type = word >> 40 & 15,
        .dpl = word >> 45 & 3,
        .present = word & BIT(47),
        .granular = word & BIT(55),
        .code_or_data = word & BIT(44),
        .big = word & BIT(54),
        .long_mode = word & BIT(53),
        .available = word & BIT(52),
    };
}

uint32_t vm_sim_descriptor_last(const struct vm_sim_descriptor *d)
{
    return d->granular ? d->limit << 12 | 0xfff : d->limit;
}

const char *vm_sim_seg_fault_name(enum vm_sim_seg_fault f)
{
    static const char *const name[VM_SIM_SEG_FAULTS] = {
        [VM_SIM_SEG_OK] = "none",
        [VM_SIM_SEG_NULL] = "null selector",
        [VM_SIM_SEG_NO_ENTRY] = "selector beyond the table",
        [VM_SIM_SEG_LIMIT] = "limit",
        [VM_SIM_SEG_TYPE] = "type",
        [VM_SIM_SEG_PRIVILEGE] = "privilege",
        [VM_SIM_SEG_NOT_PRESENT] = "segment not present",
    };

    return f < VM_SIM_SEG_FAULTS ? name[f] : "?";
}

/* ---- Tables ---- */

void vm_sim_dtable_init(struct vm_sim_dtable *t, unsigned entries)
{
    VM_ASSERT(entries <= 8192);
    t->entry = vm_sim_zalloc(entries * sizeof *t->entry);
    t->entries = (uint16_t)entries;
}

void vm_sim_dtable_free(struct vm_sim_dtable *t)
{
    free(t->entry);
    *t = (struct vm_sim_dtable){NULL, 0};
}

void vm_sim_dtable_set(struct vm_sim_dtable *t, unsigned index, const struct vm_sim_descriptor *d)
{
    VM_ASSERT(index < t->entries);
    t->entry[index] = vm_sim_descriptor_pack(d);
}

struct vm_sim_descriptor vm_sim_dtable_get(const struct vm_sim_dtable *t, unsigned index)
{
    VM_ASSERT(index < t->entries);
    return vm_sim_descriptor_unpack(t->entry[index]);
}

void vm_sim_gdt_flat(struct vm_sim_dtable *gdt)
{
    struct vm_sim_descriptor d = {
        .limit = 0xfffff, .granular = true, .present = true, .code_or_data = true, .big = true};

    for (unsigned i = VM_SIM_GDT_KERNEL_CODE; i <= VM_SIM_GDT_USER_DATA; i++) {
        bool code = i == VM_SIM_GDT_KERNEL_CODE || i == VM_SIM_GDT_USER_CODE;
        d.type = code ? VM_SIM_SEG_CODE | VM_SIM_SEG_READABLE : VM_SIM_SEG_WRITABLE;
        d.dpl = i >= VM_SIM_GDT_USER_CODE ? 3 : 0;
        vm_sim_dtable_set(gdt, i, &d);
    }
}

void vm_sim_segmentation_flat(struct vm_sim_segmentation *s, struct vm_sim_dtable *gdt, unsigned cpl)
{
    unsigned code = cpl == 3 ? VM_SIM_GDT_USER_CODE : VM_SIM_GDT_KERNEL_CODE;

    *s = (struct vm_sim_segmentation){.gdt = gdt, .cpl = (uint8_t)cpl, .flat = true};
    for (unsigned r = 0; r < VM_SIM_SEGREGS; r++) {
        unsigned index = r == VM_SIM_CS ? code : code + 1;
        uint16_t selector = vm_sim_selector_pack((struct vm_sim_selector){(uint16_t)index, false, (uint8_t)cpl});
        struct vm_sim_seg_result e = vm_sim_seg_load(s, (enum vm_sim_segreg)r, selector);
        VM_ASSERT(e.fault == VM_SIM_SEG_OK);
    }
}

/* ---- Faults ---- */

static struct vm_sim_seg_result ok(void) { return (struct vm_sim_seg_result){VM_SIM_SEG_OK, 0, 0}; }

static struct vm_sim_seg_result fault(enum vm_sim_seg_fault f, unsigned vector, unsigned selector)
{
    return (struct vm_sim_seg_result){f, (uint8_t)vector, (uint16_t)(selector & ~3u)};
}

enum { NP = 11, SS = 12, GP = 13 };

/* ---- Loading ---- */

static bool is_null(uint16_t selector) { return (selector & ~3u) == 0; }

/* May this descriptor be in this register at all? */
static bool type_fits(enum vm_sim_segreg r, const struct vm_sim_descriptor *d)
{
    if (!d->code_or_data)
        return false;
    if (r == VM_SIM_CS)
        return d->type & VM_SIM_SEG_CODE;
    if (r == VM_SIM_SS)
        return !(d->type & VM_SIM_SEG_CODE) && (d->type & VM_SIM_SEG_WRITABLE);
    return !(d->type & VM_SIM_SEG_CODE) || (d->type & VM_SIM_SEG_READABLE);
}

/* CS and SS want the level exactly; data segments let in whoever is not less privileged. */
static bool privilege_fits(const struct vm_sim_segmentation *s, enum vm_sim_segreg r, uint8_t rpl,
                           const struct vm_sim_descriptor *d)
{
    bool conforming = (d->type & VM_SIM_SEG_CODE) && (d->type & VM_SIM_SEG_CONFORMING);

    if (r == VM_SIM_SS)
        return rpl == s->cpl && d->dpl == s->cpl;
    if (r == VM_SIM_CS)
        return conforming ? d->dpl <= s->cpl : d->dpl == s->cpl && rpl <= s->cpl;
    return conforming || vm_max(s->cpl, rpl) <= d->dpl;
}

struct vm_sim_seg_result vm_sim_seg_load(struct vm_sim_segmentation *s, enum vm_sim_segreg r, uint16_t selector)
{
    struct vm_sim_selector sel = vm_sim_selector_unpack(selector);
    struct vm_sim_dtable *table = sel.ldt ? s->ldt : s->gdt;

    if (is_null(selector)) {
        if (r == VM_SIM_CS || r == VM_SIM_SS)
            return fault(VM_SIM_SEG_NULL, GP, 0);
        s->reg[r] = (struct vm_sim_segment_register){.selector = selector}; /* the fault comes with its use */
        return ok();
    }
    if (!table || sel.index >= table->entries)
        return fault(VM_SIM_SEG_NO_ENTRY, GP, selector);
    s->table_reads++;
    struct vm_sim_descriptor d = vm_sim_dtable_get(table, sel.index);
    if (!type_fits(r, &d))
        return fault(VM_SIM_SEG_TYPE, GP, selector);
    if (!privilege_fits(s, r, sel.rpl, &d))
        return fault(VM_SIM_SEG_PRIVILEGE, GP, selector);
    if (!d.present)
        return fault(VM_SIM_SEG_NOT_PRESENT, r == VM_SIM_SS ? SS : NP, selector);
    if (!(d.type & VM_SIM_SEG_ACCESSED)) {
        d.type |= VM_SIM_SEG_ACCESSED;
        vm_sim_dtable_set(table, sel.index, &d);
    }
    s->reg[r] = (struct vm_sim_segment_register){.selector = selector, .usable = true, .hidden = d};
    return ok();
}

struct vm_sim_seg_result vm_sim_seg_load_ldtr(struct vm_sim_segmentation *s, struct vm_sim_dtable *ldt,
                                              uint16_t selector)
{
    struct vm_sim_selector sel = vm_sim_selector_unpack(selector);

    if (is_null(selector)) {
        s->ldt = NULL;
        s->ldtr = (struct vm_sim_segment_register){.selector = selector};
        return ok();
    }
    if (sel.ldt || sel.index >= s->gdt->entries)
        return fault(VM_SIM_SEG_NO_ENTRY, GP, selector);
    s->table_reads++;
    struct vm_sim_descriptor d = vm_sim_dtable_get(s->gdt, sel.index);
    if (d.code_or_data || d.type != VM_SIM_SEG_TYPE_LDT)
        return fault(VM_SIM_SEG_TYPE, GP, selector);
    if (!d.present)
        return fault(VM_SIM_SEG_NOT_PRESENT, NP, selector);
    s->ldt = ldt;
    s->ldtr = (struct vm_sim_segment_register){.selector = selector, .usable = true, .hidden = d};
    return ok();
}

/* ---- Using ---- */

static bool within(const struct vm_sim_descriptor *d, uint64_t offset, unsigned bytes)
{
    uint64_t last = vm_sim_descriptor_last(d), end = offset + (bytes ? bytes : 1) - 1;

    if (end < offset)
        return false;
    if (!(d->type & VM_SIM_SEG_CODE) && (d->type & VM_SIM_SEG_DOWN))
        return offset > last && end <= (d->big ? 0xffffffff : 0xffff);
    return end <= last;
}

static bool access_fits(const struct vm_sim_descriptor *d, enum vm_sim_access access)
{
    bool code = d->type & VM_SIM_SEG_CODE;

    if (access == VM_SIM_FETCH)
        return code;
    if (access == VM_SIM_WRITE)
        return !code && (d->type & VM_SIM_SEG_WRITABLE);
    return !code || (d->type & VM_SIM_SEG_READABLE);
}

struct vm_sim_seg_result vm_sim_seg_translate(const struct vm_sim_segmentation *s, enum vm_sim_segreg r,
                                              uint64_t offset, unsigned bytes, enum vm_sim_access access,
                                              struct vm_sim_linear *out)
{
    const struct vm_sim_segment_register *reg = &s->reg[r];

    if (!reg->usable)
        return fault(VM_SIM_SEG_NULL, GP, 0);
    if (!access_fits(&reg->hidden, access))
        return fault(VM_SIM_SEG_TYPE, GP, 0);
    if (!within(&reg->hidden, offset, bytes))
        return fault(VM_SIM_SEG_LIMIT, r == VM_SIM_SS ? SS : GP, 0);
    *out = VM_SIM_LINEAR((uint32_t)(reg->hidden.base + offset));
    return ok();
}

struct vm_sim_seg_result vm_sim_seg_translate_logical(struct vm_sim_segmentation *s, struct vm_sim_logical address,
                                                      unsigned bytes, enum vm_sim_access access,
                                                      struct vm_sim_linear *out)
{
    enum vm_sim_segreg r = access == VM_SIM_FETCH ? VM_SIM_CS : VM_SIM_DS;

    for (unsigned i = 0; i < VM_SIM_SEGREGS; i++) /* another register may hold it: SS, ES ... */
        if (s->reg[i].selector == address.selector && (s->reg[i].usable || is_null(address.selector))
            && (access == VM_SIM_FETCH) == (i == VM_SIM_CS))
            return vm_sim_seg_translate(s, (enum vm_sim_segreg)i, address.offset, bytes, access, out);
    struct vm_sim_seg_result e = vm_sim_seg_load(s, r, address.selector);
    return e.fault != VM_SIM_SEG_OK ? e : vm_sim_seg_translate(s, r, address.offset, bytes, access, out);
}

bool vm_sim_segmentation_check(const struct vm_sim_segmentation *s)
{
    for (unsigned r = 0; r < VM_SIM_SEGREGS; r++) {
        const struct vm_sim_segment_register *reg = &s->reg[r];
        if (!reg->usable)
            continue;
        if (is_null(reg->selector) || !reg->hidden.present || !type_fits((enum vm_sim_segreg)r, &reg->hidden))
            return false;
        if (s->flat && (reg->hidden.base != 0 || vm_sim_descriptor_last(&reg->hidden) != 0xffffffff))
            return false;
    }
    return s->cpl <= 3 && (!s->ldt || s->ldtr.usable);
}
