/* The process's shadow page table behind its lock; see mmu.h. */
#include "vm/mmu.h"

#include "base/lock.h"
#include "os/meta.h"
#include "vm/pgtab.h"

struct vm_lock vm_mmu_lock = VM_LOCK_INIT(VM_RANK_MMU);

static struct vm_pgtab shadow = VM_PGTAB_INIT; /* written under vm_mmu_lock */

VM_FACTS vm_mmu_facts[] = {VM_FACT_ROOT(shadow, shadow), VM_FACT_END};

void vm_mmu_begin(void) { vm_lock(&vm_mmu_lock); }
void vm_mmu_end(void) { vm_unlock(&vm_mmu_lock); }

unsigned vm_mmu_need(uintptr_t base, size_t bytes) { return vm_pgtab_need(&shadow, base, bytes); }

bool vm_mmu_reserve(unsigned tables)
{
    while (shadow.spares < tables) {
        struct vm_table *table = vm_meta_alloc(sizeof *table, sizeof *table);
        if (!table)
            return false;
        vm_pgtab_give(&shadow, table);
    }
    return true;
}

void vm_mmu_map(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor)
{
    vm_pgtab_map(&shadow, base, bytes, vm_pte_number(descriptor) | (vm_pte)kind << VM_PTE_KIND_SHIFT);
}

void vm_mmu_unmap(uintptr_t base, size_t bytes) { vm_pgtab_unmap(&shadow, base, bytes); }

vm_pte vm_mmu_lookup(uintptr_t address) { return vm_pgtab_lookup(&shadow, address); }

bool vm_mmu_check(void)
{
    vm_lock(&vm_mmu_lock);
    bool good = vm_pgtab_check(&shadow);
    vm_unlock(&vm_mmu_lock);
    return good;
}
