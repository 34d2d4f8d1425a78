/* SPDX-License-Identifier: MIT
 *
 * Frame for tests that run against this kernel, once for each backend.
 *
 * PROGRAM [BACKEND [CASE]] prints a TAP line a case. A backend that cannot work here
 * skips the program, with the probe's reason, or fails it if
 * CARDMARK_REQUIRE=pagemap[,uffd...] names it. A case that needs a capability
 * that the backend says it lacks is skipped and says so. */
#ifndef CM_TESTS_LIVE_H
#define CM_TESTS_LIVE_H

#include "cardmark/cardmark.h"
#include "tests/support/tap.h"

struct live_case {
	const char *name;
	void (*run)(void);
	unsigned needs; /* enum cardmark_capability: all of these */
	unsigned only;  /* LIVE_ONLY(...): has no meaning for other backends; 0: all */
};

#define LIVE_ONLY(backend) (1u << CARDMARK_BACKEND_##backend)
#define LIVE_CASES(cases) (cases), sizeof(cases) / sizeof *(cases)

/* False: the backend, called so, cannot be tested here, and a line says so. */
bool live_usable(enum cardmark_backend backend, const char *name);

int live_main(int argc, char **argv, const struct live_case *cases, size_t n);

/* What runs now. */
extern const struct live_case *live_now;
extern enum cardmark_backend live_backend;
extern unsigned live_capabilities;
extern uint64_t live_categories;
extern size_t live_card;
bool live_can(unsigned capability);

/* Trackers, tables and memory that go when the case ends. */
struct cardmark *live_open(void);
/* Skips the case where the one that is open leaves no room for a second. */
void live_may_open_another(void);
/* Closes and unmaps everything, as the end of a case does: for cases that start over. */
void live_clean_up(void);
/* With the backend under test, and without the environment's. */
struct cardmark *live_open_options(struct cardmark_options *options);
struct cardmark *live_open_with(size_t chunk_bytes, size_t vec_len);
struct cardmark *live_open_flags(unsigned flags); /* enum cardmark_open_flags */
struct cardmark *live_open_verifying(unsigned flags);
struct cardmark_table *live_table(struct cardmark *cm);
unsigned char *live_map(size_t cards);
unsigned char *live_map_at(unsigned char *at, size_t cards); /* MAP_FIXED */
/* Shared memory that holds data, mapped at two places. */
unsigned char *live_map_twice(size_t cards, unsigned char **other);
void live_own_memory(void *addr, size_t bytes);

/* Opens, tracks and collects once, so that everything is clean and armed. */
struct cardmark *live_armed(unsigned char *mem, size_t cards, struct cardmark_table **table);

/* Empties the table and collects into it. */
enum cardmark_collected live_collect(struct cardmark *cm, struct cardmark_table *table);

/* Every card i < n with want[i] must be dirty in the table; where the backend
 * is precise, no other may. */
void live_expect(const struct cardmark_table *table, const unsigned char *mem, size_t n,
		 const bool *want);
void live_expect_clean(const struct cardmark_table *table, const unsigned char *mem, size_t n);
void live_expect_dirty(const struct cardmark_table *table, const unsigned char *mem, size_t n);

struct cardmark_stats live_stats(struct cardmark *cm);

/* A question for what was written there; the answer has that category alone. */
static inline struct cardmark_query live_query(enum cardmark_scan_op op, void *start, size_t cards,
					       struct cardmark_region *regions, size_t capacity)
{
	return (struct cardmark_query){ .size = sizeof(struct cardmark_query),
					.start = start,
					.len = cards * live_card,
					.op = op,
					.required = CARDMARK_PAGE_WRITTEN,
					.returned = CARDMARK_PAGE_WRITTEN,
					.regions = regions,
					.capacity = capacity };
}

/* A store that the compiler keeps. */
static inline void live_store(unsigned char *p, unsigned char v)
{
	*(volatile unsigned char *)p = v;
}

#endif
