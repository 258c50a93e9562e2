/* The process's shadow page table behind its lock; see mmu.h. */
#include "vm/mmu.h"

#include "base/lock.h"
#include "os/meta.h"
#include "vm/pgtab.h"

struct vm_lock vm_mmu_lock = VM_LOCK_INIT(VM_RANK_MMU);

bool vm_mmu_full;

/* Written under vm_mmu_lock. */
static struct vm_pgtab shadow = VM_PGTAB_INIT; /* the names */
static struct vm_pgtab pages = VM_PGTAB_INIT;  /* the complete shadow; read under the lock as well */
static struct vm_mmu_faults faults;

VM_FACTS vm_mmu_facts[] = {VM_FACT_ROOT(shadow, shadow), VM_FACT_ROOT(pages, pages), VM_FACT_ROOT(full, vm_mmu_full),
                           VM_FACT_END};

void vm_mmu_begin(void) { vm_lock(&vm_mmu_lock); }
void vm_mmu_end(void) { vm_unlock(&vm_mmu_lock); }

unsigned vm_mmu_need(uintptr_t base, size_t bytes) { return vm_pgtab_need(&shadow, base, bytes); }

static bool reserve(struct vm_pgtab *t, unsigned tables)
{
    while (t->spares < tables) {
        struct vm_table *table = vm_meta_alloc(sizeof *table, sizeof *table);
        if (!table)
            return false;
        vm_pgtab_give(t, table);
    }
    return true;
}

bool vm_mmu_reserve(unsigned tables) { return reserve(&shadow, tables); }

void vm_mmu_map(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor)
{
    vm_pgtab_map(&shadow, base, bytes, vm_pte_number(descriptor) | (vm_pte)kind << VM_PTE_KIND_SHIFT);
}

void vm_mmu_unmap(uintptr_t base, size_t bytes) { vm_pgtab_unmap(&shadow, base, bytes); }

vm_pte vm_mmu_lookup(uintptr_t address) { return vm_pgtab_lookup(&shadow, address); }
vm_pte vm_mmu_run(uintptr_t address, size_t *bytes) { return vm_pgtab_run(&shadow, address, bytes); }

/* ---- The complete shadow ---- */

void vm_mmu_full_start(void) { vm_mmu_full = true; }

/* True when the caller is not between begin and end, and the lock is taken now. */
static bool enter(void)
{
    if (vm_lock_is_mine(&vm_mmu_lock))
        return false;
    vm_lock(&vm_mmu_lock);
    return true;
}

static void leave(bool entered)
{
    if (entered)
        vm_unlock(&vm_mmu_lock);
}

/* Under the lock.  What cannot be noted is counted, and changes nothing else. */
static void change(uintptr_t base, size_t bytes, struct vm_pgtab_change c)
{
    uintptr_t page = (uintptr_t)1 << VM_PAGE_SHIFT, from = vm_align_down(base, page);
    size_t length = vm_align_up(base + bytes, page) - from;

    if (length == 0)
        return;
    if (!reserve(&pages, VM_PGTAB_CHANGE_NEED(length))) {
        faults.lost++;
        return;
    }
    vm_pgtab_change(&pages, from, length, &c);
    faults.mapped_twice += c.fill ? c.found : 0;
}

#define STATE \
    (VM_PTE_PRESENT | VM_PTE_OUT | VM_PTE_ACCESSED | VM_PTE_DIRTY | VM_PTE_ZERO | VM_PTE_LAZY | VM_PTE_COW \
     | VM_PTE_RETURNED)

/* Indexed by enum vm_mmu_event. */
static const struct vm_pgtab_change effect[VM_MMU_EVENTS] = {
    [VM_MMU_OUT] = {.keep = ~(VM_PTE_LAZY | VM_PTE_RETURNED), .set = VM_PTE_PRESENT | VM_PTE_OUT},
    [VM_MMU_TOUCHED] = {.keep = ~(VM_PTE_ZERO | VM_PTE_COW | VM_PTE_LAZY), .set = VM_PTE_ACCESSED | VM_PTE_DIRTY},
    [VM_MMU_KEPT] = {.keep = ~VM_PTE_OUT},
    [VM_MMU_PURGED] = {.keep = ~STATE, .set = VM_PTE_ZERO | VM_PTE_RETURNED},
    [VM_MMU_LAZY] = {.keep = ~(VM_PTE_OUT | VM_PTE_DIRTY), .set = VM_PTE_LAZY},
    [VM_MMU_UNMAPPED] = {.keep = 0},
};

