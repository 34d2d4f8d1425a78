/* SPDX-License-Identifier: MIT */
#include "tests/support/live.h"

#include "tests/support/backends.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum cardmark_backend live_backend;
unsigned live_capabilities;
uint64_t live_categories;
size_t live_card;

#define MANY 64
static struct cardmark *trackers[MANY];
static struct cardmark_table *tables[MANY];
static struct {
	void *addr;
	size_t bytes;
} maps[MANY];
static size_t n_trackers, n_tables, n_maps;

bool live_can(unsigned capability)
{
	return (live_capabilities & capability) == capability;
}

void live_clean_up(void)
{
	while (n_tables > 0)
		cardmark_table_delete(&tables[--n_tables]);
	while (n_trackers > 0)
		cardmark_close(&trackers[--n_trackers]);
	while (n_maps > 0) {
		n_maps--;
		(void)munmap(maps[n_maps].addr, maps[n_maps].bytes);
	}
}

void live_may_open_another(void)
{
	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("only one softdirty tracker fits in a process");
}

struct cardmark *live_open_options(struct cardmark_options *options)
{
	struct cardmark *cm = NULL;
	int error;

	options->backend = live_backend;
	options->flags |= CARDMARK_OPEN_NO_ENV;
	error = cardmark_open(&cm, options);
	if (error < 0)
		tap_note("open: %s: %s", cardmark_strerror(error), cardmark_last_error());
	CHECK_EQ(error, 0);
	CHECK_EQ(described(cm).backend, live_backend);
	CHECK(n_trackers < MANY);
	trackers[n_trackers++] = cm;
	return cm;
}

struct cardmark *live_open_with(size_t chunk_bytes, size_t vec_len)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.chunk_bytes = chunk_bytes;
	options.vec_len = vec_len;
	return live_open_options(&options);
}

struct cardmark *live_open_flags(unsigned flags)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.flags = flags;
	return live_open_options(&options);
}

struct cardmark *live_open_verifying(unsigned flags)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.flags = flags;
	options.verify = CARDMARK_VERIFY_HASH;
	return live_open_options(&options);
}

struct cardmark *live_open(void)
{
	return live_open_with(0, 0);
}

struct cardmark_table *live_table(struct cardmark *cm)
{
	struct cardmark_table *table = NULL;

	CHECK_EQ(cardmark_table_new(&table, cm), 0);
	CHECK(n_tables < MANY);
	tables[n_tables++] = table;
	return table;
}

void live_own_memory(void *addr, size_t bytes)
{
	CHECK(addr != MAP_FAILED);
	CHECK(n_maps < MANY);
	maps[n_maps].addr = addr;
	maps[n_maps++].bytes = bytes;
}

unsigned char *live_map(size_t cards)
{
	/* A page without access on each side: no neighbour merges with it. */
	size_t bytes = (cards + 2) * live_card;
	unsigned char *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	live_own_memory(p, bytes);
	CHECK(mprotect(p + live_card, cards * live_card, PROT_READ | PROT_WRITE) == 0);
	/* Tests count cards: no huge pages behind their backs. */
	(void)madvise(p, bytes, MADV_NOHUGEPAGE);
	return p + live_card;
}

unsigned char *live_map_twice(size_t cards, unsigned char **other)
{
	size_t bytes = cards * live_card;
	int fd = memfd_create("cards", MFD_CLOEXEC);
	unsigned char *p;

	CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	live_own_memory(p, bytes);
	*other = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	live_own_memory(*other, bytes);
	CHECK(close(fd) == 0);
	memset(p, 1, bytes);
	return p;
}

