/* SPDX-License-Identifier: MIT
 *
 * A small Lisp: lexical scope, proper tail calls, no macros, no call/cc. Code is the lists
 * that were read, interpreted anew each time.
 *
 * What a function is given must be where the collector finds it (on the stack, in a
 * global variable, or in an object that is); what it returns is nowhere yet. */
#ifndef MINIGC_LISP_H
#define MINIGC_LISP_H

#include "examples/minigc/world.h"

#include <stdio.h>

/* ---- symbols.c ---------------------------------------------------------------------- */

/* The special forms are the first symbols. */
enum special {
	SYM_QUOTE,
	SYM_IF,
	SYM_DEFINE,
	SYM_SET,
	SYM_LAMBDA,
	SYM_LET,
	SYM_LET_STAR,
	SYM_BEGIN,
	SYM_COND,
	SYM_AND,
	SYM_OR,
	SYM_ELSE,
	SPECIALS
};

void symbols_open(void);
value symbol(const char *name, size_t length);
const char *symbol_name(value symbol);

/* A global variable; 0 if it has no value. The table is no part of the heap, so it is a
 * root, and needs no barrier. */
value global_get(value symbol);
void global_set(value symbol, value v);
void symbols_each_global(void (*visit)(value v));

/* ---- read.c ------------------------------------------------------------------------- */

struct reader {
	const char *name, *at, *end;
	unsigned line;
};

/* The next expression, or END_OF_FILE. */
value read_value(struct mutator *m, struct reader *r);

/* ---- print.c ------------------------------------------------------------------------ */

/* quoted: in the form that read accepts. */
void print_value(struct mutator *m, FILE *f, value v, bool quoted);

/* ---- eval.c ------------------------------------------------------------------------- */

/* env: a frame, or NIL. */
value eval(struct mutator *m, value x, value env);

/* function(argument) */
value call(struct mutator *m, value function, value argument);

/* ---- builtins.c, table.c, text.c ------------------------------------------------------ */

struct builtin {
	const char *name;
	unsigned least, most; /* arguments */
	value (*run)(struct mutator *m, const value *args, unsigned n);
};

extern const struct builtin table_builtins[], text_builtins[]; /* end with a NULL name */

void builtins_open(void);
const struct builtin *builtin_of(value v);

/* The argument, which must be of this kind. Otherwise an error names the function. */
struct object *want(const char *function, value v, enum kind kind);
intptr_t want_number(const char *function, value v, intptr_t least, intptr_t most);

#endif
