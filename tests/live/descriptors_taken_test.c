/* SPDX-License-Identifier: MIT
 *
 * Description: programs that put other files in the place of our descriptors, and that close them
 * or replace them while writers wait or others collect: nothing is lost, and tracking stays
 * exact. */
#include "tests/live/descriptors.h"
#include "tests/support/random.h"
#include "tests/support/smaps.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- Taken -------------------------------------------------------------------------- */

/* A child whose memory looks like ours, without the writes: it is armed and clean. A look at
 * it by mistake would report our memory as clean. */
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

/* Puts another file in the place of the k-th descriptor of ours, or of all (k < 0), and closes
 * its other descriptors. */
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

/* The monitor is told of a fault, but is held before it can read it. */
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

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "other files in the place are noticed", other_files_in_the_place_are_noticed, 0,
		  0 },
		{ "control: paths alone lose writes to another process",
		  paths_alone_lose_writes_to_another_process, 0, LIVE_ONLY(PAGEMAP) },
		{ "a writer that waits goes on", a_waiting_writer_goes_on, 0, LIVE_ONLY(UFFD) },
		{ "closing while collecting loses nothing", closing_while_collecting_loses_nothing,
		  CARDMARK_CAP_CONCURRENT, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
