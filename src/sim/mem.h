/* Host memory for the simulator: calloc and realloc of libc, checked.  A laboratory that runs out of host memory ends
   with one line and exit status 1, so nobody else checks. */
#ifndef VM_SIM_MEM_H
#define VM_SIM_MEM_H

#include <stdlib.h>

#include "base/base.h"

void *vm_sim_zalloc(size_t bytes);         /* zeroed; free() */
void *vm_sim_zalloc_aligned(size_t bytes); /* the same on a cache line */
char *vm_sim_strdup(const char *text);

/* Makes room for `need` elements in *array (of *cap elements of `size` bytes), at least doubling it.  New elements are
   zero. */
void vm_sim_grow(void *array, size_t *cap, size_t need, size_t size);

/* Deterministic random numbers for models and samples (xorshift64*); *state must not be 0. */
uint64_t vm_sim_random(uint64_t *state);

#endif
