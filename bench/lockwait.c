/* SPDX-License-Identifier: MIT
 *
 * What a collect does to the other threads. PAGEMAP_SCAN holds the address space's lock,
 * shared, for as long as one call lasts; a thread that maps or unmaps memory needs it
 * exclusively, and waits. So the library asks chunk by chunk, and rests in between where it
 * was opened for concurrent use. This program measures how long another thread's mmap and
 * munmap take during a collect, for chunks of several sizes, with and without rests. It also
 * measures what both cost the collect, and what a second thread gives it. For comparison the
 * other thread can take page faults only.
 *
 * All cases take turns on one buffer, each with a tracker of its own, in an order that
 * rotates; one case runs twice, and the ratio between the two (A/A) shows the noise. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cardmark/cardmark.h>
#include "bench/measure.h"

enum { MAX_REPEATS = 200, MAX_OPERATIONS = 1 << 20, FAULT_PAGES = 16384 };

static size_t page;
static char *buffer;
static size_t buffer_len;

/* ---- The other thread --------------------------------------------------------- */

enum other { NOBODY, MAPS, FAULTS };

/* Its operations that overlapped with a collect. */
struct operations {
	size_t n;
	double us[MAX_OPERATIONS];
};

static struct operations operations;
static _Atomic bool quit;
static _Atomic unsigned phase, ready; /* odd while a collect runs */

static void record(unsigned before, uint64_t start)
{
	uint64_t end = cm_now_ns();

	if ((before % 2 == 1 || atomic_load(&phase) != before) && operations.n < MAX_OPERATIONS)
		operations.us[operations.n++] = (double)(end - start) / 1e3;
}

static void *map_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&quit)) {
		unsigned before = atomic_load(&phase);
		uint64_t start = cm_now_ns();
		void *p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || munmap(p, page) != 0)
			die_of("mmap");
		record(before, start);
		atomic_store(&ready, 1);
	}
	return NULL;
}

static void *fault_on(void *arg)
{
	size_t len = FAULT_PAGES * page;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	if (p == MAP_FAILED)
		die_of("mmap");
	madvise(p, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; !atomic_load(&quit); i = (i + 1) % FAULT_PAGES) {
		unsigned before = atomic_load(&phase);
		uint64_t start = cm_now_ns();

		*(volatile char *)(p + i * page) = 1;
		record(before, start);
		atomic_store(&ready, 1);
		if (i == FAULT_PAGES - 1) /* not timed: takes the lock */
			madvise(p, len, MADV_DONTNEED);
	}
	munmap(p, len);
	return NULL;
}

/* ---- One collect ---------------------------------------------------------------- */

struct one_case {
	const char *name;
	size_t chunk; /* bytes; 0: the default */
	unsigned threads;
	unsigned flags;
	bool idle; /* no collect: times of the other thread alone */
	/* What was measured, for each repetition. */
	double collect_ms[MAX_REPEATS], longest_us[MAX_REPEATS], p99_us[MAX_REPEATS],
		median_us[MAX_REPEATS], done[MAX_REPEATS];
};

static struct cardmark *open_tracker(const struct one_case *c, struct cardmark_table **table)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm = NULL;

	o.backend = CARDMARK_BACKEND_PAGEMAP;
	o.flags = CARDMARK_OPEN_NO_ENV | c->flags;
	o.chunk_bytes = c->chunk;
	o.threads = c->threads;
	if (cardmark_open(&cm, &o) != 0 || cardmark_table_new(table, cm) != 0 ||
	    cardmark_track(cm, buffer, buffer_len, CARDMARK_TRACK_PRIVATE) != 0) {
		die("%s", cardmark_last_error());
	}
	return cm;
}

static void collect(struct cardmark *cm, struct cardmark_table *table)
{
	if (cardmark_collect(cm, table) == CARDMARK_ALL_DIRTY) {
		die("a collect did not find out what was written");
	}
}

/* All of a range that is newly tracked counts as written: 100 %. */
static void dirty(struct cardmark *cm, struct cardmark_table *table, double percent, uint64_t seed)
{
	size_t pages = buffer_len / page;

	if (percent >= 100)
		return;
	collect(cm, table);
	for (size_t n = (size_t)((double)pages * percent / 100); n > 0; n--)
		buffer[random_under(&seed, pages) * page]++;
	cardmark_table_clear(table);
}

static double last_whole_ms = 1;

