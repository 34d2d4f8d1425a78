/* SPDX-License-Identifier: MIT
 *
 * Description: every input of the corpus agrees with the reference, and each broken
 * rule is found by at least one of them.
 *
 *   ranges_fuzz                    the corpus of the sources and the controls
 *   ranges_fuzz FILE...            these inputs
 *   ranges_fuzz --broken=N FILE... the same with a rule broken */
#include "tests/fuzz/fuzz.h"
#include "tests/support/tap.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define INPUTS 64
#define BYTES ((size_t)1 << 16)

struct input {
	char path[512];
	uint8_t *data;
	size_t size;
};

static struct input inputs[INPUTS];
static size_t n_inputs;
static unsigned lines;

static bool read_input(const char *path)
{
	struct input *in = &inputs[n_inputs];
	FILE *f;
	bool good;

	if (n_inputs == INPUTS || strlen(path) >= sizeof in->path)
		return false;
	f = fopen(path, "rb");
	if (f == NULL)
		return false;
	strcpy(in->path, path);
	in->data = malloc(BYTES);
	in->size = in->data == NULL ? 0 : fread(in->data, 1, BYTES, f);
	good = in->data != NULL && ferror(f) == 0 && feof(f) != 0;
	(void)fclose(f);
	n_inputs += in->data != NULL;
	return good;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->path, ((const struct input *)b)->path);
}

static bool read_corpus(void)
{
	const char *top = getenv("CARDMARK_SRCDIR");
	char dir[256], path[600];
	struct dirent *entry;
	bool good = true;
	DIR *d;

	(void)snprintf(dir, sizeof dir, "%s/tests/fuzz/corpus/%s", top == NULL ? "." : top,
		       fuzz_target.name);
	d = opendir(dir);
	if (d == NULL)
		return false;
	while ((entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		good = read_input(path) && good;
	}
	(void)closedir(d);
	qsort(inputs, n_inputs, sizeof *inputs, by_path);
	return good && n_inputs > 0;
}

static void line(bool ok, const char *name)
{
	tap_line(ok, fuzz_target.name, name, NULL);
	lines++;
}

static void replay(unsigned broken)
{
	for (size_t i = 0; i < n_inputs; i++) {
		const char *why = fuzz_target.run(inputs[i].data, inputs[i].size, broken);
		const char *slash = strrchr(inputs[i].path, '/');

		if (why != NULL)
			tap_note("%s: %s", inputs[i].path, why);
		line(why == NULL, slash == NULL ? inputs[i].path : slash + 1);
	}
}

static void control(unsigned broken)
{
	const char *first = NULL;
	char name[256];
	size_t found = 0;

	for (size_t i = 0; i < n_inputs; i++) {
		const char *why = fuzz_target.run(inputs[i].data, inputs[i].size, broken);

		found += why != NULL;
		if (first == NULL)
			first = why;
	}
	(void)snprintf(name, sizeof name, "control: %s: found by %zu of %zu inputs",
		       fuzz_target.rules[broken - 1], found, n_inputs);
	if (first != NULL)
		tap_note("%s", first);
	line(found > 0, name);
}

/* 1 and up, or 0: there is no such rule. */
static unsigned rule_of(const char *text)
{
	unsigned long n = strtoul(text, NULL, 10);

	for (unsigned rule = 1; fuzz_target.rules[rule - 1] != NULL; rule++)
		if (rule == n)
			return rule;
	return 0;
}

int main(int argc, char **argv)
{
	unsigned broken = 0;
	int i = 1;

	if (i < argc && argv[i][0] == '-') {
		if (strncmp(argv[i], "--broken=", 9) != 0 || (broken = rule_of(argv[i] + 9)) == 0) {
			(void)fprintf(stderr, "%s: not a rule or an option: %s\n", argv[0],
				      argv[i]);
			return 2;
		}
		i++;
	}
	if (i == argc) {
		line(read_corpus(), "there is a corpus, and all of it can be read");
		replay(0);
		for (unsigned rule = 1; fuzz_target.rules[rule - 1] != NULL; rule++)
			control(rule);
	} else {
		for (; i < argc; i++)
			if (!read_input(argv[i]))
				line(false, argv[i]);
		replay(broken);
	}
	for (size_t k = 0; k < n_inputs; k++)
		free(inputs[k].data);
	(void)printf("1..%u\n", lines);
	return tap_status();
}
