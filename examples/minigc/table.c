/* SPDX-License-Identifier: MIT
 * Hash tables: a vector of lists of (key . value). A key is a string, compared by its bytes,
 * or a value that is no object. The hash is of the contents, so every run has the same order. */
#include "examples/minigc/lisp.h"

#include "examples/minigc/barrier.h"
#include "examples/minigc/heap.h"

#include <string.h>

static uint64_t hash(value key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	if (!is_a(key, STRING)) {
		if (is_object(key))
			lisp_error("a key of a table is a string, a symbol or a number");
		h = (h ^ key) * UINT64_C(0x9e3779b97f4a7c15);
		return h ^ h >> 32;
	}
	for (size_t i = 0; i < object_of(key)->length; i++)
		h = (h ^ (unsigned char)string_bytes(object_of(key))[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static bool same_key(value a, value b)
{
	if (a == b)
		return true;
	return is_a(a, STRING) && is_a(b, STRING) && object_of(a)->length == object_of(b)->length &&
	       memcmp(string_bytes(object_of(a)), string_bytes(object_of(b)),
		      object_of(a)->length) == 0;
}

static struct object *buckets_of(const struct object *table)
{
	return object_of(table->slot[TABLE_BUCKETS]);
}

/* The (key . value), or NULL. */
static struct object *entry(const struct object *table, value key)
{
	const struct object *buckets = buckets_of(table);
	value list = buckets->slot[hash(key) % buckets->length];

	for (; list != NIL; list = object_of(list)->slot[CDR])
		if (same_key(object_of(object_of(list)->slot[CAR])->slot[CAR], key))
			return object_of(object_of(list)->slot[CAR]);
	return NULL;
}

static struct object *new_buckets(struct mutator *m, size_t n)
{
	struct object *o = allocate(m, VECTOR, n);

	for (size_t i = 0; i < n; i++)
		o->slot[i] = NIL;
	return o;
}

static value make_table(struct mutator *m, const value *a, unsigned n)
{
	struct object *buckets, *table;

	(void)a, (void)n;
	buckets = new_buckets(m, 8);
	push(m, from_object(buckets));
	table = allocate(m, TABLE, TABLE_SLOTS);
	table->slot[TABLE_COUNT] = from_number(0);
	table->slot[TABLE_BUCKETS] = from_object(buckets);
	m->top--;
	return from_object(table);
}

static value table_ref(struct mutator *m, const value *a, unsigned n)
{
	struct object *e = entry(want("table-ref", a[0], TABLE), a[1]);

	(void)m, (void)n;
	return e != NULL ? e->slot[CDR] : a[2];
}

/* Moves the lists' pairs: only the new vector is allocated. */
static void grow(struct mutator *m, struct object *table)
{
	struct object *to = new_buckets(m, buckets_of(table)->length * 2);
	struct object *from = buckets_of(table);

	for (size_t i = 0; i < from->length; i++)
		for (value list = from->slot[i], next; list != NIL; list = next) {
			struct object *pair = object_of(list);
			size_t k = hash(object_of(pair->slot[CAR])->slot[CAR]) % to->length;

			next = pair->slot[CDR];
			store(m, pair, CDR, to->slot[k]);
			store(m, to, k, list);
		}
	store(m, table, TABLE_BUCKETS, from_object(to));
}

static value table_set(struct mutator *m, const value *a, unsigned n)
{
	struct object *table = want("table-set!", a[0], TABLE), *buckets;
	struct object *e = entry(table, a[1]);
	intptr_t count = number_of(table->slot[TABLE_COUNT]);
	value v;
	size_t k;

	(void)n;
	if (e != NULL) {
		store(m, e, CDR, a[2]);
		return NOTHING;
	}
	if ((size_t)count > buckets_of(table)->length)
		grow(m, table);
	buckets = buckets_of(table);
	k = hash(a[1]) % buckets->length;
	v = cons(m, a[1], a[2]);
	v = cons(m, v, buckets->slot[k]);
	store(m, buckets, k, v);
	store(m, table, TABLE_COUNT, from_number(count + 1));
	return NOTHING;
}

static value table_count(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return want("table-count", a[0], TABLE)->slot[TABLE_COUNT];
}

static value table_to_list(struct mutator *m, const value *a, unsigned n)
{
	const struct object *buckets = buckets_of(want("table->list", a[0], TABLE));
	value v = NIL;

	(void)n;
	for (size_t i = 0; i < buckets->length; i++)
		for (value list = buckets->slot[i]; list != NIL; list = object_of(list)->slot[CDR])
			v = cons(m, object_of(list)->slot[CAR], v);
	return v;
}

const struct builtin table_builtins[] = {
	{ "make-table", 0, 0, make_table },     { "table-ref", 3, 3, table_ref },
	{ "table-set!", 3, 3, table_set },      { "table-count", 1, 1, table_count },
	{ "table->list", 1, 1, table_to_list }, { NULL, 0, 0, NULL },
};
