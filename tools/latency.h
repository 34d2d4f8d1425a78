/* SPDX-License-Identifier: MIT
 * Latency of a server whose requests are due at times that were fixed beforehand. Simple latency
 * begins when the server took the request: a server that stalls takes fewer requests, and those
 * that came meanwhile do not show the stall (coordinated omission). Open-loop latency begins when
 * the request was due. Metered latency knows no due times: it spreads the starts evenly. */
#ifndef CARDMARK_TOOL_LATENCY_H
#define CARDMARK_TOOL_LATENCY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/histogram.h"

/* One request, ns; one is served at a time, in order. */
struct latency_event {
	uint64_t due, start, end;
};

enum latency_kind {
	LATENCY_SIMPLE,    /* end - start */
	LATENCY_OPEN,      /* end - due */
	LATENCY_METERED_1, /* end - start, spread over windows of 1 ms where that is earlier */
	LATENCY_METERED_10,
	LATENCY_METERED_100,
	LATENCY_METERED_FULL, /* over the whole run */
	LATENCY_HICCUP, /* start - due where the server was idle: the machine, not the program */
	LATENCY_KINDS
};

extern const char *const latency_names[LATENCY_KINDS]; /* in files */
extern const char *const latency_titles[LATENCY_KINDS];

/* Adds them to the histograms, which need not be empty. */
void latency_add(const struct latency_event *events, size_t n,
		 struct histogram kinds[LATENCY_KINDS]);

/* One kind of metered latency. window 0: the whole run. */
void latency_metered(const struct latency_event *events, size_t n, uint64_t window,
		     struct histogram *out);

/* As JSON, with the requests a second that were due (0: closed loop) and the time it took. */
void latency_write(const struct histogram kinds[LATENCY_KINDS], uint64_t rate, uint64_t served_ns,
		   FILE *f);

#endif
