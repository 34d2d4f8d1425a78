/* SPDX-License-Identifier: MIT
 *
 * Fork. A child's memory has no registration, and the descriptors it inherits
 * act on the parent: one scan with them clears the parent's bits (R5). So every open tracker is
 * rebuilt in the child before its first use there: by pthread_atfork or, after a clone(2) that
 * bypasses the C library, when the first call finds the marker page wiped (MADV_WIPEONFORK, 4.14).
 * A vfork child shares our memory, marker included, and is not mistaken for a fork.
 *
 * The marker shows whose the trackers are:
 *
 *	0      a new child's: no process owns them. The first that sees this claims it: our atfork
 *	       handler, another library's that was registered earlier and calls us, or the
 *	       first call after a bare clone(2)
 *	-pid   claimed: one thread rebuilds, with its signals blocked, and the others wait
 *	pid    published: rebuilt, all locks free
 *
 * After a bare clone(2) no thread is started: that takes locks which the parent's threads may
 * have had. A backend that needs one calls everything dirty there.
 *
 * One step before it is published only the claimer touches a tracker or takes a lock
 * of ours; one step after, no tracker has a descriptor that acts on the parent. */
#include "lib/fork.h"

#include "cardmark/cardmark.h"
#include "lib/os/os.h"
#include "common/signals.h"
#include "common/wait.h"
#include "lib/waits.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* The outermost: cm_fork_lock(). */
static pthread_mutex_t no_fork_lock = PTHREAD_MUTEX_INITIALIZER;
/* Protects the list. Taken before any tracker's lock. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cm_fork_hooks *list;
/* A fork is on its way and has every lock: no thread is inside. list_lock */
static _Atomic bool prepared;
/* Of the thread that forks: its former signal mask, and its name. Zero at other times. Otherwise a
 * snapshot of the child would have them, although the parent was not written since its collect.
 * list_lock */
static sigset_t signals;
static pthread_t forker;
/* This thread's prepare() blocked its signals, so they must be restored; in the child too, even if
 * another handler has claimed it. */
static _Thread_local bool blocked __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT; /* the handlers */
static int once_error;
static _Atomic(_Atomic int *) marker;
static _Atomic bool not_wiped;    /* no MADV_WIPEONFORK here */
static _Atomic bool by_the_child; /* cm_fork_leave_to_child() */

/* ---- Whose they are --------------------------------------------------------- */

enum owner { NOBODY, CLAIMED, OURS };

/* Positive, also where a filter refuses getpid(2). */
static int own_id(void)
{
	int pid = cm_os->pid();

	return pid > 0 ? pid : 1;
}

static _Atomic int *marker_word(void)
{
	/* Pairs with the release in set_up_marker(). */
	return atomic_load_explicit(&marker, memory_order_acquire);
}

static enum owner owner(int word)
{
	int pid;

	if (word == 0)
		return NOBODY;
	if (!atomic_load_explicit(&not_wiped, memory_order_relaxed))
		return word > 0 ? OURS : CLAIMED;
	/* Asking for the id costs a system call in each of our calls, and a vfork child has its own
	 * id although it shares our memory. So ask only if there is nothing better. */
	pid = own_id();
	return word == pid ? OURS : word == -pid ? CLAIMED : NOBODY;
}

bool cm_fork_done(void)
{
	/* Pairs with the release in claim(). */
	return owner(atomic_load_explicit(marker_word(), memory_order_acquire)) == OURS;
}

/* The thread that forked has its locks in the child, too; those of others are made anew. */
static void free_lock(pthread_mutex_t *lock, bool mine)
{
	if (mine)
		(void)pthread_mutex_unlock(lock);
	else
		(void)pthread_mutex_init(lock, NULL);
}

/* By the claimer, alone with the trackers. */
static void rebuild_all(void)
{
	/* The locks were all taken for this fork, or for another thread's when this child was
	 * cloned: no thread was inside either way. */
	bool whole = atomic_exchange_explicit(&prepared, false, memory_order_relaxed);
	/* In a child that another thread cloned meanwhile, the C library's locks may be held.
	 */
	bool forked = whole && pthread_equal(forker, pthread_self());

	forker = 0;
	free_lock(&no_fork_lock, forked);
	for (struct cm_fork_hooks *h = list; h != NULL; h = h->next) {
		/* Held meanwhile: a child that is cloned now finds it torn. */
		bool intact = pthread_mutex_trylock(h->lock) == 0 || whole;

		h->rebuild(h, intact, forked);
	}
	for (struct cm_fork_hooks *h = list; h != NULL; h = h->next)
		free_lock(h->lock, forked);
	free_lock(&list_lock, forked);
}

static void claim(_Atomic int *word, int seen)
{
	sigset_t before;
	int pid = own_id();

	/* A handler on this thread would wait for a claim that cannot end. */
	cm_signals_block(&before);
	if (atomic_compare_exchange_strong_explicit(word, &seen, -pid, memory_order_acquire,
						    memory_order_relaxed)) {
		rebuild_all();
		/* Pairs with the acquires in cm_fork_done() and cm_fork_ready(). */
		atomic_store_explicit(word, pid, memory_order_release);
	}
	cm_signals_restore(&before);
}

bool cm_fork_ready(uint64_t wait_ns)
{
	_Atomic int *word = marker_word();
	struct cm_wait wait = { .bound_ns = wait_ns };

	for (;;) {
		int seen = atomic_load_explicit(word, memory_order_acquire);
		enum owner whose = owner(seen);

		if (whose == OURS)
			return true;
		if (whose == NOBODY) {
			claim(word, seen);
			continue;
		}
		if (cm_wait_is_over(&wait, cm_os->now()))
			return false;
		(void)sched_yield();
	}
}

/* ---- Around fork(2) ----------------------------------------------------------- */

