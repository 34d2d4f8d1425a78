/* SPDX-License-Identifier: MIT
 *
 * A backend that shares its harvest out among threads, on a fake kernel, with a gate in the
 * helpers' way. */
#ifndef CM_TESTS_CREW_H
#define CM_TESTS_CREW_H

#include "lib/backend/pagemap.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <sched.h>
#include <string.h>
#include <time.h>

/* ---- The fake kernel, from several threads -------------------------------------- */

static struct cm_os fake_os, os;
static pthread_mutex_t kernel = PTHREAD_MUTEX_INITIALIZER;
static pthread_t caller;

/* A gate that holds the helpers, before or after the kernel does their call. */
enum gate { OPEN, BEFORE, AFTER };
static _Atomic int gate;
static _Atomic unsigned waiting; /* helpers at the gate */
static bool await_helper;        /* the caller's scans wait until one is there */
static _Atomic uint64_t jump_ns; /* how far each look advances the clock */
static _Atomic uint64_t clock_ns;
static _Atomic bool asleep; /* no sleeper wakes up */
static _Atomic unsigned sleepers;

#define LOCKED(type, call)                                                                         \
	do {                                                                                       \
		(void)pthread_mutex_lock(&kernel);                                                 \
		type result_ = (call);                                                             \
		(void)pthread_mutex_unlock(&kernel);                                               \
		return result_;                                                                    \
	} while (0)

static inline int locked_register(int fd, uintptr_t start, size_t len)
{
	LOCKED(int, fake_os.uffd_register(fd, start, len));
}

static inline int locked_unregister(int fd, uintptr_t start, size_t len)
{
	LOCKED(int, fake_os.uffd_unregister(fd, start, len));
}

static inline int locked_protect(int fd, uintptr_t start, size_t len, bool protect)
{
	LOCKED(int, fake_os.uffd_protect(fd, start, len, protect));
}

static inline long locked_scan(int fd, struct pm_scan_arg *arg)
{
	LOCKED(long, fake_os.scan(fd, arg));
}

static inline void pass(enum gate which)
{
	if (atomic_load(&gate) != (int)which)
		return;
	atomic_fetch_add(&waiting, 1);
	while (atomic_load(&gate) == (int)which)
		(void)sched_yield();
	atomic_fetch_sub(&waiting, 1);
}

static inline long gated_scan(int fd, struct pm_scan_arg *arg)
{
	bool helper = !pthread_equal(pthread_self(), caller);
	time_t give_up = time(NULL) + 20;
	long n;

	if (helper)
		pass(BEFORE);
	while (!helper && await_helper && atomic_load(&waiting) == 0) {
		CHECK(time(NULL) < give_up);
		(void)sched_yield();
	}
	n = locked_scan(fd, arg);
	if (helper)
		pass(AFTER);
	return n;
}

/* Stands still, or advances at each look: so no helper is late because the machine is busy. */
static inline uint64_t test_now(void)
{
	uint64_t jump = atomic_load(&jump_ns);

	return atomic_fetch_add(&clock_ns, jump) + jump;
}

static inline int sleepy_wait(_Atomic uint32_t *word, uint32_t value)
{
	atomic_fetch_add(&sleepers, 1);
	do
		(void)cm_os_linux.futex_wait(word, value);
	while (atomic_load(&asleep));
	atomic_fetch_sub(&sleepers, 1);
	return 0;
}

static inline void begin(void)
{
	fake_kernel_begin();
	fake_os = *cm_os;
	os = fake_os;
	os.uffd_register = locked_register;
	os.uffd_unregister = locked_unregister;
	os.uffd_protect = locked_protect;
	os.scan = gated_scan;
	os.now = test_now;
	os.futex_wait = sleepy_wait;
	cm_os = &os;
	caller = pthread_self();
	atomic_store(&gate, OPEN);
	atomic_store(&jump_ns, 0);
	atomic_store(&clock_ns, 1);
	atomic_store(&asleep, false);
	await_helper = false;
}

