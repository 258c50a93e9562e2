/* Placing threads on processors, for the loops and the micro-benchmarks. */
#ifndef BENCH_BIND_H
#define BENCH_BIND_H

#include <pthread.h>
#include <sched.h>

/* Binds the calling thread to the index-th processor of the set, if it has that
   many. */
static inline void bench_bind(const cpu_set_t *allowed, unsigned index)
{
	cpu_set_t one;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, allowed) || index-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
		return;
	}
}

#endif
