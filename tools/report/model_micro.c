/* SPDX-License-Identifier: MIT
 * The data for the template of the micro benchmarks: results of Google Benchmark, and which backend
 * wins where. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"

/* ---- Best subjects --------------------------------------------------------------- */

enum { MOST_SUBJECTS = 8, MOST_CASES = 128, MOST_BLOCKS = MAX_BLOCKS };

/* One collect benchmark, "collect/SUBJECT/PATTERN/heap_mib:N/dirty_pct:N/...". */
struct micro_case {
	char pattern[16];
	long heap_mib, dirty_pct;
	double us[MOST_SUBJECTS][MOST_BLOCKS]; /* of a collect; 0: no result */
	double dirty;                          /* cards, as found */
	bool over[MOST_SUBJECTS];              /* reported more than was written */
};

struct micro_grid {
	char subjects[MOST_SUBJECTS][16];
	double fault_us[MOST_SUBJECTS][MOST_BLOCKS]; /* median, of a random first write */
	unsigned n_subjects, n_cases;
	struct micro_case cases[MOST_CASES];
};

static unsigned subject_of(struct micro_grid *g, const char *name)
{
	for (unsigned i = 0; i < g->n_subjects; i++)
		if (strcmp(g->subjects[i], name) == 0)
			return i;
	if (g->n_subjects == MOST_SUBJECTS)
		return MOST_SUBJECTS;
	snprintf(g->subjects[g->n_subjects], sizeof g->subjects[0], "%s", name);
	return g->n_subjects++;
}

static struct micro_case *case_of(struct micro_grid *g, const char *pattern, long mib, long pct)
{
	struct micro_case *c;

	for (unsigned i = 0; i < g->n_cases; i++) {
		c = &g->cases[i];
		if (c->heap_mib == mib && c->dirty_pct == pct && strcmp(c->pattern, pattern) == 0)
			return c;
	}
	if (g->n_cases == MOST_CASES)
		return NULL;
	c = &g->cases[g->n_cases++];
	snprintf(c->pattern, sizeof c->pattern, "%s", pattern);
	c->heap_mib = mib;
	c->dirty_pct = pct;
	return c;
}

static void grid_add(struct micro_grid *g, const json_t *b)
{
	const char *name = bench_string_of(b, "name");
	json_int_t block = json_integer_value(json_object_get(b, "repetition_index"));
	char subject[16], pattern[16];
	struct micro_case *c;
	long mib, pct;
	unsigned who;

	if (json_is_true(json_object_get(b, "error_occurred")) || block < 0 ||
	    block >= MOST_BLOCKS || strcmp(bench_string_of(b, "run_type"), "iteration") != 0)
		return;
	if (sscanf(name, "fault/%15[^/]/random/", subject) == 1 &&
	    strncmp(strchr(name + 6, '/'), "/random/", 8) == 0) {
		who = subject_of(g, subject);
		if (who < MOST_SUBJECTS)
			g->fault_us[who][block] = bench_number_of(b, "p50_ns") / 1e3;
		return;
	}
	if (sscanf(name, "collect/%15[^/]/%15[^/]/heap_mib:%ld/dirty_pct:%ld/", subject, pattern,
		   &mib, &pct) != 4)
		return;
	who = subject_of(g, subject);
	c = case_of(g, pattern, mib, pct);
	if (who == MOST_SUBJECTS || c == NULL)
		return;
	c->us[who][block] = bench_number_of(b, "p50_ns") / 1e3;
	c->over[who] = c->over[who] || bench_number_of(b, "over_reported") > 0;
	if (bench_number_of(b, "over_reported") <= 0)
		c->dirty = bench_number_of(b, "dirty_cards");
}

/* What a cycle costs: the collect and, if asked for, a fault for each dirty card. */
static void cycle(const struct micro_grid *g, const struct micro_case *c, unsigned who,
		  bool with_faults, double out[MOST_BLOCKS])
{
	for (unsigned i = 0; i < MOST_BLOCKS; i++) {
		out[i] = c->us[who][i];
		if (!with_faults || out[i] <= 0)
			continue;
		out[i] = g->fault_us[who][i] > 0 ? out[i] + c->dirty * g->fault_us[who][i] : 0;
	}
}

