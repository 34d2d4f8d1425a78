/* SPDX-License-Identifier: MIT
 * Text in a page. Everything that comes from a file goes through here. */
#ifndef CARDMARK_TOOL_HTML_H
#define CARDMARK_TOOL_HTML_H

#include <stdio.h>

#include "tools/stats.h"

/* As text or as the value of a quoted attribute. Control characters, and bytes that are
 * not UTF-8, become U+FFFD. */
void html_text(FILE *f, const char *s);
/* printf(), and then html_text(). */
void html_printf(FILE *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A table that scrolls by itself where it is too wide. heads ends with NULL; the first
 * column names the row. One that begins with "<" is of words, not of numbers. */
void html_table_begin(FILE *f, const char *caption, const char *const *heads);
void html_row(FILE *f, const char *name);
void html_cell(FILE *f, const char *class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void html_row_end(FILE *f);
void html_table_end(FILE *f);
/* The same, folded away behind its caption: what a chart shows, in numbers. */
void html_folded_table_begin(FILE *f, const char *caption, const char *const *heads);
void html_folded_table_end(FILE *f);

/* "0.74 [0.71, 0.78]", with "~" if it is within the noise; "-" if it is not known. */
const char *html_ratio(struct stat_ratio r, double resolution, char out[48]);

/* Three digits or all whole ones; "-" for NaN. */
const char *html_number(double v, char out[32]);

#endif
