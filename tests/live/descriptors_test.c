/* SPDX-License-Identifier: MIT
 *
 * Description: programs that close every descriptor, or put other files in the
 * place of ours: the next question finds out, everything is dirty once, and tracking
 * goes on exact. Also while writers wait, while others collect, and in children. */
#include "tests/support/fixture.h"
#include "tests/support/random.h"
#include "tests/support/smaps.h"

#include "tests/support/broken_os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST 200 /* the library's, where there is room */
#define LAST 260

static bool open_before[LAST];

static uint64_t still(void)
{
	return 1;
}

/* The monitor is waited for: on a busy machine it takes its time, and an answer
 * would be a guess. Only for uffd, whose other waits end without a clock. */
static void stop_clock(void)
{
	static struct cm_os os;

	if (live_backend != CARDMARK_BACKEND_UFFD)
		return;
	os = *cm_os;
	os.now = still;
	cm_os = &os;
}

static void set_up_watched(void)
{
	if (cm_os == &cm_os_linux)
		stop_clock();
	for (int fd = FIRST; fd < LAST; fd++)
		open_before[fd] = fcntl(fd, F_GETFD) >= 0;
	set_up();
}

static bool keeps_files(void)
{
	return live_backend == CARDMARK_BACKEND_PAGEMAP || live_backend == CARDMARK_BACKEND_UFFD ||
	       live_backend == CARDMARK_BACKEND_SOFTDIRTY;
}

/* Its files hold no state that is lost with them. */
static bool stays_exact(void)
{
	return live_backend == CARDMARK_BACKEND_SOFTDIRTY || !keeps_files();
}

/* Runs a case in a child, which may lose its descriptors. */
static void in_child(void (*act)(void *arg), void *arg)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	CHECK_EQ(tap_in_child(act, arg), 0);
}

static void nothing_lost(void)
{
	for (size_t i = 0; i < CARDS; i++)
		CHECK(!want[i] || cardmark_table_is_dirty(table, mem + i * live_card));
}

static void exact_from_here(void)
{
	for (size_t round = 0; round < 4; round++) {
		write_some(round, 5);
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		live_expect(table, mem, CARDS, want);
	}
}

static size_t count_descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- Closed ------------------------------------------------------------------------- */

static void close_all(void)
{
	CHECK(syscall(SYS_close_range, 3u, ~0u, 0u) == 0);
}

static void collect_after_close(void *arg)
{
	size_t open;

	(void)arg;
	set_up_watched();
	write_some(1, 3);
	open = count_descriptors();
	for (size_t round = 1; round < 4; round++) {
		close_all();
		write_some(round, 7);
		CHECK_EQ(live_collect(cm, table),
			 stays_exact() ? CARDMARK_EXACT : CARDMARK_GUESSED);
		nothing_lost();
		if (!stays_exact())
			live_expect_dirty(table, mem, CARDS);
		CHECK_EQ(live_stats(cm).reopened, keeps_files() ? round : 0);
		exact_from_here();
		CHECK(count_descriptors() <= open);
	}
	CHECK(stays_exact() || live_stats(cm).guessed_ranges >= 3);
}

static void a_collect_finds_them_closed(void)
{
	in_child(collect_after_close, NULL);
}

static void scan_after_close(void *arg)
{
	struct cardmark_region regions[CARDS];
	struct cardmark_query q;
	bool found[CARDS] = { false };

	(void)arg;
	set_up_watched();
	for (int op = CARDMARK_SCAN_GET; op <= CARDMARK_SCAN_GET_AND_CLEAR; op += 2) {
		close_all();
		write_some(2, 9);
		memset(&q, 0, sizeof q);
		q.size = sizeof q;
		q.start = mem;
		q.len = CARDS * live_card;
		q.op = (enum cardmark_scan_op)op;
		q.required = CARDMARK_PAGE_WRITTEN;
		q.regions = regions;
		q.capacity = CARDS;
		CHECK_EQ(cardmark_scan(cm, &q), 0);
		CHECK(stays_exact() || q.guessed);
		for (size_t r = 0; r < q.count; r++)
			for (uintptr_t at = regions[r].start; at < regions[r].end; at += live_card)
				found[(at - (uintptr_t)mem) / live_card] = true;
		for (size_t i = 0; i < CARDS; i++)
			CHECK(found[i] || !want[i]);
	}
	CHECK_EQ(live_stats(cm).reopened, keeps_files() ? 2 : 0);
	(void)live_collect(cm, table);
	exact_from_here();
}

