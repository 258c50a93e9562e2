/*
 * The border between the brk heap and mmap (131072 bytes, the product's
 * contract), and large blocks: growing one must not copy it. Nothing here is
 * timed; page faults, RSS and the residency of pages say what was copied.
 * Started case by case by `run`, under glibc and under libvmalloc.
 */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static void expect_border(const char *who)
{
	static const size_t below[] = { 0, 1, 16, 100, 1000, 1024, 1025, 4096, 32768, 65536, 65537, 100000,
					131056, 131070, 131071 };
	static const size_t from_up[] = { 131072, 131073, 131088, 135168, 200000, 1 << 20, 64 << 20 };
	for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
		void *m = hide(malloc(below[i])), *c = hide(calloc(1, below[i])), *r = hide(realloc(NULL, below[i]));
		REQUIRE(m && c && r);
		CHECKF(in_brk_heap(m), "%s: malloc(%zu)", who, below[i]);
		CHECKF(in_brk_heap(c), "%s: calloc(%zu)", who, below[i]);
		CHECKF(in_brk_heap(r), "%s: realloc(NULL, %zu)", who, below[i]);
		free(m), free(c), free(r);
	}
	for (size_t i = 0; i < sizeof from_up / sizeof *from_up; i++) {
		void *m = hide(malloc(from_up[i])), *c = hide(calloc(1, from_up[i])), *r = hide(realloc(NULL, from_up[i]));
		REQUIRE(m && c && r);
		CHECKF(!in_brk_heap(m), "%s: malloc(%zu)", who, from_up[i]);
		CHECKF(!in_brk_heap(c), "%s: calloc(%zu)", who, from_up[i]);
		CHECKF(!in_brk_heap(r), "%s: realloc(NULL, %zu)", who, from_up[i]);
		free(m), free(c), free(r);
	}
}

static void border_of_the_brk_heap(void)
{
	expect_border("first");
	/* freed large blocks must not serve small requests, nor the other way */
	for (int i = 0; i < 50; i++)
		free(hide(malloc(1 << 20)));
	expect_border("after large ones");
}

static void *thread_border(void *arg)
{
	expect_border((const char *)arg);
	return NULL;
}

static void border_holds_in_threads(void)
{
	for (int i = 0; i < 3; i++) {
		pthread_t thread;
		REQUIRE(!pthread_create(&thread, NULL, thread_border, "thread"));
		pthread_join(thread, NULL);
	}
}

static void realloc_crosses_the_border(void)
{
	char *p = (char *)hide(malloc(131071));
	REQUIRE(p);
	CHECK(in_brk_heap(p));
	fill(p, 131071, 1);
	size_t past = malloc_usable_size(p) + 1;
	REQUIRE(p = (char *)hide(realloc(p, past > CHECK_LARGE_MIN ? past : CHECK_LARGE_MIN)));
	CHECK(!in_brk_heap(p));
	CHECK(holds(p, 131071, 1));
	free(p);
}

static const size_t giga = (size_t)1 << 30;

/* Pages of [p, p + n) that have memory behind them, from pagemap bit 63. */
static size_t resident_pages(const char *p, size_t n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP("/proc/self/pagemap cannot be read");
	static uint64_t entry[4096];
	size_t page = page_size(), count = 0;
	uintptr_t first = (uintptr_t)p / page, last = ((uintptr_t)p + n) / page;
	for (uintptr_t at = first; at < last;) {
		size_t want = last - at < 4096 ? last - at : 4096;
		ssize_t got = pread(fd, entry, want * sizeof *entry, (off_t)(at * sizeof *entry));
		REQUIRE(got > 0);
		for (size_t i = 0; i < (size_t)got / sizeof *entry; i++)
			count += entry[i] >> 63;
		at += (size_t)got / sizeof *entry;
	}
	close(fd);
	return count;
}

/* Every 64 KiB one byte of a 1 GiB block is written, then the block is grown
 * a thousand times. A copy would read, and so map, the pages between, would
 * fault them in a second time, and would double the RSS on the way. */
static void one_gib_grows_without_copying(void)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	enum { STRIDE = 65536, STEPS = 1000, STEP = 4096 };
	char *p = (char *)hide(malloc(giga));
	if (!p)
		SKIP("no 1 GiB of address space");
	size_t touched = giga / STRIDE;
	for (size_t i = 0; i < touched; i++)
		*(volatile uint32_t *)(p + i * STRIDE) = (uint32_t)(i * 2654435761u);
	size_t rss = rss_bytes(), space = address_space_bytes();
	long faults = minor_faults();
	size_t most_rss = rss, most_space = space;
	for (int step = 1; step <= STEPS; step++) {
		/* a neighbour now and then, so that the block cannot always grow in place */
		void *neighbour = step % 50 ? NULL : hide(malloc(200000));
		REQUIRE(p = (char *)hide(realloc(p, giga + (size_t)step * STEP)));
		*(volatile char *)(p + giga + (size_t)step * STEP - 1) = 1;
		size_t now = rss_bytes(), now_space = address_space_bytes();
		most_rss = now > most_rss ? now : most_rss;
		most_space = now_space > most_space ? now_space : most_space;
		free(neighbour);
	}
	faults = minor_faults() - faults;
	for (size_t i = 0; i < touched; i++)
		CHECKF(*(volatile uint32_t *)(p + i * STRIDE) == (uint32_t)(i * 2654435761u), "at %zu", i);
	/* one fault for each page touched anew, and a little beside */
	CHECKF(faults < STEPS + 1000, "%ld minor faults", faults);
	CHECKF(most_rss < rss + ((size_t)24 << 20), "RSS %zu rose to %zu", rss, most_rss);
	CHECKF(most_space < space + giga / 2, "address space %zu rose to %zu", space, most_space);
	size_t resident = resident_pages(p, giga);
	CHECKF(resident <= touched + 64, "%zu of %zu pages resident, %zu touched", resident,
	       giga / page_size(), touched);
	CHECKF(resident >= touched, "pagemap shows %zu resident, %zu touched", resident, touched);
	free(p);
}

