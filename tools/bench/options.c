/* SPDX-License-Identifier: MIT
 * Options of the subcommands of cardmark bench: one table, in which each option names the
 * subcommands that have it. */
#include <ctype.h>
#include <getopt.h>

#include "tools/bench/bench.h"

const char *const bench_preset_names[PRESETS] = {
	[PRESET_QUICK] = "quick", [PRESET_STANDARD] = "standard", [PRESET_FULL] = "full"
};

static const struct bench_option {
	const char *name, *value; /* value: in the help, or NULL */
	const char *of;           /* subcommands, each between spaces */
	const char *help;         /* NULL: the subcommand says it */
} all[] = {
	{ "quick", NULL, " programs barriers micro ", NULL },
	{ "standard", NULL, " programs barriers micro ", NULL },
	{ "full", NULL, " programs barriers micro ", NULL },
	{ "program", "NAME", " programs ", "only trees, words, guile or kv (repeatable)" },
	{ "program", "NAME", " barriers ", "only stores, trees, updates, sparse or scatter" },
	{ "filter", "REGEX", " micro ", "only those whose name matches" },
	{ "backend", "B", " programs ", "compare B, not the best one here (repeatable)" },
	{ "backend", "B", " barriers ", "compare B, not all that work here (repeatable)" },
	{ "backend", "B", " micro ", "measure B or \"bare\", not all (repeatable)" },
	{ "pause-target", "MS", " programs ",
	  "target of the rows that have one (5; 0: no such rows)" },
	{ "blocks", "N", " programs barriers micro ", "exactly N blocks, however long they take" },
	{ "blocks", "N", " overhead jemalloc lock-wait ", "repeat N times" },
	{ "size", "PCT", " programs barriers ", "amount of work, per cent of the full amount" },
	{ "size", "PCT", " overhead jemalloc lock-wait ", NULL },
	{ "live-mb", "N", " programs ",
	  "long-lived data or text (trees 200, words 32, guile 3, kv 64)" },
	{ "live-mb", "N", " barriers ", "long-lived data" },
	{ "rate", "N", " programs ",
	  "requests a second of kv (half of what the reference can do)" },
	{ "seed", "N", " programs barriers micro ", "seed of the first block (1)" },
	{ "seed", "N", " jemalloc lock-wait ", "seed of the random numbers (1)" },
	{ "verify", NULL, " programs ", "one more run of our rows, with each page compared" },
	{ "json", "FILE", " programs barriers micro ", NULL },
	{ "fail-above", "PCT", " compare ",
	  "status 1 if a row of ours became slower by more than this" },
};

enum { ALL = sizeof all / sizeof *all };

static bool has(const struct bench_option *o, const struct bench_subcommand *s)
{
	char word[32];

	snprintf(word, sizeof word, " %s ", s->name);
	return strstr(o->of, word) != NULL;
}

/* ---- Help ------------------------------------------------------------------------ */

static void help_option(const struct bench_option *o, const struct bench_subcommand *s)
{
	char left[40];

	snprintf(left, sizeof left, "--%s%s%s", o->name, o->value != NULL ? "=" : "",
		 o->value != NULL ? o->value : "");
	printf("  %-19s ", left);
	if (o->help != NULL)
		printf("%s\n", o->help);
	else if (strcmp(o->name, "size") == 0)
		printf("amount of work, per cent (100: %s)\n", s->size);
	else if (strcmp(o->name, "json") == 0)
		printf("where all figures go (%s); - is standard output,\n%22s"
		       "and the text goes to standard error\n",
		       s->json, "");
	for (unsigned i = 0; i < PRESETS; i++)
		if (strcmp(o->name, bench_preset_names[i]) == 0)
			printf("%s\n", s->presets[i]);
}

