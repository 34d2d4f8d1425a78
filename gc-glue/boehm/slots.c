/* SPDX-License-Identifier: MIT
 *
 * The redirected calls and their targets: libgc's own calls, and the program's calls to libgc. */
#include "gc-glue/boehm/tell.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- What libgc reads from the environment, as long as its slot is ours ---- */

/* False if it is not known here. */
static bool answer(const char *name, char **value)
{
	static char one[] = "1", zero[] = "0";
	const struct cm_gc_config *c = &cm_gc_config;
	bool incremental = c->mode != CARDMARK_GC_MODE_STOP_THE_WORLD;

	if (strcmp(name, "GC_ENABLE_INCREMENTAL") == 0)
		*value = incremental ? one : NULL;
	else if (strcmp(name, "GC_DISABLE_INCREMENTAL") == 0)
		*value = incremental ? NULL : one;
	else if (strcmp(name, "GC_USE_GETWRITEWATCH") == 0 && c->mode != CARDMARK_GC_MODE_LIBGC_OWN)
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

	/* libgc decides which variables a privileged program takes from its user. */
	return answer(name, &value) ? value : getenv(name);
}

static char *hook_secure_getenv(const char *name)
{
	char *value;

	return answer(name, &value) ? value : secure_getenv(name);
}

/* ---- Slots -------------------------------------------------------------------- */

/* Way B needs manual dirty bits. So they stay allowed, but the program reads back the value that it
 * set. */
static int program_allows_vdb;

static void hook_set_manual_vdb_allowed(int value)
{
	if (cm_gc_config.way != CARDMARK_GC_WAY_B) {
		cm_gc_api.GC_set_manual_vdb_allowed(value);
		return;
	}
	program_allows_vdb = value;
	if (!value && !strstr(cm_gc_config.why, "manual dirty bits"))
		cm_gc_because(
			"the program forbade manual dirty bits, which way B needs: they stay on");
}

static int hook_get_manual_vdb_allowed(void)
{
	return cm_gc_config.way == CARDMARK_GC_WAY_B ? program_allows_vdb
						     : cm_gc_api.GC_get_manual_vdb_allowed();
}

void cm_gc_allow_manual_vdb(void)
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
	SLOT("GC_set_time_limit", cm_gc_hook_set_time_limit),
	SLOT("GC_get_time_limit", cm_gc_hook_get_time_limit),
	SLOT("GC_set_time_limit_tv", cm_gc_hook_set_time_limit_tv),
	SLOT("GC_get_time_limit_tv", cm_gc_hook_get_time_limit_tv),
	SLOT("GC_set_rate", cm_gc_hook_set_rate),
	SLOT("GC_get_rate", cm_gc_hook_get_rate),
	SLOT("GC_set_max_prior_attempts", cm_gc_hook_set_max_prior_attempts),
	SLOT("GC_get_max_prior_attempts", cm_gc_hook_get_max_prior_attempts),
	SLOT("GC_set_free_space_divisor", cm_gc_hook_set_free_space_divisor),
	SLOT("GC_get_free_space_divisor", cm_gc_hook_get_free_space_divisor),
	SLOT("GC_set_min_bytes_allocd", cm_gc_hook_set_min_bytes_allocd),
	SLOT("GC_get_min_bytes_allocd", cm_gc_hook_get_min_bytes_allocd),
	SLOT("GC_set_full_freq", cm_gc_hook_set_full_freq),
	SLOT("GC_get_full_freq", cm_gc_hook_get_full_freq),
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
static struct cm_gc_slot roots_slots[] = {
	SLOT("GC_add_roots", cm_gc_hook_add_roots),
	SLOT("GC_remove_roots", cm_gc_hook_remove_roots),
	SLOT("GC_clear_roots", cm_gc_hook_clear_roots),
	SLOT("GC_register_has_static_roots_callback", cm_gc_hook_register_has_static_roots),
};

/* With a pause target. */
static struct cm_gc_slot pace_slots[] = {
	SLOT("dlclose", cm_gc_hook_dlclose),
	SLOT("GC_pthread_exit", cm_gc_hook_pthread_exit),
	SLOT("GC_pthread_cancel", cm_gc_hook_pthread_cancel),
};
/* And where roots are not followed. */
static struct cm_gc_slot pace_roots_slots[] = {
	SLOT("GC_remove_roots", cm_gc_hook_remove_roots_only),
	SLOT("GC_clear_roots", cm_gc_hook_clear_roots_only),
};

