/*
 * The plugin of late_stdcxx.c: C++ with libstdc++ as a shared library, opened
 * late by a program that has none.
 */
#include <cstdint>
#include <map>
#include <new>
#include <string>
#include <vector>

static volatile std::size_t too_much = PTRDIFF_MAX;
static int handled;

extern "C" int plugin_use(int round)
{
	std::map<int, std::string> map;
	for (int i = 0; i < 1000; i++)
		map[i] = std::string((std::size_t)i, 'x');
	for (int i = 0; i < 1000; i += 2)
		map.erase(i);
	if (map.size() != 500 || map[999].size() != 999)
		return 1;
	bool caught = false;
	try {
		std::vector<char> *v = new std::vector<char>(too_much);
		delete v;
	} catch (const std::bad_alloc &) {
		caught = true;
	}
	if (!caught)
		return 2;
	caught = false;
	try {
		operator delete(operator new(too_much, std::align_val_t(64)));
	} catch (const std::bad_alloc &) {
		caught = true;
	}
	if (!caught)
		return 3;
	if (operator new(too_much, std::nothrow))
		return 4;
	handled = 0;
	std::set_new_handler([] {
		if (++handled == 3)
			throw std::bad_alloc();
	});
	void *none = operator new(too_much, std::nothrow);
	std::set_new_handler(nullptr);
	if (none || handled != 3)
		return 5;
	return round < 0;
}
