/* new/SIZE, new_sized/SIZE, new_aligned/SIZE: operator new, first byte written,
   and operator delete: without size, with size, with size and an alignment of
   64. C calls them by their mangled names, which is what a C++ compiler calls;
   the linker finds those of the preloaded library first. */
#include "micro.h"

enum { KEPT = 8, BATCH = 64, ALIGNMENT = 64 };
enum { PLAIN, SIZED, ALIGNED };

extern void *_Znwm(size_t size);
extern void _ZdlPv(void *block);
extern void _ZdlPvm(void *block, size_t size);
extern void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
extern void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);

struct kept {
	void *block[KEPT];
};

static void open_new(struct gbench *g)
{
	struct kept *kept = g->data;

	for (int i = 0; i < KEPT; i++)
		kept->block[i] = touched(
			g->is.kind == ALIGNED ?
				_ZnwmSt11align_val_t(g->is.size, ALIGNMENT) :
				_Znwm(g->is.size));
}

static void close_new(struct gbench *g)
{
	struct kept *kept = g->data;

	for (int i = 0; i < KEPT; i++) {
		if (g->is.kind == ALIGNED)
			_ZdlPvmSt11align_val_t(kept->block[i], g->is.size,
					       ALIGNMENT);
		else
			_ZdlPv(kept->block[i]);
	}
}

static void run_plain(struct gbench *g)
{
	while (gbench_next(g, BATCH)) {
		for (int i = 0; i < BATCH; i++)
			_ZdlPv(touched(_Znwm(g->is.size)));
	}
}

static void run_sized(struct gbench *g)
{
	while (gbench_next(g, BATCH)) {
		for (int i = 0; i < BATCH; i++)
			_ZdlPvm(touched(_Znwm(g->is.size)), g->is.size);
	}
}

static void run_aligned(struct gbench *g)
{
	while (gbench_next(g, BATCH)) {
		for (int i = 0; i < BATCH; i++) {
			void *block = touched(
				_ZnwmSt11align_val_t(g->is.size, ALIGNMENT));

			_ZdlPvmSt11align_val_t(block, g->is.size, ALIGNMENT);
		}
	}
}

void micro_new(void)
{
	static const struct {
		const char *name;
		void (*run)(struct gbench *g);
	} kinds[] = {
		[PLAIN] = { "new", run_plain },
		[SIZED] = { "new_sized", run_sized },
		[ALIGNED] = { "new_aligned", run_aligned },
	};
	static const size_t sizes[] = { 16, 64, 1024, 64 * KIB };
	char label[LABEL];

	for (size_t k = 0; k < LENGTH(kinds); k++) {
		for (size_t i = 0; i < LENGTH(sizes); i++) {
			struct gbench_case c = {
				.run = kinds[k].run,
				.open = open_new,
				.close = close_new,
				.size = sizes[i],
				.kind = k,
				.data_bytes = sizeof(struct kept),
			};

			gbench_add(&c, "%s/%s", kinds[k].name,
				   size_label(label, c.size));
		}
	}
}
