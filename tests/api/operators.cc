/*
 * Every form of operator new and delete, called explicitly, with the rules of
 * the C++ standard for failure: new-handler, std::bad_alloc, nothrow. `run`
 * starts every case under glibc (libstdc++'s own operators) and under
 * libvmalloc, compiled by g++ and, where it is there, by clang++.
 */
#include "check.h"
#include <exception>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

static const size_t huge[] = {
	PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096, (size_t)1 << 60,
};

static void use(void *p, size_t n, size_t alignment)
{
	REQUIRE(p);
	CHECK(is_aligned(p, alignment));
	CHECK(malloc_usable_size(p) >= n);
	fill(p, n, 1);
	CHECK(holds(p, n, 1));
}

static void every_form()
{
	using std::align_val_t;
	using std::nothrow;
	for (size_t n = 0; n < 1000000; n = n * 3 + 1) {
		void *p[24];
		for (int i = 0; i < 12; i++)
			p[i] = hide(i % 2 ? operator new[](n) : operator new(n));
		for (int i = 12; i < 18; i++)
			p[i] = hide(i % 2 ? operator new[](n, nothrow) : operator new(n, nothrow));
		for (int i = 18; i < 24; i++)
			p[i] = hide(malloc(n));
		for (int i = 0; i < 18; i++)
			use(p[i], n, 16);
		operator delete(p[0]);
		operator delete[](p[1]);
		operator delete(p[2], n);
		operator delete[](p[3], n);
		operator delete(p[4], nothrow);
		operator delete[](p[5], nothrow);
		operator delete(p[12]);
		operator delete[](p[13]);
		operator delete(p[14], n);
		operator delete[](p[15], n);
		operator delete(p[16], nothrow);
		operator delete[](p[17], nothrow);
		/* libstdc++'s operators are malloc and free, and so must ours be */
		for (int i = 6; i < 12; i++)
			free(p[i]);
		operator delete(p[18]);
		operator delete[](p[19]);
		operator delete(p[20], n);
		operator delete[](p[21], n);
		operator delete(p[22], nothrow);
		operator delete[](p[23], nothrow);
	}
}

static void every_aligned_form()
{
	using std::nothrow;
	for (size_t a = 1; a <= 1 << 20; a *= 2)
		for (size_t n = 0; n < 300000; n = n * 5 + 1) {
			std::align_val_t alignment{a};
			void *p[12];
			for (int i = 0; i < 6; i++)
				p[i] = hide(i % 2 ? operator new[](n, alignment) : operator new(n, alignment));
			for (int i = 6; i < 12; i++)
				p[i] = hide(i % 2 ? operator new[](n, alignment, nothrow)
						  : operator new(n, alignment, nothrow));
			for (int i = 0; i < 12; i++)
				use(p[i], n, a);
			for (int i = 0; i < 12; i += 6) {
				operator delete(p[i], alignment);
				operator delete[](p[i + 1], alignment);
				operator delete(p[i + 2], n, alignment);
				operator delete[](p[i + 3], n, alignment);
				operator delete(p[i + 4], alignment, nothrow);
				operator delete[](p[i + 5], alignment, nothrow);
			}
		}
}

static void delete_of_nullptr()
{
	std::align_val_t alignment{64};
	void *volatile null = nullptr;
	errno = 4711;
	operator delete(null);
	operator delete[](null);
	operator delete(null, (size_t)100);
	operator delete[](null, (size_t)100);
	operator delete(null, std::nothrow);
	operator delete[](null, std::nothrow);
	operator delete(null, alignment);
	operator delete[](null, alignment);
	operator delete(null, 100, alignment);
	operator delete[](null, 100, alignment);
	operator delete(null, alignment, std::nothrow);
	operator delete[](null, alignment, std::nothrow);
	CHECK(errno == 4711);
}

static void delete_keeps_errno()
{
	for (size_t n = 1; n < 10000000; n *= 3) {
		void *p = hide(operator new(n)), *q = hide(operator new[](n)), *r = hide(operator new(n, std::align_val_t(64)));
		errno = 4711;
		operator delete(p, n);
		operator delete[](q);
		operator delete(r, std::align_val_t(64));
		CHECK(errno == 4711);
	}
}

