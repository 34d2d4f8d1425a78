/* SPDX-License-Identifier: MIT */
#include "lib/verify.h"

#include "lib/backend/entries.h"
#include "lib/errors.h"
#include "lib/os/os.h"
#include "lib/ranges.h"
#include "lib/zeropage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_CARDS 16
#define NAMED 10 /* misses reported one by one */

/* This much of the stack below and above a frame of ours may change in a collect. */
#define STACK_BELOW ((uintptr_t)64 << 10)
#define STACK_ABOVE ((uintptr_t)4 << 10)

/* ---- Open and close ------------------------------------------------------ */

void cm_verify_close_files(struct cm_verify *v)
{
	cm_file_close(&v->mem);
	cm_file_close(&v->pagemap);
}

/* Programs close descriptors they do not know. */
static int open_files(struct cm_verify *v)
{
	int error;

	if (cm_file_is_ours(&v->mem) && cm_file_is_ours(&v->pagemap))
		return 0;
	cm_verify_close_files(v);
	error = cm_file_take(&v->mem, cm_os->open_self("mem", O_RDONLY));
	return error < 0 ? error : cm_file_take(&v->pagemap, cm_os->open_self("pagemap", O_RDONLY));
}

static size_t buffer_bytes(void)
{
	return BUFFER_CARDS * cardmark_card_size();
}

int cm_verify_open(struct cm_verify *v, const struct cardmark_options *options)
{
	void *p;
	int error;

	v->mem = v->pagemap = CM_NO_FILE;
	v->on = options->verify == CARDMARK_VERIFY_HASH;
	v->concurrent = (options->flags & CARDMARK_OPEN_CONCURRENT) != 0;
	if (!v->on)
		return 0;
	if (cm_hashes_init(&v->hashes) < 0 || cm_os->map(buffer_bytes(), &p) < 0)
		return cm_fail(-ENOMEM, "cardmark_open: no memory for verify's hashes");
	v->buffer = p;
	v->zero = cm_hash(v->buffer, cardmark_card_size());
	error = open_files(v);
	return error < 0 ? cm_fail(cm_closed_error(error),
				   "cardmark_open: verify needs /proc/self/mem and "
				   "/proc/self/pagemap, but one of them cannot be opened: %s",
				   cm_errno_text(error))
			 : 0;
}

/* ---- Words on standard error ----------------------------------------------- */

struct text {
	char v[400];
	size_t n;
};

static void put(struct text *t, const char *s)
{
	size_t len = strlen(s), room = sizeof t->v - t->n;

	if (len > room)
		len = room;
	memcpy(t->v + t->n, s, len);
	t->n += len;
}

static void put_number(struct text *t, uint64_t value, unsigned base)
{
	char digits[24];
	size_t i = sizeof digits;

	digits[--i] = '\0';
	do
		digits[--i] = "0123456789abcdef"[value % base];
	while ((value /= base) != 0);
	put(t, base == 16 ? "0x" : "");
	put(t, digits + i);
}

static void put_where(struct text *t, const struct cm_backend *backend)
{
	char release[80];

	if (cm_os->release(release, sizeof release) < 0)
		release[0] = '\0';
	put(t, "backend ");
	put(t, cardmark_backend_name(backend->ops->id));
	put(t, ", kernel ");
	put(t, release);
	put(t, "\n");
}

/* The world may be stopped, and so the reader of a pipe: never wait. */
static void say(const struct text *t)
{
	struct pollfd to = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (cm_os->poll(&to, 1, 0) == 1 && to.revents == POLLOUT)
		(void)cm_os->write(STDERR_FILENO, t->v, t->n);
}

static void name_it(const struct cm_backend *backend, const struct cm_range *range, uintptr_t card)
{
	struct text t = { .n = 0 };

	put(&t, "cardmark: verify: ");
	put_number(&t, card, 16);
	put(&t, " changed and was not reported: range ");
	put_number(&t, range->start, 16);
	put(&t, " to ");
	put_number(&t, range->end, 16);
	put(&t, ", ");
	put_where(&t, backend);
	say(&t);
}

static void sum_up(const struct cm_backend *backend, const struct cardmark_stats *s)
{
	struct text t = { .n = 0 };

	put(&t, "cardmark: verify: ");
	put_number(&t, s->verify_checked, 10);
	put(&t, " cards checked, ");
	put_number(&t, s->verify_changed, 10);
	put(&t, " changed, ");
	put_number(&t, s->verify_missed, 10);
	put(&t, " of them missed, ");
	put_number(&t, s->verify_false, 10);
	put(&t, " false positives: ");
	put_where(&t, backend);
	say(&t);
}

