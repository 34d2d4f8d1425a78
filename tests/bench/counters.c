/* SPDX-License-Identifier: MIT */
#include "tests/bench/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/inject_os.h"

/* A system call that nothing here makes, with arguments that it does not have: the
 * tracer sees them, the kernel does not look. */
#define MARK_NUMBER SYS_getppid
#define MARK_MAGIC 0x63617264UL

enum { MOST_STEPS = 40, PASSES = 2 };

/* A sanitizer's run time and counted lines have calls and pages of their own. */
#if TAP_ASAN || TAP_TSAN || defined(CARDMARK_COVERAGE)
#define ONLY_SEAM 1
#else
#define ONLY_SEAM 0
#endif

enum column { KERNEL_CALLS, SYSCALLS, FAULTS, TRAPS, VMAS, COLUMNS };
static const char *const column_names[COLUMNS] = { "kernel calls", "system calls", "faults",
						   "traps", "mappings" };

struct record {
	char name[32];
	long columns[COLUMNS];
	long seam[INJECT_COUNT];
};

struct board {
	unsigned n;
	struct record steps[MOST_STEPS];
};

static struct board *board; /* MAP_SHARED: the child writes, the tracer counts */
static struct cardmark *counted;

void counters_of(struct cardmark *cm)
{
	counted = cm;
}

/* ---- In the child --------------------------------------------------------------------- */

static void mark(unsigned long begin, unsigned long step)
{
	(void)syscall(MARK_NUMBER, MARK_MAGIC, begin, step);
}

static long mappings(void)
{
	static char buf[65536];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	long n = 0;
	ssize_t got;

	CHECK(fd >= 0);
	while ((got = read(fd, buf, sizeof buf)) > 0)
		for (ssize_t i = 0; i < got; i++)
			n += buf[i] == '\n';
	(void)close(fd);
	return n;
}

static long faults(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_THREAD, &u);
	return u.ru_minflt;
}

static void own_numbers(long out[COLUMNS])
{
	struct cardmark_stats s = { .size = sizeof s };

	out[KERNEL_CALLS] = out[TRAPS] = 0;
	if (counted == NULL)
		return;
	CHECK_EQ(cardmark_stats(counted, &s), 0);
	out[KERNEL_CALLS] = (long)s.kernel_calls;
	out[TRAPS] = (long)s.faults;
}

void counters_step(const char *name, void (*run)(void))
{
	struct record *r = &board->steps[board->n];
	long before[COLUMNS], after[COLUMNS], seam[INJECT_COUNT];
	struct cardmark *was = counted;

	CHECK(board->n < MOST_STEPS);
	(void)snprintf(r->name, sizeof r->name, "%s", name);
	own_numbers(before);
	before[VMAS] = mappings();
	for (size_t i = 0; i < INJECT_COUNT; i++)
		seam[i] = (long)inject->calls[i];
	before[FAULTS] = faults();
	mark(1, board->n);
	run();
	mark(0, board->n);
	after[FAULTS] = faults();
	for (size_t i = 0; i < INJECT_COUNT; i++)
		r->seam[i] = (long)inject->calls[i] - seam[i];
	after[VMAS] = mappings();
	/* One that was opened or closed meanwhile has no numbers from both sides. */
	if (counted == NULL || was == NULL)
		after[KERNEL_CALLS] = before[KERNEL_CALLS], after[TRAPS] = before[TRAPS];
	else
		own_numbers(after);
	r->columns[KERNEL_CALLS] = after[KERNEL_CALLS] - before[KERNEL_CALLS];
	r->columns[TRAPS] = after[TRAPS] - before[TRAPS];
	r->columns[FAULTS] = after[FAULTS] - before[FAULTS];
	r->columns[VMAS] = after[VMAS] - before[VMAS];
	board->n++;
}

/* ---- Controls --------------------------------------------------------------------------- */

static enum counters_control adding;
static struct cm_os with_more;
static const struct cm_os *without;

