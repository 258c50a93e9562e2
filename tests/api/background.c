/*
 * The option background=1: a thread of our own in somebody else's process.
 * Every case is started by `run` with the options it needs; the decay time is
 * short, and nothing depends on how long anything takes, but for the patience
 * of `until`, after which a thing that should happen has not.
 */
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	PATIENCE_TENTHS = 300,
	BLOCKS = 4000,
	MIB = 1 << 20,
};

static void *blocks[BLOCKS];

static void burst(void)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		size_t n = i % 100 ? 3000 : 150000;
		REQUIRE(blocks[i] = malloc(n));
		memset(blocks[i], 1, n);
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

/* Bytes of our free memory that hold pages, by malloc_info. */
static size_t kept(void)
{
	char text[4096];
	size_t frames, extents;
	FILE *out = fmemopen(text, sizeof text, "w");
	REQUIRE(out && malloc_info(0, out) == 0);
	fclose(out);
	char *line = strstr(text, "<total type=\"kept\"");
	REQUIRE(line && sscanf(line, "<total type=\"kept\" frames=\"%zu\" extents=\"%zu\"", &frames, &extents) == 2);
	return frames + extents;
}

#define UNTIL(cond) \
	do { \
		int tenths = 0; \
		while (!(cond) && tenths++ < PATIENCE_TENTHS) \
			usleep(100000); \
		CHECKF(cond, "%s: not after %d s", #cond, PATIENCE_TENTHS / 10); \
	} while (0)

/* The thread's id by its name, 0 without one; how many threads there are in *count. */
static pid_t our_thread(unsigned *count)
{
	char path[300], name[64];
	pid_t found = 0;
	DIR *tasks = opendir("/proc/self/task");
	REQUIRE(tasks);
	*count = 0;
	for (struct dirent *d; (d = readdir(tasks));) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/self/task/%s/comm", d->d_name);
		if (read_whole(path, name, sizeof name) <= 0)
			continue;
		++*count;
		if (!strcmp(name, "vmalloc\n"))
			found = atoi(d->d_name);
	}
	closedir(tasks);
	return found;
}

static pid_t the_thread(void)
{
	unsigned count;
	return our_thread(&count);
}

static unsigned threads(void)
{
	unsigned count;
	our_thread(&count);
	return count;
}

static unsigned long status_number(pid_t thread, const char *field, int base)
{
	static char text[8192];
	char path[100];
	snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)thread);
	REQUIRE(read_whole(path, text, sizeof text) > 0);
	char *at = strstr(text, field);
	REQUIRE(at);
	return strtoul(at + strlen(field), NULL, base);
}

static void idle_memory_goes_back(void)
{
	size_t before = rss_bytes();
	for (int round = 0; round < 3; round++) {
		burst();
		UNTIL(kept() == 0);
		UNTIL(rss_bytes() < before + 2 * MIB);
	}
	CHECK(threads() == 2 && the_thread());
}

static void without_it_idle_memory_stays(void)
{
	burst();
	size_t left = kept();
	usleep(500000);
	CHECKF(left > MIB && kept() == left, "%zu of %zu", kept(), left);
	CHECK(threads() == 1);
}

static void small_programs_get_no_thread(void)
{
	for (unsigned i = 0; i < 100; i++)
		REQUIRE(blocks[i] = malloc(100));
	for (unsigned i = 0; i < 100; i++)
		free(blocks[i]);
	CHECK(threads() == 1);
}

/* Ticks would be a hundred in the time it is looked at. */
static void it_sleeps_when_nothing_is_kept(void)
{
	burst();
	UNTIL(kept() == 0);
	pid_t thread = the_thread();
	REQUIRE(thread);
	usleep(300000);
	unsigned long before = status_number(thread, "\nvoluntary_ctxt_switches:", 10);
	usleep(1000000);
	unsigned long after = status_number(thread, "\nvoluntary_ctxt_switches:", 10);
	CHECKF(after - before < 10, "%lu switches", after - before);
	burst(); /* and wakes up again */
	UNTIL(kept() == 0);
}

