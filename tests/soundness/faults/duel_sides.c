/* SPDX-License-Identifier: MIT
 *
 * The sides of a duel: calls that are stopped, and the actions meanwhile. */
#include "tests/soundness/faults/duel_stage.h"

#include "lib/backend/owed.h"
#include "lib/backend/pagemap.h"
#include "lib/tracker.h"
#include "tests/soundness/faults/trial.h"
#include "tests/support/backends.h"
#include "tests/support/inject_os.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Calls and their answers -------------------------------------------------------- */

/* 0, or busy, with a reason in words. */
bool duel_worked(const char *call, int error)
{
	const char *words = cardmark_last_error();

	if (error >= 0)
		return true;
	if (error != -EBUSY && !(error == -ENOTSUP && duel.place != DUEL_HERE))
		trial_fail("%s: %s: %s", call, cardmark_strerror(error), words);
	if (*words == '\0' || strstr(words, "errno ") != NULL)
		trial_fail("%s: %s, and the reason is \"%s\"", call, cardmark_strerror(error),
			   words);
	return false;
}

/* "All is dirty" harvests nothing: the written pages are still due. */
static void take_answer(const struct cardmark_table *table, enum cardmark_collected result)
{
	if (result == CARDMARK_ALL_DIRTY)
		return;
	for (size_t i = 0; i < PAGES; i++)
		if (cardmark_table_is_dirty(table, page(i)))
			atomic_store(&stage.due[i], false);
}

enum cardmark_collected duel_collect_with(struct cardmark *tracker, struct cardmark_table *table)
{
	enum cardmark_collected result;

	cardmark_table_clear(table);
	result = cardmark_collect(tracker, table);
	if (cardmark_table_all_dirty(table) != (result == CARDMARK_ALL_DIRTY))
		trial_fail("a collect says %d of a table that is%s all dirty", (int)result,
			   cardmark_table_all_dirty(table) ? "" : " not");
	take_answer(table, result);
	return result;
}

static void take_with(unsigned flags)
{
	struct cardmark_region regions[3];
	struct cardmark_query q = { .size = sizeof q,
				    .start = stage.mem,
				    .op = CARDMARK_SCAN_GET_AND_CLEAR,
				    .flags = flags,
				    .required = CARDMARK_PAGE_WRITTEN,
				    .returned = CARDMARK_PAGE_WRITTEN,
				    .regions = regions,
				    .capacity = 3 };

	for (int n = 0; (unsigned char *)q.start < page(PAGES); n++) {
		q.len = (size_t)(page(PAGES) - (unsigned char *)q.start);
		if (!duel_worked("cardmark_scan", cardmark_scan(stage.cm, &q)))
			return;
		for (size_t r = 0; r < q.count; r++)
			for (uintptr_t at = regions[r].start; at < regions[r].end; at += stage.card)
				atomic_store(&stage.due[(at - (uintptr_t)stage.mem) / stage.card],
					     false);
		if (n > 200)
			trial_fail("cardmark_scan comes to no end");
		q.start = (void *)q.resume; /* NOLINT: an address is what it is */
	}
}

/* Due before the write is done: a question in a handler of this thread may report it at once. */
void duel_track(size_t from, size_t to)
{
	set_due(from, to, true);
	if (!duel_worked("cardmark_track",
			 cardmark_track(stage.cm, page(from), (to - from) * stage.card, 0)) ||
	    atomic_load(&stage.ignoring)) /* then the scan may take it without reporting it */
		set_due(from, to, false);
}

static void untrack(size_t from, size_t to)
{
	set_due(from, to, false);
	(void)duel_worked("cardmark_untrack",
			  cardmark_untrack(stage.cm, page(from), (to - from) * stage.card));
}

static void hold_for_a_while(size_t i)
{
	if (!duel_worked("cardmark_hold", cardmark_hold(stage.cm, page(i), stage.card)))
		return;
	atomic_store(&stage.due[i], true);
	while (!duel_worked("cardmark_release", cardmark_release(stage.cm, page(i), stage.card)))
		;
}

/* While suspended, everything is dirty, and so it is after the resume. */
static void suspend_for_a_while(void)
{
	if (!duel_worked("cardmark_suspend", cardmark_suspend(stage.cm)))
		return;
	for (int n = 0; !duel_worked("cardmark_resume", cardmark_resume(stage.cm)); n++)
		if (n > 3)
			trial_fail("a tracker cannot be resumed: %s", cardmark_last_error());
}

