/* SPDX-License-Identifier: MIT
 *
 * Shared by the two files of the oracle: its state, and its writers. */
#ifndef CM_TESTS_WORLD_STATE_H
#define CM_TESTS_WORLD_STATE_H

#include "tests/soundness/random/world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define SLOTS 64
#define SLOT_PAGES 32
#define PAGES (SLOTS * SLOT_PAGES)
#define WRITERS 2
#define MAX_WRITE 9000 /* bytes: up to four pages of 4 KiB */

struct page {
	uint64_t hash; /* at the last check */
	bool tracked;
	bool reported;           /* since the last check, by collect or scan */
	bool pending;            /* changed, not reported: must be in the next report */
	_Atomic uint64_t period; /* last one in which a write began and ended; + 1 */
};

struct slot {
	pthread_mutex_t lock; /* against the slot's going away; writers never hold two */
	bool mapped;
};

struct world {
	struct world_options options;
	struct world_counts counts;
	unsigned capabilities;
	uint64_t rng;
	size_t card;
	unsigned char *base;
	struct cardmark *cm;
	struct cardmark_table *table, *second;
	struct slot slot[SLOTS];
	struct page page[PAGES];
	/* Even between collects, odd while one runs. */
	_Atomic uint64_t epoch;
	_Atomic bool stop_writers, quit;
	_Atomic unsigned stopped;
	_Atomic uint64_t writes, refused;
	pthread_mutex_t pinned; /* held while pages are pinned, and while collecting */
	int noise;              /* file of random bytes for read(2) */
	uint64_t zero_hash;
};

static inline unsigned char *page_at(const struct world *w, size_t i)
{
	return w->base + i * w->card;
}

/* Started with the writers running; they end when w->quit is set. */
struct writer {
	struct world *w;
	uint64_t seed;
	pthread_t thread;
};
void *world_write_on(void *writer);
void world_stop_writers(struct world *w);
void world_start_writers(struct world *w);

#endif
