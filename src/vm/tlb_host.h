/* The data TLB of the processor that we run on, as CPUID tells it: leaf 0x18, else leaf 2 (Intel); leaves 0x80000005,
   0x80000006 and 0x80000019 (AMD).  Apart from the model, which asks nobody. */
#ifndef VM_TLB_HOST_H
#define VM_TLB_HOST_H

#include "vm/tlb.h"

struct vm_cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/* Fills the config from a source of CPUID leaves: page-walk caches and levels as in the presets.  0; -ENOTSUP when the
   leaves say nothing of a data TLB of 4 KiB pages. */
int vm_tlb_host_decode(struct vm_tlb_config *config, struct vm_cpuid (*cpuid)(uint32_t leaf, uint32_t subleaf));

/* The same from this processor; -ENOTSUP on others than x86-64. */
int vm_tlb_host(struct vm_tlb_config *config);

#endif
