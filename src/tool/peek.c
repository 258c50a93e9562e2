/* Opening a process or a core file for reading, and finding the exported block in it; see peek.h.  Everything read from
   there is checked before it is believed. */
#include "tool/peek.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "report/block.h"
#include "tool/grow.h"
#include "tool/peek_core.h"
#include "tool/procfs.h"

#define SCAN_BYTES ((size_t)1 << 20) /* read at a time when looking for the block */
#define SCAN_OVERLAP 4096            /* a block may lie across the end of what is read at once */
#define FACTS_MAX 512                /* in one table */
#define TABLES_MAX 64
#define FACT_BYTES_MAX 4096
#define BLOCKS_MAX 16 /* copies of the library in one process */
#define LOOKS 16      /* at a process that executes another program meanwhile */
#define PAUSE 2000    /* microseconds between them */

/* ---- Bytes ---- */

bool peek_read(const struct peek *p, uint64_t address, void *to, size_t bytes)
{
    if (p->core)
        return peek_core_read(p->core, address, to, bytes);
    for (size_t done = 0; done < bytes;) {
        struct iovec here = {(char *)to + done, bytes - done},
                     there = {(void *)(uintptr_t)(address + done), bytes - done};
        ssize_t got = process_vm_readv(p->task, &here, 1, &there, 1, 0);
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* ---- Facts ---- */

const struct vm_fact *peek_fact(const struct peek *p, const char *name)
{
    for (size_t i = 0; i < p->facts; i++)
        if (strcmp(p->fact[i].name, name) == 0)
            return &p->fact[i];
    return NULL;
}

uint64_t peek_value(const struct peek *p, const char *name)
{
    const struct vm_fact *f = peek_fact(p, name);
    return f ? f->value : 0;
}

bool peek_root(const struct peek *p, const char *name, uint64_t *value)
{
    const struct vm_fact *f = peek_fact(p, name);

    *value = 0;
    return f && f->size <= sizeof *value && f->value != 0 && peek_read(p, f->value, value, f->size);
}

static const struct vm_fact *option_fact(const struct peek *p, const char *name, uint64_t *address)
{
    char label[VM_FACT_NAME + 8];

    snprintf(label, sizeof label, "option.%s", name);
    const struct vm_fact *f = peek_fact(p, label);
    *address = peek_value(p, "&options") + (f ? f->value : 0);
    return f;
}

bool peek_option(const struct peek *p, const char *name, uint64_t *value)
{
    uint64_t address;
    const struct vm_fact *f = option_fact(p, name, &address);

    *value = 0;
    return f && f->size <= sizeof *value && peek_read(p, address, value, f->size);
}

bool peek_option_text(const struct peek *p, const char *name, char *text, size_t cap)
{
    uint64_t address;
    const struct vm_fact *f = option_fact(p, name, &address);

    if (!f || cap == 0 || !peek_read(p, address, text, vm_min(f->size, cap)))
        return false;
    text[vm_min(f->size, cap) - 1] = '\0';
    return true;
}

static bool take_table(struct peek *p, uint64_t address, size_t fact_bytes)
{
    char raw[FACT_BYTES_MAX];
    struct vm_fact f;

    for (size_t i = 0; i < FACTS_MAX; i++) {
        if (!peek_read(p, address + i * fact_bytes, raw, sizeof f))
            return false;
        memcpy(&f, raw, sizeof f);
        if (f.name[0] == '\0')
            return true;
        struct vm_fact *more = memchr(f.name, '\0', sizeof f.name) ? tool_grow(p->fact, p->facts, sizeof *more) : NULL;
        if (!more)
            return false;
        p->fact = more;
        p->fact[p->facts++] = f;
    }
    return false;
}

/* ---- The block ---- */

struct search {
    uint64_t found[BLOCKS_MAX];
    size_t count;
    bool any_read;
    int refused;  /* errno of the first read that was */
    bool changed; /* what was found there was not there any more, or not in order: looking again may help */
};

/* A copy of the block that says it lies here; others are read from a file into memory, or are this command's own. */
static void scan(const struct peek *p, uint64_t start, uint64_t end, struct search *s)
{
    static char piece[SCAN_BYTES];
    uint64_t self;

    for (uint64_t at = vm_align_up(start, VM_BLOCK_ALIGN); at < end && s->count < BLOCKS_MAX;
         at += SCAN_BYTES - SCAN_OVERLAP) {
        size_t bytes = vm_min(end - at, SCAN_BYTES);
        errno = 0;
        if (!peek_read(p, at, piece, bytes)) {
            s->refused = s->refused ? s->refused : errno;
            continue;
        }
        s->any_read = true;
        for (size_t i = 0; i + sizeof(struct vm_report_block) <= bytes; i += VM_BLOCK_ALIGN) {
            if (memcmp(piece + i, VM_BLOCK_MAGIC, 16) != 0)
                continue;
            memcpy(&self, piece + i + offsetof(struct vm_report_block, self), sizeof self);
            if (self == at + i && s->count < BLOCKS_MAX && !(s->count && s->found[s->count - 1] == self))
                s->found[s->count++] = self;
        }
    }
}

static bool cannot(const struct peek *p, char *error, const char *why)
{
    snprintf(error, PEEK_ERROR_MAX, "%s: %s", p->what, why);
    return false;
}

const char *peek_not_allowed(pid_t pid)
{
    char path[64], line[256];
    unsigned user = ~0u;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *in = fopen(path, "re");
    while (in && fgets(line, sizeof line, in) && sscanf(line, "Uid: %u", &user) != 1)
        ;
    if (in)
        fclose(in);
    return user == geteuid()
               ? "not allowed to look at this process, ours though it is: it is not dumpable (prctl(2)) or has "
                 "more rights; be root"
               : "not allowed to look at this process: be root or its user";
}

static const char ended[] = "the process has ended";

/* Looks through the writable private mappings of files: the .data of programs and libraries. */
static bool search_process(struct peek *p, struct search *s, char *error)
{
    char path[64], line[8192], rights[5];
    uint64_t start, end, offset, inode;
    unsigned major, minor;
    bool any = false;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)p->task);
    FILE *maps = fopen(path, "re");
    if (!maps) {
        if (errno == ENOENT)
            return cannot(p, error, "no such process");
        return cannot(p, error, errno == EACCES || errno == EPERM ? peek_not_allowed(p->pid) : strerror(errno));
    }
    while (fgets(line, sizeof line, maps)) {
        any = true;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &start, &end, rights, &offset,
                   &major, &minor, &inode)
                == 7
            && inode != 0 && rights[0] == 'r' && rights[1] == 'w' && rights[3] == 'p')
            scan(p, start, end, s);
    }
    bool failed = ferror(maps);
    fclose(maps);
    if (failed) /* opened, but may not be read */
        return cannot(p, error, peek_not_allowed(p->pid));
    s->changed = !any; /* opened, and another program was executed before it was read: empty */
    return any || cannot(p, error, "has no memory: a thread of the kernel");
}