/* Of the existing values; NaN if there are none. */
static double middle(const double v[MOST_BLOCKS])
{
	double known[MOST_BLOCKS];
	size_t n = 0;

	for (unsigned i = 0; i < MOST_BLOCKS; i++)
		if (v[i] > 0)
			known[n++] = v[i];
	return sample_median(known, n);
}

/* The bare loop is the goal, not a choice. A backend that reports more than was written is
 * left out: the reader of its report pays for that. */
static bool competes(const struct micro_grid *g, const struct micro_case *c, unsigned who)
{
	return !c->over[who] && strcmp(g->subjects[who], "bare") != 0;
}

/* The cheapest one, then "~" and all others that do not differ from it. */
static void winner(const struct micro_grid *g, const struct micro_case *c, bool with_faults,
		   char *out, size_t len)
{
	double best[MOST_BLOCKS], other[MOST_BLOCKS], least = INFINITY;
	unsigned who = MOST_SUBJECTS;
	size_t used;

	for (unsigned i = 0; i < g->n_subjects; i++) {
		cycle(g, c, i, with_faults, other);
		if (competes(g, c, i) && middle(other) < least) {
			least = middle(other);
			who = i;
		}
	}
	snprintf(out, len, "-");
	if (who == MOST_SUBJECTS)
		return;
	cycle(g, c, who, with_faults, best);
	used = (size_t)snprintf(out, len, "%s", g->subjects[who]);
	for (unsigned i = 0; i < g->n_subjects; i++) {
		cycle(g, c, i, with_faults, other);
		if (i == who || !competes(g, c, i) || isnan(middle(other)) ||
		    !ratio_same(ratio_paired(other, best, MOST_BLOCKS), 0) || used >= len)
			continue;
		used += (size_t)snprintf(out + used, len - used, " ~ %s", g->subjects[i]);
	}
}

static json_t *row_json(const struct micro_grid *g, const struct micro_case *c)
{
	json_t *times = json_array();
	char fastest[128], cheapest[128], number[RATIO_TEXT];

	for (unsigned i = 0; i < g->n_subjects; i++)
		json_array_append_new(times,
				      model_cell("", "%s%s", number_text(middle(c->us[i]), number),
						 c->over[i] ? " +" : ""));
	winner(g, c, false, fastest, sizeof fastest);
	winner(g, c, true, cheapest, sizeof cheapest);
	return json_pack("{s:s, s:I, s:I, s:o, s:s, s:s}", "pattern", c->pattern, "heap_mib",
			 (json_int_t)c->heap_mib, "dirty_pct", (json_int_t)c->dirty_pct, "times",
			 times, "fastest", fastest, "cheapest", cheapest);
}

static void add_grid(json_t *root)
{
	struct micro_grid *g = calloc(1, sizeof *g);
	json_t *list = json_object_get(root, "benchmarks"), *subjects = json_array();
	json_t *cases = json_array();

	for (size_t i = 0; g != NULL && i < json_array_size(list); i++)
		grid_add(g, json_array_get(list, i));
	for (unsigned i = 0; g != NULL && i < g->n_subjects; i++)
		json_array_append_new(subjects, json_string(g->subjects[i]));
	for (unsigned i = 0; g != NULL && i < g->n_cases; i++)
		json_array_append_new(cases, row_json(g, &g->cases[i]));
	json_object_set_new(root, "subjects", subjects);
	json_object_set_new(root, "cases", cases);
	free(g);
}

json_t *model_micro(const char *file)
{
	json_error_t error;
	json_t *root = json_load_file(file, 0, &error), *list, *one;
	size_t i;

	if (root == NULL) {
		tool_message("report", "%s: %s", file, error.text);
		return NULL;
	}
	list = json_object_get(root, "benchmarks");
	if (!json_is_array(list) || !json_is_object(json_object_get(root, "context"))) {
		tool_message("report", "%s: not a JSON file of Google Benchmark", file);
		json_decref(root);
		return NULL;
	}
	json_object_set_new(root, "results", json_integer((json_int_t)json_array_size(list)));
	/* Ratios such as cv have no unit of time. */
	json_array_foreach(list, i, one)
	{
		if (strcmp(bench_string_of(one, "aggregate_unit"), "percentage") == 0)
			json_object_set_new(one, "time_unit", json_string("(of 1)"));
	}
	add_grid(root);
	return root;
}
