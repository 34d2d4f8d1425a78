/* SPDX-License-Identifier: MIT
 * cardmark run: passes the options to the preload object through the environment, and becomes the
 * program. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/tool.h"

#define STANDARD_ERROR "/dev/stderr"

/* libgc's own ways of collecting, with our recording. */
static const char *const gc_modes[] = { "auto", "libgc-mprotect", "stop-the-world", "libgc-own" };

static bool is_gc_mode(const char *name)
{
	for (size_t i = 0; i < sizeof gc_modes / sizeof *gc_modes; i++)
		if (strcmp(name, gc_modes[i]) == 0)
			return true;
	return false;
}

bool run_backend_known(const char *name)
{
	enum cardmark_backend b;

	return is_gc_mode(name) || cardmark_backend_parse(name, &b) == 0;
}

static void help(void)
{
	printf("Usage: cardmark run [OPTION]... [--] PROGRAM [ARG]...\n"
	       "Runs PROGRAM, whose Boehm GC then collects incrementally with our write tracking.\n"
	       "PROGRAM is not rebuilt or changed; it must use a shared libgc.\n\n"
	       "  --backend=B        auto (default), pagemap, softdirty, uffd, mprotect, "
	       "alldirty,\n"
	       "                     or libgc's own: libgc-mprotect, libgc-own (as it\n"
	       "                     chooses), stop-the-world\n"
	       "  --way=A|B          how the tracking reaches libgc: A its soft-dirty mode,\n"
	       "                     B manual dirty bits (default: A where it works)\n"
	       "  --pause-target=MS  aim for stops of at most MS milliseconds\n"
	       "  --libgc=DIR        the libgc in DIR or DIR/lib, not the system's\n"
	       "  --summary          five lines at the end (the default on a terminal;\n"
	       "                     --no-summary leaves them out)\n"
	       "  --log[=FILE]       a line for each collection when it ends\n"
	       "  --trace=FILE       stops, marking and waits for Perfetto or chrome://tracing\n"
	       "  --stats[=FILE]     statistics as JSON at the end, SIGTERM and SIGINT too; other\n"
	       "                     programs and forked children that collect write FILE.PID\n"
	       "  --raw              each stop's start and end in the statistics too\n"
	       "  --every=SECONDS    statistics at this interval too, not only at the end\n"
	       "  --live             'cardmark stats PID' gets statistics from the running "
	       "program\n"
	       "  --verify           check that every page that changes is reported dirty; slow\n"
	       "  --verbose          report backend, way and pause target\n"
	       "  -h, --help         this text\n"
	       "  -V, --version      the version\n\n"
	       "FILE: - is standard output; without it, standard error; %%p is the process id.\n"
	       "The exit status is the program's own, or 127 not found, 126 not executable,\n"
	       "1 the backend cannot work here, 2 wrong usage.\n");
}

bool run_find_libgc(const char *sub, const char *name, char dir[2 * TOOL_PATH])
{
	static const char *const below[] = { "/lib", "" };
	char path[TOOL_PATH], file[3 * TOOL_PATH];

	if (!tool_absolute(sub, name, path))
		return false;
	if (strpbrk(path, ":;") != NULL) {
		tool_message(
			sub,
			"LD_LIBRARY_PATH cannot name %s: colons and semicolons divide its list",
			path);
		return false;
	}
	for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
		snprintf(dir, 2 * TOOL_PATH, "%s%s", path, below[i]);
		snprintf(file, sizeof file, "%s/libgc.so.1", dir);
		if (access(file, R_OK) == 0)
			return true;
	}
	tool_message(sub, "there is no libgc.so.1 in %s, nor in its lib/", path);
	return false;
}

static bool set_libgc(const char *name)
{
	char dir[2 * TOOL_PATH];

	return run_find_libgc("run", name, dir) && tool_set_first("run", "LD_LIBRARY_PATH", dir);
}

