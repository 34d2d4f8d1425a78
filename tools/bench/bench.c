/* SPDX-License-Identifier: MIT
 * cardmark bench: options, and the order of things. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/bench.h"

enum { MANY = 8 };

struct asked {
	const char *backends[MANY], *programs[MANY];
	size_t n_backends, n_programs;
	const char *json, *resume;
	const char *filter;  /* of --micro */
	const char *barrier; /* of --barriers: the program */
	bool overhead, lock_wait, jemalloc, micro, barriers, compare;
	double fail_above; /* per cent; below 0: not asked */
};

static void help(void)
{
	printf("Usage: cardmark bench [OPTION]...\n"
	       "Runs real programs as fresh processes with each way of collecting, in turns, and\n"
	       "compares run time, pauses and cost. Each result is checked.\n\n"
	       "  --quick            at most three minutes (default)\n"
	       "  --standard         about a quarter of an hour: full work, more blocks\n"
	       "  --full             at most an hour: still more blocks, and --verify\n"
	       "  --program=NAME     only this one: trees, words, guile, kv (repeatable)\n"
	       "  --backend=B        compare B, not the best one here (repeatable)\n"
	       "  --pause-target=MS  for the rows that have one (5; 0: no such rows)\n"
	       "  --blocks=N         exactly N blocks, however long they take\n"
	       "  --size=PCT         amount of work, per cent (quick 40, standard 100)\n"
	       "  --live-mb=N        long-lived data or text (trees 200, words 32, guile 3, kv "
	       "64)\n"
	       "  --rate=N           requests a second of kv (half of what the reference can do)\n"
	       "  --seed=N           of the first block (1)\n"
	       "  --verify           one more run of our rows, with each page compared\n"
	       "  --json=FILE        where all figures go (" BENCH_FILE "); - is standard output,\n"
	       "                     and the table goes to standard error\n"
	       "  --resume[=FILE]    go on with an interrupted bench that writes to FILE\n"
	       "  --compare OLD NEW  what changed between two results files\n"
	       "  --fail-above=PCT   and status 1 if a row of ours got that much slower\n"
	       "  --overhead         the library's cost above the bare system call instead\n"
	       "  --lock-wait        how long other threads' mmap and munmap wait for a collect\n"
	       "                     instead; takes --size (100: 4 GiB), --blocks and --seed\n"
	       "  --jemalloc         what allocating in a tracked arena of jemalloc costs "
	       "instead;\n"
	       "                     takes --size (100: 400000 pairs), --blocks and --seed\n"
	       "  --micro[=REGEX]    single operations of every backend and of a bare loop "
	       "instead\n"
	       "                     (those whose name matches); takes --backend, --blocks, "
	       "--seed,\n"
	       "                     --json (" BENCH_MICRO_FILE
	       ") and the presets (1, 5, 10 blocks)\n"
	       "  --barriers[=PROGRAM]  a small collector with every write barrier instead: by\n"
	       "                     heap, nursery, object size, and by live heap and how much of\n"
	       "                     it is written (or this program alone: stores, trees,\n"
	       "                     updates, sparse, scatter); takes --backend, --blocks, "
	       "--size,\n"
	       "                     --live-mb, --seed, --json (" BENCH_BARRIERS_FILE ") and\n"
	       "                     the presets (3 minutes, half an hour, two hours)\n"
	       "  --help\n");
}

