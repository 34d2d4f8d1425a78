/* SPDX-License-Identifier: MIT
 * The parts of cardmark bench. */
#ifndef CARDMARK_TOOL_BENCH_H
#define CARDMARK_TOOL_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/stats.h"
#include "tools/tool.h"

enum { MAX_ROWS = 24, MAX_PROGRAMS = 8, MAX_BLOCKS = 200, MAX_ARGS = 12 };

/* One line of the table: a way to run the programs. */
struct bench_row {
	char label[40];
	const char *backend;
	double target_ms; /* 0: none */
	bool control;     /* the reference again: what is the noise? */
	bool peer;        /* libgc's own mode: its failure is a result, not ours */
};

struct bench_program {
	const char *name;
	const char *what;
	const char *file;        /* found by tool_find_bench() */
	const char *interpreter; /* and its option, or NULL */
	char path[TOOL_PATH];
	char interpreter_path[TOOL_PATH];
	double share;       /* of the time there is */
	char left_out[256]; /* why, or "" */
	uint64_t work;      /* per cent */
	unsigned blocks;    /* done */
};

/* One process. */
struct bench_run {
	bool ok;
	char error[200]; /* when not ok */
	bool has_hash;
	uint64_t hash;
	double wall_s, cpu_s;
	/* from the report of the preload object */
	bool has_report;
	char mode[32], backend[32];
	uint64_t collections, dirty_cards, faults, guessed, all_dirty;
	uint64_t *stops; /* lengths in ns, sorted */
	size_t stop_count;
	uint64_t stop_p50, stop_p99, stop_max, stop_total; /* ns, of this run */
	uint64_t stall_max;
	uint64_t peak_vmas; /* only when sampled */
};

/* All timed runs of one program in one row, and the extra run for the VMAs. */
struct bench_cell {
	struct bench_run runs[MAX_BLOCKS];
	struct bench_run sampled;
};

struct bench_plan {
	bool standard, blocks_given, size_given;
	double budget_s;              /* 0: no limit */
	unsigned blocks;              /* at most */
	uint64_t seed, size, live_mb; /* live_mb 0: the program's own */
	double target_ms;
	const char *best; /* our backend in the goals */
	struct bench_row rows[MAX_ROWS];
	unsigned row_count, ref, control, stw; /* and which row is which */
	struct bench_program programs[MAX_PROGRAMS];
	unsigned program_count;
	struct bench_cell *cells; /* [program][row] */
	char preload[TOOL_PATH];
	char dir[64]; /* for reports */
	int argc;
	char **argv;
};

static inline struct bench_cell *bench_cell(const struct bench_plan *p, unsigned program,
					    unsigned row)
{
	return &p->cells[program * p->row_count + row];
}

/* ---- bench_child.c ---------------------------------------------------------- */

/* Runs the program once. With sample, counts its mappings all the time, which
 * disturbs it. Fills *out; a program that fails is a result. */
void bench_run_child(const struct bench_plan *plan, const struct bench_program *program,
		     const struct bench_row *row, uint64_t seed, double timeout_s, bool sample,
		     struct bench_run *out);

/* ---- bench_report.c --------------------------------------------------------- */

/* Reads the report of the preload object into *out. False, with out->error
 * set, if it is missing or strange. */
bool bench_read_report(const char *path, struct bench_run *out);

/* ---- bench_env.c ------------------------------------------------------------ */

struct bench_env {
	char kernel[224], cpu[128], thp[64], load[64], libgc[64], command[512];
	long cpus;
	uint64_t steal, total; /* ticks since boot */
	double steal_percent;  /* over the run, set by _end */
};

void bench_env_begin(struct bench_env *env, const struct bench_plan *plan);
void bench_env_end(struct bench_env *env);
void bench_env_print(const struct bench_env *env, const struct bench_plan *plan, FILE *f);

/* ---- bench_summary.c -------------------------------------------------------- */

/* What the table shows of one row. Times in seconds and milliseconds. */
struct bench_summary {
	unsigned good, failed;
	const char *error;           /* of the first failed run, or NULL */
	double wall, cpu;            /* medians */
	size_t stops;                /* of all runs */
	double p50, p99, max, stall; /* ms; stops pooled; largest of all runs */
	double vmas, dirty, collections;
	struct stat_ratio to_ref, to_stw;
};

void bench_summarize(const struct bench_plan *plan, unsigned program, unsigned row,
		     struct bench_summary *out);
/* From the A/A control. */
double bench_resolution(const struct bench_plan *plan, unsigned program);

/* Do all runs of a block have one hash? Prints each that has not. */
bool bench_hashes_agree(const struct bench_plan *plan, unsigned program);

/* ---- bench_table.c, bench_goals.c, bench_json.c ------------------------------ */

void bench_print_table(const struct bench_plan *plan, unsigned program, FILE *f);
void bench_print_notes(const struct bench_plan *plan, FILE *f);
void bench_print_goals(const struct bench_plan *plan, FILE *f);
void bench_print_verdict(const struct bench_plan *plan, FILE *f);
bool bench_write_json(const struct bench_plan *plan, const struct bench_env *env, const char *file);

/* ---- bench_plan.c ------------------------------------------------------------ */

/* Rows and programs for what was asked. backends: of --backend; programs: of
 * --program. -1 to go on, or the exit status. */
int bench_plan_make(struct bench_plan *plan, const char *const *backends, size_t n_backends,
		    const char *const *programs, size_t n_programs);

/* ---- bench_schedule.c --------------------------------------------------------- */

/* Runs everything within the budget, with progress on standard error. */
void bench_schedule(struct bench_plan *plan);

#endif
