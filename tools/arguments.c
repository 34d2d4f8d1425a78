/* SPDX-License-Identifier: MIT
 * The command line of every subcommand: options, numbers and messages. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "tools/tool.h"

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

enum { MOST_OPTIONS = 24 };

int tool_read_options(const char *sub, int argc, char **argv, const struct tool_option *known,
		      size_t n, bool program, void (*help)(void))
{
	struct option list[MOST_OPTIONS + 3] = { { NULL, 0, NULL, 0 } };
	char letters[2 * MOST_OPTIONS + 5] = "+:hV"; /* + stops at the program */
	size_t used = 4;
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
	list[n] = (struct option){ "help", no_argument, NULL, 'h' };
	list[n + 1] = (struct option){ "version", no_argument, NULL, 'V' };
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters + !program, list, NULL)) != -1) {
		const struct tool_option *o = known;

		if (c == ':')
			return tool_usage_error(sub, "%s needs a value", argv[optind - 1]);
		if (c == '?')
			return tool_usage_error(
				sub, "unknown option \"%s\", or short for more than one option",
				argv[optind - 1]);
		if (c == 'h') {
			help();
			return TOOL_OK;
		}
		if (c == 'V')
			return tool_print_version();
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

void tool_put_string(FILE *f, const char *text)
{
	fputc('"', f);
	while (*text != '\0') {
		size_t n = cm_utf8_length(text);

		if (*text == '"' || *text == '\\')
			fputc('\\', f);
		if (n == 0 || (unsigned char)*text < ' ')
			fputc('?', f);
		else
			fwrite(text, 1, n, f);
		text += n > 0 ? n : 1;
	}
	fputc('"', f);
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

int tool_print_version(void)
{
	printf("cardmark %s\n", cardmark_version());
	return TOOL_OK;
}
