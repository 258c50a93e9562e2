/* Processes; see process.h. */
#include "sim/process.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "sim/linux012.h"
#include "sim/machine.h"
#include "sim/mem.h"
#include "sim/rmap.h"
#include "sim/segments.h"
#include "sim/workset.h"

#define WORKSET_SAMPLES 4096
#define BATCH 512

/* linux-0.12: process 0 is the kernel's own. */
static unsigned first_slot(const struct vm_sim_machine *m) { return m->config.shared_directory ? 1 : 0; }

static int free_slot(const struct vm_sim_machine *m)
{
    unsigned slots = m->config.max_processes ? m->config.max_processes : VM_SIM_MAX_PROCESSES;

    for (unsigned i = first_slot(m); i < slots && i < VM_SIM_MAX_PROCESSES; i++)
        if (!m->cpu.context[i])
            return (int)i;
    return -ENOSPC;
}

static bool is_paged(const struct vm_sim_machine *m) { return m->kernel != NULL; }

/* Everything but areas. */
static struct vm_sim_process *make(struct vm_sim_machine *m, const char *name)
{
    int slot = free_slot(m);
    struct vm_sim_mm *mm = NULL;

    if (slot < 0)
        return NULL;
    if (is_paged(m)) {
        mm = vm_sim_mm_new(m, m->config.shared_directory ? (uint64_t)slot * VM_SIM_012_SPACE : 0);
        if (!mm)
            return NULL;
    }
    struct vm_sim_process *p = vm_sim_zalloc(sizeof *p);
    p->name = vm_sim_strdup(name);
    p->mm = mm;
    p->born = m->cpu.refs;
    p->context.pid = m->next_pid++;
    p->context.slot = (uint16_t)slot;
    p->context.asid = (uint16_t)(slot + 1);
    p->context.cpl = 3;
    if (mm) {
        p->context.pt = mm->pt;
        p->context.resident = &mm->rss;
        mm->context = &p->context;
    }
    if (m->config.window) {
        p->context.workset = vm_sim_zalloc(sizeof *p->context.workset);
        vm_sim_workset_init(p->context.workset, m->config.window, WORKSET_SAMPLES);
    }
    if (m->config.shared_directory)
        vm_sim_012_segments(m, p);
    m->cpu.context[slot] = &p->context;
    vm_list_push_back(&m->processes, &p->link);
    return p;
}

struct vm_sim_process *vm_sim_process_new(struct vm_sim_machine *m, const char *name)
{
    struct vm_sim_process *p = make(m, name);

    if (!p)
        return NULL;
    /* Where a process makes its own segments, the stack is one of them. */
    if (p->mm && (m->config.addressing == VM_SIM_FLAT || m->config.shared_directory))
        vm_sim_mm_add_stack(p->mm);
    vm_sim_emit(&m->events, VM_SIM_EV(PROCESS, .process = p->context.pid, .cause = "new", .name = p->name));
    return p;
}

struct vm_sim_process *vm_sim_process_next(const struct vm_sim_machine *m, const struct vm_sim_process *p)
{
    const struct vm_list *l = p ? p->link.next : m->processes.next;

    return l == &m->processes ? NULL : VM_CONTAINER_OF(l, struct vm_sim_process, link);
}

struct vm_sim_process *vm_sim_process_by_pid(struct vm_sim_machine *m, uint32_t pid)
{
    struct vm_sim_process *p = vm_sim_process_next(m, NULL);

    while (p && p->context.pid != pid)
        p = vm_sim_process_next(m, p);
    return p;
}

struct vm_sim_process *vm_sim_process_by_name(struct vm_sim_machine *m, const char *name)
{
    struct vm_sim_process *found = NULL;

    for (struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p))
        if (strcmp(p->name, name) == 0)
            found = p;
    return found;
}

/* ---- Fork ---- */

struct copy {
    struct vm_sim_machine *m;
    struct vm_sim_mm *from, *to;
    struct vm_sim_fork_cost *cost;
};

