/* SPDX-License-Identifier: MIT
 *
 * The command: takes full dumps from outside, and restores, compares and shows dumps. */
#include "dump.h"
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"Usage: snapshot dump PID FILE              full dump of a process, stopped meanwhile\n"
	"       snapshot restore -o FILE FULL INC...  lay increments over a full dump\n"
	"       snapshot compare FILE FILE          page by page; 1 if any differs\n"
	"       snapshot info FILE\n"
	"       snapshot cat FILE ADDRESS LENGTH    bytes of the image\n";

static bool thread_stopped(int pid, const char *tid)
{
	char path[320], line[512], *end;
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%s/stat", pid, tid);
	f = fopen(path, "re");
	if (f == NULL)
		return true; /* it has ended */
	end = fgets(line, sizeof line, f) == NULL ? NULL : strrchr(line, ')');
	(void)fclose(f);
	return end != NULL && strncmp(end, ") T", 3) == 0;
}

/* A stop signal reaches one thread after the other. */
static bool is_stopped(int pid)
{
	char path[40];
	struct dirent *entry;
	bool stopped = true;
	DIR *dir;

	(void)snprintf(path, sizeof path, "/proc/%d/task", pid);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (stopped && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			stopped = thread_stopped(pid, entry->d_name);
	(void)closedir(dir);
	return stopped;
}

static bool stop(int pid)
{
	if (pid <= 0 || kill(pid, SIGSTOP) < 0)
		return false;
	for (unsigned i = 0; i < 5000; i++) {
		if (is_stopped(pid))
			return true;
		(void)usleep(1000);
	}
	return false;
}

static int do_dump(int pid, const char *path)
{
	struct snap_job job = { .pid = pid, .kind = SNAP_FULL };
	struct snap_work *work = snap_work_new();
	struct snap_result result = { 0 };
	bool was_stopped = is_stopped(pid);
	int error, fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || work == NULL) {
		(void)fprintf(stderr, "snapshot: %s: %s\n", path, strerror(errno));
		return 2;
	}
	if (!was_stopped && !stop(pid)) {
		(void)fprintf(stderr, "snapshot: process %d does not stop\n", pid);
		(void)close(fd);
		return 2;
	}
	error = snap_dump(work, &job, fd, &result);
	if (!was_stopped)
		(void)kill(pid, SIGCONT);
	(void)close(fd);
	if (error < 0) {
		(void)fprintf(stderr, "snapshot: %s failed: %s %s\n", result.failed,
			      strerror(-error), cardmark_last_error());
		return 2;
	}
	printf("%llu mappings, %llu pages, %llu bytes\n", (unsigned long long)result.mappings,
	       (unsigned long long)result.data_pages, (unsigned long long)result.bytes);
	return 0;
}

static int do_restore(const char *out, int n, char **paths)
{
	struct image image = { 0 };

	for (int i = 0; i < n; i++)
		if (!image_apply(&image, paths[i]))
			return 2;
	return image_write(&image, out) ? 0 : 2;
}

static int do_compare(const char *a, const char *b)
{
	struct image one = { 0 }, two = { 0 };
	uint64_t differ, compared;

	if (!image_apply(&one, a) || !image_apply(&two, b))
		return 2;
	differ = image_compare(&one, &two, &compared);
	printf("%llu pages compared, %llu differ\n", (unsigned long long)compared,
	       (unsigned long long)differ);
	return differ != 0 || compared == 0;
}

static int do_cat(const char *path, uint64_t addr, uint64_t len)
{
	struct image image = { 0 };

	if (!image_apply(&image, path))
		return 2;
	for (; len > 0; addr++, len--) {
		const unsigned char *p = image_page(&image, addr);

		(void)putchar(p == NULL ? 0 : *p);
	}
	return fflush(stdout) == 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "dump") == 0 && argc == 4)
		return do_dump(atoi(argv[2]), argv[3]);
	if (strcmp(what, "restore") == 0 && argc > 4 && strcmp(argv[2], "-o") == 0)
		return do_restore(argv[3], argc - 4, argv + 4);
	if (strcmp(what, "compare") == 0 && argc == 4)
		return do_compare(argv[2], argv[3]);
	if (strcmp(what, "info") == 0 && argc == 3)
		return image_describe(argv[2]) ? 0 : 2;
	if (strcmp(what, "cat") == 0 && argc == 5)
		return do_cat(argv[2], strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0));
	(void)fputs(usage, stderr);
	return 2;
}
