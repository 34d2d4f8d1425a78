/* SPDX-License-Identifier: MIT
 *
 * Options of open: threads, chunk and vector sizes, and what to do about huge pages. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

enum { MIB = 256, HUGE_PAGES = 64 };

enum varied { THREADS, CHUNK, VECTOR };
static int options[] = { THREADS, CHUNK, VECTOR };
static int huge_ways[] = { CARDMARK_HUGE_KEEP, CARDMARK_HUGE_SPLIT };

static void collect_with(struct gbench_state *state, void *user)
{
	struct cardmark_options opt = CARDMARK_OPTIONS_INIT;
	size_t value = (size_t)gbench_argument(state, 0);
	struct micro_heap shape = micro_heap_of_mib(MIB);

	switch ((enum varied) * (const int *)user) {
	case THREADS:
		opt.threads = (unsigned)value;
		break;
	case CHUNK:
		opt.chunk_bytes = value << 20;
		break;
	case VECTOR:
		opt.vec_len = value;
		break;
	}
	micro_collects(state, &opt, shape, PATTERN_UNIFORM, gbench_argument(state, 1));
}

static size_t huge_kib(const struct heap *h)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[256];
	unsigned long start, end, kib, sum = 0;
	uintptr_t base = (uintptr_t)h->base, last = base + h->pages * micro.page;
	bool inside = false;

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start < last && end > base;
		else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			sum += kib;
	}
	if (f != NULL)
		fclose(f);
	return sum;
}

/* The first write to each huge page after it was armed. A page splits only once, so every
 * round has memory of its own. */
static void huge_fault(struct gbench_state *state, void *user)
{
	struct cardmark_options opt = CARDMARK_OPTIONS_INIT;
	size_t each = ((size_t)2 << 20) / micro.page, at = HUGE_PAGES, huge = 0;
	struct samples times = { NULL, 0, 0 };
	struct subject s;
	struct heap h;

	memset(&h, 0, sizeof h);
	memset(&s, 0, sizeof s);
	opt.huge = (enum cardmark_huge) * (const int *)user;
	if (!samples_new(&times, 10000))
		micro_fail(state, "not enough memory");
	while (gbench_keep_running(state)) {
		if (at == HUGE_PAGES) {
			subject_close(&s);
			heap_free(&h);
			if (!heap_new(&h, 1, HUGE_PAGES * each, 0, HEAP_HUGE_PAGES)) {
				micro_fail(state, "not enough memory");
				break;
			}
			huge = huge_kib(&h);
			if (!subject_armed(&s, state, &h, &opt))
				break;
			at = 0;
		}
		volatile char *p = heap_page(&h, at * each);
		uint64_t t = cm_now_ns();

		(*p)++;
		t = cm_now_ns() - t;
		samples_add(&times, state, t);
		h.want[at * each] = 1;
		h.wanted++;
		if (++at == HUGE_PAGES && !subject_check(&s, state, &h, subject_collect(&s, &h)))
			break;
	}
	samples_counters(&times, state);
	subject_counters(&s, state);
	gbench_counter(state, "huge_mib_before", (double)huge / 1024, GBENCH_PLAIN);
	subject_close(&s);
	samples_free(&times);
	heap_free(&h);
}

static void option_benchmark(const char *what, int *option, const int64_t (*args)[2], size_t n)
{
	const char *const names[] = { what, "dirty_pct" };
	struct gbench *b = micro_register("option", what, collect_with, option);

	gbench_arg_names(b, names, 2);
	for (size_t i = 0; i < n; i++)
		gbench_args(b, args[i], 2);
	gbench_iterations(b, 9);
}

void micro_options(void)
{
	static const int64_t threads[][2] = { { 1, 0 },  { 2, 0 },  { 1, 1 },   { 2, 1 },
					      { 1, 10 }, { 2, 10 }, { 1, 100 }, { 2, 100 } },
			     chunks[][2] = { { 1, 10 }, { 16, 10 }, { 64, 10 }, { 256, 10 } },
			     vectors[][2] = {
				     { 8, 10 }, { 64, 10 }, { 512, 10 }, { 4096, 10 }, { 65536, 10 }
			     };
	const unsigned crew = CARDMARK_CAP_NO_TRAP | CARDMARK_CAP_CONCURRENT;

	if (micro.bare)
		return;
	if ((micro.capabilities & crew) == crew)
		option_benchmark("threads", &options[THREADS], threads, 8);
	if (micro.backend == CARDMARK_BACKEND_PAGEMAP) {
		option_benchmark("chunk_mib", &options[CHUNK], chunks, 4);
		option_benchmark("vector", &options[VECTOR], vectors, 5);
	}
	for (size_t i = 0; i < sizeof huge_ways / sizeof *huge_ways; i++) {
		struct gbench *b = micro_register("fault_huge", i == 0 ? "keep" : "split",
						  huge_fault, &huge_ways[i]);

		gbench_unit(b, GBENCH_NANOSECONDS);
		gbench_iterations(b, 4 * HUGE_PAGES);
	}
}
