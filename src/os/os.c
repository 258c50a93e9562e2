/* The system calls behind vm_os; see os.h.  errno is whatever the calls leave: src/api saves it where it must. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fmt.h"

#define DESCRIPTOR_MIN 900 /* of files that stay open */

static void *os_sbrk(intptr_t by)
{
    void *old = sbrk(by);
    return old == (void *)-1 ? NULL : old;
}

static void *os_map(size_t bytes, int prot)
{
    void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int os_unmap(void *base, size_t bytes) { return munmap(base, bytes) == 0 ? 0 : -errno; }

static void *os_remap(void *base, size_t old_bytes, size_t new_bytes)
{
    void *p = mremap(base, old_bytes, new_bytes, MREMAP_MAYMOVE);
    return p == MAP_FAILED ? NULL : p;
}

static int os_purge(void *base, size_t bytes) { return madvise(base, bytes, MADV_DONTNEED) == 0 ? 0 : -errno; }
static int os_dontdump(void *base, size_t bytes) { return madvise(base, bytes, MADV_DONTDUMP) == 0 ? 0 : -errno; }
static int os_protect(void *base, size_t bytes, int prot) { return mprotect(base, bytes, prot) == 0 ? 0 : -errno; }

static uint64_t os_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct vm_os vm_os = {os_sbrk, os_map, os_unmap, os_remap, os_purge, os_dontdump, os_protect, os_now, 4096};

void vm_os_start(void)
{
    unsigned long page = getauxval(AT_PAGESZ);
    if (page >= 4096 && page <= 65536 && vm_is_pow2(page))
        vm_os.page_size = page;
}

uint64_t vm_os_secret(void)
{
    uint64_t secret[2] = {0, 0};
    const void *random = (const void *)getauxval(AT_RANDOM);

    if (random)
        memcpy(secret, random, sizeof secret);
    /* Of the 16 bytes glibc makes its stack guard from the first 8 and its pointer guard from the rest: publish
       neither, mix both. */
    uint64_t mixed = (secret[0] ^ (secret[1] << 32 | secret[1] >> 32)) * 0x9e3779b97f4a7c15u;
    return mixed ^ (mixed >> 32) ^ (uintptr_t)&vm_os;
}

void *vm_os_map_file(const char *path, size_t bytes)
{
    struct stat st;
    void *p = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size >= bytes)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

size_t vm_os_address_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur;
}

int vm_os_make_file(const char *path)
{
    char name[PATH_MAX];
    size_t n = vm_fmt(name, sizeof name, "%s.%d", path, (int)getpid());
    int low = n < sizeof name - 1 ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666) : -1;

    if (low < 0)
        return -1;
    int fd = fcntl(low, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
    if (fd < 0)
        return low; /* few descriptors are allowed: it stays where it is */
    close(low);
    return fd;
}

void vm_os_append(int fd, const char *text, size_t bytes)
{
    ssize_t written = write(fd, text, bytes);
    (void)written;
}
