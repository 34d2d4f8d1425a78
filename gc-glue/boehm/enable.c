/* SPDX-License-Identifier: MIT
 *
 * Chooses the way in, opens the tracker and connects the two.
 */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cm_gc_config cm_gc_config;

static __thread char error_text[640];

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

int cm_gc_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error_text, sizeof(error_text), format, args);
	va_end(args);
	return error;
}

const char *cm_gc_error(void)
{
	return error_text;
}

void cm_gc_no_error(void)
{
	error_text[0] = '\0';
}

static void because(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void because(const char *format, ...)
{
	char *why = cm_gc_config.why;
	size_t n = strlen(why);
	va_list args;

	if (n)
		n += (size_t)snprintf(why + n, sizeof(cm_gc_config.why) - n, "; ");
	if (n >= sizeof(cm_gc_config.why))
		return;
	va_start(args, format);
	vsnprintf(why + n, sizeof(cm_gc_config.why) - n, format, args);
	va_end(args);
}

static const char *const mode_names[] = { "auto", "libgc-mprotect", "stop-the-world" };
static const char *const way_names[] = { "auto", "A", "B" };

const char *cm_gc_mode_name(enum cardmark_gc_mode mode)
{
	return mode_names[mode];
}

/* -1: not one of them */
static int name_index(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], s) == 0)
			return (int)i;
	return -1;
}

/* ---- What libgc reads from the environment, as long as its slot is ours ---- */

/* False if it is not for us to say. */
static bool answer(const char *name, char **value)
{
	static char one[] = "1", zero[] = "0";
	const struct cm_gc_config *c = &cm_gc_config;
	bool incremental = c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD;

	if (strcmp(name, "GC_ENABLE_INCREMENTAL") == 0)
		*value = incremental ? one : NULL;
	else if (strcmp(name, "GC_DISABLE_INCREMENTAL") == 0)
		*value = incremental ? NULL : one;
	else if (strcmp(name, "GC_USE_GETWRITEWATCH") == 0)
		*value = c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT ? zero : one;
	else if (strcmp(name, "GC_PAUSE_TIME_TARGET") == 0 && c->target_ns)
		*value = NULL;
	else
		return false;
	return true;
}

static char *hook_getenv(const char *name)
{
	char *value;

	/* Which variables a privileged program takes from its user is libgc's affair. */
	return answer(name, &value) ? value : getenv(name);
}

static char *hook_secure_getenv(const char *name)
{
	char *value;

	return answer(name, &value) ? value : secure_getenv(name);
}

/* ---- Slots -------------------------------------------------------------------- */

/* Way B lives on them. So they stay allowed, and the program is told what it said. */
static int program_allows_vdb;

static void hook_set_manual_vdb_allowed(int value)
{
	if (cm_gc_config.way != CARDMARK_GC_WAY_B) {
		cm_gc_api.GC_set_manual_vdb_allowed(value);
		return;
	}
	program_allows_vdb = value;
	if (!value && !strstr(cm_gc_config.why, "manual dirty bits"))
		because("the program forbade manual dirty bits, which way B needs: they stay on");
}

static int hook_get_manual_vdb_allowed(void)
{
	return cm_gc_config.way == CARDMARK_GC_WAY_B ? program_allows_vdb
						     : cm_gc_api.GC_get_manual_vdb_allowed();
}

static void allow_manual_vdb(void)
{
	if (cm_gc_api.GC_get_manual_vdb_allowed)
		program_allows_vdb = cm_gc_api.GC_get_manual_vdb_allowed();
	cm_gc_api.GC_set_manual_vdb_allowed(1);
}

#define SLOT(symbol, function)                                                                     \
	{                                                                                          \
		symbol, (void *)function, 0                                                        \
	}

/* Calls that libgc makes. */
static struct cm_gc_slot way_a_slots[] = {
	SLOT("__open_2", cm_gc_hook_open), SLOT("open", cm_gc_hook_open),
	SLOT("open64", cm_gc_hook_open),   SLOT("__open64_2", cm_gc_hook_open),
	SLOT("lseek", cm_gc_hook_lseek),   SLOT("lseek64", cm_gc_hook_lseek),
	SLOT("read", cm_gc_hook_read),     SLOT("__read_chk", cm_gc_hook_read_chk),
	SLOT("write", cm_gc_hook_write),   SLOT("close", cm_gc_hook_close),
};
static struct cm_gc_slot memory_slots[] = {
	SLOT("mmap", cm_gc_hook_mmap),         SLOT("mmap64", cm_gc_hook_mmap),
	SLOT("munmap", cm_gc_hook_munmap),     SLOT("madvise", cm_gc_hook_madvise),
	SLOT("mprotect", cm_gc_hook_mprotect),
};
static struct cm_gc_slot mprotect_slot[] = { SLOT("mprotect", cm_gc_hook_mprotect) };
static struct cm_gc_slot phdr_slot[] = { SLOT("dl_iterate_phdr", cm_gc_hook_dl_iterate_phdr) };
static struct cm_gc_slot getenv_slots[] = { SLOT("getenv", hook_getenv),
					    SLOT("secure_getenv", hook_secure_getenv) };

