/* Counted loop: one thread mallocs BATCH blocks of SIZE bytes, another frees
   them, in strict turns, ROUNDS times, for bench/instructions: every block is
   freed by a thread that did not allocate it. Because of the turns, what the
   threads spend on waiting for each other is the same with any allocator.
   usage: xthread SIZE [ROUNDS [real|noop [BATCH]]]; prints a checksum. */
#include "counted.h"

#include <pthread.h>
#include <semaphore.h>

enum { MAX_BATCH = 65536, BATCH_BY_DEFAULT = 1000 };

static void *block[MAX_BATCH];
static unsigned long size, rounds, batch;
static struct counted_pair f;
static sem_t filled, emptied;

static void *fill(void *unused)
{
	(void)unused;
	for (unsigned long i = 0; i < rounds; i++) {
		sem_wait(&emptied);
		for (unsigned long j = 0; j < batch; j++)
			block[j] = f.get(size);
		sem_post(&filled);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t filler;
	uint64_t sum = 0;

	size = loop_count(argc, argv, 1, 32);
	rounds = loop_count(argc, argv, 2, 10000);
	f = counted_pair(argc, argv, 3);
	batch = loop_count(argc, argv, 4, BATCH_BY_DEFAULT);
	if (batch > MAX_BATCH) {
		fprintf(stderr, "xthread: batch above %d\n", MAX_BATCH);
		return 2;
	}
	sem_init(&filled, 0, 0);
	sem_init(&emptied, 0, 1);
	if (pthread_create(&filler, NULL, fill, NULL)) {
		fputs("no thread\n", stderr);
		return 1;
	}
	for (unsigned long i = 0; i < rounds; i++) {
		sem_wait(&filled);
		for (unsigned long j = 0; j < batch; j++) {
			sum += block[j] != NULL;
			f.put(block[j]);
		}
		sem_post(&emptied);
	}
	pthread_join(filler, NULL);
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
