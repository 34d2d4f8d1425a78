/* SPDX-License-Identifier: MIT
 *
 * The reports of cardmark watch at the end. */
#ifndef CARDMARK_WATCH_REPORT_H
#define CARDMARK_WATCH_REPORT_H

#include "tools/watch/tally.h"

#include <stdio.h>

struct watch_result {
	struct tally *tally;
	char **argv;
	char name[256]; /* of what the process became last */
	long pid;
	bool running;  /* watching ended before the program */
	int status;    /* as of wait(2) */
	bool finished; /* the last look was the object's last act */
	double last_s; /* from the last look to the end, of which nothing is known */
	uint32_t forks, execs;
	char became[64];     /* by an exec after which it was not watched; or empty */
	double became_s;     /* how long it was that, at least */
	char failed[256];    /* why it was not watched; empty: it was */
	const char *suspect; /* of this kernel; or NULL */
	FILE *each_look;     /* for --raw: JSON, to be copied; or NULL */
};

void report_text(const struct watch_result *r, FILE *f);
void report_json(const struct watch_result *r, FILE *f);
void report_svg(const struct watch_result *r, FILE *f);

/* "ended with status 1" and the like. */
void report_ending(const struct watch_result *r, char out[80]);
/* Three digits and a unit. */
const char *report_size(double bytes, char out[16]);
/* A time of the axis. */
const char *report_time(double seconds, char out[16]);

#endif
