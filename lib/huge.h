/* SPDX-License-Identifier: MIT
 *
 * Transparent huge pages in ranges that are tracked (R16). */
#ifndef CM_HUGE_H
#define CM_HUGE_H

#include "cardmark/cardmark.h"

#include <stdint.h>

/* Does to the private memory in [start, end) what the option asks for. Changes neither
 * contents nor what counts as written. It is for speed only, so it ignores the kernel's
 * refusal. */
void cm_huge_prepare(enum cardmark_huge huge, uintptr_t start, uintptr_t end);

#endif
