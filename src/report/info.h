/* The allocator's own account of its memory: what malloc_stats, malloc_info and mallinfo print. */
#ifndef VM_INFO_H
#define VM_INFO_H

#include "base/base.h"

#define VM_INFO_TEXT_MAX 2048

/* Bytes unless said otherwise. */
struct vm_info {
    size_t heaps, idle_heaps;           /* count */
    size_t brk_space, zone_space;       /* frames of the brk heap and of mmap'd zones */
    size_t slab_space;                  /* both */
    size_t small_used;                  /* blocks handed out, or waiting in a thread's current slab or in a message */
    size_t slab_carved;                 /* all blocks that were ever given life */
    size_t frames_free;                 /* free frames that still hold pages */
    size_t large_used, large_count;     /* live extents */
    size_t large_kept;                  /* free extents that still hold pages */
    size_t metadata;                    /* mapped for descriptors and tables */
    size_t charged, highest;            /* counted against the limits, now and at most */
    size_t limit_soft, limit_hard;      /* SIZE_MAX: none */
    size_t limit_passed, limit_refused; /* count: times beyond the soft one, requests refused by the hard one */
};

void vm_info_read(struct vm_info *i);

/* Write the account into buf[0..cap), NUL-terminated; return its length. */
size_t vm_info_text(char *buf, size_t cap);
size_t vm_info_xml(char *buf, size_t cap);

#endif
