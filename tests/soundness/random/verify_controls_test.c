/* SPDX-License-Identifier: MIT
 *
 * Description: negative controls of verify mode. Each breaks a rule underneath the library, or
 * writes in a way that no page tracker can see (R13), and passes only if the tracker itself
 * finds the missed card, prints its place, and reports it as dirty. */
#include "tests/support/verifying.h"

#include "tests/soundness/random/world.h"
#include "tests/support/broken_os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/utsname.h>

static struct cm_os *os; /* the table in use, to be broken when the tracker is set up */

static void set_up_over_sound_os(unsigned open_flags)
{
	os = broken_os_begin();
	set_up_verifying(open_flags);
}

/* The tracker's threads use the table until they have ended. */
static void end_broken(void)
{
	live_clean_up();
	broken_os_end();
}

static enum cardmark_collected collect_and_listen(void)
{
	enum cardmark_collected result;

	listen_to_stderr();
	result = live_collect(cm, table);
	stop_listening();
	return result;
}

/* Exactly one line names it, with the range, the backend and the kernel. */
static void expect_named(const unsigned char *card, const unsigned char *range, size_t cards)
{
	struct utsname name;
	char line[400];

	CHECK(uname(&name) == 0);
	(void)snprintf(line, sizeof line,
		       "cardmark: verify: %#zx changed and was not reported: range %#zx to %#zx, "
		       "backend %s, kernel %s\n",
		       (size_t)(uintptr_t)card, (size_t)(uintptr_t)range,
		       (size_t)(uintptr_t)(range + cards * live_card),
		       cardmark_backend_name(live_backend), name.release);
	if (times_said(line) != 1)
		tap_note("not said once: %s", line);
	CHECK_EQ(times_said(line), 1);
}

/* Writes cards 7 and 20, which the broken rule loses, and finds both. */
static void lose_two_and_find_them(void)
{
	uint64_t before = missed(), changed = live_stats(cm).verify_changed;

	write_card(20);
	write_card(7);
	CHECK_EQ(collect_and_listen(), CARDMARK_GUESSED);
	CHECK_EQ(missed() - before, 2);
	CHECK_EQ(live_stats(cm).verify_changed - changed, 2);
	CHECK(live_stats(cm).verify_first_missed == (uintptr_t)card_at(7));
	CHECK_EQ(times_said("\n"), 2);
	expect_named(card_at(7), mem, CARDS);
	expect_named(card_at(20), mem, CARDS);
	/* The program goes on with the answer that it should have got. */
	live_expect(table, mem, CARDS, want);
	memset(want, 0, sizeof want);
}

static void arming_without_a_harvest(void)
{
	set_up_over_sound_os(0);
	break_by_arming_without_harvest(os);
	lose_two_and_find_them();
	end_broken();
}

/* If writers may run, a change can belong to the next report, if the backend reports it as
 * written. It does not. */
static void arming_without_a_harvest_while_writers_may_run(void)
{
	set_up_over_sound_os(CARDMARK_OPEN_CONCURRENT);
	break_by_arming_without_harvest(os);
	lose_two_and_find_them();
	end_broken();
}

static void a_scan_without_check_wpasync(void)
{
	unsigned char *other = live_map(4);

	memset(other, 3, 4 * live_card);
	set_up_over_sound_os(0);
	break_by_not_checking_wpasync(os);
	CHECK(mremap(other, 4 * live_card, 4 * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     card_at(7)) == card_at(7));
	(void)collect_and_listen();
	CHECK_EQ(missed(), 4);
	CHECK(live_stats(cm).verify_first_missed == (uintptr_t)card_at(7));
	expect_named(card_at(7), mem, CARDS);
	expect_named(card_at(10), mem, CARDS);
	end_broken();
}

/* ---- Errors taken as clean ----------------------------------------------------------- */

static long scan_fails_and_is_taken_as_clean(int fd, struct pm_scan_arg *arg)
{
	long n = cm_os_linux.scan(fd, arg);

	if (n > 0 && (arg->flags & PM_SCAN_WP_MATCHING) != 0)
		n = 0; /* it had done its work when it failed (R3) */
	arg->walk_end = arg->end;
	return n;
}

static int mprotect_fails_and_is_taken_as_done(uintptr_t addr, size_t len, int prot)
{
	return prot & PROT_WRITE ? cm_os_linux.mprotect(addr, len, prot) : 0;
}

