/* SPDX-License-Identifier: MIT
 *
 * Description: the soft-dirty backend (lib/backend/softdirty.c) on a fake kernel:
 * a process-wide clear loses nothing, whatever fails. */
#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <string.h>

#define PAGES 1200
#define PAGE ((uintptr_t)cardmark_card_size())
#define BASE ((uintptr_t)0x40000000 - 100 * PAGE)
#define PAGEMAP_FD 77
#define CLEAR_FD 78
#define KSM_FD 79

static struct cm_os fake;

/* The fake kernel. */
static struct {
	bool present[PAGES], soft[PAGES];
	bool vma_soft;   /* VM_SOFTDIRTY: bit 55 everywhere until the first clear */
	int clear_error; /* of the write to clear_refs */
	size_t unreadable;
	int open_error;
	int clears, files_open;
	const char *ksm; /* what its file says; NULL: there is none */
	bool stolen;     /* the program has closed our descriptors */
} k;

static struct cm_counters counters;
static struct cm_backend *b;
static struct cm_ranges all;
static struct cm_cards into;
static struct cm_range range;

static uintptr_t address(size_t page)
{
	return BASE + page * PAGE;
}

static int fake_open_self(const char *name, int flags)
{
	(void)flags;
	if (k.open_error != 0)
		return k.open_error;
	if (strncmp(name, "ksm", 3) == 0 && (k.ksm == NULL || strcmp(name, "ksm_stat") != 0))
		return -ENOENT;
	k.files_open++;
	k.stolen = false;
	return strcmp(name, "pagemap") == 0      ? PAGEMAP_FD
	       : strcmp(name, "clear_refs") == 0 ? CLEAR_FD
						 : KSM_FD;
}

static int fake_close(int fd)
{
	CHECK(fd == PAGEMAP_FD || fd == CLEAR_FD || fd == KSM_FD);
	k.files_open--;
	return 0;
}

static int fake_fd_id(int fd, struct cm_file_id *out)
{
	if (k.files_open == 0 || (fd != PAGEMAP_FD && fd != CLEAR_FD && fd != KSM_FD))
		return -EBADF;
	*out = (struct cm_file_id){ k.stolen, (uint64_t)fd };
	return 0;
}

static ssize_t fake_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	uint64_t *entries = buf;
	size_t first = (size_t)(offset / 8) - BASE / PAGE;

	if (fd == KSM_FD) {
		size_t n = strlen(k.ksm) < len ? strlen(k.ksm) : len;
		memcpy(buf, k.ksm, n);
		return (ssize_t)n;
	}
	if (fd != PAGEMAP_FD)
		return -EBADF;
	CHECK(!k.stolen);
	for (size_t i = 0; i < len / 8; i++) {
		size_t p = first + i;
		if (p >= k.unreadable)
			return (ssize_t)(i * 8);
		entries[i] = (k.present[p] ? CM_PME_PRESENT : 0) |
			     (k.soft[p] || k.vma_soft ? CM_PME_SOFT_DIRTY : 0);
	}
	return (ssize_t)len;
}

static ssize_t fake_write(int fd, const void *buf, size_t len)
{
	if (fd != CLEAR_FD)
		return -EBADF;
	CHECK(!k.stolen);
	CHECK(memcmp(buf, "4", 1) == 0);
	if (k.clear_error != 0)
		return k.clear_error;
	k.clears++;
	k.vma_soft = false;
	memset(k.soft, 0, sizeof k.soft);
	return (ssize_t)len;
}

/* A program's write. */
static void store(size_t page)
{
	k.present[page] = k.soft[page] = true;
}

static const struct cm_backend_ops *ops = &cm_backend_softdirty;
static const struct cm_backend_params params = { .chunk_bytes = 1 << 26,
						 .vec_len = 512,
						 .counters = &counters };

static size_t harvest(void)
{
	cm_cards_clear_all(&into);
	return ops->harvest(b, &all, CM_ALL, &into);
}

/* Are exactly the n listed pages in the set? */
static void reported(size_t n, const size_t *pages)
{
	CHECK_EQ(cm_cards_count(&into), n);
	for (size_t i = 0; i < n; i++)
		CHECK(cm_cards_test(&into, address(pages[i])));
}

#define REPORTED(...)                                                                              \
	do {                                                                                       \
		const size_t pages_[] = { __VA_ARGS__ };                                           \
		reported(sizeof pages_ / sizeof *pages_, pages_);                                  \
	} while (0)

static void set_up(void)
{
	const char *why = "";

	memset(&k, 0, sizeof k);
	memset(&counters, 0, sizeof counters);
	k.unreadable = PAGES;
	k.vma_soft = true;
	fake = cm_os_linux;
	fake.open_self = fake_open_self;
	fake.close = fake_close;
	fake.fd_id = fake_fd_id;
	fake.pread = fake_pread;
	fake.write = fake_write;
	cm_os = &fake;
	range = (struct cm_range){ address(0), address(PAGES), CM_KIND_PRIVATE, 3 };
	all = (struct cm_ranges){ .v = &range, .n = 1, .cap = 1 };
	CHECK_EQ(cm_cards_init(&into), 0);
	CHECK_EQ(cm_cards_reserve(&into, range.start, range.end), 0);
	CHECK_EQ(ops->open(&b, &params, &why), 0);
	CHECK_EQ(ops->add(b, &range), 0);
}

