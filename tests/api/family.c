/*
 * What the C family promises, function by function: `run` starts every case
 * under glibc and under libvmalloc and wants the same from both.
 */
#include "check.h"

typedef void sized_free(void *, size_t);
typedef void aligned_sized_free(void *, size_t, size_t);

static void malloc_zero_is_unique(void)
{
	enum { BLOCKS = 1000 };
	static void *block[BLOCKS];
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = hide(malloc(0));
		REQUIRE(block[i]);
		CHECK(is_aligned(block[i], 16));
	}
	for (int i = 0; i < BLOCKS; i++)
		for (int j = 0; j < i; j++)
			CHECK(block[i] != block[j]);
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
}

static void every_block_is_16_aligned(void)
{
	for (size_t n = 0; n <= 5000; n++) {
		void *m = hide(malloc(n)), *c = hide(calloc(1, n)), *r = hide(realloc(NULL, n));
		void *a = hide(aligned_alloc(1, n)), *g = hide(memalign(8, n)), *p = NULL;
		REQUIRE(!posix_memalign(&p, 8, n));
		REQUIRE(m && c && r && a && g && p);
		CHECKF(is_aligned(m, 16) && is_aligned(c, 16) && is_aligned(r, 16), "size %zu", n);
		CHECKF(is_aligned(a, 16) && is_aligned(g, 16) && is_aligned(p, 16),
		       "asked 1 or 8, size %zu", n);
		free(m), free(c), free(r), free(a), free(g), free(p);
	}
	for (size_t n = 16; n <= (size_t)64 << 20; n = next_rung(n)) {
		void *m = hide(malloc(n)), *c = hide(malloc(n + 1));
		REQUIRE(m && c);
		CHECKF(is_aligned(m, 16) && is_aligned(c, 16), "size %zu", n);
		free(m), free(c);
	}
}

static void blocks_do_not_overlap(void)
{
	enum { BLOCKS = 20000 };
	static struct { void *p; unsigned n; } block[BLOCKS];
	uint64_t random = seed_from_environment();
	for (unsigned i = 0; i < BLOCKS; i++) {
		block[i].n = (unsigned)(next_random(&random) % (i % 100 ? 2000 : 200000));
		block[i].p = hide(malloc(block[i].n));
		REQUIRE(block[i].p);
		fill(block[i].p, block[i].n, i);
	}
	for (unsigned i = 0; i < BLOCKS; i += 2) {
		CHECKF(holds(block[i].p, block[i].n, i), "block %u", i);
		free(block[i].p);
		block[i].p = hide(malloc(block[i].n));
		REQUIRE(block[i].p);
		fill(block[i].p, block[i].n, i);
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		CHECKF(holds(block[i].p, block[i].n, i), "block %u", i);
		free(block[i].p);
	}
}

static void calloc_zero_arguments(void)
{
	void *a = hide(calloc(0, 8)), *b = hide(calloc(8, 0)), *c = hide(calloc(0, 0));
	void *d = hide(calloc(0, hide_size(SIZE_MAX)));
	void *e = hide(calloc(hide_size(SIZE_MAX), 0));
	CHECK(a && b && c && d && e);
	CHECK(a != b && b != c && a != c && d != e);
	free(a), free(b), free(c), free(d), free(e);
}

/* Every class and every size between: blocks that were dirty come back zero. */
static void calloc_zeroes_dirty_blocks(void)
{
	enum { MOST = 64 };
	static void *block[MOST];
	for (size_t n = 1; n <= (size_t)8 << 20; n = next_rung(n)) {
		size_t count = ((size_t)1 << 20) / n;
		count = count > MOST ? MOST : count < 3 ? 3 : count;
		for (size_t i = 0; i < count; i++) {
			REQUIRE(block[i] = hide(malloc(n)));
			memset(block[i], 0xa5, malloc_usable_size(block[i]));
		}
		for (size_t i = 0; i < count; i++)
			free(block[i]);
		for (size_t i = 0; i < count; i++) {
			REQUIRE(block[i] = hide(i & 1 ? calloc(1, n) : calloc(n, 1)));
			CHECKF(all_zero(block[i], n), "size %zu", n);
			memset(block[i], 0x5a, n);
		}
		for (size_t i = 0; i < count; i++)
			free(block[i]);
	}
}

static void calloc_zeroes_split_and_merged(void)
{
	/* dirty large blocks given back, then asked for in other sizes */
	for (int round = 0; round < 20; round++) {
		char *a = (char *)hide(malloc(3 << 20)), *b = (char *)hide(malloc(5 << 20));
		REQUIRE(a && b);
		memset(a, 1, 3 << 20), memset(b, 2, 5 << 20);
		free(a), free(b);
		for (size_t n = 1000; n < (size_t)9 << 20; n = n * 3 + 77) {
			char *c = (char *)hide(calloc(n, 1));
			REQUIRE(c);
			CHECKF(all_zero(c, n), "size %zu", n);
			memset(c, 3, n);
			free(c);
		}
	}
}

