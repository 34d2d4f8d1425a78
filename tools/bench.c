/* SPDX-License-Identifier: MIT
 * cardmark bench: options, and the order of things. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench.h"

enum { QUICK_BLOCKS = 5, STANDARD_BLOCKS = 12, MANY = 8 };

struct asked {
	const char *backends[MANY], *programs[MANY];
	size_t n_backends, n_programs;
	const char *json;
	bool overhead;
};

static void help(void)
{
	printf("Usage: cardmark bench [OPTION]...\n"
	       "Runs real programs as fresh processes with each way of collecting, in turns, and\n"
	       "compares run time, pauses and cost. Each result is checked.\n\n"
	       "  --quick            at most three minutes (default)\n"
	       "  --standard         about a quarter of an hour: full work, more blocks\n"
	       "  --program=NAME     only this one: trees, words, guile (repeatable)\n"
	       "  --backend=B        compare B, not the best one here (repeatable)\n"
	       "  --pause-target=MS  for the rows that have one (5; 0: no such rows)\n"
	       "  --blocks=N         exactly N blocks, however long they take\n"
	       "  --size=PCT         amount of work, per cent (quick 40, standard 100)\n"
	       "  --live-mb=N        long-lived data or text (trees 200, words 32, guile 3)\n"
	       "  --seed=N           of the first block (1)\n"
	       "  --json=FILE        all figures too; - is standard output, without the table\n"
	       "  --overhead         the library's cost above the bare system call instead\n"
	       "  --help\n");
}

/* 0 good, else the exit status. */
static int read_option(int c, struct bench_plan *plan, struct asked *asked)
{
	uint64_t n;

	switch (c) {
	case 'q':
		plan->standard = false;
		break;
	case 'S':
		plan->standard = true;
		break;
	case 'o':
		asked->overhead = true;
		break;
	case 'j':
		asked->json = optarg;
		break;
	case 'b':
	case 'p':
		if ((c == 'b' ? asked->n_backends : asked->n_programs) == MANY)
			return tool_usage_error("bench", "at most %d of these", MANY);
		if (c == 'b')
			asked->backends[asked->n_backends++] = optarg;
		else
			asked->programs[asked->n_programs++] = optarg;
		break;
	case 'B':
		if (!tool_parse_count(optarg, 1, MAX_BLOCKS, &n))
			return tool_usage_error("bench", "--blocks is 1 to %d, not \"%s\"",
						MAX_BLOCKS, optarg);
		plan->blocks = (unsigned)n;
		plan->blocks_given = true;
		break;
	case 'z':
		if (!tool_parse_count(optarg, 0, 100000, &plan->size))
			return tool_usage_error(
				"bench", "--size is per cent, 0 to 100000, not \"%s\"", optarg);
		plan->size_given = true;
		break;
	case 'l':
		if (!tool_parse_count(optarg, 1, 1 << 20, &plan->live_mb))
			return tool_usage_error("bench", "--live-mb is 1 to 1048576, not \"%s\"",
						optarg);
		break;
	case 's':
		if (!tool_parse_count(optarg, 0, INT64_MAX - MAX_BLOCKS, &plan->seed))
			return tool_usage_error("bench", "--seed is a number, not \"%s\"", optarg);
		break;
	case 't':
		if (!tool_parse_number(optarg, 0, 1e6, &plan->target_ms))
			return tool_usage_error(
				"bench", "--pause-target is milliseconds, not \"%s\"", optarg);
		break;
	default:
		return TOOL_USAGE;
	}
	return 0;
}

