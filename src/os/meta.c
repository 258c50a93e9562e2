/* The metadata bump allocator of meta.h.  Guarded by vm_meta_lock, under which no signal comes: holders of every other lock
   come here, and one that waits for a thread whose handler forks would leave the child with its work half done. */
#include "os/meta.h"

#include <sys/mman.h>

#include "base/lock.h"
#include "os/os.h"

#define CHUNK_BYTES (128 * VM_KIB)

/* What a chunk begins with. */
struct vm_meta_chunk {
    struct vm_meta_chunk *next; /* const: older chunk */
    size_t bytes;               /* const: this included */
};

struct vm_lock vm_meta_lock = VM_LOCK_INIT(VM_RANK_META);

/* All below: guarded by vm_meta_lock. */
static struct vm_meta_chunk *chunks; /* newest first; read by other processes */
static uintptr_t next_free, chunk_end;
static size_t mapped;

VM_FACTS vm_meta_facts[] = {
    VM_FACT_STRUCT(meta, struct vm_meta_chunk),
    VM_FACT_FIELD(meta, struct vm_meta_chunk, next),
    VM_FACT_FIELD(meta, struct vm_meta_chunk, bytes),
    VM_FACT_ROOT(meta_chunks, chunks),
    VM_FACT_ROOT(meta_mapped, mapped),
    VM_FACT_END,
};

static bool new_chunk(size_t at_least)
{
    at_least += sizeof *chunks;
    size_t bytes = vm_align_up(vm_max(at_least, CHUNK_BYTES), vm_os.page_size);
    struct vm_meta_chunk *chunk = vm_os.map(bytes, PROT_READ | PROT_WRITE);

    if (!chunk && bytes > at_least) { /* little is left: take just what is needed */
        bytes = vm_align_up(at_least, vm_os.page_size);
        chunk = vm_os.map(bytes, PROT_READ | PROT_WRITE);
    }
    if (!chunk)
        return false;
    *chunk = (struct vm_meta_chunk){chunks, bytes};
    VM_STORE_RELEASE(&chunks, chunk);
    next_free = (uintptr_t)(chunk + 1);
    chunk_end = (uintptr_t)chunk + bytes;
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
