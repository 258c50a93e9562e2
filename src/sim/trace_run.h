/* Plays the items of a trace on a machine.  Processes of the trace become processes of the machine, in order.

   Memory that a trace touches without having mapped it (lackey says nothing of mappings) is mapped at the first touch,
   one page at a time (a large one when the machine gives out large ones), readable, writable and executable, as text,
   stack or other memory by where it lies and how it was touched; neighbours join to areas.  A block of an allocation
   trace is written once, page by page, when it is allocated; from 128 KiB on it is unmapped when it is freed.  exec drops
   all areas; mremap is an munmap and an mmap, so that what it moves is touched anew. */
#ifndef VM_SIM_TRACE_RUN_H
#define VM_SIM_TRACE_RUN_H

#include "sim/trace.h"

struct vm_sim_player;

struct vm_sim_player_stats {
    uint64_t refs, failed; /* failed: given up by the machine */
    uint64_t mapped;       /* pages mapped because they were touched */
    uint64_t refused;      /* mmap, brk and so on that the machine could not do */
    uint64_t forks;
    struct vm_sim_fork_cost fork; /* sum */
};

struct vm_sim_player *vm_sim_player_new(struct vm_sim_machine *m);
void vm_sim_player_free(struct vm_sim_player *p);
/* 0, or -EINVAL and the message: the machine cannot play such a trace. */
int vm_sim_player_item(struct vm_sim_player *p, const struct vm_sim_item *item, struct vm_sim_message *message);
struct vm_sim_player_stats vm_sim_player_stats(const struct vm_sim_player *p);
/* The process that plays this pid of the trace; NULL: not yet. */
struct vm_sim_process *vm_sim_player_process(const struct vm_sim_player *p, uint32_t pid);

/* All of it. */
int vm_sim_trace_run(struct vm_sim_trace *t, struct vm_sim_machine *m, struct vm_sim_player_stats *stats,
                     struct vm_sim_message *message);

#endif
