/* SPDX-License-Identifier: MIT
 *
 * Way A: libgc's soft-dirty mode (SOFT_VDB in os_dep.c, 8.2.0 to 8.2.x),
 * answered from our tracker. libgc opens /proc/PID/clear_refs and pagemap, and
 * with the world stopped reads the entry of every page of its heap and static
 * roots (aligned down and read ahead: a superset), then writes "4\n" to
 * clear_refs. That is one pass; a full collection only writes.
 *
 * We harvest at the first read of a pass and answer all of it from the table,
 * as the same page may be read twice. What the pass read is cleared at its end.
 *
 * Bare system calls: the C library's are cancellation points, and libgc holds its lock. */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SOFT_DIRTY (UINT64_C(1) << 55)
#define LOWEST_FD 200 /* out of the way of programs that count on small numbers */

/* The descriptors are real, but serve only to reserve their numbers. A descriptor is known by its
 * number; the inode shows whether it is still ours. */
struct stand_in {
	int fd;
	dev_t dev;
	ino_t ino;
};
static struct stand_in clear_refs = { .fd = -1 }, pagemap = { .fd = -1 };
static bool opened;

static off_t position;
static bool pass_open;
static struct cm_gc_ranges seen; /* read in this pass */
static bool seen_lost;
static bool all_seen;                   /* it was all that is tracked */
static bool still_dirty;                /* for the walk, it is not cleared in the table */
static const struct cardmark_run *left; /* of the pass before, not marked from since */
static size_t left_n;

/* Without a descriptor libgc would use its own mprotect mode, which does not work with our slots
 * and loses objects. So if no descriptor can be opened, or recognised as ours, libgc gets a number
 * that no descriptor has: all of its calls with that number are answered here. */
static int make_stand_in(struct stand_in *s)
{
	struct stat st;
	int fd = (int)syscall(SYS_memfd_create, "cardmark-libgc", 1u /* MFD_CLOEXEC */), high;

	*s = (struct stand_in){ .fd = s == &pagemap ? INT_MAX - 1 : INT_MAX - 2 };
	if (fd < 0)
		return s->fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
	if (high >= 0) {
		(void)syscall(SYS_close, fd);
		fd = high;
	}
	if (fstat(fd, &st) == 0)
		*s = (struct stand_in){ fd, st.st_dev, st.st_ino };
	else
		(void)syscall(SYS_close, fd);
	return s->fd;
}

static bool ours(const struct stand_in *s)
{
	struct stat st;

	return fstat(s->fd, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

/* "/proc/<number or self>/<name>" */
static bool is_proc(const char *path, const char *name)
{
	const char *last = strrchr(path, '/');

	return strncmp(path, "/proc/", 6) == 0 && last && strcmp(last + 1, name) == 0;
}

int cm_gc_hook_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	int fd;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (cm_gc_config.way == CARDMARK_GC_WAY_A && is_proc(path, "clear_refs"))
		return make_stand_in(&clear_refs);
	if (cm_gc_config.way == CARDMARK_GC_WAY_A && is_proc(path, "pagemap")) {
		opened = true;
		pass_open = false;
		return make_stand_in(&pagemap);
	}
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0 && (fd == clear_refs.fd || fd == pagemap.fd)) {
		/* The program closed ours and the number was given out again. */
		int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);

		(void)syscall(SYS_close, fd);
		fd = other;
	}
	return fd;
}

int cm_gc_hook_close(int fd)
{
	struct stand_in *s = fd < 0                ? NULL
			     : fd == clear_refs.fd ? &clear_refs
			     : fd == pagemap.fd    ? &pagemap
						   : NULL;
	bool mine;

	if (!s)
		return (int)syscall(SYS_close, fd);
	mine = ours(s);
	s->fd = -1;
	return mine ? (int)syscall(SYS_close, fd) : 0;
}

bool cm_gc_waya_opened(void)
{
	return opened;
}

off_t cm_gc_hook_lseek(int fd, off_t off, int whence)
{
	if (fd < 0 || fd != pagemap.fd)
		return lseek(fd, off, whence);
	position = whence == SEEK_CUR ? position + off : off;
	return position;
}

/* libgc 8.2 makes a pass, in GC_enable_incremental(), while other threads run, and throws the
 * answer away (GC_read_dirty(FALSE) in misc.c, then the next stop reads anew). A harvest then
 * would lose what is written meanwhile, with a backend that reads and clears in two steps
 * (softdirty, R11), and what is thrown away must be reported again: so in such a pass nothing
 * is harvested, nothing is cleared, and all of it is dirty. */
static bool world_runs(void)
{
	return cm_gc_api.threads && !cm_gc_world_stopped;
}

void cm_gc_waya_begins(void)
{
	/* Still open: a jump ended the pass before. Its harvest stays in the table, but its answers
	 * must not serve another pass. */
	pass_open = false;
	cm_gc_walk_begins();
}

static void clear_seen(void)
{
	if (all_seen)
		cardmark_table_clear(cm_gc_heap.table);
	else
		for (size_t i = 0; i < seen.n; i++)
			cardmark_table_clear_range(cm_gc_heap.table, (void *)seen.v[i].start,
						   seen.v[i].end - seen.v[i].start);
}

static void begin_pass(void)
{
	if (pass_open)
		return;
	pass_open = true;
	if (still_dirty && !cm_gc_walk_unfinished())
		clear_seen();
	still_dirty = false;
	seen.n = 0;
	seen_lost = false;
	if (cm_gc_heap.cm)
		cardmark_collect(cm_gc_heap.cm, cm_gc_heap.table);
	left_n = cm_gc_large_begin(&left);
}

