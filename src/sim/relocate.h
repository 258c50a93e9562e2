/* Row 1: programs in bare physical memory.  Three ways to give each its place: addresses as they are (two programs at
   one address collide), static relocation (the loader adds the base to every address in the image, once), base and
   limit registers (the processor adds at every reference, and faults beyond the limit).  A program may be swapped out
   and come back elsewhere; only base and limit survives that without loading anew. */
#ifndef VM_SIM_RELOCATE_H
#define VM_SIM_RELOCATE_H

#include "sim/event.h"
#include "sim/space.h"

enum vm_sim_relocation { VM_SIM_ABSOLUTE, VM_SIM_STATIC, VM_SIM_BASE_LIMIT };

struct vm_sim_program {
    const char *name;
    uint32_t pid;
    enum vm_sim_relocation how;
    bool loaded;                   /* false: swapped out */
    uint64_t base;                 /* where it is (base register) */
    uint64_t limit;                /* its size in bytes (limit register) */
    uint64_t linked_at;            /* the address that its image now holds for its first byte */
    uint64_t relocated;            /* addresses that the loader patched, all loads together */
    uint64_t faults;               /* references beyond the limit, or of a program that was moved under its addresses */
    struct vm_sim_hole_use *place; /* in the space; NULL for absolute ones */
    struct vm_sim_program *next;
};

struct vm_sim_core { /* the memory and the programs in it, in order of loading */
    struct vm_sim_space space;
    struct vm_sim_program *first;
    struct vm_sim_events *events;
};

void vm_sim_core_init(struct vm_sim_core *core, uint64_t bytes, enum vm_sim_fit fit, struct vm_sim_events *events);
void vm_sim_core_free(struct vm_sim_core *core);

/* Loads a program of `bytes` that was linked for address `at`, with `addresses` words in it that are addresses.  An
   absolute one goes to `at` whatever is there: every program it overlaps is reported as a collision.  The others go
   where there is room.  NULL: no room. */
struct vm_sim_program *vm_sim_load(struct vm_sim_core *core, const char *name, uint32_t pid, enum vm_sim_relocation how,
                                   uint64_t at, uint64_t bytes, uint64_t addresses);

/* The physical address of a reference.  0, or -EFAULT (beyond the limit, or swapped out).  Absolute and static ones are
   checked by nobody: an address outside of the program is used as it is. */
int vm_sim_relocate(struct vm_sim_core *core, struct vm_sim_program *p, uint64_t address, struct vm_sim_physical *out);

void vm_sim_program_out(struct vm_sim_core *core, struct vm_sim_program *p);
/* 0, or -ENOMEM; an absolute or static one must come back where it was, and fails (-EBUSY) when that is taken. */
int vm_sim_program_in(struct vm_sim_core *core, struct vm_sim_program *p);

bool vm_sim_core_check(const struct vm_sim_core *core);

#endif
