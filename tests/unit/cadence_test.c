/* SPDX-License-Identifier: MIT
 *
 * Description: how often to collect, and whether to mark everything (gc-glue/boehm/cadence.c). */
#include "gc-glue/boehm/cadence.c"
#include "tests/support/unit.h"

#define MB (UINT64_C(1) << 20)
#define MS UINT64_C(1000000)

static const struct cm_gc_cadence_limits any = {
	.fault_ns = 800, .divisor = 3, .kinds = true, .bare = true
};

/* 30 MB live of which all is scanned, full up to `free`. */
static struct cm_gc_cycle cycle(bool full, uint64_t live)
{
	return (struct cm_gc_cycle){ .used = live,
				     .free = 2 * MB,
				     .live = live,
				     .scan = 2 * live,
				     .ns = full ? 30 * MS : 3 * MS,
				     .cards = 1000,
				     .bytes = 20 * MB,
				     .full = full };
}

static void collects_as_often_as_without_incremental_mode(void)
{
	struct cm_gc_cadence c = CM_GC_CADENCE_INIT;
	struct cm_gc_cycle was = cycle(true, 30 * MB);

	CHECK_EQ(cm_gc_cadence_next(&c, &any, &was).least, 20 * MB);
	was.late = 5 * MB;
	CHECK_EQ(cm_gc_cadence_next(&c, &any, &was).least, 15 * MB);
	was.late = 100 * MB;
	CHECK_EQ(cm_gc_cadence_next(&c, &any, &was).least, 10 * MB);
}

static void uses_what_is_free_but_makes_the_heap_no_larger(void)
{
	struct cm_gc_cadence c = CM_GC_CADENCE_INIT;
	struct cm_gc_cycle was = cycle(true, 30 * MB);
	uint64_t least;

	was.free = 100 * MB;
	least = cm_gc_cadence_next(&c, &any, &was).least;
	CHECK(least > 50 * MB && least < 100 * MB);
	/* The heap grew where a collection would have come without incremental mode. */
	was.grown = 40 * MB;
	least = cm_gc_cadence_next(&c, &any, &was).least;
	CHECK(least < 40 * MB);
	/* It would have grown anyway. */
	was.grown = 10 * MB;
	CHECK(cm_gc_cadence_next(&c, &any, &was).least >= least);
}

static void partial(struct cm_gc_cadence *c)
{
	struct cm_gc_cycle was = cycle(true, 30 * MB);
	struct cm_gc_plan plan = { .bare = true };

	for (int i = 0; i < 20 && (plan.full || plan.bare); i++)
		plan = cm_gc_cadence_next(c, &any, &was);
	CHECK(!plan.full && !plan.bare);
}

static void frees_what_partial_ones_keep_before_the_heap_grows(void)
{
	struct cm_gc_cadence c = CM_GC_CADENCE_INIT;
	struct cm_gc_cycle was = cycle(false, 32 * MB);
	struct cm_gc_plan plan;

	partial(&c);
	plan = cm_gc_cadence_next(&c, &any, &was);
	CHECK(!plan.full);
	was = cycle(false, 38 * MB);
	plan = cm_gc_cadence_next(&c, &any, &was);
	CHECK(plan.full && plan.soon && !plan.bare);
	CHECK(plan.least < 10 * MB); /* 20 without that garbage */
	was = cycle(true, 30 * MB);
	plan = cm_gc_cadence_next(&c, &any, &was);
	CHECK(!plan.full && !plan.soon);
	CHECK_EQ(plan.least, 20 * MB);
}

static void what_was_built_is_no_garbage(void)
{
	struct cm_gc_cadence c = CM_GC_CADENCE_INIT;
	struct cm_gc_cycle was = cycle(true, 30 * MB);
	uint64_t live = 30 * MB;
	unsigned full = 0;

	partial(&c);
	for (int i = 0; i < 40; i++) {
		live += MB;
		was = cycle(cm_gc_cadence_next(&c, &any, &was).full, live);
		full += was.full;
	}
	CHECK(full >= 1);
	CHECK(full <= 12);
}

