/* SPDX-License-Identifier: MIT
 *
 * Description: the composed query (lib/backend/composed.c) over a fake pagemap
 * answers, stops and arms like a walk page by page, and reports the pages that it cannot read. */
#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <string.h>

#define PAGES 1500 /* more than two windows of pagemap */
#define PAGE ((uintptr_t)cardmark_card_size())
#define BASE ((uintptr_t)0x40000000 - 100 * PAGE) /* across two leaves of a set */
#define FD 77

static struct cm_os fake;
static struct cm_counters counters;
static struct cm_backend backend;
static struct cm_cards written;

static uint64_t model[PAGES]; /* CARDMARK_PAGE_* */
static size_t unreadable;     /* pages from here on; PAGES: none */
static int open_error, files_open;

static int fake_open_self(const char *name, int flags)
{
	(void)flags;
	CHECK_STRING(name, "pagemap");
	if (open_error != 0)
		return open_error;
	files_open++;
	return FD;
}

static int fake_close(int fd)
{
	CHECK_EQ(fd, FD);
	files_open--;
	return 0;
}

static ssize_t fake_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	uint64_t *entries = buf;
	size_t first = (size_t)(offset / 8) - BASE / PAGE;

	CHECK_EQ(fd, FD);
	CHECK(len <= 4096 && first + len / 8 <= PAGES);
	for (size_t i = 0; i < len / 8; i++) {
		uint64_t c = model[first + i];
		if (first + i >= unreadable)
			return i == 0 ? -EIO : (ssize_t)(i * 8);
		entries[i] = (c & CARDMARK_PAGE_FILE ? CM_PME_FILE : 0) |
			     (c & CARDMARK_PAGE_PRESENT ? CM_PME_PRESENT : 0) |
			     (c & CARDMARK_PAGE_SWAPPED ? CM_PME_SWAPPED : 0);
	}
	return (ssize_t)len;
}

static void rearm(struct cm_backend *b, uintptr_t start, uintptr_t end)
{
	CHECK(b == &backend);
	cm_cards_clear(&written, start, end);
	for (uintptr_t at = start; at < end; at += PAGE)
		CHECK(model[(at - BASE) / PAGE] & CARDMARK_PAGE_WRITTEN);
}

static uintptr_t address(size_t page)
{
	return BASE + page * PAGE;
}

static void set_up(void)
{
	fake = cm_os_linux;
	fake.open_self = fake_open_self;
	fake.close = fake_close;
	fake.pread = fake_pread;
	cm_os = &fake;
	memset(&counters, 0, sizeof counters);
	backend.params.counters = &counters;
	unreadable = PAGES;
	open_error = files_open = 0;
	memset(model, 0, sizeof model);
	CHECK_EQ(cm_cards_init(&written), 0);
	CHECK_EQ(cm_cards_reserve(&written, address(0), address(PAGES)), 0);
}

static void tear_down(void)
{
	cm_cards_free(&written);
	cm_os = &cm_os_linux;
	CHECK_EQ(files_open, 0);
}

static void set_written(void)
{
	cm_cards_clear_all(&written);
	for (size_t i = 0; i < PAGES; i++) {
		if (model[i] & CARDMARK_PAGE_WRITTEN)
			cm_cards_set(&written, address(i), address(i + 1));
	}
}

static bool matches(const struct cm_masks *m, uint64_t c)
{
	return (c & m->required) == m->required && (m->any_of == 0 || (c & m->any_of) != 0) &&
	       (c & m->excluded) == 0;
}

/* The same, page by page: the first match that does not fit ends it. */
static uintptr_t expect(const struct cm_masks *m, struct cm_sink *s, size_t from, bool *cleared)
{
	for (size_t i = from; i < PAGES; i++) {
		uint64_t label = model[i] & m->returned;
		if (!matches(m, model[i]))
			continue;
		bool joins = s->v != NULL && s->n > 0 && s->v[s->n - 1].end == address(i) &&
			     s->v[s->n - 1].categories == label;
		if (s->pages == s->max_pages || (s->v != NULL && !joins && s->n == s->cap))
			return address(i);
		s->pages++;
		cleared[i] = true;
		if (s->v == NULL)
			continue;
		if (joins)
			s->v[s->n - 1].end = address(i + 1);
		else
			s->v[s->n++] =
				(struct cardmark_region){ address(i), address(i + 1), label };
	}
	return address(PAGES);
}

static void random_model(uint64_t *seed)
{
	uint64_t c = 0, run = 1 + random_below(seed, 40);

	for (size_t i = 0; i < PAGES; i++) {
		if (random_below(seed, run) == 0)
			c = random_next(seed) & CM_COMPOSED_CATEGORIES;
		model[i] = c;
	}
	set_written();
}

static struct cm_masks random_masks(uint64_t *seed, bool clears)
{
	struct cm_masks m;

	m.required = random_next(seed) & random_next(seed) & CM_COMPOSED_CATEGORIES;
	if (clears)
		m.required |= CARDMARK_PAGE_WRITTEN;
	m.any_of = random_next(seed) & random_next(seed) & CM_COMPOSED_CATEGORIES;
	m.excluded = random_next(seed) & random_next(seed) & CM_COMPOSED_CATEGORIES & ~m.required;
	m.returned = random_next(seed) & CM_COMPOSED_CATEGORIES;
	return m;
}

