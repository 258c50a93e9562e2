/* The option background=1: a thread that returns what is kept while the program does not ask for it. */
#ifndef VM_BACKGROUND_H
#define VM_BACKGROUND_H

#include "base/base.h"

/* Once, at start-up, when the option is set. */
void vm_background_start(void);

/* By the thread that loads us, when the process is able to make threads. */
void vm_background_ready(void);

/* Slow: makes the thread, if it is time to.  By slow paths of allocation, with no lock of ours held; free never does it,
   since glibc calls free while it holds the lock that pthread_create needs. */
void vm_background_make(void);

/* Between the two the thread does nothing: for vmalloc_check(). */
void vm_background_hold(void);
void vm_background_release(void);

/* The calling thread ends; in the child of a fork. */
void vm_background_thread_ends(void);
void vm_background_forked(void);

/* Bytes charged at which vm_background_make() is worth a call; SIZE_MAX: never. */
extern size_t vm_background_from;

#endif
