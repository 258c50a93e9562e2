/* Playing traces; see trace_run.h. */
#include "sim/trace_run.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/tree.h"
#include "sim/mem.h"

#define PAGE VM_SIM_PAGE_SIZE
#define ALL_PERMS (VM_SIM_R | VM_SIM_W | VM_SIM_X)
/* Where valgrind puts stacks (0x1ffefff000 down), and Linux the first one. */
#define VALGRIND_STACK 0x1ff0000000
#define VALGRIND_STACK_END 0x2000000000

struct block {                /* allocated, 128 KiB and more */
    struct vm_tree_node node; /* key: address */
    uint64_t bytes;
};

struct played { /* a process of the trace */
    uint32_t pid;
    struct vm_sim_process *process;
    uint64_t from, to; /* the area seen last, so that most references need no look-up */
    struct vm_tree blocks;
};

struct vm_sim_player {
    struct vm_sim_machine *m;
    uint64_t granule; /* bytes mapped at a first touch */
    struct played **played;
    size_t count, cap;
    struct vm_sim_player_stats stats;
};

struct vm_sim_player *vm_sim_player_new(struct vm_sim_machine *m)
{
    struct vm_sim_player *p = vm_sim_zalloc(sizeof *p);

    p->m = m;
    p->granule = PAGE;
    if (m->config.huge && vm_sim_paging_geometry[m->config.mode].levels > 1)
        p->granule = (uint64_t)1 << vm_sim_paging_geometry[m->config.mode].shift[1];
    return p;
}

static struct block *block_of(struct vm_tree_node *n) { return n ? VM_CONTAINER_OF(n, struct block, node) : NULL; }

void vm_sim_player_free(struct vm_sim_player *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++) {
        struct block *b;
        while ((b = block_of(vm_tree_first_at_least(&p->played[i]->blocks, 0)))) {
            vm_tree_remove(&p->played[i]->blocks, &b->node);
            free(b);
        }
        free(p->played[i]);
    }
    free(p->played);
    free(p);
}

struct vm_sim_player_stats vm_sim_player_stats(const struct vm_sim_player *p) { return p->stats; }

/* The newest one: pids come again. */
static struct played *find(const struct vm_sim_player *p, uint32_t pid)
{
    for (size_t i = p->count; i-- > 0;)
        if (p->played[i]->pid == pid)
            return p->played[i];
    return NULL;
}

struct vm_sim_process *vm_sim_player_process(const struct vm_sim_player *p, uint32_t pid)
{
    struct played *q = find(p, pid);

    return q ? q->process : NULL;
}

static struct played *enter(struct vm_sim_player *p, uint32_t pid, struct vm_sim_process *process)
{
    struct played *q = vm_sim_zalloc(sizeof *q);

    q->pid = pid;
    q->process = process;
    vm_sim_grow(&p->played, &p->cap, p->count + 1, sizeof *p->played);
    return p->played[p->count++] = q;
}

static int complain(struct vm_sim_message *message, const char *what, uint64_t n)
{
    snprintf(message->text, sizeof message->text, "%s (%#" PRIx64 ")", what, n);
    return -EINVAL;
}

static struct played *get(struct vm_sim_player *p, uint32_t pid, struct vm_sim_message *message)
{
    struct played *q = find(p, pid);
    char name[24];

    if (q)
        return q;
    snprintf(name, sizeof name, "pid-%" PRIu32, pid);
    struct vm_sim_process *process = vm_sim_process_new(p->m, name);
    if (process && process->mm)
        return enter(p, pid, process);
    if (process)
        complain(message, "this machine has no paging: it plays scripts, not traces; process", pid);
    else
        complain(message, "no room in the machine for process", pid);
    return NULL;
}

static bool alive(const struct played *q) { return q->process->mm != NULL; }

/* ---- First touches ---- */

static enum vm_sim_region region_of(const struct vm_sim_machine *m, uint64_t at, unsigned access)
{
    uint64_t stack = m->config.stack_limit ? m->config.stack_limit : VM_SIM_STACK_LIMIT;
    uint64_t end = vm_sim_paging_geometry[m->config.mode].user_end;