static void more(void)
{
	enum { PAGES = 4096 };
	static unsigned char *spare;
	static size_t at;

	switch (adding) {
	case CONTROL_SEAM_CALL:
		(void)cm_os->fd_is(0, "?");
		break;
	case CONTROL_SYSTEM_CALL:
		(void)syscall(SYS_getpid);
		break;
	case CONTROL_FAULT:
		if (spare == NULL)
			spare = mmap(NULL, PAGES * live_card, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		live_store(spare + at++ % PAGES * live_card, 1);
		break;
	case CONTROL_MAPPING:
		/* Between two of another kind: not merged with a neighbour. */
		spare = mmap(NULL, 3 * live_card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		(void)mprotect(spare + live_card, live_card, PROT_READ);
		break;
	case CONTROL_NONE:
	case CONTROL_COUNT:
		break;
	}
}

static int map_and_more(size_t len, void **out)
{
	more();
	return without->map(len, out);
}

static int covered_and_more(uintptr_t addr, size_t len)
{
	more();
	return without->covered(addr, len);
}

static int vma_at_and_more(uintptr_t addr, struct cm_vma *out)
{
	more();
	return without->vma_at(addr, out);
}

static void add(enum counters_control control)
{
	adding = control;
	without = cm_os;
	with_more = *cm_os;
	with_more.map = map_and_more;
	with_more.covered = covered_and_more;
	with_more.vma_at = vma_at_and_more;
	if (control != CONTROL_NONE)
		cm_os = &with_more;
}

/* ---- The tracer ------------------------------------------------------------------------- */

_Noreturn static void child(void (*all)(void), enum counters_control control)
{
	static const struct inject_fault none;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(77);
	(void)raise(SIGSTOP);
	inject_begin(&none);
	inject_stop_clock();
	add(control);
	for (unsigned pass = 0; pass < PASSES; pass++) {
		board->n = 0;
		counters_of(NULL);
		all();
	}
	_exit(0);
}

static void system_call(pid_t pid, long *current)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	if (info.entry.nr == MARK_NUMBER && info.entry.args[0] == MARK_MAGIC) {
		*current = info.entry.args[1] != 0 ? (long)info.entry.args[2] : -1;
		if (*current >= 0)
			board->steps[*current].columns[SYSCALLS] = 0;
	} else if (*current >= 0) {
		board->steps[*current].columns[SYSCALLS]++;
	}
}

/* The child's wait status. */
static int trace(pid_t pid)
{
	long current = -1;
	int status = 0;

	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status);

		if (sig == (SIGTRAP | 0x80)) {
			system_call(pid, &current);
			sig = 0;
		} else if (sig == SIGSTOP) {
			(void)ptrace(PTRACE_SETOPTIONS, pid, NULL,
				     (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
			sig = 0;
		}
		(void)ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig);
	}
	return status;
}

/* ---- The table -------------------------------------------------------------------------- */

static FILE *open_table(void)
{
	const char *dir = getenv("CARDMARK_SRCDIR");
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/tests/bench/counters.txt", dir != NULL ? dir : ".");
	f = fopen(path, "re");
	if (f == NULL)
		tap_note("%s: %s", path, strerror(errno));
	CHECK(f != NULL);
	return f;
}

/* "12", "<=12" or "*". */
static bool fits(long got, const char *want)
{
	if (strcmp(want, "*") == 0)
		return true;
	if (strncmp(want, "<=", 2) == 0)
		return got <= strtol(want + 2, NULL, 10);
	return got == strtol(want, NULL, 10);
}

static bool checked(enum column c)
{
	return !ONLY_SEAM || c == KERNEL_CALLS || c == TRAPS;
}

/* Does the rest of the line, "map:2 scan:<=5", say what was seen? */
static bool seam_fits(const struct record *r, char *rest, bool tell)
{
	bool said[INJECT_COUNT] = { false }, good = true;

	for (char *save = NULL, *word = strtok_r(rest, " \n", &save); word != NULL;
	     word = strtok_r(NULL, " \n", &save)) {
		char *colon = strchr(word, ':');

		CHECK(colon != NULL);
		*colon = '\0';
		for (enum inject_call i = 0; i < INJECT_COUNT; i++) {
			if (strcmp(inject_name(i), word) != 0)
				continue;
			said[i] = true;
			if (fits(r->seam[i], colon + 1))
				continue;
			good = false;
			if (tell)
				tap_note("%s: %s() was called %ld times, not %s", r->name, word,
					 r->seam[i], colon + 1);
		}
	}
	for (enum inject_call i = 0; i < INJECT_COUNT; i++) {
		if (said[i] || r->seam[i] == 0)
			continue;
		good = false;
		if (tell)
			tap_note("%s: %s() was called %ld times, not at all", r->name,
				 inject_name(i), r->seam[i]);
	}
	return good;
}

