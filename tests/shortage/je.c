/* SPDX-License-Identifier: MIT
 *
 * Description: a client of the jemalloc adapter in a process that is short of something
 * (under.c): makes arenas, allocates, writes, frees, collects. Each object that was written is
 * dirty in the next answer, and errors have a reason.
 *
 * je BACKEND: status 1 and what is wrong, 77 if the backend never works here. */
#include "tests/shortage/client.h"

#include "tests/support/random.h"

#include <cardmark/jemalloc.h>

#include <pthread.h>

#define OBJECTS 300
#define SECONDS 0.2

int _rjem_mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen);
void *_rjem_mallocx(size_t size, int flags);
void _rjem_dallocx(void *p, int flags);

static struct object {
	unsigned char *at;
	size_t size;
	unsigned char value; /* of its first and last byte */
	bool due;
} objects[OBJECTS];

static enum cardmark_backend backend;
static uint64_t rng;
static struct cardmark *cm;
static struct cardmark_table *table;
static struct cardmark_jemalloc *je;

static void write_to(struct object *o)
{
	o->value++;
	*(volatile unsigned char *)o->at = o->value;
	*(volatile unsigned char *)(o->at + o->size - 1) = o->value;
	o->due = true;
}

static void allocate(struct object *o, int flags)
{
	o->size = 1 + random_below(&rng, random_below(&rng, 8) == 0 ? 200000 : 3000);
	o->at = _rjem_mallocx(o->size, flags);
	if (o->at == NULL)
		return;
	if (fault != TAKES_AN_ERROR_FOR_CLEAN && !cardmark_jemalloc_contains(je, o->at, o->size))
		wrong("an object of the arena is not in the arena");
	write_to(o);
}

static void release(struct object *o, int flags)
{
	if (o->at[0] != o->value || o->at[o->size - 1] != o->value)
		wrong("an object holds something else than was written to it");
	_rjem_dallocx(o->at, flags);
	o->at = NULL;
	o->due = false;
}

static bool dirty(const struct object *o)
{
	return cardmark_jemalloc_is_dirty(je, table, o->at) &&
	       cardmark_jemalloc_is_dirty(je, table, o->at + o->size - 1);
}

static void collect(void)
{
	enum cardmark_collected result;

	cardmark_table_clear(table);
	result = random_below(&rng, 2) == 0 ? cardmark_jemalloc_collect(je, table)
					    : cardmark_jemalloc_collect_arena(je, table);
	if (fault == TAKES_AN_ERROR_FOR_CLEAN)
		cardmark_table_clear(table);
	for (size_t i = 0; i < OBJECTS; i++)
		if (objects[i].due && !dirty(&objects[i]))
			wrong("LOST: an object was written, and a collect that says %d has it not",
			      (int)result);
	for (size_t i = 0; i < OBJECTS && result != CARDMARK_ALL_DIRTY; i++)
		objects[i].due = false;
}

static void *in_thread(void *arg)
{
	int flags = cardmark_jemalloc_flags(je);
	void *p = _rjem_mallocx(5000, flags);

	if (p != NULL) {
		memset(p, 1, 5000);
		pthread_testcancel();
		_rjem_dallocx(p, flags);
	}
	return arg;
}

/* jemalloc 5.3.0 itself crashes where the first call of a thread finds no address space for the
 * automatic arena that the thread is given (tcache_arena_associate() of NULL), and the control
 * "thread.arena" does too. So all of them are made before there is a thread, by allocating from
 * each without a cache: where there is no space, that gives NULL. */
static bool threads_may_run;

static void make_automatic_arenas(void)
{
	const int no_tcache = 1 << 8; /* MALLOCX_TCACHE_NONE */
	unsigned n;
	size_t size = sizeof n;

	threads_may_run = _rjem_mallctl("opt.narenas", &n, &size, NULL, 0) == 0;
	for (unsigned i = 0; threads_may_run && i < n; i++) {
		int from_arena = (int)(i + 1) << 20; /* MALLOCX_ARENA(i) */
		void *p = _rjem_mallocx(1, from_arena | no_tcache);

		threads_may_run = p != NULL;
		if (p != NULL)
			_rjem_dallocx(p, no_tcache);
	}
}

static void use_a_thread(void)
{
	pthread_t thread;

	if (!threads_may_run)
		return;
	if (pthread_create(&thread, NULL, in_thread, NULL) != 0)
		return;
	if (strncmp(shortage(), "cancel", 6) == 0)
		(void)pthread_cancel(thread);
	(void)pthread_join(thread, NULL);
}

static void fork_once(int flags)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (size_t i = 0; i < OBJECTS; i += 3)
			if (objects[i].at != NULL)
				write_to(&objects[i]);
		for (size_t i = 0; i < OBJECTS; i += 5)
			if (objects[i].at == NULL)
				allocate(&objects[i], flags);
		collect();
		_exit(0);
	}
	if (pid > 0)
		wait_for_child(pid);
}

static void do_something(int flags)
{
	for (int n = 0; n < 20; n++) {
		struct object *o = &objects[random_below(&rng, OBJECTS)];

		if (o->at == NULL)
			allocate(o, flags);
		else if (random_below(&rng, 3) == 0)
			release(o, flags);
		else
			write_to(o);
	}
	if (random_below(&rng, 8) == 0)
		use_a_thread();
	if (random_below(&rng, 30) == 0)
		fork_once(flags);
	if (random_below(&rng, 4) != 0)
		collect();
}

static unsigned opens;

static bool opened(void)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backend = backend;
	o.flags = CARDMARK_OPEN_NO_ENV;
	if (!worked("cardmark_open", cardmark_open(&cm, &o), cardmark_last_error()))
		return false;
	if (worked("cardmark_table_new", cardmark_table_new(&table, cm), cardmark_last_error()) &&
	    worked("cardmark_jemalloc_create", cardmark_jemalloc_create(&je, cm, _rjem_mallctl, 0),
		   cardmark_last_error()))
		return true;
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	return false;
}

static void one_arena(unsigned turns)
{
	int flags;

	if (!opened())
		return;
	opens++;
	flags = cardmark_jemalloc_flags(je);
	for (; turns > 0; turns--)
		do_something(flags);
	for (size_t i = 0; i < OBJECTS; i += 2)
		if (objects[i].at != NULL)
			release(&objects[i], flags);
	if (!worked("cardmark_jemalloc_destroy", cardmark_jemalloc_destroy(&je),
		    cardmark_last_error()))
		wrong("an arena cannot be destroyed: %s", cardmark_last_error());
	memset(objects, 0, sizeof objects);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
}

int main(int argc, char **argv)
{
	double end = cm_now_seconds() + SECONDS;

	if (argc != 2 || cardmark_backend_parse(argv[1], &backend) < 0)
		return 2;
	read_fault();
	rng = shortage_seed() * 71 + 3;
	make_automatic_arenas();
	do
		one_arena(30 + (unsigned)random_below(&rng, 60));
	while (cm_now_seconds() < end);
	if (opens > 0 && end_shortage()) {
		well = true;
		one_arena(20);
	}
	return opens == 0 ? 77 : 0;
}