static ssize_t pread_fails_and_is_taken_as_empty(int fd, void *buf, size_t len, uint64_t offset)
{
	if (fd != broken_os_first_pagemap)
		return cm_os_linux.pread(fd, buf, len, offset);
	memset(buf, 0, len);
	return (ssize_t)len;
}

static void an_error_taken_as_clean(void)
{
	set_up_over_sound_os(0);
	if (live_backend == CARDMARK_BACKEND_PAGEMAP) {
		os->scan = scan_fails_and_is_taken_as_clean;
	} else if (live_backend == CARDMARK_BACKEND_MPROTECT) {
		os->mprotect = mprotect_fails_and_is_taken_as_done;
		memset(mem, 2, CARDS * live_card); /* disarmed, and not armed again */
		(void)live_collect(cm, table);
	} else {
		os->pread = pread_fails_and_is_taken_as_empty;
	}
	lose_two_and_find_them();
	end_broken();
}

/* Only snapshots need emptied cards: this tracker does not look for holes. */
static long scan_finds_no_holes(int fd, struct pm_scan_arg *arg)
{
	if ((arg->category_inverted & PAGE_IS_PRESENT) == 0)
		return cm_os_linux.scan(fd, arg);
	arg->walk_end = arg->end;
	return 0;
}

static void an_emptied_card_that_counts_as_written(void)
{
	set_up_over_sound_os(CARDMARK_OPEN_DISCARD_IS_WRITE);
	os->scan = scan_finds_no_holes;
	CHECK(madvise(card_at(9), live_card, MADV_DONTNEED) == 0);
	(void)collect_and_listen();
	CHECK_EQ(missed(), 1);
	expect_named(card_at(9), mem, CARDS);
	end_broken();
}

/* Zeros that are written are a change: only the zero page is not. */
static void zeros_that_are_written(void)
{
	set_up_over_sound_os(0);
	break_by_arming_without_harvest(os);
	memset(card_at(9), 0, live_card);
	(void)collect_and_listen();
	CHECK_EQ(missed(), 1);
	expect_named(card_at(9), mem, CARDS);
	end_broken();
}

/* ---- What no page table shows (R13) ------------------------------------------------------ */

