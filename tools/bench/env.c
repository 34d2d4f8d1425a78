/* SPDX-License-Identifier: MIT
 * What a reader must know about the machine to judge the numbers. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/bench.h"

static void first_line(const char *path, char *out, size_t n)
{
	FILE *f = fopen(path, "re");

	snprintf(out, n, "unknown");
	if (f == NULL)
		return;
	if (fgets(out, (int)n, f) != NULL)
		out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

static void read_cpu(char *out, size_t n)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, n, "unknown");
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || colon == NULL)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(out, n, "%s", colon[1] ? colon + 2 : "");
		break;
	}
	if (f != NULL)
		fclose(f);
}

/* The first line of /proc/stat: user nice system idle iowait irq softirq steal. */
static void read_ticks(uint64_t *steal, uint64_t *total)
{
	uint64_t t[8] = { 0 };
	char line[256];

	first_line("/proc/stat", line, sizeof line);
	*steal = *total = 0;
	if (sscanf(line,
		   "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64 " %" SCNu64,
		   &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 8)
		return;
	*steal = t[7];
	for (size_t i = 0; i < 8; i++)
		*total += t[i];
}

/* Our C programs know which libgc they run on; guile uses the same one. */
static void read_libgc(char *out, size_t n)
{
	char path[TOOL_PATH], command[TOOL_PATH + 32];
	FILE *f;

	snprintf(out, n, "unknown");
	if (!tool_find_bench("trees", path) || strchr(path, '\'') != NULL)
		return;
	snprintf(command, sizeof command, "'%s' --version 2>/dev/null", path);
	f = popen(command, "re");
	if (f == NULL)
		return;
	if (fgets(out, (int)n, f) != NULL)
		out[strcspn(out, "\n")] = '\0';
	pclose(f);
}

static void utc_now(char out[32])
{
	time_t t = time(NULL);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void bench_env_begin(struct bench_env *env, const struct bench_options *opt)
{
	struct utsname un;
	size_t used = 0;

	memset(env, 0, sizeof *env);
	if (uname(&un) == 0)
		snprintf(env->kernel, sizeof env->kernel, "%s %s %s", un.sysname, un.release,
			 un.machine);
	read_cpu(env->cpu, sizeof env->cpu);
	first_line("/sys/kernel/mm/transparent_hugepage/enabled", env->thp, sizeof env->thp);
	first_line("/proc/loadavg", env->load, sizeof env->load);
	read_libgc(env->libgc, sizeof env->libgc);
	env->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	used = (size_t)snprintf(env->command, sizeof env->command, "cardmark");
	for (int i = 0; i < opt->argc && used < sizeof env->command; i++)
		used += (size_t)snprintf(env->command + used, sizeof env->command - used, " %s",
					 opt->argv[i]);
	tool_make_utf8(env->command);
	snprintf(env->library, sizeof env->library, "%s", cardmark_version());
	utc_now(env->started);
	read_ticks(&env->steal_before, &env->total_before);
	env->steal_after = env->steal_before;
	env->total_after = env->total_before;
}

void bench_env_update(struct bench_env *env)
{
	uint64_t steal, total;

	read_ticks(&steal, &total);
	if (total < env->total_after || steal < env->steal_after)
		return;
	env->steal += steal - env->steal_after;
	env->total += total - env->total_after;
	env->steal_after = steal;
	env->total_after = total;
}

void bench_env_end(struct bench_env *env)
{
	bench_env_update(env);
	first_line("/proc/loadavg", env->load_after, sizeof env->load_after);
	utc_now(env->finished);
}

double bench_env_steal_percent(const struct bench_env *env)
{
	return env->total ? 100.0 * (double)env->steal / (double)env->total : 0;
}

/* ---- In files ------------------------------------------------------------------------ */

static const struct {
	const char *key;
	size_t offset, size;
} texts[] = {
#define TEXT(key, member)                                                                          \
	{                                                                                          \
		key, offsetof(struct bench_env, member), sizeof((struct bench_env *)0)->member     \
	}
	TEXT("kernel", kernel),         TEXT("cpu", cpu),         TEXT("thp", thp),
	TEXT("libgc", libgc),           TEXT("library", library), TEXT("load_before", load),
	TEXT("load_after", load_after), TEXT("started", started), TEXT("finished", finished),
#undef TEXT
};

static const struct bench_field ticks[] = {
	{ "steal_ticks_before", offsetof(struct bench_env, steal_before) },
	{ "steal_ticks_after", offsetof(struct bench_env, steal_after) },
	{ "steal_ticks", offsetof(struct bench_env, steal) },
	{ "total_ticks", offsetof(struct bench_env, total) },
};

enum { TEXTS = sizeof texts / sizeof *texts };

void bench_put_env(json_t *root, const struct bench_env *env)
{
	json_t *o = json_object();

	for (size_t i = 0; i < TEXTS; i++)
		json_object_set_new(o, texts[i].key,
				    json_string((const char *)env + texts[i].offset));
	json_object_set_new(o, "cpus", json_integer(env->cpus));
	bench_put_counts(o, ticks, sizeof ticks / sizeof *ticks, env);
	json_object_set_new(o, "steal_percent", bench_number_json(bench_env_steal_percent(env)));
	json_object_set_new(root, "environment", o);
	json_object_set_new(root, "command", json_string(env->command));
}

void bench_get_env(const json_t *root, struct bench_env *env)
{
	const json_t *o = json_object_get(root, "environment");

	memset(env, 0, sizeof *env);
	for (size_t i = 0; i < TEXTS; i++)
		bench_text_of(o, texts[i].key, (char *)env + texts[i].offset, texts[i].size);
	env->cpus = (long)bench_count_of(o, "cpus");
	bench_get_counts(o, ticks, sizeof ticks / sizeof *ticks, env);
	bench_text_of(root, "command", env->command, sizeof env->command);
}
