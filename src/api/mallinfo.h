/* What glibc's <malloc.h> declares and older ones, or other C libraries, lack: the results of mallinfo and mallinfo2, some of
   mallopt's parameters.  Included by family.c in place of <malloc.h>. */
#ifndef VM_MALLINFO_H
#define VM_MALLINFO_H

#include <malloc.h>
#include <stdio.h>

/* glibc's order of fields, which programs were compiled with. */
#define VM_MALLINFO_FIELDS(type) \
    type arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;

#ifndef __GLIBC__
struct mallinfo {
    VM_MALLINFO_FIELDS(int)
};

#define M_MXFAST 1
#define M_TRIM_THRESHOLD (-1)
#define M_TOP_PAD (-2)
#endif

#if !defined(__GLIBC__) || (__GLIBC__ == 2 && __GLIBC_MINOR__ < 33)
struct mallinfo2 {
    VM_MALLINFO_FIELDS(size_t)
};
#endif

#endif
