/* See counts.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tool/counts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "vmalloc-stats."
#define UNIQUE "XXXXXX"
#define YOUNG 60 /* seconds: its maker may not have locked it yet */
#define ENTRIES_BYTES 4096

/* What getdents64 fills in; glibc has no name for it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

/* Removes the file if it is one of ours whose maker is gone, that is, does not hold its lock any more. */
static void sweep_file(int dir, const char *name)
{
    struct stat st;
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1
        && st.st_mtime + YOUNG < time(NULL) && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(dir, name, 0);
    close(fd);
}

/* What launchers that were killed left.  By hand, because opendir() allocates, which vmalloc-launch must not. */
static void sweep(const char *path)
{
    _Alignas(struct entry) char buffer[ENTRIES_BYTES];
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long n;

    while (dir >= 0 && (n = syscall(SYS_getdents64, dir, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < n;) {
            const struct entry *e = (const struct entry *)(buffer + at);
            if (strncmp(e->name, PREFIX, sizeof PREFIX - 1) == 0
                && strlen(e->name) == sizeof PREFIX - 1 + sizeof UNIQUE - 1)
                sweep_file(dir, e->name);
            at += e->bytes;
        }
    if (dir >= 0)
        close(dir);
}

/* The first page is written so that a full disk shows here and not as a SIGBUS in the program.  The lock lives as long as
   the mapping does: it says that somebody will remove the file. */
static struct vm_counts_file *make_in(const char *dir, char *path, size_t size)
{
    static const char zeros[VM_COUNTS_FIRST];

    /* VMALLOC_OPTIONS has no way to quote a comma. */
    if (dir == NULL || *dir != '/' || strchr(dir, ',') != NULL)
        return NULL;
    if ((size_t)snprintf(path, size, "%s/" PREFIX UNIQUE, dir) >= size)
        return NULL;
    sweep(dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *file = MAP_FAILED;
    flock(fd, LOCK_EX | LOCK_NB);
    if (write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros && ftruncate(fd, VM_COUNTS_BYTES) == 0)
        file = mmap(NULL, VM_COUNTS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (file == MAP_FAILED) {
        unlink(path);
        return NULL;
    }
    return file;
}

/* Tries the places that are in memory first. */
struct vm_counts_file *counts_make(char *path, size_t size)
{
    const char *dirs[] = {getenv("XDG_RUNTIME_DIR"), "/dev/shm", getenv("TMPDIR"), "/tmp"};

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        struct vm_counts_file *file = make_in(dirs[i], path, size);
        if (file != NULL)
            return file;
    }
    *path = '\0';
    return NULL;
}

const struct vm_counts_file *counts_map(const char *path, size_t *bytes)
{
    struct stat st;
    void *p = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && (*bytes = (size_t)st.st_size) > 0)
        p = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

bool counts_good(const struct vm_counts_file *file, size_t bytes)
{
    return bytes >= VM_COUNTS_BYTES_MIN && file->magic == VM_COUNTS_MAGIC && file->cell_bytes == VM_COUNTS_CELL
           && file->first_cell == VM_COUNTS_FIRST && file->cells <= (bytes - VM_COUNTS_FIRST) / VM_COUNTS_CELL
           && file->classes == VM_COUNTS_CLASSES && file->slots == VM_COUNTS_SLOTS;
}

static uint64_t cells_taken(const struct vm_counts_file *file)
{
    uint64_t next = VM_LOAD(&file->next);
    return next == 0 ? 0 : next - 1 < file->cells ? next - 1 : file->cells;
}

static const void *cell_of(const struct vm_counts_file *file, uint64_t number)
{
    return (const char *)file + VM_COUNTS_FIRST + (number - 1) * VM_COUNTS_CELL;
}

const struct vm_counts_process *counts_next(const struct vm_counts_file *file, uint64_t *number)
{
    while (++*number <= cells_taken(file)) {
        const struct vm_counts_process *p = cell_of(file, *number);
        if (VM_LOAD(&p->kind) == VM_COUNTS_PROCESS)
            return p;
    }
    return NULL;
}

/* The class that serves requests of a slot: the smallest that is large enough. */
static unsigned class_of_slot(const struct vm_counts_file *file, unsigned slot)
{
    unsigned id = 1;

    while (id < VM_COUNTS_CLASSES - 1 && file->class_size[id] < slot * 16)
        id++;
    return id;
}

static void add_heap(const struct vm_counts_file *file, const struct vm_counts_heap *h, struct counts_sum *sum)
{
    sum->heaps++;
    sum->reallocs += VM_LOAD(&h->reallocs);
    sum->failures += VM_LOAD(&h->failures);
    for (unsigned slot = 0; slot < VM_COUNTS_SLOTS; slot++) {
        struct counts_class *c = &sum->of[class_of_slot(file, slot)];
        c->calls += VM_LOAD(&h->slot[slot]);
        c->asked += VM_LOAD(&h->slot[slot]) * slot * 16;
    }
    for (unsigned id = 0; id < VM_COUNTS_CLASSES; id++) {
        sum->of[id].calls += VM_LOAD(&h->of_class[id].calls);
        sum->of[id].asked += VM_LOAD(&h->of_class[id].asked);
    }
}

/* Is there a cell before `number` of the same process, that is, did it run another program before? */
static bool ran_before(const struct vm_counts_file *file, uint64_t number, uint64_t pid)
{
    for (uint64_t i = 1; i < number; i++) {
        const struct vm_counts_process *p = cell_of(file, i);
        if (VM_LOAD(&p->kind) == VM_COUNTS_PROCESS && VM_LOAD(&p->pid) == pid)
            return true;
    }
    return false;
}

/* frees: so far what was live when the process was born, and modulo 2^64. */
static void add_process(const struct vm_counts_process *p, struct counts_sum *sum)
{
    sum->ended = sum->ended && VM_LOAD(&p->end) == VM_COUNTS_EXITED;
    sum->live = sum->live > VM_LOAD(&p->live) ? sum->live : VM_LOAD(&p->live);
    sum->peak_live = sum->peak_live > VM_LOAD(&p->peak_live) ? sum->peak_live : VM_LOAD(&p->peak_live);
    for (unsigned id = 0; id < VM_COUNTS_CLASSES; id++) {
        uint64_t live = id == 0 ? VM_LOAD(&p->large_count) : VM_LOAD(&p->live_blocks[id]);
        uint64_t born = id == 0 ? VM_LOAD(&p->born_large) : VM_LOAD(&p->born_blocks[id]);
        sum->of[id].live += live;
        sum->of[id].carved += VM_LOAD(&p->carved_blocks[id]);
        sum->of[id].frees += born - live;
    }
}

void counts_sum(const struct vm_counts_file *file, uint64_t number, struct counts_sum *sum)
{
    *sum = (struct counts_sum){.ended = true};
    for (uint64_t i = 1; i <= cells_taken(file); i++) {
        const void *cell = cell_of(file, i);
        const struct vm_counts_heap *h = cell;
        const struct vm_counts_process *p = cell;
        if (VM_LOAD(&h->kind) == VM_COUNTS_HEAP && (number == 0 || VM_LOAD(&h->process) == number))
            add_heap(file, h, sum);
        else if (VM_LOAD(&p->kind) == VM_COUNTS_PROCESS && (number == 0 || i == number))
            sum->processes += !ran_before(file, i, VM_LOAD(&p->pid)), add_process(p, sum);
    }
    for (unsigned id = 0; id < VM_COUNTS_CLASSES; id++) {
        struct counts_class *c = &sum->of[id];
        c->frees += c->calls;
        if ((int64_t)c->frees < 0) /* the last sample is younger than the calls that we saw */
            c->frees = 0;
        sum->calls += c->calls;
        sum->frees += c->frees;
        sum->asked += id == 0 ? 0 : c->asked;
        sum->given += c->calls * file->class_size[id];
    }
}
