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
static _Atomic int *marker; /* 1, in a child 0 */

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

static void in_child(void)
{
	atomic_store_explicit(marker, 1, memory_order_relaxed);
	for (struct cardmark *cm = list; cm != NULL; cm = cm->next) {
		(void)pthread_mutex_unlock(&cm->lock);
		cm_tracker_rebuild(cm, true);
	}
	(void)pthread_mutex_unlock(&list_lock);
	cm_probe_unlock();
}

static void set_up(void)
{
	void *p;

	once_error = cm_os->map(cardmark_card_size(), &p);
	if (once_error < 0)
		return;
	marker = p;
	atomic_store_explicit(marker, 1, memory_order_relaxed);
	(void)cm_os->madvise(p, cardmark_card_size(), MADV_WIPEONFORK);
	if (pthread_atfork(prepare, in_parent, in_child) != 0)
		once_error = -ENOMEM;
}

/* A raw clone: this is the child's only thread, and nobody prepared. */
void cm_fork_check(void)
{
	if (atomic_load_explicit(marker, memory_order_relaxed) != 0)
		return;
	atomic_store_explicit(marker, 1, memory_order_relaxed);
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
	(void)pthread_once(&once, set_up);
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
