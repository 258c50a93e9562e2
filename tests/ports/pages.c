/* Linked into unit and stress tests, gives the core below them pages of UNIT_PAGE_SIZE bytes, as a kernel with 16 or 64 KiB pages
   would: vm_os_start() asks getpagesize(), which is the one below, and the calls of struct vm_os that map come to hold what such
   a kernel promises (addresses that are multiples of its pages) and demand what it demands.  Run by tests/ports/run. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/os.h"

static struct vm_os real;
static size_t page; /* 0: the system's own */

static void demand(const char *call, const void *base, size_t bytes)
{
    char line[160];

    if ((uintptr_t)base % page == 0 && bytes % page == 0)
        return;
    int n = snprintf(line, sizeof line, "%s(%p, %zu): not a multiple of pages of %zu bytes\n", call, base, bytes, page);
    if (write(STDERR_FILENO, line, (size_t)n) != n)
        _exit(3);
    abort();
}

static void *map(size_t bytes, int prot)
{
    demand("map", NULL, bytes);
    char *p = real.map(bytes + page, prot);
    if (!p)
        return NULL;
    char *from = (char *)vm_align_up((uintptr_t)p, page);
    if (from > p)
        munmap(p, (size_t)(from - p));
    if (p + page > from)
        munmap(from + bytes, (size_t)(p + page - from));
    return from;
}

static int unmap(void *base, size_t bytes)
{
    demand("unmap", base, bytes);
    return real.unmap(base, bytes);
}

/* Moves by hand: mremap would choose an address that is a multiple of the system's pages only. */
static void *remap(void *base, size_t old_bytes, size_t new_bytes)
{
    demand("remap", base, old_bytes);
    demand("remap", base, new_bytes);
    if (mremap(base, old_bytes, new_bytes, 0) != MAP_FAILED)
        return base;
    void *to = map(new_bytes, PROT_READ | PROT_WRITE);
    if (!to)
        return NULL;
    if (mremap(base, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
        munmap(to, new_bytes);
        return NULL;
    }
    return to;
}

static int purge(void *base, size_t bytes)
{
    demand("purge", base, bytes);
    return real.purge(base, bytes);
}

static int protect(void *base, size_t bytes, int prot)
{
    demand("protect", base, bytes);
    return real.protect(base, bytes, prot);
}

int getpagesize(void)
{
    const char *wish = getenv("UNIT_PAGE_SIZE");

    if (!wish)
        return (int)sysconf(_SC_PAGESIZE);
    if (!page) {
        real = vm_os;
        vm_os.map = map;
        vm_os.unmap = unmap;
        vm_os.remap = remap;
        vm_os.purge = purge;
        vm_os.protect = protect;
    }
    page = strtoul(wish, NULL, 10);
    return (int)page;
}

/* For what is tested without the API, whose start-up would call it. */
__attribute__((constructor)) static void start(void)
{
    vm_os_start();
}
