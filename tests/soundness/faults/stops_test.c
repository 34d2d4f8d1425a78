/* SPDX-License-Identifier: MIT
 *
 * Description: kernel calls that stop their thread. In one call of ours one kernel call stops
 * its thread, the caller's or a helper's, for 30 ms, before or after its effect. Meanwhile
 * another thread writes, asks, forks or takes the memory over, or a signal handler runs in the
 * stopped thread. Nothing may be lost, crash or hang. Then the same in fork children, and for
 * each scenario of inject_test. Controls: a broken rule is found.
 *
 * PROGRAM [BACKEND] [--all] [--seed=N] [--only=WHAT] [--stop=CALL,N,HOW]
 * --all, or CARDMARK_STOPS=all: every place. CARDMARK_STOPS=N: at most N places for each
 * pair of things that go on (12). A failure prints the options that repeat it. */
#include "tests/soundness/faults/attempt.h"
#include "tests/soundness/faults/duel.h"
#include "tests/soundness/faults/sweep.h"
#include "tests/soundness/faults/trial.h"

#include "tests/support/inject_os.h"
#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 12 /* they sleep for most of their time */
#define MOST_JOBS 1000
#define STOP_MS 30
#define HANDLER_STOP_MS 4 /* the handler runs during the stop or not at all */
#define TIMEOUT_MS 30000
/* Of each job, in the quick mode. Sanitized children are slow. */
#define PLACES (TAP_ASAN ? 3ul : 12ul)
#define MOST_NTH 100

static const char *const place_names[DUEL_PLACES] = { "here", "fork child", "raw child" };

struct job {
	const struct scenario *scenario; /* or: */
	struct duel duel;
};

struct result {
	unsigned long run, stopped, left_out, bad;
	bool hung; /* that is enough of it */
	char text[768];
};

static struct {
	uint64_t seed;
	struct job jobs[MOST_JOBS];
	size_t n;
	struct result *results; /* MAP_SHARED */
} run;

static const char *name_of(const struct job *j)
{
	static char text[160];

	if (j->scenario != NULL)
		(void)snprintf(text, sizeof text, "scenario %s", j->scenario->name);
	else
		(void)snprintf(text, sizeof text, "%s / %s / %s / %u", j->duel.call->name,
			       j->duel.other->name, place_names[j->duel.place], j->duel.threads);
	return text;
}

/* ---- One run ------------------------------------------------------------------------ */

static struct verdict try_job(const struct job *j, const struct inject_fault *f)
{
	duel = j->duel;
	return attempt(j->scenario != NULL ? j->scenario->act : duel_act, sweep.backend,
		       sweep.capabilities, f, TIMEOUT_MS);
}

static struct inject_fault stop_of(const struct job *j)
{
	bool handler = j->scenario == NULL && j->duel.other->handler;

	return (struct inject_fault){ .how = INJECT_BEFORE,
				      .stop_ms = handler ? HANDLER_STOP_MS : STOP_MS,
				      .signal = handler };
}

static void note(struct result *r, const struct job *j, const struct inject_fault *f,
		 const struct verdict *v)
{
	r->hung |= v->outcome == HUNG;
	if (r->bad++ > 0)
		return;
	(void)snprintf(r->text, sizeof r->text, "%s: %s: %s (--only='%s' --stop=%s,%u,%u)",
		       name_of(j), outcome_names[v->outcome], v->text, name_of(j),
		       inject_name(f->call), f->nth, f->how);
}

static void try_stop(const struct job *j, const struct inject_fault *f, struct result *r)
{
	struct verdict v;

	if (r->hung)
		return;
	v = try_job(j, f);
	r->run++;
	r->stopped += atomic_load(&inject->stopped) != 0;
	if (v.outcome != FINE)
		note(r, j, f, &v);
}

/* Counts the calls without a stop. */
static bool count_calls(const struct job *j, unsigned *counts, struct result *r)
{
	const struct inject_fault none = { .nth = 0 };
	struct verdict v = try_job(j, &none);

	for (size_t i = 0; i < INJECT_COUNT; i++) {
		counts[i] = atomic_load(&inject->calls[i]);
		if (counts[i] > MOST_NTH)
			counts[i] = MOST_NTH;
	}
	if (v.outcome != FINE)
		note(r, j, &none, &v);
	return v.outcome == FINE;
}

