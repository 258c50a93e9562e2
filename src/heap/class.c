/* The table of size classes, computed by the compiler; see class.h.  Slabs are as short as may be, since
   what is resident of one serves no other class: one frame up to 8 KiB a block, above that as many as hold LEAST blocks
   and leave no more than 1/14 behind the last. */
#include "heap/class.h"

#include "page/page.h"

/* clang-format off */
#define LEAST(n) ((n) <= 32768 ? 4 : (n) <= 65536 ? 3 : 2)
#define FITS(n, f) ((f) * VM_FRAME_BYTES / (n) >= LEAST(n) && (f) * VM_FRAME_BYTES % (n) * 14 <= (f) * VM_FRAME_BYTES)
#define FRAMES(n)                                                                                                      \
    ((n) <= 8192 || FITS(n, 1) ? 1 : FITS(n, 2) ? 2 : FITS(n, 3) ? 3 : FITS(n, 4) ? 4 : FITS(n, 5) ? 5                \
         : FITS(n, 6) ? 6 : FITS(n, 7) ? 7 : 8)

/* n = 2^k * o.  The inverse of the odd o modulo 2^64 by Newton's iteration, which doubles the good bits: o itself is
   right to 3 bits, four steps give 48. */
#define TRAILING_ZEROS(n) ((unsigned)__builtin_ctz(n))
#define ODD(n) ((uint64_t)(n) >> TRAILING_ZEROS(n))
#define NEWTON(o, x) ((x) * (2 - (uint64_t)(o) * (x)))
#define INVERSE1(o) NEWTON(o, (uint64_t)(o))
#define INVERSE2(o) NEWTON(o, INVERSE1(o))
#define INVERSE3(o) NEWTON(o, INVERSE2(o))
#define INVERSE4(o) NEWTON(o, INVERSE3(o)) /* 48 bits: more than the 16 + 17 needed */
#define MAGIC(n) (INVERSE4(ODD(n)) << (48 - TRAILING_ZEROS(n)))

#define CLASS(n) {MAGIC(n), (n), FRAMES(n) * VM_FRAME_BYTES / (n), FRAMES(n)}
#define LINEAR4(k) CLASS((k) * 16), CLASS((k) * 16 + 16), CLASS((k) * 16 + 32), CLASS((k) * 16 + 48)
#define STEP(base, i) CLASS((base) + (base) / 8 * (i))
#define DOUBLING(base)                                                                                                 \
    STEP(base, 1), STEP(base, 2), STEP(base, 3), STEP(base, 4), STEP(base, 5), STEP(base, 6), STEP(base, 7), STEP(base, 8)

const struct vm_class vm_classes[VM_CLASSES] = {
    {0, 0, 0, 0},
    LINEAR4(1), LINEAR4(5), LINEAR4(9), LINEAR4(13),
    DOUBLING(256u), DOUBLING(512u), DOUBLING(1024u), DOUBLING(2048u), DOUBLING(4096u),
    DOUBLING(8192u), DOUBLING(16384u), DOUBLING(32768u), DOUBLING(65536u),
};
/* clang-format on */

unsigned vm_class_of_aligned(size_t n, size_t align)
{
    if (n >= VM_SMALL_LIMIT || align > VM_SLAB_ALIGN_MAX)
        return 0;
    n = vm_max(vm_align_up(n, align), align);
    if (n > VM_SMALL_LIMIT)
        return 0;
    unsigned id = vm_class_of(n);
    while (vm_classes[id].size & (align - 1)) /* ends at a power of two at the latest */
        id++;
    return id;
}
