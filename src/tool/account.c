/* Making the account; see account.h. */
#include "tool/account.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *key, *name;
} part_names[ACCOUNT_PARTS] = {
    [ACCOUNT_SMALL] = {"live_small", "live blocks in slabs"},
    [ACCOUNT_LARGE] = {"live_large", "live large blocks"},
    [ACCOUNT_SLACK] = {"slack", "slack: slab ends, not yet cut"},
    [ACCOUNT_FREE] = {"slab_free", "free blocks in slabs"},
    [ACCOUNT_FRAMES] = {"frames_kept", "free frames kept"},
    [ACCOUNT_EXTENTS] = {"extents_kept", "free extents kept"},
    [ACCOUNT_LAZY] = {"lazily_freed", "lazily freed (MADV_FREE)"},
    [ACCOUNT_UNUSED] = {"huge_unused", "inflation by huge pages"},
    [ACCOUNT_META] = {"metadata", "metadata"},
    [ACCOUNT_LIBRARY] = {"library", "libvmalloc's code and data"},
    [ACCOUNT_PROGRAM] = {"program", "program"},
    [ACCOUNT_LIBRARIES] = {"libraries", "libraries"},
    [ACCOUNT_FILES] = {"files", "other files"},
    [ACCOUNT_SHARED] = {"shared", "shared memory"},
    [ACCOUNT_STACKS] = {"stacks", "stacks"},
    [ACCOUNT_BREAK] = {"foreign_break", "break, not ours"},
    [ACCOUNT_ANON] = {"anonymous", "other anonymous"},
    [ACCOUNT_KERNEL] = {"kernel", "mapped by the kernel"},
};

const char *account_name(enum account_part part) { return part_names[part].name; }
const char *account_key(enum account_part part) { return part_names[part].key; }

/* ---- Whose is a mapping? ---- */

struct owners {
    char program[4096];  /* the program's file */
    const char *library; /* libvmalloc's, or the program's when it is linked statically */
    uint64_t *sp;
    size_t stacks;
    const char *last_data; /* the file of the writable mapping before: its .bss follows it */
    uint64_t last_end;
};

static bool is_library_name(const char *path)
{
    const char *name = strrchr(path, '/'), *so;

    name = name ? name + 1 : path;
    so = strstr(name, ".so");
    return so && (so[3] == '\0' || so[3] == '.' || so[3] == ' ');
}

static enum account_part part_of_file(const struct owners *o, const struct procfs_mapping *m, const char *path)
{
    if (strcmp(path, o->program) == 0)
        return ACCOUNT_PROGRAM;
    if (o->library && strcmp(path, o->library) == 0)
        return ACCOUNT_LIBRARY;
    if (m->perms[3] == 's' && m->perms[1] == 'w')
        return ACCOUNT_SHARED;
    return is_library_name(path) ? ACCOUNT_LIBRARIES : ACCOUNT_FILES;
}

static bool has_stack(const struct owners *o, const struct procfs_mapping *m)
{
    for (size_t i = 0; i < o->stacks; i++)
        if (o->sp[i] >= m->start && o->sp[i] < m->end)
            return true;
    return false;
}

static enum account_part part_of(struct owners *o, const struct procfs_mapping *m)
{
    if (strcmp(m->path, "[stack]") == 0)
        return ACCOUNT_STACKS;
    if (strcmp(m->path, "[heap]") == 0)
        return ACCOUNT_BREAK;
    if (m->path[0] == '[' && strncmp(m->path, "[anon", 5) != 0)
        return ACCOUNT_KERNEL;
    if (m->is_file) {
        o->last_data = m->perms[1] == 'w' ? m->path : NULL;
        o->last_end = m->end;
        return part_of_file(o, m, m->path);
    }
    if (has_stack(o, m))
        return ACCOUNT_STACKS;
    if (o->last_data && m->start == o->last_end && m->perms[1] == 'w') /* .bss */
        return part_of_file(o, m, o->last_data);
    return ACCOUNT_ANON;
}

static int find_owners(const struct view *v, struct owners *o)
{
    char path[64];

    *o = (struct owners){0};
    snprintf(path, sizeof path, "/proc/%d/exe", (int)v->task);
    if (readlink(path, o->program, sizeof o->program - 1) < 0)
        o->program[0] = '\0';
    const struct procfs_mapping *m = view_library(v);
    o->library = m && m->is_file ? m->path : NULL;
    return procfs_stack_pointers(v->pid, &o->sp, &o->stacks);
}

/* ---- The heap's parts ---- */

