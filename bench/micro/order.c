/* lifo, fifo and random, each /COUNTxSIZE: COUNT blocks are allocated, the first
   byte of each written, and freed last one first, first one first, or in an
   order drawn once. The time is that of one malloc and one free. One round goes
   ahead untimed: what an allocator gives back to the system it fetches again in
   the time, what it keeps it does not. */
#include "micro.h"

enum { LIFO, FIFO, RANDOM };

static const char *const kinds[] = { "lifo", "fifo", "random" };

/* Block i is freed as order[i]-th. data holds the blocks, then the order. */
static void **blocks(struct gbench *g)
{
	return g->data;
}

static uint32_t *order(struct gbench *g)
{
	return (uint32_t *)(blocks(g) + g->is.count);
}

static void fill(struct gbench *g)
{
	void **block = blocks(g);

	for (size_t i = 0; i < g->is.count; i++)
		block[i] = touched(malloc(g->is.size));
}

static void drain(struct gbench *g)
{
	void **block = blocks(g);
	const uint32_t *turn = order(g);

	for (size_t i = 0; i < g->is.count; i++)
		free(block[turn[i]]);
}

static void open_order(struct gbench *g)
{
	uint32_t *turn = order(g);
	uint64_t state = 1;

	for (size_t i = 0; i < g->is.count; i++) {
		size_t other = micro_below(&state, i + 1);

		if (g->is.kind == LIFO) {
			turn[i] = g->is.count - 1 - i;
		} else if (g->is.kind == FIFO) {
			turn[i] = i;
		} else { /* a shuffle: other is at most i */
			turn[i] = turn[other];
			turn[other] = i;
		}
	}
	fill(g);
	drain(g);
}

static void run_order(struct gbench *g)
{
	while (gbench_next(g, g->is.count)) {
		fill(g);
		drain(g);
	}
	fill(g);
	gbench_live(g, g->is.count * g->is.size);
	drain(g);
}

void micro_order(void)
{
	static const struct {
		size_t count, size;
	} sets[] = {
		{ 1000, 16 }, { 1000, 64 }, { 100000, 64 }, { 1000000, 32 },
		{ 1000, 1024 }, { 10000, 4096 }, { 100, 32 * KIB },
		{ 32, MIB },
	};
	char label[LABEL];

	for (int kind = LIFO; kind <= RANDOM; kind++) {
		for (size_t i = 0; i < LENGTH(sets); i++) {
			struct gbench_case c = {
				.run = run_order,
				.open = open_order,
				.size = sets[i].size,
				.count = sets[i].count,
				.kind = kind,
				.data_bytes = sets[i].count * (sizeof(void *) +
							       sizeof(uint32_t)),
			};

			gbench_add(&c, "%s/%zux%s", kinds[kind], c.count,
				   size_label(label, c.size));
		}
	}
}
