/* Facts: what another process must know of our structures to read them in our memory, by name: a field's offset, a
   constant, the address of a root.  Each module that owns such structures has a table of facts (vm_NAME_facts, ended by
   an entry without a name), never read by ourselves; report/block.c collects them. */
#ifndef VM_FACT_H
#define VM_FACT_H

#include "base/base.h"

/* Names are at most VM_FACT_NAME - 1 characters and stay what they are from version to version. */
#define VM_FACT_NAME 22

struct vm_fact {
    char name[VM_FACT_NAME]; /* "zone.base": a field, "zone": a struct, "#FRAME_BYTES": a number, "&zones": a root */
    uint16_t size;           /* bytes: of the field, of the struct, of what the root's address leads to; number: 0 */
    uint64_t value;          /* offset; 0; the number; the address */
};
_Static_assert(sizeof(struct vm_fact) == 32, "the layout of what other processes read");

/* clang-format off */
#define VM_FACT_STRUCT(label, type) {#label, sizeof(type), 0}
#define VM_FACT_FIELD(label, type, member) {#label "." #member, sizeof(((type *)0)->member), offsetof(type, member)}
#define VM_FACT_NUMBER(label, number) {"#" #label, 0, (number)}
#define VM_FACT_ROOT(label, variable) {"&" #label, sizeof(variable), (uintptr_t)&(variable)}
#define VM_FACT_END {"", 0, 0}
/* clang-format on */

/* A table lies in .data, writable: so it is in core files, and the loader may put addresses in. */
#define VM_FACTS __attribute__((used)) struct vm_fact

#endif
