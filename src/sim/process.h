/* Rows 29 and 30, and the linux-0.12 rows of 24: processes: new, fork with copy-on-write, exec, exit.  Slots are what
   references name; pids are given in order from 1. */
#ifndef VM_SIM_PROCESS_H
#define VM_SIM_PROCESS_H

#include "sim/cpu.h"
#include "sim/mm.h"

struct vm_sim_process {
    struct vm_sim_context context; /* first: pid and slot are in it */
    struct vm_list link;           /* on machine->processes, by pid */
    const char *name;
    struct vm_sim_process *parent;
    struct vm_sim_mm *mm;           /* NULL: a zombie, or a machine without paging */
    struct vm_sim_program *program; /* machines of bare memory */
    struct vm_sim_dtable ldt;
    struct vm_sim_segment *segments; /* machines with segments: see segments.h */
    int nice;                        /* -20..19 */
    uint64_t born;                   /* clock */
    int signal;                      /* that it died of; 0: none */
    bool exited;
    struct {
        uint64_t highest_rss, min_faults, maj_faults;
    } end; /* of mm, when it exited */
};

struct vm_sim_fork_cost {
    uint64_t tables_copied; /* page tables made for the child */
    uint64_t entries;       /* present entries copied */
    uint64_t protected_;    /* entries made read-only, on each side */
    uint64_t swapped;       /* swap entries whose slot count rose */
    uint64_t shared;        /* frames whose count rose */
};

/* An empty address space with a stack area; slot: the first free one.  NULL: no memory, or all slots in use. */
struct vm_sim_process *vm_sim_process_new(struct vm_sim_machine *m, const char *name);
struct vm_sim_process *vm_sim_process_next(const struct vm_sim_machine *m,
                                           const struct vm_sim_process *p); /* NULL: first */
struct vm_sim_process *vm_sim_process_by_pid(struct vm_sim_machine *m, uint32_t pid);
struct vm_sim_process *vm_sim_process_by_name(struct vm_sim_machine *m, const char *name); /* the newest of it */
/* Child, or NULL (nothing changed). */
struct vm_sim_process *vm_sim_fork(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_fork_cost *cost);
/* Everything is returned; how many frames that freed. */
uint64_t vm_sim_exit(struct vm_sim_machine *m, struct vm_sim_process *p, int signal);

/* All processes that ever were, for the end of the machine; works too when there is none. */
void vm_sim_processes_free(struct vm_sim_machine *m);
bool vm_sim_processes_check(const struct vm_sim_machine *m); /* all mms, and mapcounts against all tables */

#endif
