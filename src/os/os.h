/* The only door to the kernel: every system call of the allocator goes through the table vm_os, so that tests can
   make any one of them fail, count them, or pass their own clock and page size.  Functions return 0 or -errno, or a
   pointer or NULL; none of them is called on a hit path. */
#ifndef VM_OS_H
#define VM_OS_H

#include "base/base.h"

struct vm_os {
    /* Moves the break by `by` bytes and returns the old break; NULL when refused.  by = 0 asks.  Beside another C library than
       glibc it is a break of our own: see os.c. */
    void *(*sbrk)(intptr_t by);
    /* Anonymous private memory, bytes a multiple of the page size; prot as mmap's.  NULL when refused. */
    void *(*map)(size_t bytes, int prot);
    int (*unmap)(void *base, size_t bytes);
    /* Grows or shrinks a mapping, moving it where it must; NULL when refused, the old mapping then still whole. */
    void *(*remap)(void *base, size_t old_bytes, size_t new_bytes);
    /* Gives the pages back and reads zeros afterwards (MADV_DONTNEED). */
    int (*purge)(void *base, size_t bytes);
    /* Leaves the range out of core dumps, or takes it in again; failure is harmless. */
    int (*dump)(void *base, size_t bytes, bool wanted);
    int (*protect)(void *base, size_t bytes, int prot);
    /* Advises for huge pages, or against them. */
    int (*huge)(void *base, size_t bytes, bool wanted);
    /* Pages of a range that are resident, or swapped out; -1 when nobody says. */
    long (*resident)(void *base, size_t bytes);
    /* The system's text about huge pages, "always [madvise] never"; false when this process has none. */
    bool (*thp_setting)(char *text, size_t room);
    /* Monotonic nanoseconds. */
    uint64_t (*now)(void);
    uint64_t (*cpu_time)(void); /* nanoseconds that this thread has run */
    /* Reads the beginning of a file into buf[0..cap); how many bytes, or -errno. */
    long (*read_file)(const char *path, char *buf, size_t cap);
    /* Has the process given up system calls (seccomp(2))?  Then it makes no call of a new kind. */
    bool (*is_confined)(void);
    size_t page_size; /* const: after vm_os_start(); bytes, a power of two from 4 KiB to 64 KiB */
};

extern struct vm_os vm_os;

/* Reads the page size.  Uses no allocation and no stdio. */
void vm_os_start(void);

/* Keeps every signal from the calling thread, and gives back the mask from before. */
void vm_os_block_signals(uint64_t *before);
void vm_os_restore_signals(const uint64_t *before);

/* A number the attacker does not know, one a process (AT_RANDOM, see getauxval(3)). */
uint64_t vm_os_secret(void);

/* Maps a file shared and writable, as many bytes of it as *bytes says or as it has; NULL when it cannot be. */
void *vm_os_map_file(const char *path, size_t *bytes);

/* Is the page of the address in memory?  1, 0; -1: the system does not say. */
int vm_os_resident(const void *address);

/* What the process has used so far, by getrusage. */
struct vm_os_usage {
    uint64_t minor_faults, major_faults; /* count */
    uint64_t rss_peak;                   /* bytes */
};
void vm_os_usage(struct vm_os_usage *u);

/* What the kernel calls the process, cut to 15 characters. */
void vm_os_process_name(char name[16]);

/* Makes a file of that many bytes (rounded to pages) for this user only, which must not be there yet, and maps it shared;
   NULL when it cannot be made. */
void *vm_os_make_shared(const char *path, size_t bytes);

/* Removes a file that begins with the mark, if it is a regular one of this user's that nobody else may open and has no other
   name.  True when it is gone. */
bool vm_os_remove_marked(const char *path, const void *mark, size_t bytes);

/* Does so with every file DIR/PREFIX.PID of a process that is no more. */
void vm_os_sweep_marked(const char *dir, const char *prefix, const void *mark, size_t bytes);

/* A number that only processes which see the same process ids have in common; 0: cannot be told. */
uint64_t vm_os_pid_space(void);

/* The soft limit on address space in bytes (RLIMIT_AS), SIZE_MAX when there is none. */
size_t vm_os_address_limit(void);

/* Makes an empty file PATH.PID and returns a descriptor to append to, out of the way of those that programs count on;
   -1 when it cannot be made.  vm_os_append() does not care whether that works. */
int vm_os_make_file(const char *path);
void vm_os_append(int fd, const char *text, size_t bytes);

/* Writes the text to stderr and ends the process with status 1, by system calls alone: works where libc's functions do not. */
_Noreturn void vm_os_end(const char *text, size_t bytes);

/* A descriptor to read a file, or to append to one, which is made where it is not there; -1.  Bytes read at an offset
   (fewer only at the end), or -errno. */
int vm_os_open_read(const char *path);
int vm_os_open_append(const char *path);
long vm_os_read_at(int fd, void *to, size_t bytes, uint64_t offset);
void vm_os_close(int fd);

int vm_os_pid(void);

/* Has advice to use huge pages ever been taken? */
bool vm_os_huge_asked(void);

/* What the kernel says of the page beside the bits of /proc/self/pagemap (ioctl PAGEMAP_SCAN on a descriptor of it, Linux
   6.7): a mask of VM_OS_PAGE_*, or -errno. */
#define VM_OS_PAGE_ZERO (1 << 5) /* PAGE_IS_PFNZERO: the page of zeros that everybody shares */
#define VM_OS_PAGE_HUGE (1 << 6) /* PAGE_IS_HUGE */
int vm_os_page_kind(int pagemap, uintptr_t page);

#endif
