/* Fuzzing target: what `vmalloc stat` reads, the exported block and the core files it may lie in (src/tool/peek).  Inputs
   whose first byte is even are core files as they are.  The others are changes to a good core file, which is made of this
   very process's heap: each overwrites a fact, what a root leads to, or the file's headers.  Whatever is in the file, it
   opens or is refused by one line, and a snapshot of it has ranges in order that do not overlap. */
#include "fuzz.h"

#include <ctype.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/syscall.h>

#include "../stress/stress.h"
#include "report/block.h"
#include "tool/peek.h"

#define SEGMENTS_MAX 64
#define CHANGES_MAX 8
#define DATA_MAX ((uint64_t)64 << 20) /* a sanitizer's own areas are larger */

static struct {
    Elf64_Ehdr header;
    Elf64_Phdr segment[SEGMENTS_MAX];
} head;
static uint64_t file_end;
static int core = -1;
static char core_path[32];
static struct vm_fact *fact; /* of the good file */
static size_t facts;

/* ---- The good file ---- */

static void add_segment(uint64_t start, uint64_t end)
{
    if (head.header.e_phnum == SEGMENTS_MAX || end - start > DATA_MAX)
        return;
    head.segment[head.header.e_phnum++] =
        (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = file_end, .p_vaddr = start,
                     .p_filesz = end - start, .p_memsz = end - start};
    /* Not pwrite(): the address sanitizer does not like what lies between variables to be read. */
    FUZZ_CHECK(syscall(SYS_pwrite64, core, start, end - start, file_end) == (long)(end - start));
    file_end += end - start;
}

/* Everything that a reader may follow: this program's own variables, the descriptors and the tables. */
static void add_memory(const struct peek_snapshot *s)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096], perms[5];
    uint64_t start, end, last = 0, block = (uintptr_t)&vm_report_block;

    FUZZ_CHECK(maps);
    while (fgets(line, sizeof line, maps)) {
        FUZZ_CHECK(sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, perms) == 3);
        bool data = perms[0] == 'r' && perms[1] == 'w' && ((start <= block && block < end) || (last != 0 && start == last));
        if (data)
            add_segment(start, end);
        last = data ? end : 0;
    }
    fclose(maps);
    for (size_t i = 0; i < s->ranges; i++) {
        const struct peek_range *r = &s->range[i];
        uint64_t bytes = r->kind == PEEK_MEM_MAP ? vm_align_up(s->mem_map_used, 4096) : r->end - r->start;
        if ((r->kind == PEEK_METADATA || r->kind == PEEK_MEM_MAP) && bytes > 0)
            add_segment(r->start, r->start + bytes);
    }
}

static void *blocks_of_another_thread(void *nothing)
{
    for (size_t n = 16; n < 300000; n *= 3)
        vmt_free(vmt_malloc(n) ? vmt_malloc(n / 2) : NULL);
    return nothing;
}

