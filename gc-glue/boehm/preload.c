/* SPDX-License-Identifier: MIT
 *
 * The preload object of `cardmark run`: the adapter for a program that was not
 * rebuilt. The environment alone controls it (see cardmark(1)). Its constructor
 * runs before the program calls GC_init(). */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void say(const char *text)
{
	char line[1000];

	(void)snprintf(line, sizeof line, "%.200s %s", program_invocation_short_name, text);
	cm_gc_say("cardmark run", line);
}

/* ---- What the process was before exec() ------------------------------------------------ */

static bool tracked_before;

/* No destructor runs where a program becomes another one, so its counters are lost. */
static void mark_tracked(bool tracked)
{
	char *mark = secure_getenv("CARDMARK_RUN_TRACKED");

	if (!mark || !*mark || !cm_gc_is_the_program())
		return;
	tracked_before = *mark == '1';
	if (tracked)
		*mark = '1';
}

static const char *lost_counters(void)
{
	return cm_gc_statsfile() ? ", but its counters were lost when it became this one" : "";
}

/* ---- A program without libgc --------------------------------------------------------- */

static bool without_libgc; /* the process that `cardmark run` became, as it is now */
static uint64_t faults_before;

/* Grows with each child that is waited for, also before exec(). */
static uint64_t children_faults(void)
{
	struct rusage u = { 0 };

	getrusage(RUSAGE_CHILDREN, &u);
	return (uint64_t)u.ru_minflt + (uint64_t)u.ru_majflt;
}

static int is_libgc(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *slash = strrchr(info->dlpi_name, '/');

	(void)size;
	(void)arg;
	return strncmp(slash ? slash + 1 : info->dlpi_name, "libgc.so", 8) == 0;
}

/* Only at the end of the process is this certain: a shell, a script or env becomes another program
 * by exec(), and then this is not called. */
static void say_without_libgc(void)
{
	const char *stats = cm_gc_statsfile();
	bool named = stats && cm_gc_file_descriptor(stats) < 0;
	char text[700];

	if (!without_libgc || !cm_gc_is_the_program())
		return;
	without_libgc = false;
	if (tracked_before)
		(void)snprintf(
			text, sizeof text,
			"itself ran unchanged; the program that it was before had its writes "
			"tracked%s",
			lost_counters());
	else if (dl_iterate_phdr(is_libgc, NULL))
		(void)snprintf(text, sizeof text,
			       "loaded libgc after its start, which is too late: it ran unchanged");
	else if (children_faults() == faults_before)
		(void)snprintf(text, sizeof text,
			       "does not use libgc as a shared library; it ran unchanged%s",
			       stats ? ", and cardmark run counted nothing" : "");
	else
		(void)snprintf(
			text, sizeof text,
			"itself ran unchanged; programs that it started and that use a shared "
			"libgc had their writes tracked%s%.300s%s",
			named ? ", and their counters are in " : "", named ? stats : "",
			named && !strstr(stats, "%p") ? ".PID" : "");
	say(text);
}

__attribute__((destructor)) static void preload_end(void)
{
	say_without_libgc();
	if (cm_gc_config.enabled && tracked_before && cm_gc_is_the_program() && cm_gc_statsfile())
		say("was another program before, whose writes were tracked and whose counters were "
		    "lost when it became this one");
}

/* Some shells leave by _exit(), and no destructor runs. */
static _Noreturn void hook_exit(int status)
{
	say_without_libgc();
	_exit(status);
}

static void without(void)
{
	static struct cm_gc_slot slots[] = { { "_exit", (void *)hook_exit, 0 },
					     { "_Exit", (void *)hook_exit, 0 } };

	if (!cm_gc_is_the_program())
		return;
	without_libgc = true;
	mark_tracked(false);
	cm_gc_keep_stderr();
	faults_before = children_faults();
	cm_gc_plt_redirect(NULL, slots, sizeof slots / sizeof *slots, true);
}

/* ---- One with it --------------------------------------------------------------------- */

static void say_what_is_done(void)
{
	const struct cm_gc_config *c = &cm_gc_config;
	char text[800], ms[CM_GC_MS_ROOM];

	(void)cm_gc_ms_text(ms, c->target_ns);
	if (c->mode == CARDMARK_GC_MODE_AUTO)
		(void)snprintf(
			text, sizeof text,
			"has its writes tracked by %s, way %s, pause target %s ms (0: none)%s%s",
			cardmark_backend_name(cm_gc_heap.tracker.backend),
			c->way == CARDMARK_GC_WAY_A ? "A" : "B", ms, *c->why ? ": " : "", c->why);
	else
		(void)snprintf(text, sizeof text,
			       "runs with libgc's own %s, pause target %s ms (0: none)",
			       c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT ? "mprotect mode"
			       : c->mode == CARDMARK_GC_MODE_LIBGC_OWN    ? "incremental mode"
									  : "stop-the-world mode",
			       ms);
	say(text);
}

__attribute__((constructor)) static void preload_start(void)
{
	const struct cm_gc_config *c = &cm_gc_config;
	const char *verbose = secure_getenv("CARDMARK_RUN_VERBOSE");
	char text[1200];
	int r;

	cm_gc_config.preloaded = true;
	r = cm_gc_prepare(NULL);
	if (cm_gc_api.partial && cm_gc_api.place == CM_GC_IN_PROGRAM) {
		if (cm_gc_is_the_program())
			say("has libgc linked into it, so most of libgc cannot be reached from "
			    "outside; "
			    "it ran unchanged");
		return;
	}
	if (!cm_gc_api.GC_init) {
		without();
		return;
	}
	if (r != 0) {
		(void)snprintf(text, sizeof text, "was not started: %s", cardmark_last_error());
		say(text);
		_exit(r == -EINVAL ? 2 : 1); /* as the command has it */
	}
	mark_tracked(!c->unchanged);
	if (cm_gc_heap.cm && *cm_gc_heap.tracker.why_no_better) {
		(void)snprintf(text, sizeof text, "runs on %s, which is not the best backend: %s",
			       cardmark_backend_name(cm_gc_heap.tracker.backend),
			       cm_gc_heap.tracker.why_no_better);
		say(text);
	}
	if (c->unchanged && cm_gc_is_the_program()) {
		(void)snprintf(text, sizeof text, "is left as it is: %s", c->why);
		say(text);
	}
	if (c->init_called && c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD)
		cm_gc_api.GC_enable_incremental();
	if (verbose && *verbose == '1' && cm_gc_is_the_program())
		say_what_is_done();
}
