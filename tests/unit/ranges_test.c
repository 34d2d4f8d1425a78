/* SPDX-License-Identifier: MIT
 *
 * Description: the range map (lib/ranges.c) does what an array with one entry
 * a page does: overlap, middle removal, coalescing of equal neighbours. */
#include "lib/ranges.h"

#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <stdbool.h>
#include <string.h>

#define PAGES 600
#define PAGE ((uintptr_t)4096)
#define BASE ((uintptr_t)0x10000000)

/* 0 untracked, else kind * 8 + prot. */
static int model[PAGES];

static uintptr_t address(size_t page)
{
	return BASE + page * PAGE;
}

static void add(struct cm_ranges *r, size_t from, size_t to, enum cm_kind kind, int prot)
{
	struct cm_range range = {
		.start = address(from), .end = address(to), .kind = kind, .prot = prot
	};

	CHECK_EQ(cm_ranges_reserve(r, 1), 0);
	cm_ranges_add(r, range);
	for (size_t i = from; i < to; i++)
		model[i] = (int)kind * 8 + prot;
}

static void drop(struct cm_ranges *r, size_t from, size_t to)
{
	CHECK_EQ(cm_ranges_reserve(r, 1), 0);
	cm_ranges_remove(r, address(from), address(to));
	for (size_t i = from; i < to; i++)
		model[i] = 0;
}

/* The expected ranges: as few as can describe the model. */
static void compare(const struct cm_ranges *r)
{
	size_t wanted = 0;
	uint64_t bytes = 0;

	for (size_t i = 0; i < PAGES; i++) {
		size_t at = cm_ranges_find(r, address(i));
		bool inside = at < r->n && r->v[at].start <= address(i);

		CHECK_EQ(inside, model[i] != 0);
		if (inside)
			CHECK_EQ((int)r->v[at].kind * 8 + r->v[at].prot, model[i]);
		if (model[i] != 0 && (i == 0 || model[i - 1] != model[i]))
			wanted++;
		if (model[i] != 0)
			bytes += PAGE;
	}
	CHECK_EQ(r->n, wanted);
	CHECK_EQ(cm_ranges_bytes(r), bytes);
	for (size_t i = 0; i < r->n; i++) {
		CHECK(r->v[i].start < r->v[i].end);
		CHECK(i == 0 || r->v[i - 1].end <= r->v[i].start);
	}
}

static void compare_piece(const struct cm_ranges *r, size_t from, size_t to)
{
	size_t tracked = 0, clipped = 0;

	for (size_t i = from; i < to; i++)
		tracked += model[i] != 0;
	CHECK_EQ(cm_ranges_cover(r, address(from), address(to)), tracked == to - from);
	CHECK_EQ(cm_ranges_touch(r, address(from), address(to)), tracked != 0);
	for (size_t i = cm_ranges_find(r, address(from)); i < r->n; i++) {
		struct cm_range piece = cm_ranges_clip(r, i, address(from), address(to));
		if (piece.start >= piece.end)
			break;
		CHECK(piece.start >= address(from) && piece.end <= address(to));
		clipped += (piece.end - piece.start) / PAGE;
	}
	CHECK_EQ(clipped, tracked);
}

static void agrees_with_one_entry_a_page(void)
{
	uint64_t rng = random_seed(unit_seed);
	struct cm_ranges r = { 0 };

	memset(model, 0, sizeof model);
	for (unsigned i = 0; i < 20000; i++) {
		size_t from = random_below(&rng, PAGES - 1);
		size_t most = random_below(&rng, 8) == 0 ? PAGES - from : 12;
		size_t n = 1 + random_below(&rng, most);
		size_t to = from + n < PAGES ? from + n : PAGES;

		if (random_below(&rng, 5) < 2)
			drop(&r, from, to);
		else
			add(&r, from, to,
			    random_below(&rng, 4) == 0 ? CM_KIND_FILE : CM_KIND_PRIVATE,
			    random_below(&rng, 4) == 0 ? 1 : 3);
		compare_piece(&r, from, to);
		compare_piece(&r, from / 2, to);
		if (i % 13 == 0)
			compare(&r);
	}
	compare(&r);
	cm_ranges_free(&r);
	CHECK_EQ(r.n, 0);
}

static void equal_neighbours_become_one_range(void)
{
	struct cm_ranges r = { 0 };

	memset(model, 0, sizeof model);
	for (size_t i = 0; i < PAGES; i += 2) /* the even ones, then the gaps */
		add(&r, i, i + 1, CM_KIND_PRIVATE, 3);
	CHECK_EQ(r.n, PAGES / 2);
	for (size_t i = 1; i < PAGES; i += 2)
		add(&r, i, i + 1, CM_KIND_PRIVATE, 3);
	CHECK_EQ(r.n, 1);
	compare(&r);
	cm_ranges_free(&r);
}

static void unlike_neighbours_stay_apart(void)
{
	struct cm_ranges r = { 0 };

	memset(model, 0, sizeof model);
	add(&r, 0, 10, CM_KIND_PRIVATE, 3);
	add(&r, 10, 20, CM_KIND_FILE, 3);
	add(&r, 20, 30, CM_KIND_FILE, 1);
	CHECK_EQ(r.n, 3);
	CHECK(cm_ranges_cover(&r, address(0), address(30)));
	CHECK(!cm_ranges_cover(&r, address(0), address(31)));
	compare(&r);
	cm_ranges_free(&r);
}

static void a_middle_piece_leaves_both_ends(void)
{
	struct cm_ranges r = { 0 };

	memset(model, 0, sizeof model);
	add(&r, 0, 100, CM_KIND_PRIVATE, 3);
	drop(&r, 40, 60);
	CHECK_EQ(r.n, 2);
	CHECK(!cm_ranges_touch(&r, address(40), address(60)));
	compare(&r);
	add(&r, 45, 50, CM_KIND_PRIVATE, 3);
	CHECK_EQ(r.n, 3);
	add(&r, 30, 70, CM_KIND_FILE, 3); /* swallows one, trims two */
	compare(&r);
	drop(&r, 0, PAGES);
	CHECK_EQ(r.n, 0);
	cm_ranges_free(&r);
}

static void a_hundred_thousand_ranges_fit(void)
{
	struct cm_ranges r = { 0 };
	const size_t n = 100000;

	for (size_t i = 0; i < n; i++) {
		struct cm_range range = { .start = address(2 * i),
					  .end = address(2 * i + 1),
					  .kind = CM_KIND_PRIVATE,
					  .prot = 3 };
		CHECK_EQ(cm_ranges_reserve(&r, 1), 0);
		cm_ranges_add(&r, range);
	}
	CHECK_EQ(r.n, n);
	CHECK_EQ(cm_ranges_bytes(&r), n * PAGE);
	for (size_t i = 0; i < n; i += 997) {
		CHECK_EQ(cm_ranges_find(&r, address(2 * i)), i);
		CHECK_EQ(cm_ranges_find(&r, address(2 * i + 1)), i + 1);
	}
	cm_ranges_remove(&r, address(0), address(2 * n));
	CHECK_EQ(r.n, 0);
	cm_ranges_free(&r);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(agrees_with_one_entry_a_page),
		UNIT_CASE(equal_neighbours_become_one_range),
		UNIT_CASE(unlike_neighbours_stay_apart),
		UNIT_CASE(a_middle_piece_leaves_both_ends),
		UNIT_CASE(a_hundred_thousand_ranges_fit),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
