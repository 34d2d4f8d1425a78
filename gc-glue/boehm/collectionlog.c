/* SPDX-License-Identifier: MIT
 *
 * CARDMARK_LOG: a line for each collection. The reporter writes it when the collection ends. */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOWEST_FD 200 /* out of the way of programs that count on small numbers */

static struct cm_gc_dest place;
static bool on, failed;
static struct {
	int fd; /* 0: none */
	pid_t pid;
	struct stat st;
} file;

/* ---- The file ---------------------------------------------------------------------------- */

static void say_failed(const char *name, const char *words)
{
	char text[640];

	failed = true;
	(void)snprintf(text, sizeof text, "the log cannot be written to %.400s: %.150s", name,
		       words);
	cm_gc_say("cardmark", text);
}

/* The program may have closed it, and the number may be another file's. */
static bool is_open(void)
{
	struct stat st;

	return file.fd > 0 && file.pid == getpid() && fstat(file.fd, &st) == 0 &&
	       st.st_dev == file.st.st_dev && st.st_ino == file.st.st_ino;
}

static int open_it(const char *name)
{
	bool again = file.fd > 0 && file.pid == getpid();
	int fd = cm_gc_file_open(name, O_APPEND | O_NONBLOCK | (again ? 0 : O_TRUNC)), high;

	if (fd < 0) {
		say_failed(name, cm_gc_file_words(errno));
		return -1;
	}
	high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
	if (high > 0) {
		close(fd);
		fd = high;
	}
	(void)fcntl(fd, F_SETFL, O_APPEND); /* a pipe's reader may be slow */
	file.fd = fd;
	file.pid = getpid();
	(void)fstat(fd, &file.st);
	return fd;
}

static int descriptor(char name[PATH_MAX])
{
	enum cm_gc_owner owner = cm_gc_owner();
	int fd;

	if (!cm_gc_dest_name(name, &place, owner == CM_GC_OTHER_PROGRAM || owner == CM_GC_FORKED))
		return -1;
	fd = cm_gc_file_descriptor(name);
	if (fd >= 0)
		return fd;
	return is_open() ? file.fd : open_it(name);
}

void cm_gc_log_start(void)
{
	cm_gc_dest_read(&place, "CARDMARK_LOG");
	if (strcmp(place.path, "-") == 0)
		cm_gc_keep_stdout();
	on = *place.path != '\0';
	if (place.too_long)
		say_failed(place.asked, "the name is too long");
	if (on && cm_gc_cycle_start() < 0) {
		on = false;
		say_failed(place.path, "no memory for it");
	}
}

bool cm_gc_log_is_on(void)
{
	return on && !failed;
}

/* ---- A line -------------------------------------------------------------------------------- */

static void put_over(struct cm_gc_out *o, const struct cm_gc_cycle_note *c)
{
	const char *before = "; over the target: ";

	for (int i = 0; i < CM_GC_OVER_COUNT; i++) {
		if (!c->over[i])
			continue;
		cm_gc_put(o, "%s%u %s", before, c->over[i], cm_gc_over_name((enum cm_gc_over)i));
		before = ", ";
	}
}

static void put_line(struct cm_gc_out *o, const struct cm_gc_cycle_note *c)
{
	uint64_t ms = (c->end - cm_gc_config.start_ns) / 1000000;
	char a[CM_GC_MS_ROOM], b[CM_GC_MS_ROOM], p[CM_GC_PH_COUNT][CM_GC_MS_ROOM];

	for (int ph = 0; ph < CM_GC_PH_COUNT; ph++)
		(void)cm_gc_ms_brief(p[ph], c->phase[ph]);
	cm_gc_put(o,
		  "cardmark[%ld] %llu.%03llu s: collection %llu, %s: %llu stop%s, %s ms, "
		  "longest %s (stopping %s, cards %s, marking %s, resuming %s); ",
		  (long)getpid(), (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000),
		  (unsigned long long)c->number, c->full ? "full" : "partial",
		  (unsigned long long)c->stops, c->stops == 1 ? "" : "s",
		  cm_gc_ms_brief(a, c->stopped_ns), cm_gc_ms_brief(b, c->longest_ns),
		  p[CM_GC_PH_STOP], p[CM_GC_PH_DIRTY], p[CM_GC_PH_MARK], p[CM_GC_PH_RESUME]);
	if (c->slices)
		cm_gc_put(o, "%llu slice%s, %s ms; ", (unsigned long long)c->slices,
			  c->slices == 1 ? "" : "s", cm_gc_ms_brief(a, c->slices_ns));
	cm_gc_put(o, "%llu dirty cards; heap %s MiB, %s free", (unsigned long long)c->cards,
		  cm_gc_mib_brief(a, c->heap), cm_gc_mib_brief(b, c->unused));
	put_over(o, c);
	cm_gc_put(o, "\n");
}

/* Whole lines: others may write there, too. */
static bool write_line(const struct cm_gc_cycle_note *c, uint64_t lost, char name[PATH_MAX])
{
	struct cm_gc_out o = { .fd = descriptor(name) };

	if (o.fd < 0)
		return false;
	if (lost)
		cm_gc_put(&o,
			  "cardmark[%ld] %llu collections are missing here: the log could not be "
			  "written fast enough\n",
			  (long)getpid(), (unsigned long long)lost);
	if (c)
		put_line(&o, c);
	cm_gc_flush(&o);
	if (o.error)
		say_failed(name, cm_gc_file_words(o.error));
	return o.error == 0;
}

void cm_gc_log_write(void)
{
	char name[PATH_MAX] = "";
	struct cm_gc_cycle_note c;
	struct cm_gc_guard g;
	uint64_t lost;
	bool more = true, good = true;

	if (!cm_gc_log_is_on() || cm_gc_owner() == CM_GC_NOBODY)
		return;
	cm_gc_guard(&g);
	while (more && good) {
		more = cm_gc_cycle_next(&c, &lost);
		if (more || lost)
			good = write_line(more ? &c : NULL, lost, name);
	}
	cm_gc_unguard(&g);
}