static volatile sig_atomic_t strays;
static pthread_t main_thread;
static void on_signal(int s)
{
	(void)s;
	strays += !pthread_equal(pthread_self(), main_thread);
}

static void signals_are_not_its_business(void)
{
	main_thread = pthread_self();
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGUSR1, &action, NULL);
	burst();
	pid_t thread = the_thread();
	REQUIRE(thread);
	unsigned long blocked = status_number(thread, "\nSigBlk:", 16);
	for (int s = 1; s < SIGRTMIN; s++)
		if (s != SIGKILL && s != SIGSTOP && s < 32)
			CHECKF(blocked >> (s - 1) & 1, "signal %d is open", s);
	CHECK(status_number(getpid(), "\nSigBlk:", 16) == 0);
	for (int i = 0; i < 2000; i++)
		kill(getpid(), SIGUSR1);
	CHECK(strays == 0);
	/* glibc sends a signal of its own to every thread, and waits for each */
	CHECK(setuid(getuid()) == 0 && setgid(getgid()) == 0);
	CHECK(kill(getpid(), 0) == 0 && the_thread() == thread);
}

static int status_of(void (*f)(void))
{
	int status;
	pid_t child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		alarm(CHECK_ALARM_SECONDS);
		f();
		_exit(check_failures != 0);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	return status;
}

static void child_has_its_own(void)
{
	for (int round = 0; round < 2; round++) {
		burst();
		UNTIL(kept() == 0);
	}
	CHECK(threads() == 2 && the_thread());
	if (function_named("vmalloc_check"))
		CHECK(((int (*)(void))function_named("vmalloc_check"))() == 1);
}

static void child_of_child(void)
{
	burst();
	CHECK(status_of(child_has_its_own) == 0);
}

static void after_fork_it_is_made_anew(void)
{
	burst();
	REQUIRE(the_thread());
	for (int i = 0; i < 3; i++) {
		burst();
		CHECK(status_of(child_has_its_own) == 0);
	}
	CHECK(status_of(child_of_child) == 0);
	UNTIL(kept() == 0);
	CHECK(threads() == 2);
}

static void brief_child(void)
{
	burst();
}

/* Forks at every moment of the thread's work. */
static void forks_while_it_works(void)
{
	uint64_t seed = seed_from_environment();
	for (int i = 0; i < 60; i++) {
		burst();
		usleep((useconds_t)(next_random(&seed) % 12000));
		CHECK(status_of(i % 4 ? brief_child : child_of_child) == 0);
		if (check_failures)
			return;
	}
}

static void vfork_child_makes_none(void)
{
	static unsigned in_child;
	pid_t child = vfork();
	REQUIRE(child >= 0);
	if (child == 0) {
		burst(); /* not allowed, and done nevertheless */
		in_child = threads();
		_exit(0);
	}
	int status;
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
	CHECKF(in_child == 1, "%u threads", in_child);
	burst();
	UNTIL(kept() == 0);
	CHECK(the_thread());
}

static void ends_by_exit(void) { burst(); exit(7); }
static void ends_by__exit(void) { burst(); _exit(7); }
static void ends_by_quick_exit(void) { burst(); quick_exit(7); }
static void ends_by_pthread_exit(void) { burst(); pthread_exit(NULL); }

static void *works_and_ends(void *arg)
{
	usleep(300000);
	burst();
	return arg;
}
static void last_thread_ends(void)
{
	pthread_t thread;
	burst();
	REQUIRE(pthread_create(&thread, NULL, works_and_ends, NULL) == 0);
	pthread_exit(NULL);
}
static void *never_allocates(void *arg)
{
	usleep(300000);
	return arg;
}
static void last_thread_is_a_stranger(void)
{
	pthread_t thread;
	burst();
	REQUIRE(pthread_create(&thread, NULL, never_allocates, NULL) == 0);
	pthread_exit(NULL);
}
static void main_thread_never_allocates(void)
{
	pthread_t thread;
	REQUIRE(pthread_create(&thread, NULL, works_and_ends, NULL) == 0);
	pthread_exit(NULL);
}

