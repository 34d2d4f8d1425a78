/* SPDX-License-Identifier: MIT
 *
 * The interfaces between the files of the jemalloc adapter.
 *
 * Hooks run under jemalloc's locks. So on a path that a hook takes there is no
 * malloc, no stdio and no mallctl (each is a deadlock), memory comes from our own
 * mappings, and errno is left alone.
 *
 * Locks, outer first:
 *
 *	list_lock (fork.c)  >  jemalloc's own  >  an arena's lock  >  the tracker's
 *
 * list_lock comes before jemalloc's locks because fork takes it first; no code calls mallctl with
 * it held. slots_lock (tcache.c) is taken inside list_lock, and no lock is taken inside it. With an
 * arena's lock or slots_lock held, every signal is blocked: a collector that stops threads by a
 * signal stops no thread inside.
 *
 * fork(2) would reverse the order: our handler and the core's run before jemalloc's (handlers run
 * last in, first out, and malloc's is registered first), and then hold the tracker's lock while
 * they wait for jemalloc's. So a hook that runs during a fork does not wait for the arena's lock:
 * it leaves a note, and the next thread that has the lock enters it (defer.c).
 */
#ifndef CM_JE_GLUE_H
#define CM_JE_GLUE_H

#include <cardmark/jemalloc.h>

#include "gc-glue/jemalloc/map.h"
#include "gc-glue/jemalloc/util.h"
#include "lib/errors.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* ---- jemalloc's side ---------------------------------------------------------- */

/* extent_hooks_t, the same in all of jemalloc 5. Declared here, so that all builds work without the
 * header of one of them; a test compares it with the header. */
struct cm_je_hooks {
	void *(*alloc)(struct cm_je_hooks *, void *, size_t, size_t, bool *, bool *, unsigned);
	bool (*dalloc)(struct cm_je_hooks *, void *, size_t, bool, unsigned);
	void (*destroy)(struct cm_je_hooks *, void *, size_t, bool, unsigned);
	bool (*commit)(struct cm_je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*decommit)(struct cm_je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*purge_lazy)(struct cm_je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*purge_forced)(struct cm_je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*split)(struct cm_je_hooks *, void *, size_t, size_t, size_t, bool, unsigned);
	bool (*merge)(struct cm_je_hooks *, void *, size_t, void *, size_t, bool, unsigned);
};

/* MALLOCX_ARENA, MALLOCX_TCACHE and MALLOCX_TCACHE_NONE, the same in all of jemalloc 5. */
#define CM_JE_ARENA_BITS(arena) ((int)(((arena) + 1U) << 20))
#define CM_JE_TCACHE_BITS(tcache) ((int)(((tcache) + 2U) << 8))
#define CM_JE_TCACHE_NONE ((int)(1U << 8))

/* Calls of mallctl (mallctl.c): 0 or jemalloc's error. */
int cm_je_read(cardmark_mallctl mallctl, const char *name, void *value, size_t size);
int cm_je_read_of(cardmark_mallctl mallctl, const char *format, unsigned arena, void *value,
		  size_t size);
int cm_je_write_hooks(cardmark_mallctl mallctl, unsigned arena, struct cm_je_hooks *hooks);
/* With jemalloc's own hooks if hooks is NULL. */
int cm_je_create_arena(cardmark_mallctl mallctl, unsigned *arena, struct cm_je_hooks *hooks);
int cm_je_destroy_arena(cardmark_mallctl mallctl, unsigned arena);
int cm_je_reset_arena(cardmark_mallctl mallctl, unsigned arena);
/* The text for such an error. */
const char *cm_je_words(int error);

/* ---- Notes that hooks leave (defer.c) ------------------------------------------- */

enum cm_je_event {
	CM_JE_MAPPED, /* alloc or commit */
	CM_JE_DECOMMITTED,
	CM_JE_DISCARDED,
	CM_JE_DESTROYED
};

struct cm_je_note {
	struct cm_je_note *next;
	atomic_bool taken;
	enum cm_je_event event;
	uintptr_t start, end;
	unsigned flags; /* range flags; of a discard: what it became; of DESTROYED: was it
			   committed? */
};