static void a_scan_finds_them_closed(void)
{
	in_child(scan_after_close, NULL);
}

static void preclean_after_close(void *arg)
{
	(void)arg;
	set_up_watched();
	write_some(2, 9);
	close_all();
	CHECK_EQ(cardmark_preclean(cm), 0);
	CHECK_EQ(live_stats(cm).reopened, keeps_files() ? 1 : 0);
	(void)live_collect(cm, table);
	nothing_lost();
	exact_from_here();
}

static void a_preclean_finds_them_closed(void)
{
	in_child(preclean_after_close, NULL);
}

static void track_after_close(void *arg)
{
	unsigned char *more;

	(void)arg;
	set_up_watched();
	more = live_map(4);
	memset(more, 1, 4 * live_card);
	write_some(2, 9);
	close_all();
	CHECK_EQ(cardmark_track(cm, more, 4 * live_card, 0), 0);
	CHECK_EQ(live_stats(cm).reopened,
		 keeps_files() && live_backend != CARDMARK_BACKEND_SOFTDIRTY ? 1 : 0);
	(void)live_collect(cm, table);
	nothing_lost();
	live_expect_dirty(table, more, 4);
	exact_from_here();
	close_all();
	CHECK_EQ(cardmark_untrack(cm, more, 4 * live_card), 0);
	write_some(3, 9);
	(void)live_collect(cm, table);
	nothing_lost();
	exact_from_here();
}

static void track_and_untrack_find_them_closed(void)
{
	in_child(track_after_close, NULL);
}

static void suspend_and_close(void *arg)
{
	size_t before = count_descriptors();

	(void)arg;
	set_up_watched();
	close_all();
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(cardmark_resume(cm), 0);
	(void)live_collect(cm, table);
	exact_from_here();
	close_all();
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	CHECK(count_descriptors() <= before);
}

static void suspend_and_close_with_them_closed(void)
{
	in_child(suspend_and_close, NULL);
}

