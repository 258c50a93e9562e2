/*
 * FIELD.md row 13: small limits. A case lowers its own limits, then executes
 * itself again so that the loader and the library start under them. Started
 * case by case by `run`.
 */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { MIB = 1 << 20 };

static void again(int resource, rlim_t soft, const char *part)
{
	struct rlimit limit;
	getrlimit(resource, &limit);
	limit.rlim_cur = soft;
	REQUIRE(!setrlimit(resource, &limit));
	char *const argv[] = { (char *)"field_13_limits", (char *)part, NULL };
	execv("/proc/self/exe", argv);
	REQUIRE(!"execv");
}

static void work(size_t bytes)
{
	enum { BLOCKS = 1000 };
	void *block[BLOCKS];
	size_t n = bytes / BLOCKS;
	for (unsigned i = 0; i < BLOCKS; i++) {
		REQUIRE(block[i] = hide(malloc(n)));
		fill(block[i], n, i);
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		CHECK(holds(block[i], n, i));
		free(block[i]);
	}
	void *large = hide(calloc(1, bytes / 2));
	REQUIRE(large);
	CHECK(all_zero(large, bytes / 2));
	free(large);
}

static pthread_barrier_t all_created;

static void *thread_work(void *arg)
{
	pthread_barrier_wait(&all_created);
	work((size_t)(uintptr_t)arg);
	return NULL;
}

/* Fills what the limit leaves, keeps it whole, and lives on after freeing. */
static void until_refused(size_t step)
{
	enum { MOST = 200000 };
	static void *block[MOST];
	for (int round = 0; round < 3; round++) {
		int have = 0;
		errno = 0;
		for (; have < MOST && (block[have] = hide(malloc(step))); have++)
			fill(block[have], step < 512 ? step : 512, (unsigned)have);
		CHECKF(have < MOST, "never refused");
		CHECK(errno == ENOMEM);
		CHECKF(have > 8, "only %d blocks of %zu", have, step);
		void *kept = block[0];
		CHECK(hide(realloc(kept, step * 1000000)) == NULL);
		for (int i = 0; i < have; i++) {
			CHECKF(holds(block[i], step < 512 ? step : 512, (unsigned)i), "block %d", i);
			free(block[i]);
		}
	}
	for (size_t n = 1; n <= step; n = n * 2 + 1)
		free(hide(malloc(n)));
}

static void part_64_mib(void)
{
	work(8 * MIB);
	CHECK(hide(malloc(128 * MIB)) == NULL);
	CHECK(errno == ENOMEM);
	work(8 * MIB);
}

static void part_64_mib_full_small(void) { until_refused(700); }
static void part_64_mib_full_medium(void) { until_refused(30000); }
static void part_64_mib_full_large(void) { until_refused(300000); }

/* All there is went to small blocks; they are freed; now a large one is asked
 * for, and the other way round: free memory of one kind serves the other. */
static void part_64_mib_small_then_large(void)
{
	until_refused(700);
	work(8 * MIB);
	until_refused(300000);
	work(8 * MIB);
	until_refused(700);
}

static void part_200_mib_threads(void)
{
	/* stacks of 8 MiB each, all there before the heaps begin to grow */
	enum { THREADS = 4 };
	pthread_t thread[THREADS];
	pthread_barrier_init(&all_created, NULL, THREADS);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < THREADS; i++)
			REQUIRE(!pthread_create(&thread[i], NULL, thread_work, (void *)(uintptr_t)(4 * MIB)));
		for (int i = 0; i < THREADS; i++)
			pthread_join(thread[i], NULL);
	}
}

