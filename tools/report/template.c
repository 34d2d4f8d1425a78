/* SPDX-License-Identifier: MIT */
#include "tools/report/template.h"

#include <stdlib.h>
#include <string.h>

#include "tools/report/html.h"
#include "tools/report/pages.h"
#include "tools/ratio.h"

enum { NAME = 64, TAG = 512 };

/* ---- Values ----------------------------------------------------------------------------- */

static const json_t *member(const json_t *value, const char *name, size_t n)
{
	char key[NAME];

	snprintf(key, sizeof key, "%.*s", (int)n, name);
	return json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10))
				    : json_object_get(value, key);
}

/* NULL: not found. A JSON null: only the first part of the name was found. */
static const json_t *look_up(const struct template *t, const char *name)
{
	size_t n = strcspn(name, ".");
	const json_t *value = NULL;

	if (strcmp(name, ".") == 0)
		return t->stack[t->depth - 1];
	for (size_t i = t->depth; value == NULL && i-- > 0;)
		value = json_is_object(t->stack[i]) ? member(t->stack[i], name, n) : NULL;
	while (value != NULL && name[n] != '\0') {
		name += n + 1;
		n = strcspn(name, ".");
		value = member(value, name, n);
		if (value == NULL)
			return json_null();
	}
	return value;
}

static bool holds(const json_t *v)
{
	return v != NULL && !json_is_null(v) && !json_is_false(v) &&
	       !(json_is_integer(v) && json_integer_value(v) == 0) &&
	       !(json_is_array(v) && json_array_size(v) == 0) &&
	       !(json_is_string(v) && json_string_length(v) == 0);
}

unsigned template_number(const struct template *t, const char *name)
{
	return (unsigned)json_integer_value(look_up(t, name));
}

static void write_text(const struct template *t, const char *s)
{
	if (t->markdown)
		markdown_text(t->f, s);
	else
		html_text(t->f, s);
}

static void write_value(const struct template *t, const json_t *v)
{
	char text[RATIO_TEXT];

	if (json_is_object(v))
		v = json_object_get(v, "text");
	if (json_is_string(v))
		write_text(t, json_string_value(v));
	else if (json_is_integer(v))
		fprintf(t->f, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		fputs(number_text(json_real_value(v), text), t->f);
	else
		fputc('-', t->f);
}

/* ---- Tables ----------------------------------------------------------------------------- */

/* An element with the value's own class if it has one, or with this class. */
static void element(const struct template *t, const char *tag, const char *name, const char *class)
{
	const json_t *v = look_up(t, name);
	const char *own = json_string_value(json_object_get(v, "class"));

	if (own != NULL && own[0] != '\0')
		class = own;
	fprintf(t->f, class != NULL ? "<%s class=\"%s\">" : "<%s>", tag, class);
	write_value(t, v);
	fprintf(t->f, "</%s>", tag);
}

static void head(const struct template *t, const char *text)
{
	const json_t *many = text[0] == '*' ? look_up(t, text + 1) : NULL;
	bool left = text[0] == '<';

	for (size_t i = 0; i < json_array_size(many); i++)
		head(t, json_string_value(json_array_get(many, i)));
	if (many != NULL)
		return;
	fprintf(t->f, "<th scope=\"col\"%s>", left ? " class=\"name\"" : "");
	write_text(t, text + left);
	fputs("</th>", t->f);
}

/* list: the caption and the heads. */
static void table_begin(const struct template *t, char *list, bool folded)
{
	char *rest, *text = strtok_r(list, "|", &rest);

	if (text == NULL)
		return;
	if (folded)
		fprintf(t->f, "<details><summary>%s (table)</summary>\n", text);
	fprintf(t->f,
		"<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"%s\">"
		"<table><caption>%s</caption><thead><tr>",
		text, text);
	while ((text = strtok_r(NULL, "|", &rest)) != NULL)
		head(t, text);
	fputs("</tr></thead><tbody>\n", t->f);
}

/* ---- Tags ------------------------------------------------------------------------------- */

static void expand(struct template *t, const char *text, const char *end);

static void with(struct template *t, const json_t *value, const char *text, const char *end)
{
	if (t->depth == TEMPLATE_DEPTH)
		return;
	t->stack[t->depth++] = value;
	expand(t, text, end);
	t->depth--;
}

static bool write_file(struct template *t, const char *name)
{
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		const char *text = pages[i].text;

		if (strcmp(pages[i].name, name) != 0)
			continue;
		if (strstr(name, ".css") != NULL)
			fputs(text, t->f);
		else
			expand(t, text, text + strlen(text));
		return true;
	}
	return false;
}

