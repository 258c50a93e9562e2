/* What the benchmark loops share: a small random generator, so that every
   allocator is given the same sequence of requests, a mixing step for the
   checksums, and malloc calls that end the program when memory runs out.
   Included by the programs of this folder only. */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* xorshift64: never zero once seeded with a number that is not zero. */
static inline uint64_t loop_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* FNV-1a over 64-bit words. */
static inline uint64_t loop_mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * UINT64_C(0x100000001b3);
}

static inline void *loop_check(void *p)
{
	if (!p) {
		fputs("out of memory\n", stderr);
		exit(1);
	}
	return p;
}

/* The count in argv[index], or the default when there is none. */
static inline unsigned long loop_count(int argc, char **argv, int index,
				       unsigned long by_default)
{
	unsigned long n;
	char *end;

	if (index >= argc)
		return by_default;
	errno = 0;
	n = strtoul(argv[index], &end, 10);
	if (errno || end == argv[index] || *end || argv[index][0] == '-') {
		fprintf(stderr, "%s: not a number: %s\n", argv[0], argv[index]);
		exit(2);
	}
	return n;
}

#endif
