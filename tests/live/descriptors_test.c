/* SPDX-License-Identifier: MIT
 *
 * Description: programs that close every descriptor: the next question notices it, everything
 * is dirty once, and after that tracking is exact. Also in children. */
#include "tests/live/descriptors.h"
#include "tests/support/smaps.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>

/* ---- Closed ------------------------------------------------------------------------- */

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
		q = live_query((enum cardmark_scan_op)op, mem, CARDS, regions, CARDS);
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

/* At first no descriptor is free, later some are. */
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
 * (R9). If such a card were watched, it would read as clean. */
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
		{ "R5: a child closes all, and both track on", a_child_closes_and_both_track_on, 0,
		  0 },
		{ "R5: a raw clone that closes all leaves the parent alone",
		  a_raw_child_that_closes_leaves_the_parent_alone, 0, 0 },
		{ "R5: vfork and posix_spawn change nothing", starting_programs_changes_nothing, 0,
		  0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
