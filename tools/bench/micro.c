/* SPDX-License-Identifier: MIT
 * cardmark bench --micro: runs cardmark-micro for each backend in turns, a fresh process each
 * time, and makes one file in Google Benchmark's JSON format of all they wrote. A block is a
 * repetition there. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench/bench.h"

enum { MOST = 16 };

struct micro_plan {
	const char *subjects[MOST]; /* names for --backend */
	unsigned count, blocks;
	uint64_t seed;
	bool full;
	const char *filter;
	char program[TOOL_PATH], dir[64];
};

/* ---- Which ones -------------------------------------------------------------------- */

/* The bare loop works where pagemap does. */
static bool add_subject(struct micro_plan *m, const char *name)
{
	const char *backend = strcmp(name, "bare") == 0 ? "pagemap" : name;
	enum cardmark_backend which;
	struct cardmark_probe probe;

	if (cardmark_backend_parse(backend, &which) != 0) {
		(void)tool_usage_error("bench", "no backend \"%s\" in --micro", name);
		return false;
	}
	if (which == CARDMARK_BACKEND_AUTO)
		which = tool_probe_best();
	if (!tool_probe_one(which, &probe) || !probe.usable) {
		tool_message("bench", "%s cannot work here: %s", name, probe.reason);
		return false;
	}
	if (m->count < MOST)
		m->subjects[m->count++] = backend == name ? cardmark_backend_name(which) : name;
	return true;
}

static void add_all(struct micro_plan *m)
{
	struct cardmark_probe probe = CARDMARK_PROBE_INIT;

	for (unsigned i = 0; cardmark_probe(i, &probe) == 0 && m->count + 1 < MOST; i++) {
		if (!probe.usable)
			continue;
		m->subjects[m->count++] = cardmark_backend_name(probe.backend);
		if (probe.backend == CARDMARK_BACKEND_PAGEMAP)
			m->subjects[m->count++] = "bare";
	}
}

/* ---- One process -------------------------------------------------------------------- */

_Noreturn static void become(const struct micro_plan *m, const char *subject, uint64_t seed,
			     const char *json, const char *errors)
{
	char backend[64], seed_arg[40], out[TOOL_PATH], filter[TOOL_PATH];
	char format[] = "--benchmark_out_format=json", name[] = "cardmark-micro", full[] = "--full";
	char *argv[8] = { name, backend, seed_arg, out, format };
	int n = 5, nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err = open(errors, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (nowhere < 0 || err < 0 || dup2(nowhere, 0) < 0 || dup2(nowhere, 1) < 0 ||
	    dup2(err, 2) < 0)
		_exit(TOOL_CANNOT);
	bench_clean_environment();
	snprintf(backend, sizeof backend, "--backend=%s", subject);
	snprintf(seed_arg, sizeof seed_arg, "--seed=%" PRIu64, seed);
	snprintf(out, sizeof out, "--benchmark_out=%s", json);
	if (m->filter != NULL) {
		snprintf(filter, sizeof filter, "--benchmark_filter=%s", m->filter);
		argv[n++] = filter;
	}
	if (m->full)
		argv[n++] = full;
	argv[n] = NULL;
	execv(m->program, argv);
	_exit(TOOL_CANNOT);
}

/* What it said of itself, on standard error; not what Google Benchmark says of the machine. */
static void show_errors(const char *file)
{
	char line[512];
	FILE *f = fopen(file, "re");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "cardmark-micro: ", 16) == 0)
			fputs(line, stderr);
	if (f != NULL)
		fclose(f);
}

/* NULL, with a message, if there are no results. */
static json_t *run_one(const struct micro_plan *m, const char *subject, uint64_t seed, bool *good)
{
	char json[sizeof m->dir + 16], errors[sizeof m->dir + 16];
	json_error_t error;
	json_t *root;
	int status = 0;
	pid_t pid;

	snprintf(json, sizeof json, "%s/micro.json", m->dir);
	snprintf(errors, sizeof errors, "%s/errors", m->dir);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(m, subject, seed, json, errors);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		if (bench_interrupted() != 0)
			kill(pid, SIGTERM);
	if (bench_interrupted() == 0 && (pid < 0 || status != 0)) {
		tool_message("bench", "%s: cardmark-micro %s %d", subject,
			     WIFSIGNALED(status) ? "was killed by signal" : "ended with status",
			     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		show_errors(errors);
		*good = false;
	}
	root = json_load_file(json, 0, &error);
	if (root == NULL && bench_interrupted() == 0) {
		tool_message("bench", "%s: no results%s", subject,
			     m->filter != NULL ? ": does the filter match anything?" : "");
		*good = false;
	}
	unlink(json);
	unlink(errors);
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
		json_object_set_new(b, "repetitions", json_integer(m->blocks));
		json_object_set_new(b, "repetition_index", json_integer(block));
		json_array_append(same, b);
	}
}

