/* SPDX-License-Identifier: MIT
 *
 * The counters of one process, as a struct and as JSON. */
#include "gc-glue/boehm/tell.h"
#include "lib/sized.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

/* The counters when this process began to count: after exec() a program has the CPU time of the
 * program before it, and a fork child has its parent's counters. */
static struct {
	uint64_t collections, cpu_ns, minor_faults;
	struct cardmark_stats core;
} before;
static _Atomic uint64_t forks;

static uint64_t ns_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_usec * 1000;
}

static struct rusage usage(void)
{
	struct rusage u = { 0 };

	getrusage(RUSAGE_SELF, &u);
	return u;
}

static uint64_t cpu_of(const struct rusage *u)
{
	return ns_of(u->ru_utime) + ns_of(u->ru_stime);
}

/* The tracker's counters since this process began; all 0 without one. */
static struct cardmark_stats core_stats(void)
{
	struct cardmark_stats s = { .size = sizeof s };
	const struct cardmark_stats *b = &before.core;

	if (!cm_gc_heap.cm || cardmark_stats(cm_gc_heap.cm, &s) != 0)
		return (struct cardmark_stats){ 0 };
	s.collects -= b->collects;
	s.collect_ns -= b->collect_ns;
	s.kernel_calls -= b->kernel_calls;
	s.faults -= b->faults;
	s.guessed_ranges -= b->guessed_ranges;
	s.rearmed_ranges -= b->rearmed_ranges;
	s.backoff_cards -= b->backoff_cards;
	s.all_dirty -= b->all_dirty;
	s.verify_checked -= b->verify_checked;
	s.verify_changed -= b->verify_changed;
	s.verify_missed -= b->verify_missed;
	s.verify_false -= b->verify_false;
	return s;
}

void cm_gc_report_begin(void)
{
	struct rusage u = usage();

	cm_gc_config.start_ns = cm_now_ns();
	before.cpu_ns = cpu_of(&u);
	before.minor_faults = (uint64_t)u.ru_minflt;
}

