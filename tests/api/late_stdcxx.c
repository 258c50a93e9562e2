/*
 * A program without libstdc++ that brings it in with dlopen, late: the
 * operators must be there for the plugin, and a failing new inside it must
 * throw a std::bad_alloc that the plugin catches, also when libstdc++ is not
 * in the global scope. Compiled as C, and as C++ with libstdc++ linked
 * statically (`run` does both); late_plugin.cc is the plugin.
 */
#include "check.h"

static const char *plugin_path(void)
{
	const char *path = getenv("CHECK_PLUGIN");
	REQUIRE(path);
	return path;
}

static void call_plugin(void *plugin)
{
	if (!plugin) {
		check_fail(__FILE__, __LINE__, "%s", dlerror());
		_exit(1);
	}
	int (*use)(int) = (int (*)(int))dlsym(plugin, "plugin_use");
	REQUIRE(use);
	for (int i = 0; i < 20; i++)
		CHECKF(use(i) == 0, "plugin says %d", use(i));
}

static void plugin_in_local_scope(void)
{
	free(hide(malloc(100)));
	call_plugin(dlopen(plugin_path(), RTLD_NOW | RTLD_LOCAL));
}

static void plugin_lazily_in_global_scope(void)
{
	call_plugin(dlopen(plugin_path(), RTLD_LAZY | RTLD_GLOBAL));
}

static void plugin_closed_and_opened_again(void)
{
	for (int i = 0; i < 5; i++) {
		void *plugin = dlopen(plugin_path(), RTLD_NOW | RTLD_LOCAL);
		call_plugin(plugin);
		dlclose(plugin);
		free(hide(malloc(5000)));
	}
}

static void libstdcxx_by_itself(void)
{
	void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		SKIP("no libstdc++.so.6");
	void *(*its_new)(size_t) = (void *(*)(size_t))dlsym(library, "_Znwm");
	void (*its_delete)(void *) = (void (*)(void *))dlsym(library, "_ZdlPv");
	REQUIRE(its_new && its_delete);
	for (size_t n = 0; n < 1000000; n = n * 3 + 1) {
		void *p = its_new(n), *q = its_new(n), *r = hide(malloc(n));
		REQUIRE(p && q && r);
		fill(p, n, 1);
		its_delete(p);
		free(q);
		its_delete(r);
	}
}

CHECK_MAIN(
	{ "plugin_in_local_scope", plugin_in_local_scope, CHECK_BOTH },
	{ "plugin_lazily_in_global_scope", plugin_lazily_in_global_scope, CHECK_BOTH },
	{ "plugin_closed_and_opened_again", plugin_closed_and_opened_again, CHECK_BOTH },
	{ "libstdcxx_by_itself", libstdcxx_by_itself, CHECK_BOTH },
)
