/* SPDX-License-Identifier: MIT
 *
 * The roots, and which of them are watched. libgc reads the dirty bits of all of its roots and
 * scans the dirty pages; roots that are not watched are dirty.
 *
 * A page may be clean only if it was a root at the pass before, too: a pass clears the bits of
 * other pages as well, and their pointers were not followed. So a new root is removed from the list
 * before libgc learns of it, and watched again afterwards: then it is dirty. A root that ends is
 * dropped first. If libgc did not ask for a root in a pass, the root has ended, even without a
 * call.
 *
 * Most roots are small, and lie near each other with constant data of the same files between them.
 * The constant data are watched too, so that the tracker has a few ranges instead of hundreds. They
 * are never written.
 *
 * All of it under libgc's allocation lock. */
#include "gc-glue/boehm/glue.h"

#include "lib/os/own.h"

#include <errno.h>
#include <string.h>

#define WATCH_MIN ((size_t)16 << 10)  /* bytes of roots: less is cheaper to scan than to watch */
#define BETWEEN_MAX ((size_t)1 << 20) /* bytes: more costs as much to pass as another call */
/* Large memory that begins as zeros is not given page tables for the sake of one call. */
#define BLANK_MIN ((size_t)4 << 20)
#define LARGE ((size_t)256 << 10) /* for CM_GC_TEST_ROOTS_LARGE */

static struct {
	struct cardmark_run *v; /* words, as libgc has them: GC_remove_roots() takes whole ones */
	size_t n, cap;
} added;
static unsigned adding; /* calls of GC_add_roots() under way */

/* All of these are whole pages. */
static struct cm_gc_ranges segments; /* static data of objects */
static struct cm_gc_ranges blank;    /* of them, what begins as zeros and is large */
static struct cm_gc_ranges shown;    /* while objects are shown to libgc: the new segments */
static struct cm_gc_ranges roots;    /* segments and added */
static struct cm_gc_ranges wanted;   /* of them, what is not tiny */
static struct cm_gc_ranges between;  /* constant data between what is wanted */
static struct cm_gc_ranges asked;    /* what the tracker watches for us; more than it may */
static bool changed;

static uintptr_t down(uintptr_t addr)
{
	return addr & ~(uintptr_t)(cardmark_card_size() - 1);
}

static uintptr_t up(uintptr_t addr)
{
	return down(addr + cardmark_card_size() - 1);
}

static uint64_t bytes_of(const struct cm_gc_ranges *set)
{
	uint64_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		n += set->v[i].end - set->v[i].start;
	return n;
}

/* Memory in no set is dirty. So it does no harm if there is no memory for a set, here and below. */
static void add_all(struct cm_gc_ranges *to, const struct cm_gc_ranges *from)
{
	for (size_t i = 0; i < from->n; i++)
		(void)cm_gc_ranges_add(to, from->v[i].start, from->v[i].end);
}

static void drop(uintptr_t start, uintptr_t end, void *arg)
{
	(void)arg;
	cm_gc_heap_unwatch(start, end);
	(void)cm_gc_ranges_remove(&asked, start, end);
}

/* It is dirty until it is watched again. */
static void forget(uintptr_t start, uintptr_t end)
{
	changed = true;
	if (cm_gc_test(CM_GC_TEST_ROOTS_STALE))
		return;
	drop(start, end, NULL);
}

static void forget_all(void)
{
	for (size_t i = 0; i < asked.n; i++)
		cm_gc_heap_unwatch(asked.v[i].start, asked.v[i].end);
	asked.n = 0;
	changed = true;
}

/* ---- Static data -------------------------------------------------------------------- */

void cm_gc_roots_show_begin(void)
{
	shown.n = blank.n = 0;
}

void cm_gc_roots_show(uintptr_t start, uintptr_t end, bool zeros)
{
	(void)cm_gc_ranges_add(&shown, start, end);
	if (zeros && end - start >= BLANK_MIN)
		(void)cm_gc_ranges_add(&blank, start, end);
}

static void forget_piece(uintptr_t start, uintptr_t end, void *arg)
{
	(void)arg;
	forget(start, end);
}

static void swap(struct cm_gc_ranges *a, struct cm_gc_ranges *b)
{
	struct cm_gc_ranges t = *a;

	*a = *b;
	*b = t;
}

void cm_gc_roots_show_end(void)
{
	if (shown.n != segments.n || memcmp(shown.v, segments.v, shown.n * sizeof *shown.v) != 0) {
		for (size_t i = 0; i < shown.n; i++)
			cm_gc_ranges_minus(shown.v[i].start, shown.v[i].end, &segments,
					   forget_piece, NULL);
		swap(&segments, &shown);
		changed = true;
	}
	cm_gc_roots_sync();
}

/* ---- What the program adds and removes -------------------------------------------------- */

/* As libgc rounds it. */
static struct cardmark_run words_of(const void *start, const void *end)
{
	uintptr_t mask = sizeof(void *) - 1;

