/* SPDX-License-Identifier: MIT
 *
 * jemalloc on cardmark: an arena whose memory is watched by a tracker.
 *
 * The adapter wraps the extent hooks of one arena of a stock jemalloc (5.0 or
 * later). The arena's memory is tracked before an object can be in it, and leaves the tracker
 * before it is unmapped. The adapter reaches jemalloc only through a pointer to its mallctl(). So
 * builds with a prefix, static builds and several builds in one process work:
 *
 *	struct cardmark_jemalloc *je;
 *	cardmark_jemalloc_create(&je, cm, mallctl, 0);
 *	int flags = cardmark_jemalloc_flags(je);  // once in each thread
 *	void *p = mallocx(100, flags);
 *	...                                       // stop the others
 *	cardmark_jemalloc_collect(je, table);
 *	for (uintptr_t at = 0; cardmark_jemalloc_next_dirty(je, table, at, UINTPTR_MAX, &run);
 *	     at = run.end)
 *		look_at(run.start, run.end);
 *	...
 *	dallocx(p, flags);
 *
 * Be careful: only memory that came from the arena is tracked. mallocx() with MALLOCX_ARENA alone
 * may return an object from this thread's automatic cache, which holds memory of another arena;
 * malloc() and realloc() always do so. Call mallocx(), rallocx(), xallocx() and dallocx() with the
 * flags from cardmark_jemalloc_flags(), and check with cardmark_jemalloc_check() in debug builds.
 * Do not free an object of the arena with free() or with other flags, nor an object from elsewhere
 * with these flags: it would go into the wrong cache.
 *
 * Small objects are allocated and freed without a write to the arena's pages:
 * jemalloc keeps its metadata elsewhere. So a card is dirty when the program wrote
 * to it (or jemalloc did on its behalf: calloc, realloc, opt.junk).
 *
 * The tracker is the caller's, and must stay open until the arena is destroyed
 * or detached. It may track other memory and other arenas too.
 *
 * The arena's extent hooks are the adapter's. If the program sets other hooks, even hooks that call
 * ours, the adapter no longer knows what the arena maps. Then everything counts as dirty
 * permanently, and stats shows this (ranges_overflown, last_error -EBUSY). With jemalloc 5.3 and
 * later, collect, a walk from 0, check and stats notice it. With all versions, check, destroy and
 * detach notice it, and so does flags in a thread that has none yet. Give such hooks to the arena
 * first, and then adopt it.
 *
 * The adapter does not notice arena.<i>.reset, and the caches of the threads would then hand
 * out memory twice: call cardmark_jemalloc_reset() instead.
 *
 * Errors are those of <cardmark/cardmark.h>, and cardmark_last_error() has the reason. Calls may
 * come from any thread, but not from an extent hook. "May run while the world is stopped" has the
 * same meaning as in cardmark.h: the hooks hold our locks with signals blocked, so a collector that
 * stops threads by a signal stops no thread there. But a stopped thread may hold one of jemalloc's
 * own locks: allocate nothing while the world is stopped.
 */
#ifndef CARDMARK_JEMALLOC_H
#define CARDMARK_JEMALLOC_H

#include <cardmark/cardmark.h>

