/*
 * The frame of the API tests: included once by every program of this folder,
 * which `run` then starts one case at a time, each in a process of its own, so
 * that a case begins with an untouched heap and a crash loses only itself.
 * Nothing here calls malloc: output goes through write(2), maps are read into
 * a static buffer. Exit status: 0 passed, 1 failed, 77 skipped; reasons go to
 * stdout. CHECK_UNDER (set by `run`) says which allocator the process is
 * meant to have; a process that has another one fails at once.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

enum {
	CHECK_EXIT_SKIP = 77,
	CHECK_ALARM_SECONDS = 280,   /* a case that hangs dies of SIGALRM */
	CHECK_LARGE_MIN = 131072,    /* the contract: from here up through mmap */
	CHECK_MAPS_BYTES = 1 << 20,
};

enum check_flags {
	CHECK_BOTH = 0,              /* stated for glibc and libvmalloc alike */
	CHECK_LIBVMALLOC_ONLY = 1,
	CHECK_PART = 2,              /* started by another case or by hand of `run`, not listed */
};

struct check_case {
	const char *name;
	void (*run)(void);
	int flags;
};

/*
 * Where glibc, or libstdc++ on it, is not what the newest is, or lacks
 * something. (One more difference is a whole case: a fork in a handler that
 * interrupted malloc deadlocks under glibc in a threaded program, so
 * field_05_fork has that case for libvmalloc only.) A check
 * behind glibc_differs(id) holds for libvmalloc and for a glibc of at least
 * the version named; under an older one it is left out, and the row is shown.
 * Minor 999: no release of glibc seen by us does it.
 */
struct glibc_difference {
	const char *id;
	int since_minor;
	const char *what;
};

static const struct glibc_difference glibc_differences[] UNUSED = {
	{ "aligned_alloc_einval", 38,
	  "aligned_alloc with an alignment that is 0 or no power of two succeeds before 2.38; EINVAL since" },
	{ "free_sized", 43,
	  "free_sized and free_aligned_sized (C23) are missing before 2.43" },
	{ "mmap_threshold_limit", 36,
	  "mallopt refuses an M_MMAP_THRESHOLD above 32 MiB in older versions (2.36 takes any)" },
	{ "realloc_large_stays", 999,
	  "realloc of an mmapped block to its whole usable size remaps it, and may move it (seen in 2.36)" },
	{ "cfree_by_name", 999,
	  "cfree is only there under its old version since 2.26: neither linking nor dlsym find it" },
	{ "aligned_new_overflow", 999,
	  "libstdc++'s aligned new rounds the size up past SIZE_MAX and hands out a small block (seen in GCC 12)" },
};

static int check_failures UNUSED;

static void check_print(const char *format, ...) __attribute__((format(printf, 1, 2), unused));
static void check_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4), unused));

static void check_vprint(const char *format, va_list ap)
{
	char line[512];
	int length = vsnprintf(line, sizeof line, format, ap);
	if (length > (int)sizeof line - 1)
		length = sizeof line - 1;
	if (write(STDOUT_FILENO, line, (size_t)length) != length)
		_exit(1);
}

static void check_print(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	check_vprint(format, ap);
	va_end(ap);
}

static void check_fail(const char *file, int line, const char *format, ...)
{
	int shown = __atomic_fetch_add(&check_failures, 1, __ATOMIC_RELAXED);
	if (shown >= 5)
		return;
	char reason[400];
	va_list ap;
	va_start(ap, format);
	vsnprintf(reason, sizeof reason, format, ap);
	va_end(ap);
	const char *base = strrchr(file, '/');
	check_print("%s:%d: %s\n", base ? base + 1 : file, line, reason);
}

