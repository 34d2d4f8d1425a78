/* SPDX-License-Identifier: MIT
 *
 * What the fault injection runs: uses of the library, each in a process of its own, and bad
 * ones that the frame must notice. */
#ifndef CM_TESTS_SCENARIOS_H
#define CM_TESTS_SCENARIOS_H

#include <stdbool.h>
#include <stddef.h>

struct scenario {
	const char *name;
	void (*act)(void);
	unsigned needs; /* enum cardmark_capability */
	bool cold;      /* in a process that has not probed yet */
	bool once;      /* the same for every backend */
};

extern const struct scenario scenarios[];
extern const size_t n_scenarios;

/* Bad ones. */
struct bad_scenario {
	const char *does;
	void (*act)(void);
	unsigned needs;   /* enum cardmark_capability */
	int outcome;      /* enum outcome */
	const char *text; /* in its complaint */
};

enum outcome { FINE, COMPLAINED, CRASHED, HUNG };

extern const struct bad_scenario bad_scenarios[];
extern const size_t n_bad_scenarios;

/* The scenarios in which an error taken as clean must be noticed: for the tracker, and for
 * consumers. */
void scenario_collect(void);
void scenario_consumers(void);

#endif
