/* growth/SIZE: SIZE bytes are alive in blocks of 16 to 1024 bytes, first byte
   written; a random one is freed and one of another size allocated. The time is
   that of one such pair, after as many pairs as there are blocks. Beyond the
   caches most of it is misses in the blocks themselves, under any allocator:
   what counts is how it grows beside the others' growth. */
#include "micro.h"

enum { LEAST = 16, MOST = 1024, MEAN = (LEAST + MOST) / 2, BATCH = 64 };

struct growth {
	uint64_t state;
	size_t bytes; /* of all blocks */
	struct {
		void *block;
		size_t size;
	} slot[];
};

static void replace(struct growth *growth, size_t i)
{
	size_t size = LEAST + micro_below(&growth->state, MOST - LEAST + 1);

	free(growth->slot[i].block);
	growth->slot[i].block = touched(malloc(size));
	growth->bytes += size - growth->slot[i].size;
	growth->slot[i].size = size;
}

static void replace_random(struct gbench *g, size_t count)
{
	struct growth *growth = g->data;

	for (size_t i = 0; i < count; i++)
		replace(growth, micro_below(&growth->state, g->is.count));
}

/* Until the free blocks lie where they come to lie, the first pairs take fresh
   memory. */
static void open_growth(struct gbench *g)
{
	for (size_t i = 0; i < g->is.count; i++)
		replace(g->data, i);
	replace_random(g, g->is.count);
}

static void close_growth(struct gbench *g)
{
	struct growth *growth = g->data;

	for (size_t i = 0; i < g->is.count; i++)
		free(growth->slot[i].block);
}

static void run_growth(struct gbench *g)
{
	struct growth *growth = g->data;

	while (gbench_next(g, BATCH))
		replace_random(g, BATCH);
	gbench_live(g, growth->bytes);
}

void micro_growth(void)
{
	static const size_t sizes[] = { MIB, 10 * MIB, 100 * MIB, GIB,
					4 * GIB };
	char label[LABEL];

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		const size_t blocks = sizes[i] / MEAN;
		struct gbench_case c = {
			.run = run_growth,
			.open = open_growth,
			.close = close_growth,
			.size = sizes[i],
			.count = blocks,
			.data_bytes = sizeof(struct growth) + 16 * blocks,
			.needs = sizes[i] / 2 * 3,
		};

		gbench_add(&c, "growth/%s", size_label(label, c.size));
	}
}
