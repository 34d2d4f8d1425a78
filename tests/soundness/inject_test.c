/* SPDX-License-Identifier: MIT
 *
 * Description: fault injection. Each scenario runs again and again in a fresh
 * process, each time with one other kernel call failing: every function of the
 * seam, every call of it, without and after its effect (R3), once or from then
 * on. Nothing may be lost, crash, hang, leak, or go wrong without an error, and
 * once the fault is gone the answers become exact again. Controls show that the
 * frame sees each of these.
 *
 * PROGRAM [BACKEND] [--all] [--seed=N] [--only=SCENARIO] [--fault=CALL,N,HOW,ERRNO,ON]
 * --all, or CARDMARK_INJECT=all: every error for every call, and no sampling.
 * CARDMARK_INJECT=N: at most N runs a scenario (400; at least 12). */
#include "tests/soundness/attempt.h"
#include "tests/soundness/scenarios.h"
#include "tests/soundness/trial.h"

#include "tests/support/backends.h"
#include "tests/support/inject_os.h"
#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	enum cardmark_backend backend;
	const char *name;
	unsigned capabilities;
	bool all;
	unsigned long most; /* runs of a scenario */
	uint64_t rng;
	const char *only;
} run;

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
	struct verdict v = attempt(s->act, run.backend, run.capabilities, f, TIMEOUT_MS);

	tally->run++;
	tally->fired += atomic_load_explicit(&inject->fired, memory_order_relaxed) != 0;
	if (v.outcome == FINE)
		return;
	if (tally->bad++ < 10)
		tap_note("%s, %s: call %u of %s%s fails %s with errno %d: %s: %s "
			 "(--only='%s' --fault=%s,%u,%u,%d,%d)",
			 run.name, s->name, f->nth, inject_name(f->call), f->on ? " and on" : "",
			 how_name(f->how), -f->error, outcome_names[v.outcome], v.text, s->name,
			 inject_name(f->call), f->nth, f->how, -f->error, f->on);
}

/* The softdirty backend looks at a thousand numbers in a row. */
static bool is_more_of_the_same(enum inject_call call, unsigned nth, unsigned count)
{
	return call == INJECT_fd_is && nth > 32 && nth + 32 < count;
}

/* "It is closed" is an answer. Given for a descriptor that is open it is a lie that no
 * kernel tells: who believes it leaves a userfaultfd open, which keeps its memory. */
static bool is_a_lie(enum inject_call call, int error)
{
	return call == INJECT_fd_id && error == -EBADF;
}

/* Calls fn for each fault that the counted calls allow. In the quick mode one error
 * for each place, another one each time. */
static void for_each_fault(const unsigned *counts, const struct scenario *s,
			   void (*fn)(const struct scenario *s, const struct inject_fault *f,
				      struct tally *tally),
			   struct tally *tally)
{
	size_t turn = 0;

