/* The three ways things go wrong, kept apart: a bug in us (VM_ASSERT), a misuse by the caller (vm_fatal), and a
   shortage (a returned error, not here).  Messages are one line, "libvmalloc: ...", written with write(2). */
#ifndef VM_FAIL_H
#define VM_FAIL_H

#include "base/base.h"

/* Prints "libvmalloc: " and the formatted text (vm_fmt's conversions) as one line on stderr. */
void vm_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* The same, then abort(). */
_Noreturn void vm_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

_Noreturn void vm_assert_failed(const char *what, const char *file, int line) __attribute__((cold));

/* Cheap tier: on in every build, used off the hit paths.  Expensive tier: only with --enable-debug. */
#define VM_ASSERT(cond) (VM_LIKELY(cond) ? (void)0 : vm_assert_failed(#cond, __FILE__, __LINE__))
#ifdef VM_DEBUG
#define VM_ASSERT_EXPENSIVE(cond) VM_ASSERT(cond)
#else
#define VM_ASSERT_EXPENSIVE(cond) ((void)0)
#endif

#endif
