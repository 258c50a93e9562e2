/*
 * The __libc_* names and cfree, which programs reach through dlsym or old
 * binaries (FIELD.md row 9): what one of them hands out the plain functions
 * must take, else the two heaps of a preloaded process get mixed up. Started
 * case by case by `run`, under glibc and under libvmalloc.
 */
#include "check.h"

typedef void *one_size(size_t);
typedef void *two_sizes(size_t, size_t);
typedef void *resize(void *, size_t);
typedef void release(void *);

static void *required(const char *name)
{
	void *address = function_named(name);
	if (!address) {
		check_fail(__FILE__, __LINE__, "no symbol %s", name);
		_exit(1);
	}
	return address;
}

static void makers_reach_the_same_heap(void)
{
	one_size *lm = (one_size *)required("__libc_malloc");
	two_sizes *lc = (two_sizes *)required("__libc_calloc");
	resize *lr = (resize *)required("__libc_realloc");
	two_sizes *la = (two_sizes *)required("__libc_memalign");
	one_size *lv = (one_size *)required("__libc_valloc");
	one_size *lp = (one_size *)required("__libc_pvalloc");
	for (size_t n = 0; n < 3000000; n = n * 3 + 1) {
		void *block[] = { lm(n), lc(1, n), lr(NULL, n), la(256, n), lv(n), lp(n) };
		for (int i = 0; i < 6; i++) {
			REQUIRE(block[i]);
			CHECKF(malloc_usable_size(block[i]) >= n, "maker %d size %zu", i, n);
			fill(block[i], n, (unsigned)i);
		}
		CHECK(all_zero(block[1], 0) && is_aligned(block[3], 256));
		CHECK(is_aligned(block[4], page_size()) && is_aligned(block[5], page_size()));
		for (int i = 0; i < 6; i++) {
			REQUIRE(block[i] = hide(realloc(block[i], n * 2 + 1)));
			CHECKF(holds(block[i], n, (unsigned)i), "maker %d size %zu", i, n);
			free(block[i]);
		}
	}
}

static void libc_free_takes_plain_blocks(void)
{
	release *lf = (release *)required("__libc_free");
	resize *lr = (resize *)required("__libc_realloc");
	size_t before = 0;
	for (int round = 0; round < 120; round++) {
		for (size_t n = 0; n < 3000000; n = n * 3 + 1) {
			void *p = hide(malloc(n)), *q = hide(calloc(n, 1)), *r = hide(memalign(512, n));
			REQUIRE(p && q && r);
			fill(p, n, 1);
			REQUIRE(p = lr(p, n + 100));
			CHECK(holds(p, n, 1));
			errno = 4711;
			lf(p), lf(q), lf(r), lf(NULL);
			CHECK(errno == 4711);
		}
		if (round == 40)
			before = rss_bytes();
	}
	CHECK(rss_bytes() < before + (4 << 20));
}

static void libc_names_have_the_same_rules(void)
{
	one_size *lm = (one_size *)required("__libc_malloc");
	two_sizes *lc = (two_sizes *)required("__libc_calloc");
	two_sizes *la = (two_sizes *)required("__libc_memalign");
	one_size *lv = (one_size *)required("__libc_valloc");
	one_size *lp = (one_size *)required("__libc_pvalloc");
	resize *lr = (resize *)required("__libc_realloc");
	size_t huge[] = { SIZE_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096 };
	for (int i = 0; i < 3; i++) {
#define FAILS(call) errno = 0; CHECK(hide(call) == NULL); CHECK(errno == ENOMEM)
		FAILS(lm(huge[i]));
		FAILS(lc(huge[i], 1));
		FAILS(la(64, huge[i]));
		FAILS(lv(huge[i]));
		FAILS(lp(huge[i]));
		FAILS(lr(NULL, huge[i]));
	}
	FAILS(lc(SIZE_MAX / 2 + 1, 2));
	char *zero = (char *)lc(3, 1000);
	REQUIRE(zero);
	CHECK(all_zero(zero, 3000));
	CHECK(lr(zero, 0) == NULL);
}

static void cfree_frees(void)
{
	release *old_free = (release *)function_named("cfree");
	if (!old_free && glibc_differs("cfree_by_name"))
		return;
	REQUIRE(old_free);
	size_t before = 0;
	for (int round = 0; round < 120; round++) {
		for (size_t n = 0; n < 3000000; n = n * 3 + 1) {
			char *p = (char *)hide(malloc(n));
			REQUIRE(p);
			if (n)
				p[n - 1] = 1;
			errno = 4711;
			old_free(p);
			CHECK(errno == 4711);
		}
		if (round == 40)
			before = rss_bytes();
	}
	CHECK(rss_bytes() < before + (4 << 20));
	old_free(NULL);
}

/* Every name of the family is ours: none falls through to glibc's heap. */
static void field_09_every_name_is_ours(void)
{
	static const char *const name[] = {
		"malloc", "free", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc",
		"memalign", "valloc", "pvalloc", "malloc_usable_size", "free_sized", "free_aligned_sized",
		"malloc_trim", "malloc_stats", "malloc_info", "mallinfo", "mallinfo2", "mallopt", "cfree",
		"__libc_malloc", "__libc_free", "__libc_calloc", "__libc_realloc", "__libc_memalign",
		"__libc_valloc", "__libc_pvalloc",
	};
	for (size_t i = 0; i < sizeof name / sizeof *name; i++)
		CHECKF(comes_from_library(name[i]), "%s is not the library's", name[i]);
	static const char *const other[] = { "strdup", "strndup", "getline", "asprintf", "sbrk", "brk", "mmap" };
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		CHECKF(!comes_from_library(other[i]), "%s is the library's", other[i]);
}

/* An old binary refers to cfree by the version glibc gave it. */
#if defined __x86_64__
__asm__(".symver old_binary_cfree, cfree@GLIBC_2.2.5");
#elif defined __aarch64__
__asm__(".symver old_binary_cfree, cfree@GLIBC_2.17");
#else
#error "which version has cfree here?"
#endif
extern void old_binary_cfree(void *);

static void field_09_cfree_of_old_binaries(void)
{
	for (size_t n = 0; n < 3000000; n = n * 3 + 1) {
		void *p = hide(malloc(n));
		REQUIRE(p);
		old_binary_cfree(p);
	}
	old_binary_cfree(NULL);
}

CHECK_MAIN(
	{ "makers_reach_the_same_heap", makers_reach_the_same_heap, CHECK_BOTH },
	{ "libc_free_takes_plain_blocks", libc_free_takes_plain_blocks, CHECK_BOTH },
	{ "libc_names_have_the_same_rules", libc_names_have_the_same_rules, CHECK_BOTH },
	{ "cfree_frees", cfree_frees, CHECK_BOTH },
	{ "field_09_every_name_is_ours", field_09_every_name_is_ours, CHECK_LIBVMALLOC_ONLY },
	{ "field_09_cfree_of_old_binaries", field_09_cfree_of_old_binaries, CHECK_BOTH },
)
