/* The metadata bump allocator of meta.h.  Guarded by vm_meta_lock, under which no signal comes: holders of every other lock
   come here, and one that waits for a thread whose handler forks would leave the child with its work half done. */
#include "os/meta.h"

#include <sys/mman.h>

#include "base/lock.h"
#include "os/os.h"

#define CHUNK_BYTES (128 * VM_KIB)

struct vm_lock vm_meta_lock = VM_LOCK_INIT(VM_RANK_META);

static uintptr_t next_free, chunk_end; /* guarded by vm_meta_lock */
static size_t mapped;

static bool new_chunk(size_t at_least)
{
    size_t bytes = vm_align_up(vm_max(at_least, CHUNK_BYTES), vm_os.page_size);
    void *chunk = vm_os.map(bytes, PROT_READ | PROT_WRITE);

    if (!chunk && bytes > at_least) { /* little is left: take just what is needed */
        bytes = vm_align_up(at_least, vm_os.page_size);
        chunk = vm_os.map(bytes, PROT_READ | PROT_WRITE);
    }
    if (!chunk)
        return false;
    next_free = (uintptr_t)chunk;
    chunk_end = next_free + bytes;
    VM_STORE(&mapped, mapped + bytes);
    return true;
}

static uint64_t lock(void)
{
    uint64_t before;

    vm_os_block_signals(&before);
    vm_lock(&vm_meta_lock);
    return before;
}

static void unlock(uint64_t before)
{
    vm_unlock(&vm_meta_lock);
    vm_os_restore_signals(&before);
}

static void *alloc(size_t bytes, size_t align)
{
    uintptr_t p = vm_align_up(next_free, align);

    if (p + bytes > chunk_end || next_free == 0) {
        if (!new_chunk(bytes + align))
            return NULL;
        p = vm_align_up(next_free, align);
    }
    next_free = p + bytes;
    return (void *)p;
}

void *vm_meta_alloc(size_t bytes, size_t align)
{
    uint64_t before = lock();
    void *p = alloc(bytes, align);

    unlock(before);
    return p;
}

void vm_meta_reserve(size_t bytes)
{
    uint64_t before = lock();

    if (chunk_end - next_free < bytes)
        new_chunk(bytes); /* a refusal is no matter here */
    unlock(before);
}

size_t vm_meta_mapped(void) { return VM_LOAD(&mapped); }