    if ((at >= VALGRIND_STACK && at < VALGRIND_STACK_END) || (at < end && at >= end - stack))
        return VM_SIM_STACK;
    return access == VM_SIM_FETCH ? VM_SIM_TEXT : VM_SIM_MMAP;
}

/* Maps what is free of the granule around the address, and remembers the area. */
static int map_touched(struct vm_sim_player *p, struct played *q, uint64_t at, unsigned access)
{
    struct vm_sim_mm *mm = q->process->mm;
    struct vm_sim_vma *v = vm_sim_find_vma(mm, at);
    uint64_t from = at & ~(p->granule - 1), to = from + p->granule;

    if (!v || v->start > at) {
        if (at >= mm->layout.task_size)
            return -EINVAL;
        if (vm_sim_find_vma(mm, from) != v) /* something ends in the granule, below the address */
            from = at & ~(PAGE - 1);
        from = vm_max(from, PAGE); /* to map at 0 means anywhere */
        if (at < from)
            return 0;
        to = vm_min(to, mm->layout.task_size);
        to = v ? vm_min(to, v->start) : to;
        enum vm_sim_region region = region_of(p->m, at, access);
        if (vm_sim_mmap(p->m, mm, from, to - from, ALL_PERMS, 0, region, NULL, 0, NULL) != 0)
            return -ENOMEM;
        p->stats.mapped += (to - from) / PAGE;
        v = vm_sim_find_vma(mm, at);
    }
    q->from = v->start;
    q->to = v->end;
    return 0;
}

static int touch(struct vm_sim_player *p, struct played *q, const struct vm_sim_ref *r, struct vm_sim_message *message)
{
    uint64_t last = r->offset + (r->bytes ? r->bytes : 1) - 1;

    for (uint64_t at = r->offset;; at = last) {
        if ((at < q->from || at >= q->to) && map_touched(p, q, at, r->access) == -EINVAL)
            return complain(message, "the machine has no such address for programs", at);
        if (at == last || last < q->to)
            return 0;
    }
}

static int play_refs(struct vm_sim_player *p, struct played *q, const struct vm_sim_item *item,
                     struct vm_sim_message *message)
{
    int error;

    p->stats.refs += item->n;
    if (!alive(q)) {
        p->stats.failed += item->n;
        return 0;
    }
    for (size_t i = 0; i < item->n; i++) {
        item->ref[i].process = q->process->context.slot;
        if ((error = touch(p, q, &item->ref[i], message)) != 0)
            return error;
    }
    p->stats.failed += item->n - vm_sim_refs(p->m, item->ref, item->n);
    return 0;
}

/* ---- Allocations ---- */

static int play_malloc(struct vm_sim_player *p, struct played *q, const struct vm_sim_item *item,
                       struct vm_sim_message *message)
{
    struct vm_sim_ref ref[64];
    struct vm_sim_item batch = {.ref = ref};
    uint64_t end = item->address + item->bytes;
    int error;

    if (item->bytes >= VM_SIM_MMAP_THRESHOLD) {
        struct block *b = vm_sim_zalloc(sizeof *b);
        b->node.key = item->address;
        b->node.order = (uintptr_t)p->stats.refs;
        b->bytes = item->bytes;
        vm_tree_insert(&q->blocks, &b->node);
    }
    for (uint64_t at = item->address; at < end; at = (at | (PAGE - 1)) + 1) {
        ref[batch.n++] = (struct vm_sim_ref){.offset = at, .access = VM_SIM_WRITE, .bytes = 1};
        if (batch.n < sizeof ref / sizeof *ref && (at | (PAGE - 1)) + 1 < end)
            continue;
        if ((error = play_refs(p, q, &batch, message)) != 0)
            return error;
        batch.n = 0;
    }
    return 0;
}

