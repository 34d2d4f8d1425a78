/* SPDX-License-Identifier: MIT
 *
 * Description: fault injection. Each scenario runs many times, each time in a fresh process
 * and with another kernel call failing: every function of the seam, every call of it, without
 * and after its effect (R3), once or from then on. Nothing may be lost, crash, hang, leak, or
 * go wrong without an error, and once the fault is gone the answers become exact again.
 * Controls show that the frame notices each of these.
 *
 * PROGRAM [BACKEND] [--all] [--seed=N] [--only=SCENARIO] [--fault=CALL,N,HOW,ERRNO,ON]
 * --all, or CARDMARK_INJECT=all: every error for every call, and no sampling.
 * CARDMARK_INJECT=N: at most N runs for each scenario (400; at least 12). */
#include "tests/soundness/faults/attempt.h"
#include "tests/soundness/faults/scenarios.h"
#include "tests/soundness/faults/sweep.h"
#include "tests/soundness/faults/trial.h"

#include "tests/support/inject_os.h"
#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rng;

/* ---- Every fault ------------------------------------------------------------------------- */

#define TIMEOUT_MS 20000

static const int errors[] = { -EPERM, -EFAULT, -ENOMEM, -EINTR, -EAGAIN,
			      -EBADF, -ENOSYS, -EINVAL, -EBUSY };
#define N_ERRORS (sizeof errors / sizeof *errors)

struct tally {
	unsigned long planned, run, fired, bad, left_out;
};

static const char *how_name(unsigned how)
{
	return how == INJECT_BEFORE  ? "without effect"
	       : how == INJECT_AFTER ? "after its effect"
				     : "short";
}

static void try_fault(const struct scenario *s, const struct inject_fault *f, struct tally *tally)
{
	struct verdict v = attempt(s->act, sweep.backend, sweep.capabilities, f, TIMEOUT_MS);

	tally->run++;
	tally->fired += atomic_load_explicit(&inject->fired, memory_order_relaxed) != 0;
	if (v.outcome == FINE)
		return;
	if (tally->bad++ < 10)
		tap_note("%s, %s: call %u of %s%s fails %s with errno %d: %s: %s "
			 "(--only='%s' --fault=%s,%u,%u,%d,%d)",
			 sweep.name, s->name, f->nth, inject_name(f->call), f->on ? " and on" : "",
			 how_name(f->how), -f->error, outcome_names[v.outcome], v.text, s->name,
			 inject_name(f->call), f->nth, f->how, -f->error, f->on);
}

/* The softdirty backend looks at a thousand numbers in a row. */
static bool is_more_of_the_same(enum inject_call call, unsigned nth, unsigned count)
{
	return call == INJECT_fd_is && nth > 32 && nth + 32 < count;
}

/* EBADF means "it is closed". No kernel returns that for an open descriptor: a caller that
 * believes it leaves a userfaultfd open, which keeps its memory. */
static bool is_a_lie(enum inject_call call, int error)
{
	return call == INJECT_fd_id && error == -EBADF;
}

/* Calls fn for each fault that the counted calls allow. In the quick mode each place gets one
 * error, a different one each time. */
static void for_each_fault(const unsigned *counts, const struct scenario *s,
			   void (*fn)(const struct scenario *s, const struct inject_fault *f,
				      struct tally *tally),
			   struct tally *tally)
{
	size_t turn = 0;

	for (enum inject_call call = 0; call < INJECT_COUNT; call++)
		for (unsigned how = INJECT_BEFORE; how <= INJECT_SHORT; how <<= 1) {
			/* A short count has no error. */
			size_t n_errors = sweep.all && how != INJECT_SHORT ? N_ERRORS : 1;

			for (unsigned i = 0; (inject_hows(call) & how) && i < 2 * counts[call];
			     i++) {
				if (is_more_of_the_same(call, i / 2 + 1, counts[call])) {
					tally->left_out++;
					continue;
				}
				for (size_t e = 0; e < n_errors; e++) {
					struct inject_fault f = {
						.call = call,
						.nth = i / 2 + 1,
						.on = i % 2 != 0,
						.how = how,
						.error =
							errors[(sweep.all ? e : turn++) % N_ERRORS],
					};
					if (!is_a_lie(f.call, f.error))
						fn(s, &f, tally);
				}
			}
		}
}

static void count_fault(const struct scenario *s, const struct inject_fault *f, struct tally *tally)
{
	(void)s;
	(void)f;
	tally->planned++;
}

/* Sanitized children are slow. */
#define MOST (TAP_ASAN || TAP_TSAN ? 60ul : 400ul)
#define LEAST 12ul /* more than those that must be reached */
#define REACHED 5ul

static void sample_fault(const struct scenario *s, const struct inject_fault *f,
			 struct tally *tally)
{
	/* Each place is equally likely, and as many run as allowed. */
	if (!sweep.all && random_below(&rng, tally->planned--) >= sweep.most - tally->run)
		tally->left_out++;
	else
		try_fault(s, f, tally);
}

static void run_scenario(const struct scenario *s)
{
	const struct inject_fault none = { .nth = 0 };
	struct verdict v = attempt(s->act, sweep.backend, sweep.capabilities, &none, TIMEOUT_MS);
	unsigned counts[INJECT_COUNT];
	struct tally tally = { 0 };
	char name[96];

	if (v.outcome != FINE) {
		tap_note("%s, %s, without a fault: %s: %s", sweep.name, s->name,
			 outcome_names[v.outcome], v.text);
		tap_line(false, sweep.name, s->name, NULL);
		return;
	}
	for (size_t i = 0; i < INJECT_COUNT; i++)
		counts[i] = atomic_load_explicit(&inject->calls[i], memory_order_relaxed);
	for_each_fault(counts, s, count_fault, &tally);
	tally.left_out = 0;
	for_each_fault(counts, s, sample_fault, &tally);
	tap_note("%s, %s: %lu injections, %lu of them reached, %lu left out, %lu bad", sweep.name,
		 s->name, tally.run, tally.fired, tally.left_out, tally.bad);
	(void)snprintf(name, sizeof name, "%s, with every kernel call failing", s->name);
	/* A run that injected nothing proves nothing. */
	tap_line(tally.bad == 0 && tally.fired > REACHED, sweep.name, name, NULL);
}

