/* SPDX-License-Identifier: MIT
 *
 * The full query, collect and preclean against a walk page by page: a tracker on the
 * pagemap backend over a fake kernel, or on a set of written cards that answers with
 * cm_composed_scan().
 *
 * The first byte says which, and whether calls may fail. Without failures answers
 * must be exact, and nothing else may have been armed. With them it is the promise
 * that counts: what was written is in the next answer. */
#include "tests/fuzz/query.h"

#include <errno.h>
#include <string.h>

#define STEPS 80

static const char *const rules[] = {
	"excluded categories are dropped",
	"any-of is dropped",
	"required categories are dropped",
	"labels have more than was asked for",
	"the page limit is ignored",
	"a full answer resumes after the piece",
	"clearing arms what does not match (R8)",
	"what a preclean kept is forgotten",
	"an error is taken as clean (R3)",
	"a scan without CHECK_WPASYNC (R2)",
	NULL,
};

static struct cardmark_table *table;

static const char *collect(void)
{
	static bool kept[PAGES];
	enum cardmark_collected result;

	for (size_t i = 0; i < PAGES; i++)
		kept[i] = model[i].kept || cm_cards_test(&cm.kept.cards, fake_addr(i));
	if (broken == KEPT_FORGOTTEN)
		cm_cards_clear_all(&cm.kept.cards);
	cardmark_table_clear(table);
	result = cardmark_collect(&cm, table);
	FUZZ_WANT(result == CARDMARK_EXACT || (failures && result == CARDMARK_GUESSED));
	for (size_t i = 0; i < PAGES; i++) {
		struct page *p = &model[i];
		bool told = cardmark_table_is_dirty(table, (void *)fake_addr(i));
		bool taken = p->written && query_holds_data(i);
		bool want = p->kind != 0 && (taken || kept[i] || query_is_held(i));

		FUZZ_WANT(told ? p->kind != 0 : !want);
		FUZZ_WANT(failures || told == want);
		if (taken)
			p->written = false;
		p->kept = p->fresh = false;
	}
	return NULL;
}

static const char *preclean(void)
{
	FUZZ_WANT(cardmark_preclean(&cm) == 0);
	for (size_t i = 0; i < PAGES && !failures; i++) {
		struct page *p = &model[i];
		if (p->kind == 0 || !p->written || !query_holds_data(i))
			continue;
		p->written = false;
		p->kept = true;
	}
	return NULL;
}

static const char *track(unsigned how, size_t from, size_t to)
{
	unsigned kind = how & 1 ? CM_KIND_FILE : CM_KIND_PRIVATE;
	int error;

	error = cardmark_track(&cm, (void *)fake_addr(from), (to - from) * FAKE_PAGE,
			       kind == CM_KIND_FILE ? CARDMARK_TRACK_FILE : CARDMARK_TRACK_PRIVATE);
	FUZZ_WANT(error == 0 || failures);
	for (size_t i = from; i < to && error == 0; i++) {
		model[i].kind = (unsigned char)kind;
		model[i].written = model[i].fresh = true;
	}
	return NULL;
}

static const char *untrack(size_t from, size_t to)
{
	bool any = false;

	for (size_t i = from; i < to; i++) {
		any |= model[i].kind != 0;
		memset(&model[i], 0, sizeof model[i]);
	}
	FUZZ_WANT(cardmark_untrack(&cm, (void *)fake_addr(from), (to - from) * FAKE_PAGE) ==
		  (any ? 0 : -ENOENT));
	return NULL;
}

static const char *hold(size_t from, size_t to)
{
	if (n_held == HOLDS)
		return NULL;
	FUZZ_WANT(cardmark_hold(&cm, (void *)(fake_addr(from) + 8), (to - from) * FAKE_PAGE - 16) ==
		  0);
	held[n_held].from = from;
	held[n_held++].to = to;
	return NULL;
}

static const char *release(void)
{
	size_t from, to;

	if (n_held == 0)
		return NULL;
	from = held[--n_held].from;
	to = held[n_held].to;
	FUZZ_WANT(cardmark_release(&cm, (void *)(fake_addr(from) + 8),
				   (to - from) * FAKE_PAGE - 16) == 0);
	for (size_t i = from; i < to; i++)
		model[i].kept |= model[i].kind != 0;
	return NULL;
}

