/*
 * The members of the family that report and tune: malloc_trim, malloc_stats,
 * malloc_info, mallinfo, mallinfo2, mallopt. Their figures differ from
 * allocator to allocator; their direction and their form do not. Started case
 * by case by `run`, under glibc and under libvmalloc.
 */
#include "check.h"
#include <sys/wait.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* mallinfo */

enum { SMALL = 1000, SMALL_BLOCKS = 30000, BIG = 1 << 20, BIG_BLOCKS = 20 };
static void *small[SMALL_BLOCKS], *big[BIG_BLOCKS];

static void take(void)
{
	for (int i = 0; i < SMALL_BLOCKS; i++) {
		REQUIRE(small[i] = hide(malloc(SMALL)));
		memset(small[i], 1, SMALL);
	}
	for (int i = 0; i < BIG_BLOCKS; i++) {
		REQUIRE(big[i] = hide(malloc(BIG)));
		memset(big[i], 1, BIG);
	}
}

static void give_back(void)
{
	for (int i = 0; i < SMALL_BLOCKS; i++)
		free(small[i]);
	for (int i = 0; i < BIG_BLOCKS; i++)
		free(big[i]);
}

/* Which fields say what is in use: glibc has mmapped blocks in hblkhd alone;
 * one that has them in uordblks too is as good. */
static size_t in_use(const struct mallinfo2 *info, int with_mapped)
{
	return info->uordblks + (with_mapped ? info->hblkhd : 0);
}

static void mallinfo2_follows_what_is_live(void)
{
	REQUIRE(function_named("mallinfo2"));
	size_t asked = (size_t)SMALL * SMALL_BLOCKS + (size_t)BIG * BIG_BLOCKS;
	struct mallinfo2 before = mallinfo2();
	take();
	struct mallinfo2 live = mallinfo2();
	give_back();
	struct mallinfo2 after = mallinfo2();
	int good = 0;
	for (int with_mapped = 0; with_mapped < 2; with_mapped++) {
		size_t grown = in_use(&live, with_mapped) - in_use(&before, with_mapped);
		size_t left = in_use(&after, with_mapped) - in_use(&before, with_mapped);
		good |= grown >= asked && grown <= asked + asked / 4
			&& (ptrdiff_t)left <= (ptrdiff_t)(asked / 50);
	}
	CHECKF(good, "asked %zu: uordblks %zu %zu %zu hblkhd %zu %zu %zu", asked, before.uordblks,
	       live.uordblks, after.uordblks, before.hblkhd, live.hblkhd, after.hblkhd);
}

static void mallinfo2_small_blocks_are_in_uordblks(void)
{
	struct mallinfo2 before = mallinfo2();
	take();
	struct mallinfo2 live = mallinfo2();
	size_t small_bytes = (size_t)SMALL * SMALL_BLOCKS;
	CHECK(live.uordblks >= before.uordblks + small_bytes);
	CHECK(live.arena >= small_bytes);
	give_back();
	CHECK(mallinfo2().uordblks <= live.uordblks - small_bytes / 10 * 9);
}

static void mallinfo_is_mallinfo2_in_ints(void)
{
	take();
	struct mallinfo narrow = mallinfo();
	struct mallinfo2 wide = mallinfo2();
	CHECK(narrow.uordblks == (int)wide.uordblks);
	CHECK(narrow.arena == (int)wide.arena);
	CHECK(narrow.hblkhd == (int)wide.hblkhd);
	give_back();
	CHECK(mallinfo().uordblks < narrow.uordblks);
}

static void malloc_trim_gives_memory_back(void)
{
	CHECK((unsigned)malloc_trim(0) <= 1);
	size_t before = rss_bytes();
	take();
	size_t live = rss_bytes();
	CHECK(live >= before + ((size_t)40 << 20));
	give_back();
	errno = 4711;
	int released = malloc_trim(0);
	CHECKF((unsigned)released <= 1, "returned %d", released);
	size_t after = rss_bytes();
	CHECKF(after <= before + ((size_t)4 << 20), "RSS %zu -> %zu -> %zu", before, live, after);
	/* the heap goes on */
	take();
	give_back();
	(void)malloc_trim(SIZE_MAX);
	(void)malloc_trim(1 << 20);
	take();
	for (int i = 0; i < SMALL_BLOCKS; i += 2)
		free(small[i]);
	malloc_trim(0);
	for (int i = 1; i < SMALL_BLOCKS; i += 2) {
		CHECK(((char *)small[i])[SMALL - 1] == 1 && ((char *)small[i])[0] == 1);
		free(small[i]);
	}
	for (int i = 0; i < BIG_BLOCKS; i++)
		free(big[i]);
}

static char report[1 << 20];

