/* SPDX-License-Identifier: MIT
 *
 * Where the counters go: cardmark_gc_write_stats() and, at exit, CARDMARK_STATS.
 *
 * Several processes may have one CARDMARK_STATS. FILE is for the program that
 * `cardmark run` became, or, without that command, for the first that ends; another
 * program's counters go to FILE.PID; a fork child writes only where %p gives it a name
 * of its own, and its parent's "forks" counts it. A file is replaced as a whole, or
 * written under a lock: no file ever holds a mixture of two. */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	char asked[PATH_MAX]; /* as the variable has it */
	char path[PATH_MAX];  /* absolute, or "-"; "": none */
	size_t name_at;       /* in path; what is before it the user did not write */
	bool too_long;
	pid_t run_pid;
	struct timespec started;
} asked_for;

/* ---- Which file ------------------------------------------------------------------------ */

static bool fits(int n)
{
	return n >= 0 && n < PATH_MAX;
}

static void resolve(const char *s)
{
	char here[PATH_MAX];
	int n;

	asked_for.too_long = false;
	asked_for.name_at = 0;
	asked_for.path[0] = '\0';
	if (!fits(snprintf(asked_for.asked, PATH_MAX, "%s", s))) {
		asked_for.too_long = true;
		return;
	}
	if (*s == '\0')
		return;
	/* In a directory that is gone a relative name is as good as any. */
	if (strcmp(s, "-") == 0 || *s == '/' || !getcwd(here, sizeof here))
		n = snprintf(asked_for.path, PATH_MAX, "%s", s);
	else
		n = snprintf(asked_for.path, PATH_MAX, "%s/%s", strcmp(here, "/") == 0 ? "" : here,
			     s);
	if (!fits(n)) {
		asked_for.too_long = true;
		asked_for.path[0] = '\0';
		return;
	}
	asked_for.name_at = (size_t)n - strlen(s);
}

/* The first time before the program's main(), which may change the directory; again when
 * the adapter is enabled, as the program may have set the variable. */
__attribute__((constructor)) static void at_start(void)
{
	cm_gc_statsfile_start();
}

void cm_gc_statsfile_start(void)
{
	const char *path = secure_getenv("CARDMARK_STATS"),
		   *pid = secure_getenv("CARDMARK_RUN_PID");

	if (!asked_for.started.tv_sec)
		clock_gettime(CLOCK_REALTIME_COARSE, &asked_for.started);
	asked_for.run_pid = pid ? (pid_t)strtol(pid, NULL, 10) : 0;
	if (!path || strcmp(path, asked_for.asked) != 0)
		resolve(path ? path : "");
}

bool cm_gc_is_the_program(void)
{
	return asked_for.run_pid == getpid();
}

const char *cm_gc_statsfile(void)
{
	return *asked_for.path || asked_for.too_long ? asked_for.asked : NULL;
}

/* Where the process id goes; NULL: nowhere. */
static const char *id_in(const char *path)
{
	return strstr(path + (path == asked_for.path ? asked_for.name_at : 0), "%p");
}

/* path with the process id in it, for %p or after it. False: too long. */
static bool name_of(char name[PATH_MAX], const char *path, bool numbered)
{
	const char *p = id_in(path);

	if (p)
		return fits(snprintf(name, PATH_MAX, "%.*s%ld%s", (int)(p - path), path,
				     (long)getpid(), p + 2));
	if (numbered)
		return fits(snprintf(name, PATH_MAX, "%s.%ld", path, (long)getpid()));
	return fits(snprintf(name, PATH_MAX, "%s", path));
}

/* ---- Writing it ------------------------------------------------------------------------ */

static struct { /* the file that this process wrote last */
	dev_t dev;
	ino_t ino;
} ours;

/* Not 0, 1 or 2: where the program has closed one of these, a thread of it that writes
 * there would write into the report. */
static int open_high(const char *name, int flags)
{
	int fd = open(name, flags | O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666), high;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return high;
}

static int put_into(int fd)
{
	struct cm_gc_out o = { .fd = fd };

	cm_gc_report_put(&o);
	cm_gc_flush(&o);
	return o.error;
}

/* The descriptor that a name stands for: opening it anew would begin at the start of the
 * file it is open on, and write over what the program wrote there. -1: none. */
static int named_descriptor(const char *name)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };

	if (strcmp(name, "-") == 0 || strcmp(name, "/dev/stderr") == 0)
		return cm_gc_stderr();
	if (strcmp(name, "/dev/stdout") == 0)
		return STDOUT_FILENO;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		const char *digits = name + strlen(folders[i]);

		if (strncmp(name, folders[i], strlen(folders[i])) == 0 && *digits &&
		    strlen(digits) < 10 && strspn(digits, "0123456789") == strlen(digits))
			return (int)strtol(digits, NULL, 10);
	}
	return -1;
}

/* A pipe without a reader would keep the program from its end for ever. The reader may be just
 * on its way. */
static int open_for_reader(const char *name)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	int fd = open_high(name, O_NONBLOCK);

	for (int i = 0; fd < 0 && errno == ENXIO && i < 200; i++) {
		(void)nanosleep(&nap, NULL);
		fd = open_high(name, O_NONBLOCK);
	}
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}

