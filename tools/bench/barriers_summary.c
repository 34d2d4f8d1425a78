/* SPDX-License-Identifier: MIT
 * Summaries of the runs of barriers. Less is better in every metric. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/bench/barriers.h"

const char *const barriers_role_names[BARRIERS_ROLES] = { "reference", "control", "ours", "other" };
const char *const barriers_phase_names[BARRIERS_PHASES] = { "stop", "cards", "scan", "mark",
							    "sweep" };
const char *const barriers_metric_names[BARRIERS_METRICS] = {
	[BARRIERS_CPU] = "processor time",         [BARRIERS_TOTAL] = "total time",
	[BARRIERS_PAUSED] = "all pauses together", [BARRIERS_PAUSE_P50] = "median pause",
	[BARRIERS_PAUSE_MAX] = "longest pause",    [BARRIERS_RSS] = "peak memory",
};

void barriers_free(struct barriers *b)
{
	size_t n = b->runs != NULL ? (size_t)b->n_points * b->n_rows * b->blocks : 0;

	for (size_t i = 0; i < n; i++)
		free(b->runs[i].pauses);
	free(b->runs);
	b->runs = NULL;
}

unsigned barriers_begun(const struct barriers *b)
{
	size_t each = b->blocks;

	for (unsigned n = b->runs != NULL ? b->blocks : 0; n > 0; n--)
		for (size_t i = 0; i < (size_t)b->n_points * b->n_rows; i++)
			if (b->runs[i * each + n - 1].done)
				return n;
	return 0;
}

/* ---- Numbers ------------------------------------------------------------------------ */

size_t barriers_stops(const struct barriers_run *run, struct pause *out)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n_pauses; i++) {
		if (n > 0 && out[n - 1].end == run->pauses[i].start) {
			out[n - 1].end = run->pauses[i].end;
			continue;
		}
		out[n].start = run->pauses[i].start;
		out[n++].end = run->pauses[i].end;
	}
	return n;
}

static double pauses_of(const struct barriers_run *run, enum barriers_metric m)
{
	struct pause *stops = malloc((run->n_pauses + 1) * sizeof *stops);
	uint64_t *v = malloc((run->n_pauses + 1) * sizeof *v);
	uint64_t sum = 0, found = 0;
	size_t n = 0;

	if (v != NULL && stops != NULL)
		n = barriers_stops(run, stops);
	for (size_t i = 0; i < n; i++) {
		v[i] = stops[i].end - stops[i].start;
		sum += v[i];
	}
	if (n > 0) {
		sample_sort(v, n);
		found = m == BARRIERS_PAUSED ? sum
					     : sample_rank(v, n, m == BARRIERS_PAUSE_P50 ? 0.5 : 1);
	}
	free(v);
	free(stops);
	return (double)found / 1e9;
}

/* 0 if the run failed or there was none: its block is no part of ratios then. */
static double metric_of(const struct barriers_run *run, enum barriers_metric m)
{
	if (!run->ok)
		return 0;
	switch (m) {
	case BARRIERS_CPU:
		return run->cpu_s;
	case BARRIERS_TOTAL:
		return run->wall_s;
	case BARRIERS_RSS:
		return (double)run->peak_rss_kb;
	default:
		return pauses_of(run, m);
	}
}

/* out: of each block. */
static void series(const struct barriers *b, unsigned point, unsigned row, enum barriers_metric m,
		   double out[MAX_BLOCKS])
{
	for (unsigned i = 0; i < b->blocks; i++)
		out[i] = metric_of(barriers_run(b, point, row, i), m);
}

double barriers_median(const struct barriers *b, unsigned point, unsigned row,
		       enum barriers_metric m)
{
	double v[MAX_BLOCKS];
	size_t n = 0;

	for (unsigned i = 0; i < b->blocks; i++) {
		double at = metric_of(barriers_run(b, point, row, i), m);

		if (at > 0)
			v[n++] = at;
	}
	return sample_median(v, n);
}

static struct ratio ratio_of(const struct barriers *b, unsigned point, unsigned row, unsigned to,
			     enum barriers_metric m)
{
	double x[MAX_BLOCKS], y[MAX_BLOCKS];

	series(b, point, row, m, x);
	series(b, point, to, m, y);
	return ratio_paired(x, y, b->blocks);
}

struct ratio barriers_ratio(const struct barriers *b, unsigned point, unsigned row,
			    enum barriers_metric m)
{
	return ratio_of(b, point, row, 0, m);
}

double barriers_resolution(const struct barriers *b, unsigned point, enum barriers_metric m)
{
	return ratio_resolution(ratio_of(b, point, 1, 0, m));
}

unsigned barriers_whole_blocks(const struct barriers *b, unsigned point)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->blocks; i++)
		n += barriers_run(b, point, 0, i)->ok && barriers_run(b, point, 1, i)->ok;
	return n;
}

double barriers_dirty(const struct barriers *b, unsigned point, unsigned row)
{
	uint64_t sum = 0, young = 0;

	for (unsigned i = 0; i < b->blocks; i++) {
		const struct barriers_run *run = barriers_run(b, point, row, i);

		for (size_t k = 0; run->ok && k < run->n_pauses; k++)
			if (!run->pauses[k].full) {
				sum += run->pauses[k].dirty;
				young++;
			}
	}
	return young > 0 ? (double)sum / (double)young : NAN;
}

unsigned barriers_failed(const struct barriers *b, unsigned point, unsigned row, const char **error)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->blocks; i++) {
		const struct barriers_run *run = barriers_run(b, point, row, i);

		if (run->done && !run->ok && n++ == 0)
			*error = run->error;
	}
	return n;
}

