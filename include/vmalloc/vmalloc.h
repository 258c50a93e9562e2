/* libvmalloc: what it offers beside the malloc family, which it serves under the names of the C library. */
#ifndef VMALLOC_VMALLOC_H
#define VMALLOC_VMALLOC_H

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that runs, as "major.minor.patch". */
const char *vmalloc_version(void);

/* Checks every invariant of the allocator's structures that can be checked while the calling thread is the only one
   that allocates: 1 when all hold, 0 otherwise.  For tests; walks the whole heap. */
int vmalloc_check(void);

#ifdef __cplusplus
}
#endif

#endif