void vm_mmu_page_event(enum vm_mmu_event event, uintptr_t base, size_t bytes)
{
    bool entered = enter();

    change(base, bytes, effect[event]);
    leave(entered);
}

static vm_pte owned_by(enum vm_kind kind, const void *descriptor)
{
    return vm_pte_number(descriptor) | (vm_pte)kind << VM_PTE_KIND_SHIFT;
}

void vm_mmu_page_mapped(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor)
{
    bool entered = enter();

    change(base, bytes, (struct vm_pgtab_change){.set = owned_by(kind, descriptor) | VM_PTE_ZERO, .fill = true});
    leave(entered);
}

void vm_mmu_page_owner(uintptr_t base, size_t bytes, enum vm_kind kind, const void *descriptor)
{
    bool entered = enter();

    change(base, bytes, (struct vm_pgtab_change){.keep = ~VM_PTE_OWNER_MASK, .set = owned_by(kind, descriptor)});
    leave(entered);
}

void vm_mmu_page_moved(uintptr_t from, size_t from_bytes, uintptr_t to, size_t to_bytes)
{
    bool entered = enter();
    vm_pte last = 0;

    for (size_t done = 0, run; done < from_bytes; done += run) {
        last = vm_pgtab_run(&pages, from + done, &run) & ~(VM_PTE_LEAF | VM_PTE_HUGE);
        run = vm_min(run, from_bytes - done);
        change(from + done, run, effect[VM_MMU_UNMAPPED]);
        change(to + done, vm_min(run, to_bytes - vm_min(done, to_bytes)),
               (struct vm_pgtab_change){.set = last, .fill = true});
    }
    if (to_bytes > from_bytes)
        change(to + from_bytes, to_bytes - from_bytes,
               (struct vm_pgtab_change){.set = (last & VM_PTE_OWNER_MASK) | VM_PTE_ZERO | VM_PTE_OUT | VM_PTE_PRESENT,
                                        .fill = true});
    leave(entered);
}

void vm_mmu_page_carved(uintptr_t first, size_t blocks, size_t size)
{
    bool entered = enter();

    change(first, blocks * size, effect[VM_MMU_OUT]);
    /* Up to where the last one starts: its rest, on one page more, is not written. */
    if (size <= (size_t)1 << VM_PAGE_SHIFT)
        change(first, (blocks - 1) * size + 1, effect[VM_MMU_TOUCHED]);
    else
        for (size_t i = 0; i < blocks; i++)
            change(first + i * size, 1, effect[VM_MMU_TOUCHED]);
    leave(entered);
}

static bool to_cow(void *ctx, uintptr_t base, size_t bytes, vm_pte *leaf)
{
    (void)ctx;
    (void)base;
    (void)bytes;
    *leaf |= *leaf & VM_PTE_PRESENT ? VM_PTE_COW : 0;
    return true;
}

void vm_mmu_forked(void) { vm_pgtab_each(&pages, to_cow, NULL); }

bool vm_mmu_pages_each(bool (*f)(void *ctx, uintptr_t base, size_t bytes, vm_pte *leaf), void *ctx)
{
    return vm_pgtab_each(&pages, f, ctx);
}

vm_pte vm_mmu_page(uintptr_t address)
{
    size_t bytes;
    bool entered = enter();
    vm_pte e = vm_pgtab_run(&pages, address, &bytes);

    leave(entered);
    return e;
}

uint64_t vm_mmu_pages_with(uintptr_t from, uintptr_t to, vm_pte bits)
{
    bool entered = enter();
    uint64_t count = 0;

    for (size_t run; from < to; from += run) {
        vm_pte e = vm_pgtab_run(&pages, from, &run);
        run = vm_min(run, to - from);
        count += (e & bits) == bits ? run >> VM_PAGE_SHIFT : 0;
    }
    leave(entered);
    return count;
}

struct vm_mmu_faults vm_mmu_faults(void)
{
    bool entered = enter();
    struct vm_mmu_faults f = faults;

    leave(entered);
    return f;
}

bool vm_mmu_check(void)
{
    vm_lock(&vm_mmu_lock);
    bool good = vm_pgtab_check(&shadow) && vm_pgtab_check(&pages);
    vm_unlock(&vm_mmu_lock);
    return good;
}
