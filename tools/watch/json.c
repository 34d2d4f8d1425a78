/* SPDX-License-Identifier: MIT
 *
 * The report for machines: docs/watch.schema.json. */
#include "tools/watch/report.h"

#include "tools/tool.h"

#include <sys/wait.h>

typedef unsigned long long number;

static void windows(const struct tally *t, FILE *f)
{
	for (unsigned i = 0; i < t->n_windows; i++) {
		const struct tally_window *w = &t->window[i];
		double count = (double)w->h.count + (w->h.count == 0);

		fprintf(f,
			"%s\n    {\"ms\": %g, \"count\": %llu, \"mean_ms\": %.3f, "
			"\"median_bytes\": %llu, \"p95_bytes\": %llu, \"most_bytes\": %llu, "
			"\"bytes_per_s\": %.0f}",
			i > 0 ? "," : "", (double)w->length_ns * 1e-6, (number)w->h.count,
			w->sum_ns * 1e-6 / count, (number)(hist_quantile(&w->h, 0.5) * t->page),
			(number)(hist_quantile(&w->h, 0.95) * t->page),
			(number)(w->h.max * t->page),
			w->sum_ns > 0 ? w->h.sum * (double)t->page / w->sum_ns * 1e9 : 0);
	}
}

static void where(const struct tally *t, FILE *f, bool refused)
{
	const char *between = "";

	for (unsigned i = 0; i < t->n_names; i++) {
		const struct tally_name *n = &t->name[i];

		if (refused ? n->refused == 0 : n->looks == 0)
			continue;
		fprintf(f, "%s\n    {\"name\": ", between);
		tool_put_string(f, n->name);
		if (refused) {
			fprintf(f, ", \"bytes\": %llu, \"why\": ", (number)n->refused);
			tool_put_string(f, n->why);
		} else {
			fprintf(f,
				", \"mapped_bytes\": %llu, \"written_once_bytes\": %llu, "
				"\"written_bytes\": %llu",
				(number)n->mapped, (number)(n->pages * t->page),
				(number)(n->looks * t->page));
		}
		fputs("}", f);
		between = ",";
	}
}

static void copy(FILE *from, FILE *to)
{
	char buf[4096];
	size_t n;

	rewind(from);
	while ((n = fread(buf, 1, sizeof buf, from)) > 0)
		(void)fwrite(buf, 1, n, to);
}

void report_json(const struct watch_result *r, FILE *f)
{
	const struct tally *t = r->tally;

	fputs("{\n  \"format\": \"cardmark-watch\",\n  \"version\": 1,\n  \"program\": [", f);
	for (char **a = r->argv; *a != NULL; a++) {
		fputs(a > r->argv ? ", " : "", f);
		tool_put_string(f, *a);
	}
	fputs("],\n  \"name\": ", f);
	tool_put_string(f, r->name);
	fprintf(f, ",\n  \"pid\": %ld,\n  \"execs\": %u,\n  \"ended\": ", r->pid, r->execs);
	if (r->running)
		fputs("null", f);
	else
		fprintf(f, WIFSIGNALED(r->status) ? "{\"signal\": %d}" : "{\"status\": %d}",
			WIFSIGNALED(r->status) ? WTERMSIG(r->status) : WEXITSTATUS(r->status));
	fputs(",\n  \"failed\": ", f);
	if (*r->failed != '\0')
		tool_put_string(f, r->failed);
	else
		fputs("null", f);
	fputs(",\n  \"became\": ", f);
	if (*r->became != '\0')
		tool_put_string(f, r->became);
	else
		fputs("null", f);
	fprintf(f,
		",\n  \"interval_ms\": %g,\n  \"page_bytes\": %zu,\n  \"watched_s\": %.6f,\n"
		"  \"looks\": %llu,\n  \"looks_failed\": %llu,\n  \"longest_ms\": %.3f,\n"
		"  \"put_off\": %llu,\n  \"fault_ns\": %llu,\n"
		"  \"cpu_s\": %.6f,\n  \"mapped_bytes\": %llu,\n  \"written_once_bytes\": %llu,\n"
		"  \"written_bytes\": %llu,\n  \"windows\": [",
		(double)t->interval_ns * 1e-6, t->page, (double)(t->end_ns - t->begin_ns) * 1e-9,
		(number)t->looks, (number)t->failed, (double)t->longest_ns * 1e-6,
		(number)t->put_off, (number)t->last.fault_ns, (double)t->cpu_ns * 1e-9,
		(number)t->mapped, (number)(t->distinct * t->page), (number)(t->written * t->page));
	windows(t, f);
	fputs("\n  ],\n  \"where\": [", f);
	where(t, f, false);
	fputs("\n  ],\n  \"not_counted\": {\n  \"refused\": [", f);
	where(t, f, true);
	fprintf(f,
		"],\n    \"refused_bytes\": %llu, \"shared_bytes\": %llu, \"unmapped_bytes\": "
		"%llu,\n"
		"    \"unmapped_pieces\": %llu, \"faults\": %llu, \"unexplained_faults\": %llu,\n"
		"    \"unanswered_bytes\": %llu, \"forks\": %u, \"last_ms\": %.3f, \"finished\": "
		"%s\n  },\n"
		"  \"guessed_pieces\": %llu,\n  \"suspect\": ",
		(number)t->refused_bytes, (number)t->shared, (number)t->gone,
		(number)t->gone_mappings, (number)t->faults, (number)t->unexplained,
		(number)t->unanswered, r->forks, r->last_s * 1e3, r->finished ? "true" : "false",
		(number)t->guessed);
	if (r->suspect != NULL)
		tool_put_string(f, r->suspect);
	else
		fputs("null", f);
	if (r->each_look != NULL) {
		fputs(",\n  \"each_look\": [", f);
		copy(r->each_look, f);
		fputs("\n  ]", f);
	}
	fputs("\n}\n", f);
}
