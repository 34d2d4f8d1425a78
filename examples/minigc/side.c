/* SPDX-License-Identifier: MIT
 * The side bitmaps, found by address through a tree of two levels. */
#include "examples/minigc/side.h"

#include <sys/mman.h>

enum { ADDRESS_BITS = 48, CHUNK_BITS = 21, LEAF_BITS = 13 };
enum { ROOT_SIZE = 1 << (ADDRESS_BITS - CHUNK_BITS - LEAF_BITS), LEAF_SIZE = 1 << LEAF_BITS };

struct leaf {
	_Atomic(struct chunk *) chunk[LEAF_SIZE];
};

static _Atomic(struct leaf *) root[ROOT_SIZE];
static _Atomic(struct chunk *) chunks;

void *side_reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct chunk *side_chunk(uintptr_t at)
{
	struct leaf *leaf;

	if (at >> ADDRESS_BITS != 0)
		return NULL;
	/* acquire: pairs with the exchange in get_leaf() and get_chunk(). */
	leaf = atomic_load_explicit(&root[at >> (CHUNK_BITS + LEAF_BITS)], memory_order_acquire);
	if (leaf == NULL)
		return NULL;
	return atomic_load_explicit(&leaf->chunk[at >> CHUNK_BITS & (LEAF_SIZE - 1)],
				    memory_order_acquire);
}

struct chunk *side_chunks(void)
{
	return atomic_load_explicit(&chunks, memory_order_acquire);
}

static struct leaf *get_leaf(uintptr_t at)
{
	_Atomic(struct leaf *) *place = &root[at >> (CHUNK_BITS + LEAF_BITS)];
	struct leaf *leaf = atomic_load_explicit(place, memory_order_acquire), *other = NULL;

	if (leaf != NULL)
		return leaf;
	leaf = side_reserve(sizeof *leaf);
	if (leaf == NULL || atomic_compare_exchange_strong(place, &other, leaf))
		return leaf;
	(void)munmap(leaf, sizeof *leaf);
	return other;
}

static struct chunk *get_chunk(uintptr_t at)
{
	struct chunk *c = side_chunk(at), *other = NULL;
	struct leaf *leaf;

	if (c != NULL || at >> ADDRESS_BITS != 0 || (leaf = get_leaf(at)) == NULL)
		return c;
	c = side_reserve(sizeof *c);
	if (c == NULL)
		return NULL;
	c->base = at & ~(uintptr_t)(CHUNK - 1);
	if (!atomic_compare_exchange_strong(&leaf->chunk[at >> CHUNK_BITS & (LEAF_SIZE - 1)],
					    &other, c)) {
		(void)munmap(c, sizeof *c);
		return other;
	}
	c->next = atomic_load_explicit(&chunks, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&chunks, &c->next, c))
		;
	return c;
}

/* The place of an address in a chunk's bitmap. */
static size_t word_of(uintptr_t at)
{
	return at % CHUNK / GRANULE / 64;
}

static uint64_t bit_of(uintptr_t at)
{
	return UINT64_C(1) << (at / GRANULE % 64);
}

static bool set_bit(uint64_t *bitmap, uintptr_t at)
{
	uint64_t *word = &bitmap[word_of(at)], bit = bit_of(at);

	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}

bool side_enter(struct object *o)
{
	uintptr_t at = (uintptr_t)o, end = at + object_bytes(o);
	struct chunk *c = get_chunk(at);
	size_t block = at % CHUNK / BLOCK;

	if (c == NULL)
		return false;
	for (uintptr_t b = (at / BLOCK + 1) * BLOCK; b < end; b += BLOCK) {
		struct chunk *over = get_chunk(b);

		if (over == NULL)
			return false;
		atomic_store_explicit(&over->cover[b % CHUNK / BLOCK], at, memory_order_relaxed);
	}
	/* Other mutators may set bits in the same word. They only add bits. */
	(void)atomic_fetch_or_explicit(&c->start[word_of(at)], bit_of(at), memory_order_relaxed);
	if (!(atomic_load_explicit(&c->fresh[block / 64], memory_order_relaxed) >> block % 64 & 1))
		(void)atomic_fetch_or_explicit(&c->fresh[block / 64], UINT64_C(1) << block % 64,
					       memory_order_relaxed);
	return true;
}