static void as_64_mib(void) { again(RLIMIT_AS, 65536ul << 10, "part_64_mib"); }
static void as_64_mib_full_small(void) { again(RLIMIT_AS, 65536ul << 10, "part_64_mib_full_small"); }
static void as_64_mib_full_medium(void) { again(RLIMIT_AS, 65536ul << 10, "part_64_mib_full_medium"); }
static void as_64_mib_full_large(void) { again(RLIMIT_AS, 65536ul << 10, "part_64_mib_full_large"); }
static void as_64_mib_small_then_large(void) { again(RLIMIT_AS, 65536ul << 10, "part_64_mib_small_then_large"); }
static void as_200_mib_with_threads(void) { again(RLIMIT_AS, 204800ul << 10, "part_200_mib_threads"); }

/* The limits between: the reservation is halved until it fits. */
static void as_steps_up_to_1_gib(void)
{
	for (size_t mib = 64; mib <= 1024; mib += mib / 4) {
		pid_t child = fork();
		if (!child)
			again(RLIMIT_AS, mib << 20, "part_64_mib_or_more");
		int status;
		REQUIRE(waitpid(child, &status, 0) == child);
		CHECKF(WIFEXITED(status) && !WEXITSTATUS(status), "limit %zu MiB, status %#x", mib, status);
	}
}

static void part_64_mib_or_more(void) { work(16 * MIB); }

/* RLIMIT_DATA counts the brk heap and private writable mappings. */
static void data_32_mib(void) { again(RLIMIT_DATA, 32 * MIB, "part_data_32_mib"); }
static void part_data_32_mib(void)
{
	work(4 * MIB);
	CHECK(hide(malloc(100 * MIB)) == NULL);
	CHECK(errno == ENOMEM);
	until_refused(5000);
	until_refused(300);
}

static void data_32_mib_large(void) { again(RLIMIT_DATA, 32 * MIB, "part_data_32_mib_large"); }
static void part_data_32_mib_large(void) { until_refused(300000); }

/* So small that only pages from the start can be had: no crash, ENOMEM. */
static void data_12_mib(void) { again(RLIMIT_DATA, 12 * MIB, "part_data_12_mib"); }
static void part_data_12_mib(void)
{
	static void *block[20000];
	int have = 0;
	errno = 0;
	for (; have < 20000 && (block[have] = hide(malloc(1000))); have++)
		fill(block[have], 1000, (unsigned)have);
	CHECK(have < 20000 && errno == ENOMEM);
	CHECKF(have > 10, "%d blocks", have);
	for (int i = 0; i < have; i++) {
		CHECK(holds(block[i], 1000, (unsigned)i));
		free(block[i]);
	}
	CHECK(hide(malloc(1000)) != NULL);
}

/* The limit falls while the program runs, and rises again. */
static void limits_change_while_running(void)
{
	struct rlimit limit, saved;
	void *block = hide(malloc(5000)), *large = hide(malloc(MIB));
	REQUIRE(block && large);
	fill(block, 5000, 1);
	fill(large, MIB, 2);
	for (size_t round = 0; round < 20; round++) {
		/* more each time, so that what is kept of the last round does not do */
		size_t more = (512 + round * 64) * MIB;
		getrlimit(RLIMIT_AS, &saved);
		limit = saved;
		limit.rlim_cur = address_space_bytes();
		REQUIRE(!setrlimit(RLIMIT_AS, &limit));
		errno = 0;
		CHECK(hide(malloc(more)) == NULL);
		CHECK(errno == ENOMEM);
		CHECK(hide(realloc(large, more)) == NULL);
		for (size_t n = 1; n < 300000; n *= 3)
			free(hide(malloc(n)));
		CHECK(holds(block, 5000, 1) && holds(large, MIB, 2));
		REQUIRE(!setrlimit(RLIMIT_AS, &saved));
		void *p = hide(malloc(more));
		CHECK(p);
		free(p);
		work(4 * MIB);
	}
	free(block);
	free(large);
}

/* A limit far below what is reserved, set by the program itself: it is as good
 * as if it had been there from the start. */
static void limit_set_by_the_program(size_t step)
{
	struct rlimit limit;
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = 64 * MIB;
	REQUIRE(!setrlimit(RLIMIT_AS, &limit));
	work(8 * MIB);
	until_refused(step);
	/* lower still, and nothing is given back twice */
	limit.rlim_cur = 48 * MIB;
	REQUIRE(!setrlimit(RLIMIT_AS, &limit));
	work(8 * MIB);
	until_refused(step);
}

