/* SPDX-License-Identifier: MIT
 *
 * The oracle. It knows of each page whether it must be in the next answer: from the writes
 * that it saw begin and end (must), and from the page's hash.
 *
 * With the other threads idle both are exact. With them running, see world.c: a
 * hash that differs means a store before or after the instant at which the collect
 * took the page, so the page is in this report or in the next (pending); a write
 * that began and ended between two collects has to be in the second.
 *
 * Contents are read in a way that changes nothing: holes of private memory are not touched,
 * shared memory is read through another mapping. A page of zeros is clean for a collector
 * (R7). For a tracker with DISCARD_IS_WRITE it differs from its old contents. */
#include "tests/soundness/random/program_state.h"

#include "tests/support/page_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)

void read_entries(struct run *r)
{
	size_t bytes = sizeof r->entry;
	off_t at = (off_t)((uintptr_t)r->base / r->card * 8);

	if (pread(r->pagemap, r->entry, bytes, at) != (ssize_t)bytes)
		fail(r, VERDICT_BROKEN, "/proc/self/pagemap: errno %d", errno);
}

bool has_data(const struct run *r, size_t i)
{
	return (r->entry[i] & (PRESENT | SWAPPED)) != 0;
}

bool is_private(const struct run *r, size_t i)
{
	return r->page[i].mapped && r->page[i].object < 0;
}

bool contents(const struct run *r, size_t i, uint64_t *hash)
{
	const struct page *p = &r->page[i];
	static _Thread_local _Alignas(8) unsigned char copy[65536];

	/* The parent's writes to shared memory are not this process's. */
	if (!p->mapped || p->guard || (p->shared && r->depth > 0))
		return false;
	if (p->object >= 0 && (p->shared || !has_data(r, i))) {
		*hash = page_hash(r->alias[p->object] + p->slot * r->card, r->card);
		return true;
	}
	if (!has_data(r, i)) {
		*hash = r->zero_hash;
		return true;
	}
	if (p->readable) {
		*hash = page_hash(page_at(r, i), r->card);
		return true;
	}
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(fd, copy, r->card, (off_t)(uintptr_t)page_at(r, i));
	(void)close(fd);
	if (n == (ssize_t)r->card)
		*hash = page_hash(copy, r->card);
	return n == (ssize_t)r->card;
}

/* From now on; earlier reports by a scan do not count. */
void must_report(struct run *r, size_t i)
{
	struct page *p = &r->page[i];

	if (!p->must)
		p->since = r->op;
	p->must = true;
	p->reported = false;
}

bool is_held(const struct run *r, size_t i)
{
	uintptr_t start = (uintptr_t)page_at(r, i), end = start + r->card;

	for (unsigned k = 0; k < r->holds; k++)
		if (r->hold[k].addr < end && start < r->hold[k].addr + r->hold[k].bytes)
			return true;
	return false;
}

void everything_dirty(struct run *r, struct span s)
{
	uint64_t now;

	read_entries(r);
	for (size_t i = s.from; i < s.to; i++)
		if (r->page[i].tracked && contents(r, i, &now) && now != r->zero_hash)
			must_report(r, i);
}

void lose(struct run *r, size_t i, const char *rule)
{
	const struct page *p = &r->page[i];

	atomic_fetch_add_explicit(&r->board->lost, 1, memory_order_relaxed);
	fail(r, VERDICT_LOST, "page %zu%s: %s (since operation %u)", i,
	     r->depth > 0 ? " in a child" : "", rule, p->must ? p->since : r->op);
}

/* ---- Collect -------------------------------------------------------------------- */

