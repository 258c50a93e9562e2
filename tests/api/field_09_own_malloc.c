/*
 * FIELD.md row 9: a program that brings its own malloc, free, calloc and
 * realloc. Under the preload it must keep them for everything, also for what
 * strdup, getline and stdio allocate: if the library exported such a function
 * itself, blocks of its heap would reach this program's free. Started case by
 * case by `run`. (Functions the program does not define, such as
 * posix_memalign, are not mixed here: nobody can make those agree.)
 */
#include "check.h"

static char area[16 << 20] __attribute__((aligned(16)));
static size_t used, foreign;

void *malloc(size_t n)
{
	n = (n + 15) & ~(size_t)15;
	size_t at = __atomic_fetch_add(&used, n + 16, __ATOMIC_RELAXED);
	if (n > sizeof area || at + n + 16 > sizeof area) {
		errno = ENOMEM;
		return NULL;
	}
	*(size_t *)(area + at) = n;
	return area + at + 16;
}

void free(void *p)
{
	if (p && ((char *)p < area || (char *)p >= area + sizeof area))
		foreign++;
}

void *calloc(size_t count, size_t n)
{
	return malloc(count * n); /* never reused, so zero */
}

void *realloc(void *p, size_t n)
{
	void *q = malloc(n);
	if (!p || !q)
		return q;
	if ((char *)p < area || (char *)p >= area + sizeof area) {
		foreign++;
		return q;
	}
	size_t had = ((size_t *)p)[-2];
	memcpy(q, p, had < n ? had : n);
	return q;
}

static int mine(const void *p)
{
	return (const char *)p >= area && (const char *)p < area + sizeof area;
}

static void libc_uses_the_programs_own(void)
{
	char *text = strdup("text");
	CHECK(mine(text));
	free(text);
	text = strndup("text", 2);
	CHECK(mine(text));
	free(text);
	CHECK(asprintf(&text, "%d", 12345) == 5 && mine(text));
	free(text);
	FILE *file = fopen("/proc/self/maps", "r");
	REQUIRE(file);
	CHECK(mine(file));
	size_t size = 0;
	text = NULL;
	while (getline(&text, &size, file) > 0)
		CHECK(mine(text));
	free(text);
	fclose(file);
	text = realpath("/", NULL);
	CHECK(mine(text));
	free(text);
	file = open_memstream(&text, &size);
	REQUIRE(file);
	fputs("stream", file);
	fclose(file);
	CHECK(mine(text));
	free(text);
	qsort(area + (1 << 20), 5000, 16, (int (*)(const void *, const void *))strcmp);
	CHECKF(foreign == 0, "%zu blocks of another heap reached the program's free", foreign);
}

CHECK_MAIN(
	{ "libc_uses_the_programs_own", libc_uses_the_programs_own, CHECK_PART },
)