	return (struct cardmark_run){ ((uintptr_t)start + mask) & ~mask, (uintptr_t)end & ~mask };
}

static bool room_for_one(void)
{
	size_t cap = added.cap ? 2 * added.cap : 512;
	void *v;

	if (added.n < added.cap)
		return true;
	if (cm_own_map(cap * sizeof *added.v, &v) < 0)
		return false;
	if (added.v) {
		memcpy(v, added.v, added.n * sizeof *added.v);
		(void)cm_own_unmap(added.v, added.cap * sizeof *added.v);
	}
	added.v = v;
	added.cap = cap;
	return true;
}

static void *begin_add(void *arg)
{
	const struct cardmark_run *r = arg;

	adding++;
	forget(down(r->start), up(r->end));
	return NULL;
}

static void *end_add(void *arg)
{
	const struct cardmark_run *r = arg;
	size_t i = 0;

	if (adding)
		adding--;
	while (i < added.n && added.v[i].start != r->start)
		i++;
	if (i < added.n && added.v[i].end < r->end)
		added.v[i].end = r->end;
	else if (i == added.n && room_for_one())
		added.v[added.n++] = *r;
	changed = true;
	return NULL;
}

static void *begin_remove(void *arg)
{
	const struct cardmark_run *r = arg;

	for (size_t i = 0; i < added.n;) {
		if (added.v[i].start < r->start || added.v[i].end > r->end) {
			i++;
			continue;
		}
		forget(down(added.v[i].start), up(added.v[i].end));
		added.v[i] = added.v[--added.n];
	}
	return NULL;
}

static void *begin_clear(void *arg)
{
	(void)arg;
	added.n = 0;
	forget_all();
	return NULL;
}

static void *begin_filter(void *arg)
{
	(void)arg;
	forget_all();
	return NULL;
}

static void locked(void *(*fn)(void *), void *arg)
{
	int saved = errno;

	(void)cm_gc_api.GC_call_with_alloc_lock(fn, arg);
	errno = saved;
}

void cm_gc_hook_add_roots(void *start, void *end)
{
	struct cardmark_run r = words_of(start, end);
	uintptr_t from = (uintptr_t)start, to = (uintptr_t)end;

	if (r.start < r.end)
		locked(begin_add, &r);
	cm_gc_api.GC_add_roots(start, end);
	/* A root of its own inside the program's: GC_remove_roots() takes both. */
	if (!cm_gc_test(CM_GC_TEST_NO_ROOT_DEFENCE) && from != down(from) && to > from &&
	    down(to - 1) > from)
		cm_gc_api.GC_add_roots((void *)down(to - 1), end);
	if (r.start < r.end)
		locked(end_add, &r);
}

void cm_gc_hook_remove_roots(void *start, void *end)
{
	struct cardmark_run r = { (uintptr_t)start, (uintptr_t)end };

	locked(begin_remove, &r);
	cm_gc_api.GC_remove_roots(start, end);
	cm_gc_pace_finish();
}

void cm_gc_hook_clear_roots(void)
{
	locked(begin_clear, NULL);
	cm_gc_api.GC_clear_roots();
	cm_gc_pace_finish();
}

/* Which static data is a root may change by this. */
void cm_gc_hook_register_has_static_roots(cm_gc_any_fn *filter)
{
	locked(begin_filter, NULL);
	cm_gc_api.GC_register_has_static_roots_callback(filter);
}

void cm_gc_roots_child(void)
{
	adding = 0; /* no other thread is here */
}

/* ---- What is watched ------------------------------------------------------------------ */

/* A trap in static data could hit the trap handler's own. */
static bool can_watch(void)
{
	const unsigned need = CARDMARK_CAP_NO_TRAP | CARDMARK_CAP_REMAP | CARDMARK_CAP_SHARED;

	return cm_gc_heap.cm && (cm_gc_heap.tracker.capabilities & need) == need;
}

static void find_roots(void)
{
	roots.n = 0;
	add_all(&roots, &segments);
	for (size_t i = 0; i < added.n; i++)
		(void)cm_gc_ranges_add(&roots, down(added.v[i].start), up(added.v[i].end));
}

static void note_constant(uintptr_t start, uintptr_t end, void *constant)
{
	(void)cm_gc_ranges_add(constant, start, end);
}

/* Roots with nothing but constant data between them are one piece. */
static void choose(void)
{
	static struct cm_gc_ranges constant;
	bool large = cm_gc_test(CM_GC_TEST_ROOTS_LARGE);

	wanted.n = between.n = constant.n = 0;
	if (large || cm_gc_maps_each_constant(note_constant, &constant) != 0)
		constant.n = 0;
	for (size_t i = 0, next; i < roots.n; i = next) {
		uint64_t bytes = roots.v[i].end - roots.v[i].start;

		for (next = i + 1; next < roots.n; next++) {
			uintptr_t end = roots.v[next - 1].end, start = roots.v[next].start;

			if (start - end > BETWEEN_MAX || !cm_gc_ranges_cover(&constant, end, start))
				break;
			bytes += roots.v[next].end - roots.v[next].start;
		}
		if (bytes < (large ? LARGE : WATCH_MIN) ||
		    (large && !cm_gc_ranges_cover(&segments, roots.v[i].start, roots.v[i].end)))
			continue;
		for (size_t k = i; k < next; k++) {
			(void)cm_gc_ranges_add(&wanted, roots.v[k].start, roots.v[k].end);
			if (k + 1 < next)
				(void)cm_gc_ranges_add(&between, roots.v[k].end,
						       roots.v[k + 1].start);
		}
	}
}

