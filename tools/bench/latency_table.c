/* SPDX-License-Identifier: MIT
 * Prints the latency of the open-loop program. */
#include <inttypes.h>
#include <stdlib.h>

#include "tools/bench/programs.h"

static const char *ms(const struct histogram *h, double q, char out[16])
{
	if (bench_latency_knows(h->count, q))
		snprintf(out, 16, "%.3f", (double)hist_quantile(h, q) / 1e6);
	else
		snprintf(out, 16, "-");
	return out;
}

static void print_row(const struct bench_plan *plan, unsigned program, unsigned row, FILE *f)
{
	struct bench_latency *l = bench_pool_latency(plan, program, row);
	struct ratio ratio = bench_ratio(plan, program, row, plan->ref, METRIC_LATENCY_P99);
	double resolution = bench_resolution(plan, program, METRIC_LATENCY_P99);
	const struct histogram *open, *simple, *hiccup;
	char a[16], b[16], c[16], d[16], e[16], m[16], g[16], text[RATIO_TEXT];

	if (l == NULL)
		return;
	open = &l->kinds[LATENCY_OPEN];
	simple = &l->kinds[LATENCY_SIMPLE];
	hiccup = &l->kinds[LATENCY_HICCUP];
	fprintf(f, "%-22s %8s %8s %8s %8s %8.3f  %8s %8s  %8s %8.3f  ", plan->rows[row].label,
		ms(open, 0.5, a), ms(open, 0.9, b), ms(open, 0.99, c), ms(open, 0.999, d),
		(double)open->max / 1e6, ms(simple, 0.99, e),
		ms(&l->kinds[LATENCY_METERED_10], 0.99, m), ms(hiccup, 0.99, g),
		(double)hiccup->max / 1e6);
	if (row == plan->ref)
		fprintf(f, "1\n");
	else
		fprintf(f, "%s\n", ratio_text(ratio, resolution, 2, text));
	free(l);
}

void bench_print_latency(const struct bench_plan *plan, unsigned program, FILE *f)
{
	const struct bench_program *p = &plan->programs[program];

	if (p->left_out[0] != '\0' || !bench_has_latency(plan, program))
		return;
	fprintf(f, "Latency of %s at %" PRIu64 " requests a second", p->name, p->rate);
	if (p->closed_rate > 0)
		fprintf(f, " (%.0f %% of what the reference can do)",
			100 * (double)p->rate / (double)p->closed_rate);
	fprintf(f, ", ms, from when each was due; of all blocks:\n");
	fprintf(f, "%-22s %8s %8s %8s %8s %8s  %8s %8s  %17s  %s\n", "", "", "", "", "", "",
		"simple", "metered", "machine's hiccups", "p99 to");
	fprintf(f, "%-22s %8s %8s %8s %8s %8s  %8s %8s  %8s %8s  %s\n", "", "p50", "p90", "p99",
		"p99.9", "max", "p99", "10ms p99", "p99", "max", "libgc-mprotect");
	for (unsigned row = 0; row < plan->row_count; row++)
		print_row(plan, program, row, f);
}

void bench_print_latency_words(const struct bench_plan *plan, unsigned program, FILE *f)
{
	const struct bench_program *p = &plan->programs[program];

	if (p->left_out[0] != '\0' || !bench_has_latency(plan, program))
		return;
	fprintf(f, "  %s: one request in a hundred takes longer than", p->name);
	for (unsigned row = 0; row < plan->row_count; row++) {
		struct bench_latency *l =
			plan->rows[row].control ? NULL : bench_pool_latency(plan, program, row);
		char text[16];

		if (l == NULL)
			continue;
		fprintf(f, "%s %s ms (%s)", row > 0 ? "," : "",
			ms(&l->kinds[LATENCY_OPEN], 0.99, text), plan->rows[row].label);
		free(l);
	}
	fprintf(f, ".\n");
}