#ifdef __cplusplus
extern "C" {
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* as in cardmark.h */
#endif
#endif

/* Opaque: one arena under watch. */
struct cardmark_jemalloc;

/* jemalloc's mallctl(), under whatever name it has: je_mallctl, _rjem_mallctl. */
typedef int (*cardmark_mallctl)(const char *name, void *oldp, size_t *oldlenp, void *newp,
				size_t newlen);

enum cardmark_jemalloc_flags {
	/* adopt: take an arena that holds memory. That memory is not tracked, and not
	 * found by any call here, until jemalloc gives it back to the system and maps it
	 * again: track it yourself, or count it as always dirty. */
	CARDMARK_JEMALLOC_BEST_EFFORT = 1 << 0,
	/* create: track the arena's own metadata as well (otherwise jemalloc 5.3 and
	 * later keep it out of the hooks; before 5.3 it is always in): for
	 * snapshots, which need all memory. Allocations then make cards dirty. */
	CARDMARK_JEMALLOC_METADATA = 1 << 1
};

/* ---- Arenas ----------------------------------------------------------------- */

/* Makes a new arena of jemalloc and tracks all it will map. Not while the world is
 * stopped. -EINVAL bad argument or flags; -ENOTSUP mallctl is not that of a jemalloc
 * with arenas.create (5.0), or refuses; -ENOMEM. On failure the arena made is destroyed. */
CARDMARK_API int cardmark_jemalloc_create(struct cardmark_jemalloc **out, struct cardmark *cm,
					  cardmark_mallctl mallctl, unsigned flags);

/* The same for an existing arena. If it has hooks of its own, they still do the
 * work. No thread may use the arena meanwhile.
 * -EINVAL as above, or no such arena; -EBUSY the arena holds memory, or may hold
 * some (a jemalloc without statistics does not report it), and BEST_EFFORT is not among
 * the flags; or it is under watch already; -ENOTSUP, -ENOMEM as above. The arena
 * is then as it was. */
CARDMARK_API int cardmark_jemalloc_adopt(struct cardmark_jemalloc **out, struct cardmark *cm,
					 cardmark_mallctl mallctl, unsigned arena, unsigned flags);

/* Destroys the arena with all objects in it, stops tracking it, frees *je and sets it to NULL. NULL
 * and pointer to NULL are fine. No thread may be using the arena, or use its flags again; jemalloc
 * may give its number to the next arena at once. Call this instead of arena.<i>.destroy, because it
 * empties the caches of the threads first. Not while the world is stopped. Waits for threads that
 * end and give their caches back.
 * -ENOTSUP jemalloc does not destroy this arena (one of its automatic ones): only the caches
 * were changed; detach it. -EBUSY clone(2) made this process while a thread was in a hook. */
CARDMARK_API int cardmark_jemalloc_destroy(struct cardmark_jemalloc **je);

/* Frees all objects in the arena at once; the arena, its memory and the threads' flags stay.
 * Call this instead of arena.<i>.reset, because it empties the caches of the threads first. No
 * thread may be allocating or freeing in the arena; threads may end. Not while the world is
 * stopped.
 * -EINVAL je is NULL; -ENOTSUP jemalloc does not reset this arena (one of its automatic
 * ones): only caches were emptied; or this is a fork child and the thread that forked had a cache
 * before: nothing was done. */
CARDMARK_API int cardmark_jemalloc_reset(struct cardmark_jemalloc *je);

/* Gives the arena its former hooks back and stops tracking it; its objects stay. If the program set
 * other hooks, those stay; they may still call ours, which pass the call on. Other threads may
 * allocate and free in the arena meanwhile, with the flags they have, but must not call the
 * adapter: *je is set to NULL. Threads' caches stay with jemalloc: the arena must not be destroyed
 * before those threads have ended. One page is left behind, because a thread may just be on its way
 * into a hook. Not while the world is stopped. -EIO jemalloc refuses: nothing was changed. -EBUSY
 * as above. */
CARDMARK_API int cardmark_jemalloc_detach(struct cardmark_jemalloc **je);

/* ---- Allocating in it --------------------------------------------------------- */

/* jemalloc's number of the arena, for mallctl names and MALLOCX_ARENA(). */
CARDMARK_API unsigned cardmark_jemalloc_arena(const struct cardmark_jemalloc *je);

/* The flags for mallocx() and its kin in this thread: the arena and a cache of this
 * thread's own that holds nothing but objects of the arena. The cache is made at the thread's
 * first call, and freed when the thread ends: after its C++ thread_local objects, and
 * in the last but one round of its pthread_key_create() destructors, which may free
 * objects with these flags until then. A destructor that may run later asks for the flags
 * again. If no cache could be made, or the thread gave it back already, the flags have
 * MALLOCX_TCACHE_NONE (slower, but just as sound); stats counts this. Add other bits (alignment,
 * MALLOCX_ZERO) with |. Cannot fail. Keep the result; another thread must not use it. Not while the
 * world is stopped. */
CARDMARK_API int cardmark_jemalloc_flags(struct cardmark_jemalloc *je);

/* Is all of [addr, addr + len) memory of the arena, whether in use or not? Takes no lock,
 * O(log ranges). Memory that jemalloc is just about to unmap still counts. May run while the
 * world is stopped. */
CARDMARK_API bool cardmark_jemalloc_contains(struct cardmark_jemalloc *je, const void *addr,
					     size_t len);

/* For debug builds: did this allocation land in the arena, and is it watched? 0, or
 * -ENOENT with the reason in cardmark_last_error(); -EBUSY where that cannot be known: a
 * thread stays in the arena's hooks, or clone(2) made this process in the middle of a call. Any
 * address may be asked for. Not while the world is stopped. */
CARDMARK_API int cardmark_jemalloc_check(struct cardmark_jemalloc *je, const void *addr,
					 size_t len);

/* ---- Its ranges and its dirty cards --------------------------------------------- */

enum cardmark_jemalloc_range_flags {
	/* Could not be tracked: counts as dirty until a collect can track it. */
	CARDMARK_JEMALLOC_ALWAYS_DIRTY = 1 << 0,
	/* Decommitted (vm.overcommit_memory=2): can't be read, holds nothing, is never dirty. */
	CARDMARK_JEMALLOC_DECOMMITTED = 1 << 1,
	/* In answers of discarded: the contents became zero ... */
	CARDMARK_JEMALLOC_ZEROED = 1 << 2,
	/* ... or are the old ones, or zero from some moment on (MADV_FREE); or the purge
	 * failed on the way; or too much was discarded to be listed. */
	CARDMARK_JEMALLOC_INDETERMINATE = 1 << 3
};

struct cardmark_jemalloc_range {
	uintptr_t start, end; /* bytes, card-aligned, end not included */
	unsigned flags;       /* enum cardmark_jemalloc_range_flags */
};

/* The first range of the arena that ends above from, in full; false if there is
 * none. Start with 0 and go on from out->end. Neighbours with the same flags are one
 * range. May run while the world is stopped; beside threads that allocate, each
 * answer is right for its moment. If the adapter has lost where the arena is (ranges_overflown;
 * hooks replaced), or cannot know it (a tracer stopped a thread in the middle of a hook for more
 * than 2 s, or clone(2) made this process there), the answer is one ALWAYS_DIRTY range from
 * `from` to the end of all addresses. Not all of that can be read; next_dirty answers the same. */
CARDMARK_API bool cardmark_jemalloc_next_range(struct cardmark_jemalloc *je, uintptr_t from,
					       struct cardmark_jemalloc_range *out);

/* cardmark_collect() of the whole tracker, after another try to track what could not
 * be tracked when it was mapped. GUESSED also if some of it still cannot, or if the
 * adapter's lock did not come. ALL_DIRTY as cardmark_collect(). You may use cardmark_collect()
 * instead: no write is lost either way, if you ask the functions below for dirty cards and not only
 * the table. With several arenas on one tracker one collect is enough for all, if they share a
 * table. Cannot fail. Meant for the stopped world; while mutators run, as cardmark_collect().
 */
CARDMARK_API enum cardmark_collected cardmark_jemalloc_collect(struct cardmark_jemalloc *je,
							       struct cardmark_table *table);

/* cardmark_collect_range() of each range of the arena: the arena's cards go into the table, and
 * other written cards, also those of other arenas, stay for the next collect. For arenas that are
 * collected at different times, each with a table of its own. The time grows with the arena and the
 * number of its ranges; with backend softdirty each range costs a whole collect. A thread that
 * needs more memory from the system for this arena waits meanwhile. Answers as the call above; if
 * the adapter's lock did not come, all cards of the arena are dirty, and nothing was taken from the
 * tracker. Cannot fail. May run when collect may. */
CARDMARK_API enum cardmark_collected cardmark_jemalloc_collect_arena(struct cardmark_jemalloc *je,
								     struct cardmark_table *table);

/* Is this card dirty: in the table, or always? table is one of the tracker's. False for
 * memory that is not in the arena, unless the table is all dirty. No lock. May run
 * while the world is stopped. */
CARDMARK_API bool cardmark_jemalloc_is_dirty(struct cardmark_jemalloc *je,
					     const struct cardmark_table *table, const void *addr);

/* The first run of dirty cards of the arena in [from, to), cut to the cards that have a byte
 * of it; false if there is none. Start with 0 and go on from out->end. Never outside the arena
 * and never in what is decommitted, so all of it may be read (while no thread allocates).
 * What is always dirty is in it; with an all-dirty table the whole arena is. A run ends with
 * its range at the latest. May run while the world is stopped. */
CARDMARK_API bool cardmark_jemalloc_next_dirty(struct cardmark_jemalloc *je,
					       const struct cardmark_table *table, uintptr_t from,
					       uintptr_t to, struct cardmark_run *out);

/* Takes up to capacity ranges out of the list of memory that jemalloc discarded (decommit,
 * purge_forced, purge_lazy) since the last call, and returns their number: ask until it is less
 * than capacity. Pages that were written again meanwhile are in the list, too; unmapped memory is
 * not. A discard is not a write: it makes no card dirty. A collector does not need this list; a
 * snapshot does. The list is bounded: when it is full, the whole arena is answered as
 * INDETERMINATE, and counted. -EINVAL capacity is 0;
 * -EBUSY. May run while the world is stopped. */
CARDMARK_API int cardmark_jemalloc_discarded(struct cardmark_jemalloc *je,
					     struct cardmark_jemalloc_range *out, size_t capacity);

/* ---- Counters --------------------------------------------------------------------- */

struct cardmark_jemalloc_stats {
	size_t size; /* set by _INIT */
	unsigned arena;
	int last_error; /* of the last failed track or untrack: -errno */
	/* Now. */
	uint64_t ranges; /* after coalescing */
	uint64_t bytes;
	uint64_t always_dirty_bytes;
	uint64_t decommitted_bytes;
	uint64_t tcaches;
	/* Calls of each hook. */
	uint64_t alloc, dalloc, destroy, commit, decommit;
	uint64_t purge_forced, purge_lazy, split, merge;
	/* Results of these calls. */
	uint64_t alloc_failed;       /* no memory: the hook returned that to jemalloc */
	uint64_t dalloc_refused;     /* jemalloc keeps the memory (always so with opt.retain) */
	uint64_t track_failed;       /* made always dirty */
	uint64_t untrack_failed;     /* and so not unmapped */
	uint64_t mended;             /* always dirty ranges that a collect could track */
	uint64_t deferred;           /* calls during a fork, entered after it */
	uint64_t discarded_ranges;   /* entered in the list */
	uint64_t discards_overflown; /* times that the list was full */
	uint64_t ranges_overflown;   /* not 0: everything is always dirty */
	uint64_t tcache_failed;      /* threads that got MALLOCX_TCACHE_NONE */
};

#define CARDMARK_JEMALLOC_STATS_INIT                                                               \
	{                                                                                          \
		sizeof(struct cardmark_jemalloc_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  \
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                         \
	}

/* Fills *stats. Any time. -EINVAL the struct. */
CARDMARK_API int cardmark_jemalloc_stats(struct cardmark_jemalloc *je,
					 struct cardmark_jemalloc_stats *stats);

#ifdef __cplusplus
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
}
#endif
#endif