/* Runs call with fd bound to a file and reads what it wrote there. */
static size_t written_to(int fd, void (*call)(void))
{
	char path[] = "/tmp/check-stats-XXXXXX";
	int file = mkstemp(path), kept = dup(fd);
	REQUIRE(file >= 0 && kept >= 0);
	dup2(file, fd);
	call();
	dup2(kept, fd);
	close(kept), close(file);
	ssize_t got = read_whole(path, report, sizeof report);
	unlink(path);
	REQUIRE(got >= 0);
	return (size_t)got;
}

static void stats_then_flush(void) { malloc_stats(); fflush(stderr); }
static void stats_and_stdout(void) { malloc_stats(); fflush(stdout); }

static void malloc_stats_writes_to_stderr(void)
{
	take();
	errno = 0;
	size_t length = written_to(STDERR_FILENO, stats_then_flush);
	CHECKF(length > 20, "%zu bytes", length);
	CHECK(report[length - 1] == '\n');
	int null = open("/dev/null", O_WRONLY);
	dup2(null, STDERR_FILENO);
	CHECK(written_to(STDOUT_FILENO, stats_and_stdout) == 0);
	give_back();
}

static void info_to_stdout(void)
{
	CHECK(malloc_info(0, stdout) == 0);
	fflush(stdout);
}

/* 0: well formed, 1: not, 77: nobody here to ask. */
static int judge_xml(const char *path)
{
	char command[512];
	snprintf(command, sizeof command,
		 "if command -v xmllint >/dev/null; then xmllint --noout %s; "
		 "elif [ -x /usr/bin/python3 ]; then "
		 "/usr/bin/python3 -c 'import sys,xml.dom.minidom as m; m.parse(sys.argv[1])' %s; "
		 "else exit 77; fi", path, path);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void malloc_info_is_well_formed_xml(void)
{
	take();
	size_t length = written_to(STDOUT_FILENO, info_to_stdout);
	give_back();
	CHECK(length > 50);
	CHECK(strstr(report, "<malloc version=\"") != NULL);
	CHECK(strstr(report, "</malloc>") != NULL);
	char path[] = "/tmp/check-xml-XXXXXX";
	int file = mkstemp(path);
	REQUIRE(file >= 0 && write(file, report, length) == (ssize_t)length);
	close(file);
	int verdict = judge_xml(path);
	/* the judge itself: it has to refuse what is cut short */
	REQUIRE(!truncate(path, (off_t)length / 2));
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	int cut = verdict == 77 ? 1 : judge_xml(path);
	unlink(path);
	if (verdict == 77)
		SKIP("neither xmllint nor /usr/bin/python3 to check XML with");
	CHECKF(verdict == 0, "not well formed");
	CHECK(cut != 0);
}

static void malloc_info_to_a_memory_stream(void)
{
	/* the stream allocates while the allocator reports */
	for (int i = 0; i < 200; i++) {
		char *text = NULL;
		size_t length = 0;
		FILE *stream = open_memstream(&text, &length);
		REQUIRE(stream);
		CHECK(malloc_info(0, stream) == 0);
		REQUIRE(!fclose(stream));
		CHECK(text && length > 50 && strlen(text) == length && text[0] == '<');
		free(text);
	}
}

static void malloc_info_bad_options(void)
{
	char *text = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&text, &length);
	REQUIRE(stream);
	CHECK(malloc_info(1, stream) == EINVAL);
	CHECK(malloc_info(-1, stream) == EINVAL);
	fclose(stream);
	CHECK(length == 0);
	free(text);
}

static void mallopt_known_parameters(void)
{
	CHECK(mallopt(M_TRIM_THRESHOLD, 256 << 10) == 1);
	CHECK(mallopt(M_TOP_PAD, 64 << 10) == 1);
	CHECK(mallopt(M_MMAP_THRESHOLD, 256 << 10) == 1);
	CHECK(mallopt(M_MMAP_MAX, 65536) == 1);
	CHECK(mallopt(M_CHECK_ACTION, 3) == 1);
	CHECK(mallopt(M_PERTURB, 0) == 1);
	CHECK(mallopt(M_ARENA_TEST, 2) == 1);
	CHECK(mallopt(M_ARENA_MAX, 8) == 1);
	CHECK(mallopt(M_MXFAST, 64) == 1);
	CHECK(mallopt(M_MXFAST, 1 << 20) == 0);
	/* the heap works on after all of it, and before the first malloc too */
	for (size_t n = 1; n < 4000000; n *= 3) {
		char *p = (char *)hide(malloc(n));
		REQUIRE(p);
		fill(p, n, 1);
		free(p);
	}
}

static int mallopt_result(int parameter, int value)
{
	if (parameter == M_MXFAST)
		return value >= 0 && value <= 160;
	return 1;
}

