/* Rows 2 to 6 and 8: x86 segmentation.  Selectors and descriptors are the processor's own words, packed and unpacked
   here; a segment register keeps the selector and a hidden copy of the descriptor, filled when it is loaded and used
   from then on, whatever happens to the table.

   Selector:                                 Descriptor (8 bytes, bit 0 the lowest of the first byte):
    15                    3   2  1   0        63      56 55  54  53  52 51      48 47 46 45 44 43  40 39      16 15       0
   +-----------------------+----+-----+      +----------+---+---+---+---+---------+--+-----+--+------+----------+----------+
   |         index         | TI | RPL |      |base 31-24| G |D/B| L |AVL|lim 19-16| P| DPL | S| type |base 23-0 |limit 15-0|
   +-----------------------+----+-----+      +----------+---+---+---+---+---------+--+-----+--+------+----------+----------+
 */
#ifndef VM_SIM_SEGMENT_H
#define VM_SIM_SEGMENT_H

#include "sim/event.h"

/* ---- Selectors ---- */

struct vm_sim_selector {
    uint16_t index; /* 13 bits */
    bool ldt;       /* TI */
    uint8_t rpl;    /* 2 bits */
};
uint16_t vm_sim_selector_pack(struct vm_sim_selector s);
struct vm_sim_selector vm_sim_selector_unpack(uint16_t word);

/* ---- Descriptors ---- */

/* type, with S = 1: code 8, conforming 4, readable 2; data 0, expand-down 4, writable 2; accessed 1. */
#define VM_SIM_SEG_CODE 8
#define VM_SIM_SEG_CONFORMING 4 /* of code */
#define VM_SIM_SEG_DOWN 4       /* of data: offsets above the limit are the valid ones */
#define VM_SIM_SEG_READABLE 2   /* of code */
#define VM_SIM_SEG_WRITABLE 2   /* of data */
#define VM_SIM_SEG_ACCESSED 1
#define VM_SIM_SEG_TYPE_LDT 2 /* with S = 0 */

struct vm_sim_descriptor {
    uint32_t base;
    uint32_t limit; /* 20 bits as stored: the last valid offset in bytes, or in 4 KiB units when granular */
    uint8_t type;   /* 4 bits */
    uint8_t dpl;    /* 2 bits */
    bool present, granular, code_or_data /* S */, big /* D/B */, long_mode /* L */, available /* AVL */;
};
uint64_t vm_sim_descriptor_pack(const struct vm_sim_descriptor *d);
struct vm_sim_descriptor vm_sim_descriptor_unpack(uint64_t word);
/* The last valid offset in bytes (expand-up), granularity applied. */
uint32_t vm_sim_descriptor_last(const struct vm_sim_descriptor *d);

/* ---- Tables and registers ---- */

struct vm_sim_dtable { /* a GDT or an LDT: at most 8192 descriptors */
    uint64_t *entry;
    uint16_t entries;
};

enum vm_sim_segreg { VM_SIM_CS, VM_SIM_SS, VM_SIM_DS, VM_SIM_ES, VM_SIM_FS, VM_SIM_GS, VM_SIM_SEGREGS };

struct vm_sim_segment_register {
    uint16_t selector;
    bool usable; /* false: null, or never loaded */
    struct vm_sim_descriptor hidden;
};

struct vm_sim_segmentation { /* of one processor */
    struct vm_sim_dtable *gdt;
    struct vm_sim_dtable *ldt; /* of the running process, by LDTR; NULL: none */
    struct vm_sim_segment_register reg[VM_SIM_SEGREGS];
    struct vm_sim_segment_register ldtr;
    uint8_t cpl;
    bool flat;            /* all bases 0, all limits the whole range: checks that cannot fail are left out */
    uint64_t table_reads; /* descriptors read from memory: one for every load of a register */
};

/* What went wrong.  Each has a vector and an error code of its own (the selector without RPL, or 0). */
enum vm_sim_seg_fault {
    VM_SIM_SEG_OK,
    VM_SIM_SEG_NULL,        /* #GP(0): reference through a null selector */
    VM_SIM_SEG_NO_ENTRY,    /* #GP(sel): index beyond the table */
    VM_SIM_SEG_LIMIT,       /* #GP(0); through SS #SS(0) */
    VM_SIM_SEG_TYPE,        /* #GP: write to a read-only or code segment, read of execute-only, wrong type at load */
    VM_SIM_SEG_PRIVILEGE,   /* #GP(sel): max(CPL, RPL) > DPL */
    VM_SIM_SEG_NOT_PRESENT, /* #NP(sel), vector 11; loading SS: #SS(sel), vector 12 */
    VM_SIM_SEG_FAULTS
};
struct vm_sim_seg_result {
    enum vm_sim_seg_fault fault;
    uint8_t vector; /* 11, 12, 13 */
    uint16_t error;
};
const char *vm_sim_seg_fault_name(enum vm_sim_seg_fault f);

void vm_sim_dtable_init(struct vm_sim_dtable *t, unsigned entries);
void vm_sim_dtable_free(struct vm_sim_dtable *t);
void vm_sim_dtable_set(struct vm_sim_dtable *t, unsigned index, const struct vm_sim_descriptor *d);
struct vm_sim_descriptor vm_sim_dtable_get(const struct vm_sim_dtable *t, unsigned index);

/* The GDT of Linux: null, kernel code and data (DPL 0), user code and data (DPL 3), all base 0 and whole range. */
#define VM_SIM_GDT_KERNEL_CODE 12
#define VM_SIM_GDT_KERNEL_DATA 13
#define VM_SIM_GDT_USER_CODE 14
#define VM_SIM_GDT_USER_DATA 15
void vm_sim_gdt_flat(struct vm_sim_dtable *gdt);
void vm_sim_segmentation_flat(struct vm_sim_segmentation *s, struct vm_sim_dtable *gdt, unsigned cpl);

struct vm_sim_seg_result vm_sim_seg_load(struct vm_sim_segmentation *s, enum vm_sim_segreg r, uint16_t selector);
struct vm_sim_seg_result vm_sim_seg_load_ldtr(struct vm_sim_segmentation *s, struct vm_sim_dtable *ldt,
                                              uint16_t selector);

/* Checks and adds the base.  Example: segment 3 at base 7000, offset 500: 7500. */
struct vm_sim_seg_result vm_sim_seg_translate(const struct vm_sim_segmentation *s, enum vm_sim_segreg r,
                                              uint64_t offset, unsigned bytes, enum vm_sim_access access,
                                              struct vm_sim_linear *out);
/* The same through a selector that is in no register: loads DS (CS for fetches) first when it is not there already. */
struct vm_sim_seg_result vm_sim_seg_translate_logical(struct vm_sim_segmentation *s, struct vm_sim_logical address,
                                                      unsigned bytes, enum vm_sim_access access,
                                                      struct vm_sim_linear *out);

bool vm_sim_segmentation_check(const struct vm_sim_segmentation *s);

#endif
