/* SPDX-License-Identifier: MIT
 *
 * Shared by cardmark watch and its object in the program: a memory file with a ring of records that
 * the object fills and the command empties. The records outlive the program, even if it crashes. */
#ifndef CARDMARK_WATCH_SHARED_H
#define CARDMARK_WATCH_SHARED_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

/* PID:PARENT:FD:NANOSECONDS:SHARE. The process to watch, and no other; where the memory file is;
 * the interval; it grows until looks cost at most one SHARE of the time, unless that is 0. */
#define WATCH_VARIABLE "CARDMARK_WATCH"
#define WATCH_MEMORY "cardmark-watch"

enum {
	WATCH_RING = 8 << 20,
	WATCH_FILE = 64 << 20, /* with the object's own memory behind the ring */
	WATCH_NAME = 40,
	WATCH_MAPPINGS = 65536, /* vm.max_map_count, by default */
};

enum watch_record {
	WATCH_START,    /* struct watch_start. Watching begins, maybe anew after an exec */
	WATCH_FAILED,   /* text: why the program is not watched */
	WATCH_MAPPED,   /* struct watch_mapping[]: all that is watched; it has changed */
	WATCH_REFUSED,  /* struct watch_mapping, then text: what cannot be tracked, and why */
	WATCH_RUNS,     /* struct cardmark_region[], ascending: written */
	WATCH_LOOKED,   /* struct watch_look: the runs so far are one look's */
	WATCH_FINISHED, /* the last look was taken in an orderly way */
};

struct watch_mapping {
	uintptr_t start, end;
	char name[WATCH_NAME];
	bool write;
	bool file; /* its pages are a file's until they are written */
};

struct watch_start {
	uint64_t stack; /* of the first thread, as struct watch_stat has it; 0: not known */
	char name[256]; /* of the program */
};

/* Times are CLOCK_MONOTONIC, in nanoseconds. */
struct watch_look {
	uint64_t start;    /* whatever was written before, and is still mapped, is in this look */
	uint64_t end;      /* nothing that was written after is in this look */
	uint64_t cpu_ns;   /* the thread's own time, sum */
	uint64_t faults;   /* of the program's threads, sum */
	uint64_t pages;    /* written */
	uint64_t fault_ns; /* what the first write to a page costs after a look, about */
	uint64_t mapped, shared;      /* writable private and shared memory, bytes */
	uint64_t refused;             /* bytes that could not be tracked */
	uint64_t gone, gone_mappings; /* no longer mapped as they were: bytes, pieces */
	uint64_t unanswered;          /* bytes: too much to count as written without an answer */
	uint32_t guessed; /* pieces reported whole, because the kernel refused to answer */
	bool first;       /* what was there before: not written in our time */
	uint32_t why;     /* an errno: of reading what is mapped; or 0 */
	bool failed;      /* no answer: it is in the next look */
	bool put_off;     /* the next one, because this one was dear */
};

struct watch_shared {
	_Atomic uint64_t head, tail; /* bytes put and taken */
	_Atomic uint32_t stop;       /* a futex: 1: the last look, please */
	_Atomic uint32_t ended;      /* a futex: the object's thread has ended so often */
	_Atomic uint32_t forks;
	_Atomic uint32_t last_code; /* with which the object's thread ends, if it is the last */
	char ring[WATCH_RING];
};

static inline void watch_wake(_Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Until the word is not value, or until then. The program may have forbidden futex(2). */
static inline void watch_wait(_Atomic uint32_t *word, uint32_t value, uint64_t until_ns)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct timespec t = { .tv_sec = (time_t)(until_ns / 1000000000),
			      .tv_nsec = (long)(until_ns % 1000000000) };

	while (atomic_load_explicit(word, memory_order_acquire) == value && cm_now_ns() < until_ns)
		if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, &t, NULL, ~0u) < 0 &&
		    errno != EINTR && errno != EAGAIN && errno != ETIMEDOUT)
			(void)nanosleep(&nap, NULL);
}

static inline void watch_copy(struct watch_shared *s, uint64_t at, void *data, size_t n, bool put)
{
	size_t from = at % WATCH_RING, first = n < WATCH_RING - from ? n : WATCH_RING - from;

	if (put) {
		memcpy(s->ring + from, data, first);
		memcpy(s->ring, (char *)data + first, n - first);
	} else {
		memcpy(data, s->ring + from, first);
		memcpy((char *)data + first, s->ring, n - first);
	}
}

#endif
