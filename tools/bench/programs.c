/* SPDX-License-Identifier: MIT
 * cardmark bench programs, and resuming an interrupted one. */
#include "tools/bench/programs.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Was no write missed, as far as that was checked? */
static bool verified_good(const struct bench_plan *plan, unsigned program, unsigned row)
{
	const struct bench_run *r = &bench_cell(plan, program, row)->verified;

	if (!r->done || (r->ok && r->missed == 0))
		return true;
	if (r->ok)
		fprintf(stderr, "cardmark bench: WRITES MISSED: %s, %s: %llu cards\n",
			plan->programs[program].name, plan->rows[row].label,
			(unsigned long long)r->missed);
	else
		fprintf(stderr, "cardmark bench: %s, %s FAILED while being checked: %s\n",
			plan->programs[program].name, plan->rows[row].label, r->error);
	return false;
}

/* Wrong results, and failures that are ours, fail the bench. */
static bool all_good(const struct bench_plan *plan)
{
	bool good = true;

	for (unsigned k = 0; k < plan->program_count; k++) {
		if (plan->programs[k].left_out[0] != '\0')
			continue;
		good = bench_hashes_agree(plan, k, true) && good;
		for (unsigned row = 0; row < plan->row_count; row++) {
			struct bench_summary s;

			bench_summarize(plan, k, row, &s);
			if (s.failed > 0 && !plan->rows[row].peer)
				good = false;
			good = verified_good(plan, k, row) && good;
		}
	}
	return good;
}

static void print_tables(const struct bench_plan *plan, const struct bench_env *env, FILE *out)
{
	bench_env_print(env, plan, out);
	for (unsigned k = 0; k < plan->program_count; k++)
		bench_print_table(plan, k, out);
	bench_print_notes(plan, out);
	bench_print_verdict(plan, out);
}

/* The tables in a file beside the results: its name, or NULL, with a message. */
static const char *write_tables(const struct bench_plan *plan, const struct bench_env *env,
				const char *json, char name[TOOL_PATH])
{
	size_t n = strlen(json);
	bool good;
	FILE *f;

	if (n > 5 && strcmp(json + n - 5, ".json") == 0)
		n -= 5;
	if (snprintf(name, TOOL_PATH, "%.*s.txt", (int)n, json) >= TOOL_PATH)
		return NULL;
	f = fopen(name, "we");
	if (f != NULL)
		print_tables(plan, env, f);
	good = f != NULL && ferror(f) == 0;
	if (f != NULL && fclose(f) != 0)
		good = false;
	if (!good)
		tool_message("bench", "cannot write the tables to %s: %s", name, strerror(errno));
	return good ? name : NULL;
}

/* Before minutes are spent: warns if the machine is busy. */
static void warn_if_busy(void)
{
	double others = bench_env_others_now();

	if (others > BENCH_OTHERS_MANY)
		tool_message("bench",
			     "other programs use %.1f of %ld CPUs: times will be noisy (^C ends)",
			     others, sysconf(_SC_NPROCESSORS_ONLN));
}

/* Everything, and a file of it: json, "-" or "". */
static int measure(struct bench_plan *plan, const char *json, struct bench_journal *journal)
{
	bool piped = strcmp(json, "-") == 0, kept = *json != '\0' && !piped, whole, good;
	FILE *out = piped ? stderr : stdout;
	char tables[TOOL_PATH];

	warn_if_busy();
	bench_env_begin(&journal->env, plan->opt);
	if (journal->lines != NULL ? !bench_journal_go_on(journal, plan)
				   : kept && !bench_journal_begin(journal, json, plan))
		return TOOL_CANNOT;
	if (!bench_make_dir(plan->dir))
		return TOOL_CANNOT;
	bench_catch_signals();
	whole = bench_schedule(plan, journal);
	bench_env_end(&journal->env);
	rmdir(plan->dir);
	if (!whole) {
		if (kept)
			tool_message("bench",
				     "interrupted; 'cardmark bench resume %s' goes on from here",
				     json);
		return 128 + bench_interrupted();
	}
	if (plan->opt->wide)
		print_tables(plan, &journal->env, out);
	good = all_good(plan);
	journal->finished =
		*json == '\0' ||
		bench_write_results(bench_results_json(plan, &journal->env), json, BENCH_COMPACT);
	bench_print_screen(
		plan, &journal->env,
		journal->finished && kept ? write_tables(plan, &journal->env, json, tables) : NULL,
		journal->finished ? json : "", out);
	return good && journal->finished ? TOOL_OK : TOOL_CANNOT;
}

static const char *results_file(const struct bench_options *opt)
{
	if (opt->json != NULL)
		return opt->json;
	if (access(".", W_OK) == 0)
		return BENCH_FILE;
	tool_message("bench", "no file can be written here, so results are only printed: "
			      "--json=FILE keeps them");
	return "";
}

/* file: of an interrupted bench, or NULL. */
static int plan_and_measure(struct bench_options *opt, const char *file,
			    struct bench_journal *journal)
{
	static const struct bench_limits presets[PRESETS] = { [PRESET_QUICK] = { 5, 170, 40 },
							      [PRESET_STANDARD] = { 12, 800, 100 },
							      [PRESET_FULL] = { 30, 3400, 100 } };
	struct bench_plan *plan = calloc(1, sizeof *plan);
	int status;

	if (plan == NULL)
		return TOOL_CANNOT;
	bench_limit(opt, presets);
	if (opt->preset == PRESET_FULL)
		opt->verify = true;
	status = bench_plan_make(plan, opt);
	if (status < 0)
		status = measure(plan, file != NULL ? file : results_file(opt), journal);
	bench_free_plan(plan);
	return status;
}

int bench_programs(struct bench_options *opt)
{
	struct bench_journal journal = { .f = NULL };
	int status = plan_and_measure(opt, NULL, &journal);

	bench_journal_close(&journal);
	return status;
}

/* The options of the first part again, from the journal. */
int bench_resume(struct bench_options *opt)
{
	const char *file = opt->n_files > 0 ? opt->files[0] : BENCH_FILE;
	struct bench_journal journal = { .f = NULL };
	const struct bench_subcommand *which;
	struct bench_options first = { .wide = false };
	char **argv = NULL;
	int argc, status = TOOL_CANNOT;

	if (bench_journal_read(&journal, file)) {
		argc = bench_journal_argv(&journal, &argv);
		status = argc > 0 ? bench_parse(argc, argv, opt->table, &first, &which)
				  : TOOL_CANNOT;
	}
	if (status < 0) {
		first.wide = first.wide || opt->wide;
		status = plan_and_measure(&first, file, &journal);
	}
	bench_journal_close(&journal);
	free(argv);
	return status;
}