static void add_piece(struct account *a, const struct view_piece *p)
{
    uint64_t *part = a->part;

    part[p->kind == VIEW_SLAB ? ACCOUNT_SMALL : ACCOUNT_LARGE] += p->live;
    part[ACCOUNT_FREE] += p->free;
    part[ACCOUNT_SLACK] += p->slack;
    part[p->kind == VIEW_FRAMES ? ACCOUNT_FRAMES : ACCOUNT_EXTENTS] += p->kept;
    part[ACCOUNT_UNUSED] += p->unused;
    part[ACCOUNT_META] += p->meta;
    a->handed_out += p->handed_out;
    a->huge += p->huge;
    a->swapped += p->swapped;
    if (p->kind != VIEW_META) /* the reservation for mem_map is address space, no memory given back */
        a->returned += p->end - p->start - p->resident - p->swapped;
}

/* The lazily freed pages of the heap's mappings are among what is kept; free blocks and slack only after that. */
static void take_lazy(struct account *a, uint64_t lazy)
{
    static const enum account_part from[] = {ACCOUNT_FRAMES, ACCOUNT_EXTENTS, ACCOUNT_FREE, ACCOUNT_SLACK,
                                             ACCOUNT_UNUSED};

    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        uint64_t taken = vm_min(a->part[from[i]], lazy);
        a->part[from[i]] -= taken;
        a->part[ACCOUNT_LAZY] += taken;
        lazy -= taken;
    }
}

/* ---- Fork ---- */

static bool is_copied_by_fork(const struct procfs_mapping *m)
{
    return m->perms[3] == 'p' && !m->not_forked && m->anonymous > 0;
}

/* Bytes at which both have a page of their own, in [start, end); ascending calls. */
static uint64_t both_own(const struct procfs_runs *a, const struct procfs_runs *b, uint64_t start, uint64_t end,
                         size_t hint[2])
{
    const uint32_t own = PROCFS_PRESENT | PROCFS_EXCLUSIVE;
    uint64_t bytes = 0;

    while (hint[0] < a->count && a->run[hint[0]].end <= start)
        hint[0]++;
    for (size_t i = hint[0]; i < a->count && a->run[i].start < end; i++)
        if ((a->run[i].flags & own) == own && !(a->run[i].flags & PROCFS_FILE))
            bytes += procfs_runs_bytes(b, vm_max(a->run[i].start, start), vm_min(a->run[i].end, end), own, &hint[1]);
    return bytes;
}

/* The pages of one child beside ours, both by the words of pagemap. */
static int compare_pages(const struct view *v, struct account_child *c, struct procfs_maps *maps)
{
    struct procfs_pages mine = {.fd = -1}, its = {.fd = -1};
    struct procfs_runs a = {0}, b = {0};
    size_t hint[2] = {0, 0}, heap_hint[2] = {0, 0}, shared_hint = 0;
    int error = procfs_pages_open(v->task, &mine);

    if (!error)
        error = procfs_pages_open(c->pid, &its);
    for (size_t i = 0; i < maps->count && !error; i++) {
        const struct procfs_mapping *m = &maps->mapping[i];
        if (!is_copied_by_fork(m))
            continue;
        error = procfs_pages_words(&mine, m->start, m->end, &a);
        if (!error)
            error = procfs_pages_words(&its, m->start, m->end, &b);
    }
    for (size_t i = 0; i < maps->count && !error; i++)
        if (is_copied_by_fork(&maps->mapping[i]))
            c->copied += both_own(&a, &b, maps->mapping[i].start, maps->mapping[i].end, hint);
    for (size_t i = 0; i < v->count && !error; i++) {
        const struct view_piece *p = &v->piece[i];
        size_t present_hint = shared_hint;
        c->copied_heap += both_own(&a, &b, p->start, p->end, heap_hint);
        c->shared_heap += procfs_runs_bytes(&b, p->start, p->end, PROCFS_PRESENT, &present_hint)
                          - procfs_runs_bytes(&b, p->start, p->end, PROCFS_PRESENT | PROCFS_EXCLUSIVE, &shared_hint);
    }
    procfs_runs_free(&a);
    procfs_runs_free(&b);
    procfs_pages_close(&mine);
    procfs_pages_close(&its);
    return error;
}

static int read_child(const struct view *v, pid_t pid, struct account_child *c)
{
    struct procfs_maps maps;
    int error = procfs_read_smaps(pid, &maps);

    *c = (struct account_child){.pid = pid};
    if (error)
        return error;
    for (size_t i = 0; i < maps.count; i++) {
        const struct procfs_mapping *m = &maps.mapping[i];
        c->rss += m->rss;
        if (!is_copied_by_fork(m))
            continue;
        /* Pages of a private mapping that are not anonymous are clean and the file's: they are shared or private, too, and
           those that are private are few; what is private and dirty is anonymous for sure. */
        uint64_t own = vm_min(m->anonymous, m->private_);
        c->private_ += own;
        c->shared += m->anonymous - own;
    }
    if (v->has_pages && (error = compare_pages(v, c, &maps)) == 0)
        c->knows_copies = true;
    procfs_maps_free(&maps);
    return error;
}

