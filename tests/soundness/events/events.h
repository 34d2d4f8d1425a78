/* SPDX-License-Identifier: MIT
 *
 * One case for each thing that can happen to tracked memory. Every write is in the report, and
 * tracking goes on. The line "cell" of each case shows the result:
 * tests/soundness/events/table.sh makes the table of docs/soundness.md from them. */
#ifndef CM_TESTS_EVENTS_H
#define CM_TESTS_EVENTS_H

#include "tests/support/fixture.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_EVENTS = 40 };

enum memory { PRIVATE, SHARED, SHARED_ANONYMOUS, PRIVATE_FILE };

static bool usable[CARDS]; /* may be written in the second round */

struct event {
	const char *name;
	const char *(*happen)(void); /* marks the cards that it wrote in want; returns NULL, or
				      * why it could not */
	unsigned needs;              /* enum cardmark_capability */
	enum memory memory;
};

static const struct event *events, *now;
static struct live_case cases[MOST_EVENTS];

static inline unsigned char *map_kind(enum memory kind)
{
	unsigned char *p;
	int fd;

	if (kind == PRIVATE)
		return live_map(CARDS);
	fd = kind == SHARED_ANONYMOUS ? -1 : memfd_create("events", MFD_CLOEXEC);
	if (fd >= 0)
		CHECK(ftruncate(fd, (off_t)(CARDS * live_card)) == 0);
	p = mmap(NULL, CARDS * live_card, PROT_READ | PROT_WRITE,
		 (kind == PRIVATE_FILE ? MAP_PRIVATE : MAP_SHARED) | (fd < 0 ? MAP_ANONYMOUS : 0),
		 fd, 0);
	if (fd >= 0)
		(void)close(fd);
	live_own_memory(p, CARDS * live_card);
	return p;
}

/* Checks that none is lost. Returns the number of cards reported but not written. */
static inline size_t more_than_written(const char *when)
{
	size_t lost = 0, more = 0;

	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	for (size_t i = 0; i < CARDS; i++) {
		bool dirty = cardmark_table_is_dirty(table, card_at(i));
		lost += want[i] && !dirty;
		more += !want[i] && dirty;
	}
	if (lost != 0)
		tap_note("%s: %zu cards lost", when, lost);
	CHECK_EQ(lost, 0);
	return more;
}

static inline size_t written(void)
{
	size_t n = 0;

	for (size_t i = 0; i < CARDS; i++)
		n += want[i];
	return n;
}

static inline void cell(const char *what)
{
	tap_note("cell|%s|%s|%s", now->name, cardmark_backend_name(live_backend), what);
}

static inline void describe(size_t more, size_t not_written, size_t later)
{
	char text[64];

	if (more == 0)
		(void)snprintf(text, sizeof text, "exact");
	else if (more == not_written)
		(void)snprintf(text, sizeof text, "all dirty");
	else
		(void)snprintf(text, sizeof text, "%zu cards more", more);
	if (later == 0 && more != 0)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), ", then exact");
	else if (later != 0 && more == 0)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), ", then %zu more",
			       later);
	cell(text);
}

static inline void one_event(void)
{
	static const size_t second[] = { 0, 15, 18, 33, 63 };
	const char *reason;
	size_t more, not_written;

	now = &events[live_now - cases];
	mem = map_kind(now->memory);
	memset(mem, 1, CARDS * live_card);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	memset(want, 0, sizeof want);
	memset(usable, true, sizeof usable);
	reason = now->happen();
	if (reason != NULL) {
		cell(reason);
		tap_skip("%s", reason);
	}
	not_written = CARDS - written();
	more = more_than_written("the event");
	memset(want, 0, sizeof want);
	for (size_t i = 0; i < sizeof second / sizeof *second; i++)
		if (usable[second[i]])
			write_card(second[i]);
	(void)more_than_written("after it");
	memset(want, 0, sizeof want);
	write_card(0);
	describe(more, not_written, more_than_written("later"));
}

/* control: one more case, or NULL. */
static inline int events_main(int argc, char **argv, const struct event *list, size_t n,
			      const struct live_case *control)
{
	events = list;
	CHECK(n < MOST_EVENTS);
	for (size_t i = 0; i < n; i++)
		cases[i] = (struct live_case){ list[i].name, one_event, list[i].needs, 0 };
	if (control != NULL)
		cases[n++] = *control;
	return live_main(argc, argv, cases, n);
}

#endif