/* -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct bench_plan *plan, struct asked *asked)
{
	static const struct option options[] = { { "quick", no_argument, NULL, 'q' },
						 { "standard", no_argument, NULL, 'S' },
						 { "program", required_argument, NULL, 'p' },
						 { "backend", required_argument, NULL, 'b' },
						 { "blocks", required_argument, NULL, 'B' },
						 { "size", required_argument, NULL, 'z' },
						 { "live-mb", required_argument, NULL, 'l' },
						 { "seed", required_argument, NULL, 's' },
						 { "pause-target", required_argument, NULL, 't' },
						 { "json", required_argument, NULL, 'j' },
						 { "overhead", no_argument, NULL, 'o' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	int c, status;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 'h') {
			help();
			return TOOL_OK;
		}
		if (c == ':')
			return tool_usage_error("bench", "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return tool_usage_error("bench", "unknown option \"%s\"", argv[optind - 1]);
		status = read_option(c, plan, asked);
		if (status != 0)
			return status;
	}
	if (optind < argc)
		return tool_usage_error("bench", "what is \"%s\"?", argv[optind]);
	return -1;
}

/* Its own program, because it makes no use of a collector. */
static int run_overhead(void)
{
	char path[TOOL_PATH];
	char name[] = "cardmark-overhead";
	char *argv[] = { name, NULL };

	if (!tool_find_bench(name, path)) {
		tool_message("bench", "%s is missing: was it built and installed?", path);
		return TOOL_CANNOT;
	}
	fflush(NULL);
	execv(path, argv);
	tool_message("bench", "cannot start %s: %s", path, strerror(errno));
	return TOOL_CANNOT;
}

/* Wrong results, and failures that are ours, fail the bench. */
static bool all_good(const struct bench_plan *plan)
{
	bool good = true;

	for (unsigned k = 0; k < plan->program_count; k++) {
		if (plan->programs[k].left_out[0] != '\0')
			continue;
		good = bench_hashes_agree(plan, k) && good;
		for (unsigned row = 0; row < plan->row_count; row++) {
			struct bench_summary s;

			bench_summarize(plan, k, row, &s);
			if (s.failed > 0 && !plan->rows[row].peer)
				good = false;
		}
	}
	return good;
}

static int measure(struct bench_plan *plan, const char *json)
{
	const char *tmp = getenv("TMPDIR");
	FILE *out = json != NULL && strcmp(json, "-") == 0 ? stderr : stdout;
	struct bench_env env;
	bool good;

	if (tmp == NULL || *tmp == '\0' || strlen(tmp) > sizeof plan->dir - 24)
		tmp = "/tmp";
	snprintf(plan->dir, sizeof plan->dir, "%s/cardmark-XXXXXX", tmp);
	if (mkdtemp(plan->dir) == NULL) {
		tool_message("bench", "cannot make a directory in %s: %s", tmp, strerror(errno));
		return TOOL_CANNOT;
	}
	bench_env_begin(&env, plan);
	bench_schedule(plan);
	bench_env_end(&env);
	rmdir(plan->dir);

	bench_env_print(&env, plan, out);
	for (unsigned k = 0; k < plan->program_count; k++)
		bench_print_table(plan, k, out);
	bench_print_notes(plan, out);
	bench_print_goals(plan, out);
	bench_print_verdict(plan, out);
	good = all_good(plan);
	if (json != NULL)
		good = bench_write_json(plan, &env, json) && good;
	return good ? TOOL_OK : TOOL_CANNOT;
}

static void free_plan(struct bench_plan *plan)
{
	for (unsigned k = 0; plan->cells != NULL && k < plan->program_count; k++)
		for (unsigned row = 0; row < plan->row_count; row++) {
			struct bench_cell *cell = bench_cell(plan, k, row);

			free(cell->sampled.stops);
			for (unsigned b = 0; b < MAX_BLOCKS; b++)
				free(cell->runs[b].stops);
		}
	free(plan->cells);
	free(plan);
}

int tool_bench(int argc, char **argv)
{
	struct bench_plan *plan = calloc(1, sizeof *plan);
	struct asked asked = { .json = NULL };
	int status;

	if (plan == NULL)
		return TOOL_CANNOT;
	plan->argc = argc;
	plan->argv = argv;
	plan->seed = 1;
	plan->target_ms = 5;
	status = parse(argc, argv, plan, &asked);
	if (status < 0 && asked.overhead)
		status = run_overhead();
	if (status < 0) {
		if (!plan->blocks_given) {
			plan->blocks = plan->standard ? STANDARD_BLOCKS : QUICK_BLOCKS;
			plan->budget_s = plan->standard ? 800 : 170;
		}
		if (!plan->size_given)
			plan->size = plan->standard ? 100 : 40;
		status = bench_plan_make(plan, asked.backends, asked.n_backends, asked.programs,
					 asked.n_programs);
	}
	if (status < 0)
		status = measure(plan, asked.json);
	free_plan(plan);
	return status;
}
