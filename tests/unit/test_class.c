/* Unit tests of src/heap/class and of vm_block_index() in src/page/page.h: every size, every class, every offset.  Run
   by `make check`. */
#include "unit.h"

#include "heap/class.h"
#include "page/page.h"

static void table(void **state)
{
    (void)state;
    assert_int_equal(vm_classes[0].size, 0);
    assert_int_equal(vm_classes[1].size, VM_BLOCK_MIN);
    assert_int_equal(vm_classes[VM_CLASSES - 1].size, VM_SMALL_LIMIT);
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        const struct vm_class *c = &vm_classes[id];
        size_t bytes = c->frames * VM_FRAME_BYTES;
        assert_true(c->size > vm_classes[id - 1].size);
        assert_int_equal(c->size % VM_BLOCK_MIN, 0);
        assert_in_range(c->frames, 1, 32);
        assert_int_equal(c->capacity, bytes / c->size);
        assert_true(c->capacity >= (c->size <= 32768 ? 4 : c->size <= 65536 ? 3 : 2));
        assert_true(bytes % c->size * 14 <= bytes || c->frames == 1);
        if (id <= VM_LINEAR_IDS)
            assert_int_equal(c->size, id * VM_BLOCK_MIN);
        else /* no class is more than an eighth larger than the one below */
            assert_true(c->size - vm_classes[id - 1].size <= vm_classes[id - 1].size / 8);
    }
    /* Powers of two are classes of their own: alignment is a choice of class. */
    for (size_t size = VM_BLOCK_MIN; size <= VM_SMALL_LIMIT; size *= 2)
        assert_int_equal(vm_classes[vm_class_of(size)].size, size);
}

static void every_size(void **state)
{
    (void)state;
    assert_int_equal(vm_class_of(0), 1);
    unsigned id = 1;
    for (size_t n = 1; n <= VM_SMALL_LIMIT; n++) {
        while (vm_classes[id].size < n)
            id++;
        if (vm_class_of(n) != id)
            fail_msg("%zu bytes: class %u, not %u", n, vm_class_of(n), id);
    }
}

static unsigned smallest_aligned(size_t n, size_t align)
{
    if (align > VM_SLAB_ALIGN_MAX || n >= VM_SMALL_LIMIT)
        return 0;
    for (unsigned id = 1; id < VM_CLASSES; id++)
        if (vm_classes[id].size >= n && vm_classes[id].size % align == 0)
            return id;
    return 0;
}

static void aligned_classes(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 8 * VM_SLAB_ALIGN_MAX; align *= 2)
        for (size_t n = 0; n <= VM_SMALL_LIMIT + 5000; n += n < 3000 || n % 1024 > 1000 ? 1 : 13)
            if (vm_class_of_aligned(n, align) != smallest_aligned(n, align))
                fail_msg("%zu bytes aligned to %zu: class %u, not %u", n, align, vm_class_of_aligned(n, align),
                         smallest_aligned(n, align));
    for (size_t align = VM_BLOCK_MIN; align <= 8 * VM_SLAB_ALIGN_MAX; align *= 2)
        for (size_t n = 0; n <= VM_SMALL_LIMIT + 1; n += 7)
            assert_int_equal(vm_class_of_aligned_hit(n, align), vm_class_of_aligned(n, align));
    assert_int_equal(vm_class_of_aligned(SIZE_MAX, 64), 0);
    assert_int_equal(vm_class_of_aligned(16, (size_t)1 << 63), 0);
}

static void every_offset_of_every_class(void **state)
{
    (void)state;
    for (unsigned id = 1; id < VM_CLASSES; id++) {
        const struct vm_class *c = &vm_classes[id];
        for (uint64_t offset = 0; offset < c->frames * VM_FRAME_BYTES; offset++) {
            uint64_t index = vm_block_index(c->magic, offset);
            bool starts = offset % c->size == 0 && offset / c->size < c->capacity;
            if (starts ? index != offset / c->size : index < c->capacity)
                fail_msg("class %u of %u bytes, offset %llu: index %llu", id, c->size, (unsigned long long)offset,
                         (unsigned long long)index);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(every_size),
                                       cmocka_unit_test(aligned_classes), cmocka_unit_test(every_offset_of_every_class)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