unsigned char *live_map_at(unsigned char *at, size_t cards)
{
	unsigned char *p = mmap(at, cards * live_card, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	CHECK(p == at);
	return p;
}

struct cardmark *live_armed(unsigned char *mem, size_t cards, struct cardmark_table **table)
{
	struct cardmark *cm = live_open();

	*table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	(void)live_collect(cm, *table);
	cardmark_table_clear(*table);
	return cm;
}

enum cardmark_collected live_collect(struct cardmark *cm, struct cardmark_table *table)
{
	cardmark_table_clear(table);
	return cardmark_collect(cm, table);
}

void live_expect(const struct cardmark_table *table, const unsigned char *mem, size_t n,
		 const bool *want)
{
	size_t lost = 0, extra = 0, first_lost = 0, first_extra = 0;

	for (size_t i = n; i-- > 0;) {
		bool dirty = cardmark_table_is_dirty(table, mem + i * live_card);
		if (want[i] && !dirty) {
			lost++;
			first_lost = i;
		} else if (!want[i] && dirty) {
			extra++;
			first_extra = i;
		}
	}
	if (lost != 0)
		tap_note("%zu of %zu cards lost, the first is %zu", lost, n, first_lost);
	CHECK(lost == 0);
	if (!live_can(CARDMARK_CAP_PRECISE))
		return;
	if (extra != 0)
		tap_note("%zu of %zu cards falsely dirty, the first is %zu", extra, n, first_extra);
	CHECK(extra == 0);
}

static void expect_all(const struct cardmark_table *table, const unsigned char *mem, size_t n,
		       bool dirty)
{
	bool *want = malloc(n * sizeof *want);

	CHECK(want != NULL);
	memset(want, dirty, n * sizeof *want);
	live_expect(table, mem, n, want);
	free(want);
}

void live_expect_clean(const struct cardmark_table *table, const unsigned char *mem, size_t n)
{
	expect_all(table, mem, n, false);
}

void live_expect_dirty(const struct cardmark_table *table, const unsigned char *mem, size_t n)
{
	expect_all(table, mem, n, true);
}

struct cardmark_stats live_stats(struct cardmark *cm)
{
	struct cardmark_stats stats;

	memset(&stats, 0, sizeof stats);
	stats.size = sizeof stats;
	CHECK_EQ(cardmark_stats(cm, &stats), 0);
	return stats;
}

static const char *lacking(unsigned needs)
{
	static const char *const names[] = {
		"PRECISE",  "CONCURRENT", "KERNEL_WRITES", "REMAP",
		"MPROTECT", "NO_TRAP",    "SHARED",        "CATEGORIES"
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if ((needs & ~live_capabilities) >> i & 1)
			return names[i];
	return NULL;
}

bool live_usable(enum cardmark_backend backend, const char *name)
{
	struct cardmark_probe probes[PROBES];

	for (int i = 0, n = probe_all(probes); i < n; i++)
		if (probes[i].backend == backend && !probes[i].usable) {
			tap_line(!tap_required(name), name, "usable here", probes[i].reason);
			return false;
		}
	return true;
}

static bool choose_backend(const char *name)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes);
	enum cardmark_backend wanted = CARDMARK_BACKEND_AUTO;

	if (cardmark_backend_parse(name, &wanted) < 0) {
		tap_line(false, name, "is a backend", NULL);
		return false;
	}
	for (int i = 0; i < n; i++) {
		const struct cardmark_probe *p = &probes[i];
		if (wanted != CARDMARK_BACKEND_AUTO ? p->backend != wanted : !p->usable)
			continue;
		if (!p->usable) {
			tap_note("%s: %s", name, p->reason);
			tap_line(!tap_required(name), name, "usable here", p->reason);
			return false;
		}
		live_backend = p->backend;
		live_capabilities = p->capabilities;
		live_categories = p->categories;
		return true;
	}
	tap_line(false, name, "is in the probe's table", NULL);
	return false;
}

const struct live_case *live_now;

int live_main(int argc, char **argv, const struct live_case *cases, size_t n)
{
	const char *backend = argc > 1 ? argv[1] : "auto", *only = argc > 2 ? argv[2] : NULL;
	size_t left_out = 0, unnamed = 0;

	live_card = cardmark_card_size();
	if (!choose_backend(backend))
		return tap_status();
	backend = cardmark_backend_name(live_backend);
	for (size_t i = 0; i < n; i++) {
		const char *missing = lacking(cases[i].needs);
		char reason[96];

		if (only != NULL && strcmp(only, cases[i].name) != 0) {
			unnamed++;
			continue;
		}
		if (cases[i].only != 0 && !(cases[i].only >> live_backend & 1)) {
			left_out++;
			continue;
		}
		live_now = &cases[i];
		if (missing == NULL) {
			tap_run(backend, cases[i].name, cases[i].run, live_clean_up);
			continue;
		}
		(void)snprintf(reason, sizeof reason, "%s lacks the capability %s", backend,
			       missing);
		tap_line(true, backend, cases[i].name, reason);
	}
	if (only != NULL && unnamed == n) {
		tap_note("no case has the name \"%s\"", only);
		tap_line(false, backend, only, NULL);
	}
	if (left_out == n) /* tests/support/each-backend.sh reads it */
		tap_note("%s: no case is for this backend", backend);
	return tap_status();
}
