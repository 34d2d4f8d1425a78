/* SPDX-License-Identifier: MIT
 *
 * LD_PRELOAD this into a program whose malloc is jemalloc's to put all its arenas under
 * a tracker, and collect every so often with its threads stopped. It stresses and demonstrates
 * the jemalloc adapter, and has no other use: README.md.
 *
 * CARDS_OUT=FILE gets a line for each collect, and the counts at exit; without it nothing is
 * done. CARDS_INTERVAL_MS=N: 100 if not set. CARDS_DROP=1 is the negative control: behind the
 * library's back the kernel is told to forget some of what was written. */
#include "world.h"

#include "lib/os/uapi.h"

#include <cardmark/jemalloc.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MOST_ARENAS 64
#define DROP_EVERY ((uintptr_t)4 << 20)
#define DROP ((uintptr_t)1 << 20)

static struct {
	const char *out;
	unsigned long interval_ms;
	bool drop;
	pid_t pid;
	struct cardmark *cm;
	struct cardmark_table *table;
	struct cardmark_jemalloc *arenas[MOST_ARENAS];
	unsigned n_arenas, n_live; /* under watch; of them, those that held memory before */
	pthread_t thread;
	atomic_bool over;
	int pagemap, progress;
	/* The thread's counts. */
	unsigned long rounds, failed_stops, runs, walked, dropped;
	uint64_t stopped_ns, longest_ns;
} state;

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- The thread ---------------------------------------------------------------------- */

/* Clears the written marks in [start, end): those writes are lost. */
static void forget(uintptr_t start, uintptr_t end)
{
	struct page_region regions[64];
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .flags = PM_SCAN_WP_MATCHING,
				   .end = end,
				   .vec = (uintptr_t)regions,
				   .vec_len = sizeof regions / sizeof *regions,
				   .category_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT,
				   .return_mask = PAGE_IS_WRITTEN };
	int n;

	for (uintptr_t at = start; at < end; at = arg.walk_end) {
		arg.start = at;
		n = ioctl(state.pagemap, PAGEMAP_SCAN, &arg);
		if (n < 0 || arg.walk_end <= at)
			return;
		for (int i = 0; i < n; i++)
			state.dropped += (regions[i].end - regions[i].start) / cardmark_card_size();
	}
}

static void drop_some(struct cardmark_jemalloc *je)
{
	struct cardmark_jemalloc_range r;

	for (uintptr_t at = 0; cardmark_jemalloc_next_range(je, at, &r); at = r.end)
		for (uintptr_t start = r.start; start < r.end; start += DROP_EVERY)
			forget(start, r.end - start < DROP ? r.end : start + DROP);
}

/* What a collector does with the answer: it goes through it, and reads what is there. */
static void walk(struct cardmark_jemalloc *je)
{
	struct cardmark_run run;

	for (uintptr_t at = 0; cardmark_jemalloc_next_dirty(je, state.table, at, UINTPTR_MAX, &run);
	     at = run.end) {
		state.runs++;
		state.walked += (run.end - run.start) / cardmark_card_size();
	}
}

static void collect(void)
{
	uint64_t start = now(), taken;

	if (!world_stop()) {
		state.failed_stops++;
		return;
	}
	for (unsigned i = 0; state.drop && i < state.n_arenas; i++)
		drop_some(state.arenas[i]);
	cardmark_table_clear(state.table);
	/* They share a tracker: one collect is enough for all. */
	(void)cardmark_jemalloc_collect(state.arenas[0], state.table);
	for (unsigned i = 0; i < state.n_arenas; i++)
		walk(state.arenas[i]);
	world_go_on();
	taken = now() - start;
	state.rounds++;
	state.stopped_ns += taken;
	if (taken > state.longest_ns)
		state.longest_ns = taken;
	if (write(state.progress, "collected\n", 10) != 10)
		state.failed_stops++;
}

static void *run(void *arg)
{
	struct timespec rest = { .tv_sec = (time_t)(state.interval_ms / 1000),
				 .tv_nsec = (long)(state.interval_ms % 1000) * 1000000 };

	while (!atomic_load_explicit(&state.over, memory_order_acquire)) {
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
		collect();
	}
	return arg;
}

/* ---- Start ------------------------------------------------------------------------------ */

static bool complain(const char *what, const char *why)
{
	(void)fprintf(stderr, "cards: %s: %s\n", what, why);
	return false;
}

static bool adopt_all(cardmark_mallctl mallctl)
{
	unsigned n = 0, own = 0;
	size_t size = sizeof n;

	if (mallctl("arenas.narenas", &n, &size, NULL, 0) != 0)
		return complain("arenas.narenas", "jemalloc does not return it");
	for (unsigned i = 0; i < n && state.n_arenas < MOST_ARENAS; i++) {
		struct cardmark_jemalloc **je = &state.arenas[state.n_arenas];
		int error = cardmark_jemalloc_adopt(je, state.cm, mallctl, i, 0);

		if (error == 0 && own == 0)
			own = i;
		if (error == -EBUSY) {
			error = cardmark_jemalloc_adopt(je, state.cm, mallctl, i,
							CARDMARK_JEMALLOC_BEST_EFFORT);
			state.n_live += error == 0;
		}
		if (error < 0)
			return complain("adopt", cardmark_last_error());
		state.n_arenas++;
	}
	/* The arena that this thread has used so far holds what is not tracked. */
	if (own != 0 && mallctl("thread.arena", NULL, NULL, &own, sizeof own) != 0)
		return complain("thread.arena", "jemalloc refuses");
	return state.n_arenas > 0;
}

