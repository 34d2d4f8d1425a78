/* SPDX-License-Identifier: MIT
 *
 * What the library costs above the bare system call. Each case is measured against a loop
 * around PAGEMAP_SCAN, in one process, in turns, each side on memory that is dirtied in the
 * same way just before. The bare loop runs as two sides: their ratio (A/A) shows the noise of
 * this run. */
#include <math.h>
#include <stdbool.h>
#include <sys/mman.h>

#include <cardmark/cardmark.h>
#include "bench/bare.h"
#include "bench/measure.h"

enum { ALL_SIDES = 3, MAX_REPEATS = 1000 };

static size_t page;
static struct bare bare_loop;

/* ---- Both sides --------------------------------------------------------------- */

/* A buffer, and the library or the bare loop that asks about it. */
struct side {
	const char *name;
	char *buffer;
	size_t len;
	struct cardmark *cm; /* NULL: the bare loop */
	struct cardmark_table *table;
	uint64_t times[MAX_REPEATS];
};

static uint64_t ask(struct side *s)
{
	if (s->cm == NULL) {
		uint64_t pages = bare_collect(&bare_loop, s->buffer, s->len);

		if (pages == UINT64_MAX)
			die_of("PAGEMAP_SCAN");
		return pages;
	}
	if (cardmark_collect(s->cm, s->table) != CARDMARK_EXACT) {
		die("a collect had to guess");
	}
	return cardmark_table_count(s->table);
}

static char *map(size_t len)
{
	/* Guard pages keep sides from merging into one mapping. */
	char *p = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	if (p == MAP_FAILED || mprotect(p + page, len, PROT_READ | PROT_WRITE) != 0)
		die_of("mmap");
	/* Small pages on both sides: otherwise huge ones would decide the result. */
	madvise(p + page, len, MADV_NOHUGEPAGE);
	memset(p + page, 1, len);
	return p + page;
}

static void side_new(struct side *s, const char *name, size_t len, bool ours)
{
	memset(s, 0, sizeof *s);
	s->name = name;
	s->len = len;
	s->buffer = map(len);
	if (!ours)
		return;
	struct cardmark_options opt = CARDMARK_OPTIONS_INIT;

	opt.backend = CARDMARK_BACKEND_PAGEMAP;
	opt.flags = CARDMARK_OPEN_NO_ENV;
	if (cardmark_open(&s->cm, &opt) != 0 || cardmark_table_new(&s->table, s->cm) != 0) {
		die("%s", cardmark_last_error());
	}
}

/* The bare loop on the buffer that ours has registered: PAGEMAP_SCAN does not ask whose
 * userfaultfd that was. On buffers of their own the sides differ by up to a tenth, because
 * their pages lie elsewhere in memory. */
static struct side side_sharing(const struct side *ours, const char *name)
{
	return (struct side){ .name = name, .buffer = ours->buffer, .len = ours->len };
}

static void side_track(struct side *s, size_t at, size_t len)
{
	if (s->cm == NULL) {
		if (!bare_register(&bare_loop, s->buffer + at, len))
			die_of("UFFDIO_REGISTER");
	} else if (cardmark_track(s->cm, s->buffer + at, len, CARDMARK_TRACK_PRIVATE) != 0) {
		die("track: %s", cardmark_last_error());
	}
}

static void side_free(struct side *s)
{
	cardmark_table_delete(&s->table);
	cardmark_close(&s->cm);
	munmap(s->buffer - page, s->len + 2 * page);
}

static double median_us(const struct side *s, unsigned n)
{
	static double v[MAX_REPEATS];

	for (unsigned i = 0; i < n; i++)
		v[i] = (double)s->times[i] / 1e3;
	return median(v, n);
}

/* The median over repetitions of a's time divided by b's: noise that lasts longer than a
 * repetition hits both and cancels. */
static double median_ratio(const struct side *a, const struct side *b, unsigned n)
{
	static double v[MAX_REPEATS];

	for (unsigned i = 0; i < n; i++)
		v[i] = (double)a->times[i] / (double)b->times[i];
	return median(v, n);
}

/* The geometric mean of our ratios to the two equal sides. */
static double ratio_to_both(const struct side *s, const struct side *a, const struct side *b,
			    unsigned n)
{
	return sqrt(median_ratio(s, a, n) * median_ratio(s, b, n));
}

/* Dirties `dirty` random pages of every side, the same ones, then asks each
 * side in turn, in an order that rotates. */
static void measure(struct side **sides, unsigned n, size_t dirty, unsigned repeats)
{
	uint64_t seed = 88172645463325252u;

	for (unsigned i = 0; i < n; i++)
		ask(sides[i]);
	for (unsigned r = 0; r < repeats + 1; r++) {
		uint64_t found[ALL_SIDES];

		for (unsigned k = 0; k < n; k++) {
			unsigned i = (r + k) % n;
			struct side *s = sides[i];
			uint64_t t, rnd = seed + r;

			for (size_t d = 0; d < dirty; d++)
				s->buffer[random_under(&rnd, s->len / page) * page]++;
			if (s->table != NULL)
				cardmark_table_clear(s->table);
			t = cm_now_ns();
			found[i] = ask(s);
			t = cm_now_ns() - t;
			if (r > 0) /* the first is for the caches */
				s->times[r - 1] = t;
		}
		for (unsigned i = 1; i < n; i++)
			if (found[i] != found[0]) {
				fprintf(stderr,
					"cardmark-overhead: %s found %llu dirty pages, %s %llu\n",
					sides[i]->name, (unsigned long long)found[i],
					sides[0]->name, (unsigned long long)found[0]);
				exit(1);
			}
	}
}

