/* SPDX-License-Identifier: MIT
 * The section of cardmark report about cardmark bench barriers. */
#ifndef CARDMARK_TOOL_REPORT_BARRIERS_H
#define CARDMARK_TOOL_REPORT_BARRIERS_H

#include "tools/bench/barriers.h"

/* ---- barriers.c --------------------------------------------------------------- */

void report_barriers(FILE *f, const struct barriers *b, const char *file);

/* Which of the page's series a distinct row is. */
unsigned report_barriers_series(const struct barriers *b, unsigned row);
void report_barriers_legend(FILE *f, const struct barriers *b);

/* ---- barriers_charts.c, barriers_map.c, barriers_pauses.c --------- */

void report_barriers_sweep(FILE *f, const struct barriers *b, enum barriers_axis axis);
void report_barriers_map(FILE *f, const struct barriers *b);
void report_barriers_pauses(FILE *f, const struct barriers *b);

/* ---- barriers_text.c -------------------------------------------------------------- */

void report_barriers_losses(FILE *f, const struct barriers *b);
void report_barriers_markdown(FILE *f, const struct barriers *b);

/* In how many points a row costs less than software cards, more, or neither. */
struct report_barriers_score {
	unsigned less, more, level, unknown;
};
struct report_barriers_score report_barriers_score(const struct barriers *b, unsigned row,
						   enum barriers_metric m);

#endif
