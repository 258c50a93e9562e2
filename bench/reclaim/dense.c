/* A program that keeps what it allocates: 600 MB of records of 16 to 512 bytes,
   each with a key, in a hash table of its own. It is filled, then read and
   written at random two million times, and one operation in ten replaces a
   record by a new one. Prints RSS over live bytes, how much of it lies in huge
   pages, the time of the two parts (CPU, s), and what the process cost.
   usage: dense [MB]; bench/reclaim/run runs it. */
#include "reclaim.h"

enum { OPERATIONS = 2000000, MIN_BYTES = 16, SPAN = 512 - MIN_BYTES + 1 };

struct record {
	uint64_t key;
	unsigned char rest[];
};

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes in huge pages. */
static double huge_bytes(void)
{
	char text[4096], *at;
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "AnonHugePages:");
	return at ? strtod(at + strlen("AnonHugePages:"), NULL) * 1024 : 0;
}

static void make(struct block *b, uint64_t key)
{
	size_t size = MIN_BYTES + (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >>
					   33) % SPAN;
	struct record *r = reclaim_touched(size);

	r->key = key;
	b->at = r;
	b->size = size;
}

int main(int argc, char **argv)
{
	unsigned long mb = loop_count(argc, argv, 1, 600);
	size_t slots = (size_t)mb * 1000000 / ((MIN_BYTES + 512) / 2);
	struct block *table = reclaim_table(slots * sizeof(*table));
	uint64_t state = UINT64_C(0x64656e7365), sum = 0;
	double start = reclaim_rss(), live = 0, filled, began = cpu_now();

	for (size_t i = 0; i < slots; i++) {
		make(&table[i], i);
		live += (double)table[i].size;
	}
	filled = cpu_now();
	for (int i = 0; i < OPERATIONS; i++) {
		struct block *b = &table[(loop_random(&state) >> 20) % slots];
		struct record *r = b->at;

		sum = loop_mix(sum, r->key++);
		if (i % 10 != 0)
			continue;
		live -= (double)b->size;
		free(b->at);
		make(b, (uint64_t)i + slots);
		live += (double)b->size;
	}
	reclaim_tell("fill_s", filled - began);
	reclaim_tell("use_s", cpu_now() - filled);
	reclaim_tell("kept_ratio", (reclaim_rss() - start) / live);
	reclaim_tell("huge_mb", huge_bytes() / MB);
	reclaim_tell_cost();
	return sum == 0; /* it is not, for this sequence */
}
