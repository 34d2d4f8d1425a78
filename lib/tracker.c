/* SPDX-License-Identifier: MIT
 *
 * The tracker: ranges, one backend, and the collector's question. */
#include "lib/tracker.h"
#include "lib/os/os.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

bool cm_tracker_lock(struct cardmark *cm, uint64_t wait_ns)
{
	uint64_t start;

	cm_fork_check();
	if (pthread_mutex_trylock(&cm->lock) == 0)
		return true;
	start = cm_os->now();
	do {
		(void)sched_yield();
		if (pthread_mutex_trylock(&cm->lock) == 0)
			return true;
	} while (cm_os->now() - start < wait_ns);
	return false;
}

void cm_tracker_unlock(struct cardmark *cm)
{
	(void)pthread_mutex_unlock(&cm->lock);
}

/* -EBUSY, with the lock not taken, if the tracker can't be used. */
int cm_tracker_enter(struct cardmark *cm)
{
	cm_fork_check();
	if (cm->torn)
		return cm_fail(-EBUSY,
			       "this process was cloned while a thread was inside the library");
	if (cm_tracker_lock(cm, CM_WAIT_CALL_NS))
		return 0;
	return cm_fail(-EBUSY, "another thread is inside the library and does not come out: is it "
			       "stopped?");
}

static size_t round_to_cards(size_t bytes)
{
	size_t card = cardmark_card_size();

	return (bytes + card - 1) & ~(card - 1);
}

/* ---- Open and close ------------------------------------------------------ */

int cardmark_open(struct cardmark **out, const struct cardmark_options *options)
{
	struct cardmark_options o;
	const struct cm_backend_ops *ops;
	const char *why = "";
	struct cardmark *cm;
	void *mem;
	int error;

	if (out == NULL)
		return cm_fail(-EINVAL, "cardmark_open: out is NULL");
	*out = NULL;
	error = cm_options_resolve(&o, options);
	if (error < 0)
		return error;
	/* Not from malloc: a trap backend may come to watch malloc's memory, and
	 * its handler writes here. */
	error = cm_os->map(round_to_cards(sizeof *cm), &mem);
	if (error < 0)
		return cm_fail(-ENOMEM, "no memory for a tracker");
	cm = mem;
	(void)pthread_mutex_init(&cm->lock, NULL);
	error = cm_probe_choose(&o, &ops, cm->why, sizeof cm->why);
	if (error < 0)
		goto unmap;
	error = cm_cards_init(&cm->fresh);
	if (error < 0) {
		error = cm_fail(-ENOMEM, "no memory for a card set");
		goto unmap;
	}
	struct cm_backend_params params = { .chunk_bytes = o.chunk_bytes,
					    .vec_len = o.vec_len,
					    .counters = &cm->counters };
	error = ops->open(&cm->backend, &params, &why);
	if (error < 0) {
		error = cm_fail(cm_closed_error(error), "%s: %s", cardmark_backend_name(ops->id),
				why);
		goto free_cards;
	}
	error = cm_fork_register(cm);
	if (error < 0) {
		error = cm_fail(-ENOMEM, "no memory for fork handlers");
		goto close_backend;
	}
	*out = cm;
	return 0;

close_backend:
	ops->close(cm->backend, &cm->ranges);
free_cards:
	cm_cards_free(&cm->fresh);
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
	cm_fork_check();
	cm_fork_unregister(cm);
	if (!cm->torn) /* else: a monitor to wait for is in the parent, as are the ranges */
		cm->backend->ops->close(cm->backend, &cm->ranges);
	for (struct cardmark_table *t = cm->tables; t != NULL; t = t->next)
		t->owner = NULL;
	cm_cards_free(&cm->fresh);
	cm_ranges_free(&cm->ranges);
	(void)pthread_mutex_destroy(&cm->lock);
	(void)cm_os->unmap(cm, round_to_cards(sizeof *cm));
}

enum cardmark_backend cardmark_backend_of(const struct cardmark *cm)
{
	return cm->backend->ops->id;
}

unsigned cardmark_capabilities(const struct cardmark *cm)
{
	const struct cm_backend_ops *ops = cm->backend->ops;

	return ops->capabilities_now != NULL ? ops->capabilities_now(cm->backend)
					     : ops->capabilities;
}

