/* Every operator new and delete of C++20, written in C under their mangled names (Itanium C++ ABI), without needing a
   C++ library: what a failure needs of it (the new-handler, bad_alloc) is looked up when there is one to ask. */
#ifndef VM_PREFIX

#include "api/api.h"
#include "api/catch.h"
#include "base/fail.h"
#include "os/redirect.h"

/* struct std::nothrow_t const & and std::align_val_t as the ABI passes them. */
typedef const void *nothrow_ref;
typedef size_t align_val;
typedef void (*new_handler)(void);

extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak)); /* std::get_new_handler() */
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));      /* std::__throw_bad_alloc() */

static VM_COLD new_handler current_handler(void)
{
    new_handler (*get)(void) = (new_handler(*)(void))vm_find_in_cxx_library((void *)_ZSt15get_new_handlerv,
                                                                            "_ZSt15get_new_handlerv");
    return get ? get() : NULL;
}

/* Slow: what the standard asks of a failing operator new: handler and try again, until there is no handler. */
static VM_NOINLINE void *new_or_throw(size_t n, size_t align)
{
    void *p;

    while (!(p = vm_api_alloc(n, align, false))) {
        new_handler handler = current_handler();
        if (handler) {
            handler();
            continue;
        }
        void (*bad_alloc)(void) = (void (*)(void))vm_find_in_cxx_library((void *)_ZSt17__throw_bad_allocv,
                                                                         "_ZSt17__throw_bad_allocv");
        if (bad_alloc)
            bad_alloc();
        vm_fatal("operator new: out of memory (%zu bytes), and no C++ library to throw std::bad_alloc", n);
    }
    return p;
}

/* Slow: the nothrow forms: the same, but NULL when there is no handler, or when it throws. */
static VM_NOINLINE void *new_or_null(size_t n, size_t align)
{
    void *p;

    while (!(p = vm_api_alloc(n, align, false))) {
        new_handler handler = current_handler();
        if (!handler || !vm_call_catching(handler))
            return NULL;
    }
    return p;
}

/* An alignment that is no power of two fails, as in libstdc++. */
static void *aligned_or_throw(size_t n, align_val align)
{
    if (VM_UNLIKELY(!vm_is_pow2(align)))
        return new_or_throw(SIZE_MAX, VM_BLOCK_MIN);
    void *p = vm_aligned_hit(n, vm_max(align, VM_BLOCK_MIN));
    return VM_LIKELY(p != NULL) ? p : new_or_throw(n, vm_max(align, VM_BLOCK_MIN));
}

static void *aligned_or_null(size_t n, align_val align)
{
    if (VM_UNLIKELY(!vm_is_pow2(align)))
        return NULL;
    void *p = vm_aligned_hit(n, vm_max(align, VM_BLOCK_MIN));
    return VM_LIKELY(p != NULL) ? p : new_or_null(n, vm_max(align, VM_BLOCK_MIN));
}

#define NEW(name) \
    VM_EXPORT void *name(size_t n); \
    VM_HIT_EXPORT void *name(size_t n) \
    { \
        void *p = vm_malloc_hit(n); \
        return VM_LIKELY(p != NULL) ? p : new_or_throw(n, VM_BLOCK_MIN); \
    }
#define NEW_NOTHROW(name) \
    VM_EXPORT void *name(size_t n, nothrow_ref tag); \
    VM_HIT_EXPORT void *name(size_t n, nothrow_ref tag) \
    { \
        void *p = vm_malloc_hit(n); \
        (void)tag; \
        return VM_LIKELY(p != NULL) ? p : new_or_null(n, VM_BLOCK_MIN); \
    }
#define NEW_ALIGNED(name) \
    VM_EXPORT void *name(size_t n, align_val align); \
    VM_HIT_EXPORT void *name(size_t n, align_val align) { return aligned_or_throw(n, align); }
#define NEW_ALIGNED_NOTHROW(name) \
    VM_EXPORT void *name(size_t n, align_val align, nothrow_ref tag); \
    VM_HIT_EXPORT void *name(size_t n, align_val align, nothrow_ref tag) \
    { \
        (void)tag; \
        return aligned_or_null(n, align); \
    }

NEW(_Znwm)                                              /* operator new(size_t) */
NEW(_Znam)                                              /* operator new[](size_t) */
NEW_NOTHROW(_ZnwmRKSt9nothrow_t)                        /* operator new(size_t, nothrow_t const &) */
NEW_NOTHROW(_ZnamRKSt9nothrow_t)                        /* operator new[](size_t, nothrow_t const &) */
NEW_ALIGNED(_ZnwmSt11align_val_t)                       /* operator new(size_t, align_val_t) */
NEW_ALIGNED(_ZnamSt11align_val_t)                       /* operator new[](size_t, align_val_t) */
NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t) /* operator new(size_t, align_val_t, nothrow_t const &) */
NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t) /* operator new[](size_t, align_val_t, nothrow_t const &) */

/* Names of the plain operators that cannot be interposed, and their form where calls are counted. */
extern VM_HIDDEN void *vm_own_new(size_t n) __attribute__((alias("_Znwm")));
extern VM_HIDDEN void *vm_own_new_array(size_t n) __attribute__((alias("_Znam")));

static void *new_counted(size_t n)
{
    void *p = VM_LIKELY(n <= VM_DIRECT_MAX) ? vm_tap_hit(vm_tls->tap, n) : NULL;

    return VM_LIKELY(p != NULL) ? p : new_or_throw(n, VM_BLOCK_MIN);
}

void vm_cxx_counted(void)
{
    vm_redirect((void *)vm_own_new, (const void *)new_counted);
    vm_redirect((void *)vm_own_new_array, (const void *)new_counted);
}

static VM_NOINLINE void delete_foreign(void *b, struct vm_page *slab)
{
    vm_api_free_foreign(b, slab, "operator delete()");
}

/* The deletes: size, alignment and tag say nothing that the page does not know. */
#define DELETE(name, ...) \
    VM_EXPORT void name(void *p, ##__VA_ARGS__); \
    VM_HIT_EXPORT void name(void *p, ##__VA_ARGS__) { vm_api_free_fast(p, "operator delete()", delete_foreign); }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
DELETE(_ZdlPv)                                            /* operator delete(void *) */
DELETE(_ZdaPv)                                            /* operator delete[](void *) */
DELETE(_ZdlPvm, size_t n)                                 /* operator delete(void *, size_t) */
DELETE(_ZdaPvm, size_t n)                                 /* operator delete[](void *, size_t) */
DELETE(_ZdlPvRKSt9nothrow_t, nothrow_ref tag)             /* operator delete(void *, nothrow_t const &) */
DELETE(_ZdaPvRKSt9nothrow_t, nothrow_ref tag)             /* operator delete[](void *, nothrow_t const &) */
DELETE(_ZdlPvSt11align_val_t, align_val align)            /* operator delete(void *, align_val_t) */
DELETE(_ZdaPvSt11align_val_t, align_val align)            /* operator delete[](void *, align_val_t) */
DELETE(_ZdlPvmSt11align_val_t, size_t n, align_val align) /* operator delete(void *, size_t, align_val_t) */
DELETE(_ZdaPvmSt11align_val_t, size_t n, align_val align) /* operator delete[](void *, size_t, align_val_t) */
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, align_val align, nothrow_ref tag) /* ... align_val_t, nothrow_t const & */
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, align_val align, nothrow_ref tag)
#pragma GCC diagnostic pop

#endif
