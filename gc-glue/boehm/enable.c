/* SPDX-License-Identifier: MIT
 *
 * Chooses the way in, opens the tracker and connects the two. */
#include "gc-glue/boehm/tell.h"
#include "lib/fork.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Why way A cannot work; NULL if it can. */
static const char *no_way_a(void)
{
#if !defined(__x86_64__)
	return "way A works on x86-64 only";
#else
	unsigned v = cm_gc_api.GC_get_version();

	if (cm_gc_api.place == CM_GC_IN_PROGRAM)
		return "libgc is linked into the program: it has no slots of its own to redirect";
	if (cm_gc_api.place == CM_GC_WITH_OTHERS)
		return "libgc is linked into an object with other code: the slots there are not "
		       "libgc's alone";
	if (!cm_gc_api.shared)
		return "this libgc does not map memory through a slot";
	if (v >> 8 != (8 << 8 | 2))
		return "way A works with libgc 8.2 only";
	if (!cm_gc_asks_for_pagemap())
		return "this libgc does not make the calls that way A answers";
	return NULL;
#endif
}

/* Why way B cannot work; NULL if it can. Way B depends on a callback: if the program replaces it
 * and we do not notice, objects are lost. The manual warns callers of cardmark_gc_enable(). */
static const char *no_way_b(void)
{
	if (!cm_gc_api.GC_set_manual_vdb_allowed)
		return "this libgc has no GC_set_manual_vdb_allowed";
	if (cm_gc_config.preloaded && !cm_gc_is_defended())
		return "the program's calls to libgc can't be redirected, so it could replace the "
		       "callback that way B needs";
	return NULL;
}

static int choose_way(enum cardmark_gc_way asked)
{
	const char *no_a = no_way_a(), *no_b = no_way_b();

	if (asked == CARDMARK_GC_WAY_A && no_a)
		return cm_gc_fail(-ENOTSUP, "way A was asked for, but %s", no_a);
	if (asked == CARDMARK_GC_WAY_B && no_b)
		return cm_gc_fail(-ENOTSUP, "way B was asked for, but %s", no_b);
	if (no_a && no_b && cm_gc_config.preloaded &&
	    cm_gc_api.place == CM_GC_IN_PROGRAM) { /* as one whose libgc is not exported */
		cm_gc_config.mode = CARDMARK_GC_MODE_STOP_THE_WORLD;
		cm_gc_config.unchanged = true;
		cm_gc_because("libgc is linked into the program, so its calls can't be redirected: "
			      "writes are not tracked, and the program runs unchanged");
		return 0;
	}
	if (asked == CARDMARK_GC_WAY_AUTO && no_a && no_b)
		return cm_gc_fail(-ENOTSUP, "neither way works: %s; %s", no_a, no_b);
	cm_gc_config.way = asked ? asked : no_a ? CARDMARK_GC_WAY_B : CARDMARK_GC_WAY_A;
	if (asked == CARDMARK_GC_WAY_B)
		cm_gc_because("way B was asked for");
	else if (no_a)
		cm_gc_because("%s", no_a);
	return 0;
}

/* A stop that does not finish within the limit is given up, and marking goes on
 * in slices of `rate` units inside the allocator; after so many tries the last
 * stop runs without limit (GC_collect_a_little_inner in alloc.c). A unit is a
 * page or so, up to 15 us of cache misses. Slices about as long as the target keep the longest
 * stall at two or three targets. With short slices (libgc's default is 10) the mutators dirty pages
 * as fast as they are marked: with rate 40, a 5 ms target took twice the stops of rate 400 and a
 * third more CPU, and was missed. */
#define ATTEMPTS 30
#define RATE_PER_MS 80

static int rate_for(uint64_t target_ns)
{
	uint64_t rate = target_ns * RATE_PER_MS / 1000000;

	return rate < 40 ? 40 : rate > 4000 ? 4000 : (int)rate;
}

static void set_knobs(void)
{
	uint64_t ns = cm_gc_config.target_ns;
	struct cm_gc_timeval limit = { (unsigned long)(ns / 1000000),
				       (unsigned long)(ns % 1000000) };
	unsigned rate = cm_gc_test(CM_GC_TEST_RATE);

	if (!ns || cm_gc_config.mode == CARDMARK_GC_MODE_STOP_THE_WORLD)
		return;
	if (!rate && cm_gc_pace_start(ns))
		return;
	if (cm_gc_api.GC_set_time_limit_tv)
		cm_gc_api.GC_set_time_limit_tv(limit);
	else
		cm_gc_api.GC_set_time_limit(limit.ms ? limit.ms : 1);
	if (cm_gc_api.GC_set_max_prior_attempts)
		cm_gc_api.GC_set_max_prior_attempts(ATTEMPTS);
	if (cm_gc_api.GC_set_rate)
		cm_gc_api.GC_set_rate(rate ? (int)rate : rate_for(ns));
}