/* Calls to libgc, from anywhere. */
static struct cm_gc_slot api_slots[] = {
	SLOT("GC_set_on_collection_event", cm_gc_hook_set_on_collection_event),
	SLOT("GC_get_on_collection_event", cm_gc_hook_get_on_collection_event),
	SLOT("GC_set_on_heap_resize", cm_gc_hook_set_on_heap_resize),
	SLOT("GC_get_on_heap_resize", cm_gc_hook_get_on_heap_resize),
	SLOT("GC_set_manual_vdb_allowed", hook_set_manual_vdb_allowed),
	SLOT("GC_get_manual_vdb_allowed", hook_get_manual_vdb_allowed),
	SLOT("GC_set_stop_func", cm_gc_hook_set_stop_func),
	SLOT("GC_get_stop_func", cm_gc_hook_get_stop_func),
	SLOT("GC_set_free_space_divisor", cm_gc_hook_set_free_space_divisor),
	SLOT("GC_get_free_space_divisor", cm_gc_hook_get_free_space_divisor),
	SLOT("GC_set_push_other_roots", cm_gc_hook_set_push_other_roots),
	SLOT("GC_get_push_other_roots", cm_gc_hook_get_push_other_roots),
	SLOT("GC_generic_malloc", cm_gc_hook_generic_malloc),
	SLOT("GC_generic_malloc_many", cm_gc_hook_generic_malloc_many),
	SLOT("GC_generic_malloc_ignore_off_page", cm_gc_hook_generic_malloc_ignore_off_page),
	SLOT("GC_generic_malloc_uncollectable", cm_gc_hook_generic_malloc_uncollectable),
};
static struct cm_gc_slot signal_slots[] = {
	SLOT("sigaction", cm_gc_hook_sigaction),     SLOT("__sigaction", cm_gc_hook_sigaction),
	SLOT("signal", cm_gc_hook_signal),           SLOT("bsd_signal", cm_gc_hook_signal),
	SLOT("ssignal", cm_gc_hook_signal),          SLOT("__sysv_signal", cm_gc_hook_sysv_signal),
	SLOT("sysv_signal", cm_gc_hook_sysv_signal),
};
static struct cm_gc_slot roots_slot[] = { SLOT("GC_add_roots", cm_gc_hook_add_roots) };

static unsigned found(const struct cm_gc_slot *slots, size_t n, const char *symbol)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(slots[i].symbol, symbol) == 0)
			return slots[i].found;
	return 0;
}

/* Is libgc alone in its object, and does it map memory through a slot? Then all of its memory is
 * seen, and nobody else's. */
static bool memory_is_seen(void)
{
	struct cm_gc_slot *s = memory_slots;
	size_t n = COUNT(memory_slots);

	cm_gc_plt_redirect(cm_gc_api.base, s, n, false);
	return cm_gc_api.place == CM_GC_ALONE && (found(s, n, "mmap") || found(s, n, "mmap64"));
}

/* Do slow allocations pass a slot, inside libgc? If not, nobody notices when the program sets
 * a callback over ours. */
static bool is_defended(void)
{
	struct cm_gc_slot *s = api_slots;
	size_t n = COUNT(api_slots);

	cm_gc_plt_redirect(cm_gc_api.base, s, n, false);
	return found(s, n, "GC_generic_malloc") != 0;
}

