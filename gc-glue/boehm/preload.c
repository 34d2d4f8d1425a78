/* SPDX-License-Identifier: MIT
 *
 * The preload object of `cardmark run`: the adapter for a program that nobody
 * rebuilt. Told what to do by the environment alone (see the man page of
 * cardmark-run); its constructor runs before the program calls GC_init().
 */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Is this the process that `cardmark run` became (exec keeps the pid)? Its
 * children inherit the environment and stay silent. */
static bool is_the_program(void)
{
	const char *pid = getenv("CARDMARK_RUN_PID");

	return pid && strtol(pid, NULL, 10) == (long)getpid();
}

static void say(const char *text)
{
	char line[1280];
	int n = snprintf(line, sizeof(line), "cardmark run: %s %s\n", program_invocation_short_name,
			 text);
	size_t len = n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1;

	while (len && write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

__attribute__((constructor)) static void preload_start(void)
{
	const struct cm_gc_config *c = &cm_gc_config;
	const char *verbose = getenv("CARDMARK_RUN_VERBOSE");
	char text[1000];
	int r = cm_gc_prepare(NULL);

	if (!cm_gc_api.GC_init) {
		if (is_the_program())
			say("does not use libgc (libgc.so.1 is not among its libraries); "
			    "it ran unchanged");
		return;
	}
	if (r != 0) {
		snprintf(text, sizeof(text), "was not started: %s", c->error);
		say(text);
		_exit(2);
	}
	if (c->init_called && c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD)
		cm_gc_api.GC_enable_incremental();
	if (!verbose || *verbose != '1' || !is_the_program())
		return;
	if (c->mode == CARDMARK_GC_MODE_AUTO)
		snprintf(text, sizeof(text),
			 "has its writes tracked by %s, way %s, pause target %.3g ms (0: none)%s%s",
			 cardmark_backend_name(cardmark_backend_of(cm_gc_heap.cm)),
			 c->way == CARDMARK_GC_WAY_A ? "A" : "B", (double)c->target_ns / 1e6,
			 *c->why ? ": " : "", c->why);
	else
		snprintf(text, sizeof(text),
			 "runs with libgc's own %s, pause target %.3g ms (0: none)",
			 c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT ? "mprotect mode"
								    : "stop-the-world mode",
			 (double)c->target_ns / 1e6);
	say(text);
}
