/* SPDX-License-Identifier: MIT
 *
 * Description: which ranges are accepted and which refused; a refusal leaves nothing half
 * registered; pieces may be removed and tracked again. */
#include "tests/support/backends.h"
#include "tests/support/live.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CARDS 16

static void refused(struct cardmark *cm, void *addr, size_t len, int want)
{
	int got = cardmark_track(cm, addr, len, 0);

	CHECK_EQ(got, want);
	CHECK(cardmark_last_error()[0] != '\0');
}

/* Tracks [mem, mem + CARDS) and checks after each refusal that this still works
 * and that nothing else is tracked. */
static void still_exact(struct cardmark *cm, struct cardmark_table *table, unsigned char *mem)
{
	bool want[CARDS] = { false };
	struct cardmark_stats stats = live_stats(cm);

	CHECK_EQ(stats.ranges, 1);
	CHECK_EQ(stats.tracked_bytes, CARDS * live_card);
	for (size_t i = 3; i < CARDS; i += 5) {
		want[i] = true;
		live_store(mem + i * live_card, 1);
	}
	CHECK(live_collect(cm, table) != CARDMARK_GUESSED);
	live_expect(table, mem, CARDS, want);
}

static void bad_ranges_are_refused(void)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);
	uintptr_t top = (uintptr_t)0 - live_card;

	refused(cm, mem + 1, live_card, -EINVAL);
	refused(cm, mem, live_card / 2, -EINVAL);
	refused(cm, mem, 0, -EINVAL);
	refused(cm, mem, (size_t)top, -EINVAL);
	refused(cm, (void *)top, 2 * live_card, -EINVAL);
	refused(cm, (void *)((uintptr_t)1 << 63), live_card, -EINVAL);
	CHECK_EQ(cardmark_track(cm, mem, live_card, ~0u), -EINVAL);
	CHECK_EQ(cardmark_track(cm, mem, live_card, CARDMARK_TRACK_PRIVATE | CARDMARK_TRACK_FILE),
		 -EINVAL);
	still_exact(cm, table, mem);
}

static void a_hole_is_refused_and_nothing_half_registered(void)
{
	unsigned char *mem = live_map(3 * CARDS);
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);

	CHECK(munmap(mem + 2 * CARDS * live_card, live_card) == 0);
	refused(cm, mem + CARDS * live_card, 2 * CARDS * live_card, -ENOMEM);
	refused(cm, mem + 2 * CARDS * live_card, live_card, -ENOMEM);
	CHECK(!says_tracked(cm, mem + CARDS * live_card, live_card));
	still_exact(cm, table, mem);
	/* Over a tracked piece too: that one stays as it was. */
	refused(cm, mem, 3 * CARDS * live_card, -ENOMEM);
	still_exact(cm, table, mem);
}

static void user_space_top_is_refused_or_unmapped(void)
{
	struct cardmark *cm = live_open();
	int error = cardmark_track(cm, (void *)(((uintptr_t)1 << 47) - live_card), live_card, 0);

	CHECK(error == -EINVAL || error == -ENOMEM);
	CHECK_EQ(live_stats(cm).ranges, 0);
}

static void bad_untracks_are_refused(void)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);

	CHECK_EQ(cardmark_untrack(cm, mem + 1, live_card), -EINVAL);
	CHECK_EQ(cardmark_untrack(cm, mem, 0), -EINVAL);
	CHECK_EQ(cardmark_untrack(cm, mem, 1), -EINVAL);
	CHECK_EQ(cardmark_untrack(cm, mem - live_card, live_card), -ENOENT);
	still_exact(cm, table, mem);
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), -ENOENT);
	CHECK_EQ(live_stats(cm).ranges, 0);
}