static void realloc_null_is_malloc(void)
{
	for (size_t n = 0; n < 300000; n = n * 2 + 1) {
		void *p = hide(realloc(NULL, n));
		REQUIRE(p);
		CHECK(malloc_usable_size(p) >= n);
		fill(p, n, 1);
		CHECK(holds(p, n, 1));
		free(p);
	}
	void *a = hide(realloc(NULL, 0)), *b = hide(realloc(NULL, 0));
	CHECK(a && b && a != b);
	free(a), free(b);
}

/* realloc(p, 0) frees: if it did not, memory would pile up. */
static void realloc_to_zero_frees(void)
{
	static const size_t sizes[] = { 1, 16, 100, 1000, 20000, 131071, 131072, 1 << 20 };
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		size_t rounds = ((size_t)256 << 20) / (sizes[s] + 64);
		rounds = rounds > 300000 ? 300000 : rounds;
		void *p = hide(malloc(sizes[s]));
		REQUIRE(p);
		errno = 4711;
		CHECK(realloc(p, 0) == NULL);
		CHECK(errno == 4711);
		size_t before = rss_bytes();
		for (size_t i = 0; i < rounds; i++) {
			char *q = (char *)hide(malloc(sizes[s]));
			REQUIRE(q);
			q[0] = q[sizes[s] - 1] = 1;
			REQUIRE(!(i & 1 ? realloc(q, 0) : reallocarray(q, 0, 8)));
		}
		CHECKF(rss_bytes() < before + ((size_t)8 << 20), "size %zu", sizes[s]);
	}
}

static void realloc_step(size_t from, size_t to)
{
	size_t least = from < to ? from : to;
	void *p = hide(malloc(from));
	REQUIRE(p);
	fill(p, from, (unsigned)from);
	void *q = hide(realloc(p, to));
	REQUIRE(q);
	CHECKF(holds(q, least, (unsigned)from), "from %zu to %zu", from, to);
	CHECKF(is_aligned(q, 16) && malloc_usable_size(q) >= to, "from %zu to %zu", from, to);
	fill(q, to, 5);
	CHECKF(holds(q, to, 5), "from %zu to %zu", from, to);
	free(q);
}

static void realloc_keeps_contents_at_class_borders(void)
{
	for (size_t rung = 16; rung <= (size_t)2 << 20; rung = next_rung(rung)) {
		size_t further = next_rung(next_rung(rung));
		for (size_t from = rung - 1; from <= rung + 1; from++) {
			for (size_t to = rung - 1; to <= rung + 1; to++)
				realloc_step(from, to);
			realloc_step(from, further);
			realloc_step(further, from);
			realloc_step(from, rung / 2);
			realloc_step(rung / 2, from);
		}
	}
}

static void realloc_keeps_contents_at_the_large_border(void)
{
	static const size_t offset[] = { 0, 1, 2, 15, 16, 17, 64, 4095, 4096, 4097, 65536 };
	size_t count = sizeof offset / sizeof *offset;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++) {
			realloc_step(CHECK_LARGE_MIN - offset[i], CHECK_LARGE_MIN + offset[j]);
			realloc_step(CHECK_LARGE_MIN + offset[i], CHECK_LARGE_MIN - offset[j]);
		}
	realloc_step(16, 1 << 20);
	realloc_step(1 << 20, 16);
	realloc_step(CHECK_LARGE_MIN, (size_t)32 << 20);
	realloc_step((size_t)32 << 20, CHECK_LARGE_MIN);
	realloc_step((size_t)32 << 20, 1);
}

/* One block walks up and down through all sizes, neighbours in its way. */
static void realloc_walk(void)
{
	void *p = hide(malloc(1));
	size_t have = 1;
	REQUIRE(p);
	fill(p, 1, 9);
	for (size_t n = 2; n < (size_t)4 << 20; n += n / 37 + 1) {
		void *neighbour = hide(malloc(n));
		REQUIRE(neighbour);
		REQUIRE(p = hide(realloc(p, n)));
		CHECKF(holds(p, have, 9), "grown to %zu", n);
		fill(p, n, 9);
		have = n;
		free(neighbour);
	}
	for (size_t n = have; n > 1; n -= n / 23 + 1) {
		REQUIRE(p = hide(realloc(p, n)));
		CHECKF(holds(p, n, 9), "shrunk to %zu", n);
	}
	free(p);
}

