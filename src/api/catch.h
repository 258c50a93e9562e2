/* Calling C++ functions that may throw, from C: what operator new(nothrow) needs of exceptions. */
#ifndef VM_CATCH_H
#define VM_CATCH_H

#include "base/base.h"

/* Calls f.  True when it returned; false when it threw: the exception is caught and destroyed. */
VM_HIDDEN bool vm_call_catching(void (*f)(void));

/* The function `name` of the program's C++ library or its unwinder: `weak` when that is not NULL, else looked up, in a
   library that was loaded late or locally too.  NULL when there is none. */
void *vm_find_in_cxx_library(void *weak, const char *name);

#endif
