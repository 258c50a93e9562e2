/*
 * What the family does with arguments it cannot serve: sizes up to SIZE_MAX,
 * products that overflow, alignments that are none; the errno of each
 * (FIELD.md rows 15 and 16). Started case by case by `run`, under glibc and
 * under libvmalloc.
 */
#include "check.h"
#include <sys/mman.h>

static const size_t too_big[] = {
	PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX - 15, (size_t)PTRDIFF_MAX - 4095,
	SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 31,
	SIZE_MAX - 4094, SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX - 4097, SIZE_MAX - 8192,
	SIZE_MAX - 65535, SIZE_MAX - 65536, SIZE_MAX - 131071, SIZE_MAX - 131072,
	SIZE_MAX - (2 << 20), SIZE_MAX - (1ul << 30), SIZE_MAX / 4 * 3,
};
enum { TOO_BIG = sizeof too_big / sizeof *too_big };

/* One call that has to give NULL and ENOMEM. */
#define FAILS(call, size) \
	do { \
		errno = 0; \
		void *got_ = hide(call); \
		CHECKF(got_ == NULL, "size %#zx", (size_t)(size)); \
		CHECKF(errno == ENOMEM, "size %#zx errno %d", (size_t)(size), errno); \
	} while (0)

static void malloc_too_big(void)
{
	for (int i = 0; i < TOO_BIG; i++)
		FAILS(malloc(hide_size(too_big[i])), too_big[i]);
}

static void calloc_too_big(void)
{
	for (int i = 0; i < TOO_BIG; i++) {
		FAILS(calloc(hide_size(too_big[i]), 1), too_big[i]);
		FAILS(calloc(1, hide_size(too_big[i])), too_big[i]);
	}
}

static void calloc_overflow(void)
{
	static const size_t pair[][2] = {
		{ SIZE_MAX, 2 }, { 2, SIZE_MAX }, { SIZE_MAX, SIZE_MAX }, { SIZE_MAX / 2 + 1, 2 },
		{ 2, SIZE_MAX / 2 + 1 }, { 1ul << 32, 1ul << 32 }, { (1ul << 32) + 1, (1ul << 32) + 1 },
		{ SIZE_MAX / 16 + 2, 16 }, { 16, SIZE_MAX / 16 + 2 }, { SIZE_MAX / 3 + 1, 3 },
		{ 1ul << 63, 2 }, { 1ul << 63, 4 }, { (size_t)PTRDIFF_MAX, 2 }, { SIZE_MAX / 65536 + 1, 65536 },
		{ SIZE_MAX / 131072 + 1, 131072 },
	};
	for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
		FAILS(calloc(hide_size(pair[i][0]), hide_size(pair[i][1])), i);
		FAILS(reallocarray(NULL, hide_size(pair[i][0]), hide_size(pair[i][1])), i);
	}
}

static void realloc_too_big(void)
{
	for (int i = 0; i < TOO_BIG; i++) {
		FAILS(realloc(NULL, hide_size(too_big[i])), too_big[i]);
		FAILS(reallocarray(NULL, hide_size(too_big[i]), 1), too_big[i]);
		FAILS(reallocarray(NULL, 1, hide_size(too_big[i])), too_big[i]);
	}
}

static void posix_memalign_too_big(void)
{
	static const size_t alignment[] = { 8, 16, 64, 4096, 65536, 1 << 20, 1ul << 30 };
	for (size_t a = 0; a < sizeof alignment / sizeof *alignment; a++)
		for (int i = 0; i < TOO_BIG; i++) {
			void *p = &p;
			CHECKF(posix_memalign(&p, alignment[a], hide_size(too_big[i])) == ENOMEM,
			       "alignment %#zx size %#zx", alignment[a], too_big[i]);
			CHECK(p == &p);
		}
}

static void aligned_alloc_and_memalign_too_big(void)
{
	static const size_t alignment[] = { 1, 8, 16, 64, 4096, 65536, 1 << 20, 1ul << 30 };
	for (size_t a = 0; a < sizeof alignment / sizeof *alignment; a++)
		for (int i = 0; i < TOO_BIG; i++) {
			FAILS(aligned_alloc(alignment[a], hide_size(too_big[i])), too_big[i]);
			FAILS(memalign(alignment[a], hide_size(too_big[i])), too_big[i]);
		}
}

