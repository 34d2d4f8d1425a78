/* SPDX-License-Identifier: MIT
 * Results of Google Benchmark (--benchmark_format=json) as a section. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/html.h"
#include "tools/report/report.h"

static const char *string_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void one(FILE *f, const json_t *b)
{
	const char *unit = string_of(b, "time_unit");
	json_t *error = json_object_get(b, "error_occurred");
	char real[32], cpu[32], repeats[32];

	html_row(f, string_of(b, "name"));
	html_cell(f, "name", "%s", string_of(b, "run_type"));
	if (json_is_true(error)) {
		fputs("<td class=\"worse\" colspan=\"4\">", f);
		html_text(f, string_of(b, "error_message"));
		fputs("</td>", f);
		html_row_end(f);
		return;
	}
	/* Ratios such as cv have no unit of time. */
	if (strcmp(string_of(b, "aggregate_unit"), "percentage") == 0)
		unit = "(of 1)";
	html_cell(f, NULL, "%s",
		  html_number(json_number_value(json_object_get(b, "real_time")), real));
	html_cell(f, NULL, "%s",
		  html_number(json_number_value(json_object_get(b, "cpu_time")), cpu));
	html_cell(f, "name", "%s", unit);
	html_cell(f, NULL, "%s",
		  html_number(json_number_value(json_object_get(b, "iterations")), repeats));
	html_row_end(f);
}

/* ---- Who wins where -------------------------------------------------------------- */

enum { MOST_SUBJECTS = 8, MOST_CASES = 128, MOST_BLOCKS = MAX_BLOCKS };

/* One collect benchmark, "collect/SUBJECT/PATTERN/heap_mib:N/dirty_pct:N/...". */
struct micro_case {
	char pattern[16];
	long heap_mib, dirty_pct;
	double us[MOST_SUBJECTS][MOST_BLOCKS]; /* of a collect; 0: not there */
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

static double figure_of(const json_t *b, const char *key)
{
	return json_number_value(json_object_get(b, key));
}

static void grid_add(struct micro_grid *g, const json_t *b)
{
	const char *name = string_of(b, "name");
	json_int_t block = json_integer_value(json_object_get(b, "repetition_index"));
	char subject[16], pattern[16];
	struct micro_case *c;
	long mib, pct;
	unsigned who;

	if (json_is_true(json_object_get(b, "error_occurred")) || block < 0 ||
	    block >= MOST_BLOCKS || strcmp(string_of(b, "run_type"), "iteration") != 0)
		return;
	if (sscanf(name, "fault/%15[^/]/random/", subject) == 1 &&
	    strncmp(strchr(name + 6, '/'), "/random/", 8) == 0) {
		who = subject_of(g, subject);
		if (who < MOST_SUBJECTS)
			g->fault_us[who][block] = figure_of(b, "p50_ns") / 1e3;
		return;
	}
	if (sscanf(name, "collect/%15[^/]/%15[^/]/heap_mib:%ld/dirty_pct:%ld/", subject, pattern,
		   &mib, &pct) != 4)
		return;
	who = subject_of(g, subject);
	c = case_of(g, pattern, mib, pct);
	if (who == MOST_SUBJECTS || c == NULL)
		return;
	c->us[who][block] = figure_of(b, "p50_ns") / 1e3;
	c->over[who] = c->over[who] || figure_of(b, "over_reported") > 0;
	if (figure_of(b, "over_reported") <= 0)
		c->dirty = figure_of(b, "dirty_cards");
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

/* Of the values that are there; NaN if none is. */
static double middle(const double v[MOST_BLOCKS])
{
	double known[MOST_BLOCKS];
	size_t n = 0;

	for (unsigned i = 0; i < MOST_BLOCKS; i++)
		if (v[i] > 0)
			known[n++] = v[i];
	return stat_median(known, n);
}

/* The bare loop is the goal, not a choice. A backend that reports more than was written
 * costs the reader of the report. */
static bool competes(const struct micro_grid *g, const struct micro_case *c, unsigned who)
{
	return !c->over[who] && strcmp(g->subjects[who], "bare") != 0;
}

/* The cheapest, and "~" and all others that are no different from it. */
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
		    !stat_same(stat_paired_ratio(other, best, MOST_BLOCKS), 0) || used >= len)
			continue;
		used += (size_t)snprintf(out + used, len - used, " ~ %s", g->subjects[i]);
	}
}