/* ---- Controls ------------------------------------------------------------------------------ */

static void expect(const struct bad_scenario *s)
{
	const struct inject_fault none = { .nth = 0 };
	struct verdict v = attempt(s->act, sweep.backend, sweep.capabilities, &none,
				   s->outcome == HUNG ? 500 : TIMEOUT_MS);
	char name[96];

	(void)snprintf(name, sizeof name, "control: a scenario that %s is found", s->does);
	tap_line((int)v.outcome == s->outcome && strstr(v.text, s->text) != NULL, sweep.name, name,
		 NULL);
}

/* The call by which each backend learns of writes, with its failures hidden from the library:
 * like a library that takes an error for "clean". */
static void errors_taken_as_clean(void (*act)(void), const char *whose)
{
	struct inject_fault f = { .how = INJECT_AFTER, .error = -EFAULT, .lie = true };
	const struct inject_fault none = { .nth = 0 };
	unsigned lost = 0, calls;
	char name[96];

	switch (sweep.backend) {
	case CARDMARK_BACKEND_PAGEMAP:
		f.call = INJECT_scan;
		break;
	case CARDMARK_BACKEND_MPROTECT:
		f.call = INJECT_mprotect;
		f.how = INJECT_BEFORE;
		break;
	case CARDMARK_BACKEND_SOFTDIRTY:
	case CARDMARK_BACKEND_UFFD:
		f.call = INJECT_pread;
		break;
	default:
		return; /* everything is dirty: there is no error to take as clean */
	}
	(void)attempt(act, sweep.backend, sweep.capabilities, &none, TIMEOUT_MS);
	calls = atomic_load_explicit(&inject->calls[f.call], memory_order_relaxed);
	for (f.nth = 1; f.nth <= calls; f.nth++) {
		struct verdict v = attempt(act, sweep.backend, sweep.capabilities, &f, TIMEOUT_MS);
		lost += v.outcome == COMPLAINED && strncmp(v.text, "LOST", 4) == 0 &&
			strstr(v.text, whose) != NULL;
	}
	(void)snprintf(name, sizeof name, "control: an error taken as clean loses writes%s%s",
		       *whose != '\0' ? " in " : "", whose);
	tap_note("%s: an error of %s taken as clean: %u of %u runs lose writes", sweep.name,
		 inject_name(f.call), lost, calls);
	tap_line(lost > 0, sweep.name, name, NULL);
}

static void run_controls(void)
{
	for (size_t i = 0; i < n_bad_scenarios; i++)
		if ((bad_scenarios[i].needs & ~sweep.capabilities) == 0)
			expect(&bad_scenarios[i]);
	errors_taken_as_clean(scenario_collect, "");
	errors_taken_as_clean(scenario_consumers, "a consumer's answer");
}

/* ---- The program ------------------------------------------------------------------------------
 */

static void run_scenarios(bool cold)
{
	for (size_t i = 0; i < n_scenarios; i++) {
		const struct scenario *s = &scenarios[i];

		if (s->cold != cold || (s->needs & ~sweep.capabilities) != 0 ||
		    (sweep.only != NULL && strcmp(sweep.only, s->name) != 0))
			continue;
		if (s->once && sweep.backend != CARDMARK_BACKEND_ALLDIRTY)
			continue;
		run_scenario(s);
	}
}

/* CALL,N,HOW,ERRNO,ON as a failure prints it. */
static int run_one(const char *text)
{
	struct inject_fault f = { .nth = 0 };
	int read = sweep_read_place(text, &f), error, on;

	if (read == 0 || sscanf(text + read, ",%d,%d", &error, &on) != 2)
		return 2;
	f.error = -error;
	f.on = on != 0;
	for (size_t i = 0; i < n_scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		struct tally tally = { 0 };

		if (sweep.only != NULL && strcmp(sweep.only, s->name) != 0)
			continue;
		if (!s->cold)
			(void)sweep_warm_up();
		try_fault(s, &f, &tally);
		tap_line(tally.bad == 0, sweep.name, s->name, NULL);
	}
	return tap_status();
}

int main(int argc, char **argv)
{
	if (!sweep_read_arguments(argc, argv, "CARDMARK_INJECT", MOST, "fault"))
		return 2;
	if (sweep.most < LEAST) {
		(void)fprintf(stderr, "CARDMARK_INJECT is \"all\" or a number from %lu\n", LEAST);
		return 2;
	}
	inject_set_up();
	if (!sweep_usable())
		return tap_status();
	if (TAP_TSAN && sweep.backend == CARDMARK_BACKEND_UFFD) {
		tap_line(true, sweep.name, "fault injection",
			 "the thread sanitizer supports no new thread in a fork child");
		return tap_status();
	}
	if (sweep.place != NULL)
		return run_one(sweep.place);
	rng = random_seed(sweep.seed);
	run_scenarios(true);
	tap_line(sweep_warm_up(), sweep.name, "opens", NULL);
	run_scenarios(false);
	if (sweep.only == NULL)
		run_controls();
	return tap_status();
}
