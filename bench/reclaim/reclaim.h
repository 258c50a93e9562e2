/* What the programs of this folder share: the RSS of the process, its own use
   of the processor, memory that no allocator sees for their tables, sizes of
   mixed blocks, and the lines "name value" in which they tell what they found.
   Sizes are in MB of 1,000,000 bytes. */
#ifndef BENCH_RECLAIM_H
#define BENCH_RECLAIM_H

#include "../loops/loops.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MB 1e6

struct block {
	void *at;
	size_t size;
};

/* Bytes that are resident now; read without stdio, which would allocate. */
static inline double reclaim_rss(void)
{
	char text[128];
	unsigned long pages;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0) {
		perror("/proc/self/statm");
		exit(1);
	}
	close(fd);
	text[n] = '\0';
	pages = strtoul(strchr(text, ' '), NULL, 10);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Resident from the start, so that what RSS grows by is the allocator's. */
static inline void *reclaim_table(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return loop_check(p == MAP_FAILED ? NULL : p);
}

static inline void reclaim_sleep(double seconds)
{
	struct timespec t = { (time_t)seconds,
			      (long)((seconds - (double)(time_t)seconds) * 1e9) };

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

/* Of 100 blocks 90 have 16 to 512 bytes, 9 up to 16 KB, 1 up to 320 KB. */
static inline size_t reclaim_mixed_size(uint64_t *state)
{
	uint64_t kind = (loop_random(state) >> 32) % 100;
	uint64_t draw = loop_random(state) >> 24;

	if (kind < 90)
		return 16 + draw % (512 - 16 + 1);
	if (kind < 99)
		return 513 + draw % (16384 - 512);
	return 16385 + draw % (327680 - 16384);
}

/* A block of n bytes, all of them written. */
static inline void *reclaim_touched(size_t n)
{
	return memset(loop_check(malloc(n)), 1, n);
}

/* Fills the table with mixed blocks of together `bytes`; how many they are. */
static inline size_t reclaim_fill(struct block *table, size_t slots,
				  double bytes, uint64_t *state, double *live)
{
	size_t count = 0;

	for (*live = 0; *live < bytes && count < slots; count++) {
		size_t size = reclaim_mixed_size(state);

		table[count].at = reclaim_touched(size);
		table[count].size = size;
		*live += (double)size;
	}
	return count;
}

static inline void reclaim_shuffle(struct block *table, size_t count,
				   uint64_t *state)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = (loop_random(state) >> 16) % i;
		struct block kept = table[j];

		table[j] = table[i - 1];
		table[i - 1] = kept;
	}
}

/* Slots that hold any sum of mixed blocks of that many MB (some 370 blocks a
   MB) with room to spare. */
static inline size_t reclaim_slots(unsigned long mb)
{
	return (size_t)mb * 500 + 1000;
}

static inline void reclaim_tell(const char *name, double value)
{
	printf("%s %.3f\n", name, value);
}

/* What the whole process has cost so far. */
static inline void reclaim_tell_cost(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	reclaim_tell("cpu_s", (double)(used.ru_utime.tv_sec +
				       used.ru_stime.tv_sec) +
		     (double)(used.ru_utime.tv_usec +
			      used.ru_stime.tv_usec) / 1e6);
	reclaim_tell("faults", (double)used.ru_minflt);
}

#endif
