/* SPDX-License-Identifier: MIT
 *
 * Description: random programs, checked after every answer; the ones that failed in the past
 * run first. A program that fails is made smaller and printed.
 *
 * PROGRAM [BACKEND] [--seed=N] [--ops=N] [--threads=N] [--seconds=S] [--seeds=K]
 *         [--backend=B] [--print] [--no-shrink]
 * PROGRAM --replay FILE [BACKEND]
 * PROGRAM --soak --seconds=S [--seed=N]     all backends that work here, in turn */
#include "tests/soundness/random/program.h"

#include "common/clock.h"
#include "tests/support/backends.h"
#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <dirent.h>
#include <getopt.h>
#include <string.h>
#include <time.h>

#define SLICE_SECONDS 20.0 /* a backend's turn in a soak */
#define PROGRESS_SECONDS 10.0
#define SHRINK_RUNS 4000

static struct settings {
	enum cardmark_backend backend;
	const char *name;
	uint64_t seed;
	unsigned ops, threads, seeds;
	double seconds;
	bool print, no_shrink;
} settings = { .ops = 120 };

static struct cardmark_probe probes[PROBES];
static int n_probes;

static const struct cardmark_probe *probe_of(enum cardmark_backend backend)
{
	for (int i = 0; i < n_probes; i++)
		if (probes[i].backend == backend)
			return &probes[i];
	return NULL;
}

/* ---- One program ------------------------------------------------------------------ */

static void show_failure(const struct program *p, const struct outcome *out, const char *backend)
{
	tap_note("%s seed %llu: %s at operation %u: %s", backend, (unsigned long long)p->seed,
		 verdict_name(out->verdict), out->op, out->text);
}

static void shrink_and_print(struct program *p, enum cardmark_backend backend,
			     const struct outcome *found)
{
	struct outcome out;
	unsigned runs;

	if (settings.no_shrink || found->verdict == VERDICT_BROKEN)
		return;
	runs = program_shrink(p, backend, found->verdict, SHRINK_RUNS);
	program_run(p, backend, &out);
	tap_note("after %u runs %u operations are left; they end with: %s %s", runs, p->n,
		 verdict_name(out.verdict), out.text);
	program_print(stdout, p);
	(void)fflush(stdout);
}

/* True if it was fine. */
static bool run_seed(uint64_t seed, const struct cardmark_probe *probe, struct counts *sum)
{
	static struct program p;
	const char *name = cardmark_backend_name(probe->backend);
	struct outcome out;

	program_make(&p, seed, settings.ops, settings.threads, probe->capabilities);
	if (settings.print)
		program_print(stdout, &p);
	program_run(&p, probe->backend, &out);
	counts_add(sum, &out.counts);
	if (out.verdict == VERDICT_FINE)
		return true;
	show_failure(&p, &out, name);
	shrink_and_print(&p, probe->backend, &out);
	return false;
}

/* ---- Kept programs ------------------------------------------------------------------ */

static void replay(const char *path, enum cardmark_backend backend)
{
	static struct program p;
	const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
	const char *wrong = NULL;
	struct outcome out;
	FILE *in = fopen(path, "r");

	if (in == NULL)
		wrong = "cannot be opened";
	else
		wrong = program_parse(in, &p);
	if (in != NULL)
		(void)fclose(in);
	if (wrong != NULL) {
		tap_note("%s: operation %u: %s", path, p.n, wrong);
		tap_line(false, settings.name, name, NULL);
		return;
	}
	program_run(&p, backend, &out);
	if (out.verdict != VERDICT_FINE)
		show_failure(&p, &out, cardmark_backend_name(backend));
	tap_line(out.verdict == VERDICT_FINE, settings.name, name, NULL);
}

static int is_text(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 4 && strcmp(e->d_name + n - 4, ".txt") == 0;
}

static void replay_kept(enum cardmark_backend backend)
{
	const char *srcdir = getenv("CARDMARK_SRCDIR");
	struct dirent **list;
	char path[4096];
	int n;

	if (srcdir == NULL)
		return; /* not under make check */
	(void)snprintf(path, sizeof path, "%s/tests/soundness/random/programs", srcdir);
	n = scandir(path, &list, is_text, alphasort);
	if (n <= 0)
		tap_line(false, settings.name, "the kept programs are found", NULL);
	for (int i = 0; i < n; i++) {
		(void)snprintf(path, sizeof path, "%s/tests/soundness/random/programs/%s", srcdir,
			       list[i]->d_name);
		replay(path, backend);
		free(list[i]);
	}
	if (n > 0)
		free(list);
}

/* ---- Many --------------------------------------------------------------------------- */

