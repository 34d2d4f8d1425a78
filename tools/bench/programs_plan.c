/* SPDX-License-Identifier: MIT
 * Which programs run in which ways. */
#include <stdlib.h>

#include "tools/bench/programs.h"

static const struct bench_program known[] = {
	{ .name = "trees",
	  .what = "long-lived trees with random updates, 200 MiB live",
	  .file = "trees",
	  .share = 0.25 },
	{ .name = "words",
	  .what = "a word index over the documentation and headers of this machine",
	  .file = "words",
	  .share = 0.20 },
	{ .name = "guile",
	  .what = "guile-3.0, unchanged, running a Markov chain over the same text",
	  .file = "words.scm",
	  .interpreter = "guile",
	  .share = 0.35 },
	{ .name = "kv",
	  .what = "an open-loop key-value server, 64 MiB live",
	  .file = "kv",
	  .share = 0.20,
	  .open_loop = true },
};

enum { KNOWN = sizeof known / sizeof *known };

/* " (NAME)", the last part of its path: what the rows are called. */
static void libgc_name(const char *dir, char *out, size_t n)
{
	size_t end = strlen(dir), start;

	while (end > 1 && dir[end - 1] == '/')
		end--;
	for (start = end; start > 0 && dir[start - 1] != '/'; start--)
		;
	snprintf(out, n, " (%.*s)", end - start < 12 ? (int)(end - start) : 12, dir + start);
}

static struct bench_row *add_row(struct bench_plan *plan, const char *backend, double target,
				 const char *libgc)
{
	struct bench_row *row;
	char with[24] = "", name[16] = "";

	for (unsigned i = 0; i < plan->row_count; i++)
		if (strcmp(plan->rows[i].backend, backend) == 0 && !plan->rows[i].control &&
		    plan->rows[i].libgc == libgc && !(plan->rows[i].target_ms < target) &&
		    !(plan->rows[i].target_ms > target))
			return &plan->rows[i];
	if (plan->row_count == MAX_ROWS)
		return NULL;
	row = &plan->rows[plan->row_count++];
	row->backend = backend;
	row->target_ms = target;
	row->libgc = libgc;
	row->peer = strncmp(backend, "libgc-", 6) == 0;
	if (target > 0)
		snprintf(with, sizeof with, ", %g ms", target);
	if (libgc != NULL)
		libgc_name(libgc, name, sizeof name);
	snprintf(row->label, sizeof row->label, "%.14s%s%s", backend, with, name);
	return row;
}

/* With the target, too. */
static bool add_rows(struct bench_plan *plan, const char *backend, const char *libgc)
{
	return add_row(plan, backend, 0, libgc) != NULL &&
	       (plan->target_ms <= 0 || strcmp(backend, "stop-the-world") == 0 ||
		add_row(plan, backend, plan->target_ms, libgc) != NULL);
}

/* Rows with another libgc come last: a search for our row finds the system's first. */
static bool make_rows(struct bench_plan *plan, const char *const *backends, size_t n)
{
	const struct bench_options *opt = plan->opt;
	struct bench_row *control;
	bool good = true;

	plan->stw = plan->row_count;
	add_row(plan, "stop-the-world", 0, NULL);
	plan->ref = plan->row_count;
	add_row(plan, "libgc-mprotect", 0, NULL);
	plan->control = plan->row_count;
	control = add_row(plan, "libgc-mprotect", -1, NULL);
	control->target_ms = 0;
	control->control = true;
	snprintf(control->label, sizeof control->label, "libgc-mprotect (A/A)");
	for (size_t i = 0; i < n; i++)
		good = add_rows(plan, backends[i], NULL) && good;
	good = add_rows(plan, "libgc-mprotect", NULL) && good;
	for (size_t k = 0; k < opt->n_libgcs; k++) {
		good = add_rows(plan, "libgc-own", opt->libgcs[k]) && good;
		for (size_t i = 0; i < n; i++)
			good = add_rows(plan, backends[i], opt->libgcs[k]) && good;
	}
	return good;
}

