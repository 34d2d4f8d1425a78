/* SPDX-License-Identifier: MIT
 * cardmark report: results of cardmark bench as one page, or as a summary. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/report/html.h"
#include "tools/report/report.h"
#include "tools/report/barriers.h"

enum { MANY_FILES = 16 };

static const struct section {
	const char *id, *title;
	void (*write)(const struct report *r);
} sections[] = {
	{ "verdict", "Verdict", report_verdict },
	{ "losses", "Where we lose", report_losses },
	{ "environment", "Machine and noise", report_environment },
	{ "totals", "Total time and processor time", report_totals },
	{ "percentiles", "How long pauses are", report_percentiles },
	{ "phases", "What a pause consists of", report_phases },
	{ "utilisation", "What is left for the program", report_utilisation },
	{ "latency", "Latency", report_latency },
	{ "memory", "Memory", report_memory },
	{ "correctness", "Correctness", report_correctness },
	{ "raw", "Raw data, and how to reproduce it", report_raw },
};

enum { SECTIONS = sizeof sections / sizeof *sections };

struct asked {
	const char *files[MANY_FILES];
	size_t n_files;
	const char *out, *micro, *barriers;
	bool markdown;
	struct barriers *loaded; /* of barriers, or NULL */
};

static void help(void)
{
	printf("Usage: cardmark report [OPTION]... [FILE]...\n"
	       "A page of the results files of 'cardmark bench' (" BENCH_FILE "): one HTML file\n"
	       "without scripts that needs nothing else.\n\n"
	       "  -o FILE         where to write (report.html; - is standard output)\n"
	       "  --markdown      a summary in Markdown instead (to standard output)\n"
	       "  --micro=FILE    results of Google Benchmark in its JSON format too\n"
	       "  --barriers=FILE results of 'cardmark bench barriers' too\n"
	       "  --help\n");
}

/* -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct asked *asked)
{
	static const struct option options[] = { { "output", required_argument, NULL, 'o' },
						 { "markdown", no_argument, NULL, 'm' },
						 { "micro", required_argument, NULL, 'g' },
						 { "barriers", required_argument, NULL, 'b' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			asked->out = optarg;
			break;
		case 'm':
			asked->markdown = true;
			break;
		case 'g':
			asked->micro = optarg;
			break;
		case 'b':
			asked->barriers = optarg;
			break;
		case 'h':
			help();
			return TOOL_OK;
		case ':':
			return tool_usage_error("report", "%s needs a value", argv[optind - 1]);
		default:
			return tool_usage_error("report", "unknown option \"%s\"",
						argv[optind - 1]);
		}
	}
	for (; optind < argc; optind++) {
		if (asked->n_files == MANY_FILES)
			return tool_usage_error("report", "more than %d files are named",
						MANY_FILES);
		asked->files[asked->n_files++] = argv[optind];
	}
	/* The others can stand alone. */
	if (asked->n_files == 0 &&
	    ((asked->micro == NULL && asked->barriers == NULL) || access(BENCH_FILE, F_OK) == 0))
		asked->files[asked->n_files++] = BENCH_FILE;
	if (asked->markdown && asked->micro != NULL)
		return tool_usage_error("report", "--micro is for the page, not for --markdown");
	return -1;
}

static void contents(FILE *f, size_t n_files, const struct report *r)
{
	fputs("<nav aria-label=\"Contents\"><ul>", f);
	for (size_t i = 0; i < SECTIONS; i++)
		fprintf(f, "<li><a href=\"#%s-%u\">%s</a></li>", sections[i].id, r->index,
			sections[i].title);
	fputs("</ul></nav>\n", f);
	(void)n_files;
}

static bool has_rows(const struct report *r)
{
	for (unsigned k = 0; k < r->plan->program_count; k++)
		if (report_ran(r, k))
			return true;
	return false;
}

