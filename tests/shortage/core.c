/* SPDX-License-Identifier: MIT
 *
 * Description: a client of the core in a process that is short of something (under.c): random
 * calls for a while. What is written is in the next answer that is not "all dirty", errors
 * have a reason, and memory is as writable at the end as at the beginning. When what was short
 * is there again, so is the backend, and its answers are exact.
 *
 * core BACKEND: status 1 and what is wrong, 77 if the backend never works here. */
#include "tests/shortage/client.h"

#include "tests/support/backends.h"
#include "tests/support/random.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define PAGES 96
#define SECONDS 0.2

static enum cardmark_backend backend;
static uint64_t rng;
static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem, value[PAGES];
static size_t card;
static bool tracked[PAGES], due[PAGES];
static bool suspended;

static unsigned char *page(size_t i)
{
	return mem + i * card;
}

/* The last calls, for whoever looks for what went wrong: a letter each, and a number. */
static char trace[60][12];
static size_t n_trace;

static void note_call(char letter, size_t number)
{
	(void)snprintf(trace[n_trace++ % 60], sizeof trace[0], "%c%zu", letter, number);
}

static const char *last_calls(void)
{
	static char text[60 * 13];
	size_t at = 0;

	for (size_t i = n_trace < 60 ? 0 : n_trace - 60; i < n_trace; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, " %s", trace[i % 60]);
	return text;
}

static void store(size_t i)
{
	*(volatile unsigned char *)page(i) = ++value[i];
	due[i] = tracked[i];
	note_call('w', i);
}

/* ---- Calls ------------------------------------------------------------------------- */

static bool opened(enum cardmark_backend which)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backend = which;
	o.flags = CARDMARK_OPEN_NO_ENV;
	o.chunk_bytes = 16 * card;
	if (!worked("cardmark_open", cardmark_open(&cm, &o), cardmark_last_error()))
		return false;
	if (which != CARDMARK_BACKEND_AUTO && described(cm).backend != which)
		wrong("another backend than asked for");
	if (worked("cardmark_table_new", cardmark_table_new(&table, cm), cardmark_last_error()))
		return true;
	cardmark_close(&cm);
	return false;
}

static void close_tracker(void)
{
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	memset(tracked, 0, sizeof tracked);
	memset(due, 0, sizeof due);
	suspended = false;
}

static void set_tracked(size_t from, size_t to, bool now)
{
	for (size_t i = from; i < to; i++)
		tracked[i] = due[i] = now;
}

static void track(size_t from, size_t to)
{
	unsigned flags = random_below(&rng, 2) == 0 ? CARDMARK_TRACK_PRIVATE : 0;
	int error = cardmark_track(cm, page(from), (to - from) * card, flags);

	note_call('t', from);
	note_call(error < 0 ? '-' : '+', to);
	if (worked("cardmark_track", error, cardmark_last_error()) ||
	    fault == TAKES_AN_ERROR_FOR_CLEAN)
		set_tracked(from, to, true);
	else if (backend == CARDMARK_BACKEND_ALLDIRTY && error != -ENOMEM)
		wrong("alldirty needs nothing, and track fails: %s", cardmark_last_error());
}

static void untrack(size_t from, size_t to)
{
	bool any = false;

	note_call('u', from);
	note_call('-', to);
	for (size_t i = from; i < to; i++)
		any |= tracked[i];
	if (any && worked("cardmark_untrack", cardmark_untrack(cm, page(from), (to - from) * card),
			  cardmark_last_error()))
		set_tracked(from, to, false);
}

static void collect(void)
{
	enum cardmark_collected result;

	cardmark_table_clear(table);
	result = cardmark_collect(cm, table);
	note_call('c', result);
	for (size_t i = 0; i < PAGES; i++)
		if (due[i] && !cardmark_table_is_dirty(table, page(i)))
			wrong("LOST: page %zu was written, and a collect that says %d has it "
			      "not:%s",
			      i, (int)result, last_calls());
	if (result != CARDMARK_ALL_DIRTY && !suspended)
		memset(due, 0, sizeof due);
}