static void help(const struct bench_subcommand *s)
{
	printf("Usage: cardmark bench %s%s%s%s\n%c%s.\n\n", s->name,
	       s->files == NULL || s->min_files > 0 ? " [OPTION]..." : "", s->files ? " " : "",
	       s->files ? s->files : "", toupper(s->what[0]), s->what + 1);
	for (unsigned i = 0; i < ALL; i++)
		if (has(&all[i], s))
			help_option(&all[i], s);
	printf("  --help\n");
}

static void help_all(void)
{
	printf("Usage: cardmark bench [SUBCOMMAND] [OPTION]...\n"
	       "Runs programs as fresh processes with each way of tracking, in turns, and "
	       "compares\n"
	       "run time, pauses and cost. Each result is checked.\n\n");
	for (unsigned i = 0; i < bench_subcommand_count; i++)
		printf("  %-10s %s\n", bench_subcommands[i].name, bench_subcommands[i].what);
	printf("\n'cardmark bench SUBCOMMAND --help' lists its options. Those of programs, which\n"
	       "need no name of a subcommand:\n\n");
	for (unsigned i = 0; i < ALL; i++)
		if (has(&all[i], &bench_subcommands[0]))
			help_option(&all[i], &bench_subcommands[0]);
	printf("  --help\n");
}

/* ---- Values -------------------------------------------------------------------------- */

static int add_name(const char *sub, const char *option, const char *name, const char **list,
		    size_t *n)
{
	if (*n == BENCH_MANY)
		return tool_usage_error(sub, "--%s may be given %d times at most", option,
					BENCH_MANY);
	list[(*n)++] = name;
	return -1;
}

static int read_count(const char *sub, const char *option, const char *text, uint64_t min,
		      uint64_t max, uint64_t *out)
{
	if (tool_parse_count(text, min, max, out))
		return -1;
	return tool_usage_error(sub, "--%s is a number from %llu to %llu, not \"%s\"", option,
				(unsigned long long)min, (unsigned long long)max, text);
}

static int read_number(const char *sub, const char *option, const char *unit, const char *text,
		       double *out)
{
	if (tool_parse_number(text, 0, 1e6, out))
		return -1;
	return tool_usage_error(sub, "--%s is %s, not \"%s\"", option, unit, text);
}

/* -1 to go on, or the exit status. */
static int read_option(const char *sub, const char *name, const char *value,
		       struct bench_options *opt)
{
	uint64_t n = 0;
	int status;

	for (unsigned i = 0; i < PRESETS; i++)
		if (strcmp(name, bench_preset_names[i]) == 0) {
			opt->preset = (enum bench_preset)i;
			return -1;
		}
	if (strcmp(name, "verify") == 0) {
		opt->verify = true;
		return -1;
	}
	if (strcmp(name, "program") == 0)
		return add_name(sub, name, value, opt->programs, &opt->n_programs);
	if (strcmp(name, "backend") == 0)
		return add_name(sub, name, value, opt->backends, &opt->n_backends);
	if (strcmp(name, "live-mb") == 0)
		return read_count(sub, name, value, 1, 1 << 20, &opt->live_mb);
	if (strcmp(name, "rate") == 0)
		return read_count(sub, name, value, 1, 1000000000, &opt->rate);
	if (strcmp(name, "seed") == 0)
		return read_count(sub, name, value, 0, INT64_MAX - MAX_BLOCKS, &opt->seed);
	if (strcmp(name, "pause-target") == 0)
		return read_number(sub, name, "milliseconds", value, &opt->target_ms);
	if (strcmp(name, "fail-above") == 0)
		return read_number(sub, name, "per cent", value, &opt->fail_above);
	if (strcmp(name, "size") == 0) {
		opt->size_given = true;
		return read_count(sub, name, value, 0, 100000, &opt->size);
	}
	if (strcmp(name, "blocks") == 0) {
		status = read_count(sub, name, value, 1, MAX_BLOCKS, &n);
		opt->blocks = (unsigned)n;
		opt->blocks_given = true;
		return status;
	}
	if (*value == '\0')
		return tool_usage_error(sub, "--%s needs a value", name);
	if (strcmp(name, "json") == 0)
		opt->json = value;
	else
		opt->filter = value;
	return -1;
}

