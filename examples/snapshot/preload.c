/* SPDX-License-Identifier: MIT
 *
 * LD_PRELOAD this into a program to get incremental dumps of its private memory, one
 * consistent instant each, while it runs. README.md has the argument why nothing is
 * missing from them.
 *
 * A thread of our own collects, clones a child with its own copy of the private memory, and
 * tells it which pages are clean. The child writes the rest. It runs none of the program's
 * fork handlers and sends no SIGCHLD: the program does not notice it. */
#include "tracking.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

#define STACK ((size_t)256 << 10)
#define MAX_CLEAN ((size_t)4 << 20) /* runs: beyond them pages are dumped needlessly */
#define HIGH_FD 220

enum broken { SOUND, LOSE_A_RUN, LOOK_TOO_EARLY };

/* Set once at start. */
static struct {
	int dir, control;
	int interval_ms; /* -1: on command only */
	unsigned long count;
	bool check;
	enum broken broken;
} config;

/* All that changes lies in shared memory, which is not part of a dump: a snapshot must not
 * make pages dirty. */
static struct {
	struct tracking tracking;
	struct snap_job job;
	struct snap_result result, reference;
	int error, go[2];
	char name[32], reference_name[32];
	_Alignas(64) char stack[STACK];
	struct cardmark_run clean[MAX_CLEAN];
} * shared;
static struct snap_work *work;

static uint64_t now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- The child ------------------------------------------------------------------ */

static int write_one(const struct snap_job *job, const char *name, struct snap_result *result)
{
	int fd = openat(config.dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), error;

	if (fd < 0) {
		result->failed = "creating the file";
		return -errno;
	}
	error = snap_dump(work, job, fd, result);
	(void)close(fd);
	return error;
}

/* Lets go of the program's sockets and files: they would stay open with us. */
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

	(void)syscall(SYS_close_range, 3, low - 1, 0);
	(void)syscall(SYS_close_range, low + 1, high - 1, 0);
	(void)syscall(SYS_close_range, high + 1, ~0u, 0);
}

/* Runs on a stack in shared memory, and writes only to shared memory: the private memory that
 * it dumps stays as the clone left it. */