/* The effect of the last answer on one tracked page. */
static void judge(struct run *r, size_t i, unsigned t, bool others_run, bool held, uint64_t period)
{
	struct page *p = &r->page[i];
	bool dirty = cardmark_table_is_dirty(r->table[t], page_at(r, i));
	bool logged = atomic_load_explicit(&p->period, memory_order_acquire) == period + 1;
	bool answered = dirty || p->reported, changed = false, known;
	uint64_t now = p->hash;

	known = contents(r, i, &now);
	/* Emptied before any answer reported its data (MADV_FREE takes effect at any time): it
	 * has not changed, for a snapshot either. */
	if (known && now == r->zero_hash && p->object < 0 &&
	    (!r->discard_is_write || p->hash == r->zero_hash)) {
		p->must = p->pending = logged = false;
		p->hash = now;
	}
	changed = known && now != p->hash;
	if (!answered && p->pending)
		lose(r, i, "changed during the last collect, in neither answer");
	else if (!answered && (p->must || logged))
		lose(r, i, "written, and not in the answer");
	else if (!answered && changed && !others_run)
		lose(r, i, "its contents changed, and it is not in the answer");
	else if (!dirty && held)
		lose(r, i, "held, and not in the answer");
	else if (!dirty && r->suspended)
		lose(r, i, "the tracker is suspended, and it is not in the answer");
	else if (!dirty && r->in_table[t][i])
		lose(r, i, "was in the table and is there no more");
	atomic_fetch_add_explicit(&r->board->checked, 1, memory_order_relaxed);
	if (changed || p->must || logged || p->pending)
		atomic_fetch_add_explicit(&r->board->changed, 1, memory_order_relaxed);
	else if (dirty)
		atomic_fetch_add_explicit(&r->board->over, 1, memory_order_relaxed);
	if (dirty) {
		atomic_fetch_add_explicit(&r->board->reported, 1, memory_order_relaxed);
		/* With the flag a collect answers for a file's page, and discarded does not
		 * repeat it. */
		p->populated = has_data(r, i) && (p->object < 0 || !r->discard_is_write) &&
			       !(others_run && changed);
	}
	p->unsure = others_run && changed;
	p->pending = p->unsure && !answered;
	p->must = p->reported = false;
	p->fresh &= r->suspended;
	if (known)
		p->hash = now;
	else if (dirty && (!p->mapped || p->guard))
		p->hash = r->zero_hash; /* what was there is gone for good, and answered */
	r->in_table[t][i] = dirty && !cardmark_table_all_dirty(r->table[t]);
}

/* The library's own hashes must find nothing that this oracle does not find. */
static void compare_with_verify(struct run *r)
{
	struct cardmark_stats stats = { .size = sizeof stats };

	if (r->p->verify != CARDMARK_VERIFY_HASH || cardmark_stats(r->cm, &stats) < 0)
		return;
	/* In a child shared memory is written by its parent. */
	for (size_t i = 0; r->depth > 0 && i < PROGRAM_PAGES; i++)
		if (r->page[i].mapped && r->page[i].shared)
			return;
	if (stats.verify_missed != 0)
		fail(r, VERDICT_WRONG, "verify says that page %zu and %zu others were missed",
		     ((uintptr_t)stats.verify_first_missed - (uintptr_t)r->base) / r->card,
		     (size_t)stats.verify_missed - 1);
}

void collect(struct run *r, unsigned t, bool add, bool others_run)
{
	uint64_t period = atomic_load_explicit(&r->epoch, memory_order_relaxed) / 2;
	enum cardmark_collected result;

	if (!add) {
		cardmark_table_clear(r->table[t]);
		memset(r->in_table[t], 0, sizeof r->in_table[t]);
	}
	(void)pthread_rwlock_rdlock(&r->pins);
	atomic_fetch_add_explicit(&r->epoch, 1, memory_order_seq_cst);
	result = cardmark_collect(r->cm, r->table[t]);
	atomic_fetch_add_explicit(&r->epoch, 1, memory_order_seq_cst);
	(void)pthread_rwlock_unlock(&r->pins);
	if (program_after_collect != NULL)
		program_after_collect(r->cm);
	atomic_fetch_add_explicit(&r->board->collects, 1, memory_order_relaxed);
	if (others_run)
		atomic_fetch_add_explicit(&r->board->running, 1, memory_order_relaxed);
	if (result != CARDMARK_EXACT)
		atomic_fetch_add_explicit(&r->board->guessed, 1, memory_order_relaxed);
	read_entries(r);
	for (size_t i = 0; i < PROGRAM_PAGES; i++)
		if (r->page[i].tracked)
			judge(r, i, t, others_run, is_held(r, i), period);
	compare_with_verify(r);
}

/* ---- Discarded ------------------------------------------------------------------- */

static void discarded(struct run *r, unsigned t)
{
	if (!r->discards)
		return;
	cardmark_table_clear(r->table[t]);
	read_entries(r);
	if (cardmark_discarded(r->cm, r->table[t]) == CARDMARK_REFUSED)
		fail(r, VERDICT_WRONG, "discarded: %s", cardmark_last_error());
	for (size_t i = 0; i < PROGRAM_PAGES; i++) {
		struct page *p = &r->page[i];
		bool there = cardmark_table_is_dirty(r->table[t], page_at(r, i));

		r->in_table[t][i] = p->tracked && there;
		/* Dropped zeros leave zeros: no difference. A zero page may already count as
		 * emptied. */
		if (p->tracked && !there && p->populated && is_private(r, i) && !has_data(r, i) &&
		    p->hash != r->zero_hash)
			lose(r, i, "held data, was emptied, and is not among the discarded");
		if (p->tracked && there) {
			p->populated = false;
			/* Answered once, here. */
			if (!has_data(r, i) && p->object < 0)
				p->hash = r->zero_hash;
			else if (!has_data(r, i))
				(void)contents(r, i, &p->hash);
		}
	}
}

