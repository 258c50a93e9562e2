/* A burst: mixed blocks of together 600 MB are allocated and written, nine in
   ten are freed in random order, then the rest, and the program sits idle for
   five seconds without a call of malloc or free. Prints RSS over live bytes
   when full and with a tenth left (just then, and a second later; the floor is
   what it would be if every page without a living byte were returned), RSS
   above that of the start when all is freed, and what the process cost.
   usage: burst [MB]; bench/reclaim/run runs it. */
#include "reclaim.h"

static void free_some(const struct block *table, size_t from, size_t to,
		      double *live)
{
	for (size_t i = from; i < to; i++) {
		free(table[i].at);
		*live -= (double)table[i].size;
	}
}

enum { SEEN_SLOTS = 1 << 20, PAGE_SHIFT = 12 };

/* Bytes of the pages that the blocks lie in. `seen` is a table of page numbers,
   all zero. */
static double bytes_in_pages(const struct block *table, size_t count,
			     uint64_t *seen)
{
	double pages = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t page = (uintptr_t)table[i].at >> PAGE_SHIFT;
		uint64_t last = ((uintptr_t)table[i].at + table[i].size - 1) >>
			PAGE_SHIFT;

		for (; page <= last; page++) {
			uint64_t at = page * UINT64_C(0x9e3779b97f4a7c15) >> 44;

			while (seen[at] && seen[at] != page)
				at = (at + 1) % SEEN_SLOTS;
			pages += seen[at] != page;
			seen[at] = page;
		}
	}
	return pages * (1 << PAGE_SHIFT);
}

enum { LOOKS = 4 };

static const struct {
	const char *name;
	double at; /* seconds */
} looks[LOOKS] = { { "freed_0s_mb", 0 }, { "freed_0.1s_mb", 0.1 },
		   { "freed_1s_mb", 1 }, { "freed_5s_mb", 5 } };

static void sit_idle(double rss[LOOKS])
{
	double now = 0;

	for (int i = 0; i < LOOKS; i++) {
		reclaim_sleep(looks[i].at - now);
		now = looks[i].at;
		rss[i] = reclaim_rss();
	}
}

int main(int argc, char **argv)
{
	unsigned long mb = loop_count(argc, argv, 1, 600);
	size_t slots = reclaim_slots(mb), count, left;
	struct block *table = reclaim_table(slots * sizeof(*table));
	uint64_t *seen = reclaim_table(SEEN_SLOTS * sizeof(*seen));
	uint64_t state = UINT64_C(0x6275727374);
	double live, full, full_live, tenth, tenth_live, later, floor;
	double rss[LOOKS], start = reclaim_rss();

	count = reclaim_fill(table, slots, (double)mb * MB, &state, &live);
	full = reclaim_rss() - start;
	full_live = live;
	reclaim_shuffle(table, count, &state);
	left = count - count / 10;
	free_some(table, 0, left, &live);
	tenth = reclaim_rss() - start;
	tenth_live = live;
	reclaim_sleep(1);
	later = reclaim_rss() - start;
	floor = bytes_in_pages(table + left, count - left, seen);
	free_some(table, left, count, &live);
	sit_idle(rss);
	reclaim_tell("full_ratio", full / full_live);
	reclaim_tell("tenth_ratio", tenth / tenth_live);
	reclaim_tell("tenth_1s_ratio", later / tenth_live);
	reclaim_tell("tenth_floor_ratio", floor / tenth_live);
	for (int i = 0; i < LOOKS; i++)
		reclaim_tell(looks[i].name, (rss[i] - start) / MB);
	reclaim_tell_cost();
	return 0;
}