static bool say_refused(struct peek *p, const struct search *s, char *error)
{
    int scope = -1;
    char why[64] = "";
    FILE *yama = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");

    if (yama) {
        if (fscanf(yama, "%d", &scope) == 1 && scope > 0)
            snprintf(why, sizeof why, ", kernel.yama.ptrace_scope is %d", scope);
        fclose(yama);
    }
    if (s->refused != EPERM && s->refused != EACCES)
        return cannot(p, error, s->refused == ESRCH ? ended : strerror(s->refused));
    snprintf(error, PEEK_ERROR_MAX,
             "%s: the system forbids to read its memory (%s%s): be root, or, for vmalloc stat and rss, "
             "start the program with VMALLOC_OPTIONS=share=1",
             p->what, strerror(s->refused), why);
    return false;
}

/* Of several copies of the library the one that is at work: the one with the most metadata. */
static bool read_block(struct peek *p, const struct search *s, char *error)
{
    uint64_t most = 0, mapped;

    for (size_t i = 0; i < s->count; i++) {
        struct vm_report_block b;
        struct peek candidate = *p;
        candidate.fact = NULL;
        candidate.facts = 0;
        candidate.block = s->found[i];
        if (!peek_read(p, s->found[i], &b, sizeof b))
            return cannot(p, error, "its exported block cannot be read");
        if (b.format != VM_BLOCK_FORMAT) {
            snprintf(error, PEEK_ERROR_MAX, "%s: its libvmalloc exports format %u, and this command reads format %u",
                     p->what, b.format, (unsigned)VM_BLOCK_FORMAT);
            return false;
        }
        bool good = b.bytes >= sizeof b && b.fact_bytes >= sizeof(struct vm_fact) && b.fact_bytes <= FACT_BYTES_MAX
                    && b.tables <= VM_BLOCK_TABLES;
        for (uint32_t t = 0; good && t < b.tables && b.table[t]; t++)
            good = take_table(&candidate, (uintptr_t)b.table[t], b.fact_bytes);
        if (!good) {
            free(candidate.fact);
            return cannot(p, error, "its exported block is damaged");
        }
        memcpy(candidate.version, b.version, sizeof candidate.version - 1);
        procfs_make_printable(candidate.version, PROCFS_ASCII);
        peek_root(&candidate, "&meta_mapped", &mapped);
        if (p->fact && mapped <= most) {
            free(candidate.fact);
            continue;
        }
        most = mapped;
        free(p->fact);
        *p = candidate;
    }
    return true;
}

