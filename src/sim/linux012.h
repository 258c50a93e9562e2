/* Row 24, preset linux-0.12: how Linux 0.12 had its memory.  One page directory for all; process n has the linear
   addresses from n x 64 MiB on, through the two segments of its LDT; a byte for every frame tells how often it is used;
   a free one is looked for from the top; when there is none, the tables of all processes are scanned in turn for a page
   to swap out, which need not be the one that was used least. */
#ifndef VM_SIM_LINUX012_H
#define VM_SIM_LINUX012_H

#include "sim/process.h"
#include "sim/zone.h"

#define VM_SIM_012_CODE 1 /* LDT: null, code, data */
#define VM_SIM_012_DATA 2
#define VM_SIM_012_USED 100 /* reserved, never free */

struct vm_sim_012 {
    uint8_t *map; /* [frames]: 0: free; 1: handed out (how often it is used is in its descriptor); VM_SIM_012_USED */
    vm_sim_pfn frames;
    uint64_t scanned;     /* bytes looked at for free frames */
    uint64_t next;        /* linear address where the search for a victim goes on */
    uint64_t looked_at;   /* entries that the search met */
    uint64_t swapped_out; /* by that search */
};

/* Takes the memory over from the zones; before any frame is handed out. */
void vm_sim_012_init(struct vm_sim_machine *m);
void vm_sim_012_free(struct vm_sim_machine *m);
/* The LDT of a new process, and its segment registers: code and data, 64 MiB each at its base. */
void vm_sim_012_segments(struct vm_sim_machine *m, struct vm_sim_process *p);
bool vm_sim_012_check(const struct vm_sim_machine *m);

#endif
