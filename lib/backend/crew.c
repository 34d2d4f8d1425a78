/* SPDX-License-Identifier: MIT */
#include "lib/backend/crew.h"
#include "lib/backend/owed.h"
#include "common/signals.h"
#include "common/wait.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_HELPERS 63
#define UNITS_EACH                                                                                 \
	4 /* offered for each thread: no helper runs out of work while the caller is busy */
#define STACK_BYTES ((size_t)256 << 10)

enum { EMPTY, READY, TAKEN, DONE, LATE, BACK };

struct helper {
	struct cm_crew_shared *shared;
	struct page_region *vec;
	pthread_t thread;
};

/* The kernel zeroes it in a fork child (MADV_WIPEONFORK), which has no helpers; their late clears
 * concern the parent. So the crew is empty there. */
struct cm_crew_shared {
	_Atomic uint32_t posted; /* what helpers sleep on: counts offers */
	_Atomic unsigned sleeping;
	_Atomic bool quit;
	unsigned helpers;
	size_t units;
	size_t vec_len;
	cm_crew_work *work;
	struct cm_counters *counters;
	struct helper helper[MOST_HELPERS];
	struct cm_unit unit[];
};

/* ---- Helpers --------------------------------------------------------------- */

static struct cm_unit *take(struct cm_crew_shared *s)
{
	for (size_t i = 0; i < s->units; i++) {
		struct cm_unit *u = &s->unit[i];
		int expected = READY;

		/* Acquire: pairs with the release in offer(). The question is read only now: the
		 * slot may have been filled again since it was seen READY. */
		if (atomic_load_explicit(&u->state, memory_order_relaxed) == READY &&
		    atomic_compare_exchange_strong_explicit(&u->state, &expected, TAKEN,
							    memory_order_acquire,
							    memory_order_relaxed))
			return u;
	}
	return NULL;
}

static void finish(struct cm_unit *u)
{
	int expected = TAKEN;

	/* Release: the answer, and that the kernel is done with the cards. Pairs with the
	 * acquire in gather_done(). Acquire, if it is LATE: the place. One step before, the caller
	 * waits for the unit or calls it late; one step after, the caller gathers it. */
	if (atomic_compare_exchange_strong_explicit(&u->state, &expected, DONE,
						    memory_order_release, memory_order_acquire))
		return;
	cm_owed_back(u->owed);
	/* From here on the slot is the caller's. Pairs with the acquire in take_back(). */
	atomic_store_explicit(&u->state, BACK, memory_order_release);
}

/* Calls no malloc and takes no lock: it may be stopped anywhere. */
static void *help(void *arg)
{
	struct helper *me = arg;
	struct cm_crew_shared *s = me->shared;

	(void)pthread_setname_np(pthread_self(), "cardmark-crew");
	for (;;) {
		/* Before looking: an offer after this look ends the sleep. */
		uint32_t seen = atomic_load_explicit(&s->posted, memory_order_acquire);
		struct cm_unit *u;

		if (atomic_load_explicit(&s->quit, memory_order_acquire))
			return NULL;
		while ((u = take(s)) != NULL) {
			s->work(u, me->vec, s->vec_len, s->counters);
			finish(u);
		}
		/* In one order with the offer: either the offering thread sees us sleeping, or the
		 * kernel sees that the word has changed. */
		atomic_fetch_add_explicit(&s->sleeping, 1, memory_order_seq_cst);
		(void)cm_os->futex_wait(&s->posted, seen);
		atomic_fetch_sub_explicit(&s->sleeping, 1, memory_order_seq_cst);
	}
}

static void wake(struct cm_crew_shared *s, unsigned n)
{
	atomic_fetch_add_explicit(&s->posted, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&s->sleeping, memory_order_seq_cst) > 0)
		(void)cm_os->futex_wake(&s->posted, n);
}

/* ---- Open and close ---------------------------------------------------------- */

static int start(struct helper *h)
{
	sigset_t every, before;
	pthread_attr_t attr;
	int error;

	if (pthread_attr_init(&attr) != 0)
		return -ENOMEM;
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* The helper inherits the mask: a collector that stops threads by a signal must not stop
	 * it, and no handler of the program may run on it. */
	(void)sigfillset(&every);
	(void)pthread_sigmask(SIG_SETMASK, &every, &before);
	error = pthread_create(&h->thread, &attr, help, h);
	if (error == EINVAL) /* the program's thread-local data do not fit */
		error = pthread_create(&h->thread, NULL, help, h);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return error == 0 ? 0 : -ENOMEM; /* EAGAIN: no more threads */
}

int cm_crew_open(struct cm_crew *crew, const struct cm_backend_params *params, cm_crew_work *work)
{
	unsigned helpers = params->threads > 1 ? params->threads - 1 : 0;
	size_t page = cardmark_card_size(), units = UNITS_EACH * (helpers + 1);
	size_t fixed = sizeof(struct cm_crew_shared) + units * sizeof(struct cm_unit);
	size_t bytes = fixed + helpers * params->vec_len * sizeof(struct page_region);
	struct cm_crew_shared *s;
	void *mem;
	int error;

	memset(crew, 0, sizeof *crew);
	if (helpers == 0 || helpers > MOST_HELPERS)
		return 0;
	bytes = (bytes + page - 1) & ~(page - 1);
	error = cm_owed_set_up();
	if (error < 0)
		return error;
	error = cm_os->map(bytes, &mem);
	if (error < 0)
		return error;
	s = mem;
	/* Without the zeroing, a child would wait for threads that it does not have. */
	error = cm_os->madvise(s, bytes, MADV_WIPEONFORK);
	if (error < 0) {
		(void)cm_os->unmap(s, bytes);
		return error;
	}
	crew->shared = s;
	crew->bytes = bytes;
	s->units = units;
	s->vec_len = params->vec_len;
	s->work = work;
	s->counters = params->counters;
	for (unsigned i = 0; i < helpers; i++) {
		struct helper *h = &s->helper[i];
		h->shared = s;
		h->vec = (struct page_region *)(void *)((char *)mem + fixed) + i * s->vec_len;
		error = start(h);
		if (error < 0) {
			cm_crew_close(crew);
			return error;
		}
		s->helpers++;
	}
	return 0;
}

