/* SPDX-License-Identifier: MIT
 * Text in a page or in Markdown. Everything that comes from a file goes through here. */
#ifndef CARDMARK_REPORT_HTML_H
#define CARDMARK_REPORT_HTML_H

#include <stdio.h>

/* As text or as the value of a quoted attribute. Control characters, and bytes that are
 * not UTF-8, become U+FFFD. */
void html_text(FILE *f, const char *s);

/* Text within a table or a line of Markdown, escaped so that nothing in it is markup. */
void markdown_text(FILE *f, const char *s);
/* Text between backquotes, where only a backquote is special. */
void markdown_code(FILE *f, const char *s);

#endif