static void field_16_valloc_and_pvalloc_too_big(void)
{
	for (int i = 0; i < TOO_BIG; i++) {
		FAILS(valloc(hide_size(too_big[i])), too_big[i]);
		FAILS(pvalloc(hide_size(too_big[i])), too_big[i]);
	}
}

/* More than the address space has, less than PTRDIFF_MAX. */
static void more_than_the_address_space(void)
{
	for (int bit = 57; bit < 63; bit++) {
		size_t n = (size_t)1 << bit;
		void *p = &p;
		FAILS(malloc(n), n);
		FAILS(calloc(n / 8, 8), n);
		FAILS(realloc(NULL, n), n);
		FAILS(memalign(1 << 21, n), n);
		FAILS(aligned_alloc(64, n), n);
		FAILS(valloc(n), n);
		FAILS(pvalloc(n), n);
		CHECK(posix_memalign(&p, 4096, n) == ENOMEM);
		CHECK(p == &p);
	}
	void *after = hide(malloc(100));
	CHECK(after);
	free(after);
}

static void posix_memalign_bad_alignment(void)
{
	static const size_t bad[] = {
		0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 17, 24, 40, 48, 1000, 4095, 4097, 6 << 20,
		SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 2 + 2, PTRDIFF_MAX,
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (size_t n = 0; n < 1000; n += 333) {
			void *p = &p;
			errno = 4711;
			CHECKF(posix_memalign(&p, hide_size(bad[i]), n) == EINVAL, "alignment %#zx", bad[i]);
			CHECK(p == &p);
			CHECK(errno == 4711);
		}
}

static void aligned_alloc_bad_alignment(void)
{
	static const size_t bad[] = { 0, 3, 5, 6, 7, 9, 12, 15, 17, 24, 48, 1000, 4095, 4097, 65537 };
	static const size_t beyond[] = { SIZE_MAX / 2 + 2, SIZE_MAX - 1, SIZE_MAX };
	for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
		errno = 0;
		CHECKF(hide(aligned_alloc(hide_size(beyond[i]), 64)) == NULL, "alignment %#zx", beyond[i]);
		CHECKF(errno == EINVAL, "alignment %#zx errno %d", beyond[i], errno);
	}
	if (glibc_differs("aligned_alloc_einval"))
		return;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (size_t n = 0; n < 1000; n += 333) {
			errno = 0;
			CHECKF(hide(aligned_alloc(hide_size(bad[i]), n)) == NULL, "alignment %zu", bad[i]);
			CHECKF(errno == EINVAL, "alignment %zu errno %d", bad[i], errno);
		}
}

/* memalign takes any alignment and rounds it up to a power of two. */
static void memalign_rounds_alignment_up(void)
{
	static const struct { size_t asked, given; } row[] = {
		{ 0, 16 }, { 1, 16 }, { 2, 16 }, { 3, 16 }, { 8, 16 }, { 12, 16 }, { 17, 32 }, { 24, 32 },
		{ 33, 64 }, { 48, 64 }, { 100, 128 }, { 1000, 1024 }, { 4095, 4096 }, { 4097, 8192 },
		{ 100000, 131072 }, { (1 << 20) + 1, 2 << 20 },
	};
	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		for (size_t n = 0; n < 10000; n += 1111) {
			void *p = hide(memalign(row[i].asked, n));
			REQUIRE(p);
			CHECKF(is_aligned(p, row[i].given), "alignment %zu", row[i].asked);
			fill(p, malloc_usable_size(p), 1);
			free(p);
		}
}

static void huge_alignment(void)
{
	static const size_t beyond[] = { SIZE_MAX / 2 + 2, SIZE_MAX / 4 * 3, SIZE_MAX - 1, SIZE_MAX };
	for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
		errno = 0;
		CHECK(hide(memalign(hide_size(beyond[i]), 64)) == NULL);
		CHECKF(errno == EINVAL, "alignment %#zx errno %d", beyond[i], errno);
	}
	/* powers of two that no address space can serve */
	for (int bit = 57; bit < 64; bit++) {
		size_t alignment = (size_t)1 << bit;
		void *p = &p;
		FAILS(memalign(hide_size(alignment), 64), alignment);
		FAILS(aligned_alloc(hide_size(alignment), 64), alignment);
		CHECKF(posix_memalign(&p, hide_size(alignment), 64) == ENOMEM, "alignment %#zx", alignment);
		CHECK(p == &p);
	}
}

