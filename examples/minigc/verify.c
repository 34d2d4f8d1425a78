/* SPDX-License-Identifier: MIT
 * The second look. It shares no code with the collector but the layout of objects. */
#include "examples/minigc/verify.h"

#include "examples/minigc/side.h"

#include <stdio.h>
#include <stdlib.h>

enum { REPORTS = 10 };

static const char *const kinds[KINDS] = { "?",       "pair",  "vector", "string",
					  "closure", "frame", "table" };

static uint64_t lost;

/* Objects seen, whose slots have yet to be followed. */
static struct object **list;
static size_t n, room;

uint64_t verify_lost(void)
{
	return lost;
}

static const char *kind_name(const struct object *o)
{
	return kinds[o->kind < KINDS ? o->kind : 0];
}

static void report(const char *what, const struct object *o, const struct object *from, size_t slot)
{
	if (++lost > REPORTS)
		return;
	(void)fprintf(stderr, "minigc: lost: %s %p, which %s, but ", kind_name(o), (const void *)o,
		      what);
	if (from == NULL)
		(void)fprintf(stderr, "is a root\n");
	else
		(void)fprintf(stderr, "is slot %zu of the %s %p, card %#zx\n", slot,
			      kind_name(from), (const void *)from,
			      (size_t)((uintptr_t)&from->slot[slot] & ~(cardmark_card_size() - 1)));
}

static void reach(value v, const struct object *from, size_t slot)
{
	struct object *o = object_of(v);

	if (!is_object(v))
		return;
	if (!side_is_start(v)) {
		report("was freed earlier", o, from, slot);
		return;
	}
	if (!side_see(o))
		return;
	if (!side_is_marked(o)) {
		report("is not marked", o, from, slot);
		(void)side_mark(o);
	}
	if (n == room) {
		room = room * 2 + 4096;
		list = realloc(list, room * sizeof(struct object *));
		if (list == NULL)
			fatal("out of memory: no room to verify");
	}
	list[n++] = o;
}

static void reach_root(value v)
{
	reach(v, NULL, 0);
}

void verify_marks(void)
{
	side_clear_seen();
	world_roots(reach_root);
	while (n > 0) {
		const struct object *o = list[--n];

		for (size_t i = 0; i < object_slots(o); i++)
			reach(o->slot[i], o, i);
	}
}
