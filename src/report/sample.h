/* The option sample=BYTES: the probes otel_memory:alloc(pointer, size, weight) and otel_memory:free(pointer) for a sample
   of the blocks, about one in BYTES that the program asks for.  The weight says how many bytes a sample stands for, so
   that the sum of the weights is about the sum of what was asked for, and that for every caller.  A block whose alloc was
   told has its free told.  No lock: a counter, and a table of the addresses that are followed, all atomic.

   When the option is off, nothing on a hit path knows of it; when it is on, every call takes the slow path. */
#ifndef VM_SAMPLE_H
#define VM_SAMPLE_H

#include "base/base.h"

/* const: after start-up.  Bytes between samples on average; 0: off. */
extern size_t vm_sample_every;

/* True when samples are taken from now on. */
bool vm_sample_start(size_t every);

/* Whether the next n bytes asked for are sampled: 0, or the weight, a multiple of vm_sample_every. */
size_t vm_sample_weigh(size_t n);

/* Follows the block until it is forgotten: false when there is no room where its address belongs. */
bool vm_sample_follow(const void *p);
/* True when it was followed. */
bool vm_sample_forget(const void *p);

void vm_sample_tell_alloc(const void *p, size_t n);
bool vm_sample_tell_free(const void *p);

/* A block of n bytes was handed out. */
VM_INLINE void vm_sample_alloc(const void *p, size_t n)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_sample_every != 0) && p)
        vm_sample_tell_alloc(p, n);
}

/* A block is about to go back; true when that was told. */
VM_INLINE bool vm_sample_free(const void *p)
{
    return VM_INSTRUMENT && VM_UNLIKELY(vm_sample_every != 0) && vm_sample_tell_free(p);
}

/* It did not go back after all. */
void vm_sample_keep(const void *p, size_t n);

#endif
