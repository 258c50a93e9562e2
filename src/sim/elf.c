/* Program headers of ELF files; see elf.h. */
#include "sim/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct reader {
    FILE *f;
    struct vm_sim_exec_segment *segment;
    size_t cap, count;
    const char *why;
};

static int bad(struct reader *r, const char *why)
{
    r->why = why;
    return -ENOEXEC;
}

static bool read_at(struct reader *r, uint64_t at, void *to, size_t bytes)
{
    return at <= INT64_MAX && fseeko(r->f, (off_t)at, SEEK_SET) == 0 && fread(to, 1, bytes, r->f) == bytes;
}

static int add(struct reader *r, uint64_t at, uint64_t offset, uint64_t file_bytes, uint64_t memory_bytes,
               uint32_t flags)
{
    if (file_bytes > memory_bytes || at + memory_bytes < at || offset + file_bytes < offset)
        return bad(r, "a segment whose sizes make no sense");
    if (at % VM_SIM_PAGE_SIZE != offset % VM_SIM_PAGE_SIZE)
        return bad(r, "a segment whose place in the file and in memory differ in the page offset");
    if (memory_bytes == 0)
        return 0;
    if (r->count == r->cap)
        return bad(r, "more segments than there is room for");
    r->segment[r->count++] = (struct vm_sim_exec_segment){
        at, offset, file_bytes, memory_bytes,
        (uint8_t)((flags & PF_R ? VM_SIM_R : 0) | (flags & PF_W ? VM_SIM_W : 0) | (flags & PF_X ? VM_SIM_X : 0))};
    return 0;
}

#define READ_HEADERS(bits) \
    static int read_##bits(struct reader *r) \
    { \
        Elf##bits##_Ehdr h; \
        Elf##bits##_Phdr p; \
        int error = 0; \
        if (!read_at(r, 0, &h, sizeof h)) \
            return bad(r, "truncated"); \
        if (h.e_type != ET_EXEC && h.e_type != ET_DYN) \
            return bad(r, "no program"); \
        if (h.e_phnum == 0 || h.e_phentsize != sizeof p) \
            return bad(r, "no program headers"); \
        for (unsigned i = 0; i < h.e_phnum && !error; i++) { \
            if (!read_at(r, h.e_phoff + (uint64_t)i * sizeof p, &p, sizeof p)) \
                return bad(r, "truncated"); \
            if (p.p_type == PT_LOAD) \
                error = add(r, p.p_vaddr, p.p_offset, p.p_filesz, p.p_memsz, p.p_flags); \
        } \
        return error ? error : r->count ? 0 : bad(r, "nothing to load"); \
    }
READ_HEADERS(32)
READ_HEADERS(64)

static int read_file(struct reader *r)
{
    unsigned char ident[EI_NIDENT];

    if (!read_at(r, 0, ident, sizeof ident) || memcmp(ident, ELFMAG, SELFMAG) != 0)
        return bad(r, "no ELF file");
    if (ident[EI_DATA] != (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
        return bad(r, "of the other byte order");
    if (ident[EI_CLASS] == ELFCLASS64)
        return read_64(r);
    return ident[EI_CLASS] == ELFCLASS32 ? read_32(r) : bad(r, "neither 32 nor 64 bits");
}

int vm_sim_elf_segments(const char *path, struct vm_sim_exec_segment *segment, size_t cap, size_t *count,
                        const char **why)
{
    struct reader r = {.f = fopen(path, "rb"), .segment = segment, .cap = cap};
    int error = -errno;

    if (r.f) {
        error = read_file(&r);
        fclose(r.f);
    } else {
        r.why = "cannot be opened";
    }
    *count = error ? 0 : r.count;
    if (why)
        *why = r.why;
    return error;
}
