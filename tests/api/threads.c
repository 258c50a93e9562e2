/*
 * Threads and processes around the heap: 100,000 threads that come and go,
 * blocks freed by others, cancellation, storms of signals, vfork and
 * posix_spawn. Started case by case by `run`, under glibc and libvmalloc.
 */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>

static void *short_lived(void *arg)
{
	void *keep = arg;
	for (size_t n = 16; n < 3000; n *= 3) {
		void *p = hide(malloc(n));
		REQUIRE(p);
		memset(p, 1, n);
		free(keep);
		keep = p;
	}
	return keep; /* freed by the next thread: a remote free to an ended owner */
}

static void hundred_thousand_threads(void)
{
	enum { THREADS = 100000, AT_ONCE = 4 };
	void *left[AT_ONCE] = { NULL };
	size_t before = 0, space = 0;
	pthread_attr_t attribute;
	pthread_attr_init(&attribute);
	pthread_attr_setstacksize(&attribute, 64 << 10);
	for (int i = 0; i < THREADS; i += AT_ONCE) {
		pthread_t thread[AT_ONCE];
		for (int k = 0; k < AT_ONCE; k++)
			REQUIRE(!pthread_create(&thread[k], &attribute, short_lived, left[k]));
		for (int k = 0; k < AT_ONCE; k++)
			pthread_join(thread[k], &left[k]);
		if (i == THREADS / 50)
			before = rss_bytes();
		if (i == THREADS / 2)
			space = address_space_bytes();
	}
	for (int k = 0; k < AT_ONCE; k++)
		free(left[k]);
	CHECKF(rss_bytes() < before + (2 << 20), "RSS %zu rose to %zu", before, rss_bytes());
	/* glibc may still be adding arenas, 64 MiB of address space each */
	CHECKF(!under_libvmalloc() || address_space_bytes() < space + ((size_t)64 << 20), "address space %zu rose to %zu", space,
	       address_space_bytes());
}

/* Producers and consumers: all is freed by another thread than made it. */
enum { RING = 1024, PAIRS = 4, PASSED = 200000 };
static void *ring[PAIRS][RING];

static void *produce(void *arg)
{
	int pair = (int)(intptr_t)arg;
	for (unsigned i = 0; i < PASSED; i++) {
		size_t n = 24 + i % (i % 100 ? 700 : 140000);
		unsigned *p = (unsigned *)hide(malloc(n));
		REQUIRE(p);
		p[0] = i;
		p[1] = (unsigned)n;
		((char *)p)[n - 1] = (char)i;
		while (__atomic_load_n(&ring[pair][i % RING], __ATOMIC_ACQUIRE))
			sched_yield();
		__atomic_store_n(&ring[pair][i % RING], p, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *consume(void *arg)
{
	int pair = (int)(intptr_t)arg;
	for (unsigned i = 0; i < PASSED; i++) {
		unsigned *p;
		while (!(p = (unsigned *)__atomic_load_n(&ring[pair][i % RING], __ATOMIC_ACQUIRE)))
			sched_yield();
		__atomic_store_n(&ring[pair][i % RING], NULL, __ATOMIC_RELEASE);
		if (p[0] != i || ((char *)p)[p[1] - 1] != (char)i)
			check_fail(__FILE__, __LINE__, "block %u changed on its way", i);
		free(p);
	}
	return NULL;
}

static void blocks_freed_by_another_thread(void)
{
	pthread_t thread[PAIRS * 2];
	size_t before = rss_bytes();
	for (int i = 0; i < PAIRS; i++) {
		REQUIRE(!pthread_create(&thread[i * 2], NULL, produce, (void *)(intptr_t)i));
		REQUIRE(!pthread_create(&thread[i * 2 + 1], NULL, consume, (void *)(intptr_t)i));
	}
	for (int i = 0; i < PAIRS * 2; i++)
		pthread_join(thread[i], NULL);
	/* at most PAIRS * RING blocks of about 1 KB were ever on their way */
	CHECKF(rss_bytes() < before + ((size_t)64 << 20), "RSS %zu rose to %zu", before, rss_bytes());
}

static void drop(void *block)
{
	free(block);
}

static void *cancelled(void *arg)
{
	volatile size_t n = 1;
	for (;;) {
		void *p = hide(malloc(n));
		pthread_cleanup_push(drop, p);
		n = n * 5 % 10007 * (n % 50 ? 1 : 30) + 1;
		pthread_testcancel();
		pthread_cleanup_pop(1);
	}
	return arg;
}

static void cancelled_threads_lose_nothing(void)
{
	size_t before = 0;
	for (int i = 0; i < 2000; i++) {
		pthread_t thread;
		void *result;
		REQUIRE(!pthread_create(&thread, NULL, cancelled, NULL));
		if (i % 2)
			sched_yield();
		REQUIRE(!pthread_cancel(thread));
		REQUIRE(!pthread_join(thread, &result));
		CHECK(result == PTHREAD_CANCELED);
		if (i == 400)
			before = rss_bytes();
	}
	CHECKF(rss_bytes() < before + (4 << 20), "RSS %zu rose to %zu", before, rss_bytes());
}

/* ---- signals during malloc; the handlers do not allocate ---- */

static volatile sig_atomic_t signals_seen;
static __thread unsigned thread_signals;

static void count_signal(int number)
{
	(void)number;
	signals_seen = signals_seen + 1;
	thread_signals++;
}

static int storm_over;

static void *malloc_in_storm(void *arg)
{
	enum { SLOTS = 200 };
	static __thread struct { void *p; size_t n; } slot[SLOTS];
	uint64_t random = 1234567 + (uintptr_t)arg;
	while (!__atomic_load_n(&storm_over, __ATOMIC_RELAXED)) {
		unsigned at = (unsigned)(next_random(&random) % SLOTS);
		if (slot[at].p && !holds(slot[at].p, slot[at].n < 300 ? slot[at].n : 300, at))
			check_fail(__FILE__, __LINE__, "a block changed");
		size_t had = slot[at].n;
		slot[at].n = 1 + next_random(&random) % (at % 40 ? 900 : 300000);
		if (at % 3 || !slot[at].p) {
			free(slot[at].p);
			slot[at].p = hide(malloc(slot[at].n));
		} else {
			slot[at].p = hide(realloc(slot[at].p, slot[at].n));
			size_t least = had < slot[at].n ? had : slot[at].n;
			if (slot[at].p && !holds(slot[at].p, least < 300 ? least : 300, at))
				check_fail(__FILE__, __LINE__, "realloc lost contents");
		}
		REQUIRE(slot[at].p);
		fill(slot[at].p, slot[at].n < 300 ? slot[at].n : 300, at);
	}
	for (int at = 0; at < SLOTS; at++)
		free(slot[at].p);
	return NULL;
}

static void storm_of_signals(void)
{
	enum { THREADS = 3, STORM = 20000 };
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	REQUIRE(!sigaction(SIGPROF, &action, NULL) && !sigaction(SIGUSR1, &action, NULL));
	pthread_t thread[THREADS];
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, malloc_in_storm, (void *)(intptr_t)i));
	struct itimerval every = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	REQUIRE(!setitimer(ITIMER_PROF, &every, NULL));
	for (int i = 0; i < STORM; i++) {
		pthread_kill(thread[i % THREADS], SIGUSR1);
		for (volatile int pause = 0; pause < 2000; pause++)
			;
	}
	setitimer(ITIMER_PROF, &never, NULL);
	__atomic_store_n(&storm_over, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	CHECKF(signals_seen > 0, "%d signals", (int)signals_seen);
}

/* ---- other ways to a child ---- */

extern char **environ;
static int heap_stop;

static void *busy_heap(void *arg)
{
	for (unsigned i = 0; !__atomic_load_n(&heap_stop, __ATOMIC_RELAXED); i++)
		free(hide(malloc(i % 5000 * (i % 200 ? 1 : 50))));
	return arg;
}

static void with_busy_threads(void (*run)(void))
{
	pthread_t thread[4];
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, busy_heap, NULL));
	run();
	__atomic_store_n(&heap_stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

static void expect_status(pid_t child, int wanted)
{
	int status;
	REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
	CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == wanted, "status %#x", status);
}

static void spawn_many(void)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)"exit 7", NULL };
	for (int i = 0; i < 100; i++) {
		pid_t child;
		posix_spawn_file_actions_t actions; /* allocates */
		posix_spawn_file_actions_init(&actions);
		for (int fd = 50; fd < 90; fd++)
			posix_spawn_file_actions_addclose(&actions, fd);
		REQUIRE(!posix_spawn(&child, "/bin/sh", &actions, NULL, argv, environ));
		posix_spawn_file_actions_destroy(&actions);
		expect_status(child, 7);
		if (i % 10 == 0) {
			CHECK(WEXITSTATUS(system("exit 3")) == 3);
			FILE *pipe = popen("echo spawned", "r");
			char line[32] = "";
			REQUIRE(pipe && fgets(line, sizeof line, pipe));
			CHECK(!strcmp(line, "spawned\n"));
			pclose(pipe);
		}
	}
}

