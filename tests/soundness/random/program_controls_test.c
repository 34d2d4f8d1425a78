/* SPDX-License-Identifier: MIT
 *
 * Description: negative controls of the random programs. Each breaks one rule underneath the
 * library. Programs must find the loss within a bounded number of seeds, and the shrinker must
 * reduce the program to a few operations. */
#include "tests/soundness/random/program.h"

#include "lib/tracker.h"
#include "tests/support/broken_os.h"
#include "tests/support/live.h"

#include <stdlib.h>
#include <string.h>

#define SEEDS 400
#define OPS 120
#define FEW 12
#define SHRINK_RUNS 1500

/* Cleans up, however the case before ended. */
static struct cm_os *start_sound(void)
{
	program_after_preclean = NULL;
	program_after_collect = NULL;
	return broken_os_begin();
}

/* The first program of SEEDS seeds that loses a write, or fails the case. */
static void find_from(uint64_t first, struct program *p)
{
	for (uint64_t seed = first; seed < first + SEEDS; seed++) {
		struct outcome out;

		program_make(p, seed, OPS, 0, live_capabilities);
		p->faults = 0; /* these would install a seam of their own */
		broken_os_seed(seed);
		program_run(p, live_backend, &out);
		CHECK(out.verdict != VERDICT_BROKEN);
		if (out.verdict != VERDICT_LOST)
			continue;
		tap_note("seed %llu, operation %u of %u: %s", (unsigned long long)seed, out.op,
			 p->n, out.text);
		return;
	}
	tap_fail(__FILE__, __LINE__, "no seed found it");
}

/* With the rule intact the program loses nothing: so the broken rule was found. */
static void sound_again(const struct program *p)
{
	struct outcome out;

	(void)start_sound();
	broken_os_end();
	program_run(p, live_backend, &out);
	if (out.verdict != VERDICT_FINE)
		tap_note("%s", out.text);
	CHECK_EQ(out.verdict, VERDICT_FINE);
}

static void find(struct program *p)
{
	find_from(1, p);
}

static void find_broken(struct program *p, void (*break_rule)(struct cm_os *os))
{
	break_rule(start_sound());
	find(p);
	sound_again(p);
}

static void shrink(struct program *p)
{
	unsigned runs;

	/* It is the same code for every backend, and runs a program hundreds of times.
	 * uffd works on every kernel. */
	if (getenv("CARDMARK_TEST_SMALL") != NULL && live_backend != CARDMARK_BACKEND_UFFD) {
		tap_note("CARDMARK_TEST_SMALL: not made smaller");
		return;
	}
	runs = program_shrink(p, live_backend, VERDICT_LOST, SHRINK_RUNS);
	tap_note("%u operations are left after %u runs:", p->n, runs);
	program_print(stdout, p);
	CHECK(p->n <= FEW);
}

static struct program program;

static void arming_without_a_harvest(void)
{
	break_by_arming_without_harvest(start_sound());
	find(&program);
	shrink(&program);
	sound_again(&program);
}

static void no_check_wpasync(void)
{
	find_broken(&program, break_by_not_checking_wpasync);
}

static void errors_as_clean(void)
{
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		find_broken(&program, break_by_taking_errors_as_clean);
	else if (live_backend == CARDMARK_BACKEND_MPROTECT)
		find_broken(&program, break_by_not_protecting);
	else
		find_broken(&program, break_by_taking_unreadable_as_empty);
}

static void shared_memory_asked_for_as_private(void)
{
	find_broken(&program, break_by_asking_as_of_private);
}

static void inherited_descriptors(void)
{
	find_broken(&program, break_by_keeping_descriptors);
}

static void helpers_for_nothing(void)
{
	find_broken(&program, break_by_dropping_what_helpers_find);
}

static void swapped_left_out(void)
{
	char line[256];
	FILE *f = fopen("/proc/swaps", "re");
	bool on = f != NULL && fgets(line, sizeof line, f) != NULL &&
		  fgets(line, sizeof line, f) != NULL;

	if (f != NULL)
		(void)fclose(f);
	if (!on && !tap_required("swap"))
		tap_skip("no swap here");
	/* Few programs show it. The first that does is the same on all kernels. */
	break_by_passing_over_swapped(start_sound());
	find_from(live_backend == CARDMARK_BACKEND_PAGEMAP ? 75 : 17, &program);
	sound_again(&program);
}

static void forget_kept(struct cardmark *cm)
{
	(void)pthread_mutex_lock(&cm->lock);
	cm_cards_clear_all(&cm->kept.cards);
	cm->kept.any = false;
	(void)pthread_mutex_unlock(&cm->lock);
}

static void precleans_forgotten(void)
{
	(void)start_sound();
	program_after_preclean = forget_kept;
	find(&program);
	shrink(&program);
	sound_again(&program);
}

static void forget_what_others_took(struct cardmark *cm)
{
	(void)pthread_mutex_lock(&cm->lock);
	for (struct cardmark_consumer *c = cm->consumers; c != NULL; c = c->next)
		cm_cards_clear_all(&c->kept.cards);
	(void)pthread_mutex_unlock(&cm->lock);
}

static void taken_from_a_consumer(void)
{
	(void)start_sound();
	program_after_collect = forget_what_others_took;
	find(&program);
	shrink(&program);
	sound_again(&program);
}

/* A printed program reads back as the same program. */
static void a_program_survives_its_text(void)
{
	static struct program again;
	FILE *f = tmpfile();
	const char *wrong;

	CHECK(f != NULL);
	program_make(&program, 7, PROGRAM_OPS, 0, live_capabilities);
	program_print(f, &program);
	rewind(f);
	wrong = program_parse(f, &again);
	(void)fclose(f);
	if (wrong != NULL)
		tap_note("%s", wrong);
	CHECK(wrong == NULL);
	CHECK(memcmp(&program, &again, sizeof again) == 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "a program survives its text", a_program_survives_its_text, 0, 0 },
		{ "arming without a harvest is found", arming_without_a_harvest, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "a scan without CHECK_WPASYNC is found", no_check_wpasync, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "an error taken as clean is found", errors_as_clean, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) | LIVE_ONLY(MPROTECT) |
			  LIVE_ONLY(SOFTDIRTY) },
		{ "shared memory asked for as private is found", shared_memory_asked_for_as_private,
		  0, LIVE_ONLY(PAGEMAP) },
		{ "descriptors kept after fork are found", inherited_descriptors, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "dropping what helpers find is found", helpers_for_nothing, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "leaving out swapped pages is found", swapped_left_out, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) | LIVE_ONLY(SOFTDIRTY) },
		{ "forgetting what precleans kept is found", precleans_forgotten,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "a collect that takes from a consumer is found", taken_from_a_consumer,
		  CARDMARK_CAP_PRECISE, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
