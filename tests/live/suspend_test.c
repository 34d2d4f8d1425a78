/* SPDX-License-Identifier: MIT
 *
 * Description: a suspended tracker uses nothing that a dump by CRIU refuses, reports
 * everything as dirty, and comes back with everything dirty (R17). */
#include "tests/support/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Descriptors of this process whose name holds text. */
static unsigned descriptors(const char *text)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned n = 0;

	CHECK(d != NULL);
	while ((e = readdir(d)) != NULL) {
		char path[300], to[256];
		ssize_t len;

		(void)snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
		len = readlink(path, to, sizeof to - 1);
		if (len <= 0)
			continue;
		to[len] = '\0';
		n += strstr(to, text) != NULL;
	}
	(void)closedir(d);
	return n;
}

/* Mappings registered with a userfaultfd: VmFlags "uw" in smaps. */
static unsigned registered(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned n = 0;

	CHECK(f != NULL);
	while (fgets(line, sizeof line, f) != NULL)
		n += strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " uw") != NULL;
	(void)fclose(f);
	return n;
}

static void expect_everything(void)
{
	memset(want, 1, sizeof want);
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	live_expect_dirty(table, mem, CARDS);
	memset(want, 0, sizeof want);
}

static void suspended_it_uses_nothing_and_all_is_dirty(void)
{
	unsigned uffds, pagemaps, clears;

	/* Those of others in this process (what a probe left behind would show here). */
	uffds = descriptors("[userfaultfd]");
	pagemaps = descriptors("/pagemap");
	clears = descriptors("/clear_refs");
	set_up();
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(descriptors("[userfaultfd]"), uffds);
	CHECK_EQ(descriptors("/pagemap"), pagemaps);
	CHECK_EQ(descriptors("/clear_refs"), clears);
	CHECK_EQ(registered(), 0);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(live_collect(cm, table), CARDMARK_GUESSED);
		live_expect_dirty(table, mem, CARDS);
	}
	CHECK_EQ(live_stats(cm).suspends, 1);
}

static void it_comes_back_with_everything_dirty(void)
{
	set_up();
	for (int round = 0; round < 3; round++) {
		CHECK_EQ(cardmark_suspend(cm), 0);
		CHECK_EQ(cardmark_suspend(cm), 0);
		write_card(7);
		CHECK_EQ(cardmark_resume(cm), 0);
		expect_everything();
		write_card(9);
		collect_and_compare();
	}
	CHECK_EQ(cardmark_resume(cm), -EINVAL);
}

/* Cards written before or while it is suspended are reported, even without a collect
 * meanwhile. */
static void nothing_written_around_it_is_lost(void)
{
	set_up();
	write_card(1);
	if (live_can(CARDMARK_CAP_CONCURRENT))
		CHECK_EQ(cardmark_preclean(cm), 0);
	CHECK_EQ(cardmark_suspend(cm), 0);
	write_card(2);
	if (live_can(CARDMARK_CAP_CONCURRENT))
		CHECK_EQ(cardmark_preclean(cm), 0); /* does nothing */
	CHECK_EQ(cardmark_resume(cm), 0);
	write_card(3);
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	for (size_t i = 1; i < 4; i++)
		CHECK(cardmark_table_is_dirty(table, card_at(i)));
}

static void ranges_come_and_go_meanwhile(void)
{
	unsigned char *late = live_map(8);

	memset(late, 1, 8 * live_card);
	set_up();
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(cardmark_track(cm, late, 8 * live_card, 0), 0);
	CHECK_EQ(cardmark_untrack(cm, card_at(32), 32 * live_card), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, late, 8);
	CHECK(!cardmark_table_is_dirty(table, card_at(40)));
	CHECK_EQ(cardmark_resume(cm), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, late, 8);
	live_expect_dirty(table, mem, 32);
	live_store(late + 3 * live_card, 9);
	bool late_want[8] = { [3] = true };
	(void)live_collect(cm, table);
	live_expect(table, late, 8, late_want);
	live_expect_clean(table, mem, 32);
}

static void a_scan_meanwhile_matches_everything(void)
{
	struct cardmark_region r[4];
	struct cardmark_query q;

	set_up();
	q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, mem, CARDS, r, 4);
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.pages, CARDS);
	CHECK(q.guessed);
}

/* Memory that a collect has reported is not new: a scan that ignores new memory has its
 * writes. */
static void what_a_collect_reported_meanwhile_is_not_new(void)
{
	unsigned char *late = live_map(8);
	struct cardmark_region r[8];
	struct cardmark_query q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, late, 8, r, 8);

	q.flags = CARDMARK_SCAN_IGNORE_NEW;
	memset(late, 1, 8 * live_card);
	set_up();
	CHECK_EQ(cardmark_track(cm, late, 8 * live_card, 0), 0);
	CHECK_EQ(cardmark_suspend(cm), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, late, 8);
	CHECK_EQ(cardmark_resume(cm), 0);
	live_store(late + 3 * live_card, 9);
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.pages, 8);
}

static void in_child(void *arg)
{
	(void)arg;
	CHECK_EQ(live_collect(cm, table), CARDMARK_GUESSED);
	CHECK_EQ(cardmark_resume(cm), 0);
	expect_everything();
	write_card(11);
	collect_and_compare();
}

static void a_fork_meanwhile(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up();
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(tap_in_child(in_child, NULL), 0);
	CHECK_EQ(cardmark_resume(cm), 0);
	expect_everything();
	write_card(12);
	collect_and_compare();
}

static void closing_meanwhile(void)
{
	set_up();
	CHECK_EQ(cardmark_suspend(cm), 0);
	live_clean_up();
	CHECK_EQ(registered(), 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "suspended it uses nothing and all is dirty",
		  suspended_it_uses_nothing_and_all_is_dirty, 0, 0 },
		{ "it comes back with everything dirty", it_comes_back_with_everything_dirty, 0,
		  0 },
		{ "nothing written around it is lost", nothing_written_around_it_is_lost, 0, 0 },
		{ "ranges come and go meanwhile", ranges_come_and_go_meanwhile, 0, 0 },
		{ "a scan meanwhile matches everything", a_scan_meanwhile_matches_everything, 0,
		  0 },
		{ "what a collect reported meanwhile is not new",
		  what_a_collect_reported_meanwhile_is_not_new, 0, 0 },
		{ "a fork meanwhile", a_fork_meanwhile, 0, 0 },
		{ "closing meanwhile", closing_meanwhile, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
