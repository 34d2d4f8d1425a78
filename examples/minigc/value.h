/* SPDX-License-Identifier: MIT
 *
 * The form of a Lisp value, and of an object in the heap. A value is a word:
 *
 *	...xxx1  a number, shifted by one
 *	...x000  an object of the heap; 0 is no value at all
 *	...x010  a constant: (), #t, #f ...
 *	...x100  a symbol: its number, see symbols.c
 *	...x110  a function written in C: its number
 *
 * An object is a header of 8 bytes and its slots, or a string's bytes. The collector
 * keeps nothing in it: a mark bit here would dirty the card at each collection. */
#ifndef MINIGC_VALUE_H
#define MINIGC_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uintptr_t value;

enum { NIL = 2, TRUE = 10, FALSE = 18, NOTHING = 26, END_OF_FILE = 34 };

enum kind { PAIR = 1, VECTOR, STRING, CLOSURE, FRAME, TABLE, KINDS };

struct object {
	uint32_t kind;
	uint32_t length; /* slots; of a string: bytes */
	value slot[];
};

enum { LENGTH_MAX = 1 << 28 };

enum { CAR, CDR };                                  /* of a pair */
enum { CLOSURE_PARAMS, CLOSURE_BODY, CLOSURE_ENV }; /* of a closure */
enum { FRAME_PARENT, FRAME_NAMES, FRAME_VALUES };   /* of a frame: the first of its values */
enum { TABLE_COUNT, TABLE_BUCKETS, TABLE_SLOTS };   /* of a hash table */

static inline bool is_number(value v)
{
	return (v & 1) != 0;
}

static inline intptr_t number_of(value v)
{
	return (intptr_t)v >> 1;
}

static inline value from_number(intptr_t n)
{
	return ((value)n << 1) | 1;
}

static inline bool is_symbol(value v)
{
	return (v & 7) == 4;
}

static inline bool is_builtin(value v)
{
	return (v & 7) == 6;
}

/* Of a symbol or a function written in C. */
static inline size_t index_of(value v)
{
	return v >> 3;
}

static inline value from_symbol(size_t index)
{
	return (value)index << 3 | 4;
}

static inline value from_builtin(size_t index)
{
	return (value)index << 3 | 6;
}

static inline value from_bool(bool b)
{
	return b ? TRUE : FALSE;
}

static inline bool is_object(value v)
{
	return (v & 7) == 0 && v != 0;
}

static inline struct object *object_of(value v)
{
	return (struct object *)v;
}

static inline value from_object(const struct object *o)
{
	return (value)o;
}

static inline bool is_a(value v, enum kind kind)
{
	return is_object(v) && object_of(v)->kind == kind;
}

static inline char *string_bytes(struct object *o)
{
	return (char *)o->slot;
}

static inline size_t bytes_for(enum kind kind, size_t length)
{
	size_t bytes = sizeof(struct object) + (kind == STRING ? length : length * sizeof(value));

	return bytes < 16 ? 16 : bytes;
}

static inline size_t object_bytes(const struct object *o)
{
	return bytes_for((enum kind)o->kind, o->length);
}

/* How many values are in it. */
static inline size_t object_slots(const struct object *o)
{
	return o->kind == STRING ? 0 : o->length;
}

#endif
