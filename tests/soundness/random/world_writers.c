/* SPDX-License-Identifier: MIT
 *
 * The oracle's writers: memcpy, read(2) and process_vm_writev, each write logged
 * with the period between two collects in which it began and ended. */
#include "tests/soundness/random/world_state.h"

#include "tests/support/random.h"

#include <sched.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void write_once(struct world *w, uint64_t *rng, unsigned char *buf)
{
	size_t s = random_below(rng, SLOTS), card = w->card;
	size_t at = random_below(rng, SLOT_PAGES * card);
	size_t len = random_below(rng, 4) == 0 ? 1 + random_below(rng, MAX_WRITE)
					       : 1 + random_below(rng, 32);
	unsigned how = (unsigned)random_below(rng, 8);
	unsigned char *to = page_at(w, s * SLOT_PAGES) + at;
	uint64_t e1, e2;
	ssize_t done = (ssize_t)len;

	if (len > SLOT_PAGES * card - at)
		done = (ssize_t)(len = SLOT_PAGES * card - at);
	for (size_t i = 0; i < len && i < 64; i++)
		buf[i] = (unsigned char)random_next(rng);
	(void)pthread_mutex_lock(&w->slot[s].lock);
	if (!w->slot[s].mapped) {
		(void)pthread_mutex_unlock(&w->slot[s].lock);
		return;
	}
	if (how == 0)
		(void)pthread_mutex_lock(&w->pinned);
	e1 = atomic_load_explicit(&w->epoch, memory_order_seq_cst);
	if (how == 0) {
		struct iovec from = { buf, len }, into = { to, len };
		done = process_vm_writev(getpid(), &from, 1, &into, 1, 0);
	} else if (how <= 2) {
		done = pread(w->noise, to, len, (off_t)random_below(rng, 4096));
	} else {
		memcpy(to, buf, len);
	}
	e2 = atomic_load_explicit(&w->epoch, memory_order_seq_cst);
	if (how == 0)
		(void)pthread_mutex_unlock(&w->pinned);
	if (done > 0 && e1 == e2 && e1 % 2 == 0) {
		size_t first = (size_t)(to - w->base) / card;
		size_t last = (size_t)(to + done - 1 - w->base) / card;
		for (size_t i = first; i <= last; i++)
			atomic_store_explicit(&w->page[i].period, e1 / 2 + 1, memory_order_release);
	}
	(void)pthread_mutex_unlock(&w->slot[s].lock);
	atomic_fetch_add_explicit(done > 0 ? &w->writes : &w->refused, 1, memory_order_relaxed);
}

void *world_write_on(void *arg)
{
	struct writer *me = arg;
	struct world *w = me->w;
	uint64_t rng = me->seed;
	unsigned char buf[MAX_WRITE];

	memset(buf, 0x5a, sizeof buf);
	while (!atomic_load_explicit(&w->quit, memory_order_acquire)) {
		if (atomic_load_explicit(&w->stop_writers, memory_order_acquire)) {
			atomic_fetch_add_explicit(&w->stopped, 1, memory_order_acq_rel);
			while (atomic_load_explicit(&w->stop_writers, memory_order_acquire))
				(void)sched_yield();
			atomic_fetch_sub_explicit(&w->stopped, 1, memory_order_acq_rel);
		}
		write_once(w, &rng, buf);
	}
	return NULL;
}

void world_stop_writers(struct world *w)
{
	atomic_store_explicit(&w->stop_writers, true, memory_order_release);
	while (atomic_load_explicit(&w->stopped, memory_order_acquire) != WRITERS)
		(void)sched_yield();
}

void world_start_writers(struct world *w)
{
	atomic_store_explicit(&w->stop_writers, false, memory_order_release);
	while (atomic_load_explicit(&w->stopped, memory_order_acquire) != 0)
		(void)sched_yield();
}
