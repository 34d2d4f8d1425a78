/* SPDX-License-Identifier: MIT
 *
 * The extent hooks: the inner ones do the work, these inform the tracker. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>

/* Our part of a hook's life: errno is the program's. */
struct span {
	uintptr_t start, end;
};

/* In whole cards: later versions of jemalloc keep flags in the low byte of what the
 * alloc hook returns. */
static struct span cards(const void *addr, size_t offset, size_t len)
{
	uintptr_t card = cardmark_card_size(), at = (uintptr_t)addr & ~(card - 1);

	return (struct span){ at + offset, (at + offset + len + card - 1) & ~(card - 1) };
}

/* For memory that no alloc hook of ours saw: ours were not the arena's hooks for a time. */
static void expect_known(struct cardmark_jemalloc *je, struct span s)
{
	struct cardmark_jemalloc_range r;

	if (je->best_effort || atomic_load_explicit(&je->ending, memory_order_relaxed))
		return;
	for (uintptr_t at = s.start; at < s.end; at = r.end) {
		enum cm_je_found found = cm_je_map_find(&je->ranges, at, &r);

		if (found == CM_JE_NONE || (found == CM_JE_FOUND && r.start > at)) {
			cm_je_lose_track(je);
			return;
		}
	}
}

static void mapped(struct cardmark_jemalloc *je, struct span s, bool committed)
{
	int saved_errno = errno;
	sigset_t saved;

	if (!cm_je_enter_hook(je, &saved)) {
		cm_je_defer(je, CM_JE_MAPPED, s.start, s.end,
			    committed ? CARDMARK_JEMALLOC_ALWAYS_DIRTY
				      : CARDMARK_JEMALLOC_DECOMMITTED);
	} else {
		if (je->gone)
			; /* detached while we were on our way */
		else if (committed)
			cm_je_watch(je, s.start, s.end);
		else
			cm_je_put(je, s.start, s.end, CARDMARK_JEMALLOC_DECOMMITTED);
		cm_je_leave(je, &saved);
	}
	errno = saved_errno;
}

static void *hook_alloc(struct cm_je_hooks *hooks, void *at, size_t size, size_t alignment,
			bool *zero, bool *commit, unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);
	void *p = je->inner->alloc(je->inner, at, size, alignment, zero, commit, arena);

	CM_JE_COUNT(je, alloc);
	if (p == NULL)
		CM_JE_COUNT(je, alloc_failed);
	else
		mapped(je, cards(p, 0, size), *commit);
	return p;
}

/* For a range that was taken out of the tracker and then not unmapped. */
static void watch_again(struct cardmark_jemalloc *je, struct span s)
{
	struct cardmark_jemalloc_range r;

	for (uintptr_t at = s.start;
	     at < s.end && cm_je_map_find(&je->ranges, at, &r) == CM_JE_FOUND && r.start < s.end;
	     at = r.end) {
		if (r.flags & CARDMARK_JEMALLOC_DECOMMITTED)
			continue;
		cm_je_watch(je, r.start < at ? at : r.start, r.end < s.end ? r.end : s.end);
	}
}

/* The lock is held during the unmapping, so that the next mapping there is entered after this one
 * was taken out. */
static bool hook_dalloc(struct cm_je_hooks *hooks, void *addr, size_t size, bool committed,
			unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);
	struct span s = cards(addr, 0, size);
	int saved_errno = errno;
	bool refused = true;
	sigset_t saved;

	CM_JE_COUNT(je, dalloc);
	/* With opt.retain jemalloc's own hook refuses everything: no need to take the
	 * range out of the tracker for that answer. */
	if (!je->retains && je->inner->dalloc != NULL) {
		if (!cm_je_enter_hook(je, &saved)) {
			CM_JE_COUNT(je, deferred); /* refused: jemalloc will use it again */
		} else {
			if (!je->gone)
				expect_known(je, s);
			if (je->gone) {
				refused =
					je->inner->dalloc(je->inner, addr, size, committed, arena);
			} else if (cm_je_unwatch(je, s.start, s.end) == 0) {
				refused =
					je->inner->dalloc(je->inner, addr, size, committed, arena);
				if (refused)
					watch_again(je, s);
				else
					cm_je_drop(je, s.start, s.end);
			}
			cm_je_leave(je, &saved);
		}
	}
	if (refused)
		CM_JE_COUNT(je, dalloc_refused);
	errno = saved_errno;
	return refused;
}