/* Pages that libgc allocates from are dirty at every collection; half of all faults were
 * theirs. */
#define BACKOFF 16

static int open_tracker(void)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;
	struct cm_gc_heap *h = &cm_gc_heap;
	int error;

	o.backend = cm_gc_config.backend;
	o.backoff = BACKOFF;
	error = cardmark_open(&h->cm, &o);
	if (error < 0)
		return cm_gc_fail(error, "%s", cardmark_last_error());
	error = cardmark_table_new(&h->table, h->cm);
	if (error < 0) {
		cardmark_close(&h->cm);
		return cm_gc_fail(error, "no memory for a card table");
	}
	(void)cardmark_describe(h->cm, &h->tracker);
	if (*h->tracker.why_no_better)
		cm_gc_because("%s", h->tracker.why_no_better);
	return 0;
}

static void after_fork(void)
{
	/* The core rebuilds the tracker, in a handler of its own or at the first call; libgc opens
	 * its files again. Neither needs this handler, so the order does not matter. This is the
	 * only thread: work of other threads in the parent does not go on here. */
	cm_gc_config.self = getpid();
	cm_gc_turn_child();
	cm_gc_reporter_child();
	cm_gc_redirect_child();
	cm_gc_events_child();
	cm_gc_roots_child();
	cm_gc_walk_child();
	if (cm_gc_config.enabled)
		cm_gc_report_begin_child();
}

/* Libgc's fork handlers are called after the core's then, and it stops the world in them. */
static bool started_before_us;

__attribute__((constructor)) static void note_the_order(void)
{
	union {
		void *object;
		int (*call)(void);
	} is_init_called = { .object = dlsym(RTLD_DEFAULT, "GC_is_init_called") };

	if (!is_init_called.object)
		(void)dlerror(); /* the program's next dlerror() must not return it */
	started_before_us = is_init_called.object && is_init_called.call();
}

static bool gc_started(void)
{
	if (cm_gc_api.GC_is_init_called)
		return cm_gc_api.GC_is_init_called();
	return cm_gc_api.GC_get_heap_size() != 0;
}

/* Reads the options, checks them, and opens the tracker. Redirects nothing yet. */
static int choose(const struct cardmark_gc_options *options)
{
	struct cm_gc_config *c = &cm_gc_config;
	const char *raw = secure_getenv("CARDMARK_STATS_RAW");
	enum cardmark_gc_way way = CARDMARK_GC_WAY_AUTO;
	int error = cm_gc_api_load();

	if (error == 0)
		error = cm_gc_read_settings(options, &way);
	if (error < 0)
		return error;
	c->init_called = gc_started();
	/* The preload object comes here in a constructor, perhaps before the one above. */
	if ((started_before_us || (c->preloaded && c->init_called)) &&
	    !cm_gc_test(CM_GC_TEST_NO_FORK_ORDER))
		cm_fork_leave_to_child();
	if (c->init_called && cm_gc_api.GC_is_incremental_mode &&
	    cm_gc_api.GC_is_incremental_mode() && c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD)
		return cm_gc_fail(-EBUSY, "libgc is in incremental mode already");
	if (!cm_gc_rec && cm_gc_record_init(raw && *raw == '1') != 0)
		return cm_gc_fail(-ENOMEM, "no memory for the recorder");
	cm_gc_api.shared = cm_gc_memory_is_seen();
	if (c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT && c->preloaded &&
	    cm_gc_api.place == CM_GC_IN_PROGRAM)
		return cm_gc_fail(-ENOTSUP, "libgc is linked into the program: its own mode can't "
					    "be chosen from outside");
	if (c->mode == CARDMARK_GC_MODE_AUTO)
		error = choose_way(way);
	/* If nothing can be done to the program, the mode has changed. */
	if (error == 0 && c->mode == CARDMARK_GC_MODE_AUTO)
		error = open_tracker();
	if (error < 0)
		c->way = CARDMARK_GC_WAY_AUTO;
	return error;
}

/* All of them or none: without the slot of write(2) no pass would end, and later writes would count
 * as clean. */
