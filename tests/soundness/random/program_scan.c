/* SPDX-License-Identifier: MIT
 *
 * The full query, and the oracle's check of its answers: every page that must be reported and
 * surely matches the masks is there, no such page is called clean, and pages reported by a
 * clearing scan need not be in the next answer. */
#include "tests/soundness/random/program_state.h"

#include "lib/os/uapi.h"

#include <errno.h>

#define REGIONS 64

enum match { MATCH_NO, MATCH_MAYBE, MATCH_YES };

struct scan {
	const struct op *op;
	struct cardmark_query q;
	struct cardmark_region v[REGIONS];
	bool others_run, clears, ignore_new;
};

/* The categories that a written page surely has, and surely has not. */
static enum match match(const struct run *r, const struct cardmark_query *q, size_t i)
{
	const struct page *p = &r->page[i];
	uint64_t yes = CARDMARK_PAGE_WRITTEN, no = 0, presence;

	presence = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	if (!r->swap && p->object < 0 && !p->guard) {
		if (r->entry[i] & CM_PME_PRESENT)
			yes |= CARDMARK_PAGE_PRESENT, no |= CARDMARK_PAGE_SWAPPED;
		else if (!has_data(r, i))
			no |= presence;
	}
	if (q->required & no || q->excluded & yes || (q->any_of != 0 && (q->any_of & ~no) == 0))
		return MATCH_NO;
	/* Holes of file memory: only the exact mask (R6). */
	if (!has_data(r, i) && (q->any_of != 0 || q->excluded != 0))
		return MATCH_MAYBE;
	if ((q->required & ~yes) == 0 && (q->excluded & ~no) == 0 &&
	    (q->any_of == 0 || (q->any_of & yes) != 0 ||
	     (has_data(r, i) && (q->any_of & presence) == presence)))
		return MATCH_YES;
	return MATCH_MAYBE;
}

static const struct cardmark_region *region_of(const struct scan *s, uintptr_t at)
{
	if (s->q.op == CARDMARK_SCAN_CLEAR)
		return NULL;
	for (size_t k = 0; k < s->q.count; k++)
		if (s->v[k].start <= at && at < s->v[k].end)
			return &s->v[k];
	return NULL;
}

/* A page that the scan answered for, and armed. */
static void taken(struct run *r, const struct scan *s, size_t i)
{
	struct page *p = &r->page[i];
	uint64_t now;

	p->must = false; /* this thread's writes are done */
	if (s->others_run) {
		p->reported = true; /* the next answer may omit it */
		return;
	}
	p->pending = false;
	atomic_store_explicit(&p->period, 0, memory_order_relaxed);
	if (contents(r, i, &now))
		p->hash = now;
	p->populated = is_private(r, i) && has_data(r, i);
}

static void judge(struct run *r, const struct scan *s, size_t i)
{
	struct page *p = &r->page[i];
	const struct cardmark_region *region = region_of(s, (uintptr_t)page_at(r, i));
	bool written = p->mapped && (p->must || p->pending || is_held(r, i));
	bool may_be_new = s->ignore_new && p->fresh;
	enum match m = match(r, &s->q, i);

	if (written && !s->others_run && !may_be_new && !p->reported) {
		if (m == MATCH_YES && region == NULL && s->q.op != CARDMARK_SCAN_CLEAR)
			lose(r, i, "written, and not in the scan");
		if (region != NULL && s->q.excluded & CARDMARK_PAGE_WRITTEN)
			lose(r, i, "written, and a scan calls it clean");
		if (region != NULL && s->q.returned & CARDMARK_PAGE_WRITTEN &&
		    !(region->categories & CARDMARK_PAGE_WRITTEN))
			lose(r, i, "written, and a scan labels it clean");
	}
	if (!s->clears)
		return;
	/* A clear beside writers gives up their writes meanwhile, also to pages that were
	 * holes a moment before and did not match. */
	if (region != NULL ||
	    ((m != MATCH_NO || s->others_run) && (s->q.op == CARDMARK_SCAN_CLEAR || may_be_new)))
		taken(r, s, i);
	if (!r->suspended && !s->others_run && !may_be_new)
		p->fresh = false;
}