/* ---- Which one ------------------------------------------------------------------------- */

static const struct bench_subcommand *find(const char *name)
{
	for (unsigned i = 0; i < bench_subcommand_count; i++)
		if (strcmp(bench_subcommands[i].name, name) == 0)
			return &bench_subcommands[i];
	return NULL;
}

/* arg: as it was given, "--name=value" too. */
static int unknown_option(const char *sub, const char *arg)
{
	char name[32];

	snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, "="), arg);
	if (strncmp(name, "--", 2) == 0 && find(name + 2) != NULL)
		return tool_usage_error(sub, "%s is a subcommand: 'cardmark bench %s'", name,
					name + 2);
	return tool_usage_error(sub, "unknown option \"%s\"", arg);
}

static int option_of_another(const char *sub, const char *name)
{
	char list[128] = "";
	size_t used = 0;

	for (unsigned s = 0; s < bench_subcommand_count; s++)
		for (unsigned i = 0; i < ALL && used < sizeof list; i++)
			if (strcmp(all[i].name, name) == 0 && has(&all[i], &bench_subcommands[s]))
				used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
							 used > 0 ? " and " : "",
							 bench_subcommands[s].name);
	return tool_usage_error(sub, "--%s is an option of bench %s, not of this subcommand", name,
				list);
}

/* argv[0] is the subcommand's name. -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, const struct bench_subcommand *s, const char *sub,
			 struct bench_options *opt)
{
	struct option options[ALL + 2] = { { "help", no_argument, NULL, 'h' } };
	int c, at = 0, status = -1;

	for (int i = 0; i < ALL; i++)
		options[i + 1] =
			(struct option){ all[i].name,
					 all[i].value != NULL ? required_argument : no_argument,
					 NULL, 256 };
	opterr = 0;
	optind = 0;
	while (status < 0 && (c = getopt_long(argc, argv, ":", options, &at)) != -1) {
		const struct bench_option *o = NULL;

		if (c == 'h') {
			help(s);
			return TOOL_OK;
		}
		if (c == ':')
			return tool_usage_error(sub, "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return unknown_option(sub, argv[optind - 1]);
		for (unsigned i = 0; i < ALL; i++)
			if (strcmp(all[i].name, options[at].name) == 0 && has(&all[i], s))
				o = &all[i];
		status = o != NULL ? read_option(sub, o->name, optarg, opt)
				   : option_of_another(sub, options[at].name);
	}
	if (status >= 0)
		return status;
	opt->files = argv + optind;
	opt->n_files = argc - optind;
	if (opt->n_files > s->max_files)
		return tool_usage_error(sub, "unexpected argument \"%s\"",
					opt->files[s->max_files]);
	if (opt->n_files < s->min_files)
		return tool_usage_error(sub, "no files are named: it takes %s", s->files);
	return -1;
}

int bench_parse(int argc, char **argv, struct bench_options *opt,
		const struct bench_subcommand **which)
{
	bool named = argc > 1 && argv[1][0] != '-';
	char sub[32] = "bench";

	*opt = (struct bench_options){
		.seed = 1, .target_ms = 5, .fail_above = -1, .argc = argc, .argv = argv
	};
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		help_all();
		return TOOL_OK;
	}
	*which = named ? find(argv[1]) : &bench_subcommands[0];
	if (*which == NULL)
		return tool_usage_error("bench", "there is no subcommand \"%s\"", argv[1]);
	if (named)
		snprintf(sub, sizeof sub, "bench %s", (*which)->name);
	return parse_options(argc - named, argv + named, *which, sub, opt);
}

void bench_limit(struct bench_options *opt, const struct bench_limits presets[PRESETS])
{
	const struct bench_limits *limits = &presets[opt->preset];

	if (!opt->blocks_given) {
		opt->blocks = limits->blocks;
		opt->budget_s = limits->budget_s;
	}
	if (!opt->size_given)
		opt->size = limits->size;
}
