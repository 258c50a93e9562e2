/* Known work for the truth check of demand paging in tests/tool/sim: touches PAGES pages of memory of each kind, one byte a
   page in rising order, and prints for each a line "KIND FROM TO FAULTS", addresses in hexadecimal, TO not included, FAULTS
   the minor faults that getrusage() counted around the touching alone.

   The kinds have addresses of their own, below one arena and never used before, because a trace without mappings takes an
   address that is mapped a second time for the same page.  Huge pages are off: they would be one fault for 512 pages.
   Nothing that is printed, called or counted lies in the memory touched.  Usage: demand FILE   (FILE is overwritten) */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 256
#define BYTES (PAGES * PAGE)
#define SPAN (2 << 20) /* of the arena, for each kind: a multiple of what the kernel maps around a fault */
#define PAD (8 * PAGE) /* on the stack, to both sides: frames of callers and callees */

struct result {
    const char *kind;
    volatile char *from;
    long faults;
};

static char bss[BYTES + PAGE];
static struct result results[16];
static unsigned count;

static void check(const char *what, int good)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static long faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static char *page_up(char *at) { return at + (-(uintptr_t)at & (PAGE - 1)); }

static void read_pages(volatile char *at, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        (void)at[(size_t)i * PAGE];
}

static void write_pages(volatile char *at, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        at[(size_t)i * PAGE] = 1;
}

static void measure(const char *kind, volatile char *from, int reads, int writes)
{
    long before = faults();

    if (reads)
        read_pages(from, PAGES);
    if (writes)
        write_pages(from, PAGES);
    results[count++] = (struct result){kind, from, faults() - before};
}

__attribute__((noinline)) static void on_stack(void)
{
    char memory[PAD + PAGE + BYTES + PAD];

    measure("stack", page_up(memory + PAD), 0, 1);
}

static char *map(char *at, int perms, int fd)
{
    char *got = mmap(at, BYTES, perms, MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

    check("mmap", got == at);
    return got;
}

static void mapped(char *at, int fd)
{
    const int rw = PROT_READ | PROT_WRITE;

    measure("mmap", map(at, rw, -1), 0, 1);
    measure("read-write", map(at += SPAN, rw, -1), 1, 1);
    map(at += SPAN, rw, -1);
    long before = faults();
    write_pages(at, PAGES);
    map(at, rw, -1);
    write_pages(at, PAGES);
    results[count++] = (struct result){"mmap-twice", at, faults() - before};
    measure("file-read", map(at += SPAN, PROT_READ, fd), 1, 0);
    measure("file-write", map(at += SPAN, rw, fd), 0, 1);
    measure("file-read-write", map(at += SPAN, rw, fd), 1, 1);
}

int main(int argc, char **argv)
{
    char page[PAGE] = {1};
    int fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;

    check("usage: demand FILE", fd >= 0);
    for (unsigned i = 0; i < PAGES; i++)
        check(argv[1], write(fd, page, PAGE) == PAGE);
    check("prctl", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    char *arena = mmap(NULL, 16 * SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check("mmap", arena != MAP_FAILED);
    char *heap = sbrk(BYTES + PAGE);
    check("sbrk", heap != (char *)-1);
    measure("warm-up", page, 0, 0); /* the code and its data are there from here on */
    count = 0;

    measure("bss", page_up(bss), 0, 1);
    measure("heap", page_up(heap), 0, 1);
    on_stack();
    mapped(arena + (-(uintptr_t)arena & (SPAN - 1)), fd);
    for (unsigned i = 0; i < count; i++)
        printf("%s %lx %lx %ld\n", results[i].kind, (unsigned long)(uintptr_t)results[i].from,
               (unsigned long)(uintptr_t)results[i].from + BYTES, results[i].faults);
    return 0;
}