static void one_random_query(uint64_t *seed)
{
	static struct cardmark_region got_v[PAGES], want_v[PAGES];
	static bool cleared[PAGES];
	enum cardmark_scan_op op = (enum cardmark_scan_op)(1 + random_below(seed, 3));
	struct cm_masks m = random_masks(seed, op != CARDMARK_SCAN_GET);
	struct cm_sink got = { .v = op == CARDMARK_SCAN_CLEAR ? NULL : got_v };
	size_t from = random_below(seed, PAGES);
	struct cm_range piece = { .start = address(from), .end = address(PAGES) };
	uintptr_t resume = 0;

	got.cap = 1 + random_below(seed, random_below(seed, 2) ? 8 : PAGES);
	got.max_pages = random_below(seed, 2) ? SIZE_MAX : 1 + random_below(seed, PAGES);
	random_model(seed);
	struct cm_sink want = got;
	if (want.v != NULL)
		want.v = want_v;
	memset(cleared, 0, sizeof cleared);
	uintptr_t stop = expect(&m, &want, from, cleared);

	cm_composed_scan(&backend, &piece, &m, op, &got, &resume, &written, rearm);

	CHECK_EQ(resume, stop);
	CHECK_EQ(got.n, want.n);
	CHECK_EQ(got.pages, want.pages);
	CHECK(!got.guessed);
	if (got.n != 0)
		CHECK(memcmp(got_v, want_v, got.n * sizeof *got_v) == 0);
	for (size_t i = 0; i < PAGES; i++) {
		bool stays = (model[i] & CARDMARK_PAGE_WRITTEN) != 0 &&
			     !(op != CARDMARK_SCAN_GET && cleared[i]);
		CHECK_EQ(cm_cards_test(&written, address(i)), stays);
	}
}

static void agrees_with_a_walk_page_by_page(void)
{
	uint64_t seed = random_seed(unit_seed);

	for (int i = 0; i < 3000; i++)
		one_random_query(&seed);
}

static void without_a_set_everything_is_written(void)
{
	struct cardmark_region v[1];
	struct cm_sink s = { .v = v, .cap = 1, .max_pages = SIZE_MAX };
	struct cm_masks m = { .required = CARDMARK_PAGE_WRITTEN,
			      .returned = CARDMARK_PAGE_WRITTEN };
	struct cm_range piece = { .start = address(0), .end = address(PAGES) };
	uintptr_t resume;

	open_error = -EMFILE; /* and pagemap is not needed for that */
	cm_composed_scan(&backend, &piece, &m, CARDMARK_SCAN_GET, &s, &resume, NULL, NULL);
	CHECK_EQ(s.pages, PAGES);
	CHECK_EQ(s.n, 1);
	CHECK_EQ(v[0].categories, CARDMARK_PAGE_WRITTEN);
	CHECK_EQ(resume, piece.end);
	CHECK(!s.guessed);
}

/* R1 and R3: what cannot be read is reported, and is not armed. */
static void what_cannot_be_read_is_reported(void)
{
	static struct cardmark_region v[PAGES];
	struct cm_masks m = { .required = CARDMARK_PAGE_WRITTEN,
			      .any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED,
			      .returned = CARDMARK_PAGE_WRITTEN };
	struct cm_range piece = { .start = address(0), .end = address(PAGES) };

	for (size_t bad = 0; bad <= 1000; bad += 500) {
		struct cm_sink s = { .v = v, .cap = PAGES, .max_pages = SIZE_MAX };
		uintptr_t resume;

		for (size_t i = 0; i < PAGES; i++)
			model[i] = i % 2 ? CARDMARK_PAGE_WRITTEN | CARDMARK_PAGE_PRESENT : 0;
		set_written();
		unreadable = bad;
		open_error = bad == 0 ? -EMFILE : 0;
		cm_composed_scan(&backend, &piece, &m, CARDMARK_SCAN_GET_AND_CLEAR, &s, &resume,
				 &written, rearm);
		CHECK(s.guessed);
		CHECK_EQ(resume, piece.end);
		CHECK_EQ(v[s.n - 1].end, piece.end);
		CHECK(v[s.n - 1].categories & CARDMARK_PAGE_WRITTEN);
		for (size_t i = 1, r = 0; i < PAGES; i += 2) {
			while (v[r].end <= address(i))
				r++;
			CHECK(v[r].start <= address(i)); /* reported */
			if (i >= bad)
				CHECK(cm_cards_test(&written, address(i)));
		}
	}
	CHECK_EQ(counters.guessed, 3);
}

static void a_guess_does_not_pass_max_pages(void)
{
	struct cardmark_region v[4];
	struct cm_sink s = { .v = v, .cap = 4, .max_pages = 10 };
	struct cm_masks m = { .required = CARDMARK_PAGE_PRESENT };
	struct cm_range piece = { .start = address(0), .end = address(PAGES) };
	uintptr_t resume;

	open_error = -EMFILE;
	cm_composed_scan(&backend, &piece, &m, CARDMARK_SCAN_GET, &s, &resume, &written, NULL);
	CHECK_EQ(s.pages, 10);
	CHECK_EQ(resume, address(10));
	CHECK(cm_sink_full(&s));
}

/* A question for clean pages gets no page whose state is unknown. */
static void a_guess_never_says_clean(void)
{
	struct cardmark_region v[1];
	struct cm_sink s = { .v = v, .cap = 1, .max_pages = SIZE_MAX };
	struct cm_masks m = { .excluded = CARDMARK_PAGE_WRITTEN };

	cm_sink_guess(&s, address(0), address(10), &m);
	CHECK(s.guessed);
	CHECK_EQ(s.n, 0);
	CHECK_EQ(s.pages, 0);
}

int main(int argc, char **argv)
{
#define CASE(run) UNIT_CASE_WITH(run, set_up, tear_down)
	static const struct unit_case cases[] = {
		CASE(agrees_with_a_walk_page_by_page), CASE(without_a_set_everything_is_written),
		CASE(what_cannot_be_read_is_reported), CASE(a_guess_does_not_pass_max_pages),
		CASE(a_guess_never_says_clean),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