static void tear_down(void)
{
	ops->close(b, &all);
	cm_cards_free(&into);
	cm_os = &cm_os_linux;
	CHECK_EQ(k.files_open, 0);
}

static struct cm_sink scan(size_t from, size_t to, enum cardmark_scan_op op,
			   struct cardmark_region *v, size_t cap)
{
	struct cm_masks m = { .required = CARDMARK_PAGE_WRITTEN, .any_of = CARDMARK_PAGE_PRESENT };
	struct cm_sink s = { .v = v, .cap = cap, .max_pages = SIZE_MAX };
	struct cm_range piece = { address(from), address(to), CM_KIND_PRIVATE, 3 };
	uintptr_t resume;

	ops->scan(b, &all, &piece, &m, op, &s, &resume);
	return s;
}

/* Pages written before the track, and cleared by another program since; and the file of KSM
 * does not exist at first. */
static void starts_with_all_that_holds_data(void)
{
	k.vma_soft = false;
	k.present[4] = k.present[1000] = true;
	CHECK_EQ(harvest(), 0);
	REPORTED(4, 1000);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(cm_cards_count(&into), 0);
	CHECK_EQ(ops->add(b, &range), 0); /* starts anew */
	k.unreadable = 900;
	CHECK_EQ(harvest(), 1);
	CHECK(cm_cards_test(&into, address(4)) && cm_cards_test(&into, address(1000)));
	CHECK(!cm_cards_test(&into, address(5)));
}

static void starts_all_written_then_exact(void)
{
	memset(k.present, true, sizeof k.present);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(cm_cards_count(&into), PAGES);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(cm_cards_count(&into), 0);
	store(3);
	store(1100);
	CHECK_EQ(harvest(), 0);
	REPORTED(3, 1100);
	CHECK_EQ(k.clears, 3);
}

static void holes_of_a_new_mapping_are_not_written(void)
{
	(void)harvest();
	k.vma_soft = true;
	k.present[7] = true;
	(void)harvest();
	REPORTED(7);
}

static void a_scan_that_clears_keeps_what_it_did_not_report(void)
{
	struct cardmark_region v[1];

	(void)harvest();
	store(5);
	store(9);
	store(500);
	struct cm_sink s = scan(0, 100, CARDMARK_SCAN_GET_AND_CLEAR, v, 1);
	CHECK_EQ(s.pages, 1); /* the second did not fit */
	CHECK_EQ(v[0].start, address(5));
	store(600);
	(void)harvest();
	REPORTED(9, 500, 600);
}

static void a_look_changes_nothing(void)
{
	struct cardmark_region v[8];

	(void)harvest();
	store(5);
	for (int i = 0; i < 2; i++) {
		struct cm_sink s = scan(0, PAGES, CARDMARK_SCAN_GET, v, 8);
		CHECK_EQ(s.pages, 1);
	}
	CHECK_EQ(k.clears, 1);
	(void)harvest();
	REPORTED(5);
	(void)harvest();
	CHECK_EQ(cm_cards_count(&into), 0);
}

static void a_failed_clear_reports_again(void)
{
	(void)harvest();
	store(5);
	k.clear_error = -EINTR;
	(void)harvest();
	REPORTED(5);
	CHECK_EQ(counters.last_errno, EINTR);
	store(6);
	k.clear_error = 0;
	(void)harvest();
	REPORTED(5, 6);
	(void)harvest();
	CHECK_EQ(cm_cards_count(&into), 0);
}

static void a_failed_read_reports_the_rest(void)
{
	(void)harvest();
	store(5);
	k.unreadable = 512;
	CHECK_EQ(harvest(), 1);
	CHECK_EQ(cm_cards_count(&into), 1 + PAGES - 512);
	CHECK_EQ(counters.guessed, 1);
}

static void stolen_descriptors_are_opened_again(void)
{
	(void)harvest();
	store(5);
	k.stolen = true;
	k.files_open = 0;
	CHECK_EQ(harvest(), 0);
	REPORTED(5);
}

/* The reported reason is why the file cannot be opened, not that it is closed. */
static void none_to_be_had_says_why(void)
{
	(void)harvest();
	store(5);
	k.stolen = true;
	k.files_open = 0;
	k.open_error = -EMFILE;
	CHECK_EQ(harvest(), 1);
	CHECK_EQ(cm_cards_count(&into), PAGES);
	CHECK_EQ(counters.last_errno, EMFILE);
	k.open_error = 0;
	(void)harvest();
	CHECK_EQ(counters.reopened, 1);
	(void)harvest();
	(void)harvest();
	CHECK_EQ(cm_cards_count(&into), 0);
}

