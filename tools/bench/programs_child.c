/* SPDX-License-Identifier: MIT
 * One run of one program in one row. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/bench/programs.h"

static void make_command(const struct bench_plan *plan, const struct bench_program *p,
			 uint64_t seed, const char *latency, enum bench_kind kind,
			 struct bench_command *c)
{
	snprintf(c->path, sizeof c->path, "%s",
		 p->interpreter != NULL ? p->interpreter_path : p->path);
	if (p->interpreter != NULL) {
		bench_add_argument(c, "%s", p->interpreter);
		bench_add_argument(c, "--no-auto-compile");
	}
	bench_add_argument(c, "%s", p->path);
	bench_add_argument(c, "--seed=%" PRIu64, seed);
	bench_add_argument(c, "--work=%" PRIu64, p->work);
	if (plan->live_mb != 0)
		bench_add_argument(c, "--live-mb=%" PRIu64, plan->live_mb);
	if (p->open_loop) {
		bench_add_argument(c, "--rate=%" PRIu64, kind == RUN_CLOSED ? 0 : p->rate);
		bench_add_argument(c, "--latency=%s", latency);
	}
}

static void read_hash(int fd, struct bench_run *out)
{
	char *text = bench_tail(fd);
	const char *line = NULL;

	for (const char *p = text; p != NULL && (p = strstr(p, "hash: ")) != NULL; p++)
		if (p == text || p[-1] == '\n')
			line = p;
	if (line != NULL)
		out->has_hash = sscanf(line, "hash: %16" SCNx64, &out->hash) == 1;
	free(text);
}

void bench_run_child(const struct bench_plan *plan, const struct bench_program *program,
		     const struct bench_row *row, uint64_t seed, double timeout_s,
		     enum bench_kind kind, struct bench_run *out)
{
	char statistics[sizeof plan->dir + 16], latency[sizeof plan->dir + 16], target[40];
	struct run_options opt = { .backend = row->backend,
				   .libgc = row->libgc,
				   .stats = statistics,
				   .raw = true,
				   .verify = kind == RUN_VERIFIED };
	struct bench_command command = { .run = &opt, .preload = plan->preload };
	struct bench_child child;

	bench_free_run(out);
	memset(out, 0, sizeof *out);
	out->done = true;
	snprintf(statistics, sizeof statistics, "%s/statistics", plan->dir);
	snprintf(latency, sizeof latency, "%s/latency", plan->dir);
	if (row->target_ms > 0) {
		snprintf(target, sizeof target, "%.6f", row->target_ms); /* never 1e+06 */
		opt.pause_target = target;
	}
	make_command(plan, program, seed, latency, kind, &command);
	bench_run_command(&command, timeout_s, kind == RUN_SAMPLED, &child);
	bench_free_command(&command);
	out->wall_s = child.wall_s;
	out->cpu_s = child.cpu_s;
	out->peak_rss_kb = child.peak_rss_kb;
	out->peak_vmas = child.peak_vmas;
	out->peak_table_kb = child.peak_table_kb;
	read_hash(child.out, out);
	bench_close_child(&child);
	if (!child.ok)
		snprintf(out->error, sizeof out->error, "%s", child.error);
	else if (!out->has_hash)
		snprintf(out->error, sizeof out->error, "printed no hash");
	else
		out->ok = bench_read_statistics(statistics, out) &&
			  (!program->open_loop || bench_read_latency(latency, out));
	tool_make_utf8(out->error);
	unlink(statistics);
	unlink(latency);
}
