/*
 * FIELD.md row 4: the kernel refuses every further mapping (max_map_count),
 * and so munmap too where it would split one. Requests may fail then, with
 * ENOMEM; nothing may be lost or crash, and once there is room again all works
 * as before. Started case by case by `run`.
 */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>

enum { MOST_MAPS = 1 << 21, BLOCKS = 64, ROUNDS = 2000 };

static char *area;
static size_t area_bytes;

/* Uses all mappings up: every second page of one area gets another protection. */
static void use_all_maps_up(void)
{
	char text[64];
	long limit = read_whole("/proc/sys/vm/max_map_count", text, sizeof text) > 0 ? atol(text) : 65530;
	if (limit > MOST_MAPS)
		SKIP("max_map_count is %ld, beyond what this test fills", limit);
	size_t page = page_size();
	area_bytes = ((size_t)limit + 100) * page;
	area = (char *)mmap(NULL, area_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(area != MAP_FAILED);
	size_t at = page;
	while (at < area_bytes && !mprotect(area + at, page, PROT_READ))
		at += 2 * page;
	REQUIRE(at < area_bytes);
	/* mprotect needs two at a time: the one left over (shared ones do not merge) */
	while (mmap(NULL, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		;
	REQUIRE(errno == ENOMEM);
}

/* The first bytes and the last one say whose block it is. */
static void stamp(void *block, size_t n, int at)
{
	fill(block, n < 4096 ? n - 1 : 4096, (unsigned)at);
	((char *)block)[n - 1] = (char)at;
}

static int stamped(const void *block, size_t n, size_t kept, int at)
{
	return holds(block, kept < 4096 ? kept - 1 : 4096, (unsigned)at) && ((const char *)block)[n - 1] == (char)at;
}

static void churn(void **block, size_t *size, int must_succeed, uint64_t *random)
{
	for (int round = 0; round < ROUNDS; round++) {
		int at = (int)(next_random(random) % BLOCKS);
		if (block[at]) {
			CHECKF(stamped(block[at], size[at], size[at], at), "block %d", at);
			errno = 4711;
			free(block[at]);
			CHECK(errno == 4711);
		}
		size[at] = 1 + next_random(random) % (round % 3 ? 2000 : 600000);
		errno = 0;
		block[at] = hide(malloc(size[at]));
		if (!block[at]) {
			CHECK(errno == ENOMEM);
			CHECK(!must_succeed);
			continue;
		}
		stamp(block[at], size[at], at);
	}
}

static void no_block_is_lost_without_maps(void)
{
	static void *block[BLOCKS];
	static size_t size[BLOCKS];
	uint64_t random = seed_from_environment();
	for (int at = 0; at < BLOCKS; at++) {
		size[at] = (size_t)(at + 1) * 40000;
		REQUIRE(block[at] = hide(malloc(size[at])));
		stamp(block[at], size[at], at);
	}
	use_all_maps_up();
	/* every second large block goes back: holes between mappings */
	for (int at = 0; at < BLOCKS; at += 2) {
		errno = 4711;
		free(block[at]);
		CHECK(errno == 4711);
		block[at] = NULL;
	}
	for (int at = 1; at < BLOCKS; at += 2)
		CHECKF(stamped(block[at], size[at], size[at], at), "block %d", at);
	for (int at = 1; at < BLOCKS; at += 2) {
		void *grown = hide(realloc(block[at], size[at] * 2));
		if (grown) {
			block[at] = grown;
			size[at] *= 2;
			((char *)grown)[size[at] - 1] = (char)at;
		}
		CHECKF(holds(block[at], 4096, (unsigned)at), "block %d", at);
	}
	for (int at = 1; at < BLOCKS; at += 2) {
		free(block[at]);
		block[at] = NULL;
	}
	churn(block, size, 0, &random);
	malloc_trim(0);
	churn(block, size, 0, &random);
	REQUIRE(!munmap(area, area_bytes));
	churn(block, size, 1, &random);
	for (int at = 0; at < BLOCKS; at++)
		free(block[at]);
	void *big = hide(malloc((size_t)256 << 20));
	CHECK(big);
	free(big);
}

/* brk is refused too then: small requests may fail, what is live stays. */
static void small_blocks_survive_without_maps(void)
{
	enum { SMALL = 100000 };
	static char *block[SMALL];
	void *first = hide(malloc(100));
	int have = 0, late;
	use_all_maps_up();
	for (; have < SMALL; have++) {
		errno = 0;
		if (!(block[have] = (char *)hide(malloc((size_t)(have % 900) + 1))))
			break;
		block[have][0] = (char)have;
	}
	CHECK(have == SMALL || errno == ENOMEM);
	/* what is freed can be had again without the kernel */
	for (int i = 0; i < have; i += 2) {
		CHECK(block[i][0] == (char)i);
		free(block[i]);
	}
	for (int i = 0; i < have; i += 2) {
		REQUIRE(block[i] = (char *)hide(malloc((size_t)(i % 900) + 1)));
		block[i][0] = (char)i;
	}
	REQUIRE(!munmap(area, area_bytes));
	for (late = have; late < SMALL; late++) {
		REQUIRE(block[late] = (char *)hide(malloc((size_t)(late % 900) + 1)));
		block[late][0] = (char)late;
	}
	for (int i = 0; i < SMALL; i++) {
		CHECK(block[i][0] == (char)i);
		free(block[i]);
	}
	free(first);
}

static void *thread_without_maps(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		void *p = hide(malloc((size_t)(i % 300) * 1000 + 1));
		if (p)
			memset(p, 1, (size_t)(i % 300) * 1000 + 1);
		free(p);
	}
	return arg;
}

/* Threads that exist already make their first request when no map is left. */
static pthread_barrier_t maps_are_gone;

static void *waiting_thread(void *arg)
{
	pthread_barrier_wait(&maps_are_gone);
	return thread_without_maps(arg);
}

static void threads_live_without_maps(void)
{
	enum { THREADS = 8 };
	pthread_t thread[THREADS];
	pthread_barrier_init(&maps_are_gone, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, waiting_thread, NULL));
	use_all_maps_up();
	pthread_barrier_wait(&maps_are_gone);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	REQUIRE(!munmap(area, area_bytes));
	thread_without_maps(NULL);
	void *p = hide(malloc(10 << 20));
	CHECK(p);
	free(p);
}

CHECK_MAIN(
	{ "no_block_is_lost_without_maps", no_block_is_lost_without_maps, CHECK_BOTH },
	{ "small_blocks_survive_without_maps", small_blocks_survive_without_maps, CHECK_BOTH },
	{ "threads_live_without_maps", threads_live_without_maps, CHECK_BOTH },
)
