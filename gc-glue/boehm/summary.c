/* SPDX-License-Identifier: MIT
 *
 * CARDMARK_SUMMARY: five lines for a person, on standard error when the process ends. */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define LONG_STOP_NS UINT64_C(10000000)
#define DIRTY_TABLE (UINT64_C(1) << 30) /* what libgc's common one covers */

static bool on;

void cm_gc_summary_start(void)
{
	const char *s = secure_getenv("CARDMARK_SUMMARY");

	on = s && strcmp(s, "1") == 0;
}

bool cm_gc_summary_is_on(void)
{
	return on;
}

static unsigned long long permille(uint64_t part, uint64_t whole)
{
	return whole ? part * 1000 / whole : 0;
}

static const char *how(void)
{
	const struct cm_gc_config *c = &cm_gc_config;

	if (c->mode == CARDMARK_GC_MODE_LIBGC_MPROTECT)
		return "libgc's own mprotect mode";
	if (c->mode == CARDMARK_GC_MODE_LIBGC_OWN)
		return "libgc's own incremental mode";
	if (c->mode == CARDMARK_GC_MODE_STOP_THE_WORLD || !cm_gc_heap.cm)
		return "libgc's own stop-the-world mode";
	return cardmark_backend_name(cm_gc_heap.tracker.backend);
}

static void put_head(struct cm_gc_out *o, uint64_t stops)
{
	uint64_t wall = cm_now_ns() - cm_gc_config.start_ns, total = cm_gc_rec->stops.total;
	unsigned long long share = permille(total, wall), ms = wall / 1000000;

	cm_gc_put(
		o,
		"cardmark run: %.100s: %llu.%02llu s, %llu stop%s in %llu collection%s, %llu.%llu "
		"%% of the time; %s\n",
		program_invocation_short_name, ms / 1000, ms % 1000 / 10, (unsigned long long)stops,
		stops == 1 ? "" : "s", (unsigned long long)cm_gc_report_collections(),
		cm_gc_report_collections() == 1 ? "" : "s", share / 10, share % 10, how());
}

static void put_stops(struct cm_gc_out *o, uint64_t stops)
{
	const struct cm_gc_histogram *h = &cm_gc_rec->stops, *w = &cm_gc_rec->stalls;
	char a[CM_GC_MS_ROOM], b[CM_GC_MS_ROOM];

	cm_gc_put(o, "  stops: half below %s ms", cm_gc_ms_brief(a, cm_gc_hist_quantile(h, 0.5)));
	if (stops >= 100)
		cm_gc_put(o, ", 99 of 100 below %s",
			  cm_gc_ms_brief(a, cm_gc_hist_quantile(h, 0.99)));
	cm_gc_put(o, ", longest %s; longest wait for memory %s ms\n", cm_gc_ms_brief(a, h->max),
		  cm_gc_ms_brief(b, w->max));
}

static enum cm_gc_over main_reason(void)
{
	enum cm_gc_over most = CM_GC_OVER_ASKED;

	for (int i = 0; i < CM_GC_OVER_COUNT; i++)
		if (cm_gc_over_count((enum cm_gc_over)i) > cm_gc_over_count(most))
			most = (enum cm_gc_over)i;
	return most;
}

static void put_target(struct cm_gc_out *o)
{
	uint64_t missed = cm_gc_over_total();
	char ms[CM_GC_MS_ROOM];

	if (!cm_gc_config.target_ns) {
		cm_gc_put(o, "  target: none, so a stop marks until it is done\n");
		return;
	}
	(void)cm_gc_ms_text(ms, cm_gc_config.target_ns);
	if (cm_gc_config.mode == CARDMARK_GC_MODE_STOP_THE_WORLD) {
		cm_gc_put(o, "  target: %s ms, but this mode has no limit\n", ms);
		return;
	}
	if (!missed) {
		cm_gc_put(o, "  target: %s ms; no stop was more than 1 ms longer\n", ms);
		return;
	}
	cm_gc_put(o,
		  "  target: %s ms, missed %llu time%s by more than 1 ms, most often (%llu) "
		  "because %s\n",
		  ms, (unsigned long long)missed, missed == 1 ? "" : "s",
		  (unsigned long long)cm_gc_over_count(main_reason()),
		  cm_gc_over_text(main_reason()));
}

static void put_memory(struct cm_gc_out *o, uint64_t stops)
{
	char a[CM_GC_MS_ROOM], b[CM_GC_MS_ROOM];
	struct rusage u = { 0 };

	getrusage(RUSAGE_SELF, &u);
	cm_gc_put(o, "  memory: heap %s MiB, process at most %s MiB; %llu dirty cards a stop\n",
		  cm_gc_mib_brief(a, cm_gc_api.GC_get_heap_size()),
		  cm_gc_mib_brief(b, (uint64_t)u.ru_maxrss << 10),
		  (unsigned long long)(stops ? cm_gc_rec->dirty_cards / stops : 0));
}

static void put_help_for_misses(struct cm_gc_out *o)
{
	enum cm_gc_over why = main_reason();
	char ms[CM_GC_MS_ROOM];

	if (why == CM_GC_OVER_HEAP)
		cm_gc_put(o, "a target above %s ms, or a smaller heap",
			  cm_gc_ms_brief(ms, cm_gc_pace.fixed_ns));
	else
		cm_gc_put(o, "%s", cm_gc_over_help(why));
	if (why >= CM_GC_OVER_HEAP && cm_gc_api.GC_get_heap_size() > DIRTY_TABLE)
		cm_gc_put(o, "; a libgc configured with --enable-large-config");
}

static void put_help(struct cm_gc_out *o)
{
	const struct cm_gc_config *c = &cm_gc_config;
	bool ours = c->mode == CARDMARK_GC_MODE_AUTO && cm_gc_heap.cm;

	cm_gc_put(o, "  what would help: ");
	if (!ours && !c->unchanged)
		cm_gc_put(o, "our tracking: leave out --backend=%s", cm_gc_mode_name(c->mode));
	else if (!ours)
		cm_gc_put(o, "nothing here: %.300s", c->why);
	else if (cm_gc_over_total())
		put_help_for_misses(o);
	else if (cm_gc_heap.tracker.backend > CARDMARK_BACKEND_PAGEMAP)
		cm_gc_put(o, "the pagemap backend; cardmark probe shows what it lacks here");
	else if (!c->target_ns && cm_gc_rec->stops.max > LONG_STOP_NS)
		cm_gc_put(o, "--pause-target=5 would bound the stops");
	else
		cm_gc_put(o, "nothing is needed");
	cm_gc_put(o, "\n");
}

void cm_gc_summary_write(void)
{
	struct cm_gc_out o = { .fd = cm_gc_stderr() };
	struct cm_gc_guard g;
	uint64_t stops;

	if (!on || cm_gc_owner() != CM_GC_PROGRAM)
		return;
	stops = cm_gc_rec->stops.count;
	cm_gc_guard(&g);
	put_head(&o, stops);
	put_stops(&o, stops);
	put_target(&o);
	put_memory(&o, stops);
	put_help(&o);
	cm_gc_flush(&o);
	cm_gc_unguard(&g);
}