static unsigned found(const struct cm_gc_slot *slots, size_t n, const char *symbol)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(slots[i].symbol, symbol) == 0)
			return slots[i].found;
	return 0;
}

bool cm_gc_memory_is_seen(void)
{
	struct cm_gc_slot *s = memory_slots;
	size_t n = COUNT(memory_slots);

	cm_gc_plt_redirect(cm_gc_api.base, s, n, false);
	return cm_gc_api.place == CM_GC_ALONE && (found(s, n, "mmap") || found(s, n, "mmap64"));
}

bool cm_gc_is_defended(void)
{
	struct cm_gc_slot *s = api_slots;
	size_t n = COUNT(api_slots);

	cm_gc_plt_redirect(cm_gc_api.base, s, n, false);
	return found(s, n, "GC_generic_malloc") != 0;
}

/* Does libgc make the calls that way A answers? */
bool cm_gc_asks_for_pagemap(void)
{
	struct cm_gc_slot *s = way_a_slots;
	size_t n = COUNT(way_a_slots);

	cm_gc_plt_redirect(cm_gc_api.base, s, n, false);
	return (found(s, n, "__open_2") || found(s, n, "open") || found(s, n, "__open64_2") ||
		found(s, n, "open64")) &&
	       (found(s, n, "lseek") || found(s, n, "lseek64")) &&
	       (found(s, n, "read") || found(s, n, "__read_chk")) && found(s, n, "write") &&
	       found(s, n, "close");
}

/* ---- Redirecting ----------------------------------------------------------------- */

bool cm_gc_redirect_way_a(void)
{
	size_t n = COUNT(way_a_slots);

	return cm_gc_plt_redirect(cm_gc_api.base, way_a_slots, n, true) ==
	       cm_gc_plt_redirect(cm_gc_api.base, way_a_slots, n, false);
}

void cm_gc_redirect_libgc(void)
{
	const struct cm_gc_config *c = &cm_gc_config;
	const void *base = cm_gc_api.base;

	if (cm_gc_api.place != CM_GC_IN_PROGRAM) /* by its own names: others may call it, too */
		cm_gc_plt_redirect(base, getenv_slots, COUNT(getenv_slots), true);
	if (cm_gc_api.shared && c->mode == CARDMARK_GC_MODE_AUTO)
		cm_gc_plt_redirect(base, memory_slots, COUNT(memory_slots), true);
	if (cm_gc_api.shared && c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT)
		cm_gc_plt_redirect(base, mprotect_slot, 1, true);
	if (c->way == CARDMARK_GC_WAY_A)
		cm_gc_plt_redirect(base, phdr_slot, 1, true);
}

static atomic_flag redirecting = ATOMIC_FLAG_INIT;

static void redirect_signals(void)
{
	bool traps = cm_gc_heap.cm && cm_gc_heap.tracker.backend == CARDMARK_BACKEND_MPROTECT;

	if ((traps || cm_gc_ending_handles(SIGTERM)) && !cm_gc_test(CM_GC_TEST_NO_SIGNAL_DEFENCE))
		cm_gc_plt_redirect(NULL, signal_slots, COUNT(signal_slots), true);
}

void cm_gc_redirect_again(void)
{
	/* Two at once would take each other's right to write to a RELRO page. */
	if (atomic_flag_test_and_set(&redirecting))
		return;
	/* Before the walk: the next walk finds objects that are too early for this one. */
	atomic_store_explicit(&cm_gc_plt_early, false, memory_order_relaxed);
	cm_gc_plt_redirect(NULL, api_slots, COUNT(api_slots), true);
	redirect_signals();
	if (cm_gc_config.way == CARDMARK_GC_WAY_A)
		cm_gc_plt_redirect(NULL, roots_slots, COUNT(roots_slots), true);
	else if (cm_gc_pace.on)
		cm_gc_plt_redirect(NULL, pace_roots_slots, COUNT(pace_roots_slots), true);
	if (cm_gc_pace.on)
		cm_gc_plt_redirect(NULL, pace_slots, COUNT(pace_slots), true);
	atomic_flag_clear(&redirecting);
}

void cm_gc_redirect_child(void)
{
	atomic_flag_clear(&redirecting);
}
