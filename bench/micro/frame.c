/* SPDX-License-Identifier: MIT
 *
 * How benchmarks of single operations begin and end: a heap, the subject that tracks it, and
 * room for the times. */
#include "bench/micro/micro.h"

#include <string.h>

bool frame_begin(struct frame *f, struct gbench_state *state, struct cardmark_options *options,
		 struct micro_heap shape, size_t room, bool armed)
{
	memset(f, 0, sizeof *f);
	f->state = state;
	f->random = micro.seed;
	f->subject.loop.uffd = f->subject.loop.pagemap = -1;
	if (!heap_new(&f->heap, shape.ranges, shape.piece, shape.gap, HEAP_SMALL_PAGES) ||
	    !samples_new(&f->times, room)) {
		micro_fail(state, "not enough memory");
		return false;
	}
	if (armed) {
		f->begun = subject_armed(&f->subject, state, &f->heap, options);
	} else {
		f->begun = subject_open(&f->subject, state, options);
		if (f->begun)
			subject_start(&f->subject);
	}
	return f->begun;
}

void frame_end(struct frame *f)
{
	if (f->begun) {
		samples_counters(&f->times, f->state);
		subject_counters(&f->subject, f->state);
	}
	subject_close(&f->subject);
	samples_free(&f->times);
	heap_free(&f->heap);
}