static void try_all(const struct job *j, const unsigned *counts, struct result *r)
{
	struct inject_fault f = stop_of(j);

	for (f.call = 0; f.call < INJECT_COUNT; f.call++)
		for (f.nth = 1; f.nth <= counts[f.call]; f.nth++)
			for (f.how = INJECT_BEFORE; f.how <= INJECT_AFTER; f.how <<= 1)
				try_stop(j, &f, r);
}

/* Each called function is equally likely, then each of its calls. */
static void try_some(const struct job *j, const unsigned *counts, uint64_t *rng, struct result *r)
{
	struct inject_fault f = stop_of(j);
	enum inject_call called[INJECT_COUNT];
	size_t n = 0;

	for (enum inject_call call = 0; call < INJECT_COUNT; call++) {
		if (counts[call] != 0)
			called[n++] = call;
		r->left_out += 2ul * counts[call];
	}
	for (unsigned long i = 0; n != 0 && i < sweep.most; i++) {
		f.call = called[random_below(rng, n)];
		f.nth = 1 + (unsigned)random_below(rng, counts[f.call]);
		f.how = random_below(rng, 2) == 0 ? INJECT_BEFORE : INJECT_AFTER;
		try_stop(j, &f, r);
	}
	r->left_out -= r->run < r->left_out ? r->run : r->left_out;
}

static void do_job(size_t i)
{
	uint64_t rng = run.seed + i * 1000003;
	unsigned counts[INJECT_COUNT];
	struct result *r = &run.results[i];

	if (!count_calls(&run.jobs[i], counts, r))
		return;
	if (sweep.all)
		try_all(&run.jobs[i], counts, r);
	else
		try_some(&run.jobs[i], counts, &rng, r);
}

/* ---- All of them ------------------------------------------------------------------------ */

static void add_job(const struct job *j)
{
	if (sweep.only != NULL && strcmp(sweep.only, name_of(j)) != 0)
		return;
	if (run.n == MOST_JOBS)
		abort();
	run.jobs[run.n++] = *j;
}

static void add_scenarios(bool cold)
{
	for (size_t i = 0; i < n_scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		struct job j = { .scenario = s };

		if (s->cold == cold && (s->needs & ~sweep.capabilities) == 0 &&
		    (!s->once || sweep.backend == CARDMARK_BACKEND_ALLDIRTY))
			add_job(&j);
	}
}

static void add_duels(void)
{
	for (int place = 0; place < DUEL_PLACES; place++)
		for (size_t c = 0; c < n_duel_calls; c++)
			for (size_t o = 0; o < n_duel_others; o++)
				for (unsigned threads = 1; threads <= 3; threads += 2) {
					struct job j = { .duel = { .call = &duel_calls[c],
								   .other = &duel_others[o],
								   .place = (enum duel_place)place,
								   .threads = threads } };

					if (duel_fits(&j.duel, sweep.capabilities,
						      sweep.backend == CARDMARK_BACKEND_SOFTDIRTY))
						add_job(&j);
				}
}

static void run_jobs(void)
{
	pid_t workers[WORKERS];
	bool ended = true;

	(void)fflush(stdout);
	for (size_t w = 0; w < WORKERS; w++) {
		workers[w] = fork();
		if (workers[w] == 0) {
			inject_set_up(); /* its own */
			for (size_t i = w; i < run.n; i += WORKERS)
				do_job(i);
			_exit(0);
		}
	}
	for (size_t w = 0; w < WORKERS; w++) {
		int status = -1;

		ended &= workers[w] > 0 && waitpid(workers[w], &status, 0) == workers[w] &&
			 status == 0;
	}
	if (!ended)
		tap_line(false, sweep.name, "the runner comes to its end", NULL);
}

