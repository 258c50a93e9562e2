/* Readers of recorded programs, all streaming: valgrind lackey text, libvmalloc's event traces, strace -f output, a
   binary form of our own.  A reader makes items; trace_run.c plays them on a machine, other users (mrc.h, policy.h) take
   the addresses alone. */
#ifndef VM_SIM_TRACE_H
#define VM_SIM_TRACE_H

#include <stdio.h>

#include "sim/machine.h"

enum vm_sim_item_kind {
    VM_SIM_ITEM_REFS,  /* ref[0..n) */
    VM_SIM_ITEM_BRK,   /* address */
    VM_SIM_ITEM_MMAP,  /* address, bytes, perms, shared, name (file) or NULL */
    VM_SIM_ITEM_MUNMAP,
    VM_SIM_ITEM_MPROTECT,
    VM_SIM_ITEM_MALLOC, /* address, bytes: libvmalloc's traces */
    VM_SIM_ITEM_FREE,
    VM_SIM_ITEM_FORK,  /* pid -> child */
    VM_SIM_ITEM_EXEC,  /* name */
    VM_SIM_ITEM_EXIT,
};

#define VM_SIM_TRACE_BATCH 4096

struct vm_sim_item {
    enum vm_sim_item_kind kind;
    uint32_t pid, child;
    uint64_t address, bytes;
    uint8_t perms;
    bool shared;
    const char *name; /* until the next item */
    struct vm_sim_ref *ref;
    size_t n;
};

enum vm_sim_trace_format { VM_SIM_TRACE_AUTO, VM_SIM_TRACE_LACKEY, VM_SIM_TRACE_EVENTS, VM_SIM_TRACE_STRACE,
                           VM_SIM_TRACE_BINARY };

struct vm_sim_trace;
/* "-": standard input.  NULL and the message. */
struct vm_sim_trace *vm_sim_trace_open(const char *path, enum vm_sim_trace_format format, struct vm_sim_message *message);
void vm_sim_trace_close(struct vm_sim_trace *t);
/* 1: an item; 0: the end; -EINVAL and "FILE:LINE: what" (malformed, truncated). */
int vm_sim_trace_next(struct vm_sim_trace *t, struct vm_sim_item *item, struct vm_sim_message *message);
uint64_t vm_sim_trace_position(const struct vm_sim_trace *t); /* bytes read, for a progress line */

/* Plays all of it.  Memory that a trace touches without having mapped it (lackey says nothing of mappings) is mapped at
   once as an area of its own, by where it lies. */
int vm_sim_trace_run(struct vm_sim_trace *t, struct vm_sim_machine *m, struct vm_sim_message *message);

#endif
