/* SPDX-License-Identifier: MIT
 * One fresh process of one program, timed from outside. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/bench.h"

extern char **environ;

enum { SAMPLE_MS = 10 };

static volatile sig_atomic_t caught;

static void remember(int sig)
{
	caught = sig;
}

void bench_catch_signals(void)
{
	/* No SA_RESTART: poll() is to end. The child gets the default back from exec. */
	struct sigaction sa = { .sa_handler = remember };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int bench_interrupted(void)
{
	return caught;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void bench_clean_environment(void)
{
	for (char **e = environ; *e != NULL;) {
		char name[64];
		size_t len = strcspn(*e, "=");

		if ((strncmp(*e, "GC_", 3) == 0 || strncmp(*e, "CARDMARK_", 9) == 0) &&
		    len < sizeof name) {
			memcpy(name, *e, len);
			name[len] = '\0';
			unsetenv(name);
		} else {
			e++;
		}
	}
}

_Noreturn static void become(const struct bench_plan *plan, const struct bench_program *program,
			     const struct bench_row *row, uint64_t seed, const char *stats,
			     const char *latency, enum bench_kind kind, int out, int err)
{
	char seed_arg[40], work_arg[40], live_arg[40], target[40];
	char rate_arg[40], latency_arg[TOOL_PATH + 16];
	char *argv[MAX_ARGS];
	struct run_options opt = {
		.backend = row->backend, .stats = stats, .raw = true, .verify = kind == RUN_VERIFIED
	};
	const char *file = program->path;
	int n = 0;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(TOOL_CANNOT);
	bench_clean_environment();
	if (row->target_ms > 0) {
		snprintf(target, sizeof target, "%.6f", row->target_ms); /* never 1e+06 */
		opt.pause_target = target;
	}
	if (!run_prepare(&opt, plan->preload))
		_exit(TOOL_CANNOT);
	snprintf(seed_arg, sizeof seed_arg, "--seed=%" PRIu64, seed);
	snprintf(work_arg, sizeof work_arg, "--work=%" PRIu64, program->work);
	if (program->interpreter != NULL) {
		file = program->interpreter_path;
		argv[n++] = strdup(program->interpreter);
		argv[n++] = strdup("--no-auto-compile");
	}
	argv[n++] = strdup(program->path);
	argv[n++] = seed_arg;
	argv[n++] = work_arg;
	if (plan->live_mb != 0) {
		snprintf(live_arg, sizeof live_arg, "--live-mb=%" PRIu64, plan->live_mb);
		argv[n++] = live_arg;
	}
	if (program->open_loop) {
		snprintf(rate_arg, sizeof rate_arg, "--rate=%" PRIu64,
			 kind == RUN_CLOSED ? 0 : program->rate);
		snprintf(latency_arg, sizeof latency_arg, "--latency=%s", latency);
		argv[n++] = rate_arg;
		argv[n++] = latency_arg;
	}
	argv[n] = NULL;
	execv(file, argv);
	fprintf(stderr, "cannot start %s: %s\n", file, strerror(errno));
	_exit(TOOL_NOT_EXECUTABLE);
}

static uint64_t count_mappings(pid_t pid)
{
	char path[40], buffer[1 << 16];
	uint64_t lines = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		for (const char *p = buffer; (p = memchr(p, '\n', (size_t)(buffer + n - p))); p++)
			lines++;
	close(fd);
	return lines;
}

/* VmPTE, in kB. */
static uint64_t page_table_kb(pid_t pid)
{
	char path[40], line[256];
	unsigned long long kb = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "VmPTE: %llu", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb;
}

/* Waits for the end, and kills what does not end. True if it had to. */
static bool wait_end(pid_t pid, double timeout_s, bool sample, struct bench_run *out)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	double end = now() + timeout_s;
	int pause_ms = SAMPLE_MS;
	bool killed = false;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double left = (end - now()) * 1000;
		siginfo_t info = { 0 };

