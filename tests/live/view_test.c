/* SPDX-License-Identifier: MIT
 *
 * Description: the query on another process, compared for random masks with its pagemap
 * entries and mappings. Takes a seed. */
#include "tests/live/view.h"
#include "tests/support/smaps.h"

#define HOLE_UNKNOWN CARDMARK_PAGE_WRITTEN /* of a hole: differs between kernels */

/* ---- The reference ---------------------------------------------------------------- */

struct page {
	bool mapped;
	uint64_t categories;
};

static struct page pages[SPAN_PAGES];
static uint64_t comparable; /* categories that entries show */

/* The frame of the zero page, 0 if this process may not see frames. */
static uint64_t zero_frame(void)
{
	unsigned char *p = live_map(1);
	uint64_t entry = 0;
	volatile unsigned char sink = *(volatile unsigned char *)p;

	(void)sink;
	CHECK(smaps_entries(getpid(), (uintptr_t)p, 1, &entry));
	return entry & ((UINT64_C(1) << 55) - 1);
}

static uint64_t categories_of(uint64_t entry, const struct smaps_vma *vma, uint64_t zero)
{
	uint64_t c = vma->wp_allowed ? CARDMARK_PAGE_WPALLOWED : 0;

	if (entry >> 63 & 1)
		c |= CARDMARK_PAGE_PRESENT;
	if (entry >> 62 & 1)
		c |= CARDMARK_PAGE_SWAPPED;
	if (!(entry >> 57 & 1))
		c |= CARDMARK_PAGE_WRITTEN;
	if (entry >> 61 & 1)
		c |= CARDMARK_PAGE_FILE;
	if (zero != 0 && entry >> 63 & 1 && (entry & ((UINT64_C(1) << 55) - 1)) == zero)
		c |= CARDMARK_PAGE_PFNZERO;
	return c;
}

static void read_reference(void)
{
	static struct smaps_vma vmas[SMAPS_MAX];
	static uint64_t entries[SPAN_PAGES];
	uint64_t zero = zero_frame();
	size_t n = smaps_read(target, vmas);

	CHECK(n > 0);
	CHECK(smaps_entries(target, (uintptr_t)arena, SPAN_PAGES, entries));
	memset(pages, 0, sizeof pages);
	comparable = CARDMARK_PAGE_WPALLOWED | CARDMARK_PAGE_WRITTEN | CARDMARK_PAGE_FILE |
		     CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	if (zero != 0)
		comparable |= CARDMARK_PAGE_PFNZERO;
	for (size_t i = 0; i < n; i++)
		for (uintptr_t at = vmas[i].start; at < vmas[i].end; at += live_card) {
			size_t page = (at - (uintptr_t)arena) / live_card;
			if (at < (uintptr_t)arena || page >= SPAN_PAGES)
				break;
			pages[page].mapped = true;
			pages[page].categories = categories_of(entries[page], &vmas[i], zero);
		}
}

static bool is_hole(const struct page *p)
{
	return (p->categories & (CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED)) == 0;
}

static bool matches(const struct cardmark_query *q, uint64_t c)
{
	return (c & q->required) == q->required && (q->any_of == 0 || (c & q->any_of) != 0) &&
	       (c & q->excluded) == 0;
}

/* ---- Questions -------------------------------------------------------------------- */

static uint64_t random_categories(unsigned one_in)
{
	uint64_t c = 0;

	for (unsigned bit = 0; bit < 9; bit++)
		if (random_below(&rng, one_in) == 0)
			c |= UINT64_C(1) << bit;
	return c & comparable;
}

/* Masks that can match, most of them like those in real use. */
static void random_masks(struct cardmark_query *q)
{
	q->required = random_categories(8);
	q->excluded = random_categories(8) & ~q->required;
	do
		q->any_of = random_below(&rng, 2) == 0 ? 0 : random_categories(3);
	while (q->any_of != 0 && (q->any_of & ~q->excluded) == 0);
	if (random_below(&rng, 3) == 0)
		q->any_of = (CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED) & ~q->excluded;
	q->returned = random_categories(2);
}

static size_t n_regions;

