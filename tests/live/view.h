/* SPDX-License-Identifier: MIT
 *
 * Shared by tests of the query on another process: that process, with all kinds of memory, and
 * a question about it. */
#ifndef CM_TESTS_VIEW_H
#define CM_TESTS_VIEW_H

#include "cardmark/process.h"
#include "tests/support/broken_os.h"
#include "tests/support/live.h"
#include "tests/support/random.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA_PAGES ((size_t)4096)
#define HOLE_PAGES ((size_t)65536)
#define SPAN_PAGES (ARENA_PAGES + HOLE_PAGES)
#define MAX_REGIONS (2 * SPAN_PAGES)

static uint64_t rng;
static unsigned char *arena; /* at one address here and in the target */
static pid_t target;
static struct cardmark_process *view;

/* ---- The target ------------------------------------------------------------------ */

static inline void touch_some(unsigned char *p, size_t pages, unsigned one_in)
{
	for (size_t i = 0; i < pages; i++)
		if (random_below(&rng, one_in) == 0)
			live_store(p + i * live_card, 1);
}

static inline void put(size_t page, size_t pages, int flags, int fd)
{
	void *p = mmap(arena + page * live_card, pages * live_card, PROT_READ | PROT_WRITE,
		       flags | MAP_FIXED, fd, 0);

	CHECK(p != MAP_FAILED);
}

/* Kinds of memory side by side: private, tracked and half written again, shared,
 * zero pages, a file's, emptied, without access, unmapped, and a long hole. */
static inline void furnish(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm = NULL;
	struct cardmark_table *table;
	FILE *file = tmpfile();
	unsigned char *p = arena;
	volatile unsigned char sum = 0;

	CHECK(file != NULL && ftruncate(fileno(file), (off_t)(512 * live_card)) == 0);
	touch_some(p, 512, 3); /* 0: private */
	options.backend = CARDMARK_BACKEND_PAGEMAP;
	options.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cardmark_open(&cm, &options), 0);
	CHECK_EQ(cardmark_table_new(&table, cm), 0);
	p += 512 * live_card; /* 512: tracked */
	touch_some(p, 512, 2);
	CHECK_EQ(cardmark_track(cm, p, 512 * live_card, 0), 0);
	(void)cardmark_collect(cm, table);
	touch_some(p, 512, 4);
	put(1024, 256, MAP_SHARED | MAP_ANONYMOUS, -1);
	touch_some(arena + 1024 * live_card, 256, 2);
	for (size_t i = 1280; i < 1536; i += 1 + random_below(&rng, 4)) /* zero pages */
		sum ^= *(volatile unsigned char *)(arena + i * live_card);
	put(1536, 512, MAP_PRIVATE, fileno(file));
	for (size_t i = 1536; i < 2048; i += 1 + random_below(&rng, 4)) {
		sum ^= *(volatile unsigned char *)(arena + i * live_card);
		if (random_below(&rng, 2) == 0)
			live_store(arena + i * live_card, sum);
	}
	touch_some(arena + 2048 * live_card, 512, 2);
	for (size_t i = 2048; i < 2560; i += 1 + random_below(&rng, 16))
		CHECK(madvise(arena + i * live_card, live_card, MADV_DONTNEED) == 0);
	touch_some(arena + 2560 * live_card, 128, 2);
	CHECK(mprotect(arena + 2560 * live_card, 256 * live_card, PROT_NONE) == 0);
	CHECK(munmap(arena + 2816 * live_card, 256 * live_card) == 0);
	touch_some(arena + 3072 * live_card, 1024, 100);
	touch_some(arena + ARENA_PAGES * live_card, HOLE_PAGES, 4000);
}

/* A child that runs fn, then waits to be killed. */
static inline pid_t spawn(void (*fn)(void))
{
	int ready[2];
	char byte;
	pid_t pid;

	CHECK(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		(void)close(ready[0]);
		(void)alarm(60);
		fn();
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	CHECK(pid > 0);
	target = pid;
	(void)close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1);
	(void)close(ready[0]);
	return pid;
}

static inline void nothing(void)
{
}

static inline void reap(void)
{
	if (target == 0)
		return;
	(void)kill(target, SIGKILL);
	(void)waitpid(target, NULL, 0);
	target = 0;
}

/* Cleans up after the case before, however it ended, and makes an arena. */
static inline void start(size_t cards)
{
	broken_os_end();
	cardmark_process_close(&view);
	reap();
	live_clean_up();
	if (cards > 0)
		arena = live_map(cards);
}

static inline void open_view(pid_t pid)
{
	int error = cardmark_process_open(&view, (int)pid);

	if (error < 0)
		tap_note("open: %s", cardmark_last_error());
	CHECK_EQ(error, 0);
}

static inline void set_up(void)
{
	start(SPAN_PAGES);
	(void)spawn(furnish);
	open_view(target);
}

/* ---- Questions -------------------------------------------------------------------- */

static struct cardmark_region regions[MAX_REGIONS];

static inline struct cardmark_query question(void)
{
	struct cardmark_query q = { .size = sizeof q,
				    .start = arena,
				    .len = SPAN_PAGES * live_card,
				    .op = CARDMARK_SCAN_GET,
				    .regions = regions,
				    .capacity = MAX_REGIONS };

	return q;
}

#endif
