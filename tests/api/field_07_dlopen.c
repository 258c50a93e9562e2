/*
 * FIELD.md rows 7 and 19: libvmalloc.so brought in with dlopen, late, into a
 * process that runs on glibc's malloc: its TLS must fit into what static TLS
 * is left, both heaps live side by side on one break, and dlclose leaves it
 * (nodelete) so that its blocks and threads go on. `run` starts it without
 * any preload; VMALLOC_LIB names the library.
 */
#include "check.h"
#include <pthread.h>

static void *(*its_malloc)(size_t);
static void *(*its_realloc)(void *, size_t);
static void (*its_free)(void *);

static void *open_library(int flags)
{
	void *handle = dlopen(getenv("VMALLOC_LIB"), flags);
	if (!handle) {
		check_fail(__FILE__, __LINE__, "%s", dlerror());
		_exit(1);
	}
	its_malloc = (void *(*)(size_t))dlsym(handle, "malloc");
	its_realloc = (void *(*)(void *, size_t))dlsym(handle, "realloc");
	its_free = (void (*)(void *))dlsym(handle, "free");
	REQUIRE(its_malloc && its_realloc && its_free);
	REQUIRE(its_malloc != (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc"));
	return handle;
}

static void use_both(unsigned seed)
{
	enum { BLOCKS = 500 };
	void *ours[BLOCKS], *glibc[BLOCKS];
	for (unsigned i = 0; i < BLOCKS; i++) {
		size_t n = i % 50 ? i * 17 + 1 : i * 1000 + 1;
		REQUIRE(ours[i] = its_malloc(n));
		REQUIRE(glibc[i] = hide(malloc(n)));
		fill(ours[i], n, seed + i);
		fill(glibc[i], n, seed - i);
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		size_t n = i % 50 ? i * 17 + 1 : i * 1000 + 1;
		CHECK(holds(ours[i], n, seed + i) && holds(glibc[i], n, seed - i));
		REQUIRE(ours[i] = its_realloc(ours[i], n * 2));
		CHECK(holds(ours[i], n, seed + i));
		its_free(ours[i]);
		free(glibc[i]);
	}
}

static void *thread_uses_both(void *arg)
{
	use_both((unsigned)(intptr_t)arg);
	return NULL;
}

static void dlopen_local(void)
{
	open_library(RTLD_NOW | RTLD_LOCAL);
	use_both(1);
}

static void dlopen_while_threads_run(void)
{
	pthread_t thread[4];
	open_library(RTLD_LAZY | RTLD_LOCAL);
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, thread_uses_both, (void *)(intptr_t)i));
	use_both(9);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

static pthread_barrier_t opened;
static void *thread_from_before(void *arg)
{
	pthread_barrier_wait(&opened);
	return thread_uses_both(arg);
}

static void threads_from_before_dlopen(void)
{
	pthread_t thread[4];
	pthread_barrier_init(&opened, NULL, 5);
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, thread_from_before, (void *)(intptr_t)i));
	open_library(RTLD_NOW | RTLD_GLOBAL);
	pthread_barrier_wait(&opened);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

static void field_19_dlclose_leaves_it(void)
{
	void *handle = open_library(RTLD_NOW | RTLD_LOCAL);
	void *block = its_malloc(1000), *large = its_malloc(1 << 20);
	REQUIRE(block && large);
	fill(block, 1000, 1);
	fill(large, 1 << 20, 2);
	pthread_t thread;
	REQUIRE(!pthread_create(&thread, NULL, thread_uses_both, NULL));
	for (int i = 0; i < 3; i++)
		dlclose(handle);
	pthread_join(thread, NULL);
	/* still mapped, and still the same */
	Dl_info info;
	REQUIRE(dladdr((void *)its_free, &info));
	CHECK(holds(block, 1000, 1) && holds(large, 1 << 20, 2));
	its_free(block);
	its_free(large);
	use_both(3);
	open_library(RTLD_NOW | RTLD_LOCAL);
	use_both(4);
}

CHECK_MAIN(
	{ "dlopen_local", dlopen_local, CHECK_PART },
	{ "dlopen_while_threads_run", dlopen_while_threads_run, CHECK_PART },
	{ "threads_from_before_dlopen", threads_from_before_dlopen, CHECK_PART },
	{ "field_19_dlclose_leaves_it", field_19_dlclose_leaves_it, CHECK_PART },
)
