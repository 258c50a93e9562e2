/*
 * FIELD.md row 5: fork. In a program with 32 busy threads, from a signal
 * handler that interrupted malloc, and racing with stdio and malloc_info in
 * other threads. A lock left held in the child, or taken in another order
 * than libc's, shows as a hang: every child and the parent run under alarm.
 * Started case by case by `run`.
 */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { THREADS = 32, SLOTS = 64, FORKS = 1000, CHILD_SECONDS = 120 };

struct slot { size_t n; unsigned seed; };
static struct slot *slot[THREADS][SLOTS];
static int stop;

static struct slot *new_block(uint64_t *random)
{
	uint64_t r = next_random(random);
	size_t n = sizeof(struct slot) + (r % 50 ? r % 1500 : r % 300000);
	struct slot *block = (struct slot *)hide(malloc(n));
	if (!block)
		return NULL;
	block->n = n - sizeof *block;
	block->seed = (unsigned)(r >> 32);
	fill(block + 1, block->n < 256 ? block->n : 256, block->seed);
	return block;
}

static int intact(const struct slot *block)
{
	return holds(block + 1, block->n < 256 ? block->n : 256, block->seed);
}

/* Works in bursts with a breath between, so that 32 of them leave the forking
 * thread a share of two cores; a fork still meets many in the midst of malloc. */
static void *busy(void *arg)
{
	int self = (int)(intptr_t)arg;
	uint64_t random = 88172645463325252u + (uint64_t)self;
	for (unsigned step = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); step++) {
		if (step % 100 == 0)
			usleep(2000);
		int at = (int)(next_random(&random) % SLOTS);
		/* one in four frees a block of another thread */
		int whose = next_random(&random) % 4 ? self : (int)(next_random(&random) % THREADS);
		struct slot *old = __atomic_exchange_n(&slot[whose][at], NULL, __ATOMIC_ACQ_REL);
		if (old && !intact(old))
			check_fail(__FILE__, __LINE__, "a block changed in the parent");
		free(old);
		old = __atomic_exchange_n(&slot[whose][at], new_block(&random), __ATOMIC_ACQ_REL);
		free(old);
	}
	return NULL;
}

/* The child: blocks of every thread are intact, can be freed, grown and made. */
static void child_uses_every_heap(unsigned seed)
{
	alarm(CHILD_SECONDS);
	uint64_t random = seed + 1;
	for (int i = 0; i < THREADS; i++)
		for (int j = (int)(seed % 8); j < SLOTS; j += 8) {
			struct slot *block = slot[i][j];
			if (!block)
				continue;
			if (!intact(block))
				_exit(3);
			if (j & 1) {
				free(block);
			} else {
				block = (struct slot *)hide(realloc(block, sizeof *block + block->n + 5000));
				if (!block || !intact(block))
					_exit(4);
				free(block);
			}
		}
	for (int i = 0; i < 100; i++) {
		struct slot *block = new_block(&random);
		if (!block)
			_exit(5);
		free(block);
	}
	_exit(0);
}

static void wait_for_zero(pid_t child)
{
	int status;
	REQUIRE(child > 0);
	while (waitpid(child, &status, 0) < 0)
		REQUIRE(errno == EINTR);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
		check_fail(__FILE__, __LINE__, "a child hangs");
		_exit(1);
	}
	CHECKF(WIFEXITED(status) && !WEXITSTATUS(status), "child status %#x", status);
}

