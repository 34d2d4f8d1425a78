/* SPDX-License-Identifier: MIT
 *
 * Shared by the interpreter's files: the model of memory, and the oracle's notes on each page. */
#ifndef CM_TESTS_PROGRAM_STATE_H
#define CM_TESTS_PROGRAM_STATE_H

#include "tests/soundness/random/program.h"

#include <pthread.h>
#include <stdatomic.h>

#define OBJECT_PAGES 65536u /* of each file behind mappings: never used twice */
#define OBJECTS 2u
#define HOLDS 32u
#define QUEUE 64u
#define WRITE_MOST 16384u /* bytes in one write */

struct page {
	bool mapped, readable, writable, guard, wiped_by_fork, gone_by_fork;
	bool shared;   /* the page tables show the object's own page */
	int object;    /* -1: anonymous memory */
	uint32_t slot; /* page of the object */

	/* The oracle's. */
	bool tracked;
	bool fresh;              /* may count as new: not cleared since it was tracked */
	bool must;               /* has to be in the next answer */
	bool pending;            /* changed during a collect: in this answer or the next */
	bool unsure;             /* the hash may be of something written after the last answer */
	bool reported;           /* by a clearing scan while others wrote: before the next answer */
	bool populated;          /* held data when it was last reported */
	unsigned since;          /* the operation that set must */
	uint64_t hash;           /* at the last answer */
	uint64_t told;           /* the hash at the consumer's last answer */
	_Atomic uint64_t period; /* last one in which a write began and ended; + 1 */
};

struct hold {
	uintptr_t addr;
	size_t bytes;
};

struct run;

struct worker {
	struct run *r;
	unsigned id;
	bool started, runs; /* runs: lock */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct op *queue[QUEUE];
	unsigned first, waiting; /* waiting includes the one at work */
	int pipe[2];
	unsigned char buf[WRITE_MOST];
};

/* In memory that fork children share. */
struct board {
	_Atomic int verdict;
	_Atomic unsigned op, at; /* that failed; that runs */
	char text[200];
	_Atomic uint64_t operations, skipped, writes, refused, collects, running, guessed, scans,
		precleans, forks, checked, changed, reported, over, lost;
};

struct run {
	const struct program *p;
	enum cardmark_backend backend;
	unsigned caps;
	size_t card;
	unsigned char *base;
	struct cardmark *cm;
	struct cardmark_table *table[PROGRAM_TABLES];
	struct cardmark_consumer *consumer;
	struct cardmark_table *consumer_table;
	bool in_table[PROGRAM_TABLES][PROGRAM_PAGES]; /* has to be there */
	bool discards, discard_is_write, suspended, swap;
	struct page page[PROGRAM_PAGES];
	uint64_t entry[PROGRAM_PAGES]; /* of /proc/self/pagemap, when it was last read */
	struct hold hold[HOLDS];
	unsigned holds;
	int object[OBJECTS], noise, pagemap;
	unsigned char *alias[OBJECTS];
	uint32_t next_slot[OBJECTS];
	struct worker worker[PROGRAM_THREADS];
	/* Even between collects, odd while one runs. */
	_Atomic uint64_t epoch;
	/* Written by a thread that pins pages first and copies later (R13), read by a thread
	 * that clears. */
	pthread_rwlock_t pins;
	uint64_t zero_hash;
	unsigned op;    /* index of the one at work */
	unsigned depth; /* of forks */
	bool cloned;    /* by a bare clone(2): no threads from here on */
	struct board *board;
};

static inline unsigned char *page_at(const struct run *r, size_t i)
{
	return r->base + i * r->card;
}

static inline bool can(const struct run *r, unsigned capabilities)
{
	return (r->caps & capabilities) == capabilities;
}

/* [page, page + pages) of an operation, cut to what there is. */
struct span {
	size_t from, to;
};
struct span span_of(const struct op *op);

/* The first failure counts. */
void fail(struct run *r, enum verdict verdict, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* program_writes.c. */
int make_writers(struct run *r);
void write_op(struct worker *me, const struct op *op);
void hand_to_worker(struct run *r, const struct op *op);
void quiesce(struct run *r); /* waits until all are idle, and notes what they wrote */
bool running(struct run *r, const struct op *op); /* quiesces unless the others may go on */
void writers_end(struct run *r);
void writers_after_fork(struct run *r);
bool may_write(const struct run *r, size_t i);

/* program_memory.c. False: not applicable now. */
bool memory_op(struct run *r, const struct op *op);
int make_objects(struct run *r);
void zapped(struct run *r, size_t i); /* the page lost its contents */

/* program_oracle.c. */
void read_entries(struct run *r);
bool has_data(const struct run *r, size_t i); /* by the entries */
bool is_private(const struct run *r, size_t i);
/* The hash of what is there now; false: it cannot be read. */
bool contents(const struct run *r, size_t i, uint64_t *hash);
void must_report(struct run *r, size_t i);
bool is_held(const struct run *r, size_t i);
void everything_dirty(struct run *r, struct span s); /* all in it that is tracked and holds data */
bool ask_op(struct run *r, const struct op *op);
void collect(struct run *r, unsigned table, bool add, bool others_run);
/* program_consumer.c. */
int open_consumer(struct run *r); /* 0 or an error of the library's */
void close_consumer(struct run *r);
bool consumer_op(struct run *r, const struct op *op);
void ask_consumer(struct run *r); /* the others are idle */
/* program_scan.c */
bool scan_op(struct run *r, const struct op *op);
void lose(struct run *r, size_t i, const char *rule);

#endif
