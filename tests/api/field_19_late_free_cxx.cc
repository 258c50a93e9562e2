/*
 * FIELD.md row 19, the C++ half: destructors of thread_local objects and of
 * static objects free, in the threads and after main. Started case by case by
 * `run`.
 */
#include "check.h"
#include <memory>
#include <pthread.h>
#include <string>
#include <thread>
#include <vector>

static int destroyed;

struct local {
	std::vector<std::string> texts;
	std::unique_ptr<char[]> large{ new char[200000] };
	~local()
	{
		for (auto &text : texts)
			if (text != std::string(text.size(), 'a'))
				check_fail(__FILE__, __LINE__, "contents changed");
		std::string late(3000, 'b'); /* a request from inside the destructor */
		CHECK(late[2999] == 'b');
		__atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
	}
};

static thread_local local data;
static pthread_key_t key;

static void key_destructor(void *value)
{
	delete static_cast<std::string *>(value);
	std::string again(5000, 'c');
	CHECK(again[0] == 'c');
}

static void thread_local_destructors()
{
	REQUIRE(!pthread_key_create(&key, key_destructor));
	size_t before = 0;
	for (int i = 0; i < 2000; i++) {
		std::thread([] {
			for (size_t n = 1; n < 100; n++)
				data.texts.emplace_back(n * 10, 'a');
			pthread_setspecific(key, new std::string(1000, 'k'));
		}).join();
		if (i == 400)
			before = rss_bytes();
	}
	CHECK(destroyed == 2000);
	CHECKF(rss_bytes() < before + (4 << 20), "RSS %zu rose to %zu", before, rss_bytes());
}

static bool expect_statics;

struct global {
	std::vector<std::string> texts;
	global()
	{
		for (size_t n = 1; n < 300; n++)
			texts.emplace_back(n * 20, 'a');
	}
	~global()
	{
		for (auto &text : texts)
			CHECK(text == std::string(text.size(), 'a'));
		texts.clear();
		if (expect_statics)
			check_print("static objects destroyed\n");
		if (check_failures)
			_exit(1);
	}
};

static global statics;

static void static_destructors()
{
	expect_statics = true;
	data.texts.emplace_back(100, 'a');
	std::thread([] { data.texts.emplace_back(100, 'a'); }).join();
	statics.texts.emplace_back(100000, 'a');
}

CHECK_MAIN(
	{ "thread_local_destructors", thread_local_destructors, CHECK_BOTH },
	{ "static_destructors", static_destructors, CHECK_BOTH },
)
