/* SPDX-License-Identifier: MIT
 *
 * The process-wide half of the mprotect backend: its lock, the handler, and its place among
 * the SIGSEGV handlers of the program. */
#include "lib/backend/sigsegv.h"

#include "cardmark/cardmark.h"
#include "common/signals.h"
#include "common/wait.h"
#include "lib/backend/protection.h"
#include "lib/errors.h"
#include "lib/os/os.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <ucontext.h>

static void on_fault(int sig, siginfo_t *info, void *context);

static _Atomic(atomic_int *) lock_word;

/* Protected by the lock. */
static struct {
	bool installed;
	/* Foreign faults go to next[current]; first is below all. */
	struct sigaction next[2], first;
	_Atomic unsigned current;
} chain;

/* ---- The lock -------------------------------------------------------------- */

static bool lock_for(uint64_t wait_ns)
{
	atomic_int *word = atomic_load_explicit(&lock_word, memory_order_acquire);
	struct cm_wait wait = { .bound_ns = wait_ns };

	for (unsigned i = 0;; i++) {
		/* Pairs with the release in unlock(). */
		if (atomic_exchange_explicit(word, 1, memory_order_acquire) == 0)
			return true;
		if (cm_wait_is_over(&wait, cm_os->now()))
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

bool cm_sigsegv_enter(sigset_t *before, uint64_t wait_ns)
{
	sigset_t every;

	cm_signals_fill(&every);
	cm_signals_set(&every, before);
	if (lock_for(wait_ns))
		return true;
	cm_signals_set(before, NULL);
	return false;
}

void cm_sigsegv_leave(const sigset_t *before)
{
	unlock();
	cm_signals_set(before, NULL);
}

int cm_sigsegv_make_lock(void)
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

/* ---- Foreign faults -------------------------------------------------------- */

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

static bool is_ours(const struct sigaction *act)
{
	return (act->sa_flags & SA_SIGINFO) != 0 && act->sa_sigaction == on_fault;
}

/* We pass foreign faults to another handler: has it passed this one back to us? Then we were called
 * from further down the stack. When the kernel calls us, our distance from the signal frame is
 * always the same, and the least possible. */
static bool passed_back(const void *context)
{
	static _Atomic size_t least = SIZE_MAX;
	size_t distance = (uintptr_t)context - (uintptr_t)__builtin_frame_address(0);
	size_t known = atomic_load_explicit(&least, memory_order_relaxed);

	if (distance < known)
		atomic_store_explicit(&least, distance, memory_order_relaxed);
	return distance > known;
}

static const struct sigaction *next_action(void)
{
	return &chain.next[atomic_load_explicit(&chain.current, memory_order_acquire)];
}

/* Under the lock, which a child does not have. A child that is made one step before the store has
 * the old action, one step after it the new one, and never half of each. */
static void set_next_action(const struct sigaction *act)
{
	unsigned other = 1 - atomic_load_explicit(&chain.current, memory_order_relaxed);

	chain.next[other] = *act;
	atomic_store_explicit(&chain.current, other, memory_order_release);
}

/* The action for a foreign fault. Under the lock. */
static struct sigaction foreign_action(bool nested)
{
	struct sigaction act = nested ? chain.first : *next_action(), reset = act;

	if (!nested && (act.sa_flags & (int)SA_RESETHAND) != 0) {
		reset.sa_handler = SIG_DFL;
		reset.sa_flags = 0;
		set_next_action(&reset);
	}
	return act;
}

/* Does with this signal what the kernel would do without our handler. */
static void pass_on(int sig, siginfo_t *info, void *context, struct sigaction *act)
{
	bool sent = info->si_code <= 0; /* kill(2) and such: no fault to come back */
	bool none = (act->sa_flags & SA_SIGINFO) == 0 &&
		    (act->sa_handler == SIG_DFL || act->sa_handler == SIG_IGN);

	if (none) {
		if (sent && act->sa_handler == SIG_IGN)
			return;
		/* The kernel kills a program that ignores a real fault. So set the default action
		 * and return to the faulting instruction. */
		act->sa_handler = SIG_DFL;
		act->sa_flags = 0;
		(void)sigemptyset(&act->sa_mask);
		(void)cm_os->sigaction(sig, act, NULL);
		if (sent)
			(void)pthread_kill(pthread_self(), sig);
		return;
	}
	/* The mask that the handler expects: the interrupted mask and its own. */
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

/* ---- The handler ------------------------------------------------------------ */

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	bool nested = passed_back(context);
	struct sigaction act;
	bool ours = false;
	sigset_t before;

	/* sa_mask has blocked every signal, unless another handler called us. */
	(void)cm_sigsegv_enter(&before, UINT64_MAX);
	if (info->si_code == SEGV_ACCERR && is_write(info, context))
		ours = cm_trap_resolve((uintptr_t)info->si_addr);
	if (!ours)
		act = foreign_action(nested);
	cm_sigsegv_leave(&before);
	if (!ours)
		pass_on(sig, info, context, &act);
	errno = saved;
}

/* ---- Installing ------------------------------------------------------------ */

enum cm_handler cm_sigsegv_install(int *error)
{
	struct sigaction now,
		act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	enum cm_handler was;

	*error = cm_os->sigaction(SIGSEGV, NULL, &now);
	if (*error < 0)
		return CM_HANDLER_NOT_IN_PLACE; /* for all we know */
	if (is_ours(&now)) {
		chain.installed = true;
		return CM_HANDLER_IN_PLACE;
	}
	was = chain.installed ? CM_HANDLER_REPLACED : CM_HANDLER_IN_PLACE;
	if (!chain.installed)
		chain.first = now;
	set_next_action(&now); /* before ours can run */
	cm_signals_fill(&act.sa_mask);
	*error = cm_os->sigaction(SIGSEGV, &act, NULL);
	if (*error < 0)
		return CM_HANDLER_NOT_IN_PLACE;
	chain.installed = true;
	return was;
}

void cm_sigsegv_uninstall(void)
{
	struct sigaction now;

	if (cm_os->sigaction(SIGSEGV, NULL, &now) < 0 || !is_ours(&now))
		return;
	if (cm_os->sigaction(SIGSEGV, next_action(), NULL) == 0)
		chain.installed = false;
}

/* ---- What the program sets -------------------------------------------------- */

static int set_action(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction now, wanted = { .sa_flags = 0 }, was;
	sigset_t before;
	int error;

	if (act != NULL)
		wanted = *act; /* under the lock no memory of the program is touched */
	if (sig != SIGSEGV || atomic_load_explicit(&lock_word, memory_order_acquire) == NULL)
		return cm_os->sigaction(sig, act, old);
	if (!cm_sigsegv_enter(&before, CM_SIGSEGV_WAIT_NS))
		return -EBUSY;
	error = cm_os->sigaction(SIGSEGV, NULL, &now);
	if (error == 0 && is_ours(&now)) {
		was = *next_action();
		if (act != NULL)
			set_next_action(&wanted);
	} else if (error == 0) {
		error = cm_os->sigaction(SIGSEGV, act != NULL ? &wanted : NULL, &was);
	}
	cm_sigsegv_leave(&before);
	if (error == 0 && old != NULL)
		*old = was;
	return error;
}

int cardmark_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int error = set_action(sig, act, old);

	if (error == -EBUSY)
		return cm_fail(error, "cardmark_sigaction: another thread stays in the SIGSEGV "
				      "handler, so nothing was set");
	if (error == -EINVAL)
		return cm_fail(
			error,
			"cardmark_sigaction: %d is not a signal, or its action cannot be set", sig);
	return error == 0 ? 0
			  : cm_fail(cm_closed_error(error), "cardmark_sigaction: signal %d: %s",
				    sig, cm_errno_text(error));
}
