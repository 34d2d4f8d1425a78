/* SPDX-License-Identifier: MIT
 *
 * Description: the card set (lib/cards.c) does what a plain array of booleans
 * does, under random operations over scattered address windows. */
#include "lib/cards.h"

#include "cardmark/cardmark.h"
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define WINDOWS 4
#define WINDOW_CARDS 3000

/* Windows whose middle lies on the edge of a leaf (1 GiB of 4 KiB cards), at
 * both ends of the address space and two that touch. */
struct model {
	uintptr_t base[WINDOWS];
	bool dirty[WINDOWS][WINDOW_CARDS];
	uintptr_t card;
};

static struct model model_new(struct cm_cards *c)
{
	struct model m;
	uintptr_t leaf;

	memset(&m, 0, sizeof m);
	m.card = (uintptr_t)sysconf(_SC_PAGESIZE);
	leaf = m.card << 18;
	m.base[0] = m.card;
	m.base[1] = 5 * leaf - WINDOW_CARDS / 2 * m.card;
	m.base[2] = m.base[1] + WINDOW_CARDS * m.card;
	m.base[3] = CM_ADDRESS_LIMIT - (WINDOW_CARDS + 1) * m.card;
	CHECK_EQ(cm_cards_init(c), 0);
	for (size_t w = 0; w < WINDOWS; w++)
		CHECK_EQ(cm_cards_reserve(c, m.base[w], m.base[w] + WINDOW_CARDS * m.card), 0);
	return m;
}

static void model_fill(struct model *m, uintptr_t start, uintptr_t end, bool dirty)
{
	for (size_t w = 0; w < WINDOWS; w++)
		for (size_t i = 0; i < WINDOW_CARDS; i++) {
			uintptr_t addr = m->base[w] + i * m->card;
			if (addr >= start && addr < end)
				m->dirty[w][i] = dirty;
		}
}

/* By single tests, by count and by runs: three views that must agree. */
static void compare(const struct cm_cards *c, const struct model *m)
{
	struct cardmark_run run = { 0, 0 };
	size_t count = 0, by_runs = 0;
	uintptr_t last = 0;

	for (size_t w = 0; w < WINDOWS; w++)
		for (size_t i = 0; i < WINDOW_CARDS; i++) {
			uintptr_t addr = m->base[w] + i * m->card;
			CHECK_EQ(cm_cards_test(c, addr), m->dirty[w][i]);
			CHECK_EQ(cm_cards_test(c, addr + m->card - 1), m->dirty[w][i]);
			count += m->dirty[w][i];
		}
	CHECK_EQ(cm_cards_count(c), count);
	while (cm_cards_next(c, run.end, &run)) {
		CHECK(run.start < run.end);
		CHECK(last == 0 || run.start > last); /* maximal runs */
		last = run.end;
		CHECK_EQ(run.start % m->card, 0);
		for (uintptr_t a = run.start; a < run.end; a += m->card)
			CHECK(cm_cards_test(c, a));
		by_runs += (run.end - run.start) / m->card;
	}
	CHECK_EQ(by_runs, count);
}

static void random_piece(const struct model *m, uint64_t *rng, uintptr_t *start, uintptr_t *end)
{
	size_t w = random_below(rng, WINDOWS);
	size_t a = random_below(rng, WINDOW_CARDS);
	size_t n = random_below(rng, 4) == 0 ? 1 + random_below(rng, WINDOW_CARDS - a)
					     : 1 + random_below(rng, 3);

	if (n > WINDOW_CARDS - a)
		n = WINDOW_CARDS - a;
	*start = m->base[w] + a * m->card;
	*end = *start + n * m->card;
}

static void agrees_with_a_plain_array(void)
{
	uint64_t rng = random_seed(unit_seed);
	struct cm_cards c;
	struct model m = model_new(&c);

	for (unsigned i = 0; i < 20000; i++) {
		uintptr_t start, end;

		random_piece(&m, &rng, &start, &end);
		switch (random_below(&rng, 16)) {
		case 0:
			cm_cards_clear_all(&c);
			model_fill(&m, 0, UINTPTR_MAX, false);
			break;
		case 1: /* clearing may reach over what was never reserved */
			cm_cards_clear(&c, m.base[0], end);
			model_fill(&m, m.base[0], end, false);
			break;
		case 2:
		case 3:
		case 4:
			cm_cards_clear(&c, start, end);
			model_fill(&m, start, end, false);
			break;
		default:
			cm_cards_set(&c, start, end);
			model_fill(&m, start, end, true);
		}
		if (i % 97 == 0)
			compare(&c, &m);
	}
	compare(&c, &m);
	cm_cards_free(&c);
}

static void or_adds_and_takes_nothing_away(void)
{
	uint64_t rng = random_seed(unit_seed);
	struct cm_cards a, b;
	struct model ma = model_new(&a), mb = model_new(&b);

	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < 40; i++) {
			uintptr_t start, end;
			random_piece(&ma, &rng, &start, &end);
			cm_cards_set(&a, start, end);
			model_fill(&ma, start, end, true);
			random_piece(&ma, &rng, &start, &end);
			cm_cards_set(&b, start, end);
			model_fill(&mb, start, end, true);
		}
		cm_cards_or(&a, &b);
		for (size_t w = 0; w < WINDOWS; w++)
			for (size_t i = 0; i < WINDOW_CARDS; i++)
				ma.dirty[w][i] |= mb.dirty[w][i];
		compare(&a, &ma);
		compare(&b, &mb);
		cm_cards_clear_all(&b);
		model_fill(&mb, 0, UINTPTR_MAX, false);
	}
	cm_cards_free(&a);
	cm_cards_free(&b);
}

