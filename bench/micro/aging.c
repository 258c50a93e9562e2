/* aging: a day of a server in half a second. In each of 24 hours blocks are
   allocated around a size that drifts over the day from 32 bytes up to 1 KiB
   and back, a few 16 times as large, very few up to 1 MiB; first byte written.
   Most live a moment, some an hour, some all day. Then rss_per_live is the
   fragmentation: what RSS grew by over the bytes alive. After that three of
   four blocks, drawn at random, are freed, and rss_per_live_drained is the same
   with what is left. The time is that of the day; the day is always the same. */
#include "micro.h"

enum { HOURS = 24, STEPS_AN_HOUR = 400000 };
enum { SHORT = 4096, HOURLY = 32768, DAILY = 98304 };
enum { BLOCKS = SHORT + HOURLY + DAILY };

struct aging {
	uint64_t state;
	size_t bytes; /* of all blocks */
	struct {
		void *block;
		size_t size;
	} slot[BLOCKS];
};

static size_t draw_size(uint64_t *state, int hour)
{
	const int from_midnight = hour < HOURS / 2 ? hour : HOURS - hour;
	const size_t centre = (size_t)32 << from_midnight * 5 / (HOURS / 2);
	const uint32_t odd = micro_below(state, 8192);
	size_t size = centre / 2 + micro_below(state, 3 * centre / 2);

	if (odd < 1)
		return 64 * KIB + micro_below(state, MIB - 64 * KIB);
	return odd < 128 ? 16 * size : size;
}

/* Which lifetime the next block has is which slots it may take: the fewer, the
   sooner it is replaced. Of 64 blocks 58 live shortly, 5 an hour, one all day.*/
static size_t draw_slot(uint64_t *state)
{
	const uint32_t lifetime = micro_below(state, 64);

	if (lifetime < 58)
		return micro_below(state, SHORT);
	if (lifetime < 63)
		return SHORT + micro_below(state, HOURLY);
	return SHORT + HOURLY + micro_below(state, DAILY);
}

static void drop(struct aging *aging, size_t i)
{
	free(aging->slot[i].block);
	aging->bytes -= aging->slot[i].size;
	aging->slot[i].block = NULL;
	aging->slot[i].size = 0;
}

static void day(struct aging *aging)
{
	for (int hour = 0; hour < HOURS; hour++) {
		for (int step = 0; step < STEPS_AN_HOUR; step++) {
			size_t i = draw_slot(&aging->state);
			size_t size = draw_size(&aging->state, hour);

			drop(aging, i);
			aging->slot[i].block = touched(malloc(size));
			aging->slot[i].size = size;
			aging->bytes += size;
		}
	}
}

static void run_aging(struct gbench *g)
{
	struct aging *aging = g->data;

	aging->state = 1;
	while (gbench_next(g, 1))
		day(aging);
	gbench_live(g, aging->bytes);
	for (size_t i = 0; i < BLOCKS; i++) {
		if (micro_below(&aging->state, 4))
			drop(aging, i);
	}
	gbench_figure(g, "rss_per_live_drained",
		      (double)gbench_rss_growth(g) / aging->bytes);
	for (size_t i = 0; i < BLOCKS; i++)
		drop(aging, i);
}

void micro_aging(void)
{
	static const struct gbench_case c = {
		.run = run_aging,
		.iterations = 1,
		.data_bytes = sizeof(struct aging),
	};

	gbench_add(&c, "aging");
}
