/* SPDX-License-Identifier: MIT
 *
 * A jemalloc cache for each thread and arena, so that a thread's cache holds only objects of the
 * arena. Slots are never unmapped: a thread that ends and a call that destroys the arena may use a
 * slot at the same time. The one that takes the cache out of the slot, with the lock held, gives it
 * back to jemalloc. mallctl is not called with the lock held. So the arena counts the caches on the
 * way, and is not destroyed before they have been given back.
 *
 * A thread's caches outlive the program's own thread-specific data, whose destructors may free
 * objects with our flags. So the caches are given back in the last round but one. */
#include "gc-glue/jemalloc/glue.h"

#include <limits.h>
#include <stdint.h>
#include <sys/mman.h>

struct cache {
	cardmark_mallctl mallctl;
	unsigned tcache;
	unsigned born; /* in this generation */
};

struct slot {
	_Atomic(struct cardmark_jemalloc *) owner; /* NULL: it has no cache */
	struct cache cache;
	struct slot *next;     /* of the same thread, or free: only its owner */
	unsigned rounds;       /* of destructors that its thread has been through */
	bool here;             /* of the thread that forked, in its child */
	bool flushing;         /* lock: another thread has jemalloc empty the cache */
	struct slot *all_next; /* never changes */
};

/* How often this process was made by a fork. */
static atomic_uint generation;

static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot *all, *free_slots;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* the thread's first slot */
static bool have_key;

/* This thread has given its caches back and is about to end: it gets no more. */
static _Thread_local bool ended __attribute__((tls_model("initial-exec")));

bool cm_je_slots_hold(void)
{
	return cm_je_lock(&slots_lock);
}

void cm_je_slots_let_go(void)
{
	(void)pthread_mutex_unlock(&slots_lock);
}

/* False in a copy made by clone(2) whose lock stays locked: no other thread uses the slots. */
static bool lock_slots(sigset_t *saved)
{
	cm_signals_block(saved);
	return cm_je_slots_hold();
}

