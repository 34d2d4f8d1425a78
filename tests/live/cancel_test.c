/* SPDX-License-Identifier: MIT
 *
 * Description: a thread with a cancellation pending returns from every call of cardmark.h and
 * from a store that traps, and its work is complete: the tracker works, is not locked, and can
 * fork. The control puts a cancellation point under the library: there the thread ends in the
 * middle of a call. */
#include "cardmark/process.h"
#include "tests/support/fixture.h"

#include "tests/support/backends.h"
#include "tests/support/broken_os.h"
#include "tests/support/gate.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- A thread that is to end -------------------------------------------------------------- */

static _Atomic bool came_back;
static void (*to_do)(void);

static void *cancelled(void *arg)
{
	(void)arg;
	(void)pthread_cancel(pthread_self()); /* pending: this is no cancellation point */
	to_do();
	came_back = true;
	pthread_testcancel();
	return NULL;
}

/* Does a thread return from the call? It is cancelled only after that. */
static bool comes_back(void (*fn)(void))
{
	pthread_t thread;
	void *result = NULL;

	to_do = fn;
	came_back = false;
	CHECK_EQ(pthread_create(&thread, NULL, cancelled, NULL), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	return came_back;
}

static void harvest_in_child(void *arg)
{
	(void)arg;
	(void)live_collect(cm, table);
	write_card(7);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(7)));
}

static void check_whole(void)
{
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0); /* -EBUSY if locked */
	(void)live_collect(cm, table);
	cardmark_table_clear(table);
	write_card(2);
	CHECK_EQ(cardmark_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
	memset(want, 0, sizeof want);
	if (!TAP_TSAN)
		CHECK_EQ(tap_in_child(harvest_in_child, NULL), 0);
}

/* ---- Each call ------------------------------------------------------------------------------- */

static struct cardmark *other;
static struct cardmark_table *others;
static struct cardmark_process *process;
static struct cardmark_region regions[8];

static struct cardmark_query all_of_it(enum cardmark_scan_op op)
{
	struct cardmark_query q = { .size = sizeof q,
				    .start = mem,
				    .len = CARDS * live_card,
				    .op = op,
				    .required = op == CARDMARK_SCAN_GET ? 0 : CARDMARK_PAGE_WRITTEN,
				    .any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED,
				    .returned = CARDMARK_PAGE_PRESENT,
				    .regions = regions,
				    .capacity = 8 };

	return q;
}

static void names(void)
{
	enum cardmark_backend backend;

	(void)cardmark_version();
	(void)cardmark_card_size();
	(void)cardmark_strerror(-EIO);
	(void)cardmark_last_error();
	(void)cardmark_backend_name(CARDMARK_BACKEND_UFFD);
	(void)cardmark_backend_parse("nonesuch", &backend);
	(void)described(cm);
}

static void probe(void)
{
	struct cardmark_probe p[PROBES];

	(void)probe_all(p);
}

/* A second tracker if the backend allows it, with helpers and hashes. */
static void open_and_close(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backend = live_backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	options.threads = 3;
	options.verify = CARDMARK_VERIFY_HASH;
	if (cardmark_open(&other, &options) == 0 && cardmark_table_new(&others, other) == 0)
		(void)cardmark_collect(other, others);
	cardmark_table_delete(&others);
	cardmark_close(&other);
}

static void track(void)
{
	(void)cardmark_track(cm, mem, CARDS * live_card, 0);
}

static void track_told(void)
{
	(void)cardmark_track(cm, mem, CARDS * live_card, CARDMARK_TRACK_PRIVATE);
}

static void untrack(void)
{
	(void)cardmark_untrack(cm, card_at(4), 8 * live_card);
}

static void is_tracked(void)
{
	(void)says_tracked(cm, mem, live_card);
}

static void tables(void)
{
	struct cardmark_table *t = NULL;
	struct cardmark_run run;

	(void)cardmark_table_new(&t, cm);
	(void)cardmark_table_union(t, table);
	(void)cardmark_table_is_dirty(t, mem);
	(void)cardmark_table_next(t, 0, UINTPTR_MAX, &run);
	(void)cardmark_table_all_dirty(t);
	(void)cardmark_table_count(t);
	(void)cardmark_table_clear_range(t, mem, live_card);
	cardmark_table_clear(t);
	cardmark_table_delete(&t);
}

static void collect(void)
{
	(void)cardmark_collect(cm, table);
}

static void preclean(void)
{
	(void)cardmark_preclean(cm);
}

static void hold(void)
{
	(void)cardmark_hold(cm, mem, live_card);
	(void)cardmark_release(cm, mem, live_card);
}

static void discarded(void)
{
	(void)cardmark_discarded(cm, table);
}

static void suspend(void)
{
	(void)cardmark_suspend(cm);
	(void)cardmark_resume(cm);
}

static void set_action(void)
{
	struct sigaction was;

	(void)cardmark_sigaction(SIGSEGV, NULL, &was);
	(void)cardmark_sigaction(SIGSEGV, &was, NULL);
}

static void look(void)
{
	struct cardmark_query q = all_of_it(CARDMARK_SCAN_GET);

	(void)cardmark_scan(cm, &q);
}

static void look_and_clear(void)
{
	struct cardmark_query q = all_of_it(CARDMARK_SCAN_GET_AND_CLEAR);

	(void)cardmark_scan(cm, &q);
}

static void another_process(void)
{
	struct cardmark_query q = all_of_it(CARDMARK_SCAN_GET);

	if (cardmark_process_open(&process, getpid()) == 0) {
		(void)cardmark_process_categories(process);
		(void)cardmark_process_scan(process, &q);
	}
	cardmark_process_close(&process);
}

