/* SPDX-License-Identifier: MIT
 *
 * The options of the program and the environment, and the texts of failures. */
#include "gc-glue/boehm/glue.h"
#include "lib/errors.h"
#include "lib/sized.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cm_gc_config cm_gc_config;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void *cm_gc_find_other(const char *name, const void *ours)
{
	void *other = dlsym(RTLD_DEFAULT, name);

	/* A program that exports its own comes before the preloaded one. */
	if (other == ours)
		other = dlsym(RTLD_NEXT, name);
	/* A missing function is no error, and the program's next dlerror() must not report it. */
	if (other == NULL)
		(void)dlerror();
	return other == ours ? NULL : other;
}

/* Sets the same text for the program, if it uses another core than ours. */
static void tell_program(int error, const char *words)
{
	union { /* C has no cast between function and object pointers */
		void *object;
		int (*fail)(int, const char *, ...);
	} ours = { .fail = cm_fail }, theirs = { cm_gc_find_other("cm_fail", ours.object) };

	if (theirs.object)
		(void)theirs.fail(error, "%s", words);
}

int cm_gc_fail(int error, const char *format, ...)
{
	char words[640];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof words, format, args);
	va_end(args);
	tell_program(error, words);
	return cm_fail(error, "%s", words);
}

void cm_gc_because(const char *format, ...)
{
	char *why = cm_gc_config.why;
	size_t n = strlen(why);
	va_list args;

	if (n)
		n += (size_t)snprintf(why + n, sizeof cm_gc_config.why - n, "; ");
	if (n >= sizeof cm_gc_config.why)
		return;
	va_start(args, format);
	vsnprintf(why + n, sizeof cm_gc_config.why - n, format, args);
	va_end(args);
}

static const char *const mode_names[] = { "auto", "libgc-mprotect", "stop-the-world", "libgc-own" };
static const char *const way_names[] = { "auto", "A", "B" };
static const char *const walk_names[] = { "auto", "libgc" };

const char *cm_gc_mode_name(enum cardmark_gc_mode mode)
{
	return mode_names[mode];
}

/* -1: not one of them */
static int name_index(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], s) == 0)
			return (int)i;
	return -1;
}

/* ---- Settings -------------------------------------------------------------------- */

#define MOST_TARGET_NS (UINT64_C(3600) * 1000000000)

/* NULL if it is not set, or empty. */
static const char *variable(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

static int read_environment(enum cardmark_gc_way *way)
{
	struct cm_gc_config *c = &cm_gc_config;
	const char *mode = variable("CARDMARK_GC_MODE"), *a_or_b = variable("CARDMARK_GC_WAY");
	const char *target = variable("CARDMARK_PAUSE_TARGET");
	const char *verify = variable("CARDMARK_VERIFY"), *walk = variable("CARDMARK_GC_WALK");
	int i;

	if (mode) {
		i = name_index(mode_names, COUNT(mode_names), mode);
		if (i < 0)
			return cm_gc_fail(-EINVAL,
					  "CARDMARK_GC_MODE=%s: not one of auto, "
					  "libgc-mprotect, stop-the-world, libgc-own",
					  mode);
		c->mode = (enum cardmark_gc_mode)i;
	}
	if (a_or_b) {
		i = name_index(way_names, COUNT(way_names), a_or_b);
		if (i < 0)
			return cm_gc_fail(-EINVAL, "CARDMARK_GC_WAY=%s: not one of auto, A, B",
					  a_or_b);
		*way = (enum cardmark_gc_way)i;
	}
	i = walk ? name_index(walk_names, COUNT(walk_names), walk) : 0;
	if (i < 0)
		return cm_gc_fail(-EINVAL, "CARDMARK_GC_WALK=%s: not one of auto, libgc", walk);
	c->walk = i == 0;
	if (target && (!cm_gc_ms_parse(target, MOST_TARGET_NS, &c->target_ns) || !c->target_ns))
		return cm_gc_fail(-EINVAL,
				  "CARDMARK_PAUSE_TARGET=%s: not a number of "
				  "milliseconds above 0, such as 5 or 2.5",
				  target);
	/* cardmark_open() reads it, and complains. */
	c->verify = verify && strcmp(verify, "hash") == 0;
	return 0;
}

int cm_gc_read_settings(const struct cardmark_gc_options *options, enum cardmark_gc_way *way)
{
	struct cm_gc_config *c = &cm_gc_config;
	struct cardmark_gc_options o = CARDMARK_GC_OPTIONS_INIT;

	if (options && cm_sized_take("cardmark_gc_options", &o, sizeof o, options) < 0)
		return cm_gc_fail(-EINVAL, "%s", cardmark_last_error());
	if ((unsigned)o.mode >= COUNT(mode_names) || (unsigned)o.way >= COUNT(way_names))
		return cm_gc_fail(-EINVAL, "no such mode or way");
	c->backend = o.backend;
	c->mode = o.mode;
	c->target_ns = o.pause_target_ms * UINT64_C(1000000);
	*way = o.way;
	return read_environment(way);
}
