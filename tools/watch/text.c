/* SPDX-License-Identifier: MIT
 *
 * The report for a terminal of 80 columns without colours. */
#include "tools/watch/report.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { ROWS = 30, COLUMNS = TALLY_BINS / 2, LABEL = 22, LINES = 10 };

const char *report_size(double bytes, char out[16])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned u = 0;

	for (; bytes >= 999.5 && u < 4; u++)
		bytes /= 1024;
	(void)snprintf(out, 16, "%.*f %s",
		       u == 0 || bytes >= 99.95 ? 0
		       : bytes >= 9.995         ? 1
						: 2,
		       bytes, units[u]);
	return out;
}

const char *report_time(double s, char out[16])
{
	(void)snprintf(out, 16, s < 0.9995 ? "%.3g ms" : "%.3g s", s < 0.9995 ? s * 1e3 : s);
	return out;
}

void report_ending(const struct watch_result *r, char out[80])
{
	if (r->running)
		(void)snprintf(out, 80, "goes on");
	else if (WIFSIGNALED(r->status))
		(void)snprintf(out, 80, "was ended by signal %d (%s)", WTERMSIG(r->status),
			       strsignal(WTERMSIG(r->status)));
	else
		(void)snprintf(out, 80, "ended with status %d", WEXITSTATUS(r->status));
}

static void windows(const struct tally *t, FILE *f)
{
	double page = (double)t->page;
	char a[6][16];

	fprintf(f, "%8s %8s %8s %11s %11s %11s %13s\n", "window", "lasted", "number", "median",
		"95 %", "most", "a second");
	for (unsigned i = 0; i < t->n_windows; i++) {
		const struct tally_window *w = &t->window[i];
		double n = w->h.count > 0 ? (double)w->h.count : 1;

		fprintf(f, "%8s %8s %8.0f %11s %11s %11s %11s/s\n",
			report_time((double)w->length_ns * 1e-9, a[0]),
			report_time(w->sum_ns * 1e-9 / n, a[1]), n,
			report_size((double)hist_quantile(&w->h, 0.5) * page, a[2]),
			report_size((double)hist_quantile(&w->h, 0.95) * page, a[3]),
			report_size((double)w->h.max * page, a[4]),
			report_size(w->sum_ns > 0 ? w->h.sum * page / w->sum_ns * 1e9 : 0, a[5]));
	}
}

static int by_looks(const void *a, const void *b)
{
	const struct tally_name *x = *(struct tally_name *const *)a,
				*y = *(struct tally_name *const *)b;

	return x->looks != y->looks ? x->looks < y->looks ? 1 : -1 : strcmp(x->name, y->name);
}

static void where(const struct tally *t, FILE *f)
{
	const struct tally_name *v[TALLY_NAMES] = { NULL };
	unsigned n = 0;
	char a[2][16];

	for (unsigned i = 0; i < t->n_names; i++)
		if (t->name[i].looks > 0)
			v[n++] = &t->name[i];
	qsort(v, n, sizeof *v, by_looks);
	fprintf(f, "\n%-36s %12s %12s %14s\n", "where", "mapped", "written", "of all writes");
	for (unsigned i = 0; i < n && i < LINES; i++)
		fprintf(f, "%-36.36s %12s %12s %12.1f %%\n", v[i]->name,
			report_size((double)v[i]->mapped, a[0]),
			report_size((double)(v[i]->pages * t->page), a[1]),
			100 * (double)v[i]->looks / (double)t->written);
	if (n > LINES)
		fprintf(f, "and %u more, in the JSON report\n", n - LINES);
}

static void heat(const struct tally *t, FILE *f)
{
	static const char marks[] = " .:+*#";
	unsigned bins = tally_bins(t), each = bins > COLUMNS ? 2 : 1;
	size_t n, pages;
	struct tally_row *rows = tally_rows(t, ROWS, &n, &pages);
	double seconds = (double)(t->bin_ns * each) * 1e-9;
	char label[LABEL + 1], a[2][16];

	fprintf(f,
		"\nA row is %s, a column %s. Share of its pages that a look found written:\n"
		". less than 1 %%  : 5 %%  + 20 %%  * 60 %%  # more\n\n",
		report_size((double)(pages * t->page), a[0]), report_time(seconds, a[1]));
	for (size_t i = 0; i < n; i++) {
		*label = '\0';
		if (i == 0 || rows[i].apart)
			(void)snprintf(label, sizeof label, "%012zx %s", (size_t)rows[i].start,
				       rows[i].name);
		fprintf(f, "%-*s|", LABEL, label);
		for (unsigned b = 0; b < bins; b += each)
			fputc(marks[tally_level(tally_mean(t, rows[i].cell, b, each) /
						(double)pages)],
			      f);
		fputs("|\n", f);
	}
	fprintf(f, "%*s0%*s\n", LABEL + 1, "", (int)((bins + each - 1) / each) - 1,
		report_time((double)(t->end_ns - t->begin_ns) * 1e-9, a[0]));
	free(rows);
}