static bool set_up(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	void *symbol = dlsym(RTLD_DEFAULT, "mallctl");
	cardmark_mallctl mallctl;

	if (symbol == NULL)
		return complain("mallctl", "the program's malloc is not jemalloc's");
	memcpy(&mallctl, &symbol, sizeof mallctl);
	/* With other backends read(2) into a clean page fails, or a thread must run in a
	 * stopped world. */
	options.backend = CARDMARK_BACKEND_PAGEMAP;
	if (cardmark_open(&state.cm, &options) < 0 ||
	    cardmark_table_new(&state.table, state.cm) < 0)
		return complain("the tracker", cardmark_last_error());
	state.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	state.progress = open(state.out, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (world_set_up() < 0 || state.pagemap < 0 || state.progress < 0)
		return complain(state.out, strerror(errno));
	return adopt_all(mallctl);
}

__attribute__((constructor)) static void start(void)
{
	const char *interval = getenv("CARDS_INTERVAL_MS");
	sigset_t all, before;

	state.out = getenv("CARDS_OUT");
	if (state.out == NULL)
		return;
	state.interval_ms = interval == NULL ? 100 : strtoul(interval, NULL, 10);
	state.drop = getenv("CARDS_DROP") != NULL;
	/* Not for programs that this one starts. */
	(void)unsetenv("LD_PRELOAD");
	if (!set_up())
		_exit(3);
	state.pid = getpid();
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&state.thread, NULL, run, NULL) != 0)
		state.out = NULL;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- End -------------------------------------------------------------------------------- */

static void write_adapters(FILE *f)
{
	struct cardmark_jemalloc_stats sum = { .size = sizeof sum };

	for (unsigned i = 0; i < state.n_arenas; i++) {
		struct cardmark_jemalloc_stats s = { .size = sizeof s };

		(void)cardmark_jemalloc_stats(state.arenas[i], &s);
		sum.bytes += s.bytes;
		sum.always_dirty_bytes += s.always_dirty_bytes;
		sum.alloc += s.alloc;
		sum.dalloc += s.dalloc - s.dalloc_refused;
		sum.commit += s.commit;
		sum.decommit += s.decommit;
		sum.purge_forced += s.purge_forced;
		sum.purge_lazy += s.purge_lazy;
		sum.track_failed += s.track_failed;
		sum.untrack_failed += s.untrack_failed;
		sum.deferred += s.deferred;
		sum.ranges_overflown += s.ranges_overflown;
	}
#define PUT(name) (void)fprintf(f, #name "=%llu\n", (unsigned long long)sum.name)
	PUT(bytes);
	PUT(always_dirty_bytes);
	PUT(alloc);
	PUT(dalloc);
	PUT(commit);
	PUT(decommit);
	PUT(purge_forced);
	PUT(purge_lazy);
	PUT(track_failed);
	PUT(untrack_failed);
	PUT(deferred);
	PUT(ranges_overflown);
#undef PUT
}

static void write_counts(FILE *f)
{
	struct cardmark_stats s = { .size = sizeof s };
	struct rusage usage = { 0 };

	(void)cardmark_stats(state.cm, &s);
	(void)getrusage(RUSAGE_SELF, &usage);
	(void)fprintf(f, "backend=%s\narenas=%u\nlive_arenas=%u\npage_faults=%ld\n",
		      cardmark_backend_name(s.backend), state.n_arenas, state.n_live,
		      usage.ru_minflt);
	(void)fprintf(f, "rounds=%lu\nfailed_stops=%lu\nruns=%lu\nwalked_cards=%lu\ndropped=%lu\n",
		      state.rounds, state.failed_stops, state.runs, state.walked, state.dropped);
	(void)fprintf(f, "stopped_us=%llu\nlongest_stop_us=%llu\n",
		      (unsigned long long)state.stopped_ns / 1000,
		      (unsigned long long)state.longest_ns / 1000);
#define PUT(name) (void)fprintf(f, #name "=%llu\n", (unsigned long long)s.name)
	PUT(collects);
	PUT(collect_ns);
	PUT(dirty_cards);
	PUT(kernel_calls);
	PUT(faults);
	PUT(guessed_ranges);
	PUT(all_dirty);
	PUT(verify_checked);
	PUT(verify_changed);
	PUT(verify_missed);
	PUT(verify_false);
#undef PUT
	write_adapters(f);
}

__attribute__((destructor)) static void end(void)
{
	FILE *f;

	if (state.out == NULL || state.pid != getpid())
		return;
	atomic_store_explicit(&state.over, true, memory_order_release);
	(void)pthread_join(state.thread, NULL);
	collect();
	f = fopen(state.out, "w");
	if (f == NULL)
		return;
	write_counts(f);
	(void)fclose(f);
}
