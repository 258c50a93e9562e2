/* Waves: ten times mixed blocks of together 300 MB are allocated, written and
   freed in random order, with a pause of 0.3 s after each wave. Prints what the
   process cost, and RSS above that of the start at the end of the pauses: the
   mean, and the last.
   usage: waves [MB [WAVES]]; bench/reclaim/run runs it. */
#include "reclaim.h"

#define PAUSE_S 0.3

int main(int argc, char **argv)
{
	unsigned long mb = loop_count(argc, argv, 1, 300);
	unsigned long waves = loop_count(argc, argv, 2, 10);
	size_t slots = reclaim_slots(mb);
	struct block *table = reclaim_table(slots * sizeof(*table));
	uint64_t state = UINT64_C(0x7761766573);
	double start = reclaim_rss(), sum = 0, last = 0;

	for (unsigned long i = 0; i < waves; i++) {
		double live;
		size_t count = reclaim_fill(table, slots, (double)mb * MB,
					    &state, &live);

		reclaim_shuffle(table, count, &state);
		for (size_t j = 0; j < count; j++)
			free(table[j].at);
		reclaim_sleep(PAUSE_S);
		last = reclaim_rss() - start;
		sum += last;
	}
	reclaim_tell("pause_mean_mb", waves ? sum / (double)waves / MB : 0);
	reclaim_tell("pause_last_mb", last / MB);
	reclaim_tell_cost();
	return 0;
}
