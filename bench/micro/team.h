/* Threads that work in rounds: they are started once, wait at a barrier, and
   the case lets them do one round at a time, so that their creation is not in
   the time. Each is bound to one processor, the next one in turn, so that
   neighbours share none and a run is like the one before. */
#ifndef BENCH_MICRO_TEAM_H
#define BENCH_MICRO_TEAM_H

#include <pthread.h>
#include <stdbool.h>

enum { TEAM_MOST = 64 };

struct team;

struct team_member {
	struct team *team;
	unsigned index;
	pthread_t thread;
};

struct team {
	pthread_barrier_t before, after; /* the members and the case */
	unsigned threads;
	bool over; /* written before "before", read after it */
	void (*work)(void *arg, unsigned index);
	void *arg;
	struct team_member member[TEAM_MOST];
};

void team_start(struct team *team, unsigned threads,
		void (*work)(void *arg, unsigned index), void *arg);
/* Every member calls work once; returns when all have. */
void team_round(struct team *team);
void team_end(struct team *team);

/* Binds the caller to the index-th processor that the process may use, counted
   round and round. */
void team_bind(unsigned index);

/* pthread_create of a thread that ends the program if there is none. */
pthread_t team_thread(void *(*run)(void *), void *arg);

#endif
