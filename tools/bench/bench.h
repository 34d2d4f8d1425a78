/* SPDX-License-Identifier: MIT
 * Shared by the subcommands of cardmark bench: options, the runner of processes, and results
 * files. */
#ifndef CARDMARK_TOOL_BENCH_H
#define CARDMARK_TOOL_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tools/ratio.h"
#include "tools/tool.h"

enum { MAX_BLOCKS = 200, MAX_ARGS = 24 };

/* ---- options.c ---------------------------------------------------------------- */

enum bench_preset { PRESET_QUICK, PRESET_STANDARD, PRESET_FULL, PRESETS };
extern const char *const bench_preset_names[PRESETS];

enum { BENCH_MANY = 8 }; /* options that may be repeated */

/* The options that were given. A subcommand has only the options that its help names. */
struct bench_options {
	enum bench_preset preset;
	unsigned blocks; /* at most; 0: not asked */
	double budget_s; /* 0: no limit */
	bool preset_given, blocks_given, size_given, verify, wide;
	uint64_t size, seed, live_mb, rate; /* size: per cent; 0: not asked */
	double target_ms, fail_above;       /* fail_above, per cent; below 0: not asked */
	const char *json, *filter;          /* or NULL */
	const char *backends[BENCH_MANY], *programs[BENCH_MANY], *libgcs[BENCH_MANY];
	size_t n_backends, n_programs, n_libgcs;
	char **files; /* what is no option */
	int n_files;
	int argc; /* all of it, from "bench" on */
	char **argv;
	const struct bench_subcommand *table; /* that it was read by */
};

struct bench_subcommand {
	const char *name, *what;
	const char *files; /* in the help, or NULL */
	int min_files, max_files;
	const char *presets[PRESETS]; /* in the help: what each does */
	const char *size, *json;      /* in the help: what 100 % are, and the file; or NULL */
	int (*run)(struct bench_options *opt);
	/* Without run, the subcommand is a separate program, because it needs no collector. Then:
	 * its option for the amount of work, and the amount that is 100 per cent. */
	const char *program, *unit;
	uint64_t full;
	bool seeded;
};

/* Which subcommand of the table is meant, and its options. The table ends with a name of NULL; its
 * first row is meant if none is named. -1 to go on, or the exit status. */
int bench_parse(int argc, char **argv, const struct bench_subcommand *table,
		struct bench_options *opt, const struct bench_subcommand **which);

struct bench_limits {
	unsigned blocks;
	double budget_s;
	uint64_t size;
};
/* Fills in the options that were not given, from the row of the preset. */
void bench_limit(struct bench_options *opt, const struct bench_limits presets[PRESETS]);

/* ---- The subcommands ---------------------------------------------------------------- */

int bench_programs(struct bench_options *opt);
int bench_resume(struct bench_options *opt);
int bench_barriers(struct bench_options *opt);
int bench_micro(struct bench_options *opt);
int bench_compare(struct bench_options *opt);

/* ---- backends.c ----------------------------------------------------------------- */

enum { MAX_BACKENDS = 16 };

/* A backend that an option names, "auto" too. -1, or the exit status, with a message. */
int bench_find_backend(const char *name, enum cardmark_backend *out);
/* All backends that work here, best first. Returns their number. */
unsigned bench_usable_backends(enum cardmark_backend out[MAX_BACKENDS]);

/* ---- child.c -------------------------------------------------------------------- */

/* What to execute. */
struct bench_command {
	char path[TOOL_PATH];
	char *argv[MAX_ARGS];
	unsigned argc;
	bool failed;                   /* no memory, or too many */
	const struct run_options *run; /* under cardmark run with these, or NULL */
	const char *preload;
};

