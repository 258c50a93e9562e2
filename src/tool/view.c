/* Laying the heap's ranges over the kernel's pages; see view.h.  Ranges and runs are both sorted by address, so that all
   of it is one walk; only slabs with free blocks of a page and more are read from the process, sixteen bytes a block. */
#include "tool/view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tool/command.h"
#include "tool/grow.h"

#define STILL_SHARE 256           /* RSS may drift by that share ... */
#define STILL_BYTES (64 * VM_KIB) /* ... or by that much, and the look counts as one moment */
#define LIBRARY_NAME "/libvmalloc.so"
#define PAUSE 10000   /* microseconds between looks */
#define SEALS_MAX 512 /* of blocks of a page and more in one slab */

/* What one walk carries along. */
struct walk {
    struct view *v;
    uint64_t secret, page;
    size_t hint, huge_hint, swap_hint; /* into the runs, each ascending with its questions */
    size_t block_hint;                 /* ... with the blocks of this piece */
};

struct seal {
    uint64_t next, seal;
};

/* ---- Pieces ---- */

static struct view_piece *add_piece(struct view *v, uint64_t start, uint64_t end, enum view_kind kind)
{
    struct view_piece *more = tool_grow(v->piece, v->count, sizeof *more);

    if (!more)
        return NULL;
    v->piece = more;
    struct view_piece *p = &v->piece[v->count++];
    *p = (struct view_piece){.start = start, .end = end, .kind = (uint8_t)kind};
    return p;
}

static void measure(struct walk *w, struct view_piece *p)
{
    const struct procfs_runs *runs = &w->v->runs;

    p->resident = procfs_runs_bytes(runs, p->start, p->end, PROCFS_PRESENT, &w->hint);
    p->huge = procfs_runs_bytes(runs, p->start, p->end, PROCFS_PRESENT | PROCFS_HUGE, &w->huge_hint);
    p->swapped = procfs_runs_bytes(runs, p->start, p->end, PROCFS_SWAPPED, &w->swap_hint);
    w->block_hint = w->hint;
}

/* The seals of the slab's blocks whose first page is resident, by one call; false in `known` where none was read.  To read
   an absent page would make the kernel map one. */
static void read_seals(struct walk *w, const struct peek_range *r, struct seal seal[], bool known[])
{
    struct iovec here[SEALS_MAX], there[SEALS_MAX];
    uint32_t index[SEALS_MAX];
    unsigned n = 0;
    size_t hint = w->block_hint;

    memset(known, 0, SEALS_MAX * sizeof *known);
    for (uint32_t i = 0; i < r->carved && i < SEALS_MAX; i++) {
        uint64_t at = r->start + (uint64_t)i * r->block_size;
        if (procfs_runs_bytes(&w->v->runs, at, at + sizeof *seal, PROCFS_PRESENT, &hint) != sizeof *seal)
            continue;
        here[n] = (struct iovec){&seal[i], sizeof *seal};
        there[n] = (struct iovec){(void *)(uintptr_t)at, sizeof *seal};
        index[n++] = i;
    }
    ssize_t got = n ? process_vm_readv(w->v->task, here, n, there, n, 0) : 0;
    for (unsigned i = 0; i < n && got >= (ssize_t)sizeof *seal; i++, got -= (ssize_t)sizeof *seal)
        known[index[i]] = true;
}

/* Does the block at that offset begin in pages that went back? */
static bool is_absent(const struct walk *w, const struct peek_range *r, uint64_t offset)
{
    return r->absent >> (offset / peek_unit_bytes(r, w->page)) & 1;
}

/* Resident bytes in pages that went back: they came again with a huge page. */
static uint64_t resident_absent(const struct walk *w, const struct peek_range *r, uint64_t end)
{
    uint64_t unit = peek_unit_bytes(r, w->page), bytes = 0;
    size_t hint = w->block_hint;

    for (uint64_t left = r->absent; left; left &= left - 1) {
        uint64_t at = r->start + (uint64_t)__builtin_ctzll(left) * unit;
        if (at < end)
            bytes += procfs_runs_bytes(&w->v->runs, at, vm_min(at + unit, end), PROCFS_PRESENT, &hint);
    }
    return bytes;
}

/* Resident bytes of live blocks, block by block.  One that could not be looked at is live if others are not enough. */
static uint64_t live_by_seals(struct walk *w, const struct peek_range *r)
{
    struct seal seal[SEALS_MAX];
    bool known[SEALS_MAX];
    uint64_t live = 0, unsure[SEALS_MAX];
    uint32_t found = 0, unsures = 0;

    read_seals(w, r, seal, known);
    for (uint32_t i = 0; i < r->carved; i++) {
        uint64_t at = r->start + (uint64_t)i * r->block_size;
        uint64_t bytes = procfs_runs_bytes(&w->v->runs, at, at + r->block_size, PROCFS_PRESENT, &w->block_hint);
        if (is_absent(w, r, at - r->start))
            continue;
        if (!known[i]) {
            unsure[unsures++] = bytes;
        } else if (seal[i].seal != (w->secret ^ at ^ seal[i].next)) {
            live += bytes;
            found++;
        }
    }
    for (uint32_t i = 0; i < unsures && found < r->used; i++, found++)
        live += unsure[i];
    return live;
}

