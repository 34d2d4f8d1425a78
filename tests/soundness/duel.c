/* SPDX-License-Identifier: MIT */
#include "tests/soundness/duel.h"

#include "lib/backend/owed.h"
#include "lib/backend/pagemap.h"
#include "lib/tracker.h"
#include "tests/soundness/trial.h"
#include "tests/support/backends.h"
#include "tests/support/broken_os.h"
#include "tests/support/inject_os.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Pages: what was asked for once, what is new, and what is not tracked yet. */
#define OLD 32
#define NEW 56
#define PAGES 64
#define CHUNK_PAGES 8

/* Two pieces of the old ones that a side untracks, and two spare ones that it tracks. */
#define CALL_UNTRACKS 28, OLD
#define OTHER_UNTRACKS 20, 24
#define CALL_TRACKS NEW, 60
#define OTHER_TRACKS 60, PAGES

struct duel duel;

static struct cardmark *cm, *second;
static struct cardmark_table *call_table, *other_table, *second_table, *child_table;
static unsigned char *mem;
static size_t card;
static _Atomic bool due[PAGES]; /* must be in an answer that ends from now on */
static _Atomic bool call_is_over, ignoring;

static unsigned char *page(size_t i)
{
	return mem + i * card;
}

static void store(size_t i)
{
	atomic_store(&due[i], true);
	*(volatile unsigned char *)page(i) = (unsigned char)(*page(i) + 1);
}

static void set_due(size_t from, size_t to, bool value)
{
	for (size_t i = from; i < to; i++)
		atomic_store(&due[i], value);
}

/* ---- Calls and their answers -------------------------------------------------------- */

/* 0, or busy, with a reason in words. */
static bool worked(const char *call, int error)
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

/* "All is dirty" harvests nothing: what was written is due still. */
static void take_answer(const struct cardmark_table *table, enum cardmark_collected result)
{
	if (result == CARDMARK_ALL_DIRTY)
		return;
	for (size_t i = 0; i < PAGES; i++)
		if (cardmark_table_is_dirty(table, page(i)))
			atomic_store(&due[i], false);
}

static enum cardmark_collected collect_with(struct cardmark *tracker, struct cardmark_table *table)
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
				    .start = mem,
				    .op = CARDMARK_SCAN_GET_AND_CLEAR,
				    .flags = flags,
				    .required = CARDMARK_PAGE_WRITTEN,
				    .returned = CARDMARK_PAGE_WRITTEN,
				    .regions = regions,
				    .capacity = 3 };

	for (int n = 0; (unsigned char *)q.start < page(PAGES); n++) {
		q.len = (size_t)(page(PAGES) - (unsigned char *)q.start);
		if (!worked("cardmark_scan", cardmark_scan(cm, &q)))
			return;
		for (size_t r = 0; r < q.count; r++)
			for (uintptr_t at = regions[r].start; at < regions[r].end; at += card)
				atomic_store(&due[(at - (uintptr_t)mem) / card], false);
		if (n > 200)
			trial_fail("cardmark_scan comes to no end");
		q.start = (void *)q.resume; /* NOLINT: an address is what it is */
	}
}

/* Due before it is there: who asks in a handler of this thread may have it at once. */
static void track(size_t from, size_t to)
{
	set_due(from, to, true);
	if (!worked("cardmark_track", cardmark_track(cm, page(from), (to - from) * card, 0)) ||
	    atomic_load(&ignoring)) /* then the scan may take it without telling */
		set_due(from, to, false);
}

static void untrack(size_t from, size_t to)
{
	set_due(from, to, false);
	(void)worked("cardmark_untrack", cardmark_untrack(cm, page(from), (to - from) * card));
}

static void hold_for_a_while(size_t i)
{
	if (!worked("cardmark_hold", cardmark_hold(cm, page(i), card)))
		return;
	atomic_store(&due[i], true);
	while (!worked("cardmark_release", cardmark_release(cm, page(i), card)))
		;
}

