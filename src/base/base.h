/* Attributes, bit tricks and the few macros that every file uses.  No state, no lock; included by everyone. */
#ifndef VM_BASE_H
#define VM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 (configure --disable-instrumentation): counting and traces are not compiled in. */
#ifndef VM_INSTRUMENT
#define VM_INSTRUMENT 1
#endif

#define VM_LIKELY(x) __builtin_expect(!!(x), 1)
#define VM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define VM_INLINE static inline __attribute__((always_inline))
#define VM_NOINLINE __attribute__((noinline))
#define VM_COLD __attribute__((noinline, cold))
#define VM_COLD_DATA \
    __attribute__((section(".bss.vm_cold"))) /* zero, and not touched by most programs: see src/cold.ld */
#define VM_HIDDEN __attribute__((visibility("hidden")))
#define VM_EXPORT __attribute__((visibility("default")))
#define VM_ALIGNED(n) __attribute__((aligned(n)))

#define VM_VERSION "0.1.0" /* of the library; configure.ac has it too */

#define VM_KIB ((size_t)1024)
#define VM_MIB ((size_t)1024 * 1024)
#define VM_GIB ((size_t)1024 * 1024 * 1024)
#define VM_CACHE_LINE 64

#define VM_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Plain moves on every processor we build for; they tell the compiler and the sanitizers that other threads look. */
#define VM_LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define VM_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
/* A racy read on a hit path, of a field all of whose values in time are right enough: a plain one, since gcc does not
   fold an atomic load into the compare (callgrind: 3 of 32 instructions of free). */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) /* clang's name for it */
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define VM_PEEK(p) VM_LOAD(p)
#else
#define VM_PEEK(p) (*(p))
#endif
/* A count that its owner alone adds to, and others read. */
#ifdef __SANITIZE_THREAD__
#define VM_BUMP(p) VM_STORE(p, *(p) + 1)
#else
#define VM_BUMP(p) (++*(p))
#endif
/* A function that looks at what others write, by design. */
#define VM_UNSANITIZED __attribute__((no_sanitize("thread", "address")))
#define VM_LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define VM_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

VM_INLINE bool vm_is_pow2(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

/* to: a power of two. */
VM_INLINE size_t vm_align_up(size_t n, size_t to) { return (n + to - 1) & ~(to - 1); }
VM_INLINE size_t vm_align_down(size_t n, size_t to) { return n & ~(to - 1); }

/* Floor of log2; n > 0. */
VM_INLINE unsigned vm_log2(size_t n) { return 63 ^ (unsigned)__builtin_clzl(n); }

VM_INLINE size_t vm_min(size_t a, size_t b) { return a < b ? a : b; }
VM_INLINE size_t vm_max(size_t a, size_t b) { return a > b ? a : b; }

_Static_assert(sizeof(size_t) == 8 && sizeof(void *) == 8, "64-bit processors only");

#endif
