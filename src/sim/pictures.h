/* Pictures: SVG, and one self-contained HTML page with all of them: residency over time, miss-ratio curves, frame map,
   buddy blocks. */
#ifndef VM_SIM_PICTURES_H
#define VM_SIM_PICTURES_H

#include <stdio.h>

#include "sim/machine.h"
#include "sim/mrc.h"

void vm_sim_svg_residency(FILE *out, const struct vm_sim_process *p);
void vm_sim_svg_curve(FILE *out, const struct vm_sim_curve *curve, size_t curves, const char *title);
void vm_sim_svg_frames(FILE *out, const struct vm_sim_machine *m);
void vm_sim_svg_buddy(FILE *out, const struct vm_sim_machine *m);
/* m may be NULL, curves 0.  Residency is there when the machine records it (window). */
void vm_sim_html(FILE *out, const struct vm_sim_machine *m, const struct vm_sim_curve *curve, size_t curves);

#endif
