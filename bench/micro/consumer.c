/* SPDX-License-Identifier: MIT
 *
 * What a second consumer costs: a collect of a tracker alone, of another alone (A/A), and of one
 * that has a consumer, which then asks too. In turns, so that noise hits all of them. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

enum { ALONE, AGAIN, BESIDE, SIDES, ROUNDS = 31 };

struct sides {
	struct heap heap[SIDES];
	struct subject subject[SIDES];
	struct cardmark_consumer *consumer; /* of the last one */
	struct cardmark_table *table;
	double ns[SIDES + 1][ROUNDS]; /* [SIDES]: the consumer's own collect */
	uint64_t random;
};

static bool sides_open(struct sides *s, struct gbench_state *state, size_t pages)
{
	for (size_t i = 0; i < SIDES; i++) {
		if (!heap_new(&s->heap[i], 1, pages, 0, HEAP_SMALL_PAGES)) {
			micro_fail(state, "not enough memory");
			return false;
		}
		if (!subject_armed(&s->subject[i], state, &s->heap[i], NULL))
			return false;
	}
	if (cardmark_consumer_new(&s->consumer, s->subject[BESIDE].cm) != 0 ||
	    cardmark_table_new(&s->table, s->subject[BESIDE].cm) != 0) {
		micro_fail(state, cardmark_last_error());
		return false;
	}
	(void)cardmark_consumer_collect(s->consumer, s->table);
	return true;
}

static void sides_close(struct sides *s)
{
	cardmark_table_delete(&s->table);
	cardmark_consumer_delete(&s->consumer);
	for (size_t i = 0; i < SIDES; i++) {
		subject_close(&s->subject[i]);
		heap_free(&s->heap[i]);
	}
}

static bool ask(struct sides *s, struct gbench_state *state, size_t i, size_t round,
		int64_t percent)
{
	struct heap *h = &s->heap[i];
	uint64_t t, found;

	heap_write(h, PATTERN_UNIFORM, heap_percent(h, percent), &s->random);
	t = cm_now_ns();
	found = subject_collect(&s->subject[i], h);
	s->ns[i][round] = (double)(cm_now_ns() - t);
	if (i == BESIDE) {
		cardmark_table_clear(s->table);
		t = cm_now_ns();
		(void)cardmark_consumer_collect(s->consumer, s->table);
		s->ns[SIDES][round] = (double)(cm_now_ns() - t);
		if (cardmark_table_count(s->table) < h->wanted) {
			micro_fail(state, "WRITES MISSED by a consumer");
			return false;
		}
	}
	return subject_check(&s->subject[i], state, h, found);
}

static double ratio(const double *a, const double *b, size_t n)
{
	double v[ROUNDS];

	for (size_t i = 0; i < n; i++)
		v[i] = a[i] / b[i];
	return median(v, n);
}

static void consumer(struct gbench_state *state, void *user)
{
	size_t pages = ((size_t)gbench_argument(state, 0) << 20) / micro.page, round = 0;
	static struct sides s;

	(void)user;
	memset(&s, 0, sizeof s);
	s.random = micro.seed;
	if (sides_open(&s, state, pages)) {
		for (; gbench_keep_running(state) && round < ROUNDS; round++) {
			for (size_t k = 0; k < SIDES; k++)
				if (!ask(&s, state, (k + round) % SIDES, round,
					 gbench_argument(state, 1)))
					break;
			gbench_iteration_time(state, s.ns[BESIDE][round] / 1e9);
		}
		if (round > 0) {
			gbench_counter(state, "again_ratio", ratio(s.ns[AGAIN], s.ns[ALONE], round),
				       GBENCH_PLAIN);
			gbench_counter(state, "tracker_ratio",
				       ratio(s.ns[BESIDE], s.ns[ALONE], round), GBENCH_PLAIN);
			gbench_counter(state, "consumer_ratio",
				       ratio(s.ns[SIDES], s.ns[ALONE], round), GBENCH_PLAIN);
		}
		subject_counters(&s.subject[BESIDE], state);
	}
	sides_close(&s);
}

void micro_consumer(void)
{
	static const char *const names[] = { "heap_mib", "dirty_pct" };
	static const int64_t dirty[] = { 1, 10 };

	/* The comparison in turns needs two trackers at once. */
	if (micro.bare || (micro.capabilities & CARDMARK_CAP_CONCURRENT) == 0)
		return;
	for (size_t d = 0; d < sizeof dirty / sizeof *dirty; d++) {
		int64_t args[] = { 64, dirty[d] };
		struct gbench *b = micro_register("consumer", NULL, consumer, NULL);

		gbench_arg_names(b, names, 2);
		gbench_args(b, args, 2);
		gbench_iterations(b, ROUNDS);
	}
}
