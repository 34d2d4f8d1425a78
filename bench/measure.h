/* SPDX-License-Identifier: MIT
 *
 * Shared by the programs that measure the library itself. */
#ifndef CM_BENCH_MEASURE_H
#define CM_BENCH_MEASURE_H

#include "common/clock.h"
#include "common/die.h"
#include "common/random.h"

#include <cardmark/cardmark.h>

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts v. */
static inline double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

static inline uint64_t random_under(uint64_t *state, uint64_t n)
{
	return ((random_xorshift(state) >> 32) * n) >> 32;
}

static inline unsigned long parse_number(const char *program, const char *text, unsigned long min,
					 unsigned long max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || v < min || v > max) {
		fprintf(stderr, "%s: \"%s\" is not a number from %lu to %lu\n", program, text, min,
			max);
		exit(2);
	}
	return v;
}

/* An option with a number from min to max; or, with max 0, one that sets it to 1. */
struct number_option {
	const char *name;
	unsigned long *value; /* its default */
	unsigned long min, max;
};
enum { MOST_OPTIONS = 6 };

/* Ends the program after --help, which prints what it does, --version, and on the wrong usage. */
static inline void read_options(int argc, char **argv, const char *what,
				const struct number_option *known, size_t n)
{
	struct option list[MOST_OPTIONS + 3] = { { NULL, 0, NULL, 0 } };
	const char *me = program_invocation_short_name;
	int c, at = 0;

	for (size_t i = 0; i < n; i++)
		list[i] = (struct option){ known[i].name,
					   known[i].max > 0 ? required_argument : no_argument, NULL,
					   'o' };
	list[n] = (struct option){ "help", no_argument, NULL, 'h' };
	list[n + 1] = (struct option){ "version", no_argument, NULL, 'V' };
	while ((c = getopt_long(argc, argv, "hV", list, &at)) != -1) {
		if (c == 'o') {
			*known[at].value =
				known[at].max > 0
					? parse_number(me, optarg, known[at].min, known[at].max)
					: 1;
			continue;
		}
		if (c == 'V') {
			printf("%s %s\n", me, cardmark_version());
			exit(0);
		}
		if (c != 'h')
			exit(2);
		printf("Usage: %s", me);
		for (size_t i = 0; i < n; i++)
			if (known[i].max > 0)
				printf(" [--%s=%lu]", known[i].name, *known[i].value);
			else
				printf(" [--%s]", known[i].name);
		printf("\n%s\n", what);
		exit(0);
	}
}

static inline void print_machine(void)
{
	char line[256], model[128] = "unknown CPU";
	double load[1] = { 0 };
	FILE *f = fopen("/proc/cpuinfo", "re");
	struct utsname u;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (f != NULL)
		fclose(f);
	uname(&u);
	if (getloadavg(load, 1) != 1)
		load[0] = 0;
	printf("%s %s, %s, %ld CPUs, load average %.1f before\n", u.sysname, u.release, model,
	       sysconf(_SC_NPROCESSORS_ONLN), load[0]);
}

/* False, with a message: a comparison with the bare system call is impossible here. */
static inline bool pagemap_is_usable(const char *to_do)
{
	struct cardmark_probe probe = CARDMARK_PROBE_INIT;
	bool usable = cardmark_probe(0, &probe) >= 0 && probe.backend == CARDMARK_BACKEND_PAGEMAP &&
		      probe.usable;

	if (!usable)
		printf("The pagemap backend cannot work here, so there is nothing to %s: %s\n",
		       to_do, probe.reason);
	return usable;
}

#endif