static void take(void)
{
	struct cardmark_region regions[PAGES];
	struct cardmark_query q = { .size = sizeof q,
				    .start = mem,
				    .len = PAGES * card,
				    .op = CARDMARK_SCAN_GET_AND_CLEAR,
				    .required = CARDMARK_PAGE_WRITTEN,
				    .returned = CARDMARK_PAGE_WRITTEN,
				    .regions = regions,
				    .capacity = PAGES };
	bool reported[PAGES] = { false };

	if (suspended || !worked("cardmark_scan", cardmark_scan(cm, &q), cardmark_last_error()))
		return;
	if (q.resume != (uintptr_t)page(PAGES))
		wrong("a scan with room for all comes to no end");
	note_call('s', q.count);
	for (size_t r = 0; r < q.count; r++)
		for (uintptr_t at = regions[r].start; at < regions[r].end; at += card)
			reported[(at - (uintptr_t)mem) / card] = true;
	for (size_t i = 0; i < PAGES; i++)
		if (due[i] && !reported[i])
			wrong("LOST: page %zu was written, and a scan has it not", i);
	memset(due, 0, sizeof due);
}

static void preclean(void)
{
	int error = cardmark_preclean(cm);

	note_call('p', (size_t)-error);
	if (error != -ENOTSUP || (described(cm).capabilities & CARDMARK_CAP_CONCURRENT) != 0)
		(void)worked("cardmark_preclean", error, cardmark_last_error());
}

static void suspend_or_resume(void)
{
	note_call(suspended ? 'R' : 'S', 0);
	if (!suspended)
		suspended = worked("cardmark_suspend", cardmark_suspend(cm), cardmark_last_error());
	else
		suspended = !worked("cardmark_resume", cardmark_resume(cm), cardmark_last_error());
}

static void ask(void)
{
	struct cardmark_stats s = { .size = sizeof s };

	for (size_t i = 0; i < PAGES; i += 7)
		if (says_tracked(cm, page(i), card) != tracked[i] &&
		    fault != TAKES_AN_ERROR_FOR_CLEAN)
			wrong("page %zu is%s tracked", i, tracked[i] ? " not" : "");
	(void)worked("cardmark_stats", cardmark_stats(cm, &s), cardmark_last_error());
}

/* Every tracker needs some. */
static bool short_of_memory(void)
{
	return strstr(shortage(), "space") != NULL || strstr(shortage(), "mmap") != NULL;
}

static void probe(void)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes);

	(void)worked("cardmark_probe", n, cardmark_last_error());
	for (int i = 0; i < n; i++) {
		if (!probes[i].usable)
			(void)worked(cardmark_backend_name(probes[i].backend), -ENOTSUP,
				     probes[i].reason);
		if (!probes[i].usable && probes[i].backend == CARDMARK_BACKEND_ALLDIRTY &&
		    !short_of_memory())
			wrong("the probe says that alldirty, which needs nothing, does not work");
	}
}

static void fork_once(void)
{
	pid_t pid = fork();

	note_call('f', 0);
	if (pid == 0) {
		collect();
		if (tracked[5])
			store(5);
		collect();
		_exit(0);
	}
	if (pid > 0)
		wait_for_child(pid);
}