/* From anywhere, and tried. */
static bool set_output(const char *option, const char *variable, const char *name)
{
	char path[TOOL_PATH], *id;

	if (name == NULL)
		return true;
	if (strcmp(name, "-") == 0)
		return tool_set_variable("run", variable, name);
	if (!tool_absolute("run", name, path) || !tool_output_usable("run", option, path))
		return false;
	/* A %p in a directory's name does not stand for the process id: the program makes this name
	 * absolute itself. */
	id = strstr(path, "%p");
	if (id != NULL && *name != '/' && id < path + strlen(path) - strlen(name))
		return tool_set_variable("run", variable, name);
	return tool_set_variable("run", variable, path);
}

static bool set_reports(const struct run_options *opt)
{
	return set_output("the statistics", "CARDMARK_STATS", opt->stats) &&
	       set_output("the log", "CARDMARK_LOG", opt->log) &&
	       set_output("the trace", "CARDMARK_TRACE", opt->trace) &&
	       (opt->every == NULL ||
		tool_set_variable("run", "CARDMARK_STATS_EVERY", opt->every)) &&
	       (!opt->live || tool_set_variable("run", "CARDMARK_LIVE", "1")) &&
	       (!opt->raw || tool_set_variable("run", "CARDMARK_STATS_RAW", "1")) &&
	       (!opt->summary || tool_set_variable("run", "CARDMARK_SUMMARY", "1")) &&
	       (!opt->no_summary || tool_set_variable("run", "CARDMARK_SUMMARY", NULL));
}

bool run_prepare(const struct run_options *opt, const char *preload)
{
	char pid[24];

	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	/* The preload object replaces the 0 by a 1. If this process becomes another program later,
	 * that program sees the 1. */
	if (!tool_set_preload("run", "CARDMARK_PRELOAD", preload) ||
	    !tool_set_variable("run", "CARDMARK_RUN_PID", pid) ||
	    !tool_set_variable("run", "CARDMARK_RUN_TRACKED", "0"))
		return false;
	if (opt->backend != NULL) {
		bool mode = is_gc_mode(opt->backend);

		if (!tool_set_variable("run", "CARDMARK_GC_MODE", mode ? opt->backend : "auto") ||
		    !tool_set_variable("run", "CARDMARK_BACKEND", mode ? NULL : opt->backend))
			return false;
	}
	return (opt->way == NULL || tool_set_variable("run", "CARDMARK_GC_WAY", opt->way)) &&
	       (opt->pause_target == NULL ||
		tool_set_variable("run", "CARDMARK_PAUSE_TARGET", opt->pause_target)) &&
	       (opt->libgc == NULL || set_libgc(opt->libgc)) && set_reports(opt) &&
	       (!opt->verify || tool_set_variable("run", "CARDMARK_VERIFY", "hash")) &&
	       (!opt->verbose || tool_set_variable("run", "CARDMARK_RUN_VERBOSE", "1"));
}

/* 0, or the exit status for a backend that cannot work here. */
static int check_backend(const char *name)
{
	enum cardmark_backend b;
	struct cardmark_probe probe;

	if (name == NULL || is_gc_mode(name) || cardmark_backend_parse(name, &b) != 0)
		return TOOL_OK;
	if (!tool_probe_one(b, &probe)) {
		tool_message("run", "backend %s is not in this build", name);
		return TOOL_CANNOT;
	}
	if (!probe.usable) {
		tool_message("run", "backend %s cannot work here: %s", name, probe.reason);
		return TOOL_CANNOT;
	}
	return TOOL_OK;
}