/* What is suspended is dirty as a whole, and so it is when it comes back. */
static void suspend_for_a_while(void)
{
	if (!worked("cardmark_suspend", cardmark_suspend(cm)))
		return;
	for (int n = 0; !worked("cardmark_resume", cardmark_resume(cm)); n++)
		if (n > 3)
			trial_fail("a tracker cannot be resumed: %s", cardmark_last_error());
}

static struct cardmark_options options(unsigned threads)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backend = described(cm).backend;
	o.flags = CARDMARK_OPEN_NO_ENV;
	o.chunk_bytes = CHUNK_PAGES * card;
	o.vec_len = CHUNK_PAGES;
	o.threads = threads;
	return o;
}

static void open_and_close(void)
{
	struct cardmark_options o = options(1);
	struct cardmark *third = NULL;

	if (worked("cardmark_open", cardmark_open(&third, &o)))
		cardmark_close(&third);
}

static void new_table(void)
{
	struct cardmark_table *t = NULL;

	if (worked("cardmark_table_new", cardmark_table_new(&t, cm)))
		cardmark_table_delete(&t);
}

static void ask_about(void)
{
	struct cardmark_stats s = { .size = sizeof s };

	if (!cardmark_is_tracked(cm, page(0), 8 * card))
		trial_fail("a page that is tracked is not");
	if (cardmark_is_tracked(cm, mem, (PAGES + 1) * card))
		trial_fail("a page that is not tracked is");
	(void)worked("cardmark_stats", cardmark_stats(cm, &s));
}

/* ---- Children ------------------------------------------------------------------------- */

/* What was due at the fork is in a child's first answer, or the one after it. Of what its
 * parent is just untracking it need not be told. */
static void look_in_child(void)
{
	for (int n = 0; n < 2; n++)
		if (collect_with(cm, child_table) == CARDMARK_ALL_DIRTY)
			set_due(0, PAGES, false);
	for (size_t i = 0; i < NEW; i++)
		if (atomic_load(&due[i]) && (i < 20 || i >= OLD))
			trial_fail("LOST: page %zu is not in a child's answer", i);
	store(5);
	(void)collect_with(cm, child_table);
	if (!cardmark_table_is_dirty(child_table, page(5)))
		trial_fail("LOST: page 5 was written in a child and is not in its answer");
}

static void await_child(pid_t pid)
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
		_exit(1); /* it has said why */
}

static pid_t clone_without_handlers(void)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
}

static void fork_and_look(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		inject_stand_by();
		look_in_child();
		_exit(0);
	}
	await_child(pid);
}

static void clone_and_look(void)
{
	pid_t pid = clone_without_handlers();

	if (pid == 0) {
		inject_stand_by();
		look_in_child();
		_exit(0);
	}
	await_child(pid);
}

static void fork_only(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	await_child(pid);
}

/* ---- The call that is stopped ------------------------------------------------------------ */

static void call_collect(void)
{
	(void)collect_with(cm, call_table);
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
	(void)worked("cardmark_preclean", cardmark_preclean(cm));
}

static void call_track(void)
{
	track(CALL_TRACKS);
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
	cardmark_table_delete(&call_table);
	cardmark_close(&cm);
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
	(void)collect_with(cm, other_table);
	/* Whatever it said, it told of what was new. */
	atomic_store(&ignoring, false);
}

static void other_track(void)
{
	track(OTHER_TRACKS);
}

static void other_untrack(void)
{
	untrack(OTHER_UNTRACKS);
}

static void other_hold(void)
{
	hold_for_a_while(6);
}

/* All that were stopped go on by themselves, but for those that ended with a child. */
static void await_stopped(void)
{
	for (int n = 0; n < 3000; n++) {
		if (atomic_load(&inject->gone_on) >= atomic_load(&inject->stopped))
			return;
		(void)usleep(100);
	}
}

/* A call that waits for a late helper comes back without it: the memory goes to another
 * tracker then. */
