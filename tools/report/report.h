/* SPDX-License-Identifier: MIT
 * The parts of cardmark report. A part writes one section of the page about one results
 * file; what the file lacks is said there. */
#ifndef CARDMARK_TOOL_REPORT_H
#define CARDMARK_TOOL_REPORT_H

#include "tools/bench/programs.h"

struct report {
	FILE *f;
	const char *file;
	unsigned index; /* of the file, for ids */
	struct bench_plan *plan;
	struct bench_env env;
};

/* Programs that ran. */
static inline bool report_ran(const struct report *r, unsigned program)
{
	return r->plan->programs[program].left_out[0] == '\0' &&
	       r->plan->programs[program].blocks > 0;
}

/* ---- style.c ---- the page around it --------------------------------------- */

void report_head(FILE *f, const char *title);
void report_foot(FILE *f);

/* ---- tables.c ---------------------------------------------------------------- */

void report_verdict(const struct report *r);
void report_losses(const struct report *r);
void report_environment(const struct report *r);
void report_memory(const struct report *r);
void report_correctness(const struct report *r);
void report_raw(const struct report *r);

/* ---- losses.c ---- also for the summary ---------------------------------------- */

struct report_loss {
	const char *program, *row, *metric, *to;
	struct stat_ratio ratio;
	double resolution;
};
struct report_losses {
	struct report_loss *list;
	size_t count, compared, unknown; /* unknown: no interval */
};
/* Worst first. False if memory ran out. */
bool report_find_losses(const struct bench_plan *plan, struct report_losses *out);

/* ---- charts.c, pauses.c --------------------------------------------------- */

/* Of each program that ran: its charts side by side, then the same in numbers. */
typedef void (*report_part)(const struct report *r, unsigned program);
void report_programs(const struct report *r, report_part charts, report_part table);
void report_legend(const struct report *r);
void report_totals(const struct report *r);
void report_phases(const struct report *r);
void report_percentiles(const struct report *r);
void report_utilisation(const struct report *r);
/* Stops of all good runs of a row, sorted; NULL if there are none. To be freed. */
uint64_t *report_stops(const struct report *r, unsigned program, unsigned row, size_t *n);

/* ---- latency.c ------------------------------------------------------------------ */

void report_latency(const struct report *r);
void report_latency_markdown(const struct report *r, unsigned program, FILE *f);

/* ---- micro.c --------------------------------------------------------------------- */

/* Results of Google Benchmark in its JSON format, as a section. False, with a message. */
bool report_micro(FILE *f, const char *file);

/* ---- markdown.c -------------------------------------------------------------------- */

void report_markdown(const struct report *r, FILE *f);
/* Text within a table or a line: nothing in it is markup. */
void report_markdown_text(FILE *f, const char *s);

#endif
