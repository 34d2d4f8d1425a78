/* SPDX-License-Identifier: MIT
 * Functions on numbers, pairs and vectors, and some others. */
#include "examples/minigc/lisp.h"

#include "examples/minigc/barrier.h"
#include "examples/minigc/collect.h"
#include "examples/minigc/heap.h"

#include <inttypes.h>
#include <string.h>

static const char *const kind_names[KINDS] = { "?",        "pair",  "vector", "string",
					       "function", "frame", "table" };

struct object *want(const char *function, value v, enum kind kind)
{
	if (!is_a(v, kind))
		lisp_error("%s: a %s is wanted", function, kind_names[kind]);
	return object_of(v);
}

intptr_t want_number(const char *function, value v, intptr_t least, intptr_t most)
{
	if (!is_number(v))
		lisp_error("%s: a number is wanted", function);
	if (number_of(v) < least || number_of(v) > most)
		lisp_error("%s: %" PRIdPTR " is not from %" PRIdPTR " to %" PRIdPTR, function,
			   number_of(v), least, most);
	return number_of(v);
}

/* ---- Numbers ------------------------------------------------------------------------ */

static intptr_t any(const char *function, value v)
{
	return want_number(function, v, INTPTR_MIN, INTPTR_MAX);
}

static value result(const char *function, bool overflow, intptr_t n)
{
	if (overflow || n > INTPTR_MAX / 2 || n < INTPTR_MIN / 2)
		lisp_error("%s: the result is too large", function);
	return from_number(n);
}

static value add(struct mutator *m, const value *a, unsigned n)
{
	intptr_t sum = 0;
	bool over = false;

	(void)m;
	for (unsigned i = 0; i < n; i++)
		over |= __builtin_add_overflow(sum, any("+", a[i]), &sum);
	return result("+", over, sum);
}

static value subtract(struct mutator *m, const value *a, unsigned n)
{
	intptr_t v = n == 1 ? 0 : any("-", a[0]);
	bool over = __builtin_sub_overflow(v, any("-", a[n - 1]), &v);

	(void)m;
	return result("-", over, v);
}

static value multiply(struct mutator *m, const value *a, unsigned n)
{
	intptr_t product;
	bool over = __builtin_mul_overflow(any("*", a[0]), any("*", a[n - 1]), &product);

	(void)m;
	return result("*", over, product);
}

static value quotient(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return result("quotient", false,
		      any("quotient", a[0]) / want_number("quotient", a[1], 1, INTPTR_MAX));
}

static value modulo(struct mutator *m, const value *a, unsigned n)
{
	intptr_t by = want_number("modulo", a[1], 1, INTPTR_MAX), rest = any("modulo", a[0]) % by;

	(void)m, (void)n;
	return from_number(rest < 0 ? rest + by : rest);
}

static value equal(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(any("=", a[0]) == any("=", a[1]));
}

static value less(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(any("<", a[0]) < any("<", a[1]));
}

static value greater(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(any(">", a[0]) > any(">", a[1]));
}

/* xorshift: the same numbers in every run. Each thread has its own. */
static value random_number(struct mutator *m, const value *a, unsigned n)
{
	uint64_t below = (uint64_t)want_number("random", a[0], 1, INT32_MAX);

	(void)n;
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return from_number((intptr_t)((m->random >> 16) % below));
}