static int enter_way_a(void)
{
	if (cm_gc_redirect_way_a())
		return 0;
	cm_gc_config.way = CARDMARK_GC_WAY_AUTO;
	cardmark_table_delete(&cm_gc_heap.table);
	cardmark_close(&cm_gc_heap.cm);
	return cm_gc_fail(-EPERM, "libgc's slots can't be written");
}

/* Callbacks first, then the program's calls. A callback that the program sets one step before is
 * found in libgc, and ours calls it. One that it sets in between replaces ours, which the next
 * allocation notices. One that it sets a step after is passed to us. In the other order, a callback
 * that it sets in between would be forgotten. */
static void connect_both(void)
{
	const struct cm_gc_config *c = &cm_gc_config;

	cm_gc_events_install(cm_gc_redirect_again);
	if (c->mode == CARDMARK_GC_MODE_AUTO)
		cm_gc_large_start();
	if (c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD)
		cm_gc_growth_start();
	set_knobs();
	cm_gc_redirect_again();
}

static bool is_to_tell(void)
{
	return cm_gc_statsfile() || cm_gc_summary_is_on() || cm_gc_trace_is_on() ||
	       cm_gc_log_is_on();
}

int cm_gc_prepare(const struct cardmark_gc_options *options)
{
	struct cm_gc_config *c = &cm_gc_config;
	int error;

	cm_gc_report_begin();
	c->pid = c->self = getpid();
	c->why[0] = '\0';
	cm_gc_statsfile_start();
	cm_gc_test_read();
	cm_gc_summary_start();
	cm_gc_tracefile_start();
	cm_gc_log_start();
	error = choose(options);
	if (error == 0 && c->way == CARDMARK_GC_WAY_A)
		error = enter_way_a();
	if (error < 0)
		return error;

	/* From here on nothing fails. */
	pthread_atfork(NULL, cm_gc_report_forked, after_fork);
	cm_gc_heap.early = !c->init_called && cm_gc_api.shared;
	cm_gc_redirect_libgc();
	if (c->way == CARDMARK_GC_WAY_B)
		cm_gc_allow_manual_vdb();
	/* A program that calls the adapter itself decides what its signals do. */
	if (c->preloaded && is_to_tell())
		cm_gc_ending_start();
	connect_both();
	if ((c->init_called || !cm_gc_api.shared) && cm_gc_heap.cm)
		cm_gc_heap_adopt();
	if (cm_gc_is_the_program() || cm_gc_statsfile())
		cm_gc_keep_stderr();
	c->enabled = true;
	cm_gc_reporter_start();
	return 0;
}

/* A static libgc reads the real environment, which also the program and its children read. */
static void enable_static(enum cardmark_gc_mode mode)
{
	static const char name[] = "GC_USE_GETWRITEWATCH";
	const char *old = getenv(name);
	char *kept = old ? strdup(old) : NULL;

	if (mode != CARDMARK_GC_MODE_LIBGC_OWN)
		(void)setenv(name, mode == CARDMARK_GC_MODE_LIBGC_MPROTECT ? "0" : "1", 1);
	cm_gc_api.GC_enable_incremental();
	if (kept)
		(void)setenv(name, kept, 1);
	else if (!old)
		(void)unsetenv(name);
	free(kept);
}

int cm_gc_enable(const struct cardmark_gc_options *options)
{
	static bool called;
	struct cm_gc_config *c = &cm_gc_config;
	int error;

	if (c->unchanged) /* the preload object could do nothing, but the program calls us */
		c->enabled = c->unchanged = c->preloaded = false;
	if (c->enabled && !called) { /* by the preload object */
		called = true;
		cm_gc_api.GC_init();
		return 0;
	}
	if (c->enabled)
		return cm_gc_fail(-EBUSY, "the adapter was enabled before");
	error = cm_gc_prepare(options);
	if (error < 0)
		return error;
	called = true;
	if (c->mode == CARDMARK_GC_MODE_STOP_THE_WORLD) {
		cm_gc_api.GC_init();
		return 0;
	}
	if (cm_gc_api.place != CM_GC_IN_PROGRAM) /* its slot for getenv() is ours */
		cm_gc_api.GC_enable_incremental();
	else
		enable_static(c->mode);
	if (cm_gc_api.GC_is_incremental_mode && !cm_gc_api.GC_is_incremental_mode())
		cm_gc_because("libgc refused incremental mode");
	return 0;
}
