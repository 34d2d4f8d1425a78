/* SPDX-License-Identifier: MIT
 *
 * Fork. A child's memory has no registration, and the descriptors it inherits
 * act on the parent: one scan with them clears the parent's bits (R5). So every
 * open tracker is rebuilt in the child before its first use there: by
 * pthread_atfork, and, for clone(2) behind the C library's back, when the first
 * call finds the marker page wiped (MADV_WIPEONFORK, 4.14). A vfork child
 * shares our memory, marker included, and is not mistaken for a fork. */
#include "lib/os/os.h"
#include "lib/tracker.h"

#include <errno.h>
#include <sys/mman.h>

/* Protects the list. Taken before any tracker's lock. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cardmark *list;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;
static _Atomic(_Atomic int *) marker; /* to our process id, in a child 0 */
static _Atomic bool not_wiped;        /* no MADV_WIPEONFORK here */

/* Locks in the order of docs/design.md. */
static void prepare(void)
{
	cm_probe_lock();
	(void)pthread_mutex_lock(&list_lock);
	for (struct cardmark *cm = list; cm != NULL; cm = cm->next)
		(void)pthread_mutex_lock(&cm->lock);
}

static void in_parent(void)
{
	for (struct cardmark *cm = list; cm != NULL; cm = cm->next)
		(void)pthread_mutex_unlock(&cm->lock);
	(void)pthread_mutex_unlock(&list_lock);
	cm_probe_unlock();
}

static void set_marker(void)
{
	atomic_store_explicit(atomic_load_explicit(&marker, memory_order_relaxed), cm_os->pid(),
			      memory_order_relaxed);
}

static bool is_new_child(void)
{
	_Atomic int *word = atomic_load_explicit(&marker, memory_order_relaxed);
	int owner = atomic_load_explicit(word, memory_order_relaxed);

	/* Asking for the id costs a system call in each of ours, and a vfork child has
	 * its own though it shares our memory: only where there is nothing better. */
	return owner == 0 ||
	       (atomic_load_explicit(&not_wiped, memory_order_relaxed) && owner != cm_os->pid());
}

static void in_child(void)
{
	set_marker();
	for (struct cardmark *cm = list; cm != NULL; cm = cm->next) {
		(void)pthread_mutex_unlock(&cm->lock);
		cm_tracker_rebuild(cm, true);
	}
	(void)pthread_mutex_unlock(&list_lock);
	cm_probe_unlock();
}

static void set_up_handlers(void)
{
	if (pthread_atfork(prepare, in_parent, in_child) != 0)
		once_error = -ENOMEM;
}

static int set_up_marker(void)
{
	_Atomic int *none = NULL;
	size_t len = cardmark_card_size();
	void *p;

	if (atomic_load_explicit(&marker, memory_order_acquire) != NULL)
		return 0;
	if (cm_os->map(len, &p) < 0)
		return -ENOMEM;
	atomic_store_explicit((_Atomic int *)p, cm_os->pid(), memory_order_relaxed);
	if (cm_os->madvise(p, len, MADV_WIPEONFORK) < 0)
		atomic_store_explicit(&not_wiped, true, memory_order_relaxed);
	/* Pairs with the acquire above. */
	if (!atomic_compare_exchange_strong_explicit(&marker, &none, (_Atomic int *)p,
						     memory_order_acq_rel, memory_order_acquire))
		(void)cm_os->unmap(p, len); /* another thread was first */
	return 0;
}

/* A raw clone: this is the child's only thread, and nobody prepared. */
void cm_fork_check(void)
{
	if (!is_new_child())
		return;
	set_marker();
	cm_probe_reset_lock();
	(void)pthread_mutex_init(&list_lock, NULL);
	for (struct cardmark *cm = list; cm != NULL; cm = cm->next) {
		bool intact = pthread_mutex_trylock(&cm->lock) == 0;
		(void)pthread_mutex_init(&cm->lock, NULL);
		cm_tracker_rebuild(cm, intact);
	}
}

int cm_fork_set_up(void)
{
	int error = set_up_marker();

	if (error < 0)
		return error;
	(void)pthread_once(&once, set_up_handlers);
	return once_error;
}

int cm_fork_register(struct cardmark *cm)
{
	int error = cm_fork_set_up();

	if (error < 0)
		return error;
	cm_fork_check();
	(void)pthread_mutex_lock(&list_lock);
	cm->next = list;
	list = cm;
	(void)pthread_mutex_unlock(&list_lock);
	return 0;
}

void cm_fork_unregister(struct cardmark *cm)
{
	(void)pthread_mutex_lock(&list_lock);
	for (struct cardmark **p = &list; *p != NULL; p = &(*p)->next) {
		if (*p == cm) {
			*p = cm->next;
			break;
		}
	}
	(void)pthread_mutex_unlock(&list_lock);
}
