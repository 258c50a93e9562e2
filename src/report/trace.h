/* The option trace=FILE: every block that is handed out and taken back, as text for `vmalloc sim`:

       m ADDRESS BYTES      a block of that many usable bytes was handed out
       f ADDRESS            it was taken back

   A process writes FILE.PID; a child made by fork writes nothing until it executes a program. When the option is off,
   nothing on a hit path knows of it; when it is on, every call takes the slow path. */
#ifndef VM_TRACE_H
#define VM_TRACE_H

#include "base/base.h"

/* const: after start-up; in the child of a fork -1 from the start. */
extern int vm_trace_fd;

/* Makes the file; an empty path means off.  True when tracing is on from now. */
bool vm_trace_start(const char *path);

/* In the child of a fork. */
void vm_trace_stop(void);

/* One line each, written at once: before a block goes back, after it was handed out, so that no line of another thread
   can show the address in the wrong order. */
void vm_trace_write_alloc(const void *p);
void vm_trace_write_free(const void *p);

VM_INLINE void vm_trace_alloc(const void *p)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_trace_fd >= 0) && p)
        vm_trace_write_alloc(p);
}

VM_INLINE void vm_trace_free(const void *p)
{
    if (VM_INSTRUMENT && VM_UNLIKELY(vm_trace_fd >= 0))
        vm_trace_write_free(p);
}

#endif