const char *cardmark_why(const struct cardmark *cm)
{
	return cm->why;
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

/* What a mapping tells of memory that is tracked already may be the protection
 * that the backend put there: the program's stands in the range map. */
static void use_known_protection(const struct cardmark *cm, struct cm_range *piece)
{
	size_t i = cm_ranges_find(&cm->ranges, piece->start);

	if (i == cm->ranges.n || cm->ranges.v[i].start >= piece->end)
		return;
	if (cm->ranges.v[i].start > piece->start) {
		piece->end = cm->ranges.v[i].start;
		return;
	}
	if (cm->ranges.v[i].end < piece->end)
		piece->end = cm->ranges.v[i].end;
	if (!(piece->prot & PROT_WRITE))
		piece->prot = cm->ranges.v[i].prot;
}

/* The piece of [at, end) in one mapping: its kind and protection. */
static int look_up(const struct cardmark *cm, uintptr_t at, uintptr_t end, struct cm_range *out)
{
	unsigned caps = cm->backend->ops->capabilities;
	struct cm_vma vma;
	int error = cm_os->vma_at(at, &vma);

	if (error == -ENOENT || (error == 0 && vma.start > at))
		return cm_fail(-ENOMEM, "cardmark_track: nothing is mapped at %#zx", (size_t)at);
	if (error < 0)
		return cm_fail(cm_closed_error(error),
			       "cardmark_track: /proc/self/maps can't be read (errno %d)", -error);
	if (vma.page_size > cardmark_card_size())
		return cm_fail(-ENOTSUP, "cardmark_track: huge TLB pages at %#zx", (size_t)at);
	if ((vma.shared || vma.file) && !(caps & CARDMARK_CAP_SHARED))
		return cm_fail(
			-EINVAL,
			"cardmark_track: shared or file memory at %#zx, which backend %s can't "
			"watch",
			(size_t)at, cardmark_backend_name(cm->backend->ops->id));
	out->start = at;
	out->end = vma.end < end ? vma.end : end;
	out->kind = vma.shared || vma.file ? CM_KIND_FILE : CM_KIND_PRIVATE;
	out->prot = vma.prot;
	/* Only who gives protection back needs it; elsewhere it would split ranges. */
	if (caps & CARDMARK_CAP_MPROTECT)
		out->prot = PROT_READ | PROT_WRITE;
	else
		use_known_protection(cm, out);
	return 0;
}

/* Goes through [start, end) mapping by mapping. */
static int next_piece(const struct cardmark *cm, unsigned flags, uintptr_t at, uintptr_t end,
		      struct cm_range *out)
{
	if (flags == 0 || !(cm->backend->ops->capabilities & CARDMARK_CAP_MPROTECT))
		return look_up(cm, at, end, out);
	if (cm_os->covered(at, end - at) < 0)
		return cm_fail(-ENOMEM, "cardmark_track: %#zx + %#zx is not all mapped", (size_t)at,
			       (size_t)(end - at));
	*out = (struct cm_range){ at, end,
				  flags & CARDMARK_TRACK_FILE ? CM_KIND_FILE : CM_KIND_PRIVATE,
				  PROT_READ | PROT_WRITE };
	return 0;
}

static int reserve(struct cardmark *cm, uintptr_t start, uintptr_t end, size_t pieces)
{
	int error = cm_ranges_reserve(&cm->ranges, pieces);

	if (error == 0)
		error = cm_cards_reserve(&cm->fresh, start, end);
	for (struct cardmark_table *t = cm->tables; t != NULL && error == 0; t = t->next)
		error = cm_cards_reserve(&t->cards, start, end);
	return error < 0 ? cm_fail(-ENOMEM, "no memory for card tables") : 0;
}

static int watch(struct cardmark *cm, const struct cm_range *piece)
{
	const struct cm_backend_ops *ops = cm->backend->ops;
	bool again = cm_ranges_touch(&cm->ranges, piece->start, piece->end);
	int error = again && ops->restart != NULL ? ops->restart(cm->backend, piece)
						  : ops->add(cm->backend, piece);

	switch (error) {
	case 0:
		return 0;
	case -EBUSY:
		return cm_fail(-EBUSY,
			       "cardmark_track: another tracker or userfaultfd has part of %#zx + "
			       "%#zx, or its lock",
			       (size_t)piece->start, (size_t)(piece->end - piece->start));
	case -ENOMEM:
		return cm_fail(-ENOMEM, "cardmark_track: %#zx + %#zx: out of memory, or unmapped",
			       (size_t)piece->start, (size_t)(piece->end - piece->start));
	case -EINVAL:
		return cm_fail(-EINVAL,
			       "cardmark_track: %#zx + %#zx is memory that backend %s can't watch",
			       (size_t)piece->start, (size_t)(piece->end - piece->start),
			       cardmark_backend_name(ops->id));
	default:
		return cm_fail(-EIO, "cardmark_track: errno %d", -error);
	}
}

/* Gives up what a failed track has begun to watch: what was tracked before
 * stays watched, as all written. */
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

static int track_locked(struct cardmark *cm, uintptr_t start, uintptr_t end, unsigned flags)
{
	struct cm_range piece = { 0 };
	uintptr_t at;
	size_t pieces = 0;
	bool one;
	int error;

	for (at = start; at < end; at = piece.end, pieces++) {
		error = next_piece(cm, flags, at, end, &piece);
		if (error < 0)
			return error;
	}
	one = pieces == 1; /* the usual case: no need to look again */
	error = reserve(cm, start, end, pieces + 1);
	if (error < 0)
		return error;
	/* Mappings can change between the passes: then the second one fails. */
	for (at = start; at < end; at = piece.end) {
		error = one ? 0 : next_piece(cm, flags, at, end, &piece);
		if (error == 0)
			error = watch(cm, &piece);
		if (error < 0) {
			unwatch_new(cm, start, at);
			return error;
		}
	}
	for (at = start; at < end; at = piece.end, pieces--) {
		if (!one && (pieces == 0 || next_piece(cm, flags, at, end, &piece) < 0))
			/* It went away under us. It is watched, so it is tracked; FILE
			 * loses nothing whatever comes there next. */
			piece = (struct cm_range){ at, end, CM_KIND_FILE, PROT_READ | PROT_WRITE };
		cm_ranges_add(&cm->ranges, piece);
	}
	cm_cards_set(&cm->fresh, start, end);
	cm->any_fresh = true;
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
			       "cardmark_track: flags 0x%x: one of PRIVATE, FILE or neither",
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
	for (size_t i = cm_ranges_find(&cm->ranges, start);
	     i < cm->ranges.n && cm->ranges.v[i].start < end; i++) {
		struct cm_range piece = cm_ranges_clip(&cm->ranges, i, start, end);
		cm->backend->ops->remove(cm->backend, &piece);
	}
	cm_ranges_remove(&cm->ranges, start, end);
	cm_cards_clear(&cm->fresh, start, end);
	for (struct cardmark_table *t = cm->tables; t != NULL; t = t->next)
		cm_cards_clear(&t->cards, start, end);
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

bool cardmark_is_tracked(struct cardmark *cm, const void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr;
	bool yes;

	if (len == 0 || start >= CM_ADDRESS_LIMIT || len > CM_ADDRESS_LIMIT - start ||
	    !cm_tracker_lock(cm, CM_WAIT_COLLECT_NS))
		return false; /* not known to be: the caller takes it as dirty */
	yes = cm_ranges_cover(&cm->ranges, start, start + len);
	cm_tracker_unlock(cm);
	return yes;
}

/* Private memory may have been replaced by shared memory, and the mask for the
 * one loses writes to the other once a page is reclaimed (R6). */
void cm_tracker_recheck(struct cardmark *cm)
{
	uintptr_t at = cm->counters.anew_start, end = cm->counters.anew_end;
	struct cm_vma vma;

	cm->counters.anew_start = cm->counters.anew_end = 0;
	while (at < end && cm_os->vma_at(at, &vma) == 0 && vma.start < end) {
		uintptr_t from = vma.start > at ? vma.start : at,
			  to = vma.end < end ? vma.end : end;

		for (size_t i = cm_ranges_find(&cm->ranges, from);
		     (vma.shared || vma.file) && i < cm->ranges.n && cm->ranges.v[i].start < to;
		     i++)
			cm->ranges.v[i].kind = CM_KIND_FILE;
		at = vma.end;
	}
}

/* ---- Collect --------------------------------------------------------------- */

/* A backend that could not be rebuilt in a fork child: everything is dirty until
 * it can: for good where that takes a thread, which takes malloc. */
bool cm_tracker_still_lost(struct cardmark *cm)
{
	const struct cm_backend_ops *ops = cm->backend->ops;

	if (cm->lost && !ops->starts_thread && ops->fork_child(cm->backend, &cm->ranges) == 0)
		cm->lost = false;
	return cm->lost;
}

static enum cardmark_collected collect_locked(struct cardmark *cm, struct cardmark_table *table)
{
	size_t guessed = 0;

	if (cm_tracker_still_lost(cm)) {
		for (size_t i = 0; i < cm->ranges.n; i++)
			cm_cards_set(&table->cards, cm->ranges.v[i].start, cm->ranges.v[i].end);
		guessed = cm->ranges.n;
		CM_COUNT(cm->counters.guessed);
	} else {
		guessed = cm->backend->ops->harvest(cm->backend, &cm->ranges, &table->cards);
		cm_tracker_recheck(cm);
		if (cm->any_fresh)
			cm_cards_clear_all(&cm->fresh);
		cm->any_fresh = false;
	}
	return guessed != 0 ? CARDMARK_GUESSED : CARDMARK_EXACT;
}

enum cardmark_collected cardmark_collect(struct cardmark *cm, struct cardmark_table *table)
{
	uint64_t start = cm_os->now(), taken;
	enum cardmark_collected result;
	size_t before;

	if (table->owner != cm || cm->torn || !cm_tracker_lock(cm, CM_WAIT_COLLECT_NS)) {
		/* Nothing was cleared, so the next collect reports it all. */
		table->all_dirty = true;
		CM_COUNT(cm->all_dirty);
		return CARDMARK_ALL_DIRTY;
	}
	before = cm_cards_count(&table->cards);
	result = collect_locked(cm, table);
	cm->stats.collects++;
	cm->stats.dirty_cards += cm_cards_count(&table->cards) - before;
	taken = cm_os->now() - start;
	cm->stats.collect_ns += taken;
	if (taken > cm->stats.collect_max_ns)
		cm->stats.collect_max_ns = taken;
	cm_tracker_unlock(cm);
	return result;
}

void cm_tracker_rebuild(struct cardmark *cm, bool intact)
{
	cm->stats.forks++;
	/* A raw clone in the middle of a call left the range map in an unknown
	 * state, for good. */
	if (!intact)
		cm->torn = true;
	else
		cm->lost = cm->backend->ops->fork_child(cm->backend, &cm->ranges) < 0;
}

/* ---- Counters -------------------------------------------------------------- */

int cardmark_stats(const struct cardmark *cm, struct cardmark_stats *stats)
{
	struct cardmark *c = (struct cardmark *)(uintptr_t)cm; /* its lock is not its value */
	size_t size = stats->size;
	struct cardmark_stats s;

	if (size < offsetof(struct cardmark_stats, ranges) || size > 4096)
		return cm_fail(-EINVAL, "cardmark_stats.size is %zu: set it to sizeof", size);
	int error = cm_tracker_enter(c);
	if (error < 0)
		return error;
	s = c->stats;
	s.ranges = c->ranges.n;
	s.tracked_bytes = cm_ranges_bytes(&c->ranges);
	s.table_bytes = cm_cards_bytes(&c->fresh);
	for (const struct cardmark_table *t = c->tables; t != NULL; t = t->next)
		s.table_bytes += cm_cards_bytes(&t->cards);
	cm_tracker_unlock(c);
	s.version = 1;
	s.backend = cardmark_backend_of(cm);
	s.kernel_calls = atomic_load_explicit(&c->counters.kernel_calls, memory_order_relaxed);
	s.faults = atomic_load_explicit(&c->counters.faults, memory_order_relaxed);
	s.guessed_ranges = atomic_load_explicit(&c->counters.guessed, memory_order_relaxed);
	s.rearmed_ranges = atomic_load_explicit(&c->counters.rearmed, memory_order_relaxed);
	s.last_errno = atomic_load_explicit(&c->counters.last_errno, memory_order_relaxed);
	s.all_dirty = atomic_load_explicit(&c->all_dirty, memory_order_relaxed);
	s.size = size < sizeof s ? size : sizeof s;
	memcpy(stats, &s, s.size);
	return 0;
}
