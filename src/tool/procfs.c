/* Reading /proc/PID; see procfs.h.  Text files are read line by line and unknown lines skipped, so that what kernels add
   does no harm.  State: none. */
#include "tool/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool/grow.h"

#define PATH_ROOM 128
#define EXITING 4 /* PF_EXITING of the kernel's include/linux/sched.h, see proc(5) */

static FILE *open_file(pid_t pid, const char *name)
{
    char path[PATH_ROOM];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* ---- Mappings ---- */

bool procfs_parse_mapping(const char *line, struct procfs_mapping *m)
{
    uint64_t inode;
    int at = 0;

    memset(m, 0, sizeof *m);
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %" SCNu64 "%n", &m->start, &m->end, m->perms,
               &m->offset, &inode, &at)
            != 5
        || at == 0 || m->start >= m->end)
        return false;
    line += at;
    line += strspn(line, " ");
    m->path = strndup(line, strcspn(line, "\n"));
    m->is_file = inode != 0;
    return m->path != NULL;
}

/* Is the word of two letters among those of the line? */
static bool has_flag(const char *flags, const char *two)
{
    for (const char *p = flags; *p;) {
        size_t length = strcspn(p, " \n");
        if (length == 2 && memcmp(p, two, 2) == 0)
            return true;
        p += length + (p[length] != '\0');
    }
    return false;
}

static void take_flags(struct procfs_mapping *m, const char *flags)
{
    m->not_forked = has_flag(flags, "dc") || has_flag(flags, "wf");
    m->is_special = has_flag(flags, "pf") || has_flag(flags, "io");
}

/* A line "Name:   N kB" of smaps. */
static void take_figure(struct procfs_mapping *m, const char *line)
{
    static const struct {
        const char *name;
        size_t offset;
    } field[] = {
        {"Rss:", offsetof(struct procfs_mapping, rss)},
        {"Shared_Clean:", offsetof(struct procfs_mapping, shared)},
        {"Shared_Dirty:", offsetof(struct procfs_mapping, shared)},
        {"Private_Clean:", offsetof(struct procfs_mapping, private_)},
        {"Private_Dirty:", offsetof(struct procfs_mapping, private_)},
        {"Private_Dirty:", offsetof(struct procfs_mapping, private_dirty)},
        {"Anonymous:", offsetof(struct procfs_mapping, anonymous)},
        {"LazyFree:", offsetof(struct procfs_mapping, lazy_free)},
        {"AnonHugePages:", offsetof(struct procfs_mapping, anon_huge)},
        {"Swap:", offsetof(struct procfs_mapping, swap)},
    };

    if (strncmp(line, "VmFlags:", 8) == 0)
        take_flags(m, line + 8);
    else if (strncmp(line, "THPeligible:", 12) == 0)
        m->may_be_huge = strtoul(line + 12, NULL, 10) != 0;
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        size_t length = strlen(field[i].name);
        if (strncmp(line, field[i].name, length) == 0)
            *(uint64_t *)((char *)m + field[i].offset) += strtoull(line + length, NULL, 10) * 1024;
    }
}

int procfs_parse_maps(FILE *in, struct procfs_maps *maps)
{
    char *line = NULL;
    size_t line_room = 0;
    int error = 0;

    *maps = (struct procfs_maps){0};
    while (getline(&line, &line_room, in) > 0) {
        struct procfs_mapping m;
        if (!islower((unsigned char)*line) && !isdigit((unsigned char)*line)) {
            if (maps->count)
                take_figure(&maps->mapping[maps->count - 1], line);
            continue;
        }
        if (!procfs_parse_mapping(line, &m)) {
            error = -EBADMSG;
            break;
        }
        struct procfs_mapping *more = tool_grow(maps->mapping, maps->count, sizeof *more);
        if (!more) {
            free(m.path);
            error = -ENOMEM;
            break;
        }
        maps->mapping = more;
        maps->mapping[maps->count++] = m;
    }
    if (!error && ferror(in))
        error = errno ? -errno : -EIO;
    free(line);
    if (error)
        procfs_maps_free(maps);
    return error;
}

static int read_maps(pid_t pid, const char *name, struct procfs_maps *maps)
{
    FILE *in = open_file(pid, name);

    *maps = (struct procfs_maps){0};
    if (!in)
        return -errno;
    errno = 0;
    int error = procfs_parse_maps(in, maps);
    fclose(in);
    return error;
}

