/* SPDX-License-Identifier: MIT
 *
 * CARDMARK_TRACE: what happened last, as trace events for Perfetto and chrome://tracing. */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STOPS_TRACK 4194305 /* above any thread's id */
#define MOST_THREADS 512    /* that have a name */

static struct cm_gc_dest place;

void cm_gc_tracefile_start(void)
{
	cm_gc_dest_read(&place, "CARDMARK_TRACE");
	if (strcmp(place.path, "-") == 0)
		cm_gc_keep_stdout();
	if (*place.path && cm_gc_trace_start() < 0)
		cm_gc_say("cardmark", "there is no memory for a trace");
}

/* ---- Events ------------------------------------------------------------------------------ */

/* Microseconds since this process began to count. */
static const char *us(char buf[CM_GC_MS_ROOM], uint64_t ns)
{
	(void)snprintf(buf, CM_GC_MS_ROOM, "%llu.%03llu", (unsigned long long)(ns / 1000),
		       (unsigned long long)(ns % 1000));
	return buf;
}

static void put_span(struct cm_gc_out *o, const char *name, int track, uint64_t start, uint64_t end)
{
	char at[CM_GC_MS_ROOM], length[CM_GC_MS_ROOM];
	uint64_t zero = cm_gc_config.start_ns;

	cm_gc_put(o,
		  ",\n{\"name\":\"%s\",\"cat\":\"gc\",\"ph\":\"X\",\"pid\":%ld,\"tid\":%d,"
		  "\"ts\":%s,\"dur\":%s",
		  name, (long)getpid(), track, us(at, start > zero ? start - zero : 0),
		  us(length, end > start ? end - start : 0));
}

static void put_counter(struct cm_gc_out *o, const char *name, const char *unit, uint64_t at,
			uint64_t value)
{
	char text[CM_GC_MS_ROOM];

	cm_gc_put(o,
		  ",\n{\"name\":\"%s\",\"ph\":\"C\",\"pid\":%ld,\"ts\":%s,\"args\":{\"%s\":%llu}}",
		  name, (long)getpid(), us(text, at - cm_gc_config.start_ns), unit,
		  (unsigned long long)value);
}

static void put_stop(struct cm_gc_out *o, const struct cm_gc_note *n)
{
	static const char *const names[] = { "stop the threads", "find dirty cards", "mark",
					     "let them go on" };
	uint64_t resume = n->end - n->phase[CM_GC_PH_RESUME];
	uint64_t mark = resume - n->phase[CM_GC_PH_MARK];
	const uint64_t start[] = { n->start, mark - n->phase[CM_GC_PH_DIRTY], mark, resume };

	put_span(o, n->done ? "stop" : "stop, given up", STOPS_TRACK, n->start, n->end);
	cm_gc_put(o, ",\"args\":{\"full\":%s,\"dirty_cards\":%llu,\"over_target\":\"%s\"}}",
		  n->full ? "true" : "false", (unsigned long long)n->cards,
		  cm_gc_over_name(n->over));
	for (int ph = 0; ph < CM_GC_PH_COUNT; ph++) {
		if (!n->phase[ph])
			continue;
		put_span(o, names[ph], STOPS_TRACK, start[ph], start[ph] + n->phase[ph]);
		cm_gc_put(o, "}");
	}
	put_counter(o, "heap", "bytes", n->end, n->heap);
	put_counter(o, "dirty cards", "cards", n->end, n->cards);
}

static void put_note(struct cm_gc_out *o, const struct cm_gc_note *n)
{
	if (n->kind == CM_GC_NOTE_STOP) {
		put_stop(o, n);
		return;
	}
	put_span(o, n->kind == CM_GC_NOTE_SLICE ? "slice of marking" : "wait for memory", n->thread,
		 n->start, n->end);
	cm_gc_put(o, ",\"args\":{\"bytes\":%llu}}", (unsigned long long)n->bytes);
}

/* ---- Names --------------------------------------------------------------------------------- */

static void put_name(struct cm_gc_out *o, const char *what, int thread, const char *name)
{
	cm_gc_put(o,
		  "{\"name\":\"%s\",\"ph\":\"M\",\"pid\":%ld,\"tid\":%d,\"args\":{\"name\":", what,
		  (long)getpid(), thread);
	cm_gc_put_quoted(o, name);
	cm_gc_put(o, "}}");
}

static void name_thread(struct cm_gc_out *o, int thread)
{
	char text[64];
	ssize_t n = 0;
	int fd;

	(void)snprintf(text, sizeof text, "/proc/self/task/%d/comm", thread);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	if (n <= 0)
		n = snprintf(text, sizeof text, "a thread that has ended");
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	cm_gc_put(o, ",\n");
	put_name(o, "thread_name", thread, text);
}

static void name_once(struct cm_gc_out *o, int thread, int *known, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		if (known[i] == thread)
			return;
	if (*n == MOST_THREADS || !thread)
		return;
	known[(*n)++] = thread;
	name_thread(o, thread);
}

void cm_gc_trace_put(struct cm_gc_out *o)
{
	static int known[MOST_THREADS]; /* one thread at a time writes */
	uint64_t first, end = cm_gc_trace_range(&first), kept = 0;
	struct cm_gc_note n;
	size_t threads = 0;

	cm_gc_put(o, "{\"traceEvents\":[\n");
	put_name(o, "process_name", 0, program_invocation_short_name);
	cm_gc_put(o, ",\n");
	put_name(o, "thread_name", STOPS_TRACK, "stops of all threads");
	for (uint64_t i = first; i < end; i++) {
		if (!cm_gc_trace_get(i, &n))
			continue;
		kept++;
		put_note(o, &n);
		if (n.kind != CM_GC_NOTE_STOP)
			name_once(o, n.thread, known, &threads);
	}
	cm_gc_put(
		o,
		"\n],\n\"displayTimeUnit\":\"ms\",\n\"otherData\":{\"format\":\"cardmark-trace\","
		"\"version\":1,\"notes\":%llu,\"lost\":%llu,\"bound\":%d,\"least_ns\":%llu,"
		"\"about\":\"the newest notes are kept; a note is a stop, or a slice or wait of at "
		"least least_ns\"}}\n",
		(unsigned long long)kept, (unsigned long long)(end - kept), CM_GC_TRACE_NOTES,
		(unsigned long long)CM_GC_TRACE_LEAST_NS);
}

/* ---- The file -------------------------------------------------------------------------------- */

void cm_gc_tracefile_write(void)
{
	enum cm_gc_owner owner = cm_gc_owner();
	bool numbered = owner == CM_GC_OTHER_PROGRAM || owner == CM_GC_FORKED;
	char name[PATH_MAX], text[640];
	uint64_t first;
	int error;

	if (!cm_gc_dest_is_set(&place) || !cm_gc_trace_is_on() || owner == CM_GC_NOBODY)
		return;
	if (owner == CM_GC_FORKED && !cm_gc_dest_id(&place) && cm_gc_trace_range(&first) == 0)
		return;
	if (numbered && cm_gc_file_descriptor(place.path) >= 0)
		return;
	error = cm_gc_dest_name(name, &place, numbered)
			? cm_gc_file_write(name, cm_gc_trace_put, NULL)
			: ENAMETOOLONG;
	if (!error)
		return;
	(void)snprintf(text, sizeof text, "the trace cannot be written to %.400s: %s", place.asked,
		       cm_gc_file_words(error));
	cm_gc_say("cardmark", text);
}