static value random_seed(struct mutator *m, const value *a, unsigned n)
{
	(void)n;
	m->random = ((uint64_t)any("random-seed!", a[0]) + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	return NOTHING;
}

/* ---- Pairs -------------------------------------------------------------------------- */

static value is_null(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(a[0] == NIL);
}

static value is_pair(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(is_a(a[0], PAIR));
}

static value is_same(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(a[0] == a[1]);
}

static value is_false(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(a[0] == FALSE);
}

static value make_pair(struct mutator *m, const value *a, unsigned n)
{
	(void)n;
	return cons(m, a[0], a[1]);
}

static value car(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return want("car", a[0], PAIR)->slot[CAR];
}

static value cdr(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return want("cdr", a[0], PAIR)->slot[CDR];
}

static value set_car(struct mutator *m, const value *a, unsigned n)
{
	(void)n;
	store(m, want("set-car!", a[0], PAIR), CAR, a[1]);
	return NOTHING;
}

static value set_cdr(struct mutator *m, const value *a, unsigned n)
{
	(void)n;
	store(m, want("set-cdr!", a[0], PAIR), CDR, a[1]);
	return NOTHING;
}

static value list(struct mutator *m, const value *a, unsigned n)
{
	value v = NIL;

	/* cons() keeps what it is given, and nothing collects before the next one. */
	while (n > 0)
		v = cons(m, a[--n], v);
	return v;
}

/* ---- Vectors ------------------------------------------------------------------------ */

static value make_vector(struct mutator *m, const value *a, unsigned n)
{
	struct object *o =
		allocate(m, VECTOR, (size_t)want_number("make-vector", a[0], 0, LENGTH_MAX));

	for (size_t i = 0; i < o->length; i++)
		o->slot[i] = n == 2 ? a[1] : FALSE;
	return from_object(o);
}

static value vector(struct mutator *m, const value *a, unsigned n)
{
	struct object *o = allocate(m, VECTOR, n);

	memcpy(o->slot, a, n * sizeof *a);
	return from_object(o);
}

static size_t vector_index(const char *function, const value *a)
{
	struct object *o = want(function, a[0], VECTOR);

	return (size_t)want_number(function, a[1], 0, (intptr_t)o->length - 1);
}

static value vector_ref(struct mutator *m, const value *a, unsigned n)
{
	size_t i = vector_index("vector-ref", a);

	(void)m, (void)n;
	return object_of(a[0])->slot[i];
}

static value vector_set(struct mutator *m, const value *a, unsigned n)
{
	size_t i = vector_index("vector-set!", a);

	(void)n;
	store(m, object_of(a[0]), i, a[2]);
	return NOTHING;
}

static value vector_length(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_number(want("vector-length", a[0], VECTOR)->length);
}

/* ---- The rest ----------------------------------------------------------------------- */

static value display(struct mutator *m, const value *a, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		print_value(m, stdout, a[i], false);
	return NOTHING;
}

static value newline(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)a, (void)n;
	(void)putc('\n', stdout);
	return NOTHING;
}

static value collect_now(struct mutator *m, const value *a, unsigned n)
{
	(void)a, (void)n;
	collect(m, 0, COLLECT_FULL);
	return NOTHING;
}

static value fail(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	lisp_error("%.*s", (int)want("error", a[0], STRING)->length, string_bytes(object_of(a[0])));
}

enum { MANY = 64 };

static const struct builtin builtins[] = {
	{ "+", 0, MANY, add },
	{ "-", 1, 2, subtract },
	{ "*", 2, 2, multiply },
	{ "quotient", 2, 2, quotient },
	{ "modulo", 2, 2, modulo },
	{ "=", 2, 2, equal },
	{ "<", 2, 2, less },
	{ ">", 2, 2, greater },
	{ "random", 1, 1, random_number },
	{ "random-seed!", 1, 1, random_seed },
	{ "null?", 1, 1, is_null },
	{ "pair?", 1, 1, is_pair },
	{ "eq?", 2, 2, is_same },
	{ "not", 1, 1, is_false },
	{ "cons", 2, 2, make_pair },
	{ "car", 1, 1, car },
	{ "cdr", 1, 1, cdr },
	{ "set-car!", 2, 2, set_car },
	{ "set-cdr!", 2, 2, set_cdr },
	{ "list", 0, MANY, list },
	{ "make-vector", 1, 2, make_vector },
	{ "vector", 0, MANY, vector },
	{ "vector-ref", 2, 2, vector_ref },
	{ "vector-set!", 3, 3, vector_set },
	{ "vector-length", 1, 1, vector_length },
	{ "display", 0, MANY, display },
	{ "newline", 0, 0, newline },
	{ "collect", 0, 0, collect_now },
	{ "error", 1, 1, fail },
	{ NULL, 0, 0, NULL },
};

static const struct builtin *const all[] = { builtins, table_builtins, text_builtins };

enum { PER_ARRAY = 256 };

const struct builtin *builtin_of(value v)
{
	return &all[index_of(v) / PER_ARRAY][index_of(v) % PER_ARRAY];
}

void builtins_open(void)
{
	for (size_t a = 0; a < sizeof all / sizeof *all; a++)
		for (size_t i = 0; all[a][i].name != NULL; i++)
			global_set(symbol(all[a][i].name, strlen(all[a][i].name)),
				   from_builtin(a * PER_ARRAY + i));
}
