/* SPDX-License-Identifier: MIT
 * Shared by all results files: values in JSON, writing and reading. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>

#include "tools/bench/bench.h"

json_t *bench_number_json(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

json_t *bench_count_json(uint64_t v)
{
	return json_integer((json_int_t)v);
}

json_t *bench_ratio_json(struct ratio r)
{
	return json_pack("{s:o, s:o, s:o}", "mid", bench_number_json(r.mid), "low",
			 bench_number_json(r.low), "high", bench_number_json(r.high));
}

uint64_t bench_count_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	json_int_t i = json_is_integer(v) ? json_integer_value(v) : 0;

	return i > 0 ? (uint64_t)i : 0;
}

bool bench_count_at(const json_t *list, size_t i, uint64_t *out)
{
	const json_t *v = json_array_get(list, i);
	bool good = json_is_integer(v) && json_integer_value(v) >= 0;

	*out = good ? (uint64_t)json_integer_value(v) : 0;
	return good;
}

double bench_number_of(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

const char *bench_string_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

void bench_text_of(const json_t *o, const char *key, char *out, size_t n)
{
	snprintf(out, n, "%s", bench_string_of(o, key));
	tool_make_utf8(out); /* it may be cut within a character */
}

void bench_put_counts(json_t *o, const struct bench_field *fields, size_t n, const void *from)
{
	uint64_t v;

	for (size_t i = 0; i < n; i++) {
		memcpy(&v, (const char *)from + fields[i].offset, sizeof v);
		json_object_set_new(o, fields[i].key, bench_count_json(v));
	}
}

void bench_get_counts(const json_t *o, const struct bench_field *fields, size_t n, void *to)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = bench_count_of(o, fields[i].key);

		memcpy((char *)to + fields[i].offset, &v, sizeof v);
	}
}

/* A new file replaces the old one in one step. A device, a pipe, or the target of a symbolic link
 * is written in place. */
static bool write_file(const json_t *root, const char *file, size_t flags)
{
	char beside[TOOL_PATH];
	struct stat st;
	int n;

	if (lstat(file, &st) == 0 && !S_ISREG(st.st_mode))
		return json_dump_file(root, file, flags) == 0;
	n = snprintf(beside, sizeof beside, "%s.new", file);
	return n > 0 && n < TOOL_PATH && json_dump_file(root, beside, flags) == 0 &&
	       rename(beside, file) == 0;
}

bool bench_write_results(json_t *root, const char *file, size_t flags)
{
	bool good;

	errno = 0;
	good = strcmp(file, "-") == 0 ? json_dumpf(root, stdout, flags) == 0
				      : write_file(root, file, flags);
	json_decref(root);
	if (!good)
		tool_message("bench", "cannot write %s: %s", file,
			     errno != 0 ? strerror(errno) : "out of memory");
	return good;
}

json_t *bench_read_results(const char *sub, const char *file, const char *format, int version)
{
	json_error_t error;
	json_t *root = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
	uint64_t is = bench_count_of(root, "version");

	if (root == NULL)
		tool_message(sub, "%s: %s", file, error.text);
	else if (strcmp(bench_string_of(root, "format"), format) != 0)
		tool_message(sub, "%s: not a results file of format \"%s\"", file, format);
	else if (is != (uint64_t)version)
		tool_message(sub,
			     "%s: its format has another version (%" PRIu64
			     ") than this command's (%d)",
			     file, is, version);
	else
		return root;
	json_decref(root);
	return NULL;
}
