/* SPDX-License-Identifier: MIT
 *
 * For a libgc with our patches (check-patches.sh). A full collection looks for uncollectable
 * blocks among all headers. Each step of it, done by an allocation, should look at only a few.
 * The steps are done one by one here, and the headers of each are counted. Objects that only
 * uncollectable ones lead to must be there after it. */
#include <dlfcn.h>
#include <gc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 8192u
#define HOLDERS 4u

static void **old; /* a root: a list through all blocks */

static int stop_at_once(void)
{
	return 1;
}

static void *hidden[HOLDERS]; /* the addresses of uncollectable objects */

/* Not inlined: no register or place of the stack may keep the addresses. */
static __attribute__((noinline)) void fill(void)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		void **block = GC_malloc(2048 + 1024);

		block[0] = old;
		old = block;
		if (i % (BLOCKS / HOLDERS) == BLOCKS / HOLDERS / 2)
			hidden[i / (BLOCKS / HOLDERS)] =
				(void *)GC_HIDE_POINTER(GC_malloc_uncollectable(3072));
	}
}

/* Their pages are not named as dirty: so only the search leads to these objects. */
static __attribute__((noinline)) void store(void **links)
{
	for (unsigned n = 0; n < HOLDERS; n++) {
		void **holder = GC_REVEAL_POINTER(hidden[n]);

		holder[7] = GC_malloc_atomic(48);
		links[n] = (void *)GC_HIDE_POINTER(holder[7]);
		GC_general_register_disappearing_link(&links[n], holder[7]);
	}
}

static __attribute__((noinline)) void clear_stack(void)
{
	volatile char junk[16384];

	memset((void *)junk, 0, sizeof junk);
}

int main(void)
{
	void **links = calloc(HOLDERS, sizeof *links); /* not scanned */
	unsigned long *walked = dlsym(RTLD_DEFAULT, "GC_walked_uncollectable_hdrs");
	unsigned long most = 0, first, last;
	unsigned lost = 0, steps = 0;

	if (!links || !walked)
		return 2;
	GC_set_manual_vdb_allowed(1);
	GC_INIT();
	GC_enable_incremental();
	if (!GC_is_incremental_mode()) {
		fprintf(stderr, "uncollectable: libgc does not collect incrementally\n");
		return 2;
	}
	GC_set_disable_automatic_collection(1);
	fill();
	GC_gcollect();
	store(links);
	clear_stack();
	GC_set_full_freq(0); /* all are full */
	GC_set_time_limit(1);
	GC_set_stop_func(stop_at_once);
	GC_set_rate(1);
	first = last = *walked;
	GC_start_incremental_collection();
	do {
		if (*walked - last > most)
			most = *walked - last;
		last = *walked;
		steps++;
	} while (GC_collect_a_little());
	for (unsigned n = 0; n < HOLDERS; n++)
		lost += !links[n];
	printf("steps: %u\nall: %lu\nwalked: %lu\nlost: %u\n", steps, last - first, most, lost);
	return 0;
}
