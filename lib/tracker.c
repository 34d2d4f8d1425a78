/* SPDX-License-Identifier: MIT
 *
 * The tracker: ranges, one backend, and the collector's question. */
#include "lib/tracker.h"
#include "lib/errors.h"
#include "lib/huge.h"
#include "lib/os/os.h"
#include "lib/sized.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static size_t round_to_cards(size_t bytes)
{
	size_t card = cardmark_card_size();

	return (bytes + card - 1) & ~(card - 1);
}

/* ---- Card sets ----------------------------------------------------------- */

/* The i-th set of the tracker's own that is in use, or NULL. */
static struct cm_cards *set_at(struct cardmark *cm, size_t i)
{
	struct cm_cards *sets[11] = { &cm->tracked, &cm->fresh, &cm->kept.cards };
	size_t n = 3;

	if (cm->discards)
		sets[n++] = &cm->populated;
	if (cm->has_report)
		sets[n++] = &cm->report;
	if (cm->backoff.collects != 0) {
		sets[n++] = &cm->backoff.low;
		sets[n++] = &cm->backoff.high;
	}
	if (cm->verify.on) {
		sets[n++] = &cm->verify.known;
		sets[n++] = &cm->verify.held;
		sets[n++] = &cm->verify.excused;
	}
	return i < n ? sets[i] : NULL;
}

static int init_sets(struct cardmark *cm)
{
	struct cm_cards *set;

	for (size_t i = 0; (set = set_at(cm, i)) != NULL; i++)
		if (cm_cards_init(set) < 0)
			return cm_fail(-ENOMEM, "no memory for a card set");
	return 0;
}

static void free_sets(struct cardmark *cm)
{
	struct cm_cards *set;

	for (size_t i = 0; (set = set_at(cm, i)) != NULL; i++)
		cm_cards_free(set);
}

static int reserve_sets(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	struct cm_cards *set;
	int error = 0;

	for (size_t i = 0; error == 0 && (set = set_at(cm, i)) != NULL; i++)
		error = cm_cards_reserve(set, start, end);
	if (error == 0)
		error = cm_verify_reserve(&cm->verify, start, end);
	if (error == 0)
		error = cm_consumers_reserve(cm, start, end);
	for (struct cardmark_table *t = cm->tables; t != NULL && error == 0; t = t->next)
		error = cm_cards_reserve(&t->cards, start, end);
	return error;
}

static void clear_sets(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	struct cm_cards *set;

	for (size_t i = 0; (set = set_at(cm, i)) != NULL; i++)
		if (set != &cm->tracked)
			cm_cards_clear(set, start, end);
	cm_consumers_clear(cm, start, end);
	for (struct cardmark_table *t = cm->tables; t != NULL; t = t->next)
		cm_cards_clear(&t->cards, start, end);
}

/* ---- Fork --------------------------------------------------------------- */

static void rebuild(struct cm_fork_hooks *hooks, bool intact, bool forked)
{
	struct cardmark *cm = (struct cardmark *)hooks; /* its first member */

	cm->stats.forks++;
	cm_verify_close_files(&cm->verify);
	/* A thread that waited for the lock is in the parent. */
	atomic_store_explicit(&cm->waiting, 0, memory_order_relaxed);
	atomic_store_explicit(&cm->queue, 0, memory_order_relaxed);
	if (cm->torn)
		return; /* in our parent already */
	/* A raw clone in the middle of a call left the range map in an unknown
	 * state, for good. */
	if (!intact) {
		cm->torn = true;
		cm->backend->ops->abandon(cm->backend);
	} else if (!cm->suspended && !forked && cm->backend->ops->starts_thread) {
		/* Starting a thread takes locks of the C library. fork(2) leaves them free. After a
		 * bare clone(2) the parent's threads, or the code that this call has interrupted,
		 * may have held them, and this thread would wait for ever. So everything is dirty
		 * instead. */
		cm->backend->ops->abandon(cm->backend);
		cm->lost = true;
	} else if (!cm->suspended) {
		cm->lost = cm->backend->ops->rebuild(cm->backend, &cm->ranges) < 0;
	}
}