/* A line for all of one call in one place. */
static bool same_line(const struct job *a, const struct job *b)
{
	return a->scenario == b->scenario && a->duel.call == b->duel.call &&
	       a->duel.place == b->duel.place;
}

static void print_line(size_t from, size_t to)
{
	const struct job *j = &run.jobs[from];
	struct result sum = { 0 };
	char name[160];

	for (size_t i = from; i < to; i++) {
		const struct result *r = &run.results[i];

		if (r->bad != 0)
			tap_note("%s: %lu of %lu: %s", sweep.name, r->bad, r->run, r->text);
		sum.run += r->run;
		sum.stopped += r->stopped;
		sum.left_out += r->left_out;
		sum.bad += r->bad;
	}
	if (j->scenario != NULL)
		(void)snprintf(name, sizeof name, "%s, stopped in its kernel calls",
			       j->scenario->name);
	else
		(void)snprintf(
			name, sizeof name,
			"%s stopped in its kernel calls (%s), with %zu other things going on",
			j->duel.call->name, place_names[j->duel.place], to - from);
	tap_note("%s, %s: %lu runs, %lu of them stopped, %lu places left out, %lu bad", sweep.name,
		 name, sum.run, sum.stopped, sum.left_out, sum.bad);
	tap_line(sum.bad == 0, sweep.name, name, NULL);
}

static void print_jobs(void)
{
	unsigned long stopped = 0;

	for (size_t from = 0, to; from < run.n; from = to) {
		for (to = from; to < run.n && same_line(&run.jobs[from], &run.jobs[to]); to++)
			stopped += run.results[to].stopped;
		print_line(from, to);
	}
	/* Runs that stopped no thread prove nothing. */
	if (sweep.only == NULL)
		tap_line(stopped > run.n, sweep.name, "most runs stop somebody", NULL);
}

static void do_all(void)
{
	run_jobs();
	print_jobs();
	memset(run.results, 0, MOST_JOBS * sizeof *run.results);
	run.n = 0;
}

/* ---- Controls ------------------------------------------------------------------------------ */

static const struct duel_side *side(const struct duel_side *sides, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(sides[i].name, name) == 0)
			return &sides[i];
	abort();
}

static struct job make(const char *call, const char *other, enum duel_place place, unsigned threads,
		       enum duel_fault fault)
{
	return (struct job){ .duel = { .call = side(duel_calls, n_duel_calls, call),
				       .other = side(duel_others, n_duel_others, other),
				       .place = place,
				       .threads = threads,
				       .fault = fault } };
}

static bool loses(const struct job *j, const struct inject_fault *f)
{
	struct verdict v = try_job(j, f);

	return v.outcome == COMPLAINED && strncmp(v.text, "LOST", 4) == 0;
}

/* A helper stops before its first scan, and the collect does not wait for it. */
static void a_debt_that_is_forgotten(void)
{
	struct job j = make("collect", "another tracker", DUEL_HERE, 3, DUEL_FORGETS);
	struct job sound = make("collect", "another tracker", DUEL_HERE, 3, DUEL_SOUND);
	struct inject_fault f = stop_of(&j);
	int tries = 0;
	struct verdict kept;
	bool lost = false;

	f.call = INJECT_scan;
	f.nth = 1;
	f.in_helper = true;
	f.stop_ms = 5000; /* until the other tracker has the memory */
	while (!lost && tries++ < 20)
		lost = loses(&j, &f);
	kept = try_job(&sound, &f);
	tap_note("%s: found lost in run %d; without the fault: %s", sweep.name, tries,
		 outcome_names[kept.outcome]);
	tap_line(kept.outcome == FINE && atomic_load(&inject->stopped) == 1, sweep.name,
		 "a helper that is late until another tracker has the memory", NULL);
	tap_line(lost, sweep.name,
		 "control: a tracker that does not pay what a late helper owes loses writes", NULL);
}

static void inherited_descriptors(enum duel_place place)
{
	struct job j = make("collect", "stores", place, 1, DUEL_INHERITS);
	const struct inject_fault none = { .nth = 0 };
	char name[128];

	(void)snprintf(name, sizeof name,
		       "control: a %s that asks through its parent's descriptors loses writes",
		       place_names[place]);
	tap_line(loses(&j, &none), sweep.name, name, NULL);
}

