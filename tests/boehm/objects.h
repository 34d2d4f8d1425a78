/* SPDX-License-Identifier: MIT
 *
 * Objects with an id: so a program finds those that the collector took away. The place that
 * points to an object has its id as well. Included once, by the program itself. */
#ifndef CM_TESTS_BOEHM_OBJECTS_H
#define CM_TESTS_BOEHM_OBJECTS_H

#include <gc.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

struct object {
	uint64_t id, check;
};

static _Atomic uint64_t next_id;

static inline uint64_t check_of(uint64_t id)
{
	return (id + 77) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline struct object *new_object(void)
{
	struct object *o = GC_MALLOC(sizeof *o);

	if (!o)
		exit(99);
	o->id = ++next_id;
	o->check = check_of(o->id);
	return o;
}

/* id 0: there was none. */
static inline bool is_lost(const struct object *o, uint64_t id)
{
	return id && (o->id != id || o->check != check_of(id));
}

/* As large as objects, so that it takes the place of those that were freed. */
static inline void garbage(unsigned n)
{
	while (n-- > 0) {
		uint64_t *p = GC_MALLOC(sizeof(struct object));

		if (!p)
			exit(99);
		p[0] = p[1] = 1;
	}
}

/* The lost objects of a child, which exits with 1 if it finds one; also 1 if the child ended
 * otherwise. */
static inline uint64_t lost_in(pid_t child)
{
	int status = 0;

	return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

#endif
