/* The system calls behind vm_os; see os.h.  errno is whatever libc's calls leave: src/api saves it where it must. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/probe.h"

#define DESCRIPTOR_MIN 900 /* of files that stay open */

static bool huge_asked;

#if defined(__SANITIZE_THREAD__) || !(defined(__x86_64__) || defined(__aarch64__))
#define CALL_LIBC /* the thread sanitizer watches libc's functions to forget what memory was before */
#endif

#ifdef CALL_LIBC
static long through_libc(long number, long a, long b, long c, long d, long e)
{
    long result = -1;

    switch (number) {
    case SYS_mmap: result = (long)mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, 0); break;
    case SYS_munmap: result = munmap((void *)a, (size_t)b); break;
    case SYS_mremap: result = (long)mremap((void *)a, (size_t)b, (size_t)c, (int)d); break;
    case SYS_madvise: result = madvise((void *)a, (size_t)b, (int)c); break;
    case SYS_mprotect: result = mprotect((void *)a, (size_t)b, (int)c); break;
    }
    return result == -1 ? -errno : result;
}
#endif

/* The calls that are made at every start go to the kernel directly: libc's functions for them lie on pages of libc that a
   small program has no other need of (64 KiB of its RSS). Result or -errno. */
static long call_kernel(long number, long a, long b, long c, long d, long e)
{
#ifdef CALL_LIBC
    return through_libc(number, a, b, c, d, e);
#elif defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
#else /* aarch64 */
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = 0;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#endif
}

/* Addresses are never among the last 4095. */
static void *address_of(long result) { return result < 0 && result > -4096 ? NULL : (void *)result; }

static void *os_map(size_t bytes, int prot)
{
    return address_of(call_kernel(SYS_mmap, 0, (long)bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1));
}

void vm_os_block_signals(uint64_t *before)
{
    uint64_t all = UINT64_MAX;

    *before = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, before, sizeof all);
}

void vm_os_restore_signals(const uint64_t *before)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, before, NULL, sizeof *before);
}

static int os_unmap(void *base, size_t bytes) { return (int)call_kernel(SYS_munmap, (long)base, (long)bytes, 0, 0, 0); }

static void *os_remap(void *base, size_t old_bytes, size_t new_bytes)
{
    return address_of(call_kernel(SYS_mremap, (long)base, (long)old_bytes, (long)new_bytes, MREMAP_MAYMOVE, 0));
}

static int os_advise(void *base, size_t bytes, int advice)
{
    return (int)call_kernel(SYS_madvise, (long)base, (long)bytes, advice, 0, 0);
}

static int os_purge(void *base, size_t bytes)
{
    VM_PROBE2(libvmalloc, purge, base, bytes);
    return os_advise(base, bytes, MADV_DONTNEED);
}

static int os_dump(void *base, size_t bytes, bool wanted)
{
    return os_advise(base, bytes, wanted ? MADV_DODUMP : MADV_DONTDUMP);
}

static int os_protect(void *base, size_t bytes, int prot)
{
    return (int)call_kernel(SYS_mprotect, (long)base, (long)bytes, prot, 0, 0);
}

static int os_huge(void *base, size_t bytes, bool wanted)
{
    int result = os_advise(base, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);

    if (wanted && result == 0)
        VM_STORE(&huge_asked, true);
    return result;
}