/* Why way A cannot be; NULL if it can. */
static const char *no_way_a(void)
{
#if !defined(__x86_64__)
	return "way A is for x86-64";
#else
	struct cm_gc_slot *s = way_a_slots;
	unsigned v = cm_gc_api.GC_get_version();
	size_t n = COUNT(way_a_slots);

	if (cm_gc_api.place == CM_GC_IN_PROGRAM)
		return "libgc is linked into the program: it has no slots of its own to redirect";
	if (cm_gc_api.place == CM_GC_WITH_OTHERS)
		return "libgc is linked into an object with other code: its slots are not its own";
	if (!cm_gc_api.shared)
		return "this libgc does not map memory through a slot";
	if (v >> 8 != (8 << 8 | 2))
		return "way A is for libgc 8.2";
	cm_gc_plt_redirect(cm_gc_api.base, s, n, false);
	if (!(found(s, n, "__open_2") || found(s, n, "open") || found(s, n, "__open64_2") ||
	      found(s, n, "open64")) ||
	    !(found(s, n, "lseek") || found(s, n, "lseek64")) ||
	    !(found(s, n, "read") || found(s, n, "__read_chk")) || !found(s, n, "write") ||
	    !found(s, n, "close"))
		return "this libgc does not make the calls that way A answers";
	return NULL;
#endif
}

/* Why way B cannot be; NULL if it can. It lives on a callback: one that the program sets over
 * ours without anyone's noticing loses objects. Who calls cardmark_gc_enable() is told so. */
static const char *no_way_b(void)
{
	if (!cm_gc_api.GC_set_manual_vdb_allowed)
		return "this libgc has no GC_set_manual_vdb_allowed";
	if (cm_gc_config.preloaded && !is_defended())
		return "the program's calls to libgc can't be redirected, so it could replace the "
		       "callback that way B lives on";
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
		because("libgc is linked into the program, so that its calls can't be redirected: "
			"writes are not tracked, and it runs as it is");
		return 0;
	}
	if (asked == CARDMARK_GC_WAY_AUTO && no_a && no_b)
		return cm_gc_fail(-ENOTSUP, "neither way works: %s; %s", no_a, no_b);
	cm_gc_config.way = asked ? asked : no_a ? CARDMARK_GC_WAY_B : CARDMARK_GC_WAY_A;
	if (asked == CARDMARK_GC_WAY_B)
		because("way B was asked for");
	else if (no_a)
		because("%s", no_a);
	return 0;
}

/* ---- Settings -------------------------------------------------------------------- */

#define MOST_TARGET_NS (UINT64_C(3600) * 1000000000)

/* A program that runs with more rights than its user obeys no variable of his. */
static int read_settings(const struct cardmark_gc_options *options, enum cardmark_gc_way *way)
{
	struct cm_gc_config *c = &cm_gc_config;
	struct cardmark_gc_options o = CARDMARK_GC_OPTIONS_INIT;
	const char *s;
	int i;

	if (options && options->size < sizeof(o.size) + sizeof(o.backend))
		return cm_gc_fail(-EINVAL, "the options have no size: use _INIT");
	if (options)
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	if ((unsigned)o.mode >= COUNT(mode_names) || (unsigned)o.way >= COUNT(way_names))
		return cm_gc_fail(-EINVAL, "no such mode or way");
	c->backend = o.backend;
	c->mode = o.mode;
	c->target_ns = o.pause_target_ms * UINT64_C(1000000);
	*way = o.way;
	if ((s = secure_getenv("CARDMARK_GC_MODE")) && *s) {
		if ((i = name_index(mode_names, COUNT(mode_names), s)) < 0)
			return cm_gc_fail(-EINVAL,
					  "CARDMARK_GC_MODE=%s: not one of auto, "
					  "libgc-mprotect, stop-the-world",
					  s);
		c->mode = (enum cardmark_gc_mode)i;
	}
	if ((s = secure_getenv("CARDMARK_GC_WAY")) && *s) {
		if ((i = name_index(way_names, COUNT(way_names), s)) < 0)
			return cm_gc_fail(-EINVAL, "CARDMARK_GC_WAY=%s: not one of auto, A, B", s);
		*way = (enum cardmark_gc_way)i;
	}
	if ((s = secure_getenv("CARDMARK_PAUSE_TARGET")) && *s) {
		if (!cm_gc_ms_parse(s, MOST_TARGET_NS, &c->target_ns) || !c->target_ns)
			return cm_gc_fail(-EINVAL,
					  "CARDMARK_PAUSE_TARGET=%s: not a number of "
					  "milliseconds above 0, such as 5 or 2.5",
					  s);
	}
	/* cardmark_open() reads it, and complains. */
	c->verify = (s = secure_getenv("CARDMARK_VERIFY")) && strcmp(s, "hash") == 0;
	return 0;
}

