/*
 * One misuse a process: `run` starts this program once for every case of
 * `misuse --list` and wants it to die of SIGABRT with exactly one line on
 * stderr. What that line is the program itself writes to stdout beforehand,
 * after "EXPECT ", addresses and sizes filled in; where the contract leaves
 * more than one text, each has its own line. "PREFIX " allows any line that
 * begins so. A misuse that goes unnoticed ends with status 3, a function the
 * C library lacks with 77. Without arguments to `run` a few of the cases are
 * tried under glibc too, to show that the programs do what they say.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { UNNOTICED = 3, LACKING = 77, LOOP = 200000 };

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	char line[400];
	va_list ap;
	va_start(ap, format);
	int length = vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	if (write(STDOUT_FILENO, line, (size_t)length) != length)
		_exit(1);
}

/* The compiler must neither see that a block is freed nor drop a call. */
static void *hide(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static void *get(size_t n)
{
	void *p = hide(malloc(n));
	if (!p)
		_exit(1);
	memset(p, 0x11, n);
	return p;
}

static uintptr_t address(const void *p) { return (uintptr_t)p; }

/* ---- the calls ---- */

enum call { FREE, REALLOC, REALLOCARRAY, USABLE, DELETE, DELETE_ARRAY, DELETE_SIZED, FREE_SIZED,
	FREE_ALIGNED_SIZED, CFREE, CALLS };

static const struct { const char *name, *symbol, *printed; int frees; } call_table[CALLS] = {
	[FREE] = { "free", "free", "free()", 1 },
	[REALLOC] = { "realloc", "realloc", "realloc()", 0 },
	[REALLOCARRAY] = { "reallocarray", "reallocarray", "reallocarray()", 0 },
	[USABLE] = { "malloc_usable_size", "malloc_usable_size", "malloc_usable_size()", 0 },
	[DELETE] = { "delete", "_ZdlPv", "operator delete()", 1 },
	[DELETE_ARRAY] = { "delete_array", "_ZdaPv", "operator delete()", 1 },
	[DELETE_SIZED] = { "delete_sized", "_ZdlPvm", "operator delete()", 1 },
	[FREE_SIZED] = { "free_sized", "free_sized", "free_sized()", 1 },
	[FREE_ALIGNED_SIZED] = { "free_aligned_sized", "free_aligned_sized", "free_aligned_sized()", 1 },
	[CFREE] = { "cfree", "cfree", "cfree()", 1 },
};

static enum call the_call;
static size_t the_size = 100; /* what sized frees are told */

static void *symbol(const char *name)
{
	void *p = dlsym(RTLD_DEFAULT, name);
	if (!p)
		_exit(LACKING);
	return p;
}

__attribute__((noinline)) static void do_call(enum call call, void *p)
{
	void *f = symbol(call_table[call].symbol);
	p = hide(p);
	switch (call) {
	case REALLOC:
		hide(((void *(*)(void *, size_t))f)(p, the_size + 1000));
		break;
	case REALLOCARRAY:
		hide(((void *(*)(void *, size_t, size_t))f)(p, 10, the_size));
		break;
	case USABLE: {
		volatile size_t n = ((size_t (*)(void *))f)(p);
		(void)n;
		break;
	}
	case DELETE_SIZED:
	case FREE_SIZED:
		((void (*)(void *, size_t))f)(p, the_size);
		break;
	case FREE_ALIGNED_SIZED:
		((void (*)(void *, size_t, size_t))f)(p, 16, the_size);
		break;
	default:
		((void (*)(void *))f)(p);
		break;
	}
}

/* Announces one text for the call made; operator delete[] may be named as such. */
static void expect(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void expect(const char *kind, const char *format, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	say("%s libvmalloc: %s: %s\n", kind, call_table[the_call].printed, text);
	if (the_call == DELETE_ARRAY)
		say("%s libvmalloc: operator delete[](): %s\n", kind, text);
}

static void expect_freed(const void *p)
{
	if (call_table[the_call].frees)
		expect("EXPECT", "double free of 0x%lx", address(p));
	else
		expect("EXPECT", "0x%lx is already free", address(p));
}

static void expect_interior(const void *block, size_t offset)
{
	expect("EXPECT", "0x%lx is not the start of a block: it lies %zu bytes into block 0x%lx of %zu bytes",
	       address(block) + offset, offset, address(block), malloc_usable_size((void *)(uintptr_t)block));
}

static void expect_foreign(const void *p)
{
	expect("EXPECT", "0x%lx is not from libvmalloc: it comes from another allocator, "
	       "from before libvmalloc was loaded, or is no heap address", address(p));
}

static void expect_stack(const void *p)
{
	expect("EXPECT", "0x%lx is not from libvmalloc: it points into the stack", address(p));
}

/* ---- already free ---- */

static void freed_of(size_t n)
{
	void *before = get(n), *p = get(n), *after = get(n);
	the_size = n;
	expect_freed(p);
	free(p);
	do_call(the_call, p);
	free(before), free(after);
}

static void freed_first(void)      { void *p = get(100); expect_freed(p); free(p); do_call(the_call, p); }
static void freed_16(void)         { freed_of(16); }
static void freed_32(void)         { freed_of(32); }
static void freed_1000(void)       { freed_of(1000); }
static void freed_20000(void)      { freed_of(20000); }
static void freed_131071(void)     { freed_of(131071); }
static void freed_131072(void)     { freed_of(131072); }
static void freed_1_mib(void)      { freed_of(1 << 20); }
static void freed_64_mib(void)     { freed_of(64 << 20); }

static void freed_aligned_of(size_t alignment, size_t n)
{
	void *p = hide(memalign(alignment, n)), *after = hide(memalign(alignment, n));
	the_size = n;
	expect_freed(p);
	free(p);
	do_call(the_call, p);
	free(after);
}

static void freed_aligned_4096(void)  { freed_aligned_of(4096, 100); }
static void freed_aligned_64k(void)   { freed_aligned_of(65536, 1000); }
static void freed_aligned_large(void) { freed_aligned_of(1 << 20, 300000); }

/* Other frees of the class lie between the two. */
static void freed_long_ago(void)
{
	static void *other[200];
	void *kept[20];
	for (int i = 0; i < 200; i++)
		other[i] = get(48);
	void *p = get(48);
	for (int i = 0; i < 20; i++)
		kept[i] = get(48);
	expect_freed(p);
	free(p);
	for (int i = 0; i < 200; i += 2)
		free(other[i]);
	do_call(the_call, p);
	free(kept[0]);
}

/* All blocks of its slab went too: the slab itself may be gone. */
static void freed_with_its_slab(void)
{
	enum { MANY = 100000 };
	static void *block[MANY];
	for (int i = 0; i < MANY; i++)
		block[i] = get(64);
	void *p = block[MANY / 2];
	for (int i = 0; i < MANY; i++)
		free(block[i]);
	malloc_trim(0);
	expect_freed(p);
	expect("PREFIX", "0x%lx ", address(p));
	do_call(the_call, p);
}

/* ---- inside a block ---- */

static void interior_of(size_t n, size_t offset)
{
	char *before = get(n), *p = get(n), *after = get(n);
	the_size = n;
	if (offset == SIZE_MAX)
		offset = malloc_usable_size(p) - 1;
	expect_interior(p, offset);
	do_call(the_call, p + offset);
	free(before), free(after);
}

static void interior_32_1(void)        { interior_of(32, 1); }
static void interior_32_8(void)        { interior_of(32, 8); }
static void interior_32_16(void)       { interior_of(32, 16); }
static void interior_48_32(void)       { interior_of(48, 32); }
static void interior_1000_1(void)      { interior_of(1000, 1); }
static void interior_1000_16(void)     { interior_of(1000, 16); }
static void interior_1000_last(void)   { interior_of(1000, SIZE_MAX); }
static void interior_20000_8(void)     { interior_of(20000, 8); }
static void interior_20000_16(void)    { interior_of(20000, 16); }
static void interior_20000_4096(void)  { interior_of(20000, 4096); }
static void interior_131071_64k(void)  { interior_of(131071, 65536); }
static void interior_131071_last(void) { interior_of(131071, SIZE_MAX); }
static void interior_large_1(void)     { interior_of(200000, 1); }
static void interior_large_16(void)    { interior_of(200000, 16); }
static void interior_large_4096(void)  { interior_of(200000, 4096); }
static void interior_large_last(void)  { interior_of(200000, SIZE_MAX); }
static void interior_4_mib_2_mib(void) { interior_of(4 << 20, 2 << 20); }

static void interior_aligned(void)
{
	char *p = hide(memalign(4096, 100));
	expect_interior(p, 16);
	do_call(the_call, p + 16);
}

/* ---- a block's start that malloc never returned ---- */

/* Blocks come to life a page at a time: one on the same page as p may be told
 * as free, one of a page further on, or of a big block, was never handed out. */
static void never_of(size_t n, size_t blocks_on, int alive)
{
	char *p = get(n);
	char *other = p + malloc_usable_size(p) * blocks_on;
	the_size = n;
	expect("EXPECT", "0x%lx was never handed out", address(other));
	if (alive)
		expect_freed(other);
	do_call(the_call, other);
}

static void never_32_next(void)   { never_of(32, 1, 1); }
static void never_32_far(void)    { never_of(32, 512, 0); }
static void never_1000_next(void) { never_of(1000, 1, 1); }
static void never_1000_far(void)  { never_of(1000, 16, 0); }
static void never_7000(void)      { never_of(7000, 1, 0); }

/* ---- not ours ---- */

static char in_data[64] __attribute__((aligned(16))) = "data";
static char in_bss[64] __attribute__((aligned(16)));

__attribute__((noinline)) static void stack_local(void)
{
	char local[64] __attribute__((aligned(16)));
	void *p = hide(local);
	expect_stack(p);
	do_call(the_call, p);
}

__attribute__((noinline)) static void stack_misaligned(void)
{
	char local[64] __attribute__((aligned(16)));
	char *p = (char *)hide(local) + 3;
	expect_stack(p);
	do_call(the_call, p);
}

static void stack_argv_strings(void)
{
	/* the environment lies at the far end of the stack */
	char *p = getenv("MISUSE_CASE");
	if (!p)
		_exit(1);
	expect_stack(p);
	expect_foreign(p);
	do_call(the_call, p);
}

static void *on_thread_stack(void *arg)
{
	char local[64] __attribute__((aligned(16)));
	void *p = hide(local);
	/* a thread's stack is a mapping like any other: both are true */
	expect_stack(p);
	expect_foreign(p);
	do_call(the_call, p);
	return arg;
}

static void run_in_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, arg))
		_exit(1);
	pthread_join(thread, NULL);
}