static bool run_for(const struct cardmark_probe *probe, double seconds, unsigned seeds,
		    uint64_t *seed, struct counts *sum)
{
	const char *name = cardmark_backend_name(probe->backend);
	double end = cm_now_seconds() + seconds, tell = cm_now_seconds() + PROGRESS_SECONDS;
	bool fine = true;

	for (unsigned n = 0; seeds != 0 ? n < seeds : cm_now_seconds() < end; n++) {
		fine &= run_seed((*seed)++, probe, sum);
		if (!fine)
			break;
		if (cm_now_seconds() >= tell) {
			counts_print(name, sum);
			tell = cm_now_seconds() + PROGRESS_SECONDS;
		}
	}
	return fine;
}

static void run_random(const struct cardmark_probe *probe)
{
	struct counts sum = { 0 };
	uint64_t seed = settings.seed;
	char name[96];
	bool fine = run_for(probe, settings.seconds, settings.seeds, &seed, &sum);

	counts_print(settings.name, &sum);
	(void)snprintf(name, sizeof name, "random programs from seed %llu",
		       (unsigned long long)settings.seed);
	/* Programs that changed nothing, or had no answer, prove nothing. */
	tap_line(fine && sum.lost == 0 && sum.changed > 0 && sum.collects > 0, settings.name, name,
		 NULL);
}

/* Backends in turn, each with its own count, until the time is up. */
static int soak(void)
{
	struct counts sums[PROBES] = { 0 };
	uint64_t seeds[PROBES];
	double start = cm_now_seconds();
	int failures = 0, usable = 0;

	for (int i = 0; i < n_probes; i++) {
		seeds[i] = settings.seed;
		usable += probes[i].usable;
		if (!probes[i].usable)
			tap_note("skipped: %s: %s", cardmark_backend_name(probes[i].backend),
				 probes[i].reason);
	}
	while (cm_now_seconds() - start < settings.seconds) {
		double slice = settings.seconds / usable;

		for (int i = 0; i < n_probes && cm_now_seconds() - start < settings.seconds; i++) {
			if (!probes[i].usable)
				continue;
			failures +=
				!run_for(&probes[i], slice < SLICE_SECONDS ? slice : SLICE_SECONDS,
					 0, &seeds[i], &sums[i]);
			tap_note("%.0f of %.0f s", cm_now_seconds() - start, settings.seconds);
			counts_print(cardmark_backend_name(probes[i].backend), &sums[i]);
		}
	}
	tap_note("in all, from seed %llu:", (unsigned long long)settings.seed);
	for (int i = 0; i < n_probes; i++)
		if (probes[i].usable)
			counts_print(cardmark_backend_name(probes[i].backend), &sums[i]);
	tap_note("%d programs failed", failures);
	return failures == 0 ? 0 : 1;
}

static const struct option long_options[] = {
	{ "backend", required_argument, NULL, 'b' },
	{ "seed", required_argument, NULL, 's' },
	{ "seconds", required_argument, NULL, 't' },
	{ "seeds", required_argument, NULL, 'n' },
	{ "ops", required_argument, NULL, 'o' },
	{ "threads", required_argument, NULL, 'j' },
	{ "replay", required_argument, NULL, 'r' },
	{ "print", no_argument, NULL, 'p' },
	{ "no-shrink", no_argument, NULL, 'x' },
	{ "soak", no_argument, NULL, 'k' },
	{ NULL, 0, NULL, 0 },
};

int main(int argc, char **argv)
{
	const char *seed_text = NULL, *file = NULL;
	const struct cardmark_probe *probe;
	bool soaks = false;
	int c;

	settings.name = "auto";
	settings.seconds = random_seconds(3);
	while ((c = getopt_long(argc, argv, "b:s:t:n:o:j:r:pxk", long_options, NULL)) != -1) {
		switch (c) {
		case 'b':
			settings.name = optarg;
			break;
		case 's':
			seed_text = optarg;
			break;
		case 't':
			settings.seconds = strtod(optarg, NULL);
			break;
		case 'n':
			settings.seeds = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'o':
			settings.ops = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'j':
			settings.threads = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			file = optarg;
			break;
		case 'p':
			settings.print = true;
			break;
		case 'x':
			settings.no_shrink = true;
			break;
		case 'k':
			soaks = true;
			break;
		default:
			return 2;
		}
	}
	if (optind < argc)
		settings.name = argv[optind];
	if (settings.threads > PROGRAM_THREADS ||
	    cardmark_backend_parse(settings.name, &settings.backend) < 0)
		return 2;
	n_probes = probe_all(probes);
	if (soaks) {
		settings.seed = random_seed(seed_text);
		return soak();
	}
	for (int i = 0; settings.backend == CARDMARK_BACKEND_AUTO && i < n_probes; i++)
		if (probes[i].usable)
			settings.backend = probes[i].backend;
	probe = probe_of(settings.backend);
	if (probe == NULL || !probe->usable) {
		tap_line(!tap_required(settings.name), settings.name, "usable here",
			 probe == NULL ? "not in the probe's table" : probe->reason);
		return tap_status();
	}
	if (file != NULL) {
		replay(file, probe->backend);
		return tap_status();
	}
	settings.seed = random_seed(seed_text);
	replay_kept(probe->backend);
	run_random(probe);
	return tap_status();
}
