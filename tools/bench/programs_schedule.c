/* SPDX-License-Identifier: MIT
 * When each process runs: blocks of every row in random order, as many as the
 * time allows. */
#include <math.h>

#include "tools/bench/programs.h"

enum { MIN_BLOCKS = RATIO_MIN_BLOCKS, RUN_TIMEOUT_S = 600, VERIFY_TIMEOUT_S = 1800 };

struct clock {
	struct bench_progress progress;
	double program_begin;
	double program_budget; /* 0: none */
	double block_s;        /* a block takes so long; 0: not yet known */
	double later;          /* share of the programs to come, of this one's */
	double usual_s;        /* a run takes at most so long */
	struct bench_journal *journal;
};

/* Of the time for all programs. */
static double spent(const struct clock *c)
{
	return bench_now() - c->progress.begin;
}

/* Of the time for this program. */
static double left(const struct clock *c)
{
	return c->program_budget - (bench_now() - c->program_begin);
}

static void journal(struct clock *c, json_t *line)
{
	bench_journal_add(c->journal, line, spent(c));
}

static unsigned blocks_wanted(const struct bench_plan *plan, const struct clock *c, unsigned done)
{
	double more;

	if (c->program_budget <= 0 || c->block_s <= 0)
		return plan->opt->blocks;
	more = floor(fmax(0, left(c)) / (c->block_s * 1.05));
	return more >= plan->opt->blocks - done ? plan->opt->blocks : done + (unsigned)more;
}

static void progress(struct clock *c, const struct bench_program *p, const char *step,
		     const char *row, double left_s)
{
	bench_show_progress(&c->progress, left_s < 0 ? -1 : left_s + left_s * c->later,
			    "%s, %s%s%s", p->name, step, *row ? ", " : "", row);
}

static double run_timeout(const struct clock *c)
{
	double usual = c->usual_s;
	double most = c->program_budget > 0 ? fmax(c->program_budget / 4, 15) : RUN_TIMEOUT_S;

	return usual > 0 ? fmin(fmax(usual * 20, 15), most) : most;
}

/* Less work if not even that many blocks fit. */
static void fit_work(const struct bench_plan *plan, struct bench_program *p, const struct clock *c,
		     double block_s)
{
	double need = MIN_BLOCKS * block_s * 1.1;

	if (c->program_budget <= 0 || plan->opt->size_given || need <= left(c))
		return;
	/* Squared, because the set-up time does not shrink with the work. */
	p->work = (uint64_t)fmax(2, (double)p->work * pow(fmax(left(c), 0) / need, 2));
}

/* The same rate for every row: half of what the reference can do, or stop-the-world
 * where the reference fails. */
static void find_rate(struct bench_plan *plan, unsigned k, struct clock *c)
{
	const unsigned rows[] = { plan->ref, plan->stw };
	struct bench_program *p = &plan->programs[k];
	struct bench_run run = { .done = false };

	for (unsigned i = 0; i < 2 && p->rate == 0 && !bench_interrupted(); i++) {
		progress(c, p, "finding the rate", plan->rows[rows[i]].label, -1);
		bench_run_child(plan, p, &plan->rows[rows[i]], plan->seed, run_timeout(c),
				RUN_CLOSED, &run);
		bench_rate_from(p, &run);
	}
	if (p->rate == 0 && !bench_interrupted()) {
		snprintf(p->left_out, sizeof p->left_out, "no rate could be found: %.180s",
			 run.error[0] != '\0' ? run.error : "there were no requests");
		tool_message("bench", "%s: %s", p->name, p->left_out);
	}
	bench_free_run(&run);
}

/* One run of each row with its mappings counted. It also warms the page cache,
 * and shows how much work fits. */
