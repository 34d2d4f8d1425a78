/* SPDX-License-Identifier: MIT
 *
 * look NAME PROGRAM, or look --probe: the whole address space of PROGRAM (target.c, built with a
 * sanitizer) is asked for its populated pages, while it holds 8, 16 and 80 MiB. What
 * is found, and how many kernel calls it takes, is what is populated; the terabytes
 * reserved cost nothing. */
#include "cardmark/process.h"
#include "common/clock.h"
#include "lib/os/os.h"
#include "tests/support/smaps.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESERVED_MIB "256"
#define CALL_REGIONS 512
#define CALL_PAGES 16384

struct findings {
	size_t regions, pages, zero_pages;
	unsigned long calls;
	double ms;
	long size_kib;
};

static const char *program;
static pid_t target;
static size_t card;

/* ---- The process looked at ---------------------------------------------------------- */

static void start(const char *touched_mib)
{
	int out[2], in[2], status;
	char line[64];
	ssize_t n;

	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(in, O_CLOEXEC) == 0);
	target = fork();
	if (target == 0) {
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		/* Sanitizers want their shadow where it always is; and small pages. */
		(void)personality(ADDR_NO_RANDOMIZE);
		(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execl(program, program, touched_mib, RESERVED_MIB, (char *)NULL);
		_exit(127);
	}
	CHECK(target > 0);
	(void)close(out[1]);
	(void)close(in[0]);
	n = read(out[0], line, sizeof line);
	(void)close(out[0]);
	CHECK(n > 0 && strncmp(line, "ready ", 6) == 0);
	CHECK(kill(target, SIGSTOP) == 0);
	CHECK(waitpid(target, &status, WUNTRACED) == target && WIFSTOPPED(status));
	(void)close(in[1]); /* stopped: it ends when it is let go */
}

static void end(void)
{
	cm_os = &cm_os_linux;
	if (target <= 0)
		return;
	(void)kill(target, SIGKILL);
	(void)waitpid(target, NULL, 0);
	target = 0;
}

/* ---- Looking ---------------------------------------------------------------------- */

static unsigned long calls;

static long counting_scan(int fd, struct pm_scan_arg *arg)
{
	calls++;
	return cm_os_linux.scan(fd, arg);
}

static struct cardmark_region regions[1 << 20];

static struct findings look(void)
{
	struct cardmark_process *process = NULL;
	struct cardmark_query q = { .size = sizeof q,
				    .len = (size_t)0 - card,
				    .op = CARDMARK_SCAN_GET,
				    .any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED,
				    .returned = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED |
						CARDMARK_PAGE_FILE | CARDMARK_PAGE_PFNZERO,
				    .regions = regions,
				    .capacity = sizeof regions / sizeof *regions };
	struct findings f = { .size_kib = smaps_status_kib(target, "VmSize") };
	static struct cm_os counting;
	double before;

	CHECK_EQ(cardmark_process_open(&process, target), 0);
	counting = cm_os_linux;
	counting.scan = counting_scan;
	cm_os = &counting;
	calls = 0;
	before = cm_now_seconds();
	CHECK_EQ(cardmark_process_scan(process, &q), 0);
	f.ms = (cm_now_seconds() - before) * 1e3;
	cm_os = &cm_os_linux;
	cardmark_process_close(&process);
	CHECK_EQ(q.resume, (uintptr_t)q.start + q.len);
	f.regions = q.count;
	f.pages = q.pages;
	f.calls = calls;
	for (size_t i = 0; i < q.count; i++)
		if (regions[i].categories & CARDMARK_PAGE_PFNZERO)
			f.zero_pages += (regions[i].end - regions[i].start) / card;
	return f;
}

/* Bytes in [start, end) that the kernel counts as resident or swapped: the zero page
 * is not counted. */
static size_t found_in(const struct findings *f, uintptr_t start, uintptr_t end, size_t *at)
{
	size_t bytes = 0;

	while (*at < f->regions && regions[*at].end <= start)
		(*at)++;
	for (size_t i = *at; i < f->regions && regions[i].start < end; i++) {
		uintptr_t from = regions[i].start > start ? regions[i].start : start;
		uintptr_t to = regions[i].end < end ? regions[i].end : end;

		if (!(regions[i].categories & CARDMARK_PAGE_PFNZERO))
			bytes += to - from;
	}
	return bytes;
}