static void ask(const struct one_case *c, struct cardmark *cm, struct cardmark_table *table,
		unsigned r, double *ms)
{
	uint64_t start = cm_now_ns();

	if (c->idle)
		while ((double)(cm_now_ns() - start) / 1e6 < last_whole_ms)
			;
	else
		collect(cm, table);
	ms[r] = (double)(cm_now_ns() - start) / 1e6;
	if (!c->idle)
		last_whole_ms = ms[r];
}

static double nearest_rank(const double *sorted, size_t n, double q)
{
	size_t i = (size_t)(q * (double)n);

	return sorted[i < n ? i : n - 1];
}

static void summarize(struct one_case *c, unsigned r)
{
	size_t n = operations.n;

	c->done[r] = (double)n;
	if (n == 0)
		return;
	c->median_us[r] = median(operations.us, n); /* sorted now */
	c->p99_us[r] = nearest_rank(operations.us, n, 0.99);
	c->longest_us[r] = operations.us[n - 1];
}

static void run_once(struct one_case *c, enum other other, double percent, unsigned r,
		     uint64_t seed)
{
	struct cardmark_table *table = NULL;
	struct cardmark *cm = open_tracker(c, &table);
	pthread_t thread;

	dirty(cm, table, percent, seed + r);
	operations.n = 0;
	atomic_store(&quit, false);
	atomic_store(&ready, 0);
	if (other != NOBODY) {
		if (pthread_create(&thread, NULL, other == MAPS ? map_on : fault_on, NULL) != 0)
			die_of("pthread_create");
		while (atomic_load(&ready) == 0)
			;
	}
	atomic_fetch_add(&phase, 1);
	ask(c, cm, table, r, c->collect_ms);
	atomic_fetch_add(&phase, 1);
	atomic_store(&quit, true);
	if (other != NOBODY)
		(void)pthread_join(thread, NULL);
	summarize(c, r);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
}

static void run_all(const char *what, struct one_case *cases, unsigned n, enum other other,
		    double percent, unsigned repeats, uint64_t seed)
{
	for (unsigned r = 0; r < repeats; r++) {
		fprintf(stderr, "cardmark-lockwait: %s: %u of %u\n", what, r + 1, repeats);
		for (unsigned k = 0; k < n; k++)
			run_once(&cases[(r + k) % n], other, percent, r, seed);
	}
}

/* ---- Reports ----------------------------------------------------------------------- */

static double median_of(const double *v, unsigned n)
{
	double copy[MAX_REPEATS];

	memcpy(copy, v, n * sizeof *v);
	return median(copy, n);
}

static double largest_of(const double *v, unsigned n)
{
	double most = 0;

	for (unsigned i = 0; i < n; i++)
		most = v[i] > most ? v[i] : most;
	return most;
}

/* The median of the ratios within repetitions. */
static double ratio_of(const double *a, const double *b, unsigned n)
{
	double v[MAX_REPEATS];

	for (unsigned i = 0; i < n; i++)
		v[i] = a[i] / b[i];
	return median(v, n);
}

static void waits(enum other other, unsigned repeats, uint64_t seed)
{
	static struct one_case cases[] = {
		{ .name = "default", .threads = 1 },
		{ .name = "default again", .threads = 1 },
		{ .name = "whole range", .chunk = (size_t)1 << 46, .threads = 1 },
		{ .name = "256 MiB", .chunk = (size_t)256 << 20, .threads = 1 },
		{ .name = "16 MiB", .chunk = (size_t)16 << 20, .threads = 1 },
		{ .name = "4 MiB", .chunk = (size_t)4 << 20, .threads = 1 },
		{ .name = "rests, 256 MiB",
		  .chunk = (size_t)256 << 20,
		  .threads = 1,
		  .flags = CARDMARK_OPEN_CONCURRENT },
		{ .name = "rests, default", .threads = 1, .flags = CARDMARK_OPEN_CONCURRENT },
		{ .name = "rests, 16 MiB",
		  .chunk = (size_t)16 << 20,
		  .threads = 1,
		  .flags = CARDMARK_OPEN_CONCURRENT },
		{ .name = "rests, 4 MiB",
		  .chunk = (size_t)4 << 20,
		  .threads = 1,
		  .flags = CARDMARK_OPEN_CONCURRENT },
		{ .name = "2 threads", .threads = 2 },
		{ .name = "2 threads, rests", .threads = 2, .flags = CARDMARK_OPEN_CONCURRENT },
		{ .name = "no collect", .threads = 1, .idle = true },
	};
	unsigned n = sizeof cases / sizeof *cases;
	const char *what = other == MAPS ? "mmap and munmap of a page" : "first write to a page";

	run_all(what, cases, n, other, 100, repeats, seed);
	printf("\nAnother thread's %s during a collect, all dirty: us; medians of %u collects, in "
	       "brackets the largest\n",
	       what, repeats);
	printf("  %-20s %19s %8s %8s %9s   %s\n", "chunk", "longest", "p99", "median", "done",
	       "collect, ms (of default's)");
	for (unsigned i = 0; i < n; i++) {
		const struct one_case *c = &cases[i];

		printf("  %-20s %8.0f [%8.0f] %8.1f %8.2f %9.0f   %.2f (%.3f)\n", c->name,
		       median_of(c->longest_us, repeats), largest_of(c->longest_us, repeats),
		       median_of(c->p99_us, repeats), median_of(c->median_us, repeats),
		       median_of(c->done, repeats), median_of(c->collect_ms, repeats),
		       ratio_of(c->collect_ms, cases[0].collect_ms, repeats));
	}
}

