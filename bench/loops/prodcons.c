/* producer/consumer loop: one thread mallocs blocks of 16 to 512 bytes, writes
   them and hands them over in batches of 256 through a ring of 16; the other
   reads and frees them, so that every block is freed by a thread that did not
   allocate it. A thread with nothing to do sleeps, so the processor time is
   that of the work. Each thread is "bound" to a processor of its own, so that
   the blocks do travel between caches: "unbound", the scheduler may put both
   threads on one processor, and that is a different measurement.
   usage: prodcons [BATCHES [bound|unbound]]; prints a checksum. bench/run
   runs it. */
#define _GNU_SOURCE
#include "../bind.h"
#include "loops.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { BATCH = 256, RING = 16, MIN_SIZE = 16, MAX_SIZE = 512 };

struct batch {
	uint64_t *block[BATCH];
};

/* made - taken batches are in the ring, the oldest at taken % RING; both
   counts and the slots that change hands are guarded by lock. A slot in the
   ring is the consumer's, any other the producer's. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned long made, taken;
	struct batch slot[RING];
} ring = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

static unsigned long batches;
static int bound = 1;

/* Binds the calling thread to the index-th processor it may use until then, if
   there are that many. */
static void bind_to(unsigned index)
{
	cpu_set_t allowed;

	if (bound && !sched_getaffinity(0, sizeof(allowed), &allowed))
		bench_bind(&allowed, index);
}

static void *produce(void *unused)
{
	uint64_t state = UINT64_C(0x70726f6475636572);

	(void)unused;
	bind_to(1);
	for (unsigned long i = 0; i < batches; i++) {
		struct batch *b = &ring.slot[i % RING];

		pthread_mutex_lock(&ring.lock);
		while (ring.made - ring.taken == RING)
			pthread_cond_wait(&ring.changed, &ring.lock);
		pthread_mutex_unlock(&ring.lock);

		for (int j = 0; j < BATCH; j++) {
			uint64_t r = loop_random(&state);
			size_t words = (MIN_SIZE +
				(r >> 32) % (MAX_SIZE - MIN_SIZE + 1)) / 8;

			b->block[j] = loop_check(malloc(words * 8));
			b->block[j][0] = words;
			b->block[j][words - 1] = r;
		}
		pthread_mutex_lock(&ring.lock);
		ring.made++;
		pthread_cond_signal(&ring.changed);
		pthread_mutex_unlock(&ring.lock);
	}
	return NULL;
}

static uint64_t consume(void)
{
	uint64_t sum = 0;

	for (unsigned long i = 0; i < batches; i++) {
		struct batch *b = &ring.slot[i % RING];

		pthread_mutex_lock(&ring.lock);
		while (ring.made == ring.taken)
			pthread_cond_wait(&ring.changed, &ring.lock);
		pthread_mutex_unlock(&ring.lock);

		for (int j = 0; j < BATCH; j++) {
			uint64_t words = b->block[j][0];

			sum = loop_mix(sum, words);
			sum = loop_mix(sum, b->block[j][words - 1]);
			free(b->block[j]);
		}
		pthread_mutex_lock(&ring.lock);
		ring.taken++;
		pthread_cond_signal(&ring.changed);
		pthread_mutex_unlock(&ring.lock);
	}
	return sum;
}

int main(int argc, char **argv)
{
	pthread_t producer;
	uint64_t sum;

	batches = loop_count(argc, argv, 1, 30000);
	if (argc > 2 && !strcmp(argv[2], "unbound")) {
		bound = 0;
	} else if (argc > 2 && strcmp(argv[2], "bound") != 0) {
		fprintf(stderr, "prodcons: neither bound nor unbound: %s\n",
			argv[2]);
		return 2;
	}
	if (pthread_create(&producer, NULL, produce, NULL)) {
		fputs("no thread\n", stderr);
		return 1;
	}
	bind_to(0);
	sum = consume();
	pthread_join(producer, NULL);
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
