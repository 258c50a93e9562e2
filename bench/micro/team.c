/* Threads that work in rounds; see team.h. */
#define _GNU_SOURCE
#include "../bind.h"
#include "team.h"
#include "micro.h"

#include <sched.h>
#include <unistd.h>

void team_bind(unsigned index)
{
	cpu_set_t allowed;

	/* The main thread's set: nobody narrows that. */
	if (sched_getaffinity(getpid(), sizeof(allowed), &allowed))
		return;
	bench_bind(&allowed, index % CPU_COUNT(&allowed));
}

pthread_t team_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, run, arg);

	if (error) {
		fprintf(stderr, "micro: pthread_create: %s\n", strerror(error));
		exit(1);
	}
	return thread;
}

static void *member_run(void *arg)
{
	struct team_member *member = arg;
	struct team *team = member->team;

	team_bind(member->index);
	for (;;) {
		pthread_barrier_wait(&team->before);
		if (team->over)
			return NULL;
		team->work(team->arg, member->index);
		pthread_barrier_wait(&team->after);
	}
}

void team_start(struct team *team, unsigned threads,
		void (*work)(void *arg, unsigned index), void *arg)
{
	team->threads = threads;
	team->over = false;
	team->work = work;
	team->arg = arg;
	pthread_barrier_init(&team->before, NULL, threads + 1);
	pthread_barrier_init(&team->after, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++) {
		struct team_member *member = &team->member[i];

		member->team = team;
		member->index = i;
		member->thread = team_thread(member_run, member);
	}
}

void team_round(struct team *team)
{
	pthread_barrier_wait(&team->before);
	pthread_barrier_wait(&team->after);
}

void team_end(struct team *team)
{
	team->over = true;
	pthread_barrier_wait(&team->before);
	for (unsigned i = 0; i < team->threads; i++)
		pthread_join(team->member[i].thread, NULL);
	pthread_barrier_destroy(&team->before);
	pthread_barrier_destroy(&team->after);
}
