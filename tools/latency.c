/* SPDX-License-Identifier: MIT */
#include "tools/latency.h"

#include <inttypes.h>

const char *const latency_names[LATENCY_KINDS] = {
	[LATENCY_SIMPLE] = "simple",
	[LATENCY_OPEN] = "open_loop",
	[LATENCY_METERED_1] = "metered_1ms",
	[LATENCY_METERED_10] = "metered_10ms",
	[LATENCY_METERED_100] = "metered_100ms",
	[LATENCY_METERED_FULL] = "metered_full",
	[LATENCY_HICCUP] = "hiccup",
};

const char *const latency_titles[LATENCY_KINDS] = {
	[LATENCY_SIMPLE] = "simple latency",
	[LATENCY_OPEN] = "open-loop latency",
	[LATENCY_METERED_1] = "metered latency, 1 ms",
	[LATENCY_METERED_10] = "metered latency, 10 ms",
	[LATENCY_METERED_100] = "metered latency, 100 ms",
	[LATENCY_METERED_FULL] = "metered latency, whole run",
	[LATENCY_HICCUP] = "hiccups of the machine",
};

void latency_metered(const struct latency_event *e, size_t n, uint64_t window,
		     struct histogram *out)
{
	for (size_t first = 0, next; first < n; first = next) {
		uint64_t begin = e[0].start;
		double gap = 0;

		if (window > 0)
			begin += (e[first].start - begin) / window * window;
		for (next = first; next < n; next++)
			if (window > 0 && e[next].start - begin >= window)
				break;
		if (next < n)
			gap = (double)window / (double)(next - first);
		else if (next - first > 1) /* the end of the run cuts this window */
			gap = (double)(e[n - 1].start - begin) / (double)(next - first - 1);
		for (size_t i = first; i < next; i++) {
			uint64_t start = begin + (uint64_t)(gap * (double)(i - first));

			/* Only one event in the last window: it stays where it is. */
			if (start > e[i].start || next - first == 1)
				start = e[i].start;
			hist_add(out, e[i].end - start);
		}
	}
}

void latency_add(const struct latency_event *e, size_t n, struct histogram kinds[LATENCY_KINDS])
{
	static const struct {
		enum latency_kind kind;
		uint64_t window;
	} metered[] = { { LATENCY_METERED_1, 1000000 },
			{ LATENCY_METERED_10, 10000000 },
			{ LATENCY_METERED_100, 100000000 },
			{ LATENCY_METERED_FULL, 0 } };

	for (size_t i = 0; i < n; i++) {
		hist_add(&kinds[LATENCY_SIMPLE], e[i].end - e[i].start);
		hist_add(&kinds[LATENCY_OPEN], e[i].end - e[i].due);
		if (i == 0 || e[i - 1].end < e[i].due)
			hist_add(&kinds[LATENCY_HICCUP], e[i].start - e[i].due);
	}
	for (size_t k = 0; k < sizeof metered / sizeof *metered; k++)
		latency_metered(e, n, metered[k].window, &kinds[metered[k].kind]);
}

void latency_write(const struct histogram kinds[LATENCY_KINDS], uint64_t rate, uint64_t served_ns,
		   FILE *f)
{
	fprintf(f, "{\"rate_per_s\":%" PRIu64 ",\"served_ns\":%" PRIu64 ",\"kinds\":{", rate,
		served_ns);
	for (unsigned k = 0; k < LATENCY_KINDS; k++) {
		const struct histogram *h = &kinds[k];
		const char *comma = "";

		fprintf(f,
			"%s\n\"%s\":{\"count\":%" PRIu64 ",\"sum_ns\":%.0f,\"max_ns\":%" PRIu64
			",\"buckets\":[",
			k > 0 ? "," : "", latency_names[k], h->count, h->sum, h->max);
		for (unsigned i = 0; i < HIST_SIZE; i++) {
			if (h->bucket[i] == 0)
				continue;
			fprintf(f, "%s[%" PRIu64 ",%" PRIu64 "]", comma, hist_end(i), h->bucket[i]);
			comma = ",";
		}
		fputs("]}", f);
	}
	fputs("}}\n", f);
}
