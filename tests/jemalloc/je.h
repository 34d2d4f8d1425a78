/* SPDX-License-Identifier: MIT
 *
 * jemalloc for the tests: Debian's shared one, which is also malloc, or a static one
 * whose names were given a prefix (JE_PREFIXED), beside the C library's malloc. */
#ifndef CM_TESTS_JE_H
#define CM_TESTS_JE_H

#include <cardmark/jemalloc.h>

#include "tests/support/live.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef JE_PREFIXED
#define mallctl _rjem_mallctl
#define mallocx _rjem_mallocx
#define rallocx _rjem_rallocx
#define dallocx _rjem_dallocx
#define plain_malloc _rjem_malloc
#define plain_free _rjem_free
#define JE_BUILD "prefixed"
void *plain_malloc(size_t size);
void plain_free(void *p);
#else
#define plain_malloc malloc
#define plain_free free
#define JE_BUILD "shared"
#endif

/* Declared here: the header of one build does not name the other's. */
int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen);
void *mallocx(size_t size, int flags);
void *rallocx(void *p, size_t size, int flags);
void dallocx(void *p, int flags);

#define JE_ARENA(a) ((int)(((unsigned)(a) + 1U) << 20))
#define JE_TCACHE_NONE ((int)(1U << 8))

/* extent_hooks_t, as its users see it. */
struct je_hooks {
	void *(*alloc)(struct je_hooks *, void *, size_t, size_t, bool *, bool *, unsigned);
	bool (*dalloc)(struct je_hooks *, void *, size_t, bool, unsigned);
	void (*destroy)(struct je_hooks *, void *, size_t, bool, unsigned);
	bool (*commit)(struct je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*decommit)(struct je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*purge_lazy)(struct je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*purge_forced)(struct je_hooks *, void *, size_t, size_t, size_t, unsigned);
	bool (*split)(struct je_hooks *, void *, size_t, size_t, size_t, bool, unsigned);
	bool (*merge)(struct je_hooks *, void *, size_t, void *, size_t, bool, unsigned);
};

/* For hooks of a test's own: any split and merge is fine with anonymous memory. */
static inline bool je_split(struct je_hooks *h, void *addr, size_t size, size_t a, size_t b,
			    bool committed, unsigned arena)
{
	(void)h, (void)addr, (void)size, (void)a, (void)b, (void)committed, (void)arena;
	return false;
}

static inline bool je_merge(struct je_hooks *h, void *a, size_t size_a, void *b, size_t size_b,
			    bool committed, unsigned arena)
{
	(void)h, (void)a, (void)size_a, (void)b, (void)size_b, (void)committed, (void)arena;
	return false;
}

static inline int je_read_option(const char *name, bool *value)
{
	size_t size = sizeof *value;

	return mallctl(name, value, &size, NULL, 0);
}

static inline int je_write_hooks(unsigned arena, struct je_hooks *hooks)
{
	char name[64];

	(void)snprintf(name, sizeof name, "arena.%u.extent_hooks", arena);
	return mallctl(name, NULL, NULL, &hooks, sizeof hooks);
}

static inline struct je_hooks *je_read_hooks(unsigned arena)
{
	struct je_hooks *hooks = NULL;
	size_t size = sizeof hooks;
	char name[64];

	(void)snprintf(name, sizeof name, "arena.%u.extent_hooks", arena);
	return mallctl(name, &hooks, &size, NULL, 0) == 0 ? hooks : NULL;
}

static inline int je_arena_do(const char *what, unsigned arena)
{
	char name[64];

	(void)snprintf(name, sizeof name, "arena.%u.%s", arena, what);
	return mallctl(name, NULL, NULL, NULL, 0);
}

static inline unsigned je_new_arena(void)
{
	unsigned arena = 0;
	size_t size = sizeof arena;

	CHECK_EQ(mallctl("arenas.create", &arena, &size, NULL, 0), 0);
	return arena;
}

static inline struct cardmark_jemalloc_stats je_stats(struct cardmark_jemalloc *je)
{
	struct cardmark_jemalloc_stats stats = { .size = sizeof stats };

	CHECK_EQ(cardmark_jemalloc_stats(je, &stats), 0);
	return stats;
}

static inline struct cardmark_jemalloc *je_create(struct cardmark *cm, unsigned flags)
{
	struct cardmark_jemalloc *je = NULL;
	int error = cardmark_jemalloc_create(&je, cm, mallctl, flags);

	if (error < 0)
		tap_note("create: %s: %s", cardmark_strerror(error), cardmark_last_error());
	CHECK_EQ(error, 0);
	CHECK(je != NULL);
	return je;
}

#endif