int procfs_read_smaps(pid_t pid, struct procfs_maps *maps) { return read_maps(pid, "smaps", maps); }
int procfs_read_maps(pid_t pid, struct procfs_maps *maps) { return read_maps(pid, "maps", maps); }

void procfs_maps_free(struct procfs_maps *maps)
{
    for (size_t i = 0; i < maps->count; i++)
        free(maps->mapping[i].path);
    free(maps->mapping);
    *maps = (struct procfs_maps){0};
}

bool procfs_maps_equal(const struct procfs_maps *a, const struct procfs_maps *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct procfs_mapping *x = &a->mapping[i], *y = &b->mapping[i];
        if (x->start != y->start || x->end != y->end || strcmp(x->perms, y->perms) != 0
            || strcmp(x->path, y->path) != 0)
            return false;
    }
    return true;
}

struct procfs_mapping *procfs_mapping_at(const struct procfs_maps *maps, uint64_t address)
{
    size_t low = 0, high = maps->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (maps->mapping[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < maps->count && maps->mapping[low].start <= address ? &maps->mapping[low] : NULL;
}

/* ---- Totals ---- */

/* Adds the kilobytes of a line "NAME N kB" that begins with the name. */
static void take_total(const char *line, const char *name, uint64_t *bytes)
{
    size_t length = strlen(name);

    if (strncmp(line, name, length) == 0)
        *bytes = strtoull(line + length, NULL, 10) * 1024;
}

int procfs_read_totals(pid_t pid, struct procfs_totals *t)
{
    FILE *in = open_file(pid, "status");
    char line[512];

    *t = (struct procfs_totals){0};
    if (!in)
        return -errno;
    while (fgets(line, sizeof line, in)) {
        if (strncmp(line, "Name:", 5) == 0)
            sscanf(line + 5, " %31[^\n]", t->name);
        take_total(line, "VmRSS:", &t->status_rss);
        take_total(line, "VmPTE:", &t->page_tables);
        take_total(line, "VmSwap:", &t->swap);
    }
    fclose(in);
    procfs_make_printable(t->name, PROCFS_ASCII);
    t->rss = t->status_rss;
    in = open_file(pid, "smaps_rollup");
    if (!in)
        return errno == ENOENT ? 0 : -errno;
    while (fgets(line, sizeof line, in))
        if (strncmp(line, "Rss:", 4) == 0) {
            take_total(line, "Rss:", &t->rss);
            t->has_rollup = true;
        }
    fclose(in);
    return 0;
}

/* ---- Threads and children ---- */

/* Calls f for each number that names an entry of the folder, until it returns other than 0. */
static int each_number(const char *path, int (*f)(pid_t number, void *arg), void *arg)
{
    DIR *d = opendir(path);
    struct dirent *entry;
    int error = 0;

    if (!d)
        return -errno;
    while (!error && (entry = readdir(d))) {
        char *end;
        long number = strtol(entry->d_name, &end, 10);
        if (isdigit((unsigned char)*entry->d_name) && !*end)
            error = f((pid_t)number, arg);
    }
    closedir(d);
    return error;
}

const char *procfs_read_stat(pid_t task, char line[PROCFS_STAT_ROOM])
{
    FILE *in = open_file(task, "stat");

    if (!in)
        return NULL;
    line[fread(line, 1, PROCFS_STAT_ROOM - 1, in)] = '\0';
    fclose(in);
    const char *name_end = strrchr(line, ')');
    if (!name_end)
        errno = ESRCH; /* it ended after the file was opened */
    return name_end ? name_end + 1 : NULL;
}

bool procfs_has_ended(pid_t task)
{
    char line[PROCFS_STAT_ROOM], state = 'X';
    const char *fields = procfs_read_stat(task, line);
    unsigned flags = 0;

    if (!fields)
        return errno == ENOENT || errno == ESRCH;
    sscanf(fields, " %c %*d %*d %*d %*d %*d %u", &state, &flags);
    return state == 'Z' || state == 'X' || (flags & EXITING);
}

static int take_living(pid_t task, void *found)
{
    if (procfs_has_ended(task))
        return 0;
    *(pid_t *)found = task;
    return 1;
}

pid_t procfs_living_task(pid_t pid)
{
    char path[PATH_ROOM];

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    if (procfs_has_ended(pid))
        each_number(path, take_living, &pid);
    return pid;
}

struct numbers {
    pid_t pid;
    void *item;
    size_t count;
};

static void *grow(struct numbers *n, size_t size)
{
    void *more = tool_grow(n->item, n->count, size);

    if (more)
        n->item = more;
    return more;
}

/* /proc/PID/task/TID/syscall: "NUMBER ARGUMENTS... SP PC", or "running". */
static int take_stack(pid_t tid, void *arg)
{
    struct numbers *n = arg;
    char name[64], line[512];
    uint64_t *sp;

    snprintf(name, sizeof name, "task/%d/syscall", (int)tid);
    FILE *in = open_file(n->pid, name);
    if (!in)
        return 0;
    char *got = fgets(line, sizeof line, in), *last = got ? strrchr(line, ' ') : NULL;
    fclose(in);
    if (!last)
        return 0;
    *last = '\0';
    if (!(last = strrchr(line, ' ')))
        return 0;
    if (!(sp = grow(n, sizeof *sp)))
        return -ENOMEM;
    sp[n->count++] = strtoull(last + 1, NULL, 16);
    return 0;
}

int procfs_stack_pointers(pid_t pid, uint64_t **sp, size_t *count)
{
    struct numbers n = {.pid = pid};
    char path[PATH_ROOM];

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    int error = each_number(path, take_stack, &n);
    if (error) {
        free(n.item);
        n = (struct numbers){0};
    }
    *sp = n.item;
    *count = n.count;
    return error;
}

/* As /proc/PID/stat has it; -1 when it is not to be had. */
static pid_t parent_of(pid_t pid)
{
    char line[PROCFS_STAT_ROOM];
    const char *fields = procfs_read_stat(pid, line);
    int parent = -1;

    return fields && sscanf(fields, " %*c %d", &parent) == 1 ? parent : -1;
}

/* What exec changes: where the program lies. */
static bool same_program(pid_t a, pid_t b)
{
    char name[2][PATH_ROOM], exe[2][4096];
    ssize_t length[2];
    struct procfs_maps maps[2];

    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "/proc/%d/exe", (int)(i ? b : a));
        length[i] = readlink(name[i], exe[i], sizeof exe[i]);
    }
    if (length[0] <= 0 || length[0] != length[1] || memcmp(exe[0], exe[1], (size_t)length[0]) != 0
        || procfs_read_maps(a, &maps[0]) != 0)
        return false;
    if (procfs_read_maps(b, &maps[1]) != 0) {
        procfs_maps_free(&maps[0]);
        return false;
    }
    bool same = maps[0].count > 0 && maps[1].count > 0 && maps[0].mapping[0].start == maps[1].mapping[0].start;
    procfs_maps_free(&maps[0]);
    procfs_maps_free(&maps[1]);
    return same;
}

