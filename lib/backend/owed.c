/* SPDX-License-Identifier: MIT */
#include "lib/backend/owed.h"

#include "cardmark/cardmark.h"
#include "lib/os/os.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define PLACES 128 /* more than one crew has helpers */
#define NO_PLACE PLACES

/* What a span's state holds besides how many had come back with its helper. */
#define FREE UINT64_C(0)
#define FILLING (UINT64_MAX - 1)
#define LATE UINT64_MAX

struct span {
	_Atomic uint64_t state;
	_Atomic uintptr_t start, end;
};

/* In memory that is zero in a fork child: the parent's helpers work on the parent's memory, even if
 * they come back later. */
struct list {
	_Atomic uint64_t back;      /* helpers that have come back */
	_Atomic uint64_t forgotten; /* trackers that have seen fewer take all as owed */
	_Atomic unsigned late;      /* helpers that have not come back ... */
	_Atomic unsigned unlisted;  /* ... and of them those without a place */
	struct span span[PLACES];
};

static _Atomic(struct list *) the_list;

static struct list *list(void)
{
	/* Pairs with the release in cm_owed_set_up(): a thread that finds a list finds it zero. */
	return atomic_load_explicit(&the_list, memory_order_acquire);
}

static size_t list_bytes(void)
{
	size_t card = cardmark_card_size();

	return (sizeof(struct list) + card - 1) & ~(card - 1);
}

int cm_owed_set_up(void)
{
	struct list *none = NULL;
	void *mem;

	if (list() != NULL)
		return 0;
	if (cm_os->map(list_bytes(), &mem) < 0)
		return -ENOMEM;
	if (cm_os->madvise(mem, list_bytes(), MADV_WIPEONFORK) < 0) { /* 4.14 */
		(void)cm_os->unmap(mem, list_bytes());
		return -ENOMEM;
	}
	if (!atomic_compare_exchange_strong_explicit(&the_list, &none, (struct list *)mem,
						     memory_order_release, memory_order_relaxed))
		(void)cm_os->unmap(mem, list_bytes()); /* another thread was first */
	return 0;
}

uint64_t cm_owed_seen(void)
{
	const struct list *l = list();

	return l == NULL ? 0 : atomic_load_explicit(&l->back, memory_order_acquire);
}

/* ---- The crew's side ----------------------------------------------------------- */

static void raise_to(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t now = atomic_load_explicit(word, memory_order_relaxed);

	while (now < value &&
	       !atomic_compare_exchange_weak_explicit(word, &now, value, memory_order_release,
						      memory_order_relaxed))
		;
}

/* A free place, or the one whose helper has been back the longest. */
static unsigned find_place(struct list *l)
{
	for (;;) {
		uint64_t oldest = FILLING;
		unsigned place = NO_PLACE;

		for (unsigned i = 0; i < PLACES; i++) {
			uint64_t state =
				atomic_load_explicit(&l->span[i].state, memory_order_relaxed);

			if (state < oldest) {
				oldest = state;
				place = i;
			}
		}
		if (place == NO_PLACE)
			return NO_PLACE;
		/* First: a reader that finds the span gone finds this. Pairs with the
		 * acquire of `forgotten`. */
		raise_to(&l->forgotten, oldest);
		if (atomic_compare_exchange_strong_explicit(&l->span[place].state, &oldest, FILLING,
							    memory_order_acq_rel,
							    memory_order_relaxed))
			return place;
	}
}

unsigned cm_owed_add(uintptr_t start, uintptr_t end)
{
	struct list *l = list();
	unsigned place = find_place(l);

	atomic_fetch_add_explicit(&l->late, 1, memory_order_relaxed);
	if (place == NO_PLACE) {
		atomic_fetch_add_explicit(&l->unlisted, 1, memory_order_release);
		return place;
	}
	/* Releases, for a reader that is still at the span before this one: see all_owed(). */
	atomic_store_explicit(&l->span[place].start, start, memory_order_release);
	atomic_store_explicit(&l->span[place].end, end, memory_order_release);
	/* One step before, a reader does not see the span. The reader's tracker has none of these
	 * cards: the tracker that has them is still inside its collect. */
	atomic_store_explicit(&l->span[place].state, LATE, memory_order_release);
	return place;
}