static void stack_of_thread(void) { run_in_thread(on_thread_stack, NULL); }

static void foreign(void *p)
{
	free(get(100)); /* the heap is up */
	expect_foreign(p);
	do_call(the_call, p);
}

static void foreign_data(void)            { foreign(in_data); }
static void foreign_data_misaligned(void) { foreign(in_data + 5); }
static void foreign_bss(void)             { foreign(in_bss); }
static void foreign_literal(void)         { foreign((void *)(uintptr_t)"a string literal"); }
static void foreign_code(void)            { foreign((void *)(uintptr_t)say); }
static void foreign_one(void)             { foreign((void *)1); }
static void foreign_16(void)              { foreign((void *)16); }
static void foreign_minus_16(void)        { foreign((void *)-16); }
static void foreign_minus_1(void)         { foreign((void *)-1); }
static void foreign_non_canonical(void)   { foreign((void *)0x8000000000000000u); }
static void foreign_non_canonical_2(void) { foreign((void *)0x4141414141414141u); }
static void foreign_above_47_bits(void)   { foreign((void *)0x00f0000000001000u); }
static void foreign_kernel(void)          { foreign((void *)0xffff888000000000u); }

static void foreign_page(void)
{
	char *p = mmap(NULL, 3 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	foreign(p);
}

static void foreign_page_middle(void)
{
	char *p = mmap(NULL, 3 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	foreign(p + (1 << 20) + 16);
}

static void foreign_unmapped(void)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(p, 1 << 20);
	foreign(p + 64);
}

static void foreign_break(void)
{
	free(get(100));
	char *p = sbrk(200000);
	for (int i = 0; i < 1000; i++)
		get(5000); /* the heap grows past what the program took */
	foreign(p + 65536 + 16);
}

static void foreign_beyond_the_break(void)
{
	free(get(100));
	foreign((char *)sbrk(0) + (16 << 20));
}

/* A block of glibc's malloc, reached past the preload. */
static void foreign_glibc_block_of(size_t n)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	void *(*its_malloc)(size_t) = (void *(*)(size_t))(libc ? dlsym(libc, "malloc") : NULL);
	if (!its_malloc)
		_exit(LACKING);
	foreign(its_malloc(n));
}

