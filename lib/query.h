/* SPDX-License-Identifier: MIT
 *
 * Checks that cardmark_scan() and cardmark_process_scan() share. */
#ifndef CM_QUERY_H
#define CM_QUERY_H

#include "cardmark/cardmark.h"

/* 0, or -EINVAL and a message that begins with the function's name. */
int cm_query_check(const char *who, const struct cardmark_query *q);

/* Every category that the question names. */
static inline uint64_t cm_query_asks(const struct cardmark_query *q)
{
	return q->required | q->any_of | q->excluded | q->returned;
}

#endif
