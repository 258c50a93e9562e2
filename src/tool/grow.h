/* Arrays that grow by one element at a time.  There is room for a power of two of them, GROW_FIRST at least, so the count
   alone tells when an array is full. */
#ifndef TOOL_GROW_H
#define TOOL_GROW_H

#include <stdlib.h>

#include "base/base.h"

enum { GROW_FIRST = 64 };

/* The array of `count` elements of `size` bytes, with room for one more; NULL: no memory, and the array is as it was. */
static inline void *tool_grow(void *array, size_t count, size_t size)
{
    if (count != 0 && (count < GROW_FIRST || !vm_is_pow2(count)))
        return array;
    return reallocarray(array, count ? 2 * count : GROW_FIRST, size);
}

#endif