void cm_owed_forgive(unsigned place)
{
	struct list *l = list();

	if (place == NO_PLACE)
		atomic_fetch_sub_explicit(&l->unlisted, 1, memory_order_release);
	else
		atomic_store_explicit(&l->span[place].state, FREE, memory_order_release);
	atomic_fetch_sub_explicit(&l->late, 1, memory_order_release);
}

/* One step before the count goes up, a harvest reports the span and will do so again;
 * one step after, a harvest that begins reports it for the last time, and what the
 * helper cleared was cleared before that. `late` goes down last: a reader that finds
 * no late helper finds the count as well. */
void cm_owed_back(unsigned place)
{
	struct list *l = list();
	uint64_t number = atomic_fetch_add_explicit(&l->back, 1, memory_order_acq_rel) + 1;

	if (place == NO_PLACE) {
		raise_to(&l->forgotten, number);
		atomic_fetch_sub_explicit(&l->unlisted, 1, memory_order_release);
	} else {
		atomic_store_explicit(&l->span[place].state, number, memory_order_release);
	}
	atomic_fetch_sub_explicit(&l->late, 1, memory_order_release);
}

/* ---- The trackers' side ---------------------------------------------------------- */

/* Pairs with the releases of cm_owed_back(); `late` first, see there. */
static bool nothing_owed(const struct list *l, uint64_t seen)
{
	return l == NULL || (atomic_load_explicit(&l->late, memory_order_acquire) == 0 &&
			     atomic_load_explicit(&l->back, memory_order_acquire) == seen);
}

static bool span_owed(const struct list *l, unsigned i, uint64_t seen, struct cardmark_run *out)
{
	uint64_t state = atomic_load_explicit(&l->span[i].state, memory_order_acquire);

	if (state == FREE || state == FILLING || (state != LATE && state <= seen))
		return false;
	out->start = atomic_load_explicit(&l->span[i].start, memory_order_relaxed);
	out->end = atomic_load_explicit(&l->span[i].end, memory_order_relaxed);
	return true;
}

/* After the look at the spans: a span that was gone by then, or half gone, had been forgotten
 * before. */
static bool all_owed(const struct list *l, uint64_t seen)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&l->unlisted, memory_order_acquire) != 0 ||
	       atomic_load_explicit(&l->forgotten, memory_order_acquire) > seen;
}

size_t cm_owed_mark(uint64_t *seen, const struct cm_ranges *all, struct cm_cards *into)
{
	const struct list *l = list();
	size_t pieces = 0;
	uint64_t now;

	if (nothing_owed(l, *seen))
		return 0;
	/* Before the spans: a helper that comes back later still owes its unit at the next
	 * harvest. */
	now = atomic_load_explicit(&l->back, memory_order_acquire);
	for (unsigned i = 0; i < PLACES; i++) {
		struct cardmark_run run;

		if (!span_owed(l, i, *seen, &run) || !cm_ranges_touch(all, run.start, run.end))
			continue;
		cm_ranges_mark(all, run, into);
		pieces++;
	}
	if (all_owed(l, *seen) && all->n != 0) {
		cm_ranges_mark(all, (struct cardmark_run){ 0, CM_ADDRESS_LIMIT }, into);
		pieces++;
	}
	*seen = now;
	return pieces;
}

bool cm_owed_at(uint64_t seen, uintptr_t at, uintptr_t *end)
{
	const struct list *l = list();

	if (nothing_owed(l, seen))
		return false;
	for (unsigned i = 0; i < PLACES; i++) {
		struct cardmark_run run;

		if (!span_owed(l, i, seen, &run) || run.end <= at || run.start >= *end)
			continue;
		if (run.start <= at) {
			if (run.end < *end)
				*end = run.end;
			return true;
		}
		*end = run.start;
	}
	return all_owed(l, seen);
}
