/* SPDX-License-Identifier: MIT */
#include "tests/soundness/faults/duel_stage.h"

#include "tests/soundness/faults/trial.h"
#include "tests/support/backends.h"
#include "tests/support/broken_os.h"
#include "tests/support/inject_os.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct duel duel;
struct duel_stage stage;

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

/* Each page is written once, by one of them. */
static void store_some(size_t first)
{
	if (!trial_can(CARDMARK_CAP_CONCURRENT) || duel.call->closes)
		return;
	for (size_t i = first; i < NEW; i += 8) {
		if (i >= 20 && i < OLD)
			continue;
		store(i);
		if (i >= OLD && atomic_load(&stage.ignoring))
			atomic_store(&stage.due[i], false);
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
	while (atomic_load(&inject->stopped) == 0 && !atomic_load(&stage.call_is_over))
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
	atomic_store(&stage.call_is_over, true);
	if (in_thread)
		(void)pthread_join(thread, NULL);
	inject_go();
	duel_await_stopped();
	if (duel.fault != DUEL_READS_NOTHING)
		inject_stop();
}

static void set_up(void)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;
	struct sigaction act = { .sa_handler = handler };
	unsigned char *p;

	stage.card = cardmark_card_size();
	p = mmap(NULL, (PAGES + 2) * stage.card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		trial_fail("no memory");
	stage.mem = p + stage.card;
	(void)mprotect(stage.mem, PAGES * stage.card, PROT_READ | PROT_WRITE);
	(void)madvise(stage.mem, PAGES * stage.card, MADV_NOHUGEPAGE);
	memset(stage.mem, 1, PAGES * stage.card);
	if (duel.other->handler)
		(void)sigaction(SIGUSR1, &act, NULL);
	o.backend = trial_backend();
	o.flags = CARDMARK_OPEN_NO_ENV;
	o.chunk_bytes = CHUNK_PAGES * stage.card;
	o.vec_len = CHUNK_PAGES;
	o.threads = duel.threads;
	if (!duel_worked("cardmark_open", cardmark_open(&stage.cm, &o)))
		trial_fail("a tracker is busy before anybody is there");
	(void)cardmark_table_new(&stage.call_table, stage.cm);
	(void)cardmark_table_new(&stage.other_table, stage.cm);
	(void)cardmark_table_new(&stage.child_table, stage.cm);
	duel_track(0, OLD);
	(void)duel_collect_with(stage.cm, stage.call_table);
	if (atomic_load(&stage.due[1]))
		trial_fail("LOST: what is tracked is not in the first answer");
	duel_track(OLD, NEW);
	for (size_t i = 1; i < 20; i += 8)
		store(i);
	if (is(duel.call, "take old")) {
		set_due(OLD, NEW, false);
		atomic_store(&stage.ignoring, true);
	}
}

/* ---- The end
 * ------------------------------------------------------------------------------------- */

static void nothing_is_due(void)
{
	enum cardmark_collected result = CARDMARK_ALL_DIRTY;

	for (int n = 0; n < 5 && result == CARDMARK_ALL_DIRTY; n++)
		result = duel_collect_with(stage.cm, stage.call_table);
	if (result == CARDMARK_ALL_DIRTY)
		trial_fail("all is dirty for ever");
	for (size_t i = 0; i < PAGES; i++)
		if (atomic_load(&stage.due[i]))
			trial_fail("LOST: page %zu was written and is in no answer", i);
}

static bool is_exact(size_t dirty)
{
	return duel_collect_with(stage.cm, stage.call_table) == CARDMARK_EXACT &&
	       (!trial_can(CARDMARK_CAP_PRECISE) ||
		cardmark_table_count(stage.call_table) == dirty);
}

/* The uffd monitor may notice the failure only now. */
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
	if (!says_tracked(stage.cm, page(8), stage.card))
		return; /* another tracker has had it */
	store(8);
	if (!is_exact(1))
		trial_fail("one page is written, and a collect is not exact");
	if (atomic_load(&stage.due[8]))
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
	duel_look_in_child();
	cardmark_table_delete(&stage.call_table);
	cardmark_table_delete(&stage.other_table);
	cardmark_table_delete(&stage.child_table);
	cardmark_close(&stage.cm);
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
		pid = duel_clone_without_handlers();
		break;
	default:
		run_both();
		return;
	}
	if (pid == 0)
		in_child();
	duel_await_child(pid);
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
	if (stage.cm != NULL) {
		nothing_is_due();
		becomes_exact();
		cardmark_table_delete(&stage.call_table);
	}
	cardmark_table_delete(&stage.other_table);
	cardmark_table_delete(&stage.child_table);
	cardmark_close(&stage.cm);
	memory_is_as_before();
}
