/* SPDX-License-Identifier: MIT
 *
 * The destination of the counters: cardmark_gc_write_stats() and, at exit, CARDMARK_STATS.
 *
 * Several processes may have one CARDMARK_STATS. FILE is for the program that
 * `cardmark run` became, or, without that command, for the first that ends; another
 * program's counters go to FILE.PID. So do those of a fork child that has collected; the others
 * write only where %p gives them a name of their own, and the parent's "forks" counts them all. */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cm_gc_dest place;
static pid_t run_pid;
static struct timespec started;
static struct cm_gc_file_id ours; /* the file that this process wrote last */
static bool announced;

/* ---- Which file ------------------------------------------------------------------------ */

/* The first time before the program's main(), which may change the directory; again when the
 * adapter is enabled, because the program may have set the variable. */
__attribute__((constructor)) static void at_start(void)
{
	cm_gc_statsfile_start();
}

void cm_gc_statsfile_start(void)
{
	const char *pid = secure_getenv("CARDMARK_RUN_PID");

	if (!started.tv_sec)
		clock_gettime(CLOCK_REALTIME_COARSE, &started);
	run_pid = pid ? (pid_t)strtol(pid, NULL, 10) : 0;
	cm_gc_dest_read(&place, "CARDMARK_STATS");
	if (strcmp(place.path, "-") == 0)
		cm_gc_keep_stdout();
}

bool cm_gc_is_the_program(void)
{
	return run_pid == getpid();
}

const char *cm_gc_statsfile(void)
{
	return cm_gc_dest_is_set(&place) ? place.asked : NULL;
}

enum cm_gc_owner cm_gc_owner(void)
{
	if (!cm_gc_config.enabled || cm_gc_config.self != getpid()) /* vfork */
		return CM_GC_NOBODY;
	if (cm_gc_config.pid != cm_gc_config.self)
		return CM_GC_FORKED;
	return run_pid && !cm_gc_is_the_program() ? CM_GC_OTHER_PROGRAM : CM_GC_PROGRAM;
}

/* ---- Writing it ------------------------------------------------------------------------ */

#define TOO_LONG "the counters cannot be written: the name of the file is longer than %d bytes"

static void failed(const char *name, int error, char text[640])
{
	if (error == ENAMETOOLONG && !*name)
		(void)snprintf(text, 640, TOO_LONG, PATH_MAX - 1);
	else
		(void)snprintf(text, 640, "the counters cannot be written to %.400s: %s",
			       strcmp(name, "-") == 0 ? "standard output" : name,
			       cm_gc_file_words(error));
}

int cm_gc_write_stats(const char *path)
{
	char name[PATH_MAX], text[640];
	int error;

	if (!cm_gc_config.enabled)
		return cm_gc_fail(-ENOENT, "cardmark_gc_write_stats: %s", CM_GC_NOT_ENABLED);
	if (!path || !*path)
		return cm_gc_fail(-EINVAL, "cardmark_gc_write_stats: no file is named");
	if (!cm_gc_dest_plain(name, path))
		return cm_gc_fail(-EINVAL, TOO_LONG, PATH_MAX - 1);
	error = cm_gc_file_write(name, cm_gc_report_put, &ours);
	if (!error)
		return 0;
	failed(name, error, text);
	return cm_gc_fail(-EIO, "%s", text);
}

/* Without `cardmark run`: has another process written it since this one started, or in
 * the same tick of the clock that files have? */
static bool taken(const char *name)
{
	const struct timespec *t = &started;
	struct stat st;

	return !run_pid && cm_gc_file_descriptor(name) < 0 && lstat(name, &st) == 0 &&
	       S_ISREG(st.st_mode) && !(st.st_dev == ours.dev && st.st_ino == ours.ino) &&
	       (st.st_mtim.tv_sec > t->tv_sec ||
		(st.st_mtim.tv_sec == t->tv_sec && st.st_mtim.tv_nsec >= t->tv_nsec));
}

static void say_number(const char *name)
{
	char text[700];

	(void)snprintf(
		text, sizeof text,
		"another process wrote its counters to the file of CARDMARK_STATS meanwhile: "
		"those of process %ld are in %.500s (with %%p in the name, each has a file)",
		(long)getpid(), name);
	cm_gc_say("cardmark", text);
}

static void announce(const char *name)
{
	char text[700];

	if (announced)
		return;
	announced = true;
	(void)snprintf(text, sizeof text,
		       "process %ld, which %.100s forked, has collected too: its counters are in "
		       "%.500s",
		       (long)getpid(), program_invocation_short_name, name);
	cm_gc_say("cardmark", text);
}

static const char *not_here(enum cm_gc_owner owner)
{
	return owner == CM_GC_FORKED ? "a process that the program forked has collected too: its "
				       "counters are not written here; --stats=FILE gives them a "
				       "file"
				     : "a program that the program started uses libgc too: its "
				       "counters are not written here; --stats=FILE gives them a "
				       "file";
}

static bool has_collected(void)
{
	return cm_gc_rec && cm_gc_rec->stops.count > 0;
}

/* Gives the name. False: nothing is to be written. */
static bool whose(char name[PATH_MAX], bool *fits)
{
	enum cm_gc_owner owner = cm_gc_owner();
	bool numbered = owner == CM_GC_OTHER_PROGRAM || owner == CM_GC_FORKED;
	bool has_id = *place.path && cm_gc_dest_id(&place);

	if (owner == CM_GC_NOBODY || !cm_gc_dest_is_set(&place))
		return false;
	if (owner == CM_GC_FORKED && !has_id && !has_collected())
		return false;
	if (numbered && cm_gc_file_descriptor(place.path) >= 0) {
		cm_gc_say("cardmark run", not_here(owner));
		return false;
	}
	if (!numbered && !has_id && taken(place.path)) {
		numbered = true;
		if (cm_gc_dest_name(name, &place, true))
			say_number(name);
	}
	*fits = *place.path && cm_gc_dest_name(name, &place, numbered);
	if (*fits && owner == CM_GC_FORKED && !has_id)
		announce(name);
	return true;
}

/* Calls only functions that a signal handler may call: no strerror(), no dlsym(). */
void cm_gc_statsfile_write(void)
{
	char name[PATH_MAX] = "", text[640];
	bool fits;
	int error;

	if (!whose(name, &fits))
		return;
	error = fits ? cm_gc_file_write(name, cm_gc_report_put, &ours) : ENAMETOOLONG;
	if (!error)
		return;
	failed(fits ? name : "", error, text);
	cm_gc_say("cardmark", text);
}