/* One leaf of the parent, as it is now, to the child.  0, -ENOMEM. */
static int copy_leaf(struct copy *c, const struct vm_sim_vma *v, struct vm_sim_linear at)
{
    struct vm_sim_linear there = {at.at - c->from->base + c->to->base};
    unsigned level;
    vm_sim_pte *e = vm_sim_pt_find(c->from->pt, at, &level);

    if (!e || *e == 0)
        return 0;
    bool is_present = *e & VM_SIM_PTE_P, protect = is_present && (*e & VM_SIM_PTE_W) && !(v->flags & VM_SIM_VMA_SHARED);
    vm_sim_pte entry = *e;
    if (protect)
        entry = (entry & ~VM_SIM_PTE_W) | VM_SIM_PTE_COW;
    vm_sim_pte childs = is_present ? entry & ~(VM_SIM_PTE_A | VM_SIM_PTE_D) : entry;
    int error = vm_sim_store(c->m, c->to, there, level, childs);
    if (error)
        return error;
    if (!is_present) {
        vm_sim_swap_get(&c->m->swaps, entry);
        c->to->swapped++;
        c->cost->swapped++;
        return 0;
    }
    if (protect) {
        error = vm_sim_store(c->m, c->from, at, level, entry);
        VM_ASSERT(error == 0);
        vm_sim_cpu_flush_page(&c->m->cpu, c->from->context, at);
        c->cost->protected_++;
    }
    vm_sim_get_frame(&c->m->memory, vm_sim_pte_frame(entry));
    vm_sim_mapped(c->m, c->to, vm_sim_pte_frame(entry));
    c->cost->entries++;
    c->cost->shared++;
    return 0;
}

/* As Linux: areas without a private page of their own are left to the child's faults. */
static int copy_area(struct copy *c, const struct vm_sim_vma *v)
{
    struct vm_sim_leaf leaf[BATCH];
    struct vm_sim_vma like = *v;

    like.start = v->start - c->from->base + c->to->base;
    like.end = v->end - c->from->base + c->to->base;
    int error = vm_sim_vma_insert(c->to, &like, NULL);
    VM_ASSERT(error == 0);
    if (!v->anon)
        return 0;
    for (uint64_t at = v->start; at < v->end;) {
        size_t n = vm_sim_leaves(c->from, &at, v->end, leaf, BATCH);
        for (size_t i = 0; i < n; i++)
            while ((error = copy_leaf(c, v, leaf[i].at)) != 0)
                if (error != -ENOMEM || vm_sim_reclaim_frames(c->m, VM_SIM_ZONE_NORMAL, 1) == 0)
                    return error;
    }
    return 0;
}

static uint64_t tables_of(const struct vm_sim_pt *pt)
{
    struct vm_sim_pt_stats s = vm_sim_pt_stats(pt);
    uint64_t n = 0;

    for (unsigned i = 0; i < 5; i++)
        n += s.tables[i];
    return n;
}

static void copy_places(struct vm_sim_mm *to, const struct vm_sim_mm *from)
{
    uint64_t by = to->base - from->base;

    to->start_code = from->start_code + by;
    to->end_code = from->end_code + by;
    to->start_data = from->start_data + by;
    to->end_data = from->end_data + by;
    to->start_brk = from->start_brk + by;
    to->brk = from->brk + by;
    to->start_stack = from->start_stack + by;
}

static void forget(struct vm_sim_machine *m, struct vm_sim_process *p);

struct vm_sim_process *vm_sim_fork(struct vm_sim_machine *m, struct vm_sim_process *p, struct vm_sim_fork_cost *cost)
{
    struct vm_sim_fork_cost unused = {0};

    VM_ASSERT(p->mm && !p->exited);
    uint64_t tables = m->config.shared_directory ? tables_of(p->mm->pt) : 0;
    struct vm_sim_process *child = make(m, p->name);
    if (!child)
        return NULL;
    VM_ASSERT(child->mm); /* as p has one */
    cost = cost ? cost : &unused;
    *cost = (struct vm_sim_fork_cost){0};
    struct copy c = {m, p->mm, child->mm, cost};
    copy_places(child->mm, p->mm);
    for (const struct vm_sim_vma *v = vm_sim_vma_first(p->mm); v; v = vm_sim_vma_next(v)) {
        if (copy_area(&c, v) == 0)
            continue;
        vm_sim_cpu_forget(&m->cpu, &child->context);
        vm_sim_mm_put(m, child->mm);
        m->next_pid--;
        forget(m, child);
        return NULL;
    }
    child->parent = p;
    child->nice = p->nice;
    memcpy(child->context.selector, p->context.selector, sizeof child->context.selector);
    cost->tables_copied = tables_of(child->mm->pt) - tables;
    vm_sim_emit(&m->events, VM_SIM_EV(PROCESS, .process = p->context.pid, .cause = "fork", .number = child->context.pid,
                                      .name = p->name, .count = cost->shared));
    return child;
}

/* ---- The end ---- */

