/* SPDX-License-Identifier: MIT
 * One fresh minigc, timed from outside. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/barriers.h"

enum { MOST_TEXT = 1 << 16, MOST_PAUSES = 1 << 20 };

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void barriers_free_run(struct barriers_run *run)
{
	free(run->pauses);
	memset(run, 0, sizeof *run);
}

_Noreturn static void become(const struct barriers *b, const struct barriers_point *p,
			     const struct barriers_row *row, uint64_t seed, const char *pauses,
			     int out, int err)
{
	char text[9][64], pauses_arg[TOOL_PATH], program[TOOL_PATH], name[32];
	char *argv[16];
	int n = 0, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(TOOL_CANNOT);
	bench_clean_environment();
	snprintf(name, sizeof name, "%s.lisp", p->program);
	if (!tool_find_bench(name, program))
		_exit(TOOL_CANNOT);
	snprintf(text[0], sizeof text[0], "--barrier=%s", row->barrier);
	snprintf(text[1], sizeof text[1], "--nursery=%" PRIu64, p->nursery);
	snprintf(text[2], sizeof text[2], "--heap-limit=%" PRIu64, p->heap_limit);
	snprintf(text[3], sizeof text[3], "--seed=%" PRIu64, seed);
	snprintf(text[4], sizeof text[4], "--size=%" PRIu64, p->size);
	snprintf(text[5], sizeof text[5], "--backend=%s", row->backend);
	snprintf(text[6], sizeof text[6], "%" PRIu64, p->words);
	snprintf(text[7], sizeof text[7], "%" PRIu64, p->objects);
	snprintf(text[8], sizeof text[8], "%" PRIu64, p->churn);
	snprintf(pauses_arg, sizeof pauses_arg, "--pauses=%s", pauses);
	argv[n++] = strdup("minigc");
	argv[n++] = strdup("--json");
	argv[n++] = pauses_arg;
	for (int i = 0; i < 5; i++)
		argv[n++] = text[i];
	if (row->backend[0] != '\0')
		argv[n++] = text[5];
	argv[n++] = program;
	for (int i = 6; p->words > 0 && i < 9; i++)
		argv[n++] = text[i];
	argv[n] = NULL;
	execv(b->minigc, argv);
	fprintf(stderr, "cannot start %s: %s\n", b->minigc, strerror(errno));
	_exit(TOOL_NOT_EXECUTABLE);
}

/* Waits for the end, and kills what does not end. True if it had to. */
static bool wait_end(pid_t pid, double timeout_s)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t end = now_ns() + (uint64_t)(timeout_s * 1e9);
	bool killed = false;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		siginfo_t info = { 0 };

		/* Without a pidfd (before Linux 5.3) this polls every 10 ms. */
		if (poll(&p, fd >= 0, fd >= 0 ? 1000 : 10) > 0)
			break;
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid == pid)
			break;
		if ((now_ns() > end || bench_interrupted() != 0) && !killed) {
			kill(pid, SIGKILL);
			killed = true;
		}
	}
	if (fd >= 0)
		close(fd);
	return killed;
}

/* The last bytes of a file, as a string. */
static void read_tail(int fd, char out[MOST_TEXT])
{
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, out, MOST_TEXT - 1, size > MOST_TEXT - 1 ? size - MOST_TEXT + 1 : 0);

	out[n > 0 ? n : 0] = '\0';
}

/* FNV-1a of all that it printed; 0 is kept for nothing. */
static uint64_t hash_of(int fd)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	unsigned char buffer[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buffer, sizeof buffer, at)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ buffer[i]) * UINT64_C(0x100000001b3);
		at += n;
	}
	return at == 0 ? 0 : hash | 1;
}

static const char *last_line(char *text)
{
	size_t n = strlen(text);
	char *nl;

	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	nl = strrchr(text, '\n');
	return nl != NULL ? nl + 1 : text;
}

static bool read_stats(char *text, struct barriers_run *out)
{
	json_t *o = json_loads(last_line(text), 0, NULL);
	const char *format = json_string_value(json_object_get(o, "format"));
	bool good = format != NULL && strcmp(format, "minigc") == 0;

	out->pauses_cpu_ns = bench_count_of(o, "pauses_cpu_ns");
	out->allocated = bench_count_of(o, "allocated_bytes");
	out->live = bench_count_of(o, "live_bytes");
	out->all_dirty = bench_count_of(o, "all_dirty");
	json_decref(o);
	return good;
}

