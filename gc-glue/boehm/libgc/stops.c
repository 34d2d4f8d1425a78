/* SPDX-License-Identifier: MIT
 *
 * To be preloaded into a program with libgc (compare.sh does): when it ends, prints its times in
 * seconds, its stops, how many mappings it has then, and what two seconds of doing nothing cost. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Of GC_EventType in gc.h. */
enum { PRE_STOP_WORLD = 6, POST_START_WORLD = 9 };

static uint64_t began, stop_began, longest, stopped, stops;
/* The same in processor time of the thread that stops the world: on a busy machine, and with one
 * marking thread, what the stop would take if it had a processor. */
static uint64_t work_began, most_work;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_event(int event)
{
	uint64_t took;

	if (event == PRE_STOP_WORLD) {
		stop_began = clock_ns(CLOCK_MONOTONIC);
		work_began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	}
	if (event != POST_START_WORLD)
		return;
	took = clock_ns(CLOCK_MONOTONIC) - stop_began;
	stops++;
	stopped += took;
	if (took > longest)
		longest = took;
	took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - work_began;
	if (took > most_work)
		most_work = took;
}

static unsigned mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned lines = 0;
	int c;

	while (maps != NULL && (c = getc(maps)) != EOF)
		lines += c == '\n';
	if (maps != NULL)
		(void)fclose(maps);
	return lines;
}

__attribute__((constructor)) static void begin(void)
{
	void (*set)(void (*)(int));
	void *found = dlsym(RTLD_DEFAULT, "GC_set_on_collection_event");

	began = clock_ns(CLOCK_MONOTONIC);
	if (found == NULL)
		return;
	memcpy(&set, &found, sizeof set);
	set(on_event);
}

__attribute__((destructor)) static void end(void)
{
	uint64_t total = clock_ns(CLOCK_MONOTONIC) - began,
		 used = clock_ns(CLOCK_PROCESS_CPUTIME_ID), idle;
	struct rusage usage = { 0 };
	unsigned maps = mappings();

	if (stops == 0)
		return;
	(void)getrusage(RUSAGE_SELF, &usage);
	idle = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	sleep(2);
	idle = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - idle;
	fprintf(stderr,
		"stops.c: total %.2f processor %.2f stops %llu stopped %.2f longest %.4f work %.4f "
		"mappings %u"
		" resident %ld idle %.3f\n",
		(double)total / 1e9, (double)used / 1e9, (unsigned long long)stops,
		(double)stopped / 1e9, (double)longest / 1e9, (double)most_work / 1e9, maps,
		usage.ru_maxrss / 1024, (double)idle / 1e9);
}