uint64_t vm_sim_exit(struct vm_sim_machine *m, struct vm_sim_process *p, int signal)
{
    uint64_t before = is_paged(m) ? vm_sim_free_frames(&m->memory) : 0;

    VM_ASSERT(!p->exited);
    if (p->context.workset)
        vm_sim_workset_end(p->context.workset, p->mm ? p->mm->rss : 0, m->cpu.page_faults);
    p->exited = p->context.dead = true;
    p->signal = signal;
    vm_sim_segments_free(m, p);
    if (p->program && p->program->loaded)
        vm_sim_program_out(&m->core, p->program);
    p->context.resident = NULL;
    if (p->mm) {
        struct vm_sim_mm *mm = p->mm;
        p->end.highest_rss = mm->highest_rss;
        p->end.min_faults = mm->min_faults;
        p->end.maj_faults = mm->maj_faults;
        vm_sim_mm_put(m, mm);
        p->mm = NULL;
    }
    vm_sim_cpu_forget(&m->cpu, &p->context);
    p->context.pt = NULL;
    uint64_t freed = is_paged(m) ? vm_sim_free_frames(&m->memory) - before : 0;
    vm_sim_emit(&m->events, VM_SIM_EV(PROCESS, .process = p->context.pid, .cause = "exit", .count = freed,
                                      .number = (uint64_t)signal, .name = p->name));
    return freed;
}

static void forget(struct vm_sim_machine *m, struct vm_sim_process *p)
{
    vm_sim_segments_free(m, p);
    if (p->context.workset)
        vm_sim_workset_free(p->context.workset);
    free(p->context.workset);
    vm_list_remove(&p->link);
    free((char *)(uintptr_t)p->name);
    free(p);
}

void vm_sim_processes_free(struct vm_sim_machine *m)
{
    for (struct vm_sim_process *p = vm_sim_process_next(m, NULL), *next; p; p = next) {
        next = vm_sim_process_next(m, p);
        if (!p->exited)
            vm_sim_exit(m, p, 0);
        forget(m, p);
    }
}

/* ---- Invariants ---- */

struct tally {
    uint32_t *mapped, *swapped; /* by frame, and by slot of one area after another */
    const struct vm_sim_machine *m;
};

static size_t slot_index(const struct vm_sim_machine *m, vm_sim_pte slot)
{
    size_t at = vm_sim_pte_swap_slot(slot);

    for (unsigned i = 0; i < vm_sim_pte_swap_area(slot); i++)
        at += m->swaps.area[i].slots;
    return at;
}

static int tally_leaf(void *ctx, struct vm_sim_linear at, unsigned level, vm_sim_pte *entry)
{
    struct tally *t = ctx;

    (void)at;
    (void)level;
    if (*entry & VM_SIM_PTE_P)
        t->mapped[vm_sim_pte_frame(*entry)]++;
    else
        t->swapped[slot_index(t->m, *entry)]++;
    return 0;
}

static bool counts_agree(const struct vm_sim_machine *m, const struct tally *t)
{
    for (vm_sim_pfn i = 0; i < m->memory.map.frames; i++) {
        const struct vm_sim_frame *f = &m->memory.map.frame[i];
        bool in_cache = f->flags & VM_SIM_FRAME_SWAP_CACHE;
        if (f->mapcount != t->mapped[i])
            return false;
        if (f->kind == VM_SIM_FRAME_ANON && f->count > 0 && f->count != f->mapcount + in_cache)
            return false;
        if (in_cache && vm_sim_swap_cached(&m->swaps, f->swap) != i)
            return false;
    }
    for (unsigned a = 0; a < m->swaps.areas; a++)
        for (uint32_t s = 1; s < m->swaps.area[a].slots; s++) {
            const struct vm_sim_swap_area *area = &m->swaps.area[a];
            if (area->count[s]
                != t->swapped[slot_index(m, vm_sim_pte_swap(a, s))] + (area->cache[s] != VM_SIM_NO_FRAME))
                return false;
        }
    return true;
}

bool vm_sim_processes_check(const struct vm_sim_machine *m)
{
    struct tally t = {.m = m};
    size_t slots = 1, mms = 0, users = 0;
    bool good = true;

    for (unsigned a = 0; a < m->swaps.areas; a++)
        slots += m->swaps.area[a].slots;
    t.mapped = vm_sim_zalloc(m->memory.map.frames * sizeof *t.mapped);
    t.swapped = vm_sim_zalloc(slots * sizeof *t.swapped);
    for (const struct vm_list *l = m->mms.next; l != &m->mms; l = l->next, mms++) {
        const struct vm_sim_mm *mm = VM_CONTAINER_OF(l, struct vm_sim_mm, link);
        good &= vm_sim_mm_check(m, mm);
        for (const struct vm_sim_vma *v = vm_sim_vma_first(mm); v; v = vm_sim_vma_next(v))
            vm_sim_pt_each(mm->pt, VM_SIM_LINEAR(v->start), VM_SIM_LINEAR(v->end), tally_leaf, &t);
        users += mm->users;
    }
    for (const struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p)) {
        good &= p->exited == p->context.dead && !(p->exited && p->mm);
        good &= p->exited || m->cpu.context[p->context.slot] == &p->context;
        users -= p->mm != NULL;
    }
    good &= users == 0 && (!is_paged(m) || counts_agree(m, &t));
    free(t.mapped);
    free(t.swapped);
    return good;
}
