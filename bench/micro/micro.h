/* What the micro-benchmarks share: the list of their files, touching of blocks,
   a generator of random numbers, so that every allocator is given the same
   requests, and the names of sizes. Included by this folder only. */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include "../gbench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { PAGE = 4096, LABEL = 24 };

/* Each adds its file's cases. */
void micro_pair(void);
void micro_order(void);
void micro_realloc(void);
void micro_calloc(void);
void micro_aligned(void);
void micro_new(void);
void micro_pipe(void);
void micro_churn(void);
void micro_idle(void);
void micro_aging(void);
void micro_growth(void);

/* 100, 4096, 16K, 128K, 4M, 1G: a size as the names of cases have it. */
static inline const char *size_label(char label[LABEL], size_t size)
{
	const char *unit = "";

	if (size % GIB == 0)
		size /= GIB, unit = "G";
	else if (size % MIB == 0)
		size /= MIB, unit = "M";
	else if (size % KIB == 0 && size > 9 * KIB)
		size /= KIB, unit = "K";
	snprintf(label, LABEL, "%zu%s", size, unit);
	return label;
}

/* Writes the block's first byte, which the compiler cannot leave out, and ends
   the program if there is no block. */
static inline void *touched(void *block)
{
	if (__builtin_expect(!block, 0)) {
		fputs("micro: out of memory\n", stderr);
		exit(1);
	}
	*(volatile char *)block = 1;
	return block;
}

/* Writes one byte in every PAGE bytes from offset from up to size. */
static inline void touch_pages(void *block, size_t from, size_t size)
{
	for (size_t i = from; i < size; i += PAGE)
		((volatile char *)block)[i] = 1;
}

/* A linear congruential step; the upper half is the random number. */
static inline uint32_t micro_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 32;
}

/* 0 to below, without a division. */
static inline uint32_t micro_below(uint64_t *state, uint32_t below)
{
	return (uint64_t)micro_random(state) * below >> 32;
}

#endif