/* New memory in the place of old. */
static void map_anew(size_t from, size_t to)
{
	if (suspended || (described(cm).capabilities & CARDMARK_CAP_REMAP) == 0)
		return;
	if (mmap(page(from), (to - from) * card, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return;
	note_call('m', from);
	note_call('-', to);
	memset(value + from, 0, to - from);
	for (size_t i = from; i < to; i++)
		store(i);
}

static bool cancels(void)
{
	return strncmp(shortage(), "cancel", 6) == 0;
}

static void do_something(void)
{
	size_t from = random_below(&rng, PAGES), to = from + 1 + random_below(&rng, PAGES / 3);

	if (to > PAGES)
		to = PAGES;
	for (int i = 0; i < 6; i++)
		store(random_below(&rng, PAGES));
	switch (random_below(&rng, 20)) {
	case 0:
	case 1:
		track(from, to);
		break;
	case 2:
		untrack(from, to);
		break;
	case 3:
	case 4:
		take();
		break;
	case 5:
		preclean();
		break;
	case 6:
		suspend_or_resume();
		break;
	case 7:
		map_anew(from, to);
		break;
	case 8:
		ask();
		break;
	case 9:
		/* Its wait is a cancellation point. */
		if (random_below(&rng, 4) == 0 && !cancels())
			fork_once();
		break;
	case 10:
		if (random_below(&rng, 4) == 0)
			probe();
		break;
	default:
		collect();
	}
}

/* ---- Cancellation ----------------------------------------------------------------------- */

static _Atomic bool turn;

/* Cancelled between its calls, and in none of them. */
static void *do_until_cancelled(void *arg)
{
	for (;;) {
		atomic_store(&turn, true);
		do_something();
		atomic_store(&turn, false);
		pthread_testcancel();
	}
	return arg;
}

static void do_something_and_be_cancelled(void)
{
	pthread_t thread;
	void *result;

	if (pthread_create(&thread, NULL, do_until_cancelled, NULL) != 0)
		return;
	(void)usleep((useconds_t)random_below(&rng, 3000));
	(void)pthread_cancel(thread);
	(void)pthread_join(thread, &result);
	if (atomic_load(&turn))
		wrong("a thread was cancelled inside a call");
}

/* ---- All ------------------------------------------------------------------------------------ */

static unsigned opens, refused;

static void one_tracker(void)
{
	if (!opened(backend)) {
		refused++;
		/* There is always one that works: but memory may be what is short. */
		if (!opened(CARDMARK_BACKEND_AUTO)) {
			if (strstr(shortage(), "space") == NULL &&
			    strstr(shortage(), "mmap") == NULL)
				wrong("no backend at all works: %s", cardmark_last_error());
			return;
		}
	} else {
		opens++;
	}
	track(0, PAGES / 2);
	for (unsigned n = 40 + (unsigned)random_below(&rng, 100); n > 0; n--)
		if (cancels())
			do_something_and_be_cancelled(), n -= n > 20 ? 20 : n - 1;
		else
			do_something();
	close_tracker();
}

static void memory_is_as_before(void)
{
	if (fault == LEAVES_MEMORY_PROTECTED)
		(void)mprotect(page(17), card, PROT_READ);
	for (size_t i = 0; i < PAGES; i++) {
		if (*page(i) != value[i])
			wrong("page %zu holds %u, not %u", i, *page(i), value[i]);
		store(i);
	}
}

static void works_again(void)
{
	well = true;
	if (!opened(backend))
		return;
	track(0, PAGES);
	for (int n = 0; n < 5; n++)
		collect();
	store(9);
	cardmark_table_clear(table);
	if (cardmark_collect(cm, table) != CARDMARK_EXACT)
		wrong("nothing is short any more, and a collect is not exact");
	if (!cardmark_table_is_dirty(table, page(9)))
		wrong("LOST: page 9 was written");
	close_tracker();
	memory_is_as_before();
}

int main(int argc, char **argv)
{
	double end;

	if (argc != 2 || cardmark_backend_parse(argv[1], &backend) < 0)
		return 2;
	read_fault();
	card = cardmark_card_size();
	rng = shortage_seed() * 77 + 5;
	mem = mmap(NULL, PAGES * card, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return 77;
	(void)madvise(mem, PAGES * card, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i++)
		store(i);
	end = cm_now_seconds() + SECONDS;
	do
		one_tracker();
	while (cm_now_seconds() < end);
	memory_is_as_before();
	if (opens > 0 && end_shortage())
		works_again();
	return opens == 0 ? 77 : 0;
}
