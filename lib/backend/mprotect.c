/* SPDX-License-Identifier: MIT
 *
 * mprotect and SIGSEGV: runs anywhere. A card is armed by taking PROT_WRITE
 * away; the first write traps, and the handler notes the card and gives
 * PROT_WRITE back.
 *
 * One spin lock for the process makes "set the bit, unprotect" and "take the
 * bits, protect" each one step. Without it a write is lost: the handler sets the
 * bit, a harvest takes it and protects the card, and then the handler unprotects
 * a card that counts as clean.
 *
 * Nobody is ever stopped with the lock: it is held with every signal blocked,
 * in the handler by its sa_mask. So nothing that may be tracked can be touched
 * under it. It lies in memory that a fork child gets zeroed, that is, free. */
#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <ucontext.h>

#define WAIT_NS UINT64_C(20000000) /* for the lock, while the world may be stopped */
#define ORPHAN ((enum cm_kind)0)   /* range that is handled but not tracked */
#define RETRIES 8                  /* of one card, before we ask the kernel what is wrong */

struct trap {
	struct cm_backend b; /* first */
	struct trap *next;
	pthread_t opener;
	bool other_threads;      /* have faulted */
	struct cm_ranges ranges; /* for the handler, which has no access to the tracker's */
	struct cm_cards written;
	struct cm_cards snapshot; /* of written, for one scan */
};

/* All protected by the lock. */
static struct {
	struct trap *list;
	bool installed;
	struct sigaction next, first; /* handlers to pass foreign faults to */
	uintptr_t retry_addr;
	unsigned retries;
} shared;

static _Atomic(atomic_int *) lock_word;

/* ---- The lock -------------------------------------------------------------- */

static bool lock_for(uint64_t wait_ns)
{
	atomic_int *word = atomic_load_explicit(&lock_word, memory_order_acquire);
	uint64_t start = 0;

	for (unsigned i = 0;; i++) {
		/* Pairs with the release in unlock(). */
		if (atomic_exchange_explicit(word, 1, memory_order_acquire) == 0)
			return true;
		if (start == 0)
			start = cm_os->now();
		else if (cm_os->now() - start >= wait_ns)
			return false;
		if (i % 64 == 63) /* lets a holder of lower priority run, too */
			(void)cm_os->poll(NULL, 0, 1);
		else
			(void)sched_yield();
	}
}

static void unlock(void)
{
	atomic_store_explicit(atomic_load_explicit(&lock_word, memory_order_relaxed), 0,
			      memory_order_release);
}

/* For callers that are not the handler. */
static bool enter(sigset_t *before, uint64_t wait_ns)
{
	sigset_t every;

	(void)sigfillset(&every);
	(void)pthread_sigmask(SIG_SETMASK, &every, before);
	if (lock_for(wait_ns))
		return true;
	(void)pthread_sigmask(SIG_SETMASK, before, NULL);
	return false;
}

