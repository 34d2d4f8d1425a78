/* SPDX-License-Identifier: MIT
 * cardmark bench programs: real programs, each in every row. A row is a way to run them. */
#ifndef CARDMARK_TOOL_BENCH_PROGRAMS_H
#define CARDMARK_TOOL_BENCH_PROGRAMS_H

#include "tools/bench/bench.h"
#include "tools/latency.h"
#include "tools/pauses.h"

enum { MAX_ROWS = 24, MAX_PROGRAMS = 8 };
enum { BENCH_VERSION = 2 }; /* of the results file */

/* One line of the table: a way to run the programs. */
struct bench_row {
	char label[40];
	const char *backend;
	const char *libgc; /* its directory, or from a file its name; NULL: this system's */
	double target_ms;  /* 0: none */
	bool control;      /* the reference again: shows the noise */
	bool peer; /* an incremental mode of libgc's own: its failure is a result, not ours */
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
	/* A server: its requests are due at this rate, and it reports their latency. */
	bool open_loop;
	uint64_t rate, closed_rate; /* a second; and as fast as the reference can, or 0 */
};

enum bench_phase { PHASE_STOP, PHASE_DIRTY, PHASE_MARK, PHASE_RESUME, PHASES };

/* Of the requests of one server. */
struct bench_latency {
	uint64_t rate, served_ns; /* 0: closed loop */
	struct histogram kinds[LATENCY_KINDS];
};

/* One process. */
struct bench_run {
	bool done; /* there was such a run */
	bool ok;
	char error[200]; /* when not ok */
	bool has_hash;
	uint64_t hash;
	double wall_s, cpu_s;
	/* From the statistics that the preload object writes. */
	char mode[32], backend[32];
	uint64_t collections, dirty_cards, faults, guessed, all_dirty;
	uint64_t kernel_calls; /* by the library for its tracker */
	uint64_t minor_faults, peak_rss_kb;
	uint64_t *stops;            /* lengths in ns, sorted */
	struct pause *pauses;       /* as many, in order */
	uint64_t (*phases)[PHASES]; /* of each pause */
	size_t stop_count;
	uint64_t stop_p50, stop_p99, stop_max, stop_total; /* ns, of this run */
	uint64_t stall_max;
	uint64_t peak_vmas, peak_table_kb;         /* only when sampled */
	uint64_t verified, verify_changed, missed; /* only with verification: cards */
	bool has_missed;
	struct bench_latency *latency; /* of an open-loop program, or NULL */
};

/* All timed runs of one program in one row, and the extra runs, which are not
 * timed: for the VMAs, and with verification. */
struct bench_cell {
	struct bench_run runs[MAX_BLOCKS];
	struct bench_run sampled, verified;
};

struct bench_plan {
	const struct bench_options *opt; /* NULL: all this is from a file */
	unsigned resumed;                /* how often it was taken up again */
	json_t *source;                  /* owns strings, or NULL */
	uint64_t seed, live_mb;          /* live_mb 0: the program's own */
	double target_ms;
	const char *best; /* our backend in the verdict */
	struct bench_row rows[MAX_ROWS];
	unsigned row_count, ref, control, stw; /* and which row is which */
	struct bench_program programs[MAX_PROGRAMS];
	unsigned program_count;
	struct bench_cell *cells; /* [program][row] */
	char preload[TOOL_PATH];
	char dir[64]; /* for what the runs write */
};

static inline struct bench_cell *bench_cell(const struct bench_plan *p, unsigned program,
					    unsigned row)
{
	return &p->cells[program * p->row_count + row];
}

static inline bool bench_is_ours(const struct bench_row *row)
{
	return !row->peer && strcmp(row->backend, "stop-the-world") != 0;
}

/* The metrics by which two rows are compared, block by block. Less is better. */
enum bench_metric {
	METRIC_TOTAL,
	METRIC_CPU,
	METRIC_STOP_P50,
	METRIC_STOP_MAX,
	METRIC_STALL_MAX,
	METRIC_PAUSED, /* all stops together */
	METRIC_RSS,
	METRIC_SERVICE, /* the mean time a request takes, and from when it was due: */
	METRIC_LATENCY_P50,
	METRIC_LATENCY_P99,
	METRIC_LATENCY_P999,
	METRICS
};

/* ---- programs_child.c ---------------------------------------------------------- */

/* A timed run; one whose mappings are counted all the time, which disturbs it;
 * one that checks that every change is reported, which is slow; a server that need not
 * wait for requests. */
enum bench_kind { RUN_TIMED, RUN_SAMPLED, RUN_VERIFIED, RUN_CLOSED };

/* Runs the program once. Fills *out; a program that fails is a result. */
void bench_run_child(const struct bench_plan *plan, const struct bench_program *program,
		     const struct bench_row *row, uint64_t seed, double timeout_s,
		     enum bench_kind kind, struct bench_run *out);

/* ---- run_statistics.c, run_json.c --------------------------------------- */

/* Reads the statistics that the preload object wrote into *out. False, with out->error
 * set, if they are missing or strange. */
bool bench_read_statistics(const char *path, struct bench_run *out);

/* Stops as [start, end, phases...]. False if they are strange or memory is out. */
bool bench_parse_stops(const json_t *list, struct bench_run *out);
void bench_free_run(struct bench_run *run);

/* A run in the results file and the journal, null if there was none; and back. */
json_t *bench_run_json(const struct bench_run *run, uint64_t seed);
bool bench_parse_run(const json_t *o, struct bench_run *out);

/* ---- latency.c ----------------------------------------------------------- */

/* A percentile is given where ten or more are longer. */
enum { LATENCY_BEYOND = 10 };
static inline bool bench_latency_knows(uint64_t count, double q)
{
	return (double)count * (1 - q) >= LATENCY_BEYOND - 1e-6;
}

