/* SPDX-License-Identifier: MIT */
#include "lib/cards.h"

#include "cardmark/cardmark.h"
#include "lib/os/os.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LEAF_BITS 18 /* 2^18 cards: 32 KiB of bits, 1 GiB of 4 KiB pages */
#define LEAF_CARDS ((size_t)1 << LEAF_BITS)
#define LEAF_WORDS (LEAF_CARDS / 64)
#define SUMMARY_WORDS (LEAF_WORDS / 64)
#define SLAB_LEAVES 32

struct cm_leaf {
	uint64_t word[LEAF_WORDS];
	uint64_t summary[SUMMARY_WORDS]; /* bit w: word[w] is not 0 */
};

/* Leaves come in slabs, so that ten thousand scattered ranges do not make ten
 * thousand mappings. */
struct cm_slab {
	struct cm_slab *next;
	size_t used;
	struct cm_leaf leaf[SLAB_LEAVES];
};

static size_t root_entries(const struct cm_cards *c)
{
	return (size_t)1 << (CM_ADDRESS_BITS - LEAF_BITS - c->card_shift);
}

static size_t root_bytes(const struct cm_cards *c)
{
	return root_entries(c) * sizeof(struct cm_leaf *) + root_entries(c) / 8;
}

/* The first leaf at or after entry i of the root, or root_entries(). While a thread reads or clears
 * a table, a track may make room in it. So the end is read once, and an entry that is marked as
 * used has its leaf. Pairs with the releases in cm_cards_reserve(). */
static size_t next_leaf(const struct cm_cards *c, size_t i)
{
	size_t hi = __atomic_load_n(&c->hi, __ATOMIC_ACQUIRE);
	size_t lo = __atomic_load_n(&c->lo, __ATOMIC_ACQUIRE);

	if (i < lo)
		i = lo;
	while (i < hi) {
		uint64_t w = __atomic_load_n(&c->used[i / 64], __ATOMIC_ACQUIRE) >> i % 64;
		if (w != 0)
			return i + (size_t)__builtin_ctzll(w);
		i = (i / 64 + 1) * 64;
	}
	return root_entries(c);
}

int cm_cards_init(struct cm_cards *c)
{
	long page = sysconf(_SC_PAGESIZE);
	void *p;

	memset(c, 0, sizeof *c);
	c->card_shift = (unsigned)__builtin_ctzl((unsigned long)page);
	c->slab_bytes = (sizeof(struct cm_slab) + (size_t)page - 1) & ~((size_t)page - 1);
	if (cm_os->map(root_bytes(c), &p) < 0)
		return -ENOMEM;
	c->root = p;
	c->used = (uint64_t *)(c->root + root_entries(c));
	c->lo = root_entries(c);
	return 0;
}

void cm_cards_free(struct cm_cards *c)
{
	while (c->slabs != NULL) {
		struct cm_slab *next = c->slabs->next;
		(void)cm_os->unmap(c->slabs, c->slab_bytes);
		c->slabs = next;
	}
	if (c->root != NULL)
		(void)cm_os->unmap(c->root, root_bytes(c));
	memset(c, 0, sizeof *c);
}

static size_t leaf_index(const struct cm_cards *c, uintptr_t addr)
{
	return addr >> (LEAF_BITS + c->card_shift);
}