void cm_verify_close(struct cm_verify *v, const struct cm_backend *backend,
		     const struct cardmark_stats *stats)
{
	if (!v->on)
		return;
	if (stats->verify_missed != 0)
		sum_up(backend, stats);
	cm_verify_close_files(v);
	cm_hashes_free(&v->hashes);
	if (v->buffer != NULL)
		(void)cm_os->unmap(v->buffer, buffer_bytes());
}

/* ---- What is known ----------------------------------------------------------- */

int cm_verify_reserve(struct cm_verify *v, uintptr_t start, uintptr_t end)
{
	return v->on ? cm_hashes_reserve(&v->hashes, start, end) : 0;
}

void cm_verify_forget(struct cm_verify *v, uintptr_t start, uintptr_t end)
{
	if (!v->on)
		return;
	cm_cards_clear(&v->known, start, end);
	cm_cards_clear(&v->held, start, end);
}

static void remember(struct cm_verify *v, uintptr_t card, uint64_t hash)
{
	uintptr_t end = card + cardmark_card_size();

	cm_cards_set(&v->known, card, end);
	if (hash != 0) {
		*cm_hashes_at(&v->hashes, card) = hash;
		cm_cards_set(&v->held, card, end);
	} else {
		cm_cards_clear(&v->held, card, end);
	}
}

static uint64_t remembered(const struct cm_verify *v, uintptr_t card)
{
	return cm_cards_test(&v->held, card) ? *cm_hashes_at(&v->hashes, card) : 0;
}

/* ---- One collect -------------------------------------------------------------- */

struct look {
	struct cm_verify *v;
	const struct cm_verified *of;
	struct cm_cards *report;
	const struct cm_range *range;
	uintptr_t frame; /* of ours, on the stack */
	uint64_t missed;
	struct cm_entries entries;
};

/* Has a card that changed been emptied (R7)? Then it holds nothing or, after a read, the zero page
 * or the page of a privately mapped file. Also true if this cannot be known. */
static bool is_emptied(struct look *l, uintptr_t card, uint64_t hash, bool hole)
{
	bool of_file = l->range->kind == CM_KIND_FILE;
	uint64_t entry;
	uint64_t at = card / cardmark_card_size() * sizeof entry;
	struct cm_vma vma;

	if (hole ||
	    cm_os->pread(l->v->pagemap.fd, &entry, sizeof entry, at) != (ssize_t)sizeof entry)
		return true;
	if (hash == 0)
		return of_file || (entry & CM_PME_EXCLUSIVE) == 0 ||
		       (l->of->backend->ops->ignores_zero_page &&
			!cm_zero_page_is_shared(l->v->pagemap.fd));
	return of_file && (entry & CM_PME_FILE) != 0 &&
	       (cm_os->vma_at(card, &vma) < 0 || !vma.shared);
}

/* Does the backend call the card written, so that the next report has it? Also true if the backend
 * cannot find out, because then it will report the card. */
static bool is_written(struct look *l, uintptr_t card)
{
	static const struct cm_masks written = { .required = CARDMARK_PAGE_WRITTEN };
	struct cm_backend *b = l->of->backend;
	struct cm_range piece = *l->range;
	struct cm_sink sink = { .max_pages = SIZE_MAX };
	uintptr_t resume;

	piece.start = card;
	piece.end = card + cardmark_card_size();
	b->ops->scan(b, l->of->ranges, &piece, &written, CARDMARK_SCAN_GET, &sink, &resume);
	return sink.pages != 0 || sink.guessed;
}

/* A card that changed and is not in the report: may it be in the next one? */
static bool owed(struct look *l, uintptr_t card, bool emptied)
{
	uintptr_t end = card + cardmark_card_size();

	/* The stack we are on is tracked. */
	if (end > l->frame - STACK_BELOW && card < l->frame + STACK_ABOVE)
		return true;
	if (!l->v->concurrent)
		return false;
	if (emptied && cm_cards_test(l->of->populated, card))
		return true;
	return is_written(l, card);
}

static void miss(struct look *l, uintptr_t card)
{
	struct cardmark_stats *s = l->of->stats;

	if (s->verify_missed++ == 0)
		s->verify_first_missed = card;
	if (s->verify_missed <= NAMED)
		name_it(l->of->backend, l->range, card);
	l->missed++;
	cm_cards_set(l->report, card, card + cardmark_card_size());
}

/* If a card was written since the harvest and is not in the report, it is in the next one, unless
 * it is emptied first. */
static void remember_if_sure(struct look *l, uintptr_t card, uint64_t hash, bool reported)
{
	if (reported || !l->v->concurrent || !is_written(l, card))
		remember(l->v, card, hash);
	else
		cm_verify_forget(l->v, card, card + cardmark_card_size());
}

