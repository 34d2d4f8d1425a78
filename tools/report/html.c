/* SPDX-License-Identifier: MIT */
#include "tools/report/html.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

/* Bytes of the UTF-8 character at s, or 0 if it is none. */
static size_t character(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and above U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	/* U+0080 to U+009F are control characters too. */
	if (s[0] == 0xc2 && s[1] < 0xa0)
		return 0;
	return n;
}

void html_text(FILE *f, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s != '\0') {
		size_t n = character(s);

		if (n == 0 || *s == 0x7f || (*s < 0x20 && *s != '\n' && *s != '\t')) {
			fputs("\xef\xbf\xbd", f);
			s++;
			continue;
		}
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			fwrite(s, 1, n, f);
		}
		s += n;
	}
}

static void print_escaped(FILE *f, const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		return;
	html_text(f, text);
	free(text);
}

void html_printf(FILE *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_escaped(f, format, args);
	va_end(args);
}

void html_table_begin(FILE *f, const char *caption, const char *const *heads)
{
	fputs("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"", f);
	html_text(f, caption);
	fputs("\"><table><caption>", f);
	html_text(f, caption);
	fputs("</caption><thead><tr>", f);
	for (size_t i = 0; heads[i] != NULL; i++) {
		bool left = heads[i][0] == '<';

		fprintf(f, "<th scope=\"col\"%s>", left ? " class=\"name\"" : "");
		html_text(f, heads[i] + left);
		fputs("</th>", f);
	}
	fputs("</tr></thead><tbody>\n", f);
}

void html_row(FILE *f, const char *name)
{
	fputs("<tr><th scope=\"row\">", f);
	html_text(f, name);
	fputs("</th>", f);
}

void html_cell(FILE *f, const char *class, const char *format, ...)
{
	va_list args;

	fprintf(f, class != NULL ? "<td class=\"%s\">" : "<td>", class);
	va_start(args, format);
	print_escaped(f, format, args);
	va_end(args);
	fputs("</td>", f);
}

void html_row_end(FILE *f)
{
	fputs("</tr>\n", f);
}

void html_table_end(FILE *f)
{
	fputs("</tbody></table></div>\n", f);
}

const char *html_ratio(struct stat_ratio r, double resolution, char out[48])
{
	const char *mark = stat_same(r, resolution) ? "~" : "";

	if (isnan(r.mid))
		snprintf(out, 48, "-");
	else if (isinf(r.high))
		snprintf(out, 48, "%s%.2f [too few]", mark, r.mid);
	else
		snprintf(out, 48, "%s%.2f [%.2f, %.2f]", mark, r.mid, r.low, r.high);
	return out;
}

const char *html_number(double v, char out[32])
{
	if (!isfinite(v))
		snprintf(out, 32, "-");
	else if (fabs(v) >= 100 || fabs(v) <= 0)
		snprintf(out, 32, "%.0f", v);
	else
		snprintf(out, 32, "%.3g", v);
	return out;
}

void html_folded_table_begin(FILE *f, const char *caption, const char *const *heads)
{
	fputs("<details><summary>", f);
	html_text(f, caption);
	fputs(" (table)</summary>\n", f);
	html_table_begin(f, caption, heads);
}

void html_folded_table_end(FILE *f)
{
	html_table_end(f);
	fputs("</details>\n", f);
}