static void limit_set_by_the_program_small(void) { limit_set_by_the_program(700); }
static void limit_set_by_the_program_large(void) { limit_set_by_the_program(300000); }

/* A reservation must not be in core dumps: large anonymous mappings that are
 * hardly resident are marked so (VmFlags dd), or cannot be read at all. */
static void reservations_stay_out_of_core_dumps(void)
{
	static char smaps[CHECK_MAPS_BYTES];
	free(hide(malloc(100)));
	free(hide(malloc(MIB)));
	REQUIRE(read_whole("/proc/self/smaps", smaps, sizeof smaps) > 0);
	char protection[8] = "", line_name[128] = "";
	size_t bytes = 0;
	unsigned long inode = 0;
	int seen = 0;
	for (char *line = smaps; *line; line = strchr(line, '\n') + 1) {
		unsigned long from, to, offset;
		char device[16];
		if (sscanf(line, "%lx-%lx %7s %lx %15s %lu", &from, &to, protection, &offset, device, &inode) == 6) {
			bytes = to - from;
			snprintf(line_name, sizeof line_name, "%.*s", (int)strcspn(line, "\n"), line);
		} else if (!strncmp(line, "VmFlags:", 8)) {
			seen++;
			char *end = strchr(line, '\n');
			int dont_dump = memmem(line, (size_t)(end - line), " dd", 3) != NULL;
			if (bytes >= 16 * MIB && !inode && protection[0] == 'r')
				CHECKF(dont_dump, "%s", line_name);
		}
	}
	CHECK(seen > 5);
}

CHECK_MAIN(
	{ "as_64_mib", as_64_mib, CHECK_BOTH },
	{ "as_64_mib_full_small", as_64_mib_full_small, CHECK_BOTH },
	{ "as_64_mib_full_medium", as_64_mib_full_medium, CHECK_BOTH },
	{ "as_64_mib_full_large", as_64_mib_full_large, CHECK_BOTH },
	{ "as_64_mib_small_then_large", as_64_mib_small_then_large, CHECK_BOTH },
	{ "as_200_mib_with_threads", as_200_mib_with_threads, CHECK_BOTH },
	{ "as_steps_up_to_1_gib", as_steps_up_to_1_gib, CHECK_BOTH },
	{ "data_32_mib", data_32_mib, CHECK_BOTH },
	{ "data_32_mib_large", data_32_mib_large, CHECK_BOTH },
	{ "data_12_mib", data_12_mib, CHECK_BOTH },
	{ "limits_change_while_running", limits_change_while_running, CHECK_BOTH },
	{ "limit_set_by_the_program_small", limit_set_by_the_program_small, CHECK_BOTH },
	{ "limit_set_by_the_program_large", limit_set_by_the_program_large, CHECK_BOTH },
	{ "reservations_stay_out_of_core_dumps", reservations_stay_out_of_core_dumps, CHECK_BOTH },
	{ "part_64_mib", part_64_mib, CHECK_PART },
	{ "part_64_mib_or_more", part_64_mib_or_more, CHECK_PART },
	{ "part_64_mib_full_small", part_64_mib_full_small, CHECK_PART },
	{ "part_64_mib_full_medium", part_64_mib_full_medium, CHECK_PART },
	{ "part_64_mib_full_large", part_64_mib_full_large, CHECK_PART },
	{ "part_64_mib_small_then_large", part_64_mib_small_then_large, CHECK_PART },
	{ "part_200_mib_threads", part_200_mib_threads, CHECK_PART },
	{ "part_data_32_mib", part_data_32_mib, CHECK_PART },
	{ "part_data_32_mib_large", part_data_32_mib_large, CHECK_PART },
	{ "part_data_12_mib", part_data_12_mib, CHECK_PART },
)
