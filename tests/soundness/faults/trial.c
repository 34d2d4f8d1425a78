/* SPDX-License-Identifier: MIT */
#include "tests/soundness/faults/trial_state.h"

#include "tests/support/backends.h"
#include "tests/support/inject_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_PAGES 8

struct trial t;

_Noreturn void trial_fail(const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (n > 0)
		(void)!write(t.report, text, strlen(text));
	_exit(1);
}

bool trial_can(unsigned capability)
{
	return (t.capabilities & capability) != 0;
}

enum cardmark_backend trial_backend(void)
{
	return t.backend;
}

static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

void trial_begin(enum cardmark_backend backend, unsigned capabilities, int report)
{
	unsigned char *p;

	memset(&t, 0, sizeof t);
	t.backend = backend;
	t.capabilities = capabilities;
	t.report = report;
	t.card = cardmark_card_size();
	t.descriptors = count_descriptors();
	/* A page without access on each side, so that no neighbour merges with it. */
	p = mmap(NULL, (TRIAL_PAGES + 2) * t.card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		trial_fail("no memory for the trial");
	t.mem = p + t.card;
	(void)mprotect(t.mem, TRIAL_PAGES * t.card, PROT_READ | PROT_WRITE);
	(void)madvise(t.mem, TRIAL_PAGES * t.card, MADV_NOHUGEPAGE);
}

/* ---- Calls that may fail --------------------------------------------------------- */

static bool in_closed_list(int error)
{
	static const int list[] = { -EINVAL, -ENOMEM, -ENOTSUP, -EPERM, -ENOENT, -EBUSY, -EIO };

	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (list[i] == error)
			return true;
	return false;
}

static char before_call[320];
static unsigned failed_calls;

/* Sets an error text that the next call cannot leave. */
void trial_start_call(void)
{
	enum cardmark_backend unused;

	(void)cardmark_backend_parse("none of ours", &unused);
	(void)snprintf(before_call, sizeof before_call, "%s", cardmark_last_error());
}

bool trial_over(const char *call, int error)
{
	if (error >= 0) {
		failed_calls = 0;
		return true;
	}
	if (!in_closed_list(error))
		trial_fail("%s: %d is not of the closed list", call, error);
	if (*cardmark_last_error() == '\0' || strcmp(cardmark_last_error(), before_call) == 0)
		trial_fail("%s: %s, without a word", call, cardmark_strerror(error));
	if (atomic_load_explicit(&inject->fired, memory_order_relaxed) == 0)
		trial_fail("%s fails without a fault: %s", call, cardmark_last_error());
	if (failed_calls++ != 0 && t.cold && inject->fault.on &&
	    (error == -ENOTSUP || error == -EPERM)) {
		/* If the call fails at every try, the probe takes the kernel for one without
		 * it. */
		trial_end(2);
		_exit(0);
	}
	/* The monitor may notice the failure only now. */
	if (failed_calls > (t.backend == CARDMARK_BACKEND_UFFD ? 2 : 1))
		trial_fail("%s still fails: %s", call, cardmark_last_error());
	if (inject->fault.on)
		inject_stop();
	return false;
}

void trial_is_cold(void)
{
	t.cold = true;
}

void trial_share(unsigned threads)
{
	t.threads = threads;
	inject_stop_clock(); /* a helper that is late costs exactness */
}

static void open_tracker(unsigned flags)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	int error;

	options.backend = t.backend;
	options.flags = flags | CARDMARK_OPEN_NO_ENV;
	options.chunk_bytes = CHUNK_PAGES * t.card;
	options.vec_len = CHUNK_PAGES;
	options.threads = t.threads;
	do {
		trial_start_call();
		error = cardmark_open(&t.cm, &options);
		if (error < 0 && t.cm != NULL)
			trial_fail("cardmark_open fails and hands out a tracker");
	} while (!trial_over("cardmark_open", error));
	if (described(t.cm).backend != t.backend)
		trial_fail("another backend than asked for");
}

void trial_open(unsigned flags)
{
	t.discards = flags & (CARDMARK_OPEN_DISCARDS | CARDMARK_OPEN_DISCARD_IS_WRITE);
	t.discard_is_write = flags & CARDMARK_OPEN_DISCARD_IS_WRITE;
	t.guesses = 0;
	open_tracker(flags);
	DO("cardmark_table_new", cardmark_table_new(&t.table, t.cm));
}

void trial_close(void)
{
	cardmark_table_delete(&t.table);
	trial_consumer_delete(0);
	cardmark_close(&t.cm);
	trial_consumer_delete(1); /* after it, which is allowed */
	memset(t.tracked, 0, sizeof t.tracked);
	memset(t.held, 0, sizeof t.held);
	memset(t.due, 0, sizeof t.due);
	memset(t.known_full, 0, sizeof t.known_full);
	memset(t.gone, 0, sizeof t.gone);
}

static void check_tracked(const char *call)
{
	for (size_t i = 0; i < TRIAL_PAGES; i++)
		if (says_tracked(t.cm, page(i), t.card) != t.tracked[i])
			trial_fail("%s: page %zu is%s tracked", call, i,
				   t.tracked[i] ? " not" : "");
}

void trial_track(size_t from, size_t to)
{
	int error;

	do {
		trial_start_call();
		error = cardmark_track(t.cm, page(from), (to - from) * t.card, 0);
		if (error < 0)
			check_tracked("a cardmark_track that failed");
	} while (!trial_over("cardmark_track", error));
	for (size_t i = from; i < to; i++) {
		t.tracked[i] = true;
		set_due(i, t.full[i] || t.held[i]);
	}
	check_tracked("cardmark_track");
}