/* All answers to q, asked in pieces of the given sizes. */
static void ask(struct cardmark_query q, size_t capacity, size_t max_pages)
{
	uintptr_t end = (uintptr_t)q.start + q.len;

	n_regions = 0;
	q.max_pages = max_pages;
	while ((uintptr_t)q.start < end) {
		int error;

		q.regions = regions + n_regions;
		q.capacity =
			capacity < MAX_REGIONS - n_regions ? capacity : MAX_REGIONS - n_regions;
		error = cardmark_process_scan(view, &q);
		if (error < 0)
			tap_note("scan: %s", cardmark_last_error());
		CHECK_EQ(error, 0);
		CHECK(!q.guessed && q.count <= q.capacity);
		CHECK(max_pages == 0 || q.pages <= max_pages);
		CHECK(q.resume > (uintptr_t)q.start && q.resume <= end);
		for (size_t i = 1; i < q.count; i++)
			CHECK(q.regions[i].start > q.regions[i - 1].end ||
			      (q.regions[i].start == q.regions[i - 1].end &&
			       q.regions[i].categories != q.regions[i - 1].categories));
		n_regions += q.count;
		q.len = end - q.resume;
		q.start = (void *)q.resume;
	}
}

/* Pages of the arena that the regions get wrong. */
static size_t differences(const struct cardmark_query *q)
{
	uint64_t asked = q->required | q->any_of | q->excluded | q->returned;
	size_t wrong = 0, at = 0;

	for (size_t i = 0; i < SPAN_PAGES; i++) {
		uintptr_t addr = (uintptr_t)arena + i * live_card;
		const struct page *p = &pages[i];
		bool got, want = p->mapped && matches(q, p->categories);

		while (at < n_regions && regions[at].end <= addr)
			at++;
		got = at < n_regions && regions[at].start <= addr;
		if (p->mapped && is_hole(p) && (asked & HOLE_UNKNOWN) != 0)
			continue;
		if (got != want || (got && regions[at].categories != (p->categories & q->returned)))
			wrong++;
	}
	return wrong;
}

static void compare(const struct cardmark_query *q)
{
	size_t wrong = differences(q);

	if (wrong != 0)
		tap_note("%zu pages wrong: required %#llx any_of %#llx excluded %#llx returned "
			 "%#llx",
			 wrong, (unsigned long long)q->required, (unsigned long long)q->any_of,
			 (unsigned long long)q->excluded, (unsigned long long)q->returned);
	CHECK_EQ(wrong, 0);
}

static void says_what_the_entries_say(void)
{
	rng = random_seed(NULL);
	for (unsigned furniture = 0; furniture < 3; furniture++) {
		set_up();
		read_reference();
		for (unsigned i = 0; i < 100; i++) {
			struct cardmark_query q = question();

			random_masks(&q);
			ask(q,
			    random_below(&rng, 3) == 0 ? 1 + random_below(&rng, 40) : MAX_REGIONS,
			    random_below(&rng, 3) == 0 ? 1 + random_below(&rng, 300) : 0);
			compare(&q);
		}
	}
}

/* Loses a call's last region. */
static long lossy_scan(int fd, struct pm_scan_arg *arg)
{
	long n = cm_os_linux.scan(fd, arg);

	return n > 1 ? n - 1 : n;
}

static void control_a_lost_region_is_noticed(void)
{
	struct cardmark_query q;

	rng = 1;
	set_up();
	read_reference();
	q = question();
	q.any_of = q.returned = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	ask(q, MAX_REGIONS, 0);
	CHECK_EQ(differences(&q), 0);
	broken_os_begin()->scan = lossy_scan;
	ask(q, MAX_REGIONS, 0);
	CHECK(differences(&q) > 0);
}

/* The target's own tracker does not notice that another process has looked. */
static int told[2];

static void report_after_being_looked_at(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm = NULL;
	struct cardmark_table *table;
	char byte;

	options.backend = CARDMARK_BACKEND_PAGEMAP;
	options.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cardmark_open(&cm, &options), 0);
	CHECK_EQ(cardmark_table_new(&table, cm), 0);
	memset(arena, 1, 64 * live_card);
	CHECK_EQ(cardmark_track(cm, arena, 64 * live_card, 0), 0);
	(void)cardmark_collect(cm, table);
	for (size_t i = 0; i < 64; i += 3)
		live_store(arena + i * live_card, 2);
	if (write(told[1], "r", 1) != 1 || read(told[0], &byte, 1) != 1)
		_exit(1);
	cardmark_table_clear(table);
	(void)cardmark_collect(cm, table);
	_exit(cardmark_table_count(table) == 22 ? 0 : 2);
}

