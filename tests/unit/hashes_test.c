/* SPDX-License-Identifier: MIT
 *
 * Description: hashes of cards: every change of a bit, a word or an order changes the hash,
 * the bits are mixed, and the sparse array keeps its values and touches nothing else. */
#include "lib/hashes.h"

#include "cardmark/cardmark.h"
#include "lib/cards.h"
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES 4096
#define WORDS (BYTES / 8)

static uint64_t card[WORDS];

static void fill_randomly(uint64_t *seed)
{
	for (size_t i = 0; i < WORDS; i++)
		card[i] = random_next(seed);
}

static int compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

static size_t duplicates(uint64_t *v, size_t n)
{
	size_t same = 0;

	qsort(v, n, sizeof *v, compare);
	for (size_t i = 1; i < n; i++)
		same += v[i] == v[i - 1];
	return same;
}

/* Every bit of a card: all hashes differ, from the first one and from each other. */
static void every_bit_counts(void)
{
	static uint64_t seen[BYTES * 8 + 1];
	uint64_t seed = random_seed(NULL), flipped = 0;
	size_t n = 0;

	for (unsigned kind = 0; kind < 2; kind++) {
		memset(card, 0, sizeof card);
		if (kind == 1)
			fill_randomly(&seed);
		n = 0;
		flipped = 0;
		seen[n++] = cm_hash(card, BYTES);
		for (size_t bit = 0; bit < BYTES * 8; bit++) {
			card[bit / 64] ^= UINT64_C(1) << bit % 64;
			seen[n] = cm_hash(card, BYTES);
			flipped += (uint64_t)__builtin_popcountll(seen[n++] ^ seen[0]);
			card[bit / 64] ^= UINT64_C(1) << bit % 64;
		}
		CHECK_EQ(duplicates(seen, n), 0);
		/* Half of the bits change, on average. */
		CHECK(flipped > UINT64_C(30) * BYTES * 8);
		CHECK(flipped < UINT64_C(34) * BYTES * 8);
	}
}

/* The usual case for collectors: one word is stored, with any value. */
static void no_word_is_missed(void)
{
	uint64_t seed = random_seed(NULL);
	unsigned long rounds = random_rounds(200000, 20000);

	fill_randomly(&seed);
	for (unsigned long i = 0; i < rounds; i++) {
		uint64_t before = cm_hash(card, BYTES), old;
		size_t at = random_below(&seed, WORDS);

		old = card[at];
		card[at] = random_next(&seed) >> random_below(&seed, 64);
		CHECK_EQ(cm_hash(card, BYTES) == before, card[at] == old);
	}
}

static void the_order_counts(void)
{
	uint64_t seed = random_seed(NULL);

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t before, word;
		size_t a = random_below(&seed, WORDS), b = random_below(&seed, WORDS);

		if (i % 512 == 0)
			for (size_t k = 0; k < WORDS; k++) /* as pages are: small numbers */
				card[k] = random_below(&seed, 3);
		before = cm_hash(card, BYTES);
		word = card[a], card[a] = card[b], card[b] = word;
		CHECK_EQ(cm_hash(card, BYTES) == before, card[a] == card[b]);
	}
}

/* Several small changes at once, as in counters and pointers side by side. */
static void small_changes_do_not_cancel(void)
{
	static uint64_t seen[200000];
	const size_t n = random_rounds(sizeof seen / sizeof *seen, 20000);
	uint64_t seed = random_seed(NULL);

	memset(card, 0, sizeof card);
	for (size_t i = 0; i < n; i++) {
		/* Never the same content twice. */
		card[0] = i;
		for (unsigned k = 0; k < 4; k++)
			card[1 + random_below(&seed, WORDS - 1)] += (uint64_t)(1 + k) << 12;
		seen[i] = cm_hash(card, BYTES);
	}
	CHECK_EQ(duplicates(seen, n), 0);
}

static void any_number_of_lines(void)
{
	static unsigned char elsewhere[BYTES + 1];
	uint64_t seen[64];

	memset(card, 0, sizeof card);
	for (size_t lines = 1; lines <= 64; lines++)
		seen[lines - 1] = cm_hash(card, lines * 64);
	CHECK_EQ(duplicates(seen, 64), 0);
	/* Anywhere in memory. */
	card[1] = 7;
	memcpy(elsewhere + 1, card, BYTES);
	CHECK_EQ(cm_hash(elsewhere + 1, BYTES), cm_hash(card, BYTES));
}

static size_t touched(const void *p, size_t bytes)
{
	static unsigned char in_core[1 << 12];
	size_t page = cardmark_card_size(), n = 0;
	uintptr_t at = (uintptr_t)p & ~(page - 1);

	CHECK(bytes / page + 1 <= sizeof in_core);
	CHECK_EQ(mincore((void *)at, bytes, in_core), 0);
	for (size_t i = 0; i < bytes / page; i++)
		n += in_core[i] & 1;
	return n;
}

static void the_array_keeps_what_it_is_given(void)
{
	const uintptr_t page = cardmark_card_size();
	const uintptr_t low = page, high = CM_ADDRESS_LIMIT - (UINT64_C(70000) * page);
	uint64_t seed = random_seed(NULL), again = seed;
	struct cm_hashes h;

	CHECK_EQ(cm_hashes_init(&h), 0);
	CHECK_EQ(cm_hashes_reserve(&h, low, low + 70000 * page), 0);
	CHECK_EQ(cm_hashes_reserve(&h, high, CM_ADDRESS_LIMIT), 0);
	for (size_t i = 0; i < 70000; i++) {
		CHECK_EQ(*cm_hashes_at(&h, low + i * page), 0);
		*cm_hashes_at(&h, low + i * page) = random_next(&seed);
		*cm_hashes_at(&h, high + i * page) = random_next(&seed);
	}
	/* More room leaves it alone. */
	CHECK_EQ(cm_hashes_reserve(&h, low, low + 4000000 * page), 0);
	for (size_t i = 0; i < 70000; i++) {
		CHECK_EQ(*cm_hashes_at(&h, low + i * page), random_next(&again));
		CHECK_EQ(*cm_hashes_at(&h, high + i * page), random_next(&again));
	}
	cm_hashes_free(&h);
	cm_hashes_free(&h);
}

static void room_costs_no_memory_until_it_is_used(void)
{
	const uintptr_t page = cardmark_card_size(), start = (uintptr_t)1 << 40;
	struct cm_hashes h;

	CHECK_EQ(cm_hashes_init(&h), 0);
	CHECK_EQ(cm_hashes_reserve(&h, start, start + 500000 * page), 0);
	CHECK(cm_hashes_bytes(&h) >= 500000 * sizeof(uint64_t));
	*cm_hashes_at(&h, start + 1000 * page) = 1;
	CHECK(touched(cm_hashes_at(&h, start), 65536 * sizeof(uint64_t)) <= 2);
	cm_hashes_free(&h);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(every_bit_counts),
		UNIT_CASE(no_word_is_missed),
		UNIT_CASE(the_order_counts),
		UNIT_CASE(small_changes_do_not_cancel),
		UNIT_CASE(any_number_of_lines),
		UNIT_CASE(the_array_keeps_what_it_is_given),
		UNIT_CASE(room_costs_no_memory_until_it_is_used),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