void trial_untrack(size_t from, size_t to)
{
	int error;

	do {
		trial_start_call();
		error = cardmark_untrack(t.cm, page(from), (to - from) * t.card);
		if (error < 0)
			check_tracked("a cardmark_untrack that failed");
	} while (!trial_over("cardmark_untrack", error));
	for (size_t i = from; i < to; i++) {
		t.tracked[i] = t.known_full[i] = t.gone[i] = false;
		set_due(i, false);
	}
	check_tracked("cardmark_untrack");
}

void trial_preclean(void)
{
	DO("cardmark_preclean", cardmark_preclean(t.cm));
}

void trial_hold(size_t from, size_t to)
{
	DO("cardmark_hold", cardmark_hold(t.cm, page(from), (to - from) * t.card));
	for (size_t i = from; i < to; i++) {
		t.held[i] = true;
		set_due(i, t.tracked[i]);
	}
}

void trial_release(size_t from, size_t to)
{
	DO("cardmark_release", cardmark_release(t.cm, page(from), (to - from) * t.card));
	for (size_t i = from; i < to; i++)
		t.held[i] = false; /* due once more */
}

static void all_is_due(void)
{
	for (size_t i = 0; i < TRIAL_PAGES; i++)
		set_due(i, t.tracked[i] && t.full[i]);
}

void trial_suspend(void)
{
	DO("cardmark_suspend", cardmark_suspend(t.cm));
	t.suspended = true;
	all_is_due();
}

void trial_resume(void)
{
	DO("cardmark_resume", cardmark_resume(t.cm));
	t.suspended = false;
	all_is_due();
}

/* ---- The program ------------------------------------------------------------------ */

void trial_store(size_t i)
{
	*(volatile unsigned char *)page(i) = ++t.value[i];
	t.full[i] = true;
	set_due(i, t.tracked[i]);
	t.gone[i] = false;
}

void trial_store_all(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		trial_store(i);
}

static void emptied(size_t i)
{
	t.gone[i] = t.discards && t.tracked[i] && t.full[i] && t.known_full[i];
	t.full[i] = false;
	t.value[i] = 0;
	set_due(i, t.held[i] && t.tracked[i]); /* dropping is no write (R7) */
}

void trial_drop(size_t from, size_t to)
{
	if (madvise(page(from), (to - from) * t.card, MADV_DONTNEED) != 0)
		trial_fail("MADV_DONTNEED fails");
	for (size_t i = from; i < to; i++)
		emptied(i);
}

void trial_remap(size_t from, size_t to)
{
	if (mmap(page(from), (to - from) * t.card, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		trial_fail("mmap fails");
	(void)madvise(page(from), (to - from) * t.card, MADV_NOHUGEPAGE);
	for (size_t i = from; i < to; i++)
		emptied(i);
	trial_store_all(from, to);
}

/* ---- Beginning and end ---------------------------------------------------------------- */

void trial_is_child(void)
{
	t.child = true;
	all_is_due();
	t.guesses = trial_guesses();
}

/* The uffd backend starts no thread while the world is stopped: a fork child whose monitor
 * could not be started stays all dirty for ever. */
static bool may_stay_inexact(void)
{
	return t.child && t.backend == CARDMARK_BACKEND_UFFD &&
	       atomic_load_explicit(&inject->fired, memory_order_relaxed) != 0;
}

static bool is_exact(void)
{
	return t.result == CARDMARK_EXACT && (t.extra == 0 || !trial_can(CARDMARK_CAP_PRECISE)) &&
	       trial_consumers_exact();
}

/* Nothing written, then some pages. */
static bool is_well(void)
{
	bool exact;

	for (int i = 0; i < 3; i++) {
		trial_collect();
		trial_consumers_collect();
	}
	exact = is_exact();
	for (size_t i = 3; i < TRIAL_PAGES; i += 4)
		trial_store(i);
	trial_collect();
	trial_consumers_collect();
	return exact && is_exact();
}

void trial_heal(void)
{
	/* The monitor may notice the failure only after this. */
	int rounds = t.backend == CARDMARK_BACKEND_UFFD ? 3 : 1;
	bool well = false;

	inject_stop();
	for (int i = 0; i < rounds && !well; i++)
		well = is_well();
	if (!well && !may_stay_inexact())
		trial_fail("with the fault gone a collect says %d and reports %zu pages too many",
			   (int)t.result, t.extra);
	for (size_t i = 0; i < TRIAL_PAGES; i++)
		if (*(volatile unsigned char *)page(i) != t.value[i])
			trial_fail("the contents of page %zu have changed", i);
}

void trial_end(int more)
{
	int now = count_descriptors();
	enum inject_call call = inject->fault.call;
	bool failed = atomic_load_explicit(&inject->fired, memory_order_relaxed) != 0;

	/* Memory that can't be unmapped, or is not known to be ours, stays. */
	if (now > t.descriptors && !(failed && call == INJECT_fd_is))
		trial_fail("%d descriptors are left open", now - t.descriptors);
	if (atomic_load_explicit(&inject->maps, memory_order_relaxed) > more &&
	    !(failed && call == INJECT_unmap))
		trial_fail("%d mappings are left",
			   atomic_load_explicit(&inject->maps, memory_order_relaxed));
}
