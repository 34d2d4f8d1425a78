/* SPDX-License-Identifier: MIT
 *
 * The counters of one process, as a struct and as JSON.
 */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct out {
	int fd;
	bool failed;
	size_t n;
	char buf[4096];
};

static void flush(struct out *o)
{
	size_t at = 0;

	while (at < o->n && !o->failed) {
		ssize_t w = write(o->fd, o->buf + at, o->n - at);

		if (w > 0)
			at += (size_t)w;
		else if (w == 0 || errno != EINTR)
			o->failed = true;
	}
	o->n = 0;
}

static void put(struct out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct out *o, const char *format, ...)
{
	va_list args;
	int n;

	if (sizeof(o->buf) - o->n < 1024)
		flush(o);
	va_start(args, format);
	n = vsnprintf(o->buf + o->n, sizeof(o->buf) - o->n, format, args);
	va_end(args);
	if (n > 0)
		o->n += (size_t)n < sizeof(o->buf) - o->n ? (size_t)n : sizeof(o->buf) - o->n - 1;
}

/* At most 600 characters, so that put() has room. */
static void put_text(struct out *o, const char *key, const char *text)
{
	char escaped[700];
	size_t n = 0;

	for (; *text && n < 600; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			n += (size_t)snprintf(escaped + n, sizeof(escaped) - n, "\\%c", c);
		else if (c < 0x20)
			n += (size_t)snprintf(escaped + n, sizeof(escaped) - n, "\\u%04x", c);
		else
			escaped[n++] = (char)c;
	}
	escaped[n] = '\0';
	put(o, "  \"%s\": \"%s\",\n", key, escaped);
}

static void put_number(struct out *o, const char *key, uint64_t value)
{
	put(o, "  \"%s\": %llu,\n", key, (unsigned long long)value);
}

static void put_histogram(struct out *o, const char *key, const struct cm_gc_histogram *h)
{
	put(o,
	    "  \"%s\": { \"count\": %llu, \"total_ns\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu, "
	    "\"p999_ns\": %llu, \"max_ns\": %llu },\n",
	    key, (unsigned long long)h->count, (unsigned long long)h->total,
	    (unsigned long long)cm_gc_hist_quantile(h, 0.50),
	    (unsigned long long)cm_gc_hist_quantile(h, 0.99),
	    (unsigned long long)cm_gc_hist_quantile(h, 0.999), (unsigned long long)h->max);
}

static const char *way_name(enum cardmark_gc_way way)
{
	return way == CARDMARK_GC_WAY_A ? "A" : way == CARDMARK_GC_WAY_B ? "B" : "none";
}

/* The choice is made before libgc starts; it may have gone its own way. */
static const char *why_now(void)
{
	const struct cm_gc_config *c = &cm_gc_config;

	if (c->mode != CARDMARK_GC_MODE_AUTO)
		return c->why;
	if (cm_gc_api.GC_is_incremental_mode && !cm_gc_api.GC_is_incremental_mode())
		return "libgc is not in incremental mode: it was not used, or it refused";
	if (c->way == CARDMARK_GC_WAY_A && !cm_gc_waya_opened())
		return "libgc did not ask for its soft-dirty bits: the program feeds it dirty "
		       "bits of its own";
	return c->why;
}

static void put_phases(struct out *o)
{
	static const char *const names[] = { "stop_ns", "dirty_ns", "mark_ns", "resume_ns" };

	put(o, "  \"phases\": { ");
	for (int i = 0; i < CM_GC_PH_COUNT; i++)
		put(o, "\"%s\": { \"total\": %llu, \"max\": %llu }%s", names[i],
		    (unsigned long long)cm_gc_rec->phase_total[i],
		    (unsigned long long)cm_gc_rec->phase_max[i],
		    i + 1 < CM_GC_PH_COUNT ? ", " : " },\n");
}