static int play_free(struct vm_sim_player *p, struct played *q, uint64_t address)
{
    struct block *b = block_of(vm_tree_first_at_least(&q->blocks, address));
    int error = 0;

    if (!b || b->node.key != address)
        return 0;
    uint64_t from = (address + PAGE - 1) & ~(PAGE - 1), to = (address + b->bytes + PAGE - 1) & ~(PAGE - 1);
    if (alive(q) && from < to)
        error = vm_sim_munmap(p->m, q->process->mm, from, to - from);
    vm_tree_remove(&q->blocks, &b->node);
    free(b);
    return error;
}

/* ---- Calls ---- */

static int play_brk(struct vm_sim_player *p, struct vm_sim_mm *mm, uint64_t brk)
{
    if (mm->brk == mm->start_brk && mm->brk != brk && !vm_sim_find_vma(mm, brk)) /* the program's own beginning */
        mm->start_brk = mm->brk = brk;
    return vm_sim_brk(p->m, mm, brk);
}

static int play_mmap(struct vm_sim_player *p, struct vm_sim_mm *mm, const struct vm_sim_item *item)
{
    struct vm_sim_file *file = item->name ? vm_sim_file_open(p->m, item->name, item->bytes) : NULL;
    enum vm_sim_region region = item->name ? VM_SIM_FILE : VM_SIM_MMAP;

    return vm_sim_mmap(p->m, mm, item->address, item->bytes, item->perms, item->shared ? VM_SIM_VMA_SHARED : 0, region,
                       file, 0, NULL);
}

static int play_fork(struct vm_sim_player *p, struct played *q, uint32_t child)
{
    struct vm_sim_fork_cost cost;
    struct vm_sim_process *process = vm_sim_fork(p->m, q->process, &cost);

    if (!process)
        return -ENOMEM;
    enter(p, child, process);
    p->stats.forks++;
    p->stats.fork.tables_copied += cost.tables_copied;
    p->stats.fork.entries += cost.entries;
    p->stats.fork.protected_ += cost.protected_;
    p->stats.fork.swapped += cost.swapped;
    p->stats.fork.shared += cost.shared;
    return 0;
}

static int play_call(struct vm_sim_player *p, struct played *q, const struct vm_sim_item *item)
{
    struct vm_sim_mm *mm = q->process->mm;

    q->from = q->to = 0; /* areas change */
    switch (item->kind) {
    case VM_SIM_ITEM_BRK: return play_brk(p, mm, item->address);
    case VM_SIM_ITEM_MMAP: return play_mmap(p, mm, item);
    case VM_SIM_ITEM_MUNMAP: return vm_sim_munmap(p->m, mm, item->address, item->bytes);
    case VM_SIM_ITEM_MPROTECT: return vm_sim_mprotect(p->m, mm, item->address, item->bytes, item->perms);
    case VM_SIM_ITEM_FREE: return play_free(p, q, item->address);
    case VM_SIM_ITEM_FORK: return play_fork(p, q, item->child);
    case VM_SIM_ITEM_EXEC:
        vm_sim_mm_clear(p->m, mm);
        mm->start_brk = mm->brk = 0;
        vm_sim_mm_add_stack(mm);
        return 0;
    default: vm_sim_exit(p->m, q->process, 0); return 0;
    }
}

int vm_sim_player_item(struct vm_sim_player *p, const struct vm_sim_item *item, struct vm_sim_message *message)
{
    struct played *q = get(p, item->pid, message);

    if (!q)
        return -EINVAL;
    if (item->kind == VM_SIM_ITEM_REFS)
        return play_refs(p, q, item, message);
    if (item->kind == VM_SIM_ITEM_MALLOC)
        return play_malloc(p, q, item, message);
    if (alive(q) && play_call(p, q, item) != 0)
        p->stats.refused++;
    return 0;
}

int vm_sim_trace_run(struct vm_sim_trace *t, struct vm_sim_machine *m, struct vm_sim_player_stats *stats,
                     struct vm_sim_message *message)
{
    struct vm_sim_player *p = vm_sim_player_new(m);
    struct vm_sim_item item;
    int more;

    while ((more = vm_sim_trace_next(t, &item, message)) > 0)
        if ((more = vm_sim_player_item(p, &item, message)) != 0)
            break;
    if (stats)
        *stats = p->stats;
    vm_sim_player_free(p);
    return more;
}
