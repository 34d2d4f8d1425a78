/* SPDX-License-Identifier: MIT
 * The facts about the machine that a reader needs to judge the numbers. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* In ticks of one CPU. */
struct ticks {
	uint64_t steal, total, busy, own;
};

static uint64_t own_ticks(int who)
{
	struct rusage u;

	if (getrusage(who, &u) != 0)
		return 0;
	return (uint64_t)(((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6) *
			  (double)sysconf(_SC_CLK_TCK));
}

/* The first line of /proc/stat: user nice system idle iowait irq softirq steal. */
static struct ticks read_ticks(void)
{
	struct ticks now = { 0 };
	uint64_t t[8] = { 0 };
	char line[256];

	first_line("/proc/stat", line, sizeof line);
	if (sscanf(line,
		   "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64 " %" SCNu64,
		   &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 8)
		return now;
	now.steal = t[7];
	for (size_t i = 0; i < 8; i++)
		now.total += t[i];
	now.busy = t[0] + t[1] + t[2] + t[5] + t[6];
	/* Programs of ours are children that were waited for. */
	now.own = own_ticks(RUSAGE_SELF) + own_ticks(RUSAGE_CHILDREN);
	return now;
}

/* How many of the machine's CPUs other programs use. */
static double others(double busy, double own, double total, long cpus)
{
	return total > 0 ? fmax(0, busy - own) / total * (double)cpus : 0;
}

double bench_env_others_now(void)
{
	struct timespec half = { .tv_nsec = 500000000 };
	struct ticks a = read_ticks(), b;

	nanosleep(&half, NULL);
	b = read_ticks();
	return others((double)(b.busy - a.busy), (double)(b.own - a.own),
		      (double)(b.total - a.total), sysconf(_SC_NPROCESSORS_ONLN));
}

double bench_env_others(const struct bench_env *env)
{
	return others((double)env->busy, (double)env->own, (double)env->total, env->cpus);
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
	struct ticks now;
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
	now = read_ticks();
	env->steal_before = env->steal_after = now.steal;
	env->total_before = env->total_after = now.total;
	env->busy_after = now.busy;
	env->own_after = now.own;
}

void bench_env_update(struct bench_env *env)
{
	struct ticks now = read_ticks();

	if (now.total < env->total_after || now.steal < env->steal_after ||
	    now.busy < env->busy_after)
		return;
	env->steal += now.steal - env->steal_after;
	env->total += now.total - env->total_after;
	env->busy += now.busy - env->busy_after;
	env->own += now.own - env->own_after;
	env->steal_after = now.steal;
	env->total_after = now.total;
	env->busy_after = now.busy;
	env->own_after = now.own;
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
	{ "busy_ticks", offsetof(struct bench_env, busy) },
	{ "own_ticks", offsetof(struct bench_env, own) },
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
	json_object_set_new(o, "others_cpus", bench_number_json(bench_env_others(env)));
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
