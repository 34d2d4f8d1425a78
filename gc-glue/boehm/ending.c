/* SPDX-License-Identifier: MIT
 *
 * The report when a process ends: by exit(), by _exit(), or by a signal for which the program has
 * no handler of its own.
 *
 * Such a signal gets our handler, which writes the report and then ends the process by the same
 * signal. The signal may come anywhere: inside malloc, in libgc with its lock held, in a thread
 * that libgc has stopped. So the handler takes no lock and calls no malloc, and it runs on a stack
 * of its own, because the thread's stack may be a coroutine's with little room. If the program asks
 * about these signals, it gets the answer that it would get without us (signals.c). */
#include "gc-glue/boehm/tell.h"
#include "lib/os/own.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK ((size_t)256 << 10)
#define PATIENCE_NS UINT64_C(2000000000)
#define AGAIN_NS UINT64_C(1000000000) /* a second signal after that ends the process at once */

static const int fatal[] = { SIGHUP, SIGINT, SIGTERM };
static const char *const fatal_names[] = { "SIGHUP", "SIGINT", "SIGTERM" };
#define FATAL (sizeof fatal / sizeof *fatal)

static void *stack; /* NULL: no handlers */

/* ---- Turns --------------------------------------------------------------------------------- */

static _Atomic int turn; /* the thread that writes; 0: none */

static int me(void)
{
	return (int)syscall(SYS_gettid);
}

static void nap(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	(void)nanosleep(&ms, NULL);
}

bool cm_gc_turn_take(void)
{
	uint64_t end = cm_now_ns() + PATIENCE_NS;
	int nobody = 0;

	/* Acquire: see the writes of the thread before; pairs with the release below. */
	while (!atomic_compare_exchange_strong_explicit(&turn, &nobody, me(), memory_order_acquire,
							memory_order_relaxed)) {
		if (nobody == me() || cm_now_ns() > end)
			return false;
		nobody = 0;
		nap();
	}
	return true;
}

void cm_gc_turn_give(void)
{
	/* Pairs with the acquire above. */
	atomic_store_explicit(&turn, 0, memory_order_release);
}

/* ---- Telling all --------------------------------------------------------------------------- */

static _Atomic bool told;
static _Atomic uint64_t first_ns; /* when the first signal came */
static _Atomic int pending;       /* a signal that came while this thread was writing */

