/* SPDX-License-Identifier: MIT
 * Pages are templates: the files page.css, *.html and *.md of this folder, which the build
 * makes strings of (pages.h), so that the program needs no other file. They are filled from JSON.
 *
 *   {{name}}                  a value; a.b is b of a, a.0 the first of a, and . the value itself
 *   {{#name}}...{{/name}}     for each of an array; otherwise once, unless it is null, false, 0,
 *                             empty or not there
 *   {{^name}}...{{/name}}     only if it is one of these
 *   {{> file.html}}           another template, at this place
 *   {{> name}}                what the program draws under that name (charts.c)
 *   {{td name class}}         a cell of a table; its class is that of the value or else this one
 *   {{b name class}}          the same as bold text
 *   {{table caption|head|...}}, {{/table}}    around the rows of a table. "<head" is a column of
 *                             words, not of numbers, and "*name" means an array of heads
 *   {{folded ...}}, {{/folded}}               the same, folded away behind its caption
 *   {{code name}}             in Markdown, between backquotes
 *
 * A name is looked for in the innermost value first. A name that is not found stays as it is:
 * a test looks for that. A value that is an object prints its "text". All text is escaped, for
 * HTML or for Markdown. */
#ifndef CARDMARK_REPORT_TEMPLATE_H
#define CARDMARK_REPORT_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum { TEMPLATE_DEPTH = 16 };

struct template
{
	FILE *f;
	/* Draws what has this name. False: there is no such thing. */
	bool (*draw)(const struct template *t, const char *name);
	const void *data; /* for draw() */
	bool markdown;
	const json_t *stack[TEMPLATE_DEPTH];
	size_t depth;
};

/* One of the files, filled from the value. */
void template_write(struct template *t, const char *file, const json_t *value);
/* For draw(): a number at this place; 0 if there is none. */
unsigned template_number(const struct template *t, const char *name);

#endif