static void take_over(void)
{
	struct cardmark_options o = options(1);

	for (int n = 0; !atomic_load(&call_is_over) && n < 300; n++)
		(void)usleep(100);
	set_due(0, PAGES, false);
	if (!worked("cardmark_untrack", cardmark_untrack(cm, mem, NEW * card)) ||
	    !worked("cardmark_open", cardmark_open(&second, &o)) ||
	    !worked("cardmark_table_new", cardmark_table_new(&second_table, second)) ||
	    !worked("cardmark_track", cardmark_track(second, mem, NEW * card, 0)))
		return;
	(void)collect_with(second, second_table);
	for (size_t i = 3; i < NEW; i += 4)
		store(i);
	inject_go();
	await_stopped();
	(void)usleep(1000); /* out of the kernel, too */
	if (duel.fault == DUEL_FORGETS)
		((struct pagemap *)second->backend)->owed_seen = cm_owed_seen();
	(void)collect_with(second, second_table);
	for (size_t i = 0; i < NEW; i++)
		if (atomic_load(&due[i]))
			trial_fail("LOST: page %zu was written and its next tracker does not know",
				   i);
	cardmark_table_delete(&second_table);
	cardmark_close(&second);
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

static bool is(const struct duel_side *side, const char *name)
{
	return strcmp(side->name, name) == 0;
}

bool duel_fits(const struct duel *d, unsigned capabilities, bool one_tracker)
{
	unsigned needs = d->call->needs | d->other->needs;
	bool both_suspend = is(d->call, "suspend") && is(d->other, "suspend");
	bool harvests = is(d->call, "collect") || is(d->call, "take") || is(d->call, "preclean");

	if ((needs & ~capabilities) != 0 || (d->call->places & 1u << d->place) == 0 ||
	    (d->other->places & 1u << d->place) == 0)
		return false;
	if (one_tracker && (d->call->second || d->other->second))
		return false;
	if (d->call->closes && d->other->asks)
		return false;
	if (TAP_ASAN && (d->other->clones || d->place == DUEL_RAW_CHILD))
		return false;
	if (d->threads > 1 && (!harvests || (capabilities & CARDMARK_CAP_CATEGORIES) == 0))
		return false;
	return !both_suspend && (!is(d->other, "another tracker") || harvests);
}

/* ---- Both -------------------------------------------------------------------------------------
 */

/* Each page is written by one of them, once. */
static void store_some(size_t first)
{
	if (!trial_can(CARDMARK_CAP_CONCURRENT) || duel.call->closes)
		return;
	for (size_t i = first; i < NEW; i += 8) {
		if (i >= 20 && i < OLD)
			continue;
		store(i);
		if (i >= OLD && atomic_load(&ignoring))
			atomic_store(&due[i], false);
	}
}

static void meanwhile(void)
{
	bool stores = !is(duel.other, "another tracker");

	if (stores)
		store_some(2);
	duel.other->run();
	if (stores)
		store_some(3);
	inject_go();
}

static void *other_thread(void *unused)
{
	inject_stand_by();
	while (atomic_load(&inject->stopped) == 0 && !atomic_load(&call_is_over))
		(void)usleep(50);
	meanwhile();
	return unused;
}

/* Once, and not within itself. */
static void handler(int sig)
{
	static atomic_bool ran;
	int saved = errno;

	(void)sig;
	if (!atomic_exchange(&ran, true))
		meanwhile();
	errno = saved;
}

static void run_both(void)
{
	pthread_t thread;
	bool in_thread = !duel.other->handler;

	if (in_thread && pthread_create(&thread, NULL, other_thread, NULL) != 0)
		trial_fail("no thread");
	duel.call->run();
	atomic_store(&call_is_over, true);
	if (in_thread)
		(void)pthread_join(thread, NULL);
	inject_go();
	await_stopped();
	if (duel.fault != DUEL_READS_NOTHING)
		inject_stop();
}

static void set_up(void)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;
	struct sigaction act = { .sa_handler = handler };
	unsigned char *p;

	card = cardmark_card_size();
	p = mmap(NULL, (PAGES + 2) * card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		trial_fail("no memory");
	mem = p + card;
	(void)mprotect(mem, PAGES * card, PROT_READ | PROT_WRITE);
	(void)madvise(mem, PAGES * card, MADV_NOHUGEPAGE);
	memset(mem, 1, PAGES * card);
	if (duel.other->handler)
		(void)sigaction(SIGUSR1, &act, NULL);
	o.backend = trial_backend();
	o.flags = CARDMARK_OPEN_NO_ENV;
	o.chunk_bytes = CHUNK_PAGES * card;
	o.vec_len = CHUNK_PAGES;
	o.threads = duel.threads;
	if (!worked("cardmark_open", cardmark_open(&cm, &o)))
		trial_fail("a tracker is busy before anybody is there");
	(void)cardmark_table_new(&call_table, cm);
	(void)cardmark_table_new(&other_table, cm);
	(void)cardmark_table_new(&child_table, cm);
	track(0, OLD);
	(void)collect_with(cm, call_table);
	if (atomic_load(&due[1]))
		trial_fail("LOST: what is tracked is not in the first answer");
	track(OLD, NEW);
	for (size_t i = 1; i < 20; i += 8)
		store(i);
	if (is(duel.call, "take old")) {
		set_due(OLD, NEW, false);
		atomic_store(&ignoring, true);
	}
}

/* ---- The end
 * ------------------------------------------------------------------------------------- */

static void nothing_is_due(void)
{
	enum cardmark_collected result = CARDMARK_ALL_DIRTY;

	for (int n = 0; n < 5 && result == CARDMARK_ALL_DIRTY; n++)
		result = collect_with(cm, call_table);
	if (result == CARDMARK_ALL_DIRTY)
		trial_fail("all is dirty for ever");
	for (size_t i = 0; i < PAGES; i++)
		if (atomic_load(&due[i]))
			trial_fail("LOST: page %zu was written and is in no answer", i);
}

static bool is_exact(size_t dirty)
{
	return collect_with(cm, call_table) == CARDMARK_EXACT &&
	       (!trial_can(CARDMARK_CAP_PRECISE) || cardmark_table_count(call_table) == dirty);
}

/* The uffd monitor may come to see what has failed only now. */
static void becomes_exact(void)
{
	bool exact = false;

	for (int n = 0; n < 20 && !exact; n++) {
		if (n > 2)
			(void)usleep(10000);
		exact = is_exact(0);
	}
	if (!exact)
		trial_fail("with nobody there any more a collect does not become exact");
	if (!cardmark_is_tracked(cm, page(8), card))
		return; /* another tracker has had it */
	store(8);
	if (!is_exact(1))
		trial_fail("one page is written, and a collect is not exact");
	if (atomic_load(&due[8]))
		trial_fail("LOST: page 8 was written and is in no answer");
}

static void memory_is_as_before(void)
{
	unsigned char had[PAGES];

	for (size_t i = 0; i < PAGES; i++) {
		had[i] = *page(i);
		*(volatile unsigned char *)page(i) = (unsigned char)(had[i] + 1);
	}
	for (size_t i = 0; i < PAGES; i++)
		if (had[i] < 1 || had[i] > 4)
			trial_fail("page %zu holds %u", i, had[i]);
}

static void in_child(void)
{
	run_both();
	look_in_child();
	cardmark_table_delete(&call_table);
	cardmark_table_delete(&other_table);
	cardmark_table_delete(&child_table);
	cardmark_close(&cm);
	memory_is_as_before();
	_exit(0);
}

static void run_in_place(void)
{
	pid_t pid;

	switch (duel.place) {
	case DUEL_FORK_CHILD:
		pid = fork();
		break;
	case DUEL_RAW_CHILD:
		pid = clone_without_handlers();
		break;
	default:
		run_both();
		return;
	}
	if (pid == 0)
		in_child();
	await_child(pid);
	inject_go();
	inject_stop();
}

void duel_act(void)
{
	inject_stop(); /* until it is set up */
	if (duel.fault == DUEL_INHERITS)
		break_by_keeping_descriptors(inject_table());
	set_up();
	inject_count_anew();
	run_in_place();
	if (cm != NULL) {
		nothing_is_due();
		becomes_exact();
		cardmark_table_delete(&call_table);
	}
	cardmark_table_delete(&other_table);
	cardmark_table_delete(&child_table);
	cardmark_close(&cm);
	memory_is_as_before();
}
