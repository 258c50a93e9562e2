/* For the API and stress tests compiled for musl: musl's <malloc.h>, and what of glibc's libvmalloc brings along. */
#ifndef PORTS_MUSL_MALLOC_H
#define PORTS_MUSL_MALLOC_H

#include_next <malloc.h>

#include <stddef.h>
#include <stdio.h>

#include "api/mallinfo.h"

#define M_MMAP_THRESHOLD (-3)
#define M_MMAP_MAX (-4)
#define M_CHECK_ACTION (-5)
#define M_PERTURB (-6)
#define M_ARENA_TEST (-7)
#define M_ARENA_MAX (-8)

struct mallinfo mallinfo(void);
struct mallinfo2 mallinfo2(void);
int mallopt(int parameter, int value);
int malloc_trim(size_t pad);
int malloc_info(int options, FILE *out);
void malloc_stats(void);
void *pvalloc(size_t n);

#endif
