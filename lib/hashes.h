/* SPDX-License-Identifier: MIT
 *
 * A 64-bit hash for each card, over all of user space, and the function that makes
 * one. Two levels, like a card set: reserving maps address space, and memory is
 * touched only where a hash is written. A caller that shares it must bring a lock. */
#ifndef CM_HASHES_H
#define CM_HASHES_H

#include <stddef.h>
#include <stdint.h>

struct cm_hash_slab;

struct cm_hashes {
	uint64_t **root; /* a pointer for each span of 2^16 cards, touched where used */
	struct cm_hash_slab *slabs;
	size_t slab_bytes;
	unsigned card_shift;
};

int cm_hashes_init(struct cm_hashes *h); /* 0, -ENOMEM */
void cm_hashes_free(struct cm_hashes *h);

/* Makes room for [start, end): 0 or -ENOMEM. */
int cm_hashes_reserve(struct cm_hashes *h, uintptr_t start, uintptr_t end);

/* Where a reserved card's hash is kept. 0 until written. */
uint64_t *cm_hashes_at(const struct cm_hashes *h, uintptr_t addr);

/* Bytes set aside so far. */
size_t cm_hashes_bytes(const struct cm_hashes *h);

/* The hash of a whole number of 64-byte lines. A change of one 8-byte word always changes it;
 * any other change does, except in about one case of 2^64. Not for an adversary. */
uint64_t cm_hash(const void *data, size_t bytes);

#endif