static void a_middle_piece_may_go_and_come_back(void)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);
	bool want[CARDS];

	memset(mem, 1, CARDS * live_card);
	(void)cardmark_collect(cm, table); /* all dirty in the table */
	CHECK_EQ(cardmark_untrack(cm, mem + 4 * live_card, 4 * live_card), 0);
	CHECK_EQ(live_stats(cm).ranges, 2);
	CHECK(says_tracked(cm, mem, 4 * live_card));
	CHECK(!says_tracked(cm, mem, 5 * live_card));
	CHECK(!says_tracked(cm, mem + 4 * live_card, live_card));
	CHECK(says_tracked(cm, mem + 8 * live_card, 8 * live_card));
	for (size_t i = 0; i < CARDS; i++)
		want[i] = i < 4 || i >= 8;
	live_expect(table, mem, CARDS, want); /* its cards left the table */

	memset(mem, 2, CARDS * live_card);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);

	/* Tracked again: everything that it holds counts as written. */
	CHECK_EQ(cardmark_track(cm, mem + 4 * live_card, 4 * live_card, 0), 0);
	CHECK_EQ(live_stats(cm).ranges, 1);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		want[i] = i >= 4 && i < 8;
	live_expect(table, mem, CARDS, want);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
}

static void an_overlapping_track_arms_its_piece_afresh(void)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark *cm = live_open();
	struct cardmark_table *table = live_table(cm);
	bool want[CARDS];

	memset(mem, 1, CARDS * live_card);
	CHECK_EQ(cardmark_track(cm, mem, 10 * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_store(mem + 2 * live_card, 2); /* must survive the overlap */
	CHECK_EQ(cardmark_track(cm, mem + 6 * live_card, 10 * live_card, 0), 0);
	CHECK_EQ(live_stats(cm).ranges, 1);
	CHECK_EQ(live_stats(cm).tracked_bytes, CARDS * live_card);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		want[i] = i == 2 || i >= 6;
	live_expect(table, mem, CARDS, want);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
}

static void data_from_before_tracking_is_dirty_once(void)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark *cm = live_open();
	struct cardmark_table *table = live_table(cm);

	memset(mem, 7, CARDS * live_card);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, CARDMARK_TRACK_PRIVATE), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, CARDS);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
}

static void adjacent_ranges_cost_one_kernel_call(void)
{
	const size_t n = ((size_t)3 << 20) / live_card; /* too few for a look before the harvest */
	unsigned char *one = live_map(n), *many = live_map(n);
	struct cardmark *a = live_open(), *b = (live_may_open_another(), live_open());
	struct cardmark_table *ta = live_table(a), *tb = live_table(b);
	uint64_t before_a, before_b;

	CHECK_EQ(cardmark_track(a, one, n * live_card, 0), 0);
	for (size_t i = 0; i < n; i++) { /* odd ones first: the gaps close */
		size_t at = i < n / 2 ? 2 * i + 1 : 2 * (i - n / 2);
		CHECK_EQ(cardmark_track(b, many + at * live_card, live_card, 0), 0);
	}
	CHECK_EQ(live_stats(b).ranges, 1);
	memset(one, 1, n * live_card);
	memset(many, 1, n * live_card);
	before_a = live_stats(a).kernel_calls;
	before_b = live_stats(b).kernel_calls;
	(void)live_collect(a, ta);
	(void)live_collect(b, tb);
	CHECK_EQ(live_stats(b).kernel_calls - before_b, live_stats(a).kernel_calls - before_a);
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		CHECK_EQ(live_stats(b).kernel_calls - before_b, 1);
	live_expect_dirty(ta, one, n);
	live_expect_dirty(tb, many, n);
}

/* Kernels before 6.4 protect only within one mapping in each call. */
static void a_range_over_several_mappings(void)
{
	for (unsigned flags = 0; flags <= CARDMARK_TRACK_PRIVATE; flags++) {
		unsigned char *mem = live_map(CARDS);
		struct cardmark_table *table;
		struct cardmark *cm = live_open();
		bool want[CARDS] = { false };

		table = live_table(cm);
		/* Another flag keeps the kernel from joining them. */
		CHECK(madvise(mem + 5 * live_card, 4 * live_card, MADV_DONTFORK) == 0);
		memset(mem, 1, CARDS * live_card);
		CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, flags), 0);
		(void)live_collect(cm, table);
		live_expect_dirty(table, mem, CARDS);
		memset(mem, 2, CARDS * live_card);
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		live_expect_clean(table, mem, CARDS);
		for (size_t i = 3; i < CARDS; i += 3) {
			want[i] = true;
			live_store(mem + i * live_card, 3);
		}
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		live_expect(table, mem, CARDS, want);
		live_clean_up();
	}
}