static void one_file(const struct report *r, size_t n_files)
{
	FILE *f = r->f;

	fprintf(f, "<article id=\"file-%u\">\n", r->index);
	if (n_files > 1) {
		fputs("<h2 class=\"file\">", f);
		html_text(f, r->file);
		fputs("</h2>\n", f);
	}
	fputs("<p class=\"where\">", f);
	html_printf(f, "%s, %ld CPUs, %s, libcardmark %s on %s, %s; %s", r->env.cpu, r->env.cpus,
		    r->env.kernel, r->env.library, r->plan->best, r->env.libgc, r->env.started);
	fputs("</p>\n", f);
	contents(f, n_files, r);
	if (!has_rows(r))
		fputs("<p class=\"lacks\">No program ran: this file has nothing to show.</p>\n", f);
	for (size_t i = 0; i < SECTIONS; i++) {
		fprintf(f, "<section id=\"%s-%u\"><h2>%s</h2>\n", sections[i].id, r->index,
			sections[i].title);
		sections[i].write(r);
		fputs("</section>\n", f);
	}
	fputs("</article>\n", f);
}

static bool write_all(const struct asked *asked, struct report *reports, FILE *f)
{
	bool good = true;

	for (size_t i = 0; i < asked->n_files; i++)
		reports[i].f = f;
	if (asked->markdown) {
		for (size_t i = 0; i < asked->n_files; i++)
			report_markdown(&reports[i], f);
		if (asked->loaded != NULL) {
			fputs(asked->n_files > 0 ? "\n" : "", f);
			report_barriers_markdown(f, asked->loaded);
		}
		return true;
	}
	report_head(f, "cardmark bench");
	for (size_t i = 0; i < asked->n_files; i++)
		one_file(&reports[i], asked->n_files);
	if (asked->loaded != NULL)
		report_barriers(f, asked->loaded, asked->barriers);
	if (asked->micro != NULL)
		good = report_micro(f, asked->micro);
	report_foot(f);
	return good;
}

static bool load_all(struct asked *asked, struct report *reports)
{
	if (asked->barriers != NULL) {
		asked->loaded = calloc(1, sizeof *asked->loaded);
		if (asked->loaded == NULL || !barriers_load(asked->barriers, asked->loaded))
			return false;
	}
	for (size_t i = 0; i < asked->n_files; i++) {
		reports[i].file = asked->files[i];
		reports[i].index = (unsigned)i;
		reports[i].plan = calloc(1, sizeof *reports[i].plan);
		if (reports[i].plan == NULL ||
		    !bench_load("report", asked->files[i], reports[i].plan, &reports[i].env))
			return false;
	}
	return true;
}

static int write_file(const struct asked *asked, struct report *reports)
{
	const char *name = asked->out != NULL ? asked->out : asked->markdown ? "-" : "report.html";
	bool piped = strcmp(name, "-") == 0, good, written = true;
	FILE *f = piped ? stdout : fopen(name, "we");

	if (f == NULL) {
		tool_message("report", "cannot write %s: %s", name, strerror(errno));
		return TOOL_CANNOT;
	}
	good = write_all(asked, reports, f);
	if (!piped) {
		written = ferror(f) == 0;
		written = fclose(f) == 0 && written;
	}
	if (!written) {
		tool_message("report", "cannot write %s: %s", name, strerror(errno));
		return TOOL_CANNOT;
	}
	if (good && !piped)
		printf("%s\n", name);
	return good ? TOOL_OK : TOOL_CANNOT;
}

int tool_report(int argc, char **argv)
{
	struct asked asked = { .n_files = 0 };
	struct report *reports = calloc(MANY_FILES, sizeof *reports);
	int status = reports != NULL ? parse(argc, argv, &asked) : TOOL_CANNOT;

	if (status < 0)
		status = load_all(&asked, reports) ? write_file(&asked, reports) : TOOL_CANNOT;
	for (size_t i = 0; reports != NULL && i < MANY_FILES; i++)
		if (reports[i].plan != NULL)
			bench_free_plan(reports[i].plan);
	free(reports);
	if (asked.loaded != NULL)
		barriers_free(asked.loaded);
	free(asked.loaded);
	return status;
}