void cm_gc_report_forked(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

void cm_gc_report_begin_child(void)
{
	struct cm_gc_pace *p = &cm_gc_pace;

	cm_gc_report_begin();
	atomic_store_explicit(&forks, 0, memory_order_relaxed);
	before.collections = cm_gc_api.GC_get_gc_no();
	before.core = (struct cardmark_stats){ 0 };
	before.core = core_stats();
	cm_gc_record_reset();
	cm_gc_over_reset();
	cm_gc_cycle_reset();
	cm_gc_trace_reset();
	cm_gc_walk.left_out = cm_gc_walk.blocks = cm_gc_walk.entries = 0;
	cm_gc_heap.track_failures = 0;
	cm_gc_heap.track_error[0] = '\0';
	cm_gc_growth.full = cm_gc_growth.bare = 0;
	p->raised = p->given_up = p->most_attempts = 0;
	atomic_store_explicit(&p->stalls_over, 0, memory_order_relaxed);
}

static void put_histogram(struct cm_gc_out *o, const char *key, const struct cm_gc_histogram *h)
{
	cm_gc_put(o,
		  "  \"%s\": { \"count\": %llu, \"total_ns\": %llu, \"p50_ns\": %llu, \"p99_ns\": "
		  "%llu, "
		  "\"p999_ns\": %llu, \"max_ns\": %llu },\n",
		  key, (unsigned long long)h->count, (unsigned long long)h->total,
		  (unsigned long long)cm_gc_hist_quantile(h, 0.50),
		  (unsigned long long)cm_gc_hist_quantile(h, 0.99),
		  (unsigned long long)cm_gc_hist_quantile(h, 0.999), (unsigned long long)h->max);
}

static const char *ended = "running";

void cm_gc_report_ended(const char *how)
{
	ended = how;
}

uint64_t cm_gc_report_collections(void)
{
	return cm_gc_api.GC_get_gc_no() - before.collections;
}

static const char *way_name(enum cardmark_gc_way way)
{
	return way == CARDMARK_GC_WAY_A ? "A" : way == CARDMARK_GC_WAY_B ? "B" : "none";
}

/* The choice is made before libgc starts; libgc may have chosen another mode since. */
static const char *why_now(void)
{
	const struct cm_gc_config *c = &cm_gc_config;

	if (c->mode == CARDMARK_GC_MODE_STOP_THE_WORLD && cm_gc_api.GC_is_incremental_mode &&
	    cm_gc_api.GC_is_incremental_mode())
		return "the program has turned on an incremental mode of libgc's own";
	if (c->mode != CARDMARK_GC_MODE_AUTO)
		return c->why;
	if (cm_gc_api.GC_is_incremental_mode && !cm_gc_api.GC_is_incremental_mode())
		return "libgc is not in incremental mode: the program did not use it, or it "
		       "refused the mode";
	if (c->way == CARDMARK_GC_WAY_B && cm_gc_api.GC_get_manual_vdb_allowed &&
	    !cm_gc_api.GC_get_manual_vdb_allowed())
		return "the program forbade manual dirty bits by a call that was not noticed; if "
		       "that was before libgc started, libgc finds dirty pages by itself";
	if (c->way == CARDMARK_GC_WAY_A && !cm_gc_waya_opened())
		return "libgc did not ask for its soft-dirty bits: the program feeds it dirty "
		       "bits of its own";
	return c->why;
}

static void put_phases(struct cm_gc_out *o)
{
	static const char *const names[] = { "stop_ns", "dirty_ns", "mark_ns", "resume_ns" };

	cm_gc_put(o, "  \"phases\": { ");
	for (int i = 0; i < CM_GC_PH_COUNT; i++)
		cm_gc_put(o, "\"%s\": { \"total\": %llu, \"max\": %llu }%s", names[i],
			  (unsigned long long)cm_gc_rec->phase_total[i],
			  (unsigned long long)cm_gc_rec->phase_max[i],
			  i + 1 < CM_GC_PH_COUNT ? ", " : " },\n");
}

static void put_pace(struct cm_gc_out *o)
{
	const struct cm_gc_pace *p = &cm_gc_pace;

	if (!p->on)
		return;
	cm_gc_put(o,
		  "  \"pace\": { \"stops_over\": %llu, \"stalls_over\": %llu, \"fixed_ns\": %llu, "
		  "\"finish_ns\": %llu, \"raised\": %llu, \"given_up\": %llu, \"most_attempts\": "
		  "%llu "
		  "},\n",
		  (unsigned long long)cm_gc_over_total(), (unsigned long long)p->stalls_over,
		  (unsigned long long)p->fixed_ns, (unsigned long long)p->finish_ns,
		  (unsigned long long)p->raised, (unsigned long long)p->given_up,
		  (unsigned long long)p->most_attempts);
}

static void put_over(struct cm_gc_out *o)
{
	if (!cm_gc_config.target_ns || cm_gc_config.mode == CARDMARK_GC_MODE_STOP_THE_WORLD)
		return;
	cm_gc_put(o, "  \"over\": { ");
	for (int i = 0; i < CM_GC_OVER_COUNT; i++)
		cm_gc_put(o, "\"%s\": %llu%s", cm_gc_over_name((enum cm_gc_over)i),
			  (unsigned long long)cm_gc_over_count((enum cm_gc_over)i),
			  i + 1 < CM_GC_OVER_COUNT ? ", " : " },\n");
}

static void put_walk(struct cm_gc_out *o)
{
	const struct cm_gc_walk *w = &cm_gc_walk;

	if (cm_gc_config.way != CARDMARK_GC_WAY_A)
		return;
	cm_gc_put(o,
		  "  \"walk\": { \"left_out\": %llu, \"blocks\": %llu, \"entries\": %llu, "
		  "\"why_not\": \"%s\" },\n",
		  (unsigned long long)w->left_out, (unsigned long long)w->blocks,
		  (unsigned long long)w->entries, w->why_not);
}

static void put_cadence(struct cm_gc_out *o)
{
	const struct cm_gc_growth *g = &cm_gc_growth;

	cm_gc_put(o,
		  "  \"cadence\": { \"full\": %llu, \"bare\": %llu, \"least_bytes\": %llu, "
		  "\"fault_ns\": %llu },\n",
		  (unsigned long long)g->full, (unsigned long long)g->bare,
		  (unsigned long long)g->least, (unsigned long long)g->fault_ns);
}

static void put_raw(struct cm_gc_out *o)
{
	if (!cm_gc_rec->raw_cap)
		return;
	cm_gc_put(o, "  \"stops_ns\": [");
	/* start, end, and what of it went to each phase */
	for (uint64_t i = 0; i < cm_gc_rec->raw_n; i++) {
		cm_gc_put(o, "%s[%llu, %llu", i ? ", " : "",
			  (unsigned long long)(cm_gc_rec->raw[i].start - cm_gc_config.start_ns),
			  (unsigned long long)(cm_gc_rec->raw[i].end - cm_gc_config.start_ns));
		for (int ph = 0; ph < CM_GC_PH_COUNT; ph++)
			cm_gc_put(o, ", %llu", (unsigned long long)cm_gc_rec->raw[i].phase[ph]);
		cm_gc_put(o, "]");
	}
	cm_gc_put(o, "],\n");
}

static void put_program(struct cm_gc_out *o)
{
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
	/* Without /proc, the name it was started by. */
	const char *name = (const char *)getauxval(AT_EXECFN);

	program[n > 0 ? n : 0] = '\0';
	cm_gc_put_text(o, "program", n > 0 ? program : name ? name : "");
}

static void put_core(struct cm_gc_out *o)
{
	struct cardmark_stats s = core_stats();

	cm_gc_put_number(o, "tracked_bytes", s.tracked_bytes);
	cm_gc_put_number(o, "table_bytes", s.table_bytes);
	cm_gc_put_number(o, "ranges", s.ranges);
	cm_gc_put_number(o, "collects", s.collects);
	cm_gc_put_number(o, "collect_ns", s.collect_ns);
	cm_gc_put_number(o, "kernel_calls", s.kernel_calls);
	cm_gc_put_number(o, "faults", s.faults);
	cm_gc_put_number(o, "guessed_ranges", s.guessed_ranges);
	cm_gc_put_number(o, "rearmed_ranges", s.rearmed_ranges);
	cm_gc_put_number(o, "backoff_cards", s.backoff_cards);
	cm_gc_put_number(o, "all_dirty", s.all_dirty);
	if (!cm_gc_config.verify || !cm_gc_heap.cm)
		return;
	cm_gc_put_number(o, "verify_checked", s.verify_checked);
	cm_gc_put_number(o, "verify_changed", s.verify_changed);
	cm_gc_put_number(o, "verify_missed", s.verify_missed);
	cm_gc_put_number(o, "verify_false", s.verify_false);
}

void cm_gc_report_put(struct cm_gc_out *o)
{
	const struct cm_gc_config *c = &cm_gc_config;
	struct rusage u = usage();
	char ms[CM_GC_MS_ROOM];

	cm_gc_put(o, "{\n  \"format\": \"cardmark-run\",\n  \"version\": 1,\n");
	put_program(o);
	cm_gc_put_number(o, "pid", (uint64_t)getpid());
	cm_gc_put_number(o, "parent_pid", (uint64_t)getppid());
	cm_gc_put_text(o, "ended", ended);
	cm_gc_put_text(o, "mode", cm_gc_mode_name(c->mode));
	cm_gc_put_text(o, "backend",
		       cm_gc_heap.cm ? cardmark_backend_name(cm_gc_heap.tracker.backend)
				     : cm_gc_mode_name(c->mode));
	cm_gc_put_text(o, "way", way_name(c->way));
	cm_gc_put_text(o, "why", why_now());
	cm_gc_put(o, "  \"pause_target_ms\": %s,\n", cm_gc_ms_text(ms, c->target_ns));
	cm_gc_put_number(o, "wall_ns", cm_now_ns() - c->start_ns);
	cm_gc_put_number(o, "cpu_ns", cpu_of(&u) - before.cpu_ns);
	cm_gc_put_number(o, "maxrss_kb", (uint64_t)u.ru_maxrss);
	cm_gc_put_number(o, "forks", atomic_load_explicit(&forks, memory_order_relaxed));
	cm_gc_put_number(o, "collections", cm_gc_report_collections());
	cm_gc_put_number(o, "heap_bytes", cm_gc_api.GC_get_heap_size());
	put_histogram(o, "stops", &cm_gc_rec->stops);
	put_histogram(o, "stalls", &cm_gc_rec->stalls);
	put_phases(o);
	put_pace(o);
	put_over(o);
	put_walk(o);
	put_cadence(o);
	cm_gc_put_number(o, "dirty_cards", cm_gc_rec->dirty_cards);
	cm_gc_put_number(o, "large_cards", cm_gc_rec->large_cards);
	cm_gc_roots_put(o);
	put_core(o);
	cm_gc_put_number(o, "track_failures", cm_gc_heap.track_failures);
	cm_gc_put_text(o, "track_error", cm_gc_heap.track_error);
	cm_gc_put_number(o, "minor_faults", (uint64_t)u.ru_minflt - before.minor_faults);
	put_raw(o);
	cm_gc_put(o, "  \"vmas_at_exit\": %llu\n}\n", (unsigned long long)cm_gc_maps_count());
}

int cm_gc_info(struct cardmark_gc_info *info)
{
	const struct cm_gc_config *c = &cm_gc_config;
	struct cardmark_gc_info i = { .mode = c->mode, .way = c->way };
	struct cardmark_stats s;

	if (!c->enabled)
		return cm_gc_fail(-ENOENT, "cardmark_gc_info: %s", CM_GC_NOT_ENABLED);
	if (cm_sized_check("cardmark_gc_info", info) < 0)
		return cm_gc_fail(-EINVAL, "%s", cardmark_last_error());
	if (cm_gc_heap.cm) {
		s = core_stats();
		i.backend = cm_gc_heap.tracker.backend;
		i.tracked_cards = s.tracked_bytes / cardmark_card_size();
		i.verify_checked = s.verify_checked;
		i.verify_changed = s.verify_changed;
		i.verify_missed = s.verify_missed;
		i.verify_false = s.verify_false;
	}
	i.why = why_now();
	i.heap_bytes = cm_gc_api.GC_get_heap_size();
	i.dirty_cards = cm_gc_rec->dirty_cards;
	i.collections = cm_gc_report_collections();
	i.stops = cm_gc_rec->stops.count;
	i.stop_total_ns = cm_gc_rec->stops.total;
	i.stop_max_ns = cm_gc_rec->stops.max;
	i.stalls = cm_gc_rec->stalls.count;
	i.stall_total_ns = cm_gc_rec->stalls.total;
	i.stall_max_ns = cm_gc_rec->stalls.max;
	cm_sized_give(info, &i, sizeof i);
	return 0;
}