/* 0 good, else the exit status. */
static int read_option(int c, struct bench_plan *plan, struct asked *asked)
{
	uint64_t n;

	switch (c) {
	case 'q':
		plan->preset = PRESET_QUICK;
		break;
	case 'S':
		plan->preset = PRESET_STANDARD;
		break;
	case 'f':
		plan->preset = PRESET_FULL;
		break;
	case 'v':
		plan->verify = true;
		break;
	case 'c':
		asked->compare = true;
		break;
	case 'r':
		asked->resume = optarg != NULL && *optarg != '\0' ? optarg : BENCH_FILE;
		break;
	case 'a':
		if (!tool_parse_number(optarg, 0, 1e6, &asked->fail_above))
			return tool_usage_error("bench", "--fail-above is per cent, not \"%s\"",
						optarg);
		break;
	case 'o':
		asked->overhead = true;
		break;
	case 'w':
		asked->lock_wait = true;
		break;
	case 'J':
		asked->jemalloc = true;
		break;
	case 'M':
		asked->micro = true;
		asked->filter = optarg != NULL && *optarg != '\0' ? optarg : NULL;
		break;
	case 'W':
		asked->barriers = true;
		asked->barrier = optarg != NULL && *optarg != '\0' ? optarg : NULL;
		break;
	case 'j':
		if (*optarg == '\0')
			return tool_usage_error("bench", "--json needs the name of a file");
		asked->json = optarg;
		break;
	case 'b':
	case 'p':
		if ((c == 'b' ? asked->n_backends : asked->n_programs) == MANY)
			return tool_usage_error("bench", "--%s may be given %d times",
						c == 'b' ? "backend" : "program", MANY);
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
	case 'R':
		if (!tool_parse_count(optarg, 1, 1000000000, &plan->rate))
			return tool_usage_error("bench", "--rate is 1 to 1000000000, not \"%s\"",
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
						 { "full", no_argument, NULL, 'f' },
						 { "verify", no_argument, NULL, 'v' },
						 { "compare", no_argument, NULL, 'c' },
						 { "fail-above", required_argument, NULL, 'a' },
						 { "resume", optional_argument, NULL, 'r' },
						 { "program", required_argument, NULL, 'p' },
						 { "backend", required_argument, NULL, 'b' },
						 { "blocks", required_argument, NULL, 'B' },
						 { "size", required_argument, NULL, 'z' },
						 { "live-mb", required_argument, NULL, 'l' },
						 { "rate", required_argument, NULL, 'R' },
						 { "seed", required_argument, NULL, 's' },
						 { "pause-target", required_argument, NULL, 't' },
						 { "json", required_argument, NULL, 'j' },
						 { "overhead", no_argument, NULL, 'o' },
						 { "lock-wait", no_argument, NULL, 'w' },
						 { "jemalloc", no_argument, NULL, 'J' },
						 { "micro", optional_argument, NULL, 'M' },
						 { "barriers", optional_argument, NULL, 'W' },
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
	if (asked->compare && argc - optind != 2)
		return tool_usage_error("bench", "--compare takes two results files");
	if (!asked->compare && optind < argc)
		return tool_usage_error("bench", "unexpected argument \"%s\"", argv[optind]);
	if (!asked->compare && asked->fail_above >= 0)
		return tool_usage_error("bench", "--fail-above goes with --compare");
	if (asked->barriers && asked->n_programs > 0)
		return tool_usage_error("bench", "--barriers=PROGRAM names its program");
	if (asked->resume != NULL && argc > 2)
		return tool_usage_error(
			"bench",
			"--resume takes no other options: it goes on with those the bench had");
	return -1;
}

/* Programs of their own, because they make no use of a collector. argv[0] is the name. */
static int run_instead(char **argv)
{
	char path[TOOL_PATH];

	if (!tool_find_bench(argv[0], path)) {
		tool_message("bench", "%s is missing: was it built and installed?", path);
		return TOOL_CANNOT;
	}
	fflush(NULL);
	execv(path, argv);
	tool_message("bench", "cannot start %s: %s", path, strerror(errno));
	return TOOL_CANNOT;
}

static int run_overhead(void)
{
	char name[] = "cardmark-overhead";
	char *argv[] = { name, NULL };

	return run_instead(argv);
}

/* unit: the option for the amount of work, which is full at 100 per cent. */
static int run_sized(const char *program, const char *unit, uint64_t full,
		     const struct bench_plan *plan)
{
	char name[40], size[40], repeats[40], seed[40];
	char *argv[5] = { name };
	int n = 1;

	snprintf(name, sizeof name, "%s", program);
	if (plan->size_given) {
		uint64_t amount = full * plan->size / 100;
		snprintf(size, sizeof size, "--%s=%llu", unit,
			 (unsigned long long)(amount ? amount : 1));
		argv[n++] = size;
	}
	if (plan->blocks_given) {
		snprintf(repeats, sizeof repeats, "--repeats=%u", plan->blocks);
		argv[n++] = repeats;
	}
	snprintf(seed, sizeof seed, "--seed=%llu",
		 (unsigned long long)(plan->seed ? plan->seed : 1));
	argv[n++] = seed;
	argv[n] = NULL;
	return run_instead(argv);
}

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

/* Everything, and a file of it. */
static int measure(struct bench_plan *plan, const struct asked *asked,
		   struct bench_journal *journal)
{
	const char *tmp = getenv("TMPDIR"), *json = asked->json;
	bool kept = *json != '\0', piped = strcmp(json, "-") == 0, good, whole;
	FILE *out = piped ? stderr : stdout;
	struct bench_env *env = &journal->env;

	bench_env_begin(env, plan);
	if (asked->resume ? !bench_journal_go_on(journal, plan)
			  : kept && !piped && !bench_journal_begin(journal, json, plan)) {
		bench_journal_close(journal, false);
		return TOOL_CANNOT;
	}
	if (tmp == NULL || *tmp == '\0' || strlen(tmp) > sizeof plan->dir - 24)
		tmp = "/tmp";
	snprintf(plan->dir, sizeof plan->dir, "%s/cardmark-XXXXXX", tmp);
	if (mkdtemp(plan->dir) == NULL) {
		tool_message("bench", "cannot make a directory in %s: %s", tmp, strerror(errno));
		bench_journal_close(journal, false);
		return TOOL_CANNOT;
	}
	bench_catch_signals();
	whole = bench_schedule(plan, journal);
	bench_env_end(env);
	rmdir(plan->dir);
	if (!whole) {
		bench_journal_close(journal, false);
		if (kept && !piped)
			tool_message("bench",
				     "interrupted; 'cardmark bench --resume=%s' goes on from here",
				     json);
		return 128 + bench_interrupted();
	}

	bench_env_print(env, plan, out);
	for (unsigned k = 0; k < plan->program_count; k++)
		bench_print_table(plan, k, out);
	bench_print_notes(plan, out);
	bench_print_goals(plan, out);
	bench_print_verdict(plan, out);
	good = all_good(plan);
	whole = !kept || bench_write_json(plan, env, json);
	bench_journal_close(journal, whole);
	if (whole && kept && !piped)
		fprintf(out,
			"\nAll figures are in %s: 'cardmark report%s%s' makes a page of them.\n",
			json, strcmp(json, BENCH_FILE) == 0 ? "" : " ",
			strcmp(json, BENCH_FILE) == 0 ? "" : json);
	return good && whole ? TOOL_OK : TOOL_CANNOT;
}

static void complete(struct bench_plan *plan)
{
	static const struct {
		unsigned blocks;
		double budget_s;
		uint64_t size;
	} presets[] = { [PRESET_QUICK] = { 5, 170, 40 },
			[PRESET_STANDARD] = { 12, 800, 100 },
			[PRESET_FULL] = { 30, 3400, 100 } };

	if (!plan->blocks_given) {
		plan->blocks = presets[plan->preset].blocks;
		plan->budget_s = presets[plan->preset].budget_s;
	}
	if (!plan->size_given)
		plan->size = presets[plan->preset].size;
	if (plan->preset == PRESET_FULL)
		plan->verify = true;
}

/* -1 to go on, or the exit status. */
static int plan_it(struct bench_plan *plan, struct asked *asked)
{
	complete(plan);
	return bench_plan_make(plan, asked->backends, asked->n_backends, asked->programs,
			       asked->n_programs);
}

/* The options of the first part again, from the journal. */
static int resume(struct bench_plan *plan, const char *file)
{
	struct asked asked = { .fail_above = -1 };
	struct bench_journal journal = { .f = NULL };
	int status;

	if (!bench_journal_read(&journal, file)) {
		bench_journal_close(&journal, false);
		return TOOL_CANNOT;
	}
	plan->argc = bench_journal_argv(&journal, &plan->argv);
	optind = 0;
	status = plan->argc > 0 ? parse(plan->argc, plan->argv, plan, &asked) : TOOL_CANNOT;
	asked.resume = asked.json = file;
	if (status < 0)
		status = plan_it(plan, &asked);
	if (status < 0)
		status = measure(plan, &asked, &journal);
	else
		bench_journal_close(&journal, false);
	free(plan->argv);
	return status;
}

static int fresh(struct bench_plan *plan, struct asked *asked)
{
	struct bench_journal journal = { .f = NULL };
	int status = plan_it(plan, asked);

	if (asked->json == NULL && access(".", W_OK) == 0)
		asked->json = BENCH_FILE;
	if (asked->json == NULL && status < 0) {
		tool_message("bench", "nothing can be written here, so results are only printed: "
				      "--json=FILE keeps them");
		asked->json = "";
	}
	return status < 0 ? measure(plan, asked, &journal) : status;
}

int tool_bench(int argc, char **argv)
{
	struct bench_plan *plan = calloc(1, sizeof *plan);
	struct asked asked = { .fail_above = -1 };
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
	if (status < 0 && asked.lock_wait)
		status = run_sized("cardmark-lockwait", "size-mb", 4096, plan);
	if (status < 0 && asked.jemalloc)
		status = run_sized("cardmark-jemalloc", "pairs", 400000, plan);
	if (status < 0 && asked.micro)
		status = bench_micro(plan, asked.filter, asked.json, asked.backends,
				     asked.n_backends);
	if (status < 0 && asked.barriers)
		status = bench_barriers(plan, asked.barrier, asked.json, asked.backends,
					asked.n_backends);
	if (status < 0 && asked.compare)
		status = bench_compare(argv[optind], argv[optind + 1], asked.fail_above);
	else if (status < 0 && asked.resume != NULL)
		status = resume(plan, asked.resume);
	else if (status < 0)
		status = fresh(plan, &asked);
	bench_free_plan(plan);
	return status;
}
