/* pair/SIZE: malloc, first byte written, free; the time of one such pair.
   pair_all/SIZE writes the whole block. Some blocks of the size stay alive, as
   in a program, so that freeing the one does not empty what it lies in. */
#include "micro.h"

enum { KEPT = 8, BATCH = 64 };

struct kept {
	void *block[KEPT];
};

static void open_pair(struct gbench *g)
{
	struct kept *kept = g->data;

	for (int i = 0; i < KEPT; i++)
		kept->block[i] = touched(malloc(g->is.size));
}

static void close_pair(struct gbench *g)
{
	struct kept *kept = g->data;

	for (int i = 0; i < KEPT; i++)
		free(kept->block[i]);
}

static void run_pair(struct gbench *g)
{
	while (gbench_next(g, BATCH)) {
		for (int i = 0; i < BATCH; i++)
			free(touched(malloc(g->is.size)));
	}
}

static void run_pair_all(struct gbench *g)
{
	while (gbench_next(g, 1)) {
		void *block = touched(malloc(g->is.size));

		memset(block, 1, g->is.size);
		__asm__ volatile("" : : "r"(block) : "memory");
		free(block);
	}
}

void micro_pair(void)
{
	static const size_t sizes[] = {
		8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192,
		16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB - 1, 128 * KIB,
		256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB,
	};
	static const size_t sizes_all[] = { 4096, 64 * KIB, 128 * KIB, MIB,
					    4 * MIB };
	struct gbench_case c = {
		.open = open_pair,
		.close = close_pair,
		.data_bytes = sizeof(struct kept),
	};
	char label[LABEL];

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		c.run = run_pair;
		c.size = sizes[i];
		gbench_add(&c, "pair/%s", size_label(label, c.size));
	}
	for (size_t i = 0; i < LENGTH(sizes_all); i++) {
		c.run = run_pair_all;
		c.size = sizes_all[i];
		gbench_add(&c, "pair_all/%s", size_label(label, c.size));
	}
}