	for (enum inject_call call = 0; call < INJECT_COUNT; call++)
		for (unsigned how = INJECT_BEFORE; how <= INJECT_SHORT; how <<= 1) {
			/* A short count has no error. */
			size_t n_errors = run.all && how != INJECT_SHORT ? N_ERRORS : 1;

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
						.error = errors[(run.all ? e : turn++) % N_ERRORS],
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

/* Sanitized children take their time. */
#define MOST (TAP_ASAN || TAP_TSAN ? 60ul : 400ul)
#define LEAST 12ul /* more than those that must be reached */
#define REACHED 5ul

static void sample_fault(const struct scenario *s, const struct inject_fault *f,
			 struct tally *tally)
{
	/* Each place is as likely, and as many run as may. */
	if (!run.all && random_below(&run.rng, tally->planned--) >= run.most - tally->run)
		tally->left_out++;
	else
		try_fault(s, f, tally);
}

static void run_scenario(const struct scenario *s)
{
	const struct inject_fault none = { .nth = 0 };
	struct verdict v = attempt(s->act, run.backend, run.capabilities, &none, TIMEOUT_MS);
	unsigned counts[INJECT_COUNT];
	struct tally tally = { 0 };
	char name[96];

	if (v.outcome != FINE) {
		tap_note("%s, %s, without a fault: %s: %s", run.name, s->name,
			 outcome_names[v.outcome], v.text);
		tap_line(false, run.name, s->name, NULL);
		return;
	}
	for (size_t i = 0; i < INJECT_COUNT; i++)
		counts[i] = atomic_load_explicit(&inject->calls[i], memory_order_relaxed);
	for_each_fault(counts, s, count_fault, &tally);
	tally.left_out = 0;
	for_each_fault(counts, s, sample_fault, &tally);
	tap_note("%s, %s: %lu injections, %lu of them reached, %lu left out, %lu bad", run.name,
		 s->name, tally.run, tally.fired, tally.left_out, tally.bad);
	(void)snprintf(name, sizeof name, "%s, with every kernel call failing", s->name);
	/* A run that injected nothing proves nothing. */
	tap_line(tally.bad == 0 && tally.fired > REACHED, run.name, name, NULL);
}

/* ---- Controls ------------------------------------------------------------------------------ */

static void expect(const struct bad_scenario *s)
{
	const struct inject_fault none = { .nth = 0 };
	struct verdict v = attempt(s->act, run.backend, run.capabilities, &none,
				   s->outcome == HUNG ? 500 : TIMEOUT_MS);
	char name[96];

	(void)snprintf(name, sizeof name, "control: a scenario that %s is found", s->does);
	tap_line((int)v.outcome == s->outcome && strstr(v.text, s->text) != NULL, run.name, name,
		 NULL);
}

/* The call by which each backend learns of writes, with its failures kept from
 * the library: as one that takes an error for "clean". */
static void errors_taken_as_clean(void)
{
	struct inject_fault f = { .how = INJECT_AFTER, .error = -EFAULT, .lie = true };
	const struct inject_fault none = { .nth = 0 };
	unsigned lost = 0, calls;

	switch (run.backend) {
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
	(void)attempt(scenario_collect, run.backend, run.capabilities, &none, TIMEOUT_MS);
	calls = atomic_load_explicit(&inject->calls[f.call], memory_order_relaxed);
	for (f.nth = 1; f.nth <= calls; f.nth++) {
		struct verdict v =
			attempt(scenario_collect, run.backend, run.capabilities, &f, TIMEOUT_MS);
		lost += v.outcome == COMPLAINED && strncmp(v.text, "LOST", 4) == 0;
	}
	tap_note("%s: an error of %s taken as clean: %u of %u runs lose writes", run.name,
		 inject_name(f.call), lost, calls);
	tap_line(lost > 0, run.name, "control: an error taken as clean loses writes", NULL);
}

static void run_controls(void)
{
	for (size_t i = 0; i < n_bad_scenarios; i++)
		expect(&bad_scenarios[i]);
	errors_taken_as_clean();
}

/* ---- The program ------------------------------------------------------------------------------
 */

/* In a child, so that this process stays one that has not probed. */
static void look_up_backend(void)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes);

	for (int i = 0; i < n; i++)
		if (probes[i].backend == run.backend) {
			inject->fault.nth = probes[i].capabilities;
			if (!probes[i].usable)
				trial_fail("%s", probes[i].reason);
		}
}

static bool usable(void)
{
	const struct inject_fault none = { .nth = 0 };
	struct verdict v =
		attempt(look_up_backend, run.backend, run.capabilities, &none, TIMEOUT_MS);

	run.capabilities = inject->fault.nth;
	if (v.outcome == FINE)
		return true;
	tap_line(!tap_required(run.name), run.name, "usable here", v.text);
	return false;
}

/* So that what a process keeps for good is there before anything is counted. */
static bool warm_up(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm;

	options.backend = run.backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	options.threads = 2;
	if (cardmark_open(&cm, &options) < 0)
		return false;
	cardmark_close(&cm);
	return true;
}

static void run_scenarios(bool cold)
{
	for (size_t i = 0; i < n_scenarios; i++) {
		const struct scenario *s = &scenarios[i];

		if (s->cold != cold || (s->needs & ~run.capabilities) != 0 ||
		    (run.only != NULL && strcmp(run.only, s->name) != 0))
			continue;
		if (s->once && run.backend != CARDMARK_BACKEND_ALLDIRTY)
			continue;
		run_scenario(s);
	}
}

/* CALL,N,HOW,ERRNO,ON as a failure prints it. */
static int run_one(const char *text)
{
	struct inject_fault f = { .nth = 0 };
	char call[32];
	int error, on;

	if (sscanf(text, "%31[^,],%u,%u,%d,%d", call, &f.nth, &f.how, &error, &on) != 5)
		return 2;
	f.error = -error;
	f.on = on != 0;
	while (f.call < INJECT_COUNT && strcmp(call, inject_name(f.call)) != 0)
		f.call++;
	if (f.call == INJECT_COUNT)
		return 2;
	for (size_t i = 0; i < n_scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		struct tally tally = { 0 };

		if (run.only != NULL && strcmp(run.only, s->name) != 0)
			continue;
		if (!s->cold)
			(void)warm_up();
		try_fault(s, &f, &tally);
		tap_line(tally.bad == 0, run.name, s->name, NULL);
	}
	return tap_status();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "seed", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "fault", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	const char *mode = getenv("CARDMARK_INJECT"), *seed_text = NULL, *fault = NULL;
	int c;

	run.all = mode != NULL && strcmp(mode, "all") == 0;
	run.most = mode != NULL && !run.all ? strtoul(mode, NULL, 10) : MOST;
	if (run.most < LEAST) {
		(void)fprintf(stderr, "CARDMARK_INJECT is \"all\" or a number from %lu\n", LEAST);
		return 2;
	}
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'a')
			run.all = true;
		else if (c == 's')
			seed_text = optarg;
		else if (c == 'o')
			run.only = optarg;
		else if (c == 'f')
			fault = optarg;
		else
			return 2;
	}
	run.name = optind < argc ? argv[optind] : "alldirty";
	if (cardmark_backend_parse(run.name, &run.backend) < 0 ||
	    run.backend == CARDMARK_BACKEND_AUTO)
		return 2;
	inject_set_up();
	if (!usable())
		return tap_status();
	if (TAP_TSAN && run.backend == CARDMARK_BACKEND_UFFD) {
		tap_line(true, run.name, "fault injection",
			 "the thread sanitizer supports no new thread in a fork child");
		return tap_status();
	}
	if (fault != NULL)
		return run_one(fault);
	run.rng = random_seed(seed_text);
	run_scenarios(true);
	tap_line(warm_up(), run.name, "opens", NULL);
	run_scenarios(false);
	if (run.only == NULL)
		run_controls();
	return tap_status();
}