static void leave(const sigset_t *before)
{
	unlock();
	(void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

static int make_lock(void)
{
	atomic_int *none = NULL;
	void *page;
	int error;

	if (atomic_load_explicit(&lock_word, memory_order_acquire) != NULL)
		return 0;
	error = cm_os->map(cardmark_card_size(), &page);
	if (error < 0)
		return error;
	(void)cm_os->madvise(page, cardmark_card_size(), MADV_WIPEONFORK); /* 4.14 */
	if (!atomic_compare_exchange_strong_explicit(&lock_word, &none, (atomic_int *)page,
						     memory_order_acq_rel, memory_order_acquire))
		(void)cm_os->unmap(page, cardmark_card_size()); /* another thread was first */
	return 0;
}

/* ---- Protection: all under the lock ---------------------------------------- */

static struct trap *self(struct cm_backend *b)
{
	return (struct trap *)b;
}

static int protect(struct trap *t, uintptr_t start, uintptr_t end, int prot)
{
	CM_COUNT(t->b.params.counters->kernel_calls);
	int error = cm_os->mprotect(start, end - start, prot);
	if (error < 0)
		cm_note_errno(t->b.params.counters, error);
	return error;
}

/* Makes writable what we protected of [start, end), part of a range with this
 * protection. Mapping by mapping if it does not go in one call: whole mappings
 * need no split, and holes are passed over. */
static bool give_back(struct trap *t, uintptr_t start, uintptr_t end, int prot)
{
	bool good = true;

	if (protect(t, start, end, prot) == 0)
		return true;
	while (start < end) {
		struct cm_vma vma;
		int error = cm_os->vma_at(start, &vma);
		if (error < 0)
			return good && error == -ENOENT;
		if (vma.start < start)
			vma.start = start;
		if (vma.end > end)
			vma.end = end;
		if (vma.start >= vma.end)
			break;
		if (vma.prot == (prot & ~PROT_WRITE))
			good &= protect(t, vma.start, vma.end, prot) == 0;
		start = vma.end;
	}
	return good;
}

/* Everything of [start, end) writable and written: where every failure ends. */
static bool give_up(struct trap *t, uintptr_t start, uintptr_t end)
{
	bool good = true;

	for (size_t i = cm_ranges_find(&t->ranges, start);
	     i < t->ranges.n && t->ranges.v[i].start < end; i++) {
		struct cm_range r = cm_ranges_clip(&t->ranges, i, start, end);
		good &= give_back(t, r.start, r.end, r.prot);
		cm_cards_set(&t->written, r.start, r.end);
	}
	return good;
}

/* ---- The handler ----------------------------------------------------------- */

static bool is_write(const siginfo_t *info, const ucontext_t *uc)
{
#if defined(__x86_64__)
	(void)info;
	return (uc->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#elif defined(__aarch64__)
	/* Reads do not fault where we left PROT_READ; fetches do. */
	return uc->uc_mcontext.pc != (uintptr_t)info->si_addr;
#else
	(void)info;
	(void)uc;
	return true;
#endif
}

/* A card of ours that is not clean, or no card of ours. Another thread may have
 * resolved or untracked it since the fault: then the kernel says it is writable,
 * and the write is simply tried again. */
static bool stale(uintptr_t addr)
{
	struct cm_vma vma;

	return cm_os->vma_at(addr, &vma) == 0 && vma.start <= addr && (vma.prot & PROT_WRITE) != 0;
}

static bool resolve_in(struct trap *t, const struct cm_range *r, uintptr_t card)
{
	size_t size = cardmark_card_size();

	CM_COUNT(t->b.params.counters->faults);
	t->other_threads |= !pthread_equal(pthread_self(), t->opener);
	if (!cm_cards_test(&t->written, card)) {
		shared.retries = 0;
		cm_cards_set(&t->written, card, card + size);
		if (protect(t, card, card + size, r->prot) == 0)
			return true;
		/* No more mappings to be had (vm.max_map_count): a whole range needs
		 * fewer. */
		CM_COUNT(t->b.params.counters->guessed);
		return give_up(t, r->start, r->end) || stale(card);
	}
	/* Two threads wrote to it at once, and the other one was here first. A
	 * fault that comes back is something else; asking costs too much to do
	 * it each time. */
	if (shared.retry_addr != card)
		shared.retries = 0;
	shared.retry_addr = card;
	if (++shared.retries < RETRIES || stale(card))
		return true;
	shared.retries = 0;
	/* Left protected by an mprotect that failed half-way? */
	return give_back(t, card, card + size, r->prot) && stale(card);
}

static bool resolve(uintptr_t addr)
{
	uintptr_t card = addr & ~(uintptr_t)(cardmark_card_size() - 1);

	for (struct trap *t = shared.list; t != NULL; t = t->next) {
		size_t i = cm_ranges_find(&t->ranges, addr);
		if (i < t->ranges.n && t->ranges.v[i].start <= addr)
			return resolve_in(t, &t->ranges.v[i], card);
	}
	return stale(addr);
}

static void on_fault(int sig, siginfo_t *info, void *context);

static bool is_ours(const struct sigaction *act)
{
	return (act->sa_flags & SA_SIGINFO) != 0 && act->sa_sigaction == on_fault;
}

/* Has a handler we pass faults to passed this one back? Then it was called from
 * further down the stack than the kernel calls us, whose distance from the
 * signal frame is always the same, the least there is. */
static bool passed_back(const void *context)
{
	static _Atomic size_t least = SIZE_MAX;
	size_t distance = (uintptr_t)context - (uintptr_t)__builtin_frame_address(0);
	size_t known = atomic_load_explicit(&least, memory_order_relaxed);

	if (distance < known)
		atomic_store_explicit(&least, distance, memory_order_relaxed);
	return distance > known;
}

/* Does what the kernel would do with this signal if we were not there. */
static void pass_on(int sig, siginfo_t *info, void *context, struct sigaction *act)
{
	bool sent = info->si_code <= 0; /* kill(2) and such: no fault to come back */
	bool none = (act->sa_flags & SA_SIGINFO) == 0 &&
		    (act->sa_handler == SIG_DFL || act->sa_handler == SIG_IGN);

	if (none) {
		if (sent && act->sa_handler == SIG_IGN)
			return;
		/* The kernel kills a program that ignores a real fault. Back to
		 * the default and back to the faulting instruction. */
		act->sa_handler = SIG_DFL;
		act->sa_flags = 0;
		(void)sigemptyset(&act->sa_mask);
		(void)cm_os->sigaction(sig, act, NULL);
		if (sent)
			(void)pthread_kill(pthread_self(), sig);
		return;
	}
	/* The mask that handler expects: the interrupted one and its own. */
	const ucontext_t *uc = context;
	sigset_t mask = act->sa_mask;
	for (int s = 1; s < _NSIG; s++) {
		if (sigismember(&uc->uc_sigmask, s) == 1)
			(void)sigaddset(&mask, s);
	}
	if ((act->sa_flags & SA_NODEFER) == 0)
		(void)sigaddset(&mask, sig);
	(void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (act->sa_flags & SA_SIGINFO)
		act->sa_sigaction(sig, info, context);
	else
		act->sa_handler(sig);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	bool nested = passed_back(context);
	struct sigaction act;
	bool ours = false;
	sigset_t before;

	/* sa_mask has blocked every signal, unless another handler called us. */
	(void)enter(&before, UINT64_MAX);
	if (info->si_code == SEGV_ACCERR && is_write(info, context))
		ours = resolve((uintptr_t)info->si_addr);
	act = nested ? shared.first : shared.next;
	if (!ours && !nested && (act.sa_flags & (int)SA_RESETHAND) != 0) {
		shared.next.sa_handler = SIG_DFL;
		shared.next.sa_flags = 0;
	}
	leave(&before);
	if (!ours)
		pass_on(sig, info, context, &act);
	errno = saved;
}

/* Puts the handler in front of the program's. -EBUSY: it had been replaced. */
static int install(void)
{
	struct sigaction now,
		act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int error = cm_os->sigaction(SIGSEGV, NULL, &now);

	if (error < 0)
		return error;
	if (is_ours(&now))
		return 0;
	error = shared.installed ? -EBUSY : 0;
	if (!shared.installed)
		shared.first = now;
	shared.next = now; /* before ours can run */
	(void)sigfillset(&act.sa_mask);
	int failed = cm_os->sigaction(SIGSEGV, &act, NULL);
	if (failed < 0)
		return failed;
	shared.installed = true;
	return error;
}

/* The program has put its own handler in place of ours: nobody knows what that
 * did with our faults. */
static bool handler_lost(void)
{
	if (install() == 0)
		return false;
	for (struct trap *t = shared.list; t != NULL; t = t->next) {
		(void)give_up(t, 0, CM_ADDRESS_LIMIT);
		CM_COUNT(t->b.params.counters->guessed);
		cm_note_errno(t->b.params.counters, EBUSY);
	}
	return true;
}

/* At the last close. Not if threads other than the opener's have trapped: one
 * of them may have faulted just before its card was given back, and would die
 * of the default action. */
static void uninstall(const struct trap *t)
{
	struct sigaction now;

	if (shared.list != NULL || t->other_threads || cm_os->sigaction(SIGSEGV, NULL, &now) < 0 ||
	    !is_ours(&now))
		return;
	if (cm_os->sigaction(SIGSEGV, &shared.next, NULL) == 0)
		shared.installed = false;
}

/* ---- The backend ----------------------------------------------------------- */

static void free_memory(struct trap *t)
{
	cm_cards_free(&t->snapshot);
	cm_cards_free(&t->written);
	cm_ranges_free(&t->ranges);
	(void)cm_os->unmap(t, sizeof *t);
}

static int mprotect_open(struct cm_backend **out, const struct cm_backend_params *params,
			 const char **why)
{
	void *memory;
	sigset_t before;

	*why = "no memory for the tracker";
	if (make_lock() < 0 || cm_os->map(sizeof(struct trap), &memory) < 0)
		return -ENOMEM;
	struct trap *t = memory;
	t->b.ops = &cm_backend_mprotect;
	t->b.params = *params;
	t->opener = pthread_self();
	if (cm_cards_init(&t->written) < 0)
		goto fail_unmap;
	if (cm_cards_init(&t->snapshot) < 0)
		goto fail_written;
	(void)enter(&before, UINT64_MAX);
	(void)handler_lost(); /* a later harvest could not tell that it was */
	int error = shared.installed ? 0 : -EIO;
	if (error == 0) {
		t->next = shared.list;
		shared.list = t;
	}
	leave(&before);
	if (error == 0) {
		*out = &t->b;
		return 0;
	}
	*why = "the SIGSEGV handler cannot be set";
	free_memory(t);
	return error;

fail_written:
	cm_cards_free(&t->written);
fail_unmap:
	(void)cm_os->unmap(memory, sizeof(struct trap));
	return -ENOMEM;
}

static void mprotect_close(struct cm_backend *b, const struct cm_ranges *all)
{
	struct trap *t = self(b);
	sigset_t before;

	(void)all;
	(void)enter(&before, UINT64_MAX);
	(void)give_up(t, 0, CM_ADDRESS_LIMIT);
	for (struct trap **p = &shared.list; *p != NULL; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			break;
		}
	}
	uninstall(t);
	leave(&before);
	free_memory(t);
}

static uint64_t mprotect_categories(struct cm_backend *b)
{
	(void)b;
	return CM_COMPOSED_CATEGORIES;
}

static int mprotect_add(struct cm_backend *b, const struct cm_range *piece)
{
	struct trap *t = self(b);
	sigset_t before;
	int error;

	if ((piece->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		return -EINVAL;
	if (!enter(&before, WAIT_NS))
		return -EBUSY;
	error = cm_cards_reserve(&t->written, piece->start, piece->end);
	if (error == 0)
		error = cm_cards_reserve(&t->snapshot, piece->start, piece->end);
	if (error == 0)
		error = cm_ranges_reserve(&t->ranges, 2);
	if (error == 0 && !give_up(t, piece->start, piece->end))
		error = -ENOMEM;
	if (error == 0) {
		cm_ranges_add(&t->ranges, *piece);
		cm_cards_set(&t->written, piece->start, piece->end);
	}
	leave(&before);
	return error;
}

static void mprotect_remove(struct cm_backend *b, const struct cm_range *piece)
{
	struct trap *t = self(b);
	sigset_t before;

	(void)enter(&before, UINT64_MAX);
	/* If it cannot be made writable the handler goes on to do so: the piece
	 * stays, in a kind that is not reported. */
	if (cm_ranges_reserve(&t->ranges, 2) == 0) {
		if (give_up(t, piece->start, piece->end)) {
			cm_ranges_remove(&t->ranges, piece->start, piece->end);
		} else {
			struct cm_range orphan = *piece;
			orphan.kind = ORPHAN;
			cm_ranges_add(&t->ranges, orphan);
		}
	}
	cm_cards_clear(&t->written, piece->start, piece->end);
	leave(&before);
}

/* Reports what was written of a range and arms it: in one call whatever was
 * written, for the kernel passes over what is protected already, and the pieces
 * that the faults made become one mapping again. False: reported whole. */
static bool take(struct trap *t, const struct cm_range *r, struct cm_cards *into)
{
	struct cardmark_run run;
	bool any = false;

	for (uintptr_t at = r->start; cm_cards_next(&t->written, at, &run) && run.start < r->end;
	     at = run.end) {
		if (run.end > r->end)
			run.end = r->end;
		cm_cards_set(into, run.start, run.end);
		any = true;
	}
	if (!any)
		return true;
	if (protect(t, r->start, r->end, r->prot & ~PROT_WRITE) == 0) {
		cm_cards_clear(&t->written, r->start, r->end);
		return true;
	}
	(void)give_up(t, r->start, r->end);
	cm_cards_set(into, r->start, r->end);
	CM_COUNT(t->b.params.counters->guessed);
	return false;
}

static size_t mprotect_harvest(struct cm_backend *b, const struct cm_ranges *all,
			       struct cm_cards *into)
{
	struct trap *t = self(b);
	sigset_t before;
	size_t guessed = 0;

	if (!enter(&before, WAIT_NS)) {
		for (size_t i = 0; i < all->n; i++)
			cm_cards_set(into, all->v[i].start, all->v[i].end);
		return all->n;
	}
	guessed = handler_lost();
	for (size_t i = 0; i < t->ranges.n; i++) {
		if (t->ranges.v[i].kind != ORPHAN)
			guessed += !take(t, &t->ranges.v[i], into);
	}
	leave(&before);
	return guessed;
}

static void rearm(struct cm_backend *b, uintptr_t start, uintptr_t end)
{
	struct trap *t = self(b);
	sigset_t before;

	if (!enter(&before, WAIT_NS))
		return; /* stays written */
	for (size_t i = cm_ranges_find(&t->ranges, start);
	     i < t->ranges.n && t->ranges.v[i].start < end; i++) {
		struct cm_range r = cm_ranges_clip(&t->ranges, i, start, end);
		if (protect(t, r.start, r.end, r.prot & ~PROT_WRITE) == 0)
			cm_cards_clear(&t->written, r.start, r.end);
		else
			(void)give_up(t, r.start, r.end);
	}
	leave(&before);
}

static void mprotect_scan(struct cm_backend *b, const struct cm_ranges *all,
			  const struct cm_range *piece, const struct cm_masks *masks,
			  enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	struct trap *t = self(b);
	struct cardmark_run run;
	sigset_t before;

	(void)all;
	if (!enter(&before, WAIT_NS)) {
		sink->guessed = true;
		cm_composed_scan(b, piece, masks, op, sink, resume, NULL, NULL);
		return;
	}
	sink->guessed |= handler_lost();
	cm_cards_clear(&t->snapshot, piece->start, piece->end);
	for (uintptr_t at = piece->start;
	     cm_cards_next(&t->written, at, &run) && run.start < piece->end; at = run.end)
		cm_cards_set(&t->snapshot, run.start > piece->start ? run.start : piece->start,
			     run.end < piece->end ? run.end : piece->end);
	leave(&before);
	/* Without the lock: the answer's memory may be tracked. */
	cm_composed_scan(b, piece, masks, op, sink, resume, &t->snapshot, rearm);
}

/* The copy has the parent's protections and its handler; the lock is free. */
static int mprotect_fork_child(struct cm_backend *b, const struct cm_ranges *all)
{
	struct trap *t = self(b);
	sigset_t before;

	(void)all;
	(void)enter(&before, UINT64_MAX);
	t->opener = pthread_self();
	bool good = give_up(t, 0, CM_ADDRESS_LIMIT);
	leave(&before);
	return good ? 0 : -ENOMEM;
}

const struct cm_backend_ops cm_backend_mprotect = {
	.id = CARDMARK_BACKEND_MPROTECT,
	.level = 2,
	/* Shared memory too: it is the mapping that is protected, and reclaim
	 * changes nothing about that. */
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_SHARED,
	.open = mprotect_open,
	.close = mprotect_close,
	.categories = mprotect_categories,
	.add = mprotect_add,
	.remove = mprotect_remove,
	.harvest = mprotect_harvest,
	.scan = mprotect_scan,
	.fork_child = mprotect_fork_child,
};
