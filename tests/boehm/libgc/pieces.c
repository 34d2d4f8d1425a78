/* SPDX-License-Identifier: MIT
 *
 * For a libgc with our patches (check-patches.sh). Full and partial collections with a time limit,
 * one after the other, while objects are allocated, stored, resized and freed. Between two pieces
 * of a walk over all headers anything may happen: here it does, at random. The headers that each
 * allocation looks at are counted. Each object has a number, and is found only through others. */
#include <dlfcn.h>
#include <gc.h>
#include <gc/gc_mark.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 8192u
#define CHUNK 512u /* slots in a large object */
#define MAGIC UINT64_C(0x70696563652d2d2d)

struct object {
	uint64_t magic, number;
	struct object *child;
	size_t size;
};

static struct object **chunks[SLOTS / CHUNK]; /* a root */
static uint64_t numbers[SLOTS];               /* of the objects that the slots lead to */
static uint64_t state, last_number;
static unsigned long *walked, most, total_lost;
static unsigned full, ends;
static int stops_left;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545F4914F6CDD1D);
}

static void count_full(void)
{
	full++;
}

static void count_ends(GC_EventType event)
{
	ends += event == GC_EVENT_RECLAIM_END;
}

static int stop_soon(void)
{
	return --stops_left < 0;
}

static size_t random_size(void)
{
	uint64_t r = next_random();

	if (r % 256 == 0)
		return 8192 + r / 256 % 65536;
	return sizeof(struct object) + (r % 8 ? r / 256 % 200 : r / 256 % 2000);
}

static struct object *new_object(uint64_t number, struct object *child)
{
	size_t size = random_size();
	unsigned long before = *walked;
	struct object *object = GC_malloc(size);

	if (!object) {
		fprintf(stderr, "pieces: no memory\n");
		exit(2);
	}
	/* An object of n pages may pay for n. */
	if (size <= 4096 && *walked - before > most)
		most = *walked - before;
	object->magic = MAGIC;
	object->number = number;
	object->child = child;
	object->size = size;
	GC_end_stubborn_change(object);
	GC_reachable_here(child);
	return object;
}

static void set_slot(unsigned n, struct object *object)
{
	struct object **slot = &chunks[n / CHUNK][n % CHUNK];

	*slot = object;
	GC_end_stubborn_change(slot);
	GC_reachable_here(object);
}

static bool whole(const struct object *object, uint64_t number)
{
	return object && object->magic == MAGIC && object->number == number;
}

static void check(unsigned n)
{
	struct object *object = chunks[n / CHUNK][n % CHUNK];

	if (!whole(object, numbers[n]) || !whole(object->child, numbers[n] + 1) ||
	    !whole(object->child->child, numbers[n] + 2)) {
		total_lost++;
		set_slot(n, NULL);
		numbers[n] = 0;
	}
}

static void fill(unsigned n)
{
	uint64_t number = last_number += 3;

	numbers[n] = number;
	set_slot(n, new_object(number, new_object(number + 1, new_object(number + 2, NULL))));
}

/* Other calls that a program may make. */
static void disturb(unsigned n)
{
	struct object *object = chunks[n / CHUNK][n % CHUNK], *moved;

	switch (next_random() % 4096) {
	case 0:
		GC_gcollect();
		break;
	case 1:
		stops_left = (int)(next_random() % 64);
		GC_try_to_collect(stop_soon);
		break;
	case 2:
		GC_disable();
		break;
	case 3 ... 10:
		if (GC_is_disabled())
			GC_enable();
		GC_set_full_freq(next_random() % 2 ? 1 : 1000);
		GC_set_time_limit(next_random() % 8 ? 1 : GC_TIME_UNLIMITED);
		break;
	case 11 ... 40:
		GC_collect_a_little();
		break;
	case 41 ... 300: /* freed: then filled again */
		GC_free(object->child->child);
		GC_free(object->child);
		GC_free(object);
		set_slot(n, NULL);
		fill(n);
		break;
	case 301 ... 500:
		moved = GC_realloc(object->child, object->child->size + next_random() % 4096);
		object->child = moved;
		GC_end_stubborn_change(object);
		GC_end_stubborn_change(moved);
		GC_reachable_here(moved);
		break;
	default:
		break;
	}
}

/* pieces SEED STEPS [calm]: with "calm" only allocation and stores. */
int main(int argc, char **argv)
{
	unsigned long steps = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	bool calm = argc > 3 && strcmp(argv[3], "calm") == 0;

	walked = dlsym(RTLD_DEFAULT, "GC_walked_all_hdrs");
	if (!walked || steps == 0)
		return 2;
	state = strtoull(argv[1], NULL, 0) * 2 + 1;
	GC_set_manual_vdb_allowed(1);
	GC_INIT();
	GC_enable_incremental();
	if (!GC_is_incremental_mode()) {
		fprintf(stderr, "pieces: libgc does not collect incrementally\n");
		return 2;
	}
	for (unsigned i = 0; i < SLOTS / CHUNK; i++)
		chunks[i] = GC_malloc(CHUNK * sizeof(struct object *));
	for (unsigned n = 0; n < SLOTS; n++)
		fill(n);
	GC_gcollect();
	GC_set_start_callback(count_full);
	GC_set_on_collection_event(count_ends);
	GC_set_time_limit(1);
	GC_set_full_freq(2);
	most = 0;
	for (unsigned long step = 0; step < steps; step++) {
		unsigned n = (unsigned)(next_random() % SLOTS);

		fill(n);
		n = (unsigned)(next_random() % SLOTS);
		check(n);
		if (!numbers[n])
			fill(n);
		else if (!calm)
			disturb(n);
	}
	while (GC_is_disabled())
		GC_enable();
	for (unsigned n = 0; n < SLOTS; n++)
		check(n);
	printf("seed: %s\nfull: %u\ncollections: %u\nheap: %zu\nwalked: %lu\nlost: %lu\n", argv[1],
	       full, ends, GC_get_heap_size() >> 10, most, total_lost);
	return full > 0 ? 0 : 2;
}
