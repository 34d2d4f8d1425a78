/* SPDX-License-Identifier: MIT
 * The cardmark command: finds the subcommand. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "tools/tool.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} subcommands[] = {
	{ "probe", tool_probe, "which backends work here, and why the others do not" },
	{ "run", tool_run, "run a program with its Boehm GC on our write tracking" },
	{ "bench", tool_bench, "compare pauses and run time of the backends on real programs" },
	{ "report", tool_report, "make a page of what bench measured" },
};

enum { SUBCOMMANDS = sizeof subcommands / sizeof *subcommands };

static void print_help(void)
{
	printf("Usage: cardmark COMMAND [OPTION]...\n"
	       "Finds out which pages of a heap were written, and measures what that costs.\n\n");
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		printf("  %-8s %s\n", subcommands[i].name, subcommands[i].what);
	printf("\n  --help, --version\n\n"
	       "For more, see 'cardmark COMMAND --help'. Exit status: 0 success, 1 it cannot be\n"
	       "done here, 2 wrong usage. 'run' returns the program's own, or 126 and 127 as\n"
	       "a shell does.\n");
}

static void message(const char *sub, const char *fmt, va_list ap)
{
	fprintf(stderr, "cardmark%s%s: ", sub ? " " : "", sub ? sub : "");
	vfprintf(stderr, fmt, ap);
}

int tool_usage_error(const char *sub, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message(sub, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see 'cardmark %s%s--help')\n", sub ? sub : "", sub ? " " : "");
	return TOOL_USAGE;
}

void tool_message(const char *sub, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message(sub, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

enum { MOST_OPTIONS = 8 };

int tool_read_options(const char *sub, int argc, char **argv, const struct tool_option *known,
		      size_t n, bool program, void (*help)(void))
{
	struct option list[MOST_OPTIONS + 2] = { { NULL, 0, NULL, 0 } };
	char letters[2 * MOST_OPTIONS + 3] = "+:"; /* + stops at the program */
	size_t used = 2;
	int c;

	for (size_t i = 0; i < n; i++) {
		int has = known[i].flag != NULL    ? no_argument
			  : known[i].alone != NULL ? optional_argument
						   : required_argument;

		list[i] = (struct option){ known[i].name, has, NULL, (int)i };
		if (known[i].letter != 0) {
			letters[used++] = known[i].letter;
			letters[used++] = ':';
		}
	}
	list[n] = (struct option){ "help", no_argument, NULL, (int)n };
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters + !program, list, NULL)) != -1) {
		const struct tool_option *o = known;

		if (c == ':')
			return tool_usage_error(sub, "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return tool_usage_error(
				sub, "unknown option \"%s\", or short for more than one option",
				argv[optind - 1]);
		if (c == (int)n) {
			help();
			return TOOL_OK;
		}
		while (c > MOST_OPTIONS && o->letter != c)
			o++;
		o = c > MOST_OPTIONS ? o : &known[c];
		if (o->flag != NULL)
			*o->flag = true;
		else
			*o->value = optarg != NULL && (*optarg != '\0' || o->alone == NULL)
					    ? optarg
					    : o->alone;
	}
	return -1;
}

bool tool_parse_number(const char *text, double min, double max, double *out)
{
	char *end;
	double v;

	/* Digits and a point only: no "inf", "nan", "0x" or signs. */
	if (*text == '\0' || strspn(text, "0123456789.") != strlen(text))
		return false;
	errno = 0;
	v = strtod(text, &end);
	if (errno != 0 || *end != '\0' || !isfinite(v) || v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool tool_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	unsigned long long v;
	char *end;

	if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool tool_is_utf8(const char *text)
{
	while (*text != '\0' && cm_utf8_length(text) > 0)
		text += cm_utf8_length(text);
	return *text == '\0';
}

void tool_make_utf8(char *text)
{
	for (size_t n; *text != '\0'; text += n) {
		n = cm_utf8_length(text);
		if (n == 0) {
			*text = '?';
			n = 1;
		}
	}
}

int main(int argc, char **argv)
{
	int status = -1;

	if (argc < 2)
		return tool_usage_error(NULL, "no command is named: probe, run, bench or report");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help();
		status = TOOL_OK;
	} else if (strcmp(argv[1], "--version") == 0) {
		printf("cardmark %s\n", cardmark_version());
		status = TOOL_OK;
	}
	for (size_t i = 0; status < 0 && i < SUBCOMMANDS; i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			status = subcommands[i].run(argc - 1, argv + 1);
	if (status < 0)
		return tool_usage_error(NULL, "there is no command \"%s\"", argv[1]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		tool_message(NULL, "cannot write the output: %s", strerror(errno));
		return status != TOOL_OK ? status : TOOL_CANNOT;
	}
	return status;
}
