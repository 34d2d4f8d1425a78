/* SPDX-License-Identifier: MIT
 * When each process runs: blocks of every row in random order, as many as the
 * time allows. */
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench.h"

enum { MIN_BLOCKS = STAT_MIN_BLOCKS, RUN_TIMEOUT_S = 600 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What the progress line needs to know. */
struct clock {
	double begin, program_begin;
	double program_budget; /* 0: none */
	double block_s;        /* a block takes so long; 0: not yet known */
	double later;          /* share of the programs to come, of this one's */
	bool tty;
	size_t width; /* of the line on the terminal */
};

static unsigned blocks_wanted(const struct bench_plan *plan, const struct clock *c, unsigned done)
{
	double left;

	if (c->program_budget <= 0 || c->block_s <= 0)
		return plan->blocks;
	left = c->program_budget - (now() - c->program_begin);
	if (left < 0)
		left = 0;
	left = floor(left / (c->block_s * 1.05));
	if (left >= plan->blocks - done)
		return plan->blocks;
	return done + (unsigned)left;
}

/* A line when something starts; on a terminal it overwrites the one before. */
static void progress(const struct bench_plan *plan, struct clock *c, const struct bench_program *p,
		     const char *step, const char *row, double left)
{
	char line[256], time[48] = "";
	int n;

	(void)plan;
	if (left >= 0)
		snprintf(time, sizeof time, ", about %.0f s left", left + left * c->later);
	n = snprintf(line, sizeof line, "cardmark bench: %s, %s%s%s (%.0f s so far%s)", p->name,
		     step, *row ? ", " : "", row, now() - c->begin, time);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof line)
		n = (int)sizeof line - 1;
	if (c->tty) {
		fprintf(stderr, "\r%-*s", (int)c->width, line);
		c->width = (size_t)n;
	} else {
		fprintf(stderr, "%s\n", line);
	}
	fflush(stderr);
}

static double run_timeout(const struct clock *c, double usual)
{
	double most = c->program_budget > 0 ? fmax(c->program_budget / 4, 15) : RUN_TIMEOUT_S;

	return usual > 0 ? fmin(fmax(usual * 20, 15), most) : most;
}

/* Less work if not even that many blocks fit. */
static void fit_work(const struct bench_plan *plan, struct bench_program *p, const struct clock *c,
		     double block_s)
{
	double left = c->program_budget - (now() - c->program_begin);
	double need = MIN_BLOCKS * block_s * 1.1;

	if (c->program_budget <= 0 || plan->size_given || need <= left)
		return;
	p->work = (uint64_t)fmax(2, (double)p->work * fmax(left, 0) / need);
}

/* One run of each row with its mappings counted. It also warms the page cache,
 * and shows how much work fits. Returns how long a plain run takes. */
static double sample_all(struct bench_plan *plan, unsigned k, struct clock *c)
{
	struct bench_program *p = &plan->programs[k];
	double usual = 0, sum = 0;
	unsigned sampled = 0;

	for (unsigned row = 0; row < plan->row_count; row++) {
		struct bench_cell *cell = bench_cell(plan, k, row);

		if (plan->rows[row].control)
			continue;
		/* Times matter more than mappings. */
		if (c->program_budget > 0 && now() - c->program_begin > c->program_budget / 2)
			break;
		progress(plan, c, p, "counting mappings (untimed)", plan->rows[row].label,
			 c->program_budget > 0 ? c->program_budget - (now() - c->program_begin)
					       : -1);
		bench_run_child(plan, p, &plan->rows[row], plan->seed, run_timeout(c, usual), true,
				&cell->sampled);
		if (row == 0 && c->program_budget > 0 && !plan->size_given) {
			unsigned runs = plan->row_count - 1 + plan->row_count * MIN_BLOCKS;
			double need = 1.3 * cell->sampled.wall_s * runs;

			/* A slow machine: less work rather than no result. */
			if (need > c->program_budget && p->work > 4) {
				double f = c->program_budget / need;

				p->work = (uint64_t)fmax(4, (double)p->work * f * 0.9);
				bench_run_child(plan, p, &plan->rows[row], plan->seed,
						run_timeout(c, usual), true, &cell->sampled);
			}
		}
		usual = fmax(usual, cell->sampled.wall_s);
		sum += cell->sampled.wall_s;
		sampled++;
	}
	fit_work(plan, p, c, sum / sampled * plan->row_count);
	return usual;
}

static void shuffle(unsigned *order, unsigned n, uint64_t *s)
{
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned j, t;

		*s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		j = (unsigned)(((*s >> 32) * i) >> 32);
		t = order[i - 1];
		order[i - 1] = order[j];
		order[j] = t;
	}
}

static void run_program(struct bench_plan *plan, unsigned k, struct clock *c)
{
	struct bench_program *p = &plan->programs[k];
	uint64_t order_seed = plan->seed * 31 + k;
	double usual;

	c->block_s = 0;
	usual = sample_all(plan, k, c);
	while (p->blocks < plan->blocks) {
		unsigned order[MAX_ROWS];
		unsigned wanted = blocks_wanted(plan, c, p->blocks);
		double start = now();

		if (p->blocks > 0 && wanted <= p->blocks)
			break;
		shuffle(order, plan->row_count, &order_seed);
		for (unsigned i = 0; i < plan->row_count; i++) {
			const struct bench_row *row = &plan->rows[order[i]];
			struct bench_run *run = &bench_cell(plan, k, order[i])->runs[p->blocks];
			char step[64];
			double left = -1;

			snprintf(step, sizeof step, "block %u of %s%u", p->blocks + 1,
				 c->block_s > 0 ? "" : "at most ", wanted);
			if (c->block_s > 0)
				left = c->block_s * (wanted - p->blocks) - (now() - start);
			else if (c->program_budget > 0)
				left = c->program_budget - (now() - c->program_begin);
			if (c->tty || i == 0)
				progress(plan, c, p, step, c->tty ? row->label : "", left);
			bench_run_child(plan, p, row, plan->seed + p->blocks, run_timeout(c, usual),
					false, run);
			usual = fmax(usual, run->wall_s);
			if (!run->ok)
				fprintf(stderr, "%scardmark bench: %s, %s FAILED: %s\n",
					c->tty ? "\n" : "", p->name, row->label, run->error);
		}
		p->blocks++;
		c->block_s = fmax(c->block_s, now() - start);
	}
}

void bench_schedule(struct bench_plan *plan)
{
	struct clock c = { .begin = now(), .tty = isatty(STDERR_FILENO) };
	double shares = 0;

	for (unsigned k = 0; k < plan->program_count; k++)
		if (plan->programs[k].left_out[0] == '\0')
			shares += plan->programs[k].share;
	for (unsigned k = 0; k < plan->program_count; k++) {
		struct bench_program *p = &plan->programs[k];

		if (p->left_out[0] != '\0') {
			fprintf(stderr, "cardmark bench: %s is left out: %s\n", p->name,
				p->left_out);
			continue;
		}
		c.program_begin = now();
		/* What an earlier program did not use is there for the later ones. */
		if (plan->budget_s > 0)
			c.program_budget = (plan->budget_s - (now() - c.begin)) * p->share / shares;
		c.later = (shares - p->share) / p->share;
		run_program(plan, k, &c);
		shares -= p->share;
	}
	if (c.tty)
		fputc('\n', stderr);
}
