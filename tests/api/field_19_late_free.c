/*
 * FIELD.md row 19: free, and malloc, after the thread's own data is gone: in
 * all four rounds of pthread key destructors, by other threads later, in
 * atexit handlers, in destructors of libraries, while the process ends with
 * threads running. Started case by case by `run`; the C++ half is
 * field_19_late_free_cxx.cc.
 */
#include "check.h"
#include <limits.h>
#include <pthread.h>

enum { KEYS = 40, THREADS = 2000 };

static pthread_key_t key[KEYS];
static int destructor_runs;

struct value { int key, round; char bytes[]; };

static struct value *new_value(int which, int round)
{
	size_t n = (size_t)which * (which % 7 ? 40 : 9000);
	struct value *value = (struct value *)hide(malloc(sizeof *value + n));
	REQUIRE(value);
	value->key = which;
	value->round = round;
	memset(value->bytes, which, n);
	return value;
}

/* Frees its value and, until the last round, leaves a new one behind. */
static void destroy(void *argument)
{
	struct value *value = (struct value *)argument;
	int which = value->key, round = value->round;
	__atomic_fetch_add(&destructor_runs, 1, __ATOMIC_RELAXED);
	errno = 4711;
	free(value);
	CHECK(errno == 4711);
	free(hide(realloc(hide(calloc(1, 100)), 20000)));
	if (round < PTHREAD_DESTRUCTOR_ITERATIONS)
		REQUIRE(!pthread_setspecific(key[which], new_value(which, round + 1)));
}

static void *thread_with_values(void *arg)
{
	for (int i = 0; i < KEYS; i++)
		REQUIRE(!pthread_setspecific(key[i], new_value(i, 1)));
	return arg;
}

static void key_destructors_of_all_rounds(void)
{
	/* half of the keys exist before the first malloc of this program's own */
	for (int i = 0; i < KEYS; i++) {
		REQUIRE(!pthread_key_create(&key[i], destroy));
		if (i == KEYS / 2)
			free(hide(malloc(100)));
	}
	size_t before = 0;
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;
		REQUIRE(!pthread_create(&thread, NULL, thread_with_values, NULL));
		pthread_join(thread, NULL);
		if (i == THREADS / 10)
			before = rss_bytes();
	}
	CHECKF(destructor_runs == THREADS * KEYS * PTHREAD_DESTRUCTOR_ITERATIONS, "%d runs", destructor_runs);
	CHECKF(rss_bytes() < before + (4 << 20), "RSS %zu rose to %zu", before, rss_bytes());
}

/* The thread's only requests come from the last destructor round. */
static pthread_key_t only_key;
static int only_round;
static void only_in_the_last_round(void *value)
{
	if (++only_round < PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(only_key, value);
		return;
	}
	only_round = 0;
	free(*(void **)value);
	*(void **)value = hide(malloc(777));
}

static void *thread_without_requests(void *arg)
{
	pthread_setspecific(only_key, arg);
	return NULL;
}

static void first_request_in_the_last_round(void)
{
	REQUIRE(!pthread_key_create(&only_key, only_in_the_last_round));
	size_t before = 0;
	for (int i = 0; i < THREADS; i++) {
		void *block = hide(malloc(5000));
		pthread_t thread;
		REQUIRE(!pthread_create(&thread, NULL, thread_without_requests, &block));
		pthread_join(thread, NULL);
		REQUIRE(block);
		memset(block, 1, 777);
		free(block);
		if (i == THREADS / 10)
			before = rss_bytes();
	}
	CHECKF(rss_bytes() < before + (4 << 20), "RSS %zu rose to %zu", before, rss_bytes());
}

/* Blocks outlive the thread that made them. */
static void *makes_blocks(void *arg)
{
	void **block = (void **)arg;
	for (unsigned i = 0; i < 1000; i++) {
		size_t n = i % 250 ? i : i * 300;
		REQUIRE(block[i] = hide(malloc(n)));
		fill(block[i], n, i);
	}
	return NULL;
}

static void *frees_blocks(void *arg)
{
	void **block = (void **)arg;
	for (unsigned i = 0; i < 1000; i++) {
		CHECK(holds(block[i], i % 250 ? i : i * 300, i));
		free(block[i]);
	}
	return NULL;
}

static void blocks_of_ended_threads(void)
{
	static void *block[4][1000];
	size_t before = 0;
	for (int round = 0; round < 100; round++) {
		pthread_t thread[4];
		for (int i = 0; i < 4; i++)
			REQUIRE(!pthread_create(&thread[i], NULL, makes_blocks, block[i]));
		for (int i = 0; i < 4; i++)
			pthread_join(thread[i], NULL);
		for (int i = 0; i < 4; i++)
			REQUIRE(!pthread_create(&thread[i], NULL, frees_blocks, block[(i + 1) % 4]));
		for (int i = 0; i < 4; i++)
			pthread_join(thread[i], NULL);
		if (round == 30)
			before = rss_bytes();
	}
	CHECKF(rss_bytes() < before + (8 << 20), "RSS %zu rose to %zu", before, rss_bytes());
}

static void *at_exit_block;
static void free_at_exit(void)
{
	CHECK(holds(at_exit_block, 3000, 3));
	free(at_exit_block);
	for (size_t n = 1; n < 500000; n *= 2)
		free(hide(malloc(n)));
	if (check_failures)
		_exit(1);
}

__attribute__((destructor)) static void after_all_handlers(void)
{
	void *p = hide(malloc(10000));
	if (!p)
		_exit(1);
	free(p);
}

static void atexit_handlers_free(void)
{
	at_exit_block = hide(malloc(3000));
	fill(at_exit_block, 3000, 3);
	for (int i = 0; i < 50; i++)
		REQUIRE(!atexit(i ? (void (*)(void))after_all_handlers : free_at_exit));
}

/* main returns while threads are in the midst of malloc. */
static void *endless(void *arg)
{
	for (unsigned i = 0;; i++)
		free(hide(malloc(i % 3000 * (i % 100 ? 1 : 100))));
	return arg;
}

static void exit_while_threads_allocate(void)
{
	for (int i = 0; i < 8; i++) {
		pthread_t thread;
		REQUIRE(!pthread_create(&thread, NULL, endless, NULL));
		pthread_detach(thread);
	}
	usleep(50000);
}

static void *ends_the_process(void *arg)
{
	free(hide(malloc(100)));
	exit(check_failures != 0);
	return arg;
}

static void main_thread_ends_first(void)
{
	pthread_t thread;
	free(hide(malloc(100)));
	at_exit_block = hide(malloc(3000));
	fill(at_exit_block, 3000, 3);
	REQUIRE(!atexit(free_at_exit));
	REQUIRE(!pthread_create(&thread, NULL, ends_the_process, NULL));
	pthread_exit(NULL);
}

CHECK_MAIN(
	{ "key_destructors_of_all_rounds", key_destructors_of_all_rounds, CHECK_BOTH },
	{ "first_request_in_the_last_round", first_request_in_the_last_round, CHECK_BOTH },
	{ "blocks_of_ended_threads", blocks_of_ended_threads, CHECK_BOTH },
	{ "atexit_handlers_free", atexit_handlers_free, CHECK_BOTH },
	{ "exit_while_threads_allocate", exit_while_threads_allocate, CHECK_BOTH },
	{ "main_thread_ends_first", main_thread_ends_first, CHECK_BOTH },
)