static struct cardmark_options options(unsigned threads)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backend = described(stage.cm).backend;
	o.flags = CARDMARK_OPEN_NO_ENV;
	o.chunk_bytes = CHUNK_PAGES * stage.card;
	o.vec_len = CHUNK_PAGES;
	o.threads = threads;
	return o;
}

static void open_and_close(void)
{
	struct cardmark_options o = options(1);
	struct cardmark *third = NULL;

	if (duel_worked("cardmark_open", cardmark_open(&third, &o)))
		cardmark_close(&third);
}

static void new_table(void)
{
	struct cardmark_table *t = NULL;

	if (duel_worked("cardmark_table_new", cardmark_table_new(&t, stage.cm)))
		cardmark_table_delete(&t);
}

static void ask_about(void)
{
	struct cardmark_stats s = { .size = sizeof s };

	if (!says_tracked(stage.cm, page(0), 8 * stage.card))
		trial_fail("a page that is tracked is not");
	if (says_tracked(stage.cm, stage.mem, (PAGES + 1) * stage.card))
		trial_fail("a page that is not tracked is");
	(void)duel_worked("cardmark_stats", cardmark_stats(stage.cm, &s));
}

/* ---- Children ------------------------------------------------------------------------- */

/* Pages that were due at the fork are in a child's first answer, or the one after it. Pages
 * that the parent is just untracking need not be. */
void duel_look_in_child(void)
{
	for (int n = 0; n < 2; n++)
		if (duel_collect_with(stage.cm, stage.child_table) == CARDMARK_ALL_DIRTY)
			set_due(0, PAGES, false);
	for (size_t i = 0; i < NEW; i++)
		if (atomic_load(&stage.due[i]) && (i < 20 || i >= OLD))
			trial_fail("LOST: page %zu is not in a child's answer", i);
	store(5);
	(void)duel_collect_with(stage.cm, stage.child_table);
	if (!cardmark_table_is_dirty(stage.child_table, page(5)))
		trial_fail("LOST: page 5 was written in a child and is not in its answer");
}

void duel_await_child(pid_t pid)
{
	int status = 0;
	pid_t got;

	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	if (pid < 0 || got != pid)
		trial_fail("no child");
	if (WIFSIGNALED(status))
		trial_fail("a child died of signal %d", WTERMSIG(status));
	if (status != 0)
		_exit(1); /* it has reported why */
}

pid_t duel_clone_without_handlers(void)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
}

static void fork_and_look(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		inject_stand_by();
		duel_look_in_child();
		_exit(0);
	}
	duel_await_child(pid);
}

static void clone_and_look(void)
{
	pid_t pid = duel_clone_without_handlers();

	if (pid == 0) {
		inject_stand_by();
		duel_look_in_child();
		_exit(0);
	}
	duel_await_child(pid);
}

static void fork_only(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	duel_await_child(pid);
}

/* ---- The call that is stopped ------------------------------------------------------------ */

static void call_collect(void)
{
	(void)duel_collect_with(stage.cm, stage.call_table);
}

static void call_take(void)
{
	take_with(0);
}

static void call_take_old(void)
{
	take_with(CARDMARK_SCAN_IGNORE_NEW);
}

static void call_preclean(void)
{
	(void)duel_worked("cardmark_preclean", cardmark_preclean(stage.cm));
}

static void call_track(void)
{
	duel_track(CALL_TRACKS);
}

static void call_untrack(void)
{
	untrack(CALL_UNTRACKS);
}

static void call_hold(void)
{
	hold_for_a_while(4);
}

static void close_all(void)
{
	set_due(0, PAGES, false);
	cardmark_table_delete(&stage.call_table);
	cardmark_close(&stage.cm);
}

#define ANYWHERE (1 << DUEL_HERE | 1 << DUEL_FORK_CHILD | 1 << DUEL_RAW_CHILD)
#define HERE (1 << DUEL_HERE)

const struct duel_side duel_calls[] = {
	{ .name = "collect", .places = ANYWHERE, .run = call_collect },
	{ .name = "take", .places = ANYWHERE, .run = call_take },
	{ .name = "take old", .places = HERE, .run = call_take_old },
	{ .name = "preclean",
	  .needs = CARDMARK_CAP_CONCURRENT,
	  .places = HERE,
	  .run = call_preclean },
	{ .name = "track", .places = ANYWHERE, .run = call_track },
	{ .name = "untrack", .places = ANYWHERE, .run = call_untrack },
	{ .name = "hold", .places = HERE, .run = call_hold },
	{ .name = "suspend", .places = HERE, .run = suspend_for_a_while },
	{ .name = "table", .places = HERE, .run = new_table },
	{ .name = "open", .places = HERE, .second = true, .run = open_and_close },
	{ .name = "fork", .places = HERE, .run = fork_and_look },
	{ .name = "close", .places = HERE, .closes = true, .run = close_all },
};