static int exit_status(void (*f)(void))
{
	int status = status_of(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

static void the_process_ends(void)
{
	CHECK(exit_status(ends_by_exit) == 7);
	CHECK(exit_status(ends_by__exit) == 7);
	CHECK(exit_status(ends_by_quick_exit) == 7);
	CHECK(exit_status(ends_by_pthread_exit) == 0);
	CHECK(exit_status(last_thread_ends) == 0);
	CHECK(exit_status(last_thread_is_a_stranger) == 0);
	CHECK(exit_status(main_thread_never_allocates) == 0);
}

/* The same without a fork before it, which changes who is the main thread. */
static void main_leaves_by_pthread_exit(void)
{
	last_thread_ends();
}

static void *thread_of_a_burst(void *arg)
{
	for (int i = 0; i < 30; i++) {
		void *mine[500];
		for (unsigned k = 0; k < 500; k++)
			REQUIRE(mine[k] = malloc(100 + k * 40));
		for (unsigned k = 0; k < 500; k++)
			free(mine[k]);
	}
	return arg;
}

static void memory_of_ended_threads_goes_back(void)
{
	for (int round = 0; round < 3; round++) {
		pthread_t thread[8];
		for (int i = 0; i < 8; i++)
			REQUIRE(pthread_create(&thread[i], NULL, thread_of_a_burst, NULL) == 0);
		for (int i = 0; i < 8; i++)
			pthread_join(thread[i], NULL);
		UNTIL(kept() == 0);
	}
	CHECK(threads() == 2);
}

/* The program's own takes the place of libc's: no thread can be made, for a while. */
static volatile int refuse_threads; /* changed from within malloc */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*f)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	if (!real)
		real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
	if (refuse_threads > 0) {
		refuse_threads--;
		return EAGAIN;
	}
	return real(thread, attributes, f, arg);
}

static void threads_may_be_refused(void)
{
	refuse_threads = 1000;
	errno = 0;
	burst();
	burst();
	CHECK(errno == 0);
	CHECK(refuse_threads < 1000 && threads() == 1);
	refuse_threads = 0;
	void *more[40]; /* tried again when twice as much is in use */
	for (int i = 0; i < 40; i++) {
		REQUIRE(more[i] = malloc(3 * MIB));
		memset(more[i], 1, 3 * MIB);
	}
	CHECK(the_thread());
	for (int i = 0; i < 40; i++)
		free(more[i]);
	UNTIL(kept() == 0);
}

CHECK_MAIN(
	{ "idle_memory_goes_back", idle_memory_goes_back, CHECK_LIBVMALLOC_ONLY },
	{ "small_programs_get_no_thread", small_programs_get_no_thread, CHECK_LIBVMALLOC_ONLY },
	{ "it_sleeps_when_nothing_is_kept", it_sleeps_when_nothing_is_kept, CHECK_LIBVMALLOC_ONLY },
	{ "signals_are_not_its_business", signals_are_not_its_business, CHECK_LIBVMALLOC_ONLY },
	{ "after_fork_it_is_made_anew", after_fork_it_is_made_anew, CHECK_LIBVMALLOC_ONLY },
	{ "forks_while_it_works", forks_while_it_works, CHECK_LIBVMALLOC_ONLY },
	{ "vfork_child_makes_none", vfork_child_makes_none, CHECK_LIBVMALLOC_ONLY },
	{ "the_process_ends", the_process_ends, CHECK_LIBVMALLOC_ONLY },
	{ "main_leaves_by_pthread_exit", main_leaves_by_pthread_exit, CHECK_LIBVMALLOC_ONLY },
	{ "memory_of_ended_threads_goes_back", memory_of_ended_threads_goes_back, CHECK_LIBVMALLOC_ONLY },
	{ "threads_may_be_refused", threads_may_be_refused, CHECK_LIBVMALLOC_ONLY },
	{ "without_it_idle_memory_stays", without_it_idle_memory_stays, CHECK_LIBVMALLOC_ONLY | CHECK_PART },
)
