/* SPDX-License-Identifier: MIT
 * Stopping the world: a count of the running mutators, and a condition to wait for it. */
#include "examples/minigc/world.h"

#include "examples/minigc/heap.h"
#include "examples/minigc/lisp.h"
#include "examples/minigc/side.h"

#include <pthread.h>

atomic_bool world_wants_stop;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects what follows */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool stopped; /* or about to be */
static unsigned running;
static struct mutator *mutators;

static void wait_until_it_runs(void)
{
	while (stopped)
		(void)pthread_cond_wait(&changed, &lock);
}

void world_rest(void)
{
	(void)pthread_mutex_lock(&lock);
	running--;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
}

void world_resume(void)
{
	(void)pthread_mutex_lock(&lock);
	wait_until_it_runs();
	running++;
	(void)pthread_mutex_unlock(&lock);
}

void world_park(void)
{
	world_rest();
	world_resume();
}

void world_join(struct mutator *m)
{
	*m = (struct mutator){ .stack = side_reserve(STACK_MAX * sizeof(value)),
			       .budget = config.nursery / config.mutators };
	if (m->stack == NULL)
		fatal("no memory for a mutator's stack");
	world_resume();
	(void)pthread_mutex_lock(&lock);
	m->next = mutators;
	mutators = m;
	(void)pthread_mutex_unlock(&lock);
	m->flags = heap_flags();
}

void world_leave(struct mutator *m)
{
	m->top = 0;
	world_rest();
}

bool world_stop(void)
{
	bool mine;

	(void)pthread_mutex_lock(&lock);
	running--;
	mine = !stopped;
	if (mine) {
		stopped = true;
		atomic_store_explicit(&world_wants_stop, true, memory_order_relaxed);
		while (running > 0)
			(void)pthread_cond_wait(&changed, &lock);
	} else {
		(void)pthread_cond_broadcast(&changed);
		wait_until_it_runs();
		running++;
	}
	(void)pthread_mutex_unlock(&lock);
	return mine;
}

void world_start(void)
{
	(void)pthread_mutex_lock(&lock);
	atomic_store_explicit(&world_wants_stop, false, memory_order_relaxed);
	stopped = false;
	running++;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
}

struct mutator *world_mutators(void)
{
	return mutators;
}

void world_roots(void (*visit)(value v))
{
	for (struct mutator *m = mutators; m != NULL; m = m->next)
		for (size_t i = 0; i < m->top; i++)
			visit(m->stack[i]);
	symbols_each_global(visit);
}
