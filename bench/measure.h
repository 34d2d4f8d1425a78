/* SPDX-License-Identifier: MIT
 *
 * What the programs share that measure the library itself. */
#ifndef CM_BENCH_MEASURE_H
#define CM_BENCH_MEASURE_H

#include "common/clock.h"
#include "common/die.h"
#include "common/random.h"

#include <cardmark/cardmark.h>

#include <errno.h>
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

/* False, with words: what compares with the bare system call has nothing to do here. */
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