/* None to be had, then some. */
static void collect_without_any(void *arg)
{
	struct rlimit limit, none = { 3, 0 };

	(void)arg;
	set_up_watched();
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none.rlim_max = limit.rlim_max;
	close_all();
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	for (unsigned round = 0; round < 3; round++) {
		write_some(round, 5);
		CHECK_EQ(live_collect(cm, table),
			 keeps_files() ? CARDMARK_GUESSED : CARDMARK_EXACT);
		nothing_lost();
		if (keeps_files())
			live_expect_dirty(table, mem, CARDS);
	}
	CHECK_EQ(live_stats(cm).last_errno, keeps_files() ? EMFILE : 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	write_some(2, 7);
	(void)live_collect(cm, table);
	nothing_lost();
	CHECK_EQ(live_stats(cm).reopened, keeps_files() ? 1 : 0);
	(void)live_collect(cm, table);
	exact_from_here();
}

static void none_to_be_had_is_all_dirty(void)
{
	in_child(collect_without_any, NULL);
}

static int no_proc(const char *name, int flags)
{
	(void)name;
	(void)flags;
	return -ENOENT;
}

static void collect_without_proc(void *arg)
{
	struct cm_os *os = broken_os_begin();
	size_t open;

	(void)arg;
	set_up_watched();
	close_all();
	os->open_self = no_proc;
	write_some(1, 5);
	(void)live_collect(cm, table);
	nothing_lost();
	open = count_descriptors();
	for (unsigned round = 0; round < 20; round++) {
		write_some(round, 5);
		(void)live_collect(cm, table);
		nothing_lost();
	}
	CHECK_EQ(count_descriptors(), open);
	os->open_self = cm_os_linux.open_self;
	(void)live_collect(cm, table);
	(void)live_collect(cm, table);
	exact_from_here();
}

static void without_proc_nothing_is_lost_or_leaks(void)
{
	in_child(collect_without_proc, NULL);
}

static int refuse_to_unprotect(int fd, uintptr_t start, size_t len, bool protect)
{
	return protect ? cm_os_linux.uffd_protect(fd, start, len, protect) : -EINVAL;
}

static bool is_watched(void)
{
	static struct smaps_vma v[SMAPS_MAX];
	size_t n = smaps_read(getpid(), v);

	CHECK(n > 0);
	for (size_t i = 0; i < n; i++)
		if (v[i].wp_allowed && v[i].start <= (uintptr_t)mem && (uintptr_t)mem < v[i].end)
			return true;
	return false;
}

/* Before 6.1.191 a card can be protected and writable after the old descriptor is gone
 * (R9). Were it watched like that it would read as clean. */
static void open_again_over_protected(void *arg)
{
	struct cm_os *os = broken_os_begin();

	(void)arg;
	os->now = still;
	set_up_watched();
	CHECK(is_watched());
	close_all();
	os->uffd_protect = refuse_to_unprotect;
	for (unsigned round = 0; round < 3; round++) {
		write_some(round, 5);
		(void)live_collect(cm, table);
		nothing_lost();
		CHECK(!is_watched());
	}
	os->uffd_protect = cm_os_linux.uffd_protect;
	(void)live_collect(cm, table);
	CHECK(is_watched());
	(void)live_collect(cm, table);
	exact_from_here();
}

static void protection_that_stays_is_not_watched(void)
{
	in_child(open_again_over_protected, NULL);
}

/* ---- Taken -------------------------------------------------------------------------- */

/* A child whose memory looks as ours does, but for the writes: it is armed and
 * clean, so that a look at it calls ours clean. */
static pid_t twin;

static void start_twin(void)
{
	char done = 0;
	int ends[2];

	CHECK(pipe(ends) == 0);
	twin = fork();
	if (twin == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)live_collect(cm, table);
		(void)live_collect(cm, table);
		(void)!write(ends[1], "x", 1);
		for (;;)
			(void)pause();
	}
	CHECK(twin > 0 && read(ends[0], &done, 1) == 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void end_twin(void)
{
	(void)kill(twin, SIGKILL);
	(void)waitpid(twin, NULL, 0);
}

enum taker { NULL_FILE, OWN_PAGEMAP, TWINS_PAGEMAP, ASYNC_UFFD, SYNC_UFFD, EVENTFD, PIPE, TAKERS };

static int open_taker(enum taker taker)
{
	char path[64];
	int ends[2];

	switch (taker) {
	case OWN_PAGEMAP:
		return open("/proc/self/pagemap", O_RDONLY);
	case TWINS_PAGEMAP:
		(void)snprintf(path, sizeof path, "/proc/%d/pagemap", (int)twin);
		return open(path, O_RDONLY);
	case ASYNC_UFFD:
		return cm_os_linux.uffd_open(true,
					     UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	case SYNC_UFFD:
		return cm_os_linux.uffd_open(true, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	case EVENTFD:
		return eventfd(0, 0);
	case PIPE:
		return pipe(ends) == 0 ? ends[0] : -1;
	default:
		return open("/dev/null", O_RDWR);
	}
}

static int our_files(int *fds)
{
	int n = 0;

	for (int fd = FIRST; fd < LAST; fd++)
		if (!open_before[fd] && fcntl(fd, F_GETFD) >= 0)
			fds[n++] = fd;
	return n;
}

/* Puts another file in the place of the k-th of ours, or of all (k < 0), and moves it
 * away again from where it was opened. */
static void take_file(int k, enum taker taker)
{
	int ours[LAST - FIRST], n = our_files(ours);
	int fd = open_taker(taker), low;

	if (fd < 0)
		return; /* this kernel has no such file */
	low = fcntl(fd, F_DUPFD, 10);
	CHECK(low >= 0 && low < FIRST);
	(void)close(fd);
	for (int i = 0; i < n; i++)
		if (k < 0 || i == k)
			CHECK(dup2(low, ours[i]) == ours[i]);
	(void)close(low);
}

static void collect_after_taking(void *arg)
{
	int fds[LAST - FIRST], n;
	uint64_t reopened = 0;

	(void)arg;
	set_up_watched();
	start_twin();
	n = our_files(fds);
	for (int k = -1; k < n; k++) {
		for (int taker = 0; taker < TAKERS; taker++) {
			(void)live_collect(cm, table);
			(void)live_collect(cm, table);
			take_file(k, (enum taker)taker);
			write_some((size_t)taker, 7);
			(void)live_collect(cm, table);
			nothing_lost();
			(void)live_collect(cm, table);
			exact_from_here();
			/* What was put there is the program's and stays open. */
			for (int fd = FIRST; fd < LAST; fd++)
				if (!open_before[fd] && fcntl(fd, F_GETFD) == 0)
					(void)close(fd);
		}
		CHECK(live_stats(cm).reopened >= reopened + (keeps_files() ? TAKERS - 1 : 0));
		reopened = live_stats(cm).reopened;
	}
	end_twin();
}

static void other_files_in_the_place_are_noticed(void)
{
	in_child(collect_after_taking, NULL);
}

static int id_by_path(int fd, struct cm_file_id *out)
{
	static const char *const ends[] = { "[userfaultfd]", "/pagemap" };

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		if (cm_os_linux.fd_is(fd, ends[i])) {
			*out = (struct cm_file_id){ 0, i };
			return 0;
		}
	return cm_os_linux.fd_id(fd, out);
}

#define LOST 42 /* status */

static void collect_by_path(void *arg)
{
	struct cm_os *os = broken_os_begin();
	int fds[LAST - FIRST], n, low;

	(void)arg;
	os->fd_id = id_by_path;
	set_up_watched();
	start_twin();
	low = open_taker(TWINS_PAGEMAP);
	n = our_files(fds);
	for (int i = 0; i < n; i++)
		if (cm_os_linux.fd_is(fds[i], "/pagemap"))
			CHECK(dup2(low, fds[i]) == fds[i]);
	write_some(1, 2);
	(void)live_collect(cm, table);
	end_twin();
	for (size_t i = 0; i < CARDS; i++)
		if (want[i] && !cardmark_table_is_dirty(table, mem + i * live_card))
			_exit(LOST);
}

/* Negative control. */
static void paths_alone_lose_writes_to_another_process(void)
{
	int status = tap_in_child(collect_by_path, NULL);

	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), LOST);
}

/* ---- While others are at work --------------------------------------------------------- */

static sem_t caught, go_on;
static _Atomic bool hold_back;

/* The monitor, told of a fault, does not get to read it. */
static int held_back_poll(struct pollfd *fds, unsigned n, int timeout_ms)
{
	int ready = cm_os_linux.poll(fds, n, timeout_ms);

	if (ready > 0 && n == 2 && atomic_exchange(&hold_back, false)) {
		(void)sem_post(&caught);
		while (sem_wait(&go_on) != 0)
			;
	}
	return ready;
}

static void *write_and_wait(void *arg)
{
	live_store(arg, 77);
	return NULL;
}

static void close_under_a_writer(void *arg)
{
	struct cm_os *os = broken_os_begin();
	pthread_t writer;

	(void)arg;
	CHECK(sem_init(&caught, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
	os->poll = held_back_poll;
	set_up_watched();
	for (unsigned round = 0; round < 3; round++) {
		atomic_store(&hold_back, true);
		CHECK(pthread_create(&writer, NULL, write_and_wait, mem + 5 * live_card) == 0);
		while (sem_wait(&caught) != 0)
			;
		if (round == 0)
			close_all();
		else
			take_file(-1, round == 1 ? SYNC_UFFD : NULL_FILE);
		(void)sem_post(&go_on);
		CHECK(pthread_join(writer, NULL) == 0); /* or the alarm ends this */
		(void)live_collect(cm, table);
		CHECK(cardmark_table_is_dirty(table, mem + 5 * live_card));
		(void)live_collect(cm, table);
		exact_from_here();
	}
	CHECK_EQ(live_stats(cm).reopened, 3);
}

static void a_waiting_writer_goes_on(void)
{
	in_child(close_under_a_writer, NULL);
}

static _Atomic bool stop_closing;

static void *close_on_and_on(void *arg)
{
	unsigned n = 0;

	(void)arg;
	while (!atomic_load(&stop_closing)) {
		for (int fd = FIRST; fd < LAST; fd++)
			if ((n++ & 3) != 0)
				(void)close(fd);
		(void)usleep(n % 300);
	}
	return NULL;
}

static void collect_under_a_closer(void *arg)
{
	pthread_t closer;
	unsigned long rounds = random_rounds(400, 100);

	(void)arg;
	set_up_watched();
	CHECK(pthread_create(&closer, NULL, close_on_and_on, NULL) == 0);
	for (size_t round = 0; round < rounds; round++) {
		write_some(round % 7, 3 + round % 5);
		if (round % 3 == 0)
			(void)cardmark_preclean(cm);
		(void)live_collect(cm, table);
		nothing_lost();
	}
	atomic_store(&stop_closing, true);
	CHECK(pthread_join(closer, NULL) == 0);
	for (unsigned i = 0; i < 3; i++)
		(void)live_collect(cm, table);
	exact_from_here();
	CHECK(!keeps_files() || live_stats(cm).reopened > 0);
}

static void closing_while_collecting_loses_nothing(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer calls closing another thread's file a race");
	in_child(collect_under_a_closer, NULL);
}

/* ---- Children (R5) ------------------------------------------------------------------------ */

static void child_closes_and_tracks(void *arg)
{
	(void)arg;
	close_all();
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, CARDS);
	(void)live_collect(cm, table);
	exact_from_here();
}

static void a_child_closes_and_both_track_on(void)
{
	set_up_watched();
	write_some(2, 9);
	in_child(child_closes_and_tracks, NULL);
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
	exact_from_here();
	CHECK_EQ(live_stats(cm).reopened, 0);
}

/* It ran no handlers, and holds the parent's descriptors until it ends. */
static void a_raw_child_that_closes_leaves_the_parent_alone(void)
{
	pid_t pid;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a raw clone of a sanitized process is not supported");
	set_up_watched();
	write_some(2, 9);
	pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
	if (pid == 0) {
		(void)syscall(SYS_close_range, 3u, ~0u, 0u);
		(void)cardmark_collect(cm, table);
		for (size_t i = 0; i < CARDS; i++)
			if (!cardmark_table_is_dirty(table, mem + i * live_card))
				_exit(1);
		_exit(0);
	}
	CHECK_EQ(tap_wait(pid), 0);
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
	exact_from_here();
}

extern char **environ;

static void spawn_true(bool by_vfork)
{
	char *argv[] = { (char *)(uintptr_t) "true", NULL };
	pid_t pid = -1;

	if (!by_vfork) {
		CHECK(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0);
	} else if ((pid = vfork()) == 0) { /* NOLINT: what is tested */
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	CHECK_EQ(tap_wait(pid), 0);
}

static void starting_programs_changes_nothing(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer makes a fork of vfork");
	set_up_watched();
	for (unsigned round = 0; round < 6; round++) {
		write_some(round, 9);
		spawn_true(round % 2 == 0);
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		live_expect(table, mem, CARDS, want);
	}
	CHECK_EQ(live_stats(cm).forks, 0);
	CHECK_EQ(live_stats(cm).reopened, 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "a collect finds them closed", a_collect_finds_them_closed, 0, 0 },
		{ "a scan finds them closed", a_scan_finds_them_closed, 0, 0 },
		{ "a preclean finds them closed", a_preclean_finds_them_closed,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "track and untrack find them closed", track_and_untrack_find_them_closed, 0, 0 },
		{ "suspend and close with them closed", suspend_and_close_with_them_closed, 0, 0 },
		{ "none to be had is all dirty, and then not", none_to_be_had_is_all_dirty, 0, 0 },
		{ "without /proc nothing is lost, or leaks", without_proc_nothing_is_lost_or_leaks,
		  0, 0 },
		{ "protection that stays is not watched", protection_that_stays_is_not_watched, 0,
		  LIVE_ONLY(UFFD) },
		{ "other files in the place are noticed", other_files_in_the_place_are_noticed, 0,
		  0 },
		{ "control: paths alone lose writes to another process",
		  paths_alone_lose_writes_to_another_process, 0, LIVE_ONLY(PAGEMAP) },
		{ "a writer that waits goes on", a_waiting_writer_goes_on, 0, LIVE_ONLY(UFFD) },
		{ "closing while collecting loses nothing", closing_while_collecting_loses_nothing,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "R5: a child closes all, and both track on", a_child_closes_and_both_track_on, 0,
		  0 },
		{ "R5: a raw clone that closes all leaves the parent alone",
		  a_raw_child_that_closes_leaves_the_parent_alone, 0, 0 },
		{ "R5: vfork and posix_spawn change nothing", starting_programs_changes_nothing, 0,
		  0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
