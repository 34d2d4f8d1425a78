/* SPDX-License-Identifier: MIT
 *
 * Description: a collect that several threads share finds the same as one thread. Its helpers
 * block all signals, end with the tracker, and are not expected in a fork child. The collect
 * does not wait for helpers that are stopped. */
#define CARDS 3000
#include "tests/support/fixture.h"
#include "tests/support/random.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE 16 /* cards for each kernel call: so there is work to share */

static struct cardmark *open_threads(unsigned threads)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.threads = threads;
	options.chunk_bytes = PIECE * live_card;
	return live_open_options(&options);
}

static void set_up_threads(unsigned threads)
{
	set_up_on(open_threads(threads));
}

/* A helper may be late because the machine is busy: then more cards are reported. */
static void expect(enum cardmark_collected result)
{
	size_t lost = 0;

	CHECK(result != CARDMARK_ALL_DIRTY);
	if (result == CARDMARK_EXACT)
		live_expect(table, mem, CARDS, want);
	for (size_t i = 0; i < CARDS; i++)
		lost += want[i] && !cardmark_table_is_dirty(table, mem + i * live_card);
	CHECK_EQ(lost, 0);
	memset(want, 0, sizeof want);
}

static void collect_and_expect(void)
{
	expect(live_collect(cm, table));
}

static void stats_say_how_many_take_part(void)
{
	cm = open_threads(4);
	CHECK_EQ(live_stats(cm).threads, live_backend == CARDMARK_BACKEND_PAGEMAP ? 4 : 1);
	live_clean_up();
	cm = open_threads(0);
	CHECK_EQ(live_stats(cm).threads, 1);
}

static void random_patterns(unsigned threads, uint64_t *rng)
{
	unsigned long rounds = random_rounds(30, 10);

	set_up_threads(threads);
	for (unsigned round = 0; round < rounds; round++) {
		uint64_t runs = random_below(rng, round % 3 == 0 ? 400 : 10);

		if (round % 10 == 9) { /* many ranges with gaps */
			size_t step = 2 + random_below(rng, 60);
			for (size_t i = 0; i < CARDS; i += step)
				CHECK_EQ(cardmark_untrack(cm, mem + i * live_card, live_card), 0);
			for (size_t i = 0; i < CARDS; i += step)
				CHECK_EQ(cardmark_track(cm, mem + i * live_card, live_card, 0), 0);
			for (size_t i = 0; i < CARDS; i += step)
				want[i] = true;
		}
		for (; runs > 0; runs--) {
			size_t i = random_below(rng, CARDS), n = random_below(rng, 50);
			for (; i < CARDS && n > 0; i++, n--)
				write_card(i);
		}
		collect_and_expect();
	}
	live_clean_up();
}

static void finds_what_one_thread_finds(void)
{
	uint64_t rng = random_seed(NULL);

	random_patterns(1, &rng);
	random_patterns(2, &rng);
	random_patterns(4, &rng);
}

static void precleans_suspends_and_resumes(void)
{
	set_up_threads(3);
	for (size_t i = 0; i < CARDS; i += 7)
		write_card(i);
	CHECK_EQ(cardmark_preclean(cm), 0);
	for (size_t i = 0; i < CARDS; i += 5)
		write_card(i);
	collect_and_expect();
	CHECK_EQ(cardmark_suspend(cm), 0);
	write_card(17);
	CHECK_EQ(cardmark_resume(cm), 0);
	memset(want, 1, sizeof want);
	collect_and_expect();
	write_card(18);
	collect_and_expect();
	CHECK_EQ(live_stats(cm).threads, 3);
}

/* ---- The threads themselves ------------------------------------------------------- */

static bool task_file(const char *tid, const char *name, char *buf, size_t len)
{
	char path[320];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof path, "/proc/self/task/%s/%s", tid, name);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	n = fread(buf, 1, len - 1, f);
	buf[n] = '\0';
	(void)fclose(f);
	return n > 0;
}

/* How many helpers there are, by their name; *tid is one, *blocked its signals. */
static unsigned helpers(pid_t *tid, unsigned long long *blocked)
{
	DIR *dir = opendir("/proc/self/task");
	char buf[4096];
	unsigned n = 0;
	struct dirent *e;

	CHECK(dir != NULL);
	while ((e = readdir(dir)) != NULL) {
		const char *at;

		if (e->d_name[0] == '.' || !task_file(e->d_name, "comm", buf, sizeof buf) ||
		    strcmp(buf, "cardmark-crew\n") != 0)
			continue;
		n++;
		*tid = (pid_t)atoi(e->d_name);
		if (task_file(e->d_name, "status", buf, sizeof buf) &&
		    (at = strstr(buf, "SigBlk:")) != NULL)
			*blocked = strtoull(at + 7, NULL, 16);
	}
	(void)closedir(dir);
	return n;
}

static unsigned helpers_when(unsigned n)
{
	unsigned long long blocked = 0;
	unsigned found = 0;
	pid_t tid;

	/* They set their own names, and disappear a moment after they were joined. */
	for (unsigned i = 0; i < 500; i++) {
		found = helpers(&tid, &blocked);
		if (found == n)
			break;
		(void)usleep(10000);
	}
	return found;
}

