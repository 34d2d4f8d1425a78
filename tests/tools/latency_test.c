/* SPDX-License-Identifier: MIT
 * Description: simple, open-loop and metered latency of made-up servers whose answer is
 * known: one that never stalls, one that stalls once, one whose clients wait for it. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/unit.h"
#include "tools/latency.h"

enum { N = 1000, US = 1000, MS = 1000000, SERVICE = 100 * US, STALL = 100 * MS };

static struct latency_event events[N];
static struct histogram kinds[LATENCY_KINDS];

/* How many took clearly longer than that. */
static uint64_t longer(enum latency_kind kind, uint64_t ns)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HIST_SIZE; i++)
		if (hist_end(i) > hist_bound(ns))
			n += kinds[kind].bucket[i];
	return n;
}

static void measure(size_t n)
{
	memset(kinds, 0, sizeof kinds);
	latency_add(events, n, kinds);
}

static bool same(enum latency_kind a, enum latency_kind b)
{
	return memcmp(&kinds[a], &kinds[b], sizeof kinds[a]) == 0;
}

/* A request is due every ms and takes SERVICE, but STALL when it is that one. With
 * clients that wait, the next comes a ms after the one before, or when that is done. */
static void make(size_t stalls, bool clients_wait, uint64_t woken_late)
{
	uint64_t due = MS, free_at = 0;

	for (size_t i = 0; i < N; i++) {
		struct latency_event *e = &events[i];

		if (clients_wait && free_at > due)
			due = free_at;
		e->due = due;
		e->start = free_at > due ? free_at : due + woken_late;
		free_at = e->end = e->start + (i == stalls ? STALL : SERVICE);
		due += MS;
	}
}

static void test_even(void)
{
	make(N, false, 0);
	measure(N);
	CHECK(kinds[LATENCY_SIMPLE].count == N && kinds[LATENCY_SIMPLE].max == SERVICE);
	for (unsigned k = 0; k < LATENCY_HICCUP; k++)
		CHECK(same((enum latency_kind)k, LATENCY_SIMPLE));
	CHECK(kinds[LATENCY_HICCUP].count == N && kinds[LATENCY_HICCUP].max == 0);
}

/* Request 500 + k is due k ms after the one that stalls and done 100 + k / 10 ms after
 * it: for k < 111 that is later than it would be otherwise. */
static void test_stall(void)
{
	double sum = SERVICE * (N - 111.0);

	for (unsigned k = 0; k < 111; k++)
		sum += STALL - k * 0.9 * MS;
	make(500, false, 0);
	measure(N);
	CHECK(longer(LATENCY_SIMPLE, SERVICE) == 1);
	CHECK(longer(LATENCY_OPEN, SERVICE) == 111);
	CHECK(longer(LATENCY_OPEN, 50 * MS) == 56); /* the bucket of 50 ends at 50.33: k < 55.2 */
	CHECK(kinds[LATENCY_OPEN].max == STALL && kinds[LATENCY_SIMPLE].max == STALL);
	CHECK(kinds[LATENCY_OPEN].sum > sum - 1 && kinds[LATENCY_OPEN].sum < sum + 1);
	/* Who had to wait for the server says nothing of the machine. */
	CHECK(kinds[LATENCY_HICCUP].count == N - 111 && kinds[LATENCY_HICCUP].max == 0);
}

/* CONTROL: with clients that wait, those that did not come are not there: the stall is one
 * slow request in a thousand however it is looked at, unless it is metered. */
static void test_omission(void)
{
	make(550, true, 0);
	measure(N);
	CHECK(longer(LATENCY_SIMPLE, SERVICE) == 1);
	CHECK(same(LATENCY_OPEN, LATENCY_SIMPLE));
	/* A window that is shorter than the stall has nothing to spread. */
	CHECK(same(LATENCY_METERED_1, LATENCY_SIMPLE));
	CHECK(same(LATENCY_METERED_10, LATENCY_SIMPLE));
	/* Windows begin at the first start, so the stall ends in the middle of one: 50 requests
	 * are spread over its 100 ms, the j-th begins 50 - j ms earlier. */
	CHECK(longer(LATENCY_METERED_100, SERVICE) == 1 + 50);
	CHECK(longer(LATENCY_METERED_100, 40 * MS) == 1 + 10);
	/* Over the whole run the one before the stall is early and those after it late, the
	 * first by 99 * 448 / 999 = 44.4 ms, the last not at all. */
	CHECK(longer(LATENCY_METERED_FULL, SERVICE) == 1 + 448);
	CHECK(longer(LATENCY_METERED_FULL, 45 * MS) == 1);
	CHECK(longer(LATENCY_METERED_FULL, 42 * MS) > 10);
}

static void test_hiccup(void)
{
	make(N, false, 50 * US);
	measure(N);
	CHECK(kinds[LATENCY_HICCUP].count == N && kinds[LATENCY_HICCUP].max == 50 * US);
	CHECK(kinds[LATENCY_SIMPLE].max == SERVICE);         /* not the server's fault, */
	CHECK(kinds[LATENCY_OPEN].max == SERVICE + 50 * US); /* but the client waits */
}

static void test_ends(void)
{
	measure(0);
	for (unsigned k = 0; k < LATENCY_KINDS; k++)
		CHECK(kinds[k].count == 0);
	make(0, false, 0);
	measure(1);
	for (unsigned k = 0; k < LATENCY_HICCUP; k++)
		CHECK(kinds[k].count == 1 && kinds[k].max == STALL);
}

/* Never longer ago than the window, and never later than it was. */
static void test_bounds(void)
{
	static const uint64_t windows[] = { 0, 3 * MS, 10 * MS, 77 * MS };
	uint64_t seed = 1, span;

	make(500, false, 0);
	for (size_t i = 0; i < N; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		events[i].start += (seed >> 33) % (events[i].end - events[i].start + 1);
	}
	span = events[N - 1].start - events[0].start;
	measure(N);
	for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
		static struct histogram h;
		double most = kinds[LATENCY_SIMPLE].sum +
			      (double)N * (double)(windows[w] > 0 ? windows[w] : span);

		memset(&h, 0, sizeof h);
		latency_metered(events, N, windows[w], &h);
		CHECK(h.count == N && h.sum >= kinds[LATENCY_SIMPLE].sum && h.sum <= most);
	}
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(test_even),   UNIT_CASE(test_stall), UNIT_CASE(test_omission),
		UNIT_CASE(test_hiccup), UNIT_CASE(test_ends),  UNIT_CASE(test_bounds),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
