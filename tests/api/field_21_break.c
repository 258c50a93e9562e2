/*
 * FIELD.md row 21: the program moves the break itself between allocations, or
 * maps something right above it so that brk fails. What it wrote into its
 * part of the break stays, the heap goes on growing. Started case by case by
 * `run`.
 */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>

enum { AREAS = 40, BLOCKS = 20000 };

static struct { void *p; size_t n; } block[BLOCKS];

static void use_heap(unsigned from, unsigned to, uint64_t *random)
{
	for (unsigned i = from; i < to; i++) {
		block[i].n = next_random(random) % (i % 50 ? 1500 : 100000);
		REQUIRE(block[i].p = hide(malloc(block[i].n)));
		fill(block[i].p, block[i].n, i);
	}
}

static void free_heap(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		CHECKF(!block[i].p || holds(block[i].p, block[i].n, i), "block %u", i);
		free(block[i].p);
		block[i].p = NULL;
	}
}

static void foreign_areas_are_never_touched(void)
{
	static struct { char *p; size_t n; } area[AREAS];
	uint64_t random = seed_from_environment();
	for (unsigned i = 0; i < AREAS; i++) {
		use_heap(i * (BLOCKS / AREAS), (i + 1) * (BLOCKS / AREAS), &random);
		/* odd sizes too, so that the break is left unaligned */
		area[i].n = i % 3 ? (i * 12345 + 1) : 65536;
		area[i].p = (char *)sbrk((intptr_t)area[i].n);
		REQUIRE(area[i].p != (void *)-1);
		CHECKF(all_zero(area[i].p, area[i].n), "area %u is not fresh", i);
		fill(area[i].p, area[i].n, i);
	}
	for (unsigned i = 0; i < AREAS; i++)
		CHECKF(holds(area[i].p, area[i].n, i), "area %u", i);
	free_heap(0, BLOCKS);
	malloc_trim(0);
	use_heap(0, BLOCKS, &random);
	for (unsigned i = 0; i < AREAS; i++)
		CHECKF(holds(area[i].p, area[i].n, i), "area %u after trim", i);
	free_heap(0, BLOCKS);
	malloc_trim(0);
	for (unsigned i = 0; i < AREAS; i++)
		CHECKF(holds(area[i].p, area[i].n, i), "area %u at last", i);
}

/* The break is raised and lowered again by the program: stack discipline. */
static void break_up_and_down_again(void)
{
	uint64_t random = seed_from_environment();
	for (unsigned i = 0; i < AREAS; i++) {
		char *mine = (char *)sbrk(100000);
		REQUIRE(mine != (void *)-1);
		memset(mine, 1, 100000);
		REQUIRE(sbrk(-100000) != (void *)-1);
		use_heap(i * (BLOCKS / AREAS), (i + 1) * (BLOCKS / AREAS), &random);
	}
	free_heap(0, BLOCKS);
}

/* The break moved before the library's first request. */
static void break_moved_first(void)
{
	char *mine = (char *)sbrk(123457);
	REQUIRE(mine != (void *)-1);
	fill(mine, 123457, 9);
	uint64_t random = seed_from_environment();
	use_heap(0, BLOCKS, &random);
	free_heap(0, BLOCKS);
	CHECK(holds(mine, 123457, 9));
}

static void block_the_break(size_t gap)
{
	uintptr_t top = (uintptr_t)sbrk(0), page = page_size();
	void *at = (void *)((top + page - 1) / page * page + gap);
	void *wall = mmap(at, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	REQUIRE(wall == at);
	memset(wall, 0x77, page);
	/* the kernel does not grow the break past it any more */
	REQUIRE(sbrk((intptr_t)(gap + page * 4)) == (void *)-1);
}

static void mapping_right_above_the_break(void)
{
	uint64_t random = seed_from_environment();
	use_heap(0, BLOCKS / 4, &random);
	block_the_break(0);
	use_heap(BLOCKS / 4, BLOCKS, &random);
	free_heap(0, BLOCKS / 2);
	malloc_trim(0);
	use_heap(0, BLOCKS / 2, &random);
	free_heap(0, BLOCKS);
	for (size_t n = 1; n < (size_t)8 << 20; n *= 3) {
		void *p = hide(calloc(n, 1));
		REQUIRE(p);
		CHECK(all_zero(p, n));
		free(p);
	}
}

static void mapping_somewhat_above_the_break(void)
{
	uint64_t random = seed_from_environment();
	free(hide(malloc(100)));
	block_the_break(page_size() * 50);
	use_heap(0, BLOCKS, &random);
	free_heap(0, BLOCKS);
}

static void break_blocked_before_the_first_request(void)
{
	block_the_break(0);
	uint64_t random = seed_from_environment();
	use_heap(0, BLOCKS, &random);
	free_heap(0, BLOCKS);
}

static void *thread_moves_the_break(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		char *mine = (char *)sbrk(4096);
		if (mine == (void *)-1)
			continue;
		memset(mine, 0x5a, 4096);
		for (int k = 0; k < 10; k++)
			free(hide(malloc((size_t)k * 700)));
		for (int k = 0; k < 4096; k++)
			if (mine[k] != 0x5a) {
				check_fail(__FILE__, __LINE__, "the area of another thread changed");
				break;
			}
	}
	return arg;
}

/* Beside a running heap, as a second allocator with sbrk does. It takes turns
 * with ours through libc's break only, and the kernel serialises brk; sbrk's
 * own idea of the break may lag, so areas are only checked, never returned. */
static void second_allocator_on_the_break(void)
{
	uint64_t random = seed_from_environment();
	for (unsigned round = 0; round < 20; round++) {
		use_heap(0, BLOCKS / 20, &random);
		thread_moves_the_break(NULL);
		free_heap(0, BLOCKS / 20);
	}
}

CHECK_MAIN(
	{ "foreign_areas_are_never_touched", foreign_areas_are_never_touched, CHECK_BOTH },
	{ "break_up_and_down_again", break_up_and_down_again, CHECK_BOTH },
	{ "break_moved_first", break_moved_first, CHECK_BOTH },
	{ "mapping_right_above_the_break", mapping_right_above_the_break, CHECK_BOTH },
	{ "mapping_somewhat_above_the_break", mapping_somewhat_above_the_break, CHECK_BOTH },
	{ "break_blocked_before_the_first_request", break_blocked_before_the_first_request, CHECK_BOTH },
	{ "second_allocator_on_the_break", second_allocator_on_the_break, CHECK_BOTH },
)
