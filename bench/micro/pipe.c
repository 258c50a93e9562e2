/* Blocks of 16 to 512 bytes, first byte written, on several threads.
   pipe/NTHREADS: pairs, one mallocs and the other frees. ring/NTHREADS: each
   thread frees what its left neighbour allocated, and allocates as much for its
   right one. local/NTHREADS: each replaces random ones of its own 4096 blocks:
   nothing is handed over. The time is that of one malloc and one free anywhere,
   so with two processors it is at best half of what one thread takes. Blocks
   change hands in batches of 128; a thread that has none sleeps until there are
   8 batches, so that waking up is a small part of the time. One round goes ahead
   untimed, so that memory is not touched for the first time. */
#include "micro.h"
#include "team.h"

enum { BLOCKS = 128, WAKE = 8, PIPE_BATCHES = 16, RING_BATCHES = 8 };
enum { BATCHES_A_ROUND = 256, MOST_BATCHES = RING_BATCHES * TEAM_MOST };
enum { SLOTS = 4096, SIZES = 4096, LOCAL_A_ROUND = 16384 };

/* Threads that all sleep would have fewer batches than there are. */
_Static_assert(2 * WAKE <= PIPE_BATCHES && WAKE <= RING_BATCHES, "no deadlock");
_Static_assert(PIPE_BATCHES * TEAM_MOST / 2 <= MOST_BATCHES, "they fit");

struct batch {
	struct batch *next;
	size_t size[BLOCKS]; /* that the next blocks are to have */
	void *block[BLOCKS];
};

/* Batches in the order in which they are taken, by one thread. While it sleeps
   it has wanted so many, otherwise 0. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	unsigned count, wanted;
	struct batch *first;
	struct batch **end;
};

static void queue_init(struct queue *queue)
{
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->filled, NULL);
	queue->end = &queue->first;
}

static void queue_put(struct queue *queue, struct batch *batch)
{
	bool wake;

	batch->next = NULL;
	pthread_mutex_lock(&queue->lock);
	*queue->end = batch;
	queue->end = &batch->next;
	wake = ++queue->count == queue->wanted;
	pthread_mutex_unlock(&queue->lock);
	if (wake)
		pthread_cond_signal(&queue->filled);
}

/* most: the taker wants no more from now on. */
static struct batch *queue_take(struct queue *queue, unsigned most)
{
	struct batch *batch;

	pthread_mutex_lock(&queue->lock);
	if (!queue->count) {
		queue->wanted = most < WAKE ? most : WAKE;
		while (queue->count < queue->wanted)
			pthread_cond_wait(&queue->filled, &queue->lock);
		queue->wanted = 0;
	}
	batch = queue->first;
	queue->first = batch->next;
	if (!queue->first)
		queue->end = &queue->first;
	queue->count--;
	pthread_mutex_unlock(&queue->lock);
	return batch;
}

static void batch_fill(struct batch *batch)
{
	for (int i = 0; i < BLOCKS; i++)
		batch->block[i] = touched(malloc(batch->size[i]));
}

static void batch_drain(struct batch *batch)
{
	for (int i = 0; i < BLOCKS; i++)
		free(batch->block[i]);
}

static size_t draw_size(uint64_t *state)
{
	return 16 + micro_below(state, 512 - 16 + 1);
}

static void batch_draw(struct batch *batch, uint64_t *state)
{
	for (int i = 0; i < BLOCKS; i++)
		batch->size[i] = draw_size(state);
}

/* Thread i of a pipe or a ring: it takes from queue[i] and puts to the other
   thread's queue. Batches are as many as ever lie in the queues. */
struct flow {
	struct team team;
	struct queue queue[TEAM_MOST];
	struct batch batch[MOST_BATCHES];
};

/* Even threads produce, odd ones consume: full batches go up, empty ones come
   back. */
static void pipe_work(void *arg, unsigned index)
{
	struct flow *flow = arg;

	for (unsigned left = BATCHES_A_ROUND; left; left--) {
		struct batch *batch = queue_take(&flow->queue[index], left);

		if (index % 2)
			batch_drain(batch);
		else
			batch_fill(batch);
		queue_put(&flow->queue[index ^ 1], batch);
	}
}

static void ring_work(void *arg, unsigned index)
{
	struct flow *flow = arg;
	struct queue *right = &flow->queue[(index + 1) % flow->team.threads];

	for (unsigned left = BATCHES_A_ROUND; left; left--) {
		struct batch *batch = queue_take(&flow->queue[index], left);

		batch_drain(batch);
		batch_fill(batch);
		queue_put(right, batch);
	}
}

