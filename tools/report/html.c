/* SPDX-License-Identifier: MIT */
#include "tools/report/html.h"

#include <stdbool.h>
#include <string.h>

#include "common/utf8.h"

/* U+0080 to U+009F are control characters, too. */
static bool is_control(const char *s)
{
	unsigned char c = (unsigned char)*s;

	return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
	       (c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

void html_text(FILE *f, const char *s)
{
	while (*s != '\0') {
		size_t n = cm_utf8_length(s);

		if (n == 0 || is_control(s)) {
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

void markdown_text(FILE *f, const char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f) {
			fputc(' ', f);
			continue;
		}
		if (strchr("\\`*_[]<>|#~&", c) != NULL)
			fputc('\\', f);
		fputc(c, f);
	}
}

void markdown_code(FILE *f, const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		fputc(*s == '`' || (unsigned char)*s < 0x20 ? ' ' : *s, f);
}
