/* SPDX-License-Identifier: MIT
 *
 * Memory that is dirty in every answer while it is held. */
#include "lib/tracker.h"

#include <errno.h>

static int check(const char *call, uintptr_t start, size_t len)
{
	if (len == 0)
		return cm_fail(-EINVAL, "%s: the range is empty", call);
	if (start >= CM_ADDRESS_LIMIT || len > CM_ADDRESS_LIMIT - start)
		return cm_fail(-EINVAL, "%s: %#zx + %#zx is not in user space", call, (size_t)start,
			       len);
	return 0;
}

int cardmark_hold(struct cardmark *cm, const void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr;
	int error = check("cardmark_hold", start, len);

	if (error < 0)
		return error;
	error = cm_tracker_enter(cm);
	if (error < 0)
		return error;
	error = cm_holds_add(&cm->holds, start, start + len);
	cm_tracker_unlock(cm);
	return error < 0 ? cm_fail(error, "cardmark_hold: no memory for another hold") : 0;
}

/* The held memory may have been written until now, without being seen. */
static void keep(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	uintptr_t mask = cardmark_card_size() - 1;

	cm_keep_run(cm, (struct cardmark_run){ start & ~mask, (end + mask) & ~mask }, 0);
}

int cardmark_release(struct cardmark *cm, const void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr;
	int error = check("cardmark_release", start, len);

	if (error < 0)
		return error;
	error = cm_tracker_enter(cm);
	if (error < 0)
		return error;
	error = cm_holds_remove(&cm->holds, start, start + len);
	if (error == 0)
		keep(cm, start, start + len);
	cm_tracker_unlock(cm);
	return error < 0 ? cm_fail(error, "cardmark_release: there is no hold of %#zx + %#zx",
				   (size_t)start, len)
			 : 0;
}
