/* SPDX-License-Identifier: MIT
 * cardmark bench barriers: the small collector examples/minigc with every write barrier.
 * A point is a program with its settings; a sweep is an axis with points along it, and a
 * point may lie on several. */
#ifndef CARDMARK_TOOL_BENCH_BARRIERS_H
#define CARDMARK_TOOL_BENCH_BARRIERS_H

#include "tools/bench/bench.h"
#include "tools/pauses.h"

enum { BARRIERS_VERSION = 1 }; /* of the results file */
enum { BARRIERS_ROWS = 12, BARRIERS_POINTS = 64, BARRIERS_STOPS = 32, BARRIERS_PHASES = 5 };

extern const char *const barriers_phase_names[BARRIERS_PHASES];

enum barriers_role {
	BARRIERS_REFERENCE, /* software cards */
	BARRIERS_CONTROL,   /* the same again: shows the noise */
	BARRIERS_OURS,
	BARRIERS_OTHER,
	BARRIERS_ROLES
};
extern const char *const barriers_role_names[BARRIERS_ROLES];

struct barriers_row {
	char label[32];
	char barrier[16], backend[16]; /* minigc's options; backend may be "" */
	enum barriers_role role;
};

struct barriers_pause {
	bool full;
	uint64_t start, end; /* ns since the process began */
	uint64_t phase[BARRIERS_PHASES];
	uint64_t dirty, scanned;
};

/* One process. */
struct barriers_run {
	bool done, ok;
	char error[200]; /* when not ok */
	uint64_t hash;   /* of what it printed */
	double wall_s, cpu_s;
	uint64_t pauses_cpu_ns, allocated, live, all_dirty, peak_rss_kb;
	struct barriers_pause *pauses;
	size_t n_pauses;
};

struct barriers_point {
	char program[24];
	uint64_t size, words, objects, churn; /* words 0: the program takes no arguments */
	uint64_t heap_limit, nursery;         /* bytes */
	double written;                       /* of stores: between collections, % of the pages */
};

enum barriers_axis {
	AXIS_PROGRAM, /* x: none */
	AXIS_HEAP,    /* x: multiple of the minimum */
	AXIS_NURSERY, /* x: MiB */
	AXIS_OBJECT,  /* x: words */
	AXIS_MAP,     /* x: % written, y: live MiB */
	AXES
};
extern const char *const barriers_axis_names[AXES];

struct barriers_sweep {
	unsigned count;
	struct {
		double x, y;
		unsigned point;
	} at[BARRIERS_STOPS];
};

struct barriers {
	enum bench_preset preset;
	uint64_t seed, work; /* per cent */
	unsigned blocks;     /* planned; of a file: begun */
	double budget_s;     /* 0: none */
	bool fixed_work, interrupted;
	char sole[24]; /* the one program asked for, or "" */
	char sweep_program[24];
	double live_mb;      /* of the base point */
	uint64_t least_heap; /* bytes with which the base program completes; 0: not known */
	struct barriers_row rows[BARRIERS_ROWS];
	unsigned n_rows;
	struct barriers_point points[BARRIERS_POINTS];
	unsigned n_points;
	struct barriers_sweep sweeps[AXES];
	struct barriers_run *runs; /* [point][row][block] */
	char minigc[TOOL_PATH], dir[64];
	struct bench_env env;
};

static inline struct barriers_run *barriers_run(const struct barriers *b, unsigned point,
						unsigned row, unsigned block)
{
	return &b->runs[((size_t)point * b->n_rows + row) * b->blocks + block];
}

void barriers_free(struct barriers *b);

/* ---- barriers_plan.c --------------------------------------------------------------- */

/* With the named backends, or all that work here. -1 to go on, or the exit status. */
int barriers_plan_rows(struct barriers *b, const struct bench_options *opt);
/* All points but those of the heap sweep, which needs the least heap. False, with a
 * message: there is no such program. */
