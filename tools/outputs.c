/* SPDX-License-Identifier: MIT
 * Files that a program will write when it ends: their full paths, and a trial before it starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/tool.h"

bool tool_absolute(const char *sub, const char *name, char out[TOOL_PATH])
{
	char here[TOOL_PATH];
	int n;

	if (*name == '/') {
		n = snprintf(out, TOOL_PATH, "%s", name);
	} else if (getcwd(here, sizeof here) != NULL) {
		n = snprintf(out, TOOL_PATH, "%s/%s", strcmp(here, "/") == 0 ? "" : here, name);
	} else {
		tool_message(sub,
			     "the full path of %s is not known, because the current directory "
			     "cannot be read: %s",
			     name, errno == ERANGE ? "its own path is too long" : strerror(errno));
		return false;
	}
	if (n > 0 && n < TOOL_PATH)
		return true;
	tool_message(sub, "the path of %s is longer than %d bytes", name, TOOL_PATH - 1);
	return false;
}

/* The process id in place of the last part's %p, as the program puts it there. */
static bool with_id(const char *path, char out[TOOL_PATH])
{
	const char *slash = strrchr(path, '/'), *id = strstr(slash != NULL ? slash : path, "%p");
	int n = id == NULL ? snprintf(out, TOOL_PATH, "%s", path)
			   : snprintf(out, TOOL_PATH, "%.*s%ld%s", (int)(id - path), path,
				      (long)getpid(), id + 2);

	return n > 0 && n < TOOL_PATH;
}

/* 0 or errno. A file that exists is not changed; one that does not exist is removed again. */
static int try_file(const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return EISDIR;
		return access(path, W_OK) == 0 ? 0 : errno;
	}
	if (errno != ENOENT)
		return errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno == EEXIST ? 0 : errno; /* a link whose target does not exist yet */
	close(fd);
	return unlink(path) == 0 ? 0 : errno;
}

static const char *words(const char *path, int error)
{
	const char *slash = strrchr(path, '/');
	char directory[TOOL_PATH];
	struct stat st;

	if (error != ENOENT || slash == NULL)
		return strerror(error);
	(void)snprintf(directory, sizeof directory, "%.*s", (int)(slash - path + 1), path);
	/* /proc, where no program can make a file. */
	return stat(directory, &st) == 0 ? "no file can be made in its directory"
					 : "its directory does not exist";
}

bool tool_output_usable(const char *sub, const char *option, const char *path)
{
	char tried[TOOL_PATH];
	int error;

	if (strcmp(path, "-") == 0 || strncmp(path, "/dev/std", 8) == 0 ||
	    strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/self/fd/", 14) == 0)
		return true;
	error = with_id(path, tried) ? try_file(tried) : ENAMETOOLONG;
	if (error == 0)
		return true;
	tool_message(sub, "%s could not be written to %s: %s; nothing was started", option, path,
		     words(tried, error));
	return false;
}
