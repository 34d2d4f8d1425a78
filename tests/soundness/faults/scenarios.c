/* SPDX-License-Identifier: MIT */
#include "tests/soundness/faults/scenarios.h"

#include "tests/soundness/faults/trial.h"

#include "tests/support/backends.h"
#include "tests/support/inject_os.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Scenarios -------------------------------------------------------------------- */

static void begin_armed(unsigned flags)
{
	trial_open(flags);
	trial_store_all(0, TRIAL_PAGES);
	trial_track(0, TRIAL_PAGES);
	trial_collect();
	trial_store(1);
	trial_store_all(10, 13);
}

static void finish(void)
{
	trial_heal();
	trial_close();
	trial_end(0);
}

void scenario_collect(void)
{
	begin_armed(0);
	trial_collect();
	trial_store(5);
	trial_store(23);
	trial_collect();
	trial_collect();
	finish();
}

static void first_open(void)
{
	trial_is_cold();
	trial_open(0);
	trial_store_all(0, TRIAL_PAGES);
	trial_track(0, TRIAL_PAGES);
	trial_collect();
	trial_heal();
	trial_close();
	trial_end(2); /* the fork marker, and the lock of the mprotect backend */
}

static void probe(void)
{
	struct cardmark_probe probes[PROBES];

	trial_is_cold();
	for (int again = 0; again < 2; again++) {
		int n = probe_all(probes);

		for (int i = 0; i < n; i++)
			if (probes[i].reason[0] == '\0')
				trial_fail("the probe says nothing of %s",
					   cardmark_backend_name(probes[i].backend));
	}
	inject_stop();
	/* Whatever it found: each backend that it calls usable reports every write. */
	trial_open(0);
	trial_store_all(0, TRIAL_PAGES);
	trial_track(0, TRIAL_PAGES);
	trial_heal();
	trial_close();
	trial_end(2);
}

static void pieces(void)
{
	trial_open(0);
	trial_store_all(0, 20);
	trial_track(2, 6);
	trial_track(10, 14);
	trial_track(6, 8);
	trial_collect();
	trial_store(3);
	trial_track(4, 12); /* over both and the gap between them */
	trial_store(13);
	trial_collect();
	trial_untrack(5, 7);
	trial_store_all(4, 8);
	trial_collect();
	trial_untrack(2, 14);
	trial_track(0, TRIAL_PAGES);
	finish();
}

static void preclean(void)
{
	begin_armed(0);
	trial_preclean();
	trial_store(2);
	trial_store(12);
	trial_preclean();
	trial_store(20);
	trial_collect();
	finish();
}

static void scan(void)
{
	begin_armed(0);
	trial_look(0, TRIAL_PAGES);
	trial_take(0, 12);
	trial_store(3);
	trial_take_blindly(0, 4);
	trial_store(7);
	trial_look(2, 14);
	trial_collect();
	finish();
}

static void hold(void)
{
	begin_armed(0);
	trial_hold(4, 6);
	trial_hold(20, TRIAL_PAGES);
	trial_collect();
	trial_store(8);
	trial_collect();
	trial_release(4, 6);
	trial_collect();
	trial_release(20, TRIAL_PAGES);
	trial_collect();
	finish();
}

static void discarded(void)
{
	begin_armed(CARDMARK_OPEN_DISCARDS);
	trial_collect();
	trial_drop(3, 6);
	trial_drop(14, 15);
	trial_store(4);
	trial_discarded();
	trial_collect();
	trial_drop(4, 5);
	trial_discarded();
	finish();
}

static void discard_is_write(void)
{
	begin_armed(CARDMARK_OPEN_DISCARD_IS_WRITE);
	trial_collect();
	trial_drop(3, 6);
	trial_store(20);
	trial_collect();
	finish();
}

static void suspend(void)
{
	begin_armed(0);
	trial_suspend();
	trial_store(6);
	trial_collect();
	trial_untrack(0, 2);
	trial_track(0, 1);
	trial_resume();
	trial_collect();
	trial_store(9);
	trial_collect();
	finish();
}

static void await(pid_t pid)
{
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		trial_fail("no child");
	if (!WIFEXITED(status))
		trial_fail("the child died of signal %d", WTERMSIG(status));
	if (status != 0)
		_exit(1);
}

/* A child collects, and comes to its end. */
static void fork_once(void (*end)(void))
{
	pid_t pid;

	begin_armed(0);
	pid = fork();
	if (pid == 0) {
		trial_is_child();
		trial_collect();
		trial_store(6);
		trial_collect();
		end();
		_exit(0);
	}
	await(pid);
	trial_collect();
}

static void fork_parent_goes_on(void)
{
	fork_once(trial_close);
	trial_store(7);
	trial_collect();
	finish();
}

static void fork_child_goes_on(void)
{
	fork_once(finish);
	finish();
}

static void remap(void)
{
	begin_armed(0);
	if (trial_can(CARDMARK_CAP_REMAP)) {
		trial_remap(6, 11);
		trial_collect();
		trial_store(7);
	}
	trial_collect();
	trial_untrack(14, 18);
	trial_remap(14, 18);
	trial_track(14, 18);
	trial_collect();
	finish();
}