/* Entries of pages [from, to) of the window: the loops below run over millions in a
 * stop, and division by a card size that the compiler does not know shows. */
static void put_entries(uint64_t *entries, size_t from, size_t to, uint64_t entry)
{
	for (size_t i = from; i < to; i++)
		entries[i] = entry;
}

/* The tracked range [start, end), all of it in the window. */
static uint64_t answer(uint64_t *entries, uintptr_t window, uintptr_t start, uintptr_t end)
{
	unsigned shift = (unsigned)__builtin_ctzl(cardmark_card_size());
	struct cardmark_run run;
	uint64_t dirty = 0;

	put_entries(entries, (start - window) >> shift, (end - window) >> shift, ENTRY_PRESENT);
	for (uintptr_t at = start; cardmark_table_next(cm_gc_heap.table, at, end, &run);
	     at = run.end) {
		size_t from = (run.start - window) >> shift;
		size_t to = (run.end - window) >> shift;

		for (size_t i = from; i < to; i++) {
			if (cm_gc_test_drop())
				continue;
			dirty++;
			if (!cm_gc_large_keep(window + (i << shift)))
				entries[i] = ENTRY_PRESENT | ENTRY_SOFT_DIRTY;
		}
	}
	return dirty;
}

static uint64_t fill(uint64_t *entries, size_t n, uintptr_t window)
{
	const struct cm_gc_ranges *t = &cm_gc_heap.tracked;
	size_t card = cardmark_card_size(), i = cm_gc_ranges_from(t, window);
	uintptr_t end = window + n * card, at = window;
	uint64_t dirty = 0;

	for (; i < t->n && t->v[i].start < end; i++) {
		uintptr_t from = t->v[i].start > window ? t->v[i].start : window;
		uintptr_t to = t->v[i].end < end ? t->v[i].end : end;

		put_entries(entries, (at - window) / card, (from - window) / card,
			    ENTRY_PRESENT | ENTRY_SOFT_DIRTY);
		dirty += answer(entries, window, from, to);
		at = to;
	}
	put_entries(entries, (at - window) / card, n, ENTRY_PRESENT | ENTRY_SOFT_DIRTY);
	for (size_t k = 0; k < left_n; k++)
		if (left[k].start < end && left[k].end > window)
			put_entries(entries,
				    ((left[k].start > window ? left[k].start : window) - window) /
					    card,
				    ((left[k].end < end ? left[k].end : end) - window + card - 1) /
					    card,
				    ENTRY_PRESENT | ENTRY_SOFT_DIRTY);
	return dirty;
}

ssize_t cm_gc_hook_read(int fd, void *buf, size_t len)
{
	int saved = errno;
	uint64_t t, dirty;
	uintptr_t window;
	size_t n = len / sizeof(uint64_t);

	if (fd < 0 || fd != pagemap.fd)
		return syscall(SYS_read, fd, buf, len);
	t = cm_now_ns();
	window = (uintptr_t)position / sizeof(uint64_t) * cardmark_card_size();
	if (world_runs()) {
		put_entries(buf, 0, n, ENTRY_PRESENT | ENTRY_SOFT_DIRTY);
		dirty = n;
	} else {
		begin_pass();
		dirty = fill(buf, n, window);
		if (cm_gc_ranges_add(&seen, window, window + n * cardmark_card_size()) != 0)
			seen_lost = true;
	}
	position += (off_t)(n * sizeof(uint64_t));
	cm_gc_record_dirty(cm_now_ns() - t, dirty);
	errno = saved;
	return (ssize_t)(n * sizeof(uint64_t));
}

ssize_t cm_gc_hook_read_chk(int fd, void *buf, size_t len, size_t room)
{
	(void)room; /* libgc reads into buffers whose size it knows */
	return cm_gc_hook_read(fd, buf, len);
}

static bool was_read(uintptr_t start, uintptr_t end)
{
	return cm_gc_ranges_cover(&seen, start, end);
}

static void end_pass(void)
{
	const struct cm_gc_ranges *t = &cm_gc_heap.tracked;
	struct cardmark_table *table = cm_gc_heap.table;

	if (!cm_gc_heap.cm)
		return;
	if (world_runs())
		return;
	if (!pass_open) { /* full collection: marks everything anyway */
		cm_gc_record_set_full();
		cm_gc_large_forget();
		cm_gc_roots_pass(NULL);
		/* Memory that libgc did not ask for stays dirty. */
		if (!cm_gc_growth_bare()) {
			cardmark_collect(cm_gc_heap.cm, table);
			cardmark_table_clear(table);
		}
		cm_gc_walk_forget();
		still_dirty = false;
	} else {
		cm_gc_roots_pass(seen_lost ? NULL : &seen);
		all_seen = !seen_lost;
		for (size_t i = 0; i < t->n; i++)
			all_seen =
				all_seen && cm_gc_ranges_cover(&seen, t->v[i].start, t->v[i].end);
		still_dirty = cm_gc_walk_take(left, left_n, cm_gc_large_in_front());
		if (!still_dirty)
			clear_seen();
	}
	pass_open = false;
	cm_gc_roots_sync();
	cm_gc_heap_settle(was_read);
}

ssize_t cm_gc_hook_write(int fd, const void *buf, size_t len)
{
	int saved = errno;
	uint64_t t;

	if (fd < 0 || fd != clear_refs.fd)
		return syscall(SYS_write, fd, buf, len);
	t = cm_now_ns();
	end_pass();
	cm_gc_wipe_stack();
	cm_gc_record_dirty(cm_now_ns() - t, 0);
	errno = saved;
	return (ssize_t)len;
}
