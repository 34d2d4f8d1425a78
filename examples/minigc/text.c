/* SPDX-License-Identifier: MIT
 * Strings and files. */
#include "examples/minigc/lisp.h"

#include "examples/minigc/heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FILES = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the array, not of the files */
static FILE *files[FILES];

static value open_input(struct mutator *m, const value *a, unsigned n)
{
	struct object *o = want("open-input", a[0], STRING);
	char *name = strndup(string_bytes(o), o->length);
	FILE *f = name == NULL ? NULL : fopen(name, "r");
	size_t i = 0;

	(void)m, (void)n;
	if (f == NULL)
		lisp_error("open-input: %s: %s", name, strerror(errno));
	free(name);
	(void)pthread_mutex_lock(&lock);
	while (i < FILES && files[i] != NULL)
		i++;
	if (i < FILES)
		files[i] = f;
	(void)pthread_mutex_unlock(&lock);
	if (i == FILES)
		lisp_error("open-input: %d files are open", FILES);
	return from_number((intptr_t)i);
}

static FILE *file_of(const char *function, value v)
{
	FILE *f = files[want_number(function, v, 0, FILES - 1)];

	if (f == NULL)
		lisp_error("%s: that file is not open", function);
	return f;
}

static value read_line(struct mutator *m, const value *a, unsigned n)
{
	char *line = NULL;
	size_t size = 0;
	FILE *f = file_of("read-line", a[0]);
	value v = END_OF_FILE;
	ssize_t length;

	(void)n;
	/* It may wait for a long time: a collection should not wait for it. */
	world_rest();
	length = getline(&line, &size, f);
	world_resume();
	if (length > 0 && line[length - 1] == '\n')
		length--;
	if (length >= 0)
		v = string(m, line, (size_t)length);
	else if (ferror(f))
		lisp_error("read-line: %s", strerror(errno));
	free(line);
	return v;
}

static value close_input(struct mutator *m, const value *a, unsigned n)
{
	FILE *f = file_of("close-input", a[0]);

	(void)m, (void)n;
	(void)pthread_mutex_lock(&lock);
	files[number_of(a[0])] = NULL;
	(void)pthread_mutex_unlock(&lock);
	(void)fclose(f);
	return NOTHING;
}

static value is_eof(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_bool(a[0] == END_OF_FILE);
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The words of a string, in order, in small letters. */
static value words(struct mutator *m, const value *a, unsigned n)
{
	struct object *text = want("words", a[0], STRING);
	size_t base = m->top, end = text->length, start;
	value v = NIL;

	(void)n;
	push(m, NIL);
	for (; end > 0; end = start) {
		struct object *word;

		start = end - 1;
		if (!is_letter(string_bytes(text)[start]))
			continue;
		while (start > 0 && is_letter(string_bytes(text)[start - 1]))
			start--;
		v = string(m, string_bytes(text) + start, end - start);
		word = object_of(v);
		for (size_t i = 0; i < word->length; i++)
			string_bytes(word)[i] |= 0x20;
		m->stack[base] = cons(m, v, m->stack[base]);
	}
	m->top = base;
	return m->stack[base];
}

static value string_less(struct mutator *m, const value *a, unsigned n)
{
	struct object *x = want("string<?", a[0], STRING), *y = want("string<?", a[1], STRING);
	size_t both = x->length < y->length ? x->length : y->length;
	int order = memcmp(string_bytes(x), string_bytes(y), both);

	(void)m, (void)n;
	return from_bool(order < 0 || (order == 0 && x->length < y->length));
}

static value string_length(struct mutator *m, const value *a, unsigned n)
{
	(void)m, (void)n;
	return from_number(want("string-length", a[0], STRING)->length);
}

static value string_to_number(struct mutator *m, const value *a, unsigned n)
{
	struct object *o = want("string->number", a[0], STRING);
	const char *at = string_bytes(o);
	intptr_t number = 0;

	(void)m, (void)n;
	if (o->length == 0 || o->length > 18)
		lisp_error("string->number: 1 to 18 digits are wanted");
	for (size_t i = 0; i < o->length; i++) {
		if (at[i] < '0' || at[i] > '9')
			lisp_error("string->number: %.*s has other than digits", (int)o->length,
				   at);
		number = number * 10 + (at[i] - '0');
	}
	return from_number(number);
}

static value string_append(struct mutator *m, const value *a, unsigned n)
{
	size_t length = 0, at = 0;
	struct object *o;

	for (unsigned i = 0; i < n; i++)
		length += want("string-append", a[i], STRING)->length;
	o = allocate(m, STRING, length);
	for (unsigned i = 0; i < n; at += object_of(a[i])->length, i++)
		memcpy(string_bytes(o) + at, string_bytes(object_of(a[i])),
		       object_of(a[i])->length);
	return from_object(o);
}

const struct builtin text_builtins[] = {
	{ "open-input", 1, 1, open_input },
	{ "read-line", 1, 1, read_line },
	{ "close-input", 1, 1, close_input },
	{ "eof?", 1, 1, is_eof },
	{ "words", 1, 1, words },
	{ "string<?", 2, 2, string_less },
	{ "string-length", 1, 1, string_length },
	{ "string->number", 1, 1, string_to_number },
	{ "string-append", 0, 64, string_append },
	{ NULL, 0, 0, NULL },
};
