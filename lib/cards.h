/* SPDX-License-Identifier: MIT
 *
 * A sparse set of cards, a bit each, over all of user space. Card tables and the trap backends'
 * written bits use it.
 *
 * Two levels: a root of pointers, one for each span of 2^18 cards (1 GiB of
 * 4 KiB pages), and leaves in slabs of our own memory. Reserving allocates;
 * everything else is safe while the world is stopped. A leaf has a summary bit for each of its
 * words, so the cost of walking and clearing depends on the dirty cards, not on the reserved ones.
 * Not atomic: threads that share a set need a lock. */
#ifndef CM_CARDS_H
#define CM_CARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where user space ends. Addresses above need an explicit mmap hint on both. */
#if defined(__x86_64__)
#define CM_ADDRESS_BITS 47
#else
#define CM_ADDRESS_BITS 48
#endif
#define CM_ADDRESS_LIMIT ((uintptr_t)1 << CM_ADDRESS_BITS)

struct cardmark_run;
struct cm_leaf;
struct cm_slab;
struct page_region;

struct cm_cards {
	struct cm_leaf *
		*root;  /* 2^(CM_ADDRESS_BITS - 18 - card_shift) pointers, touched where used */
	uint64_t *used; /* a bit for each entry of root that is not NULL */
	struct cm_slab *slabs;
	size_t slab_bytes;
	size_t lo, hi; /* all entries of root outside [lo, hi) are NULL */
	unsigned card_shift;
};

int cm_cards_init(struct cm_cards *c); /* 0, -ENOMEM */
void cm_cards_free(struct cm_cards *c);

/* Makes room for [start, end): 0 or -ENOMEM. */
int cm_cards_reserve(struct cm_cards *c, uintptr_t start, uintptr_t end);

/* Cards of [start, end), card-aligned; must be reserved for _set. */
void cm_cards_set(struct cm_cards *c, uintptr_t start, uintptr_t end);
/* The same for n regions as PAGEMAP_SCAN returns them. */
void cm_cards_set_regions(struct cm_cards *c, const struct page_region *v, size_t n);
void cm_cards_clear(struct cm_cards *c, uintptr_t start, uintptr_t end);
void cm_cards_clear_all(struct cm_cards *c);
bool cm_cards_test(const struct cm_cards *c, uintptr_t addr);
bool cm_cards_next(const struct cm_cards *c, uintptr_t from, struct cardmark_run *out);
size_t cm_cards_count(const struct cm_cards *c);

/* For a set that is read without a lock while one thread changes it by these two only: at any
 * moment each card is either in it or not. */
void cm_cards_publish(struct cm_cards *c, uintptr_t start, uintptr_t end, bool in);
bool cm_cards_cover(const struct cm_cards *c, uintptr_t start, uintptr_t end);
/* Adds src to dst, which has room for every card of src. */
void cm_cards_or(struct cm_cards *dst, const struct cm_cards *src);

/* low and high hold two bits of a counter for each card: where dirty has it, the counter goes
 * up to 3 at most; everywhere else it is 0 then. All three have room for the same cards. */
void cm_cards_count_up(struct cm_cards *low, struct cm_cards *high, const struct cm_cards *dirty);

/* Sets bits [first, last) of an array of words, a bit a card. */
void cm_words_set(uint64_t *word, size_t first, size_t last);
/* Adds n words of bits; base is the address of the first bit, a whole number of
 * words. Cards of bits that are set must be reserved. */
void cm_cards_or_words(struct cm_cards *c, uintptr_t base, const uint64_t *word, size_t n);

/* Bytes set aside so far. */
size_t cm_cards_bytes(const struct cm_cards *c);

#endif