/* Options that exclude each other. -1 to go on, or the exit status. */
static int check_together(const struct run_options *opt)
{
	if (opt->raw && opt->stats == NULL)
		return tool_usage_error("run", "--raw needs --stats");
	if (opt->every != NULL && opt->stats == NULL)
		return tool_usage_error("run", "--every needs --stats");
	if (opt->summary && opt->no_summary)
		return tool_usage_error("run", "--summary and --no-summary exclude each other");
	if (opt->backend == NULL || strcmp(opt->backend, "auto") == 0 || !is_gc_mode(opt->backend))
		return -1;
	if (opt->verify)
		return tool_usage_error(
			"run", "--verify checks our tracking, which %s does not use", opt->backend);
	if (opt->way != NULL)
		return tool_usage_error("run", "--way is about our tracking, which %s does not use",
					opt->backend);
	if (opt->pause_target != NULL && strcmp(opt->backend, "stop-the-world") == 0)
		return tool_usage_error("run", "--pause-target needs incremental collection, "
					       "which stop-the-world is not");
	return -1;
}

/* -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct run_options *opt)
{
	const struct tool_option known[] = {
		{ .name = "backend", .value = &opt->backend },
		{ .name = "way", .value = &opt->way },
		{ .name = "pause-target", .value = &opt->pause_target },
		{ .name = "libgc", .value = &opt->libgc },
		{ .name = "stats", .value = &opt->stats, .alone = STANDARD_ERROR },
		{ .name = "every", .value = &opt->every },
		{ .name = "live", .flag = &opt->live },
		{ .name = "log", .value = &opt->log, .alone = STANDARD_ERROR },
		{ .name = "trace", .value = &opt->trace },
		{ .name = "summary", .flag = &opt->summary },
		{ .name = "no-summary", .flag = &opt->no_summary },
		{ .name = "raw", .flag = &opt->raw },
		{ .name = "verify", .flag = &opt->verify },
		{ .name = "verbose", .flag = &opt->verbose },
	};
	int status = tool_read_options("run", argc, argv, known, sizeof known / sizeof *known, true,
				       help);
	double ms;

	if (status >= 0)
		return status;
	if (opt->backend != NULL && !run_backend_known(opt->backend))
		return tool_usage_error("run", "there is no backend \"%s\"", opt->backend);
	if (opt->way != NULL && strcmp(opt->way, "A") != 0 && strcmp(opt->way, "B") != 0)
		return tool_usage_error("run", "--way is A or B, not \"%s\"", opt->way);
	if (opt->pause_target != NULL && !tool_parse_number(opt->pause_target, 0.1, 1e6, &ms))
		return tool_usage_error(
			"run", "--pause-target is milliseconds, 0.1 to 1000000, not \"%s\"",
			opt->pause_target);
	if (opt->every != NULL && !tool_parse_number(opt->every, 0.1, 86400, &ms))
		return tool_usage_error("run", "--every is seconds, 0.1 to 86400, not \"%s\"",
					opt->every);
	if (optind >= argc)
		return tool_usage_error("run", "no program is named");
	return check_together(opt);
}

int tool_run(int argc, char **argv)
{
	struct run_options opt = { 0 };
	char program[TOOL_PATH], preload[TOOL_PATH];
	const char *why;
	int status = parse(argc, argv, &opt);

	if (status >= 0)
		return status;
	argv += optind;
	status = check_backend(opt.backend);
	if (status != TOOL_OK)
		return status;
	status = tool_find_to_run("run", argv[0],
				  opt.stats != NULL && strcmp(opt.stats, STANDARD_ERROR) == 0
					  ? " (a file for --stats follows a =: --stats=FILE)"
					  : "",
				  program);
	if (status != TOOL_OK)
		return status;
	if (!tool_find_preload(preload)) {
		tool_message("run",
			     "the preload object is missing (looked at %s): is this build without "
			     "the Boehm GC adapter?",
			     preload);
		return TOOL_CANNOT;
	}
	why = tool_preload_obstacle(program);
	if (why != NULL)
		tool_message("run",
			     "%s runs as it is, without our tracking: %s, so LD_PRELOAD is ignored",
			     argv[0], why);
	/* On a terminal the summary is the default. */
	if (!opt.no_summary && isatty(STDERR_FILENO) == 1)
		opt.summary = true;
	if (!run_prepare(&opt, preload))
		return TOOL_CANNOT;
	return tool_become("run", program, argv);
}