static void make_core(void)
{
    char self[16], error[PEEK_ERROR_MAX];
    pthread_t thread;

    for (size_t n = 16; n < 1000000; n *= 2)
        vmt_free(vmt_malloc(n) ? vmt_malloc(n * 3 / 2) : NULL);
    FUZZ_CHECK(pthread_create(&thread, NULL, blocks_of_another_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    snprintf(self, sizeof self, "%d", (int)getpid());
    struct peek *p = peek_open(self, error);
    struct peek_snapshot *s = p ? peek_snapshot(p, error) : NULL;
    if (!s)
        die("fuzz_peek: %s", error);
    core = fuzz_file("", 0, core_path);
    memcpy(head.header.e_ident, ELFMAG, SELFMAG);
    head.header.e_ident[EI_CLASS] = ELFCLASS64;
    head.header.e_ident[EI_DATA] = ELFDATA2LSB;
    head.header.e_type = ET_CORE;
    head.header.e_phoff = offsetof(__typeof__(head), segment);
    head.header.e_phentsize = sizeof(Elf64_Phdr);
    file_end = sizeof head;
    add_memory(s);
    FUZZ_CHECK(pwrite(core, &head, sizeof head, 0) == (ssize_t)sizeof head);
    fact = p->fact;
    facts = p->facts;
    p->fact = NULL;
    peek_snapshot_free(s);
    peek_close(p);
}

/* ---- Changes to it ---- */

static struct change {
    uint64_t offset, was;
} change[CHANGES_MAX];
static size_t changes;

/* Where in the file the memory at the address is; 0: nowhere. */
static uint64_t offset_of(uint64_t address)
{
    for (size_t i = 0; i < head.header.e_phnum; i++)
        if (address >= head.segment[i].p_vaddr && address - head.segment[i].p_vaddr + 8 <= head.segment[i].p_filesz)
            return head.segment[i].p_offset + (address - head.segment[i].p_vaddr);
    return 0;
}

static uint64_t number_at(uint64_t offset)
{
    uint64_t n = 0;

    FUZZ_CHECK(pread(core, &n, sizeof n, (off_t)offset) == sizeof n);
    return n;
}

/* The place that the next bytes name. */
static uint64_t take_place(struct fuzz_bytes *b)
{
    unsigned way = fuzz_byte(b), which = fuzz_byte(b), far = fuzz_byte(b);
    uint64_t address = fact[which % facts].value;

    if (way % 8 == 0) /* the file's headers */
        return (which * 256 + far) % (sizeof head - 8);
    if (way % 8 == 1) /* the block itself */
        return offset_of((uintptr_t)&vm_report_block + far % sizeof vm_report_block);
    if (way % 8 == 2) /* a table of facts */
        return offset_of((uintptr_t)vm_report_block.table[which % VM_BLOCK_TABLES] + far * 8);
    for (unsigned steps = way % 8 - 3; steps > 0 && offset_of(address); steps--)
        address = number_at(offset_of(address)) + (far & 7) * 8;
    return offset_of(address + (far >> 3) * 8);
}

static void take_change(struct fuzz_bytes *b)
{
    uint64_t at = take_place(b), n = 0;
    unsigned what = fuzz_byte(b);

    for (unsigned i = 0; i < 8 && (what & 3) == 0; i++)
        n = n << 8 | fuzz_byte(b);
    if (at == 0)
        return;
    uint64_t was = number_at(at);
    switch (what & 3) {
    case 0: break;
    case 1: n = was + (uint64_t)(int8_t)fuzz_byte(b); break;
    case 2: n = fact[fuzz_byte(b) % facts].value; break;
    default: n = was ^ (uint64_t)1 << (what >> 2);
    }
    change[changes++] = (struct change){at, was};
    FUZZ_CHECK(pwrite(core, &n, sizeof n, (off_t)at) == sizeof n);
}

static void undo_changes(void)
{
    while (changes > 0) {
        changes--;
        FUZZ_CHECK(pwrite(core, &change[changes].was, 8, (off_t)change[changes].offset) == 8);
    }
}

/* ---- Reading ---- */

/* Neither empty nor with a character that a terminal obeys. */
static bool is_line(const char *text)
{
    size_t length = 0;

    while (text[length] && !iscntrl((unsigned char)text[length]))
        length++;
    return length > 0 && text[length] == '\0' && length < PEEK_ERROR_MAX;
}

/* Is there a snapshot? */
static bool look(const char *path)
{
    char error[PEEK_ERROR_MAX] = "";
    struct peek *p = peek_open(path, error);

    FUZZ_CHECK(p || is_line(error));
    if (!p)
        return false;
    FUZZ_CHECK(!p->version[0] || is_line(p->version));
    struct peek_snapshot *s = peek_snapshot(p, error);
    FUZZ_CHECK(s || is_line(error));
    for (size_t i = 0; s && i < s->ranges; i++) {
        const struct peek_range *r = &s->range[i];
        FUZZ_CHECK(r->start < r->end && (i == 0 || r[-1].end <= r->start) && (unsigned)r->kind < PEEK_KINDS);
        FUZZ_CHECK(peek_range_at(s, r->start) == r && peek_range_at(s, r->end - 1) == r);
    }
    bool good = s != NULL;
    if (s)
        peek_snapshot_free(s);
    peek_close(p);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes b = {data, data + size};
    char path[32];

    if (fuzz_byte(&b) % 2 == 0) {
        int fd = fuzz_file(b.at, (size_t)(b.end - b.at), path);
        look(path);
        close(fd);
        return 0;
    }
    if (core < 0) {
        make_core();
        FUZZ_CHECK(look(core_path));
    }
    while (b.at < b.end && changes < CHANGES_MAX)
        take_change(&b);
    look(core_path);
    undo_changes();
    return 0;
}
