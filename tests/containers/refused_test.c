/* SPDX-License-Identifier: MIT
 *
 * Description: what the library makes of a userfaultfd that is refused, as containers and services
 * refuse it: with a real seccomp filter, with and without /dev/userfaultfd, as another user. The
 * best backend that is left is taken, the reasons name the cause, and no write is lost: from
 * the beginning, in a fork child, and if the filter comes when a tracker is open. Controls:
 * a scan that finds nothing loses writes, and where nothing is refused no reason says so.
 *
 * refused_test [SEED], or refused_test --in WORLD COMMAND...: runs a command there. */
#include "cardmark/cardmark.h"
#include "lib/os/os.h"
#include "tests/containers/worlds.h"
#include "tests/support/backends.h"
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CARDS = 300, ROUNDS = 40 };

static const struct world *world;
static uint64_t rng;

static void enter(void)
{
	const char *why;

	if (world_enter(world, &why))
		return;
	if (geteuid() == 0 && access("/dev/userfaultfd", F_OK) == 0)
		tap_note("%s: %s", why, strerror(errno));
	_exit(77);
}

static struct cardmark_probe probe_of(enum cardmark_backend backend)
{
	struct cardmark_probe p[PROBES];
	int n = probe_all(p), i = 0;

	while (i < n && p[i].backend != backend)
		i++;
	CHECK(i < n);
	return p[i];
}

static int open_as(enum cardmark_backend backend, struct cardmark **out)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backend = backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	return cardmark_open(out, &options);
}

/* ---- Writes --------------------------------------------------------------------------- */

static unsigned char *heap;
static struct cardmark *cm;
static struct cardmark_table *table;

static void start(enum cardmark_backend backend)
{
	size_t bytes = CARDS * cardmark_card_size();

	heap = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(heap != MAP_FAILED);
	memset(heap, 1, bytes);
	CHECK_EQ(open_as(backend, &cm), 0);
	CHECK_EQ(cardmark_table_new(&table, cm), 0);
	CHECK_EQ(cardmark_track(cm, heap, bytes, 0), 0);
	(void)cardmark_collect(cm, table);
}

static void stop(void)
{
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	CHECK_EQ(munmap(heap, CARDS * cardmark_card_size()), 0);
}

/* By the kernel, if the backend sees that. */
static void write_card(size_t i)
{
	unsigned char *at = heap + i * cardmark_card_size() + random_below(&rng, 100);
	int ends[2];

	if (!(described(cm).capabilities & CARDMARK_CAP_KERNEL_WRITES) ||
	    random_below(&rng, 4) != 0) {
		*(volatile unsigned char *)at = (unsigned char)i;
		return;
	}
	CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1 && read(ends[0], at, 1) == 1);
	CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* How many written cards are missing from the answers. */
static size_t losses(size_t rounds)
{
	size_t lost = 0;

	for (size_t round = 0; round < rounds; round++) {
		bool written[CARDS] = { false };

		for (size_t n = random_below(&rng, CARDS / 4); n > 0; n--) {
			size_t i = random_below(&rng, CARDS);
			write_card(i);
			written[i] = true;
		}
		cardmark_table_clear(table);
		(void)cardmark_collect(cm, table);
		for (size_t i = 0; i < CARDS; i++)
			lost += written[i] &&
				!cardmark_table_is_dirty(table, heap + i * cardmark_card_size());
	}
	return lost;
}

static void lose_none_in_a_child(void *unused)
{
	(void)unused;
	CHECK_EQ(losses(ROUNDS / 4), 0);
}

static void lose_none(enum cardmark_backend backend)
{
	start(backend);
	CHECK_EQ(losses(ROUNDS), 0);
	CHECK_EQ(tap_in_child(lose_none_in_a_child, NULL), 0);
	CHECK_EQ(losses(ROUNDS / 4), 0);
	stop();
}

/* ---- Reasons --------------------------------------------------------------------------- */

static void expect_words(const char *text, const char *words)
{
	if (strstr(text, words) == NULL)
		tap_note("not \"%s\" but \"%s\"", words, text);
	CHECK(strstr(text, words) != NULL);
}

static void expect_probe(enum cardmark_backend backend, const char *no)
{
	struct cardmark_probe p = probe_of(backend);

	if (p.usable != (no == NULL))
		tap_note("%s: %s", cardmark_backend_name(backend), p.reason);
	CHECK_EQ(p.usable, no == NULL);
	if (no == NULL) {
		CHECK(strstr(p.reason, "refuse") == NULL);
		lose_none(backend);
		return;
	}
	expect_words(p.reason, no);
	expect_words(p.reason, "allow ");
	CHECK_EQ(open_as(backend, &cm), world->error);
	expect_words(cardmark_last_error(), no);
}

/* The automatic choice: the first that works. */
static void expect_choice(void)
{
	struct cardmark_probe p[PROBES];
	struct cardmark_description d;
	int n = probe_all(p), i = 0;

	while (i < n && (!p[i].usable || p[i].suspect))
		i++;
	CHECK(i < n);
	CHECK_EQ(open_as(CARDMARK_BACKEND_AUTO, &cm), 0);
	d = described(cm);
	CHECK_EQ(d.backend, p[i].backend);
	CHECK_EQ(d.backend == CARDMARK_BACKEND_PAGEMAP, world->no_pagemap == NULL);
	if (world->no_pagemap != NULL)
		expect_words(d.why_no_better, world->no_pagemap);
	else
		CHECK_STRING(d.why_no_better, "");
	cardmark_close(&cm);
	lose_none(CARDMARK_BACKEND_AUTO);
}

