/* SPDX-License-Identifier: MIT
 *
 * Extent hooks that the program writes to the arena after ours. What jemalloc maps from then
 * on does not reach us, so everything counts as dirty, for good: if ours are put back, it is
 * not known what was mapped meanwhile. Hooks that call ours are no exception, because
 * they may not do so each time.
 *
 * jemalloc reports whose hooks an arena has by mallctl alone, under a lock that a stopped thread
 * may hold: no question for a collect. So the word in which it keeps them is looked for once,
 * when the arena is put under watch. It is near the arena's struct, of which
 * experimental.arenas.<i>.pactivep (5.3) returns an address; the word that holds what was
 * written last, whatever that was, is the one. Where there is none, replaced hooks are noticed by
 * the calls that may ask jemalloc. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK ((uintptr_t)2 << 20) /* an arena and its books begin in one of these */

/* The arena may have been destroyed behind us, and the word with it. The kernel reads 8 bytes there
 * before it finds that -1 is no order. */
static bool is_readable(const void *at)
{
	int saved = errno;
	bool readable = syscall(SYS_rt_sigprocmask, -1, at, NULL, 8) == 0 || errno != EFAULT;

	errno = saved;
	return readable;
}

/* Relaxed: the thread that replaced them, and those that allocated since, are stopped, or have
 * no claim to be in this answer. */
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
