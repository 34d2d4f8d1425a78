/* SPDX-License-Identifier: MIT
 *
 * Description: the list of the library's own mappings (lib/os/own.c): in order, forgotten
 * when unmapped, longer than a chunk, and read beside threads that change it. */
#include "lib/os/own.h"

#include "lib/os/os.h"
#include "tests/support/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define BASE ((uintptr_t)1 << 40)
#define STEP ((uintptr_t)1 << 20)

/* No memory is there: the list only knows numbers. The start can be computed from the end. */
static uintptr_t start_of(unsigned i)
{
	return BASE + i * STEP;
}

static uintptr_t end_of(unsigned i)
{
	return start_of(i) + (i % 100 + 1) * 4096;
}

static void add(unsigned i)
{
	cm_own_start();
	cm_own_add((void *)start_of(i), end_of(i) - start_of(i));
}

static void take(unsigned i)
{
	cm_own_remove((void *)start_of(i));
}

static void mapped_memory_is_in_it_until_it_is_unmapped(void)
{
	uintptr_t start = 0, end = 0;
	void *p = NULL;

	cm_own_start();
	CHECK_EQ(cm_own_map(3 * 4096, &p), 0);
	CHECK(cm_own_next((uintptr_t)p, &start, &end));
	CHECK(start == (uintptr_t)p && end == start + 3 * (uintptr_t)4096);
	CHECK_EQ(cm_own_unmap(p, 3 * 4096), 0);
	CHECK(!cm_own_next((uintptr_t)p, &start, &end) || start != (uintptr_t)p);
}

static void a_thousand_come_in_order(void)
{
	uintptr_t start, end, at = BASE;

	for (unsigned i = 0; i < 1000; i++)
		add(i * 7 % 1000);
	for (unsigned i = 0; i < 1000; i++, at = end) {
		CHECK(cm_own_next(at, &start, &end));
		CHECK(start == start_of(i) && end == end_of(i));
	}
	for (unsigned i = 0; i < 1000; i++)
		if (i % 10)
			take(i);
	at = BASE;
	for (unsigned i = 0; i < 100; i++, at = end) {
		CHECK(cm_own_next(at, &start, &end));
		CHECK(start == start_of(i * 10) && end == end_of(i * 10));
	}
	for (unsigned i = 0; i < 1000; i += 10)
		take(i);
}

static _Atomic bool done;

static void *change(void *arg)
{
	unsigned first = *(unsigned *)arg;

	for (unsigned n = 0; !atomic_load(&done); n = (n + 1) % 50) {
		add(first + n);
		take(first + n);
	}
	return NULL;
}

/* A reader never sees one mapping's start with another's end, and always sees a mapping that
 * stays. */
static void a_reader_beside_changes_sees_whole_mappings(void)
{
	unsigned first[2] = { 0, 50 };
	pthread_t threads[2];
	unsigned wrong = 0, seen = 0, stays = 200;

	add(stays);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, change, &first[i]), 0);
	for (int n = 0; n < 200000; n++) {
		uintptr_t start, end;
		unsigned i;

		if (!cm_own_next(BASE, &start, &end)) {
			wrong++;
			continue;
		}
		i = (unsigned)((start - BASE) / STEP);
		wrong += start != start_of(i) || end != end_of(i);
		seen += i != stays;
	}
	atomic_store(&done, true);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	take(stays);
	tap_note("%u of 200000 looks saw one that comes and goes", seen);
	CHECK_EQ(wrong, 0);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(mapped_memory_is_in_it_until_it_is_unmapped),
		UNIT_CASE(a_thousand_come_in_order),
		UNIT_CASE(a_reader_beside_changes_sees_whole_mappings),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
