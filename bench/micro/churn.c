/* churn/NTHREADS: threads are created, NTHREADS at a time; each allocates 256
   blocks of 16 to 1024 bytes, first byte written, frees all but 16, and ends;
   those 16 are freed by the thread that joins it. The time is that of one
   thread. rss_bytes shows whether the memory of ended threads serves others. */
#include "micro.h"
#include "team.h"

enum { BLOCKS = 256, LEFT = 16 };

struct life {
	pthread_t thread;
	uint64_t state;
	void *block[BLOCKS];
};

static void *live(void *arg)
{
	struct life *life = arg;

	for (int i = 0; i < BLOCKS; i++)
		life->block[i] = touched(
			malloc(16 + micro_below(&life->state, 1024 - 16 + 1)));
	for (int i = LEFT; i < BLOCKS; i++)
		free(life->block[i]);
	return NULL;
}

static void run_churn(struct gbench *g)
{
	struct life *lives = g->data;

	while (gbench_next(g, g->is.count)) {
		for (size_t i = 0; i < g->is.count; i++)
			lives[i].thread = team_thread(live, &lives[i]);
		for (size_t i = 0; i < g->is.count; i++) {
			pthread_join(lives[i].thread, NULL);
			for (int k = 0; k < LEFT; k++)
				free(lives[i].block[k]);
		}
	}
}

void micro_churn(void)
{
	static const size_t threads[] = { 1, 4, 16, 64 };

	for (size_t i = 0; i < LENGTH(threads); i++) {
		struct gbench_case c = {
			.run = run_churn,
			.count = threads[i],
			.data_bytes = threads[i] * sizeof(struct life),
			.threads = true,
		};

		gbench_add(&c, "churn/%zuthreads", c.count);
	}
}