#define CM_JE_NOTES 32 /* more come from mmap */

/* ---- An arena --------------------------------------------------------------------- */

/* X(name): counters of struct cardmark_jemalloc_stats. Relaxed, they order nothing. */
#define CM_JE_COUNTERS(X)                                                                          \
	X(alloc)                                                                                   \
	X(dalloc)                                                                                  \
	X(destroy)                                                                                 \
	X(commit)                                                                                  \
	X(decommit)                                                                                \
	X(purge_forced)                                                                            \
	X(purge_lazy)                                                                              \
	X(split)                                                                                   \
	X(merge)                                                                                   \
	X(alloc_failed)                                                                            \
	X(dalloc_refused)                                                                          \
	X(track_failed)                                                                            \
	X(untrack_failed)                                                                          \
	X(mended)                                                                                  \
	X(deferred)                                                                                \
	X(discarded_ranges)                                                                        \
	X(discards_overflown)                                                                      \
	X(ranges_overflown)                                                                        \
	X(tcaches)                                                                                 \
	X(tcache_failed)

struct cardmark_jemalloc {
	/* First: a hook is given its address, which is ours. It outlives the arena. */
	struct cm_je_hooks hooks;
	struct cm_je_hooks *inner;
	struct cardmark *cm;
	cardmark_mallctl mallctl;
	unsigned arena;
	unsigned track_flags; /* PRIVATE if the inner hooks are jemalloc's own */
	bool retains;         /* the inner dalloc refuses, always */
	bool adopted;
	bool best_effort;               /* it may hold memory that no hook saw */
	uintptr_t hooks_word;           /* where jemalloc keeps the arena's hooks; 0: not known */
	struct cardmark_jemalloc *next; /* list_lock */

	pthread_mutex_t lock; /* the rest, but what is atomic */
	bool over_fork;       /* a fork has the lock */
	atomic_bool ending;   /* the arena is being destroyed */
	bool passive;         /* being detached: enter, but do not track */
	bool gone;            /* detached: pass on, nothing else */
	bool all_discarded;   /* the list was full ... */
	uintptr_t discard_at; /* ... and has been answered up to here */
	atomic_bool doubtful; /* some range may be always dirty */
	atomic_bool replaced; /* the arena's hooks were others for a time */
	atomic_int last_error;
	struct cm_je_map ranges, discards;

	_Atomic(struct cm_je_note *) noted; /* newest first */
	/* Some were taken from the list and are not all in the map: see cm_je_has_notes(). */
	atomic_bool entering;
	atomic_uint giving_back; /* caches taken out of their slots and not destroyed yet */
	struct cm_je_note notes[CM_JE_NOTES];
#define X(name) atomic_uint_fast64_t n_##name;
	CM_JE_COUNTERS(X)
#undef X
};

