/* SPDX-License-Identifier: MIT
 * The data that kv serves: records of texts, ordered by key, on the collected heap. */
#ifndef CARDMARK_BENCH_STORE_H
#define CARDMARK_BENCH_STORE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	STORE_FIELDS = 6,
	STORE_ENTRY_BYTES = 352, /* about the size of a key with its record */
};

struct text {
	uint64_t len; /* a multiple of 8 */
	uint64_t words[];
};

struct record {
	uint64_t version;
	struct text *fields[STORE_FIELDS];
};

struct entry {
	struct entry *left, *right;
	const char *key;
	struct record *record;
	uint64_t priority; /* of the key, so that the shape depends on the set of keys alone */
};

/* Of the texts of records. */
void store_seed(uint64_t seed);

/* Returns p. Ends the program if p is NULL: out of memory. */
void *store_must(void *p);
struct text *store_copy(const struct text *from);

/* The key of that number: a new string each time. */
const char *store_key(uint32_t number);
/* The entry, or NULL. */
const struct entry *store_get(const char *key);
/* A new record of that version. */
void store_set(const char *key, uint64_t version);
/* True: it was there. */
bool store_delete(const char *key);
const struct entry *store_root(void);

#endif
