/* The option share=1: the account of this process in a page of shared memory, the file /dev/shm/vmalloc.PID with mode 0600,
   for `vmalloc stat PID` where the system forbids to read a process's memory from outside.  The process writes it itself,
   in slow paths, about ten times a second and in at most a hundredth of its time: so what it says is of the last slow path,
   and tells its age.  Figures only: no descriptors, no addresses.  Removed at exit; who is killed, ends by _exit or
   executes another program leaves it, and the next program that starts with share=1 sweeps it away.  When the
   option is off, slow paths test one flag. */
#ifndef VM_SHARE_H
#define VM_SHARE_H

#include "report/figures.h"

#define VM_SHARE_DIR "/dev/shm"
#define VM_SHARE_PREFIX "vmalloc" /* .PID */
#define VM_SHARE_PATH VM_SHARE_DIR "/" VM_SHARE_PREFIX
#define VM_SHARE_MAGIC "vmalloc\x8f\xa5\xc3\x1b.shr\n" /* 16 characters without the NUL */
#define VM_SHARE_FORMAT 1

struct vm_share_page {
    char magic[16];
    uint64_t pid_space;     /* in which the process id means something */
    uint32_t format, bytes; /* VM_SHARE_FORMAT; its own size */
    char version[16];       /* of the library */
    uint64_t pid;
    uint64_t written; /* ns, CLOCK_MONOTONIC; 0: not yet */
    uint32_t turn;    /* odd: is being written */
    uint32_t pad;
    struct vm_figures figures;
};

extern VM_HIDDEN bool vm_share_on; /* const: after start-up */

void vm_share_start(bool on);
void vm_share_publish(void); /* if it is time */
void vm_share_forked(void);  /* in the child: it gets a page of its own at its next slow path */
void vm_share_end(void);

VM_INLINE void vm_share_tick(void)
{
    if (VM_UNLIKELY(vm_share_on))
        vm_share_publish();
}

#endif
