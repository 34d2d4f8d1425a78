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
	const char *help;         /* NULL: the subcommand has the text */
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
	{ "libgc", "DIR", " programs ", "rows for the libgc in DIR or DIR/lib too (repeatable)" },
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
	{ "wide", NULL, " programs resume ", "print all tables, not only their one screen" },
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

static void help_options(const struct bench_subcommand *s)
{
	for (unsigned i = 0; i < ALL; i++)
		if (has(&all[i], s))
			help_option(&all[i], s);
	printf("  %-19s %s\n  %-19s %s\n", "-h, --help", "this text", "-V, --version",
	       "the version");
}

static void help(const struct bench_subcommand *s)
{
	printf("Usage: cardmark bench %s%s%s%s\n%c%s.\n\n", s->name,
	       s->files == NULL || s->min_files > 0 ? " [OPTION]..." : "", s->files ? " " : "",
	       s->files ? s->files : "", toupper(s->what[0]), s->what + 1);
	help_options(s);
}

static void help_all(const struct bench_subcommand *table)
{
	printf("Usage: cardmark bench [SUBCOMMAND] [OPTION]...\n"
	       "Runs programs as fresh processes with each way of tracking, in turns, and "
	       "compares\n"
	       "run time, pauses and cost. Each result is checked.\n\n");
	for (const struct bench_subcommand *s = table; s->name != NULL; s++)
		printf("  %-10s %s\n", s->name, s->what);
	printf("\n'cardmark bench SUBCOMMAND --help' lists its options. Those of programs, which\n"
	       "need no name of a subcommand:\n\n");
	help_options(table);
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

static int choose_preset(const char *sub, enum bench_preset preset, struct bench_options *opt)
{
	if (opt->preset_given && opt->preset != preset)
		return tool_usage_error(sub, "--%s and --%s exclude each other: give one",
					bench_preset_names[opt->preset],
					bench_preset_names[preset]);
	opt->preset_given = true;
	opt->preset = preset;
	return -1;
}

/* -1 to go on, or the exit status. */
static int read_option(const char *sub, const char *name, const char *value,
		       struct bench_options *opt)
{
	uint64_t n = 0;
	int status;

	for (unsigned i = 0; i < PRESETS; i++)
		if (strcmp(name, bench_preset_names[i]) == 0)
			return choose_preset(sub, (enum bench_preset)i, opt);
	if (strcmp(name, "verify") == 0 || strcmp(name, "wide") == 0) {
		*(*name == 'w' ? &opt->wide : &opt->verify) = true;
		return -1;
	}
	if (strcmp(name, "program") == 0)
		return add_name(sub, name, value, opt->programs, &opt->n_programs);
	if (strcmp(name, "backend") == 0)
		return add_name(sub, name, value, opt->backends, &opt->n_backends);
	if (strcmp(name, "libgc") == 0)
		return add_name(sub, name, value, opt->libgcs, &opt->n_libgcs);
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

static const struct bench_subcommand *find(const struct bench_subcommand *table, const char *name)
{
	for (; table->name != NULL; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

/* arg: as it was given, "--name=value" too. */
static int unknown_option(const struct bench_subcommand *table, const char *sub, const char *arg)
{
	char name[32];

	snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, "="), arg);
	if (strncmp(name, "--", 2) == 0 && find(table, name + 2) != NULL)
		return tool_usage_error(sub, "%s is a subcommand: 'cardmark bench %s'", name,
					name + 2);
	return tool_usage_error(sub, "unknown option \"%s\"", arg);
}

static int option_of_another(const struct bench_subcommand *table, const char *sub,
			     const char *name)
{
	char list[128] = "";
	size_t used = 0;

	for (const struct bench_subcommand *s = table; s->name != NULL; s++)
		for (unsigned i = 0; i < ALL && used < sizeof list; i++)
			if (strcmp(all[i].name, name) == 0 && has(&all[i], s))
				used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
							 used > 0 ? " and " : "", s->name);
	return tool_usage_error(sub, "--%s is an option of bench %s, not of this subcommand", name,
				list);
}

/* argv[0] is the subcommand's name. -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, const struct bench_subcommand *table,
			 const struct bench_subcommand *s, const char *sub,
			 struct bench_options *opt)
{
	struct option options[ALL + 3] = { { "help", no_argument, NULL, 'h' },
					   { "version", no_argument, NULL, 'V' } };
	int c, at = 0, status = -1;

	for (int i = 0; i < ALL; i++)
		options[i + 2] =
			(struct option){ all[i].name,
					 all[i].value != NULL ? required_argument : no_argument,
					 NULL, 256 };
	opterr = 0;
	optind = 0;
	while (status < 0 && (c = getopt_long(argc, argv, ":hV", options, &at)) != -1) {
		const struct bench_option *o = NULL;

		if (c == 'h') {
			help(s);
			return TOOL_OK;
		}
		if (c == 'V')
			return tool_print_version();
		if (c == ':')
			return tool_usage_error(sub, "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return unknown_option(table, sub, argv[optind - 1]);
		for (unsigned i = 0; i < ALL; i++)
			if (strcmp(all[i].name, options[at].name) == 0 && has(&all[i], s))
				o = &all[i];
		status = o != NULL ? read_option(sub, o->name, optarg, opt)
				   : option_of_another(table, sub, options[at].name);
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

int bench_parse(int argc, char **argv, const struct bench_subcommand *table,
		struct bench_options *opt, const struct bench_subcommand **which)
{
	bool named = argc > 1 && argv[1][0] != '-';
	char sub[32] = "bench";

	*opt = (struct bench_options){ .seed = 1,
				       .target_ms = 5,
				       .fail_above = -1,
				       .argc = argc,
				       .argv = argv,
				       .table = table };
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		help_all(table);
		return TOOL_OK;
	}
	*which = named ? find(table, argv[1]) : table;
	if (*which == NULL)
		return tool_usage_error("bench", "there is no subcommand \"%s\"", argv[1]);
	if (named)
		snprintf(sub, sizeof sub, "bench %s", (*which)->name);
	return parse_options(argc - named, argv + named, table, *which, sub, opt);
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