		/* Without a pidfd (before Linux 5.3) this polls every 10 ms. */
		if (poll(&p, fd >= 0,
			 sample || fd < 0 ? pause_ms
			 : left > 0       ? (int)left + 1
					  : 0) > 0)
			break;
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid == pid)
			break;
		if (sample) {
			double start = now();
			uint64_t n = count_mappings(pid);

			uint64_t kb = page_table_kb(pid);

			if (n > out->peak_vmas)
				out->peak_vmas = n;
			if (kb > out->peak_table_kb)
				out->peak_table_kb = kb;
			/* Ten thousand mappings take a while: leave the program most of it. */
			pause_ms = SAMPLE_MS + (int)(4000 * (now() - start));
		}
		if ((now() > end || caught) && !killed) {
			kill(pid, SIGKILL);
			killed = true;
			end += 10;
		}
	}
	if (fd >= 0)
		close(fd);
	return killed;
}

/* The last 4000 bytes that the program printed. */
static void read_tail(int fd, char out[4001])
{
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, out, 4000, size > 4000 ? size - 4000 : 0);

	out[n > 0 ? n : 0] = '\0';
}

static void read_hash(const char *text, struct bench_run *out)
{
	const char *line = NULL;

	for (const char *p = text; (p = strstr(p, "hash: ")) != NULL; p++)
		if (p == text || p[-1] == '\n')
			line = p;
	if (line != NULL)
		out->has_hash = sscanf(line, "hash: %16" SCNx64, &out->hash) == 1;
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

static void judge(int status, bool killed, double timeout_s, int out_fd, int err_fd,
		  const char *stats, const char *latency, struct bench_run *out)
{
	char text[4001], said[4001];

	read_tail(out_fd, text);
	read_tail(err_fd, said);
	read_hash(text, out);
	if (killed)
		snprintf(out->error, sizeof out->error, "did not end within %.0f s", timeout_s);
	else if (WIFSIGNALED(status))
		snprintf(out->error, sizeof out->error, "%s: %.140s", strsignal(WTERMSIG(status)),
			 last_line(said));
	else if (WEXITSTATUS(status) != 0)
		snprintf(out->error, sizeof out->error, "exit status %d: %.140s",
			 WEXITSTATUS(status), last_line(said));
	else if (!out->has_hash)
		snprintf(out->error, sizeof out->error, "printed no hash");
	else if (bench_read_report(stats, out))
		out->ok = latency == NULL || bench_read_latency(latency, out);
	tool_make_utf8(out->error);
}

void bench_run_child(const struct bench_plan *plan, const struct bench_program *program,
		     const struct bench_row *row, uint64_t seed, double timeout_s,
		     enum bench_kind kind, struct bench_run *out)
{
	char stats[TOOL_PATH], latency[TOOL_PATH];
	int out_fd = memfd_create("cardmark-out", MFD_CLOEXEC);
	int err_fd = memfd_create("cardmark-err", MFD_CLOEXEC);
	struct rusage usage;
	double start;
	int status = 0;
	bool killed;
	pid_t pid;

	bench_free_run(out);
	memset(out, 0, sizeof *out);
	out->done = true;
	snprintf(stats, sizeof stats, "%s/report", plan->dir);
	snprintf(latency, sizeof latency, "%s/latency", plan->dir);
	unlink(stats);
	unlink(latency);
	fflush(NULL);
	start = now();
	pid = out_fd >= 0 && err_fd >= 0 ? fork() : -1;
	if (pid == 0)
		become(plan, program, row, seed, stats, latency, kind, out_fd, err_fd);
	if (pid < 0) {
		snprintf(out->error, sizeof out->error, "cannot start: %s", strerror(errno));
	} else {
		killed = wait_end(pid, timeout_s, kind == RUN_SAMPLED, out);
		while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
			;
		out->wall_s = now() - start;
		out->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
		out->peak_rss_kb = (uint64_t)usage.ru_maxrss;
		judge(status, killed, timeout_s, out_fd, err_fd, stats,
		      program->open_loop ? latency : NULL, out);
	}
	if (out_fd >= 0)
		close(out_fd);
	if (err_fd >= 0)
		close(err_fd);
	unlink(stats);
	unlink(latency);
}