/* Of blocks smaller than a page every page of a live one holds pages or is swapped out, so that what is missing otherwise
   is of free ones. */
static uint64_t live_by_count(const struct walk *w, const struct peek_range *r, uint64_t resident, uint64_t carved_end)
{
    uint64_t live = (uint64_t)r->used * r->block_size, carved = carved_end - r->start;
    size_t hint = w->block_hint;
    uint64_t swapped = procfs_runs_bytes(&w->v->runs, r->start, carved_end, PROCFS_SWAPPED, &hint);

    if (swapped && carved)
        live -= (uint64_t)((double)live * (double)swapped / (double)carved);
    return vm_min(live, resident);
}

static void fill_slab(struct walk *w, const struct peek_range *r, struct view_piece *p)
{
    uint64_t carved_end = vm_min(r->start + (uint64_t)r->carved * r->block_size, r->end);
    size_t hint = w->block_hint;
    uint64_t resident = procfs_runs_bytes(&w->v->runs, r->start, carved_end, PROCFS_PRESENT, &hint);
    size_t huge_hint = hint;

    if (r->used >= r->carved)
        p->live = resident;
    else if (r->block_size < w->page || r->carved > SEALS_MAX || !w->v->has_pages)
        p->live = live_by_count(w, r, resident, carved_end);
    else
        p->live = live_by_seals(w, r);
    p->live = vm_min(vm_min(p->live, resident), (uint64_t)r->used * r->block_size);
    uint64_t again = vm_min(resident_absent(w, r, carved_end), resident - p->live);
    p->free = resident - p->live - again;
    uint64_t huge = procfs_runs_bytes(&w->v->runs, carved_end, r->end, PROCFS_PRESENT | PROCFS_HUGE, &huge_hint);
    p->unused = again + huge;
    p->slack = p->resident - resident - huge;
    p->handed_out = (uint64_t)r->used * r->block_size;
    p->blocks = r->used;
    p->block_size = r->block_size;
    p->class_id = r->class_id;
}

static void fill(const struct peek_range *r, struct view_piece *p)
{
    switch (r->kind) {
    case PEEK_EXTENT_LIVE:
        p->live = p->resident;
        p->handed_out = p->end - p->start;
        p->blocks = p->start == r->start;
        break;
    case PEEK_FRAME_CLEAN:
    case PEEK_EXTENT_CLEAN: p->unused = p->resident; break;
    case PEEK_FRAME_DIRTY: /* what a huge page brought along besides what was touched */
        p->unused = p->huge > r->resident ? p->huge - r->resident : 0;
        p->kept = p->resident - p->unused;
        break;
    case PEEK_METADATA:
    case PEEK_MEM_MAP: p->meta = p->resident; break;
    default: p->kept = p->resident; break;
    }
}

static enum view_kind kind_of(enum peek_kind kind)
{
    switch (kind) {
    case PEEK_SLAB: return VIEW_SLAB;
    case PEEK_FRAME_DIRTY:
    case PEEK_FRAME_CLEAN:
    case PEEK_FRAME_FLIGHT: return VIEW_FRAMES;
    case PEEK_EXTENT_LIVE: return VIEW_EXTENT_LIVE;
    case PEEK_METADATA:
    case PEEK_MEM_MAP: return VIEW_META;
    default: return VIEW_EXTENT_FREE;
    }
}

/* Slabs never cross a chunk; other ranges are cut at its borders. */
static int lay_range(struct walk *w, const struct peek_range *r)
{
    if (r->kind == PEEK_FOREIGN)
        return 0;
    for (uint64_t at = r->start; at < r->end;) {
        uint64_t end = vm_min((at / VIEW_CHUNK + 1) * VIEW_CHUNK, r->end);
        struct view_piece *p = add_piece(w->v, at, end, kind_of(r->kind));
        if (!p)
            return -ENOMEM;
        measure(w, p);
        if (r->kind == PEEK_SLAB)
            fill_slab(w, r, p);
        else
            fill(r, p);
        at = end;
    }
    return 0;
}

static int lay(struct view *v, const struct peek_snapshot *s)
{
    struct walk w = {.v = v, .page = (uint64_t)sysconf(_SC_PAGESIZE)};
    int error = 0;

    peek_root(v->peek, "&secret", &w.secret);
    for (size_t i = 0; i < s->ranges && !error; i++)
        error = lay_range(&w, &s->range[i]);
    return error;
}