/* ---- Cases ---------------------------------------------------------------------- */

static unsigned long goals;

static void verdict(const char *what, double value, const char *unit, double goal)
{
	printf("  %-52s %7.3f%s", what, value, unit);
	if (goals)
		printf("  goal %.2f%s: %s", goal, unit, value <= goal ? "met" : "NOT MET");
	putchar('\n');
}

static void case_dirty(size_t mb, unsigned repeats)
{
	static struct side bare, again, ours;
	struct side *sides[] = { &bare, &again, &ours };
	static const double percent[] = { 0, 1, 10 };

	side_new(&ours, "cardmark", mb << 20, true);
	side_track(&ours, 0, ours.len);
	bare = side_sharing(&ours, "bare");
	again = side_sharing(&ours, "bare again");
	printf("\nGet-and-clear of %zu MiB, random pages dirty; %u repetitions:\n", mb, repeats);
	for (unsigned i = 0; i < 3; i++) {

		measure(sides, 3, (size_t)((double)(bare.len / page) * percent[i] / 100), repeats);
		printf("  %2.0f %% dirty: bare %.1f us, cardmark %.1f us; A/A %.3f\n", percent[i],
		       median_us(&bare, repeats), median_us(&ours, repeats),
		       median_ratio(&again, &bare, repeats));
		verdict("  ratio to the bare loop", ratio_to_both(&ours, &bare, &again, repeats),
			"", 1.05);
	}
	side_free(&ours);
}

static void case_adjacent(size_t ranges, unsigned repeats)
{
	enum { PIECE = 65536 };
	static struct side one, again, many;
	struct side *sides[] = { &one, &again, &many };

	side_new(&one, "one range", ranges * PIECE, true);
	side_new(&again, "one range again", ranges * PIECE, true);
	side_new(&many, "many ranges", ranges * PIECE, true);
	side_track(&one, 0, one.len);
	side_track(&again, 0, again.len);
	for (size_t i = 0; i < ranges; i++)
		side_track(&many, i * PIECE, PIECE);
	measure(sides, 3, one.len / page / 100, repeats);
	printf("\n%zu adjacent ranges of 64 KiB against one of the same size, 1 %% dirty:\n",
	       ranges);
	printf("  one %.1f us, adjacent %.1f us; A/A %.3f\n", median_us(&one, repeats),
	       median_us(&many, repeats), median_ratio(&again, &one, repeats));
	verdict("  ratio to one range", ratio_to_both(&many, &one, &again, repeats), "", 1.2);
	for (unsigned i = 0; i < 3; i++)
		side_free(sides[i]);
}

static void case_gaps(size_t ranges, unsigned repeats)
{
	enum { PIECE = 16384, STRIDE = 2 * PIECE };
	static struct side gaps;
	struct side *sides[] = { &gaps };
	double us;

	side_new(&gaps, "ranges with gaps", ranges * STRIDE, true);
	for (size_t i = 0; i < ranges; i++)
		side_track(&gaps, i * STRIDE, PIECE);
	measure(sides, 1, gaps.len / page / 100, repeats);
	us = median_us(&gaps, repeats) / (double)ranges;
	printf("\n%zu ranges of 16 KiB with gaps of 16 KiB, 1 %% dirty:\n", ranges);
	verdict("  time per range", us, " us", 2);
	side_free(&gaps);
}

int main(int argc, char **argv)
{
	unsigned long repeats = 31, mb = 1024, ranges = 10000;
	const struct number_option options[] = { { "size-mb", &mb, 1, 65536 },
						 { "ranges", &ranges, 1, 1000000 },
						 { "repeats", &repeats, 3, MAX_REPEATS },
						 { "goals", &goals, 0, 0 } };

	read_options(argc, argv,
		     "The cost of the library above a bare PAGEMAP_SCAN loop; with --goals, and "
		     "what we want it to be.",
		     options, sizeof options / sizeof *options);
	page = (size_t)sysconf(_SC_PAGESIZE);
	if (!pagemap_is_usable("compare"))
		return 0;
	if (!bare_open(&bare_loop))
		die_of("cannot open a userfaultfd or /proc/self/pagemap");
	fprintf(stderr, "cardmark-overhead: takes about 10 s and %zu MiB\n", mb);
	printf("cardmark %s on backend pagemap, vector of %d regions on both sides\n"
	       "Times are medians, ratios medians of the ratios of single repetitions.\n",
	       cardmark_version(), BARE_REGIONS);
	case_dirty(mb, (unsigned)repeats);
	case_adjacent(ranges, (unsigned)repeats);
	case_gaps(ranges, (unsigned)repeats);
	return 0;
}