static void new_of_zero_is_unique()
{
	void *a = hide(operator new(0)), *b = hide(operator new(0)), *c = hide(operator new[](0));
	CHECK(a && b && c && a != b && b != c);
	operator delete(a), operator delete(b), operator delete[](c);
}

template <class F> static bool throws_bad_alloc(F allocate)
{
	try {
		void *p = hide(allocate());
		check_print("got %p\n", p);
	} catch (const std::bad_alloc &caught) {
		return caught.what() && *caught.what();
	}
	return false;
}

static void bad_alloc_is_thrown_and_caught()
{
	std::align_val_t alignment{64};
	for (int round = 0; round < 100; round++)
		for (size_t given : huge) {
			size_t n = hide_size(given);
			CHECK(throws_bad_alloc([=] { return operator new(n); }));
			CHECK(throws_bad_alloc([=] { return operator new[](n); }));
			if (n > SIZE_MAX - 64 && glibc_differs("aligned_new_overflow"))
				continue;
			CHECK(throws_bad_alloc([=] { return operator new(n, alignment); }));
			CHECK(throws_bad_alloc([=] { return operator new[](n, alignment); }));
		}
	CHECK(throws_bad_alloc([] { return new char[hide_size(PTRDIFF_MAX)]; }));
}

static void bad_alloc_in_a_thread()
{
	std::thread([] {
		for (int i = 0; i < 100; i++)
			CHECK(throws_bad_alloc([] { return operator new(hide_size(SIZE_MAX)); }));
	}).join();
}

/* Destructors between the throw and the catch run. */
static void bad_alloc_unwinds()
{
	static int destroyed;
	struct guard {
		std::string text = std::string(1000, 'x');
		~guard() { destroyed++; }
	};
	for (int i = 0; i < 10; i++) {
		try {
			guard one, two;
			std::vector<char> v(hide_size(PTRDIFF_MAX));
			CHECK(v.empty());
		} catch (const std::bad_alloc &) {
		}
	}
	CHECK(destroyed == 20);
}

static void nothrow_gives_nullptr()
{
	std::align_val_t alignment{4096};
	for (size_t given : huge) {
		size_t n = hide_size(given);
		CHECK(!hide(operator new(n, std::nothrow)));
		CHECK(!hide(operator new[](n, std::nothrow)));
		if (n > SIZE_MAX - 4096 && glibc_differs("aligned_new_overflow"))
			continue;
		CHECK(!hide(operator new(n, alignment, std::nothrow)));
		CHECK(!hide(operator new[](n, alignment, std::nothrow)));
	}
}

static void aligned_new_overflow()
{
	for (size_t a = 1; a <= (size_t)1 << 30; a *= 8)
		for (size_t less = 0; less < 5000; less += 499) {
			size_t n = hide_size(SIZE_MAX - less);
			if (n > SIZE_MAX - a && glibc_differs("aligned_new_overflow"))
				continue;
			CHECK(throws_bad_alloc([=] { return operator new(n, std::align_val_t(a)); }));
			CHECK(!hide(operator new(n, std::align_val_t(a), std::nothrow)));
		}
}

static void aligned_new_bad_alignment()
{
	for (size_t a : { 3ul, 5ul, 24ul, 1000ul, SIZE_MAX }) {
		CHECK(throws_bad_alloc([=] { return operator new(64, std::align_val_t(hide_size(a))); }));
		CHECK(!hide(operator new(64, std::align_val_t(hide_size(a)), std::nothrow)));
	}
}

static int handler_calls;

static void gives_up_after_five()
{
	if (++handler_calls == 5)
		std::set_new_handler(nullptr);
}

template <class F> static int calls_until_given_up(F allocate)
{
	handler_calls = 0;
	std::set_new_handler(gives_up_after_five);
	allocate();
	CHECK(std::get_new_handler() == nullptr);
	std::set_new_handler(nullptr);
	return handler_calls;
}