/* Two sets as counters, against an array of numbers. */
static void counting_agrees_with_an_array(void)
{
	enum { N = 5000 };
	static unsigned char count[N];
	uintptr_t card = cardmark_card_size(), base = (uintptr_t)1 << 30;
	uint64_t rng = random_seed(unit_seed);
	struct cm_cards low, high, dirty;

	CHECK_EQ(cm_cards_init(&low), 0);
	CHECK_EQ(cm_cards_init(&high), 0);
	CHECK_EQ(cm_cards_init(&dirty), 0);
	CHECK_EQ(cm_cards_reserve(&dirty, base, base + N * card), 0);
	/* Like after a track that failed half-way: only one of them has room. */
	CHECK_EQ(cm_cards_reserve(&low, base << 1, (base << 1) + card), 0);
	CHECK_EQ(cm_cards_reserve(&low, base, base + N * card), 0);
	CHECK_EQ(cm_cards_reserve(&high, base, base + N * card), 0);
	memset(count, 0, sizeof count);
	for (int round = 0; round < 200; round++) {
		size_t first = random_below(&rng, N), end = first + random_below(&rng, N - first);

		cm_cards_clear_all(&dirty);
		for (size_t i = 0; i < N; i++) {
			bool is = (i >= first && i <= end) || random_below(&rng, 16) == 0;

			if (is)
				cm_cards_set(&dirty, base + i * card, base + (i + 1) * card);
			count[i] = is ? (unsigned char)(count[i] < 3 ? count[i] + 1 : 3) : 0;
		}
		cm_cards_count_up(&low, &high, &dirty);
		for (size_t i = 0; i < N; i++)
			CHECK_EQ(cm_cards_test(&low, base + i * card) +
					 2 * cm_cards_test(&high, base + i * card),
				 count[i]);
	}
	/* The summaries are right, too: clearing by them leaves nothing. */
	cm_cards_clear_all(&low);
	cm_cards_clear_all(&high);
	CHECK_EQ(cm_cards_count(&low) + cm_cards_count(&high), 0);
	cm_cards_free(&low);
	cm_cards_free(&high);
	cm_cards_free(&dirty);
}

static void next_rounds_up_from_the_middle_of_a_card(void)
{
	struct cm_cards c;
	struct model m = model_new(&c);
	struct cardmark_run run;

	cm_cards_set(&c, m.base[1], m.base[1] + m.card);
	cm_cards_set(&c, m.base[1] + 2 * m.card, m.base[1] + 3 * m.card);
	CHECK(cm_cards_next(&c, m.base[1], &run));
	CHECK_EQ(run.start, m.base[1]);
	CHECK_EQ(run.end, m.base[1] + m.card);
	CHECK(cm_cards_next(&c, m.base[1] + 1, &run));
	CHECK_EQ(run.start, m.base[1] + 2 * m.card);
	CHECK(!cm_cards_next(&c, m.base[1] + 3 * m.card, &run));
	CHECK(!cm_cards_next(&c, UINTPTR_MAX, &run));
	cm_cards_free(&c);
}

static void a_run_goes_over_the_edge_of_a_leaf(void)
{
	struct cm_cards c;
	struct model m = model_new(&c);
	struct cardmark_run run;
	uintptr_t start = m.base[1], end = m.base[2] + WINDOW_CARDS * m.card;

	cm_cards_set(&c, start, end);
	CHECK_EQ(cm_cards_count(&c), 2 * WINDOW_CARDS);
	CHECK(cm_cards_next(&c, 0, &run));
	CHECK_EQ(run.start, start);
	CHECK_EQ(run.end, end);
	cm_cards_clear(&c, start, end);
	CHECK_EQ(cm_cards_count(&c), 0);
	CHECK(!cm_cards_next(&c, 0, &run));
	cm_cards_free(&c);
}

static void reserving_again_keeps_what_is_set(void)
{
	struct cm_cards c;
	struct model m = model_new(&c);
	size_t bytes = cm_cards_bytes(&c);

	cm_cards_set(&c, m.base[2], m.base[2] + m.card);
	CHECK_EQ(cm_cards_reserve(&c, m.base[1], m.base[2] + m.card), 0);
	CHECK(cm_cards_test(&c, m.base[2]));
	CHECK_EQ(cm_cards_bytes(&c), bytes);
	CHECK_EQ(cm_cards_reserve(&c, UINT64_C(1) << 40, UINT64_C(3) << 40), 0);
	CHECK(cm_cards_bytes(&c) > bytes);
	CHECK_EQ(cm_cards_count(&c), 1);
	cm_cards_free(&c);
	CHECK(c.root == NULL);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(agrees_with_a_plain_array),
		UNIT_CASE(or_adds_and_takes_nothing_away),
		UNIT_CASE(counting_agrees_with_an_array),
		UNIT_CASE(next_rounds_up_from_the_middle_of_a_card),
		UNIT_CASE(a_run_goes_over_the_edge_of_a_leaf),
		UNIT_CASE(reserving_again_keeps_what_is_set),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