static void write_pages(size_t from, size_t to)
{
	fake_write(from, to);
	for (size_t i = from; i < to; i++) {
		if (model[i].kind == 0)
			continue;
		model[i].written = true;
		cm_cards_set(&composed_written, fake_addr(i), fake_addr(i + 1));
	}
}

static void set_categories(unsigned c, size_t from, size_t to)
{
	const unsigned other = PAGE_IS_SWAPPED | PAGE_IS_PFNZERO | PAGE_IS_HUGE |
			       PAGE_IS_SOFT_DIRTY | PAGE_IS_GUARD;

	for (size_t i = from; i < to; i++) {
		struct fake_page *p = &fake.page[i];
		p->present = c & PAGE_IS_PRESENT;
		p->file = c & PAGE_IS_FILE;
		p->other = (c << 1 & PAGE_IS_GUARD) | (c & other);
		p->other &= c & 1 ? ~0u : ~(unsigned)PAGE_IS_GUARD;
	}
}

/* Something that can only happen where calls may fail. */
static const char *trouble(struct fuzz_input *in, size_t from, size_t to)
{
	static const int errors[] = { -EINTR, -EAGAIN, -ENOMEM, -EFAULT, -EPERM };
	unsigned what = fuzz_byte(in), call = FAKE_UFFD_OPEN + what / 4 % FAKE_CALLS;
	int error = errors[what / 32 % 5];

	switch (composed ? 2 + what % 2 : what % 4) {
	case 0:
	case 1:
		(what % 4 ? fake_remap : fake_move_in)(from, to);
		for (size_t i = from; i < to; i++)
			model[i].written = model[i].kind != 0;
		if (what & 32)
			fake_write(from, to);
		return NULL;
	case 2:
		fake.fail_at[call] = 1 + fuzz_byte(in) % 8;
		fake.fail_after = fuzz_below(in, 300);
		fake.error[call] = error;
		fake.fail_for_ever = what & 128;
		pread_fails_at = fake.fail_at[call];
		return NULL;
	default:
		if (what % 8 == 3) {
			FUZZ_WANT(cardmark_suspend(&cm) == 0);
			return NULL;
		}
		memset(fake.fail_at, 0, sizeof fake.fail_at);
		FUZZ_WANT(cardmark_resume(&cm) == 0 || !cm.suspended);
		return NULL;
	}
}

static const char *other_call(unsigned what, size_t from, size_t to)
{
	switch (what) {
	case 0:
		return collect();
	case 1:
		return preclean();
	case 2:
		return hold(from, to);
	default:
		return release();
	}
}

static const char *step(struct fuzz_input *in)
{
	unsigned op = fuzz_byte(in);
	size_t from, to;

	if (op % 8 >= 6)
		return query_scan(in);
	fuzz_pages(in, PAGES, &from, &to);
	switch (op % 8) {
	case 0:
	case 1:
		write_pages(from, to);
		break;
	case 2:
		set_categories(fuzz_byte(in), from, to);
		break;
	case 3:
		FUZZ_TRY(op / 8 % 4 == 3 ? untrack(from, to) : track(op / 8, from, to));
		break;
	case 4:
		FUZZ_TRY(other_call(op / 8 % 4, from, to));
		break;
	default:
		if (failures)
			FUZZ_TRY(trouble(in, from, to));
	}
	return query_compare();
}

/* ---- One input ------------------------------------------------------------------------ */

static const char *run(const uint8_t *data, size_t size, unsigned rule)
{
	struct fuzz_input in = { data, data + size };
	const char *why;

	broken = rule;
	memset(model, 0, sizeof model);
	n_held = 0;
	FUZZ_TRY(query_begin(&in));
	FUZZ_WANT(cardmark_table_new(&table, &cm) == 0);
	why = NULL;
	for (unsigned i = 0; i < STEPS && in.at < in.end && why == NULL; i++)
		why = step(&in);
	if (why == NULL && failures) { /* what was written once must come out in the end */
		memset(fake.fail_at, 0, sizeof fake.fail_at);
		why = collect();
	}
	cardmark_table_delete(&table);
	query_end();
	return why;
}

const struct fuzz_target fuzz_target = { "query", rules, run };