static void ten_thousand_scattered_ranges(void)
{
	const size_t n = 10000;
	unsigned char *mem = live_map(2 * n);
	struct cardmark *cm = live_open();
	struct cardmark_table *table = live_table(cm);
	size_t dirty = 0;

	for (size_t i = 0; i < n; i++)
		CHECK_EQ(cardmark_track(cm, mem + 2 * i * live_card, live_card,
					CARDMARK_TRACK_PRIVATE),
			 0);
	CHECK_EQ(live_stats(cm).ranges, n);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < n; i += 100)
		live_store(mem + 2 * i * live_card, 1);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < n; i++)
		dirty += cardmark_table_is_dirty(table, mem + 2 * i * live_card);
	CHECK(dirty >= n / 100);
	for (size_t i = 0; i < n; i += 100)
		CHECK(cardmark_table_is_dirty(table, mem + 2 * i * live_card));
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(dirty, n / 100);
	CHECK_EQ(cardmark_untrack(cm, mem, 2 * n * live_card), 0);
	CHECK_EQ(live_stats(cm).ranges, 0);
}

static void memory_is_plain_again_after_close(void)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *gone = NULL;

	memset(mem, 1, 4 * live_card);
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	memset(mem, 2, CARDS * live_card);
	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("only one softdirty tracker fits in a process");
	options.backend = live_backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cardmark_open(&gone, &options), 0);
	CHECK_EQ(cardmark_track(gone, mem, CARDS * live_card, 0), 0);
	/* A table of another tracker: nothing may be harvested into it. */
	CHECK_EQ(cardmark_collect(gone, table), CARDMARK_REFUSED);
	CHECK(cardmark_table_all_dirty(table));
	cardmark_close(&gone);
	CHECK(gone == NULL);
	cardmark_close(&gone);
	cardmark_close(NULL);
	memset(mem, 3, CARDS * live_card);
	CHECK(mem[5 * live_card] == 3);
}

/* No userfaultfd can watch a plain file's mapping, or give back a range with such a mapping in
 * it. If a range were kept, another tracker could not track it. */
static void an_untrack_gives_back_what_is_beside_a_file(void)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table), *next;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(mmap(mem + 3 * live_card, 2 * live_card, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_FIXED, fd, 0) == mem + 3 * live_card);
	CHECK(close(fd) == 0);
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	next = live_open();
	CHECK_EQ(cardmark_track(next, mem, 3 * live_card, 0), 0);
	CHECK_EQ(cardmark_track(next, mem + 5 * live_card, (CARDS - 5) * live_card, 0), 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "bad ranges are refused", bad_ranges_are_refused, 0, 0 },
		{ "a hole is refused and nothing half-registered",
		  a_hole_is_refused_and_nothing_half_registered, 0, 0 },
		{ "the top of user space is refused", user_space_top_is_refused_or_unmapped, 0, 0 },
		{ "bad untracks are refused", bad_untracks_are_refused, 0, 0 },
		{ "a middle piece may go and come back", a_middle_piece_may_go_and_come_back, 0,
		  0 },
		{ "an overlapping track arms its piece afresh",
		  an_overlapping_track_arms_its_piece_afresh, 0, 0 },
		{ "data from before tracking is dirty once",
		  data_from_before_tracking_is_dirty_once, 0, 0 },
		{ "an untrack gives back what is beside a file",
		  an_untrack_gives_back_what_is_beside_a_file, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) },
		{ "adjacent ranges cost one kernel call", adjacent_ranges_cost_one_kernel_call,
		  CARDMARK_CAP_PRECISE | CARDMARK_CAP_NO_TRAP, 0 },
		{ "a range over several mappings", a_range_over_several_mappings, 0, 0 },
		{ "ten thousand scattered ranges", ten_thousand_scattered_ranges, 0, 0 },
		{ "memory is plain again after close", memory_is_plain_again_after_close, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
