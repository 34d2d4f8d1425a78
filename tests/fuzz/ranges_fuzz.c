/* SPDX-License-Identifier: MIT
 *
 * The range map (lib/ranges.c) against an array with one entry a page. */
#include "lib/cards.h"
#include "lib/os/os.h"
#include "lib/ranges.h"

#include "cardmark/cardmark.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#define PAGES 300 /* more ranges than there is room for at first */
#define PAGE ((uintptr_t)cardmark_card_size())
#define BASE ((uintptr_t)0x40000000 - 100 * PAGE) /* across two leaves of a set */
#define STEPS 400

enum rule {
	NONE,
	NO_SPLIT,
	NO_KIND,
	NO_PROTECTION,
	NO_COALESCING,
	FIND_AT_END,
	CLIP_OPEN,
	MARK_WHOLE,
};

static const char *const rules[] = {
	"a middle piece takes the rest with it",
	"the kind is dropped",
	"the protection is dropped",
	"equal neighbours stay two ranges",
	"find takes an end for the inside",
	"clip leaves the end as it was",
	"mark takes whole ranges",
	NULL,
};

static struct cm_ranges map;
static unsigned model[PAGES]; /* 0 untracked, else kind * 8 + prot */
static unsigned broken;
static struct cm_os refusing;

static uintptr_t address(size_t page)
{
	return BASE + page * PAGE;
}

/* ---- What is called, rules broken included ------------------------------------ */

static void do_remove(size_t from, size_t to)
{
	size_t i = cm_ranges_find(&map, address(from));
	uintptr_t end = address(to);

	if (broken == NO_SPLIT && i < map.n && map.v[i].start < address(from) && map.v[i].end > end)
		end = map.v[i].end;
	cm_ranges_remove(&map, address(from), end);
}

static void cut_at(uintptr_t at)
{
	size_t i = cm_ranges_find(&map, at);

	if (i == map.n || map.v[i].start >= at || map.n == map.cap)
		return;
	memmove(&map.v[i + 1], &map.v[i], (map.n - i) * sizeof *map.v);
	map.n++;
	map.v[i].end = map.v[i + 1].start = at;
}

static void do_add(size_t from, size_t to, unsigned state)
{
	struct cm_range range = { .start = address(from),
				  .end = address(to),
				  .kind = (enum cm_kind)(state / 8),
				  .prot = (int)(state % 8) };

	if (broken == NO_KIND)
		range.kind = CM_KIND_PRIVATE;
	if (broken == NO_PROTECTION)
		range.prot = 3;
	cm_ranges_add(&map, range);
	if (broken == NO_COALESCING)
		cut_at(address(from));
}

static size_t do_find(uintptr_t at)
{
	return cm_ranges_find(&map, broken == FIND_AT_END ? at - 1 : at);
}

static struct cm_range do_clip(size_t i, uintptr_t start, uintptr_t end)
{
	struct cm_range piece = cm_ranges_clip(&map, i, start, end);

	if (broken == CLIP_OPEN)
		piece.end = map.v[i].end;
	return piece;
}

static void do_mark(size_t from, size_t to, struct cm_cards *set)
{
	struct cardmark_run span = { address(from), address(to) };
	size_t i = cm_ranges_find(&map, span.start);

	if (broken == MARK_WHOLE && i < map.n && map.v[i].start < span.end)
		span.end = map.v[i].end;
	cm_ranges_mark(&map, span, set);
}

/* ---- The comparison ------------------------------------------------------------ */

/* As few ranges as can say what the model says, in order, and the same at each page. */
static const char *compare(void)
{
	uint64_t bytes = 0;
	size_t wanted = 0, n = 0;

	for (size_t i = 0; i < PAGES; i++) {
		bytes += model[i] != 0 ? PAGE : 0;
		wanted += model[i] != 0 && (i == 0 || model[i - 1] != model[i]);
	}
	FUZZ_WANT(map.n <= map.cap);
	for (size_t i = 0; i < map.n; i++) {
		const struct cm_range *r = &map.v[i];
		FUZZ_WANT(r->start < r->end);
		FUZZ_WANT(r->start >= address(0) && r->end <= address(PAGES));
		FUZZ_WANT(i == 0 || map.v[i - 1].end <= r->start);
		for (uintptr_t at = r->start; at < r->end; at += PAGE, n++)
			FUZZ_WANT(model[(at - BASE) / PAGE] ==
				  (unsigned)r->kind * 8 + (unsigned)r->prot);
	}
	FUZZ_WANT(n * PAGE == bytes);
	FUZZ_WANT(map.n == wanted);
	FUZZ_WANT(cm_ranges_bytes(&map) == bytes);
	return NULL;
}