/* CHECK goes on after a failure, REQUIRE ends the case. */
#define CHECK(cond) \
	do { if (!(cond)) check_fail(__FILE__, __LINE__, "%s", #cond); } while (0)
#define CHECKF(cond, ...) \
	do { if (!(cond)) check_fail(__FILE__, __LINE__, #cond ": " __VA_ARGS__); } while (0)
#define REQUIRE(cond) \
	do { if (!(cond)) { check_fail(__FILE__, __LINE__, "%s (errno %d)", #cond, errno); _exit(1); } } while (0)
#define SKIP(...) \
	do { check_print("SKIP " __VA_ARGS__); check_print("\n"); _exit(CHECK_EXIT_SKIP); } while (0)

/* What a function returned is hidden from the compiler, so that it can neither
 * drop a pair of malloc and free nor warn of what a test does on purpose. */
static inline UNUSED void *hide(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static inline UNUSED size_t hide_size(size_t n)
{
	__asm__ volatile("" : "+r"(n));
	return n;
}

static UNUSED int under_libvmalloc(void)
{
	const char *under = getenv("CHECK_UNDER");
	return under && !strcmp(under, "libvmalloc");
}

static UNUSED int glibc_differs(const char *id)
{
	size_t rows = sizeof glibc_differences / sizeof *glibc_differences;
	for (size_t i = 0; i < rows; i++) {
		const struct glibc_difference *row = &glibc_differences[i];
		if (strcmp(row->id, id))
			continue;
		if (under_libvmalloc() || atoi(gnu_get_libc_version() + 2) >= row->since_minor)
			return 0;
		static const char *shown;
		if (shown != row->id)
			check_print("DIFFERS %s: %s\n", row->id, row->what);
		shown = row->id;
		return 1;
	}
	check_fail(__FILE__, __LINE__, "no row %s in glibc_differences", id);
	return 0;
}

/* ---- contents ---- */

/* Fills n bytes with a pattern that depends on seed and on every position. */
static UNUSED void fill(void *block, size_t n, unsigned seed)
{
	unsigned char *b = (unsigned char *)block;
	for (size_t i = 0; i < n; i++)
		b[i] = (unsigned char)(seed * 101u + i * 7u + (i >> 8) * 13u + (i >> 16));
}

static UNUSED int holds(const void *block, size_t n, unsigned seed)
{
	const unsigned char *b = (const unsigned char *)block;
	for (size_t i = 0; i < n; i++)
		if (b[i] != (unsigned char)(seed * 101u + i * 7u + (i >> 8) * 13u + (i >> 16)))
			return 0;
	return 1;
}

static UNUSED int all_zero(const void *block, size_t n)
{
	const unsigned char *b = (const unsigned char *)block;
	for (size_t i = 0; i < n; i++)
		if (b[i])
			return 0;
	return 1;
}

static inline UNUSED int is_aligned(const void *p, size_t alignment)
{
	return ((uintptr_t)p & (alignment - 1)) == 0;
}

/*
 * The ladder: 16-byte steps to 256, then eight steps a doubling, as the design
 * has its classes. next_rung(n) is the first rung above n. Cases visit the
 * rung and its neighbours, so a ladder with other rungs is covered too as long
 * as it is not finer.
 */
static inline UNUSED size_t next_rung(size_t n)
{
	if (n < 256)
		return (n / 16 + 1) * 16;
	size_t top = (size_t)1 << (63 - __builtin_clzl(n));
	size_t step = top / 8;
	return (n / step + 1) * step;
}

static inline UNUSED uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static UNUSED uint64_t seed_from_environment(void)
{
	const char *text = getenv("SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 0x9e3779b97f4a7c15u;
	if (!seed)
		seed = 1;
	check_print("seed %llu\n", (unsigned long long)seed);
	return seed;
}

/* ---- what the system says about this process ---- */

static UNUSED size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static UNUSED ssize_t read_whole(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t have = 0;
	ssize_t got;
	while (have < size - 1 && (got = read(fd, buffer + have, size - 1 - have)) > 0)
		have += (size_t)got;
	close(fd);
	buffer[have] = 0;
	return (ssize_t)have;
}

static UNUSED size_t statm_field(int field)
{
	char text[256];
	REQUIRE(read_whole("/proc/self/statm", text, sizeof text) > 0);
	char *at = text;
	size_t value = 0;
	for (int i = 0; i <= field; i++)
		value = strtoul(at, &at, 10);
	return value * page_size();
}

static UNUSED size_t address_space_bytes(void) { return statm_field(0); }
static UNUSED size_t rss_bytes(void) { return statm_field(1); }

static UNUSED long minor_faults(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Copies the name of the mapping that holds p ("" for none or anonymous). */
static UNUSED int mapping_name(const void *p, char *name, size_t size)
{
	static char maps[CHECK_MAPS_BYTES];
	REQUIRE(read_whole("/proc/self/maps", maps, sizeof maps) > 0);
	for (char *line = maps; *line; line = strchr(line, '\n') + 1) {
		char *at;
		uintptr_t from = strtoul(line, &at, 16), to = strtoul(at + 1, &at, 16);
		if ((uintptr_t)p < from || (uintptr_t)p >= to)
			continue;
		size_t length = strcspn(line, "\n");
		size_t column = 73;
		snprintf(name, size, "%.*s", length > column ? (int)(length - column) : 0,
			 length > column ? line + column : "");
		return 1;
	}
	name[0] = 0;
	return 0;
}

static UNUSED int in_brk_heap(const void *p)
{
	char name[256];
	return mapping_name(p, name, sizeof name) && !strcmp(name, "[heap]");
}

/* ---- functions that a libc may lack ---- */

#ifdef CHECK_FULLY_STATIC
/* No dlsym in a static program: what a case may ask for by name, weakly. */
#ifdef __cplusplus
extern "C" {
#endif
extern void free_sized(void *, size_t) __attribute__((weak));
extern void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));
extern void cfree(void *) __attribute__((weak));
#ifdef __cplusplus
}
#endif

static UNUSED void *function_named(const char *name)
{
	return !strcmp(name, "free_sized") ? (void *)free_sized
	       : !strcmp(name, "free_aligned_sized") ? (void *)free_aligned_sized
	       : !strcmp(name, "cfree") ? (void *)cfree
	       : !strcmp(name, "mallinfo2") ? (void *)mallinfo2 : NULL;
}

static UNUSED int comes_from_library(const char *symbol)
{
	(void)symbol;
	return 0;
}
#else
static UNUSED void *function_named(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

/* Says whether the symbol is defined by the library under test. */
static UNUSED int comes_from_library(const char *symbol)
{
	const char *library = getenv("CHECK_LIBRARY");
	Dl_info info;
	void *address = function_named(symbol);
	return address && library && dladdr(address, &info) && strstr(info.dli_fname, library);
}
#endif

static int check_main(int argc, char **argv, const struct check_case *cases, size_t count)
{
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < count; i++)
			if (!(cases[i].flags & CHECK_PART))
				check_print("%s %s\n", cases[i].name,
					    cases[i].flags & CHECK_LIBVMALLOC_ONLY ? "libvmalloc" : "both");
		return 0;
	}
	if (argc != 2) {
		check_print("usage: %s --list | CASE\n", argv[0]);
		return 2;
	}
	/* CHECK_LIBRARY is empty where the allocator is linked statically.  calloc, since malloc has the address of the program's own
	 * stub where one takes it (field_08_address_taken) */
	if (under_libvmalloc() && getenv("CHECK_LIBRARY") && *getenv("CHECK_LIBRARY")
	    && !comes_from_library("calloc")) {
		check_print("calloc does not come from %s\n", getenv("CHECK_LIBRARY"));
		return 1;
	}
	for (size_t i = 0; i < count; i++) {
		if (strcmp(cases[i].name, argv[1]))
			continue;
		alarm(CHECK_ALARM_SECONDS);
		cases[i].run();
		return check_failures != 0;
	}
	check_print("no case %s\n", argv[1]);
	return 2;
}

#define CHECK_MAIN(...) \
	static const struct check_case check_cases[] = { __VA_ARGS__ }; \
	int main(int argc, char **argv) \
	{ \
		return check_main(argc, argv, check_cases, \
				  sizeof check_cases / sizeof *check_cases); \
	}

#endif
