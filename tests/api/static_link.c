/*
 * Linked by `run` to libvmalloc.a, with and without -static: a misuse shows,
 * by its message, whose malloc the program has. The semantics are covered by
 * family, errors and operators, which `run` links the same ways.
 */
#include "check.h"

static void double_free(void)
{
	struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	void *volatile p = malloc(100);
	check_print("%p\n", (void *)p);
	free(p);
	free(p);
}

CHECK_MAIN(
	{ "double_free", double_free, CHECK_PART },
)
