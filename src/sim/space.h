/* Row 7: physical memory handed out in contiguous pieces: segments and programs, first-fit or best-fit, holes between
   them, compaction.  Example: 1024 with 512 + 128 + 256 placed, the 128 released: 256 are free, 200 do not fit, until
   the 256 are moved. */
#ifndef VM_SIM_SPACE_H
#define VM_SIM_SPACE_H

#include "sim/event.h"

enum vm_sim_fit { VM_SIM_FIRST_FIT, VM_SIM_BEST_FIT };

struct vm_sim_hole_use { /* a piece in use, in a list by address */
    struct vm_sim_hole_use *next;
    uint64_t base, bytes;
    const char *name;
    bool fixed;             /* compaction leaves it where it is: somebody holds its addresses */
    uint64_t *base_follows; /* unless NULL: gets the new base when the piece is moved (a descriptor, a register) */
};

struct vm_sim_space {
    uint64_t bytes;
    enum vm_sim_fit fit;
    struct vm_sim_hole_use *first;
    uint64_t used;  /* sum of the pieces */
    uint64_t moved; /* bytes that compaction moved, all together */
    uint64_t compactions;
    struct vm_sim_events *events;
};

void vm_sim_space_init(struct vm_sim_space *s, uint64_t bytes, enum vm_sim_fit fit, struct vm_sim_events *events);
void vm_sim_space_free(struct vm_sim_space *s);
struct vm_sim_hole_use *vm_sim_space_place(struct vm_sim_space *s, uint64_t bytes,
                                           const char *name); /* NULL: no hole */
struct vm_sim_hole_use *vm_sim_space_place_at(struct vm_sim_space *s, uint64_t base, uint64_t bytes, const char *name);
void vm_sim_space_release(struct vm_sim_space *s, struct vm_sim_hole_use *piece);
uint64_t vm_sim_space_compact(struct vm_sim_space *s); /* all but fixed pieces down, in order; bytes moved */

uint64_t vm_sim_space_available(const struct vm_sim_space *s); /* sum of all holes */
uint64_t vm_sim_space_largest_hole(const struct vm_sim_space *s);
/* 1 - largest hole / sum of holes; 0 when nothing is free. */
double vm_sim_space_fragmentation(const struct vm_sim_space *s);
bool vm_sim_space_check(const struct vm_sim_space *s);

#endif