/* ---- Open and close ------------------------------------------------------ */

int cardmark_open(struct cardmark **out, const struct cardmark_options *options)
{
	struct cardmark_options o;
	struct cardmark *cm;
	void *mem;
	int error;

	if (out == NULL)
		return cm_fail(-EINVAL, "cardmark_open: out is NULL");
	*out = NULL;
	error = cm_options_resolve(&o, options);
	if (error < 0)
		return error;
	/* Not from malloc: a trap backend may watch malloc's memory, and its handler writes
	 * here. */
	error = cm_os->map(round_to_cards(sizeof *cm), &mem);
	if (error < 0)
		return cm_fail(-ENOMEM, "no memory for a tracker");
	cm = mem;
	(void)pthread_mutex_init(&cm->lock, NULL);
	struct cm_backend_params params = { .chunk_bytes = o.chunk_bytes,
					    .vec_len = o.vec_len,
					    .concurrent = (o.flags & CARDMARK_OPEN_CONCURRENT) != 0,
					    .threads = o.threads,
					    .counters = &cm->counters };
	error = cm_probe_open(&cm->backend, &o, &params, cm->why_no_better,
			      sizeof cm->why_no_better);
	if (error < 0)
		goto unmap;
	cm->chunk_bytes = o.chunk_bytes;
	cm->huge = o.huge;
	cm->discards = (o.flags & (CARDMARK_OPEN_DISCARDS | CARDMARK_OPEN_DISCARD_IS_WRITE)) != 0;
	cm->discard_is_write = (o.flags & CARDMARK_OPEN_DISCARD_IS_WRITE) != 0;
	/* Can pieces be left out? */
	if (cm->backend->ops->capabilities & CARDMARK_CAP_CONCURRENT)
		cm->backoff.collects = o.backoff;
	cm->backoff.least = CM_BACKOFF_RUN_CARDS;
	error = cm_verify_open(&cm->verify, &o);
	cm->has_report = cm->discards || cm->verify.on || cm->backoff.collects != 0;
	if (error == 0)
		error = init_sets(cm);
	if (error < 0)
		goto close_backend;
	cm->fork.lock = &cm->lock;
	cm->fork.rebuild = rebuild;
	error = cm_fork_register(&cm->fork);
	if (error < 0) {
		error = cm_fail(error, error == -EBUSY
					       ? "another thread has not finished setting up "
						 "this fork child: is it stopped?"
					       : "no memory for fork handlers");
		goto close_backend;
	}
	*out = cm;
	return 0;

close_backend:
	free_sets(cm);
	cm_verify_close(&cm->verify, cm->backend, &cm->stats); /* names the backend */
	cm->backend->ops->close(cm->backend, &cm->ranges);
unmap:
	(void)pthread_mutex_destroy(&cm->lock);
	(void)cm_os->unmap(cm, round_to_cards(sizeof *cm));
	return error;
}

void cardmark_close(struct cardmark **handle)
{
	struct cardmark *cm = handle == NULL ? NULL : *handle;

	if (cm == NULL)
		return;
	*handle = NULL;
	cm_fork_unregister(&cm->fork);
	/* A table may be used or deleted later. One step before, it belongs to a tracker that is
	 * still whole; one step after, to none. */
	for (struct cardmark_table *t = cm->tables; t != NULL; t = t->next)
		t->owner = NULL;
	cm_consumers_detach(cm);
	if (cm->torn) {
		/* The backend's data may be half written, and a SIGSEGV handler may still need
		 * it. */
		cm_verify_close_files(&cm->verify);
		return;
	}
	cm_verify_close(&cm->verify, cm->backend, &cm->stats); /* names the backend */
	cm->backend->ops->close(cm->backend, &cm->ranges);
	free_sets(cm);
	cm_holds_free(&cm->holds);
	cm_ranges_free(&cm->ranges);
	(void)pthread_mutex_destroy(&cm->lock);
	(void)cm_os->unmap(cm, round_to_cards(sizeof *cm));
}