/* How many ranges of the model end at or below page. */
static size_t ended_by(size_t page)
{
	size_t n = 0;

	for (size_t i = 0; i < page; i++)
		n += model[i] != 0 && (i + 1 == PAGES || model[i + 1] != model[i]);
	return n;
}

static const char *ask(size_t from, size_t to)
{
	size_t tracked = 0, at = from;

	for (size_t i = from; i < to; i++)
		tracked += model[i] != 0;
	FUZZ_WANT(do_find(address(from)) == ended_by(from));
	FUZZ_WANT(do_find(address(to)) == ended_by(to));
	FUZZ_WANT(do_find(address(from) + 1) == ended_by(from));
	FUZZ_WANT(cm_ranges_cover(&map, address(from), address(to)) == (tracked == to - from));
	FUZZ_WANT(cm_ranges_touch(&map, address(from), address(to)) == (tracked != 0));
	for (size_t i = cm_ranges_find(&map, address(from)); i < map.n; i++) {
		struct cm_range piece = do_clip(i, address(from), address(to));
		if (piece.start >= piece.end || piece.start >= address(to))
			break;
		for (; address(at) < piece.start; at++)
			FUZZ_WANT(model[at] == 0);
		FUZZ_WANT(piece.start >= address(from) && piece.end <= address(to));
		for (; address(at) < piece.end; at++)
			FUZZ_WANT(model[at] == (unsigned)piece.kind * 8 + (unsigned)piece.prot);
	}
	for (; at < to; at++)
		FUZZ_WANT(model[at] == 0);
	return NULL;
}

static const char *mark(size_t from, size_t to)
{
	struct cm_cards set;
	const char *why = NULL;

	FUZZ_WANT(cm_cards_init(&set) == 0);
	if (cm_cards_reserve(&set, address(0), address(PAGES)) < 0)
		why = "no memory for a set";
	else
		do_mark(from, to, &set);
	for (size_t i = 0; i < PAGES && why == NULL; i++)
		if (cm_cards_test(&set, address(i)) != (i >= from && i < to && model[i] != 0))
			why = "mark is not what is tracked of the span";
	cm_cards_free(&set);
	return why;
}

static int no_map(size_t len, void **out)
{
	(void)len;
	(void)out;
	return -ENOMEM;
}

/* Without memory for it nothing changes; with it, what follows cannot fail. */
static const char *reserve(bool fails, size_t n)
{
	size_t room = map.cap;
	int error;

	refusing = cm_os_linux;
	refusing.map = no_map;
	cm_os = fails ? &refusing : &cm_os_linux;
	error = cm_ranges_reserve(&map, n);
	cm_os = &cm_os_linux;
	FUZZ_WANT(error == (fails && map.n + 2 * n > room ? -ENOMEM : 0));
	FUZZ_WANT(error < 0 ? map.cap == room : map.cap >= map.n + 2 * n);
	return NULL;
}

/* ---- One input ------------------------------------------------------------------ */

static const char *change(unsigned op, size_t from, size_t to)
{
	static const unsigned prots[] = { 1, 3, 5, 7 };
	unsigned state = op & 8 ? CM_KIND_FILE : CM_KIND_PRIVATE;
	size_t step = op % 8 == 5 ? 2 : to - from;

	state = state * 8 + prots[op / 16 % 4];
	for (size_t at = from; at < to; at += step) {
		size_t stop = op % 8 == 5 ? at + 1 : to;

		FUZZ_TRY(reserve(false, 1));
		if (op % 8 == 3)
			do_remove(at, stop);
		else
			do_add(at, stop, state);
		for (size_t i = at; i < stop; i++)
			model[i] = op % 8 == 3 ? 0 : state;
	}
	return NULL;
}

static const char *step(struct fuzz_input *in)
{
	unsigned op = fuzz_byte(in);
	size_t from, to;

	fuzz_pages(in, PAGES, &from, &to);
	switch (op % 8) {
	case 6:
		FUZZ_TRY(mark(from, to));
		break;
	case 7:
		FUZZ_TRY(reserve(true, op / 8));
		break;
	case 4:
		break;
	default:
		FUZZ_TRY(change(op, from, to));
	}
	FUZZ_TRY(compare());
	FUZZ_TRY(ask(from, to));
	return ask(from / 2, to);
}

static const char *run(const uint8_t *data, size_t size, unsigned rule)
{
	struct fuzz_input in = { data, data + size };
	const char *why = NULL;

	broken = rule;
	memset(&map, 0, sizeof map);
	memset(model, 0, sizeof model);
	for (unsigned i = 0; i < STEPS && in.at < in.end && why == NULL; i++)
		why = step(&in);
	cm_ranges_free(&map);
	return why;
}

const struct fuzz_target fuzz_target = { "ranges", rules, run };
