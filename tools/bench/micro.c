/* SPDX-License-Identifier: MIT
 * cardmark bench micro: runs cardmark-micro for each backend in turns, a fresh process each
 * time, and joins their results into one file in Google Benchmark's JSON format. A block is a
 * repetition there. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/bench/bench.h"

enum { MOST = MAX_BACKENDS + 1 };

struct micro_plan {
	const char *subjects[MOST]; /* names for --backend */
	unsigned count;
	const struct bench_options *opt;
	char path[TOOL_PATH], dir[64];
};

/* ---- Which ones -------------------------------------------------------------------- */

static void add(struct micro_plan *m, const char *subject)
{
	if (m->count < MOST)
		m->subjects[m->count++] = subject;
}

/* The bare loop works where pagemap does. -1, or the exit status. */
static int add_asked(struct micro_plan *m, const char *name)
{
	bool bare = strcmp(name, "bare") == 0;
	enum cardmark_backend which;
	int status = bench_find_backend(bare ? "pagemap" : name, &which);

	if (status < 0)
		add(m, bare ? name : cardmark_backend_name(which));
	return status;
}

static void add_all(struct micro_plan *m)
{
	enum cardmark_backend usable[MAX_BACKENDS];
	unsigned n = bench_usable_backends(usable);

	for (unsigned i = 0; i < n; i++) {
		add(m, cardmark_backend_name(usable[i]));
		if (usable[i] == CARDMARK_BACKEND_PAGEMAP)
			add(m, "bare");
	}
}

/* ---- One process -------------------------------------------------------------------- */

/* The values that cardmark-micro itself reported, without Google Benchmark's facts about the
 * machine. */
static void show_errors(int fd)
{
	char *text = bench_tail(fd);
	char *rest = NULL;

	for (char *line = text != NULL ? strtok_r(text, "\n", &rest) : NULL; line != NULL;
	     line = strtok_r(NULL, "\n", &rest))
		if (strncmp(line, "cardmark-micro: ", 16) == 0)
			fprintf(stderr, "%s\n", line);
	free(text);
}

/* NULL, with a message, if there are no results. */
static json_t *run_one(const struct micro_plan *m, const char *subject, uint64_t seed, bool *good)
{
	struct bench_command command = { .argc = 0 };
	char json[sizeof m->dir + 16];
	struct bench_child child;
	json_t *root;

	snprintf(json, sizeof json, "%s/micro.json", m->dir);
	snprintf(command.path, sizeof command.path, "%s", m->path);
	bench_add_argument(&command, "cardmark-micro");
	bench_add_argument(&command, "--backend=%s", subject);
	bench_add_argument(&command, "--seed=%" PRIu64, seed);
	bench_add_argument(&command, "--benchmark_out=%s", json);
	bench_add_argument(&command, "--benchmark_out_format=json");
	if (m->opt->filter != NULL)
		bench_add_argument(&command, "--benchmark_filter=%s", m->opt->filter);
	if (m->opt->preset == PRESET_FULL)
		bench_add_argument(&command, "--full");
	bench_run_command(&command, INFINITY, false, &child);
	bench_free_command(&command);
	if (!child.ok && bench_interrupted() == 0) {
		tool_message("bench", "%s: cardmark-micro: %s", subject, child.error);
		show_errors(child.err);
		*good = false;
	}
	bench_close_child(&child);
	root = json_load_file(json, 0, NULL);
	if (root == NULL && bench_interrupted() == 0) {
		tool_message("bench", "%s: no results%s", subject,
			     m->opt->filter != NULL ? ": does the filter match anything?" : "");
		*good = false;
	}
	unlink(json);
	return root;
}

/* ---- All of them --------------------------------------------------------------------- */

/* The results of one process, to those of the same name. */
static void merge(const struct micro_plan *m, json_t *by_name, const json_t *root, unsigned block)
{
	const json_t *list = json_object_get(root, "benchmarks");
	json_t *b;
	size_t i;

	json_array_foreach(list, i, b)
	{
		const char *name = json_string_value(json_object_get(b, "name"));
		json_t *same;

		if (name == NULL)
			continue;
		if (json_object_get(by_name, name) == NULL)
			json_object_set_new(by_name, name, json_array());
		same = json_object_get(by_name, name);
		json_object_set_new(b, "repetitions", json_integer(m->opt->blocks));
		json_object_set_new(b, "repetition_index", json_integer(block));
		json_array_append(same, b);
	}
}

