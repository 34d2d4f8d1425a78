/* SPDX-License-Identifier: MIT
 *
 * The reference: what each page must be called, and what an answer may say of it. */
#include "lib/backend/backend.h"

#include "tests/fuzz/query.h"

#include <errno.h>

struct page model[PAGES];
struct query_hold held[HOLDS];
size_t n_held;

/* ---- What the model says ----------------------------------------------------------- */

bool query_is_held(size_t i)
{
	for (size_t k = 0; k < n_held; k++)
		if (i >= held[k].from && i < held[k].to)
			return true;
	return false;
}

/* Without WRITTEN. */
static uint64_t other_categories(size_t i)
{
	const struct fake_page *p = &fake.page[i];
	uint64_t c = p->other;

	if (p->present)
		c |= CARDMARK_PAGE_PRESENT;
	if (fake_page_is_file(p))
		c |= CARDMARK_PAGE_FILE;
	if (!composed && model[i].kind != 0)
		c |= CARDMARK_PAGE_WPALLOWED;
	return composed ? c & CM_COMPOSED_CATEGORIES : c;
}

static uint64_t categories_of(size_t i)
{
	bool w = model[i].written || model[i].kept || query_is_held(i);

	return other_categories(i) | (w ? W : 0);
}

static bool matches(const struct cardmark_query *q, uint64_t c)
{
	for (unsigned bit = 0; bit < 9; bit++) {
		uint64_t one = UINT64_C(1) << bit;
		if (q->required & one && !(c & one))
			return false;
		if (q->excluded & one && c & one)
			return false;
	}
	return q->any_of == 0 || (q->any_of & c) != 0;
}

bool query_holds_data(size_t i)
{
	uint64_t c = other_categories(i);

	if (composed)
		return true;
	return !(c & CARDMARK_PAGE_GUARD) &&
	       (model[i].kind == CM_KIND_FILE ||
		(c & (CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED)) != 0);
}

static bool backend_says_written(size_t i)
{
	return composed ? cm_cards_test(&composed_written, fake_addr(i)) : !fake.page[i].protected;
}

const char *query_compare(void)
{
	for (size_t i = 0; i < PAGES; i++) {
		const struct page *p = &model[i];
		bool kept = cm_cards_test(&cm.kept.cards, fake_addr(i));

		FUZZ_WANT(cm_ranges_cover(&cm.ranges, fake_addr(i), fake_addr(i + 1)) ==
			  (p->kind != 0));
		FUZZ_WANT(!kept || p->kind != 0);
		if (p->kind == 0 || failures)
			continue;
		FUZZ_WANT(backend_says_written(i) == p->written);
		FUZZ_WANT(kept == p->kept);
		FUZZ_WANT(cm_cards_test(&cm.fresh, fake_addr(i)) == p->fresh);
	}
	return NULL;
}

/* ---- A scan ------------------------------------------------------------------------ */

static uint64_t mask_from(struct fuzz_input *in)
{
	unsigned low = fuzz_byte(in);

	return low | (low % 7 == 3 ? CARDMARK_PAGE_GUARD : 0);
}

static uint64_t answerable(void)
{
	return composed ? CM_COMPOSED_CATEGORIES : CARDMARK_PAGE_ALL;
}

/* Makes a question that is allowed of one that may not be. */
static void polish(struct cardmark_query *q)
{
	uint64_t all = answerable();

	if (failures) /* a registration that is gone and comes back is not in the model */
		all &= ~CARDMARK_PAGE_WPALLOWED;
	q->required &= all;
	q->any_of &= all;
	q->excluded &= all;
	q->returned &= all;
	if (q->op != CARDMARK_SCAN_GET)
		q->required |= W;
	q->excluded &= ~q->required;
	if ((q->any_of & ~q->excluded) == 0)
		q->any_of = 0;
}

static struct cardmark_query query_from(struct fuzz_input *in, struct cardmark_region *v)
{
	struct cardmark_query q = { .size = sizeof q, .regions = v };
	unsigned how = fuzz_byte(in), limits = fuzz_byte(in);
	size_t from, to;

	fuzz_pages(in, PAGES, &from, &to);
	q.start = (void *)fake_addr(from);
	q.len = (to - from) * FAKE_PAGE;
	q.op = (enum cardmark_scan_op)(how % 4);
	q.flags = how & 4 ? CARDMARK_SCAN_IGNORE_NEW : 0;
	q.required = mask_from(in);
	q.any_of = how & 8 ? mask_from(in) : 0;
	q.excluded = how & 16 ? mask_from(in) : 0;
	q.returned = mask_from(in);
	q.capacity = limits & 128 ? PAGES : 1 + limits % 8;
	q.max_pages = limits & 8 ? 1 + fuzz_below(in, 400) : 0;
	if (how < 224 || failures) {
		if (q.op == 0)
			q.op = CARDMARK_SCAN_GET_AND_CLEAR;
		polish(&q);
	} else if (limits % 8 == 0) {
		q.size = 4;
	} else if (limits % 8 == 1) {
		q.len++;
	} else if (limits % 8 == 2) {
		q.capacity = 0;
	} else if (limits % 8 == 3) {
		q.flags |= 2;
	}
	return q;
}