/* hash: of what the card holds now; hole: no page at all. */
static void compare(struct look *l, uintptr_t card, uint64_t hash, bool hole)
{
	struct cm_verify *v = l->v;
	struct cardmark_stats *s = l->of->stats;
	bool reported = cm_cards_test(l->report, card);
	bool emptied;

	if (!cm_cards_test(&v->known, card)) {
		remember_if_sure(l, card, hash, reported);
		return;
	}
	if (hash == remembered(v, card)) {
		s->verify_false += reported;
		return;
	}
	emptied = !reported && is_emptied(l, card, hash, hole);
	if (!reported && !cm_cards_test(&v->excused, card) &&
	    !(emptied && !l->of->discard_is_write)) {
		if (owed(l, card, emptied))
			return;
		miss(l, card);
	}
	/* An emptied card is not written, unless emptied cards count as written. */
	s->verify_changed += !emptied || l->of->discard_is_write;
	remember_if_sure(l, card, hash, reported);
}

/* [start, end) has no pages. */
static void look_at_hole(struct look *l, uintptr_t start, uintptr_t end)
{
	struct cm_verify *v = l->v;
	size_t card = cardmark_card_size();
	struct cardmark_run run;

	/* The file's content is not known without reading it in. */
	if (l->range->kind == CM_KIND_FILE) {
		cm_verify_forget(v, start, end);
		return;
	}
	for (uintptr_t at = start; cm_cards_next(l->report, at, &run) && run.start < end;
	     at = run.end)
		for (uintptr_t c = run.start; c < run.end && c < end; c += card)
			l->of->stats->verify_false +=
				cm_cards_test(&v->known, c) && !cm_cards_test(&v->held, c);
	for (uintptr_t at = start; cm_cards_next(&v->held, at, &run) && run.start < end;
	     at = run.end)
		for (uintptr_t c = run.start; c < run.end && c < end; c += card)
			compare(l, c, 0, true);
	cm_cards_set(&v->known, start, end);
}

/* [start, end) has pages. Read through a descriptor, so that protection does not matter, and memory
 * that goes away meanwhile gives an error instead of a signal. */
static void look_at_pages(struct look *l, uintptr_t start, uintptr_t end)
{
	struct cm_verify *v = l->v;
	size_t card = cardmark_card_size();

	while (start < end) {
		size_t want = end - start < buffer_bytes() ? end - start : buffer_bytes();
		ssize_t got = cm_os->pread(v->mem.fd, v->buffer, want, start);
		size_t good = got > 0 && (size_t)got <= want ? (size_t)got / card * card : 0;

		for (size_t i = 0; i < good; i += card)
			compare(l, start + i, cm_hash(v->buffer + i, card) ^ v->zero, false);
		l->of->stats->verify_checked += good / card;
		start += good;
		if (good == 0) { /* this one can't be read */
			cm_verify_forget(v, start, start + card);
			start += card;
		}
	}
}

static void look_at_range(struct look *l, const struct cm_range *range)
{
	/* In shared or file memory, a marker in the page table reads as swapped; reading that
	 * address would make a page. */
	uint64_t data = range->kind == CM_KIND_FILE ? CM_PME_PRESENT : 0;
	uintptr_t at = range->start;
	struct cardmark_run run;
	int found;

	l->range = range;
	do {
		found = cm_entries_next(&l->entries, at, range->end, data, data, &run);
		if (found == 0)
			run.start = range->end;
		look_at_hole(l, at, run.start);
		if (found < 0)
			cm_verify_forget(l->v, run.start, range->end);
		if (found > 0)
			look_at_pages(l, run.start, run.end);
		at = run.end;
	} while (found > 0 && at < range->end);
}

size_t cm_verify_compare(struct cm_verify *v, const struct cm_verified *of,
			 struct cardmark_run span, struct cm_cards *report)
{
	struct look l = { .v = v, .of = of, .report = report };

	l.frame = (uintptr_t)__builtin_frame_address(0);
	if (open_files(v) < 0) {
		/* This report goes by unchecked, so the next one can't be checked. */
		cm_cards_clear_all(&v->known);
		cm_cards_clear_all(&v->held);
	} else {
		cm_entries_init(&l.entries, v->pagemap.fd, &v->counters);
		for (size_t i = cm_ranges_find(of->ranges, span.start);
		     i < of->ranges->n && of->ranges->v[i].start < span.end; i++) {
			struct cm_range range = cm_ranges_clip(of->ranges, i, span.start, span.end);

			look_at_range(&l, &range);
		}
	}
	cm_cards_clear(&v->excused, span.start, span.end);
	return (size_t)l.missed;
}