static void vfork_many(void)
{
	for (volatile int i = 0; i < 200; i++) {
		pid_t child = vfork();
		if (!child) {
			/* still the parent's memory: a request here is one of the parent's */
			if (i % 2) {
				void *p = hide(malloc(100));
				free(p);
				_exit(p ? 9 : 8);
			}
			execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL);
			_exit(8);
		}
		expect_status(child, 9);
		free(hide(malloc((size_t)i * 1000)));
	}
}

static void posix_spawn_with_busy_threads(void) { with_busy_threads(spawn_many); }
static void vfork_with_busy_threads(void) { with_busy_threads(vfork_many); }

/* A little of everything: `run` starts this one in odd surroundings. */
static void ordinary_work(void)
{
	pthread_t thread[2];
	alarm(CHECK_ALARM_SECONDS);
	for (int i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, busy_heap, NULL));
	enum { BLOCKS = 20000 };
	static void *block[BLOCKS];
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			size_t n = i % 100 ? i % 1500 : i * 20;
			REQUIRE(block[i] = hide(i % 2 ? malloc(n) : calloc(1, n)));
			fill(block[i], n, i);
		}
		for (unsigned i = 0; i < BLOCKS; i++) {
			size_t n = i % 100 ? i % 1500 : i * 20;
			CHECKF(holds(block[i], n, i), "block %u", i);
			free(block[i]);
		}
	}
	pid_t child = fork();
	if (!child) {
		free(hide(malloc(100000)));
		_exit(0);
	}
	expect_status(child, 0);
	__atomic_store_n(&heap_stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

CHECK_MAIN(
	{ "hundred_thousand_threads", hundred_thousand_threads, CHECK_BOTH },
	{ "blocks_freed_by_another_thread", blocks_freed_by_another_thread, CHECK_BOTH },
	{ "cancelled_threads_lose_nothing", cancelled_threads_lose_nothing, CHECK_BOTH },
	{ "storm_of_signals", storm_of_signals, CHECK_BOTH },
	{ "posix_spawn_with_busy_threads", posix_spawn_with_busy_threads, CHECK_BOTH },
	{ "vfork_with_busy_threads", vfork_with_busy_threads, CHECK_BOTH },
	{ "ordinary_work", ordinary_work, CHECK_BOTH },
)
