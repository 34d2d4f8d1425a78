/* SPDX-License-Identifier: MIT
 *
 * minigc: a small generational mark-sweep collector for a tiny Lisp. The heap is an
 * arena of jemalloc, the write barrier is libcardmark. docs/tutorial.md leads through it.
 *
 * A program is loaded by one mutator. If it defines part, its parts 0 to PARTS - 1 are
 * then run by --mutators threads, (part N) each; their results are in the vector `results`
 * when (finish 0) is called, or are printed if the program defines no finish. Each part has a
 * random seed of its own, and any thread may run it. So the result is the same for any number
 * of mutators. */
#include "examples/minigc/barrier.h"
#include "examples/minigc/collect.h"
#include "examples/minigc/heap.h"
#include "examples/minigc/lisp.h"
#include "examples/minigc/stats.h"
#include "examples/minigc/verify.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARTS = 4, LEADER = 64 };

static struct mutator mutators[LEADER + 1]; /* the last loads the program */

void lisp_error(const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	fatal("%s", text);
}

static value name(const char *text)
{
	return symbol(text, strlen(text));
}

static void start_thread(void *(*run)(void *), void *arg, pthread_t *thread)
{
	pthread_attr_t attr;
	int error;

	(void)pthread_attr_init(&attr);
	error = pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (error == 0)
		error = pthread_create(thread, &attr, run, arg);
	(void)pthread_attr_destroy(&attr);
	if (error != 0)
		fatal("no thread: %s", strerror(error));
}

static char *read_whole(const char *path, size_t *length)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0, n = 0, got;

	if (f == NULL)
		fatal("%s: %s", path, strerror(errno));
	do {
		if (n == room) {
			room = room * 2 + 65536;
			text = realloc(text, room);
			if (text == NULL)
				fatal("%s: out of memory", path);
		}
		got = fread(text + n, 1, room - n, f);
		n += got;
	} while (got > 0);
	if (ferror(f))
		fatal("%s: %s", path, strerror(errno));
	(void)fclose(f);
	*length = n;
	return text;
}

static void define_arguments(struct mutator *m)
{
	size_t base = m->top, n = 0;

	while (config.args[n] != NULL)
		n++;
	push(m, NIL);
	while (n-- > 0) {
		value s = string(m, config.args[n], strlen(config.args[n]));

		m->stack[base] = cons(m, s, m->stack[base]);
	}
	global_set(name("args"), m->stack[base]);
	m->top = base;
	global_set(name("size"), from_number(config.size));
	global_set(name("seed"), from_number((intptr_t)config.seed));
	global_set(name("parts"), from_number(PARTS));
	global_set(name("results"), from_object(allocate(m, VECTOR, PARTS)));
}

static void load(struct mutator *m)
{
	struct reader r = { .name = config.program, .line = 1 };
	size_t length;
	char *text = read_whole(config.program, &length);
	value x;

	r.at = text;
	r.end = text + length;
	while ((x = read_value(m, &r)) != END_OF_FILE)
		(void)eval(m, x, NIL);
	free(text);
}

static void seed(struct mutator *m, intptr_t n)
{
	value v = from_number(n);

	(void)builtin_of(global_get(name("random-seed!")))->run(m, &v, 1);
}

static void *run_parts(void *arg)
{
	struct mutator *m = arg;
	intptr_t first = m - mutators;

	world_join(m);
	for (intptr_t p = first; p < PARTS; p += config.mutators) {
		value v;

		seed(m, (intptr_t)config.seed * PARTS + p);
		v = call(m, global_get(name("part")), from_number(p));
		store(m, object_of(global_get(name("results"))), (size_t)p, v);
	}
	world_leave(m);
	return NULL;
}

/* Without (finish n) the results are numbers. */
static void print_results(struct mutator *m)
{
	const struct object *results = object_of(global_get(name("results")));

	for (size_t p = 0; p < PARTS; p++) {
		print_value(m, stdout, results->slot[p], false);
		(void)putc(' ', stdout);
	}
	(void)putc('\n', stdout);
}

static void *lead(void *arg)
{
	struct mutator *m = arg;
	pthread_t threads[LEADER];

	world_join(m);
	seed(m, (intptr_t)config.seed);
	define_arguments(m);
	load(m);
	if (global_get(name("part")) != 0) {
		for (unsigned i = 0; i < config.mutators; i++)
			start_thread(run_parts, &mutators[i], &threads[i]);
		world_rest();
		for (unsigned i = 0; i < config.mutators; i++)
			(void)pthread_join(threads[i], NULL);
		world_resume();
	}
	if (global_get(name("finish")) != 0)
		(void)call(m, global_get(name("finish")), from_number(0));
	else if (global_get(name("part")) != 0)
		print_results(m);
	world_leave(m);
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t start = stats_now();
	pthread_t leader;
	int status = 0;

	config_read(argc, argv);
	heap_open();
	barrier_open();
	collect_open();
	symbols_open();
	builtins_open();
	start_thread(lead, &mutators[LEADER], &leader);
	(void)pthread_join(leader, NULL);
	if (fflush(stdout) != 0 || ferror(stdout))
		fatal("cannot write the result: %s", strerror(errno));
	if (!stats_print(stats_now() - start))
		fatal("%s: %s", config.pauses, strerror(errno));
	if (verify_lost() > 0) {
		(void)fprintf(stderr, "minigc: %llu objects would have been lost\n",
			      (unsigned long long)verify_lost());
		status = 3;
	}
	heap_close();
	return status;
}
