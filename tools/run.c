/* SPDX-License-Identifier: MIT
 * cardmark run: hands the choices to the preload object through the
 * environment, and becomes the program. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/tool.h"

/* libgc's own ways of collecting, with our recording. */
static const char *const gc_modes[] = { "auto", "libgc-mprotect", "stop-the-world" };

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
	       "Runs PROGRAM with its Boehm GC collecting incrementally on our write tracking.\n"
	       "PROGRAM is not rebuilt or changed; it must use a shared libgc.\n\n"
	       "  --backend=B        auto (default), pagemap, softdirty, uffd, mprotect, "
	       "alldirty,\n"
	       "                     or libgc's own: libgc-mprotect, stop-the-world\n"
	       "  --way=A|B          how the tracking reaches libgc: A its soft-dirty mode,\n"
	       "                     B manual dirty bits (default: A where it works)\n"
	       "  --pause-target=MS  aim for stops of at most MS milliseconds\n"
	       "  --stats[=FILE]     statistics as JSON at exit (default: standard error; %%p in\n"
	       "                     the name is the process id); programs that PROGRAM starts\n"
	       "                     write to FILE.PID\n"
	       "  --raw              each stop's start and end in the statistics too\n"
	       "  --verify           check that every page that changes is reported dirty; slow\n"
	       "  --verbose          report what is done\n"
	       "  --help\n\n"
	       "The exit status is the program's own, or 127 not found, 126 not executable,\n"
	       "1 the backend cannot work here, 2 wrong usage.\n");
}

static bool set(const char *name, const char *value)
{
	int err = value != NULL ? setenv(name, value, 1) : unsetenv(name);

	if (err != 0)
		tool_message("run", "cannot set %s: %s", name, strerror(errno));
	return err == 0;
}

/* The program may go to another directory, and what is to be found from there needs the
 * whole path. out may not be name. */
static bool absolute(const char *name, char out[TOOL_PATH])
{
	char here[TOOL_PATH];
	int n;

	if (*name == '/') {
		n = snprintf(out, TOOL_PATH, "%s", name);
	} else if (getcwd(here, sizeof here) != NULL) {
		n = snprintf(out, TOOL_PATH, "%s/%s", strcmp(here, "/") == 0 ? "" : here, name);
	} else {
		tool_message("run",
			     "the full path of %s is not known, because the current directory "
			     "cannot be read: %s",
			     name, errno == ERANGE ? "its own path is too long" : strerror(errno));
		return false;
	}
	if (n > 0 && n < TOOL_PATH)
		return true;
	tool_message("run", "the path of %s is longer than %d bytes", name, TOOL_PATH - 1);
	return false;
}

static bool set_preload(const char *preload)
{
	const char *old = getenv("LD_PRELOAD");
	char path[TOOL_PATH], list[3 * TOOL_PATH];
	int n;

	if (!absolute(preload, path))
		return false;
	if (strpbrk(path, ": ") != NULL) {
		tool_message(
			"run",
			"LD_PRELOAD cannot name %s: spaces and colons divide its list; put the "
			"preload object elsewhere, and name it with CARDMARK_PRELOAD",
			path);
		return false;
	}
	n = snprintf(list, sizeof list, "%s%s%s", path, old && *old ? ":" : "",
		     old && *old ? old : "");
	if (n < 0 || (size_t)n >= sizeof list) {
		tool_message("run", "LD_PRELOAD is longer than %zu bytes", sizeof list - 1);
		return false;
	}
	return set("LD_PRELOAD", list);
}

static bool set_stats(const char *stats)
{
	char path[TOOL_PATH], *id;

	if (strcmp(stats, "-") == 0)
		return set("CARDMARK_STATS", stats);
	if (!absolute(stats, path))
		return false;
	/* A %p in a directory's name is none for the process id: the program finds the rest. */
	id = strstr(path, "%p");
	if (id != NULL && *stats != '/' && id < path + strlen(path) - strlen(stats))
		return set("CARDMARK_STATS", stats);
	return set("CARDMARK_STATS", path);
}

