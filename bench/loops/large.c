/* large-block loop: 20 blocks of 5 to 25 MiB are alive, and a random one is
   replaced again and again; the new one is allocated and filled before the old
   one is freed. FILL says how much of a new block is written, once, before it
   is kept: "all" of it (a program that makes an array of zeros, and the
   default), one byte in every 4 KiB ("pages"), or its first and last byte only
   ("ends", the price of the calls alone).
   usage: large [BLOCKS [FILL]]; prints a checksum. bench/run runs it. */
#include "loops.h"

#include <string.h>

enum { LIVE = 20, STRIDE = 4096 };

#define MIN_SIZE ((size_t)5 << 20)
#define MAX_SIZE ((size_t)25 << 20)

enum fill { FILL_ALL, FILL_PAGES, FILL_ENDS };

static enum fill fill_named(const char *name)
{
	static const char *const names[] = { "all", "pages", "ends" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(name, names[i]))
			return (enum fill)i;
	fprintf(stderr, "large: unknown fill: %s\n", name);
	exit(2);
}

static void block_fill(unsigned char *block, size_t size, enum fill fill,
		       unsigned char value)
{
	if (fill == FILL_ALL)
		memset(block, value, size);
	else if (fill == FILL_PAGES)
		for (size_t i = 0; i < size; i += STRIDE)
			block[i] = value;
	block[0] = value;
	block[size - 1] = value;
}

int main(int argc, char **argv)
{
	static unsigned char *block[LIVE];
	static size_t size[LIVE];
	unsigned long count = loop_count(argc, argv, 1, 400);
	enum fill fill = argc > 2 ? fill_named(argv[2]) : FILL_ALL;
	uint64_t state = UINT64_C(0x6c61726765626c6b), sum = 0;

	for (unsigned long i = 0; i < count; i++) {
		size_t slot = (loop_random(&state) >> 32) % LIVE;
		size_t n = MIN_SIZE + (loop_random(&state) >> 16) %
			(MAX_SIZE - MIN_SIZE + 1);
		unsigned char *fresh = loop_check(malloc(n));

		block_fill(fresh, n, fill, (unsigned char)i);
		if (block[slot])
			sum = loop_mix(sum, block[slot][0] +
				       block[slot][size[slot] - 1]);
		free(block[slot]);
		block[slot] = fresh;
		size[slot] = n;
		sum = loop_mix(sum, n);
	}
	for (int i = 0; i < LIVE; i++)
		free(block[i]);
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
