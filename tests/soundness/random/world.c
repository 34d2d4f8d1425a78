/* SPDX-License-Identifier: MIT
 *
 * The oracle. Memory is a row of slots; each is mapped or not, and pages of it
 * are tracked or not. One thread changes slots, collects and checks; two others
 * write all the time, and take a slot's lock for each write so that it does not
 * go away under them.
 *
 * With writers stopped: a tracked page whose hash differs from the one at the
 * last collect must be in this report.
 *
 * With writers running, let c(k) be the instant at which collect k takes page
 * p, and s(k) > c(k) when its hash is read after collect k. A hash that differs
 * between s(k-1) and s(k) means a store between them. If it came before c(k),
 * report k has p. If it came after, report k+1 has it. So p must be in report k
 * or k+1; which one the hash can't tell. The writers' log can: a write that
 * began and ended between collects k-1 and k must be in report k. A page that breaks one of
 * these rules counts as lost. Neither rule can raise a false alarm.
 *
 * process_vm_writev pins its pages first and copies later, which no page-table
 * tracker can see (R13); it waits for the collect to end. */
#include "tests/soundness/random/world_state.h"

#include "common/clock.h"
#include "lib/tracker.h"
#include "tests/support/backends.h"
#include "tests/support/broken_os.h"
#include "tests/support/page_hash.h"
#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* However slow the machine is: a run that checked nothing proves nothing. */
#define LEAST_COLLECTS 10

/* ---- Ranges that come and go ------------------------------------------------------ */

static void lock_slots(struct world *w, size_t from, size_t to)
{
	for (size_t s = from; s <= to; s++)
		(void)pthread_mutex_lock(&w->slot[s].lock);
}

static void unlock_slots(struct world *w, size_t from, size_t to)
{
	for (size_t s = from; s <= to; s++)
		(void)pthread_mutex_unlock(&w->slot[s].lock);
}

/* Forgets a page's past: from here on it must be reported if it differs from zero, because
 * everything in a new range counts as written. */
static void page_is_new(struct world *w, size_t i)
{
	w->page[i].hash = w->zero_hash;
	w->page[i].pending = w->page[i].reported = false;
	atomic_store_explicit(&w->page[i].period, 0, memory_order_relaxed);
}

static void start_afresh(struct world *w, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		page_is_new(w, i);
}

static void track(struct world *w, size_t from, size_t to)
{
	int error = cardmark_track(w->cm, page_at(w, from), (to - from) * w->card, 0);

	w->counts.busy += error == -EBUSY;
	if (error == -EBUSY || (error < 0 && w->options.faulty))
		return; /* the tracked memory stays tracked */
	if (error < 0) {
		tap_note("track of pages %zu..%zu: %s", from, to, cardmark_last_error());
		w->counts.lost++; /* never for memory like this */
		return;
	}
	for (size_t i = from; i < to; i++) {
		page_is_new(w, i);
		w->page[i].tracked = true;
	}
}

static void untrack(struct world *w, size_t from, size_t to)
{
	(void)cardmark_untrack(w->cm, page_at(w, from), (to - from) * w->card);
	for (size_t i = from; i < to; i++)
		w->page[i].tracked = false;
}

