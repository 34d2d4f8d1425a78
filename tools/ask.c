/* SPDX-License-Identifier: MIT
 * cardmark stats: the statistics of a running program of cardmark run.
 *
 * The program has a named thread for that. This command sends a signal to that thread only, which
 * answers with a memory file among its descriptors (gc-glue/boehm/reporter.c). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tools/tool.h"

#define THREAD "cardmark-report"

enum { TRIES = 100, NAP_MS = 50, ASK_EVERY = 10 };

static void help(void)
{
	printf("Usage: cardmark stats PID\n"
	       "Prints the statistics so far of a program that runs under 'cardmark run' with\n"
	       "--live, --log or --every, as JSON. The program goes on undisturbed; with --trace\n"
	       "it writes its trace, too.\n\n"
	       "  -h, --help     this text\n"
	       "  -V, --version  the version\n");
}

static bool is_reporter(long pid, const char *thread)
{
	char path[TOOL_PATH], name[32] = "";
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/task/%.20s/comm", pid, thread);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	if (fgets(name, sizeof name, f) == NULL)
		name[0] = '\0';
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, THREAD) == 0;
}

/* 0: it has none; -1: there is no such process. */
static long find_reporter(long pid)
{
	char path[64];
	struct dirent *e;
	long found = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%ld/task", pid);
	d = opendir(path);
	if (d == NULL)
		return -1;
	while (found == 0 && (e = readdir(d)) != NULL)
		if (*e->d_name != '.' && is_reporter(pid, e->d_name))
			found = strtol(e->d_name, NULL, 10);
	closedir(d);
	return found;
}

/* 0 or errno */
static int ask(long pid, long thread, int token)
{
	siginfo_t info = { 0 };

	info.si_signo = SIGURG;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = token;
	return syscall(SYS_rt_tgsigqueueinfo, (int)pid, (int)thread, SIGURG, &info) == 0 ? 0
											 : errno;
}

/* The descriptor of the answer, or -1. *refused: the process's files cannot be read. */
static int find_answer(long pid, int token, bool *refused)
{
	char dir[64], path[128], link[128], wanted[64];
	struct dirent *e;
	int fd = -1;
	DIR *d;

	snprintf(wanted, sizeof wanted, "/memfd:" THREAD "-%d ", token);
	snprintf(dir, sizeof dir, "/proc/%ld/fd", pid);
	d = opendir(dir);
	*refused = d == NULL;
	if (d == NULL)
		return -1;
	while (fd < 0 && (e = readdir(d)) != NULL) {
		ssize_t n;

		snprintf(path, sizeof path, "%s/%.20s", dir, e->d_name);
		n = readlink(path, link, sizeof link - 1);
		link[n > 0 ? n : 0] = '\0';
		if (strncmp(link, wanted, strlen(wanted)) == 0)
			fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	closedir(d);
	return fd;
}

static bool is_whole(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals > 0 && (seals & F_SEAL_WRITE);
}

static int print(int fd)
{
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof buf, at)) > 0) {
		at += n;
		fwrite(buf, 1, (size_t)n, stdout);
	}
	close(fd);
	return at > 0 ? TOOL_OK : TOOL_CANNOT;
}

static int wait_for_answer(long pid, long thread, int token)
{
	const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
	bool refused = false;

	for (int i = 0; i < TRIES; i++) {
		int fd, error = i % ASK_EVERY == 0 ? ask(pid, thread, token) : 0;

		if (error != 0) {
			tool_message("stats", "process %ld cannot be asked: %s", pid,
				     error == ESRCH ? "it has ended" : strerror(error));
			return TOOL_CANNOT;
		}
		(void)nanosleep(&nap, NULL);
		fd = find_answer(pid, token, &refused);
		if (fd >= 0 && is_whole(fd))
			return print(fd);
		if (fd >= 0)
			close(fd);
	}
	tool_message(
		"stats",
		refused ? "process %ld belongs to another user: ask as that user or as root"
			: "process %ld does not answer: it is stopped, or its file or pipe is full",
		pid);
	return TOOL_CANNOT;
}

int tool_ask(int argc, char **argv)
{
	int status = tool_read_options("stats", argc, argv, NULL, 0, false, help);
	uint64_t pid;
	long thread;

	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return tool_usage_error("stats", "takes the id of one process");
	if (!tool_parse_count(argv[optind], 1, 4194304, &pid))
		return tool_usage_error("stats", "\"%s\" is not a process id", argv[optind]);
	thread = find_reporter((long)pid);
	if (thread > 0)
		return wait_for_answer((long)pid, thread, (int)getpid());
	tool_message("stats",
		     thread < 0 ? "there is no process %ld"
				: "process %ld cannot be asked: it was not started by cardmark run "
				  "with --live, --log or --every, or it does not use libgc",
		     (long)pid);
	return TOOL_CANNOT;
}