static bool write_results(const char *file, json_t *context, json_t *by_name)
{
	json_t *root = json_object(), *list = json_array();
	int written;

	for (void *at = json_object_iter(by_name); at != NULL;
	     at = json_object_iter_next(by_name, at))
		json_array_extend(list, json_object_iter_value(at));
	json_object_set(root, "context", context);
	json_object_set_new(root, "benchmarks", list);
	written = strcmp(file, "-") == 0 ? json_dumpf(root, stdout, JSON_INDENT(2))
					 : json_dump_file(root, file, JSON_INDENT(2));
	json_decref(root);
	if (written != 0)
		tool_message("bench", "cannot write %s", file);
	return written == 0;
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* The context of the results, or NULL if there are none. */
static json_t *run_blocks(const struct micro_plan *m, json_t *by_name, bool *good)
{
	json_t *context = NULL;
	uint64_t random = m->seed;

	for (unsigned block = 0; block < m->blocks; block++) {
		unsigned order[MOST];

		for (unsigned i = 0; i < m->count; i++)
			order[i] = i;
		for (unsigned i = m->count; i > 1; i--) {
			unsigned j = (unsigned)(next(&random) >> 33) % i, was = order[j];

			order[j] = order[i - 1];
			order[i - 1] = was;
		}
		for (unsigned i = 0; i < m->count && bench_interrupted() == 0; i++) {
			const char *subject = m->subjects[order[i]];
			json_t *root;

			fprintf(stderr, "cardmark bench: block %u of %u, %s\n", block + 1,
				m->blocks, subject);
			root = run_one(m, subject, m->seed + block, good);
			merge(m, by_name, root, block);
			if (context == NULL)
				context = json_incref(json_object_get(root, "context"));
			json_decref(root);
		}
	}
	return context;
}

static int measure(struct micro_plan *m, const char *file)
{
	json_t *by_name = json_object(), *context;
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
		snprintf(text, sizeof text, "%u", m->blocks);
		json_object_set_new(context, "blocks", json_string(text));
		good = write_results(file, context, by_name) && good;
	}
	if (good && strcmp(file, "-") != 0)
		printf("%zu benchmarks, %u block%s, seed %" PRIu64
		       ": %s\n'cardmark report --micro=%s' makes a page of them%s\n",
		       json_object_size(by_name), m->blocks, m->blocks == 1 ? "" : "s", m->seed,
		       file, file,
		       m->blocks < STAT_MIN_BLOCKS ? "; fewer than 3 blocks give no intervals."
						   : ".");
	json_decref(by_name);
	json_decref(context);
	return good ? TOOL_OK : TOOL_CANNOT;
}

int bench_micro(const struct bench_plan *plan, const char *filter, const char *file,
		const char *const *backends, size_t n)
{
	static const unsigned blocks[] = {
		[PRESET_QUICK] = 1, [PRESET_STANDARD] = 5, [PRESET_FULL] = 10
	};
	const char *tmp = getenv("TMPDIR");
	struct micro_plan m = { .seed = plan->seed != 0 ? plan->seed : 1, .filter = filter };
	int status;

	m.blocks = plan->blocks_given ? plan->blocks : blocks[plan->preset];
	m.full = plan->preset == PRESET_FULL;
	if (m.seed > UINT32_MAX - MAX_BLOCKS)
		return tool_usage_error("bench", "--micro takes seeds below 4294967000");
	if (!tool_find_bench("cardmark-micro", m.program)) {
		tool_message("bench",
			     "%s is missing: it is built where configure finds a C++ "
			     "compiler and Google Benchmark (libbenchmark-dev)",
			     m.program);
		return TOOL_CANNOT;
	}
	for (size_t i = 0; i < n; i++)
		if (!add_subject(&m, backends[i]))
			return TOOL_CANNOT;
	if (n == 0)
		add_all(&m);
	if (tmp == NULL || *tmp == '\0' || strlen(tmp) > sizeof m.dir - 24)
		tmp = "/tmp";
	snprintf(m.dir, sizeof m.dir, "%s/cardmark-XXXXXX", tmp);
	if (mkdtemp(m.dir) == NULL) {
		tool_message("bench", "cannot make a directory in %s: %s", tmp, strerror(errno));
		return TOOL_CANNOT;
	}
	status = measure(&m, file != NULL ? file : BENCH_MICRO_FILE);
	rmdir(m.dir);
	return status;
}