bool barriers_results_agree(const struct barriers *b, unsigned point, bool print)
{
	char name[96];
	bool agree = true;

	barriers_point_name(&b->points[point], name, sizeof name);
	for (unsigned i = 0; i < b->blocks; i++) {
		const struct barriers_run *first = NULL;

		for (unsigned row = 0; row < b->n_rows; row++) {
			const struct barriers_run *run = barriers_run(b, point, row, i);

			if (!run->ok)
				continue;
			if (first == NULL)
				first = run;
			if (run->hash == first->hash)
				continue;
			agree = false;
			if (print)
				fprintf(stderr,
					"cardmark bench: WRONG RESULT: %s, %s, block %u differs\n",
					name, b->rows[row].label, i + 1);
		}
	}
	return agree;
}

/* ---- Names ---------------------------------------------------------------------------- */

void barriers_point_name(const struct barriers_point *p, char *out, size_t n)
{
	double mib = 1024 * 1024;

	if (p->words == 0)
		snprintf(out, n, "%s %" PRIu64 ", heap %.0f MiB, nursery %g MiB", p->program,
			 p->size, (double)p->heap_limit / mib, (double)p->nursery / mib);
	else
		snprintf(out, n,
			 "%s, %" PRIu64 " x %" PRIu64 " words, heap %.0f MiB, nursery %g MiB, "
			 "%.3g %% written",
			 p->program, p->objects, p->words, (double)p->heap_limit / mib,
			 (double)p->nursery / mib, p->written);
}

void barriers_stop_name(const struct barriers *b, enum barriers_axis axis, unsigned i, char *out,
			size_t n)
{
	const struct barriers_sweep *s = &b->sweeps[axis];

	switch (axis) {
	case AXIS_HEAP:
		snprintf(out, n, "%g x (%.1f MiB)", s->at[i].x,
			 (double)b->points[s->at[i].point].heap_limit / 1048576);
		break;
	case AXIS_NURSERY:
		snprintf(out, n, "%g MiB", s->at[i].x);
		break;
	case AXIS_OBJECT:
		snprintf(out, n, "%g words", s->at[i].x);
		break;
	case AXIS_MAP:
		snprintf(out, n, "%.3g MiB, %g %%", s->at[i].y, s->at[i].x);
		break;
	default:
		snprintf(out, n, "%s", b->points[s->at[i].point].program);
	}
}

/* ---- Which barrier wins ---------------------------------------------------------------- */

bool barriers_distinct(const struct barriers *b, unsigned row)
{
	if (b->rows[row].role == BARRIERS_CONTROL)
		return false;
	if (strcmp(b->rows[row].label, "alldirty") != 0)
		return true;
	for (unsigned i = 0; i < b->n_rows; i++)
		if (strcmp(b->rows[i].label, "dirty") == 0)
			return false;
	return true;
}

struct barriers_winner barriers_winner(const struct barriers *b, unsigned point,
				       enum barriers_metric m, bool with_cards)
{
	struct barriers_winner w = { .row = b->n_rows, .next = { NAN, NAN, NAN } };
	double least = INFINITY, resolution = barriers_resolution(b, point, m);

	for (unsigned row = with_cards ? 0 : 1; row < b->n_rows; row++) {
		/* Ratios within blocks, not medians over them: that is what is tested. */
		double mid = row == 0 ? 1 : barriers_ratio(b, point, row, m).mid;

		if (!barriers_distinct(b, row) || isnan(mid) || mid >= least)
			continue;
		least = mid;
		w.row = row;
	}
	if (w.row == b->n_rows || barriers_whole_blocks(b, point) == 0) {
		w.row = b->n_rows;
		return w;
	}
	for (unsigned row = with_cards ? 0 : 1; row < b->n_rows; row++) {
		struct ratio r;

		if (!barriers_distinct(b, row) || row == w.row)
			continue;
		r = ratio_of(b, point, row, w.row, m);
		if (isnan(r.mid))
			continue;
		w.tied[row] = ratio_same(r, resolution) || isinf(r.high);
		w.ties += w.tied[row];
		if (!w.tied[row] && !(w.next.mid <= r.mid)) {
			w.next = r;
			w.next_row = row;
		}
	}
	return w;
}

/* ---- Text ------------------------------------------------------------------------------ */

static void print_axis(const struct barriers *b, enum barriers_axis axis, FILE *f)
{
	const struct barriers_sweep *s = &b->sweeps[axis];

	if (s->count == 0)
		return;
	fprintf(f, "\n%-18s", barriers_axis_names[axis]);
	for (unsigned row = 1; row < b->n_rows; row++)
		fprintf(f, " %18s", b->rows[row].label);
	fputc('\n', f);
	for (unsigned i = 0; i < s->count; i++) {
		unsigned p = s->at[i].point;
		double resolution = barriers_resolution(b, p, BARRIERS_CPU);
		char text[64];

		barriers_stop_name(b, axis, i, text, sizeof text);
		fprintf(f, "%-18s", text);
		for (unsigned row = 1; row < b->n_rows; row++)
			fprintf(f, " %18s",
				ratio_text(barriers_ratio(b, p, row, BARRIERS_CPU), resolution, 2,
					   text));
		fputc('\n', f);
	}
}

void barriers_print(const struct barriers *b, FILE *f)
{
	fprintf(f,
		"%u points, %u blocks begun, %" PRIu64 " %% of the work; sweeps of %s, least heap "
		"%.1f MiB.\n"
		"Processor time of the whole process, to software cards in the same block:\n",
		b->n_points, barriers_begun(b), b->work, b->sweep_program,
		(double)b->least_heap / 1048576);
	for (unsigned axis = 0; axis < AXES; axis++)
		print_axis(b, (enum barriers_axis)axis, f);
	fputs("~: no difference beyond the noise of the A/A column.\n", f);
}