static void foreign_glibc_small(void) { foreign_glibc_block_of(100); }
static void foreign_glibc_large(void) { foreign_glibc_block_of(1 << 20); }

/* ---- between threads: A is the main thread, B and C are others ---- */

static size_t remote_size;
static void *remote_block;
static pthread_barrier_t meet;

static void *b_frees(void *p) { free(p); return NULL; }

static void *b_frees_and_waits(void *p)
{
	free(p);
	pthread_barrier_wait(&meet);
	pause();
	return NULL;
}

static void *b_misuses(void *p) { do_call(the_call, p); return NULL; }

static void *b_frees_then_misuses(void *p)
{
	free(p);
	do_call(the_call, p);
	return NULL;
}

static void *b_makes(void *arg)
{
	void *first = get(remote_size), *last;
	remote_block = get(remote_size);
	last = get(remote_size); /* neighbours stay, so that the slab does */
	(void)first, (void)last;
	return arg;
}

static void *own_block(void)
{
	/* live neighbours, so that the slab stays */
	void *before = get(remote_size), *p = get(remote_size), *after = get(remote_size);
	(void)before, (void)after;
	the_size = remote_size;
	return p;
}

static void b_twice(void)
{
	void *p = own_block();
	expect_freed(p);
	run_in_thread(b_frees_then_misuses, p);
}