/* The failures of the call by which each backend learns of writes, hidden from the library. */
static void errors_taken_as_clean(void)
{
	struct job j = make("collect", "stores", DUEL_HERE, 1, DUEL_SOUND);
	struct inject_fault f = {
		.call = INJECT_scan, .how = INJECT_AFTER, .error = -EFAULT, .lie = true
	};
	bool lost = false;

	if (sweep.backend == CARDMARK_BACKEND_MPROTECT) {
		f.call = INJECT_mprotect;
		f.how = INJECT_BEFORE;
	} else if (sweep.backend != CARDMARK_BACKEND_PAGEMAP) {
		/* Unread events stay, and may be read later. */
		f.call = INJECT_pread;
		f.on = true;
		j.duel.fault = DUEL_READS_NOTHING;
	}
	for (f.nth = 1; f.nth <= 40 && !lost; f.nth++)
		lost = loses(&j, &f);
	tap_line(lost, sweep.name, "control: an error taken as clean loses writes", NULL);
}

static void run_controls(void)
{
	const struct inject_fault none = { .nth = 0 };

	for (size_t i = 0; i < n_bad_scenarios; i++) {
		const struct bad_scenario *s = &bad_scenarios[i];
		struct verdict v;
		char name[96];

		if ((s->needs & ~sweep.capabilities) != 0)
			continue;
		v = attempt(s->act, sweep.backend, sweep.capabilities, &none,
			    s->outcome == HUNG ? 500 : TIMEOUT_MS);
		(void)snprintf(name, sizeof name, "control: a scenario that %s is found", s->does);
		tap_line((int)v.outcome == s->outcome, sweep.name, name, NULL);
	}
	if (sweep.backend == CARDMARK_BACKEND_ALLDIRTY)
		return; /* loses nothing, whichever rule is broken */
	errors_taken_as_clean();
	if (sweep.backend != CARDMARK_BACKEND_PAGEMAP)
		return;
	a_debt_that_is_forgotten();
	inherited_descriptors(DUEL_FORK_CHILD);
	inherited_descriptors(DUEL_RAW_CHILD);
}

/* ---- The program ------------------------------------------------------------------------------
 */

/* CALL,N,HOW as a failure prints it, of the jobs that --only has left. */
static void run_one(void)
{
	struct inject_fault f = { .nth = 0 };

	if (sweep_read_place(sweep.place, &f) == 0)
		exit(2);
	for (size_t i = 0; i < run.n; i++) {
		struct result r = { 0 };
		struct inject_fault stop = stop_of(&run.jobs[i]);

		stop.call = f.call;
		stop.nth = f.nth;
		stop.how = f.how;
		try_stop(&run.jobs[i], &stop, &r);
		if (r.bad != 0)
			tap_note("%s: %s", sweep.name, r.text);
		tap_line(r.bad == 0, sweep.name, name_of(&run.jobs[i]), NULL);
	}
}

static void run_all(void)
{
	if (sweep.place == NULL) {
		add_scenarios(true);
		do_all();
	}
	tap_line(sweep_warm_up(), sweep.name, "opens", NULL);
	add_scenarios(false);
	add_duels();
	if (sweep.place != NULL) {
		run_one();
		return;
	}
	do_all();
	if (sweep.only == NULL)
		run_controls();
}

int main(int argc, char **argv)
{
	if (!sweep_read_arguments(argc, argv, "CARDMARK_STOPS", random_rounds(PLACES, 1), "stop") ||
	    sweep.most == 0)
		return 2;
	run.results = mmap(NULL, MOST_JOBS * sizeof *run.results, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.results == MAP_FAILED)
		abort();
	inject_set_up();
	if (!sweep_usable())
		return tap_status();
	if (TAP_TSAN) {
		tap_line(true, sweep.name, "calls that stop",
			 "the thread sanitizer supports no new thread in a fork child");
		return tap_status();
	}
	run.seed = random_seed(sweep.seed);
	run_all();
	return tap_status();
}
