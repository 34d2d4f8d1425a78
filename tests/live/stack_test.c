/* SPDX-License-Identifier: MIT
 *
 * Description: a mutator's stack may be as small as PTHREAD_STACK_MIN (16 KiB on x86-64, and the
 * C library takes a part of it): the library's calls and the traps fit into it. Control: a
 * call that needs more is measured as too deep. */
#include <cardmark/process.h>

#include "tests/support/backends.h"
#include "tests/support/live.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK ((size_t)256 << 10)
/* The most that a call may use of 16 KiB. A thread has used 5 KiB here before it begins. */
#if defined(__x86_64__) && !defined(__clang__)
#define MOST ((size_t)9 << 10)
#else
#define MOST ((size_t)13 << 10) /* clang puts more of the callees' buffers into one frame */
#endif
#define PAINT 0xa5
#define CARDS 64

static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem, *other;

/* How deep a thread with this function went into its stack. */
static size_t depth_of(void *(*fn)(void *))
{
	unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	size_t untouched = 0;
	pthread_attr_t attr;
	pthread_t thread;

	CHECK(stack != MAP_FAILED);
	memset(stack, PAINT, STACK);
	CHECK_EQ(pthread_attr_init(&attr), 0);
	CHECK_EQ(pthread_attr_setstack(&attr, stack, STACK), 0);
	CHECK_EQ(pthread_create(&thread, &attr, fn, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(pthread_attr_destroy(&attr), 0);
	while (untouched < STACK && stack[untouched] == PAINT)
		untouched++;
	CHECK_EQ(munmap(stack, STACK), 0);
	return STACK - untouched;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *needs_more(void *arg)
{
	volatile unsigned char big[2 * MOST];

	for (size_t i = 0; i < sizeof big; i += 64)
		big[i] = 1;
	return arg;
}

static void *all_calls(void *arg)
{
	struct cardmark_region regions[8];
	struct cardmark_query q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, mem, CARDS, regions, 8);
	struct cardmark_stats stats = { .size = sizeof stats };
	struct cardmark_description description = CARDMARK_DESCRIPTION_INIT;
	struct cardmark_consumer *consumer = NULL;
	struct cardmark_process *process = NULL;
	struct cardmark_run run;
	bool tracked;

	live_store(mem, 1);
	(void)cardmark_consumer_new(&consumer, cm);
	(void)cardmark_describe(cm, &description);
	(void)cardmark_collect(cm, table);
	live_store(mem + 3 * live_card, 2);
	(void)cardmark_scan(cm, &q);
	(void)cardmark_preclean(cm);
	(void)cardmark_track(cm, other, CARDS * live_card, 0);
	live_store(other, 1);
	(void)cardmark_hold(cm, other, 1);
	if (consumer != NULL)
		(void)cardmark_consumer_collect(consumer, table);
	(void)cardmark_collect_range(cm, other, CARDS * live_card, table);
	(void)cardmark_release(cm, other, 1);
	(void)madvise(other, live_card, MADV_DONTNEED);
	(void)cardmark_collect(cm, table);
	(void)cardmark_discarded(cm, table);
	(void)cardmark_is_tracked(cm, other, live_card, &tracked);
	(void)cardmark_untrack(cm, other + live_card, live_card);
	(void)cardmark_stats(cm, &stats);
	q.start = NULL;
	(void)cardmark_scan(cm, &q); /* an error with its text */
	/* Mapped anew, with a hole. */
	CHECK(mmap(mem, live_card, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		   -1, 0) == mem);
	CHECK_EQ(munmap(mem + 2 * live_card, live_card), 0);
	(void)cardmark_collect(cm, table);
	(void)cardmark_table_set_range(table, other, live_card);
	(void)cardmark_table_next(table, 0, UINTPTR_MAX, &run);
	(void)cardmark_table_clear_range(table, other, live_card);
	if (cardmark_process_open(&process, getpid()) == 0) {
		q = (struct cardmark_query){ .size = sizeof q,
					     .start = other,
					     .len = CARDS * live_card,
					     .op = CARDMARK_SCAN_GET,
					     .required = CARDMARK_PAGE_PRESENT,
					     .regions = regions,
					     .capacity = 8 };
		(void)cardmark_process_scan(process, &q);
	}
	cardmark_process_close(&process);
	cardmark_consumer_delete(&consumer);
	(void)cardmark_suspend(cm);
	(void)cardmark_resume(cm);
	return arg;
}

static void measure(unsigned flags, enum cardmark_verify verify)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	size_t base = depth_of(nothing), depth;

	options.flags = flags;
	options.verify = verify;
	mem = live_map(CARDS);
	other = live_map(CARDS);
	cm = live_open_options(&options);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	live_store(mem + 7 * live_card, 1);
	(void)cardmark_collect(cm, table);
	depth = depth_of(all_calls) - base;
	printf("# %zu bytes of stack\n", depth);
	CHECK(depth <= MOST);
}

static void frames_are_the_usual(void)
{
#ifndef __OPTIMIZE__
	tap_skip("without optimization frames are larger");
#endif
	if (TAP_ASAN || TAP_TSAN)
		tap_skip("this sanitizer's frames are larger");
}

static void calls_leave_room(void)
{
	frames_are_the_usual();
	measure(0, CARDMARK_VERIFY_OFF);
}

static void calls_leave_room_with_discards(void)
{
	frames_are_the_usual();
	measure(CARDMARK_OPEN_DISCARD_IS_WRITE, CARDMARK_VERIFY_OFF);
}

static void calls_leave_room_in_verify_mode(void)
{
	frames_are_the_usual();
	measure(0, CARDMARK_VERIFY_HASH);
}

static void what_needs_more_is_seen(void)
{
	frames_are_the_usual(); /* or the array is elsewhere */
	CHECK(depth_of(needs_more) - depth_of(nothing) > MOST);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "calls leave room on a small stack", calls_leave_room, 0, 0 },
		{ "calls leave room, with discards", calls_leave_room_with_discards, 0, 0 },
		{ "calls leave room, in verify mode", calls_leave_room_in_verify_mode, 0, 0 },
		{ "control: what needs more is seen", what_needs_more_is_seen, 0,
		  LIVE_ONLY(ALLDIRTY) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
