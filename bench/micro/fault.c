/* SPDX-License-Identifier: MIT
 *
 * The first write to an armed card: what a mutator pays for being watched. Each time includes
 * two looks at the clock; "clock_ns" shows their cost. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

enum order { DENSE, STRIDED, RANDOM };
enum { MIB = 64, ROUNDS = 2 };

static int orders[] = { DENSE, STRIDED, RANDOM };
static const char *const order_names[] = { "dense", "strided", "random" };

static void make_order(size_t *order, size_t pages, int how)
{
	enum { STRIDE = 64 };
	uint64_t random = micro.seed;
	size_t n = 0;

	for (size_t first = 0; first < STRIDE; first++)
		for (size_t i = first; i < pages && how == STRIDED; i += STRIDE)
			order[n++] = i;
	for (size_t i = 0; i < pages && how != STRIDED; i++)
		order[i] = i;
	for (size_t i = pages; i > 1 && how == RANDOM; i--) {
		size_t j = random_under(&random, i), was = order[j];

		order[j] = order[i - 1];
		order[i - 1] = was;
	}
}

static double clock_cost(void)
{
	double v[101];

	for (size_t i = 0; i < 101; i++) {
		uint64_t t = cm_now_ns();
		v[i] = (double)(cm_now_ns() - t);
	}
	return median(v, 101);
}

static void fault(struct gbench_state *state, void *user)
{
	struct micro_heap shape = micro_heap_of_mib(MIB);
	size_t pages = shape.piece, at = 0;
	size_t *order = malloc(pages * sizeof *order);
	struct frame f;
	bool good = frame_begin(&f, state, NULL, shape, ROUNDS * pages, true);

	if (good && order == NULL) {
		micro_fail(state, "not enough memory");
		good = false;
	}
	if (good)
		make_order(order, pages, *(const int *)user);
	while (good && gbench_keep_running(state)) {
		volatile char *p = heap_page(&f.heap, order[at]);
		uint64_t t = cm_now_ns();

		(*p)++;
		t = cm_now_ns() - t;
		samples_add(&f.times, state, t);
		f.heap.want[order[at]] = 1;
		f.heap.wanted++;
		if (++at < pages)
			continue;
		at = 0;
		good = subject_check(&f.subject, state, &f.heap,
				     subject_collect(&f.subject, &f.heap));
	}
	if (f.begun)
		gbench_counter(state, "clock_ns", clock_cost(), GBENCH_PLAIN);
	frame_end(&f);
	free(order);
}

void micro_fault(void)
{
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		struct gbench *b = micro_register("fault", order_names[i], fault, &orders[i]);

		gbench_unit(b, GBENCH_NANOSECONDS);
		gbench_iterations(b, (int64_t)(ROUNDS * ((size_t)MIB << 20) / micro.page));
	}
}
