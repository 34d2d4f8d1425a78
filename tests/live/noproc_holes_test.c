/* SPDX-License-Identifier: MIT
 *
 * Description: memory with holes is given back, and can be written, without /proc, descriptors
 * or rights. */
#include "lib/backend/holes.h"
#include "tests/support/random.h"
#include "tests/support/taken_away.h"

#include <sys/mman.h>

static void unmap(size_t first, size_t n)
{
	CHECK(munmap(card_at(first), n * live_card) == 0);
}

static void make_holes(void)
{
	unmap(4, 1);
	unmap(30, 7);
	unmap(CARDS - 1, 1);
}

static void write_around_holes(void)
{
	for (size_t i = 0; i < CARDS - 1; i++)
		if (i != 4 && (i < 30 || i >= 37))
			live_store(card_at(i), 7);
}

static void untrack_with_holes(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	make_holes();
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	write_around_holes();
	cardmark_close(&cm);
	write_around_holes();
}
EACH_WAY(untrack_with_holes)

static void close_with_holes(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	make_holes();
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	write_around_holes();
}
EACH_WAY(close_with_holes)

static void collect_with_holes(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	make_holes();
	for (size_t i = 0; i < 30; i++)
		if (i != 4)
			write_and_find(i);
	for (size_t i = 37; i < CARDS - 1; i++)
		write_and_find(i);
	write_around_holes();
}
EACH_WAY(collect_with_holes)

/* A mapping that cannot be made writable, in the middle of memory that must become writable. */
static void give_back_around_a_file(void *arg)
{
	int ro = open("/proc/self/exe", O_RDONLY);
	struct cardmark *other;

	(void)arg;
	CHECK(ro >= 0);
	prepare();
	set_up();
	other = live_backend == CARDMARK_BACKEND_SOFTDIRTY ? NULL : live_open();
	take_away();
	CHECK(mmap(card_at(20), 3 * live_card, PROT_READ, MAP_SHARED | MAP_FIXED, ro, 0) ==
	      card_at(20));
	unmap(40, 2);
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	for (size_t i = 0; i < CARDS; i++)
		if ((i < 20 || i >= 23) && (i < 40 || i >= 42))
			live_store(card_at(i), 7);
	CHECK_EQ(cm_os->writable((uintptr_t)card_at(21)), 0); /* as it was */
	/* No tracker still holds any of it. */
	CHECK_EQ(other == NULL ? 0
			       : cardmark_track(other, mem, 20 * live_card, CARDMARK_TRACK_PRIVATE),
		 0);
	CHECK_EQ(other == NULL ? 0
			       : cardmark_track(other, card_at(23), 17 * live_card,
						CARDMARK_TRACK_PRIVATE),
		 0);
}
EACH_WAY(give_back_around_a_file)

static int all_vacant(uintptr_t addr, size_t len, int prot)
{
	(void)addr;
	(void)len;
	(void)prot;
	return 1;
}

static void holes_without_end(void *arg)
{
	struct cm_os *os = broken_os_begin();

	(void)arg;
	prepare();
	os->vacant = all_vacant;
	untrack_with_holes(NULL);
}

static void control_a_hole_that_ends_too_late_crashes(void)
{
	struct rlimit no_core = { 0, 0 };
	int status;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
	status = run_in(FILES, holes_without_end);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

static void untrack_with_nothing_allowed(void *arg)
{
	allow_nothing();
	untrack_with_holes(arg);
}

static int never_vacant(uintptr_t addr, size_t len, int prot)
{
	(void)addr;
	(void)len;
	(void)prot;
	return 0;
}

static void untrack_and_be_told_nothing_is_vacant(void *arg)
{
	struct cm_os *os = broken_os_begin();

	os->vacant = never_vacant;
	untrack_with_holes(arg);
}

static void gives_back_card_by_card(void)
{
	check_in(FILES, untrack_and_be_told_nothing_is_vacant);
	check_in(FILES, untrack_with_nothing_allowed);
	check_in(PROC, untrack_with_nothing_allowed);
}

/* The walk over mapped memory, compared with what was unmapped. */
static void holes_are_found(void)
{
	uint64_t rng = random_seed(NULL);
	enum { N = 300 };

	for (int round = 0; round < 50; round++) {
		unsigned char *p = live_map(N);
		bool mapped[N];
		struct cardmark_run run = { 0, 0 };
		uintptr_t at = (uintptr_t)p, end = at + N * live_card;
		size_t i = 0;

		memset(mapped, true, sizeof mapped);
		for (size_t holes = random_below(&rng, 12); holes > 0; holes--) {
			size_t first = random_below(&rng, N);
			size_t n = 1 + random_below(&rng, random_below(&rng, 4) == 0 ? N : 8);

			if (n > N - first)
				n = N - first;
			CHECK(munmap(p + first * live_card, n * live_card) == 0);
			memset(mapped + first, false, n);
		}
		for (size_t k = random_below(&rng, 5); k > 0; k--) /* borders without holes */
			(void)mprotect(p + random_below(&rng, N) * live_card, live_card, PROT_READ);
		while (cm_next_mapped(at, end, PROT_READ | PROT_WRITE, &run) > 0) {
			for (; (uintptr_t)p + i * live_card < run.start; i++)
				CHECK(!mapped[i]);
			for (; (uintptr_t)p + i * live_card < run.end; i++)
				CHECK(mapped[i]);
			at = run.end;
		}
		for (; i < N; i++)
			CHECK(!mapped[i]);
		live_clean_up();
	}
}

static void writable_is_what_it_says(void)
{
	unsigned char *p = live_map(6);
	uint32_t *word = (uint32_t *)p;

	CHECK_EQ(cm_os->writable((uintptr_t)p + 5 * live_card + 3), 1); /* never touched */
	for (uint32_t v = 0; v < 3; v++) {
		*word = v * UINT32_C(0x7fffffff);
		CHECK_EQ(cm_os->writable((uintptr_t)p), 1);
		CHECK_EQ(*word, v * UINT32_C(0x7fffffff));
	}
	CHECK(mprotect(p, live_card, PROT_READ) == 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p), 0);
	CHECK(mprotect(p, live_card, PROT_NONE) == 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p), 0);
	CHECK_EQ(cm_os->vacant((uintptr_t)p, live_card, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p), 0); /* the question changes nothing */
	CHECK(munmap(p + live_card, 2 * live_card) == 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p + live_card), 0);
	CHECK_EQ(cm_os->vacant((uintptr_t)p + live_card, 2 * live_card, PROT_READ), 1);
	CHECK_EQ(cm_os->vacant((uintptr_t)p + live_card, 3 * live_card, PROT_READ), 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		WAYS("untrack gives back around holes", untrack_with_holes, 0, 0),
		WAYS("close gives back around holes", close_with_holes, 0, 0),
		WAYS("collect and write around holes", collect_with_holes, 0, 0),
		WAYS("memory is given back around a read-only file", give_back_around_a_file, 0, 0),
		{ "control: a hole that ends too late crashes",
		  control_a_hole_that_ends_too_late_crashes, 0, LIVE_ONLY(MPROTECT) },
		{ "what may ask nothing gives back card by card", gives_back_card_by_card, 0, 0 },
		{ "holes are found without /proc", holes_are_found, 0, LIVE_ONLY(MPROTECT) },
		{ "writable and vacant say what is so, and change nothing",
		  writable_is_what_it_says, 0, LIVE_ONLY(MPROTECT) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