/* ---- Pages ---- */

/* Of all mappings in which something of the heap lies. */
static int read_pages(struct view *v, const struct peek_snapshot *s)
{
    size_t r = 0;
    int error = 0;

    for (size_t i = 0; i < v->maps.count && !error; i++) {
        const struct procfs_mapping *m = &v->maps.mapping[i];
        while (r < s->ranges && s->range[r].end <= m->start)
            r++;
        if (r == s->ranges)
            break;
        if (s->range[r].start < m->end && m->rss + m->swap > 0)
            error = procfs_pages_read(&v->pages, m->start, m->end, &v->runs);
    }
    return error;
}

/* Bytes from its start that a range is likely to have resident. */
static uint64_t likely(const struct peek_range *r)
{
    switch (r->kind) {
    case PEEK_SLAB: return (uint64_t)r->carved * r->block_size;
    case PEEK_FRAME_DIRTY: return r->resident;
    case PEEK_FRAME_CLEAN:
    case PEEK_EXTENT_CLEAN:
    case PEEK_FOREIGN: return 0;
    default: return r->end - r->start;
    }
}

/* Without pagemap: as if each mapping's RSS were what the heap is likely to have touched there, from its start up. */
static int guess_pages(struct view *v, const struct peek_snapshot *s)
{
    size_t r = 0;

    for (size_t i = 0; i < v->maps.count; i++) {
        const struct procfs_mapping *m = &v->maps.mapping[i];
        uint64_t left = m->rss;
        while (r < s->ranges && s->range[r].end <= m->start)
            r++;
        for (size_t k = r; k < s->ranges && s->range[k].start < m->end; k++) {
            uint64_t start = vm_max(s->range[k].start, m->start);
            uint64_t end = vm_min(s->range[k].start + likely(&s->range[k]), m->end);
            uint64_t bytes = end > start ? vm_min(end - start, left) : 0;
            if (bytes && procfs_runs_add(&v->runs, start, start + bytes, PROCFS_PRESENT) != 0)
                return -ENOMEM;
            left -= bytes;
        }
    }
    return 0;
}

uint64_t view_uncovered(const struct view *v, const struct procfs_mapping *m, size_t next)
{
    size_t hint = 0;
    uint64_t all = procfs_runs_bytes(&v->runs, m->start, m->end, PROCFS_PRESENT, &hint), covered = 0;

    hint = 0;
    for (; next < v->count && v->piece[next].start < m->end; next++)
        covered += procfs_runs_bytes(&v->runs, vm_max(v->piece[next].start, m->start),
                                     vm_min(v->piece[next].end, m->end), PROCFS_PRESENT, &hint);
    if (!v->has_pages)
        all = vm_max(m->rss, covered);
    return all - covered;
}

/* ---- One look, and several ---- */

static void forget(struct view *v)
{
    procfs_maps_free(&v->maps);
    procfs_runs_free(&v->runs);
    v->count = 0;
}

/* The mappings again: did they change since the look began?  -errno. */
static int maps_moved(struct view *v, bool *moved)
{
    struct procfs_maps after;
    int error = procfs_read_maps(v->task, &after);

    if (!error) {
        *moved = !procfs_maps_equal(&v->maps, &after);
        procfs_maps_free(&after);
    }
    return error;
}

/* 0, -errno, or 1: what the heap's snapshot failed with stands in error. */
static int look(struct view *v, char error[PEEK_ERROR_MAX])
{
    struct procfs_totals before;
    bool maps = false;

    forget(v);
    struct peek_snapshot *s = peek_snapshot(v->peek, error);
    if (!s)
        return 1;
    int failed = procfs_read_totals(v->task, &before);
    if (!failed)
        failed = procfs_read_smaps(v->task, &v->maps);
    if (!failed && v->has_pages && read_pages(v, s) != 0) {
        v->has_pages = v->pages.scans = false;
        procfs_runs_free(&v->runs);
    }
    if (!failed && !v->has_pages)
        failed = guess_pages(v, s);
    if (!failed)
        failed = procfs_read_totals(v->task, &v->totals);
    if (!failed)
        failed = maps_moved(v, &maps);
    if (!failed)
        failed = lay(v, s);
    if (!failed) {
        v->drift = (int64_t)v->totals.rss - (int64_t)before.rss;
        v->modelled = peek_tlb(v->peek, s, &v->tlb);
        v->moved = maps || s->moved || (uint64_t)llabs(v->drift) > vm_max(v->totals.rss / STILL_SHARE, STILL_BYTES);
    }
    peek_snapshot_free(s);
    return failed;
}

