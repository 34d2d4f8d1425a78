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
	static const char special[] = "&<>\"'";
	static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };

	for (size_t n; *s != '\0'; s += n) {
		const char *found = strchr(special, *s);

		n = is_control(s) ? 0 : cm_utf8_length(s);
		if (found != NULL)
			fputs(names[found - special], f);
		else if (n == 0)
			fputs("\xef\xbf\xbd", f);
		else
			fwrite(s, 1, n, f);
		n += n == 0;
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
