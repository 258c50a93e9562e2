/* The pair of functions that a counted loop calls: malloc and free, or a pair
   that does nothing. The call goes through a pointer either way, so that the
   difference between the two runs is what lies inside the functions.
   bench/instructions counts the no-op pair's own instructions by these names.
   Included by the two counted programs of this folder only. */
#ifndef BENCH_COUNTED_H
#define BENCH_COUNTED_H

#include "loops.h"

#include <string.h>

struct counted_pair {
	void *(*get)(size_t size);
	void (*put)(void *block);
};

extern void *noop_malloc(size_t size);
extern void noop_free(void *block);

__attribute__((noinline)) void *noop_malloc(size_t size)
{
	static char block[16];

	(void)size;
	return block;
}

__attribute__((noinline)) void noop_free(void *block)
{
	(void)block;
}

/* The pair named in argv[index]: "real", which is the default, or "noop". */
static inline struct counted_pair counted_pair(int argc, char **argv, int index)
{
	struct counted_pair pair = { malloc, free };

	if (index < argc && !strcmp(argv[index], "noop")) {
		pair.get = noop_malloc;
		pair.put = noop_free;
	} else if (index < argc && strcmp(argv[index], "real") != 0) {
		fprintf(stderr, "%s: neither real nor noop: %s\n", argv[0],
			argv[index]);
		exit(2);
	}
	/* Nothing may be concluded from which pair it is. */
	__asm__ volatile("" : "+r"(pair.get), "+r"(pair.put));
	return pair;
}

#endif
