/* SPDX-License-Identifier: MIT
 *
 * Description: a process with as many mappings as vm.max_map_count allows, and memory that
 * nobody can write to: the error is the documented one and its text names the cause, nothing
 * is lost, and memory is as writable as before. */
#include "tests/support/backends.h"
#include "tests/support/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_MAPPINGS 200000 /* more would take too long */

static size_t most_mappings(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	size_t most = 0;

	CHECK(f != NULL);
	CHECK(fscanf(f, "%zu", &most) == 1);
	CHECK(fclose(f) == 0);
	if (most > MOST_MAPPINGS)
		tap_skip("vm.max_map_count is %zu: too many to use up", most);
	return most;
}

static bool last_error_has(const char *text)
{
	if (strstr(cardmark_last_error(), text) != NULL)
		return true;
	tap_note("last error: %s", cardmark_last_error());
	return false;
}

/* ---- Ranges ---------------------------------------------------------------------------- */

/* Every other card of one mapping: each registration cuts it twice. */
static void more_ranges_than_mappings(void *arg)
{
	size_t n = 2 * most_mappings(), tracked = 0;
	struct cardmark_stats stats;
	int error = 0;

	(void)arg;
	mem = live_map(n);
	cm = live_open();
	table = live_table(cm);
	for (size_t i = 0; error == 0 && i < n; i += 2, tracked += error == 0)
		error = cardmark_track(cm, card_at(i), live_card, CARDMARK_TRACK_PRIVATE);
	CHECK_EQ(error, -ENOMEM);
	CHECK(last_error_has("vm.max_map_count"));
	CHECK_EQ(live_stats(cm).ranges, tracked);
	for (size_t i = 0; i < tracked; i += 97)
		live_store(card_at(2 * i), 1);
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	for (size_t i = 0; i < tracked; i++)
		CHECK_EQ(cardmark_table_is_dirty(table, card_at(2 * i)), i % 97 == 0);
	/* Once there is room again, tracking works again. */
	CHECK_EQ(cardmark_untrack(cm, mem, tracked * live_card), 0);
	CHECK_EQ(cardmark_track(cm, card_at(n - 2), live_card, CARDMARK_TRACK_PRIVATE), 0);
	stats = live_stats(cm);
	tap_note("%zu ranges, then -ENOMEM; %llu are left", tracked,
		 (unsigned long long)stats.ranges);
}

static void the_words_name_the_limit(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer has too many mappings of its own");
	CHECK_EQ(tap_in_child(more_ranges_than_mappings, NULL), 0);
}

/* ---- Traps that can't be resolved card by card --------------------------------------------- */

/* Leaves no mapping free. */
static void use_up_mappings(void)
{
	size_t n = 2 * most_mappings();
	unsigned char *p = mmap(NULL, n * live_card, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t i = 1; i < n; i += 2)
		if (mprotect(p + i * live_card, live_card, PROT_NONE) != 0) {
			CHECK_EQ(errno, ENOMEM);
			/* A single free mapping would be enough for a card at the end of a
			 * range. */
			while (mmap(NULL, live_card, i++ % 2 == 0 ? PROT_READ : PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
				;
			return;
		}
	tap_fail(__FILE__, __LINE__, "mappings are used up");
}

static void store_all(unsigned char value)
{
	for (size_t i = 0; i < CARDS; i++)
		live_store(card_at(i), value);
}

static void write_without_mappings(void *arg)
{
	(void)arg;
	set_up();
	use_up_mappings();
	write_card(10); /* all of the range is given back at once */
	write_card(20);
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	CHECK(cardmark_table_is_dirty(table, card_at(10)));
	CHECK(cardmark_table_is_dirty(table, card_at(20)));
	write_card(30);
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	CHECK(cardmark_table_is_dirty(table, card_at(30)));
	CHECK_EQ(live_stats(cm).last_errno, live_backend == CARDMARK_BACKEND_MPROTECT ? ENOMEM : 0);
	/* The middle of a mapping that can't be cut. */
	(void)live_collect(cm, table);
	CHECK_EQ(cardmark_untrack(cm, card_at(20), 8 * live_card), 0);
	for (size_t i = 20; i < 28; i++)
		live_store(card_at(i), 5);
	CHECK(!says_tracked(cm, card_at(21), live_card));
	(void)live_collect(cm, table);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	store_all(7);
}

/* The ranges of two trackers in one mapping, which the close of the first one can't cut. */
static void close_beside_another(void *written)
{
	struct cardmark *other;
	struct cardmark_table *others;

	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_open();
	table = live_table(cm);
	other = live_open();
	others = live_table(other);
	CHECK_EQ(cardmark_track(cm, mem, CARDS / 2 * live_card, 0), 0);
	CHECK_EQ(cardmark_track(other, card_at(CARDS / 2), CARDS / 2 * live_card, 0), 0);
	(void)live_collect(cm, table);
	(void)live_collect(other, others);
	(void)live_collect(cm, table);
	use_up_mappings();
	if (written != NULL) {
		write_card(3); /* the handler must do the same */
		live_store(card_at(CARDS - 1), 9);
	}
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	store_all(7);
	(void)live_collect(other, others);
	for (size_t i = CARDS / 2; i < CARDS; i++)
		CHECK(cardmark_table_is_dirty(others, card_at(i)));
	cardmark_table_delete(&others);
	cardmark_close(&other);
	store_all(8);
}

static void memory_stays_writable(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer has too many mappings of its own");
	CHECK_EQ(tap_in_child(write_without_mappings, NULL), 0);
}

static void neighbours_stay_writable(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer has too many mappings of its own");
	CHECK_EQ(tap_in_child(close_beside_another, NULL), 0);
	CHECK_EQ(tap_in_child(close_beside_another, want), 0);
}

/* ---- Memory that nobody can write to -------------------------------------------------------- */

static void a_file_for_reading_only(void)
{
	char path[] = "limits-XXXXXX";
	int fd = mkstemp(path), ro;
	unsigned char *p;

	CHECK(fd >= 0);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(ro >= 0 && unlink(path) == 0);
	CHECK(ftruncate(fd, (off_t)(4 * live_card)) == 0);
	p = mmap(NULL, 4 * live_card, PROT_READ, MAP_SHARED, ro, 0);
	live_own_memory(p, 4 * live_card);
	CHECK(close(fd) == 0 && close(ro) == 0);
	cm = live_open();
	if (!live_can(CARDMARK_CAP_PRECISE)) {
		CHECK_EQ(cardmark_track(cm, p, 4 * live_card, 0), 0);
		return;
	}
	CHECK_EQ(cardmark_track(cm, p, 4 * live_card, 0), -EINVAL);
	CHECK(last_error_has(live_backend == CARDMARK_BACKEND_PAGEMAP ? "for reading only"
								      : "cannot watch"));
	CHECK(!says_tracked(cm, p, live_card));
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "as many ranges as there are mappings, and words that say so",
		  the_words_name_the_limit, 0, LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) },
		{ "memory stays writable where no more mappings are to be had",
		  memory_stays_writable, 0, 0 },
		{ "that of two trackers in one mapping too", neighbours_stay_writable, 0,
		  LIVE_ONLY(MPROTECT) },
		{ "a shared file for reading only is refused in words", a_file_for_reading_only, 0,
		  0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
