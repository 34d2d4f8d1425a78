/* SPDX-License-Identifier: MIT
 *
 * For a libgc with our patches (check-patches.sh). In manual mode the program itself names the
 * dirty pages: so the test can count the headers that a partial collection looks at, and knows
 * the objects that it must not miss. Objects of many sizes are made old by a full collection.
 * Then new ones are stored at random places of some of the old ones, and nowhere else, and
 * those pages are named as dirty. After a partial collection all of the new ones must be
 * there. */
#include <dlfcn.h>
#include <gc.h>
#include <gc/gc_mark.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_N 8192 /* of SMALL bytes, two a block */
#define SMALL 2048
#define LARGE_N 32
#define LARGEST (4u << 20)
#define OLD (SMALL_N + LARGE_N)
#define MOST 400 /* stores */
#define MAGIC UINT64_C(0x6e65772d6f626a65)

struct new_object {
	uintptr_t magic, number;
};

static void **old[OLD]; /* a root: keeps the old ones */
static size_t words[OLD];
static uint64_t state;
static unsigned full;

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

static void add_old(size_t i, size_t size)
{
	void **object = GC_malloc(size);

	if (!object) {
		fprintf(stderr, "dirtybits: no memory\n");
		exit(2);
	}
	words[i] = size / sizeof *object;
	old[i] = object;
}

/* The large objects are first in old[], but all over the heap. Between them are holes: blocks that
 * are free when the dirty pages are looked for. */
static void make_old(void)
{
	for (size_t i = 0; i < SMALL_N; i++) {
		void *hole;

		add_old(LARGE_N + i, SMALL);
		if (i % (SMALL_N / LARGE_N) != 0)
			continue;
		hole = GC_malloc_atomic(next_random() % (256u << 10) + 4096);
		add_old(i / (SMALL_N / LARGE_N), next_random() % LARGEST + 4096);
		if (hole)
			GC_free(hole);
	}
}

/* A free place: in a small or in a large object, equally often. */
static void **random_slot(void)
{
	for (;;) {
		size_t i = next_random() & 1 ? next_random() % LARGE_N : next_random() % OLD;
		void **slot = &old[i][next_random() % words[i]];

		if (!*slot)
			return slot;
	}
}

/* Not inlined: no register or place of the stack may keep the object's address. */
static __attribute__((noinline)) void store_new(uintptr_t number, void **links, bool quiet)
{
	void **slot = random_slot();
	struct new_object *object = GC_malloc_atomic(sizeof *object);

	object->magic = MAGIC;
	object->number = number;
	*slot = object;
	if (!quiet)
		GC_end_stubborn_change(slot);
	links[2 * number] = (void *)GC_HIDE_POINTER(object);
	links[2 * number + 1] = (void *)GC_HIDE_POINTER(slot);
	GC_general_register_disappearing_link(&links[2 * number], object);
}

static __attribute__((noinline)) void clear_stack(void)
{
	volatile char junk[16384];

	memset((void *)junk, 0, sizeof junk);
}

/* A link is cleared when its object is not reached. */
static unsigned count_lost(void **links, uintptr_t stores)
{
	unsigned lost = 0;

	for (uintptr_t n = 0; n < stores; n++) {
		struct new_object *object;

		if (!links[2 * n]) {
			lost++;
			continue;
		}
		object = *(void **)GC_REVEAL_POINTER(links[2 * n + 1]);
		if (object->magic != MAGIC || object->number != n)
			lost++;
	}
	return lost;
}

/* dirtybits SEED STORES [quiet]: with "quiet" no page is named as dirty. */
int main(int argc, char **argv)
{
	void **links = calloc((size_t)2 * MOST, sizeof *links); /* not scanned */
	unsigned long *walked = dlsym(RTLD_DEFAULT, "GC_walked_hdrs"), before;
	uintptr_t stores = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	bool quiet = argc > 3 && strcmp(argv[3], "quiet") == 0;

	if (stores == 0 || stores > MOST || !links || !walked)
		return 2;
	state = strtoull(argv[1], NULL, 0) * 2 + 1;
	GC_set_manual_vdb_allowed(1);
	GC_INIT();
	GC_enable_incremental();
	if (!GC_is_incremental_mode()) {
		fprintf(stderr, "dirtybits: libgc does not collect incrementally\n");
		return 2;
	}
	GC_set_disable_automatic_collection(1);
	GC_set_time_limit(GC_TIME_UNLIMITED);
	GC_set_full_freq(1 << 20);
	make_old();
	GC_gcollect();
	GC_set_start_callback(count_full);
	before = *walked;
	for (uintptr_t n = 0; n < stores; n++)
		store_new(n, links, quiet);
	/* A table that grows with the heap grows now, with these bits set. The heap becomes
	 * eight times as large, because all of it may lie where one more bit of each address
	 * is 0. */
	GC_expand_hp(GC_get_heap_size() * 7);
	clear_stack();
	GC_start_incremental_collection();
	printf("seed: %s\nfull: %u\nwalked: %lu\nlost: %u\n", argv[1], full, *walked - before,
	       count_lost(links, stores));
	return full ? 2 : 0;
}
