/* SPDX-License-Identifier: MIT
 *
 * An arena's life under watch. jemalloc is asked by mallctl, never by its version. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define MOST_RANGES ((size_t)1 << 20) /* above any limit on mappings that is in use */
#define MOST_DISCARDS ((size_t)4096)

/* ---- mallctl ------------------------------------------------------------------ */

static int read_value(cardmark_mallctl mallctl, const char *name, void *value, size_t size)
{
	size_t got = size;
	int error = mallctl(name, value, &got, NULL, 0);

	return error != 0 || got == size ? error : EINVAL;
}

static void arena_name(char name[static 64], const char *format, unsigned arena)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(name, 64, format, arena);
#pragma GCC diagnostic pop
}

static int read_of(cardmark_mallctl mallctl, const char *format, unsigned arena, void *value,
		   size_t size)
{
	char name[64];

	arena_name(name, format, arena);
	return read_value(mallctl, name, value, size);
}

static int write_hooks(cardmark_mallctl mallctl, unsigned arena, struct cm_je_hooks *hooks)
{
	char name[64];

	arena_name(name, "arena.%u.extent_hooks", arena);
	return mallctl(name, NULL, NULL, &hooks, sizeof(void *));
}

static int destroy_arena(cardmark_mallctl mallctl, unsigned arena)
{
	char name[64];

	arena_name(name, "arena.%u.destroy", arena);
	return mallctl(name, NULL, NULL, NULL, 0);
}

static int create_arena(cardmark_mallctl mallctl, unsigned *arena, struct cm_je_hooks *hooks)
{
	size_t size = sizeof *arena;

	return hooks == NULL ? mallctl("arenas.create", arena, &size, NULL, 0)
			     : mallctl("arenas.create", arena, &size, &hooks, sizeof(void *));
}

static int no_arena(const char *call, int error)
{
	if (error == EAGAIN || error == ENOMEM)
		return cm_je_fail(-ENOMEM, "%s: jemalloc has no memory or number for an arena",
				  call);
	return cm_je_fail(-ENOTSUP,
			  "%s: mallctl(\"arenas.create\") failed with errno %d: is this the "
			  "mallctl of jemalloc 5?",
			  call, error);
}

/* The hooks that jemalloc gives an arena of its own accord. */
static int find_default_hooks(const char *call, cardmark_mallctl mallctl, struct cm_je_hooks **out)
{
	unsigned arena;
	int error = create_arena(mallctl, &arena, NULL);

	if (error != 0)
		return no_arena(call, error);
	error = read_of(mallctl, "arena.%u.extent_hooks", arena, out, sizeof *out);
	(void)destroy_arena(mallctl, arena);
	if (error != 0 || *out == NULL || (*out)->alloc == NULL)
		return cm_je_fail(-ENOTSUP,
				  "%s: mallctl(\"arena.<i>.extent_hooks\") failed with errno %d: "
				  "is this jemalloc 5?",
				  call, error);
	return 0;
}

/* ---- The struct ----------------------------------------------------------------- */

static size_t struct_bytes(void)
{
	size_t card = cardmark_card_size();

	return (sizeof(struct cardmark_jemalloc) + card - 1) & ~(card - 1);
}

static void free_maps(struct cardmark_jemalloc *je)
{
	cm_je_map_free(&je->ranges);
	cm_je_map_free(&je->discards);
}

static void free_struct(struct cardmark_jemalloc *je)
{
	free_maps(je);
	(void)pthread_mutex_destroy(&je->lock);
	cm_je_unmap_memory(je, struct_bytes());
}

static int new_struct(const char *call, struct cardmark_jemalloc **out, struct cardmark *cm,
		      cardmark_mallctl mallctl)
{
	struct cardmark_jemalloc *je = cm_je_map_memory(struct_bytes(), PROT_READ | PROT_WRITE);

	if (je == NULL || cm_je_fork_set_up() < 0)
		goto no_memory;
	je->cm = cm;
	je->mallctl = mallctl;
	(void)pthread_mutex_init(&je->lock, NULL);
	if (cm_je_map_init(&je->ranges, MOST_RANGES) == 0 &&
	    cm_je_map_init(&je->discards, MOST_DISCARDS) == 0) {
		*out = je;
		return 0;
	}
	free_maps(je);
no_memory:
	if (je != NULL)
		cm_je_unmap_memory(je, struct_bytes());
	return cm_je_fail(-ENOMEM, "%s: no memory", call);
}