/* realloc to n, which must not move; goes on with the new block if it did. */
static void *stays(void *p, size_t n, size_t asked_first)
{
	uintptr_t before = (uintptr_t)p;
	size_t usable = malloc_usable_size(p);
	void *q = hide(realloc(p, n));
	REQUIRE(q);
	if ((uintptr_t)q != before && !(usable >= CHECK_LARGE_MIN && glibc_differs("realloc_large_stays")))
		check_fail(__FILE__, __LINE__, "malloc(%zu) with %zu usable moved by realloc to %zu",
			   asked_first, usable, n);
	return q;
}

static void realloc_within_usable_stays(void)
{
	for (size_t n = 1; n <= (size_t)4 << 20; n = next_rung(n)) {
		void *p = hide(malloc(n));
		REQUIRE(p);
		p = stays(p, malloc_usable_size(p), n);
		p = stays(p, n, n);
		p = stays(p, n > 1 ? n - 1 : 1, n);
		p = stays(p, n / 2 + 1, n);
		p = stays(p, 1, n);
		p = stays(p, malloc_usable_size(p), n);
		free(p);
	}
}

static void realloc_failure_keeps_the_block(void)
{
	static const size_t sizes[] = { 1, 100, 5000, 131071, 131072, 1 << 20 };
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		void *p = hide(malloc(sizes[s])), *kept = hide(p);
		REQUIRE(p);
		fill(p, sizes[s], 3);
		size_t huge[] = { PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 4096 };
		for (int i = 0; i < 4; i++) {
			errno = 0;
			CHECK(hide(realloc(p, hide_size(huge[i]))) == NULL);
			CHECK(errno == ENOMEM);
		}
		errno = 0;
		CHECK(hide(reallocarray(p, hide_size(SIZE_MAX / 2 + 1), 2)) == NULL);
		CHECK(errno == ENOMEM);
		CHECK(holds(kept, sizes[s], 3));
		free(kept);
	}
}

static void reallocarray_is_realloc_checked(void)
{
	char *p = (char *)hide(reallocarray(NULL, 100, 7));
	REQUIRE(p);
	CHECK(malloc_usable_size(p) >= 700);
	fill(p, 700, 4);
	REQUIRE(p = (char *)hide(reallocarray(p, 7, 100000)));
	CHECK(holds(p, 700, 4));
	CHECK(hide(reallocarray(p, 0, 100)) == NULL);
	REQUIRE(p = (char *)hide(reallocarray(NULL, 0, 0)));
	CHECK(hide(reallocarray(p, 100, 0)) == NULL);
}

static void usable_size_is_writable_and_stable(void)
{
	CHECK(malloc_usable_size(NULL) == 0);
	for (size_t n = 0; n <= (size_t)8 << 20; n = n < 300 ? n + 1 : next_rung(n)) {
		unsigned char *p = (unsigned char *)hide(malloc(n)), *after = (unsigned char *)hide(malloc(n));
		REQUIRE(p && after);
		size_t usable = malloc_usable_size(p), usable_after = malloc_usable_size(after);
		CHECKF(usable >= n && usable_after >= n, "size %zu", n);
		memset(after, 0x77, usable_after);
		fill(p, usable, 6);
		for (size_t i = 0; i < usable_after; i++)
			if (after[i] != 0x77) {
				CHECKF(after[i] == 0x77, "size %zu, neighbour byte %zu", n, i);
				break;
			}
		free(after);
		void *again = hide(malloc(n));
		CHECKF(malloc_usable_size(p) == usable, "size %zu", n);
		CHECKF(holds(p, usable, 6), "size %zu", n);
		free(again);
		free(p);
	}
}

/* A block of any maker can be given to any of the freeing functions. */
static void *make(int how, size_t n)
{
	void *p = NULL;
	switch (how) {
	case 0: return hide(malloc(n));
	case 1: return hide(calloc(1, n));
	case 2: return hide(realloc(NULL, n));
	case 3: return hide(reallocarray(NULL, 1, n));
	case 4: return posix_memalign(&p, 64, n) ? NULL : hide(p);
	case 5: return hide(aligned_alloc(32, n));
	case 6: return hide(memalign(128, n));
	case 7: return hide(valloc(n));
	case 8: return hide(pvalloc(n));
	case 9: return hide(memalign(1 << 20, n));
	}
	return NULL;
}

