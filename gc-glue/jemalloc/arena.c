/* SPDX-License-Identifier: MIT
 *
 * An arena's life under watch. jemalloc is asked by mallctl, never by its version. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define MOST_RANGES ((size_t)1 << 20) /* above any limit on mappings that is in use */
#define MOST_DISCARDS ((size_t)4096)

static int no_arena(const char *call, int error)
{
	if (error == EAGAIN || error == ENOMEM)
		return cm_fail(-ENOMEM,
			       "%s: jemalloc has no memory, or no number, for another arena", call);
	return cm_fail(-ENOTSUP,
		       "%s: jemalloc did not make an arena: %s; is this the mallctl of jemalloc 5?",
		       call, cm_je_words(error));
}

/* The hooks that jemalloc gives an arena of its own accord. */
static int find_default_hooks(const char *call, cardmark_mallctl mallctl, struct cm_je_hooks **out)
{
	unsigned arena;
	int error = cm_je_create_arena(mallctl, &arena, NULL);

	if (error != 0)
		return no_arena(call, error);
	error = cm_je_read_of(mallctl, "arena.%u.extent_hooks", arena, out, sizeof *out);
	(void)cm_je_destroy_arena(mallctl, arena);
	if (error != 0 || *out == NULL || (*out)->alloc == NULL)
		return cm_fail(-ENOTSUP,
			       "%s: jemalloc did not return an arena's extent hooks: %s; is this "
			       "jemalloc 5?",
			       call, cm_je_words(error));
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
	return cm_fail(-ENOMEM, "%s: no memory", call);
}

static int check_arguments(const char *call, struct cardmark_jemalloc **out, struct cardmark *cm,
			   cardmark_mallctl mallctl, unsigned flags, unsigned allowed)
{
	if (out == NULL)
		return cm_fail(-EINVAL, "%s: out is NULL", call);
	*out = NULL;
	if (cm == NULL)
		return cm_fail(-EINVAL, "%s: the tracker is NULL", call);
	if (mallctl == NULL)
		return cm_fail(-EINVAL, "%s: mallctl is NULL", call);
	if (flags & ~allowed)
		return cm_fail(-EINVAL, "%s: flags are 0x%x, but only bits of 0x%x are allowed",
			       call, flags, allowed);
	return 0;
}

/* Notes the inner hooks before they can be called. */
static void wrap(struct cardmark_jemalloc *je, struct cm_je_hooks *inner, bool jemallocs_own)
{
	bool retain = false;

	je->inner = inner;
	if (jemallocs_own) {
		/* mmap or sbrk. Saves reading /proc/self/maps for each extent. */
		je->track_flags = CARDMARK_TRACK_PRIVATE;
		if (cm_je_read(je->mallctl, "opt.retain", &retain, sizeof retain) == 0)
			je->retains = retain;
	}
	cm_je_set_hooks(je);
}

/* ---- Create and adopt ------------------------------------------------------------- */

int cardmark_jemalloc_create(struct cardmark_jemalloc **out, struct cardmark *cm,
			     cardmark_mallctl mallctl, unsigned flags)
{
	static const char call[] = "cardmark_jemalloc_create";
	bool metadata = (flags & CARDMARK_JEMALLOC_METADATA) != 0, made;
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
	if (cm_je_owner_add(je, UINT_MAX, inner) < 0) {
		free_struct(je);
		return cm_fail(-ENOMEM, "%s: too many arenas are tracked", call);
	}
	cm_je_list_add(je);
	/* Hooks that are given at creation also serve the arena's metadata. From 5.3 on, hooks that
	 * are set later, before the first allocation, do not. */
	error = cm_je_create_arena(mallctl, &je->arena, metadata ? &je->hooks : NULL);
	made = error == 0;
	if (made)
		cm_je_owner_is_arena(je, je->arena);
	if (made && !metadata)
		error = cm_je_write_hooks(mallctl, je->arena, &je->hooks);
	if (error == 0)
		error = cm_je_find_hooks_word(je);
	if (error == 0) {
		*out = je;
		return 0;
	}
	if (made)
		(void)cm_je_destroy_arena(mallctl, je->arena);
	cm_je_list_remove(je);
	cm_je_owner_remove(je);
	cm_je_unwatch_all(je);
	free_struct(je);
	/* Last: the calls meanwhile may have set messages of their own. */
	return made ? cm_fail(-ENOTSUP, "%s: jemalloc refuses the hooks: %s", call,
			      cm_je_words(error))
		    : no_arena(call, error);
}

