/* SPDX-License-Identifier: MIT
 *
 * Description: the first look at a backend during a shortage: any of its calls fails, once or
 * for a while; descriptors are used up. That decides nothing for ever: the error names the
 * cause, and once the shortage is over the backend works. If a backend is refused later, the
 * automatic choice goes on to the next. Every look is the first of its process. */
#include "tests/support/fixture.h"

#include "tests/support/backends.h"
#include "tests/support/inject_os.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_as(enum cardmark_backend backend, struct cardmark **out)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backend = backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	return cardmark_open(out, &options);
}

/* 0: the best. */
static int rank_of(enum cardmark_backend backend)
{
	struct cardmark_probe p[PROBES];
	int n = probe_all(p), i = 0;

	while (i < n && p[i].backend != backend)
		i++;
	return i;
}

static struct cardmark_probe probe_of(enum cardmark_backend backend)
{
	struct cardmark_probe p[PROBES];
	int n = probe_all(p);

	for (int i = 0; i < n; i++)
		if (p[i].backend == backend)
			return p[i];
	CHECK(n < 0); /* otherwise the backend is in the table */
	return p[0];
}

/* It works like a backend that never met a shortage. */
static void check_works(void)
{
	struct cardmark_probe p;

	set_up();
	write_card(3);
	write_card(CARDS - 1);
	collect_and_compare();
	CHECK_EQ(described(cm).capabilities, live_capabilities);
	live_clean_up();
	p = probe_of(live_backend);
	if (!p.usable)
		tap_note("%s", p.reason);
	CHECK(p.usable);
	CHECK_EQ(p.capabilities, live_capabilities);
	CHECK_EQ(p.categories, live_categories);
}

/* ---- Calls that fail ---------------------------------------------------------------------- */

static bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENOMEM;
}

/* If this call always fails, must the open fail? */
static bool is_needed(enum inject_call call)
{
	return call == INJECT_map || call == INJECT_open_self || call == INJECT_uffd_open ||
	       call == INJECT_pipe || call == INJECT_uffd_register || call == INJECT_scan;
}

static void check_refusal(const struct inject_fault *f, int error)
{
	const char *text = cardmark_last_error();

	if (error == -ENOTSUP || error == -EPERM || error == -EINVAL || *text == '\0')
		tap_note("%d: %s", error, text);
	/* A failed call must not decide that the backend cannot work. */
	CHECK(error != -ENOTSUP && error != -EPERM && error != -EINVAL);
	CHECK(*text != '\0');
	if (!is_needed(f->call))
		return;
	CHECK_EQ(error == -ENOMEM, f->call == INJECT_map || is_shortage(f->error));
	if (f->call != INJECT_map) /* any error of map means that there is no memory */
		CHECK(strstr(text, f->error == -EMFILE   ? "(EMFILE)"
				   : f->error == -ENOMEM ? "(ENOMEM)"
							 : "(EINTR)") != NULL);
}

static void open_with_a_fault(void *arg)
{
	const struct inject_fault *f = arg;
	int error;

	inject_begin(f);
	cm = NULL;
	error = open_as(live_backend, &cm);
	if (error < 0)
		check_refusal(f, error);
	cardmark_close(&cm);
	inject_stop();
	check_works();
}

static void count_calls(void *arg)
{
	const struct inject_fault none = { .nth = 0 };

	(void)arg;
	inject_begin(&none);
	CHECK_EQ(open_as(live_backend, &cm), 0);
	inject_stop();
	cardmark_close(&cm);
}

static void each_call_fails(int error, bool on)
{
	unsigned calls[INJECT_COUNT], runs = 0, fired = 0;

	CHECK_EQ(tap_in_child(count_calls, NULL), 0);
	for (unsigned i = 0; i < INJECT_COUNT; i++)
		calls[i] = atomic_load(&inject->calls[i]);
	for (unsigned i = 0; i < INJECT_COUNT; i++) {
		/* Callers of close and wake ignore errors. */
		if (i == INJECT_close || !(inject_hows(i) & INJECT_BEFORE))
			continue;
		for (unsigned nth = 1; nth <= calls[i]; nth++) {
			struct inject_fault f = { .call = i,
						  .nth = nth,
						  .on = on,
						  .how = INJECT_BEFORE,
						  .error = error };
			int status = tap_in_child(open_with_a_fault, &f);

			if (status != 0)
				tap_note("%s %u%s fails with %d: status %#x", inject_name(i), nth,
					 on ? " and later" : "", error, (unsigned)status);
			CHECK_EQ(status, 0);
			runs++;
			fired += atomic_load(&inject->fired) != 0;
		}
	}
	tap_note("%s: %u runs, %u met their fault", cardmark_backend_name(live_backend), runs,
		 fired);
	CHECK(fired > runs / 2);
}

static void out_of_descriptors_once(void)
{
	each_call_fails(-EMFILE, false);
}

