/* The block by which other processes find their way in our memory: `vmalloc stat`, `where`, `rss` and `map` look for its
   magic in the process's writable file mappings, or in a core file, and read everything else through the facts it leads
   to (base/fact.h).  It is complete from the moment the program is loaded, and nothing keeps it up to date: the process
   does nothing for its readers, and they stop or lock nothing.  Native byte order; a field is never moved or given
   another meaning without a new format number. */
#ifndef VM_REPORT_BLOCK_H
#define VM_REPORT_BLOCK_H

#include "base/fact.h"

#define VM_BLOCK_MAGIC "vmalloc\x8f\xa5\xc3\x1b.blk\n" /* 16 characters without the NUL */
#define VM_BLOCK_FORMAT 1u
#define VM_BLOCK_TABLES 16
#define VM_BLOCK_ALIGN 64

struct vm_report_block {
    char magic[16];
    uint32_t format;     /* VM_BLOCK_FORMAT */
    uint32_t bytes;      /* its own size */
    const void *self;    /* its own address: a copy somewhere else is none */
    uint32_t fact_bytes; /* size of struct vm_fact */
    uint32_t tables;     /* entries of table[], the last ones NULL */
    char version[16];    /* of the library */
    const struct vm_fact *table[VM_BLOCK_TABLES];
} VM_ALIGNED(VM_BLOCK_ALIGN);

extern VM_HIDDEN struct vm_report_block vm_report_block;

#endif
