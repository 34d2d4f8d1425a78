/* SPDX-License-Identifier: MIT
 * The progress line on standard error, the clock, and random orders. */
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/random.h"
#include "tools/bench/bench.h"

double bench_now(void)
{
	return (double)cm_now_ns() / 1e9;
}

struct bench_progress bench_begin_progress(double begin)
{
	return (struct bench_progress){ .begin = begin, .tty = isatty(STDERR_FILENO) == 1 };
}

/* What a terminal's line holds without breaking, which \r could not overwrite. */
static size_t line_width(void)
{
	struct winsize size = { 0 };

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
		return 79;
	return size.ws_col - 1u;
}

void bench_show_progress(struct bench_progress *p, double left, const char *format, ...)
{
	char what[192], line[256], time[48] = "";
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof what, format, ap);
	va_end(ap);
	if (left >= 0)
		snprintf(time, sizeof time, ", about %.0f s left", left);
	snprintf(line, sizeof line, "%s%s (%.0f s so far%s)",
		 p->tty ? "" : "cardmark bench: ", what, bench_now() - p->begin, time);
	if (p->tty) {
		size_t most = line_width();

		if (strlen(line) > most)
			line[most] = '\0';
		/* A window that became narrower has broken the line before already. */
		fprintf(stderr, "\r%-*s", (int)(p->width < most ? p->width : most), line);
		p->width = strlen(line);
	} else {
		fprintf(stderr, "%s\n", line);
	}
	fflush(stderr);
}

void bench_end_progress(const struct bench_progress *p)
{
	if (p->tty)
		fprintf(stderr, "\r%-*s\r", (int)p->width, "");
}

void bench_shuffle(unsigned *order, unsigned n, uint64_t *state)
{
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned j = (unsigned)random_below(state, i), was = order[j];

		order[j] = order[i - 1];
		order[i - 1] = was;
	}
}
