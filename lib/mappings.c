/* SPDX-License-Identifier: MIT
 *
 * What the tracker asks about mappings: the kind of memory, and its protection. If it can't ask (no
 * /proc, no descriptor left), it takes the safe answer, or reports why there is none. */
#include "lib/errors.h"
#include "lib/os/os.h"
#include "lib/tracker.h"

#include <errno.h>
#include <sys/mman.h>

/* For memory that is tracked already, a mapping may show the protection that the backend set. The
 * range map has the program's protection. */
static void prefer_protection_of_tracked(const struct cardmark *cm, struct cm_range *piece)
{
	size_t i = cm_ranges_find(&cm->ranges, piece->start);

	if (i == cm->ranges.n || cm->ranges.v[i].start >= piece->end)
		return;
	if (cm->ranges.v[i].start > piece->start) {
		piece->end = cm->ranges.v[i].start;
		return;
	}
	if (cm->ranges.v[i].end < piece->end)
		piece->end = cm->ranges.v[i].end;
	if (!(piece->prot & PROT_WRITE))
		piece->prot = cm->ranges.v[i].prot;
}

static int fail_unmapped(uintptr_t at, uintptr_t end)
{
	return cm_fail(-ENOMEM, "cardmark_track: part of %#zx + %#zx is not mapped", (size_t)at,
		       (size_t)(end - at));
}

static int fail_shared(const struct cardmark *cm, uintptr_t at)
{
	return cm_fail(
		-EINVAL,
		"cardmark_track: shared or file memory at %#zx, which backend %s cannot watch",
		(size_t)at, cardmark_backend_name(cm->backend->ops->id));
}

/* The kind of [at, end) by the caller's flags. Without a flag only a backend that reports
 * everything anyway may go on. error: why the kind can't be looked up; 0 if there is no need to. */
static int take_on_trust(const struct cardmark *cm, unsigned flags, uintptr_t at, uintptr_t end,
			 int error, struct cm_range *out)
{
	unsigned caps = cm->backend->ops->capabilities;
	int covered;

	if (flags == 0 && (caps & CARDMARK_CAP_PRECISE))
		return cm_fail(error == -ENOENT ? -ENOTSUP : cm_closed_error(error),
			       "cardmark_track: what is mapped at %#zx is not known, because "
			       "/proc/self/maps cannot be read; pass CARDMARK_TRACK_PRIVATE or "
			       "CARDMARK_TRACK_FILE: %s",
			       (size_t)at, cm_errno_text(error));
	if ((flags & CARDMARK_TRACK_FILE) && !(caps & CARDMARK_CAP_SHARED))
		return fail_shared(cm, at);
	covered = cm_os->covered(at, end - at);
	if (covered == -ENOMEM)
		return fail_unmapped(at, end);
	if (covered < 0)
		return cm_fail(
			cm_closed_error(covered),
			"cardmark_track: msync(2) does not show whether %#zx + %#zx is mapped: %s",
			(size_t)at, (size_t)(end - at), cm_errno_text(covered));
	*out = (struct cm_range){ at, end,
				  flags & CARDMARK_TRACK_PRIVATE ? CM_KIND_PRIVATE : CM_KIND_FILE,
				  PROT_READ | PROT_WRITE };
	if (!(caps & CARDMARK_CAP_MPROTECT))
		prefer_protection_of_tracked(cm, out);
	return 0;
}

/* The piece of [at, end) in one mapping: its kind and protection. */
static int look_up(const struct cardmark *cm, unsigned flags, uintptr_t at, uintptr_t end,
		   struct cm_range *out)
{
	unsigned caps = cm->backend->ops->capabilities;
	struct cm_vma vma;
	int error = cm_os->vma_at(at, &vma);

	if (error < 0)
		return take_on_trust(cm, flags, at, end, error, out);
	if (vma.start > at)
		return cm_fail(-ENOMEM, "cardmark_track: nothing is mapped at %#zx", (size_t)at);
	if (vma.page_size > cardmark_card_size())
		return cm_fail(
			-ENOTSUP,
			"cardmark_track: there are huge TLB pages at %#zx, which cannot be tracked",
			(size_t)at);
	if ((vma.shared || vma.file) && !(caps & CARDMARK_CAP_SHARED))
		return fail_shared(cm, at);
	out->start = at;
	out->end = vma.end < end ? vma.end : end;
	out->kind = vma.shared || vma.file ? CM_KIND_FILE : CM_KIND_PRIVATE;
	out->prot = vma.prot;
	/* Only a backend that restores protection needs it; for other backends it would split
	 * ranges. */
	if (caps & CARDMARK_CAP_MPROTECT)
		out->prot = PROT_READ | PROT_WRITE;
	else
		prefer_protection_of_tracked(cm, out);
	return 0;
}