static void b_then_a(void)
{
	void *p = own_block();
	expect_freed(p);
	run_in_thread(b_frees, p);
	do_call(the_call, p);
}

/* B lives on and may still hold the block in a batch of its own. */
static void b_alive_then_a(void)
{
	void *p = own_block();
	pthread_t thread;
	expect_freed(p);
	pthread_barrier_init(&meet, NULL, 2);
	pthread_create(&thread, NULL, b_frees_and_waits, p);
	pthread_barrier_wait(&meet);
	do_call(the_call, p);
}

static void a_then_b(void)
{
	void *p = own_block();
	expect_freed(p);
	free(p);
	run_in_thread(b_misuses, p);
}

static void b_then_c(void)
{
	void *p = own_block();
	expect_freed(p);
	run_in_thread(b_frees, p);
	run_in_thread(b_misuses, p);
}

/* The thread that made it has ended. */
static void of_ended_thread(void)
{
	the_size = remote_size;
	run_in_thread(b_makes, NULL);
	expect_freed(remote_block);
	free(remote_block);
	do_call(the_call, remote_block);
}

static void interior_by_b(void)
{
	char *p = own_block();
	expect_interior(p, 16);
	run_in_thread(b_misuses, p + 16);
}

/* ---- written to after it was freed ---- */

static const size_t write_sizes[] = { 16, 32, 48, 100, 256, 1000, 5000, 20000, 100000 };
enum { FIRST_8, SECOND_8, WHOLE, PLACES };
static const char *const place_names[PLACES] = { "first_8", "second_8", "whole" };
static const unsigned char write_values[] = { 0x41, 0x00, 0xff };
enum { BY_MALLOC, BY_CALLOC, BY_REALLOC, FINDERS };
static const char *const finder_names[FINDERS] = { "malloc", "calloc", "realloc" };