static void new_handler_is_called_until_it_gives_up()
{
	size_t n = hide_size(PTRDIFF_MAX);
	std::align_val_t alignment{64};
	CHECK(calls_until_given_up([=] { CHECK(throws_bad_alloc([=] { return operator new(n); })); }) == 5);
	CHECK(calls_until_given_up([=] { CHECK(throws_bad_alloc([=] { return operator new[](n); })); }) == 5);
	CHECK(calls_until_given_up([=] { CHECK(throws_bad_alloc([=] { return operator new(n, alignment); })); }) == 5);
	CHECK(calls_until_given_up([=] { CHECK(throws_bad_alloc([=] { return operator new[](n, alignment); })); }) == 5);
	CHECK(calls_until_given_up([=] { CHECK(!hide(operator new(n, std::nothrow))); }) == 5);
	CHECK(calls_until_given_up([=] { CHECK(!hide(operator new[](n, std::nothrow))); }) == 5);
	CHECK(calls_until_given_up([=] { CHECK(!hide(operator new(n, alignment, std::nothrow))); }) == 5);
	CHECK(calls_until_given_up([=] { CHECK(!hide(operator new[](n, alignment, std::nothrow))); }) == 5);
	/* malloc knows no handler */
	CHECK(calls_until_given_up([=] { CHECK(!hide(malloc(n))); std::set_new_handler(nullptr); }) == 0);
}

struct out_of_memory : std::bad_alloc {
	int number;
	explicit out_of_memory(int n) : number(n) {}
};

static void throws_its_own()
{
	handler_calls++;
	throw out_of_memory(42);
}

static void throws_an_int()
{
	handler_calls++;
	throw 7;
}

static void what_the_handler_throws_arrives()
{
	std::set_new_handler(throws_its_own);
	for (int i = 0; i < 20; i++) {
		int number = 0;
		try {
			hide(i % 2 ? operator new(hide_size(SIZE_MAX))
				   : operator new(hide_size(PTRDIFF_MAX), std::align_val_t(64)));
		} catch (const out_of_memory &caught) {
			number = caught.number;
		}
		CHECK(number == 42);
	}
	std::set_new_handler(nullptr);
	CHECK(handler_calls == 20);
}

/* nothrow new calls the throwing handler and swallows the exception. */
static void throwing_handler_inside_nothrow()
{
	std::set_new_handler(throws_its_own);
	for (int i = 0; i < 20; i++) {
		CHECK(!hide(operator new(hide_size(SIZE_MAX), std::nothrow)));
		CHECK(!hide(operator new[](hide_size(SIZE_MAX), std::nothrow)));
		CHECK(!hide(operator new(hide_size(PTRDIFF_MAX), std::align_val_t(64), std::nothrow)));
		CHECK(!hide(operator new[](hide_size(PTRDIFF_MAX), std::align_val_t(64), std::nothrow)));
	}
	CHECK(handler_calls == 80);
	std::set_new_handler(throws_an_int);
	CHECK(!hide(operator new(hide_size(SIZE_MAX), std::nothrow)));
	CHECK(handler_calls == 81);
	std::set_new_handler(nullptr);
	/* the exception is over: nothing is left in flight */
	CHECK(std::uncaught_exceptions() == 0);
	CHECK(std::current_exception() == nullptr);
}

/* The use of a handler: it makes room, and the request succeeds. */
static struct rlimit wide;
static void makes_room()
{
	handler_calls++;
	setrlimit(RLIMIT_AS, &wide);
}

static void handler_makes_room()
{
	for (int i = 0; i < 5; i++) {
		getrlimit(RLIMIT_AS, &wide);
		struct rlimit narrow = wide;
		narrow.rlim_cur = address_space_bytes() + (1 << 20);
		REQUIRE(!setrlimit(RLIMIT_AS, &narrow));
		handler_calls = 0;
		std::set_new_handler(makes_room);
		void *p = hide(operator new((size_t)512 << 20));
		CHECK(handler_calls == 1);
		std::set_new_handler(nullptr);
		setrlimit(RLIMIT_AS, &wide);
		operator delete(p);
		malloc_trim(0);
	}
}

struct alignas(256) wide_object {
	char bytes[1000];
	static int alive;
	wide_object() { alive++; }
	~wide_object() { alive--; }
};
int wide_object::alive;