/* ---- One backend, its ranges and two sets ----------------------------------------- */

static struct cm_backend *b;
static struct cm_counters counters;
static struct cm_ranges all;
static struct cm_cards cards, serial;
static bool written[FAKE_PAGES]; /* since last reported: must be in the next report */
static size_t (*harvest)(struct cm_backend *b, const struct cm_ranges *all,
			 struct cardmark_run span, struct cm_cards *into);

static inline void open_with(unsigned threads, size_t chunk_pages, size_t vec_len)
{
	struct cm_backend_params params = { .chunk_bytes = chunk_pages * FAKE_PAGE,
					    .vec_len = vec_len,
					    .threads = threads,
					    .counters = &counters };
	const char *why = NULL;

	memset(&counters, 0, sizeof counters);
	memset(written, 0, sizeof written);
	begin();
	CHECK_EQ(cm_backend_pagemap.open(&b, &params, &why), 0);
	CHECK_EQ(cm_backend_pagemap.threads(b), threads);
	harvest = cm_backend_pagemap.harvest;
	CHECK_EQ(cm_cards_init(&cards), 0);
	CHECK_EQ(cm_cards_reserve(&cards, FAKE_BASE, fake_addr(FAKE_PAGES)), 0);
	CHECK_EQ(cm_cards_init(&serial), 0);
	CHECK_EQ(cm_cards_reserve(&serial, FAKE_BASE, fake_addr(FAKE_PAGES)), 0);
}

static inline void close_all(void)
{
	atomic_store(&gate, OPEN);
	atomic_store(&asleep, false);
	cm_backend_pagemap.close(b, &all);
	cm_ranges_free(&all);
	cm_cards_free(&cards);
	cm_cards_free(&serial);
	fake_kernel_end();
}

static inline void add(size_t from, size_t to)
{
	struct cm_range r = {
		.start = fake_addr(from), .end = fake_addr(to), .kind = CM_KIND_PRIVATE, .prot = 3
	};

	CHECK_EQ(cm_ranges_reserve(&all, 1), 0);
	CHECK_EQ(cm_backend_pagemap.add(b, &r), 0);
	cm_ranges_add(&all, r);
}

static inline void write_pages(size_t from, size_t to)
{
	(void)pthread_mutex_lock(&kernel);
	fake_write(from, to);
	(void)pthread_mutex_unlock(&kernel);
	for (size_t i = from; i < to; i++)
		written[i] = true;
}

static inline void write_some(uint64_t *rng, size_t pages)
{
	for (uint64_t n = random_below(rng, 60); n > 0; n--) {
		size_t from = random_below(rng, pages - 12);
		write_pages(from, from + 1 + random_below(rng, 12));
	}
}

static inline size_t harvest_all(void)
{
	cm_cards_clear_all(&cards);
	return harvest(b, &all, CM_ALL, &cards);
}

struct difference {
	size_t lost, extra;
};

static inline struct difference compare(void)
{
	struct difference d = { 0, 0 };

	for (size_t i = 0; i < FAKE_PAGES; i++) {
		bool dirty = cm_cards_test(&cards, fake_addr(i));
		bool tracked = cm_ranges_cover(&all, fake_addr(i), fake_addr(i + 1));
		CHECK(!(dirty && !tracked));
		d.lost += tracked && written[i] && !dirty;
		d.extra += dirty && !written[i];
		written[i] = false;
	}
	return d;
}

static inline void exact(void)
{
	struct difference d;

	CHECK_EQ(harvest_all(), 0);
	d = compare();
	CHECK_EQ(d.lost, 0);
	CHECK_EQ(d.extra, 0);
}

/* Waits until no helper stands at the gate or before its end. */
static inline void let_through(void)
{
	atomic_store(&gate, OPEN);
	while (atomic_load(&waiting) != 0)
		(void)sched_yield();
	CHECK(cm_crew_settle(&cm_pagemap_self(b)->crew, UINT64_MAX));
}

#endif