static int check_arguments(const char *call, struct cardmark_jemalloc **out, struct cardmark *cm,
			   cardmark_mallctl mallctl, unsigned flags, unsigned allowed)
{
	if (out == NULL)
		return cm_je_fail(-EINVAL, "%s: out is NULL", call);
	*out = NULL;
	if (cm == NULL)
		return cm_je_fail(-EINVAL, "%s: the tracker is NULL", call);
	if (mallctl == NULL)
		return cm_je_fail(-EINVAL, "%s: mallctl is NULL", call);
	if (flags & ~allowed)
		return cm_je_fail(-EINVAL, "%s: flags 0x%x: only 0x%x may be in them", call, flags,
				  allowed);
	return 0;
}

/* Knows what the inner hooks are, before they can be called. */
static void wrap(struct cardmark_jemalloc *je, struct cm_je_hooks *inner, bool jemallocs_own)
{
	bool retain = false;

	je->inner = inner;
	if (jemallocs_own) {
		/* mmap or sbrk. Spares a look into /proc/self/maps for each extent. */
		je->track_flags = CARDMARK_TRACK_PRIVATE;
		if (read_value(je->mallctl, "opt.retain", &retain, sizeof retain) == 0)
			je->retains = retain;
	}
	cm_je_set_hooks(je);
}

/* ---- Create and adopt ------------------------------------------------------------- */

int cardmark_jemalloc_create(struct cardmark_jemalloc **out, struct cardmark *cm,
			     cardmark_mallctl mallctl, unsigned flags)
{
	static const char call[] = "cardmark_jemalloc_create";
	bool metadata = (flags & CARDMARK_JEMALLOC_METADATA) != 0;
	struct cm_je_hooks *inner;
	struct cardmark_jemalloc *je;
	int error = check_arguments(call, out, cm, mallctl, flags, CARDMARK_JEMALLOC_METADATA);

	if (error == 0)
		error = find_default_hooks(call, mallctl, &inner);
	if (error == 0)
		error = new_struct(call, &je, cm, mallctl);
	if (error < 0)
		return error;
	wrap(je, inner, true);
	cm_je_list_add(je);
	/* Hooks given at birth also serve the arena's books. Those written before the
	 * first allocation do not, from 5.3 on. */
	error = create_arena(mallctl, &je->arena, metadata ? &je->hooks : NULL);
	if (error != 0) {
		error = no_arena(call, error);
		goto free;
	}
	error = metadata ? 0 : write_hooks(mallctl, je->arena, &je->hooks);
	if (error != 0) {
		(void)destroy_arena(mallctl, je->arena);
		error = cm_je_fail(-ENOTSUP, "%s: jemalloc refuses the hooks, errno %d", call,
				   error);
		goto free;
	}
	*out = je;
	return 0;

free:
	cm_je_list_remove(je);
	cm_je_unwatch_all(je);
	free_struct(je);
	return error;
}

/* Pages that the arena holds in whatever state. -1: jemalloc does not tell. */
static long long pages_held(cardmark_mallctl mallctl, unsigned arena)
{
	static const char *const names[] = { "stats.arenas.%u.pactive", "stats.arenas.%u.pdirty",
					     "stats.arenas.%u.pmuzzy", "stats.arenas.%u.retained" };
	uint64_t epoch = 1;
	size_t sum = 0, value;

	if (mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) != 0)
		return -1;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (read_of(mallctl, names[i], arena, &value, sizeof value) != 0)
			return -1;
		sum += value;
	}
	return sum > INT64_MAX ? INT64_MAX : (long long)sum;
}

static int check_empty(const char *call, cardmark_mallctl mallctl, unsigned arena)
{
	long long held = pages_held(mallctl, arena);

	if (held == 0)
		return 0;
	return cm_je_fail(-EBUSY,
			  held < 0 ? "%s: this jemalloc has no statistics, so arena %u may hold "
				     "memory, which would not be tracked: "
				     "CARDMARK_JEMALLOC_BEST_EFFORT takes it all the same"
				   : "%s: arena %u holds memory already, which would not be "
				     "tracked: CARDMARK_JEMALLOC_BEST_EFFORT takes it all the same",
			  call, arena);
}

