/* What is wrong with a pointer that a caller passed: finds out and dies with one line.  The caller found it unusable. */
#ifndef VM_MISUSE_H
#define VM_MISUSE_H

#include "base/base.h"

/* call: the function as the user called it; freeing: it frees (rather than reads or resizes). */
_Noreturn void vm_misuse(const void *p, const char *call, bool freeing);

#endif