static void section(struct template *t, bool inverse, const char *name, const char *text,
		    const char *end)
{
	const json_t *value = look_up(t, name);

	if (inverse != !holds(value))
		return;
	for (size_t i = 0; !inverse && i < json_array_size(value); i++)
		with(t, json_array_get(value, i), text, end);
	if (inverse || json_is_boolean(value) || json_is_string(value) || json_is_number(value))
		expand(t, text, end);
	else if (json_is_object(value))
		with(t, value, text, end);
}

/* A tag that stands alone. False: there is no such thing. */
static bool simple(struct template *t, char *tag)
{
	char *name = strchr(tag, ' ');

	if (strcmp(tag, "/table") == 0 || strcmp(tag, "/folded") == 0) {
		fprintf(t->f, "</tbody></table></div>%s", tag[1] == 'f' ? "</details>\n" : "\n");
		return true;
	}
	if (name == NULL) {
		const json_t *value = look_up(t, tag);

		if (value != NULL)
			write_value(t, value);
		return value != NULL;
	}
	*name++ = '\0';
	if (strcmp(tag, ">") == 0)
		return write_file(t, name) || t->draw(t, name);
	if (strcmp(tag, "table") == 0 || strcmp(tag, "folded") == 0) {
		table_begin(t, name, tag[0] == 'f');
	} else if (strcmp(tag, "td") == 0 || strcmp(tag, "b") == 0) {
		char *class = strchr(name, ' ');

		if (class != NULL)
			*class ++ = '\0';
		element(t, tag, name, class);
	} else if (strcmp(tag, "code") == 0) {
		markdown_code(t->f, json_string_value(look_up(t, name)));
	} else {
		return false;
	}
	return true;
}

/* The text after a tag. A line with only a tag is not a line of the page. */
static const char *behind(const char *from, const char *hole, const char *end)
{
	return (hole == from || hole[-1] == '\n') && end[2] == '\n' ? end + 3 : end + 2;
}

static void expand(struct template *t, const char *text, const char *end)
{
	const char *begin = text, *hole;

	while ((hole = strstr(text, "{{")) != NULL && hole < end) {
		const char *close = strstr(hole, "}}"), *next, *inner;
		char tag[TAG], last[TAG + 8];

		if (close == NULL)
			break;
		next = close + 2;
		fwrite(text, 1, (size_t)(hole - text), t->f);
		snprintf(tag, sizeof tag, "%.*s", (int)(close - hole - 2), hole + 2);
		if (tag[0] == '#' || tag[0] == '^') {
			snprintf(last, sizeof last, "{{/%s}}", tag + 1);
			inner = behind(begin, hole, close);
			hole = strstr(inner, last);
			if (hole == NULL)
				break;
			section(t, tag[0] == '^', tag + 1, inner, hole);
			next = behind(begin, hole, hole + strlen(last) - 2);
		} else if (!simple(t, tag)) {
			fwrite(hole, 1, (size_t)(next - hole), t->f);
		} else if (strchr(">/tf", tag[0]) != NULL) {
			next = behind(begin, hole, close);
		}
		text = next;
	}
	fwrite(text, 1, (size_t)(end - text), t->f);
}

void template_write(struct template *t, const char *file, const json_t *value)
{
	t->stack[0] = value;
	t->depth = 1;
	write_file(t, file);
}
