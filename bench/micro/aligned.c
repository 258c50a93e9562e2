/* memalign/ALIGNMENT: posix_memalign of a block as large as its alignment, but
   no less than 256 bytes, first byte written, free; some such blocks stay
   alive. */
#include "micro.h"

enum { KEPT = 4, BATCH = 16, LEAST = 256 };

struct kept {
	void *block[KEPT];
};

static void *aligned(const struct gbench *g)
{
	void *block = NULL;

	if (posix_memalign(&block, g->is.count, g->is.size))
		block = NULL;
	return touched(block);
}

static void open_aligned(struct gbench *g)
{
	struct kept *kept = g->data;

	for (int i = 0; i < KEPT; i++)
		kept->block[i] = aligned(g);
}

static void close_aligned(struct gbench *g)
{
	struct kept *kept = g->data;

	for (int i = 0; i < KEPT; i++)
		free(kept->block[i]);
}

static void run_aligned(struct gbench *g)
{
	while (gbench_next(g, BATCH)) {
		for (int i = 0; i < BATCH; i++)
			free(aligned(g));
	}
}

void micro_aligned(void)
{
	static const size_t alignments[] = { 16,       64,	 256,
					     4096,     16 * KIB, 64 * KIB,
					     2 * MIB };
	char label[LABEL];

	for (size_t i = 0; i < LENGTH(alignments); i++) {
		struct gbench_case c = {
			.run = run_aligned,
			.open = open_aligned,
			.close = close_aligned,
			.size = alignments[i] < LEAST ? LEAST : alignments[i],
			.count = alignments[i],
			.data_bytes = sizeof(struct kept),
		};

		gbench_add(&c, "memalign/%s", size_label(label, c.count));
	}
}
