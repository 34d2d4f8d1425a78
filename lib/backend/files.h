/* SPDX-License-Identifier: MIT
 *
 * A descriptor, and the file it was opened on. Programs close descriptors they do
 * not know, and then the number is another file's: /dev/null, the pagemap of
 * another process, another userfaultfd. Each file that we keep open has an inode of
 * its own (a userfaultfd since 5.12; each process's files in /proc; a pipe), so the
 * inode shows whether it is ours. An eventfd has none, so we use no eventfd. */
#ifndef CM_BACKEND_FILES_H
#define CM_BACKEND_FILES_H

#include "lib/os/os.h"

#include <errno.h>

struct cm_file {
	int fd; /* -1: none */
	struct cm_file_id id;
};

#define CM_NO_FILE ((struct cm_file){ .fd = -1 })

enum cm_file_state {
	CM_FILE_OURS,
	CM_FILE_UNKNOWN, /* the kernel does not report it */
	CM_FILE_LOST
};

static inline enum cm_file_state cm_file_state(const struct cm_file *f)
{
	struct cm_file_id id;
	int error = f->fd < 0 ? -EBADF : cm_os->fd_id(f->fd, &id);

	if (error < 0)
		return error == -EBADF ? CM_FILE_LOST : CM_FILE_UNKNOWN;
	return id.dev == f->id.dev && id.ino == f->id.ino ? CM_FILE_OURS : CM_FILE_LOST;
}

static inline bool cm_file_is_ours(const struct cm_file *f)
{
	return cm_file_state(f) == CM_FILE_OURS;
}

/* The worst of n. */
static inline enum cm_file_state cm_files_state(const struct cm_file *const *files, size_t n)
{
	enum cm_file_state worst = CM_FILE_OURS;

	for (size_t i = 0; i < n; i++) {
		enum cm_file_state state = cm_file_state(files[i]);
		if (state > worst)
			worst = state;
	}
	return worst;
}

/* Takes what a call that opens returned, a descriptor or -errno. 0 or -errno. */
static inline int cm_file_take(struct cm_file *f, int fd)
{
	int error;

	*f = CM_NO_FILE;
	if (fd < 0)
		return fd;
	error = cm_os->fd_id(fd, &f->id);
	if (error < 0)
		(void)cm_os->close(fd);
	else
		f->fd = fd;
	return error;
}

/* Closes the file, but not one that the program has opened by that number since. No call of the
 * kernel compares and closes in one step. If the program closes our descriptor, and opens another
 * file by that number, just between our two calls, it loses that file. But it had closed a file
 * that was not its own. */
static inline void cm_file_close(struct cm_file *f)
{
	if (cm_file_state(f) != CM_FILE_LOST)
		(void)cm_os->close(f->fd);
	*f = CM_NO_FILE;
}

/* What a backend can do with the files that it keeps. */
enum cm_files_ready {
	CM_FILES_AS_BEFORE,
	CM_FILES_ANEW, /* opened again: everything counts as written */
	CM_FILES_NONE  /* nothing can be asked now: as well */
};

#endif
