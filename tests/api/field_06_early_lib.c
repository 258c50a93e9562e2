/*
 * Preloaded by `run` beside libvmalloc, before and behind it, for
 * field_06_early: allocates in the earliest constructor, uses thread-local
 * data and dlsym there, and keeps blocks for main to look at.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static char *kept[100];
static __thread char thread_local_area[256];

__attribute__((constructor(101))) static void early(void)
{
	for (int i = 0; i < 100; i++) {
		kept[i] = malloc((size_t)i * 3000 + 10);
		if (kept[i])
			memset(kept[i], i, (size_t)i * 3000 + 10);
	}
	memset(thread_local_area, 1, sizeof thread_local_area);
	dlsym(RTLD_NEXT, "no_such_symbol");
	dlerror();
	free(strdup("early"));
}

int early_check(void);
int early_check(void)
{
	int wrong = 0;
	for (int i = 0; i < 100; i++) {
		size_t n = (size_t)i * 3000 + 10;
		wrong += !kept[i] || kept[i][0] != (char)i || kept[i][n - 1] != (char)i
			|| malloc_usable_size(kept[i]) < n;
		free(kept[i]);
	}
	return wrong;
}
