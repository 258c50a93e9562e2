/* idle/NTHREADS: each thread allocates 4 MiB in blocks of 16 to 1024 bytes,
   first byte written, frees all and waits; 4 times. rss_per_thread is what RSS
   grew by since the threads wait, over their number. idle_turns/NTHREADS: one
   thread after the other, so that they can use each other's memory again: what
   is left is what a thread keeps to itself. The time is that of one thread's
   turn. */
#include "micro.h"
#include "team.h"

enum { BYTES = 4 << 20, LEAST = 16, MOST = 1024, BLOCKS = BYTES / LEAST };
enum { ROUNDS = 4, AT_ONCE = 0, IN_TURNS };

/* A list, so that only the allocator's memory is used: each block begins with
   the one before. */
struct idle {
	struct team team;
	pthread_mutex_t turn;
	bool turns;
	size_t rss_waiting;
};

static void allocate_and_free(uint64_t state)
{
	void **last = NULL;

	for (size_t bytes = 0; bytes < BYTES;) {
		size_t size = LEAST + micro_below(&state, MOST - LEAST + 1);
		void **block = touched(malloc(size));

		*block = last;
		last = block;
		bytes += size;
	}
	while (last) {
		void **block = last;

		last = *block;
		free(block);
	}
}

static void idle_work(void *arg, unsigned index)
{
	struct idle *idle = arg;

	if (idle->turns)
		pthread_mutex_lock(&idle->turn);
	allocate_and_free(index);
	if (idle->turns)
		pthread_mutex_unlock(&idle->turn);
}

/* A round that does nothing: after it every thread has its stack. */
static void no_work(void *arg, unsigned index)
{
	(void)arg;
	(void)index;
}

static void open_idle(struct gbench *g)
{
	struct idle *idle = g->data;

	pthread_mutex_init(&idle->turn, NULL);
	idle->turns = g->is.kind == IN_TURNS;
	team_start(&idle->team, g->is.count, no_work, idle);
	team_round(&idle->team);
	idle->team.work = idle_work;
	idle->rss_waiting = gbench_rss_growth(g);
}

static void close_idle(struct gbench *g)
{
	struct idle *idle = g->data;

	team_end(&idle->team);
}

static void run_idle(struct gbench *g)
{
	struct idle *idle = g->data;
	size_t rss;

	while (gbench_next(g, g->is.count))
		team_round(&idle->team);
	rss = gbench_rss_growth(g);
	rss -= rss < idle->rss_waiting ? rss : idle->rss_waiting;
	gbench_figure(g, "rss_per_thread", (double)rss / g->is.count);
}

void micro_idle(void)
{
	static const char *const kinds[] = { "idle", "idle_turns" };

	for (int kind = AT_ONCE; kind <= IN_TURNS; kind++) {
		for (size_t n = 8; n <= TEAM_MOST; n *= 8) {
			struct gbench_case c = {
				.run = run_idle,
				.open = open_idle,
				.close = close_idle,
				.count = n,
				.kind = kind,
				.threads = true,
				.iterations = n * ROUNDS,
				.data_bytes = sizeof(struct idle),
			};

			gbench_add(&c, "%s/%zuthreads", kinds[kind], n);
		}
	}
}
