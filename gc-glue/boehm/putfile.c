/* SPDX-License-Identifier: MIT
 *
 * A file that is replaced as a whole, or written under a lock: it never has a mixture of two
 * processes' output. */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Not 0, 1 or 2: if the program has closed one of these, its output there would go into the
 * report. */
int cm_gc_file_open(const char *name, int flags)
{
	int fd = open(name, flags | O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666), high;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return high;
}

static int put_into(int fd, cm_gc_put_fn *put)
{
	struct cm_gc_out o = { .fd = fd };

	put(&o);
	cm_gc_flush(&o);
	return o.error;
}

/* Opening it again would begin at the start of the file, and overwrite the program's output. */
int cm_gc_file_descriptor(const char *name)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };

	if (strcmp(name, "/dev/stderr") == 0)
		return cm_gc_stderr();
	if (strcmp(name, "-") == 0 || strcmp(name, "/dev/stdout") == 0)
		return cm_gc_stdout();
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		const char *digits = name + strlen(folders[i]);

		if (strncmp(name, folders[i], strlen(folders[i])) == 0 && *digits &&
		    strlen(digits) < 10 && strspn(digits, "0123456789") == strlen(digits))
			return (int)strtol(digits, NULL, 10);
	}
	return -1;
}

/* A pipe without a reader would block the end of the program for ever. But the reader may come
 * soon. */
static int open_for_reader(const char *name)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	int fd = cm_gc_file_open(name, O_NONBLOCK);

	for (int i = 0; fd < 0 && errno == ENXIO && i < 200; i++) {
		(void)nanosleep(&nap, NULL);
		fd = cm_gc_file_open(name, O_NONBLOCK);
	}
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}

static void remember(struct cm_gc_file_id *id, const struct stat *st)
{
	if (id)
		*id = (struct cm_gc_file_id){ st->st_dev, st->st_ino };
}

/* In place: into a device, a pipe, the target of a symbolic link, another user's file. */
static int write_in_place(const char *name, cm_gc_put_fn *put, struct cm_gc_file_id *id)
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
		remember(id, &st);
	}
	error = put_into(fd, put);
	if (close(fd) != 0 && !error)
		error = errno;
	return error;
}

/* A new file takes the place of the old one in one step. old is NULL if there is none. */
static int replace(const char *name, const struct stat *old, cm_gc_put_fn *put,
		   struct cm_gc_file_id *id)
{
	static atomic_uint number;
	char temporary[PATH_MAX + 64];
	struct stat st;
	int fd, error;

	(void)snprintf(temporary, sizeof temporary, "%s.%ld-%u.new", name, (long)getpid(),
		       atomic_fetch_add_explicit(&number, 1, memory_order_relaxed));
	(void)unlink(temporary); /* of a process that had our id and was killed */
	fd = cm_gc_file_open(temporary, O_EXCL);
	if (fd < 0) {
		error = errno;
		/* The directory cannot be written, or the name is as long as names may be. */
		return error == EACCES || error == EPERM || error == ENAMETOOLONG
			       ? write_in_place(name, put, id)
			       : error;
	}
	if (old)
		(void)fchmod(fd, old->st_mode & 07777);
	error = put_into(fd, put);
	if (fstat(fd, &st) == 0)
		remember(id, &st);
	if (close(fd) != 0 && !error)
		error = errno;
	if (!error && rename(temporary, name) != 0)
		error = errno;
	if (error)
		(void)unlink(temporary);
	return error;
}

static int write_to(const char *name, cm_gc_put_fn *put, struct cm_gc_file_id *id)
{
	int fd = cm_gc_file_descriptor(name);
	struct stat old;

	if (fd >= 0)
		return put_into(fd, put);
	if (lstat(name, &old) != 0)
		return errno == ENOENT ? replace(name, NULL, put, id) : errno;
	if (!S_ISREG(old.st_mode) || old.st_nlink > 1 || old.st_uid != geteuid())
		return write_in_place(name, put, id);
	return replace(name, &old, put, id);
}

int cm_gc_file_write(const char *name, cm_gc_put_fn *put, struct cm_gc_file_id *id)
{
	struct cm_gc_guard g;
	int error;

	cm_gc_guard(&g);
	error = write_to(name, put, id);
	cm_gc_unguard(&g);
	return error;
}

const char *cm_gc_file_words(int error)
{
	const char *words = error == EBUSY ? "another process is writing to that file"
			    : error == ENXIO
				    ? "it is a pipe without a reader, or a socket"
				    : strerrordesc_np(error); /* a signal handler may ask */

	return words ? words : "an unknown error";
}