/* jemalloc makes an automatic arena when a thread is first given it. Until then it has
 * no statistics; and hooks that were written to it would be those of its birth, which
 * serve its books as well. So this thread takes it for a moment. */
static void make_automatic(cardmark_mallctl mallctl, unsigned arena)
{
	unsigned before;
	size_t size = sizeof before;

	if (mallctl("thread.arena", &before, &size, &arena, sizeof arena) == 0)
		(void)mallctl("thread.arena", NULL, NULL, &before, sizeof before);
}

/* The hooks of the arena. */
static int find_hooks(const char *call, cardmark_mallctl mallctl, unsigned arena,
		      struct cm_je_hooks **inner)
{
	int error = read_of(mallctl, "arena.%u.extent_hooks", arena, inner, sizeof *inner);

	if (error != 0)
		return cm_je_fail(-EINVAL, "%s: there is no arena %u (errno %d)", call, arena,
				  error);
	if (cm_je_is_ours(*inner))
		return cm_je_fail(-EBUSY, "%s: arena %u is under watch already", call, arena);
	if (*inner == NULL || (*inner)->alloc == NULL)
		return cm_je_fail(-ENOTSUP, "%s: arena %u has hooks without alloc", call, arena);
	return 0;
}

int cardmark_jemalloc_adopt(struct cardmark_jemalloc **out, struct cardmark *cm,
			    cardmark_mallctl mallctl, unsigned arena, unsigned flags)
{
	static const char call[] = "cardmark_jemalloc_adopt";
	struct cm_je_hooks *inner, *default_hooks;
	struct cardmark_jemalloc *je;
	int error = check_arguments(call, out, cm, mallctl, flags, CARDMARK_JEMALLOC_BEST_EFFORT);

	if (error == 0)
		error = find_default_hooks(call, mallctl, &default_hooks);
	if (error == 0)
		error = find_hooks(call, mallctl, arena, &inner);
	if (error == 0 && pages_held(mallctl, arena) < 0)
		make_automatic(mallctl, arena);
	if (error == 0 && !(flags & CARDMARK_JEMALLOC_BEST_EFFORT))
		error = check_empty(call, mallctl, arena);
	if (error == 0)
		error = new_struct(call, &je, cm, mallctl);
	if (error < 0)
		return error;
	je->arena = arena;
	je->adopted = true;
	wrap(je, inner, inner == default_hooks);
	cm_je_list_add(je);
	error = write_hooks(mallctl, arena, &je->hooks);
	if (error != 0) {
		cm_je_list_remove(je);
		free_struct(je);
		return cm_je_fail(-ENOTSUP, "%s: jemalloc refuses the hooks, errno %d", call,
				  error);
	}
	*out = je;
	return 0;
}

/* ---- Destroy and detach ------------------------------------------------------------ */

int cardmark_jemalloc_destroy(struct cardmark_jemalloc **handle)
{
	struct cardmark_jemalloc *je = handle == NULL ? NULL : *handle;
	sigset_t saved;
	int error;

	if (je == NULL)
		return 0;
	/* A cache that outlives its arena would hand out what is not there. */
	cm_je_tcaches_end(je);
	error = destroy_arena(je->mallctl, je->arena);
	if (error != 0)
		return cm_je_fail(-ENOTSUP,
				  "cardmark_jemalloc_destroy: jemalloc does not destroy arena %u "
				  "(errno %d): detach it",
				  je->arena, error);
	*handle = NULL;
	/* Waits for a fork on its way, and then no handler knows of it. */
	cm_je_list_remove(je);
	if (cm_je_enter(je, &saved, UINT64_MAX)) {
		cm_je_unwatch_all(je);
		cm_je_leave(je, &saved);
	}
	free_struct(je);
	return 0;
}

