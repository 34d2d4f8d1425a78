/* SPDX-License-Identifier: MIT
 *
 * Description: two backends that watch the same writes disagree only by reporting too
 * much. They watch the same memory if the kernel allows it, otherwise two mappings that get
 * the same stores. CARDMARK_TEST_SEED repeats a run. */
#include "tests/support/fixture.h"

#include "tests/support/backends.h"
#include "tests/support/broken_os.h"
#include "tests/support/random.h"

#include <errno.h>
#include <stdlib.h>

#define ROUNDS 60

struct watcher {
	struct cardmark *cm;
	struct cardmark_table *table;
	unsigned char *mem;
	bool precise;
	size_t lost, over;
};

struct outcome {
	struct watcher w[2];
	size_t changed, disagreed;
	bool same_memory;
};

static bool usable(enum cardmark_backend backend)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes);

	for (int i = 0; i < n; i++)
		if (probes[i].backend == backend)
			return probes[i].usable;
	return false;
}

static void watch(struct watcher *w, enum cardmark_backend backend, unsigned char *memory)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backend = backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	*w = (struct watcher){ .mem = memory };
	CHECK_EQ(cardmark_open(&w->cm, &options), 0);
	CHECK_EQ(cardmark_table_new(&w->table, w->cm), 0);
	w->precise = described(w->cm).capabilities & CARDMARK_CAP_PRECISE;
}

static void end(struct watcher *w)
{
	cardmark_table_delete(&w->table);
	cardmark_close(&w->cm);
}

static void judge(struct outcome *o)
{
	for (size_t i = 0; i < CARDS; i++) {
		bool dirty[2];

		for (size_t k = 0; k < 2; k++) {
			struct watcher *w = &o->w[k];
			dirty[k] = cardmark_table_is_dirty(w->table, w->mem + i * live_card);
			w->lost += want[i] && !dirty[k];
			w->over += !want[i] && dirty[k];
		}
		o->changed += want[i];
		o->disagreed += dirty[0] != dirty[1];
	}
}

static struct outcome run_pair(enum cardmark_backend a, enum cardmark_backend b, uint64_t seed)
{
	struct outcome o = { .same_memory = true };
	unsigned char *first = live_map(CARDS), *second = live_map(CARDS);
	int error;

	memset(first, 1, CARDS * live_card);
	memset(second, 1, CARDS * live_card);
	watch(&o.w[0], a, first);
	watch(&o.w[1], b, first);
	CHECK_EQ(cardmark_track(o.w[0].cm, first, CARDS * live_card, 0), 0);
	error = cardmark_track(o.w[1].cm, first, CARDS * live_card, 0);
	if (error == -EBUSY) { /* each has a userfaultfd */
		o.same_memory = false;
		o.w[1].mem = second;
		error = cardmark_track(o.w[1].cm, second, CARDS * live_card, 0);
	}
	CHECK_EQ(error, 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned writes = (unsigned)(random_next(&seed) % 20);

		for (size_t k = 0; k < 2; k++)
			cardmark_table_clear(o.w[k].table);
		memset(want, round == 0, sizeof want); /* new memory is dirty */
		for (unsigned n = 0; n < writes; n++) {
			size_t card = random_next(&seed) % CARDS;
			size_t at = card * live_card + random_next(&seed) % live_card;

			live_store(first + at, (unsigned char)(first[at] + 1));
			live_store(second + at, first[at]);
			want[card] = true;
		}
		for (size_t k = 0; k < 2; k++)
			(void)cardmark_collect(o.w[k].cm, o.w[k].table);
		judge(&o);
	}
	end(&o.w[1]);
	end(&o.w[0]);
	return o;
}

static void beside(enum cardmark_backend other)
{
	uint64_t seed = random_seed(NULL);
	struct outcome o;

	if (!usable(other))
		tap_skip("%s is not usable here", cardmark_backend_name(other));
	o = run_pair(live_backend, other, seed);
	tap_note("beside %s on %s memory, seed %llu: %zu cards changed, %zu and %zu lost, %zu and "
		 "%zu over-reported, %zu answers differ",
		 cardmark_backend_name(other), o.same_memory ? "the same" : "equal",
		 (unsigned long long)seed, o.changed, o.w[0].lost, o.w[1].lost, o.w[0].over,
		 o.w[1].over, o.disagreed);
	CHECK(o.changed > 0);
	for (size_t k = 0; k < 2; k++) {
		CHECK_EQ(o.w[k].lost, 0);
		if (o.w[k].precise)
			CHECK_EQ(o.w[k].over, 0); /* nothing here allows it */
	}
}

static void beside_pagemap(void)
{
	beside(CARDMARK_BACKEND_PAGEMAP);
}

static void beside_softdirty(void)
{
	beside(CARDMARK_BACKEND_SOFTDIRTY);
}

static void beside_uffd(void)
{
	beside(CARDMARK_BACKEND_UFFD);
}

static void beside_mprotect(void)
{
	beside(CARDMARK_BACKEND_MPROTECT);
}

static void beside_alldirty(void)
{
	beside(CARDMARK_BACKEND_ALLDIRTY);
}

static void a_broken_one_is_found(void)
{
	struct cm_os *os = broken_os_begin();
	struct outcome o;

	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		break_by_taking_errors_as_clean(os);
	else if (live_backend == CARDMARK_BACKEND_MPROTECT)
		break_by_not_protecting(os);
	else
		break_by_taking_unreadable_as_empty(os);
	o = run_pair(live_backend, CARDMARK_BACKEND_ALLDIRTY, 7);
	broken_os_end();
	tap_note("%zu lost, %zu by the other", o.w[0].lost, o.w[1].lost);
	CHECK(o.w[0].lost > 0);
	CHECK_EQ(o.w[1].lost, 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "beside pagemap", beside_pagemap, 0, ~LIVE_ONLY(PAGEMAP) },
		{ "beside softdirty", beside_softdirty, 0, ~LIVE_ONLY(SOFTDIRTY) },
		{ "beside uffd", beside_uffd, 0, ~LIVE_ONLY(UFFD) },
		{ "beside mprotect", beside_mprotect, 0, ~LIVE_ONLY(MPROTECT) },
		{ "beside alldirty", beside_alldirty, 0, ~LIVE_ONLY(ALLDIRTY) },
		{ "control: a broken one is found", a_broken_one_is_found, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(MPROTECT) | LIVE_ONLY(UFFD) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