static void unlock_slots(const sigset_t *saved, bool locked)
{
	if (locked)
		cm_je_slots_let_go();
	cm_signals_restore(saved);
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

static unsigned generation_now(void)
{
	return atomic_load_explicit(&generation, memory_order_relaxed);
}

/* Made before a fork, and this is the child. jemalloc 5.3.0 empties its lists of caches there, but
 * leaves these linked with each other, and with those of threads that are gone: if one is
 * destroyed or flushed, the next look at jemalloc's statistics crashes. So they are given up.
 * Their objects stay allocated as long as the arena. */
static bool is_inherited(const struct cache *c)
{
	return c->born != generation_now();
}

/* What this thread has taken out of a slot and not given back yet. */
static _Thread_local struct cardmark_jemalloc *giving __attribute__((tls_model("initial-exec")));

/* Takes the cache out of a slot, with the lock held. The caller must lower `giving_back` of the
 * returned arena afterwards. */
static struct cardmark_jemalloc *take_out(struct slot *s, struct cache *out)
{
	struct cardmark_jemalloc *je = atomic_load_explicit(&s->owner, memory_order_relaxed);

	if (je == NULL)
		return NULL;
	*out = s->cache;
	(void)atomic_fetch_sub_explicit(&je->n_tcaches, 1, memory_order_relaxed);
	/* One step before the slot is empty, a destroy takes the cache out itself; one step
	 * after, it finds that a cache is on the way. Both under the lock. */
	(void)atomic_fetch_add_explicit(&je->giving_back, 1, memory_order_relaxed);
	giving = je;
	atomic_store_explicit(&s->owner, NULL, memory_order_relaxed);
	return je;
}

static void give_back(struct cardmark_jemalloc *je, struct cache *c)
{
	sigset_t saved;

	if (!is_inherited(c))
		(void)c->mallctl("tcache.destroy", NULL, NULL, &c->tcache, sizeof c->tcache);
	/* A handler may fork: its child counts us in or not. */
	cm_signals_block(&saved);
	giving = NULL;
	/* The last that this thread does with the arena. Pairs with the acquire in
	 * cm_je_tcaches_end. */
	(void)atomic_fetch_sub_explicit(&je->giving_back, 1, memory_order_release);
	cm_signals_restore(&saved);
}

void cm_je_tcaches_forget(struct cardmark_jemalloc *je)
{
	atomic_store_explicit(&je->giving_back, giving == je, memory_order_relaxed);
}

void cm_je_slots_child(void)
{
	(void)atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
	for (struct slot *s = all; s != NULL; s = s->all_next)
		s->flushing = s->here = false;
	for (struct slot *s = have_key ? pthread_getspecific(key) : NULL; s != NULL; s = s->next)
		s->here = true;
	for (struct slot *s = all; s != NULL; s = s->all_next) {
		struct cardmark_jemalloc *je =
			atomic_load_explicit(&s->owner, memory_order_relaxed);

		if (je == NULL || s->here)
			continue;
		(void)atomic_fetch_sub_explicit(&je->n_tcaches, 1, memory_order_relaxed);
		atomic_store_explicit(&s->owner, NULL, memory_order_relaxed);
	}
}

/* The same as lock_slots, when no other thread has jemalloc at work on the cache of s. In a copy
 * of the process made by clone(2) that thread is not there. */
static bool lock_slot(const struct slot *s, sigset_t *saved)
{
	bool locked = lock_slots(saved);

	for (unsigned turn = 0; s->flushing && !cm_je_is_copy(); turn++) {
		unlock_slots(saved, locked);
		cm_je_pause(turn);
		locked = lock_slots(saved);
	}
	return locked;
}

static void end_slots(struct slot *first)
{
	struct slot *next;

	for (struct slot *s = first; s != NULL; s = next) {
		struct cardmark_jemalloc *je;
		struct cache cache;
		sigset_t saved;
		bool locked;

		next = s->next;
		locked = lock_slot(s, &saved);
		je = take_out(s, &cache);
		s->next = free_slots;
		free_slots = s;
		unlock_slots(&saved, locked);
		if (je != NULL)
			give_back(je, &cache);
	}
}

/* If a destructor sets its value again, it is called again in the next round. The last round is
 * kept for caches that were made in a destructor of the first round. */
static void thread_ends(void *value)
{
	struct slot *first = value;

	if (++first->rounds < PTHREAD_DESTRUCTOR_ITERATIONS - 1 &&
	    pthread_setspecific(key, first) == 0)
		return;
	ended = true;
	end_slots(first);
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
	bool locked;

	for (s = first; s != NULL; s = s->next)
		if (atomic_load_explicit(&s->owner, memory_order_relaxed) == NULL)
			return s;
	locked = lock_slots(&saved);
	if (free_slots != NULL || more_slots()) {
		s = free_slots;
		free_slots = s->next;
	}
	unlock_slots(&saved, locked);
	if (s == NULL)
		return NULL;
	s->next = first;
	/* A new first slot goes on counting where the old one was. */
	s->rounds = first == NULL ? 0 : first->rounds;
	if (pthread_setspecific(key, s) == 0)
		return s;
	locked = lock_slots(&saved);
	s->next = free_slots;
	free_slots = s;
	unlock_slots(&saved, locked);
	return NULL;
}

int cardmark_jemalloc_flags(struct cardmark_jemalloc *je)
{
	int arena = CM_JE_ARENA_BITS(je->arena);
	struct slot *s = NULL;
	sigset_t saved;
	unsigned tcache, born = generation_now();
	size_t size = sizeof tcache;
	bool locked;

	(void)pthread_once(&once, set_up);
	if (have_key && !ended) {
		for (s = pthread_getspecific(key); s != NULL; s = s->next)
			if (atomic_load_explicit(&s->owner, memory_order_relaxed) == je)
				return arena | CM_JE_TCACHE_BITS(s->cache.tcache);
		s = empty_slot();
	}
	(void)cm_je_ask_whose_hooks(je);
	if (s == NULL || je->mallctl("tcache.create", &tcache, &size, NULL, 0) != 0) {
		CM_JE_COUNT(je, tcache_failed);
		return arena | CM_JE_TCACHE_NONE;
	}
	locked = lock_slots(&saved);
	s->cache = (struct cache){ je->mallctl, tcache, born };
	CM_JE_COUNT(je, tcaches);
	atomic_store_explicit(&s->owner, je, memory_order_relaxed);
	unlock_slots(&saved, locked);
	return arena | CM_JE_TCACHE_BITS(tcache);
}

/* The first slot from s on with a cache of this arena, emptied. */
static struct slot *take_one(struct cardmark_jemalloc *je, struct slot *s, struct cache *out)
{
	sigset_t saved;
	bool locked = lock_slots(&saved);

	if (s == NULL)
		s = all;
	while (s != NULL && (atomic_load_explicit(&s->owner, memory_order_relaxed) != je ||
			     take_out(s, out) == NULL))
		s = s->all_next;
	unlock_slots(&saved, locked);
	return s;
}

/* Threads that end now. In a copy of the process made by clone(2) they are not here. */
static void wait_for_those_on_the_way(struct cardmark_jemalloc *je)
{
	for (unsigned turn = 0;
	     atomic_load_explicit(&je->giving_back, memory_order_acquire) != 0 && !cm_je_is_copy();
	     turn++)
		cm_je_pause(turn);
}

void cm_je_tcaches_end(struct cardmark_jemalloc *je)
{
	struct cache cache;

	for (struct slot *s = NULL; (s = take_one(je, s, &cache)) != NULL;)
		give_back(je, &cache);
	wait_for_those_on_the_way(je);
}

/* The thread of the slot may end meanwhile: it waits (lock_slot). */
static void flush(struct cardmark_jemalloc *je, struct slot *s)
{
	struct cache cache = { 0 };
	bool mine, locked;
	sigset_t saved;

	locked = lock_slot(s, &saved);
	mine = atomic_load_explicit(&s->owner, memory_order_relaxed) == je;
	if (mine) {
		cache = s->cache;
		s->flushing = true;
	}
	unlock_slots(&saved, locked);
	if (!mine)
		return;
	if (!is_inherited(&cache))
		(void)cache.mallctl("tcache.flush", NULL, NULL, &cache.tcache, sizeof cache.tcache);
	locked = lock_slots(&saved);
	s->flushing = false;
	unlock_slots(&saved, locked);
}

bool cm_je_tcaches_flush(struct cardmark_jemalloc *je)
{
	sigset_t saved;
	bool locked = lock_slots(&saved), can = true;
	struct slot *first = all;

	for (struct slot *s = first; s != NULL; s = s->all_next)
		can &= !is_inherited(&s->cache) ||
		       atomic_load_explicit(&s->owner, memory_order_relaxed) != je;
	unlock_slots(&saved, locked);
	for (struct slot *s = first; s != NULL && can; s = s->all_next)
		flush(je, s);
	/* A cache that was taken out of its slot before still holds objects. */
	if (can)
		wait_for_those_on_the_way(je);
	return can;
}
