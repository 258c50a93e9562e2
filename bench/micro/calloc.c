/* calloc_fresh/SIZE: calloc of blocks that all stay alive, 64 MiB of them in
   each repetition, so that their memory was never used before; the first bytes
   are written. calloc_reused/SIZE: calloc, a byte a page written, free, so that
   the memory must be cleared, or given back and fetched anew. */
#include "micro.h"

enum { BATCH = 16 };

static const size_t fresh_bytes = 64 * MIB;

struct fresh {
	void **last; /* a list of all blocks: each begins with the one before */
	size_t count;
};

static void run_fresh(struct gbench *g)
{
	struct fresh *fresh = g->data;

	while (gbench_next(g, 1)) {
		void **block = touched(calloc(1, g->is.size));

		*block = fresh->last;
		fresh->last = block;
		fresh->count++;
	}
	gbench_live(g, fresh->count * g->is.size);
}

static void close_fresh(struct gbench *g)
{
	struct fresh *fresh = g->data;

	while (fresh->last) {
		void **block = fresh->last;

		fresh->last = *block;
		free(block);
	}
}

static void run_reused(struct gbench *g)
{
	while (gbench_next(g, BATCH)) {
		for (int i = 0; i < BATCH; i++) {
			void *block = touched(calloc(1, g->is.size));

			touch_pages(block, 0, g->is.size);
			free(block);
		}
	}
}

void micro_calloc(void)
{
	static const size_t sizes[] = { 16,	  256,	 4096, 64 * KIB,
					256 * KIB, MIB, 4 * MIB };
	char label[LABEL];

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		struct gbench_case c = {
			.run = run_fresh,
			.close = close_fresh,
			.size = sizes[i],
			.iterations = fresh_bytes / sizes[i],
			.data_bytes = sizeof(struct fresh),
		};

		gbench_add(&c, "calloc_fresh/%s", size_label(label, c.size));
	}
	for (size_t i = 0; i < LENGTH(sizes); i++) {
		struct gbench_case c = { .run = run_reused, .size = sizes[i] };

		gbench_add(&c, "calloc_reused/%s", size_label(label, c.size));
	}
}