/* Pages that the arena holds, in any state. -1: jemalloc does not report it. */
static long long pages_held(cardmark_mallctl mallctl, unsigned arena)
{
	static const char *const names[] = { "stats.arenas.%u.pactive", "stats.arenas.%u.pdirty",
					     "stats.arenas.%u.pmuzzy", "stats.arenas.%u.retained" };
	uint64_t epoch = 1;
	size_t sum = 0, value;

	if (mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) != 0)
		return -1;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (cm_je_read_of(mallctl, names[i], arena, &value, sizeof value) != 0)
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
	return cm_fail(-EBUSY,
		       held < 0 ? "%s: this jemalloc has no statistics, so arena %u may hold "
				  "memory, which would not be tracked: "
				  "use CARDMARK_JEMALLOC_BEST_EFFORT to adopt it anyway"
				: "%s: arena %u holds memory already, which would not be "
				  "tracked: use CARDMARK_JEMALLOC_BEST_EFFORT to adopt it anyway",
		       call, arena);
}

/* jemalloc makes an automatic arena when it first gives the arena to a thread. Until then the arena
 * has no statistics, and hooks that are set for it would also serve its metadata, like hooks given
 * at creation. So this thread takes the arena for a moment. */
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
	int error = cm_je_read_of(mallctl, "arena.%u.extent_hooks", arena, inner, sizeof *inner);

	if (error != 0)
		return cm_fail(-EINVAL, "%s: jemalloc has no arena %u: %s", call, arena,
			       cm_je_words(error));
	if (cm_je_is_ours(*inner))
		return cm_fail(-EBUSY, "%s: arena %u is tracked already", call, arena);
	if (*inner == NULL || (*inner)->alloc == NULL)
		return cm_fail(-ENOTSUP, "%s: arena %u has extent hooks without an alloc function",
			       call, arena);
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
	je->best_effort = (flags & CARDMARK_JEMALLOC_BEST_EFFORT) != 0;
	wrap(je, inner, inner == default_hooks);
	if (cm_je_owner_add(je, arena, default_hooks) < 0) {
		free_struct(je);
		return cm_fail(-ENOMEM, "%s: too many arenas are tracked", call);
	}
	cm_je_list_add(je);
	error = cm_je_write_hooks(mallctl, arena, &je->hooks);
	if (error == 0)
		error = cm_je_find_hooks_word(je);
	if (error != 0) {
		cm_je_list_remove(je);
		cm_je_owner_remove(je);
		free_struct(je);
		return cm_fail(-ENOTSUP, "%s: jemalloc refuses the hooks: %s", call,
			       cm_je_words(error));
	}
	*out = je;
	return 0;
}

/* ---- Destroy and detach ------------------------------------------------------------ */

/* Untracked first: once other hooks are in use, memory is unmapped without our notice. One step
 * before a range is untracked it is always dirty in the map, so no reader finds it clean. False:
 * the lock does not come (a copy of the process by clone(2)), and nothing was done. */
static bool stop_tracking(struct cardmark_jemalloc *je)
{
	struct cardmark_jemalloc_range r;
	sigset_t saved;

	if (!cm_je_enter(je, &saved, UINT64_MAX))
		return false;
	for (uintptr_t at = 0; cm_je_map_find(&je->ranges, at, &r) == CM_JE_FOUND; at = r.end)
		if (r.flags == 0)
			cm_je_put(je, r.start, r.end, CARDMARK_JEMALLOC_ALWAYS_DIRTY);
	cm_je_unwatch_all(je);
	je->passive = true;
	cm_je_leave(je, &saved);
	return true;
}