/* Columns that differ, as bits, and bit COLUMNS for the seam. */
static unsigned differences(const struct record *r, const char *group, bool tell)
{
	const char *backend = cardmark_backend_name(live_backend);
	char line[1024], of[32], by[32], step[32], want[COLUMNS][16];
	FILE *f = open_table();
	unsigned bits = 0;
	int end = 0;
	bool found = false;

	while (!found && fgets(line, sizeof line, f) != NULL)
		found = sscanf(line, "%31s %31s %31s %15s %15s %15s %15s %15s%n", of, by, step,
			       want[0], want[1], want[2], want[3], want[4], &end) == 8 &&
			strcmp(of, group) == 0 && strcmp(by, backend) == 0 &&
			strcmp(step, r->name) == 0;
	(void)fclose(f);
	if (!found) {
		tap_note("%s %s %s is not in the table", group, backend, r->name);
		return ~0U;
	}
	for (enum column c = 0; c < COLUMNS; c++) {
		if (!checked(c) || fits(r->columns[c], want[c]))
			continue;
		bits |= 1U << c;
		if (tell)
			tap_note("%s: %ld %s, not %s", r->name, r->columns[c], column_names[c],
				 want[c]);
	}
	if (!seam_fits(r, line + end, tell))
		bits |= 1U << COLUMNS;
	return bits;
}

/* Has the table this backend at all? Not all kernels have all of them. */
static bool in_table(const char *group)
{
	char line[1024], of[32], by[32];
	FILE *f = open_table();
	bool found = false;

	while (!found && fgets(line, sizeof line, f) != NULL)
		found = sscanf(line, "%31s %31s", of, by) == 2 && strcmp(of, group) == 0 &&
			strcmp(by, cardmark_backend_name(live_backend)) == 0;
	(void)fclose(f);
	return found;
}

static void print(const char *group)
{
	for (unsigned i = 0; i < board->n; i++) {
		const struct record *r = &board->steps[i];

		(void)printf("%-8s %-9s %-22s", group, cardmark_backend_name(live_backend),
			     r->name);
		for (size_t c = 0; c < COLUMNS; c++)
			(void)printf(" %6ld", r->columns[c]);
		(void)printf(" ");
		for (enum inject_call k = 0; k < INJECT_COUNT; k++)
			if (r->seam[k] != 0)
				(void)printf(" %s:%ld", inject_name(k), r->seam[k]);
		(void)printf("\n");
	}
}

static bool kernel_at_least_6_11(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	return uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 11));
}

unsigned counters_compare(const char *group, void (*all)(void), enum counters_control control)
{
	static const unsigned about[CONTROL_COUNT] = { ~0U, 1U << COLUMNS, 1U << SYSCALLS,
						       1U << FAULTS, 1U << VMAS };
	const char *what = getenv("CARDMARK_COUNTERS");
	bool printing = what != NULL && strcmp(what, "print") == 0;
	unsigned wrong = 0;
	int status;
	pid_t pid;

	if (inject == NULL) {
		inject_set_up();
		board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		CHECK(board != MAP_FAILED);
	}
	if (!kernel_at_least_6_11())
		tap_skip("the table is of Linux 6.11 and later, which answer PROCMAP_QUERY");
	if (!printing && !in_table(group))
		tap_skip("%s is not in the table: it was made where the kernel has none",
			 cardmark_backend_name(live_backend));
	if (ONLY_SEAM && control > CONTROL_SEAM_CALL)
		tap_skip("a sanitizer or line counting has calls and pages of its own");
	if (printing && control != CONTROL_NONE)
		tap_skip("printed, not compared");
	memset(board, 0, sizeof *board);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(all, control);
	CHECK(pid > 0);
	status = trace(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		tap_skip("this process may not trace its child");
	CHECK_EQ(status, 0);
	CHECK(board->n > 0);
	if (printing) {
		print(group);
		tap_skip("printed, not compared");
	}
	for (unsigned i = 0; i < board->n; i++)
		wrong += (differences(&board->steps[i], group, control == CONTROL_NONE) &
			  about[control]) != 0;
	return wrong;
}
