/*
 * The options limit and limit_hard, and the limits of control groups, from
 * outside: what the program sees, and what malloc_info says. Each case is
 * started by `run` with the options, or in the group, that it needs.
 */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, BLOCKS = 4000 };

static void *blocks[BLOCKS];

/* A number of malloc_info's element <limits>; -1 for "none". */
static long limits_say(const char *attribute)
{
	char text[4096], name[64];
	FILE *out = fmemopen(text, sizeof text, "w");
	REQUIRE(out && malloc_info(0, out) == 0);
	fclose(out);
	char *at = strstr(text, "<limits ");
	REQUIRE(at);
	snprintf(name, sizeof name, " %s=\"", attribute);
	at = strstr(at, name);
	REQUIRE(at);
	at += strlen(name);
	return strncmp(at, "none\"", 5) ? atol(at) : -1;
}

/* Fills with touched blocks of n bytes until one is refused; how many. */
static unsigned fill_up(size_t n)
{
	unsigned count = 0;
	errno = 0;
	while (count < BLOCKS && (blocks[count] = malloc(n)))
		memset(blocks[count++], 1, n);
	CHECKF(errno == ENOMEM, "errno %d after %u", errno, count);
	return count;
}

static void empty(unsigned count)
{
	while (count)
		free(blocks[--count]);
}

/* limit_hard=100M */
static void hard_limit(void)
{
	static const size_t sizes[] = { 50000, 100000, 3 * MIB, 200000 };
	CHECK(limits_say("hard") == 100 * MIB && limits_say("soft") == -1);
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		unsigned count = fill_up(sizes[i]);
		CHECKF(count * sizes[i] > 80 * MIB && count * sizes[i] <= 100 * MIB, "%u of %zu", count, sizes[i]);
		CHECK(rss_bytes() < 110 * MIB);
		errno = 0;
		CHECK(!calloc(1, 60 * MIB) && errno == ENOMEM);
		void *p = NULL;
		CHECK(posix_memalign(&p, 4096, 60 * MIB) == ENOMEM && !p);
		empty(count);
		CHECK((p = calloc(1, 60 * MIB)) != NULL); /* what was kept made room */
		errno = 0;
		CHECK(!realloc(p, 120 * MIB) && errno == ENOMEM);
		CHECK(malloc_usable_size(p) >= 60 * MIB);
		free(p);
	}
	CHECK(limits_say("refused") > 8 && limits_say("most") <= 100 * MIB);
}

/* limit_hard=100M: each process for itself */
static void hard_limit_after_fork(void)
{
	unsigned count = fill_up(1 * MIB);
	pid_t child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		CHECK(!malloc(3 * MIB));
		empty(count);
		count = fill_up(100000);
		CHECK(count > 800);
		_exit(check_failures != 0);
	}
	int status;
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
	CHECK(!malloc(3 * MIB));
	empty(count);
	CHECK(malloc(90 * MIB));
}

/* limit=30M: nothing is refused, and what is freed beyond it goes back */
static void soft_limit(void)
{
	CHECK(limits_say("soft") == 30 * MIB && limits_say("hard") == -1);
	void *base = malloc(30 * MIB);
	REQUIRE(base);
	memset(base, 1, 30 * MIB);
	size_t before = rss_bytes();
	for (unsigned i = 0; i < BLOCKS; i++) {
		REQUIRE(blocks[i] = malloc(5000));
		memset(blocks[i], 1, 5000);
	}
	CHECK(limits_say("passed") >= 1);
	empty(BLOCKS);
	CHECKF(rss_bytes() < before + 4 * MIB, "%zu KiB more", (rss_bytes() - before) >> 10);
}

static void no_limits(void)
{
	CHECK(limits_say("soft") == -1 && limits_say("hard") == -1);
	void *p = malloc(200 * MIB);
	CHECK(p && limits_say("refused") == 0 && limits_say("passed") == 0);
}

/* In a group with memory for 60 MiB. */
static void control_group(void)
{
	CHECK(limits_say("soft") == -1);
	void *p = malloc(17 * MIB);
	CHECK(p);
	long soft = limits_say("soft");
	CHECKF(soft == 60L * MIB / 100 * 90, "%ld", soft);
	CHECK(limits_say("hard") == -1);
}

static void control_group_not_read(void)
{
	void *p = malloc(17 * MIB);
	CHECK(p && limits_say("soft") == -1);
}

/* From here on the process dies when it opens a file. */
static void growth_after_seccomp(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 1, 0), /* a file is opened */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 1), /* a limit is read */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		SKIP("no seccomp filters here: %s", strerror(errno));
	for (unsigned i = 0; i < BLOCKS; i++)
		REQUIRE(blocks[i] = malloc(20000));
	empty(BLOCKS);
	void *p = malloc(50 * MIB);
	CHECK(p);
	free(p);
	errno = 0;
	CHECK(hide(malloc((size_t)1 << 50)) == NULL && errno == ENOMEM);
}

CHECK_MAIN(
	{ "growth_after_seccomp", growth_after_seccomp, CHECK_BOTH },
	{ "no_limits", no_limits, CHECK_PART },
	{ "hard_limit", hard_limit, CHECK_PART },
	{ "hard_limit_after_fork", hard_limit_after_fork, CHECK_PART },
	{ "soft_limit", soft_limit, CHECK_PART },
	{ "control_group", control_group, CHECK_PART },
	{ "control_group_not_read", control_group_not_read, CHECK_PART },
)