static void fork_with_32_busy_threads(void)
{
	pthread_t thread[THREADS];
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, busy, (void *)(intptr_t)i));
	/* glibc only has to show that the test is right */
	unsigned forks = under_libvmalloc() ? FORKS : FORKS / 5;
	for (unsigned i = 0; i < forks && !check_failures; i++) {
		pid_t child = fork();
		if (!child)
			child_uses_every_heap(i);
		wait_for_zero(child);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void *thread_in_child(void *arg)
{
	struct slot **at = (struct slot **)arg;
	uint64_t random = 5;
	for (int i = 0; i < SLOTS; i++) {
		/* a fork between the two must not see a block that is free */
		free(__atomic_exchange_n(&at[i], NULL, __ATOMIC_ACQ_REL));
		__atomic_store_n(&at[i], new_block(&random), __ATOMIC_RELEASE);
	}
	return NULL;
}

/* The child is a threaded program again, forks again, and so on down. */
static void fork_of_fork_with_threads(void)
{
	pthread_t thread[4];
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, busy, (void *)(intptr_t)i));
	for (int round = 0; round < 50 && !check_failures; round++) {
		pid_t child = fork();
		if (!child) {
			alarm(CHILD_SECONDS);
			pthread_t again[4];
			for (int i = 0; i < 4; i++)
				if (pthread_create(&again[i], NULL, thread_in_child, slot[i]))
					_exit(6);
			pid_t grandchild = fork();
			if (!grandchild)
				child_uses_every_heap((unsigned)round);
			int status = 1;
			waitpid(grandchild, &status, 0);
			for (int i = 0; i < 4; i++)
				pthread_join(again[i], NULL);
			_exit(status != 0);
		}
		wait_for_zero(child);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

/* Threads fork at the same time as each other. */
static void *forking(void *arg)
{
	for (unsigned i = 0; i < 60; i++) {
		void *p = hide(malloc(1000 + i));
		pid_t child = fork();
		if (!child) {
			alarm(CHILD_SECONDS);
			free(p);
			for (int k = 0; k < 100; k++)
				free(hide(malloc((size_t)k * 2000)));
			_exit(0);
		}
		wait_for_zero(child);
		free(p);
	}
	return arg;
}

static void several_threads_fork(void)
{
	pthread_t thread[6];
	for (int i = 0; i < 6; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, forking, NULL));
	for (int i = 0; i < 6; i++)
		pthread_join(thread[i], NULL);
}

/* ---- fork inside a handler that interrupted malloc ---- */

static volatile sig_atomic_t handler_forks, in_child;
static volatile pid_t forked[FORKS];

static void fork_in_handler(int number)
{
	(void)number;
	int saved = errno;
	if (!in_child && handler_forks < FORKS) {
		pid_t child = fork();
		if (!child) {
			alarm(CHILD_SECONDS);
			in_child = 1;
			/* every second child ends here, the others go on with what was interrupted */
			if (handler_forks & 1)
				_exit(0);
		} else {
			forked[handler_forks] = child;
			handler_forks = handler_forks + 1;
		}
	}
	errno = saved;
}

static void malloc_under_forking_timer(int forks)
{
	struct sigaction action = { .sa_handler = fork_in_handler, .sa_flags = SA_RESTART };
	sigaddset(&action.sa_mask, SIGVTALRM);
	REQUIRE(!sigaction(SIGVTALRM, &action, NULL));
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	static struct slot *own[SLOTS];
	uint64_t random = 77;
	int reaped = 0, child_steps = 0;
	REQUIRE(!setitimer(ITIMER_VIRTUAL, &every, NULL));
	while (in_child || reaped < forks) {
		for (int k = 0; k < 100; k++) {
			int at = (int)(next_random(&random) % SLOTS);
			if (own[at] && !intact(own[at]))
				_exit(3);
			free(own[at]);
			own[at] = new_block(&random);
		}
		if (in_child) {
			if (++child_steps > 20)
				_exit(0);
		} else if (reaped < handler_forks) {
			/* a child made inside this wait would go on with the wait */
			sigprocmask(SIG_BLOCK, &action.sa_mask, NULL);
			if (!in_child)
				wait_for_zero(forked[reaped++]);
			sigprocmask(SIG_UNBLOCK, &action.sa_mask, NULL);
		}
	}
	setitimer(ITIMER_VIRTUAL, &never, NULL);
	handler_forks = FORKS; /* no more, should a signal still be on its way */
}

static void fork_in_a_handler_single_threaded(void)
{
	malloc_under_forking_timer(300);
}

