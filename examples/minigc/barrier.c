/* SPDX-License-Identifier: MIT
 * The barriers, as the collector sees them: ranges in which something was written. */
#include "examples/minigc/barrier.h"

#include "examples/minigc/heap.h"
#include "examples/minigc/side.h"

#include <cardmark/jemalloc.h>

#include <stdlib.h>
#include <string.h>

struct barrier barrier;

static void (*visitor)(uintptr_t start, uintptr_t end);
static uint64_t drop_state;

void barrier_open(void)
{
	drop_state = config.seed * 2 + 1;
	barrier.log = config.barrier == BARRIER_ORACLE;
	if (config.barrier != BARRIER_CARDS && config.barrier != BARRIER_CARDS_4K)
		return;
	barrier.shift = config.barrier == BARRIER_CARDS ? 9 : 12;
	barrier.cards = side_reserve((size_t)1 << (48 - barrier.shift));
	if (barrier.cards == NULL)
		fatal("no address space for the software card table");
}

/* Only old objects are remembered: a young one is marked or swept as a whole. */
void barrier_remember(struct mutator *m, struct object *o)
{
	if (!side_is_marked(o) || !side_log(o))
		return;
	if (m->logged == m->log_room) {
		m->log_room = m->log_room * 2 + 1024;
		m->log = realloc(m->log, m->log_room * sizeof(struct object *));
		if (m->log == NULL)
			fatal("out of memory: no room for the remembered set");
	}
	m->log[m->logged++] = o;
}

/* --barrier=dirty is cardmark with the backend that reports everything as dirty. */
static bool tracked(void)
{
	return config.barrier == BARRIER_CARDMARK || config.barrier == BARRIER_DIRTY;
}

/* ---- Take ------------------------------------------------------------------------- */

void barrier_take(void)
{
	enum cardmark_collected how;

	if (!tracked())
		return;
	how = cardmark_jemalloc_collect(heap.je, heap.table);
	barrier.all_dirty += how == CARDMARK_ALL_DIRTY;
	barrier.guessed += how == CARDMARK_GUESSED;
}

/* ---- Visit ------------------------------------------------------------------------ */

/* --break=drop: what a collector with a bug would do. */
static bool dropped(void)
{
	if (!config.drop)
		return false;
	drop_state = drop_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	if (drop_state >> 63 == 0)
		return false;
	barrier.dropped++;
	return true;
}

/* One run of dirty cards of card bytes each. */
static void visit_run(uintptr_t start, uintptr_t end, size_t card)
{
	uintptr_t from = start;

	barrier.dirty += (end - start) / card;
	if (config.drop)
		for (uintptr_t at = start; at < end; at += card)
			if (dropped()) {
				if (from < at)
					visitor(from, at);
				from = at + card;
			}
	if (from < end)
		visitor(from, end);
}

/* A table that is all dirty, and a range that could not be tracked, come out as runs of
 * the arena like any other: all marked objects there are looked at. */
static void visit_arena(const struct cardmark_table *table)
{
	struct cardmark_run run;

	for (uintptr_t at = 0; cardmark_jemalloc_next_dirty(heap.je, table, at, UINTPTR_MAX, &run);
	     at = run.end)
		visit_run(run.start, run.end, cardmark_card_size());
}

static void visit_cards(void)
{
	size_t card = (size_t)1 << barrier.shift;

	for (struct chunk *c = side_chunks(); c != NULL; c = c->next) {
		unsigned char *of_chunk =
			(unsigned char *)barrier.cards + (c->base >> barrier.shift);

		for (size_t i = 0; i < CHUNK / card; i += 8) {
			uint64_t eight;

			memcpy(&eight, of_chunk + i, sizeof eight);
			if (eight == 0)
				continue;
			for (size_t k = i; k < i + 8; k++)
				if (of_chunk[k])
					visit_run(c->base + k * card, c->base + (k + 1) * card,
						  card);
		}
	}
}

static void visit_log(void)
{
	for (struct mutator *m = world_mutators(); m != NULL; m = m->next)
		for (size_t i = 0; i < m->logged; i++) {
			uintptr_t at = (uintptr_t)m->log[i];

			barrier.dirty++;
			if (!dropped())
				visitor(at, at + object_bytes(m->log[i]));
		}
}

void barrier_visit(void (*visit)(uintptr_t start, uintptr_t end))
{
	visitor = visit;
	barrier.dirty = 0;
	switch (config.barrier) {
	case BARRIER_CARDMARK:
	case BARRIER_DIRTY:
		visit_arena(heap.table);
		break;
	case BARRIER_CARDS:
	case BARRIER_CARDS_4K:
		visit_cards();
		break;
	case BARRIER_ORACLE:
		visit_log();
		break;
	default:
		break;
	}
}

/* ---- Forget ------------------------------------------------------------------------ */

void barrier_forget(void)
{
	if (tracked())
		cardmark_table_clear(heap.table);
	if (barrier.cards != NULL)
		for (struct chunk *c = side_chunks(); c != NULL; c = c->next)
			memset((unsigned char *)barrier.cards + (c->base >> barrier.shift), 0,
			       CHUNK >> barrier.shift);
	for (struct mutator *m = world_mutators(); m != NULL; m = m->next) {
		for (size_t i = 0; i < m->logged; i++)
			side_unlog(m->log[i]);
		m->logged = 0;
	}
}