static void sample_all(struct bench_plan *plan, unsigned k, struct clock *c)
{
	struct bench_program *p = &plan->programs[k];
	json_t *list = json_array();
	double sum = 0;
	unsigned sampled = 0;

	for (unsigned row = 0; row < plan->row_count; row++) {
		struct bench_cell *cell = bench_cell(plan, k, row);

		if (plan->rows[row].control)
			continue;
		if (bench_interrupted())
			break;
		/* Times matter more than mappings. */
		if (c->program_budget > 0 && left(c) < c->program_budget / 2)
			break;
		progress(c, p, "counting mappings (untimed)", plan->rows[row].label,
			 c->program_budget > 0 ? left(c) : -1);
		bench_run_child(plan, p, &plan->rows[row], plan->seed, run_timeout(c), RUN_SAMPLED,
				&cell->sampled);
		if (row == 0 && c->program_budget > 0 && !plan->opt->size_given) {
			unsigned runs = plan->row_count - 1 + plan->row_count * MIN_BLOCKS;
			double need = 1.3 * cell->sampled.wall_s * runs;

			/* A slow machine: less work rather than no result. */
			if (need > c->program_budget && p->work > 4) {
				double f = c->program_budget / need;

				p->work = (uint64_t)fmax(4, (double)p->work * f * 0.9);
				bench_run_child(plan, p, &plan->rows[row], plan->seed,
						run_timeout(c), RUN_SAMPLED, &cell->sampled);
			}
		}
		c->usual_s = fmax(c->usual_s, cell->sampled.wall_s);
		sum += cell->sampled.wall_s;
		sampled++;
	}
	if (sampled > 0)
		fit_work(plan, p, c, sum / sampled * plan->row_count);
	for (unsigned row = 0; row < plan->row_count; row++)
		json_array_append_new(
			list, bench_run_json(&bench_cell(plan, k, row)->sampled, plan->seed));
	if (bench_interrupted())
		json_decref(list);
	else
		journal(c, json_pack("{s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:o}", "program", (int)k,
				     "work", (json_int_t)p->work, "rate", (json_int_t)p->rate,
				     "closed_rate", (json_int_t)p->closed_rate, "usual_s",
				     c->usual_s, "begin_s", c->program_begin - c->progress.begin,
				     "budget_s", c->program_budget, "sampled", list));
}

/* One run of each of our rows with each page compared at each stop. */
static void verify_all(struct bench_plan *plan, unsigned k, struct clock *c)
{
	struct bench_program *p = &plan->programs[k];
	json_t *list = json_array();

	for (unsigned row = 0; row < plan->row_count && !bench_interrupted(); row++) {
		struct bench_run *run = &bench_cell(plan, k, row)->verified;

		if (bench_is_ours(&plan->rows[row])) {
			progress(c, p, "checking that no write is missed (untimed)",
				 plan->rows[row].label, -1);
			bench_run_child(plan, p, &plan->rows[row], plan->seed, VERIFY_TIMEOUT_S,
					RUN_VERIFIED, run);
		}
		json_array_append_new(list, bench_run_json(run, plan->seed));
	}
	if (bench_interrupted())
		json_decref(list);
	else
		journal(c, json_pack("{s:i, s:o}", "program", (int)k, "verified", list));
}