static void a_write_through_another_mapping(void)
{
	int fd = memfd_create("verify", MFD_CLOEXEC);
	unsigned char *other;

	CHECK(fd >= 0 && ftruncate(fd, (off_t)(8 * live_card)) == 0);
	mem = mmap(NULL, 8 * live_card, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	live_own_memory(mem, 8 * live_card);
	other = mmap(NULL, 8 * live_card, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	live_own_memory(other, 8 * live_card);
	memset(mem, 1, 8 * live_card);
	cm = live_open_verifying(0);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, 8 * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_store(other + 2 * live_card, 7);
	CHECK(pwrite(fd, "to the file", 11, 5 * (off_t)live_card) == 11);
	CHECK(close(fd) == 0);
	CHECK_EQ(collect_and_listen(), CARDMARK_GUESSED);
	CHECK_EQ(missed(), 2);
	CHECK(live_stats(cm).verify_first_missed == (uintptr_t)card_at(2));
	expect_named(card_at(2), mem, 8);
	expect_named(card_at(5), mem, 8);
	CHECK(cardmark_table_is_dirty(table, card_at(2)));
	CHECK(cardmark_table_is_dirty(table, card_at(5)));
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 2);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void the_first_ten_are_named_and_the_end_sums_up(void)
{
	struct cardmark_stats s;
	char line[200];

	set_up_over_sound_os(0);
	break_by_arming_without_harvest(os);
	for (size_t i = 0; i < 23; i++)
		live_store(card_at(i), 2);
	(void)collect_and_listen();
	CHECK_EQ(times_said("was not reported"), 10);
	expect_named(card_at(9), mem, CARDS);
	CHECK_EQ(missed(), 23);
	live_store(card_at(40), 2);
	(void)collect_and_listen();
	CHECK_EQ(times_said("\n"), 0);
	s = live_stats(cm);
	CHECK_EQ(s.verify_missed, 24);
	broken_os_end();
	listen_to_stderr();
	live_clean_up();
	stop_listening();
	(void)snprintf(line, sizeof line,
		       "cardmark: verify: %llu cards checked, 24 changed, 24 of them missed, %llu "
		       "false positives: backend %s, kernel ",
		       (unsigned long long)s.verify_checked, (unsigned long long)s.verify_false,
		       cardmark_backend_name(live_backend));
	CHECK_EQ(times_said(line), 1);
	CHECK_EQ(times_said("\n"), 1);
	/* Nothing missed, nothing printed. */
	set_up_verifying(0);
	write_card(1);
	(void)live_collect(cm, table);
	listen_to_stderr();
	live_clean_up();
	stop_listening();
	CHECK_EQ(times_said("\n"), 0);
}

/* A stopped reader of the log must not stop the collector: the counters still show the misses. */
static void a_full_pipe_is_not_waited_for(void)
{
	char junk[4096] = { 0 };
	int p[2], saved;

	set_up_over_sound_os(0);
	break_by_arming_without_harvest(os);
	CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
	while (write(p[1], junk, sizeof junk) > 0)
		;
	CHECK(fcntl(p[1], F_SETFL, 0) == 0);
	saved = dup(STDERR_FILENO);
	CHECK(saved >= 0 && dup2(p[1], STDERR_FILENO) >= 0);
	live_store(card_at(3), 9);
	(void)live_collect(cm, table);
	(void)close(p[0]); /* and no SIGPIPE */
	live_store(card_at(4), 9);
	(void)live_collect(cm, table);
	(void)close(STDERR_FILENO);
	live_store(card_at(5), 9);
	(void)live_collect(cm, table);
	(void)dup2(saved, STDERR_FILENO);
	CHECK(close(saved) == 0 && close(p[1]) == 0);
	CHECK_EQ(missed(), 3);
	end_broken();
}

/* ---- Fork --------------------------------------------------------------------------------------
 */

static void child_loses_and_finds(void *arg)
{
	(void)arg;
	(void)live_collect(cm, table); /* everything, as after any fork */
	break_by_arming_without_harvest(os);
	lose_two_and_find_them();
}

static void a_fork_child_reads_its_own_memory(void)
{
	set_up_over_sound_os(0);
	CHECK_EQ(tap_in_child(child_loses_and_finds, NULL), 0);
	write_card(7); /* the parent is not affected */
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
	end_broken();
}

static int parents_mem = -1;

static int open_the_parents_mem(const char *name, int flags)
{
	return strcmp(name, "mem") == 0 ? dup(parents_mem) : cm_os_linux.open_self(name, flags);
}

static void child_loses_and_finds_nothing(void *arg)
{
	(void)arg;
	(void)live_collect(cm, table);
	break_by_arming_without_harvest(os);
	write_card(7);
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
}

/* The control's control: by the inherited descriptor it would find nothing. */
static void by_an_inherited_descriptor_nothing_is_found(void)
{
	set_up_over_sound_os(0);
	parents_mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	CHECK(parents_mem >= 0);
	os->open_self = open_the_parents_mem;
	CHECK_EQ(tap_in_child(child_loses_and_finds_nothing, NULL), 0);
	CHECK(close(parents_mem) == 0);
	end_broken();
}

/* ---- Writers that run
 * ---------------------------------------------------------------------------- */

static int mem_fd = -1;
static unsigned char *store_to; /* a running writer, at the next look at memory */

static int remember_mem(const char *name, int flags)
{
	int fd = cm_os_linux.open_self(name, flags);

	if (strcmp(name, "mem") == 0)
		mem_fd = fd;
	else if (strcmp(name, "pagemap") == 0)
		broken_os_pagemap = fd;
	return fd;
}

static ssize_t pread_while_a_writer_runs(int fd, void *buf, size_t len, uint64_t offset)
{
	if (fd == mem_fd && store_to != NULL) {
		live_store(store_to, 99);
		store_to = NULL;
	}
	return cm_os_linux.pread(fd, buf, len, offset);
}

static void set_up_with_a_writer(unsigned open_flags)
{
	os = broken_os_begin();
	os->open_self = remember_mem;
	os->pread = pread_while_a_writer_runs;
	set_up_verifying(open_flags);
}

/* After the harvest, before the comparison: strictly, the writer should not run then. */
static void a_writer_that_does_not_stop(void)
{
	set_up_with_a_writer(0);
	store_to = card_at(3);
	(void)collect_and_listen();
	CHECK_EQ(missed(), live_can(CARDMARK_CAP_PRECISE) ? 1 : 0);
	end_broken();
}

static void a_writer_that_need_not_stop(void)
{
	set_up_with_a_writer(CARDMARK_OPEN_CONCURRENT);
	for (size_t round = 0; round < 3; round++) {
		store_to = card_at(3 + round);
		(void)live_collect(cm, table);
		CHECK_EQ(missed(), 0);
		if (live_can(CARDMARK_CAP_PRECISE))
			CHECK(!cardmark_table_is_dirty(table, card_at(3 + round)));
		(void)live_collect(cm, table);
		CHECK(cardmark_table_is_dirty(table, card_at(3 + round)));
	}
	CHECK_EQ(missed(), 0);
	CHECK_EQ(live_stats(cm).verify_changed, 3);
	end_broken();
}

/* Cards that one report leaves to the next must be in the next. */
static void a_writer_that_is_forgotten_by_the_next_report(void)
{
	set_up_with_a_writer(CARDMARK_OPEN_CONCURRENT);
	store_to = card_at(3);
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
	break_by_arming_without_harvest(os);
	(void)collect_and_listen();
	CHECK_EQ(missed(), 1);
	expect_named(card_at(3), mem, CARDS);
	end_broken();
}

/* ---- The property test, with the tracker as its own oracle
 * ------------------------------------------ */

#define MOST_SEEDS 30 /* a busy machine does little in a second */

static struct world_counts run_broken(uint64_t seed)
{
	struct world_options options = { .backend = live_backend,
					 .seed = seed,
					 .seconds = 1,
					 .remap = true,
					 .faulty = true,
					 .verify = true };
	struct world_counts c;
	int error;

	os = broken_os_begin();
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		break_by_arming_without_harvest(os);
	else
		break_by_not_protecting(os);
	listen_to_stderr();
	error = world_run(&options, &c);
	stop_listening();
	broken_os_end();
	CHECK_EQ(error, 0);
	tap_note("seed %llu: %llu changed, %llu missed", (unsigned long long)seed,
		 (unsigned long long)c.verify_changed, (unsigned long long)c.verify_missed);
	return c;
}

static void random_changes_over_a_broken_rule(void)
{
	struct world_counts c = run_broken(7);

	for (uint64_t seed = 8; c.verify_missed == 0 && seed < 7 + MOST_SEEDS; seed++)
		c = run_broken(seed);
	CHECK(c.verify_missed > 0);
	CHECK_EQ(times_said("was not reported"), c.verify_missed < 10 ? c.verify_missed : 10);
	CHECK_EQ(times_said("of them missed"), 1);
}

int main(int argc, char **argv)
{
	static const unsigned broken = LIVE_ONLY(PAGEMAP) | LIVE_ONLY(MPROTECT) | LIVE_ONLY(UFFD);
	static const struct live_case cases[] = {
		{ "arming without a harvest is found", arming_without_a_harvest, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "also while writers may run", arming_without_a_harvest_while_writers_may_run, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "a scan without CHECK_WPASYNC is found", a_scan_without_check_wpasync, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "an error taken as clean is found", an_error_taken_as_clean, 0, broken },
		{ "an emptied card that counts as written is found",
		  an_emptied_card_that_counts_as_written, 0, LIVE_ONLY(PAGEMAP) },
		{ "zeros that are written are found", zeros_that_are_written, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "a write through another mapping is found", a_write_through_another_mapping,
		  CARDMARK_CAP_SHARED | CARDMARK_CAP_PRECISE, 0 },
		{ "the first ten are named and the end sums up",
		  the_first_ten_are_named_and_the_end_sums_up, 0, LIVE_ONLY(PAGEMAP) },
		{ "a full pipe is not waited for", a_full_pipe_is_not_waited_for, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "a fork child reads its own memory", a_fork_child_reads_its_own_memory, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "by an inherited descriptor nothing is found",
		  by_an_inherited_descriptor_nothing_is_found, 0, LIVE_ONLY(PAGEMAP) },
		{ "a writer that does not stop is found", a_writer_that_does_not_stop, 0, 0 },
		{ "a writer that need not stop is not", a_writer_that_need_not_stop,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "a writer that the next report forgets is found",
		  a_writer_that_is_forgotten_by_the_next_report, 0, LIVE_ONLY(PAGEMAP) },
		{ "random changes over a broken rule are found", random_changes_over_a_broken_rule,
		  0, LIVE_ONLY(PAGEMAP) | LIVE_ONLY(MPROTECT) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