const size_t n_duel_calls = sizeof duel_calls / sizeof *duel_calls;

/* ---- What goes on meanwhile ---------------------------------------------------------------- */

static void nothing(void)
{
}

static void other_collect(void)
{
	(void)duel_collect_with(stage.cm, stage.other_table);
	/* Whatever its result, it reported the new pages. */
	atomic_store(&stage.ignoring, false);
}

static void other_track(void)
{
	duel_track(OTHER_TRACKS);
}

static void other_untrack(void)
{
	untrack(OTHER_UNTRACKS);
}

static void other_hold(void)
{
	hold_for_a_while(6);
}

/* All stopped threads go on by themselves, except those that ended with a child. */
void duel_await_stopped(void)
{
	for (int n = 0; n < 3000; n++) {
		if (atomic_load(&inject->gone_on) >= atomic_load(&inject->stopped))
			return;
		(void)usleep(100);
	}
}

/* A call that waits for a late helper returns without it. Then the memory goes to another
 * tracker. */
static void take_over(void)
{
	struct cardmark_options o = options(1);

	for (int n = 0; !atomic_load(&stage.call_is_over) && n < 300; n++)
		(void)usleep(100);
	set_due(0, PAGES, false);
	if (!duel_worked("cardmark_untrack",
			 cardmark_untrack(stage.cm, stage.mem, NEW * stage.card)) ||
	    !duel_worked("cardmark_open", cardmark_open(&stage.second, &o)) ||
	    !duel_worked("cardmark_table_new",
			 cardmark_table_new(&stage.second_table, stage.second)) ||
	    !duel_worked("cardmark_track",
			 cardmark_track(stage.second, stage.mem, NEW * stage.card, 0)))
		return;
	(void)duel_collect_with(stage.second, stage.second_table);
	for (size_t i = 3; i < NEW; i += 4)
		store(i);
	inject_go();
	duel_await_stopped();
	(void)usleep(1000); /* out of the kernel, too */
	if (duel.fault == DUEL_FORGETS)
		((struct pagemap *)stage.second->backend)->owed_seen = cm_owed_seen();
	(void)duel_collect_with(stage.second, stage.second_table);
	for (size_t i = 0; i < NEW; i++)
		if (atomic_load(&stage.due[i]))
			trial_fail("LOST: page %zu was written and its next tracker does not know",
				   i);
	cardmark_table_delete(&stage.second_table);
	cardmark_close(&stage.second);
}

const struct duel_side duel_others[] = {
	{ .name = "stores", .places = ANYWHERE, .run = nothing },
	{ .name = "collect", .places = ANYWHERE, .asks = true, .run = other_collect },
	{ .name = "take", .places = ANYWHERE, .asks = true, .run = call_take },
	{ .name = "preclean",
	  .needs = CARDMARK_CAP_CONCURRENT,
	  .places = HERE,
	  .asks = true,
	  .run = call_preclean },
	{ .name = "track", .places = HERE, .asks = true, .run = other_track },
	{ .name = "untrack", .places = HERE, .asks = true, .run = other_untrack },
	{ .name = "hold", .places = HERE, .asks = true, .run = other_hold },
	{ .name = "suspend", .places = HERE, .asks = true, .run = suspend_for_a_while },
	{ .name = "ask", .places = ANYWHERE, .asks = true, .run = ask_about },
	{ .name = "table", .places = HERE, .asks = true, .run = new_table },
	{ .name = "open", .places = HERE, .second = true, .asks = true, .run = open_and_close },
	{ .name = "fork", .places = HERE, .asks = true, .run = fork_and_look },
	{ .name = "raw clone",
	  .places = HERE,
	  .clones = true,
	  .asks = true,
	  .run = clone_and_look },
	{ .name = "another tracker",
	  .places = HERE,
	  .second = true,
	  .asks = true,
	  .run = take_over },
	{ .name = "a handler that collects",
	  .places = ANYWHERE,
	  .handler = true,
	  .asks = true,
	  .run = other_collect },
	{ .name = "a handler that asks",
	  .places = ANYWHERE,
	  .handler = true,
	  .asks = true,
	  .run = ask_about },
	{ .name = "a handler that forks", .places = ANYWHERE, .handler = true, .run = fork_only },
};

const size_t n_duel_others = sizeof duel_others / sizeof *duel_others;