int cardmark_describe(const struct cardmark *cm, struct cardmark_description *out)
{
	const struct cm_backend_ops *ops = cm->backend->ops;
	struct cardmark_description d = CARDMARK_DESCRIPTION_INIT;
	int error = cm_sized_check("cardmark_description", out);

	if (error < 0)
		return error;
	d.backend = ops->id;
	d.capabilities = ops->capabilities_now != NULL ? ops->capabilities_now(cm->backend)
						       : ops->capabilities;
	d.why_no_better = cm->why_no_better;
	cm_sized_give(out, &d, sizeof d);
	return 0;
}

/* ---- Ranges ---------------------------------------------------------------- */

static int check_range(const char *call, uintptr_t start, size_t len)
{
	size_t card = cardmark_card_size();

	if (len == 0)
		return cm_fail(-EINVAL, "%s: the range is empty", call);
	if (start % card != 0 || len % card != 0)
		return cm_fail(-EINVAL,
			       "%s: %#zx + %#zx is not a whole number of cards of %zu bytes", call,
			       (size_t)start, len, card);
	if (start >= CM_ADDRESS_LIMIT || len > CM_ADDRESS_LIMIT - start)
		return cm_fail(-EINVAL, "%s: %#zx + %#zx is not in user space", call, (size_t)start,
			       len);
	return 0;
}

static int reserve(struct cardmark *cm, uintptr_t start, uintptr_t end, size_t pieces)
{
	int error = cm_ranges_reserve(&cm->ranges, pieces);

	if (error == 0)
		error = reserve_sets(cm, start, end);
	return error < 0 ? cm_fail(-ENOMEM, "no memory for card tables") : 0;
}

static int watch(struct cardmark *cm, const struct cm_range *piece)
{
	const struct cm_backend_ops *ops = cm->backend->ops;
	int error;

	if (piece->kind == CM_KIND_PRIVATE)
		cm_huge_prepare(cm->huge, piece->start, piece->end);
	error = ops->add(cm->backend, piece);

	return error == 0 ? 0 : cm_tracker_refused(cm, piece, error);
}

/* Stops watching the memory that a failed track began to watch. Memory that was tracked before
 * stays watched and counts as written. */
static void unwatch_new(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		size_t i = cm_ranges_find(&cm->ranges, start);
		struct cm_range piece = { .start = start, .end = end };

		if (i < cm->ranges.n && cm->ranges.v[i].start < end) {
			piece.end = cm->ranges.v[i].start;
			start = cm->ranges.v[i].end;
		} else {
			start = end;
		}
		if (piece.start < piece.end)
			cm->backend->ops->remove(cm->backend, &piece);
	}
}

/* Memory that a failed track has watched again may be a new mapping, and scans no longer fail
 * there. So it is dirty now, and its kind is looked up. */
static void doubt(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	cm_keep_run(cm, (struct cardmark_run){ start, end }, 0);
	cm_note_anew(&cm->counters, start, end);
	cm_tracker_recheck(cm);
}

