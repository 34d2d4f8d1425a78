/* SPDX-License-Identifier: MIT
 *
 * Description: a trap backend passes the program's own SIGSEGV on, as if the backend were not
 * there. */
#include "tests/support/broken_os.h"
#include "tests/support/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf out_of_fault;
static void *volatile fault_address;
static unsigned char *forbidden;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	fault_address = info->si_addr;
	siglongjmp(out_of_fault, 1);
}

static void handler_gets_its_own_faults(void *before)
{
	struct sigaction act;

	memset(&act, 0, sizeof act);
	act.sa_sigaction = on_segv;
	act.sa_flags = SA_SIGINFO;
	if (before != NULL)
		CHECK(sigaction(SIGSEGV, &act, NULL) == 0);
	set_up();
	forbidden = live_map(1);
	CHECK(mprotect(forbidden, live_card, PROT_NONE) == 0);
	for (unsigned round = 0; round < 3; round++) {
		fault_address = NULL;
		if (sigsetjmp(out_of_fault, 1) == 0) {
			live_store(forbidden + 5, 1);
			tap_fail(__FILE__, __LINE__, "a store to PROT_NONE faults");
		}
		CHECK(fault_address == forbidden + 5);
		write_some(round, 4); /* ours still work */
		(void)live_collect(cm, table);
		live_expect(table, mem, CARDS, want);
	}
}

static void a_foreign_fault_reaches_the_programs_handler(void)
{
	if (TAP_TSAN)
		tap_skip("jumping out of a handler is not supported by the thread sanitizer");
	CHECK_EQ(tap_in_child(handler_gets_its_own_faults, out_of_fault), 0);
}

/* ---- The forms a handler may have ------------------------------------------------------ */

static volatile sig_atomic_t faults_seen, masked;
static int watched_signal;

/* Repairs the fault instead of jumping out of it: it returns through our handler. */
static void plain_handler(int sig)
{
	sigset_t now;

	faults_seen++;
	(void)pthread_sigmask(SIG_SETMASK, NULL, &now);
	masked = sigismember(&now, watched_signal);
	if (sig == SIGSEGV)
		(void)mprotect(forbidden, live_card, PROT_READ | PROT_WRITE);
}

static void fault_once(void)
{
	CHECK(mprotect(forbidden, live_card, PROT_NONE) == 0);
	live_store(forbidden, 1);
}

static void install_plain(int flags, int also_blocked)
{
	struct sigaction act;

	memset(&act, 0, sizeof act);
	act.sa_handler = plain_handler;
	act.sa_flags = flags;
	(void)sigemptyset(&act.sa_mask);
	if (also_blocked != 0)
		(void)sigaddset(&act.sa_mask, also_blocked);
	CHECK(sigaction(SIGSEGV, &act, NULL) == 0);
	faults_seen = 0;
	forbidden = live_map(1);
}