bool run_prepare(const struct run_options *opt, const char *preload)
{
	char pid[24];

	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	/* The preload object writes a 1 in place of the 0, and what this process becomes after
	 * that sees it. */
	if (!set_preload(preload) || !set("CARDMARK_RUN_PID", pid) ||
	    !set("CARDMARK_RUN_TRACKED", "0"))
		return false;
	if (opt->backend != NULL) {
		bool mode = is_gc_mode(opt->backend);

		if (!set("CARDMARK_GC_MODE", mode ? opt->backend : "auto") ||
		    !set("CARDMARK_BACKEND", mode ? NULL : opt->backend))
			return false;
	}
	return (opt->way == NULL || set("CARDMARK_GC_WAY", opt->way)) &&
	       (opt->pause_target == NULL || set("CARDMARK_PAUSE_TARGET", opt->pause_target)) &&
	       (opt->stats == NULL || set_stats(opt->stats)) &&
	       (!opt->raw || set("CARDMARK_STATS_RAW", "1")) &&
	       (!opt->verify || set("CARDMARK_VERIFY", "hash")) &&
	       (!opt->verbose || set("CARDMARK_RUN_VERBOSE", "1"));
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

/* -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct run_options *opt)
{
	const struct tool_option known[] = {
		{ .name = "backend", .value = &opt->backend },
		{ .name = "way", .value = &opt->way },
		{ .name = "pause-target", .value = &opt->pause_target },
		{ .name = "stats", .value = &opt->stats, .alone = "-" },
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
	if (optind >= argc)
		return tool_usage_error("run", "no program is named");
	if (opt->raw && opt->stats == NULL)
		return tool_usage_error("run", "--raw needs --stats");
	if (opt->verify && opt->backend != NULL && strcmp(opt->backend, "auto") != 0 &&
	    is_gc_mode(opt->backend))
		return tool_usage_error(
			"run", "--verify checks our tracking, which %s does not use", opt->backend);
	return -1;
}

/* Shells look for a byte of 0 as well, before they run a file as a script. */
static bool is_text(const char *program)
{
	char head[256];
	FILE *f = fopen(program, "re");
	size_t n = f != NULL ? fread(head, 1, sizeof head, f) : 0;

	if (f != NULL)
		fclose(f);
	errno = ENOEXEC;
	return f != NULL && memchr(head, '\0', n) == NULL &&
	       !(n >= 4 && memcmp(head, "\177ELF", 4) == 0);
}

/* 0, or the exit status for a program that cannot be run. */
static int find(const char *name, bool stats_unnamed, char program[TOOL_PATH])
{
	int error = tool_find_program(name, program);

	switch (error) {
	case 0:
		return TOOL_OK;
	case EACCES:
		tool_message(
			"run",
			"%s is not executable by this user (its mode or that of its directory, "
			"or a file system mounted noexec)",
			name);
		return TOOL_NOT_EXECUTABLE;
	case EISDIR:
		tool_message("run", "%s is not executable: it is a directory", name);
		return TOOL_NOT_EXECUTABLE;
	case ENOENT:
		tool_message("run", "%s: not found%s%s", name,
			     strchr(name, '/') == NULL ? " in the directories of PATH" : "",
			     stats_unnamed ? " (a file for --stats follows a =: --stats=FILE)"
					   : "");
		return TOOL_NOT_FOUND;
	default:
		tool_message("run", "%s: not found: %s", name, strerror(error));
		return TOOL_NOT_FOUND;
	}
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
	status = find(argv[0], opt.stats != NULL && strcmp(opt.stats, "-") == 0, program);
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
	if (!run_prepare(&opt, preload))
		return TOOL_CANNOT;
	fflush(NULL);
	execv(program, argv);
	if (errno == ENOEXEC && is_text(program)) { /* a script without #!, which shells run */
		char **shell = calloc((size_t)(argc - optind) + 3, sizeof *shell);

		if (shell != NULL) {
			size_t n = 0;

			shell[n++] = strdup("sh");
			shell[n++] = program;
			for (char **a = argv + 1; *a != NULL; a++)
				shell[n++] = *a;
			execv("/bin/sh", shell);
		}
		errno = ENOEXEC;
	}
	status = errno == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE;
	/* The program itself was found. */
	tool_message("run", "cannot start %s: %s", program,
		     errno == ENOENT ? "the interpreter that its first line names, or its dynamic "
				       "linker, is not there"
		     : errno == ENOEXEC ? "it is not a program for this machine, and not a script"
					: strerror(errno));
	return status;
}