/* A stop that does not finish within the limit is given up, and marking goes on
 * in slices of `rate` units inside the allocator; after so many tries the last
 * stop runs without limit (GC_collect_a_little_inner in alloc.c). A unit is a
 * page or so, up to 15 us of cache misses. Slices about as long as the target keep
 * the longest stall at two or three targets; with short ones (libgc's default is
 * 10) the mutators dirty pages as fast as they are marked: at 40, a 5 ms target
 * took twice the stops of 400, a third more CPU, and was missed. */
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
	int r;

	o.backend = cm_gc_config.backend;
	o.backoff = BACKOFF;
	r = cardmark_open(&h->cm, &o);
	if (r != 0)
		return cm_gc_fail(r, "%s", cardmark_last_error());
	r = cardmark_table_new(&h->table, h->cm);
	if (r != 0) {
		cardmark_close(&h->cm);
		return cm_gc_fail(r, "no memory for a card table");
	}
	(void)cardmark_describe(h->cm, &h->tracker);
	if (*h->tracker.why_no_better)
		because("%s", h->tracker.why_no_better);
	return 0;
}

static atomic_flag redirecting = ATOMIC_FLAG_INIT;

static void after_fork(void)
{
	/* The core rebuilds the tracker, by a handler of its own or at the first call; libgc opens
	 * its files again. Neither asks anything of us, so it is all one who comes first. The
	 * world is this thread: what another one was doing in the parent nobody goes on with. */
	atomic_flag_clear(&redirecting);
	cm_gc_record_child();
	if (cm_gc_config.enabled)
		cm_gc_report_begin_child();
}

static bool gc_started(void)
{
	if (cm_gc_api.GC_is_init_called)
		return cm_gc_api.GC_is_init_called();
	return cm_gc_api.GC_get_heap_size() != 0;
}

static void redirect_signals(void)
{
	if (cm_gc_heap.cm && cm_gc_heap.tracker.backend == CARDMARK_BACKEND_MPROTECT &&
	    !cm_gc_test(CM_GC_TEST_NO_SIGNAL_DEFENCE))
		cm_gc_plt_redirect(NULL, signal_slots, COUNT(signal_slots), true);
}

void cm_gc_redirect_again(void)
{
	/* Two at once would take each other's right to write to a RELRO page. */
	if (atomic_flag_test_and_set(&redirecting))
		return;
	/* Before the walk: what is too early for it is found by the next one. */
	atomic_store_explicit(&cm_gc_plt_early, false, memory_order_relaxed);
	cm_gc_plt_redirect(NULL, api_slots, COUNT(api_slots), true);
	redirect_signals();
	if (cm_gc_config.way == CARDMARK_GC_WAY_A)
		cm_gc_plt_redirect(NULL, roots_slot, 1, true);
	atomic_flag_clear(&redirecting);
}