static int track_locked(struct cardmark *cm, uintptr_t start, uintptr_t end, unsigned flags)
{
	struct cm_range piece = { 0 };
	uintptr_t at;
	size_t pieces = 0;
	bool one;
	int error;

	if (cm->backend->ops->check != NULL)
		cm->backend->ops->check(cm->backend, &cm->ranges);
	for (at = start; at < end; at = piece.end, pieces++) {
		error = cm_tracker_next_piece(cm, flags, at, end, &piece);
		if (error < 0)
			return error;
	}
	one = pieces == 1; /* the usual case: no need to look again */
	error = reserve(cm, start, end, pieces + 1);
	if (error < 0)
		return error;
	/* Mappings can change between the passes: then the second one fails. */
	for (at = start; at < end; at = piece.end) {
		error = one ? 0 : cm_tracker_next_piece(cm, flags, at, end, &piece);
		if (error == 0)
			error = watch(cm, &piece);
		if (error < 0) {
			unwatch_new(cm, start, at);
			doubt(cm, start, end);
			return error;
		}
	}
	for (at = start; at < end; at = piece.end, pieces--) {
		if (!one && (pieces == 0 || cm_tracker_next_piece(cm, flags, at, end, &piece) < 0))
			/* The mapping went away meanwhile. It is watched, so it is tracked; FILE
			 * loses nothing for any memory that comes there next. */
			piece = (struct cm_range){ at, end, CM_KIND_FILE, PROT_READ | PROT_WRITE };
		cm_ranges_add(&cm->ranges, piece);
	}
	/* One step before, a call that asks without the lock gets "no", which is sound; one step
	 * after, the cards are watched and in the range map. */
	cm_cards_publish(&cm->tracked, start, end, true);
	cm_cards_set(&cm->fresh, start, end);
	cm->any_fresh = true;
	cm_verify_forget(&cm->verify, start, end);
	return 0;
}

int cardmark_track(struct cardmark *cm, void *addr, size_t len, unsigned flags)
{
	uintptr_t start = (uintptr_t)addr;
	int error = check_range("cardmark_track", start, len);

	if (error < 0)
		return error;
	if (flags > CARDMARK_TRACK_FILE || flags == (CARDMARK_TRACK_PRIVATE | CARDMARK_TRACK_FILE))
		return cm_fail(-EINVAL,
			       "cardmark_track: flags are 0x%x: set CARDMARK_TRACK_PRIVATE, "
			       "CARDMARK_TRACK_FILE or neither",
			       flags);
	error = cm_tracker_enter(cm);
	if (error < 0)
		return error;
	error = track_locked(cm, start, start + len, flags);
	cm_tracker_unlock(cm);
	return error;
}

static int untrack_locked(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	if (!cm_ranges_touch(&cm->ranges, start, end))
		return cm_fail(-ENOENT, "cardmark_untrack: nothing of %#zx + %#zx is tracked",
			       (size_t)start, (size_t)(end - start));
	if (cm_ranges_reserve(&cm->ranges, 1) < 0)
		return cm_fail(-ENOMEM, "cardmark_untrack: no memory to split a range");
	/* First: memory that is no longer watched must not count as tracked. */
	cm_cards_publish(&cm->tracked, start, end, false);
	for (size_t i = cm_ranges_find(&cm->ranges, start);
	     i < cm->ranges.n && cm->ranges.v[i].start < end; i++) {
		struct cm_range piece = cm_ranges_clip(&cm->ranges, i, start, end);
		cm->backend->ops->remove(cm->backend, &piece);
	}
	cm_ranges_remove(&cm->ranges, start, end);
	clear_sets(cm, start, end);
	return 0;
}

int cardmark_untrack(struct cardmark *cm, void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr;
	int error = check_range("cardmark_untrack", start, len);

	if (error < 0)
		return error;
	error = cm_tracker_enter(cm);
	if (error < 0)
		return error;
	error = untrack_locked(cm, start, start + len);
	cm_tracker_unlock(cm);
	return error;
}

int cardmark_is_tracked(struct cardmark *cm, const void *addr, size_t len, bool *out)
{
	uintptr_t start = (uintptr_t)addr;

	*out = false;
	if (len == 0)
		return cm_fail(-EINVAL, "cardmark_is_tracked: the range is empty");
	if (start >= CM_ADDRESS_LIMIT || len > CM_ADDRESS_LIMIT - start)
		return 0;
	/* A child that is not set up yet still has the parent's cards, which will be the child's.
	 * The cards of a torn tracker may be half written. */
	if (cm_fork_ready(CM_WAIT_COLLECT_NS) && cm->torn)
		return cm_fail(-EBUSY, "clone(2) made this process while a thread was inside the "
				       "library: close this tracker and open another");
	*out = cm_cards_cover(&cm->tracked, start, start + len);
	return 0;
}

