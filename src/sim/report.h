/* What the machine looks like, in the manner of /proc: maps, smaps, buddyinfo, slabinfo, vmstat, swaps, and the counters
   by process and region with EAT and table memory; as text and as one JSON document. */
#ifndef VM_SIM_REPORT_H
#define VM_SIM_REPORT_H

#include <stdio.h>

#include "sim/machine.h"

void vm_sim_report_summary(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_buddyinfo(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_zoneinfo(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_slabinfo(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_vmstat(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_swaps(FILE *out, const struct vm_sim_machine *m);
void vm_sim_report_maps(FILE *out, const struct vm_sim_process *p);
void vm_sim_report_smaps(FILE *out, const struct vm_sim_process *p);
void vm_sim_report_walk(FILE *out, const struct vm_sim_process *p, struct vm_sim_linear at); /* level by level */
void vm_sim_report_json(FILE *out, const struct vm_sim_machine *m);

#endif
