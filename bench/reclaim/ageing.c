/* A server that ages. Two threads open sessions at a steady rate, whatever the
   allocator: in every tick of 10 ms the same ones, then the thread sleeps until
   the next. A session is some 16 KB of objects whose sizes lie around a centre
   that drifts, from 48 bytes to 1.5 KB and back within 40 seconds, and now and
   then a buffer of up to 256 KB. It lives a moment (7 of 10), some seconds, or
   up to a minute. One session in four is closed by the other thread. Prints RSS
   over live bytes at a quarter, at half, at three quarters and at the end, the
   mean of the second half (a sample a second), and what the process cost.
   usage: ageing [SECONDS]; bench/reclaim/run runs it. */
#include "reclaim.h"

#include <math.h>
#include <pthread.h>

enum { THREADS = 2, TICKS_A_SECOND = 100, SESSIONS_A_TICK = 10 };
enum { SLOTS = 1 << 16, SESSION_BYTES = 16384, DRIFT_TICKS = 4000 };

#define CENTRE_LOW 48.0
#define CENTRE_SPAN 32.0 /* the highest centre over the lowest */

/* The objects of a session are linked through their first words. */
struct object {
	struct object *next;
};

struct session {
	struct object *objects;
	struct session *next; /* in a list: those that end with a tick, or spare */
	size_t bytes;
	unsigned long end; /* tick; those of the last tick stay */
};

struct server {
	pthread_t thread;
	uint64_t state;
	unsigned long ticks;
	struct session **ending; /* by tick */
	struct session *spare;   /* unused slots */
	struct server *other;
	struct session *posted; /* by the other, under the lock */
	pthread_mutex_t lock;
	size_t live; /* bytes in sessions this one opened less those it closed */
};

static uint64_t below(uint64_t *state, uint64_t n)
{
	return (loop_random(state) >> 24) % n;
}

static void add_object(struct session *session, size_t size)
{
	struct object *o = reclaim_touched(size);

	o->next = session->objects;
	session->objects = o;
	session->bytes += size;
}

static double centre_at(unsigned long tick)
{
	unsigned long at = tick % DRIFT_TICKS;
	double way = 2.0 * (double)at / DRIFT_TICKS;

	return CENTRE_LOW * pow(CENTRE_SPAN, way < 1 ? way : 2 - way);
}

static unsigned long draw_life(uint64_t *state)
{
	uint64_t kind = below(state, 20);

	if (kind < 14)
		return 5 + below(state, 46);
	return kind < 19 ? 100 + below(state, 901) : 1000 + below(state, 5001);
}

static struct session *open_session(struct server *s, unsigned long tick)
{
	double centre = centre_at(tick);
	struct session *session = s->spare;

	if (!session) {
		fputs("ageing: more sessions than slots\n", stderr);
		exit(1);
	}
	s->spare = session->next;
	session->objects = NULL;
	session->bytes = 0;
	while (session->bytes < SESSION_BYTES) {
		double share = 0.5 + (double)below(&s->state, 1024) / 1024;

		add_object(session, 16 + (size_t)(centre * share));
	}
	if (below(&s->state, 16) == 0)
		add_object(session, 4096 + below(&s->state, 258048));
	session->end = tick + draw_life(&s->state);
	if (session->end > s->ticks)
		session->end = s->ticks;
	return session;
}

static void close_session(struct server *s, struct session *session)
{
	struct object *o = session->objects;

	while (o) {
		struct object *next = o->next;

		free(o);
		o = next;
	}
	__atomic_fetch_sub(&s->live, session->bytes, __ATOMIC_RELAXED);
	session->next = s->spare;
	s->spare = session;
}

static void keep_until_end(struct server *s, struct session *session,
			   unsigned long tick)
{
	unsigned long end = session->end > tick ? session->end : tick;

	session->next = s->ending[end];
	s->ending[end] = session;
}

static void take_posted(struct server *s, unsigned long tick)
{
	struct session *session, *next;

	pthread_mutex_lock(&s->lock);
	session = s->posted;
	s->posted = NULL;
	pthread_mutex_unlock(&s->lock);
	for (; session; session = next) {
		next = session->next;
		keep_until_end(s, session, tick);
	}
}

static void post(struct server *to, struct session *session)
{
	pthread_mutex_lock(&to->lock);
	session->next = to->posted;
	to->posted = session;
	pthread_mutex_unlock(&to->lock);
}

static void run_tick(struct server *s, unsigned long tick)
{
	struct session *session, *next;

	take_posted(s, tick);
	for (session = s->ending[tick]; session; session = next) {
		next = session->next;
		close_session(s, session);
	}
	s->ending[tick] = NULL;
	for (int i = 0; i < SESSIONS_A_TICK; i++) {
		session = open_session(s, tick);
		__atomic_fetch_add(&s->live, session->bytes, __ATOMIC_RELAXED);
		if (below(&s->state, 4) == 0)
			post(s->other, session);
		else
			keep_until_end(s, session, tick + 1);
	}
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	for (unsigned long tick = 0; tick < s->ticks; tick++) {
		run_tick(s, tick);
		at.tv_nsec += 1000000000L / TICKS_A_SECOND;
		if (at.tv_nsec >= 1000000000L) {
			at.tv_nsec -= 1000000000L;
			at.tv_sec++;
		}
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at,
				       NULL) == EINTR)
			;
	}
	return NULL;
}

static void make_server(struct server *s, unsigned long ticks, uint64_t seed)
{
	struct session *slots = reclaim_table(SLOTS * sizeof(*slots));

	s->state = seed;
	s->ticks = ticks;
	s->ending = reclaim_table((ticks + 2) * sizeof(*s->ending));
	pthread_mutex_init(&s->lock, NULL);
	for (size_t i = 0; i < SLOTS; i++) {
		slots[i].next = s->spare;
		s->spare = &slots[i];
	}
}

static double live_now(const struct server *servers)
{
	size_t live = 0;

	for (int i = 0; i < THREADS; i++)
		live += __atomic_load_n(&servers[i].live, __ATOMIC_RELAXED);
	return (double)live;
}

int main(int argc, char **argv)
{
	static struct server servers[THREADS];
	unsigned long seconds = loop_count(argc, argv, 1, 60);
	double start, live = 0, sum = 0, end = 0, quarters[4] = { 0 };
	unsigned long samples = 0;

	for (int i = 0; i < THREADS; i++) {
		make_server(&servers[i], seconds * TICKS_A_SECOND,
			    UINT64_C(0x616765) + (uint64_t)i);
		servers[i].other = &servers[(i + 1) % THREADS];
	}
	start = reclaim_rss();
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&servers[i].thread, NULL, serve, &servers[i])) {
			fputs("ageing: no thread\n", stderr);
			return 1;
		}
	for (unsigned long second = 1; second <= seconds; second++) {
		reclaim_sleep(second < seconds ? 1 : 0.9);
		live = live_now(servers);
		end = (reclaim_rss() - start) / live;
		for (unsigned long q = 1; q <= 4; q++)
			if (second <= (seconds * q + 3) / 4)
				quarters[q - 1] = end;
		if (second * 2 > seconds) {
			sum += end;
			samples++;
		}
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(servers[i].thread, NULL);
	reclaim_tell("quarter_ratio", quarters[0]);
	reclaim_tell("half_ratio", quarters[1]);
	reclaim_tell("three_quarters_ratio", quarters[2]);
	reclaim_tell("end_ratio", end);
	reclaim_tell("mean_ratio", samples ? sum / (double)samples : 0);
	reclaim_tell("live_mb", live / MB);
	reclaim_tell_cost();
	return 0;
}
