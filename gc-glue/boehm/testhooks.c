/* SPDX-License-Identifier: MIT
 * Only in the adapter of the tests; see the header. */
#ifndef CM_GC_TEST_HOOKS
#define CM_GC_TEST_HOOKS 1
#endif
#include "gc-glue/boehm/testhooks.h"

#include "common/random.h"

#include <stdint.h>
#include <stdlib.h>

static unsigned values[CM_GC_TEST_COUNT];

void cm_gc_test_read(void)
{
	static const char *const variables[] = {
#define CM_GC_TEST_VARIABLE(name) "CARDMARK_GC_TEST_" #name,
		CM_GC_TESTS(CM_GC_TEST_VARIABLE)
	};

	for (int i = 0; i < CM_GC_TEST_COUNT; i++) {
		const char *s = secure_getenv(variables[i]);

		values[i] = s ? (unsigned)strtoul(s, NULL, 10) : 0;
	}
}

unsigned cm_gc_test(enum cm_gc_test which)
{
	return values[which];
}

bool cm_gc_test_drop(void)
{
	static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

	if (!values[CM_GC_TEST_DROP])
		return false;
	return random_xorshift(&state) % 100 < values[CM_GC_TEST_DROP];
}

bool cm_gc_test_untracked(void)
{
	static unsigned pieces;

	return values[CM_GC_TEST_UNTRACKED] && ++pieces % values[CM_GC_TEST_UNTRACKED] == 0;
}
