/* Reading ELF core files; see peek_core.h.  Nothing in the file is trusted: every offset is held against the file's
   length before it is used. */
#include "tool/peek_core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS_MAX ((size_t)1 << 22)
#define NOTES_MAX ((uint64_t)64 << 20) /* bytes */
/* Of pr_pid and pr_fname in the struct elf_prpsinfo of 64-bit processors. */
#define PID_OFFSET 24
#define NAME_OFFSET 40
#define NAME_BYTES 16

struct segment {
    uint64_t start, end, offset;
    bool writable;
};

struct file_range {
    uint64_t start, end;
};

struct peek_core {
    int fd;
    uint64_t length;
    struct segment *segment; /* by address, those with bytes in the file */
    size_t segments;
    struct file_range *file; /* ranges that files were mapped to */
    size_t files;
    pid_t pid;
    char command[NAME_BYTES + 1];
};

static bool read_at(const struct peek_core *c, uint64_t offset, void *to, size_t bytes)
{
    char *at = to;

    while (bytes > 0) {
        ssize_t got = pread(c->fd, at, bytes, (off_t)offset);
        if (got <= 0)
            return false;
        at += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool in_file(const struct peek_core *c, uint64_t offset, uint64_t bytes)
{
    return offset <= c->length && bytes <= c->length - offset;
}

static bool say(char *error, const char *text)
{
    snprintf(error, PEEK_ERROR_MAX, "%s", text);
    return false;
}

static bool read_header(const struct peek_core *c, Elf64_Ehdr *h, char *error)
{
    if (!in_file(c, 0, sizeof *h) || !read_at(c, 0, h, sizeof *h) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return say(error, "not a core file");
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB)
        return say(error, "not a core file of a 64-bit little-endian program");
    if (h->e_type != ET_CORE)
        return say(error, "an ELF file, but not a core file");
    if (h->e_phentsize != sizeof(Elf64_Phdr))
        return say(error, "damaged core file: its program headers have an unknown size");
    return true;
}

/* NT_FILE: count, page size, then start, end and page offset of each, then the names. */
static void note_files(struct peek_core *c, const unsigned char *d, size_t bytes)
{
    uint64_t count, entry[3];

    if (bytes < 16 || c->file)
        return;
    memcpy(&count, d, sizeof count);
    if (count > (bytes - 16) / sizeof entry || !(c->file = calloc(count + 1, sizeof *c->file)))
        return;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(entry, d + 16 + i * sizeof entry, sizeof entry);
        c->file[c->files++] = (struct file_range){entry[0], entry[1]};
    }
}

static void read_notes(struct peek_core *c, uint64_t offset, uint64_t bytes)
{
    unsigned char *all = bytes <= NOTES_MAX ? malloc(bytes + 1) : NULL;
    Elf64_Nhdr n;

    for (uint64_t at = 0; all && read_at(c, offset, all, bytes) && at + sizeof n <= bytes;) {
        memcpy(&n, all + at, sizeof n);
        uint64_t data = at + sizeof n + ((uint64_t)n.n_namesz + 3) / 4 * 4,
                 next = data + ((uint64_t)n.n_descsz + 3) / 4 * 4;
        if (data > bytes || n.n_descsz > bytes - data)
            break;
        if (n.n_type == NT_PRPSINFO && n.n_descsz >= NAME_OFFSET + NAME_BYTES) {
            int32_t pid;
            memcpy(&pid, all + data + PID_OFFSET, sizeof pid);
            c->pid = pid;
            memcpy(c->command, all + data + NAME_OFFSET, NAME_BYTES);
        } else if (n.n_type == NT_FILE) {
            note_files(c, all + data, n.n_descsz);
        }
        at = next;
    }
    free(all);
}

static int by_start(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static bool take_segment(struct peek_core *c, const Elf64_Phdr *ph, char *error)
{
    if (ph->p_filesz == 0 || (ph->p_type != PT_LOAD && ph->p_type != PT_NOTE))
        return true;
    if (!in_file(c, ph->p_offset, ph->p_filesz)) {
        snprintf(error, PEEK_ERROR_MAX,
                 "truncated core file: the part for %#" PRIx64 " ends at byte %" PRIu64 ", the file at %" PRIu64,
                 ph->p_vaddr, ph->p_offset + ph->p_filesz, c->length);
        return false;
    }
    if (ph->p_type == PT_NOTE) {
        read_notes(c, ph->p_offset, ph->p_filesz);
        return true;
    }
    if (ph->p_vaddr + ph->p_filesz < ph->p_vaddr)
        return say(error, "damaged core file: a segment passes the end of the address space");
    c->segment[c->segments++] = (struct segment){ph->p_vaddr, ph->p_vaddr + ph->p_filesz, ph->p_offset,
                                                 (ph->p_flags & PF_W) != 0};
    return true;
}

static bool read_segments(struct peek_core *c, char *error)
{
    Elf64_Ehdr h;
    size_t count;

    if (!read_header(c, &h, error))
        return false;
    count = h.e_phnum;
    if (count == PN_XNUM) { /* the number is too large for its field and stands in the first section header */
        Elf64_Shdr first;
        if (!in_file(c, h.e_shoff, sizeof first) || !read_at(c, h.e_shoff, &first, sizeof first))
            return say(error, "truncated core file: no section header");
        count = first.sh_info;
    }
    if (count > SEGMENTS_MAX || !in_file(c, h.e_phoff, count * sizeof(Elf64_Phdr)))
        return say(error, "truncated core file: it ends inside its program headers");
    Elf64_Phdr *ph = calloc(count + 1, sizeof *ph);
    c->segment = calloc(count + 1, sizeof *c->segment);
    bool good = ph && c->segment && read_at(c, h.e_phoff, ph, count * sizeof *ph);
    if (!good)
        say(error, "its program headers cannot be read");
    for (size_t i = 0; good && i < count; i++)
        good = take_segment(c, &ph[i], error);
    free(ph);
    if (good)
        qsort(c->segment, c->segments, sizeof *c->segment, by_start);
    return good;
}

struct peek_core *peek_core_open(const char *path, char error[PEEK_ERROR_MAX])
{
    struct stat st;
    struct peek_core *c = calloc(1, sizeof *c);

    if (!c) {
        say(error, strerror(errno));
        return NULL;
    }
    c->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe of this name must not make us wait */
    bool good = c->fd >= 0 && fstat(c->fd, &st) == 0;
    if (!good)
        say(error, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        good = say(error, "neither a process id nor a core file");
    if (good) {
        c->length = (uint64_t)st.st_size;
        good = read_segments(c, error);
    }
    if (good)
        return c;
    peek_core_close(c);
    return NULL;
}

void peek_core_close(struct peek_core *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c->segment);
    free(c->file);
    free(c);
}

uint64_t peek_core_length(const struct peek_core *c) { return c->length; }

pid_t peek_core_pid(const struct peek_core *c) { return c->pid; }
const char *peek_core_command(const struct peek_core *c) { return c->command; }

/* The first segment that ends above the address. */
static size_t segment_at(const struct peek_core *c, uint64_t address)
{
    size_t low = 0, high = c->segments;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c->segment[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool peek_core_read(const struct peek_core *c, uint64_t address, void *to, size_t bytes)
{
    char *at = to;

    for (size_t i = segment_at(c, address); bytes > 0; i++) {
        const struct segment *s = &c->segment[i];
        if (i == c->segments || s->start > address || s->end <= address)
            return false;
        size_t part = vm_min(bytes, s->end - address);
        if (!read_at(c, s->offset + (address - s->start), at, part))
            return false;
        at += part;
        address += part;
        bytes -= part;
    }
    return true;
}

static bool is_of_file(const struct peek_core *c, const struct segment *s)
{
    for (size_t i = 0; i < c->files; i++)
        if (c->file[i].start < s->end && s->start < c->file[i].end)
            return true;
    return c->files == 0;
}

bool peek_core_data(const struct peek_core *c, size_t i, uint64_t *start, uint64_t *end)
{
    for (size_t at = 0; at < c->segments; at++) {
        const struct segment *s = &c->segment[at];
        if (!s->writable || !is_of_file(c, s) || i-- > 0)
            continue;
        *start = s->start;
        *end = s->end;
        return true;
    }
    return false;
}