static void every_power_of_two_alignment(void)
{
	static const size_t sizes[] = { 0, 1, 17, 100, 1000, 4096, 5000, 65536, 131071, 131072, 300000, 3 << 20 };
	for (size_t alignment = 8; alignment <= (size_t)1 << 30; alignment *= 2)
		for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
			size_t n = sizes[s];
			void *p = NULL, *q, *r;
			if (posix_memalign(&p, alignment, n)) {
				CHECKF(0, "alignment %#zx size %zu", alignment, n);
				continue;
			}
			q = hide(aligned_alloc(alignment, n));
			r = hide(memalign(alignment, n));
			REQUIRE(p && q && r);
			CHECKF(is_aligned(p, alignment) && is_aligned(q, alignment) && is_aligned(r, alignment),
			       "alignment %#zx size %zu", alignment, n);
			CHECK(malloc_usable_size(p) >= n && malloc_usable_size(q) >= n);
			fill(p, n, 1), fill(q, n, 2), fill(r, n, 3);
			CHECK(holds(p, n, 1) && holds(q, n, 2) && holds(r, n, 3));
			free(p), free(q), free(r);
		}
	/* all of them alive at once, so that none rests on a neighbour */
	static void *live[31][4];
	for (int bit = 3; bit <= 24; bit++)
		for (int k = 0; k < 4; k++) {
			REQUIRE(live[bit][k] = hide(memalign((size_t)1 << bit, 100)));
			CHECK(is_aligned(live[bit][k], (size_t)1 << bit));
			fill(live[bit][k], 100, (unsigned)(bit * 4 + k));
		}
	for (int bit = 3; bit <= 24; bit++)
		for (int k = 0; k < 4; k++) {
			CHECK(holds(live[bit][k], 100, (unsigned)(bit * 4 + k)));
			free(live[bit][k]);
		}
}

static void field_16_valloc_and_pvalloc(void)
{
	size_t page = page_size();
	for (size_t n = 0; n < 300000; n = n * 3 + 1) {
		void *v = hide(valloc(n)), *p = hide(pvalloc(n));
		REQUIRE(v && p);
		CHECKF(is_aligned(v, page) && is_aligned(p, page), "size %zu", n);
		CHECKF(malloc_usable_size(v) >= n, "size %zu", n);
		CHECKF(malloc_usable_size(p) >= (n + page - 1) / page * page, "size %zu", n);
		fill(v, n, 1);
		fill(p, malloc_usable_size(p), 2);
		CHECK(holds(v, n, 1));
		free(v), free(p);
	}
	void *a = hide(pvalloc(0)), *b = hide(pvalloc(0)), *c = hide(valloc(0));
	CHECK(a && b && c && a != b);
	free(a), free(b), free(c);
}

static void field_16_pvalloc_of_minus_one(void)
{
	FAILS(pvalloc(hide_size((size_t)-1)), -1);
	FAILS(valloc(hide_size((size_t)-1)), -1);
	FAILS(pvalloc(hide_size((size_t)-4096)), -4096);
	FAILS(valloc(hide_size((size_t)-4096)), -4096);
}

static void field_16_realloc_to_zero(void)
{
	void *p = hide(malloc(10));
	CHECK(hide(realloc(p, 0)) == NULL);
	p = hide(realloc(NULL, 0));
	CHECK(p != NULL);
	free(p);
}

static void field_16_free_aligned_sized_of_null(void)
{
	void (*by_both)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))function_named("free_aligned_sized");
	if (!by_both && glibc_differs("free_sized"))
		return;
	REQUIRE(by_both);
	by_both(NULL, 0, 0);
	by_both(NULL, SIZE_MAX, SIZE_MAX);
}