static int take_child(pid_t pid, void *arg)
{
    struct numbers *n = arg;
    pid_t *child;

    if (parent_of(pid) != n->pid || !same_program(n->pid, pid))
        return 0;
    if (!(child = grow(n, sizeof *child)))
        return -ENOMEM;
    child[n->count++] = pid;
    return 0;
}

int procfs_forked_children(pid_t pid, pid_t **child, size_t *count)
{
    struct numbers n = {.pid = pid};
    int error = each_number("/proc", take_child, &n);

    if (error) {
        free(n.item);
        n = (struct numbers){0};
    }
    *child = n.item;
    *count = n.count;
    return error;
}

/* ---- Pages ---- */

/* The kernel's interface, Documentation/admin-guide/mm/pagemap.rst; spelt out here because headers older than Linux 6.7
   lack it. */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_FILE (UINT64_C(1) << 2)
#define SCAN_PRESENT (UINT64_C(1) << 3)
#define SCAN_SWAPPED (UINT64_C(1) << 4)
#define SCAN_ZERO (UINT64_C(1) << 5)
#define SCAN_HUGE (UINT64_C(1) << 6)
#define SCAN_REGIONS 1024

#define WORD_PRESENT (UINT64_C(1) << 63)
#define WORD_SWAPPED (UINT64_C(1) << 62)
#define WORD_FILE (UINT64_C(1) << 61)
#define WORD_EXCLUSIVE (UINT64_C(1) << 56)
#define WORDS 4096 /* read at a time */

static uint64_t page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

int procfs_pages_open(pid_t pid, struct procfs_pages *p)
{
    char path[PATH_ROOM];
    struct scan_region region;
    struct scan_arg arg = {.size = sizeof arg,
                           .end = page_size(),
                           .vec = (uintptr_t)&region,
                           .vec_len = 1,
                           .category_anyof_mask = SCAN_PRESENT,
                           .return_mask = SCAN_PRESENT};

    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (p->fd < 0)
        return -errno;
    p->scans = ioctl(p->fd, SCAN_IOCTL, &arg) >= 0;
    return 0;
}