/* Goes through [start, end) mapping by mapping. */
int cm_tracker_next_piece(const struct cardmark *cm, unsigned flags, uintptr_t at, uintptr_t end,
			  struct cm_range *out)
{
	if (flags == 0 || !cm->backend->ops->tells_huge)
		return look_up(cm, flags, at, end, out);
	return take_on_trust(cm, flags, at, end, 0, out);
}

/* Does the piece have a shared mapping of a file that was opened for reading only? Then no write
 * can ever be allowed there. False if this can't be asked. */
static bool can_never_be_written(const struct cm_range *piece)
{
	struct cm_vma vma;

	for (uintptr_t at = piece->start; at < piece->end; at = vma.end)
		if (cm_os->vma_at(at, &vma) < 0)
			return false;
		else if (vma.start < piece->end && vma.shared && !(vma.prot & PROT_WRITE))
			return true;
	return false;
}

int cm_tracker_refused(const struct cardmark *cm, const struct cm_range *piece, int error)
{
	const char *name = cardmark_backend_name(cm->backend->ops->id);
	size_t start = (size_t)piece->start, len = (size_t)(piece->end - piece->start);

	switch (error) {
	case -EBUSY:
		return cm_fail(-EBUSY,
			       "cardmark_track: another tracker or userfaultfd has part of %#zx + "
			       "%#zx, another thread stays in the library, or the program has "
			       "closed the library's descriptors, which cannot be opened again "
			       "now",
			       start, len);
	case -ENOMEM:
		if (cm_os->covered(piece->start, len) == -ENOMEM)
			return fail_unmapped(piece->start, piece->end);
		return cm_fail(-ENOMEM,
			       "cardmark_track: %#zx + %#zx: out of memory, or this process has as "
			       "many mappings as vm.max_map_count allows: raise it with sysctl, or "
			       "track fewer and longer ranges",
			       start, len);
	case -EPERM:
		if (!can_never_be_written(piece))
			return cm_fail(-EPERM,
				       "cardmark_track: %#zx + %#zx: the kernel does not let "
				       "backend %s watch it (EPERM)",
				       start, len, name);
		return cm_fail(-EINVAL,
			       "cardmark_track: %#zx + %#zx is a shared mapping of a file that was "
			       "opened for reading only: it cannot be written",
			       start, len);
	case -EINVAL:
		return cm_fail(-EINVAL,
			       "cardmark_track: %#zx + %#zx is memory that backend %s cannot watch",
			       start, len, name);
	case -ENOTSUP:
		return cm_fail(-ENOTSUP,
			       "cardmark_track: there are huge TLB pages in %#zx + %#zx, which "
			       "cannot be tracked",
			       start, len);
	default:
		return cm_fail(cm_closed_error(error), "cardmark_track: %#zx + %#zx: %s", start,
			       len, cm_errno_text(error));
	}
}

/* Can there be anything else than private anonymous memory in [at, end)? The mask for files loses
 * nothing for any kind of memory. */
static bool may_have_file_memory(uintptr_t at, uintptr_t end)
{
	struct cm_vma vma;

	for (; at < end; at = vma.end) {
		if (cm_os->vma_at(at, &vma) < 0)
			return true;
		if (vma.start < end && (vma.shared || vma.file))
			return true;
	}
	return false;
}

/* Shared memory may have replaced private memory, and the mask for private memory loses writes to
 * shared memory once a page is reclaimed (R6). */
void cm_tracker_recheck(struct cardmark *cm)
{
	uintptr_t start = cm->counters.anew_start, end = cm->counters.anew_end;

	cm->counters.anew_start = cm->counters.anew_end = 0;
	for (size_t i = cm_ranges_find(&cm->ranges, start);
	     i < cm->ranges.n && cm->ranges.v[i].start < end; i++) {
		struct cm_range piece = cm_ranges_clip(&cm->ranges, i, start, end);
		if (piece.kind == CM_KIND_PRIVATE && may_have_file_memory(piece.start, piece.end))
			cm->ranges.v[i].kind = CM_KIND_FILE;
	}
}