static void helpers_are_named_and_end_with_the_tracker(void)
{
	set_up_threads(5);
	CHECK_EQ(helpers_when(4), 4);
	live_clean_up();
	CHECK_EQ(helpers_when(0), 0);
	set_up_threads(1);
	CHECK_EQ(helpers_when(0), 0);
}

static void helpers_block_every_signal(void)
{
	unsigned long long blocked = 0;
	pid_t tid = 0;

	set_up_threads(2);
	CHECK_EQ(helpers_when(1), 1);
	(void)helpers(&tid, &blocked);
	for (int sig = 1; sig <= 64; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig >= SIGRTMIN))
			CHECK(blocked >> (sig - 1) & 1);
	/* Like a collector that stops threads by a signal. */
	CHECK(syscall(SYS_tgkill, getpid(), tid, SIGPWR) == 0);
	write_card(5);
	collect_and_expect();
}

/* ---- Fork ------------------------------------------------------------------------- */

static void in_the_child(void *arg)
{
	(void)arg;
	CHECK_EQ(live_stats(cm).threads, 1);
	memset(want, 1, sizeof want);
	collect_and_expect(); /* everything, at first */
	for (size_t i = 0; i < CARDS; i += 3)
		write_card(i);
	collect_and_expect();
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(cardmark_resume(cm), 0);
	CHECK_EQ(live_stats(cm).threads, 1);
	cardmark_close(&cm); /* waits for no helper */
}

static void a_fork_child_has_no_helpers(void)
{
	set_up_threads(3);
	write_card(1);
	CHECK_EQ(tap_in_child(in_the_child, NULL), 0);
	CHECK_EQ(live_stats(cm).threads, 3);
	write_card(2);
	collect_and_expect();
}

static void a_raw_clone_has_no_helpers(void)
{
	pid_t pid;

	set_up_threads(3);
	write_card(1);
	pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
	if (pid == 0) {
		bool good = live_stats(cm).threads == 1 &&
			    live_collect(cm, table) == CARDMARK_EXACT &&
			    cardmark_table_count(table) == CARDS;
		_exit(good ? 0 : 1);
	}
	CHECK_EQ(tap_wait(pid), 0);
	collect_and_expect();
}

/* ---- Stopped ----------------------------------------------------------------------- */

/* Tells the parent its helper's id, waits until that is stopped, and collects. */
_Noreturn static void collect_with_stopped_helper(int to, int from)
{
	unsigned long long blocked;
	pid_t tid = 0;
	bool good;
	char go;

	set_up_threads(2);
	good = helpers_when(1) == 1 && helpers(&tid, &blocked) == 1 &&
	       write(to, &tid, sizeof tid) == sizeof tid && read(from, &go, 1) == 1;
	for (unsigned round = 0; good && round < 50; round++) {
		size_t n = 0;

		for (size_t i = round; i < CARDS; i += 1 + round, n++)
			write_card(i);
		good = live_collect(cm, table) == CARDMARK_EXACT &&
		       cardmark_table_count(table) == n;
	}
	_exit(good ? 0 : 1);
}

static void a_stopped_helper_is_not_waited_for(void)
{
	int up[2], down[2], status = -1;
	pid_t pid, tid = 0;

	if (TAP_TSAN)
		tap_skip("TSan can't follow a thread that a fork child starts");
	CHECK(pipe(up) == 0 && pipe(down) == 0);
	pid = fork();
	if (pid == 0)
		collect_with_stopped_helper(up[1], down[0]);
	(void)close(up[1]);
	CHECK(pid > 0 && read(up[0], &tid, sizeof tid) == sizeof tid);
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
		int error = errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		tap_skip("ptrace(2) of a child: %s", strerror(error));
	}
	CHECK(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0);
	CHECK(waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status));
	CHECK(write(down[1], "g", 1) == 1);
	/* The process ends only after its tracer, this process, has waited for the helper. */
	CHECK(waitpid(tid, NULL, __WALL) == tid);
	CHECK_EQ(tap_wait(pid), 0);
	(void)close(up[0]);
	(void)close(down[0]);
	(void)close(down[1]);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "statistics say how many threads take part", stats_say_how_many_take_part, 0, 0 },
		{ "finds what one thread finds", finds_what_one_thread_finds, 0, 0 },
		{ "precleans, suspends and resumes", precleans_suspends_and_resumes, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "helpers are named, and end with the tracker",
		  helpers_are_named_and_end_with_the_tracker, 0, LIVE_ONLY(PAGEMAP) },
		{ "helpers block every signal", helpers_block_every_signal, 0, LIVE_ONLY(PAGEMAP) },
		{ "a fork child has no helpers", a_fork_child_has_no_helpers, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "a raw clone has no helpers", a_raw_clone_has_no_helpers, 0, LIVE_ONLY(PAGEMAP) },
		{ "a stopped helper is not waited for", a_stopped_helper_is_not_waited_for, 0,
		  LIVE_ONLY(PAGEMAP) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