/* Page 5 was written and merged: its bit is gone. */
static void what_ksm_may_have_merged_is_written(void)
{
	static const char *const at_work[] = { "ksm_rmap_items 20\nksm_merging_pages 0\n", "" };
	struct cardmark_region v[8];

	k.ksm = "ksm_rmap_items 0\nksm_merging_pages 7\n";
	CHECK_EQ(ops->rebuild(b, &all), 0);
	(void)harvest();
	for (size_t i = 0; i < 2; i++) {
		k.present[5] = k.present[900] = true;
		k.ksm = at_work[i];
		CHECK_EQ(scan(0, 100, CARDMARK_SCAN_GET, v, 8).pages, 1);
		CHECK_EQ(harvest(), 1);
		REPORTED(5, 900);
		k.ksm = "ksm_rmap_items 0\n";
		CHECK_EQ(scan(0, 100, CARDMARK_SCAN_GET, v, 8).pages, 1);
		CHECK_EQ(harvest(), 1); /* it was merged, since the last look */
		REPORTED(5, 900);
		CHECK_EQ(harvest(), 0);
		CHECK_EQ(cm_cards_count(&into), 0);
	}
}

/* If the file existed once, its absence later proves nothing. */
static void ksm_that_cannot_be_asked_any_more_is_not_absent(void)
{
	k.ksm = "0\n";
	CHECK_EQ(ops->rebuild(b, &all), 0); /* finds the file */
	(void)harvest();
	store(3);
	k.ksm = NULL;
	k.stolen = true;
	k.files_open = 0;
	CHECK_EQ(harvest(), 1); /* cannot be opened again: all */
	CHECK_EQ(cm_cards_count(&into), PAGES);
	k.ksm = "0\n";
	(void)harvest();
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(cm_cards_count(&into), 0);
}

static void one_tracker_a_process(void)
{
	struct cm_backend *second;
	const char *why = "";

	CHECK_EQ(ops->open(&second, &params, &why), -EBUSY);
	CHECK(strlen(why) > 0);
}

static void shared_memory_is_refused(void)
{
	struct cm_range file = { address(0), address(1), CM_KIND_FILE, 3 };

	CHECK_EQ(ops->add(b, &file), -EINVAL);
}

static void a_rebuild_starts_all_written(void)
{
	memset(k.present, true, sizeof k.present);
	(void)harvest();
	k.open_error = -EMFILE;
	CHECK(ops->rebuild(b, &all) < 0);
	k.open_error = 0;
	CHECK_EQ(ops->rebuild(b, &all), 0);
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(cm_cards_count(&into), PAGES);
}

/* Nothing that was stored is ever missing, whatever fails in between. */
static void nothing_is_lost_in_a_random_walk(void)
{
	static bool due[PAGES];
	static struct cardmark_region v[PAGES];
	uint64_t seed = random_seed(unit_seed);

	memset(due, 0, sizeof due);
	for (int step = 0; step < 5000; step++) {
		k.clear_error = random_below(&seed, 8) == 0 ? -EINTR : 0;
		k.unreadable = random_below(&seed, 8) == 0 ? random_below(&seed, PAGES) : PAGES;
		for (size_t i = random_below(&seed, 20); i > 0; i--) {
			size_t p = random_below(&seed, PAGES);
			store(p);
			due[p] = true;
		}
		if (random_below(&seed, 2) == 0) {
			(void)harvest();
			for (size_t i = 0; i < PAGES; i++)
				CHECK(!due[i] || cm_cards_test(&into, address(i)));
			memset(due, 0, sizeof due);
			continue;
		}
		size_t from = random_below(&seed, PAGES);
		struct cm_sink s = scan(from, PAGES, CARDMARK_SCAN_GET_AND_CLEAR, v,
					1 + random_below(&seed, 10));
		for (size_t r = 0; r < s.n; r++) {
			for (uintptr_t a = v[r].start; a < v[r].end; a += PAGE)
				due[(a - BASE) / PAGE] = false;
		}
		if (s.n == 0)
			for (size_t i = from; i < PAGES; i++)
				CHECK(!due[i]);
	}
}

int main(int argc, char **argv)
{
#define CASE(run) UNIT_CASE_WITH(run, set_up, tear_down)
	static const struct unit_case cases[] = {
		CASE(starts_with_all_that_holds_data),
		CASE(starts_all_written_then_exact),
		CASE(holes_of_a_new_mapping_are_not_written),
		CASE(a_scan_that_clears_keeps_what_it_did_not_report),
		CASE(a_look_changes_nothing),
		CASE(a_failed_clear_reports_again),
		CASE(a_failed_read_reports_the_rest),
		CASE(stolen_descriptors_are_opened_again),
		CASE(none_to_be_had_says_why),
		CASE(what_ksm_may_have_merged_is_written),
		CASE(ksm_that_cannot_be_asked_any_more_is_not_absent),
		CASE(one_tracker_a_process),
		CASE(shared_memory_is_refused),
		CASE(a_rebuild_starts_all_written),
		CASE(nothing_is_lost_in_a_random_walk),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