static void put_pace(struct out *o)
{
	const struct cm_gc_pace *p = &cm_gc_pace;

	if (!p->on)
		return;
	put(o,
	    "  \"pace\": { \"stops_over\": %llu, \"stalls_over\": %llu, \"fixed_ns\": %llu, "
	    "\"finish_ns\": %llu, \"raised\": %llu, \"given_up\": %llu, \"most_attempts\": %llu "
	    "},\n",
	    (unsigned long long)p->stops_over, (unsigned long long)p->stalls_over,
	    (unsigned long long)p->fixed_ns, (unsigned long long)p->finish_ns,
	    (unsigned long long)p->raised, (unsigned long long)p->given_up,
	    (unsigned long long)p->most_attempts);
}

static void put_raw(struct out *o)
{
	if (!cm_gc_rec->raw_cap)
		return;
	put(o, "  \"stops_ns\": [");
	/* start, end, and what of it went to each phase */
	for (uint64_t i = 0; i < cm_gc_rec->raw_n; i++) {
		put(o, "%s[%llu, %llu", i ? ", " : "",
		    (unsigned long long)(cm_gc_rec->raw[i].start - cm_gc_config.start_ns),
		    (unsigned long long)(cm_gc_rec->raw[i].end - cm_gc_config.start_ns));
		for (int ph = 0; ph < CM_GC_PH_COUNT; ph++)
			put(o, ", %llu", (unsigned long long)cm_gc_rec->raw[i].phase[ph]);
		put(o, "]");
	}
	put(o, "],\n");
}

static uint64_t ns_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_usec * 1000;
}

static void put_report(struct out *o)
{
	const struct cm_gc_config *c = &cm_gc_config;
	struct cardmark_stats s = { .size = sizeof(s) };
	struct rusage u = { 0 };
	char program[512];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	program[n > 0 ? n : 0] = '\0';
	getrusage(RUSAGE_SELF, &u);
	if (cm_gc_heap.cm)
		cardmark_stats(cm_gc_heap.cm, &s);
	put(o, "{\n  \"format\": \"cardmark-run\",\n  \"version\": 1,\n");
	put_text(o, "program", program);
	put_number(o, "pid", (uint64_t)getpid());
	put_text(o, "mode", cm_gc_mode_name(c->mode));
	put_text(o, "backend",
		 cm_gc_heap.cm ? cardmark_backend_name(cardmark_backend_of(cm_gc_heap.cm))
			       : cm_gc_mode_name(c->mode));
	put_text(o, "way", way_name(c->way));
	put_text(o, "why", why_now());
	put(o, "  \"pause_target_ms\": %.6g,\n", (double)c->target_ns / 1e6);
	put_number(o, "wall_ns", cm_gc_now() - c->start_ns);
	put_number(o, "cpu_ns", ns_of(u.ru_utime) + ns_of(u.ru_stime));
	put_number(o, "maxrss_kb", (uint64_t)u.ru_maxrss);
	put_number(o, "collections", cm_gc_api.GC_get_gc_no());
	put_number(o, "heap_bytes", cm_gc_api.GC_get_heap_size());
	put_histogram(o, "stops", &cm_gc_rec->stops);
	put_histogram(o, "stalls", &cm_gc_rec->stalls);
	put_phases(o);
	put_pace(o);
	put_number(o, "dirty_cards", cm_gc_rec->dirty_cards);
	put_number(o, "large_cards", cm_gc_rec->large_cards);
	put_number(o, "tracked_bytes", s.tracked_bytes);
	put_number(o, "table_bytes", s.table_bytes);
	put_number(o, "ranges", s.ranges);
	put_number(o, "collects", s.collects);
	put_number(o, "collect_ns", s.collect_ns);
	put_number(o, "kernel_calls", s.kernel_calls);
	put_number(o, "faults", s.faults);
	put_number(o, "guessed_ranges", s.guessed_ranges);
	put_number(o, "rearmed_ranges", s.rearmed_ranges);
	put_number(o, "backoff_cards", s.backoff_cards);
	put_number(o, "all_dirty", s.all_dirty);
	if (c->verify && cm_gc_heap.cm) {
		put_number(o, "verify_checked", s.verify_checked);
		put_number(o, "verify_changed", s.verify_changed);
		put_number(o, "verify_missed", s.verify_missed);
		put_number(o, "verify_false", s.verify_false);
	}
	put_number(o, "track_failures", cm_gc_heap.track_failures);
	put_text(o, "track_error", cm_gc_heap.track_error);
	put_number(o, "minor_faults", (uint64_t)u.ru_minflt);
	put_raw(o);
	put(o, "  \"vmas_at_exit\": %llu\n}\n", (unsigned long long)cm_gc_maps_count());
}