/* As file memory, which is never wrong: so neighbours are one range. */
static void watch_piece(uintptr_t start, uintptr_t end, void *arg)
{
	(void)arg;
	cm_gc_heap_watch(start, end, CARDMARK_TRACK_FILE);
	for (size_t i = cm_gc_ranges_from(&blank, start); i < blank.n && blank.v[i].start < end;
	     i++) {
		uintptr_t from = blank.v[i].start > start ? blank.v[i].start : start;
		uintptr_t to = blank.v[i].end < end ? blank.v[i].end : end;

		cm_gc_heap_watch(from, to, CARDMARK_TRACK_PRIVATE);
	}
}

/* For a report, which any thread may ask for without the lock, because the sets themselves may
 * move. */
static struct {
	_Atomic uint64_t bytes, watched, pieces, ranges;
} told;

static void tell(void)
{
	atomic_store_explicit(&told.bytes, bytes_of(&roots), memory_order_relaxed);
	atomic_store_explicit(&told.watched, bytes_of(&wanted), memory_order_relaxed);
	atomic_store_explicit(&told.pieces, wanted.n, memory_order_relaxed);
	atomic_store_explicit(&told.ranges, asked.n, memory_order_relaxed);
}

static void watch_anew(void)
{
	static struct cm_gc_ranges now;

	changed = false;
	find_roots();
	if (!can_watch())
		return;
	choose();
	now.n = 0;
	add_all(&now, &wanted);
	add_all(&now, &between);
	/* From the end, so that a removal does not move the pieces before it. */
	for (size_t i = asked.n; i-- > 0;)
		cm_gc_ranges_minus(asked.v[i].start, asked.v[i].end, &now, drop, NULL);
	/* Apart: where constant data cannot be watched, the roots can. */
	for (size_t i = 0; i < wanted.n; i++)
		cm_gc_ranges_minus(wanted.v[i].start, wanted.v[i].end, &asked, watch_piece, NULL);
	for (size_t i = 0; i < between.n; i++)
		cm_gc_ranges_minus(between.v[i].start, between.v[i].end, &asked, watch_piece, NULL);
	swap(&asked, &now);
}

void cm_gc_roots_sync(void)
{
	if (!changed || adding)
		return;
	watch_anew();
	tell();
}

/* ---- A pass ------------------------------------------------------------------------------ */

static uint64_t clean_bytes(const struct cardmark_run *piece)
{
	uint64_t clean = piece->end - piece->start;
	struct cardmark_run run;

	if (!cm_gc_ranges_cover(&cm_gc_heap.tracked, piece->start, piece->end))
		return 0;
	for (uintptr_t at = piece->start;
	     cardmark_table_next(cm_gc_heap.table, at, piece->end, &run); at = run.end)
		clean -= run.end - run.start;
	return clean;
}

void cm_gc_roots_pass(struct cm_gc_ranges *seen)
{
	uint64_t clean = 0;

	for (size_t i = 0; seen && i < wanted.n; i++) {
		const struct cardmark_run *r = &wanted.v[i];

		if (cm_gc_ranges_cover(seen, r->start, r->end))
			clean += clean_bytes(r);
		else
			cm_gc_ranges_minus(r->start, r->end, seen, drop, NULL);
	}
	/* libgc does not ask for the memory in between, so its bits need not be kept. */
	if (seen)
		add_all(seen, &between);
	cm_gc_rec->root_passes++;
	cm_gc_rec->root_scanned += bytes_of(&roots) - clean;
}

void cm_gc_roots_put(struct cm_gc_out *o)
{
	cm_gc_put(o,
		  "  \"roots\": { \"bytes\": %llu, \"watched_bytes\": %llu, \"pieces\": %llu, "
		  "\"watched_ranges\": %llu, \"passes\": %llu, \"scanned_bytes\": %llu },\n",
		  (unsigned long long)atomic_load_explicit(&told.bytes, memory_order_relaxed),
		  (unsigned long long)atomic_load_explicit(&told.watched, memory_order_relaxed),
		  (unsigned long long)atomic_load_explicit(&told.pieces, memory_order_relaxed),
		  (unsigned long long)atomic_load_explicit(&told.ranges, memory_order_relaxed),
		  (unsigned long long)cm_gc_rec->root_passes,
		  (unsigned long long)cm_gc_rec->root_scanned);
}