/* ---- Suspend -------------------------------------------------------------- */

int cardmark_suspend(struct cardmark *cm)
{
	const struct cm_backend_ops *ops = cm->backend->ops;
	int error = cm_tracker_enter(cm);

	if (error < 0)
		return error;
	if (!cm->suspended) {
		if (ops->settle != NULL && !ops->settle(cm->backend)) {
			cm_tracker_unlock(cm);
			return cm_fail(-EBUSY,
				       "cardmark_suspend: a thread that helps with collects "
				       "is still in the kernel: is it stopped?");
		}
		if (ops->suspend != NULL)
			ops->suspend(cm->backend, &cm->ranges);
		cm_verify_close_files(&cm->verify);
		cm->suspended = true;
		cm->stats.suspends++;
	}
	cm_tracker_unlock(cm);
	return 0;
}

int cardmark_resume(struct cardmark *cm)
{
	int error = cm_tracker_enter(cm);

	if (error < 0)
		return error;
	if (!cm->suspended) {
		cm_tracker_unlock(cm);
		return cm_fail(-EINVAL, "cardmark_resume: the tracker is not suspended");
	}
	error = cm->backend->ops->rebuild(cm->backend, &cm->ranges);
	if (error == 0) {
		/* Everything counts as written, also for a scan that ignores what is only new. */
		cm->suspended = cm->lost = false;
	}
	cm_tracker_unlock(cm);
	if (error < 0)
		return cm_fail(cm_open_error(error),
			       "cardmark_resume: backend %s cannot start again: %s",
			       cardmark_backend_name(cm->backend->ops->id), cm_errno_text(error));
	return 0;
}

/* ---- Counters -------------------------------------------------------------- */

int cardmark_stats(struct cardmark *c, struct cardmark_stats *stats)
{
	struct cardmark_stats s;
	int error = cm_sized_check("cardmark_stats", stats);

	if (error == 0)
		error = cm_tracker_enter(c);
	if (error < 0)
		return error;
	s = c->stats;
	s.ranges = c->ranges.n;
	s.tracked_bytes = cm_ranges_bytes(&c->ranges);
	s.holds = (unsigned)c->holds.total;
	for (size_t i = 0; set_at(c, i) != NULL; i++)
		s.table_bytes += cm_cards_bytes(set_at(c, i));
	s.table_bytes += cm_consumers_bytes(c);
	if (c->verify.on)
		s.table_bytes += cm_hashes_bytes(&c->verify.hashes);
	for (const struct cardmark_table *t = c->tables; t != NULL; t = t->next)
		s.table_bytes += cm_cards_bytes(&t->cards);
	cm_tracker_unlock(c);
	s.backend = c->backend->ops->id;
	s.threads = c->backend->ops->threads == NULL ? 1 : c->backend->ops->threads(c->backend);
	s.kernel_calls = atomic_load_explicit(&c->counters.kernel_calls, memory_order_relaxed);
	s.faults = atomic_load_explicit(&c->counters.faults, memory_order_relaxed);
	s.guessed_ranges = atomic_load_explicit(&c->counters.guessed, memory_order_relaxed);
	s.rearmed_ranges = atomic_load_explicit(&c->counters.rearmed, memory_order_relaxed);
	s.reopened = atomic_load_explicit(&c->counters.reopened, memory_order_relaxed);
	s.last_errno = atomic_load_explicit(&c->counters.last_errno, memory_order_relaxed);
	s.all_dirty = atomic_load_explicit(&c->all_dirty, memory_order_relaxed);
	cm_sized_give(stats, &s, sizeof s);
	return 0;
}
