/* SPDX-License-Identifier: MIT
 *
 * The hash that oracles compare pages by. Reads what others may be writing: any
 * mixture of old and new will do. */
#ifndef CM_TESTS_PAGE_HASH_H
#define CM_TESTS_PAGE_HASH_H

#include "tests/support/tap.h"

#include <stddef.h>
#include <stdint.h>

TAP_RACY __attribute__((noinline, unused)) static uint64_t page_hash(const unsigned char *p,
								     size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i += 8) {
		h = (h ^ *(const volatile uint64_t *)(const void *)(p + i)) *
		    UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

#endif