static int read_children(const struct view *v, struct account *a)
{
    pid_t *pid;
    size_t count;
    int error = procfs_forked_children(v->pid, &pid, &count);

    if (error)
        return error;
    a->child = count ? calloc(count, sizeof *a->child) : NULL;
    for (size_t i = 0; i < count && a->child; i++)
        if (read_child(v, pid[i], &a->child[a->children]) == 0) /* it may be gone by now */
            a->children++;
    free(pid);
    return count && !a->child ? -ENOMEM : 0;
}

/* ---- All of it ---- */

/* What no piece covers.  Where there is no piece smaps says it; else pages were counted.  *next: the first piece that may
   reach into the mapping; *lazy: of mappings of the heap. */
static void take_mapping(struct account *a, const struct view *v, struct owners *o, const struct procfs_mapping *m,
                         size_t *next, uint64_t *lazy)
{
    enum account_part part = part_of(o, m);

    while (*next < v->count && v->piece[*next].end <= m->start)
        ++*next;
    bool is_ours = *next < v->count && v->piece[*next].start < m->end;
    uint64_t others = is_ours ? view_uncovered(v, m, *next) : m->rss;
    a->part[part] += others;
    if (is_ours)
        *lazy += m->lazy_free;
    if (is_copied_by_fork(m)) {
        a->fork.all += m->anonymous;
        a->fork.swapped += m->swap;
        a->fork.part[part] += vm_min(others, m->anonymous);
    }
    if (others)
        a->other[a->others++] = (struct account_mapping){m, others, part};
}

/* From figures: what the heap holds, as far as there is anonymous memory for it, and what is left of that. */
static void take_figures(struct account *a, const struct vm_figures *f)
{
    const struct {
        enum account_part part;
        uint64_t bytes;
    } holds[] = {
        {ACCOUNT_META, f->metadata_bytes + f->mem_map_bytes},
        {ACCOUNT_SMALL, f->small_live_bytes},
        {ACCOUNT_LARGE, f->large_live_bytes},
        {ACCOUNT_FRAMES, f->frames_dirty_bytes},
        {ACCOUNT_EXTENTS, f->extents_dirty_bytes},
        {ACCOUNT_FREE, f->slab_free_bytes},
    };
    uint64_t left = a->part[ACCOUNT_ANON] + a->part[ACCOUNT_BREAK];
    uint64_t left_of_fork = a->fork.part[ACCOUNT_ANON] + a->fork.part[ACCOUNT_BREAK];

    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        uint64_t bytes = vm_min(holds[i].bytes, left);
        a->part[holds[i].part] = bytes;
        left -= bytes;
        left_of_fork -= vm_min(bytes, left_of_fork);
    }
    a->part[ACCOUNT_ANON] = left;
    a->fork.part[ACCOUNT_ANON] = left_of_fork;
    a->part[ACCOUNT_BREAK] = a->fork.part[ACCOUNT_BREAK] = 0;
    a->handed_out = f->small_live_bytes + f->large_live_bytes;
}

int account_make(struct view *v, bool children, struct account *a)
{
    struct owners owners;
    size_t next = 0;
    uint64_t lazy = 0;

    *a = (struct account){.rss = v->totals.rss};
    a->other = calloc(v->maps.count ? v->maps.count : 1, sizeof *a->other);
    int error = a->other ? find_owners(v, &owners) : -ENOMEM;
    if (error) {
        account_free(a);
        return error;
    }
    for (size_t i = 0; i < v->count; i++)
        add_piece(a, &v->piece[i]);
    for (size_t i = 0; i < v->maps.count; i++)
        take_mapping(a, v, &owners, &v->maps.mapping[i], &next, &lazy);
    free(owners.sp);
    take_lazy(a, lazy);
    if (v->shared)
        take_figures(a, &v->shared->figures);
    for (unsigned i = 0; i < ACCOUNT_PARTS; i++) {
        if (i < ACCOUNT_LIBRARY) /* the heap's are all anonymous and private */
            a->fork.part[i] = a->part[i];
        a->sum += a->part[i];
    }
    a->residual = (int64_t)a->rss - (int64_t)a->sum;
    a->fork.page_tables = v->totals.page_tables;
    error = children ? read_children(v, a) : 0;
    if (error)
        account_free(a);
    return error;
}

void account_free(struct account *a)
{
    free(a->other);
    free(a->child);
    a->other = NULL;
    a->child = NULL;
}
