/* SPDX-License-Identifier: MIT
 * Text to lists. */
#include "examples/minigc/lisp.h"

#include "examples/minigc/barrier.h"
#include "examples/minigc/heap.h"

#include <string.h>

static _Noreturn void bad(const struct reader *r, const char *what)
{
	lisp_error("%s:%u: %s", r->name, r->line, what);
}

static void skip_blank(struct reader *r)
{
	for (; r->at < r->end; r->at++) {
		if (*r->at == ';')
			while (r->at + 1 < r->end && r->at[1] != '\n')
				r->at++;
		else if (*r->at == '\n')
			r->line++;
		else if (strchr(" \t\r\f", *r->at) == NULL || *r->at == '\0')
			return;
	}
}

static bool ends_a_word(char c)
{
	return c == '\0' || strchr(" \t\r\n\f()\";'", c) != NULL;
}

static bool parse_number(const char *at, size_t length, intptr_t *out)
{
	bool negative = *at == '-' && length > 1;
	intptr_t v = 0;

	for (size_t i = negative; i < length; i++)
		if (at[i] < '0' || at[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, at[i] - '0', &v) || v > INTPTR_MAX / 2)
			return false;
	*out = negative ? -v : v;
	return true;
}

static value read_word(struct reader *r)
{
	const char *start = r->at;
	size_t length;
	intptr_t v;

	while (r->at < r->end && !ends_a_word(*r->at))
		r->at++;
	length = (size_t)(r->at - start);
	if (length == 0)
		bad(r, "a byte that means nothing here");
	if (*start == '#') {
		if (length == 2 && (start[1] == 't' || start[1] == 'f'))
			return from_bool(start[1] == 't');
		bad(r, "after # only t and f are known");
	}
	if (parse_number(start, length, &v))
		return from_number(v);
	if (start[start[0] == '-' && length > 1] >= '0' &&
	    start[start[0] == '-' && length > 1] <= '9')
		bad(r, "a number that is too large, or a name that starts with a digit");
	return symbol(start, length);
}

static value read_string(struct mutator *m, struct reader *r)
{
	const char *start = ++r->at;
	struct object *o;
	size_t length = 0;

	for (; r->at < r->end && *r->at != '"'; r->at++, length++) {
		if (*r->at == '\n')
			r->line++;
		if (*r->at == '\\')
			r->at++;
	}
	if (r->at >= r->end)
		bad(r, "a string without end");
	o = allocate(m, STRING, length);
	for (size_t i = 0; i < length; i++, start++) {
		if (*start == '\\')
			start++;
		string_bytes(o)[i] = *start;
		if (start[-1] == '\\' && *start == 'n')
			string_bytes(o)[i] = '\n';
	}
	r->at++;
	return from_object(o);
}

static value read_list(struct mutator *m, struct reader *r)
{
	struct object *last = NULL;
	size_t base = m->top;
	unsigned line = r->line;

	push(m, NIL);
	for (r->at++;;) {
		value v;

		skip_blank(r);
		if (r->at == r->end)
			lisp_error("%s:%u: a list without end", r->name, line);
		if (*r->at == ')')
			break;
		v = cons(m, read_value(m, r), NIL);
		/* The list is reachable by its first pair. Its last pair may have become old
		 * since it was made: so a store, not an assignment. */
		if (last == NULL)
			m->stack[base] = v;
		else
			store(m, last, CDR, v);
		last = object_of(v);
	}
	r->at++;
	m->top = base;
	return last == NULL ? NIL : m->stack[base];
}

value read_value(struct mutator *m, struct reader *r)
{
	value v;

	skip_blank(r);
	if (r->at == r->end)
		return END_OF_FILE;
	deeper(m);
	switch (*r->at) {
	case '(':
		v = read_list(m, r);
		break;
	case ')':
		bad(r, "a ) too many");
	case '"':
		v = read_string(m, r);
		break;
	case '\'':
		r->at++;
		v = read_value(m, r);
		if (v == END_OF_FILE)
			bad(r, "nothing after '");
		v = cons(m, v, NIL);
		v = cons(m, from_symbol(SYM_QUOTE), v);
		break;
	default:
		v = read_word(r);
	}
	m->depth--;
	return v;
}