bool side_is_start(uintptr_t at)
{
	struct chunk *c = side_chunk(at);

	return c != NULL && at % GRANULE == 0 &&
	       (atomic_load_explicit(&c->start[word_of(at)], memory_order_relaxed) & bit_of(at));
}

bool side_is_marked(const struct object *o)
{
	uintptr_t at = (uintptr_t)o;

	return (side_chunk(at)->mark[word_of(at)] & bit_of(at)) != 0;
}

bool side_mark(const struct object *o)
{
	return set_bit(side_chunk((uintptr_t)o)->mark, (uintptr_t)o);
}

bool side_see(const struct object *o)
{
	return set_bit(side_chunk((uintptr_t)o)->seen, (uintptr_t)o);
}

bool side_log(const struct object *o)
{
	uintptr_t at = (uintptr_t)o;
	_Atomic uint64_t *word = &side_chunk(at)->logged[word_of(at)];

	if (atomic_load_explicit(word, memory_order_relaxed) & bit_of(at))
		return false;
	return !(atomic_fetch_or_explicit(word, bit_of(at), memory_order_relaxed) & bit_of(at));
}

void side_unlog(const struct object *o)
{
	uintptr_t at = (uintptr_t)o;

	(void)atomic_fetch_and_explicit(&side_chunk(at)->logged[word_of(at)], ~bit_of(at),
					memory_order_relaxed);
}

void side_clear_marks(void)
{
	for (struct chunk *c = side_chunks(); c != NULL; c = c->next)
		for (size_t i = 0; i < WORDS; i++)
			c->mark[i] = 0;
}

void side_clear_seen(void)
{
	for (struct chunk *c = side_chunks(); c != NULL; c = c->next)
		for (size_t i = 0; i < WORDS; i++)
			c->seen[i] = 0;
}

/* The object that starts before `at` and reaches over it, or one that ends before `at`. The
 * latter does no harm: the caller looks only above `at`. */
static struct object *side_first(struct chunk *c, uintptr_t at)
{
	size_t first = at % CHUNK / BLOCK * BLOCK_WORDS, w = word_of(at);
	uint64_t bits = atomic_load_explicit(&c->start[w], memory_order_relaxed) & (bit_of(at) - 1);
	uintptr_t over;

	while (bits == 0 && w > first)
		bits = atomic_load_explicit(&c->start[--w], memory_order_relaxed);
	if (bits != 0)
		return (struct object *)(c->base +
					 (w * 64 + 63 - (size_t)__builtin_clzll(bits)) * GRANULE);
	/* No object starts before it in this block. A start bit shows that this one was not
	 * freed, or that another one, perhaps shorter, is there now. */
	over = atomic_load_explicit(&c->cover[at % CHUNK / BLOCK], memory_order_relaxed);
	if (!side_is_start(over) || over + object_bytes((struct object *)over) <= at)
		return NULL;
	return (struct object *)over;
}

void side_each_marked(uintptr_t start, uintptr_t end,
		      void (*visit)(struct object *o, uintptr_t start, uintptr_t end))
{
	for (uintptr_t at = start, stop; at < end; at = stop) {
		struct chunk *c = side_chunk(at);
		struct object *o;

		stop = (at | (CHUNK - 1)) + 1;
		if (stop > end)
			stop = end;
		if (c == NULL)
			continue;
		o = at == start ? side_first(c, at) : NULL;
		if (o != NULL && side_is_marked(o))
			visit(o, start, end);
		for (size_t w = word_of(at); w <= word_of(stop - 1); w++) {
			uint64_t bits = c->mark[w];

			if (w == word_of(at))
				bits &= ~(bit_of(at) - 1);
			for (; bits != 0; bits &= bits - 1) {
				uintptr_t p = c->base +
					      (w * 64 + (size_t)__builtin_ctzll(bits)) * GRANULE;

				if (p >= stop)
					break;
				visit((struct object *)p, start, end);
			}
		}
	}
}