/* False if it was interrupted: the block does not count then. */
static bool run_block(struct bench_plan *plan, unsigned k, struct clock *c, const unsigned *order,
		      unsigned wanted)
{
	struct bench_program *p = &plan->programs[k];
	double start = bench_now();

	for (unsigned i = 0; i < plan->row_count; i++) {
		const struct bench_row *row = &plan->rows[order[i]];
		struct bench_run *run = &bench_cell(plan, k, order[i])->runs[p->blocks];
		char step[64];
		double left_s = -1;

		snprintf(step, sizeof step, "block %u of %s%u", p->blocks + 1,
			 c->block_s > 0 ? "" : "at most ", wanted);
		if (c->block_s > 0)
			left_s = c->block_s * (wanted - p->blocks) - (bench_now() - start);
		else if (c->program_budget > 0)
			left_s = left(c);
		if (c->progress.tty || i == 0)
			progress(c, p, step, c->progress.tty ? row->label : "", left_s);
		bench_run_child(plan, p, row, plan->seed + p->blocks, run_timeout(c), RUN_TIMED,
				run);
		if (bench_interrupted())
			return false;
		journal(c, json_pack("{s:i, s:i, s:i, s:o}", "program", (int)k, "block",
				     (int)p->blocks, "row", (int)order[i], "run",
				     bench_run_json(run, plan->seed + p->blocks)));
		c->usual_s = fmax(c->usual_s, run->wall_s);
		if (!run->ok)
			fprintf(stderr, "%scardmark bench: %s, %s FAILED: %s\n",
				c->progress.tty ? "\n" : "", p->name, row->label, run->error);
	}
	c->block_s = fmax(c->block_s, bench_now() - start);
	journal(c, json_pack("{s:i, s:i, s:f, s:f}", "program", (int)k, "block", (int)p->blocks,
			     "block_s", c->block_s, "usual_s", c->usual_s));
	return true;
}

static void run_program(struct bench_plan *plan, unsigned k, struct clock *c)
{
	struct bench_program *p = &plan->programs[k];
	uint64_t order_seed = plan->seed * 31 + k;
	unsigned order[MAX_ROWS];
	struct bench_done done;

	if (!bench_journal_restore(c->journal, plan, k, &done)) {
		tool_message("bench", "the journal of %s is damaged: running it again", p->name);
		memset(&done, 0, sizeof done);
		p->blocks = 0;
	}
	c->block_s = done.block_s;
	c->usual_s = done.usual_s;
	if (done.sampled) {
		c->program_begin = c->progress.begin + done.begin_s;
		c->program_budget = done.budget_s;
	} else {
		if (p->open_loop && p->rate == 0)
			find_rate(plan, k, c);
		if (p->left_out[0] != '\0' || bench_interrupted())
			return;
		sample_all(plan, k, c);
	}
	/* The order of a block is the same whether or not the ones before ran today. */
	for (unsigned b = 0; b < p->blocks; b++)
		bench_shuffle(order, plan->row_count, &order_seed);
	while (p->blocks < plan->opt->blocks && !bench_interrupted() && !done.verified) {
		unsigned wanted = blocks_wanted(plan, c, p->blocks);

		if (p->blocks > 0 && wanted <= p->blocks)
			break;
		bench_shuffle(order, plan->row_count, &order_seed);
		if (!run_block(plan, k, c, order, wanted))
			return;
		p->blocks++;
	}
	if (plan->opt->verify && !done.verified && !bench_interrupted())
		verify_all(plan, k, c);
}

bool bench_schedule(struct bench_plan *plan, struct bench_journal *j)
{
	struct clock c = { .progress = bench_begin_progress(bench_now() - j->at_s), .journal = j };
	double shares = 0;

	for (unsigned k = 0; k < plan->program_count; k++)
		if (plan->programs[k].left_out[0] == '\0')
			shares += plan->programs[k].share;
	for (unsigned k = 0; k < plan->program_count && !bench_interrupted(); k++) {
		struct bench_program *p = &plan->programs[k];

		if (p->left_out[0] != '\0') {
			fprintf(stderr, "cardmark bench: %s is left out: %s\n", p->name,
				p->left_out);
			continue;
		}
		c.program_begin = bench_now();
		/* Time that an earlier program did not use is left for the later ones. If the
		 * earlier ones used more than their time, little is left, but not 0, which would
		 * mean "no limit". */
		if (plan->opt->budget_s > 0)
			c.program_budget =
				fmax(1, (plan->opt->budget_s - spent(&c)) * p->share / shares);
		c.later = (shares - p->share) / p->share;
		run_program(plan, k, &c);
		shares -= p->share;
	}
	bench_end_progress(&c.progress);
	return !bench_interrupted();
}
