/* SPDX-License-Identifier: MIT
 *
 * A cache of jemalloc's for each thread and arena, so that a thread's cache holds
 * objects of the arena and of nothing else. Slots are never unmapped: a thread that
 * ends and an arena that is destroyed may meet at one, and whoever takes the
 * cache out of it, with the lock held, gives it back. No mallctl with the lock held. */
#include "gc-glue/jemalloc/glue.h"

#include <stdint.h>
#include <sys/mman.h>

struct slot {
	_Atomic(struct cardmark_jemalloc *) owner; /* NULL: it has no cache */
	cardmark_mallctl mallctl;
	unsigned tcache;
	struct slot *next;     /* of the same thread, or free: only who has it */
	struct slot *all_next; /* never changes */
};

static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot *all, *free_slots;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* the thread's first slot */
static bool have_key;

void cm_je_slots_hold(void)
{
	(void)pthread_mutex_lock(&slots_lock);
}

void cm_je_slots_let_go(void)
{
	(void)pthread_mutex_unlock(&slots_lock);
}

static void lock_slots(sigset_t *saved)
{
	cm_je_block_signals(saved);
	cm_je_slots_hold();
}

static void unlock_slots(const sigset_t *saved)
{
	cm_je_slots_let_go();
	cm_je_unblock_signals(saved);
}

static bool more_slots(void)
{
	size_t n = cardmark_card_size() / sizeof(struct slot);
	struct slot *v = cm_je_map_memory(cardmark_card_size(), PROT_READ | PROT_WRITE);

	if (v == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		v[i].next = free_slots;
		free_slots = &v[i];
		v[i].all_next = all;
		all = &v[i];
	}
	return true;
}

static void tcache_destroy(cardmark_mallctl mallctl, unsigned tcache)
{
	(void)mallctl("tcache.destroy", NULL, NULL, &tcache, sizeof tcache);
}

/* Takes the cache out of a slot, lock held: whoever gets true gives it back. */
static bool take_out(struct slot *s, cardmark_mallctl *mallctl, unsigned *tcache)
{
	struct cardmark_jemalloc *je = atomic_load_explicit(&s->owner, memory_order_relaxed);

	if (je == NULL)
		return false;
	*mallctl = s->mallctl;
	*tcache = s->tcache;
	(void)atomic_fetch_sub_explicit(&je->n_tcaches, 1, memory_order_relaxed);
	atomic_store_explicit(&s->owner, NULL, memory_order_relaxed);
	return true;
}

static void thread_ends(void *first)
{
	struct slot *next;

	for (struct slot *s = first; s != NULL; s = next) {
		cardmark_mallctl mallctl;
		unsigned tcache;
		sigset_t saved;
		bool mine;

		next = s->next;
		lock_slots(&saved);
		mine = take_out(s, &mallctl, &tcache);
		s->next = free_slots;
		free_slots = s;
		unlock_slots(&saved);
		if (mine)
			tcache_destroy(mallctl, tcache);
	}
}

static void set_up(void)
{
	have_key = pthread_key_create(&key, thread_ends) == 0;
}

/* A slot of this thread's, with no cache in it. */
static struct slot *empty_slot(void)
{
	struct slot *first = pthread_getspecific(key), *s;
	sigset_t saved;

	for (s = first; s != NULL; s = s->next)
		if (atomic_load_explicit(&s->owner, memory_order_relaxed) == NULL)
			return s;
	lock_slots(&saved);
	if (free_slots != NULL || more_slots()) {
		s = free_slots;
		free_slots = s->next;
	}
	unlock_slots(&saved);
	if (s == NULL)
		return NULL;
	s->next = first;
	if (pthread_setspecific(key, s) == 0)
		return s;
	lock_slots(&saved);
	s->next = free_slots;
	free_slots = s;
	unlock_slots(&saved);
	return NULL;
}

int cardmark_jemalloc_flags(struct cardmark_jemalloc *je)
{
	int arena = CM_JE_ARENA_BITS(je->arena);
	struct slot *s = NULL;
	sigset_t saved;
	unsigned tcache;
	size_t size = sizeof tcache;

	(void)pthread_once(&once, set_up);
	if (have_key) {
		for (s = pthread_getspecific(key); s != NULL; s = s->next)
			if (atomic_load_explicit(&s->owner, memory_order_relaxed) == je)
				return arena | CM_JE_TCACHE_BITS(s->tcache);
		s = empty_slot();
	}
	if (s == NULL || je->mallctl("tcache.create", &tcache, &size, NULL, 0) != 0) {
		CM_JE_COUNT(je, tcache_failed);
		return arena | CM_JE_TCACHE_NONE;
	}
	lock_slots(&saved);
	s->mallctl = je->mallctl;
	s->tcache = tcache;
	CM_JE_COUNT(je, tcaches);
	atomic_store_explicit(&s->owner, je, memory_order_relaxed);
	unlock_slots(&saved);
	return arena | CM_JE_TCACHE_BITS(tcache);
}

/* The first slot from s on with a cache of this arena, emptied. */
static struct slot *take_one(struct cardmark_jemalloc *je, struct slot *s, unsigned *tcache)
{
	cardmark_mallctl mallctl;
	sigset_t saved;

	lock_slots(&saved);
	if (s == NULL)
		s = all;
	while (s != NULL && (atomic_load_explicit(&s->owner, memory_order_relaxed) != je ||
			     !take_out(s, &mallctl, tcache)))
		s = s->all_next;
	unlock_slots(&saved);
	return s;
}

void cm_je_tcaches_end(struct cardmark_jemalloc *je)
{
	unsigned tcache;

	for (struct slot *s = NULL; (s = take_one(je, s, &tcache)) != NULL;)
		tcache_destroy(je->mallctl, tcache);
}
