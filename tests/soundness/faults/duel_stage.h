/* SPDX-License-Identifier: MIT
 *
 * Shared by a duel's sides (duel_sides.c) and its frame (duel.c). */
#ifndef CM_TESTS_DUEL_STAGE_H
#define CM_TESTS_DUEL_STAGE_H

#include "cardmark/cardmark.h"
#include "tests/soundness/faults/duel.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Pages: those reported before, new ones, and those not tracked yet. */
#define OLD 32
#define NEW 56
#define PAGES 64
#define CHUNK_PAGES 8

/* Two pieces of the old ones that a side untracks, and two spare ones that it tracks. */
#define CALL_UNTRACKS 28, OLD
#define OTHER_UNTRACKS 20, 24
#define CALL_TRACKS NEW, 60
#define OTHER_TRACKS 60, PAGES

struct duel_stage {
	struct cardmark *cm, *second;
	struct cardmark_table *call_table, *other_table, *second_table, *child_table;
	unsigned char *mem;
	size_t card;
	_Atomic bool due[PAGES]; /* must be in an answer that ends from now on */
	_Atomic bool call_is_over, ignoring;
};

extern struct duel_stage stage;

static inline unsigned char *page(size_t i)
{
	return stage.mem + i * stage.card;
}

static inline void store(size_t i)
{
	atomic_store(&stage.due[i], true);
	*(volatile unsigned char *)page(i) = (unsigned char)(*page(i) + 1);
}

static inline void set_due(size_t from, size_t to, bool value)
{
	for (size_t i = from; i < to; i++)
		atomic_store(&stage.due[i], value);
}

bool duel_worked(const char *call, int error);
enum cardmark_collected duel_collect_with(struct cardmark *tracker, struct cardmark_table *table);
void duel_track(size_t from, size_t to);
void duel_look_in_child(void);
void duel_await_child(pid_t pid);
pid_t duel_clone_without_handlers(void);
void duel_await_stopped(void);

#endif