static bool look_at_process(struct peek *p, struct search *s, char *error)
{
    *s = (struct search){.count = 0};
    if (!search_process(p, s, error))
        return false;
    if (s->count > 0) {
        s->changed = !read_block(p, s, error);
        return !s->changed;
    }
    if (s->any_read || !s->refused)
        return cannot(p, error, "does not run with libvmalloc (no exported block in its mappings)");
    s->changed = s->refused != EPERM && s->refused != EACCES;
    return say_refused(p, s, error);
}

/* It may end, or execute another program, between any two steps. */
static bool open_process(struct peek *p, char *error)
{
    struct search s = {.changed = true};
    bool was_there = kill(p->pid, 0) == 0 || errno == EPERM, was_ended, good = false;

    p->task = procfs_living_task(p->pid);
    was_ended = procfs_has_ended(p->task);

    for (int i = 0; i < LOOKS && s.changed && !good; i++) {
        if (i > 0)
            usleep(PAUSE);
        free(p->fact);
        p->fact = NULL;
        p->facts = 0;
        good = look_at_process(p, &s, error);
    }
    if (!good && was_there && procfs_has_ended(p->task))
        return cannot(p, error, was_ended ? "has ended: it is a zombie" : ended);
    return good;
}

static bool open_core(struct peek *p, char *error)
{
    char why[PEEK_ERROR_MAX];
    struct search s = {.count = 0};
    uint64_t start, end;

    p->core = peek_core_open(p->what, why);
    if (!p->core) {
        snprintf(error, PEEK_ERROR_MAX, "%.240s: %.240s", p->what, why);
        return false;
    }
    p->pid = peek_core_pid(p->core);
    for (size_t i = 0; peek_core_data(p->core, i, &start, &end); i++)
        scan(p, start, end, &s);
    return s.count > 0 ? read_block(p, &s, error)
                       : cannot(p, error, "no exported block of libvmalloc in this core file");
}

struct peek *peek_open(const char *what, char error[PEEK_ERROR_MAX])
{
    struct peek *p = calloc(1, sizeof *p);
    size_t digits = strspn(what, "0123456789");
    bool good;

    if (!p || strlen(what) >= sizeof p->what) {
        snprintf(error, PEEK_ERROR_MAX, "%.200s: %s", what, p ? "name too long" : strerror(ENOMEM));
        free(p);
        return NULL;
    }
    strcpy(p->what, what);
    if (digits > 0 && what[digits] == '\0') {
        long pid = strtol(what, NULL, 10);
        p->pid = (pid_t)pid;
        good = digits < 10 && pid > 0 ? open_process(p, error) : cannot(p, error, "no such process");
    } else {
        good = open_core(p, error);
    }
    if (good)
        return p;
    peek_close(p);
    return NULL;
}

void peek_close(struct peek *p)
{
    if (!p)
        return;
    peek_core_close(p->core);
    free(p->fact);
    free(p);
}
