/* Checked host memory, and random numbers; see mem.h. */
#include "sim/mem.h"

#include <stdio.h>
#include <string.h>

static _Noreturn void no_memory(size_t bytes)
{
    fprintf(stderr, "vmalloc: no memory on this computer (%zu bytes)\n", bytes);
    exit(1);
}

void *vm_sim_zalloc(size_t bytes)
{
    void *p = calloc(1, vm_max(bytes, 1));

    if (!p)
        no_memory(bytes);
    return p;
}

void *vm_sim_zalloc_aligned(size_t bytes)
{
    size_t rounded = vm_align_up(vm_max(bytes, 1), VM_CACHE_LINE);
    void *p = aligned_alloc(VM_CACHE_LINE, rounded);

    if (!p)
        no_memory(bytes);
    return memset(p, 0, rounded);
}

char *vm_sim_strdup(const char *text)
{
    size_t length = strlen(text) + 1;

    return memcpy(vm_sim_zalloc(length), text, length);
}

void vm_sim_grow(void *array, size_t *cap, size_t need, size_t size)
{
    size_t more = vm_max(vm_max(need, *cap * 2), 16), bytes;
    char *old, *p;

    if (need <= *cap)
        return;
    memcpy(&old, array, sizeof old);
    if (__builtin_mul_overflow(more, size, &bytes) || !(p = realloc(old, bytes)))
        no_memory(more);
    memset(p + *cap * size, 0, bytes - *cap * size);
    memcpy(array, &p, sizeof p);
    *cap = more;
}

uint64_t vm_sim_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1du;
}