static int write_report(const char *path)
{
	struct out o = { .fd = STDERR_FILENO };
	char name[4096];
	const char *p = strstr(path, "%p");
	bool to_stderr = strcmp(path, "-") == 0;
	int n;

	if (p)
		n = snprintf(name, sizeof(name), "%.*s%ld%s", (int)(p - path), path, (long)getpid(),
			     p + 2);
	else
		n = snprintf(name, sizeof(name), "%s", path);
	if (n < 0 || (size_t)n >= sizeof(name))
		return -EINVAL;
	if (!to_stderr)
		o.fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (o.fd < 0)
		return -EIO;
	put_report(&o);
	flush(&o);
	if (!to_stderr && close(o.fd) != 0)
		o.failed = true;
	return o.failed ? -EIO : 0;
}

int cardmark_gc_write_stats(const char *path)
{
	if (!cm_gc_config.enabled)
		return -ENOENT;
	if (!path || !*path)
		return -EINVAL;
	return write_report(path);
}

int cardmark_gc_info(struct cardmark_gc_info *info)
{
	const struct cm_gc_config *c = &cm_gc_config;
	struct cardmark_gc_info i = { .version = 2, .mode = c->mode, .way = c->way };
	struct cardmark_stats s = { .size = sizeof(s) };

	if (!c->enabled)
		return -ENOENT;
	if (!info || info->size < sizeof(i.size) + sizeof(i.version))
		return -EINVAL;
	if (cm_gc_heap.cm && cardmark_stats(cm_gc_heap.cm, &s) == 0) {
		i.backend = cardmark_backend_of(cm_gc_heap.cm);
		i.tracked_cards = s.tracked_bytes / cardmark_card_size();
		i.verify_checked = s.verify_checked;
		i.verify_changed = s.verify_changed;
		i.verify_missed = s.verify_missed;
		i.verify_false = s.verify_false;
	}
	i.size = info->size;
	i.why = why_now();
	i.heap_bytes = cm_gc_api.GC_get_heap_size();
	i.dirty_cards = cm_gc_rec->dirty_cards;
	i.collections = cm_gc_api.GC_get_gc_no();
	i.stops = cm_gc_rec->stops.count;
	i.stop_total_ns = cm_gc_rec->stops.total;
	i.stop_max_ns = cm_gc_rec->stops.max;
	i.stalls = cm_gc_rec->stalls.count;
	i.stall_total_ns = cm_gc_rec->stalls.total;
	i.stall_max_ns = cm_gc_rec->stalls.max;
	memcpy(info, &i, info->size < sizeof(i) ? info->size : sizeof(i));
	return 0;
}

/* After the program's own exit handlers. A process that is not the one asked
 * about (a fork child, another program started from it) writes a file only if
 * it has a name of its own. */
__attribute__((destructor)) static void at_exit(void)
{
	const char *path = getenv("CARDMARK_STATS"), *pid = getenv("CARDMARK_RUN_PID");
	long mine = pid ? strtol(pid, NULL, 10) : (long)cm_gc_config.pid;

	if (!cm_gc_config.enabled || !path || !*path)
		return;
	if (mine != (long)getpid() && !strstr(path, "%p"))
		return;
	if (write_report(path) != 0 && strcmp(path, "-") != 0) {
		static const char text[] = "cardmark: CARDMARK_STATS cannot be written\n";
		ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

		(void)ignored;
	}
}