__attribute__((noinline)) static void written(size_t n, int place, unsigned char value, int finder)
{
	char *before = get(n), *p = get(n), *after = get(n);
	say("EXPECT libvmalloc: malloc(): free block 0x%lx was written to after it was freed\n", address(p));
	if (finder != BY_MALLOC)
		say("EXPECT libvmalloc: %s(): free block 0x%lx was written to after it was freed\n",
		    finder_names[finder], address(p));
	char *gone = hide(p);
	free(p);
	memset(gone + (place == SECOND_8 ? 8 : 0), value, place == WHOLE ? n : 8);
	__asm__ volatile("" : : : "memory");
	for (int i = 0; i < LOOP; i++) {
		void *q = hide(finder == BY_MALLOC ? malloc(n) : finder == BY_CALLOC ? calloc(1, n) : realloc(NULL, n));
		if (q == gone)
			_exit(UNNOTICED);
	}
	free(before), free(after);
}

/* Found when the pages of a partly used slab are about to go back. */
static void written_before_trim(void)
{
	static char *blocks[200];
	for (int i = 0; i < 200; i++)
		blocks[i] = get(1000);
	for (int i = 0; i < 200; i++)
		if (i % 20 != 0)
			free(blocks[i]);
	say("EXPECT libvmalloc: free block 0x%lx was written to after it was freed\n", address(blocks[30]));
	memset(hide(blocks[30]), 0x41, 1000);
	malloc_trim(0);
}

/* ---- nothing wrong: nothing said ---- */

static void no_misuse(void)
{
	for (int i = 0; i < 3; i++)
		for (size_t n = 0; n < 1000000; n = n * 3 + 1) {
			void *p = hide(malloc(n)), *q = hide(memalign(4096, n)), *r = hide(calloc(1, n));
			p = hide(realloc(p, n * 2 + 1));
			memset(p, 0xff, malloc_usable_size(p));
			memset(q, 0xff, malloc_usable_size(q));
			memset(r, 0xff, malloc_usable_size(r));
			run_in_thread(b_frees, p);
			free(q), free(r);
		}
}

static void handler_returns(int number) { (void)number; }

/* A handler for SIGABRT that returns does not keep the process alive. */
static void abort_handler_returns(void)
{
	signal(SIGABRT, handler_returns);
	freed_32();
}

static void abort_ignored_and_blocked(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGABRT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGABRT, SIG_IGN);
	freed_32();
}

/* ---- the table ---- */

enum { GLIBC_DIES = 1, FREE_ONLY = 2 };

#define KIND(name) { #name, name, 0 }
static const struct kind { const char *name; void (*run)(void); int flags; } kinds[] = {
	{ "freed_first", freed_first, GLIBC_DIES }, { "freed_16", freed_16, GLIBC_DIES },
	{ "freed_32", freed_32, GLIBC_DIES }, { "freed_1000", freed_1000, GLIBC_DIES },
	KIND(freed_20000), KIND(freed_131071), KIND(freed_131072), KIND(freed_1_mib), KIND(freed_64_mib),
	KIND(freed_aligned_4096), KIND(freed_aligned_64k), KIND(freed_aligned_large), KIND(freed_long_ago),
	KIND(freed_with_its_slab),
	{ "interior_32_1", interior_32_1, GLIBC_DIES }, { "interior_32_8", interior_32_8, GLIBC_DIES },
	KIND(interior_32_16), KIND(interior_48_32),
	{ "interior_1000_1", interior_1000_1, GLIBC_DIES }, KIND(interior_1000_16), KIND(interior_1000_last),
	KIND(interior_20000_8), KIND(interior_20000_16), KIND(interior_20000_4096),
	KIND(interior_131071_64k), KIND(interior_131071_last),
	KIND(interior_large_1), KIND(interior_large_16), KIND(interior_large_4096), KIND(interior_large_last),
	KIND(interior_4_mib_2_mib), KIND(interior_aligned),
	KIND(never_32_next), KIND(never_32_far), KIND(never_1000_next), KIND(never_1000_far), KIND(never_7000),
	KIND(stack_local), KIND(stack_misaligned), KIND(stack_argv_strings), KIND(stack_of_thread),
	KIND(foreign_data), { "foreign_data_misaligned", foreign_data_misaligned, GLIBC_DIES },
	KIND(foreign_bss), KIND(foreign_literal), KIND(foreign_code), KIND(foreign_one), KIND(foreign_16),
	KIND(foreign_minus_16), KIND(foreign_minus_1), KIND(foreign_non_canonical), KIND(foreign_non_canonical_2),
	KIND(foreign_above_47_bits), KIND(foreign_kernel), KIND(foreign_page), KIND(foreign_page_middle),
	KIND(foreign_unmapped), KIND(foreign_break), KIND(foreign_beyond_the_break),
	KIND(foreign_glibc_small), KIND(foreign_glibc_large),
	{ "abort_handler_returns", abort_handler_returns, FREE_ONLY | GLIBC_DIES },
	{ "abort_ignored_and_blocked", abort_ignored_and_blocked, FREE_ONLY | GLIBC_DIES },
};

