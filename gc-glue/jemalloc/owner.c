/* SPDX-License-Identifier: MIT
 *
 * To which arena do these hooks belong? Ours are the first member of an arena's struct, and
 * jemalloc gives their address to each hook. But a program may copy them, change one, and set the
 * copy for an arena: then there is no struct at that address. So the address is compared with those
 * of all arenas under watch before anything is read there.
 *
 * There is no lock: hooks run under jemalloc's locks, and the lock of the list (fork.c) comes
 * before these. A hook always finds its own arena: the arena is added before our hooks are set for
 * it, and removed after jemalloc has destroyed it. A detached arena stays in the list, and its
 * struct stays too. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>
#include <limits.h>

#define MOST 8192 /* jemalloc 5 has at most 4096 arenas, and a process may have two jemallocs */

static struct {
	_Atomic(struct cardmark_jemalloc *) je;
	atomic_uint arena;    /* UINT_MAX: not made yet */
	atomic_bool detached; /* the struct stays; the arena may be adopted again */
} owners[MOST];
static atomic_size_t used; /* slots behind these were never used */
/* For an arena that is not ours, but for which the program set a copy of our hooks: jemalloc's own
 * hooks do the work. */
static struct cardmark_jemalloc nobody = { .lock = PTHREAD_MUTEX_INITIALIZER, .gone = true };

/* One step before a slot is counted no hook looks at it; one step after, it finds the struct
 * there: release, pairs with the acquires in slot_of() and by_number(). */
static void count(size_t slots)
{
	size_t known = atomic_load_explicit(&used, memory_order_relaxed);

	while (known < slots &&
	       !atomic_compare_exchange_weak_explicit(&used, &known, slots, memory_order_release,
						      memory_order_relaxed))
		;
}

static bool take_slot(size_t i, struct cardmark_jemalloc *from, struct cardmark_jemalloc *to,
		      unsigned arena)
{
	/* One step before, the slot has no number, so no copy of other hooks leads to it; one step
	 * after, an arena that is being made or adopted. */
	if (from != NULL)
		atomic_store_explicit(&owners[i].arena, UINT_MAX, memory_order_relaxed);
	if (!atomic_compare_exchange_strong_explicit(&owners[i].je, &from, to, memory_order_release,
						     memory_order_relaxed))
		return false;
	atomic_store_explicit(&owners[i].arena, arena, memory_order_relaxed);
	count(i + 1);
	return true;
}

int cm_je_owner_add(struct cardmark_jemalloc *je, unsigned arena, struct cm_je_hooks *default_hooks)
{
	struct cm_je_hooks *none = NULL;

	/* Once, before any arena has our hooks. */
	(void)__atomic_compare_exchange_n(&nobody.inner, &none, default_hooks, false,
					  __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	for (size_t i = 0; i < MOST; i++)
		if (take_slot(i, NULL, je, arena))
			return 0;
	/* All slots are used: take one of a detached arena. After so many arenas, no thread is
	 * still on its way into its hooks. */
	for (size_t i = 0; i < MOST; i++)
		if (atomic_exchange_explicit(&owners[i].detached, false, memory_order_relaxed) &&
		    take_slot(i, atomic_load_explicit(&owners[i].je, memory_order_relaxed), je,
			      arena))
			return 0;
	return -ENOMEM;
}

static size_t slot_of(const struct cardmark_jemalloc *je)
{
	size_t n = atomic_load_explicit(&used, memory_order_acquire), i = 0;

	while (i < n && atomic_load_explicit(&owners[i].je, memory_order_acquire) != je)
		i++;
	return i < n ? i : MOST;
}

void cm_je_owner_is_arena(const struct cardmark_jemalloc *je, unsigned arena)
{
	size_t i = slot_of(je);

	if (i < MOST)
		atomic_store_explicit(&owners[i].arena, arena, memory_order_relaxed);
}

void cm_je_owner_is_detached(const struct cardmark_jemalloc *je)
{
	size_t i = slot_of(je);

	if (i < MOST)
		atomic_store_explicit(&owners[i].detached, true, memory_order_relaxed);
}

/* One step before, the arena is already destroyed, and no hook looks for it. */
void cm_je_owner_remove(const struct cardmark_jemalloc *je)
{
	size_t i = slot_of(je);

	if (i == MOST)
		return;
	atomic_store_explicit(&owners[i].arena, UINT_MAX, memory_order_relaxed);
	atomic_store_explicit(&owners[i].je, NULL, memory_order_release);
}

/* The arena has a copy of our hooks: we do not see the memory that it maps by other hooks. If two
 * jemallocs have an arena of that number, it may be either. */
static struct cardmark_jemalloc *by_number(unsigned arena)
{
	size_t n = atomic_load_explicit(&used, memory_order_acquire), found = 0;
	struct cardmark_jemalloc *one = NULL, *detached = NULL;

	for (size_t i = 0; i < n; i++) {
		struct cardmark_jemalloc *je =
			atomic_load_explicit(&owners[i].je, memory_order_acquire);

		if (je == NULL ||
		    atomic_load_explicit(&owners[i].arena, memory_order_relaxed) != arena)
			continue;
		if (atomic_load_explicit(&owners[i].detached, memory_order_relaxed)) {
			detached = je;
			continue;
		}
		cm_je_lose_track(je);
		one = je;
		found++;
	}
	if (found == 0 && detached != NULL)
		return detached;
	return found == 1 ? one : &nobody;
}

void cm_je_owner_child(void)
{
	size_t n = atomic_load_explicit(&used, memory_order_acquire);

	(void)pthread_mutex_init(&nobody.lock, NULL);
	for (size_t i = 0; i < n; i++) {
		struct cardmark_jemalloc *je =
			atomic_load_explicit(&owners[i].je, memory_order_acquire);

		if (je != NULL && je->gone)
			(void)pthread_mutex_init(&je->lock, NULL);
	}
}

struct cardmark_jemalloc *cm_je_owner(const struct cm_je_hooks *hooks, unsigned arena)
{
	const struct cardmark_jemalloc *je = (const void *)hooks;
	size_t i = slot_of(je);

	return i < MOST ? atomic_load_explicit(&owners[i].je, memory_order_relaxed)
			: by_number(arena);
}