/* The next collect tracks it again. */
static void go_on_tracking(struct cardmark_jemalloc *je)
{
	sigset_t saved;

	if (!cm_je_enter(je, &saved, UINT64_MAX))
		return;
	je->passive = false;
	cm_je_leave(je, &saved);
}

static int no_lock(const char *call)
{
	return cm_fail(-EBUSY,
		       "%s: a thread stays inside the arena's hooks: did "
		       "clone() make this process?",
		       call);
}

int cardmark_jemalloc_destroy(struct cardmark_jemalloc **handle)
{
	static const char call[] = "cardmark_jemalloc_destroy";
	struct cardmark_jemalloc *je = handle == NULL ? NULL : *handle;
	sigset_t saved;
	int error;

	if (je == NULL)
		return 0;
	/* Other hooks would unmap memory that we track. */
	if (!cm_je_ask_whose_hooks(je) && !stop_tracking(je))
		return no_lock(call);
	/* A cache that outlives its arena would hand out memory that does not exist. */
	cm_je_tcaches_end(je);
	/* From here on jemalloc may give the arena's metadata to our hooks as well, which do not
	 * know it. */
	atomic_store_explicit(&je->ending, true, memory_order_relaxed);
	error = cm_je_destroy_arena(je->mallctl, je->arena);
	if (error != 0) {
		atomic_store_explicit(&je->ending, false, memory_order_relaxed);
		go_on_tracking(je);
		return cm_fail(-ENOTSUP, "%s: jemalloc does not destroy arena %u (%s): detach it",
			       call, je->arena, cm_je_words(error));
	}
	*handle = NULL;
	/* Waits for a fork under way; after that no fork handler knows of the arena. */
	cm_je_list_remove(je);
	cm_je_owner_remove(je);
	if (cm_je_enter(je, &saved, UINT64_MAX)) {
		cm_je_unwatch_all(je);
		cm_je_leave(je, &saved);
	}
	free_struct(je);
	return 0;
}

int cardmark_jemalloc_reset(struct cardmark_jemalloc *je)
{
	static const char call[] = "cardmark_jemalloc_reset";
	int error;

	if (je == NULL)
		return cm_fail(-EINVAL, "%s: the arena is NULL", call);
	/* First: otherwise a cache would hand out its objects a second time. */
	if (!cm_je_tcaches_flush(je))
		return cm_fail(
			-ENOTSUP,
			"%s: a cache of arena %u was made before the fork, and jemalloc cannot "
			"empty it here: destroy the arena and make another",
			call, je->arena);
	error = cm_je_reset_arena(je->mallctl, je->arena);
	if (error != 0)
		return cm_fail(-ENOTSUP,
			       "%s: jemalloc does not reset arena %u (%s): free its objects one "
			       "by one",
			       call, je->arena, cm_je_words(error));
	return 0;
}

int cardmark_jemalloc_detach(struct cardmark_jemalloc **handle)
{
	static const char call[] = "cardmark_jemalloc_detach";
	struct cardmark_jemalloc *je = handle == NULL ? NULL : *handle;
	sigset_t saved;
	int error = 0;

	if (je == NULL)
		return 0;
	if (!stop_tracking(je))
		return no_lock(call);
	/* Other hooks stay. They may call ours, which pass the calls on. */
	if (cm_je_ask_whose_hooks(je))
		error = cm_je_write_hooks(je->mallctl, je->arena, je->inner);
	if (error != 0) {
		go_on_tracking(je);
		return cm_fail(-EIO, "%s: jemalloc did not give arena %u its former hooks back: %s",
			       call, je->arena, cm_je_words(error));
	}
	*handle = NULL;
	cm_je_list_remove(je);
	cm_je_owner_is_detached(je);
	/* A thread may have read our hooks before they were replaced, so their data stay for ever.
	 * One step before `gone` a hook enters a range in maps that no call reads any more; one
	 * step after, it finds `gone`. Both are under the lock. */
	if (cm_je_enter(je, &saved, UINT64_MAX)) {
		je->gone = true;
		free_maps(je);
		cm_je_leave(je, &saved);
	}
	return 0;
}