bool barriers_plan_points(struct barriers *b);
void barriers_plan_heap(struct barriers *b);
/* The work of all points again, after b->work has changed. */
void barriers_plan_work(struct barriers *b);
/* The point that the sweeps go through. */
unsigned barriers_base(const struct barriers *b);

/* ---- barriers_child.c ---------------------------------------------------------------- */

/* Runs the program once. Fills *out; a program that fails is a result. */
void barriers_run_child(const struct barriers *b, const struct barriers_point *p,
			const struct barriers_row *row, uint64_t seed, double timeout_s,
			struct barriers_run *out);
void barriers_free_run(struct barriers_run *run);

/* ---- barriers_schedule.c --------------------------------------------------------------- */

/* Finds the least heap, fits the work into the time and runs the blocks; file is written
 * after each ("": not at all). False, with a message, if there is nothing to run. */
bool barriers_schedule(struct barriers *b, const char *file);

/* ---- barriers_file.c ----------------------------------------------------------------------- */

/* The numbers of a run in the results file. All but the first are in minigc's statistics, too. */
enum { BARRIERS_RUN_FIELDS = 5 };
extern const struct bench_field barriers_run_fields[BARRIERS_RUN_FIELDS];

/* What the results file has. */
json_t *barriers_results_json(const struct barriers *b);
/* False, with what is wrong printed as cardmark report. */
bool barriers_load(const char *file, struct barriers *b);

/* ---- barriers_summary.c -------------------------------------------------------------------- */

enum barriers_metric {
	BARRIERS_CPU,
	BARRIERS_TOTAL,
	BARRIERS_PAUSED, /* all pauses together */
	BARRIERS_PAUSE_P50,
	BARRIERS_PAUSE_MAX,
	BARRIERS_RSS,
	BARRIERS_METRICS
};
extern const char *const barriers_metric_names[BARRIERS_METRICS];

/* Pauses without a moment between them are one stop. out: room for all; how many. */
size_t barriers_stops(const struct barriers_run *run, struct pause *out);
double barriers_median(const struct barriers *b, unsigned point, unsigned row,
		       enum barriers_metric m);
/* To the reference; resolution: from the A/A row. */
struct ratio barriers_ratio(const struct barriers *b, unsigned point, unsigned row,
			    enum barriers_metric m);
double barriers_resolution(const struct barriers *b, unsigned point, enum barriers_metric m);
/* Blocks of which anything ran. */
unsigned barriers_begun(const struct barriers *b);
/* Blocks in which reference and control both ended well. */
unsigned barriers_whole_blocks(const struct barriers *b, unsigned point);
/* Do all good runs of a block have the same result? With print, names those that do not. */
bool barriers_results_agree(const struct barriers *b, unsigned point, bool print);
/* Means over young collections of good runs; NaN if there were none. */
double barriers_dirty(const struct barriers *b, unsigned point, unsigned row);
unsigned barriers_failed(const struct barriers *b, unsigned point, unsigned row,
			 const char **error);
/* "trees, size 15" and so on. */
void barriers_point_name(const struct barriers_point *p, char *out, size_t n);
/* Where a point lies on an axis, in words. */
void barriers_stop_name(const struct barriers *b, enum barriers_axis axis, unsigned i, char *out,
			size_t n);

/* The rows that are drawn and in the map: not the control, and not alldirty if there is dirty,
 * which measures the same. */
bool barriers_distinct(const struct barriers *b, unsigned row);

struct barriers_winner {
	unsigned row;             /* n_rows: nothing can be said */
	bool tied[BARRIERS_ROWS]; /* no different from it */
	unsigned ties;
	struct ratio next; /* the best that is not tied, to the winner; NaN: none */
	unsigned next_row;
};
/* What costs least at a point. with_cards: the reference takes part; the control never does. */
struct barriers_winner barriers_winner(const struct barriers *b, unsigned point,
				       enum barriers_metric m, bool with_cards);

void barriers_print(const struct barriers *b, FILE *f);

#endif