static _Noreturn void die(int sig)
{
	struct sigaction none = { .sa_handler = SIG_DFL };
	sigset_t one;

	(void)sigaction(sig, &none, NULL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	(void)syscall(SYS_tgkill, getpid(), me(), sig);
	(void)sigprocmask(SIG_UNBLOCK, &one, NULL);
	_exit(128 + sig);
}

/* The program's output comes before ours. exit() would flush it only later. */
static void flush_output(void)
{
	if (ftrylockfile(stdout) != 0)
		return;
	(void)fflush_unlocked(stdout);
	funlockfile(stdout);
}

void cm_gc_tell_all(const char *how)
{
	bool mine;
	int sig;

	if (cm_gc_owner() == CM_GC_NOBODY)
		return;
	/* By one thread, once: acquire and release order nothing else. */
	if (atomic_exchange_explicit(&told, true, memory_order_relaxed))
		return;
	mine = cm_gc_turn_take();
	cm_gc_report_ended(how);
	if (mine)
		cm_gc_log_write();
	cm_gc_statsfile_write();
	cm_gc_tracefile_write();
	cm_gc_summary_write();
	if (mine)
		cm_gc_turn_give();
	sig = atomic_load_explicit(&pending, memory_order_relaxed);
	if (sig)
		die(sig);
}

/* After the program's own exit handlers. */
__attribute__((destructor)) static void at_exit(void)
{
	if (!cm_gc_config.enabled)
		return;
	flush_output();
	cm_gc_tell_all("exit");
}

static _Noreturn void hook_exit(int status)
{
	int saved = errno;

	cm_gc_tell_all("_exit");
	errno = saved;
	_exit(status);
}

/* ---- Signals --------------------------------------------------------------------------------- */

static int number(int sig)
{
	for (size_t i = 0; i < FATAL; i++)
		if (fatal[i] == sig)
			return (int)i;
	return -1;
}

static int last_signal;

static void last_words(void)
{
	cm_gc_tell_all(fatal_names[number(last_signal)]);
	die(last_signal);
}

static void on_own_stack(void)
{
	ucontext_t there;

	if (getcontext(&there) != 0)
		return;
	/* A second such signal ends the process; no other handler of the program runs here. */
	sigfillset(&there.uc_sigmask);
	for (size_t i = 0; i < FATAL; i++)
		sigdelset(&there.uc_sigmask, fatal[i]);
	there.uc_stack = (stack_t){ .ss_sp = stack, .ss_size = STACK };
	there.uc_link = NULL;
	makecontext(&there, last_words, 0);
	(void)setcontext(&there);
}

/* Another thread is writing: no more code of the program runs here. */
static _Noreturn void wait_and_die(int sig)
{
	uint64_t end = cm_now_ns() + PATIENCE_NS;

	while (atomic_load_explicit(&turn, memory_order_relaxed) && cm_now_ns() < end)
		nap();
	die(sig);
}

static void on_fatal(int sig)
{
	uint64_t now = cm_now_ns(), before = 0;
	bool first;

	if (cm_gc_owner() == CM_GC_NOBODY) /* a vfork child: the memory is its parent's */
		die(sig);
	first = atomic_compare_exchange_strong_explicit(&first_ns, &before, now,
							memory_order_relaxed, memory_order_relaxed);
	if (!first && now - before > AGAIN_NS)
		die(sig);
	if (atomic_load_explicit(&turn, memory_order_relaxed) == me()) {
		atomic_store_explicit(&pending, sig, memory_order_relaxed);
		return;
	}
	if (!first || atomic_load_explicit(&told, memory_order_relaxed))
		wait_and_die(sig);
	last_signal = sig;
	if (cm_gc_test(CM_GC_TEST_NO_OWN_STACK))
		last_words();
	on_own_stack();
	die(sig);
}

static void ours(struct sigaction *act)
{
	*act = (struct sigaction){ .sa_handler = on_fatal, .sa_flags = SA_NODEFER | SA_ONSTACK };
	sigemptyset(&act->sa_mask);
}

const struct sigaction *cm_gc_ending_in(int sig, const struct sigaction *act,
					struct sigaction *mine)
{
	if (!stack || !act || number(sig) < 0 || act->sa_handler != SIG_DFL)
		return act;
	ours(mine);
	return mine;
}

void cm_gc_ending_out(int sig, struct sigaction *old)
{
	if (!stack || !old || number(sig) < 0 || old->sa_handler != on_fatal)
		return;
	*old = (struct sigaction){ .sa_handler = SIG_DFL };
	sigemptyset(&old->sa_mask);
}

bool cm_gc_ending_handles(int sig)
{
	return stack && number(sig) >= 0;
}

static void take_signals(void)
{
	for (size_t i = 0; i < FATAL; i++) {
		struct sigaction act, old;

		ours(&act);
		/* An ignored signal stays ignored: nohup. */
		if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			(void)sigaction(fatal[i], &act, NULL);
	}
}

void cm_gc_ending_start(void)
{
	static struct cm_gc_slot slots[] = { { "_exit", (void *)hook_exit, 0 },
					     { "_Exit", (void *)hook_exit, 0 } };
	void *p;

	cm_gc_plt_redirect(NULL, slots, sizeof slots / sizeof *slots, true);
	if (stack || cm_own_map(STACK, &p) < 0)
		return;
	stack = p;
	take_signals();
}

void cm_gc_turn_child(void)
{
	atomic_store_explicit(&turn, 0, memory_order_relaxed);
	atomic_store_explicit(&told, false, memory_order_relaxed);
	atomic_store_explicit(&first_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&pending, 0, memory_order_relaxed);
}