static void stats(void)
{
	struct cardmark_stats s = { .size = sizeof s };

	(void)cardmark_stats(cm, &s);
}

/* Descriptors that the program has closed are opened again. */
static void collect_anew(void)
{
	for (int fd = 200; fd < 260; fd++)
		(void)close_range((unsigned)fd, (unsigned)fd, 0);
	(void)cardmark_collect(cm, table);
}

static void store(void)
{
	for (size_t i = 0; i < CARDS; i += 3)
		live_store(card_at(i), 9);
}

static const struct {
	const char *name;
	void (*fn)(void);
} calls[] = {
	{ "names", names },
	{ "probe", probe },
	{ "open and close", open_and_close },
	{ "track", track },
	{ "track, told what is there", track_told },
	{ "untrack", untrack },
	{ "is_tracked", is_tracked },
	{ "tables", tables },
	{ "collect", collect },
	{ "collect with files closed", collect_anew },
	{ "preclean", preclean },
	{ "hold and release", hold },
	{ "discarded", discarded },
	{ "suspend and resume", suspend },
	{ "sigaction", set_action },
	{ "scan", look },
	{ "scan and clear", look_and_clear },
	{ "another process", another_process },
	{ "stats", stats },
	{ "stores", store },
};

static void try_all(void)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		bool back = comes_back(calls[i].fn);

		if (!back)
			tap_note("cancelled inside: %s", calls[i].name);
		CHECK(back);
		check_whole();
	}
}

static void no_call_is_a_cancellation_point(void)
{
	set_up_with(CARDMARK_OPEN_DISCARDS);
	try_all();
}

/* Their reports are checked, too. */
static void stores_are_whole(void)
{
	set_up();
	for (unsigned round = 0; round < 20; round++) {
		for (size_t i = 0; i < CARDS; i += 3)
			want[i] = true;
		CHECK(comes_back(store));
		collect_and_compare();
	}
}

/* ---- A thread that may be cancelled between any two instructions --------------------------- */

static pthread_t storing;
static _Atomic bool is_storing, unmask;

/* The handler of the trap calls it and holds the lock. */
static int mprotect_that_waits_for_the_cancel(uintptr_t addr, size_t len, int prot)
{
	sigset_t none;

	if (is_storing && pthread_equal(pthread_self(), storing)) {
		(void)sigemptyset(&none);
		if (unmask)
			(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
		pass_gate();
	}
	return cm_os_linux.mprotect(addr, len, prot);
}

static void *stores_for_ever(void *arg)
{
	(void)arg;
	(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	storing = pthread_self();
	is_storing = true;
	for (;;)
		live_store(card_at(3), (unsigned char)(*card_at(3) + 1));
	return NULL;
}

static void cancel_in_a_trap(void)
{
	struct cm_os *os = broken_os_begin();
	pthread_t thread;

	os->mprotect = mprotect_that_waits_for_the_cancel;
	set_up();
	shut_gate();
	CHECK_EQ(pthread_create(&thread, NULL, stores_for_ever, NULL), 0);
	await(&gate_reached);
	CHECK_EQ(pthread_cancel(thread), 0);
	open_gate();
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void a_trap_comes_first(void *arg)
{
	(void)arg;
	cancel_in_a_trap();
	want[3] = true;
	exact_then_clean();
	write_card(5);
	exact_then_clean();
	_exit(0);
}

static void a_trap_does_not_come_first(void *arg)
{
	(void)arg;
	unmask = true;
	cancel_in_a_trap();
	/* A thread that has ended still holds the lock. */
	CHECK_EQ(cardmark_collect(cm, table), CARDMARK_GUESSED);
	_exit(0); /* not by closing anything */
}

static void a_trap_is_finished_before_the_thread_ends(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer takes signals for itself");
	CHECK_EQ(tap_in_child(a_trap_comes_first, NULL), 0);
	CHECK_EQ(tap_in_child(a_trap_does_not_come_first, NULL), 0);
}

/* ---- The control ---------------------------------------------------------------------------- */

static int covered_with_a_point(uintptr_t addr, size_t len)
{
	pthread_testcancel();
	return cm_os_linux.covered(addr, len);
}

static int vma_at_with_a_point(uintptr_t addr, struct cm_vma *out)
{
	pthread_testcancel();
	return cm_os_linux.vma_at(addr, out);
}

static void cancel_inside(void *arg)
{
	struct cm_os *os = broken_os_begin();

	(void)arg;
	os->covered = covered_with_a_point;
	os->vma_at = vma_at_with_a_point;
	set_up();
	CHECK(!comes_back(track));
	/* Locked for ever. */
	CHECK_EQ(cardmark_collect(cm, table), CARDMARK_ALL_DIRTY);
	CHECK_EQ(cardmark_untrack(cm, mem, live_card), -EBUSY);
	_exit(0); /* not by closing anything */
}

static void a_point_under_the_library_is_found(void)
{
	if (TAP_ASAN || TAP_TSAN)
		tap_skip("what a sanitizer puts before the C library's calls is no cancellation "
			 "point");
	CHECK_EQ(tap_in_child(cancel_inside, NULL), 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "no call is a cancellation point", no_call_is_a_cancellation_point, 0, 0 },
		{ "nor is a store that traps", stores_are_whole, 0, 0 },
		{ "a trap is finished before an asynchronous cancellation",
		  a_trap_is_finished_before_the_thread_ends, 0, LIVE_ONLY(MPROTECT) },
		{ "a point under the library is found", a_point_under_the_library_is_found, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