/* free, of anything, through anything, leaves errno alone. */
static void field_15_free_keeps_errno(void)
{
	void (*by_size)(void *, size_t) = (void (*)(void *, size_t))function_named("free_sized");
	void (*by_both)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))function_named("free_aligned_sized");
	void (*old_free)(void *) = (void (*)(void *))function_named("cfree");
	for (size_t n = 0; n < (size_t)64 << 20; n = n * 2 + 1) {
		void *block[8];
		for (int i = 0; i < 8; i++) {
			REQUIRE(block[i] = i < 6 ? hide(malloc(n)) : hide(memalign(4096, n)));
			if (n)
				((volatile char *)block[i])[n - 1] = 1;
		}
		errno = 4711;
		free(block[0]);
		CHECKF(errno == 4711, "free of %zu", n);
		CHECK(realloc(block[1], 0) == NULL);
		CHECKF(errno == 4711, "realloc of %zu to 0", n);
		if (old_free)
			old_free(block[2]);
		else
			free(block[2]);
		CHECKF(errno == 4711, "cfree of %zu", n);
		if (by_size && by_both) {
			by_size(block[3], n);
			by_both(block[6], 4096, n);
			CHECKF(errno == 4711, "free_sized of %zu", n);
		} else {
			free(block[3]), free(block[6]);
		}
		free(block[4]), free(block[5]), free(block[7]);
		malloc_usable_size(NULL);
		CHECKF(errno == 4711, "size %zu", n);
	}
}

/* ... also when what free does inside fails, as madvise does on locked pages. */
static void field_15_free_keeps_errno_when_purging_fails(void)
{
	struct rlimit locked;
	getrlimit(RLIMIT_MEMLOCK, &locked);
	int all_locked = !mlockall(MCL_FUTURE);
	if (!all_locked)
		check_print("mlockall refused: runs unlocked\n");
	static void *block[200];
	for (int round = 0; round < 5; round++) {
		int have = 0;
		for (; have < 200; have++)
			if (!(block[have] = hide(malloc((size_t)have * 401 + (have % 10 ? 0 : 200000)))))
				break;
		errno = 4711;
		for (int i = 0; i < have; i++)
			free(block[i]);
		CHECK(errno == 4711);
	}
	munlockall();
}

CHECK_MAIN(
	{ "malloc_too_big", malloc_too_big, CHECK_BOTH },
	{ "calloc_too_big", calloc_too_big, CHECK_BOTH },
	{ "calloc_and_reallocarray_overflow", calloc_overflow, CHECK_BOTH },
	{ "realloc_too_big", realloc_too_big, CHECK_BOTH },
	{ "posix_memalign_too_big", posix_memalign_too_big, CHECK_BOTH },
	{ "aligned_alloc_and_memalign_too_big", aligned_alloc_and_memalign_too_big, CHECK_BOTH },
	{ "field_16_valloc_and_pvalloc_too_big", field_16_valloc_and_pvalloc_too_big, CHECK_BOTH },
	{ "more_than_the_address_space", more_than_the_address_space, CHECK_BOTH },
	{ "posix_memalign_bad_alignment", posix_memalign_bad_alignment, CHECK_BOTH },
	{ "aligned_alloc_bad_alignment", aligned_alloc_bad_alignment, CHECK_BOTH },
	{ "memalign_rounds_alignment_up", memalign_rounds_alignment_up, CHECK_BOTH },
	{ "huge_alignment", huge_alignment, CHECK_BOTH },
	{ "every_power_of_two_alignment", every_power_of_two_alignment, CHECK_BOTH },
	{ "field_16_valloc_and_pvalloc", field_16_valloc_and_pvalloc, CHECK_BOTH },
	{ "field_16_pvalloc_of_minus_one", field_16_pvalloc_of_minus_one, CHECK_BOTH },
	{ "field_16_realloc_to_zero", field_16_realloc_to_zero, CHECK_BOTH },
	{ "field_16_free_aligned_sized_of_null", field_16_free_aligned_sized_of_null, CHECK_BOTH },
	{ "field_15_free_keeps_errno", field_15_free_keeps_errno, CHECK_BOTH },
	{ "field_15_free_keeps_errno_when_purging_fails", field_15_free_keeps_errno_when_purging_fails, CHECK_BOTH },
)
