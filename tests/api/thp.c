/*
 * The option thp, from outside: for which memory the kernel was advised to use
 * huge pages (VmFlags "hg" in /proc/self/smaps). Each case is started by `run`
 * with the option that it needs.
 */
#include "check.h"

#include <stdbool.h>
#include <sys/prctl.h>

enum { MIB = 1 << 20, BLOCK = 1000, BLOCKS = 320 * MIB / BLOCK };

static void *blocks[BLOCKS];

static void fill_heap(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(BLOCK);
		REQUIRE(blocks[i]);
		memset(blocks[i], 1, BLOCK);
	}
}

/* MiB of this process that were advised: "hg" for huge pages, "nh" against. */
static long advised(const char *flag)
{
	char line[512];
	unsigned long from = 0, to = 0, bytes = 0, a, b;
	FILE *smaps = fopen("/proc/self/smaps", "r");

	REQUIRE(smaps);
	while (fgets(line, sizeof line, smaps)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			from = a;
			to = b;
		} else if (!strncmp(line, "VmFlags:", 8) && strstr(line, flag)) {
			bytes += to - from;
		}
	}
	fclose(smaps);
	return (long)(bytes / MIB);
}

static bool system_is(const char *word)
{
	char text[128] = "";
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");

	if (!f || !fgets(text, sizeof text, f))
		return false;
	fclose(f);
	return strstr(text, word) != NULL;
}

/* thp=auto: nothing for a small heap; some of a large and dense one; none of
   what half-empty chunks held. */
static void earned(void)
{
	if (!system_is("[madvise]"))
		SKIP("the system is not set to madvise");
	void *small = malloc(BLOCK);
	CHECK(advised(" hg") == 0);
	fill_heap();
	CHECK(advised(" hg") > 0);
	for (int i = 0; i < BLOCKS; i++)
		if (i % 10)
			free(blocks[i]);
	malloc_trim(0);
	CHECKF(advised(" hg") <= 2, "%ld MiB are still advised", advised(" hg"));
	CHECK(advised(" nh") > 0);
	free(small);
}

static void none(void)
{
	fill_heap();
	CHECK(advised(" hg") == 0);
}

/* A process that has switched them off. */
static void disabled(void)
{
	REQUIRE(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
	none();
}

/* thp=always: from the first block on. */
static void from_the_start(void)
{
	void *small = malloc(BLOCK), *large = malloc(8 * MIB);

	REQUIRE(small && large);
	CHECK(advised(" hg") >= 8);
	free(small);
	free(large);
}

CHECK_MAIN(
	{ "earned", earned, CHECK_PART },
	{ "none", none, CHECK_PART },
	{ "disabled", disabled, CHECK_PART },
	{ "from_the_start", from_the_start, CHECK_PART },
)
