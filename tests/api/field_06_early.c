/*
 * FIELD.md row 6: malloc before anything else is up. The program allocates in
 * .preinit_array and in constructors; field_06_early_lib.so and
 * field_06_wrap_lib.so are preloaded beside the library, in both orders (the
 * cases with "preloaded" in their name are started by `run` that way). The
 * rest: dlsym, dlerror, atexit and TLS, which allocate on their own.
 */
#include "check.h"
#include <pthread.h>

static void *first_block, *constructor_block;

static void before_everything(int argc, char **argv, char **environment)
{
	(void)argc, (void)argv, (void)environment;
	first_block = hide(malloc(1000));
	if (first_block)
		fill(first_block, 1000, 1);
	free(hide(malloc(500000)));
}

__attribute__((section(".preinit_array"), used))
static void (*const preinit)(int, char **, char **) = before_everything;

__attribute__((constructor(101))) static void constructor(void)
{
	constructor_block = hide(calloc(1, 5000));
	free(hide(realloc(hide(malloc(10)), 300000)));
}

static void blocks_from_before_main(void)
{
	REQUIRE(first_block && constructor_block);
	CHECK(holds(first_block, 1000, 1));
	CHECK(all_zero(constructor_block, 5000));
	CHECK(malloc_usable_size(first_block) >= 1000);
	free(first_block);
	REQUIRE(constructor_block = hide(realloc(constructor_block, 200000)));
	CHECK(all_zero(constructor_block, 5000));
	free(constructor_block);
}

/* dlerror's text is allocated per thread and freed when the thread ends. */
static void *failing_dlsym(void *arg)
{
	for (int i = 0; i < 50; i++) {
		CHECK(dlsym(RTLD_DEFAULT, "no_such_symbol_anywhere") == NULL);
		const char *text = dlerror();
		CHECK(text && strstr(text, "no_such_symbol_anywhere"));
		CHECK(dlopen("/nonexistent/library.so", RTLD_NOW) == NULL);
		CHECK(dlerror() != NULL);
	}
	dlsym(RTLD_DEFAULT, "text_left_behind");
	return arg;
}

static void dlsym_and_dlerror_allocate(void)
{
	failing_dlsym(NULL);
	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		REQUIRE(!pthread_create(&thread, NULL, failing_dlsym, NULL));
		pthread_join(thread, NULL);
	}
}

static int ran;
static void at_exit(void)
{
	free(hide(malloc(100 + (size_t)ran)));
	if (++ran == 5000)
		check_print("all handlers ran\n");
}

/* atexit allocates its lists; more handlers than its static list holds. */
static void atexit_allocates(void)
{
	for (int i = 0; i < 5000; i++)
		REQUIRE(!atexit(at_exit));
}

static void preloaded_early_library(void)
{
	int (*early_check)(void) = (int (*)(void))function_named("early_check");
	REQUIRE(early_check);
	CHECK(early_check() == 0);
}

static void preloaded_wrapper(void)
{
	size_t (*wrapped_calls)(void) = (size_t (*)(void))function_named("wrapped_calls");
	REQUIRE(wrapped_calls);
	size_t before = wrapped_calls();
	for (size_t n = 0; n < 1000000; n = n * 3 + 1) {
		void *p = hide(malloc(n));
		REQUIRE(p);
		fill(p, n, 1);
		REQUIRE(p = hide(realloc(p, n * 2 + 1)));
		CHECK(holds(p, n, 1));
		free(p);
	}
	failing_dlsym(NULL);
	CHECK(wrapped_calls() > before + 10);
}

CHECK_MAIN(
	{ "blocks_from_before_main", blocks_from_before_main, CHECK_BOTH },
	{ "dlsym_and_dlerror_allocate", dlsym_and_dlerror_allocate, CHECK_BOTH },
	{ "atexit_allocates", atexit_allocates, CHECK_BOTH },
	{ "preloaded_early_library", preloaded_early_library, CHECK_PART },
	{ "preloaded_wrapper", preloaded_wrapper, CHECK_PART },
)