static void new_expressions()
{
	for (int i = 0; i < 1000; i++) {
		wide_object *one = new wide_object, *many = new wide_object[7];
		std::string *text = new std::string(5000, 'y');
		int *numbers = new (std::nothrow) int[1000]();
		REQUIRE(numbers);
		CHECK(is_aligned(hide(one), 256) && is_aligned(hide(many), 256) && all_zero(numbers, 4000));
		CHECK(wide_object::alive == 8);
		delete one;
		delete[] many;
		delete text;
		delete[] numbers;
	}
	CHECK(wide_object::alive == 0);
	size_t n = hide_size(SIZE_MAX / 4);
	bool refused = false;
	try {
		hide(new long[n]);
	} catch (const std::bad_alloc &) {
		refused = true;
	}
	CHECK(refused);
}

struct throws_in_constructor {
	char bytes[3000];
	throws_in_constructor() { throw 1; }
};

/* The matching delete is called when a constructor throws: nothing leaks. */
static void constructor_that_throws()
{
	size_t before = 0;
	for (int i = 0; i < 100000; i++) {
		try {
			hide(i % 2 ? new throws_in_constructor : new (std::nothrow) throws_in_constructor);
		} catch (int) {
		}
		if (i == 20000)
			before = rss_bytes();
	}
	CHECK(rss_bytes() < before + (4 << 20));
}

static void operators_are_interposed()
{
	static const char *const name[] = {
		"_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t",
		"_ZnwmSt11align_val_t", "_ZnamSt11align_val_t",
		"_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnamSt11align_val_tRKSt9nothrow_t",
		"_ZdlPv", "_ZdaPv", "_ZdlPvm", "_ZdaPvm", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t",
		"_ZdlPvSt11align_val_t", "_ZdaPvSt11align_val_t", "_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t",
		"_ZdlPvSt11align_val_tRKSt9nothrow_t", "_ZdaPvSt11align_val_tRKSt9nothrow_t",
	};
	for (const char *symbol : name)
		CHECKF(comes_from_library(symbol), "%s is not the library's", symbol);
	/* and what this program calls is what dlsym finds */
	void *(*bound)(size_t) = operator new;
	CHECK((void *)bound == function_named("_Znwm"));
	void (*bound_delete)(void *, size_t) = operator delete;
	CHECK((void *)bound_delete == function_named("_ZdlPvm"));
}

CHECK_MAIN(
	{ "every_form", every_form, CHECK_BOTH },
	{ "every_aligned_form", every_aligned_form, CHECK_BOTH },
	{ "delete_of_nullptr", delete_of_nullptr, CHECK_BOTH },
	{ "field_15_delete_keeps_errno", delete_keeps_errno, CHECK_BOTH },
	{ "new_of_zero_is_unique", new_of_zero_is_unique, CHECK_BOTH },
	{ "bad_alloc_is_thrown_and_caught", bad_alloc_is_thrown_and_caught, CHECK_BOTH },
	{ "bad_alloc_in_a_thread", bad_alloc_in_a_thread, CHECK_BOTH },
	{ "bad_alloc_unwinds", bad_alloc_unwinds, CHECK_BOTH },
	{ "nothrow_gives_nullptr", nothrow_gives_nullptr, CHECK_BOTH },
	{ "aligned_new_overflow", aligned_new_overflow, CHECK_BOTH },
	{ "aligned_new_bad_alignment", aligned_new_bad_alignment, CHECK_BOTH },
	{ "new_handler_is_called_until_it_gives_up", new_handler_is_called_until_it_gives_up, CHECK_BOTH },
	{ "what_the_handler_throws_arrives", what_the_handler_throws_arrives, CHECK_BOTH },
	{ "throwing_handler_inside_nothrow", throwing_handler_inside_nothrow, CHECK_BOTH },
	{ "handler_makes_room", handler_makes_room, CHECK_BOTH },
	{ "new_expressions", new_expressions, CHECK_BOTH },
	{ "constructor_that_throws", constructor_that_throws, CHECK_BOTH },
	{ "operators_are_interposed", operators_are_interposed, CHECK_LIBVMALLOC_ONLY },
)