/* ---- Ranges, holds, tables --------------------------------------------------------- */

/* Should it succeed, by the manual? */
static bool trackable(const struct run *r, struct span s)
{
	for (size_t i = s.from; i < s.to; i++) {
		const struct page *p = &r->page[i];

		if (!p->mapped || (p->object >= 0 && !can(r, CARDMARK_CAP_SHARED)) ||
		    (!can(r, CARDMARK_CAP_MPROTECT) && !(p->readable && p->writable)))
			return false;
	}
	return true;
}

static unsigned hint(const struct run *r, struct span s)
{
	for (size_t i = s.from; i < s.to; i++)
		if (!is_private(r, i))
			return CARDMARK_TRACK_FILE;
	return CARDMARK_TRACK_PRIVATE;
}

static bool do_track(struct run *r, const struct op *op)
{
	struct span s = span_of(op);
	int error;

	(void)running(r, op);
	/* Earlier writes count by the contents that they left. */
	for (size_t i = s.from; i < s.to; i++)
		atomic_store_explicit(&r->page[i].period, 0, memory_order_relaxed);
	error = cardmark_track(r->cm, page_at(r, s.from), (s.to - s.from) * r->card,
			       op->v[O_HOW] == 1 ? hint(r, s) : 0);
	if (error == -EBUSY)
		atomic_fetch_add_explicit(&r->board->refused, 1, memory_order_relaxed);
	if (error < 0 && error != -EBUSY && trackable(r, s) && r->p->faults == 0)
		fail(r, VERDICT_WRONG, "track: %s", cardmark_last_error());
	if (error < 0)
		return false;
	for (size_t i = s.from; i < s.to; i++) {
		struct page *p = &r->page[i];

		p->tracked = p->fresh = true;
		p->must = p->pending = p->reported = p->populated = false;
		p->hash = p->told = r->zero_hash;
	}
	everything_dirty(r, s);
	return true;
}

static bool do_untrack(struct run *r, const struct op *op)
{
	struct span s = span_of(op);
	int error;

	(void)running(r, op);
	error = cardmark_untrack(r->cm, page_at(r, s.from), (s.to - s.from) * r->card);
	if (error < 0 && error != -ENOENT && error != -EBUSY)
		fail(r, VERDICT_WRONG, "untrack: %s", cardmark_last_error());
	if (error < 0)
		return false;
	for (size_t i = s.from; i < s.to; i++) {
		r->page[i].tracked = r->page[i].must = r->page[i].pending = false;
		for (unsigned t = 0; t < PROGRAM_TABLES; t++) {
			r->in_table[t][i] = false;
			if (!cardmark_table_all_dirty(r->table[t]) &&
			    cardmark_table_is_dirty(r->table[t], page_at(r, i)))
				fail(r, VERDICT_WRONG, "page %zu is in a table after untrack", i);
		}
	}
	return true;
}

static bool do_hold(struct run *r, const struct op *op)
{
	size_t offset = op->v[O_OFFSET] % r->card;
	struct hold h = { (uintptr_t)page_at(r, op->v[O_PAGE] % PROGRAM_PAGES) + offset,
			  op->v[O_BYTES] == 0 ? 1 : op->v[O_BYTES] };

	(void)running(r, op);
	if (r->holds == HOLDS)
		return false;
	if (cardmark_hold(r->cm, (void *)h.addr, h.bytes) < 0)
		fail(r, VERDICT_WRONG, "hold: %s", cardmark_last_error());
	r->hold[r->holds++] = h;
	return true;
}

static bool do_release(struct run *r, const struct op *op)
{
	struct hold h;

	(void)running(r, op);
	if (r->holds == 0)
		return false;
	h = r->hold[op->v[O_PAGE] % r->holds];
	for (size_t i = 0; i < PROGRAM_PAGES; i++)
		if (r->page[i].tracked && (uintptr_t)page_at(r, i) < h.addr + h.bytes &&
		    h.addr < (uintptr_t)page_at(r, i + 1))
			must_report(r, i);
	r->hold[op->v[O_PAGE] % r->holds] = r->hold[r->holds - 1];
	r->holds--;
	if (cardmark_release(r->cm, (void *)h.addr, h.bytes) < 0)
		fail(r, VERDICT_WRONG, "release: %s", cardmark_last_error());
	return true;
}