static void threads(unsigned repeats, uint64_t seed)
{
	static const double percent[] = { 0, 1, 10, 100 };
	static struct one_case cases[] = {
		{ .name = "1 thread", .threads = 1 },
		{ .name = "1 thread again", .threads = 1 },
		{ .name = "2 threads", .threads = 2 },
	};
	unsigned n = sizeof cases / sizeof *cases;
	char what[64];

	for (unsigned p = 0; p < sizeof percent / sizeof *percent; p++) {
		snprintf(what, sizeof what, "collect, %.0f %% dirty", percent[p]);
		run_all(what, cases, n, NOBODY, percent[p], repeats, seed);
		if (p == 0)
			printf("\nA collect by one thread and by two, no other thread running: ms\n"
			       "  %7s %9s %9s %16s %8s\n",
			       "dirty", "1 thread", "2 threads", "2 threads of 1", "A/A");
		printf("  %5.0f %% %9.3f %9.3f %16.3f %8.3f\n", percent[p],
		       median_of(cases[0].collect_ms, repeats),
		       median_of(cases[2].collect_ms, repeats),
		       ratio_of(cases[2].collect_ms, cases[0].collect_ms, repeats),
		       ratio_of(cases[1].collect_ms, cases[0].collect_ms, repeats));
	}
}

static size_t available_mb(void)
{
	char line[128];
	size_t kb = SIZE_MAX;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "MemAvailable: %zu", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb >> 10;
}

static void map_buffer(size_t mb)
{
	if (available_mb() < mb + mb / 8) {
		fprintf(stderr,
			"cardmark-lockwait: %zu MiB of memory are available and %zu are needed: "
			"choose a smaller size\n",
			available_mb(), mb + mb / 8);
		exit(1);
	}
	buffer_len = mb << 20;
	buffer = mmap(NULL, buffer_len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (buffer == MAP_FAILED)
		die_of("mmap");
	madvise(buffer, buffer_len, MADV_NOHUGEPAGE);
	memset(buffer, 1, buffer_len);
}

int main(int argc, char **argv)
{
	unsigned long repeats = 15, mb = 4096, seed = 1;
	const struct number_option options[] = { { "size-mb", &mb, 1, 65536 },
						 { "repeats", &repeats, 1, MAX_REPEATS },
						 { "seed", &seed, 1, 1ul << 62 } };
	struct rusage usage;

	read_options(argc, argv,
		     "How long other threads wait for the address space during a collect, and "
		     "what\nchunks and threads do to it. Nothing is enforced.",
		     options, sizeof options / sizeof *options);
	page = (size_t)sysconf(_SC_PAGESIZE);
	if (!pagemap_is_usable("measure"))
		return 0;
	map_buffer(mb);
	printf("cardmark %s on backend pagemap, %lu MiB, seed %lu\n", cardmark_version(), mb, seed);
	print_machine();
	waits(MAPS, (unsigned)repeats, seed);
	waits(FAULTS, (unsigned)repeats, seed);
	threads((unsigned)repeats, seed);
	getrusage(RUSAGE_SELF, &usage);
	printf("\nPut off a CPU %ld times: more than a few, and the longest times are the "
	       "scheduler's.\n",
	       usage.ru_nivcsw);
	return 0;
}