#define CM_JE_COUNT(je, name)                                                                      \
	((void)atomic_fetch_add_explicit(&(je)->n_##name, 1, memory_order_relaxed))

/* The hooks for a new arena (hooks.c), without those that the inner hooks lack. */
void cm_je_set_hooks(struct cardmark_jemalloc *je);
bool cm_je_is_ours(const struct cm_je_hooks *hooks);

/* ---- Whose hooks (owner.c) --------------------------------------------------------- */

/* Before hooks of je can be called; arena is UINT_MAX until jemalloc has made it.
 * default_hooks: jemalloc's own. -ENOMEM: more arenas than jemalloc has. */
int cm_je_owner_add(struct cardmark_jemalloc *je, unsigned arena,
		    struct cm_je_hooks *default_hooks);
void cm_je_owner_is_arena(const struct cardmark_jemalloc *je, unsigned arena);
void cm_je_owner_is_detached(const struct cardmark_jemalloc *je);
void cm_je_owner_remove(const struct cardmark_jemalloc *je);
/* For a hook, from its arguments hooks and arena. Never NULL. */
struct cardmark_jemalloc *cm_je_owner(const struct cm_je_hooks *hooks, unsigned arena);
/* In a fork child: frees the lock, which a thread of the parent may have had, of arenas that are in
 * no list. */
void cm_je_owner_child(void);

/* The lock, with every signal blocked, and notes entered. For a hook: false when a
 * fork is on its way, or the lock does not come in a copy of the process. */
bool cm_je_enter_hook(struct cardmark_jemalloc *je, sigset_t *saved);
/* For a call: false after wait_ns; UINT64_MAX is bounded only in a copy of the process. */
bool cm_je_enter(struct cardmark_jemalloc *je, sigset_t *saved, uint64_t wait_ns);
void cm_je_leave(struct cardmark_jemalloc *je, const sigset_t *saved);

/* With the lock held. */
void cm_je_put(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end, unsigned flags);
void cm_je_drop(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end);
/* Tracks [start, end), or makes it always dirty. */
void cm_je_watch(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end);
/* 0, or -errno: still tracked, at least in part. */
int cm_je_unwatch(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end);
void cm_je_unwatch_all(struct cardmark_jemalloc *je);
/* Tries again to track ranges that are always dirty. */
void cm_je_mend(struct cardmark_jemalloc *je);
/* DECOMMITTED or DISCARDED: into the list, and in the first case out of the tracker as well. */
void cm_je_enter_discard(struct cardmark_jemalloc *je, enum cm_je_event event, uintptr_t start,
			 uintptr_t end, unsigned flags);

/* Leaves a note, without a lock. */
void cm_je_defer(struct cardmark_jemalloc *je, enum cm_je_event event, uintptr_t start,
		 uintptr_t end, unsigned flags);
/* With the lock held: enters the notes, oldest first. */
void cm_je_enter_notes(struct cardmark_jemalloc *je);
/* For readers without the lock: is there anything that the map does not have yet? The list
 * first: a reader that finds it taken (acquire, of the exchange in cm_je_enter_notes) finds
 * `entering` set, or cleared again (acquire, of the release there) and the map whole. */
static inline bool cm_je_has_notes(struct cardmark_jemalloc *je)
{
	return atomic_load_explicit(&je->noted, memory_order_acquire) != NULL ||
	       atomic_load_explicit(&je->entering, memory_order_acquire);
}

/* ---- Hooks that are replaced behind us (replaced.c) ----------------------------------- */

/* Finds where jemalloc keeps the arena's hooks (ours, now). 0, or jemalloc's error. */
int cm_je_find_hooks_word(struct cardmark_jemalloc *je);
/* Are they still ours? If not, everything is dirty from now on. Without a lock, if the word
 * is known. */
void cm_je_look_whose_hooks(struct cardmark_jemalloc *je);
/* The same by mallctl: not while the world is stopped. False: they are not. */
bool cm_je_ask_whose_hooks(struct cardmark_jemalloc *je);
/* The arena has memory that no hook saw. */
void cm_je_lose_track(struct cardmark_jemalloc *je);

/* ---- Fork (fork.c) ------------------------------------------------------------------ */

int cm_je_fork_set_up(void); /* 0 or -ENOMEM */
void cm_je_list_add(struct cardmark_jemalloc *je);
void cm_je_list_remove(struct cardmark_jemalloc *je);
bool cm_je_list_find(const struct cardmark_jemalloc *but, const void *addr, unsigned *arena);

/* ---- Threads' caches (tcache.c) ----------------------------------------------------- */

/* Gives back the caches of all threads that this arena knows. */
void cm_je_tcaches_end(struct cardmark_jemalloc *je);
/* Empties them. No thread may be allocating in the arena. False, and nothing was done: in a fork
 * child that of the thread which forked cannot be emptied. */
bool cm_je_tcaches_flush(struct cardmark_jemalloc *je);
/* In a fork child, with the slots held: threads that were at a cache are not here, and jemalloc
 * must not be given the caches that are. */
void cm_je_tcaches_forget(struct cardmark_jemalloc *je);
void cm_je_slots_child(void);
/* Over a fork, with signals blocked. False: as cm_je_lock(). */
bool cm_je_slots_hold(void);
void cm_je_slots_let_go(void);

#endif
