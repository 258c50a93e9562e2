/* Counting calls and live bytes for the option stats=FILE: a page shared by a process and its children, read by whoever
   started them.  When the option is off, nothing on a hit path knows of it; when it is on, every call takes the slow
   path and is counted there. */
#ifndef VM_STATS_H
#define VM_STATS_H

#include "base/base.h"

#define VM_STATS_MAGIC UINT64_C(0x314b4c4254534d56) /* "VMSTBLK1" in memory on little-endian machines */
#define VM_STATS_BYTES 4096

/* The shared page; native byte order, every field updated atomically by all processes. */
struct vm_stats_block {
    uint64_t magic;
    uint64_t processes; /* that ever attached */
    uint64_t allocs;    /* calls: malloc, calloc, aligned forms, operator new */
    uint64_t frees;
    uint64_t reallocs;
    int64_t live;      /* bytes, usable sizes */
    int64_t peak_live; /* bytes; sampled whenever a thread hands its counts in, exact to 16 KiB a thread */
    uint64_t reserved[9];
};

/* const: after start-up. */
extern bool vm_stats_on;

/* Attaches to the file of VM_STATS_BYTES zeroed bytes; an empty path means off.  True when counting is on from now. */
bool vm_stats_start(const char *path);

/* What happened; p or q NULL: the call failed and is counted as a call. */
void vm_stats_count_alloc(const void *p);
void vm_stats_count_free(const void *p, const char *call);
void vm_stats_count_realloc(const void *q, size_t before);

/* Hands in what all threads still hold. */
void vm_stats_flush_all(void);

VM_INLINE void vm_stats_alloc(const void *p)
{
    if (VM_UNLIKELY(vm_stats_on))
        vm_stats_count_alloc(p);
}

VM_INLINE void vm_stats_free(const void *p, const char *call)
{
    if (VM_UNLIKELY(vm_stats_on))
        vm_stats_count_free(p, call);
}

VM_INLINE void vm_stats_realloc(const void *q, size_t before)
{
    if (VM_UNLIKELY(vm_stats_on))
        vm_stats_count_realloc(q, before);
}

#endif