/* ---- About it ------------------------------------------------------------------------ */

unsigned cardmark_jemalloc_arena(const struct cardmark_jemalloc *je)
{
	return je->arena;
}

/* Why an address is not in the arena. jemalloc is not asked, because its arenas.lookup crashes on
 * an address that it does not know (5.3). */
static int not_here(struct cardmark_jemalloc *je, const void *addr, size_t len)
{
	unsigned other;

	if (cm_je_list_find(je, addr, &other))
		return cm_fail(-ENOENT,
			       "%p + %zu is in arena %u, not in %u: was it allocated with the "
			       "flags of cardmark_jemalloc_flags()?",
			       addr, len, other, je->arena);
	return cm_fail(-ENOENT,
		       je->adopted ? "%p + %zu is not in arena %u, or was in it before it was "
				     "adopted: allocate with the flags of "
				     "cardmark_jemalloc_flags()"
				   : "%p + %zu is not in arena %u: was it allocated with the flags "
				     "of cardmark_jemalloc_flags()?",
		       addr, len, je->arena);
}

/* Is the memory watched, or known to be unwatched and so always dirty? 1, 0, or -EBUSY if this
 * cannot be known. */
static int is_covered(struct cardmark_jemalloc *je, uintptr_t first, uintptr_t end)
{
	struct cardmark_jemalloc_range r;
	bool tracked;
	int error = cardmark_is_tracked(je->cm, (const void *)first, end - first, &tracked);

	if (tracked ||
	    (cm_je_map_find(&je->ranges, first, &r) != CM_JE_NONE && r.start <= first &&
	     r.flags != 0) ||
	    atomic_load_explicit(&je->n_ranges_overflown, memory_order_relaxed) != 0)
		return 1;
	return error;
}

int cardmark_jemalloc_check(struct cardmark_jemalloc *je, const void *addr, size_t len)
{
	size_t card = cardmark_card_size();
	uintptr_t first = (uintptr_t)addr & ~(card - 1);
	uintptr_t end;
	sigset_t saved;
	int covered;

	if (len == 0) /* malloc(0) returns an address, too */
		len = 1;
	end = ((uintptr_t)addr + len + card - 1) & ~(card - 1);
	if (je->hooks_word == 0)
		(void)cm_je_ask_whose_hooks(je);
	else
		cm_je_look_whose_hooks(je);
	if (atomic_load_explicit(&je->replaced, memory_order_relaxed))
		return cm_fail(-ENOENT,
			       "arena %u got other extent hooks than the adapter's, so not all of "
			       "its memory is known, and everything counts as dirty: give those "
			       "hooks to the arena first, then adopt it",
			       je->arena);
	if (!cardmark_jemalloc_contains(je, addr, len))
		return not_here(je, addr, len);
	covered = is_covered(je, first, end);
	if (covered != 0)
		return covered > 0 ? 0 : covered;
	/* Between those two looks another thread may have tracked it. No thread can do that while
	 * we have the lock. */
	if (!cm_je_enter(je, &saved, CM_JE_WAIT_LONG_NS))
		return no_lock("cardmark_jemalloc_check");
	covered = is_covered(je, first, end);
	cm_je_leave(je, &saved);
	if (covered != 0)
		return covered > 0 ? 0 : covered;
	return cm_fail(-ENOENT,
		       "%p is in arena %u, but the tracker does not watch it: was it untracked?",
		       addr, je->arena);
}