static void only_looks(void)
{
	struct cardmark_query q;
	int to[2], from[2], status;
	char byte;

	start(SPAN_PAGES);
	CHECK(pipe(to) == 0 && pipe(from) == 0);
	target = fork();
	if (target == 0) {
		told[0] = to[0];
		told[1] = from[1];
		report_after_being_looked_at();
	}
	CHECK(read(from[0], &byte, 1) == 1);
	open_view(target);
	q = question();
	q.required = q.returned = CARDMARK_PAGE_WRITTEN;
	q.any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	for (unsigned i = 0; i < 3; i++) {
		ask(q, MAX_REGIONS, 0);
		CHECK_EQ(n_regions, 22);
	}
	CHECK(write(to[1], "g", 1) == 1);
	status = tap_wait(target);
	target = 0;
	for (unsigned i = 0; i < 2; i++)
		CHECK(close(to[i]) == 0 && close(from[i]) == 0);
	CHECK_EQ(status, 0);
}

static void looks_at_itself(void)
{
	struct cardmark_query q;

	start(SPAN_PAGES);
	memset(arena + 3 * live_card, 1, 2 * live_card);
	open_view(getpid());
	q = question();
	q.required = CARDMARK_PAGE_PRESENT;
	ask(q, MAX_REGIONS, 0);
	CHECK_EQ(n_regions, 1);
	CHECK_EQ(regions[0].start, (uintptr_t)arena + 3 * live_card);
	CHECK_EQ(regions[0].end, (uintptr_t)arena + 5 * live_card);
}

/* The end of user space is not on a round address everywhere. */
static void the_whole_address_space_can_be_asked(void)
{
	struct cardmark_query q;
	bool found = false;

	start(SPAN_PAGES);
	live_store(arena, 1);
	open_view(getpid());
	q = question();
	q.start = NULL;
	q.len = (size_t)0 - live_card;
	q.any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	ask(q, MAX_REGIONS, 0);
	for (size_t i = 0; i < n_regions; i++)
		found |= regions[i].start <= (uintptr_t)arena && (uintptr_t)arena < regions[i].end;
	CHECK(found);
}

/* Dense memory is looked at in bounded pieces, a hole in one. */
static unsigned long most_pages, scans;

static long measuring_scan(int fd, struct pm_scan_arg *arg)
{
	const struct page_region *v = (const struct page_region *)(uintptr_t)arg->vec;
	unsigned long n_pages = 0;
	long n = cm_os_linux.scan(fd, arg);

	scans++;
	for (long i = 0; i < n; i++)
		n_pages += (v[i].end - v[i].start) / live_card;
	if (n_pages > most_pages)
		most_pages = n_pages;
	return n;
}

static void one_call_walks_a_bounded_number_of_cards(void)
{
	struct cardmark_query q;
	size_t cards = 40960, len = cards * live_card;

	start(cards);
	for (size_t i = 0; i < cards; i++) /* zero pages: they take no memory */
		(void)*(volatile unsigned char *)(arena + i * live_card);
	open_view(getpid());
	broken_os_begin()->scan = measuring_scan;
	for (unsigned i = 0; i < 3; i++) {
		q = question();
		q.len = len;
		q.any_of = CARDMARK_PAGE_PRESENT | (i == 0 ? CARDMARK_PAGE_SWAPPED : 0);
		q.excluded = i == 2 ? CARDMARK_PAGE_FILE : 0;
		most_pages = scans = 0;
		ask(q, MAX_REGIONS, 0);
		CHECK_EQ(n_regions, 1);
		CHECK_EQ(regions[0].end - regions[0].start, len);
		CHECK(most_pages <= 16384);
		CHECK(scans >= 3 && scans <= 8);
	}
}

static const struct live_case cases[] = {
	{ "says what the entries say", says_what_the_entries_say, 0, LIVE_ONLY(PAGEMAP) },
	{ "control: a lost region is noticed", control_a_lost_region_is_noticed, 0,
	  LIVE_ONLY(PAGEMAP) },
	{ "only looks", only_looks, 0, LIVE_ONLY(PAGEMAP) },
	{ "looks at itself", looks_at_itself, 0, LIVE_ONLY(PAGEMAP) },
	{ "the whole address space can be asked", the_whole_address_space_can_be_asked, 0,
	  LIVE_ONLY(PAGEMAP) },
	{ "one call walks a bounded number of cards", one_call_walks_a_bounded_number_of_cards, 0,
	  LIVE_ONLY(PAGEMAP) },
};

int main(int argc, char **argv)
{
	int status = live_main(argc, argv, LIVE_CASES(cases));

	start(0);
	return status;
}
