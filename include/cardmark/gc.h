/* SPDX-License-Identifier: MIT
 *
 * Boehm GC on cardmark: one call instead of GC_enable_incremental().
 *
 * The collector is the stock libgc (8.0 or later, shared or static). Its dirty bits come from a
 * cardmark tracker instead of mprotect and SIGSEGV. There are two ways into libgc, chosen and named
 * at run time:
 *   A  libgc's own soft-dirty mode: the calls libgc makes to open, read and
 *      clear /proc/PID/pagemap and clear_refs are answered from the tracker.
 *      x86-64 and a shared libgc from 8.2.0 up to before 8.3.
 *   B  libgc's manual dirty bits, through its public API. Any libgc 8. An
 *      allocation costs more and pauses are less even.
 * In both ways, memory that is not tracked counts as dirty.
 *
 * What is recorded (nanoseconds of CLOCK_MONOTONIC):
 *   stop   from before libgc asks its threads to stop until it has resumed them
 *          (GC_EVENT_PRE_STOP_WORLD to GC_EVENT_POST_START_WORLD)
 *   stall  one call into libgc's allocation slow path: the time a
 *          mutator waits for memory, which includes a stop it causes, marking
 *          done on its account, and waiting for the allocation lock
 *
 * Errors are those of <cardmark/cardmark.h>, and cardmark_last_error() has the reason. All calls
 * here may come from any thread, but not from a callback of the collector.
 */
#ifndef CARDMARK_GC_H
#define CARDMARK_GC_H

#include <cardmark/cardmark.h>

#ifdef __cplusplus
extern "C" {
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* as in cardmark.h */
#endif
#endif

enum cardmark_gc_mode {
	CARDMARK_GC_MODE_AUTO = 0,       /* incremental, dirty bits from the tracker */
	CARDMARK_GC_MODE_LIBGC_MPROTECT, /* incremental, libgc's own mprotect mode */
	CARDMARK_GC_MODE_STOP_THE_WORLD, /* not incremental; only recorded */
	CARDMARK_GC_MODE_LIBGC_OWN       /* incremental, dirty bits as libgc itself chooses */
};

enum cardmark_gc_way { CARDMARK_GC_WAY_AUTO = 0, CARDMARK_GC_WAY_A, CARDMARK_GC_WAY_B };

struct cardmark_gc_options {
	size_t size; /* set by _INIT */
	enum cardmark_backend backend;
	enum cardmark_gc_mode mode;
	enum cardmark_gc_way way;
	unsigned pause_target_ms; /* how long a stop may mark before it gives up
				   * and tries again later; 0: libgc's default,
				   * no limit. A stop gets at least what it needs to
				   * get to its end; the 41st try has no limit. */
};

#define CARDMARK_GC_OPTIONS_INIT                                                                   \
	{                                                                                          \
		sizeof(struct cardmark_gc_options), CARDMARK_BACKEND_AUTO, CARDMARK_GC_MODE_AUTO,  \
			CARDMARK_GC_WAY_AUTO, 0                                                    \
	}

/* Switches incremental collection on, with dirty bits from a tracker. Call it once, early: best
 * instead of GC_INIT(), which it calls. It finds heap that exists already. Roots that
 * GC_add_roots() added before are not corrected (libgc before 8.2.8 misses the last page of an
 * unaligned one). options may be NULL. The environment overrides them: CARDMARK_GC_MODE (auto,
 * libgc-mprotect, stop-the-world, libgc-own), CARDMARK_GC_WAY (auto, A, B), CARDMARK_GC_WALK (auto,
 * libgc), CARDMARK_PAUSE_TARGET (milliseconds), and what cardmark_open() reads: CARDMARK_BACKEND
 * and the others. With CARDMARK_STATS=FILE the counters are written at exit, see
 * cardmark_gc_write_stats(). A program that runs with more rights than its user ignores all of
 * them. Callbacks that the program gives libgc, before or after this call, are still called; with a
 * static libgc set them before. If the program runs under `cardmark run`, the preloaded adapter is
 * in charge: the call does nothing and succeeds. -EINVAL bad option or environment; -ENOTSUP no
 * libgc here, or the way or the backend asked for cannot work; -EPERM, -ENOMEM; -EBUSY called
 * before. On failure cardmark_last_error() has the reason, and libgc is as it was. */
CARDMARK_API int cardmark_gc_enable(const struct cardmark_gc_options *options);

struct cardmark_gc_info {
	size_t size; /* set by _INIT */
	enum cardmark_gc_mode mode;
	enum cardmark_gc_way way;      /* AUTO: none is in use */
	enum cardmark_backend backend; /* AUTO: none is in use */
	const char *why;               /* why not a better way or backend; static storage */
	uint64_t heap_bytes;           /* libgc's heap, now */
	uint64_t tracked_cards;        /* of heap and static data, now */
	uint64_t dirty_cards;          /* reported to libgc, sum over all stops */
	uint64_t collections;          /* libgc's count; in a fork child since the fork */
	uint64_t stops, stop_total_ns, stop_max_ns;
	uint64_t stalls, stall_total_ns, stall_max_ns;
	/* Of the tracker (see cardmark_stats()), with CARDMARK_VERIFY. */
	uint64_t verify_checked, verify_changed, verify_missed, verify_false;
};

#define CARDMARK_GC_INFO_INIT                                                                      \
	{                                                                                          \
		sizeof(struct cardmark_gc_info), CARDMARK_GC_MODE_AUTO, CARDMARK_GC_WAY_AUTO,      \
			CARDMARK_BACKEND_AUTO, "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0        \
	}

/* Fills *info. In a fork child all sums begin at the fork. -EINVAL the struct;
 * -ENOENT not enabled. */
CARDMARK_API int cardmark_gc_info(struct cardmark_gc_info *info);

/* Writes all counters and percentiles as JSON (format "cardmark-run", version
 * 1) to path; "-" is standard output; "%p" in path becomes the process id. A file
 * of the user's own is replaced in one step. It is not a cancellation point.
 * -EINVAL no path; -ENOENT not enabled; -EIO the file cannot be written. */
CARDMARK_API int cardmark_gc_write_stats(const char *path);

#ifdef __cplusplus
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
}
#endif
#endif
