/*
 * FIELD.md rows 8 and 9: a second allocator in the process. Its blocks and
 * ours stay apart: glibc's own malloc, reached past the preload, shares the
 * break with us; and a program that defines malloc itself keeps it, also for
 * what libc allocates on its behalf (field_09_own_malloc). What free says to a
 * foreign block is in tests/misuse. Started case by case by `run`.
 */
#include "check.h"

static void two_heaps_on_one_break(void)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	REQUIRE(libc);
	void *(*other_malloc)(size_t) = (void *(*)(size_t))dlsym(libc, "malloc");
	void (*other_free)(void *) = (void (*)(void *))dlsym(libc, "free");
	void *(*other_realloc)(void *, size_t) = (void *(*)(void *, size_t))dlsym(libc, "realloc");
	REQUIRE(other_malloc && other_free && other_realloc);
	enum { BLOCKS = 4000 };
	static struct { void *mine, *other; size_t n; } block[BLOCKS];
	uint64_t random = seed_from_environment();
	for (int round = 0; round < 6; round++) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			if (block[i].mine && next_random(&random) % 2)
				continue;
			if (block[i].mine) {
				CHECKF(holds(block[i].mine, block[i].n, i), "mine, block %u", i);
				CHECKF(holds(block[i].other, block[i].n, i + 1), "other, block %u", i);
				free(block[i].mine);
				other_free(block[i].other);
			}
			block[i].n = next_random(&random) % (i % 100 ? 3000 : 150000);
			REQUIRE(block[i].mine = hide(malloc(block[i].n)));
			REQUIRE(block[i].other = other_malloc(block[i].n));
			fill(block[i].mine, block[i].n, i);
			fill(block[i].other, block[i].n, i + 1);
		}
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		REQUIRE(block[i].other = other_realloc(block[i].other, block[i].n + 1000));
		CHECK(holds(block[i].mine, block[i].n, i) && holds(block[i].other, block[i].n, i + 1));
		free(block[i].mine);
		other_free(block[i].other);
	}
	malloc_trim(0);
}

/* What libc allocates for us we free, and what we allocate libc grows. */
static void libc_and_we_share_blocks(void)
{
	char *text = NULL;
	size_t size = 0;
	CHECK(asprintf(&text, "%05000d", 7) == 5000);
	CHECK(malloc_usable_size(text) >= 5001);
	free(text);
	text = strdup("duplicate");
	CHECK(!strcmp(text, "duplicate"));
	free(text);
	FILE *file = tmpfile();
	REQUIRE(file);
	for (int i = 0; i < 200000; i++)
		putc('x', file);
	putc('\n', file);
	rewind(file);
	text = (char *)hide(malloc(10));
	size = 10;
	CHECK(getline(&text, &size, file) == 200001);
	CHECK(malloc_usable_size(text) >= 200001);
	free(text);
	fclose(file);
	text = realpath("/proc/self/../self", NULL);
	CHECK(text);
	free(text);
}

CHECK_MAIN(
	{ "two_heaps_on_one_break", two_heaps_on_one_break, CHECK_BOTH },
	{ "libc_and_we_share_blocks", libc_and_we_share_blocks, CHECK_BOTH },
)
