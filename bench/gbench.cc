// Google Benchmark behind gbench.h: registers the cases, runs them and reports
// beside the time what a case did to the process. RSS is read from
// /proc/self/statm, its peak from VmHWM in /proc/self/status, which is set back
// when a case opens; neither happens while the clock runs.
#include "gbench.h"

#include <benchmark/benchmark.h>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

// The case that is open: at most one.
struct gbench *current;

[[noreturn]] void fail(const char *name, const char *what)
{
	fprintf(stderr, "micro: %s: %s: %s\n", name, what, strerror(errno));
	exit(1);
}

// The number behind a key in a small file of /proc, 0 if it is not there. No
// stdio, which would call the allocator that is measured.
size_t number_in(const char *path, const char *key)
{
	char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (length < 0)
		fail(path, "cannot be read");
	text[length] = 0;
	const char *found = strstr(text, key);
	return found ? strtoull(found + strlen(key), nullptr, 10) : 0;
}

// The second number of statm, in pages.
size_t rss_now()
{
	return number_in("/proc/self/statm", " ") * sysconf(_SC_PAGESIZE);
}

size_t rss_peak()
{
	return number_in("/proc/self/status", "VmHWM:") * 1024;
}

// Where the kernel cannot, the peak stays that of the process so far.
void rss_peak_set_back()
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	ssize_t written = write(fd, "5", 1);
	static_cast<void>(written);
	close(fd);
}

long minor_faults()
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return used.ru_minflt;
}

size_t above(size_t value, size_t base)
{
	return value > base ? value - base : 0;
}

void close_current()
{
	struct gbench *g = current;

	if (!g)
		return;
	current = nullptr;
	if (g->is.close)
		g->is.close(g);
	if (g->is.data_bytes && munmap(g->data, g->is.data_bytes))
		fail(g->name, "munmap");
	g->data = nullptr;
}

void make_current(struct gbench *g)
{
	if (current == g)
		return;
	close_current();
	current = g;
	if (g->is.data_bytes) {
		g->data = mmap(nullptr, g->is.data_bytes,
			       PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			       0);
		if (g->data == MAP_FAILED)
			fail(g->name, "mmap");
	}
	rss_peak_set_back();
	g->rss_before = rss_now();
	if (g->is.open)
		g->is.open(g);
}

void run_case(benchmark::State &state, struct gbench *g)
{
	// Other cases' leavings count as available only once they are closed.
	if (current != g)
		close_current();
	size_t available = number_in("/proc/meminfo", "MemAvailable:") * 1024;
	if (current != g && available < g->is.needs) {
		std::string why = "SKIP: needs " +
			std::to_string(g->is.needs >> 20) +
			" MiB, MemAvailable is " +
			std::to_string(available >> 20) + " MiB";
		state.SkipWithError(why.c_str());
		return;
	}
	make_current(g);
	g->state = &state;
	g->begun = false;
	g->live = 0;
	g->is.run(g);
	state.SetItemsProcessed(state.iterations());
	state.counters["minor_faults"] = benchmark::Counter(
		g->faults, benchmark::Counter::kAvgIterations);
	state.counters["rss_bytes"] = above(rss_peak(), g->rss_before);
	if (g->live) {
		state.counters["live_bytes"] = g->live;
		state.counters["rss_per_live"] = double(g->rss_live) / g->live;
	}
}

} // namespace

void gbench_add(const struct gbench_case *is, const char *format, ...)
{
	struct gbench *g = new gbench();
	char *name;
	va_list args;

	va_start(args, format);
	if (vasprintf(&name, format, args) < 0)
		fail(format, "vasprintf");
	va_end(args);
	g->is = *is;
	g->name = name;
	auto *added = benchmark::RegisterBenchmark(
		name, [g](benchmark::State &state) { run_case(state, g); });
	if (is->threads)
		added->MeasureProcessCPUTime()->UseRealTime();
	if (is->iterations)
		added->Iterations(is->iterations);
}

int gbench_main(int argc, char **argv)
{
	const char *preload = getenv("LD_PRELOAD");

	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 2;
	benchmark::AddCustomContext("preload", preload ? preload : "");
	size_t found = benchmark::RunSpecifiedBenchmarks();
	close_current();
	benchmark::Shutdown();
	return found ? 0 : 1;
}

bool gbench_next(struct gbench *g, size_t count)
{
	auto *state = static_cast<benchmark::State *>(g->state);

	if (!g->begun) {
		g->begun = true;
		g->faults = minor_faults();
	}
	if (__builtin_expect(state->KeepRunningBatch(count), true))
		return true;
	g->faults = minor_faults() - g->faults;
	return false;
}

void gbench_pause(struct gbench *g)
{
	static_cast<benchmark::State *>(g->state)->PauseTiming();
}

void gbench_resume(struct gbench *g)
{
	static_cast<benchmark::State *>(g->state)->ResumeTiming();
}

void gbench_live(struct gbench *g, size_t bytes)
{
	g->live = bytes;
	g->rss_live = gbench_rss_growth(g);
}

size_t gbench_rss_growth(const struct gbench *g)
{
	return above(rss_now(), g->rss_before);
}

void gbench_figure(struct gbench *g, const char *name, double value)
{
	static_cast<benchmark::State *>(g->state)->counters[name] = value;
}