static void check_form(struct run *r, const struct scan *s)
{
	uint64_t pages = 0;
	uintptr_t last = (uintptr_t)s->q.start;

	if (s->q.op == CARDMARK_SCAN_CLEAR)
		return;
	for (size_t k = 0; k < s->q.count; k++) {
		if (s->v[k].start < last || s->v[k].end <= s->v[k].start)
			fail(r, VERDICT_WRONG, "scan: regions out of order");
		last = s->v[k].end;
		pages += (s->v[k].end - s->v[k].start) / r->card;
	}
	if (s->q.count > s->q.capacity || last > (uintptr_t)s->q.start + s->q.len ||
	    pages != s->q.pages || (s->q.count > 0 && s->q.resume < last))
		fail(r, VERDICT_WRONG, "scan: %zu regions, %zu pages, limit %zu", s->q.count,
		     s->q.pages, s->q.max_pages);
	if (s->q.max_pages != 0 && pages > s->q.max_pages && !s->q.guessed)
		fail(r, VERDICT_WRONG, "scan: %zu pages over a limit of %zu", s->q.pages,
		     s->q.max_pages);
}

/* One call. Returns where to go on; 0: nowhere. */
static uintptr_t ask(struct run *r, struct scan *s, uintptr_t at, uintptr_t end)
{
	int error;

	s->q.start = (void *)at;
	s->q.len = end - at;
	s->q.regions = s->v;
	s->q.capacity = 1 + s->op->v[O_CAPACITY] % REGIONS;
	error = cardmark_scan(r->cm, &s->q);
	if (error < 0) {
		/* Masks are random: impossible ones are refused. */
		if (error != -EINVAL && error != -ENOTSUP)
			fail(r, VERDICT_WRONG, "scan: %s", cardmark_last_error());
		return 0;
	}
	atomic_fetch_add_explicit(&r->board->scans, 1, memory_order_relaxed);
	if (s->q.resume < at || s->q.resume > end)
		fail(r, VERDICT_WRONG, "scan: goes on at a place outside");
	else
		check_form(r, s);
	for (size_t i = (at - (uintptr_t)r->base) / r->card;
	     i < (s->q.resume - (uintptr_t)r->base) / r->card; i++)
		if (r->page[i].tracked)
			judge(r, s, i);
	return s->q.resume;
}

bool scan_op(struct run *r, const struct op *op)
{
	struct span span = span_of(op);
	struct scan s = { .op = op };
	uintptr_t at = (uintptr_t)page_at(r, span.from), end = (uintptr_t)page_at(r, span.to);

	s.others_run = running(r, op);
	s.q.size = sizeof s.q;
	s.q.op = (enum cardmark_scan_op)(op->v[O_HOW] % 3 + 1);
	s.q.flags = op->v[O_FLAGS] & CARDMARK_SCAN_IGNORE_NEW;
	s.q.required = op->v[O_REQUIRED];
	s.q.any_of = op->v[O_ANY];
	s.q.excluded = op->v[O_EXCLUDED];
	s.q.returned = op->v[O_RETURNED];
	s.q.max_pages = op->v[O_LIMIT];
	s.clears = s.q.op != CARDMARK_SCAN_GET;
	s.ignore_new = s.q.flags != 0;
	if (s.clears)
		(void)pthread_rwlock_rdlock(&r->pins);
	read_entries(r);
	for (unsigned n = 0; n <= op->v[O_ROUNDS] && at != 0 && at < end; n++) {
		uintptr_t next = ask(r, &s, at, end);
		if (next == at)
			break;
		at = next;
	}
	if (s.clears)
		(void)pthread_rwlock_unlock(&r->pins);
	return true;
}
