/* Row 15: resident and referenced pages of one process over time.  Time is cut into windows of `window` references; at the
   end of each one sample is kept.  When the samples are full the windows are joined in pairs, so memory is bounded. */
#ifndef VM_SIM_WORKSET_H
#define VM_SIM_WORKSET_H

#include "sim/types.h"

struct vm_sim_sample {
    uint64_t end;        /* references of the process so far */
    uint64_t referenced; /* different small pages referenced in the window: the working set W(t, window) */
    uint64_t resident;   /* pages it had at the end */
    uint64_t faults;     /* in the window */
};

struct vm_sim_workset {
    uint64_t window; /* references */
    struct vm_sim_sample *sample;
    size_t samples, cap;
    uint64_t refs, faults_before;
    struct vm_sim_sample open; /* the window under way */
    /* Pages of this window: open addressing, stamped with the window's number so that it is never cleared. */
    uint64_t *page;
    uint32_t *stamp;
    size_t slots, used;
    uint32_t now;
    uint64_t last_page;
};

void vm_sim_workset_init(struct vm_sim_workset *w, uint64_t window, size_t samples);
void vm_sim_workset_free(struct vm_sim_workset *w);
/* page: linear address / 4 KiB.  resident and faults are read when a window ends. */
void vm_sim_workset_ref(struct vm_sim_workset *w, uint64_t page, uint64_t resident, uint64_t faults);
void vm_sim_workset_end(struct vm_sim_workset *w, uint64_t resident, uint64_t faults); /* closes the last window */
bool vm_sim_workset_check(const struct vm_sim_workset *w);

#endif