static void grid_times(FILE *f, const struct micro_grid *g)
{
	const char *heads[MOST_SUBJECTS + 5] = { "pattern", "heap, MiB", "dirty, %" };
	unsigned n = 3;

	for (unsigned i = 0; i < g->n_subjects; i++)
		heads[n++] = g->subjects[i];
	heads[n++] = "<fastest collect";
	heads[n++] = "<cheapest with the faults";
	html_table_begin(f, "Get-and-clear, median in microseconds", heads);
	for (unsigned k = 0; k < g->n_cases; k++) {
		const struct micro_case *c = &g->cases[k];
		char text[128], number[32];

		html_row(f, c->pattern);
		html_cell(f, NULL, "%ld", c->heap_mib);
		html_cell(f, NULL, "%ld", c->dirty_pct);
		for (unsigned i = 0; i < g->n_subjects; i++)
			html_cell(f, NULL, "%s%s", html_number(middle(c->us[i]), number),
				  c->over[i] ? " +" : "");
		winner(g, c, false, text, sizeof text);
		html_cell(f, "name", "%s", text);
		winner(g, c, true, text, sizeof text);
		html_cell(f, "name", "%s", text);
		html_row_end(f);
	}
	html_table_end(f);
	fputs("<p>+: reports more than was written, and wins nothing here: who reads the report "
	      "pays for it. Nor does bare, the loop around the system call. With the faults: the "
	      "collect, and for each dirty card the median of "
	      "a first write at random. A ~ B: no different, in a 95 % interval over blocks; "
	      "with fewer than three blocks nothing is.</p>\n",
	      f);
}

static void grid(FILE *f, const json_t *list)
{
	struct micro_grid *g = calloc(1, sizeof *g);

	if (g == NULL)
		return;
	for (size_t i = 0; i < json_array_size(list); i++)
		grid_add(g, json_array_get(list, i));
	if (g->n_cases > 0)
		grid_times(f, g);
	free(g);
}

bool report_micro(FILE *f, const char *file)
{
	static const char *const heads[] = { "benchmark", "<kind",      "real time", "CPU time",
					     "<unit",     "iterations", NULL };
	json_error_t error;
	json_t *root = json_load_file(file, 0, &error), *list, *context;

	if (root == NULL) {
		tool_message("report", "%s: %s", file, error.text);
		return false;
	}
	list = json_object_get(root, "benchmarks");
	context = json_object_get(root, "context");
	if (!json_is_array(list) || !json_is_object(context)) {
		tool_message("report", "%s: not a JSON file of Google Benchmark", file);
		json_decref(root);
		return false;
	}
	fputs("<section id=\"micro\"><h2>Micro benchmarks</h2>\n<p>", f);
	html_printf(f, "%s, %s, %s; %zu results.", string_of(context, "date"),
		    string_of(context, "host_name"), string_of(context, "executable"),
		    json_array_size(list));
	if (json_is_true(json_object_get(context, "cpu_scaling_enabled")))
		fputs(" <b>The processor's clock was not fixed.</b>", f);
	fputs("</p>\n", f);
	grid(f, list);
	html_table_begin(f, "Micro benchmarks", heads);
	for (size_t i = 0; i < json_array_size(list); i++)
		one(f, json_array_get(list, i));
	html_table_end(f);
	fputs("</section>\n", f);
	json_decref(root);
	return true;
}
