/* Readers of recorded programs, all streaming: valgrind lackey text, libvmalloc's event traces, strace -f output, a
   binary form of our own.  A reader makes items; trace_run.h plays them on a machine, other users (mrc.h, policy.h) take
   the addresses alone.  Memory is one buffer and one batch, whatever the length. */
#ifndef VM_SIM_TRACE_H
#define VM_SIM_TRACE_H

#include <stdio.h>

#include "sim/machine.h"

enum vm_sim_item_kind {
    VM_SIM_ITEM_REFS, /* ref[0..n) */
    VM_SIM_ITEM_BRK,  /* address */
    VM_SIM_ITEM_MMAP, /* address, bytes, perms, shared, name (file) or NULL */
    VM_SIM_ITEM_MUNMAP,
    VM_SIM_ITEM_MPROTECT,
    VM_SIM_ITEM_MALLOC, /* address, bytes: libvmalloc's traces */
    VM_SIM_ITEM_FREE,
    VM_SIM_ITEM_FORK, /* pid -> child */
    VM_SIM_ITEM_EXEC, /* name */
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

enum vm_sim_trace_format {
    VM_SIM_TRACE_AUTO,
    VM_SIM_TRACE_LACKEY,
    VM_SIM_TRACE_EVENTS,
    VM_SIM_TRACE_STRACE,
    VM_SIM_TRACE_BINARY
};

struct vm_sim_trace;
/* "-": standard input.  NULL and the message. */
struct vm_sim_trace *vm_sim_trace_open(const char *path, enum vm_sim_trace_format format,
                                       struct vm_sim_message *message);
void vm_sim_trace_close(struct vm_sim_trace *t);
/* 1: an item; 0: the end; -EINVAL and "FILE:LINE: what" (malformed, truncated). */
int vm_sim_trace_next(struct vm_sim_trace *t, struct vm_sim_item *item, struct vm_sim_message *message);
uint64_t vm_sim_trace_position(const struct vm_sim_trace *t); /* bytes read, for a progress line */
uint64_t vm_sim_trace_size(const struct vm_sim_trace *t);     /* of the file; 0: not known */
enum vm_sim_trace_format vm_sim_trace_format(const struct vm_sim_trace *t);
int vm_sim_trace_format_of(const char *name); /* auto, lackey, events, strace, binary; -EINVAL */

/* Writing the binary form: a reference takes about three bytes. */
struct vm_sim_trace_writer;
struct vm_sim_trace_writer *vm_sim_trace_writer_new(FILE *out);
void vm_sim_trace_write(struct vm_sim_trace_writer *w, const struct vm_sim_item *item);
int vm_sim_trace_writer_end(struct vm_sim_trace_writer *w); /* 0, or -EIO: something could not be written */

#endif