static const struct kind remote_kinds[] = {
	KIND(b_twice), KIND(b_then_a), KIND(b_alive_then_a), KIND(a_then_b), KIND(b_then_c),
	KIND(of_ended_thread), KIND(interior_by_b),
};
static const size_t remote_sizes[] = { 32, 1000, 20000, 100000, 200000 };
static const enum call remote_calls[] = { FREE, REALLOC, USABLE, DELETE };

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Calls visit(name, glibc dies too) for every case, having set it up to be run
 * by run_case; when name is the wanted one, the case runs. */
static const char *wanted;

static int found(const char *name, int glibc_dies)
{
	if (wanted)
		return !strcmp(wanted, name);
	say("%s %s\n", name, glibc_dies ? "glibc_dies" : "-");
	return 0;
}

static void every_case(void)
{
	char name[100];
	for (int c = 0; c < CALLS; c++)
		for (size_t k = 0; k < COUNT(kinds); k++) {
			if ((kinds[k].flags & FREE_ONLY) && c != FREE)
				continue;
			snprintf(name, sizeof name, "%s.%s", call_table[c].name, kinds[k].name);
			if (found(name, c == FREE && (kinds[k].flags & GLIBC_DIES))) {
				the_call = (enum call)c;
				symbol(call_table[c].symbol);
				kinds[k].run();
				_exit(UNNOTICED);
			}
		}
	for (size_t c = 0; c < COUNT(remote_calls); c++)
		for (size_t s = 0; s < COUNT(remote_sizes); s++)
			for (size_t k = 0; k < COUNT(remote_kinds); k++) {
				enum call call = remote_calls[c];
				snprintf(name, sizeof name, "%s.remote_%s_%zu", call_table[call].name,
					 remote_kinds[k].name, remote_sizes[s]);
				if (found(name, 0)) {
					the_call = call;
					remote_size = remote_sizes[s];
					symbol(call_table[call].symbol);
					remote_kinds[k].run();
					_exit(UNNOTICED);
				}
			}
	for (size_t s = 0; s < COUNT(write_sizes); s++)
		for (int place = 0; place < PLACES; place++)
			for (size_t v = 0; v < COUNT(write_values); v++)
				for (int finder = 0; finder < FINDERS; finder++) {
					if (finder != BY_MALLOC && v != 0)
						continue;
					snprintf(name, sizeof name, "written_%s_%zu_%02x_by_%s", place_names[place],
						 write_sizes[s], write_values[v], finder_names[finder]);
					if (found(name, 0)) {
						written(write_sizes[s], place, write_values[v], finder);
						_exit(UNNOTICED);
					}
				}
	if (found("written_before_trim", 0)) {
		written_before_trim();
		_exit(UNNOTICED);
	}
	if (found("no_misuse", 0)) {
		no_misuse();
		_exit(0);
	}
}

int main(int argc, char **argv)
{
	struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	alarm(120);
	if (argc != 2)
		return 2;
	if (strcmp(argv[1], "--list"))
		wanted = argv[1];
	every_case();
	return wanted ? 2 : 0;
}
