/* What the files of the API share: names, the slow entries, start-up.  Only this folder sets errno. */
#ifndef VM_API_H
#define VM_API_H

#include "base/base.h"
#include "heap/heap_fast.h"

/* The family carries its own names in the unit-test build (-DVM_PREFIX=vmt_), the system's otherwise. */
#define VM_API_STRING2(a) #a
#define VM_API_STRING(a) VM_API_STRING2(a)
#ifdef VM_PREFIX
#define VM_API_JOIN2(a, b) a##b
#define VM_API_JOIN(a, b) VM_API_JOIN2(a, b)
#define VM_API(name) VM_API_JOIN(VM_PREFIX, name)
void *VM_API(malloc)(size_t n); /* which no header declares */
#else
#define VM_API(name) name
#endif

/* A function with a hit path: where that straddles one cache line more, a pair takes 5 % longer (2-core AMD EPYC VM). */
#define VM_HIT_EXPORT VM_EXPORT VM_ALIGNED(VM_CACHE_LINE)

/* Initialises the allocator at its first miss; cheap afterwards.  Works before constructors have run. */
void vm_start(void);

/* Is our malloc the one that the whole process calls?  Not when we were opened by dlopen beside libc's, or when the
   program defines its own.  It is when its address is ours; this is for when it is not. */
bool vm_api_is_process_malloc(void);
VM_HIDDEN void *vm_own_malloc(size_t n); /* our malloc by a name that nobody can interpose */

/* Calls are counted from now on: the functions that have a form for it jump there.  Once, at start-up. */
void vm_family_counted(void);
void vm_cxx_counted(void); /* operator new */

/* Registers the fork handlers (once, by vm_start). */
void vm_fork_start(void);

/* Slow: the misses of the hit paths, with errno and counting.  align: a power of two >= 16. */
void *vm_api_alloc(size_t n, size_t align, bool zero);
void vm_api_free(void *p, const char *call);

/* Fast: the body of every function that frees. foreign(b, slab): frees a block of another thread's slab that is sound
   but for its seal, not looked at yet; one for each name in messages, so that a call of it costs no third argument. */
VM_INLINE void vm_api_free_fast(void *p, const char *call, void (*foreign)(void *b, struct vm_page *slab))
{
    struct vm_page *slab;

    switch (vm_free_hit(p, &slab)) {
    case VM_FREE_DONE: return;
    case VM_FREE_FOREIGN: foreign(p, slab); return;
    default: vm_api_free(p, call);
    }
}

VM_INLINE void vm_api_free_foreign(void *b, struct vm_page *slab, const char *call)
{
    if (VM_UNLIKELY(vm_may_be_sealed(b)) || VM_UNLIKELY(!vm_free_foreign_hit(slab, b)))
        vm_api_free(b, call);
}

#endif
