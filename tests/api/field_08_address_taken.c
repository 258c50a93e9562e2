/*
 * FIELD.md row 8: a program linked at a fixed address that takes malloc's
 * address gives everybody the address of its own stub for it. It is libvmalloc
 * all the same that the process calls: small blocks come from the break.
 * Started case by case by `run`.
 */
#include "check.h"

static void small_blocks_come_from_the_break(void)
{
	void *(*volatile taken)(size_t) = malloc; /* in code: in data the linker would leave it to be filled in */
	char *p = (char *)hide(taken(100000)), *q = (char *)hide(malloc(1000));
	REQUIRE(p && q);
	CHECKF(p < (char *)sbrk(0) && q < (char *)sbrk(0), "%p and %p, break %p", p, q, sbrk(0));
	free(p);
	free(q);
}

CHECK_MAIN(
	{ "small_blocks_come_from_the_break", small_blocks_come_from_the_break, CHECK_BOTH },
)