/* Untracked first: once the former hooks are back, memory goes without a word. */
static void stop_tracking(struct cardmark_jemalloc *je)
{
	struct cardmark_jemalloc_range r;
	sigset_t saved;

	(void)cm_je_enter(je, &saved, UINT64_MAX);
	cm_je_unwatch_all(je);
	je->passive = true;
	for (uintptr_t at = 0; cm_je_map_find(&je->ranges, at, &r) == CM_JE_FOUND; at = r.end)
		if (r.flags == 0)
			cm_je_put(je, r.start, r.end, CARDMARK_JEMALLOC_ALWAYS_DIRTY);
	cm_je_leave(je, &saved);
}

int cardmark_jemalloc_detach(struct cardmark_jemalloc **handle)
{
	struct cardmark_jemalloc *je = handle == NULL ? NULL : *handle;
	sigset_t saved;
	int error;

	if (je == NULL)
		return 0;
	stop_tracking(je);
	error = write_hooks(je->mallctl, je->arena, je->inner);
	if (error != 0) {
		(void)cm_je_enter(je, &saved, UINT64_MAX);
		je->passive = false; /* the next collect tracks it again */
		cm_je_leave(je, &saved);
		return cm_je_fail(-EIO,
				  "cardmark_jemalloc_detach: jemalloc refuses arena %u its former "
				  "hooks, errno %d",
				  je->arena, error);
	}
	*handle = NULL;
	cm_je_list_remove(je);
	/* A thread may have read our hooks before they were replaced: what they need
	 * stays for ever. */
	(void)cm_je_enter(je, &saved, UINT64_MAX);
	je->gone = true;
	free_maps(je);
	cm_je_leave(je, &saved);
	return 0;
}

/* ---- About it ------------------------------------------------------------------------ */

unsigned cardmark_jemalloc_arena(const struct cardmark_jemalloc *je)
{
	return je->arena;
}

/* Why an address is not in the arena. jemalloc itself is not asked: its arenas.lookup takes
 * an address that it has never heard of for a crash (5.3). */
static int not_here(struct cardmark_jemalloc *je, const void *addr, size_t len)
{
	unsigned other;

	if (cm_je_list_find(je, addr, &other))
		return cm_je_fail(-ENOENT,
				  "%p + %zu is in arena %u, not in %u: was it allocated with the "
				  "flags of cardmark_jemalloc_flags()?",
				  addr, len, other, je->arena);
	return cm_je_fail(-ENOENT,
			  je->adopted
				  ? "%p + %zu is not in arena %u, or was in it before it was "
				    "adopted: allocate with the flags of "
				    "cardmark_jemalloc_flags()"
				  : "%p + %zu is not in arena %u: was it allocated with the flags "
				    "of cardmark_jemalloc_flags()?",
			  addr, len, je->arena);
}

/* Watched, or known not to be and always dirty. */
static bool is_covered(struct cardmark_jemalloc *je, uintptr_t first, uintptr_t end)
{
	struct cardmark_jemalloc_range r;

	return cardmark_is_tracked(je->cm, (const void *)first, end - first) ||
	       (cardmark_jemalloc_next_range(je, first, &r) && r.flags != 0);
}

int cardmark_jemalloc_check(struct cardmark_jemalloc *je, const void *addr, size_t len)
{
	size_t card = cardmark_card_size();
	uintptr_t first = (uintptr_t)addr & ~(card - 1);
	uintptr_t end = ((uintptr_t)addr + len + card - 1) & ~(card - 1);
	bool covered;
	sigset_t saved;

	if (!cardmark_jemalloc_contains(je, addr, len))
		return not_here(je, addr, len);
	if (is_covered(je, first, end))
		return 0;
	/* Between those two looks it may have become tracked. Nobody can do that while we
	 * have the lock. */
	if (!cm_je_enter(je, &saved, CM_JE_WAIT_LONG_NS))
		return cm_je_fail(-EBUSY, "cardmark_jemalloc_check: a thread is inside the arena's "
					  "hooks and does not come out: is it stopped?");
	covered = is_covered(je, first, end);
	cm_je_leave(je, &saved);
	if (covered)
		return 0;
	return cm_je_fail(-ENOENT,
			  "%p is in arena %u, but the tracker does not watch it: was it untracked?",
			  addr, je->arena);
}