static void mallopt_every_value(void)
{
	static const int parameters[] = { M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX,
					  M_CHECK_ACTION, M_PERTURB, M_ARENA_TEST, M_ARENA_MAX };
	static const int values[] = { 0, 1, 160, 161, 4096, 128 << 10, 32 << 20, (32 << 20) + 1, -1, INT32_MAX, INT32_MIN, 0 };
	for (unsigned p = 0; p < sizeof parameters / sizeof *parameters; p++) {
		if (parameters[p] == M_MMAP_THRESHOLD && glibc_differs("mmap_threshold_limit"))
			continue;
		for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
			int got = mallopt(parameters[p], values[v]);
			CHECKF(got == mallopt_result(parameters[p], values[v]), "mallopt(%d, %d) is %d", parameters[p], values[v], got);
			char *block = (char *)hide(malloc(3000));
			REQUIRE(block);
			free(block);
		}
	}
}

/* Touches and frees 40 MiB of the brk heap; how much of that stays resident. */
static size_t left_of_a_burst(void)
{
	enum { COUNT = 4000, SIZE = 10000 };
	static char *blocks[COUNT];
	memset(blocks, 1, sizeof blocks);
	size_t before = rss_bytes();
	for (unsigned i = 0; i < COUNT; i++) {
		REQUIRE(blocks[i] = (char *)hide(malloc(SIZE)));
		memset(blocks[i], 1, SIZE);
	}
	for (unsigned i = COUNT; i-- > 0;)
		free(blocks[i]);
	size_t after = rss_bytes();
	return after > before ? after - before : 0;
}

static void mallopt_trim_threshold_keeps(void)
{
	CHECK(mallopt(M_TRIM_THRESHOLD, 128 << 20) == 1);
	size_t left = left_of_a_burst();
	CHECKF(left > 35 << 20, "%zu KiB", left >> 10);
	CHECK(malloc_trim(0) == 1);
}

static void mallopt_trim_threshold_lets_go(void)
{
	CHECK(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
	size_t left = left_of_a_burst();
	CHECKF(left < 5 << 20, "%zu KiB", left >> 10);
}

static void mallopt_trim_threshold_negative_keeps_all(void)
{
	CHECK(mallopt(M_TRIM_THRESHOLD, -1) == 1);
	size_t left = left_of_a_burst();
	CHECKF(left > 35 << 20, "%zu KiB", left >> 10);
}

static void mallopt_top_pad_moves_the_break(void)
{
	const size_t pad = 24 << 20;
	CHECK(mallopt(M_TOP_PAD, (int)pad) == 1);
	char *before = (char *)sbrk(0);
	for (int i = 0; i < 100 && sbrk(0) == (void *)before; i++)
		REQUIRE(hide(malloc(100000)));
	size_t moved = (size_t)((char *)sbrk(0) - before);
	CHECKF(moved >= pad, "%zu KiB", moved >> 10);
	before = (char *)sbrk(0);
	for (int i = 0; i < 200; i++)
		REQUIRE(hide(malloc(100000)));
	CHECKF(sbrk(0) == (void *)before, "moved again");
}

static void mallopt_unknown_parameters(void)
{
	CHECK(mallopt(0, 1) == 1);
	CHECK(mallopt(-999, 1) == 1);
	CHECK(mallopt(999, 0) == 1);
	CHECK(mallopt(INT32_MIN, -1) == 1);
}

CHECK_MAIN(
	{ "mallinfo2_follows_what_is_live", mallinfo2_follows_what_is_live, CHECK_BOTH },
	{ "mallinfo2_small_blocks_are_in_uordblks", mallinfo2_small_blocks_are_in_uordblks, CHECK_BOTH },
	{ "mallinfo_is_mallinfo2_in_ints", mallinfo_is_mallinfo2_in_ints, CHECK_BOTH },
	{ "malloc_trim_gives_memory_back", malloc_trim_gives_memory_back, CHECK_BOTH },
	{ "malloc_stats_writes_to_stderr", malloc_stats_writes_to_stderr, CHECK_BOTH },
	{ "malloc_info_is_well_formed_xml", malloc_info_is_well_formed_xml, CHECK_BOTH },
	{ "malloc_info_to_a_memory_stream", malloc_info_to_a_memory_stream, CHECK_BOTH },
	{ "malloc_info_bad_options", malloc_info_bad_options, CHECK_BOTH },
	{ "mallopt_known_parameters", mallopt_known_parameters, CHECK_BOTH },
	{ "mallopt_every_value", mallopt_every_value, CHECK_BOTH },
	{ "mallopt_trim_threshold_keeps", mallopt_trim_threshold_keeps, CHECK_BOTH },
	{ "mallopt_trim_threshold_lets_go", mallopt_trim_threshold_lets_go, CHECK_BOTH },
	{ "mallopt_trim_threshold_negative_keeps_all", mallopt_trim_threshold_negative_keeps_all, CHECK_BOTH },
	{ "mallopt_top_pad_moves_the_break", mallopt_top_pad_moves_the_break, CHECK_BOTH },
	{ "mallopt_unknown_parameters", mallopt_unknown_parameters, CHECK_BOTH },
)
