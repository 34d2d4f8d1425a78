/* SPDX-License-Identifier: MIT
 *
 * A list without a lock: chunks of slots, which are never given back. A slot is claimed by
 * exchanging its start for 0, and holds a mapping when its end is set. What a reader sees
 *   - before that: nothing. Memory that was mapped a moment ago may look like the program's; it
 *     holds nothing yet, and a tracker that has it reports too much, not too little.
 *   - of a slot that is emptied meanwhile, and perhaps used again: that it was, and looks
 *     again. That the end is the same proves nothing: the first mapping may have come back.
 *
 * A mapping leaves the list before it is unmapped, because a step later the addresses may belong to
 * other code, and must not be taken for ours. */
#include "lib/os/own.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define SLOTS 170 /* a chunk is a page of 4 KiB */

struct slot {
	_Atomic uintptr_t start, end; /* start 0: free; end 0: not filled in yet */
	_Atomic unsigned emptied;     /* how often */
};

struct chunk {
	_Atomic(struct chunk *) next;
	struct slot slot[SLOTS];
};

static _Atomic bool wanted; /* by an adapter */
static _Atomic(struct chunk *) first;

static bool fill(struct chunk *c, uintptr_t start, uintptr_t end)
{
	for (int i = 0; i < SLOTS; i++) {
		uintptr_t none = 0;

		/* Acquire: the end that was removed before is 0 by now, for us and for each reader
		 * of this start. */
		if (atomic_load_explicit(&c->slot[i].start, memory_order_relaxed) != 0 ||
		    !atomic_compare_exchange_strong_explicit(&c->slot[i].start, &none, start,
							     memory_order_acq_rel,
							     memory_order_relaxed))
			continue;
		/* Pairs with the acquire in read_slot(). */
		atomic_store_explicit(&c->slot[i].end, end, memory_order_release);
		return true;
	}
	return false;
}

/* As linux_map() does, and in the list itself. */
static struct chunk *new_chunk(void)
{
	int saved = errno;
	struct chunk *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED) {
		c = NULL;
	} else {
		(void)madvise(c, sizeof(*c), MADV_DONTDUMP);
		(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, c, sizeof(*c), "libcardmark");
		(void)fill(c, (uintptr_t)c, (uintptr_t)c + sizeof(*c));
	}
	errno = saved;
	return c;
}

static struct chunk *load(_Atomic(struct chunk *) *link)
{
	/* Pairs with the release in chunk_at(). */
	return atomic_load_explicit(link, memory_order_acquire);
}

/* The chunk that hangs there, made if there is none. NULL: no memory. */
static struct chunk *chunk_at(_Atomic(struct chunk *) *link)
{
	struct chunk *there = load(link), *fresh;
	int saved = errno;

	if (there != NULL)
		return there;
	fresh = new_chunk();
	if (fresh == NULL ||
	    atomic_compare_exchange_strong_explicit(link, &there, fresh, memory_order_acq_rel,
						    memory_order_acquire))
		return fresh;
	(void)munmap(fresh, sizeof(*fresh)); /* another thread was first */
	errno = saved;
	return there;
}

void cm_own_add(void *addr, size_t len)
{
	struct chunk *c;

	if (!atomic_load_explicit(&wanted, memory_order_relaxed))
		return;
	c = chunk_at(&first);
	/* Without memory for the list, the mapping is not in it. A tracker that tracks the mapping
	 * may report it. */
	while (c && !fill(c, (uintptr_t)addr, (uintptr_t)addr + len))
		c = chunk_at(&c->next);
}

void cm_own_remove(void *addr)
{
	for (struct chunk *c = load(&first); c; c = load(&c->next))
		for (int i = 0; i < SLOTS; i++) {
			struct slot *s = &c->slot[i];

			if (atomic_load_explicit(&s->start, memory_order_relaxed) !=
			    (uintptr_t)addr)
				continue;
			atomic_store_explicit(&s->end, 0, memory_order_relaxed);
			/* Release: a thread that finds the count raised finds the end gone. */
			(void)atomic_fetch_add_explicit(&s->emptied, 1, memory_order_release);
			/* Not free before that: a thread that finds the next start finds the count
			 * raised. Pairs with the acquires in fill() and read_slot(). */
			atomic_store_explicit(&s->start, 0, memory_order_release);
			return;
		}
}

static bool read_slot(struct slot *s, uintptr_t *start, uintptr_t *end)
{
	unsigned before, after = atomic_load_explicit(&s->emptied, memory_order_acquire);

	do {
		before = after;
		/* The end first: a reader that has the end finds its start, or a later one. */
		*end = atomic_load_explicit(&s->end, memory_order_acquire);
		*start = atomic_load_explicit(&s->start, memory_order_acquire);
		after = atomic_load_explicit(&s->emptied, memory_order_acquire);
	} while (before != after);
	return *end != 0 && *start != 0;
}

bool cm_own_next(uintptr_t addr, uintptr_t *start, uintptr_t *end)
{
	uintptr_t from, to;
	bool found = false;

	for (struct chunk *c = load(&first); c; c = load(&c->next))
		for (int i = 0; i < SLOTS; i++)
			if (read_slot(&c->slot[i], &from, &to) && to > addr &&
			    (!found || from < *start)) {
				*start = from;
				*end = to;
				found = true;
			}
	return found;
}

void cm_own_start(void)
{
	atomic_store_explicit(&wanted, true, memory_order_relaxed);
}