static int child(void *arg)
{
	struct snap_job reference = { .kind = SNAP_FULL, .number = shared->job.number };
	ssize_t n;
	char byte;

	(void)arg;
	close_others(config.dir, shared->go[0]);
	do
		n = read(shared->go[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		return 1; /* the program is gone */
	shared->error = write_one(&shared->job, shared->name, &shared->result);
	if (shared->error == 0 && config.check)
		shared->error = write_one(&reference, shared->reference_name, &shared->reference);
	return shared->error != 0;
}

/* ---- A snapshot -------------------------------------------------------------------- */

static int pipe_high(int out[2])
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		out[i] = fcntl(low[i], F_DUPFD_CLOEXEC, HIGH_FD);
		(void)close(low[i]);
	}
	return out[0] < 0 || out[1] < 0 ? -errno : 0;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	int fd = openat(config.dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	char line[256];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	if (fd >= 0 && n > 0 && write(fd, line, (size_t)n) < 0)
		(void)n; /* there is nowhere to report it */
	if (fd >= 0)
		(void)close(fd);
}

struct times {
	uint64_t collect, clone, look, dump;
};

/* The look comes after the clone: so it sees all writes between the collect and the clone.
 * Returns the child. */
static pid_t freeze(struct times *t)
{
	uint64_t start = now_us();
	struct snap_job *job = &shared->job;
	pid_t pid;

	if (job->kind == SNAP_INCREMENT && config.broken == LOOK_TOO_EARLY) {
		job->n_clean = tracking_clean(&shared->tracking, shared->clean, MAX_CLEAN);
		(void)usleep(200000); /* so that the program gets to run */
	}
	pid = clone(child, shared->stack + STACK, 0, NULL);
	t->clone = now_us() - start;
	start = now_us();
	if (pid > 0 && job->kind == SNAP_INCREMENT && config.broken != LOOK_TOO_EARLY)
		job->n_clean = tracking_clean(&shared->tracking, shared->clean, MAX_CLEAN);
	t->look = now_us() - start;
	return pid;
}

static int wait_for(pid_t pid)
{
	int status = -1;

	/* __WALL: a plain wait does not see a child that sends no signal. */
	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
	if (shared->error < 0)
		return shared->error;
	return status == 0 ? 0 : -ECHILD;
}

static int take(struct times *t)
{
	uint64_t start = now_us();
	int error = tracking_collect(&shared->tracking);
	pid_t pid;

	t->collect = now_us() - start;
	if (error < 0)
		return error;
	error = pipe_high(shared->go);
	if (error < 0)
		return error;
	shared->error = 0;
	shared->result = (struct snap_result){ 0 };
	pid = freeze(t);
	start = now_us();
	(void)close(shared->go[0]);
	if (pid > 0 && write(shared->go[1], "g", 1) == 1)
		error = wait_for(pid);
	else
		error = -errno;
	(void)close(shared->go[1]);
	t->dump = now_us() - start;
	/* Gives the list's memory back. */
	(void)madvise(shared->clean, sizeof shared->clean, MADV_REMOVE);
	return error;
}

static void snapshot(unsigned long number, bool *chained)
{
	struct snap_job *job = &shared->job;
	struct times t = { 0 };
	int error;

	*job = (struct snap_job){ .kind = *chained ? SNAP_INCREMENT : SNAP_FULL,
				  .number = number,
				  .clean = shared->clean,
				  .lose_a_run = *chained && config.broken == LOSE_A_RUN };
	(void)snprintf(shared->name, sizeof shared->name, "dump-%03lu", number);
	(void)snprintf(shared->reference_name, sizeof shared->reference_name, "ref-%03lu", number);
	error = take(&t);
	/* A failed dump leaves a gap: no later increment has its pages, so the next dump is
	 * full. */
	*chained = error == 0;
	if (error < 0) {
		say("%lu failed: %s: %s\n", number,
		    shared->result.failed != NULL ? shared->result.failed : "the snapshot",
		    strerror(-error));
		return;
	}
	say("%lu %s pages=%llu empty=%llu bytes=%llu collect_us=%llu clone_us=%llu look_us=%llu "
	    "dump_us=%llu\n",
	    number, job->kind == SNAP_FULL ? "full" : "increment",
	    (unsigned long long)shared->result.data_pages,
	    (unsigned long long)shared->result.empty_pages,
	    (unsigned long long)shared->result.bytes, (unsigned long long)t.collect,
	    (unsigned long long)t.clone, (unsigned long long)t.look, (unsigned long long)t.dump);
}

/* ---- The thread ---------------------------------------------------------------------- */

/* The kernel writes into this thread's rseq area whenever it moves to another
 * processor; in the child that would be a write to memory it dumps. */
static void leave_rseq(void)
{
#ifdef RSEQ_SIG
#if defined(__x86_64__)
	char *thread = (char *)pthread_self();
#else
	char *thread = __builtin_thread_pointer();
#endif
	(void)syscall(SYS_rseq, thread + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
}

/* False: stop. A line "full" asks for a full dump. */
static bool wait_for_command(bool *chained)
{
	struct pollfd fd = { .fd = config.control, .events = POLLIN };
	char command[64];
	ssize_t n;

	n = poll(&fd, 1, config.interval_ms);
	if (n < 0)
		return errno == EINTR;
	if (n == 0)
		return true;
	n = read(config.control, command, sizeof command - 1);
	if (n <= 0)
		return false;
	command[n] = '\0';
	if (strncmp(command, "full", 4) == 0)
		*chained = false;
	return strncmp(command, "stop", 4) != 0;
}

static void *run(void *arg)
{
	bool chained = false;
	int error;

	leave_rseq();
	error = tracking_open(&shared->tracking);
	if (error < 0) {
		say("no snapshots: %s\n", cardmark_last_error());
		return arg;
	}
	say("ready\n");
	for (unsigned long i = 0; i < config.count && wait_for_command(&chained); i++)
		snapshot(i, &chained);
	cardmark_table_delete(&shared->tracking.table);
	cardmark_close(&shared->tracking.cm);
	say("ended\n");
	return arg;
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoul(text, NULL, 10);
}

static int high(int fd)
{
	int up = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	if (up >= 0)
		(void)close(fd);
	return up;
}

static bool set_up(const char *dir)
{
	const char *broken = getenv("SNAPSHOT_BREAK");

	config.dir = high(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (config.dir < 0 || (mkfifoat(config.dir, "control", 0600) < 0 && errno != EEXIST))
		return false;
	/* Open for reading and writing, so that there is never an end of file. */
	config.control = high(openat(config.dir, "control", O_RDWR | O_CLOEXEC));
	config.interval_ms = (int)number_of("SNAPSHOT_INTERVAL_MS", (unsigned long)-1);
	config.count = number_of("SNAPSHOT_COUNT", ~0ul);
	config.check = number_of("SNAPSHOT_CHECK", 0) != 0;
	if (broken != NULL && strcmp(broken, "lose-a-run") == 0)
		config.broken = LOSE_A_RUN;
	else if (broken != NULL && strcmp(broken, "look-too-early") == 0)
		config.broken = LOOK_TOO_EARLY;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	work = snap_work_new();
	return config.control >= 0 && shared != MAP_FAILED && work != NULL;
}

__attribute__((constructor)) static void start(void)
{
	const char *dir = getenv("SNAPSHOT_DIR");
	sigset_t all, before;
	pthread_t thread;

	if (dir == NULL)
		return;
	if (!set_up(dir)) {
		(void)fprintf(stderr, "snapshot: %s: %s\n", dir, strerror(errno));
		return;
	}
	/* Not for programs that this one starts. */
	(void)unsetenv("LD_PRELOAD");
	(void)unsetenv("SNAPSHOT_DIR");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, run, NULL) == 0)
		(void)pthread_detach(thread);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}
