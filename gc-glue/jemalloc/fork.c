/* SPDX-License-Identifier: MIT
 *
 * Fork. The core registers everything again in the child. Here, an arena's lock must be free in the
 * child, and its map whole. See glue.h for the order of locks. */
#include "gc-glue/jemalloc/glue.h"
#include "lib/fork.h"

#include <errno.h>

/* Protects the list, and is held over a fork. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cardmark_jemalloc *list;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

/* Of a fork of this thread: the child's only thread has it as well. */
static _Thread_local struct {
	sigset_t signals;
	bool list, slots; /* are locked */
} mine __attribute__((tls_model("initial-exec")));

/* A thread that has an arena's lock does not wait for a lock of this thread: not for the tracker's
 * lock, because the core's handler was registered earlier and runs after this one; and not for
 * jemalloc's, because it is inside jemalloc already or does not call it.
 *
 * A process that clone(2) made may fork as well. In it, a lock that another thread held stays
 * locked: the wait for it is bounded, and it is not unlocked here. */
static void prepare(void)
{
	cm_signals_block(&mine.signals);
	cm_je_fork_begins();
	mine.list = cm_je_lock(&list_lock);
	for (struct cardmark_jemalloc *je = list; je != NULL; je = je->next)
		je->over_fork = cm_je_lock(&je->lock);
	mine.slots = cm_je_slots_hold();
}

static void let_go(void)
{
	/* Before each unlock, the notes are entered in the map: the next thread that locks finds
	 * them there. */
	for (struct cardmark_jemalloc *je = list; je != NULL; je = je->next) {
		if (!je->over_fork)
			continue;
		cm_je_enter_notes(je);
		(void)pthread_mutex_unlock(&je->lock);
	}
	if (mine.slots)
		cm_je_slots_let_go();
	if (mine.list)
		(void)pthread_mutex_unlock(&list_lock);
}

static void in_parent(void)
{
	sigset_t saved = mine.signals;

	let_go();
	cm_je_fork_ends();
	cm_signals_restore(&saved);
}

/* A note that its thread had not finished is not in the list; nor does that thread exist here. */
static void in_child(void)
{
	sigset_t saved = mine.signals;

	cm_je_process_begins();
	cm_je_owner_child();
	cm_je_slots_child();
	for (struct cardmark_jemalloc *je = list; je != NULL; je = je->next) {
		cm_je_tcaches_forget(je);
		if (!je->over_fork) /* what its holder did is not known */
			CM_JE_COUNT(je, ranges_overflown);
	}
	let_go();
	cm_signals_restore(&saved);
}

static void set_up(void)
{
	cm_je_process_begins();
	cm_fork_add_handlers(); /* the core's, before ours */
	if (pthread_atfork(prepare, in_parent, in_child) != 0)
		once_error = -ENOMEM;
}

/* When the library is loaded, for the reason that lib/fork.c gives. */
__attribute__((constructor)) static void add_handlers(void)
{
	(void)pthread_once(&once, set_up);
}

int cm_je_fork_set_up(void)
{
	add_handlers();
	return once_error;
}

/* With signals blocked: a handler that forks on this thread would wait for the lock for ever. False
 * in a copy made by clone(2) whose lock stays locked: no other thread is in there. */
static bool lock_list(sigset_t *saved)
{
	cm_signals_block(saved);
	return cm_je_lock(&list_lock);
}

static void unlock_list(const sigset_t *saved, bool locked)
{
	if (locked)
		(void)pthread_mutex_unlock(&list_lock);
	cm_signals_restore(saved);
}

void cm_je_list_add(struct cardmark_jemalloc *je)
{
	sigset_t saved;
	bool locked = lock_list(&saved);

	je->next = list;
	list = je;
	unlock_list(&saved, locked);
}

/* Another arena under watch that holds addr. */
bool cm_je_list_find(const struct cardmark_jemalloc *but, const void *addr, unsigned *arena)
{
	sigset_t saved;
	bool found = false, locked = lock_list(&saved);

	for (struct cardmark_jemalloc *je = list; je != NULL && !found; je = je->next) {
		found = je != but && cardmark_jemalloc_contains(je, addr, 1);
		if (found)
			*arena = je->arena;
	}
	unlock_list(&saved, locked);
	return found;
}

void cm_je_list_remove(struct cardmark_jemalloc *je)
{
	sigset_t saved;
	bool locked = lock_list(&saved);

	for (struct cardmark_jemalloc **p = &list; *p != NULL; p = &(*p)->next) {
		if (*p == je) {
			*p = je->next;
			break;
		}
	}
	unlock_list(&saved, locked);
}