static bool write_results(const char *file, json_t *context, json_t *by_name)
{
	json_t *root = json_object(), *list = json_array();

	for (void *at = json_object_iter(by_name); at != NULL;
	     at = json_object_iter_next(by_name, at))
		json_array_extend(list, json_object_iter_value(at));
	json_object_set(root, "context", context);
	json_object_set_new(root, "benchmarks", list);
	return bench_write_results(root, file, JSON_INDENT(2));
}

/* The context of the results, or NULL if there are none. */
static json_t *run_blocks(const struct micro_plan *m, json_t *by_name, bool *good)
{
	struct bench_progress progress = bench_begin_progress(bench_now());
	json_t *context = NULL;
	uint64_t random = m->opt->seed;

	for (unsigned block = 0; block < m->opt->blocks; block++) {
		unsigned order[MOST];

		bench_shuffle(order, m->count, &random);
		for (unsigned i = 0; i < m->count && bench_interrupted() == 0; i++) {
			const char *subject = m->subjects[order[i]];
			json_t *root;

			bench_show_progress(&progress, -1, "block %u of %u, %s", block + 1,
					    m->opt->blocks, subject);
			root = run_one(m, subject, m->opt->seed + block, good);
			merge(m, by_name, root, block);
			if (context == NULL)
				context = json_incref(json_object_get(root, "context"));
			json_decref(root);
		}
	}
	bench_end_progress(&progress);
	return context;
}

static int measure(const struct micro_plan *m, const char *file)
{
	json_t *by_name = json_object(), *context;
	unsigned blocks = m->opt->blocks;
	bool good = true;

	bench_catch_signals();
	context = run_blocks(m, by_name, &good);
	if (bench_interrupted() != 0) {
		tool_message("bench", "interrupted: nothing was written");
		json_decref(by_name);
		json_decref(context);
		return 128 + bench_interrupted();
	}
	if (context == NULL || json_object_size(by_name) == 0) {
		tool_message("bench", "no micro benchmark ran");
		good = false;
	} else {
		char text[32];

		/* Google Benchmark has texts only in here. */
		snprintf(text, sizeof text, "%u", blocks);
		json_object_set_new(context, "blocks", json_string(text));
		good = write_results(file, context, by_name) && good;
	}
	if (good && strcmp(file, "-") != 0)
		printf("%zu benchmarks, %u block%s, seed %" PRIu64
		       ": %s\n'cardmark report --micro=%s' makes a page of them%s\n",
		       json_object_size(by_name), blocks, blocks == 1 ? "" : "s", m->opt->seed,
		       file, file,
		       blocks < RATIO_MIN_BLOCKS ? "; fewer than 3 blocks give no intervals."
						 : ".");
	json_decref(by_name);
	json_decref(context);
	return good ? TOOL_OK : TOOL_CANNOT;
}

int bench_micro(struct bench_options *opt)
{
	static const struct bench_limits presets[PRESETS] = { [PRESET_QUICK] = { .blocks = 1 },
							      [PRESET_STANDARD] = { .blocks = 5 },
							      [PRESET_FULL] = { .blocks = 10 } };
	struct micro_plan m = { .opt = opt };
	int status = -1;

	bench_limit(opt, presets);
	if (opt->seed == 0)
		opt->seed = 1;
	if (opt->seed > UINT32_MAX - MAX_BLOCKS)
		return tool_usage_error("bench micro", "--seed is a number from 0 to 4294967000");
	if (!tool_find_bench("cardmark-micro", m.path)) {
		tool_message("bench",
			     "%s is missing: it is built where configure finds a C++ "
			     "compiler and Google Benchmark (libbenchmark-dev)",
			     m.path);
		return TOOL_CANNOT;
	}
	for (size_t i = 0; i < opt->n_backends && status < 0; i++)
		status = add_asked(&m, opt->backends[i]);
	if (status >= 0)
		return status;
	if (opt->n_backends == 0)
		add_all(&m);
	if (!bench_make_dir(m.dir))
		return TOOL_CANNOT;
	status = measure(&m, opt->json != NULL ? opt->json : BENCH_MICRO_FILE);
	rmdir(m.dir);
	return status;
}