int cm_gc_prepare(const struct cardmark_gc_options *options)
{
	struct cm_gc_config *c = &cm_gc_config;
	const char *raw = secure_getenv("CARDMARK_STATS_RAW");
	enum cardmark_gc_way way = CARDMARK_GC_WAY_AUTO;
	int r;

	cm_gc_report_begin();
	c->pid = getpid();
	c->why[0] = '\0';
	cm_gc_statsfile_start();
	cm_gc_test_read();
	if ((r = cm_gc_api_load()) != 0 || (r = read_settings(options, &way)) != 0)
		return r;
	c->init_called = gc_started();
	if (c->init_called && cm_gc_api.GC_is_incremental_mode &&
	    cm_gc_api.GC_is_incremental_mode() && c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD)
		return cm_gc_fail(-EBUSY, "libgc is in incremental mode already");
	if (!cm_gc_rec && cm_gc_record_init(raw && *raw == '1') != 0)
		return cm_gc_fail(-ENOMEM, "no memory for the recorder");
	cm_gc_api.shared = memory_is_seen();
	if (c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT && c->preloaded &&
	    cm_gc_api.place == CM_GC_IN_PROGRAM)
		return cm_gc_fail(-ENOTSUP, "libgc is linked into the program: its own mode can't "
					    "be chosen from outside");
	if ((c->mode == CARDMARK_GC_MODE_AUTO && (r = choose_way(way)) != 0) ||
	    (c->mode == CARDMARK_GC_MODE_AUTO && (r = open_tracker()) != 0)) {
		c->way = CARDMARK_GC_WAY_AUTO;
		return r;
	}

	/* All of them or none: without the one for write(2) no pass would end, and
	 * what comes after would count as clean. */
	if (c->way == CARDMARK_GC_WAY_A &&
	    cm_gc_plt_redirect(cm_gc_api.base, way_a_slots, COUNT(way_a_slots), true) !=
		    cm_gc_plt_redirect(cm_gc_api.base, way_a_slots, COUNT(way_a_slots), false)) {
		c->way = CARDMARK_GC_WAY_AUTO;
		cardmark_table_delete(&cm_gc_heap.table);
		cardmark_close(&cm_gc_heap.cm);
		return cm_gc_fail(-EPERM, "libgc's slots can't be written");
	}

	/* From here on nothing fails. */
	pthread_atfork(NULL, cm_gc_report_forked, after_fork);
	cm_gc_heap.early = !c->init_called && cm_gc_api.shared;
	if (cm_gc_api.place != CM_GC_IN_PROGRAM) /* by its own names: others may call it, too */
		cm_gc_plt_redirect(cm_gc_api.base, getenv_slots, COUNT(getenv_slots), true);
	if (cm_gc_api.shared) {
		if (c->mode == CARDMARK_GC_MODE_AUTO)
			cm_gc_plt_redirect(cm_gc_api.base, memory_slots, COUNT(memory_slots), true);
		if (c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT)
			cm_gc_plt_redirect(cm_gc_api.base, mprotect_slot, 1, true);
	}
	if (c->way == CARDMARK_GC_WAY_A)
		cm_gc_plt_redirect(cm_gc_api.base, phdr_slot, 1, true);
	if (c->way == CARDMARK_GC_WAY_B)
		allow_manual_vdb();
	/* Callbacks first, then the program's calls. What it sets a step before is found as libgc's
	 * and called by ours; between, it replaces ours, which the next allocation finds out; a
	 * step after, it is led to ours. The other way round, what it sets between would be
	 * forgotten. */
	cm_gc_record_install();
	if (c->mode == CARDMARK_GC_MODE_AUTO)
		cm_gc_large_start();
	if (c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD)
		cm_gc_growth_start();
	set_knobs();
	cm_gc_redirect_again();
	if ((c->init_called || !cm_gc_api.shared) && cm_gc_heap.cm)
		cm_gc_heap_adopt();
	if (cm_gc_is_the_program() || cm_gc_statsfile())
		cm_gc_keep_stderr();
	c->enabled = true;
	return 0;
}

const char *cardmark_gc_error(void)
{
	const struct cm_gc_twin *twin = cm_gc_twin();

	return twin ? twin->error() : error_text;
}

/* A static libgc asks the real environment, which is the program's and its children's. */
static void enable_static(bool mprotect_mode)
{
	static const char name[] = "GC_USE_GETWRITEWATCH";
	const char *old = getenv(name);
	char *kept = old ? strdup(old) : NULL;

	(void)setenv(name, mprotect_mode ? "0" : "1", 1);
	cm_gc_api.GC_enable_incremental();
	if (kept)
		(void)setenv(name, kept, 1);
	else if (!old)
		(void)unsetenv(name);
	free(kept);
}

static int enable(const struct cardmark_gc_options *options)
{
	static bool called;
	struct cm_gc_config *c = &cm_gc_config;
	int r;

	cm_gc_no_error();
	if (c->unchanged) /* the preload object could do nothing: this program was made for us */
		c->enabled = c->unchanged = c->preloaded = false;
	if (c->enabled && !called) { /* by the preload object */
		called = true;
		cm_gc_api.GC_init();
		return 0;
	}
	if (c->enabled)
		return cm_gc_fail(-EBUSY, "enabled before");
	if ((r = cm_gc_prepare(options)) != 0)
		return r;
	called = true;
	if (c->mode == CARDMARK_GC_MODE_STOP_THE_WORLD) {
		cm_gc_api.GC_init();
		return 0;
	}
	if (cm_gc_api.place != CM_GC_IN_PROGRAM) /* its slot for getenv() is ours */
		cm_gc_api.GC_enable_incremental();
	else
		enable_static(c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT);
	if (cm_gc_api.GC_is_incremental_mode && !cm_gc_api.GC_is_incremental_mode())
		because("libgc refused incremental mode");
	return 0;
}

int cardmark_gc_enable(const struct cardmark_gc_options *options)
{
	const struct cm_gc_twin *twin = cm_gc_twin();
	int state, r;

	if (twin)
		return twin->enable(options);

	/* A thread cancelled half way would leave half of it done. */
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	r = enable(options);
	(void)pthread_setcancelstate(state, NULL);
	return r;
}
