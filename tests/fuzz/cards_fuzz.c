/* SPDX-License-Identifier: MIT
 *
 * Card sets (lib/cards.c) against a flat array of cards that spans three leaves. */
#include "lib/cards.h"
#include "lib/os/os.h"

#include "cardmark/cardmark.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define LEAF ((size_t)1 << 18) /* cards, as in lib/cards.c */
#define CARDS (3 * LEAF)
#define CARD ((uintptr_t)cardmark_card_size())
#define BASE ((uintptr_t)(LEAF * 5) * CARD)
#define STEPS 60
#define WORDS 8

enum rule { NONE, CLEAR_ONE_LESS, OR_ONE_LEAF, NEXT_BY_WORDS, WORDS_SHIFTED };

static const char *const rules[] = {
	"clear leaves the last card",
	"or stops at the end of a leaf",
	"a run ends with its word",
	"words go in one too high",
	NULL,
};

static struct cm_cards set[2];
static unsigned char model[2][CARDS]; /* 1: set */
static bool leaf_there[2][3];
static unsigned broken;

static uintptr_t address(size_t card)
{
	return BASE + card * CARD;
}

/* The first card at or after from that is as said, or CARDS. */
static size_t model_next(unsigned s, size_t from, int state)
{
	const unsigned char *found = memchr(&model[s][from], state, CARDS - from);

	return found == NULL ? CARDS : (size_t)(found - model[s]);
}

/* Where edges meet: at leaves, at words of the summary, at words. */
static void place(struct fuzz_input *in, size_t *from, size_t *to)
{
	static const size_t unit[] = { 1, 64, 4096, LEAF / 2 };
	unsigned how = fuzz_byte(in);
	size_t at = fuzz_below(in, 7) * unit[3] + fuzz_below(in, 3) * unit[how % 4];
	size_t len = fuzz_byte(in);

	at += how / 4 % 8;
	at = at < how / 32 ? 0 : at - how / 32;
	*from = at < CARDS ? at : CARDS - 1;
	*to = *from + (len < 128 ? 1 + len : len < 240 ? (len - 127) * 64 : (len - 239) * LEAF / 8);
	if (*to > CARDS)
		*to = CARDS;
}

static void do_clear(unsigned s, size_t from, size_t to)
{
	cm_cards_clear(&set[s], address(from),
		       address(broken == CLEAR_ONE_LESS && to - from > 1 ? to - 1 : to));
}

static bool do_next(unsigned s, uintptr_t from, struct cardmark_run *run)
{
	bool found = cm_cards_next(&set[s], from, run);

	if (found && broken == NEXT_BY_WORDS && run->end > (run->start | (64 * CARD - 1)))
		run->end = (run->start | (64 * CARD - 1)) + 1;
	return found;
}

static void do_or(unsigned to, unsigned from)
{
	cm_cards_or(&set[to], &set[from]);
	if (broken == OR_ONE_LEAF)
		cm_cards_clear(&set[to], address(LEAF), address(CARDS));
}

static const char *reserve(unsigned s, size_t from, size_t to)
{
	FUZZ_WANT(cm_cards_reserve(&set[s], address(from), address(to)) == 0);
	for (size_t i = from / LEAF; i <= (to - 1) / LEAF; i++)
		leaf_there[s][i] = true;
	return NULL;
}

/* Walks set s, run by run, and counts. */
static const char *compare(unsigned s)
{
	size_t at = 0, n = 0;

	for (;;) {
		struct cardmark_run run;
		size_t start = model_next(s, at, 1), end;
		bool found = do_next(s, at == 0 ? 0 : address(at), &run);

		FUZZ_WANT(found == (start < CARDS));
		if (!found)
			break;
		end = model_next(s, start, 0);
		FUZZ_WANT(run.start == address(start));
		FUZZ_WANT(run.end == address(end));
		n += end - start;
		at = end;
		if (at == CARDS) {
			FUZZ_WANT(!do_next(s, address(at), &run));
			break;
		}
	}
	FUZZ_WANT(cm_cards_count(&set[s]) == n);
	return NULL;
}

static const char *look_at(unsigned s, size_t card)
{
	struct cardmark_run run;
	size_t start = model_next(s, card + 1, 1);

	FUZZ_WANT(cm_cards_test(&set[s], address(card)) == (model[s][card] != 0));
	FUZZ_WANT(cm_cards_test(&set[s], address(card) + CARD - 1) == (model[s][card] != 0));
	/* From inside a card it starts with the next. */
	FUZZ_WANT(cm_cards_next(&set[s], address(card) + 1, &run) == (start < CARDS));
	FUZZ_WANT(start == CARDS || run.start == address(start));
	return NULL;
}

static const char *or_words(unsigned s, size_t from, struct fuzz_input *in)
{
	uint64_t word[WORDS] = { 0 };
	size_t first = from / 64 * 64;

	if (first + (WORDS + 1) * 64 > CARDS)
		first = CARDS - (WORDS + 1) * 64;
	FUZZ_TRY(reserve(s, first, first + (WORDS + 1) * 64));
	for (unsigned i = 0; i < 3; i++) {
		size_t a = fuzz_below(in, WORDS * 64), b = a + 1 + fuzz_byte(in);
		if (b > WORDS * 64)
			b = WORDS * 64;
		cm_words_set(word, a, b);
		memset(&model[s][first + a], 1, b - a);
	}
	cm_cards_or_words(&set[s], address(first + (broken == WORDS_SHIFTED ? 64 : 0)), word,
			  WORDS);
	return NULL;
}

/* A leaf that dst has no room for is passed over. */
static void or_model(unsigned to, unsigned from)
{
	for (size_t i = 0; i < CARDS; i++)
		if (model[from][i] && leaf_there[to][i / LEAF])
			model[to][i] = 1;
}

static const char *step(struct fuzz_input *in)
{
	unsigned op = fuzz_byte(in), s = op / 8 % 2;
	size_t from, to;

	place(in, &from, &to);
	switch (op % 8) {
	case 0:
	case 1:
	case 2:
		FUZZ_TRY(reserve(s, from, to));
		cm_cards_set(&set[s], address(from), address(to));
		memset(&model[s][from], 1, to - from);
		break;
	case 3:
	case 4:
		do_clear(s, from, to);
		memset(&model[s][from], 0, to - from);
		break;
	case 5:
		do_or(s, !s);
		or_model(s, !s);
		break;
	case 6:
		FUZZ_TRY(or_words(s, from, in));
		break;
	default:
		if (op / 16 % 4 != 0)
			break;
		cm_cards_clear_all(&set[s]);
		memset(model[s], 0, CARDS);
	}
	FUZZ_TRY(look_at(s, from));
	FUZZ_TRY(look_at(s, to - 1));
	return compare(s);
}

static const char *run(const uint8_t *data, size_t size, unsigned rule)
{
	struct fuzz_input in = { data, data + size };
	const char *why = NULL;

	broken = rule;
	memset(model, 0, sizeof model);
	memset(leaf_there, 0, sizeof leaf_there);
	FUZZ_WANT(cm_cards_init(&set[0]) == 0);
	if (cm_cards_init(&set[1]) < 0)
		why = "no memory for a set";
	for (unsigned i = 0; i < STEPS && in.at < in.end && why == NULL; i++)
		why = step(&in);
	cm_cards_free(&set[0]);
	cm_cards_free(&set[1]);
	return why;
}

const struct fuzz_target fuzz_target = { "cards", rules, run };