/* Writes to held memory where no page table shows it. */
static bool do_behind(struct run *r, const struct op *op)
{
	struct span s = span_of(op);
	bool any = false;

	if (!r->suspended)
		quiesce(r);
	for (size_t i = s.from; i < s.to; i++) {
		struct page *p = &r->page[i];

		if (!p->mapped || p->object < 0 || r->depth > 0 || !is_held(r, i))
			continue;
		memset(r->alias[p->object] + p->slot * r->card, (int)op->v[O_SEED], 64);
		any = true;
	}
	return any;
}

static bool do_suspend(struct run *r, const struct op *op)
{
	(void)running(r, op);
	if (cardmark_suspend(r->cm) < 0) {
		fail(r, VERDICT_WRONG, "suspend: %s", cardmark_last_error());
		return false;
	}
	r->suspended = true;
	return true;
}

static bool do_resume(struct run *r, const struct op *op)
{
	int error;

	if (!r->suspended)
		return false;
	(void)running(r, op);
	error = cardmark_resume(r->cm);
	if (error < 0 && r->p->faults == 0)
		fail(r, VERDICT_WRONG, "resume: %s", cardmark_last_error());
	if (error < 0)
		return false;
	r->suspended = false;
	everything_dirty(r, (struct span){ 0, PROGRAM_PAGES });
	return true;
}

static bool do_union(struct run *r, const struct op *op)
{
	unsigned to = op->v[O_TABLE] % PROGRAM_TABLES, from = op->v[O_FROM] % PROGRAM_TABLES;

	if (cardmark_table_union(r->table[to], r->table[from]) < 0)
		fail(r, VERDICT_WRONG, "union: %s", cardmark_last_error());
	for (size_t i = 0; i < PROGRAM_PAGES; i++) {
		r->in_table[to][i] |= r->in_table[from][i];
		if (r->in_table[to][i] && !cardmark_table_is_dirty(r->table[to], page_at(r, i)))
			lose(r, i, "not in the union of two tables");
	}
	return true;
}

static bool do_clear(struct run *r, const struct op *op)
{
	unsigned t = op->v[O_TABLE] % PROGRAM_TABLES;
	struct span s = span_of(op);

	if (op->v[O_PAGES] == 0) {
		cardmark_table_clear(r->table[t]);
		s = (struct span){ 0, PROGRAM_PAGES };
	} else if (cardmark_table_clear_range(r->table[t], page_at(r, s.from),
					      (s.to - s.from) * r->card) < 0) {
		fail(r, VERDICT_WRONG, "clear: %s", cardmark_last_error());
	}
	for (size_t i = s.from; i < s.to; i++) {
		r->in_table[t][i] = false;
		if (!cardmark_table_all_dirty(r->table[t]) &&
		    cardmark_table_is_dirty(r->table[t], page_at(r, i)))
			fail(r, VERDICT_WRONG, "page %zu is in a table after clear", i);
	}
	return true;
}

static bool do_table(struct run *r, const struct op *op)
{
	unsigned t = op->v[O_TABLE] % PROGRAM_TABLES;

	cardmark_table_delete(&r->table[t]);
	if (cardmark_table_new(&r->table[t], r->cm) < 0)
		fail(r, VERDICT_BROKEN, "table: %s", cardmark_last_error());
	memset(r->in_table[t], 0, sizeof r->in_table[t]);
	return true;
}

bool ask_op(struct run *r, const struct op *op)
{
	unsigned t = op->v[O_TABLE] % PROGRAM_TABLES;

	switch (op->kind) {
	case OP_TRACK:
		return do_track(r, op);
	case OP_UNTRACK:
		return do_untrack(r, op);
	case OP_COLLECT:
		collect(r, t, op->v[O_HOW] == COLLECT_ADD, running(r, op));
		return true;
	case OP_HOLD:
		return do_hold(r, op);
	case OP_RELEASE:
		return do_release(r, op);
	case OP_BEHIND:
		return do_behind(r, op);
	case OP_DISCARDED:
		quiesce(r);
		discarded(r, t);
		return r->discards;
	case OP_SUSPEND:
		return do_suspend(r, op);
	case OP_RESUME:
		return do_resume(r, op);
	case OP_UNION:
		return do_union(r, op);
	case OP_CLEAR:
		return do_clear(r, op);
	case OP_TABLE:
		return do_table(r, op);
	default:
		return scan_op(r, op);
	}
}
