/* SPDX-License-Identifier: MIT
 *
 * What the micro benchmarks share. One process measures one subject: a backend of
 * the library, or the bare loop around PAGEMAP_SCAN. */
#ifndef CM_BENCH_MICRO_H
#define CM_BENCH_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cardmark/cardmark.h>
#include "bench/bare.h"
#include "bench/shim/gbench.h"

struct micro {
	bool bare; /* else: */
	enum cardmark_backend backend;
	unsigned capabilities;
	const char *subject; /* its name, in the names of the benchmarks */
	bool full;
	uint64_t seed;
	double probe_seconds; /* the first cardmark_probe() of this process */
	size_t page;
	bool lose;  /* answers are made wrong, to test that the check notices */
	bool wrong; /* a dirty card was not found, or a call failed: status 1 */
};
extern struct micro micro;

/* One for each file: registers its benchmarks. */
void micro_fault(void);
void micro_arm(void);
void micro_collect(void);
void micro_ranges(void);
void micro_options(void);
void micro_preclean(void);
void micro_consumer(void);
void micro_cold(void);
void micro_open(void);

/* ---- micro.c -------------------------------------------------------------------- */

/* "WHAT/SUBJECT/MORE" (more may be NULL), in microseconds of manual time. */
struct gbench *micro_register(const char *what, const char *more, gbench_function run, void *user);

/* Reports an error and makes the program fail. */
void micro_fail(struct gbench_state *state, const char *text);

/* ---- heap.c: memory, and what is written there --------------------------------- */

struct heap {
	char *base;
	void *map; /* with the guard pages around them */
	size_t map_len;
	size_t pages;         /* that are tracked */
	size_t piece, stride; /* pages in a range, and from one range to the next */
	unsigned char *want;  /* of each page: was it written since the last forget? */
	size_t wanted;        /* how many were */
};

enum heap_kind { HEAP_SMALL_PAGES, HEAP_HUGE_PAGES };

/* In pages: the number of ranges, the length of each, and the gap between two. */
struct micro_heap {
	size_t ranges, piece, gap;
};
static inline struct micro_heap micro_heap_of_mib(int64_t mib)
{
	return (struct micro_heap){ 1, ((size_t)mib << 20) / micro.page, 0 };
}

/* The heap is populated. False: no memory. */
bool heap_new(struct heap *h, size_t ranges, size_t piece, size_t gap, enum heap_kind kind);
void heap_free(struct heap *h);

static inline char *heap_page(const struct heap *h, size_t i)
{
	return h->base + (i / h->piece * h->stride + i % h->piece) * micro.page;
}

enum pattern {
	PATTERN_DENSE,   /* from the first on */
	PATTERN_STRIDED, /* evenly over all */
	PATTERN_UNIFORM, /* distinct random pages */
	PATTERN_HOT,     /* nine of ten writes in a tenth of the heap: fewer are distinct */
	PATTERN_COUNT
};
extern const char *const pattern_names[PATTERN_COUNT];

/* n writes. */
void heap_write(struct heap *h, enum pattern pattern, size_t n, uint64_t *random);
static inline size_t heap_percent(const struct heap *h, int64_t percent)
{
	size_t n = h->pages * (size_t)percent / 100;

	return n == 0 && percent > 0 ? 1 : n;
}
/* After a check of the answer: no page counts as written any more. */
void heap_forget(struct heap *h);

/* ---- subject.c: who is asked ----------------------------------------------------- */

struct subject {
	struct cardmark *cm; /* NULL: the bare loop */
	struct cardmark_table *table;
	struct bare loop;
	uint64_t cards, over; /* found by all checked collects; found there but not written */
	uint64_t checked;
	uint64_t calls, traps, faults; /* at subject_start */
	size_t vmas;
};

/* options may be NULL. False: the error is in the report. */
bool subject_open(struct subject *s, struct gbench_state *state, struct cardmark_options *options);
void subject_close(struct subject *s);

/* Every range of the heap. */
bool subject_track(struct subject *s, const struct heap *h);
bool subject_untrack(struct subject *s, const struct heap *h);
/* The number of dirty cards that the subject reports. */
uint64_t subject_collect(struct subject *s, const struct heap *h);

/* Compares an answer with what was written, forgets both. False when a card is missing:
 * the error is in the report. */
bool subject_check(struct subject *s, struct gbench_state *state, struct heap *h, uint64_t found);

/* Opens, tracks, and collects once, so that all is clean and armed. */
bool subject_armed(struct subject *s, struct gbench_state *state, struct heap *h,
		   struct cardmark_options *options);

/* Start the counters; then put them into the report, divided by the iterations. */
void subject_start(struct subject *s);
void subject_counters(struct subject *s, struct gbench_state *state);

/* ---- collect.c: write, then ask ------------------------------------------------------ */

/* A whole benchmark: in turns, writes that percentage in this pattern, times a collect, and
 * checks the answer. options may be NULL. */
void micro_collects(struct gbench_state *state, struct cardmark_options *options,
		    struct micro_heap shape, enum pattern pattern, int64_t percent);

/* ---- samples.c: the times of single operations ------------------------------------- */

struct samples {
	double *v; /* ns */
	size_t n, room;
};

bool samples_new(struct samples *s, size_t room);
void samples_free(struct samples *s);
/* Also passes the time to the state, which uses manual time. */
void samples_add(struct samples *s, struct gbench_state *state, uint64_t ns);
/* Counters p50_ns, p90_ns, ..., max_ns. A percentile is given if ten or more times are longer;
 * the median always. */
void samples_counters(struct samples *s, struct gbench_state *state);

/* ---- frame.c: a heap, a subject, and times ------------------------------------------- */

struct frame {
	struct gbench_state *state;
	struct heap heap;
	struct subject subject;
	struct samples times;
	uint64_t random;
	bool begun;
};

/* Opens everything, with room for that many times; armed: also arms the heap. False: the error
 * is in the report. */
bool frame_begin(struct frame *f, struct gbench_state *state, struct cardmark_options *options,
		 struct micro_heap shape, size_t room, bool armed);
/* Frees all, even if frame_begin() failed. If it did not, puts the counters into the report. */
void frame_end(struct frame *f);

#endif