static void fork_in_a_handler_with_threads(void)
{
	pthread_t thread[4];
	sigset_t timer;
	sigemptyset(&timer);
	sigaddset(&timer, SIGVTALRM);
	pthread_sigmask(SIG_BLOCK, &timer, NULL);
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, busy, (void *)(intptr_t)i));
	pthread_sigmask(SIG_UNBLOCK, &timer, NULL);
	malloc_under_forking_timer(300);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

/* ---- fork against stdio ---- */

static void *stdio_files(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		FILE *file = fopen("/dev/null", "w");
		if (file) {
			fprintf(file, "%d %s\n", 1, "line");
			fclose(file);
		}
	}
	return arg;
}

static void *stdio_flush(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		fflush(NULL);
	return arg;
}

static void *stdio_memory(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *text = NULL;
		size_t length = 0;
		FILE *file = open_memstream(&text, &length);
		if (file) {
			for (int i = 0; i < 500; i++)
				fprintf(file, "line %d\n", i);
			fclose(file);
		}
		free(text);
	}
	return arg;
}

static void *busy_first(void *arg)
{
	busy((void *)0);
	return arg;
}

static void *report_to_memory(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *text = NULL;
		size_t length = 0;
		FILE *file = open_memstream(&text, &length);
		if (file) {
			malloc_info(0, file);
			fclose(file);
		}
		free(text);
		malloc_trim(0);
		mallinfo2();
	}
	return arg;
}

static void *report_to_shared_file(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		malloc_info(0, (FILE *)arg);
	return arg;
}

static void fork_against(void *(*const run[])(void *), int count, int forks)
{
	pthread_t thread[8];
	FILE *null = fopen("/dev/null", "w");
	REQUIRE(null);
	for (int i = 0; i < count; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, run[i], null));
	for (int i = 0; i < forks && !check_failures; i++) {
		pid_t child = fork();
		if (!child) {
			alarm(CHILD_SECONDS);
			__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
			for (int k = 0; k < 50; k++)
				free(hide(malloc((size_t)k * 4000)));
			FILE *file = fopen("/dev/null", "w");
			if (!file)
				_exit(7);
			fprintf(file, "child\n");
			fflush(NULL);
			malloc_info(0, file);
			fclose(file);
			_exit(0);
		}
		wait_for_zero(child);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < count; i++)
		pthread_join(thread[i], NULL);
	fclose(null);
}

static void fork_against_stdio(void)
{
	void *(*const run[])(void *) = { stdio_files, stdio_flush, stdio_memory, busy_first };
	fork_against(run, 4, 300);
}

static void fork_against_malloc_info(void)
{
	void *(*const run[])(void *) = { report_to_memory, report_to_shared_file, stdio_files, stdio_flush };
	fork_against(run, 4, 300);
}

/* Handlers of the program's own allocate on both sides of a fork. */
static void *kept_by_handler;
static void allocate_in_handler(void)
{
	for (size_t n = 1; n < 400000; n *= 7) {
		free(kept_by_handler);
		kept_by_handler = hide(malloc(n));
	}
}

static void atfork_handlers_may_allocate(void)
{
	REQUIRE(!pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler));
	pthread_t thread[2];
	for (int i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, busy, (void *)(intptr_t)i));
	for (unsigned i = 0; i < 200 && !check_failures; i++) {
		pid_t child = fork();
		if (!child)
			child_uses_every_heap(i);
		wait_for_zero(child);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

CHECK_MAIN(
	{ "fork_with_32_busy_threads", fork_with_32_busy_threads, CHECK_BOTH },
	{ "fork_of_fork_with_threads", fork_of_fork_with_threads, CHECK_BOTH },
	{ "several_threads_fork", several_threads_fork, CHECK_BOTH },
	{ "fork_in_a_handler_single_threaded", fork_in_a_handler_single_threaded, CHECK_BOTH },
	{ "fork_in_a_handler_with_threads", fork_in_a_handler_with_threads, CHECK_LIBVMALLOC_ONLY },
	{ "fork_against_stdio", fork_against_stdio, CHECK_BOTH },
	{ "fork_against_malloc_info", fork_against_malloc_info, CHECK_BOTH },
	{ "atfork_handlers_may_allocate", atfork_handlers_may_allocate, CHECK_BOTH },
)