/* Returns how many of n collections were partial. */
static unsigned partials_of(const struct cm_gc_cadence_limits *l, uint64_t full_ns,
			    uint64_t partial_ns, unsigned n, unsigned *bare)
{
	struct cm_gc_cadence c = CM_GC_CADENCE_INIT;
	struct cm_gc_cycle was = cycle(true, 30 * MB);
	unsigned partials = 0;

	*bare = 0;
	for (unsigned i = 0; i < n; i++) {
		struct cm_gc_plan plan;

		was.ns = was.full ? full_ns : partial_ns;
		plan = cm_gc_cadence_next(&c, l, &was);
		CHECK(!plan.bare || plan.full);
		/* The collection before armed nothing: this one must mark everything. */
		was.full = plan.full;
		partials += !plan.full;
		*bare += plan.bare;
	}
	return partials;
}

static void takes_the_cheaper_kind(void)
{
	unsigned bare, n;

	n = partials_of(&any, 30 * MS, 3 * MS, 1000, &bare);
	CHECK(n >= 980);
	CHECK(bare <= 5);
	/* 2 ms and 1000 faults, against 1 ms. */
	n = partials_of(&any, 1 * MS, 2 * MS, 1000, &bare);
	CHECK(n >= 3);
	CHECK(n <= 30);
	CHECK(bare >= 950);
}

static void with_a_target_all_of_a_full_one_must_fit(void)
{
	struct cm_gc_cadence_limits l = any;
	unsigned bare;

	l.most_ns = 2 * MS;
	(void)partials_of(&l, 1 * MS, 2 * MS, 1000, &bare);
	CHECK(bare >= 950);
	(void)partials_of(&l, 4 * MS, 9 * MS, 1000, &bare);
	CHECK(bare == 0);
}

/* Although partial ones are cheaper. */
static void a_small_heap_is_not_armed(void)
{
	struct cm_gc_cadence_limits l = any;
	unsigned bare;

	l.small_ns = 4 * MS;
	CHECK_EQ(partials_of(&l, 3 * MS, MS / 10, 1000, &bare), 0);
	CHECK_EQ(bare, 1000);
	CHECK(partials_of(&l, 6 * MS, MS / 10, 1000, &bare) >= 900);
	l.bare = false; /* way B */
	CHECK(partials_of(&l, 3 * MS, MS / 10, 1000, &bare) >= 900);
}

static void the_program_may_say_which_are_full(void)
{
	struct cm_gc_cadence_limits l = any;
	unsigned bare;

	l.kinds = false;
	CHECK_EQ(partials_of(&l, 1 * MS, 2 * MS, 100, &bare), 100);
	CHECK_EQ(bare, 0);
	/* Way B must always arm. */
	l = any;
	l.bare = false;
	(void)partials_of(&l, 1 * MS, 2 * MS, 100, &bare);
	CHECK_EQ(bare, 0);
}

/* Between the last bare one and a partial one there is a full one that arms. */
static void arms_before_a_partial_one(void)
{
	struct cm_gc_cadence c = CM_GC_CADENCE_INIT;
	struct cm_gc_cycle was = cycle(true, 30 * MB);
	struct cm_gc_plan before = { .full = true, .bare = true }, plan;
	unsigned changes = 0;

	for (unsigned i = 0; i < 2000; i++) {
		was.ns = was.full ? MS : i < 1000 ? 2 * MS : MS / 100;
		was.cards = i < 1000 ? 1000 : 0;
		plan = cm_gc_cadence_next(&c, &any, &was);
		CHECK(plan.full || !before.bare);
		changes += plan.bare != before.bare;
		was.full = plan.full;
		before = plan;
	}
	CHECK(changes >= 3);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(collects_as_often_as_without_incremental_mode),
		UNIT_CASE(uses_what_is_free_but_makes_the_heap_no_larger),
		UNIT_CASE(frees_what_partial_ones_keep_before_the_heap_grows),
		UNIT_CASE(what_was_built_is_no_garbage),
		UNIT_CASE(takes_the_cheaper_kind),
		UNIT_CASE(with_a_target_all_of_a_full_one_must_fit),
		UNIT_CASE(a_small_heap_is_not_armed),
		UNIT_CASE(the_program_may_say_which_are_full),
		UNIT_CASE(arms_before_a_partial_one),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
