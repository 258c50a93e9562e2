/* Runs one program under one allocator and tells what it cost. Started by
   bench/run, once for each measurement, because it is small: the kernel
   counts a process's peak RSS from before its exec, so the launcher's own size
   is the least that can be seen.
   usage: measure FD LIBRARY PROGRAM ARGS...
   LIBRARY is preloaded, "-" for none. Writes one line to descriptor FD: wall,
   user and system time in microseconds, peak RSS in KiB, minor and major
   faults, and the exit status (128 + N for signal N). Times and faults are those
   of the program and of every child it waited for, the peak RSS is that of the
   largest of these processes. A program that takes ten minutes is ended by
   SIGALRM. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIME_LIMIT_S = 600 };

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static long long timeval_us(struct timeval t)
{
	return t.tv_sec * 1000000LL + t.tv_usec;
}

int main(int argc, char **argv)
{
	long long start, wall;
	struct rusage used;
	int fd, status;
	pid_t child;

	if (argc < 4 || (fd = atoi(argv[1])) <= 0) {
		fputs("usage: measure FD LIBRARY PROGRAM ARGS...\n", stderr);
		return 2;
	}
	unsetenv("LD_PRELOAD");
	start = now_us();
	child = fork();
	if (child == 0) {
		close(fd);
		alarm(TIME_LIMIT_S);
		if (strcmp(argv[2], "-") != 0)
			setenv("LD_PRELOAD", argv[2], 1);
		execvp(argv[3], argv + 3);
		perror(argv[3]);
		_exit(127);
	}
	if (child < 0) {
		perror("fork");
		return 1;
	}
	while (wait4(child, &status, 0, &used) < 0) {
		if (errno != EINTR) {
			perror("wait4");
			return 1;
		}
	}
	wall = now_us() - start;
	dprintf(fd, "%lld %lld %lld %ld %ld %ld %d\n", wall,
		timeval_us(used.ru_utime), timeval_us(used.ru_stime),
		used.ru_maxrss, used.ru_minflt, used.ru_majflt,
		WIFEXITED(status) ? WEXITSTATUS(status)
				  : 128 + WTERMSIG(status));
	return 0;
}
