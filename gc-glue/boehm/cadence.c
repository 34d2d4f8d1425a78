/* SPDX-License-Identifier: MIT
 *
 * The cost of a collection against the memory that it frees.
 *
 * How often. In stop-the-world mode libgc collects after a share of the memory that it scans (scan
 * / divisor, min_bytes_allocd in alloc.c), but not before its heap is full. In incremental mode it
 * takes half of that, and with a time limit it does not wait for a full heap. So a small heap was
 * collected three times as often. Here the threshold is that of stop-the-world mode, or the free
 * bytes in the heap, if they are more: using them costs no memory. Bytes that are allocated while a
 * collection is under way are subtracted.
 *
 * Which kind. A partial collection keeps old objects that have died, and everything that they point
 * to. A full collection frees them. So a full one is due when it would free an eighth of the bytes
 * in use: then the heap, and the stop of a full collection, stay near those without incremental
 * mode. A full one is also due after a growth by two thirds, as without incremental mode.
 *
 * Whether to arm. A partial collection costs its marking and a fault for each card that was
 * written to. In a small heap, or a heap with writes everywhere, marking everything costs less.
 * Then all collections are full, and nothing is armed. From time to time, but more and more rarely,
 * partial collections are tried again. While a full collection is a short stop anyway, they are
 * not even tried: their faults have costs that are not measured here (caches, the kernel's tables),
 * and neko took 1.22 of stop-the-world's processor time. */
#include "gc-glue/boehm/cadence.h"

#define TRIES 3          /* partial collections before they are judged */
#define MOST_WAIT 512    /* full ones before the next trial */
#define FLOATING_SHARE 8 /* of what is in use may be garbage that a full one would free */
#define LEAST_FLOATING 500
#define MOST_SHARE 900
#define SMALL_SHARE 700 /* at least, in a small heap: that it grows costs little */

/* One preempted stop does not decide. */
static uint64_t average(uint64_t old, uint64_t seen)
{
	if (!old)
		return seen;
	return (3 * old + (seen < 2 * old ? seen : 2 * old)) / 4;
}

/* Blocks stay in use until all objects in them are dead: the size of live objects shows more. */
static uint64_t kept(const struct cm_gc_cycle *was)
{
	return was->live && was->live < was->used ? was->live : was->used;
}

static uint64_t floating_bytes(const struct cm_gc_cadence *c)
{
	return c->suspect / 1000 * c->floating;
}

static uint64_t full_ns(const struct cm_gc_cadence *c, uint64_t bytes)
{
	return c->full_ps * (bytes >> 10) >> 10;
}

uint64_t cm_gc_cadence_full_ns(const struct cm_gc_cadence *c)
{
	return full_ns(c, c->used + c->used / 4);
}

static void learn_full(struct cm_gc_cadence *c, const struct cm_gc_cycle *was)
{
	uint64_t now = kept(was);
	uint64_t freed = c->used > now ? c->used - now : 0;

	if (c->suspect >> 10) {
		uint64_t seen = (freed >> 10) * 1000 / (c->suspect >> 10);

		c->floating = (c->floating + (seen < 1000 ? (unsigned)seen : 1000)) / 2;
		if (c->floating < LEAST_FLOATING)
			c->floating = LEAST_FLOATING;
	}
	if (now >> 10)
		c->full_ps = average(c->full_ps, (was->ns << 10) / (now >> 10));
	c->used_full = now;
	c->suspect = 0;
}

static void learn_partial(struct cm_gc_cadence *c, const struct cm_gc_cadence_limits *l,
			  const struct cm_gc_cycle *was)
{
	uint64_t now = kept(was);
	uint64_t grown = now > c->used ? now - c->used : 0;

	c->suspect += grown;
	c->partial_ns = average(c->partial_ns, was->ns + was->cards * l->fault_ns);
	c->tried++;
	if (now < c->used_full)
		c->used_full = now;
}

/* Includes the free bytes in blocks that hold objects. If the heap grew although stop-the-world
 * mode would have collected, less of it was usable than expected. */
static uint64_t usable(struct cm_gc_cadence *c, const struct cm_gc_cycle *was)
{
	uint64_t unused = was->free, seen;

	unused += was->used - kept(was);
	if (was->grown > c->threshold && c->unused >> 10) {
		seen = (was->grown >> 10) * 875 / (c->unused >> 10);
		if (seen < c->share)
			c->share = (unsigned)seen;
	} else if (!was->grown && c->share < MOST_SHARE) {
		c->share += c->share / 256 + 1;
	}
	c->unused = unused;
	return unused / 1000 * c->share;
}

static uint64_t least(struct cm_gc_cadence *c, const struct cm_gc_cadence_limits *l,
		      const struct cm_gc_cycle *was)
{
	uint64_t unused = usable(c, was), bytes = was->scan / (l->divisor ? l->divisor : 1);

	if (kept(was) >> 10)
		bytes -= (floating_bytes(c) >> 10) * bytes / (kept(was) >> 10);
	c->threshold = bytes;
	if (unused > bytes)
		bytes = unused;
	return bytes - (was->late < bytes / 2 ? was->late : bytes / 2);
}

/* Before garbage makes the heap grow. */
static uint64_t sooner(const struct cm_gc_cadence *c, uint64_t bytes)
{
	uint64_t room = c->unused / 1000 * c->share;
	uint64_t most = c->floating > LEAST_FLOATING ? bytes / 4 : bytes / 2;

	return room > bytes ? bytes : room > most ? room : most;
}

static struct cm_gc_plan arm(struct cm_gc_cadence *c, struct cm_gc_plan plan)
{
	c->armed = true;
	c->tried = 0;
	c->partial_ns = 0;
	plan.full = true;
	plan.bare = false;
	return plan;
}

struct cm_gc_plan cm_gc_cadence_next(struct cm_gc_cadence *c, const struct cm_gc_cadence_limits *l,
				     const struct cm_gc_cycle *was)
{
	struct cm_gc_plan plan = { 0 };
	bool fits, small;

	if (was->full)
		learn_full(c, was);
	else
		learn_partial(c, l, was);
	c->used = kept(was);
	small = l->kinds && l->bare && c->full_ps && cm_gc_cadence_full_ns(c) <= l->small_ns;
	if (small && c->share < SMALL_SHARE)
		c->share = SMALL_SHARE;
	plan.least = least(c, l, was);
	if (!l->kinds)
		return plan;
	fits = l->bare && (!l->most_ns || cm_gc_cadence_full_ns(c) <= l->most_ns);
	plan.full = plan.bare = true;
	if (small) {
		c->armed = false;
		return plan;
	}
	if (!c->armed) {
		if (!fits || c->bare_left == 0)
			return arm(c, plan);
		c->bare_left--;
		return plan;
	}
	if (fits && c->tried >= TRIES && c->partial_ns > full_ns(c, c->used - floating_bytes(c))) {
		c->armed = false;
		c->bare_left = c->wait;
		c->wait = c->wait < MOST_WAIT ? 2 * c->wait : MOST_WAIT;
		return plan;
	}
	if (c->tried == MOST_WAIT)
		c->wait = 16;
	plan.bare = false;
	plan.full = floating_bytes(c) * FLOATING_SHARE > c->used_full ||
		    c->used > c->used_full + c->used_full / 3 * 2;
	plan.soon = plan.full;
	if (plan.soon)
		plan.least = sooner(c, plan.least);
	return plan;
}
