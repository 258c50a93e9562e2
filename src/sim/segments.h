/* The segments of processes, in machines that have them: a place (in physical memory, or in the linear address space under
   paging), a descriptor in the process's LDT, and both kept together when compaction moves the place.  Rows 5 to 7, 9. */
#ifndef VM_SIM_SEGMENTS_H
#define VM_SIM_SEGMENTS_H

#include "sim/segment.h"
#include "sim/space.h"

struct vm_sim_machine;
struct vm_sim_process;

struct vm_sim_segment {
    struct vm_sim_segment *next; /* of its process, by index */
    const char *name;
    uint16_t index; /* in the LDT */
    uint64_t base, bytes;
    uint8_t type, dpl;             /* as in struct vm_sim_descriptor */
    bool present;                  /* false: swapped out; a reference is #NP */
    struct vm_sim_hole_use *place; /* NULL: not present, or under paging */
};

/* What references through the segment use as selector. */
uint16_t vm_sim_segment_selector(const struct vm_sim_process *p, const struct vm_sim_segment *s);

/* A segment of `bytes` (up to 4 GiB) at an index of the process's LDT, made when it is the first.  type: code or data, as in
   segment.h.  0, -ENOMEM (no hole is large enough), -EEXIST, -EINVAL (index, size or type). */
int vm_sim_segment_add(struct vm_sim_machine *m, struct vm_sim_process *p, unsigned index, const char *name,
                       uint64_t bytes, unsigned type, unsigned dpl, struct vm_sim_segment **out);
struct vm_sim_segment *vm_sim_segment_find(const struct vm_sim_process *p, unsigned index);
void vm_sim_segment_remove(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s);
void vm_sim_segments_free(struct vm_sim_machine *m, struct vm_sim_process *p); /* all, and the LDT: at exit */

/* Out of memory, and in again where there is a hole (-ENOMEM). */
void vm_sim_segment_out(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s);
int vm_sim_segment_in(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_segment *s);

/* All pieces of memory down; descriptors and loaded registers follow.  Bytes moved. */
uint64_t vm_sim_compact(struct vm_sim_machine *m);

/* Descriptors say what the segments say; no two present ones of all processes overlap. */
bool vm_sim_segments_check(const struct vm_sim_machine *m);

#endif
