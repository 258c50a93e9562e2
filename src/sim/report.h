/* What the machine looks like, in the manner of /proc: maps, smaps, buddyinfo, slabinfo, vmstat, swaps, zoneinfo, and the
   counters by process and region with EAT and table memory; as text and as one JSON document.  Machines without paging
   have a summary and segments, and nothing of the rest. */
#ifndef VM_SIM_REPORT_H
#define VM_SIM_REPORT_H

#include <stdio.h>

#include "sim/machine.h"

void vm_sim_report_summary(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_processes(FILE *out, const struct vm_sim_machine *m); /* counters by process and region */
void vm_sim_report_buddyinfo(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_zoneinfo(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_slabinfo(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_vmstat(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_swaps(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_segments(FILE *out, const struct vm_sim_machine *m); /* pieces of memory without paging, and holes */
void vm_sim_report_maps(FILE *out, const struct vm_sim_process *p);
void vm_sim_report_smaps(FILE *out, const struct vm_sim_machine *m, const struct vm_sim_process *p);
void vm_sim_report_walk(FILE *out, const struct vm_sim_process *p, struct vm_sim_linear at); /* level by level */
void vm_sim_report_json(FILE *out, const struct vm_sim_machine *m);

/* One of the reports of the whole machine by its name: summary, processes, buddyinfo, zoneinfo, slabinfo, vmstat, swaps,
   segments; maps and smaps of all processes.  False: there is none of this name.  m NULL: only that. */
bool vm_sim_report(FILE *out, const struct vm_sim_machine *m, const char *name, size_t length);

struct vm_sim_area_pages { /* of an area, in bytes */
    uint64_t size, rss, shared_clean, shared_dirty, private_clean, private_dirty, referenced, anonymous, large, swap;
};
struct vm_sim_area_pages vm_sim_area_pages(const struct vm_sim_machine *m, const struct vm_sim_vma *vma);

#endif
