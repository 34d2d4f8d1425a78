/* SPDX-License-Identifier: MIT
 * cardmark report: results as JSON, with the other values that templates need (model*.c), and the
 * charts (charts*.c). */
#ifndef CARDMARK_REPORT_H
#define CARDMARK_REPORT_H

#include "tools/bench/barriers.h"
#include "tools/bench/programs.h"
#include "tools/report/chart.h"
#include "tools/report/html.h"
#include "tools/report/template.h"

/* One results file of the programs. */
struct report {
	FILE *f;
	const char *file;
	unsigned index; /* for ids on the page */
	struct bench_plan *plan;
	struct bench_env env;
};

/* Everything that the page shows. The pauses of the write barriers are an additional file. */
struct report_page {
	struct report *files;
	size_t n_files;
	struct barriers *barriers; /* or NULL */
	const char *barriers_file;
	json_t *micro; /* or NULL */
};

static inline bool report_ran(const struct report *r, unsigned program)
{
	return r->plan->programs[program].left_out[0] == '\0' &&
	       r->plan->programs[program].blocks > 0;
}

/* To go through the rows that the page shows: all but the repetition, which is the noise.
 *   for (unsigned row = 0; report_next(r, &row); row++) */
static inline bool report_next(const struct report *r, unsigned *row)
{
	if (*row < r->plan->row_count && r->plan->rows[*row].control)
		(*row)++;
	return *row < r->plan->row_count;
}

/* Stops of all good runs of a row, sorted; NULL if there are none. To be freed. */
uint64_t *report_stops(const struct report *r, unsigned program, unsigned row, size_t *n);

/* ---- model_cells.c ----------------------------------------------------------------------- */

/* Of any results. Values that were not recorded are named. */
void model_environment(json_t *root, const struct bench_env *env);
/* A cell with this class ("": that of the column). */
json_t *model_cell(const char *class, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* As ratio_text(); a ratio of ours is coloured as better or worse. */
json_t *model_ratio(struct ratio ratio, double resolution, bool ours);
/* The ratio's distance from 1 that counts as no difference. */
json_t *model_noise(double resolution);

/* ---- model.c, model_losses.c, model_barriers.c, model_micro.c: as the templates see it --------
 */

json_t *model_file(const struct report *r);
json_t *model_losses(const struct bench_plan *plan);
json_t *model_barriers_losses(const struct barriers *b);
/* pauses: what barriers_as_file() filled. */
json_t *model_barriers(const struct barriers *b, const char *file, const struct report *pauses);
/* Pauses of each program with each barrier, as if they were runs of the other bench, so that the
 * same charts draw them. False: memory ran out. */
bool barriers_as_file(const struct barriers *b, struct report *out);
/* NULL, with a message: it is no JSON file of Google Benchmark. */
json_t *model_micro(const char *file);

/* ---- charts.c, charts_times.c, charts_barriers.c ---------------------------------------- */

/* Draws {{> name}} at this place of a template. */
bool charts_draw(const struct template *t, const char *name);

void charts_stops(const struct report *r, unsigned program);
void charts_utilisation(const struct report *r, unsigned program);
void charts_latency(const struct report *r, unsigned program, enum latency_kind kind);
void charts_sweep(FILE *f, const struct barriers *b, enum barriers_axis axis);
void charts_barriers_legend(FILE *f, const struct barriers *b);

/* The least share, in per cent, that the program had of any stretch of time; NaN where every
 * run is shorter. */
enum { UTILISATION_WINDOWS = 13 };
extern const double utilisation_ms[UTILISATION_WINDOWS];
void utilisation(const struct report *r, unsigned program, unsigned row,
		 double out[UTILISATION_WINDOWS]);

/* How long stops or requests of a row took: sorted, or as a histogram; neither if there are none.
 * In ns. */
struct times {
	const char *row;
	size_t count;
	const uint64_t *sorted;
	const struct histogram *histogram;
};

/* Of the requests of a row; NULL: it has none. */
struct times times_of(const char *row, const struct bench_latency *pool, unsigned kind);

/* In ms; 1 is the longest. */
double times_quantile(const struct times *t, double q);

#endif
