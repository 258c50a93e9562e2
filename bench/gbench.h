/* The door from C to Google Benchmark: what a benchmark case is and what it may
   ask for while it runs. gbench.cc owns the other side, the only C++ of this
   repository; bench/micro has the cases. One thread calls all of this; threads
   that a case starts do not. */
#ifndef BENCH_GBENCH_H
#define BENCH_GBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gbench;

/* Google Benchmark calls run several times, with more iterations each time,
   until --benchmark_min_time is filled, and reports the last. open comes once
   before the first, close once after the last; neither is timed or counted.
   Zero means none, for every field. */
struct gbench_case {
	void (*run)(struct gbench *g);
	void (*open)(struct gbench *g);
	void (*close)(struct gbench *g);
	/* What the case makes of them: */
	size_t size;
	size_t count;
	int kind;
	/* Time is the wall clock's, and CPU time that of all threads. */
	bool threads;
	/* Run once, with this many iterations: the work is always the same. */
	unsigned iterations;
	/* Bytes of g->data: zeroed, resident and not of the allocator, so that
	   they are in no figure. */
	size_t data_bytes;
	/* Skipped, with a message, when the machine has less to give: bytes. */
	size_t needs;
};

/* A case and the state of its run. is is for the case to read; so is data, which
   is the case's own when data_bytes is 0. */
struct gbench {
	struct gbench_case is;
	void *data;
	/* gbench.cc's: */
	const char *name;
	void *state;
	bool begun;
	long faults;
	size_t rss_before; /* RSS between the making of data and open */
	size_t rss_live, live;
};

/* Adds a case under a name made as by printf. Names are paths: "pair/16". */
void gbench_add(const struct gbench_case *is, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Runs what the command line asks for; main's exit status. */
int gbench_main(int argc, char **argv);

/* True: do count iterations more (the time reported is that of one), then ask
   again. The clock runs from the first call to the one that returns false. */
bool gbench_next(struct gbench *g, size_t count);

/* Stops the clock between two iterations; some 500 ns each time. */
void gbench_pause(struct gbench *g);
void gbench_resume(struct gbench *g);

/* Notes that the case has so many bytes of live blocks now, and the RSS; for
   when the clock does not run. The last call before the end of run counts. */
void gbench_live(struct gbench *g, size_t bytes);

/* How much RSS grew since open, now. */
size_t gbench_rss_growth(const struct gbench *g);

/* Reports a figure of the case's own. */
void gbench_figure(struct gbench *g, const char *name, double value);

#ifdef __cplusplus
}
#endif

#endif
