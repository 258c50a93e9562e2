/* Memory for the allocator's own descriptors: a bump allocator over mmap'd chunks.  Nothing is ever given back to it
   (descriptors are type-stable; their users keep free lists), so a stale pointer to one is always safe to read. */
#ifndef VM_META_H
#define VM_META_H

#include "base/fact.h"

/* Zeroed memory, aligned to `align` (a power of two, at most a page); NULL when the system refuses. */
void *vm_meta_alloc(size_t bytes, size_t align);

/* Maps memory now for the next `bytes`, if there is not enough: so that no metadata is mapped right below a block that
   is about to be mapped, where the block's underflow would reach it. */
void vm_meta_reserve(size_t bytes);

/* Bytes mapped for metadata so far. */
size_t vm_meta_mapped(void);

/* Where the chunks are, for other processes. */
extern VM_HIDDEN struct vm_fact vm_meta_facts[];

/* Fork support: see src/api/fork.c. */
struct vm_lock;
extern struct vm_lock vm_meta_lock;

#endif
