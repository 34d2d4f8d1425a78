/* SPDX-License-Identifier: MIT
 *
 * Two adapters in one process. `cardmark run` preloads one; a program that was linked
 * with a shared one calls that, as its symbols come first, but a program with a static
 * one calls its own, and two would redirect the same calls to two trackers. So where the
 * preloaded one is at work, the calls to ours lead to it.
 */
#include "gc-glue/boehm/glue.h"

#include <dlfcn.h>
#include <errno.h>

union symbol { /* C has no cast between function and object pointers */
	void *object;
	int (*enable)(const struct cardmark_gc_options *);
	int (*info)(struct cardmark_gc_info *);
	int (*write_stats)(const char *);
	const char *(*error)(void);
};

static union symbol find(const char *name, const void *ours)
{
	union symbol s = { .object = dlsym(RTLD_DEFAULT, name) };

	/* A program that exports its own comes before the preloaded one. */
	if (s.object == ours)
		s.object = dlsym(RTLD_NEXT, name);
	if (s.object == ours)
		s.object = NULL;
	return s;
}

const struct cm_gc_twin *cm_gc_twin(void)
{
	static struct cm_gc_twin twin; /* every thread would store the same */
	static atomic_bool found;
	union symbol own = { .enable = cardmark_gc_enable };

	if (cm_gc_config.enabled)
		return NULL;
	/* Pairs with the release below. It stays enabled, and asking changes its words. */
	if (atomic_load_explicit(&found, memory_order_acquire))
		return &twin;
	twin.enable = find("cardmark_gc_enable", own.object).enable;
	own.info = cardmark_gc_info;
	twin.info = find("cardmark_gc_info", own.object).info;
	own.write_stats = cardmark_gc_write_stats;
	twin.write_stats = find("cardmark_gc_write_stats", own.object).write_stats;
	own.error = cardmark_gc_error;
	twin.error = find("cardmark_gc_error", own.object).error;
	/* -ENOENT: it is not at work. */
	if (!twin.enable || !twin.info || !twin.write_stats || !twin.error ||
	    twin.info(NULL) != -EINVAL)
		return NULL;
	atomic_store_explicit(&found, true, memory_order_release);
	return &twin;
}