static void out_of_descriptors(void)
{
	each_call_fails(-EMFILE, true);
}

static void out_of_memory_once(void)
{
	each_call_fails(-ENOMEM, false);
}

static void out_of_memory(void)
{
	each_call_fails(-ENOMEM, true);
}

static void interrupted(void)
{
	each_call_fails(-EINTR, false);
}

/* The control: the kernel's calls succeed but do nothing. This finding is kept. */
static void open_with_a_lie(void *arg)
{
	struct inject_fault f = { .call = live_backend == CARDMARK_BACKEND_PAGEMAP ? INJECT_scan
					  : live_backend == CARDMARK_BACKEND_MPROTECT
						  ? INJECT_mprotect
						  : INJECT_uffd_protect,
				  .nth = 1,
				  .on = true,
				  .how = INJECT_BEFORE,
				  .lie = true };

	(void)arg;
	inject_begin(&f);
	CHECK_EQ(open_as(live_backend, &cm), -ENOTSUP);
	inject_stop();
	CHECK_EQ(open_as(live_backend, &cm), -ENOTSUP);
}

static void what_the_kernel_did_is_kept(void)
{
	CHECK_EQ(tap_in_child(open_with_a_lie, NULL), 0);
}

static void without_any_memory(void *arg)
{
	struct inject_fault f = {
		.call = INJECT_map, .nth = 2, .on = true, .how = INJECT_BEFORE, .error = -ENOMEM
	};

	(void)arg;
	inject_begin(&f); /* the first is the tracker's own */
	CHECK_EQ(open_as(CARDMARK_BACKEND_AUTO, &cm), -ENOMEM);
	CHECK(strstr(cardmark_last_error(), "no backend can work here: ") != NULL);
	inject_stop();
	CHECK_EQ(open_as(CARDMARK_BACKEND_AUTO, &cm), 0);
	cardmark_close(&cm);
}

static void no_backend_for_lack_of_memory(void)
{
	CHECK_EQ(tap_in_child(without_any_memory, NULL), 0);
}

/* ---- Descriptors ------------------------------------------------------------------------ */

#define LIMIT 64

static int taken[LIMIT];
static size_t n_taken;

/* Leaves the process that many descriptors. */
static void take_descriptors(size_t leave_free)
{
	const struct rlimit limit = { LIMIT, LIMIT };

	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while ((taken[n_taken] = dup(STDERR_FILENO)) >= 0)
		n_taken++;
	CHECK_EQ(errno, EMFILE);
	CHECK(n_taken > leave_free);
	while (leave_free-- > 0)
		CHECK(close(taken[--n_taken]) == 0);
}

static void give_descriptors_back(void)
{
	while (n_taken > 0)
		CHECK(close(taken[--n_taken]) == 0);
}

static void open_with_few(void *arg)
{
	size_t few = *(const size_t *)arg;
	enum cardmark_backend best;
	int error;

	take_descriptors(few);
	cm = NULL;
	error = open_as(live_backend, &cm);
	if (error < 0) {
		CHECK_EQ(error, -ENOMEM);
		CHECK(strstr(cardmark_last_error(), "EMFILE") != NULL);
		/* The trial needs no more descriptors than the backend itself. */
		CHECK(few < (live_backend == CARDMARK_BACKEND_PAGEMAP ? 2 : 8));
		CHECK(live_backend != CARDMARK_BACKEND_ALLDIRTY);
	} else if (few == 0) {
		CHECK(live_backend == CARDMARK_BACKEND_ALLDIRTY ||
		      live_backend == CARDMARK_BACKEND_MPROTECT);
	}
	cardmark_close(&cm);
	/* The automatic choice takes a backend that works, and reports why it is not the best. */
	CHECK_EQ(open_as(CARDMARK_BACKEND_AUTO, &cm), 0);
	best = described(cm).backend;
	if (few == 0)
		CHECK(best == CARDMARK_BACKEND_MPROTECT &&
		      strstr(described(cm).why_no_better, "EMFILE"));
	cardmark_close(&cm);
	if (live_backend == CARDMARK_BACKEND_ALLDIRTY)
		check_works();
	give_descriptors_back();
	check_works();
	CHECK_EQ(open_as(CARDMARK_BACKEND_AUTO, &cm), 0);
	CHECK(rank_of(described(cm).backend) <= rank_of(best));
	CHECK(strstr(described(cm).why_no_better, "EMFILE") == NULL);
	cardmark_close(&cm);
}

static void few_descriptors(void)
{
	if (TAP_ASAN || TAP_TSAN)
		tap_skip("the sanitizer opens files of its own");
	for (size_t few = 0; few <= 8; few++)
		CHECK_EQ(tap_in_child(open_with_few, &few), 0);
}

/* ---- Refused later ------------------------------------------------------------------------ */

