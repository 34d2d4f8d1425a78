/* SPDX-License-Identifier: MIT */
#include "lib/query.h"

#include "lib/cards.h"
#include "lib/tracker.h"

#include <errno.h>

static int check_masks(const char *who, const struct cardmark_query *q)
{
	uint64_t unknown = cm_query_asks(q) & ~CARDMARK_PAGE_ALL;

	if (unknown != 0)
		return cm_fail(-EINVAL, "%s: unknown categories 0x%llx", who,
			       (unsigned long long)unknown);
	if (q->required & q->excluded)
		return cm_fail(-EINVAL, "%s: categories 0x%llx are both required and excluded", who,
			       (unsigned long long)(q->required & q->excluded));
	if (q->any_of != 0 && (q->any_of & ~q->excluded) == 0)
		return cm_fail(-EINVAL,
			       "%s: every category of any_of is excluded, so no page can match",
			       who);
	if (q->op != CARDMARK_SCAN_GET && !(q->required & CARDMARK_PAGE_WRITTEN))
		return cm_fail(
			-EINVAL,
			"%s: only written pages can be cleared: require CARDMARK_PAGE_WRITTEN",
			who);
	return 0;
}

int cm_query_check(const char *who, const struct cardmark_query *q)
{
	uintptr_t start = (uintptr_t)q->start;

	if ((start | q->len) % cardmark_card_size() != 0 || q->len == 0 ||
	    start >= CM_ADDRESS_LIMIT || q->len > UINTPTR_MAX - start)
		return cm_fail(-EINVAL, "%s: %#zx + %#zx is not a range of whole cards", who,
			       (size_t)start, q->len);
	if (q->op < CARDMARK_SCAN_GET || q->op > CARDMARK_SCAN_GET_AND_CLEAR)
		return cm_fail(-EINVAL, "%s: %d is not an operation (op)", who, (int)q->op);
	if (q->flags & ~(unsigned)CARDMARK_SCAN_IGNORE_NEW)
		return cm_fail(-EINVAL, "%s: flags has unknown bits: 0x%x", who, q->flags);
	if (q->op != CARDMARK_SCAN_CLEAR && (q->regions == NULL || q->capacity == 0))
		return cm_fail(-EINVAL, "%s: regions is NULL or capacity is 0", who);
	return check_masks(who, q);
}
