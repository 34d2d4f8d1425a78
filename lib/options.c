/* SPDX-License-Identifier: MIT
 *
 * Options: one table, each with its environment override. */
#include "lib/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CARDMARK_BACKEND_COUNT] = {
	[CARDMARK_BACKEND_AUTO] = "auto",           [CARDMARK_BACKEND_PAGEMAP] = "pagemap",
	[CARDMARK_BACKEND_SOFTDIRTY] = "softdirty", [CARDMARK_BACKEND_UFFD] = "uffd",
	[CARDMARK_BACKEND_MPROTECT] = "mprotect",   [CARDMARK_BACKEND_ALLDIRTY] = "alldirty",
};

const char *cardmark_backend_name(enum cardmark_backend backend)
{
	return (unsigned)backend < CARDMARK_BACKEND_COUNT ? names[backend] : NULL;
}

int cardmark_backend_parse(const char *name, enum cardmark_backend *out)
{
	for (unsigned i = 0; name != NULL && i < CARDMARK_BACKEND_COUNT; i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum cardmark_backend)i;
			return 0;
		}
	}
	return cm_fail(-EINVAL,
		       "unknown backend \"%s\": one of auto, pagemap, softdirty, uffd, mprotect, "
		       "alldirty",
		       name == NULL ? "(null)" : name);
}

struct size_option {
	const char *variable;
	size_t offset;
	size_t fallback, least, most;
};

static const struct size_option size_options[] = {
	/* 64 MiB, all dirty, is about a millisecond under the mmap lock (R10). */
	{ "CARDMARK_CHUNK", offsetof(struct cardmark_options, chunk_bytes), (size_t)64 << 20, 1,
	  (size_t)1 << 46 },
	/* 512 is what the kernel gathers before it copies out. */
	{ "CARDMARK_VEC", offsetof(struct cardmark_options, vec_len), 512, 8, 65536 },
};

/* "4096", "64k", "256M", "1G". */
static int parse_size(const char *text, size_t *out)
{
	char *end;
	unsigned long long v;
	unsigned shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0)
		return -EINVAL;
	if (*end == 'k' || *end == 'K')
		shift = 10;
	else if (*end == 'M')
		shift = 20;
	else if (*end == 'G')
		shift = 30;
	if (end[shift != 0] != '\0' || v > SIZE_MAX >> shift)
		return -EINVAL;
	*out = (size_t)v << shift;
	return 0;
}

static int resolve_sizes(struct cardmark_options *o, bool env)
{
	for (size_t i = 0; i < sizeof size_options / sizeof *size_options; i++) {
		const struct size_option *d = &size_options[i];
		size_t *value = (size_t *)(void *)((char *)o + d->offset);
		const char *text = env ? getenv(d->variable) : NULL;

		if (text != NULL && parse_size(text, value) < 0)
			return cm_fail(-EINVAL, "%s=%s: not a size (like 4096, 64k, 256M)",
				       d->variable, text);
		if (*value == 0)
			*value = d->fallback;
		if (*value < d->least || *value > d->most)
			return cm_fail(-EINVAL, "%s is %zu: must lie in %zu..%zu", d->variable,
				       *value, d->least, d->most);
	}
	/* A chunk of part of a card would not move. */
	size_t card = cardmark_card_size();
	o->chunk_bytes = (o->chunk_bytes + card - 1) & ~(card - 1);
	return 0;
}

int cm_options_resolve(struct cardmark_options *out, const struct cardmark_options *in)
{
	const struct cardmark_options defaults = CARDMARK_OPTIONS_INIT;
	const char *name;
	int saved = errno, error = 0;
	bool env;

	*out = defaults;
	if (in != NULL) {
		if (in->size < offsetof(struct cardmark_options, chunk_bytes) || in->size > 4096)
			return cm_fail(-EINVAL, "cardmark_options.size is %zu: set it to sizeof",
				       in->size);
		/* A caller built against an older header gives less: the rest is default. */
		memcpy(out, in, in->size < sizeof *out ? in->size : sizeof *out);
	}
	if ((unsigned)out->backend >= CARDMARK_BACKEND_COUNT)
		return cm_fail(-EINVAL, "options.backend is %u: no such backend",
			       (unsigned)out->backend);
	if (out->flags & ~(unsigned)(CARDMARK_OPEN_CONCURRENT | CARDMARK_OPEN_NO_ENV))
		return cm_fail(-EINVAL, "options.flags has unknown bits: 0x%x", out->flags);
	env = !(out->flags & CARDMARK_OPEN_NO_ENV);
	name = env ? getenv("CARDMARK_BACKEND") : NULL;
	if (name != NULL && *name != '\0' && cardmark_backend_parse(name, &out->backend) < 0)
		return cm_fail(-EINVAL,
			       "CARDMARK_BACKEND=%s: no such backend (auto, pagemap, softdirty, "
			       "uffd, mprotect, alldirty)",
			       name);
	error = resolve_sizes(out, env);
	errno = saved;
	return error;
}