static void open_again(void)
{
	begin_armed(0);
	trial_close();
	begin_armed(0);
	trial_collect();
	finish();
}

static void threads(void)
{
	trial_share(2);
	begin_armed(0);
	trial_collect();
	trial_store_all(4, 36);
	trial_collect();
	finish();
}

static void view(void)
{
	begin_armed(0);
	trial_view();
	finish();
}

static void tables(void)
{
	begin_armed(0);
	trial_tables();
	trial_collect();
	finish();
}

/* A collector, and two other consumers that ask now and then. */
static void two_consumers(void)
{
	begin_armed(0);
	trial_consumer_new(0);
	trial_store(5);
	trial_collect(); /* takes nothing from it */
	trial_consumer_collect(0);
	trial_store(7);
	trial_consumer_new(1);
	trial_collect();
	trial_store_all(20, 24);
	trial_consumer_collect(1);
	trial_store(9);
	trial_store(21); /* armed again by the consumer's collect */
	trial_consumer_collect(0);
	trial_consumer_collect_range(1, 8, 24);
}

void scenario_consumers(void)
{
	two_consumers();
	trial_consumer_collect(1);
	trial_collect();
	finish();
}

/* Other calls that take from the tracker leave the consumers' cards to them. */
static void consumers_beside_others(void)
{
	begin_armed(0);
	trial_consumer_new(0);
	if (trial_can(CARDMARK_CAP_CONCURRENT))
		trial_preclean();
	trial_store(3);
	trial_take(0, 12);
	trial_consumer_collect(0);
	trial_hold(30, 32);
	trial_untrack(14, 18);
	trial_store(15);
	trial_take_blindly(0, 8);
	trial_track(14, 18);
	trial_consumer_collect(0);
	trial_suspend();
	trial_consumer_new(1);
	trial_store(6);
	trial_consumer_collect(0);
	trial_resume();
	trial_consumer_collect(1);
	trial_release(30, 32);
	trial_collect();
	trial_consumer_collect(0);
	finish();
}

static void consumers_in_a_child(void)
{
	pid_t pid;

	two_consumers();
	pid = fork();
	if (pid == 0) {
		trial_is_child();
		trial_consumer_collect(1);
		trial_store(6);
		trial_collect();
		trial_consumer_collect(0);
		trial_close();
		_exit(0);
	}
	await(pid);
	trial_store(7);
	trial_consumer_collect(0);
	trial_collect();
	trial_consumer_collect(1);
	finish();
}

/* ---- Bad ones: the frame must notice what is wrong with them ----------------------- */

static void crashes(void)
{
	abort();
}

static void hangs(void)
{
	for (;;)
		(void)pause();
}

static void leaks_a_descriptor(void)
{
	scenario_collect();
	(void)dup(2);
	trial_end(0);
}

static void leaks_a_mapping(void)
{
	void *unused;

	scenario_collect();
	(void)cm_os->map(4096, &unused);
	trial_end(0);
}

static void takes_from_others(void)
{
	trial_consumers_take_from_others();
	scenario_consumers();
}

const struct scenario scenarios[] = {
	{ "first open", first_open, 0, true, false },
	{ "probe", probe, 0, true, true },
	{ "collect", scenario_collect, 0, false, false },
	{ "pieces", pieces, 0, false, false },
	{ "preclean", preclean, CARDMARK_CAP_CONCURRENT, false, false },
	{ "scan", scan, 0, false, false },
	{ "hold", hold, 0, false, false },
	{ "discarded", discarded, 0, false, false },
	{ "discard is write", discard_is_write, 0, false, false },
	{ "suspend", suspend, 0, false, false },
	{ "fork, the parent goes on", fork_parent_goes_on, 0, false, false },
	{ "fork, the child goes on", fork_child_goes_on, 0, false, false },
	{ "remap", remap, 0, false, false },
	{ "open again", open_again, 0, false, false },
	{ "threads", threads, CARDMARK_CAP_CATEGORIES, false, false },
	{ "view", view, CARDMARK_CAP_CATEGORIES, false, false },
	{ "tables", tables, 0, false, false },
	{ "consumers", scenario_consumers, 0, false, false },
	{ "consumers beside others", consumers_beside_others, 0, false, false },
	{ "consumers in a child", consumers_in_a_child, 0, false, false },
};

const size_t n_scenarios = sizeof scenarios / sizeof *scenarios;

const struct bad_scenario bad_scenarios[] = {
	{ "crashes", crashes, 0, CRASHED, "signal" },
	{ "hangs", hangs, 0, HUNG, "" },
	{ "leaks a descriptor", leaks_a_descriptor, 0, COMPLAINED, "descriptors" },
	{ "leaks a mapping", leaks_a_mapping, 0, COMPLAINED, "mappings" },
	/* If everything is dirty, nothing can be taken. */
	{ "takes a consumer's answer from another", takes_from_others, CARDMARK_CAP_PRECISE,
	  COMPLAINED, "in a consumer's answer" },
};

const size_t n_bad_scenarios = sizeof bad_scenarios / sizeof *bad_scenarios;
