/* SPDX-License-Identifier: MIT
 *
 * Extent hooks that the program sets for the arena after ours. From then on we do not see
 * jemalloc's mappings, so everything counts as dirty permanently: even if our hooks are set again,
 * the mappings made meanwhile are not known. Hooks that call ours are no exception, because they
 * may not do so each time.
 *
 * Only mallctl reports the hooks of an arena, under a lock that a stopped thread may hold, so a
 * collect must not ask. Instead, the adapter looks for the word in which jemalloc keeps the hooks,
 * once, when the arena is put under watch. The word is near an address in the arena's struct, which
 * experimental.arenas.<i>.pactivep (5.3) returns; it is the word that always has the value set
 * last. If no word is found, the calls that may ask jemalloc notice replaced hooks. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK ((uintptr_t)2 << 20) /* an arena and its books begin in one of these */

/* The arena, and the word with it, may have been destroyed without our notice. The kernel reads 8
 * bytes there before it finds that -1 is not a valid command. */
static bool is_readable(const void *at)
{
	int saved = errno;
	bool readable = syscall(SYS_rt_sigprocmask, -1, at, NULL, 8) == 0 || errno != EFAULT;

	errno = saved;
	return readable;
}

/* Relaxed: the thread that replaced the hooks, and threads that allocated since, are stopped, or
 * need not be in this answer. */
static uintptr_t read_word(uintptr_t at)
{
	return atomic_load_explicit((const atomic_uintptr_t *)at, memory_order_relaxed);
}

static uintptr_t find_word(uintptr_t from, uintptr_t to, uintptr_t value)
{
	for (uintptr_t at = from; at + sizeof at <= to; at += sizeof at)
		if (read_word(at) == value)
			return at;
	return 0;
}

/* No other thread uses the arena now. After an error ours are not its hooks. */
int cm_je_find_hooks_word(struct cardmark_jemalloc *je)
{
	uintptr_t card = cardmark_card_size(), near = 0, at = 0;
	uint64_t epoch = 1;
	bool follows;
	int error;

	je->hooks_word = 0;
	/* jemalloc knows a new arena by that name after a change of epoch. */
	(void)je->mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
	if (cm_je_read_of(je->mallctl, "experimental.arenas.%u.pactivep", je->arena, &near,
			  sizeof near) != 0)
		return 0;
	for (uintptr_t page = near & ~(card - 1); at == 0 && is_readable((const void *)page);
	     page -= card) {
		at = find_word(page, page + card < near ? page + card : near,
			       (uintptr_t)&je->hooks);
		if (page % BLOCK == 0)
			break;
	}
	if (at == 0)
		return 0;
	if (cm_je_write_hooks(je->mallctl, je->arena, je->inner) != 0)
		return 0;
	follows = read_word(at) == (uintptr_t)je->inner;
	error = cm_je_write_hooks(je->mallctl, je->arena, &je->hooks);
	if (error == 0 && follows && read_word(at) == (uintptr_t)&je->hooks)
		je->hooks_word = at;
	return error;
}

void cm_je_lose_track(struct cardmark_jemalloc *je)
{
	if (atomic_exchange_explicit(&je->replaced, true, memory_order_relaxed))
		return;
	atomic_store_explicit(&je->last_error, -EBUSY, memory_order_relaxed);
	CM_JE_COUNT(je, ranges_overflown);
}

void cm_je_look_whose_hooks(struct cardmark_jemalloc *je)
{
	if (je->hooks_word != 0 && (!is_readable((const void *)je->hooks_word) ||
				    read_word(je->hooks_word) != (uintptr_t)&je->hooks))
		cm_je_lose_track(je);
}

bool cm_je_ask_whose_hooks(struct cardmark_jemalloc *je)
{
	struct cm_je_hooks *hooks = NULL;

	if (cm_je_read_of(je->mallctl, "arena.%u.extent_hooks", je->arena, &hooks, sizeof hooks) !=
		    0 ||
	    hooks == &je->hooks)
		return true;
	cm_je_lose_track(je);
	return false;
}