static bool read_pause(const char *line, uint64_t begin, struct barriers_pause *p)
{
	char kind[8];

	if (sscanf(line,
		   "%7[^,],%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64
		   ",%" SCNu64 ",%" SCNu64 ",%" SCNu64,
		   kind, &p->start, &p->end, &p->phase[0], &p->phase[1], &p->phase[2], &p->phase[3],
		   &p->phase[4], &p->dirty, &p->scanned) != 10 ||
	    p->start < begin || p->end < p->start)
		return false;
	p->full = strcmp(kind, "full") == 0;
	p->start -= begin;
	p->end -= begin;
	return true;
}

static bool read_pauses(const char *file, uint64_t begin, struct barriers_run *out)
{
	FILE *f = fopen(file, "re");
	char line[512];
	size_t room = 0;
	bool good = f != NULL && fgets(line, sizeof line, f) != NULL;

	while (good && fgets(line, sizeof line, f) != NULL) {
		if (out->n_pauses == room) {
			struct barriers_pause *more;

			room = room * 2 + 64;
			more = realloc(out->pauses, room * sizeof *more);
			if (more == NULL || room > MOST_PAUSES) {
				good = false;
				break;
			}
			out->pauses = more;
		}
		good = read_pause(line, begin, &out->pauses[out->n_pauses]);
		out->n_pauses += good;
	}
	if (f != NULL)
		fclose(f);
	return good;
}

static void judge(int status, bool killed, double timeout_s, int err, struct barriers_run *out)
{
	static char said[MOST_TEXT];

	read_tail(err, said);
	if (killed)
		snprintf(out->error, sizeof out->error, "did not end within %.0f s", timeout_s);
	else if (WIFSIGNALED(status))
		snprintf(out->error, sizeof out->error, "%s: %.140s", strsignal(WTERMSIG(status)),
			 last_line(said));
	else if (WEXITSTATUS(status) != 0)
		snprintf(out->error, sizeof out->error, "exit status %d: %.140s",
			 WEXITSTATUS(status), last_line(said));
	else if (out->hash == 0)
		snprintf(out->error, sizeof out->error, "printed no result");
	else if (!read_stats(said, out))
		snprintf(out->error, sizeof out->error, "printed no statistics");
	else
		out->ok = true;
	tool_make_utf8(out->error);
}

void barriers_run_child(const struct barriers *b, const struct barriers_point *p,
			const struct barriers_row *row, uint64_t seed, double timeout_s,
			struct barriers_run *out)
{
	char pauses[sizeof b->dir + 16];
	int out_fd = memfd_create("cardmark-out", MFD_CLOEXEC);
	int err_fd = memfd_create("cardmark-err", MFD_CLOEXEC);
	struct rusage usage;
	uint64_t begin;
	int status = 0;
	bool killed;
	pid_t pid;

	barriers_free_run(out);
	out->done = true;
	snprintf(pauses, sizeof pauses, "%s/pauses", b->dir);
	fflush(NULL);
	begin = now_ns();
	pid = out_fd >= 0 && err_fd >= 0 ? fork() : -1;
	if (pid == 0)
		become(b, p, row, seed, pauses, out_fd, err_fd);
	if (pid < 0) {
		snprintf(out->error, sizeof out->error, "cannot start: %s", strerror(errno));
	} else {
		killed = wait_end(pid, timeout_s);
		while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
			;
		out->wall_s = (double)(now_ns() - begin) / 1e9;
		out->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
		out->peak_rss_kb = (uint64_t)usage.ru_maxrss;
		out->hash = hash_of(out_fd);
		judge(status, killed, timeout_s, err_fd, out);
		if (out->ok && !read_pauses(pauses, begin, out)) {
			out->ok = false;
			snprintf(out->error, sizeof out->error, "its pauses cannot be read");
		}
	}
	if (out_fd >= 0)
		close(out_fd);
	if (err_fd >= 0)
		close(err_fd);
	unlink(pauses);
}