static int wanted_error(const struct cardmark_query *q)
{
	uint64_t asked = q->required | q->any_of | q->excluded | q->returned;

	if (q->size == 4 || q->len % FAKE_PAGE != 0 || q->op < CARDMARK_SCAN_GET ||
	    q->op > CARDMARK_SCAN_GET_AND_CLEAR || q->flags & 2 ||
	    (q->op != CARDMARK_SCAN_CLEAR && q->capacity == 0))
		return -EINVAL;
	if (q->required & q->excluded || (q->any_of != 0 && (q->any_of & ~q->excluded) == 0) ||
	    (q->op != CARDMARK_SCAN_GET && !(q->required & W)))
		return -EINVAL;
	return asked & ~answerable() ? -ENOTSUP : 0;
}

/* What of an answer holds whatever failed. */
static const char *check_shape(const struct cardmark_query *q)
{
	uintptr_t end = (uintptr_t)q->start + q->len;
	size_t pages = 0;

	FUZZ_WANT(q->resume >= (uintptr_t)q->start && q->resume <= end);
	FUZZ_WANT(q->count <= q->capacity);
	for (size_t r = 0; r < q->count; r++) {
		const struct cardmark_region *v = &q->regions[r];
		FUZZ_WANT(v->start < v->end);
		FUZZ_WANT(v->start >= (uintptr_t)q->start && v->end <= q->resume);
		FUZZ_WANT((v->categories & ~q->returned) == 0);
		FUZZ_WANT(r == 0 || v[-1].end <= v->start);
		FUZZ_WANT(r == 0 || v[-1].end != v->start || v[-1].categories != v->categories);
		pages += (v->end - v->start) / FAKE_PAGE;
	}
	if (q->op != CARDMARK_SCAN_CLEAR)
		FUZZ_WANT(q->pages == pages);
	else
		FUZZ_WANT(q->count == 0);
	if (q->resume < end) {
		FUZZ_WANT((q->max_pages != 0 && q->pages >= q->max_pages) ||
			  (q->op != CARDMARK_SCAN_CLEAR && q->count == q->capacity));
		FUZZ_WANT(q->resume > (uintptr_t)q->start);
	}
	FUZZ_WANT(failures || !q->guessed);
	FUZZ_WANT(failures || q->max_pages == 0 || q->pages <= q->max_pages);
	return NULL;
}

static const struct cardmark_region *region_of(const struct cardmark_query *q, size_t i, size_t *r)
{
	while (*r < q->count && q->regions[*r].end <= fake_addr(i))
		++*r;
	return *r < q->count && q->regions[*r].start <= fake_addr(i) ? &q->regions[*r] : NULL;
}

/* One page that the answer has gone by. told: its region, if it has one. */
static const char *check_page(const struct cardmark_query *q, size_t i,
			      const struct cardmark_region *told, size_t *pages)
{
	bool clears = q->op != CARDMARK_SCAN_GET, counts = q->op == CARDMARK_SCAN_CLEAR;
	bool passed_over = q->flags & CARDMARK_SCAN_IGNORE_NEW && model[i].fresh;
	uint64_t c = categories_of(i);
	bool want = model[i].kind != 0 && matches(q, c);

	FUZZ_WANT(told == NULL || model[i].kind != 0);
	*pages += want && !passed_over;
	if (!counts && !failures) {
		FUZZ_WANT((told != NULL) == (want && !passed_over));
		FUZZ_WANT(told == NULL || told->categories == (c & q->returned));
	} else if (!counts && q->excluded & W) {
		FUZZ_WANT(told == NULL || !(c & W));
	} else if (!counts && c & W && !passed_over) {
		FUZZ_WANT(told != NULL || !want);
		FUZZ_WANT(told == NULL || told->categories & W || !(q->returned & W));
	}
	/* Forgotten by the model is what was told, or armed without a word as asked. */
	if (clears && (want || told != NULL) && !(q->excluded & W))
		model[i].written = model[i].kept = false;
	if (clears)
		model[i].fresh = false;
	return NULL;
}

static const char *scan_once(struct cardmark_query *q)
{
	size_t from = ((uintptr_t)q->start - FAKE_BASE) / FAKE_PAGE, to, r = 0, pages = 0;
	int error;

	if (broken == KEPT_FORGOTTEN)
		cm_cards_clear_all(&cm.kept.cards);
	error = cardmark_scan(&cm, q);
	FUZZ_WANT(error == wanted_error(q));
	if (error < 0)
		return NULL;
	FUZZ_TRY(check_shape(q));
	to = (q->resume - FAKE_BASE) / FAKE_PAGE;
	for (size_t i = from; i < to; i++)
		FUZZ_TRY(check_page(q, i, region_of(q, i, &r), &pages));
	FUZZ_WANT(failures || q->pages == pages);
	return NULL;
}

/* To the end of the range, going on where each answer stopped. */
const char *query_scan(struct fuzz_input *in)
{
	static struct cardmark_region v[PAGES];
	struct cardmark_query q = query_from(in, v);
	uintptr_t end = (uintptr_t)q.start + q.len;

	for (unsigned i = 0; i <= PAGES; i++) {
		q.resume = end;
		FUZZ_TRY(scan_once(&q));
		if (q.resume >= end)
			return query_compare();
		if (i < 8) /* then at the end: there may be as many pieces as pages */
			FUZZ_TRY(query_compare());
		q.start = (void *)q.resume;
		q.len = end - q.resume;
	}
	return "the scan does not come to an end";
}
