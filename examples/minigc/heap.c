/* SPDX-License-Identifier: MIT
 * Opening the heap, and allocation. */
#include "examples/minigc/heap.h"

#include "examples/minigc/collect.h"
#include "examples/minigc/side.h"

#include <cardmark/jemalloc.h>

#include <string.h>

/* A sanitizer has its own malloc, so jemalloc's has a prefix there. */
#ifdef MINIGC_PREFIXED
#define mallctl _rjem_mallctl
#define mallocx _rjem_mallocx
#define sdallocx _rjem_sdallocx
int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen);
void *mallocx(size_t size, int flags);
void sdallocx(void *p, size_t size, int flags);
#else
#include <jemalloc/jemalloc.h>
#endif

struct heap heap;

void heap_open(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	int error;

	options.backend = config.backend;
	/* The other barriers do not use the tracker: make it cost them nothing. */
	if (config.barrier != BARRIER_CARDMARK) {
		options.backend = CARDMARK_BACKEND_ALLDIRTY;
		options.flags |= CARDMARK_OPEN_NO_ENV;
	}
	/* Not part of the choice without preclean: all our collects stop the world. */
	if (config.preclean)
		options.flags |= CARDMARK_OPEN_CONCURRENT;
	error = cardmark_open(&heap.cm, &options);
	if (error < 0)
		fatal("cannot track the heap: %s", cardmark_last_error());
	error = cardmark_jemalloc_create(&heap.je, heap.cm, mallctl, 0);
	if (error < 0)
		fatal("no arena: %s", cardmark_last_error());
	if (cardmark_table_new(&heap.table, heap.cm) < 0)
		fatal("no card table: %s", cardmark_last_error());
}

void heap_close(void)
{
	cardmark_table_delete(&heap.table);
	(void)cardmark_jemalloc_destroy(&heap.je);
	cardmark_close(&heap.cm);
}

int heap_flags(void)
{
	return cardmark_jemalloc_flags(heap.je);
}

static struct object *enter(void *p, enum kind kind, size_t length, size_t bytes)
{
	struct object *o = p;

	o->kind = kind;
	o->length = (uint32_t)length;
	if (kind != STRING)
		memset(o->slot, 0, bytes - sizeof *o);
	if (!side_enter(o))
		fatal("out of memory: no room for the bitmaps");
	return o;
}

struct object *allocate(struct mutator *m, enum kind kind, size_t length)
{
	size_t bytes = bytes_for(kind, length);
	void *p;

	poll_world();
	if (length > LENGTH_MAX)
		lisp_error("%zu is too long for an object", length);
	while (bytes > m->budget)
		collect(m, bytes, COLLECT_WHAT_IS_DUE);
	p = mallocx(bytes, m->flags);
	if (p == NULL) {
		collect(m, bytes, COLLECT_FULL);
		p = mallocx(bytes, m->flags);
	}
	if (p == NULL)
		lisp_error("out of memory: jemalloc has no %zu bytes", bytes);
	m->budget -= bytes < m->budget ? bytes : m->budget;
	m->allocated += bytes;
	return enter(p, kind, length, bytes);
}

void heap_free(struct mutator *m, struct object *o, size_t bytes)
{
	if (config.verify)
		memset(o, 0xdb, bytes);
	sdallocx(o, bytes, m->flags);
}

value cons(struct mutator *m, value car, value cdr)
{
	struct object *o;

	push(m, car);
	push(m, cdr);
	o = allocate(m, PAIR, 2);
	o->slot[CAR] = car;
	o->slot[CDR] = cdr;
	m->top -= 2;
	return from_object(o);
}

value string(struct mutator *m, const char *bytes, size_t length)
{
	struct object *o = allocate(m, STRING, length);

	memcpy(string_bytes(o), bytes, length);
	return from_object(o);
}
