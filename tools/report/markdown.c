/* SPDX-License-Identifier: MIT
 * A summary for a README. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/html.h"
#include "tools/report/report.h"

/* Text within a table or a line: nothing in it is markup. */
void report_markdown_text(FILE *f, const char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f) {
			fputc(' ', f);
			continue;
		}
		if (strchr("\\`*_[]<>|#~&", c) != NULL)
			fputc('\\', f);
		fputc(c, f);
	}
}

static void rows(const struct report *r, unsigned k, FILE *f)
{
	const struct bench_plan *plan = r->plan;
	double resolution = bench_resolution(plan, k, METRIC_TOTAL);

	fputs("| way of collecting | total / libgc-mprotect | total / stop-the-world | median "
	      "stop, ms | "
	      "longest stop, ms | longest stall, ms | peak VMAs |\n|---|---|---|---|---|---|---|\n",
	      f);
	for (unsigned row = 0; row < plan->row_count; row++) {
		struct bench_summary s;
		char ref[48], stw[48], n[32];

		bench_summarize(plan, k, row, &s);
		fputs("| ", f);
		report_markdown_text(f, plan->rows[row].label);
		if (s.good == 0) {
			fputs(" | FAILED: ", f);
			report_markdown_text(f, s.error != NULL ? s.error : "");
			fputs(" | | | | | |\n", f);
			continue;
		}
		fputs(" | ", f);
		report_markdown_text(f, row == plan->ref ? "1"
							 : html_ratio(s.to_ref, resolution, ref));
		fputs(" | ", f);
		report_markdown_text(f, row == plan->stw ? "1"
							 : html_ratio(s.to_stw, resolution, stw));
		fprintf(f, " | %s", html_number(s.p50, n));
		fprintf(f, " | %s", html_number(s.max, n));
		fprintf(f, " | %s", html_number(s.stall, n));
		fprintf(f, " | %s |\n", html_number(s.vmas, n));
	}
}

static void losses(const struct report *r, FILE *f)
{
	struct report_losses l;

	if (!report_find_losses(r->plan, &l))
		return;
	fprintf(f,
		"\n**Where we lose:** worse by more than the noise in %zu of %zu comparisons; "
		"nothing can be told in %zu.\n",
		l.count, l.compared, l.unknown);
	if (l.count > 0)
		fputc('\n', f);
	for (size_t i = 0; i < l.count; i++) {
		char ratio[48];

		fputs("- ", f);
		report_markdown_text(f, l.list[i].program);
		fputs(", ", f);
		report_markdown_text(f, l.list[i].row);
		fprintf(f, ": %s ", l.list[i].metric);
		report_markdown_text(f, html_ratio(l.list[i].ratio, l.list[i].resolution, ratio));
		fputs(" of that of ", f);
		report_markdown_text(f, l.list[i].to);
		fputc('\n', f);
	}
	free(l.list);
}

void report_markdown(const struct report *r, FILE *f)
{
	char line[1024];

	snprintf(line, sizeof line,
		 "%s, %ld CPUs, %s; libcardmark %s on %s; %s; load %s before; %.1f %% stolen.",
		 r->env.cpu, r->env.cpus, r->env.kernel, r->env.library, r->plan->best,
		 r->env.libgc, r->env.load, bench_env_steal_percent(&r->env));
	report_markdown_text(f, line);
	fputs("\n", f);
	for (unsigned k = 0; k < r->plan->program_count; k++) {
		const struct bench_program *p = &r->plan->programs[k];
		double resolution;

		fputs("\n**", f);
		report_markdown_text(f, p->name);
		fputs("**: ", f);
		if (!report_ran(r, k)) {
			fputs("left out: ", f);
			report_markdown_text(f, p->left_out);
			fputc('\n', f);
			continue;
		}
		resolution = bench_resolution(r->plan, k, METRIC_TOTAL);
		report_markdown_text(f, p->what);
		fprintf(f, "; %u blocks, %" PRIu64 " %% of the work; ", p->blocks, p->work);
		if (r->plan->live_mb > 0)
			fprintf(f, "--live-mb=%" PRIu64 "; ", r->plan->live_mb);
		if (isfinite(resolution))
			fprintf(f, "resolution %.1f %%", 100 * resolution);
		else
			fputs("no resolution", f);
		fprintf(f, "; results %s\n\n",
			bench_hashes_agree(r->plan, k, false) ? "agree" : "**DIFFER**");
		rows(r, k, f);
		report_latency_markdown(r, k, f);
	}
	losses(r, f);
	fputs("\n\\~: no difference beyond the noise. `", f);
	/* In code, where only its own mark means anything. */
	for (const char *s = r->env.command; *s != '\0'; s++)
		fputc(*s == '`' || (unsigned char)*s < 0x20 ? ' ' : *s, f);
	fputs("`\n", f);
}