void bench_add_argument(struct bench_command *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void bench_free_command(struct bench_command *c);

/* What one process did. */
struct bench_child {
	bool ok;         /* it ended with status 0 */
	char error[200]; /* when not ok */
	double wall_s, cpu_s;
	uint64_t begin_ns; /* of the monotonic clock */
	uint64_t peak_rss_kb;
	uint64_t peak_vmas, peak_table_kb; /* only when sampled */
	int out, err;                      /* files of what it printed */
};

/* Runs the command as a fresh process, timed from outside, and kills it after timeout_s or
 * when this program is interrupted. With sample, its mappings are counted all the time, which
 * disturbs it. */
void bench_run_command(const struct bench_command *c, double timeout_s, bool sample,
		       struct bench_child *out);
void bench_close_child(struct bench_child *c);

/* The last bytes of a file that a child printed, as a string to be freed; never NULL. */
char *bench_tail(int fd);
/* Its last line that is not empty. Cuts off what comes after it. */
char *bench_last_line(char *text);

/* From now on SIGINT and SIGTERM end the process under way, and are remembered. */
void bench_catch_signals(void);
/* The signal, or 0. */
int bench_interrupted(void);

/* A directory for files of the children. False, with a message, if it cannot be made. */
bool bench_make_dir(char out[64]);

/* ---- progress.c ------------------------------------------------------------------- */

double bench_now(void); /* seconds */

/* A line when something starts; on a terminal it overwrites the one before. */
struct bench_progress {
	double begin;
	bool tty;
	size_t width;
};
struct bench_progress bench_begin_progress(double begin);
/* left: seconds, or below 0 if it is not known. */
void bench_show_progress(struct bench_progress *p, double left, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void bench_end_progress(const struct bench_progress *p);

/* 0 to n - 1 in an order that state decides. */
void bench_shuffle(unsigned *order, unsigned n, uint64_t *state);

/* ---- env.c ------------------------------------------------------------------------ */

struct bench_env {
	char kernel[224], cpu[128], thp[64], libgc[64], command[512], library[32];
	char load[64], load_after[64], started[32], finished[32]; /* UTC */
	long cpus;
	uint64_t steal_before, total_before, steal_after, total_after; /* ticks since boot */
	uint64_t busy_after, own_after;
	/* During the run, all parts of it; own: this program's, of what was busy. */
	uint64_t steal, total, busy, own;
};

void bench_env_begin(struct bench_env *env, const struct bench_options *opt);
/* Brings the ticks up to now. */
void bench_env_update(struct bench_env *env);
void bench_env_end(struct bench_env *env);
double bench_env_steal_percent(const struct bench_env *env);
/* How many CPUs other programs used while it ran; and use now, which takes half a second. */
double bench_env_others(const struct bench_env *env);
double bench_env_others_now(void);
/* Programs that use more of the CPUs make times worth little. */
#define BENCH_OTHERS_MANY 0.25
/* With the command, into the root of a file and back. */
void bench_put_env(json_t *root, const struct bench_env *env);
void bench_get_env(const json_t *root, struct bench_env *env);

/* ---- results.c -------------------------------------------------------------------- */

/* JSON has no NaN: null. */
json_t *bench_number_json(double v);
json_t *bench_count_json(uint64_t v);
json_t *bench_ratio_json(struct ratio r);

/* A file may be wrong: a value that is missing or of another type is 0 or "". */
uint64_t bench_count_of(const json_t *o, const char *key);
/* Of a list. False: it is none. */
bool bench_count_at(const json_t *list, size_t i, uint64_t *out);
double bench_number_of(const json_t *o, const char *key);
const char *bench_string_of(const json_t *o, const char *key);
void bench_text_of(const json_t *o, const char *key, char *out, size_t n);

/* Members of a structure, uint64_t each, and their keys in an object. */
struct bench_field {
	const char *key;
	size_t offset;
};
void bench_put_counts(json_t *o, const struct bench_field *fields, size_t n, const void *from);
void bench_get_counts(const json_t *o, const struct bench_field *fields, size_t n, void *to);

/* Takes over root. Never leaves half a file, even if the process is killed. False, with a message.
 * "-" is standard output. */
enum { BENCH_COMPACT = JSON_COMPACT | JSON_REAL_PRECISION(9) };
bool bench_write_results(json_t *root, const char *file, size_t flags);
/* NULL, with a message in the name of sub, if it is no file of this format and version. */
json_t *bench_read_results(const char *sub, const char *file, const char *format, int version);

#endif
