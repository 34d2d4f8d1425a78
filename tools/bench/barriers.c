/* SPDX-License-Identifier: MIT
 * cardmark bench barriers: its options, and the order of its steps. */
#include <stdlib.h>
#include <unistd.h>

#include "tools/bench/barriers.h"

static void complete(struct barriers *b, struct bench_options *opt)
{
	static const struct bench_limits presets[PRESETS] = { [PRESET_QUICK] = { 5, 170, 100 },
							      [PRESET_STANDARD] = { 8, 1750, 100 },
							      [PRESET_FULL] = { 12, 7000, 100 } };

	bench_limit(opt, presets);
	b->preset = opt->preset;
	b->seed = opt->seed;
	b->live_mb = (double)opt->live_mb;
	b->fixed_work = opt->size_given;
	b->work = opt->size > 0 ? opt->size : 1;
	b->blocks = opt->blocks;
	b->budget_s = opt->budget_s;
	if (opt->n_programs > 0)
		snprintf(b->sole, sizeof b->sole, "%s", opt->programs[0]);
}

/* Wrong results, and failures of ours, fail the bench. */
static bool all_good(const struct barriers *b)
{
	bool good = true;

	for (unsigned p = 0; p < b->n_points; p++) {
		good = barriers_results_agree(b, p, true) && good;
		for (unsigned row = 0; row < b->n_rows; row++) {
			const char *error = "";
			char name[96];

			if (barriers_failed(b, p, row, &error) == 0)
				continue;
			barriers_point_name(&b->points[p], name, sizeof name);
			fprintf(stderr, "cardmark bench: %s, %s FAILED: %s\n", name,
				b->rows[row].label, error);
			good = false;
		}
	}
	return good;
}

static int measure(struct barriers *b, const char *file)
{
	bool piped = strcmp(file, "-") == 0, ran, written, good;
	FILE *out = piped ? stderr : stdout;

	bench_catch_signals();
	ran = barriers_schedule(b, file);
	bench_env_end(&b->env);
	/* Before the first block there are no results to keep. */
	if (barriers_begun(b) == 0) {
		if (bench_interrupted() != 0)
			tool_message("bench", "interrupted before the first block: nothing was "
					      "written");
		return bench_interrupted() != 0 ? 128 + bench_interrupted() : TOOL_CANNOT;
	}
	written = bench_write_results(barriers_results_json(b), file, BENCH_COMPACT);
	good = all_good(b);
	barriers_print(b, out);
	if (written && !piped)
		fprintf(out,
			"\nAll figures are in %s: 'cardmark report --barriers=%s' makes a "
			"page of them%s\n",
			file, file,
			barriers_begun(b) < RATIO_MIN_BLOCKS
				? "; fewer than 3 blocks give no intervals."
				: ".");
	if (bench_interrupted() != 0)
		return 128 + bench_interrupted();
	return ran && written && good ? TOOL_OK : TOOL_CANNOT;
}

static bool prepare(struct barriers *b, const struct bench_options *opt)
{
	char program[TOOL_PATH];

	if (!tool_find_minigc(b->minigc) || !tool_find_bench("stores.lisp", program)) {
		tool_message("bench", "minigc or its programs are missing: they are built where "
				      "configure finds jemalloc (libjemalloc-dev)");
		return false;
	}
	if (!bench_make_dir(b->dir))
		return false;
	bench_env_begin(&b->env, opt);
	return true;
}

int bench_barriers(struct bench_options *opt)
{
	struct barriers *b = calloc(1, sizeof *b);
	int status;

	if (b == NULL)
		return TOOL_CANNOT;
	complete(b, opt);
	/* minigc takes seeds up to 2^30. */
	if (b->seed > (1U << 30) - MAX_BLOCKS)
		status = tool_usage_error("bench barriers", "--seed is a number from 0 to %d",
					  (1 << 30) - MAX_BLOCKS);
	else if (opt->n_programs > 1)
		status = tool_usage_error("bench barriers", "--program may be given once");
	else if (!barriers_plan_points(b))
		status = TOOL_USAGE;
	else
		status = barriers_plan_rows(b, opt);
	if (status < 0 && !prepare(b, opt))
		status = TOOL_CANNOT;
	if (status < 0) {
		status = measure(b, opt->json != NULL ? opt->json : BENCH_BARRIERS_FILE);
		rmdir(b->dir);
	}
	barriers_free(b);
	free(b);
	return status;
}
