/* SPDX-License-Identifier: MIT
 *
 * Transparent huge pages in ranges that are tracked (R16). */
#ifndef CM_HUGE_H
#define CM_HUGE_H

#include "cardmark/cardmark.h"

#include <stdint.h>

/* Applies the option to the private memory in [start, end). Changes neither contents nor which
 * cards count as written. It is for speed only, so it ignores the kernel's refusal. */
void cm_huge_prepare(enum cardmark_huge huge, uintptr_t start, uintptr_t end);

#endif
