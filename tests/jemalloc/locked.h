/* SPDX-License-Identifier: MIT
 *
 * A call beside a thread that has the arena's lock, and keeps it. Included once, by the test
 * itself, after glue.h. */
#ifndef CM_TESTS_LOCKED_H
#define CM_TESTS_LOCKED_H

#include "tests/jemalloc/watched.h"
#include "tests/support/gate.h"

static void *hold_the_lock(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&je->lock);
	stand_at_gate();
	(void)pthread_mutex_unlock(&je->lock);
	return NULL;
}

typedef enum cardmark_collected collect_fn(struct cardmark_jemalloc *, struct cardmark_table *);

static inline enum cardmark_collected collect_without_the_lock(collect_fn *fn)
{
	enum cardmark_collected result;
	pthread_t thread;

	shut_gate();
	CHECK_EQ(pthread_create(&thread, NULL, hold_the_lock, NULL), 0);
	await(&gate_reached);
	cardmark_table_clear(table);
	result = fn(je, table);
	open_gate();
	(void)pthread_join(thread, NULL);
	return result;
}

#endif
