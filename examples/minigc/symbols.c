/* SPDX-License-Identifier: MIT
 * Symbols and the global variables that they name. Never freed. */
#include "examples/minigc/lisp.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SYMBOLS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of names and n */
static char *names[SYMBOLS];
static size_t n;
static _Atomic value globals[SYMBOLS];

static const char *const specials[SPECIALS] = {
	"quote", "if",    "define", "set!", "lambda", "let",
	"let*",  "begin", "cond",   "and",  "or",     "else",
};

void symbols_open(void)
{
	for (unsigned i = 0; i < SPECIALS; i++)
		(void)symbol(specials[i], strlen(specials[i]));
}

/* Programs have some hundred names, and each is looked up only when it is read. */
value symbol(const char *name, size_t length)
{
	size_t i;

	(void)pthread_mutex_lock(&lock);
	for (i = 0; i < n; i++)
		if (strncmp(names[i], name, length) == 0 && names[i][length] == '\0')
			break;
	if (i == n) {
		if (n == SYMBOLS || (names[n] = strndup(name, length)) == NULL)
			fatal("no room for the symbol %.*s", (int)length, name);
		n++;
	}
	(void)pthread_mutex_unlock(&lock);
	return from_symbol(i);
}

const char *symbol_name(value s)
{
	return names[index_of(s)];
}

value global_get(value s)
{
	return atomic_load_explicit(&globals[index_of(s)], memory_order_acquire);
}

/* release: the object was filled in before. */
void global_set(value s, value v)
{
	atomic_store_explicit(&globals[index_of(s)], v, memory_order_release);
}

void symbols_each_global(void (*visit)(value v))
{
	for (size_t i = 0; i < n; i++)
		visit(atomic_load_explicit(&globals[i], memory_order_relaxed));
}