/* Locks in the order of docs/design.md. Signals stay blocked until the handlers after the fork: a
 * signal handler on this thread would wait for locks that this thread has. */
static void prepare(void)
{
	sigset_t before;

	/* There is no tracker. If another thread opens one meanwhile, a child that finds it does
	 * the same as after a bare clone(2). */
	if (marker_word() == NULL || atomic_load_explicit(&by_the_child, memory_order_relaxed))
		return;
	cm_signals_block(&before);
	blocked = true;
	/* In a child of a bare clone(2), threads that do not exist here may hold the locks. */
	(void)cm_fork_ready(UINT64_MAX);
	(void)pthread_mutex_lock(&no_fork_lock);
	(void)pthread_mutex_lock(&list_lock);
	signals = before;
	forker = pthread_self();
	for (struct cm_fork_hooks *h = list; h != NULL; h = h->next)
		(void)pthread_mutex_lock(h->lock);
	/* One step before, the child of a bare clone(2) by another thread finds the locks held and
	 * calls the trackers torn; one step after, it knows that they are whole. */
	atomic_store_explicit(&prepared, true, memory_order_release);
}

static void in_parent(void)
{
	sigset_t before;

	if (!blocked)
		return; /* prepare() had nothing to do */
	blocked = false;
	before = signals;
	(void)sigemptyset(&signals);
	forker = 0;
	/* First: from the next line on threads may go inside. */
	atomic_store_explicit(&prepared, false, memory_order_seq_cst);
	for (struct cm_fork_hooks *h = list; h != NULL; h = h->next)
		(void)pthread_mutex_unlock(h->lock);
	(void)pthread_mutex_unlock(&list_lock);
	(void)pthread_mutex_unlock(&no_fork_lock);
	cm_signals_restore(&before);
}

/* The thread that claims the child frees the locks. An earlier handler may have done so, and
 * another thread may have the locks by now. */
static void in_child(void)
{
	sigset_t before = signals;
	bool restore = blocked;

	if (marker_word() == NULL)
		return;
	blocked = false;
	(void)sigemptyset(&signals);
	(void)cm_fork_ready(CM_WAIT_CALL_NS);
	if (restore)
		cm_signals_restore(&before);
}

static void add_handlers(void)
{
	if (pthread_atfork(prepare, in_parent, in_child) != 0)
		once_error = -ENOMEM;
}

/* When the library is loaded, not with the first tracker, because handlers run in the reverse
 * order. The handlers of a collector that is started later run before ours. So it takes its locks
 * before it takes ours, as it does when it collects. In the other order, this thread would wait for
 * the collector's lock with its signals blocked, and the collector would wait for this thread to
 * stop at a signal: libgc ends such a program (GC_suspend_all). */
__attribute__((constructor)) void cm_fork_add_handlers(void)
{
	(void)pthread_once(&once, add_handlers);
}

void cm_fork_leave_to_child(void)
{
	atomic_store_explicit(&by_the_child, true, memory_order_relaxed);
}

static int set_up_marker(void)
{
	_Atomic int *none = NULL;
	size_t len = cardmark_card_size();
	void *p;

	if (marker_word() != NULL)
		return 0;
	if (cm_os->map(len, &p) < 0)
		return -ENOMEM;
	atomic_store_explicit((_Atomic int *)p, own_id(), memory_order_relaxed);
	if (cm_os->madvise(p, len, MADV_WIPEONFORK) < 0)
		atomic_store_explicit(&not_wiped, true, memory_order_relaxed);
	/* One step before, there is no tracker; one step after, it names this process. */
	if (!atomic_compare_exchange_strong_explicit(&marker, &none, (_Atomic int *)p,
						     memory_order_release, memory_order_relaxed))
		(void)cm_os->unmap(p, len); /* another thread was first */
	return 0;
}

int cm_fork_set_up(void)
{
	int error = set_up_marker();

	if (error < 0)
		return error;
	cm_fork_add_handlers();
	if (once_error < 0)
		return once_error;
	return cm_fork_ready(CM_WAIT_CALL_NS) ? 0 : -EBUSY;
}

/* ---- The list ------------------------------------------------------------------ */

static void lock_list(sigset_t *before)
{
	for (;;) {
		cm_signals_block(before);
		/* As in cm_tracker_lock(). */
		if (cm_fork_done())
			break;
		cm_signals_restore(before);
		(void)cm_fork_ready(CM_WAIT_CALL_NS);
	}
	(void)pthread_mutex_lock(&list_lock);
}

static void unlock_list(const sigset_t *before)
{
	(void)pthread_mutex_unlock(&list_lock);
	cm_signals_restore(before);
}

int cm_fork_register(struct cm_fork_hooks *hooks)
{
	int error = cm_fork_set_up();
	sigset_t before;

	if (error < 0)
		return error;
	lock_list(&before);
	hooks->next = list;
	/* A child that is cloned (clone(2)) one step before the store has the list without this
	 * tracker; one step after, it has the whole list. A tracker that is not in the list is not
	 * rebuilt. */
	atomic_thread_fence(memory_order_release);
	list = hooks;
	unlock_list(&before);
	return 0;
}

void cm_fork_unregister(struct cm_fork_hooks *hooks)
{
	sigset_t before;

	lock_list(&before);
	for (struct cm_fork_hooks **p = &list; *p != NULL; p = &(*p)->next) {
		if (*p == hooks) {
			*p = hooks->next;
			break;
		}
	}
	unlock_list(&before);
}

/* ---- What a fork waits for -------------------------------------------------------- */

void cm_fork_lock(void)
{
	(void)pthread_mutex_lock(&no_fork_lock);
}

void cm_fork_unlock(void)
{
	(void)pthread_mutex_unlock(&no_fork_lock);
}
