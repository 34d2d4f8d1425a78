/* SPDX-License-Identifier: MIT
 * A treap: its shape depends on the set of keys, not on the order in which they came. */
#include "bench/boehm/store.h"

#include <gc.h>

#include <string.h>

#include "bench/boehm/util.h"

enum {
	TEXT_MIN = 8, /* bytes */
	TEXT_MAX = 40,
	KEY_MAX = 17, /* with the final 0 */
};

static struct entry *root;
static struct bench_rng data;

void store_seed(uint64_t seed)
{
	bench_seed(&data, seed);
}

void *store_must(void *p)
{
	if (p == NULL)
		bench_die("kv: out of memory");
	return p;
}

static struct text *new_text(void)
{
	uint64_t len = TEXT_MIN + bench_below(&data, (TEXT_MAX - TEXT_MIN) / 8 + 1) * 8;
	struct text *t = store_must(GC_MALLOC_ATOMIC(sizeof *t + len));

	t->len = len;
	for (uint64_t i = 0; i < len / 8; i++)
		t->words[i] = bench_next(&data);
	return t;
}

struct text *store_copy(const struct text *from)
{
	struct text *t = store_must(GC_MALLOC_ATOMIC(sizeof *t + from->len));

	memcpy(t, from, sizeof *t + from->len);
	return t;
}

static struct record *new_record(uint64_t version)
{
	struct record *r = store_must(GC_MALLOC(sizeof *r));

	r->version = version;
	for (unsigned i = 0; i < STORE_FIELDS; i++)
		r->fields[i] = new_text();
	return r;
}

/* A new string each time, like the text of a request. */
const char *store_key(uint32_t number)
{
	uint64_t h = bench_hash(BENCH_HASH_INIT, number); /* neighbours get unrelated keys */
	char *key = store_must(GC_MALLOC_ATOMIC(KEY_MAX));

	for (unsigned i = 0; i < KEY_MAX - 1; i++)
		key[i] = "0123456789abcdef"[h >> (60 - 4 * i) & 15];
	key[KEY_MAX - 1] = '\0';
	return key;
}

static uint64_t priority_of(const char *key)
{
	uint64_t words[2];

	memcpy(words, key, sizeof words);
	return bench_hash(bench_hash(BENCH_HASH_INIT, words[0]), words[1]);
}

/* Where the entry is, or NULL. */
static struct entry **find(const char *key)
{
	struct entry **at = &root;

	while (*at != NULL) {
		int order = strcmp(key, (*at)->key);

		if (order == 0)
			return at;
		at = order < 0 ? &(*at)->left : &(*at)->right;
	}
	return NULL;
}

const struct entry *store_get(const char *key)
{
	struct entry **at = find(key);

	return at != NULL ? *at : NULL;
}

const struct entry *store_root(void)
{
	return root;
}

void store_set(const char *key, uint64_t version)
{
	struct record *record = new_record(version);
	struct entry **at = find(key), *e, *rest, **low, **high;

	if (at != NULL) {
		(*at)->record = record;
		return;
	}
	e = store_must(GC_MALLOC(sizeof *e));
	e->key = key;
	e->record = record;
	e->priority = priority_of(key);
	for (at = &root; *at != NULL && (*at)->priority >= e->priority;)
		at = strcmp(key, (*at)->key) < 0 ? &(*at)->left : &(*at)->right;
	/* The nodes below it go to its left and right. */
	rest = *at;
	*at = e;
	low = &e->left;
	high = &e->right;
	while (rest != NULL) {
		if (strcmp(rest->key, key) < 0) {
			*low = rest;
			low = &rest->right;
			rest = *low;
		} else {
			*high = rest;
			high = &rest->left;
			rest = *high;
		}
	}
	*low = *high = NULL;
}

bool store_delete(const char *key)
{
	struct entry **at = find(key), *a, *b;

	if (at == NULL)
		return false;
	a = (*at)->left;
	b = (*at)->right;
	while (a != NULL && b != NULL) {
		if (a->priority >= b->priority) {
			*at = a;
			at = &a->right;
			a = *at;
		} else {
			*at = b;
			at = &b->left;
			b = *at;
		}
	}
	*at = a != NULL ? a : b;
	return true;
}