static int check_libgcs(const struct bench_options *opt)
{
	char dir[2 * TOOL_PATH], name[BENCH_MANY][16];

	for (size_t i = 0; i < opt->n_libgcs; i++) {
		if (!run_find_libgc("bench", opt->libgcs[i], dir))
			return TOOL_CANNOT;
		libgc_name(opt->libgcs[i], name[i], sizeof name[i]);
		for (size_t k = 0; k < i; k++)
			if (strcmp(name[i], name[k]) == 0)
				return tool_usage_error("bench",
							"rows of %s and %s would have the same "
							"name%s: give one another name",
							opt->libgcs[k], opt->libgcs[i], name[i]);
	}
	return -1;
}

/* Each named backend must work here. */
static int check_backends(const struct bench_options *opt)
{
	for (size_t i = 0; i < opt->n_backends; i++) {
		const char *name = opt->backends[i];
		enum cardmark_backend b;
		int status;

		if (strcmp(name, "auto") == 0)
			return tool_usage_error("bench", "there is no backend \"auto\" to compare");
		/* One of libgc's own modes. */
		if (run_backend_known(name) && cardmark_backend_parse(name, &b) != 0)
			continue;
		status = bench_find_backend(name, &b);
		if (status >= 0)
			return status;
	}
	return -1;
}

static void find_parts(struct bench_program *p)
{
	static const char *const names[] = { "guile-3.0", "guile" };
	bool found = false;

	if (!tool_find_bench(p->file, p->path)) {
		snprintf(p->left_out, sizeof p->left_out, "%s was not built or installed", p->file);
		return;
	}
	if (p->interpreter == NULL)
		return;
	for (size_t i = 0; !found && i < sizeof names / sizeof *names; i++)
		found = tool_find_program(names[i], p->interpreter_path) == 0;
	if (!found)
		snprintf(p->left_out, sizeof p->left_out,
			 "guile is not installed (Debian package guile-3.0)");
}

static int add_program(struct bench_plan *plan, const char *name)
{
	for (size_t i = 0; i < KNOWN; i++) {
		struct bench_program *p;

		if (strcmp(known[i].name, name) != 0)
			continue;
		for (unsigned k = 0; k < plan->program_count; k++)
			if (strcmp(plan->programs[k].name, name) == 0)
				return -1;
		p = &plan->programs[plan->program_count++];
		*p = known[i];
		p->work = plan->opt->size;
		p->rate = p->open_loop ? plan->opt->rate : 0;
		find_parts(p);
		return -1;
	}
	return tool_usage_error("bench", "there is no program \"%s\": trees, words, guile or kv",
				name);
}

int bench_plan_make(struct bench_plan *plan, const struct bench_options *opt)
{
	const char *best = cardmark_backend_name(tool_probe_best());
	int status = check_backends(opt);

	if (status < 0)
		status = check_libgcs(opt);
	if (status >= 0)
		return status;
	plan->opt = opt;
	plan->seed = opt->seed;
	plan->live_mb = opt->live_mb;
	plan->target_ms = opt->target_ms;
	plan->best = best;
	for (size_t i = opt->n_backends; i-- > 0;) {
		enum cardmark_backend b;

		if (cardmark_backend_parse(opt->backends[i], &b) == 0)
			plan->best = opt->backends[i];
	}
	if (!make_rows(plan, opt->n_backends ? opt->backends : &best,
		       opt->n_backends ? opt->n_backends : 1))
		return tool_usage_error("bench",
					"more than %d rows: name fewer backends or "
					"directories of libgc",
					MAX_ROWS);
	if (opt->n_programs == 0)
		for (size_t i = 0; i < KNOWN; i++)
			add_program(plan, known[i].name);
	for (size_t i = 0; i < opt->n_programs; i++) {
		status = add_program(plan, opt->programs[i]);
		if (status >= 0)
			return status;
	}
	if (!tool_find_preload(plan->preload)) {
		tool_message("bench",
			     "the preload object is missing (looked at %s): is this build without "
			     "the Boehm GC adapter?",
			     plan->preload);
		return TOOL_CANNOT;
	}
	plan->cells = calloc((size_t)plan->program_count * plan->row_count, sizeof *plan->cells);
	if (plan->cells == NULL) {
		tool_message("bench", "out of memory");
		return TOOL_CANNOT;
	}
	return -1;
}
