/* SPDX-License-Identifier: MIT
 *
 * Options: one table, each with its environment override. */
#include "lib/sized.h"
#include "lib/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
	[CARDMARK_BACKEND_AUTO] = "auto",           [CARDMARK_BACKEND_PAGEMAP] = "pagemap",
	[CARDMARK_BACKEND_SOFTDIRTY] = "softdirty", [CARDMARK_BACKEND_UFFD] = "uffd",
	[CARDMARK_BACKEND_MPROTECT] = "mprotect",   [CARDMARK_BACKEND_ALLDIRTY] = "alldirty",
};

#define NAMES (sizeof names / sizeof *names)

const char *cardmark_backend_name(enum cardmark_backend backend)
{
	return (unsigned)backend < NAMES ? names[backend] : NULL;
}

int cardmark_backend_parse(const char *name, enum cardmark_backend *out)
{
	for (unsigned i = 0; name != NULL && i < NAMES; i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum cardmark_backend)i;
			return 0;
		}
	}
	return cm_fail(
		-EINVAL,
		"there is no backend \"%s\": choose auto, pagemap, softdirty, uffd, mprotect "
		"or alldirty",
		name == NULL ? "(null)" : name);
}

/* An option besides the backend: a number, or one of some words. */
struct option {
	const char *variable, *field;
	size_t offset, width;
	const char *what;         /* after "is not": what it should be */
	const char *const *words; /* NULL: a number */
	uint64_t fallback, least, most;
};

#define FIELD(name)                                                                                \
#name, offsetof(struct cardmark_options, name), sizeof(((struct cardmark_options *)0)->name)
#define SIZE "a size (like 4096, 64k, 256M)"

static const char *const huge_words[] = { [CARDMARK_HUGE_KEEP] = "keep",
					  [CARDMARK_HUGE_SPLIT] = "split",
					  [CARDMARK_HUGE_NEVER] = "never",
					  NULL };

/* 0 is the default, and has no name. */
static const char *const verify_words[] = {
	"", [CARDMARK_VERIFY_OFF] = "off", [CARDMARK_VERIFY_HASH] = "hash", NULL
};

static const struct option table[] = {
	/* 64 MiB, all dirty, take 0.6 ms under the mmap lock (R10). Smaller pieces make a collect
	 * slower (16 MiB by a tenth), but other threads do not wait less: see cm_rest(). */
	{ "CARDMARK_CHUNK", FIELD(chunk_bytes), SIZE, NULL, UINT64_C(64) << 20, 1,
	  UINT64_C(1) << 46 },
	/* 512 is what the kernel gathers before it copies out. */
	{ "CARDMARK_VEC", FIELD(vec_len), SIZE, NULL, 512, 8, 65536 },
	{ "CARDMARK_THREADS", FIELD(threads), "a number of threads", NULL, 1, 1, 64 },
	{ "CARDMARK_HUGE", FIELD(huge), "one of keep, split, never", huge_words, CARDMARK_HUGE_KEEP,
	  CARDMARK_HUGE_KEEP, CARDMARK_HUGE_NEVER },
	{ "CARDMARK_BACKOFF", FIELD(backoff), "a number of collects", NULL, 0, 0, 10000 },
	{ "CARDMARK_VERIFY", FIELD(verify), "one of off, hash", verify_words, CARDMARK_VERIFY_OFF,
	  CARDMARK_VERIFY_OFF, CARDMARK_VERIFY_HASH },
};

/* "4096", "64k", "256M", "1G". */
static int parse_number(const char *text, uint64_t *out)
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
	if (end[shift != 0] != '\0' || v > UINT64_MAX >> shift)
		return -EINVAL;
	*out = (uint64_t)v << shift;
	return 0;
}

static int parse_word(const char *text, const char *const *words, uint64_t *out)
{
	for (uint64_t i = 0; words[i] != NULL; i++)
		if (strcmp(text, words[i]) == 0) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

/* Fields are of one of two widths: size_t, or unsigned and enums. */
static uint64_t get_field(const struct cardmark_options *o, const struct option *d)
{
	const char *at = (const char *)o + d->offset;
	unsigned narrow;
	size_t wide;

	if (d->width == sizeof wide) {
		memcpy(&wide, at, sizeof wide);
		return wide;
	}
	memcpy(&narrow, at, sizeof narrow);
	return narrow;
}

static void set_field(struct cardmark_options *o, const struct option *d, uint64_t value)
{
	char *at = (char *)o + d->offset;
	unsigned narrow = (unsigned)value;
	size_t wide = (size_t)value;

	if (d->width == sizeof wide)
		memcpy(at, &wide, sizeof wide);
	else
		memcpy(at, &narrow, sizeof narrow);
}

static int resolve_option(struct cardmark_options *o, const struct option *d, const char *text)
{
	uint64_t value = get_field(o, d);

	if (text != NULL && (d->words != NULL ? parse_word(text, d->words, &value)
					      : parse_number(text, &value)) < 0)
		return cm_fail(-EINVAL, "%s=%s: not %s", d->variable, text, d->what);
	if (value == 0)
		value = d->fallback;
	if (value < d->least || value > d->most)
		return cm_fail(-EINVAL, "%s%s is %llu: it must be from %llu to %llu",
			       text != NULL ? "" : "the option ",
			       text != NULL ? d->variable : d->field, (unsigned long long)value,
			       (unsigned long long)d->least, (unsigned long long)d->most);
	set_field(o, d, value);
	return 0;
}

/* NULL: not set, empty, or ignored: a set-user-ID program must not obey the environment of the user
 * that starts it. */
static const char *variable(const char *name, bool env)
{
	const char *text = env ? secure_getenv(name) : NULL;

	return text == NULL || *text == '\0' ? NULL : text;
}

static int resolve_table(struct cardmark_options *o, bool env)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		int error = resolve_option(o, &table[i], variable(table[i].variable, env));
		if (error < 0)
			return error;
	}
	/* A scan by chunks smaller than a card would not advance. */
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
		error = cm_sized_take("cardmark_options", out, sizeof *out, in);
		if (error < 0)
			return error;
	}
	if (cardmark_backend_name(out->backend) == NULL)
		return cm_fail(-EINVAL, "options.backend is %u: no such backend",
			       (unsigned)out->backend);
	if (out->flags & ~(unsigned)(CARDMARK_OPEN_CONCURRENT | CARDMARK_OPEN_NO_ENV |
				     CARDMARK_OPEN_DISCARDS | CARDMARK_OPEN_DISCARD_IS_WRITE))
		return cm_fail(-EINVAL, "options.flags has unknown bits: 0x%x", out->flags);
	env = !(out->flags & CARDMARK_OPEN_NO_ENV);
	name = variable("CARDMARK_BACKEND", env);
	if (name != NULL && cardmark_backend_parse(name, &out->backend) < 0)
		return cm_fail(-EINVAL,
			       "CARDMARK_BACKEND=%s: there is no such backend; choose auto, "
			       "pagemap, softdirty, uffd, mprotect or alldirty",
			       name);
	error = resolve_table(out, env);
	errno = saved;
	return error;
}