static void map_slot(struct world *w, size_t s)
{
	void *p = mmap(page_at(w, s * SLOT_PAGES), SLOT_PAGES * w->card, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	w->slot[s].mapped = p != MAP_FAILED;
}

static void unmap_slot(struct world *w, size_t s)
{
	untrack(w, s * SLOT_PAGES, (s + 1) * SLOT_PAGES);
	w->slot[s].mapped = false;
	(void)mmap(page_at(w, s * SLOT_PAGES), SLOT_PAGES * w->card, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

/* Puts other memory in the place of a tracked piece, without a call of the library. All
 * contents of the new memory, now or later, must be reported if not zero. */
static void replace(struct world *w, size_t from, size_t to)
{
	size_t len = (to - from) * w->card;
	unsigned char *at = page_at(w, from);

	if (random_below(&w->rng, 2) == 0) {
		(void)mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			   -1, 0);
	} else {
		unsigned char *other =
			mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(other, (int)random_below(&w->rng, 256), len);
		(void)mremap(other, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	}
	start_afresh(w, from, to);
}

/* Dropped contents are not a write (R7): the page is as if new and clean. */
static void drop_contents(struct world *w, size_t from, size_t to)
{
	(void)madvise(page_at(w, from), (to - from) * w->card, MADV_DONTNEED);
	start_afresh(w, from, to);
}

static void cycle_protection(struct world *w, size_t from, size_t to)
{
	size_t len = (to - from) * w->card;

	(void)mprotect(page_at(w, from), len, random_below(&w->rng, 2) ? PROT_READ : PROT_NONE);
	(void)mprotect(page_at(w, from), len, PROT_READ | PROT_WRITE);
}

static bool can(const struct world *w, unsigned capability)
{
	return (w->capabilities & capability) != 0;
}

/* One random change of one slot, under its lock. */
static void change_slot(struct world *w, size_t s)
{
	size_t first = s * SLOT_PAGES, end = first + SLOT_PAGES;
	size_t from = first + random_below(&w->rng, SLOT_PAGES);
	size_t to = from + 1 + random_below(&w->rng, end - from);

	if (!w->slot[s].mapped) {
		map_slot(w, s);
		if (random_below(&w->rng, 4) != 0)
			track(w, first, end);
		return;
	}
	switch (random_below(&w->rng, 8)) {
	case 0:
		unmap_slot(w, s);
		break;
	case 1:
	case 2:
		untrack(w, from, to);
		break;
	case 3:
	case 4:
		track(w, from, to);
		break;
	case 5:
		if (can(w, CARDMARK_CAP_REMAP) && w->options.remap)
			replace(w, from, to);
		break;
	case 6:
		drop_contents(w, from, to);
		break;
	default:
		if (can(w, CARDMARK_CAP_MPROTECT))
			cycle_protection(w, from, to);
	}
}

/* Tracks or removes a piece that lies over several slots. */
static void change_many(struct world *w)
{
	size_t a = random_below(&w->rng, SLOTS - 4), b = a + 1 + random_below(&w->rng, 3);
	size_t from = a * SLOT_PAGES + random_below(&w->rng, SLOT_PAGES);
	size_t to = b * SLOT_PAGES + 1 + random_below(&w->rng, SLOT_PAGES);

	lock_slots(w, a, b);
	for (size_t s = a; s <= b; s++)
		if (!w->slot[s].mapped)
			map_slot(w, s);
	if (random_below(&w->rng, 3) == 0)
		untrack(w, from, to);
	else
		track(w, from, to);
	unlock_slots(w, a, b);
}

static void change_something(struct world *w)
{
	size_t s = random_below(&w->rng, SLOTS);

	w->counts.operations++;
	if (random_below(&w->rng, 12) == 0) {
		change_many(w);
		return;
	}
	lock_slots(w, s, s);
	change_slot(w, s);
	unlock_slots(w, s, s);
}

/* ---- Questions and checks ----------------------------------------------------------- */

static void note_reports(struct world *w, const struct cardmark_table *table)
{
	for (size_t i = 0; i < PAGES; i++)
		if (w->page[i].tracked && cardmark_table_is_dirty(table, page_at(w, i)))
			w->page[i].reported = true;
}

/* Gets a part of the answer by a clearing query; the collect gets the rest. */
static void scan_some(struct world *w)
{
	struct cardmark_region regions[48];
	struct cardmark_query q;
	size_t from = random_below(&w->rng, PAGES), n = 1 + random_below(&w->rng, PAGES - from);

	memset(&q, 0, sizeof q);
	q.size = sizeof q;
	q.start = page_at(w, from);
	q.len = n * w->card;
	q.op = CARDMARK_SCAN_GET_AND_CLEAR;
	q.required = CARDMARK_PAGE_WRITTEN;
	q.max_pages = random_below(&w->rng, 3) == 0 ? 1 + random_below(&w->rng, 100) : 0;
	q.regions = regions;
	q.capacity = 1 + random_below(&w->rng, 48);
	w->counts.scans++;
	if (cardmark_scan(w->cm, &q) < 0)
		return;
	for (size_t k = 0; k < q.count; k++)
		for (uintptr_t a = regions[k].start; a < regions[k].end; a += w->card)
			w->page[(a - (uintptr_t)w->base) / w->card].reported = true;
}

static void collect(struct world *w)
{
	enum cardmark_collected result;

	cardmark_table_clear(w->table);
	result = cardmark_collect(w->cm, w->table);
	if (result != CARDMARK_EXACT)
		w->counts.guessed++;
	note_reports(w, w->table);
	if (random_below(&w->rng, 8) == 0) { /* a second table must find nothing lost */
		cardmark_table_clear(w->second);
		(void)cardmark_collect(w->cm, w->second);
		note_reports(w, w->second);
		(void)cardmark_table_union(w->table, w->second);
	}
	w->counts.collects++;
}

static void lose(struct world *w, size_t i, const char *rule)
{
	if (w->counts.lost++ < 5)
		tap_note("lost: page %zu of slot %zu, seed %llu, collect %llu: %s", i % SLOT_PAGES,
			 i / SLOT_PAGES, (unsigned long long)w->options.seed,
			 (unsigned long long)w->counts.collects, rule);
}

/* Compares every tracked page. period: the one that the collect ended. */
static void check(struct world *w, bool concurrent, uint64_t period)
{
	for (size_t i = 0; i < PAGES; i++) {
		struct page *p = &w->page[i];
		uint64_t hash;
		bool logged, changed;

		if (!p->tracked)
			continue;
		logged = atomic_load_explicit(&p->period, memory_order_acquire) == period + 1;
		hash = page_hash(page_at(w, i), w->card);
		changed = hash != p->hash;
		p->hash = hash;
		w->counts.checked++;
		w->counts.changed += changed;
		w->counts.reported += p->reported;
		w->counts.over += p->reported && !changed && !p->pending && !logged;
		if (!p->reported && p->pending)
			lose(w, i, "changed before the last collect, in neither report");
		else if (!p->reported && logged)
			lose(w, i, "written between two collects, not in the second");
		else if (!p->reported && changed && !concurrent)
			lose(w, i, "changed while nobody was collecting");
		/* Not reported yet: the next report must have it. */
		p->pending = concurrent && changed && !p->reported;
		p->reported = false;
	}
}

static void round_of(struct world *w)
{
	bool concurrent = can(w, CARDMARK_CAP_CONCURRENT) && !w->options.never_concurrent &&
			  random_below(&w->rng, 2) == 0;
	uint64_t period = atomic_load_explicit(&w->epoch, memory_order_relaxed) / 2;

	for (uint64_t n = random_below(&w->rng, 6); n > 0; n--)
		change_something(w);
	if (random_below(&w->rng, 16) == 0)
		(void)usleep((useconds_t)random_below(&w->rng, 3000));
	if (!concurrent)
		world_stop_writers(w);
	if (random_below(&w->rng, 5) == 0)
		scan_some(w);
	(void)pthread_mutex_lock(&w->pinned);
	atomic_fetch_add_explicit(&w->epoch, 1, memory_order_seq_cst);
	collect(w);
	atomic_fetch_add_explicit(&w->epoch, 1, memory_order_seq_cst);
	(void)pthread_mutex_unlock(&w->pinned);
	w->counts.concurrent_collects += concurrent;
	check(w, concurrent, period);
	if (!concurrent)
		world_start_writers(w);
}

/* ---- Beginning and end --------------------------------------------------------------- */

static int make_noise(size_t bytes)
{
	int fd = memfd_create("noise", MFD_CLOEXEC);
	uint64_t rng = 99;

	for (size_t i = 0; fd >= 0 && i < bytes; i += 8) {
		uint64_t v = random_next(&rng);
		if (write(fd, &v, sizeof v) != sizeof v) {
			(void)close(fd);
			return -1;
		}
	}
	return fd;
}

static int open_tracker(struct world *w)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	int error;

	options.backend = w->options.backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	/* Small pieces, otherwise there is nothing to share. */
	options.chunk_bytes = w->options.seed % 2 || w->options.threads > 1 ? 50 * w->card : 0;
	options.threads = w->options.threads;
	options.backoff = w->options.seed % 3 == 1 ? 2 : 0;
	options.vec_len = w->options.seed % 3 == 0 ? 16 : 0;
	/* Writers run in some collects, where the backend can do that. */
	if (w->options.verify && w->options.backend != CARDMARK_BACKEND_SOFTDIRTY)
		options.flags |= CARDMARK_OPEN_CONCURRENT;
	options.verify = w->options.verify ? CARDMARK_VERIFY_HASH : CARDMARK_VERIFY_OFF;
	/* A call that fails here only makes the open fail. */
	broken_os_pause(true);
	error = cardmark_open(&w->cm, &options);
	broken_os_pause(false);
	if (error == 0)
		w->cm->backoff.least = 2; /* a slot has few pages */
	if (error == 0)
		error = cardmark_table_new(&w->table, w->cm);
	if (error == 0)
		error = cardmark_table_new(&w->second, w->cm);
	if (error == 0)
		w->capabilities = described(w->cm).capabilities;
	return error;
}

static void take_counters(struct world *w)
{
	struct cardmark_stats s = { .size = sizeof s };

	if (cardmark_stats(w->cm, &s) < 0)
		return;
	w->counts.verify_checked = s.verify_checked;
	w->counts.verify_changed = s.verify_changed;
	w->counts.verify_missed = s.verify_missed;
	w->counts.verify_false = s.verify_false;
}

static void run_writers_and_rounds(struct world *w)
{
	struct writer writer[WRITERS];
	double end = cm_now_seconds() + w->options.seconds;

	for (size_t k = 0; k < WRITERS; k++) {
		writer[k].w = w;
		writer[k].seed = random_next(&w->rng);
		(void)pthread_create(&writer[k].thread, NULL, world_write_on, &writer[k]);
	}
	while ((cm_now_seconds() < end || w->counts.collects < LEAST_COLLECTS) &&
	       (w->options.rounds == 0 || w->counts.collects < w->options.rounds))
		round_of(w);
	/* Pending pages must still be reported. */
	world_stop_writers(w);
	collect(w);
	check(w, false, atomic_load_explicit(&w->epoch, memory_order_relaxed) / 2);
	atomic_store_explicit(&w->quit, true, memory_order_release);
	world_start_writers(w);
	for (size_t k = 0; k < WRITERS; k++)
		(void)pthread_join(writer[k].thread, NULL);
}

int world_run(const struct world_options *options, struct world_counts *counts)
{
	static struct world w;
	size_t bytes;
	int error;

	memset(&w, 0, sizeof w);
	w.options = *options;
	w.rng = options->seed;
	w.card = cardmark_card_size();
	bytes = (PAGES + 2) * w.card;
	w.base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	w.noise = make_noise(4096 + MAX_WRITE);
	if (w.base == MAP_FAILED || w.noise < 0)
		return -ENOMEM;
	w.base += w.card;
	(void)pthread_mutex_init(&w.pinned, NULL);
	for (size_t s = 0; s < SLOTS; s++) {
		(void)pthread_mutex_init(&w.slot[s].lock, NULL);
		map_slot(&w, s);
	}
	w.zero_hash = page_hash(page_at(&w, 0), w.card);
	error = open_tracker(&w);
	if (error == 0) {
		for (size_t s = 0; s < SLOTS; s += 2)
			track(&w, s * SLOT_PAGES, (s + 1) * SLOT_PAGES);
		run_writers_and_rounds(&w);
		take_counters(&w);
	}
	cardmark_table_delete(&w.table);
	cardmark_table_delete(&w.second);
	cardmark_close(&w.cm);
	(void)munmap(w.base - w.card, bytes);
	(void)close(w.noise);
	w.counts.writes = atomic_load_explicit(&w.writes, memory_order_relaxed);
	w.counts.refused = atomic_load_explicit(&w.refused, memory_order_relaxed);
	*counts = w.counts;
	return error;
}
