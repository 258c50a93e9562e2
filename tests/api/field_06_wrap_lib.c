/*
 * Preloaded by `run` in front of libvmalloc, for field_06_early: a wrapper of
 * the kind users have, which counts calls and finds the real functions with
 * dlsym(RTLD_NEXT) from inside its own malloc. Blocks that dlsym itself asks
 * for meanwhile come from a static area.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static char area[65536] __attribute__((aligned(16)));
static size_t area_used, calls;
static int looking;

static void look(void)
{
	looking = 1;
	real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	looking = 0;
}

static void *from_area(size_t n)
{
	void *p = area + area_used;
	area_used += (n + 31) & ~(size_t)15;
	return area_used <= sizeof area ? p : NULL;
}

static int in_area(const void *p)
{
	return (const char *)p >= area && (const char *)p < area + sizeof area;
}

void *malloc(size_t n)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	if (!real_malloc) {
		if (looking)
			return from_area(n);
		look();
	}
	return real_malloc(n);
}

void *calloc(size_t count, size_t n)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	if (!real_calloc) {
		if (looking)
			return from_area(count * n);
		look();
	}
	return real_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
	if (in_area(p)) {
		void *q = malloc(n);
		size_t rest = (size_t)(area + sizeof area - (char *)p);
		return q ? memcpy(q, p, n < rest ? n : rest) : NULL;
	}
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	if (!real_realloc)
		look();
	return real_realloc(p, n);
}

void free(void *p)
{
	if (!p || in_area(p))
		return;
	if (!real_free)
		look();
	real_free(p);
}

size_t wrapped_calls(void);
size_t wrapped_calls(void)
{
	return calls;
}