/* The beginning of a file as a string; false when there is nothing to read. */
static bool read_text(const char *path, char *text, size_t room)
{
    long n = vm_os.read_file(path, text, room - 1);

    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Documentation/admin-guide/mm/pagemap.rst: a word a page, the topmost bits present and swapped. */
static long os_resident(void *base, size_t bytes)
{
    uint64_t entries[512] = {0};
    size_t pages = vm_min(bytes / vm_os.page_size, sizeof entries / sizeof *entries);
    int fd = vm_os.is_confined() ? -1 : vm_os_open_read("/proc/self/pagemap");
    long n = -1;

    if (fd < 0)
        return -1;
    if (vm_os_read_at(fd, entries, pages * sizeof *entries, (uintptr_t)base / vm_os.page_size * sizeof *entries)
        == (long)(pages * sizeof *entries)) {
        n = 0;
        for (size_t i = 0; i < pages; i++)
            n += entries[i] >> 62 != 0;
    }
    vm_os_close(fd);
    return n;
}

/* prctl(PR_SET_THP_DISABLE) shows in the status, which takes no new kind of system call to see. */
static bool os_thp_setting(char *text, size_t room)
{
    char status[4096];

    if (vm_os.page_size != 4096 || vm_os.is_confined()) /* a huge page would be 32 or 512 MiB; no file may be opened */
        return false;
    if (read_text("/proc/self/status", status, sizeof status) && strstr(status, "\nTHP_enabled:\t0\n"))
        return false;
    return read_text("/sys/kernel/mm/transparent_hugepage/enabled", text, room);
}

#ifdef __GLIBC__
static void *os_sbrk(intptr_t by)
{
    void *old = sbrk(by);
    return old == (void *)-1 ? NULL : old;
}
#else
/* Where the break is not for everybody: musl's sbrk() only tells it, and musl's own malloc, which its dynamic loader keeps
   beside ours, sets it to where it believes it to be (mallocng, alloc_meta).  So it is one of our own: it starts at the bottom of
   a hole in the address space and grows up, while the kernel puts what it is asked to map at the top.  Guarded by
   vm_frames_lock. */
#define HOLE_MAX (64 * VM_GIB)
#define HOLE_MIN (4 * VM_MIB)

static uintptr_t break_base, break_at; /* 0: no hole was found yet */

static void find_hole(void)
{
    size_t bytes = vm_min(vm_align_down(vm_os_address_limit(), HOLE_MIN), HOLE_MAX);

    for (; bytes >= HOLE_MIN; bytes = vm_align_down(bytes / 2, HOLE_MIN)) {
        void *hole = os_map(bytes, PROT_NONE);
        if (!hole)
            continue;
        os_unmap(hole, bytes);
        break_base = break_at = (uintptr_t)hole;
        return;
    }
}

static bool map_at(uintptr_t from, size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    void *p = address_of(call_kernel(SYS_mmap, (long)from, (long)bytes, PROT_READ | PROT_WRITE, flags, -1));

    if (p && (uintptr_t)p != from) /* a kernel before 4.17 takes the address for a wish */
        os_unmap(p, bytes);
    return (uintptr_t)p == from;
}

static void *os_sbrk(intptr_t by)
{
    if (!break_at)
        find_hole();
    uintptr_t old = break_at, now = old + (uintptr_t)by;
    if (!old || now < break_base)
        return NULL;
    uintptr_t old_end = vm_align_up(old, vm_os.page_size), end = vm_align_up(now, vm_os.page_size);
    if (end > old_end && !map_at(old_end, end - old_end))
        return NULL;
    if (end < old_end && os_unmap((void *)end, old_end - end) != 0)
        return NULL;
    break_at = now;
    return (void *)old;
}
#endif

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t os_now(void) { return clock_ns(CLOCK_MONOTONIC_COARSE); }
static uint64_t os_cpu_time(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static long os_read_file(const char *path, char *buf, size_t cap)
{
    size_t have = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    while (have < cap && (got = read(fd, buf + have, cap - have)) > 0)
        have += (size_t)got;
    long error = got < 0 ? -errno : 0;
    close(fd);
    return have > 0 ? (long)have : error;
}

static bool os_is_confined(void) { return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0; }

struct vm_os vm_os = {os_sbrk, os_map,      os_unmap,     os_remap,       os_purge,
                      os_dump, os_protect,  os_huge,      os_resident,    os_thp_setting,
                      os_now,  os_cpu_time, os_read_file, os_is_confined, 4096};

void vm_os_start(void)
{
    unsigned long page = (unsigned long)getpagesize();
    if (page >= 4096 && page <= 65536 && vm_is_pow2(page))
        vm_os.page_size = page;
}

uint64_t vm_os_secret(void)
{
    uint64_t secret[2] = {0, 0};

    if (getrandom(secret, sizeof secret[0], GRND_NONBLOCK) == sizeof secret[0])
        return secret[0];
    const void *random = (const void *)getauxval(AT_RANDOM);
    if (random)
        memcpy(secret, random, sizeof secret);
    /* Of the 16 bytes glibc makes its stack guard from the first 8 and its pointer guard from the rest: publish
       neither, mix both. */
    uint64_t mixed = (secret[0] ^ (secret[1] << 32 | secret[1] >> 32)) * 0x9e3779b97f4a7c15u;
    return mixed ^ (mixed >> 32) ^ (uintptr_t)&vm_os;
}

void *vm_os_map_file(const char *path, size_t *bytes)
{
    struct stat st;
    void *p = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        *bytes = vm_min((size_t)st.st_size, *bytes);
        p = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

/* Written rather than only made long: a full disk shows here and not as a SIGBUS later. */
void *vm_os_make_shared(const char *path, size_t bytes)
{
    static const char zeros[1024];
    void *p = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return NULL;
    bytes = vm_align_up(bytes, vm_os.page_size);
    bool written = true;
    for (size_t at = 0; written && at < bytes; at += sizeof zeros)
        written = write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros;
    if (written)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED)
        return p;
    unlink(path);
    return NULL;
}

bool vm_os_remove_marked(const char *path, const void *mark, size_t bytes)
{
    char start[64];
    struct stat st;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return false;
    bool ours = bytes <= sizeof start && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid()
                && st.st_nlink == 1 && (st.st_mode & 077) == 0 && read(fd, start, bytes) == (ssize_t)bytes
                && memcmp(start, mark, bytes) == 0;
    close(fd);
    return ours && unlink(path) == 0;
}

int vm_os_resident(const void *address)
{
    unsigned char page;

    /* One byte: one entry, however small the kernel's pages are. */
    if (mincore((void *)vm_align_down((uintptr_t)address, vm_os.page_size), 1, &page) != 0)
        return -1;
    return page & 1;
}

void vm_os_usage(struct vm_os_usage *u)
{
    struct rusage r = {0};

    getrusage(RUSAGE_SELF, &r);
    *u = (struct vm_os_usage){(uint64_t)r.ru_minflt, (uint64_t)r.ru_majflt, (uint64_t)r.ru_maxrss * VM_KIB};
}

void vm_os_process_name(char name[16])
{
    name[0] = '\0';
    prctl(PR_GET_NAME, name, 0, 0, 0);
}

/* The process id in "PREFIX.PID"; 0: it is no such name. */
static pid_t pid_in(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    long pid = 0;

    if (strncmp(name, prefix, n) != 0 || name[n] != '.')
        return 0;
    for (name += n + 1; *name >= '0' && *name <= '9' && pid < 1 << 26; name++)
        pid = pid * 10 + (*name - '0');
    return *name == '\0' ? (pid_t)pid : 0;
}

/* The kernel's own list of names, since readdir allocates. */
void vm_os_sweep_marked(const char *dir, const char *prefix, const void *mark, size_t bytes)
{
    struct entry { /* linux_dirent64, see getdents64(2) */
        uint64_t inode, next;
        uint16_t length;
        uint8_t type;
        char name[];
    };
    char list[2048] VM_ALIGNED(8), path[320];
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long got;

    if (fd < 0)
        return;
    while ((got = syscall(SYS_getdents64, fd, list, sizeof list)) > 0)
        for (long at = 0; at < got;) {
            const struct entry *e = (const struct entry *)(const void *)(list + at);
            pid_t pid = pid_in(e->name, prefix);
            if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) {
                vm_fmt(path, sizeof path, "%s/%s", dir, e->name);
                vm_os_remove_marked(path, mark, bytes);
            }
            at += e->length;
        }
    close(fd);
}

uint64_t vm_os_pid_space(void)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
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

void vm_os_end(const char *text, size_t bytes)
{
    syscall(SYS_write, STDERR_FILENO, text, bytes);
    for (;;)
        syscall(SYS_exit_group, 1);
}

int vm_os_open_read(const char *path) { return open(path, O_RDONLY | O_CLOEXEC); }
int vm_os_open_append(const char *path) { return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666); }
void vm_os_close(int fd) { close(fd); }
int vm_os_pid(void) { return (int)getpid(); }
bool vm_os_huge_asked(void) { return VM_LOAD(&huge_asked); }

long vm_os_read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t got = pread(fd, (char *)to + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (long)done;
}

/* The kernel's struct pm_scan_arg and struct page_region (linux/fs.h of Linux 6.7, which older headers lack). */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t inverted, all_of, any_of, returned;
};

int vm_os_page_kind(int pagemap, uintptr_t page)
{
    struct scan_region region = {0, 0, 0};
    struct scan s = {
        .size = sizeof s, .start = page, .end = page + vm_os.page_size, .vec = (uintptr_t)&region, .vec_len = 1};

    s.any_of = s.returned = VM_OS_PAGE_ZERO | VM_OS_PAGE_HUGE;
    int found = ioctl(pagemap, _IOWR('f', 16, struct scan), &s);
    if (found < 0)
        return -errno;
    return found > 0 ? (int)region.categories : 0;
}