static uint64_t distance(const struct view *v) { return (uint64_t)llabs(v->drift); }

/* Looks until nothing moved, a few times at most; what stays is the last look, or the one in which RSS moved least. */
static int look_often(struct view *v, char error[PEEK_ERROR_MAX])
{
    int failed = look(v, error);

    for (int i = 1; i < VIEW_LOOKS && !failed && v->moved; i++) {
        struct view before = *v;
        v->maps = (struct procfs_maps){0};
        v->runs = (struct procfs_runs){0};
        v->piece = NULL;
        v->count = 0;
        usleep(PAUSE);
        failed = look(v, error);
        if (!failed && v->moved && distance(&before) < distance(v)) {
            struct view other = *v;
            *v = before;
            before = other;
        }
        forget(&before);
        free(before.piece);
    }
    return failed;
}

/* All but the heap.  0 or -errno. */
static int look_at_shared(struct view *v)
{
    int failed = procfs_read_smaps(v->task, &v->maps);
    return failed ? failed : procfs_read_totals(v->task, &v->totals);
}

/* 0, -errno, or 1: error says why. */
static int open_shared(struct view *v, char error[PEEK_ERROR_MAX])
{
    char why[SHARED_ERROR_MAX];

    v->shared = malloc(sizeof *v->shared);
    if (!v->shared)
        return -ENOMEM;
    if (shared_read(v->pid, v->shared, why))
        return look_at_shared(v);
    free(v->shared);
    v->shared = NULL;
    if (!*error) /* else it says why the heap cannot be read, which matters more */
        snprintf(error, PEEK_ERROR_MAX, "%d: %s", (int)v->pid, why);
    return 1;
}

static int open_heap(struct view *v, char error[PEEK_ERROR_MAX])
{
    char text[16];

    snprintf(text, sizeof text, "%d", (int)v->pid);
    v->peek = peek_open(text, error);
    if (!v->peek)
        return 1;
    v->task = v->peek->task;
    v->has_pages = procfs_pages_open(v->task, &v->pages) == 0;
    int failed = look_often(v, error);
    v->knows_huge = v->has_pages && v->pages.scans;
    return failed;
}

static struct view *open_view(const char *command, pid_t pid, bool heap, bool shared)
{
    char error[PEEK_ERROR_MAX] = "";
    struct view *v = calloc(1, sizeof *v);

    if (!v) {
        tool_failed(command, "%s", strerror(ENOMEM));
        return NULL;
    }
    v->pid = v->task = pid;
    v->pages.fd = -1;
    int failed = heap ? open_heap(v, error) : 1;
    if (failed > 0 && shared)
        failed = open_shared(v, error);
    if (failed > 0)
        tool_failed(command, "%s", error);
    else if (failed)
        view_failed(command, pid, failed);
    if (failed) {
        view_close(v);
        return NULL;
    }
    return v;
}

struct view *view_open(const char *command, pid_t pid) { return open_view(command, pid, true, false); }
struct view *view_open_shared(const char *command, pid_t pid, bool only)
{
    return open_view(command, pid, !only, true);
}

void view_close(struct view *v)
{
    forget(v);
    procfs_pages_close(&v->pages);
    if (v->peek)
        peek_close(v->peek);
    free(v->piece);
    free(v->shared);
    free(v);
}

const struct procfs_mapping *view_library(const struct view *v)
{
    if (v->peek)
        return procfs_mapping_at(&v->maps, v->peek->block);
    for (size_t i = 0; i < v->maps.count; i++) {
        const char *name = strrchr(v->maps.mapping[i].path, '/');
        if (name && strncmp(name, LIBRARY_NAME, sizeof LIBRARY_NAME - 1) == 0)
            return &v->maps.mapping[i];
    }
    return NULL;
}

const char *view_version(const struct view *v) { return v->peek ? v->peek->version : v->shared->version; }

int view_take_pid(const char *command, const char *text, pid_t *pid)
{
    size_t digits = strspn(text, "0123456789");
    long number = strtol(text, NULL, 10);

    if (digits == 0 || text[digits])
        return tool_usage(command, "'%s' is no process id%s", text,
                          access(text, F_OK) == 0 ? "; of a core file vmalloc stat and where tell what is known" : "");
    if (number <= 0 || number > INT32_MAX)
        return tool_failed(command, "%s: no such process", text);
    *pid = (pid_t)number;
    return TOOL_OK;
}

int view_failed(const char *command, pid_t pid, int error)
{
    bool is_forbidden = error == -EACCES || error == -EPERM;

    return tool_failed(command, "%d: %s", (int)pid,
                       procfs_has_ended(pid) ? "the process has ended"
                       : is_forbidden        ? peek_not_allowed(pid)
                                             : strerror(-error));
}
