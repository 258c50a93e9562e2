/* realloc_double/SIZE: a block grows by doubling from a 256th of SIZE (a 1024th
   of 1 GiB) up to SIZE. realloc_page/SIZE: it grows page by page from one page
   to SIZE; 1 GiB grows by 64 pages from there, and shrinks again while the
   clock stands. What is new is touched, a byte a page. The time is that of one
   realloc, touching included; a whole growth ends with free. */
#include "micro.h"

static void *grown(void *block, size_t from, size_t to)
{
	block = touched(realloc(block, to));
	touch_pages(block, from, to);
	return block;
}

static void run_double(struct gbench *g)
{
	const size_t first = g->is.size / g->is.count;
	size_t steps = 0;

	for (size_t size = first; size < g->is.size; size *= 2)
		steps++;
	while (gbench_next(g, steps)) {
		void *block = grown(NULL, 0, first);

		for (size_t size = first; size < g->is.size; size *= 2)
			block = grown(block, size, 2 * size);
		free(block);
	}
}

static void run_page(struct gbench *g)
{
	while (gbench_next(g, g->is.size / PAGE - 1)) {
		void *block = grown(NULL, 0, PAGE);

		for (size_t size = PAGE; size < g->is.size; size += PAGE)
			block = grown(block, size, size + PAGE);
		free(block);
	}
}

static void open_huge(struct gbench *g)
{
	g->data = grown(NULL, 0, g->is.size);
}

static void close_huge(struct gbench *g)
{
	free(g->data);
}

static void run_page_huge(struct gbench *g)
{
	const size_t most = g->is.size + g->is.count * PAGE;
	size_t size = g->is.size;

	while (gbench_next(g, 1)) {
		g->data = grown(g->data, size, size + PAGE);
		size += PAGE;
		if (size < most)
			continue;
		gbench_pause(g);
		size = g->is.size;
		g->data = touched(realloc(g->data, size));
		gbench_resume(g);
	}
	g->data = touched(realloc(g->data, g->is.size));
}

void micro_realloc(void)
{
	static const struct gbench_case doubled[] = {
		{ .size = 4096, .count = 256 },
		{ .size = MIB, .count = 256 },
		{ .size = GIB, .count = 1024, .needs = 5 * GIB / 2 },
	};
	static const struct gbench_case paged[] = {
		{ .run = run_page, .size = 64 * KIB },
		{ .run = run_page, .size = 4 * MIB },
		{ .run = run_page_huge, .open = open_huge, .close = close_huge,
		  .size = GIB, .count = 64, .needs = 5 * GIB / 2 },
	};
	char label[LABEL];

	for (size_t i = 0; i < LENGTH(doubled); i++) {
		struct gbench_case c = doubled[i];

		c.run = run_double;
		gbench_add(&c, "realloc_double/%s", size_label(label, c.size));
	}
	for (size_t i = 0; i < LENGTH(paged); i++)
		gbench_add(&paged[i], "realloc_page/%s",
			   size_label(label, paged[i].size));
}
