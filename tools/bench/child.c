/* SPDX-License-Identifier: MIT
 * One fresh process, timed from outside. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/maps.h"
#include "tools/bench/bench.h"

extern char **environ;

enum { SAMPLE_MS = 10, TAIL = 1 << 16 };

/* ---- Signals and files ---------------------------------------------------------- */

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

bool bench_make_dir(char out[64])
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || *tmp == '\0' || strlen(tmp) > 64 - 24)
		tmp = "/tmp";
	snprintf(out, 64, "%s/cardmark-XXXXXX", tmp);
	if (mkdtemp(out) != NULL)
		return true;
	tool_message("bench", "cannot make a directory in %s: %s", tmp, strerror(errno));
	return false;
}

/* ---- The command ------------------------------------------------------------------ */

void bench_add_argument(struct bench_command *c, const char *format, ...)
{
	va_list ap;

	/* The last one is NULL. */
	if (c->argc + 1 == MAX_ARGS) {
		c->failed = true;
		return;
	}
	va_start(ap, format);
	if (vasprintf(&c->argv[c->argc], format, ap) < 0)
		c->failed = true;
	else
		c->argc++;
	va_end(ap);
}

void bench_free_command(struct bench_command *c)
{
	while (c->argc > 0)
		free(c->argv[--c->argc]);
}

/* Variables of libgc and of ours would favour one row over another. */
static void clean_environment(void)
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

_Noreturn static void become(const struct bench_command *c, int out, int err)
{
	char *argv[MAX_ARGS] = { NULL };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(TOOL_CANNOT);
	clean_environment();
	if (c->run != NULL && !run_prepare(c->run, c->preload))
		_exit(TOOL_CANNOT);
	memcpy(argv, c->argv, c->argc * sizeof *argv);
	execv(c->path, argv);
	fprintf(stderr, "cannot start %s: %s\n", c->path, strerror(errno));
	_exit(TOOL_NOT_EXECUTABLE);
}

/* ---- While it runs ------------------------------------------------------------------ */

static uint64_t count_mappings(pid_t pid)
{
	struct cm_maps maps = { .fd = -1 };
	char path[40], *line;
	uint64_t lines = 0;

	snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
	maps.fd = open(path, O_RDONLY | O_CLOEXEC);
	while (maps.fd >= 0 && cm_maps_next(&maps, &line) > 0)
		lines++;
	if (maps.fd >= 0)
		close(maps.fd);
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

/* Returns in how many ms to look again. */
static int look_at(pid_t pid, struct bench_child *out)
{
	double start = bench_now();
	uint64_t n = count_mappings(pid), kb = page_table_kb(pid);

	if (n > out->peak_vmas)
		out->peak_vmas = n;
	if (kb > out->peak_table_kb)
		out->peak_table_kb = kb;
	/* Ten thousand mappings take a while: leave the program most of it. */
	return SAMPLE_MS + (int)(4000 * (bench_now() - start));
}

/* Waits for the end of the process, and kills it if it does not end. True if it had to. */
static bool wait_end(pid_t pid, double timeout_s, bool sample, struct bench_child *out)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	double end = bench_now() + timeout_s;
	int pause_ms = SAMPLE_MS;
	bool killed = false;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double left = fmax(0, fmin(1, end - bench_now())) * 1000;
		siginfo_t info = { 0 };

		/* Without a pidfd (before Linux 5.3) this polls every 10 ms. */
		if (poll(&p, fd >= 0, sample || fd < 0 ? pause_ms : (int)left + 1) > 0)
			break;
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid == pid)
			break;
		if (sample)
			pause_ms = look_at(pid, out);
		if ((bench_now() > end || caught) && !killed) {
			kill(pid, SIGKILL);
			killed = true;
			end += 10;
		}
	}
	if (fd >= 0)
		close(fd);
	return killed;
}

/* ---- What it did --------------------------------------------------------------------- */

char *bench_tail(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, TAIL + 1);

	if (text == NULL)
		return strdup("");
	if (pread(fd, text, TAIL, size > TAIL ? size - TAIL : 0) < 0)
		*text = '\0';
	return text;
}

char *bench_last_line(char *text)
{
	size_t n = strlen(text);
	char *nl;

	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	nl = strrchr(text, '\n');
	return nl != NULL ? nl + 1 : text;
}

static void judge(int status, bool killed, double timeout_s, struct bench_child *out)
{
	char *printed = bench_tail(out->err);
	const char *last = printed != NULL ? bench_last_line(printed) : "";

	if (killed)
		snprintf(out->error, sizeof out->error,
			 "did not end within %.0f s: is the machine busy?", timeout_s);
	else if (WIFSIGNALED(status))
		snprintf(out->error, sizeof out->error, "%s: %.140s", strsignal(WTERMSIG(status)),
			 last);
	else if (WEXITSTATUS(status) != 0)
		snprintf(out->error, sizeof out->error, "exit status %d: %.140s",
			 WEXITSTATUS(status), last);
	else
		out->ok = true;
	tool_make_utf8(out->error);
	free(printed);
}

void bench_run_command(const struct bench_command *c, double timeout_s, bool sample,
		       struct bench_child *out)
{
	struct rusage usage;
	int status = 0;
	double start;
	bool killed;
	pid_t pid;

	memset(out, 0, sizeof *out);
	out->out = memfd_create("cardmark-out", MFD_CLOEXEC);
	out->err = memfd_create("cardmark-err", MFD_CLOEXEC);
	fflush(NULL);
	errno = c->failed ? ENOMEM : errno;
	start = bench_now();
	out->begin_ns = (uint64_t)(start * 1e9);
	pid = out->out >= 0 && out->err >= 0 && !c->failed ? fork() : -1;
	if (pid == 0)
		become(c, out->out, out->err);
	if (pid < 0) {
		snprintf(out->error, sizeof out->error, "cannot start: %s", strerror(errno));
		return;
	}
	killed = wait_end(pid, timeout_s, sample, out);
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	out->wall_s = bench_now() - start;
	out->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	out->peak_rss_kb = (uint64_t)usage.ru_maxrss;
	judge(status, killed, timeout_s, out);
}

void bench_close_child(struct bench_child *c)
{
	if (c->out >= 0)
		close(c->out);
	if (c->err >= 0)
		close(c->err);
}