/* Shrinking gives the tail back or keeps it, but touches none of it. */
static void one_gib_shrinks_without_copying(void)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	char *p = (char *)hide(malloc(giga));
	if (!p)
		SKIP("no 1 GiB of address space");
	fill(p, 1 << 20, 1);
	long faults = minor_faults();
	for (size_t n = giga; n >= (size_t)1 << 20; n -= n / 8) {
		REQUIRE(p = (char *)hide(realloc(p, n)));
		CHECK(malloc_usable_size(p) >= n);
	}
	CHECK(minor_faults() - faults < 1000);
	CHECK(holds(p, 1 << 20, 1));
	free(p);
}

/* A fresh large calloc is zero without being written. */
static void large_calloc_touches_nothing(void)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	size_t rss = rss_bytes();
	char *p = (char *)hide(calloc(giga / 4096, 4096));
	if (!p)
		SKIP("no 1 GiB of address space");
	CHECK(rss_bytes() < rss + (4 << 20));
	for (size_t i = 0; i < giga; i += 1 << 20)
		CHECK(p[i] == 0);
	free(p);
}

/* Growth by doubling, as vectors do: contents stay, memory stays in bounds. */
static void large_vector_growth(void)
{
	size_t n = CHECK_LARGE_MIN;
	unsigned char *p = (unsigned char *)hide(malloc(n));
	REQUIRE(p);
	fill(p, n, 7);
	while (n < (size_t)128 << 20) {
		size_t bigger = n + n / 2 + 1;
		REQUIRE(p = (unsigned char *)hide(realloc(p, bigger)));
		CHECKF(holds(p, CHECK_LARGE_MIN, 7), "grown to %zu", bigger);
		CHECKF(p[n - 1] == (n == CHECK_LARGE_MIN ? p[n - 1] : 0x42), "grown to %zu", bigger);
		p[bigger - 1] = 0x42;
		n = bigger;
	}
	free(p);
}

/* What was freed large is used again: RSS and address space stay in bounds. */
static void large_blocks_are_reused(void)
{
	enum { LIVE = 20, ROUNDS = 3000 };
	static struct { char *p; size_t n; } block[LIVE];
	uint64_t random = seed_from_environment();
	size_t live = 0, most_live = 0, start = rss_bytes();
	for (int round = 0; round < ROUNDS; round++) {
		int at = (int)(next_random(&random) % LIVE);
		if (block[at].p) {
			CHECKF(block[at].p[0] == (char)at && block[at].p[block[at].n - 1] == (char)at,
			       "round %d", round);
			free(block[at].p);
			live -= block[at].n;
		}
		block[at].n = CHECK_LARGE_MIN + next_random(&random) % (4 << 20);
		REQUIRE(block[at].p = (char *)hide(malloc(block[at].n)));
		memset(block[at].p, at, block[at].n);
		live += block[at].n;
		most_live = live > most_live ? live : most_live;
	}
	size_t rss = rss_bytes() - start;
	CHECKF(rss < most_live * 2 + ((size_t)32 << 20), "RSS %zu, most live %zu", rss, most_live);
	CHECKF(address_space_bytes() < ((size_t)2 << 30) + most_live * 4, "address space %zu",
	       address_space_bytes());
	for (int i = 0; i < LIVE; i++)
		free(block[i].p);
}

CHECK_MAIN(
	{ "border_of_the_brk_heap", border_of_the_brk_heap, CHECK_LIBVMALLOC_ONLY },
	{ "border_holds_in_threads", border_holds_in_threads, CHECK_LIBVMALLOC_ONLY },
	{ "realloc_crosses_the_border", realloc_crosses_the_border, CHECK_LIBVMALLOC_ONLY },
	{ "one_gib_grows_without_copying", one_gib_grows_without_copying, CHECK_BOTH },
	{ "one_gib_shrinks_without_copying", one_gib_shrinks_without_copying, CHECK_BOTH },
	{ "large_calloc_touches_nothing", large_calloc_touches_nothing, CHECK_BOTH },
	{ "large_vector_growth", large_vector_growth, CHECK_BOTH },
	{ "large_blocks_are_reused", large_blocks_are_reused, CHECK_BOTH },
)