static int refused(bool user_mode_only, uint64_t features)
{
	(void)user_mode_only;
	(void)features;
	return -EPERM;
}

static void open_when_refused(void *arg)
{
	struct cm_os os = cm_os_linux;
	struct cardmark_probe p;

	(void)arg;
	CHECK(probe_of(live_backend).usable);
	os.uffd_open = os.uffd_open_device = refused;
	cm_os = &os;
	CHECK_EQ(open_as(live_backend, &cm), -EPERM);
	CHECK_EQ(open_as(CARDMARK_BACKEND_AUTO, &cm), 0);
	CHECK(described(cm).backend != CARDMARK_BACKEND_PAGEMAP);
	CHECK(described(cm).backend != CARDMARK_BACKEND_UFFD);
	CHECK(strstr(described(cm).why_no_better, "refuses userfaultfd") != NULL);
	cardmark_close(&cm);
	p = probe_of(live_backend);
	CHECK(!p.usable && strstr(p.reason, "EPERM") != NULL);
	cm_os = &cm_os_linux;
	check_works();
}

static void refused_after_the_first_look(void)
{
	CHECK_EQ(tap_in_child(open_when_refused, NULL), 0);
}

/* ---- Signals ------------------------------------------------------------------------------- */

static void look_with_sigsegv_blocked(void *arg)
{
	sigset_t set, after;

	(void)arg;
	CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGSEGV) == 0);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK(probe_of(live_backend).usable);
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0);
	CHECK(sigismember(&after, SIGSEGV) == 1 && sigismember(&after, SIGUSR1) == 0);
}

static void a_blocked_sigsegv_is_no_matter(void)
{
	CHECK_EQ(tap_in_child(look_with_sigsegv_blocked, NULL), 0);
}

static volatile sig_atomic_t forks;

static void fork_now(int sig)
{
	pid_t pid = fork();

	(void)sig;
	if (pid == 0)
		_exit(0);
	if (pid > 0 && waitpid(pid, NULL, 0) == pid)
		forks++;
}

static int map_and_raise(size_t len, void **out)
{
	(void)raise(SIGUSR1);
	return cm_os_linux.map(len, out);
}

static void fork_in_the_trial(void *arg)
{
	const struct sigaction act = { .sa_handler = fork_now };
	struct cm_os os = cm_os_linux;

	(void)arg;
	CHECK(sigaction(SIGUSR1, &act, NULL) == 0);
	os.map = map_and_raise;
	cm_os = &os;
	CHECK(probe_of(live_backend).usable);
	cm_os = &cm_os_linux;
	CHECK(forks > 0);
	check_works();
}

static void a_handler_may_fork_in_the_trial(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	CHECK_EQ(tap_in_child(fork_in_the_trial, NULL), 0);
}

/* ---- Frame ----------------------------------------------------------------------------------- */

#define NEEDS_UFFD (LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD))

/* Like live_main(), but a child takes the first look: this process takes none. */
int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "each call fails once for lack of descriptors", out_of_descriptors_once, 0, 0 },
		{ "each call fails from there on for lack of descriptors", out_of_descriptors, 0,
		  0 },
		{ "each call fails once for lack of memory", out_of_memory_once, 0, 0 },
		{ "each call fails from there on for lack of memory", out_of_memory, 0, 0 },
		{ "each call is interrupted once", interrupted, 0, 0 },
		{ "what the kernel did is kept", what_the_kernel_did_is_kept, 0,
		  NEEDS_UFFD | LIVE_ONLY(MPROTECT) },
		{ "no backend at all for lack of memory", no_backend_for_lack_of_memory, 0,
		  LIVE_ONLY(ALLDIRTY) },
		{ "0 to 8 descriptors are free", few_descriptors, 0, 0 },
		{ "refused after the first look", refused_after_the_first_look, 0, NEEDS_UFFD },
		{ "a blocked SIGSEGV is no matter", a_blocked_sigsegv_is_no_matter, 0, 0 },
		{ "a handler may fork in the middle of the trial", a_handler_may_fork_in_the_trial,
		  0, 0 },
	};
	struct cardmark_probe *p =
		mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *name = argc > 1 ? argv[1] : "alldirty";
	pid_t pid;

	if (p == MAP_FAILED || cardmark_backend_parse(name, &live_backend) < 0)
		return 1;
	live_card = cardmark_card_size();
	inject_set_up();
	pid = fork();
	if (pid == 0) {
		*p = probe_of(live_backend);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		return 1;
	if (!p->usable) {
		tap_line(!tap_required(name), name, "usable here", p->reason);
		return tap_status();
	}
	live_capabilities = p->capabilities;
	live_categories = p->categories;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (cases[i].only == 0 || (cases[i].only >> live_backend & 1))
			tap_run(name, cases[i].name, cases[i].run, live_clean_up);
	return tap_status();
}
