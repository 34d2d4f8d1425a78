/* SPDX-License-Identifier: MIT
 * Values to text. */
#include "examples/minigc/lisp.h"

#include <inttypes.h>

static void print_string(FILE *f, struct object *o, bool quoted)
{
	if (!quoted) {
		(void)fwrite(string_bytes(o), 1, o->length, f);
		return;
	}
	(void)fputc('"', f);
	for (size_t i = 0; i < o->length; i++) {
		if (string_bytes(o)[i] == '"' || string_bytes(o)[i] == '\\')
			(void)fputc('\\', f);
		(void)fputc(string_bytes(o)[i], f);
	}
	(void)fputc('"', f);
}

static void print_pair(struct mutator *m, FILE *f, value v, bool quoted)
{
	const char *before = "(";

	for (; is_a(v, PAIR); v = object_of(v)->slot[CDR]) {
		(void)fputs(before, f);
		print_value(m, f, object_of(v)->slot[CAR], quoted);
		before = " ";
	}
	if (v != NIL) {
		(void)fputs(" . ", f);
		print_value(m, f, v, quoted);
	}
	(void)fputc(')', f);
}

static void print_object(struct mutator *m, FILE *f, struct object *o, bool quoted)
{
	switch (o->kind) {
	case PAIR:
		print_pair(m, f, from_object(o), quoted);
		break;
	case STRING:
		print_string(f, o, quoted);
		break;
	case VECTOR:
		(void)fputs("#(", f);
		for (size_t i = 0; i < o->length; i++) {
			(void)fputs(i == 0 ? "" : " ", f);
			print_value(m, f, o->slot[i], quoted);
		}
		(void)fputc(')', f);
		break;
	case CLOSURE:
		(void)fputs("#<lambda>", f);
		break;
	case TABLE:
		(void)fprintf(f, "#<table of %" PRIdPTR ">", number_of(o->slot[TABLE_COUNT]));
		break;
	default:
		(void)fprintf(f, "#<kind %u>", o->kind);
	}
}

void print_value(struct mutator *m, FILE *f, value v, bool quoted)
{
	deeper(m);
	if (is_object(v))
		print_object(m, f, object_of(v), quoted);
	else if (is_number(v))
		(void)fprintf(f, "%" PRIdPTR, number_of(v));
	else if (is_symbol(v))
		(void)fputs(symbol_name(v), f);
	else if (is_builtin(v))
		(void)fprintf(f, "#<%s>", builtin_of(v)->name);
	else if (v == NIL)
		(void)fputs("()", f);
	else if (v == TRUE || v == FALSE)
		(void)fputs(v == TRUE ? "#t" : "#f", f);
	else if (v == END_OF_FILE)
		(void)fputs("#<end of file>", f);
	else
		(void)fputs("#<nothing>", f);
	m->depth--;
}
