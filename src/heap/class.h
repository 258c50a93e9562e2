/* Size classes: 16-byte steps to 256, then eight a doubling to 128 KiB.  Ids run from 1 to 88; id 0 is not used, so
   that up to 256 bytes the id is the size in units of 16.  A class whose size is a multiple of a power of two has all
   blocks aligned to it, since slabs start on 64 KiB. */
#ifndef VM_CLASS_H
#define VM_CLASS_H

#include "base/base.h"

#define VM_CLASSES 89           /* ids 0 (unused) to 88 */
#define VM_BLOCK_MIN 16         /* bytes; also the alignment of every block */
#define VM_SMALL_LIMIT 131072   /* requests below it come from slabs, the others from mmap */
#define VM_SLAB_ALIGN_MAX 65536 /* largest alignment a slab can give */
#define VM_LINEAR_MAX 256       /* 16-byte steps up to here */
#define VM_LINEAR_IDS 16        /* ids 1 to 16 */
#define VM_STEPS_LOG2 3         /* eight classes a doubling */

struct vm_class {
    uint64_t magic;    /* see vm_block_index() */
    uint32_t size;     /* bytes a block */
    uint16_t capacity; /* blocks a slab */
    uint8_t frames;    /* 64 KiB frames a slab */
};

extern const struct vm_class vm_classes[VM_CLASSES];

/* The smallest class that holds n bytes (n <= VM_SMALL_LIMIT; 0 counts as 1). */
VM_INLINE unsigned vm_class_of(size_t n)
{
    if (n <= VM_LINEAR_MAX)
        return (unsigned)((n + VM_BLOCK_MIN - 1 + !n) / VM_BLOCK_MIN);
    unsigned log = vm_log2(n - 1); /* 8 at least; shifted, the number has its topmost bit and the three below it */
    return VM_LINEAR_IDS + 1 + ((log - 9) << VM_STEPS_LOG2) + (unsigned)((n - 1) >> (log - VM_STEPS_LOG2));
}

/* The smallest class that holds n bytes with every block a multiple of align (a power of two); 0 when none does, or n is
   no small request. */
unsigned vm_class_of_aligned(size_t n, size_t align);

/* Fast: the same, at once where the smallest class that holds n bytes will do. */
VM_INLINE unsigned vm_class_of_aligned_hit(size_t n, size_t align)
{
    if (VM_LIKELY(n < VM_SMALL_LIMIT)) {
        unsigned id = vm_class_of(n);
        if (VM_LIKELY(((vm_classes[id].size | VM_SLAB_ALIGN_MAX) & (align - 1)) == 0)) /* no larger alignment passes */
            return id;
    }
    return vm_class_of_aligned(n, align);
}

/* The class that serves n bytes at a multiple of align; 0: it is for an extent. */
VM_INLINE unsigned vm_class_for(size_t n, size_t align)
{
    if (n >= VM_SMALL_LIMIT)
        return 0;
    return align <= VM_BLOCK_MIN ? vm_class_of(n) : vm_class_of_aligned(n, align);
}

#endif
