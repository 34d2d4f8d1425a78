/* SPDX-License-Identifier: MIT
 *
 * Description: side_each_marked() visits the objects that a search through a list of all
 * objects finds, while objects of all lengths come, go and leave their hints behind. Without
 * the hints it does not.
 *
 * side_test [SEED] */
#include "examples/minigc/side.h"

#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <string.h>

enum { HEAP = 3 * CHUNK, OBJECTS = 400, ROUNDS = 40, QUESTIONS = 100 };

struct entry {
	uintptr_t start, end;
	bool marked, visited;
};

static struct entry entries[OBJECTS];
static size_t n_entries;
static uintptr_t heap;
static uint64_t state, seed;

static void forget(size_t i)
{
	struct chunk *c = side_chunk(entries[i].start);
	size_t granule = entries[i].start % CHUNK / GRANULE;
	uint64_t bit = UINT64_C(1) << granule % 64;

	/* Like the sweep. */
	(void)atomic_fetch_and(&c->start[granule / 64], ~bit);
	c->mark[granule / 64] &= ~bit;
	entries[i] = entries[--n_entries];
}

static bool overlaps(const struct entry *e, uintptr_t start, uintptr_t end)
{
	return e->start < end && e->end > start;
}

/* Adds an object. It replaces all objects that it overlaps. */
static void add(void)
{
	static const uint64_t most[] = { 4, 40, 2000, 400000 };
	size_t slots = 1 + random_below(&state, most[random_below(&state, 4)]);
	size_t bytes = bytes_for(VECTOR, slots);
	uintptr_t at = heap + random_below(&state, (HEAP - bytes) / GRANULE) * GRANULE;
	struct object *o = (struct object *)at;

	for (size_t i = n_entries; i-- > 0;)
		if (overlaps(&entries[i], at, at + bytes))
			forget(i);
	if (n_entries == OBJECTS)
		forget(random_below(&state, OBJECTS));
	o->kind = VECTOR;
	o->length = (uint32_t)slots;
	CHECK(side_enter(o));
	CHECK(side_is_start(at));
	entries[n_entries] = (struct entry){ .start = at, .end = at + bytes };
	if (random_below(&state, 3) > 0) {
		CHECK(side_mark(o));
		CHECK(!side_mark(o));
		entries[n_entries].marked = true;
	}
	n_entries++;
}

static void visit(struct object *o, uintptr_t start, uintptr_t end)
{
	(void)start;
	(void)end;
	for (size_t i = 0; i < n_entries; i++)
		if (entries[i].start == (uintptr_t)o)
			entries[i].visited = true;
}

/* Objects that the question missed. Visiting one that does not reach into the range is
 * allowed: it has no slots there. */
static size_t ask(void)
{
	uintptr_t start = heap + random_below(&state, HEAP / 512) * 512;
	uintptr_t end =
		start + 512 * (1 + random_below(&state, random_below(&state, 8) ? 16 : 9000));
	size_t missed = 0;

	if (end > heap + HEAP)
		end = heap + HEAP;
	for (size_t i = 0; i < n_entries; i++)
		entries[i].visited = false;
	side_each_marked(start, end, visit);
	for (size_t i = 0; i < n_entries; i++) {
		bool wanted = entries[i].marked && overlaps(&entries[i], start, end);

		missed += wanted && !entries[i].visited;
		CHECK(entries[i].marked || !entries[i].visited);
	}
	return missed;
}

/* Objects missed in all rounds, with the hints or without. */
static size_t play(bool hints)
{
	size_t missed = 0;

	state = seed;
	while (n_entries > 0)
		forget(0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < OBJECTS / 2; i++)
			add();
		for (struct chunk *c = side_chunks(); !hints && c != NULL; c = c->next)
			memset((void *)c->cover, 0, sizeof c->cover);
		for (unsigned i = 0; i < QUESTIONS; i++)
			missed += ask();
	}
	return missed;
}

static void finds_all(void)
{
	CHECK_EQ(play(true), 0);
}

static void control(void)
{
	size_t missed = play(false);

	tap_note("without hints %zu were missed", missed);
	CHECK(missed > 0);
}

int main(int argc, char **argv)
{
	seed = random_seed(argc > 1 ? argv[1] : NULL);
	heap = ((uintptr_t)side_reserve(HEAP + CHUNK) | (CHUNK - 1)) + 1;
	tap_run("side", "every marked object in a range is visited", finds_all, NULL);
	tap_run("side", "control: without the hints some are not", control, NULL);
	(void)printf("1..2\n");
	return tap_status();
}