/* Of the longest window that has been often enough. */
static void uses(const struct tally *t, FILE *f)
{
	const struct tally_window *w = &t->window[t->n_windows - 1];
	double page = (double)t->page, second;
	char a[6][16];

	while (w > t->window && w->h.count < 5)
		w--;
	second = w->sum_ns > 0 ? page / w->sum_ns * 1e9 : 0;
	fprintf(f,
		"\nA snapshot every %s would save %s (median), at most %s.\n"
		"A live migration in such rounds needs a link of %s/s, at most %s/s.\n"
		"A save that takes as long as this run copies at most %s.\n",
		report_time(w->sum_ns * 1e-9 / (double)w->h.count, a[0]),
		report_size((double)hist_quantile(&w->h, 0.5) * page, a[1]),
		report_size((double)w->h.max * page, a[2]), report_size(w->h.sum * second, a[3]),
		report_size((double)w->h.max * (double)w->h.count * second, a[4]),
		report_size((double)t->distinct * page, a[5]));
}

static void not_counted(const struct watch_result *r, FILE *f)
{
	const struct tally *t = r->tally;
	char a[16];

	fputs("\nNot counted:\n", f);
	for (unsigned i = 0; i < t->n_names; i++)
		if (t->name[i].refused > 0)
			fprintf(f, "  %s of %s could not be tracked:\n    %s\n",
				report_size((double)t->name[i].refused, a), t->name[i].name,
				t->name[i].why);
	fprintf(f, "  %s of shared memory: only private memory is watched\n",
		report_size((double)t->shared, a));
	fprintf(f, "  %s in %llu pieces that were unmapped: the last writes there\n",
		report_size((double)t->gone, a), (unsigned long long)t->gone_mappings);
	fprintf(f,
		"  at most %llu pages that came and went: this many of %llu page faults\n"
		"    have no written page (most of them are reads)\n",
		(unsigned long long)t->unexplained, (unsigned long long)t->faults);
	if (!r->finished)
		fprintf(f, "  all writes in the last %s, after the last look\n",
			report_time(r->last_s, a));
	if (t->unanswered > 0)
		fprintf(f,
			"  at most %s at a look, of which the kernel did not say what was "
			"written\n",
			report_size((double)t->unanswered, a));
	if (r->forks > 0)
		fprintf(f, "  %u forked children: only the process that was started is watched\n",
			r->forks);
	if (t->failed + t->guessed > 0)
		fprintf(f,
			"%llu looks failed: the next look has their writes, if there is one.\n"
			"%llu pieces count as written as a whole: they were replaced during a "
			"look,\n"
			"or the program took away what is needed to ask.\n",
			(unsigned long long)t->failed, (unsigned long long)t->guessed);
	if (r->suspect != NULL)
		fprintf(f, "This kernel may lose written pages: %s\n", r->suspect);
}

/* Why there is nothing to report; NULL: there is. */
static const char *not_watched(const struct watch_result *r, char out[200])
{
	const struct tally *t = r->tally;

	if (*r->failed != '\0')
		return r->failed;
	if (t->looks == 0 && *r->became != '\0') {
		(void)snprintf(out, 200, "it became %s, which did not load the object", r->became);
		return out;
	}
	if (t->looks == 0)
		return "it ended before the first look, or did not load the object";
	if (t->failed < t->looks)
		return NULL;
	(void)snprintf(out, 200, "what it has mapped could not be read: %s",
		       t->why != 0 ? strerror((int)t->why) : "the kernel did not answer");
	return out;
}

void report_text(const struct watch_result *r, FILE *f)
{
	const struct tally *t = r->tally;
	double seconds = (double)(t->end_ns - t->begin_ns) * 1e-9;
	char ending[80], reason[200], a[3][16];
	const char *why = not_watched(r, reason);

	report_ending(r, ending);
	fprintf(f, "\n%s (process %ld) %s.\n", r->name, r->pid, ending);
	if (!r->running && WIFSIGNALED(r->status) && WTERMSIG(r->status) == SIGSYS)
		fprintf(f, "If it has a seccomp filter, that may forbid what the object calls.\n");
	if (why != NULL) {
		fprintf(f, "It was not watched: %s.\n", why);
		return;
	}
	if (*r->became != '\0')
		fprintf(f,
			"For its last %s it was %s, by exec. That did not load the object,\n"
			"and was not watched: what follows is of %s.\n",
			report_time(r->became_s, a[0]), r->became, r->name);
	if (r->execs > 0)
		fprintf(f, "It became this program by exec; the one before is left out.\n");
	fprintf(f, "Watched for %s: %llu looks, %s apart (mean), at most %s.\n",
		report_time(seconds, a[0]), (unsigned long long)t->looks,
		report_time(seconds / (double)t->looks, a[1]),
		report_time((double)t->longest_ns * 1e-9, a[2]));
	if (t->put_off > 0)
		fprintf(f, "%llu were put off, so that watching takes about a tenth of the time.\n",
			(unsigned long long)t->put_off);
	if (seconds > 0)
		fprintf(f,
			"Looking took %.1f %% of a processor, and the faults that it causes at "
			"most\n"
			"%.1f %%: one for each written page, about %.1f us each here.\n",
			100 * (double)t->cpu_ns * 1e-9 / seconds,
			100 * (double)(t->written * t->last.fault_ns) * 1e-9 / seconds,
			(double)t->last.fault_ns * 1e-3);
	fprintf(f, "Of %s of private writable memory, %s was written.\n\n",
		report_size((double)t->mapped, a[0]),
		report_size((double)(t->distinct * t->page), a[1]));
	windows(t, f);
	if (t->written > 0) {
		where(t, f);
		heat(t, f);
		uses(t, f);
	}
	not_counted(r, f);
}
