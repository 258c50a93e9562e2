/*
 * FIELD.md row 20: linked to libvmalloc.a and run set-uid by `run`, which
 * looks at stderr: a VMALLOC_OPTIONS of the caller must not be read, no file
 * it names written. Prints the user ids so that `run` sees whether set-uid
 * took effect at all.
 */
#include "check.h"

static void uses_the_heap(void)
{
	for (size_t n = 1; n < 1000000; n *= 3)
		free(hide(malloc(n)));
	check_print("real %d effective %d\n", (int)getuid(), (int)geteuid());
}

CHECK_MAIN(
	{ "uses_the_heap", uses_the_heap, CHECK_PART },
)
