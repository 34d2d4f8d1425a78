/* SPDX-License-Identifier: MIT
 *
 * Everything is dirty, always: the fallback that works everywhere, and the reference for
 * measurements. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/os/os.h"

#include <errno.h>

static int alldirty_open(struct cm_backend **out, const struct cm_backend_params *params,
			 const char **why)
{
	void *memory;
	int error = cm_os->map(sizeof **out, &memory);

	if (error < 0) {
		*why = "no memory for the tracker";
		return -ENOMEM;
	}
	*out = memory;
	(*out)->ops = &cm_backend_alldirty;
	(*out)->params = *params;
	return 0;
}

static void alldirty_close(struct cm_backend *b, const struct cm_ranges *all)
{
	(void)all;
	(void)cm_os->unmap(b, sizeof *b);
}

static int alldirty_add(struct cm_backend *b, const struct cm_range *piece)
{
	(void)b;
	(void)piece;
	return 0;
}

static void alldirty_remove(struct cm_backend *b, const struct cm_range *piece)
{
	(void)b;
	(void)piece;
}

static size_t alldirty_harvest(struct cm_backend *b, const struct cm_ranges *all,
			       struct cardmark_run span, struct cm_cards *into)
{
	(void)b;
	cm_ranges_mark(all, span, into);
	return 0; /* nothing guessed: this is what it was asked for */
}

static void rearm_nothing(struct cm_backend *b, uintptr_t start, uintptr_t end)
{
	(void)b;
	(void)start;
	(void)end;
}

static void alldirty_scan(struct cm_backend *b, const struct cm_ranges *all,
			  const struct cm_range *piece, const struct cm_masks *masks,
			  enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	(void)all;
	cm_composed_scan(b, piece, masks, op, sink, resume, NULL, rearm_nothing);
}

static int alldirty_rebuild(struct cm_backend *b, const struct cm_ranges *all)
{
	(void)b;
	(void)all;
	return 0;
}

static void alldirty_abandon(struct cm_backend *b)
{
	(void)b;
}

const struct cm_backend_ops cm_backend_alldirty = {
	.id = CARDMARK_BACKEND_ALLDIRTY,
	.level = 1,
	.capabilities = CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_KERNEL_WRITES | CARDMARK_CAP_REMAP |
			CARDMARK_CAP_MPROTECT | CARDMARK_CAP_NO_TRAP | CARDMARK_CAP_SHARED,
	.open = alldirty_open,
	.close = alldirty_close,
	.categories = cm_composed_categories,
	.add = alldirty_add,
	.remove = alldirty_remove,
	.harvest = alldirty_harvest,
	.scan = alldirty_scan,
	.rebuild = alldirty_rebuild,
	.abandon = alldirty_abandon,
};
