/* SPDX-License-Identifier: MIT
 *
 * The public calls, and two adapters in one process. `cardmark
 * run` preloads one. A program that was linked with a shared adapter calls the preloaded one,
 * because its symbols come first. But a program with a static adapter calls its own, and both would
 * redirect the same calls to two trackers. So if the preloaded adapter is enabled, calls to this
 * one are passed to it.
 *
 * The preloaded adapter has a core of its own inside, but the program asks the core that it was
 * linked with for the text of an error. So the text is copied. */
#include "gc-glue/boehm/glue.h"
#include "lib/errors.h"

struct calls {
	int (*enable)(const struct cardmark_gc_options *options);
	int (*info)(struct cardmark_gc_info *info);
	int (*write_stats)(const char *path);
	const char *(*last_error)(void);
};

union symbol { /* C has no cast between function and object pointers */
	void *object;
	int (*enable)(const struct cardmark_gc_options *);
	int (*info)(struct cardmark_gc_info *);
	int (*write_stats)(const char *);
	const char *(*last_error)(void);
	bool (*is_enabled)(void);
};

static union symbol find(const char *name, const void *ours)
{
	return (union symbol){ .object = cm_gc_find_other(name, ours) };
}

/* The public calls of another adapter in this process, if that one is enabled and ours is not; else
 * NULL. */
static const struct calls *twin_calls(void)
{
	static struct calls twin; /* every thread would store the same */
	static atomic_bool found;
	union symbol own = { .enable = cardmark_gc_enable };
	bool (*is_enabled)(void);

	if (cm_gc_config.enabled)
		return NULL;
	/* Pairs with the release below. It stays enabled. */
	if (atomic_load_explicit(&found, memory_order_acquire))
		return &twin;
	twin.enable = find("cardmark_gc_enable", own.object).enable;
	own.info = cardmark_gc_info;
	twin.info = find("cardmark_gc_info", own.object).info;
	own.write_stats = cardmark_gc_write_stats;
	twin.write_stats = find("cardmark_gc_write_stats", own.object).write_stats;
	own.last_error = cm_gc_last_error;
	twin.last_error = find("cm_gc_last_error", own.object).last_error;
	own.is_enabled = cm_gc_is_enabled;
	is_enabled = find("cm_gc_is_enabled", own.object).is_enabled;
	if (!twin.enable || !twin.info || !twin.write_stats || !twin.last_error || !is_enabled ||
	    !is_enabled())
		return NULL;
	atomic_store_explicit(&found, true, memory_order_release);
	return &twin;
}

bool cm_gc_is_enabled(void)
{
	return cm_gc_config.enabled;
}

const char *cm_gc_last_error(void)
{
	return cardmark_last_error();
}

/* The result of a call of the twin: its error text becomes that of our core. */
static int with_words(const struct calls *twin, int result)
{
	return result < 0 ? cm_fail(result, "%s", twin->last_error()) : result;
}

int cardmark_gc_enable(const struct cardmark_gc_options *options)
{
	const struct calls *twin = twin_calls();
	int state, r;

	if (twin)
		return with_words(twin, twin->enable(options));

	/* A thread that is cancelled part-way would leave half of the work done. */
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	r = cm_gc_enable(options);
	(void)pthread_setcancelstate(state, NULL);
	return r;
}

int cardmark_gc_info(struct cardmark_gc_info *info)
{
	const struct calls *twin = twin_calls();

	return twin ? with_words(twin, twin->info(info)) : cm_gc_info(info);
}

int cardmark_gc_write_stats(const char *path)
{
	const struct calls *twin = twin_calls();

	return twin ? with_words(twin, twin->write_stats(path)) : cm_gc_write_stats(path);
}
