/* SPDX-License-Identifier: MIT */
#include "lib/hashes.h"

#include "lib/cards.h"
#include "lib/os/os.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LEAF_BITS 16 /* 2^16 cards: 512 KiB of hashes, 256 MiB of 4 KiB pages */
#define LEAF_CARDS ((size_t)1 << LEAF_BITS)
#define SLAB_LEAVES 8

/* Leaves come in slabs, so that scattered ranges do not make a mapping each. */
struct cm_hash_slab {
	struct cm_hash_slab *next;
	size_t used;
	uint64_t leaf[SLAB_LEAVES][LEAF_CARDS];
};

static size_t root_bytes(const struct cm_hashes *h)
{
	return sizeof *h->root << (CM_ADDRESS_BITS - LEAF_BITS - h->card_shift);
}

int cm_hashes_init(struct cm_hashes *h)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;
	int error;

	memset(h, 0, sizeof *h);
	h->card_shift = (unsigned)__builtin_ctzl(page);
	h->slab_bytes = (sizeof(struct cm_hash_slab) + page - 1) & ~(page - 1);
	error = cm_os->map(root_bytes(h), &p);
	if (error == 0)
		h->root = p;
	return error;
}

void cm_hashes_free(struct cm_hashes *h)
{
	while (h->slabs != NULL) {
		struct cm_hash_slab *next = h->slabs->next;
		(void)cm_os->unmap(h->slabs, h->slab_bytes);
		h->slabs = next;
	}
	if (h->root != NULL)
		(void)cm_os->unmap(h->root, root_bytes(h));
	memset(h, 0, sizeof *h);
}

static size_t leaf_index(const struct cm_hashes *h, uintptr_t addr)
{
	return addr >> (LEAF_BITS + h->card_shift);
}

int cm_hashes_reserve(struct cm_hashes *h, uintptr_t start, uintptr_t end)
{
	for (size_t i = leaf_index(h, start); i <= leaf_index(h, end - 1); i++) {
		if (h->root[i] != NULL)
			continue;
		if (h->slabs == NULL || h->slabs->used == SLAB_LEAVES) {
			void *p;
			int error = cm_os->map(h->slab_bytes, &p);
			if (error < 0)
				return error; /* leaves reserved so far do no harm */
			struct cm_hash_slab *s = p;
			s->next = h->slabs;
			h->slabs = s;
		}
		h->root[i] = h->slabs->leaf[h->slabs->used++];
	}
	return 0;
}

uint64_t *cm_hashes_at(const struct cm_hashes *h, uintptr_t addr)
{
	return &h->root[leaf_index(h, addr)][addr >> h->card_shift & (LEAF_CARDS - 1)];
}

size_t cm_hashes_bytes(const struct cm_hashes *h)
{
	size_t n = root_bytes(h);

	for (const struct cm_hash_slab *s = h->slabs; s != NULL; s = s->next)
		n += h->slab_bytes;
	return n;
}

/* ---- The function ---------------------------------------------------------- */

#define LANES 8 /* of 64 bits: one line of memory */

/* Digits of pi, of the square root of 2 and of the golden ratio. All odd. */
#define PI UINT64_C(0x243f6a8885a308d3)
#define ROOT UINT64_C(0x6a09e667f3bcc909)
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/* One multiplication for each word, in lanes that do not depend on each other. Each step is
 * reversible for its word and for its lane: xor, an odd factor, xor with the own upper half. So two
 * contents that differ in one word end in different lanes, and therefore in different sums of
 * lanes. */
uint64_t cm_hash(const void *data, size_t bytes)
{
	const unsigned char *p = data;
	uint64_t lane[LANES], word[LANES], sum = 0;

	for (unsigned i = 0; i < LANES; i++)
		lane[i] = (i + 1) * GOLDEN;
	for (const unsigned char *end = p + bytes; p < end; p += sizeof word) {
		memcpy(word, p, sizeof word);
		for (unsigned i = 0; i < LANES; i++) {
			lane[i] = (lane[i] ^ word[i]) * PI;
			lane[i] ^= lane[i] >> 32;
		}
	}
	for (unsigned i = 0; i < LANES; i++) {
		lane[i] = (lane[i] ^ lane[i] >> 29) * ROOT;
		sum += lane[i] ^ lane[i] >> 32;
	}
	return sum;
}