/* Into what is there: a device, a pipe, what a symbolic link leads to, another user's file. */
static int write_in_place(const char *name)
{
	int fd = open_for_reader(name);
	struct stat st;
	int error;

	if (fd < 0)
		return errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		/* File systems without locks have no other writer's either. */
		if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
			close(fd);
			return EBUSY;
		}
		if (ftruncate(fd, 0) != 0) {
			error = errno;
			close(fd);
			return error;
		}
		ours.dev = st.st_dev;
		ours.ino = st.st_ino;
	}
	error = put_into(fd);
	if (close(fd) != 0 && !error)
		error = errno;
	return error;
}

/* A new file takes the place of the old one in one step. old is NULL if there is none. */
static int replace(const char *name, const struct stat *old)
{
	static atomic_uint number;
	char temporary[PATH_MAX + 64];
	struct stat st;
	int fd, error;

	(void)snprintf(temporary, sizeof temporary, "%s.%ld-%u.new", name, (long)getpid(),
		       atomic_fetch_add_explicit(&number, 1, memory_order_relaxed));
	(void)unlink(temporary); /* of a process that had our id and was killed */
	fd = open_high(temporary, O_EXCL);
	if (fd < 0) {
		error = errno;
		/* No right to the directory, or its name is as long as names may be. */
		return error == EACCES || error == EPERM || error == ENAMETOOLONG
			       ? write_in_place(name)
			       : error;
	}
	if (old)
		(void)fchmod(fd, old->st_mode & 07777);
	error = put_into(fd);
	if (fstat(fd, &st) == 0) {
		ours.dev = st.st_dev;
		ours.ino = st.st_ino;
	}
	if (close(fd) != 0 && !error)
		error = errno;
	if (!error && rename(temporary, name) != 0)
		error = errno;
	if (error)
		(void)unlink(temporary);
	return error;
}

/* 0 or errno */
static int write_to(const char *name)
{
	int fd = named_descriptor(name);
	struct stat old;

	if (fd >= 0)
		return put_into(fd);
	if (lstat(name, &old) != 0)
		return errno == ENOENT ? replace(name, NULL) : errno;
	if (!S_ISREG(old.st_mode) || old.st_nlink > 1 || old.st_uid != geteuid())
		return write_in_place(name);
	return replace(name, &old);
}

static int write_report(const char *name)
{
	struct cm_gc_guard g;
	int error;

	cm_gc_guard(&g);
	error = write_to(name);
	cm_gc_unguard(&g);
	if (!error)
		return 0;
	return cm_gc_fail(-EIO, "the counters cannot be written to %.400s: %s",
			  strcmp(name, "-") == 0 ? "standard error" : name,
			  error == EBUSY   ? "another process is writing to that file"
			  : error == ENXIO ? "it is a pipe without a reader, or a socket"
					   : strerror(error));
}

static int too_long(void)
{
	return cm_gc_fail(-EINVAL,
			  "the counters cannot be written: the name of the file is longer than "
			  "%d bytes",
			  PATH_MAX - 1);
}

int cm_gc_write_stats(const char *path)
{
	char name[PATH_MAX];

	if (!cm_gc_config.enabled)
		return cm_gc_fail(-ENOENT, "cardmark_gc_write_stats: %s", CM_GC_NOT_ENABLED);
	if (!path || !*path)
		return cm_gc_fail(-EINVAL, "cardmark_gc_write_stats: no file is named");
	return name_of(name, path, false) ? write_report(name) : too_long();
}

/* ---- At exit --------------------------------------------------------------------------- */

/* Without `cardmark run`: has another process written it since this one started, or in
 * the same tick of the clock that files have? */
static bool taken(const char *name)
{
	const struct timespec *t = &asked_for.started;
	struct stat st;

	return !asked_for.run_pid && named_descriptor(name) < 0 && lstat(name, &st) == 0 &&
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
		"those of process %ld are in %.500s (with %%p in the name each has its own)",
		(long)getpid(), name);
	cm_gc_say("cardmark", text);
}

/* After the program's own exit handlers. */
__attribute__((destructor)) static void at_exit(void)
{
	const char *path = asked_for.path;
	bool another = asked_for.run_pid && !cm_gc_is_the_program(), numbered = another;
	char name[PATH_MAX];
	int error;

	if (!cm_gc_config.enabled || (!*path && !asked_for.too_long))
		return;
	if (cm_gc_config.pid != getpid() && !id_in(path))
		return;
	if (another && named_descriptor(path) >= 0) {
		cm_gc_say("cardmark run",
			  "a program that the program started uses libgc too: its counters are not "
			  "written here; --stats=FILE gives them a file");
		return;
	}
	if (!numbered && !id_in(path) && taken(path)) {
		numbered = true;
		if (name_of(name, path, true))
			say_number(name);
	}
	error = *path && name_of(name, path, numbered) ? write_report(name) : too_long();
	if (error)
		cm_gc_say("cardmark", cardmark_last_error());
}
