/* SPDX-License-Identifier: MIT
 *
 * Arrays of address ranges, sorted and disjoint. An element begins with its start and its end;
 * any other members follow. */
#ifndef CM_COMMON_RANGES_H
#define CM_COMMON_RANGES_H

#include <stddef.h>
#include <stdint.h>

/* The index of the first of n elements that ends above addr; n if there is none. */
static inline size_t cm_first_above(const void *v, size_t n, size_t element, uintptr_t addr)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const uintptr_t *range =
			(const void *)((const unsigned char *)v + middle * element);

		if (range[1] > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

#endif