static void expect_filter(void)
{
	if (world->call_error == 0)
		return;
	CHECK_EQ(syscall(SYS_userfaultfd, O_CLOEXEC | 1), -1);
	CHECK_EQ(errno, world->call_error);
}

static void look_around(void *unused)
{
	struct cardmark_probe p;

	(void)unused;
	enter();
	expect_filter();
	expect_probe(CARDMARK_BACKEND_PAGEMAP, world->no_pagemap);
	expect_probe(CARDMARK_BACKEND_UFFD, world->no_uffd);
	p = probe_of(CARDMARK_BACKEND_UFFD);
	CHECK_EQ((p.capabilities & CARDMARK_CAP_KERNEL_WRITES) != 0,
		 world->no_uffd == NULL && world->kernel_writes);
	if (p.usable && !world->kernel_writes)
		expect_words(p.reason, "read access to /dev/userfaultfd");
	expect_choice();
}

/* ---- Refused later ------------------------------------------------------------------------ */

/* What is open stays so. What is closed for a while may not come back, and then all is dirty. */
static void refuse_later(void *arg)
{
	enum cardmark_backend backend = *(const enum cardmark_backend *)arg;
	const char *no = backend == CARDMARK_BACKEND_UFFD ? world->no_uffd : world->no_pagemap;
	int error;

	start(backend);
	CHECK_EQ(losses(ROUNDS / 4), 0);
	enter();
	if (!world->no_scan && !world->no_uffd_ioctl)
		CHECK_EQ(losses(ROUNDS / 4), 0);
	CHECK_EQ(tap_in_child(lose_none_in_a_child, NULL), 0);
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(losses(ROUNDS / 4), 0);
	error = cardmark_resume(cm);
	if (no != NULL && !world->no_scan) /* that is not asked for yet */
		CHECK(error < 0);
	else
		CHECK_EQ(error, 0);
	CHECK_EQ(losses(ROUNDS / 4), 0);
	stop();
}

/* ---- All ------------------------------------------------------------------------------------- */

static void check_status(int status)
{
	if (status == 77 << 8) {
		CHECK(!(tap_required("containers")));
		tap_skip("this process may not make such a world: it needs root, "
			 "/dev/userfaultfd and seccomp");
	}
	CHECK_EQ(status, 0);
}

/* In a child: what the probe finds is kept by its process. */
static void look_first(void *unused)
{
	struct cardmark_probe p = probe_of(CARDMARK_BACKEND_PAGEMAP);

	(void)unused;
	if (!p.usable || p.suspect || !probe_of(CARDMARK_BACKEND_UFFD).usable) {
		tap_note("pagemap: %s", p.reason);
		_exit(77);
	}
}

static void needs_pagemap(void)
{
	int status = tap_in_child(look_first, NULL);

	CHECK(status == 0 || !tap_required("pagemap"));
	if (status != 0)
		tap_skip("pagemap and uffd do not both work here");
}

static void a_look_around(void)
{
	needs_pagemap();
	check_status(tap_in_child(look_around, NULL));
}

static void a_refusal_later(void)
{
	static enum cardmark_backend backends[] = { CARDMARK_BACKEND_PAGEMAP,
						    CARDMARK_BACKEND_UFFD };

	needs_pagemap();
	for (size_t i = 0; i < 2; i++)
		check_status(tap_in_child(refuse_later, &backends[i]));
}

static long find_nothing(int fd, struct pm_scan_arg *arg)
{
	long n = cm_os_linux.scan(fd, arg);

	return n > 0 ? 0 : n;
}

static void a_scan_that_finds_nothing_loses_writes(void)
{
	struct cm_os os = cm_os_linux;
	size_t lost;

	needs_pagemap();
	start(CARDMARK_BACKEND_PAGEMAP);
	os.scan = find_nothing;
	cm_os = &os;
	lost = losses(ROUNDS / 4);
	cm_os = &cm_os_linux;
	tap_note("control: %zu writes are lost", lost);
	CHECK(lost > 0);
	stop();
}

static int run_in(char **argv)
{
	const char *why = "there is no such world";

	world = world_named(argv[0]);
	if (world != NULL && world_enter(world, &why))
		(void)execvp(argv[1], argv + 1);
	else
		errno = EPERM;
	(void)fprintf(stderr, "refused_test: %s: %s\n", why, strerror(errno));
	return 77;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "--in") == 0)
		return run_in(argv + 2);
	(void)printf("1..%zu\n", 2 * n_worlds + 1);
	rng = random_seed(argc > 1 ? argv[1] : NULL);
	for (size_t i = 0; i < n_worlds; i++) {
		world = &worlds[i];
		tap_run(world->name, "the best that is left, and why", a_look_around, NULL);
		tap_run(world->name, "the refusal comes later", a_refusal_later, NULL);
	}
	tap_run("control", "a scan that finds nothing loses writes",
		a_scan_that_finds_nothing_loses_writes, NULL);
	return tap_status();
}