static void hook_destroy(struct cm_je_hooks *hooks, void *addr, size_t size, bool committed,
			 unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);
	struct span s = cards(addr, 0, size);
	int saved_errno = errno;
	sigset_t saved;

	CM_JE_COUNT(je, destroy);
	if (!cm_je_enter_hook(je, &saved)) {
		cm_je_defer(je, CM_JE_DESTROYED, s.start, s.end, committed);
	} else {
		if (!je->gone) {
			(void)cm_je_unwatch(je, s.start, s.end);
			cm_je_drop(je, s.start, s.end);
		}
		je->inner->destroy(je->inner, addr, size, committed, arena);
		cm_je_leave(je, &saved);
	}
	errno = saved_errno;
}

/* The mapping may be a new one, which no backend watches. */
static bool hook_commit(struct cm_je_hooks *hooks, void *addr, size_t size, size_t offset,
			size_t length, unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);
	bool refused = je->inner->commit(je->inner, addr, size, offset, length, arena);

	CM_JE_COUNT(je, commit);
	if (!refused)
		mapped(je, cards(addr, offset, length), true);
	return refused;
}

/* Entered after the purge: a reader of the list in between sees zeros, and finds the entry later.
 * The other way round the list would have it while the contents were still there. */
static void discarded(struct cardmark_jemalloc *je, struct span s, enum cm_je_event event,
		      unsigned flags)
{
	int saved_errno = errno;
	sigset_t saved;

	if (!cm_je_enter_hook(je, &saved)) {
		cm_je_defer(je, event, s.start, s.end, flags);
	} else {
		if (!je->gone) {
			expect_known(je, s);
			cm_je_enter_discard(je, event, s.start, s.end, flags);
		}
		cm_je_leave(je, &saved);
	}
	errno = saved_errno;
}

static bool hook_decommit(struct cm_je_hooks *hooks, void *addr, size_t size, size_t offset,
			  size_t length, unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);
	bool refused = je->inner->decommit(je->inner, addr, size, offset, length, arena);

	CM_JE_COUNT(je, decommit);
	if (!refused) /* it always is where the kernel overcommits */
		discarded(je, cards(addr, offset, length), CM_JE_DECOMMITTED,
			  CARDMARK_JEMALLOC_ZEROED);
	return refused;
}

static bool hook_purge_forced(struct cm_je_hooks *hooks, void *addr, size_t size, size_t offset,
			      size_t length, unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);
	bool refused = je->inner->purge_forced(je->inner, addr, size, offset, length, arena);

	CM_JE_COUNT(je, purge_forced);
	/* One that failed may have failed in the middle. */
	discarded(je, cards(addr, offset, length), CM_JE_DISCARDED,
		  refused ? CARDMARK_JEMALLOC_INDETERMINATE : CARDMARK_JEMALLOC_ZEROED);
	return refused; /* as it is: calloc relies on it */
}

static bool hook_purge_lazy(struct cm_je_hooks *hooks, void *addr, size_t size, size_t offset,
			    size_t length, unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);
	bool refused = je->inner->purge_lazy(je->inner, addr, size, offset, length, arena);

	CM_JE_COUNT(je, purge_lazy);
	discarded(je, cards(addr, offset, length), CM_JE_DISCARDED,
		  CARDMARK_JEMALLOC_INDETERMINATE);
	return refused;
}

/* Called often, under jemalloc's mutex, and not needed here: the map knows no extents. */
static bool hook_split(struct cm_je_hooks *hooks, void *addr, size_t size, size_t size_a,
		       size_t size_b, bool committed, unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);

	CM_JE_COUNT(je, split);
	return je->inner->split(je->inner, addr, size, size_a, size_b, committed, arena);
}

static bool hook_merge(struct cm_je_hooks *hooks, void *a, size_t size_a, void *b, size_t size_b,
		       bool committed, unsigned arena)
{
	struct cardmark_jemalloc *je = cm_je_owner(hooks, arena);

	CM_JE_COUNT(je, merge);
	return je->inner->merge(je->inner, a, size_a, b, size_b, committed, arena);
}

void cm_je_set_hooks(struct cardmark_jemalloc *je)
{
	const struct cm_je_hooks *inner = je->inner;

	/* dalloc always exists: without it, jemalloc 5.3.1 skips purge_forced in a batched
	 * purge. */
	je->hooks = (struct cm_je_hooks){
		.alloc = hook_alloc,
		.dalloc = hook_dalloc,
		.destroy = inner->destroy != NULL ? hook_destroy : NULL,
		.commit = inner->commit != NULL ? hook_commit : NULL,
		.decommit = inner->decommit != NULL ? hook_decommit : NULL,
		.purge_lazy = inner->purge_lazy != NULL ? hook_purge_lazy : NULL,
		.purge_forced = inner->purge_forced != NULL ? hook_purge_forced : NULL,
		.split = inner->split != NULL ? hook_split : NULL,
		.merge = inner->merge != NULL ? hook_merge : NULL,
	};
}

bool cm_je_is_ours(const struct cm_je_hooks *hooks)
{
	return hooks != NULL && hooks->alloc == hook_alloc;
}