void cm_crew_close(struct cm_crew *crew)
{
	struct cm_crew_shared *s = crew->shared;

	if (s == NULL)
		return;
	atomic_store_explicit(&s->quit, true, memory_order_release);
	wake(s, s->helpers);
	for (unsigned i = 0; i < s->helpers; i++)
		cm_join(s->helper[i].thread);
	(void)cm_os->unmap(s, crew->bytes);
	memset(crew, 0, sizeof *crew);
}

unsigned cm_crew_threads(const struct cm_crew *crew)
{
	return crew->shared == NULL ? 1 : 1 + crew->shared->helpers;
}

/* ---- The caller's side --------------------------------------------------------- */

static int state_of(const struct cm_unit *u)
{
	return atomic_load_explicit(&u->state, memory_order_acquire);
}

static void set_empty(struct cm_unit *u)
{
	/* No thread takes an EMPTY slot: the next release is in offer(). */
	atomic_store_explicit(&u->state, EMPTY, memory_order_relaxed);
}

static void gather_done(struct cm_crew_shared *s, const struct cm_crew_job *job)
{
	for (size_t i = 0; i < s->units; i++)
		if (state_of(&s->unit[i]) == DONE) {
			job->gather(job->arg, &s->unit[i]);
			set_empty(&s->unit[i]);
		}
}

/* False: there is no more work. */
static bool offer(struct cm_crew_shared *s, const struct cm_crew_job *job)
{
	unsigned offered = 0;
	bool more = true;

	for (size_t i = 0; more && i < s->units; i++) {
		struct cm_unit *u = &s->unit[i];

		if (state_of(u) != EMPTY)
			continue;
		more = job->fill(job->arg, u);
		if (!more)
			break;
		atomic_store_explicit(&u->state, READY, memory_order_release);
		offered++;
	}
	if (offered > 1) /* the first is the caller's */
		wake(s, offered - 1 < s->helpers ? offered - 1 : s->helpers);
	return more;
}

static bool any_taken(const struct cm_crew_shared *s)
{
	for (size_t i = 0; i < s->units; i++) {
		int state = state_of(&s->unit[i]);
		if (state == TAKEN || state == DONE)
			return true;
	}
	return false;
}

/* Owe the unit before it is called late, because its helper may finish at any moment. */
static void give_up_taken(struct cm_crew_shared *s, const struct cm_crew_job *job)
{
	for (size_t i = 0; i < s->units; i++) {
		struct cm_unit *u = &s->unit[i];
		int expected = TAKEN;

		if (state_of(u) != TAKEN)
			continue;
		u->owed = cm_owed_add(u->start, u->end);
		/* Release: the place. Pairs with the acquire in finish(). */
		if (atomic_compare_exchange_strong_explicit(
			    &u->state, &expected, LATE, memory_order_release, memory_order_relaxed))
			job->give_up(job->arg, u);
		else
			cm_owed_forgive(u->owed);
	}
}

/* Slots of helpers that were late and are back. Their answers are not needed: the units were
 * reported whole, and will be until the list of owed units has been read once more. */
static void take_back(struct cm_crew_shared *s)
{
	for (size_t i = 0; i < s->units; i++) {
		struct cm_unit *u = &s->unit[i];

		if (state_of(u) != BACK)
			continue;
		memset(u->bits, 0, sizeof u->bits);
		set_empty(u);
	}
}

void cm_crew_run(struct cm_crew *crew, const struct cm_crew_job *job)
{
	struct cm_crew_shared *s = crew->shared;
	const struct cm_wait patience = { .bound_ns = CM_CREW_WAIT_NS };
	struct cm_wait wait = patience;
	bool more = true;

	take_back(s);
	for (;;) {
		struct cm_unit *u;

		gather_done(s, job);
		if (more)
			more = offer(s, job);
		u = take(s);
		if (u != NULL) {
			job->do_it(job->arg, u);
			set_empty(u);
			wait = patience;
			continue;
		}
		if (!more && !any_taken(s))
			return;
		if (cm_wait_is_over(&wait, cm_os->now()))
			give_up_taken(s, job);
		(void)sched_yield();
	}
}

bool cm_crew_settle(struct cm_crew *crew, uint64_t wait_ns)
{
	const struct cm_crew_shared *s = crew->shared;
	struct cm_wait wait = { .bound_ns = wait_ns };

	for (;;) {
		bool away = false;

		for (size_t i = 0; s != NULL && i < s->units; i++)
			away |= state_of(&s->unit[i]) == LATE;
		if (!away || cm_wait_is_over(&wait, cm_os->now()))
			return !away;
		(void)sched_yield();
	}
}