/* Mapping by mapping, what was found is what smaps says is resident or swapped.
 * Returns in how many it is not; *counted: pages found in mappings. */
static size_t differing_mappings(const struct findings *f, size_t *counted)
{
	static struct smaps_vma vmas[SMAPS_MAX];
	size_t n = smaps_read(target, vmas), at = 0, wrong = 0;

	CHECK(n > 0);
	*counted = 0;
	for (size_t i = 0; i < n; i++) {
		size_t found = found_in(f, vmas[i].start, vmas[i].end, &at);

		*counted += found / card;
		/* The kernel's own pages are not counted in smaps, or not looked at. */
		wrong +=
			found != vmas[i].rss + vmas[i].swap && !vmas[i].pfn_map && !vmas[i].special;
	}
	return wrong;
}

static void compare_with_smaps(const struct findings *f)
{
	struct findings fewer = *f;
	size_t counted;

	CHECK_EQ(differing_mappings(f, &counted), 0);
	CHECK_EQ(counted + f->zero_pages, f->pages); /* and nothing outside of mappings */
	/* Control: a region that is lost is noticed. */
	for (size_t i = 0; i < f->regions; i++)
		if (!(regions[i].categories & CARDMARK_PAGE_PFNZERO))
			fewer.regions = i;
	CHECK(differing_mappings(&fewer, &counted) > 0);
}

static struct findings findings[3];

static void finds_what_is_populated(void)
{
	static const char *const sizes[] = { "8", "16", "80" };

	for (unsigned i = 0; i < 3; i++) {
		struct findings *f = &findings[i];
		long tables;

		start(sizes[i]);
		tables = smaps_status_kib(target, "VmPTE");
		*f = look();
		/* Looking builds no page tables in there. */
		CHECK(tables > 0);
		CHECK_EQ(smaps_status_kib(target, "VmPTE"), tables);
		compare_with_smaps(f);
		tap_note("%s MiB written: %.1f TiB mapped, %zu pages (%zu of them zero) in %zu "
			 "regions, %lu calls, %.2f ms, page tables %ld KiB",
			 sizes[i], (double)f->size_kib / (1u << 30), f->pages, f->zero_pages,
			 f->regions, f->calls, f->ms, tables);
		end();
	}
}

/* A gate on counters. Time is shown and decides nothing. */
static void work_grows_with_what_is_populated(void)
{
	const struct findings *one = &findings[0], *two = &findings[1], *ten = &findings[2];
	size_t grown = two->pages - one->pages, more = ten->pages - one->pages;

	CHECK(one->pages > 0 && ten->pages > 0);
	for (unsigned i = 0; i < 3; i++) {
		const struct findings *f = &findings[i];

		CHECK(f->size_kib > 1l << 30); /* a terabyte */
		CHECK(f->calls <= f->regions / CALL_REGIONS + f->pages / CALL_PAGES + 2);
		CHECK(labs(f->size_kib - one->size_kib) < 1024);
	}
	/* 8 MiB more, and what the shadow has for them; then 9 times that. */
	CHECK(grown >= ((size_t)8 << 20) / card);
	CHECK(more > 85 * grown / 10 && more < 95 * grown / 10);
	tap_note("ten times as much written: %.1f times the pages, %.1f times the time",
		 (double)ten->pages / (double)one->pages, ten->ms / one->ms);
}

/* Can this kernel do it? 77 and why, if not. */
static int probe(void)
{
	struct cardmark_process *process = NULL;
	int error = cardmark_process_open(&process, getpid());

	cardmark_process_close(&process);
	if (error < 0)
		puts(cardmark_last_error());
	return error == 0 ? 0 : error == -ENOTSUP ? 77 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--probe") == 0)
		return probe();
	if (argc != 3)
		return 2;
	program = argv[2];
	card = cardmark_card_size();
	tap_run(argv[1], "finds what is populated, and builds no page tables",
		finds_what_is_populated, end);
	tap_run(argv[1], "work grows with what is populated", work_grows_with_what_is_populated,
		end);
	return tap_status();
}
