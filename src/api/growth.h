/* What has to be done once, and only when a process has grown: small ones never pay for it. */
#ifndef VM_GROWTH_H
#define VM_GROWTH_H

#include "base/base.h"
#include "reclaim/limit.h"

/* Bytes charged from which on vm_growth_look() is worth a call; SIZE_MAX: never. */
extern size_t vm_growth_from;

void vm_growth_start(void);
void vm_growth_changed(void); /* vm_background_from has */
void vm_growth_look(void);

/* Fast: by slow paths of allocation, with no lock of ours held. */
VM_INLINE void vm_growth(void)
{
    if (VM_UNLIKELY(VM_LOAD(&vm_limits.charged) >= VM_LOAD(&vm_growth_from)))
        vm_growth_look();
}

#endif