int cm_cards_reserve(struct cm_cards *c, uintptr_t start, uintptr_t end)
{
	size_t first = leaf_index(c, start), last = leaf_index(c, end - 1);

	for (size_t i = first; i <= last; i++) {
		if (c->root[i] != NULL)
			continue;
		if (c->slabs == NULL || c->slabs->used == SLAB_LEAVES) {
			void *p;
			if (cm_os->map(c->slab_bytes, &p) < 0)
				return -ENOMEM; /* leaves reserved so far do no harm */
			struct cm_slab *s = p;
			s->next = c->slabs;
			c->slabs = s;
		}
		/* Release: a thread that reads without a lock finds the leaf zero. Pairs with the
		 * acquire in leaf_at(). */
		__atomic_store_n(&c->root[i], &c->slabs->leaf[c->slabs->used++], __ATOMIC_RELEASE);
		/* One step before each of these, a reader skips the leaf, which has no card yet;
		 * one step after, it finds the leaf. */
		__atomic_store_n(&c->used[i / 64], c->used[i / 64] | UINT64_C(1) << i % 64,
				 __ATOMIC_RELEASE);
		if (i < c->lo)
			__atomic_store_n(&c->lo, i, __ATOMIC_RELEASE);
		if (i >= c->hi)
			__atomic_store_n(&c->hi, i + 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* A thread that reads or clears a table takes no lock. At the same time an untrack may clear bits
 * under the tracker's lock. So each word is read once and written once. If two threads clear in one
 * word, one of the changes may be undone, which reports too much and never too little. */
static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* Bits [from, to) of a word; 0 <= from < to <= 64. */
static uint64_t bits(size_t from, size_t to)
{
	return ~UINT64_C(0) << from & ~UINT64_C(0) >> (64 - to);
}

void cm_words_set(uint64_t *word, size_t first, size_t last)
{
	size_t a = first / 64, b = (last - 1) / 64;

	if (a == b) {
		word[a] |= bits(first % 64, (last - 1) % 64 + 1);
		return;
	}
	word[a] |= bits(first % 64, 64);
	for (size_t i = a + 1; i < b; i++)
		word[i] = ~UINT64_C(0);
	word[b] |= bits(0, (last - 1) % 64 + 1);
}

/* Scattered single cards are the common case. */
static void leaf_set_one(struct cm_leaf *l, size_t i)
{
	l->word[i / 64] |= UINT64_C(1) << i % 64;
	l->summary[i / 4096] |= UINT64_C(1) << i / 64 % 64;
}

static void leaf_set(struct cm_leaf *l, size_t first, size_t last)
{
	if (last - first == 1) {
		leaf_set_one(l, first);
		return;
	}
	cm_words_set(l->word, first, last);
	cm_words_set(l->summary, first / 64, (last - 1) / 64 + 1);
}

static void leaf_clear(struct cm_leaf *l, size_t first, size_t last)
{
	size_t w0 = first / 64, w1 = (last - 1) / 64;

	for (size_t s = w0 / 64; s <= w1 / 64; s++) {
		size_t from = s == w0 / 64 ? w0 % 64 : 0;
		size_t to = s == w1 / 64 ? w1 % 64 + 1 : 64;
		uint64_t live = load(&l->summary[s]) & bits(from, to);

		for (; live != 0; live &= live - 1) {
			size_t w = s * 64 + (size_t)__builtin_ctzll(live);
			size_t b0 = w == w0 ? first % 64 : 0;
			size_t b1 = w == w1 ? (last - 1) % 64 + 1 : 64;
			uint64_t gone = bits(b0, b1);
			uint64_t left = ~gone == 0 ? 0 : load(&l->word[w]) & ~gone;

			store(&l->word[w], left);
			if (left == 0)
				store(&l->summary[s],
				      load(&l->summary[s]) & ~(UINT64_C(1) << w % 64));
		}
	}
}

void cm_cards_set(struct cm_cards *c, uintptr_t start, uintptr_t end)
{
	size_t card = start >> c->card_shift, stop = end >> c->card_shift;

	while (card < stop) {
		size_t i = card >> LEAF_BITS, first = card & (LEAF_CARDS - 1);
		size_t n = LEAF_CARDS - first < stop - card ? LEAF_CARDS - first : stop - card;

		leaf_set(c->root[i], first, first + n);
		card += n;
	}
}

void cm_cards_set_regions(struct cm_cards *c, const struct page_region *v, size_t n)
{
	struct cm_leaf *leaf = c->root[0];
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		size_t card = v[i].start >> c->card_shift;

		if (v[i].end >> c->card_shift != card + 1) {
			cm_cards_set(c, (uintptr_t)v[i].start, (uintptr_t)v[i].end);
			continue;
		}
		if (card >> LEAF_BITS != at) {
			at = card >> LEAF_BITS;
			leaf = c->root[at];
		}
		leaf_set_one(leaf, card & (LEAF_CARDS - 1));
	}
}

void cm_cards_clear(struct cm_cards *c, uintptr_t start, uintptr_t end)
{
	size_t card = start >> c->card_shift, stop = end >> c->card_shift;

	while (card < stop) {
		size_t i = card >> LEAF_BITS, first = card & (LEAF_CARDS - 1);
		size_t n = LEAF_CARDS - first < stop - card ? LEAF_CARDS - first : stop - card;

		if (i >= c->hi)
			return;
		if (c->root[i] != NULL)
			leaf_clear(c->root[i], first, first + n);
		else
			n = (next_leaf(c, i + 1) << LEAF_BITS) - card;
		card += n;
	}
}

void cm_cards_clear_all(struct cm_cards *c)
{
	for (size_t i = next_leaf(c, 0); i < c->hi; i = next_leaf(c, i + 1))
		leaf_clear(c->root[i], 0, LEAF_CARDS);
}

bool cm_cards_test(const struct cm_cards *c, uintptr_t addr)
{
	size_t i = leaf_index(c, addr), card = addr >> c->card_shift & (LEAF_CARDS - 1);

	if (i >= c->hi || c->root[i] == NULL)
		return false;
	return load(&c->root[i]->word[card / 64]) >> card % 64 & 1;
}

static struct cm_leaf *leaf_at(const struct cm_cards *c, size_t i)
{
	return i < root_entries(c) ? __atomic_load_n(&c->root[i], __ATOMIC_ACQUIRE) : NULL;
}

/* The part of [card, stop) that lies in one word of a leaf. */
struct part {
	uint64_t *word;
	uint64_t mask;
	size_t next;
};

static bool part_at(const struct cm_cards *c, size_t card, size_t stop, struct part *out)
{
	struct cm_leaf *l = leaf_at(c, card >> LEAF_BITS);
	size_t first = card % 64, last = stop - card < 64 - first ? first + (stop - card) : 64;

	if (l == NULL)
		return false;
	out->word = &l->word[(card & (LEAF_CARDS - 1)) / 64];
	out->mask = bits(first, last);
	out->next = card + (last - first);
	return true;
}

void cm_cards_publish(struct cm_cards *c, uintptr_t start, uintptr_t end, bool in)
{
	size_t card = start >> c->card_shift, stop = end >> c->card_shift;
	struct part p;

	for (; card < stop; card = p.next) {
		uint64_t now;

		if (!part_at(c, card, stop, &p)) { /* not reserved: nothing of it is in */
			p.next = (card | (LEAF_CARDS - 1)) + 1;
			continue;
		}
		now = load(p.word);
		/* Release: a reader of this word also sees what was done before it. Pairs with the
		 * acquire in cm_cards_cover(). */
		__atomic_store_n(p.word, in ? now | p.mask : now & ~p.mask, __ATOMIC_RELEASE);
	}
}

bool cm_cards_cover(const struct cm_cards *c, uintptr_t start, uintptr_t end)
{
	size_t card = start >> c->card_shift, stop = ((end - 1) >> c->card_shift) + 1;
	struct part p;

	for (; card < stop; card = p.next)
		if (!part_at(c, card, stop, &p) ||
		    (__atomic_load_n(p.word, __ATOMIC_ACQUIRE) & p.mask) != p.mask)
			return false;
	return true;
}

/* The first set bit at or after from, or LEAF_CARDS. */
static size_t leaf_next_set(const struct cm_leaf *l, size_t from)
{
	uint64_t w = load(&l->word[from / 64]) >> from % 64;

	if (w != 0)
		return from + (size_t)__builtin_ctzll(w);
	for (size_t i = from / 64 + 1; i < LEAF_WORDS;) {
		uint64_t s = load(&l->summary[i / 64]) >> i % 64;
		if (s == 0) {
			i = (i / 64 + 1) * 64;
			continue;
		}
		i += (size_t)__builtin_ctzll(s);
		w = load(&l->word[i]);
		if (w != 0)
			return i * 64 + (size_t)__builtin_ctzll(w);
		i++; /* cleared since its summary was read */
	}
	return LEAF_CARDS;
}

/* The first clear bit at or after from, or LEAF_CARDS. */
static size_t leaf_next_clear(const struct cm_leaf *l, size_t from)
{
	uint64_t w = ~load(&l->word[from / 64]) >> from % 64;

	if (w != 0)
		return from + (size_t)__builtin_ctzll(w);
	for (size_t i = from / 64 + 1; i < LEAF_WORDS; i++) {
		w = ~load(&l->word[i]);
		if (w != 0)
			return i * 64 + (size_t)__builtin_ctzll(w);
	}
	return LEAF_CARDS;
}

bool cm_cards_next(const struct cm_cards *c, uintptr_t from, struct cardmark_run *out)
{
	unsigned leaf_shift = LEAF_BITS + c->card_shift;
	size_t card =
		(from >> c->card_shift) + ((from & (((uintptr_t)1 << c->card_shift) - 1)) != 0);
	size_t i = card >> LEAF_BITS, bit = card & (LEAF_CARDS - 1);

	for (; i < c->hi; i = next_leaf(c, i + 1), bit = 0) {
		if (c->root[i] == NULL || (bit = leaf_next_set(c->root[i], bit)) == LEAF_CARDS)
			continue;
		out->start = (i << leaf_shift) + (bit << c->card_shift);
		/* From the next card on: this card may be clear by now, and a run must not be
		 * empty. */
		bit = bit + 1 < LEAF_CARDS ? leaf_next_clear(c->root[i], bit + 1) : LEAF_CARDS;
		while (bit == LEAF_CARDS && i + 1 < c->hi && c->root[i + 1] != NULL)
			bit = leaf_next_clear(c->root[++i], 0);
		out->end = (i << leaf_shift) + (bit << c->card_shift);
		return true;
	}
	return false;
}

/* Calls body for each word w of leaf l that is not 0. */
#define FOR_EACH_LIVE_WORD(l, w, body)                                                             \
	for (size_t s_ = 0; s_ < SUMMARY_WORDS; s_++)                                              \
		for (uint64_t live_ = load(&(l)->summary[s_]); live_ != 0; live_ &= live_ - 1) {   \
			size_t w = s_ * 64 + (size_t)__builtin_ctzll(live_);                       \
			body;                                                                      \
		}

/* Without an instruction for it, which not each x86-64 has, the compiler's is a call. */
static size_t ones(uint64_t w)
{
	w -= w >> 1 & UINT64_C(0x5555555555555555);
	w = (w & UINT64_C(0x3333333333333333)) + (w >> 2 & UINT64_C(0x3333333333333333));
	w = (w + (w >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return w * UINT64_C(0x0101010101010101) >> 56;
}

size_t cm_cards_count(const struct cm_cards *c)
{
	size_t n = 0;

	for (size_t i = next_leaf(c, 0); i < c->hi; i = next_leaf(c, i + 1))
		FOR_EACH_LIVE_WORD(c->root[i], w, n += ones(load(&c->root[i]->word[w])))
	return n;
}

void cm_cards_or(struct cm_cards *dst, const struct cm_cards *src)
{
	for (size_t i = next_leaf(src, 0); i < src->hi; i = next_leaf(src, i + 1)) {
		/* Made after these ranges were untracked, which emptied src there. */
		if (dst->root[i] == NULL)
			continue;
		FOR_EACH_LIVE_WORD(src->root[i], w, dst->root[i]->word[w] |= src->root[i]->word[w])
		for (size_t s = 0; s < SUMMARY_WORDS; s++)
			dst->root[i]->summary[s] |= src->root[i]->summary[s];
	}
}

static void put(struct cm_leaf *l, size_t w, uint64_t bits)
{
	l->word[w] = bits;
	if (bits != 0)
		l->summary[w / 64] |= UINT64_C(1) << w % 64;
	else
		l->summary[w / 64] &= ~(UINT64_C(1) << w % 64);
}

void cm_cards_count_up(struct cm_cards *low, struct cm_cards *high, const struct cm_cards *dirty)
{
	for (size_t i = next_leaf(low, 0); i < low->hi; i = next_leaf(low, i + 1)) {
		struct cm_leaf *l = low->root[i], *h = high->root[i], *d = dirty->root[i];

		if (h == NULL || d == NULL) /* a track that failed half-way */
			continue;
		for (size_t s = 0; s < SUMMARY_WORDS; s++) {
			uint64_t live = l->summary[s] | h->summary[s] | d->summary[s];

			for (; live != 0; live &= live - 1) {
				size_t w = s * 64 + (size_t)__builtin_ctzll(live);
				uint64_t one = l->word[w], two = h->word[w];

				put(l, w, d->word[w] & (~one | two));
				put(h, w, d->word[w] & (one | two));
			}
		}
	}
}

void cm_cards_or_words(struct cm_cards *c, uintptr_t base, const uint64_t *word, size_t n)
{
	size_t at = (base >> c->card_shift) / 64;

	for (size_t i = 0; i < n; i++, at++) {
		struct cm_leaf *l;
		size_t w = at % LEAF_WORDS;

		if (word[i] == 0)
			continue;
		l = c->root[at / LEAF_WORDS];
		l->word[w] |= word[i];
		l->summary[w / 64] |= UINT64_C(1) << w % 64;
	}
}

size_t cm_cards_bytes(const struct cm_cards *c)
{
	size_t n = root_bytes(c);

	for (const struct cm_slab *s = c->slabs; s != NULL; s = s->next)
		n += c->slab_bytes;
	return n;
}