static void open_pipe(struct gbench *g)
{
	struct flow *flow = g->data;
	struct batch *batch = flow->batch;
	uint64_t state = 1;

	for (size_t i = 0; i < g->is.count; i++)
		queue_init(&flow->queue[i]);
	for (size_t i = 0; i < g->is.count; i += 2) {
		for (int k = 0; k < PIPE_BATCHES; k++, batch++) {
			batch_draw(batch, &state);
			queue_put(&flow->queue[i], batch);
		}
	}
	team_start(&flow->team, g->is.count, pipe_work, flow);
	team_round(&flow->team);
}

/* Ring batches are full wherever they wait. */
static void open_ring(struct gbench *g)
{
	struct flow *flow = g->data;
	struct batch *batch = flow->batch;
	uint64_t state = 1;

	for (size_t i = 0; i < g->is.count; i++) {
		queue_init(&flow->queue[i]);
		for (int k = 0; k < RING_BATCHES; k++, batch++) {
			batch_draw(batch, &state);
			batch_fill(batch);
			queue_put(&flow->queue[i], batch);
		}
	}
	team_start(&flow->team, g->is.count, ring_work, flow);
	team_round(&flow->team);
}

static void close_pipe(struct gbench *g)
{
	struct flow *flow = g->data;

	team_end(&flow->team);
}

static void close_ring(struct gbench *g)
{
	struct flow *flow = g->data;

	team_end(&flow->team);
	for (size_t i = 0; i < g->is.count; i++) {
		for (unsigned left = RING_BATCHES; left; left--)
			batch_drain(queue_take(&flow->queue[i], left));
	}
}

static void run_pipe(struct gbench *g)
{
	struct flow *flow = g->data;
	const size_t pairs = g->is.count / 2;

	while (gbench_next(g, pairs * BATCHES_A_ROUND * BLOCKS))
		team_round(&flow->team);
}

static void run_ring(struct gbench *g)
{
	struct flow *flow = g->data;

	while (gbench_next(g, g->is.count * BATCHES_A_ROUND * BLOCKS))
		team_round(&flow->team);
}

struct own {
	uint64_t state;
	void *block[SLOTS];
};

struct local {
	struct team team;
	uint16_t size[SIZES];
	struct own own[TEAM_MOST];
};

static void local_work(void *arg, unsigned index)
{
	struct local *local = arg;
	struct own *own = &local->own[index];
	uint64_t state = own->state;

	for (int i = 0; i < LOCAL_A_ROUND; i++) {
		uint32_t random = micro_random(&state);
		void **block = &own->block[random % SLOTS];

		free(*block);
		*block = touched(malloc(local->size[(random >> 12) % SIZES]));
	}
	own->state = state;
}

static void open_local(struct gbench *g)
{
	struct local *local = g->data;
	uint64_t state = 1;

	for (int i = 0; i < SIZES; i++)
		local->size[i] = draw_size(&state);
	for (size_t i = 0; i < g->is.count; i++)
		local->own[i].state = i;
	team_start(&local->team, g->is.count, local_work, local);
	team_round(&local->team);
}

static void close_local(struct gbench *g)
{
	struct local *local = g->data;

	team_end(&local->team);
	for (size_t i = 0; i < g->is.count; i++) {
		for (int k = 0; k < SLOTS; k++)
			free(local->own[i].block[k]);
	}
}

static void run_local(struct gbench *g)
{
	struct local *local = g->data;

	while (gbench_next(g, g->is.count * LOCAL_A_ROUND))
		team_round(&local->team);
}

void micro_pipe(void)
{
	static const struct {
		const char *name;
		struct gbench_case is;
		size_t least;
	} kinds[] = {
		{ "pipe",
		  { .run = run_pipe, .open = open_pipe, .close = close_pipe,
		    .data_bytes = sizeof(struct flow), .threads = true },
		  2 },
		{ "ring",
		  { .run = run_ring, .open = open_ring, .close = close_ring,
		    .data_bytes = sizeof(struct flow), .threads = true },
		  1 },
		{ "local",
		  { .run = run_local, .open = open_local, .close = close_local,
		    .data_bytes = sizeof(struct local), .threads = true },
		  1 },
	};

	for (size_t i = 0; i < LENGTH(kinds); i++) {
		for (size_t n = kinds[i].least; n <= TEAM_MOST; n *= 2) {
			struct gbench_case c = kinds[i].is;

			c.count = n;
			gbench_add(&c, "%s/%zuthreads", kinds[i].name, n);
		}
	}
}