static void any_maker_any_freer(void)
{
	static const size_t sizes[] = { 0, 1, 24, 1000, 4096, 70000, 131072, 400000 };
	void (*old_free)(void *) = (void (*)(void *))function_named("cfree");
	for (int how = 0; how < 10; how++)
		for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
			size_t n = sizes[s];
			void *p = make(how, n), *q = make(how, n), *r = make(how, n);
			REQUIRE(p && q && r);
			CHECKF(malloc_usable_size(p) >= n, "maker %d size %zu", how, n);
			fill(p, malloc_usable_size(p), 1);
			fill(q, malloc_usable_size(q), 2);
			CHECK(holds(p, malloc_usable_size(p), 1));
			REQUIRE(p = hide(realloc(p, n + 1000)));
			CHECKF(holds(p, n, 1), "maker %d size %zu", how, n);
			free(p);
			CHECK(realloc(q, 0) == NULL);
			if (old_free)
				old_free(r);
			else
				free(r);
		}
}

static void free_sized_frees(void)
{
	sized_free *by_size = (sized_free *)function_named("free_sized");
	aligned_sized_free *by_both = (aligned_sized_free *)function_named("free_aligned_sized");
	if (!by_size || !by_both) {
		if (glibc_differs("free_sized"))
			return;
		REQUIRE(by_size && by_both);
	}
	errno = 4711;
	by_size(NULL, 0);
	by_size(NULL, 100);
	by_both(NULL, 0, 0);
	by_both(NULL, 64, 100);
	size_t before = 0;
	for (int round = 0; round < 400; round++) {
		for (size_t n = 0; n < 3000000; n = n * 3 + 1) {
			char *p = (char *)hide(malloc(n)), *q = (char *)hide(aligned_alloc(64, n));
			char *c = (char *)hide(calloc(n, 1));
			REQUIRE(p && q && c);
			if (n)
				p[n - 1] = q[n - 1] = c[n - 1] = 1;
			by_size(p, n);
			by_both(q, 64, n);
			by_size(c, n);
		}
		if (round == 100)
			before = rss_bytes();
	}
	CHECK(errno == 4711);
	CHECK(rss_bytes() < before + (4 << 20));
}

static void free_null_does_nothing(void)
{
	errno = 4711;
	free(NULL);
	void (*old_free)(void *) = (void (*)(void *))function_named("cfree");
	if (old_free)
		old_free(NULL);
	CHECK(errno == 4711);
}

/* What is freed is used again: without that a loop would eat memory. */
static void freed_memory_is_used_again(void)
{
	for (size_t n = 1; n <= (size_t)16 << 20; n = n * 5 + 3) {
		size_t rounds = n < 5000 ? 200000 : ((size_t)1 << 30) / n;
		size_t before = 0;
		for (size_t i = 0; i < rounds; i++) {
			volatile char *p = (volatile char *)hide(malloc(n));
			REQUIRE(p);
			p[0] = p[n - 1] = 1;
			free((void *)p);
			if (i == rounds / 10)
				before = address_space_bytes();
		}
		CHECKF(address_space_bytes() <= before + ((size_t)64 << 20), "size %zu", n);
	}
}

CHECK_MAIN(
	{ "malloc_zero_is_unique", malloc_zero_is_unique, CHECK_BOTH },
	{ "every_block_is_16_aligned", every_block_is_16_aligned, CHECK_BOTH },
	{ "blocks_do_not_overlap", blocks_do_not_overlap, CHECK_BOTH },
	{ "calloc_zero_arguments", calloc_zero_arguments, CHECK_BOTH },
	{ "calloc_zeroes_dirty_blocks", calloc_zeroes_dirty_blocks, CHECK_BOTH },
	{ "calloc_zeroes_split_and_merged", calloc_zeroes_split_and_merged, CHECK_BOTH },
	{ "realloc_null_is_malloc", realloc_null_is_malloc, CHECK_BOTH },
	{ "realloc_to_zero_frees", realloc_to_zero_frees, CHECK_BOTH },
	{ "realloc_keeps_contents_at_class_borders", realloc_keeps_contents_at_class_borders, CHECK_BOTH },
	{ "realloc_keeps_contents_at_the_large_border", realloc_keeps_contents_at_the_large_border, CHECK_BOTH },
	{ "realloc_walk", realloc_walk, CHECK_BOTH },
	{ "realloc_within_usable_stays", realloc_within_usable_stays, CHECK_BOTH },
	{ "realloc_failure_keeps_the_block", realloc_failure_keeps_the_block, CHECK_BOTH },
	{ "reallocarray_is_realloc_checked", reallocarray_is_realloc_checked, CHECK_BOTH },
	{ "field_17_usable_size_is_writable_and_stable", usable_size_is_writable_and_stable, CHECK_BOTH },
	{ "any_maker_any_freer", any_maker_any_freer, CHECK_BOTH },
	{ "free_sized_frees", free_sized_frees, CHECK_BOTH },
	{ "free_null_does_nothing", free_null_does_nothing, CHECK_BOTH },
	{ "freed_memory_is_used_again", freed_memory_is_used_again, CHECK_BOTH },
)
