/* SPDX-License-Identifier: MIT */
#include "tests/soundness/faults/attempt.h"

#include "tests/soundness/faults/trial.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const outcome_names[] = { "fine", "complained", "crashed", "hung" };

/* Waits for the end of a child's process group. */
static int reap(pid_t pid, bool hung)
{
	int status = 0;

	if (hung)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)kill(-pid, SIGKILL); /* processes that it may have left behind */
	return status;
}

/* Reads the child's complaints until it ends. False: it does not end. */
static bool listen_to(int fd, char *text, size_t size, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t have = 0;

	text[0] = '\0';
	for (;;) {
		char rest[64];
		bool full = have + 1 >= size;
		ssize_t n;

		if (poll(&p, 1, timeout_ms) == 0)
			return false;
		n = read(fd, full ? rest : text + have, full ? sizeof rest : size - 1 - have);
		if (n <= 0 && errno != EINTR)
			return true;
		if (n > 0 && !full) {
			have += (size_t)n;
			text[have] = '\0';
		}
	}
}

struct verdict attempt(void (*act)(void), enum cardmark_backend backend, unsigned capabilities,
		       const struct inject_fault *fault, int timeout_ms)
{
	struct rlimit no_core = { 0, 0 };
	struct verdict v = { FINE, "" };
	bool ended;
	int ends[2], status;
	pid_t pid;

	if (pipe(ends) != 0)
		abort();
	pid = fork();
	if (pid == 0) {
		(void)setpgid(0, 0);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)close(ends[0]);
		trial_begin(backend, capabilities, ends[1]);
		inject_begin(fault);
		act();
		_exit(0);
	}
	if (pid < 0)
		abort();
	(void)setpgid(pid, pid);
	(void)close(ends[1]);
	ended = listen_to(ends[0], v.text, sizeof v.text, timeout_ms);
	status = reap(pid, !ended);
	(void)close(ends[0]);
	if (!ended)
		v.outcome = HUNG;
	else if (!WIFEXITED(status))
		v.outcome = CRASHED;
	else if (WEXITSTATUS(status) != 0)
		v.outcome = COMPLAINED;
	if (v.outcome == CRASHED)
		(void)snprintf(v.text, sizeof v.text, "signal %d", WTERMSIG(status));
	return v;
}