static void check_tracking(void)
{
	write_some(1, 4);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

/* Without SA_SIGINFO, with a mask of its own, and the signal itself blocked or not. */
static void plain_handlers(void *arg)
{
	(void)arg;
	watched_signal = SIGUSR1;
	install_plain(0, SIGUSR1);
	set_up();
	fault_once();
	CHECK_EQ(faults_seen, 1);
	CHECK_EQ(masked, 1);
	watched_signal = SIGSEGV;
	fault_once();
	CHECK_EQ(faults_seen, 2);
	CHECK_EQ(masked, 1);
	watched_signal = SIGUSR2;
	fault_once();
	CHECK_EQ(masked, 0);
	check_tracking();
}

static void nodefer_handlers(void *arg)
{
	(void)arg;
	watched_signal = SIGSEGV;
	install_plain(SA_NODEFER, 0);
	set_up();
	fault_once();
	CHECK_EQ(faults_seen, 1);
	CHECK_EQ(masked, 0);
	check_tracking();
}

static void a_plain_handler_is_called_as_the_kernel_would(void)
{
	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	CHECK_EQ(tap_in_child(plain_handlers, NULL), 0);
	CHECK_EQ(tap_in_child(nodefer_handlers, NULL), 0);
}

static void two_faults_with_resethand(void *arg)
{
	struct rlimit none = { 0, 0 };

	(void)arg;
	(void)setrlimit(RLIMIT_CORE, &none);
	install_plain((int)SA_RESETHAND, 0);
	set_up();
	fault_once();
	CHECK_EQ(faults_seen, 1);
	check_tracking();
	fault_once(); /* no handler repairs this one */
}

static void sent_and_ignored(void *arg)
{
	struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	CHECK(signal(SIGSEGV, SIG_IGN) != SIG_ERR);
	set_up();
	CHECK(raise(SIGSEGV) == 0); /* ignored, as before */
	check_tracking();
	forbidden = live_map(1);
	if (arg != NULL)
		fault_once(); /* the kernel does not let a program ignore this */
}

static void resethand_and_ignore_end_as_the_kernel_would(void)
{
	int status;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	status = tap_in_child(two_faults_with_resethand, NULL);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
	CHECK_EQ(tap_in_child(sent_and_ignored, NULL), 0);
	status = tap_in_child(sent_and_ignored, out_of_fault);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

/* ---- No handler ------------------------------------------------------------------------- */

static void die_by_default(void *arg)
{
	struct rlimit none = { 0, 0 };

	(void)arg;
	(void)setrlimit(RLIMIT_CORE, &none);
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	set_up();
	write_some(0, 3);
	forbidden = live_map(1);
	CHECK(mprotect(forbidden, live_card, PROT_NONE) == 0);
	live_store(forbidden, 1);
}

static void a_foreign_fault_kills_by_default(void)
{
	int status;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	status = tap_in_child(die_by_default, NULL);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

static void a_foreign_fault_kills_with_two_trackers(void)
{
	int status;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	set_up();
	live_may_open_another(); /* die_by_default does */
	status = tap_in_child(die_by_default, NULL);
	CHECK(WIFSIGNALED(status));
}

/* ---- A handler that is set later ------------------------------------------------------- */

static void takes_it_for_a_crash(int sig)
{
	(void)sig;
	_exit(7);
}

static void set_later(void *past_us)
{
	struct sigaction act, old;

	memset(&act, 0, sizeof act);
	act.sa_handler = plain_handler;
	CHECK(signal(SIGSEGV, SIG_IGN) != SIG_ERR);
	set_up();
	forbidden = live_map(1);
	watched_signal = SIGSEGV;
	faults_seen = 0;
	if (past_us != NULL) {
		act.sa_handler = takes_it_for_a_crash;
		CHECK(sigaction(SIGSEGV, &act, NULL) == 0);
		write_some(1, 4);
		return;
	}
	CHECK_EQ(cardmark_sigaction(SIGSEGV, &act, &old), 0);
	CHECK(old.sa_handler == SIG_IGN);
	check_tracking();
	CHECK_EQ(faults_seen, 0);
	fault_once();
	CHECK_EQ(faults_seen, 1);
	CHECK_EQ(masked, 1);
	CHECK_EQ(cardmark_sigaction(SIGSEGV, NULL, &old), 0);
	CHECK(old.sa_handler == plain_handler);
	act.sa_handler = SIG_IGN;
	CHECK_EQ(cardmark_sigaction(SIGSEGV, &act, NULL), 0);
	CHECK(raise(SIGSEGV) == 0);
	check_tracking();
	CHECK_EQ(cardmark_sigaction(SIGKILL, &act, NULL), -EINVAL);
	cardmark_close(&cm);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0);
	CHECK(old.sa_handler == SIG_IGN); /* the handler set last stays */
}

static void a_handler_set_later_gets_its_own_faults(void)
{
	int status;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	CHECK_EQ(tap_in_child(set_later, NULL), 0);
	/* A handler set without cardmark_sigaction() gets the traps of a backend that has any. */
	status = tap_in_child(set_later, out_of_fault);
	CHECK_EQ(WEXITSTATUS(status), live_backend == CARDMARK_BACKEND_MPROTECT ? 7 : 0);
}

/* ---- A child that is cloned in the middle ---------------------------------------------- */

#define MANY 20000 /* ranges, which take a while to move */
#define CLONES 300

static atomic_bool stop;
static unsigned char *many;

static void *move_ranges(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		(void)cardmark_untrack(cm, many, live_card);
		(void)cardmark_track(cm, many, live_card, 0);
	}
	return NULL;
}

static void a_clone_in_the_middle_of_a_change(void)
{
	unsigned char *top;
	pthread_t thread;
	unsigned died = 0;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a raw clone of a sanitized process is not supported");
	many = live_map(2 * MANY + 2);
	top = many + (2 * MANY + 1) * live_card;
	memset(top, 1, live_card);
	cm = live_armed(top, 1, &table);
	for (size_t i = 0; i < MANY; i++)
		CHECK_EQ(cardmark_track(cm, many + 2 * i * live_card, live_card, 0), 0);
	CHECK(pthread_create(&thread, NULL, move_ranges, NULL) == 0);
	for (int i = 0; i < CLONES; i++) {
		int status = 0;
		pid_t pid =
			(pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);

		if (pid == 0) {
			live_store(top, 2); /* the highest range, that is moved first */
			_exit(0);
		}
		status = tap_wait(pid);
		died += status != 0;
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK_EQ(died, 0);
}

static int refused_action(int sig, const struct sigaction *act, struct sigaction *old)
{
	return act != NULL ? -EPERM : cm_os_linux.sigaction(sig, act, old);
}

static void a_handler_that_is_refused_is_why(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backend = live_backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	broken_os_begin()->sigaction = refused_action;
	CHECK_EQ(cardmark_open(&cm, &options), -EPERM);
	CHECK(strstr(cardmark_last_error(), "SIGSEGV handler") != NULL);
	broken_os_end();
	CHECK_EQ(cardmark_open(&cm, &options), 0);
	cardmark_close(&cm);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "a foreign SIGSEGV reaches the program's handler",
		  a_foreign_fault_reaches_the_programs_handler, 0, 0 },
		{ "a foreign SIGSEGV kills by default", a_foreign_fault_kills_by_default, 0, 0 },
		{ "it kills with two trackers too", a_foreign_fault_kills_with_two_trackers, 0, 0 },
		{ "a plain handler is called as the kernel would",
		  a_plain_handler_is_called_as_the_kernel_would, 0, 0 },
		{ "a handler set later gets its own faults and no other",
		  a_handler_set_later_gets_its_own_faults, 0, 0 },
		{ "SA_RESETHAND and SIG_IGN end as the kernel would",
		  resethand_and_ignore_end_as_the_kernel_would, 0, 0 },
		{ "a handler that is refused is why it cannot be opened",
		  a_handler_that_is_refused_is_why, 0, LIVE_ONLY(MPROTECT) },
		{ "a child cloned in the middle of a change can write",
		  a_clone_in_the_middle_of_a_change, 0, LIVE_ONLY(MPROTECT) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
