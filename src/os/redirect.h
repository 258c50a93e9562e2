/* Makes a function of ours jump to another one from now on: what a kernel does with its static keys.  So a choice that is made
   once, at start-up, costs those nothing who did not make it.  The code is written to through /proc/self/mem, as a debugger
   sets a breakpoint: no page is ever writable and executable, and only that page of the file is copied.

   It is for what is right without it too, only slower: everything that is not as expected makes it return false and change
   nothing. */
#ifndef VM_REDIRECT_H
#define VM_REDIRECT_H

#include "base/base.h"

/* Both are functions of the library itself, of the same type.  False: more than one thread, no /proc, system calls given
   up, a first instruction that has no room for the jump, or one that somebody put there (a breakpoint). */
bool vm_redirect(void *function, const void *to);

#endif