/* What the program wrote. False, with out->error set, if it is missing or strange. */
bool bench_read_latency(const char *path, struct bench_run *out);
json_t *bench_latency_json(const struct bench_latency *latency);
/* NULL if it is strange or memory is out. */
struct bench_latency *bench_parse_latency(const json_t *o);
double bench_latency_metric(const struct bench_run *run, enum bench_metric metric);
bool bench_has_latency(const struct bench_plan *plan, unsigned program);
/* Of all good runs of a row; NULL if there are none. To be freed. */
struct bench_latency *bench_pool_latency(const struct bench_plan *plan, unsigned program,
					 unsigned row);
/* The rate for this program, from a run of the reference as fast as it can. */
bool bench_rate_from(struct bench_program *program, const struct bench_run *run);

/* ---- programs_summary.c -------------------------------------------------------- */

/* The values of one row in the table. Times in seconds and milliseconds. */
struct bench_summary {
	unsigned good, failed;
	const char *error;           /* of the first failed run, or NULL */
	double wall, cpu;            /* medians */
	size_t stops;                /* of all runs */
	double p50, p99, max, stall; /* ms; stops pooled; largest of all runs */
	double vmas, dirty, collections;
	double rss_kb, table_kb, faults, kernel_calls; /* medians, but table_kb: the largest */
	uint64_t phases[PHASES], paused;               /* ns, all runs */
	struct ratio to_ref, to_stw, cpu_to_ref, cpu_to_stw;
};

void bench_summarize(const struct bench_plan *plan, unsigned program, unsigned row,
		     struct bench_summary *out);

/* 0 if the run failed, which takes its block out of ratios with its row. */
double bench_metric_of(const struct bench_run *run, enum bench_metric metric);
struct ratio bench_ratio(const struct bench_plan *plan, unsigned program, unsigned row, unsigned to,
			 enum bench_metric metric);
/* From the A/A control. */
double bench_resolution(const struct bench_plan *plan, unsigned program, enum bench_metric metric);

/* Do all runs of a block have the same hash? With print, names each that does not. */
bool bench_hashes_agree(const struct bench_plan *plan, unsigned program, bool print);

/* ---- programs_screen.c --------------------------------------------------------- */

/* The answer on one screen of 80 columns. tables: the file that has the rest, or NULL; json:
 * the results file, or "". */
void bench_print_screen(const struct bench_plan *plan, const struct bench_env *env,
			const char *tables, const char *json, FILE *f);
/* The row of our backend without or with the pause target; -1 if it is not there or all its
 * runs failed. */
int bench_our_row(const struct bench_plan *plan, unsigned program, bool target,
		  struct bench_summary *out);

/* ---- programs_table.c ---------------------------------------------------------- */

void bench_env_print(const struct bench_env *env, const struct bench_plan *plan, FILE *f);
void bench_print_table(const struct bench_plan *plan, unsigned program, FILE *f);
void bench_print_notes(const struct bench_plan *plan, FILE *f);
void bench_print_verdict(const struct bench_plan *plan, FILE *f);

/* ---- latency_table.c ---------------------------------------------------------- */

void bench_print_latency(const struct bench_plan *plan, unsigned program, FILE *f);
void bench_print_latency_words(const struct bench_plan *plan, unsigned program, FILE *f);

/* ---- programs_file.c ----------------------------------------------------------- */

/* What the results file has. */
json_t *bench_results_json(const struct bench_plan *plan, const struct bench_env *env);
/* False, with what is wrong printed in the name of sub. */
bool bench_load(const char *sub, const char *file, struct bench_plan *plan, struct bench_env *env);
void bench_free_plan(struct bench_plan *plan);

/* ---- journal.c ------------------------------------------------------------- */

/* The journal of finished runs, so that an interrupted bench can go on. One JSON object a line. */
struct bench_journal {
	char path[TOOL_PATH]; /* "" if there is none */
	FILE *f;
	int lock_fd; /* open as long as this bench has the journal; 0: not */
	struct bench_env env;
	json_t *lines; /* of an interrupted bench, or NULL */
	double at_s;   /* how far it had come */
	bool finished; /* it is removed when it is closed */
};

/* Begins a journal for this results file. False, with a message, if it cannot. */
bool bench_journal_begin(struct bench_journal *j, const char *file, const struct bench_plan *plan);
/* Reads the journal that is left; the options are in its first line, as *argv. */
bool bench_journal_read(struct bench_journal *j, const char *file);
int bench_journal_argv(const struct bench_journal *j, char ***argv);
/* Goes on with the journal, if the plan and the machine are the same. */
bool bench_journal_go_on(struct bench_journal *j, struct bench_plan *plan);
/* How far one program had come. Runs of whole blocks are in the plan then. */
struct bench_done {
	bool sampled, verified;
	double usual_s, block_s, begin_s, budget_s;
};
/* False if a line is invalid: then the whole program is run again. */
bool bench_journal_restore(const struct bench_journal *j, struct bench_plan *plan, unsigned program,
			   struct bench_done *done);
/* Adds a line, and takes over line. */
void bench_journal_add(struct bench_journal *j, json_t *line, double at_s);
void bench_journal_close(struct bench_journal *j);

/* ---- programs_plan.c ------------------------------------------------------------ */

/* Rows and programs for what was asked. -1 to go on, or the exit status. */
int bench_plan_make(struct bench_plan *plan, const struct bench_options *opt);

/* ---- programs_schedule.c --------------------------------------------------------- */

/* Runs everything within the budget, with progress on standard error. What the
 * journal has is not run again. False if it was interrupted. */
bool bench_schedule(struct bench_plan *plan, struct bench_journal *journal);

#endif