void procfs_pages_close(struct procfs_pages *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

int procfs_runs_add(struct procfs_runs *runs, uint64_t start, uint64_t end, uint32_t flags)
{
    struct procfs_run *last = runs->count ? &runs->run[runs->count - 1] : NULL;

    if (!(flags & (PROCFS_PRESENT | PROCFS_SWAPPED)))
        return 0;
    if (last && last->end == start && last->flags == flags) {
        last->end = end;
        return 0;
    }
    struct procfs_run *more = tool_grow(runs->run, runs->count, sizeof *more);
    if (!more)
        return -ENOMEM;
    runs->run = more;
    runs->run[runs->count++] = (struct procfs_run){start, end, flags};
    return 0;
}

static uint32_t flags_of_categories(uint64_t c)
{
    uint32_t flags = 0;

    if ((c & SCAN_PRESENT) && !(c & SCAN_ZERO))
        flags |= PROCFS_PRESENT;
    if (c & SCAN_SWAPPED)
        flags |= PROCFS_SWAPPED;
    if (c & SCAN_HUGE)
        flags |= PROCFS_HUGE;
    if (c & SCAN_FILE)
        flags |= PROCFS_FILE;
    return flags;
}

static uint32_t flags_of_word(uint64_t w)
{
    uint32_t flags = 0;

    if (w & WORD_PRESENT)
        flags |= PROCFS_PRESENT;
    if (w & WORD_SWAPPED)
        flags |= PROCFS_SWAPPED;
    if (w & WORD_FILE)
        flags |= PROCFS_FILE;
    if (w & WORD_EXCLUSIVE)
        flags |= PROCFS_EXCLUSIVE;
    return flags;
}

int procfs_pages_read(struct procfs_pages *p, uint64_t start, uint64_t end, struct procfs_runs *runs)
{
    struct scan_region region[SCAN_REGIONS];

    if (!p->scans)
        return procfs_pages_words(p, start, end, runs);
    while (start < end) {
        struct scan_arg arg = {
            .size = sizeof arg,
            .start = start,
            .end = end,
            .vec = (uintptr_t)region,
            .vec_len = SCAN_REGIONS,
            .category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
            .return_mask = SCAN_PRESENT | SCAN_SWAPPED | SCAN_ZERO | SCAN_HUGE | SCAN_FILE,
        };
        int n = ioctl(p->fd, SCAN_IOCTL, &arg);
        if (n < 0)
            return -errno;
        for (int i = 0; i < n; i++)
            if (procfs_runs_add(runs, region[i].start, region[i].end, flags_of_categories(region[i].categories)) != 0)
                return -ENOMEM;
        if (n < SCAN_REGIONS)
            break;
        start =
            region[n - 1].end; /* not walk_end: Linux leaves there where its own buffer of 512 regions was full last */
    }
    return 0;
}

int procfs_pages_words(struct procfs_pages *p, uint64_t start, uint64_t end, struct procfs_runs *runs)
{
    uint64_t word[WORDS];
    uint64_t page = page_size();

    for (uint64_t at = start / page; at * page < end;) {
        size_t want = vm_min((end + page - 1) / page - at, (uint64_t)WORDS) * sizeof *word;
        ssize_t got = pread(p->fd, word, want, (off_t)(at * sizeof *word));
        if (got < 0)
            return -errno;
        if (got
            < (ssize_t)sizeof *word) /* past the end of the address space, the process is gone, or it is no pagemap */
            return -ENODATA;
        for (size_t i = 0; i < (size_t)got / sizeof *word; i++, at++)
            if (procfs_runs_add(runs, at * page, (at + 1) * page, flags_of_word(word[i])) != 0)
                return -ENOMEM;
    }
    return 0;
}

void procfs_runs_free(struct procfs_runs *runs)
{
    free(runs->run);
    *runs = (struct procfs_runs){0};
}

uint64_t procfs_runs_bytes(const struct procfs_runs *runs, uint64_t start, uint64_t end, uint32_t flags, size_t *hint)
{
    uint64_t bytes = 0;

    while (*hint < runs->count && runs->run[*hint].end <= start)
        ++*hint;
    for (size_t i = *hint; i < runs->count && runs->run[i].start < end; i++)
        if ((runs->run[i].flags & flags) == flags)
            bytes += vm_min(runs->run[i].end, end) - vm_max(runs->run[i].start, start);
    return bytes;
}
