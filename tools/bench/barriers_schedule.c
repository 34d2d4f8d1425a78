/* SPDX-License-Identifier: MIT
 * When each process runs: the least heap first, then blocks of every row of
 * every point, the rows in random order. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/bench/barriers.h"

enum { TIMEOUT_S = 600 };

struct clock {
	struct bench_progress progress;
	double block_s; /* a block takes so long; 0: not known */
	double longest; /* run so far */
};

static double spent(const struct clock *c)
{
	return bench_now() - c->progress.begin;
}

static double timeout(const struct barriers *b, const struct clock *c)
{
	double most = b->budget_s > 0 ? fmax(15, b->budget_s / 4) : TIMEOUT_S;

	return c->longest > 0 ? fmin(most, fmax(15, c->longest * 40)) : most;
}

/* ---- What fits ------------------------------------------------------------------------- */

/* Seconds of a run of the reference at each point together; below 0 if one fails. */
static double try_all(struct barriers *b, struct clock *c)
{
	double sum = 0;

	for (unsigned p = 0; p < b->n_points && bench_interrupted() == 0; p++) {
		struct barriers_run run = { 0 };
		char name[96];
		double took;

		barriers_point_name(&b->points[p], name, sizeof name);
		bench_show_progress(&c->progress, -1, "trying %s", name);
		barriers_run_child(b, &b->points[p], &b->rows[0], b->seed, timeout(b, c), &run);
		took = run.wall_s;
		c->longest = fmax(c->longest, took);
		if (!run.ok && bench_interrupted() == 0) {
			tool_message("bench", "%s fails: %s", name, run.error);
			barriers_free_run(&run);
			return -1;
		}
		barriers_free_run(&run);
		sum += took;
	}
	return sum;
}

static bool completes(const struct barriers *b, const struct clock *c, uint64_t heap_limit)
{
	struct barriers_point p = b->points[barriers_base(b)];
	struct barriers_run run = { 0 };
	bool ok;

	p.heap_limit = heap_limit;
	barriers_run_child(b, &p, &b->rows[0], b->seed, timeout(b, c), &run);
	ok = run.ok;
	barriers_free_run(&run);
	return ok;
}

/* Bisects to 2 %. minigc wants two nurseries at least, so that is the least there is. */
static void find_least_heap(struct barriers *b, struct clock *c)
{
	uint64_t low = b->points[barriers_base(b)].nursery * 2, high = low;

	while (bench_interrupted() == 0 && !completes(b, c, high)) {
		low = high;
		high *= 2;
		bench_show_progress(&c->progress, -1,
				    "looking for the least heap: more than %.1f MiB",
				    (double)low / 1048576);
		if (high > UINT64_C(1) << 36)
			return;
	}
	while (bench_interrupted() == 0 && high - low > high / 50) {
		uint64_t middle = low + (high - low) / 2;

		if (completes(b, c, middle))
			high = middle;
		else
			low = middle;
		bench_show_progress(&c->progress, -1,
				    "looking for the least heap: %.1f to %.1f MiB",
				    (double)low / 1048576, (double)high / 1048576);
	}
	if (bench_interrupted() == 0)
		b->least_heap = high;
}

/* Less work if not even three blocks fit, and then as many blocks as do. */
static bool fit(struct barriers *b, struct clock *c)
{
	double rows = b->n_rows * 1.1, sum, left;

	sum = try_all(b, c);
	if (sum < 0)
		return false;
	left = b->budget_s - (spent(c));
	/* The heap sweep is to come, and finding its least heap. */
	if (b->budget_s > 0 && !b->fixed_work && sum * 1.5 * rows * RATIO_MIN_BLOCKS > left) {
		double less = fmax(left, 1) / (sum * 1.5 * rows * RATIO_MIN_BLOCKS);

		b->work = (uint64_t)fmax(2, (double)b->work * less);
		barriers_plan_work(b);
		sum *= less;
		fprintf(stderr,
			"cardmark bench: %u points take too long here: the work is cut to %" PRIu64
			" %%\n",
			b->n_points, b->work);
	}
	find_least_heap(b, c);
	barriers_plan_heap(b);
	c->block_s = sum * 1.3 * rows;
	return true;
}

/* ---- Blocks ------------------------------------------------------------------------------ */

static bool late(const struct barriers *b, const struct clock *c)
{
	return b->budget_s > 0 && spent(c) > b->budget_s;
}

static void run_point(struct barriers *b, struct clock *c, unsigned block, unsigned point,
		      uint64_t *random)
{
	unsigned order[BARRIERS_ROWS];

	bench_shuffle(order, b->n_rows, random);
	for (unsigned i = 0; i < b->n_rows && bench_interrupted() == 0 && !late(b, c); i++) {
		struct barriers_run *run = barriers_run(b, point, order[i], block);

		barriers_run_child(b, &b->points[point], &b->rows[order[i]], b->seed + block,
				   timeout(b, c), run);
		c->longest = fmax(c->longest, run->wall_s);
		/* It was not the program that ended it. */
		if (bench_interrupted() != 0)
			barriers_free_run(run);
	}
}

static void run_block(struct barriers *b, struct clock *c, unsigned block, uint64_t *random)
{
	double start = bench_now();

	for (unsigned p = 0; p < b->n_points && bench_interrupted() == 0 && !late(b, c); p++) {
		double share = (double)p / b->n_points, took = bench_now() - start;
		double usual = c->block_s;
		char name[96];

		if (share > 0.2)
			usual = took / share;
		barriers_point_name(&b->points[p], name, sizeof name);
		usual = usual * (b->blocks - block) - took;
		if (b->budget_s > 0)
			usual = fmin(usual, b->budget_s - (spent(c)));
		bench_show_progress(&c->progress, usual, "block %u of %u, point %u of %u, %s",
				    block + 1, b->blocks, p + 1, b->n_points, name);
		run_point(b, c, block, p, random);
	}
	c->block_s = bench_now() - start;
}

static bool another(const struct barriers *b, const struct clock *c, unsigned block)
{
	if (block == b->blocks || bench_interrupted() != 0 || late(b, c))
		return false;
	return b->budget_s <= 0 || block < RATIO_MIN_BLOCKS || spent(c) + c->block_s < b->budget_s;
}

bool barriers_schedule(struct barriers *b, const char *file)
{
	struct clock c = { .progress = bench_begin_progress(bench_now()) };
	uint64_t random = b->seed * 2 + 1;
	unsigned block = 0;
	bool good = fit(b, &c), kept = *file != '\0' && strcmp(file, "-") != 0;

	b->runs = calloc((size_t)b->n_points * b->n_rows * b->blocks, sizeof *b->runs);
	if (b->runs == NULL)
		tool_message("bench", "out of memory");
	good = good && b->runs != NULL;
	for (; good && another(b, &c, block); block++) {
		run_block(b, &c, block, &random);
		bench_env_update(&b->env);
		/* This much is kept in any case. */
		if (kept && bench_interrupted() == 0)
			good = bench_write_results(barriers_results_json(b), file, BENCH_COMPACT);
	}
	bench_end_progress(&c.progress);
	b->interrupted = bench_interrupted() != 0;
	if (good && !b->interrupted && late(b, &c))
		fprintf(stderr, "cardmark bench: the time ran out in block %u\n", block);
	return good;
}
