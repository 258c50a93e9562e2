/* Is the complete shadow page table true?  Compares it, page by page, with what the kernel says: /proc/self/pagemap, the
   ioctl PAGEMAP_SCAN where there is one, and /proc/self/smaps.  No page may be resident of which the shadow says that it
   was never handed out, or was returned; none may be shared with another process that is not marked copy-on-write; every
   page has one owner, which covers it.

   The other direction is no fault: a page that was handed out need not have been touched.  Nor is a page that a huge page
   brought in together with a neighbour that was handed out: it is counted as filled by it.  When a part of the huge page
   goes back, the kernel splits it, and what it brought in stays: where there can have been huge pages, a page that was not
   handed out and reads as zero all over is counted as split from one.  A fork shares those as well: one that is handed out
   after it and not written to is no fault. */
#ifndef VM_FIDELITY_H
#define VM_FIDELITY_H

#include "base/base.h"

/* 4 KiB pages of the shadow, unless said otherwise; summed over checks by the caller. */
struct vm_fidelity {
    uint64_t pages;    /* compared */
    uint64_t present;  /* by the shadow */
    uint64_t resident; /* by the kernel, in memory or swapped out */
    uint64_t filled;   /* resident because a huge page is */
    uint64_t split;    /* resident because a huge page was */
    uint64_t zero;     /* the kernel's page of zeros: read, never written */
    uint64_t cow;      /* by the shadow */
    /* Violations. */
    uint64_t never_out; /* resident, though never handed out */
    uint64_t returned;  /* resident, though returned */
    uint64_t foreign;   /* pages of a file */
    uint64_t shared;    /* shared with another process, not marked so */
    uint64_t disowned;  /* the owner's descriptor does not cover it */
    uint64_t twice;     /* entered while it had an owner; or what was counted beyond the kernel's count */
    uint64_t lazy;      /* lazily freed in the kernel only */
    uint64_t lost;      /* changes (not pages) that could not be noted */
};

uint64_t vm_fidelity_violations(const struct vm_fidelity *f);

/* 0; -EINVAL: the shadow is not complete (vm=0); -EAGAIN: a check is under way, or this thread was interrupted in the midst
   of a change; -errno of what could not be read. */
int vm_fidelity_check(struct vm_fidelity *f);

/* ---- The option vm_check=FILE ---- */

extern VM_HIDDEN bool vm_fidelity_on; /* const: after start-up */

void vm_fidelity_start(const char *path);
void vm_fidelity_count(void);  /* a slow path: the 1st, 4th, 16th, 64th ... is a moment to check */
void vm_fidelity_now(void);    /* so is this, when the option is on */
void vm_fidelity_forked(void); /* in the child: the next slow path is one */

VM_INLINE void vm_fidelity_tick(void)
{
    if (VM_UNLIKELY(vm_fidelity_on))
        vm_fidelity_count();
}

#endif
