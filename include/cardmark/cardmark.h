/* SPDX-License-Identifier: MIT
 *
 * libcardmark: which pages of a heap were written since I last asked?
 *
 * A tracker watches ranges of this process's memory. A card is one page
 * (cardmark_card_size() bytes). The contract, for every backend:
 *
 *   Sound   If you ask twice, the second answer has each card that was written
 *           in between, even if something failed. Over-reporting is allowed,
 *           under-reporting never; every failure means "all dirty". A backend
 *           that cannot see some kind of write declares it in its capabilities.
 *   Quiet   Calls that may run while the world is stopped use no malloc and no
 *           stdio, and do not wait for a lock that a stopped thread could hold.
 *   Honest  It names the backend in use, reports why better ones are not in use,
 *           and counts everything that it had to guess.
 *
 * Errors are negative errno values from this closed list:
 *   -EINVAL   an argument is wrong; cardmark_last_error() has which and why
 *   -ENOMEM   memory, descriptors or mappings ran out, or the range has a hole
 *   -ENOTSUP  this backend or this kernel cannot do it
 *   -EPERM    the kernel does not allow this process to use what the call needs
 *   -ENOENT   nothing tracked or held there, no such process or backend
 *   -EBUSY    another tracker or thread has what this call needs
 *   -EIO      the kernel failed in a way that fits none of the above
 *
 * Structs that begin with their size are set up by their _INIT macro. A program and a library
 * of different releases then work together: fields that one of them does not know have their
 * default, or are 0 in an answer. If a program uses a field that is newer than the library, the
 * call returns -EINVAL.
 *
 * A pointer must not be NULL unless the comment of the call allows it.
 *
 * Units: addresses and lengths are bytes, counts are cards, times nanoseconds.
 * Calls on one tracker may come from any thread; they take turns. Calls on
 * different trackers are independent. No call is a cancellation point. No call but open and probe
 * needs more than 9 KiB of stack (13 KiB if clang built the library). "May run while the world is
 * stopped" in a comment also promises that the call returns (with everything dirty, or -EBUSY) if a
 * stopped thread is inside the library.
 */
#ifndef CARDMARK_CARDMARK_H
#define CARDMARK_CARDMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#if defined(__GNUC__)
/* g++ warns that a function hides the constructor of a struct of that name. Here it may. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#endif

#if defined(__GNUC__)
#define CARDMARK_API __attribute__((visibility("default")))
#else
#define CARDMARK_API
#endif

/* The version of this header; cardmark_version() has that of the library in use. */
#define CARDMARK_VERSION_MAJOR 0
#define CARDMARK_VERSION_MINOR 2
#define CARDMARK_VERSION_PATCH 0
/* One number, for #if: CARDMARK_VERSION >= CARDMARK_VERSION_NUMBER(0, 2, 0). */
#define CARDMARK_VERSION_NUMBER(major, minor, patch) ((major)*10000 + (minor)*100 + (patch))
#define CARDMARK_VERSION                                                                           \
	CARDMARK_VERSION_NUMBER(CARDMARK_VERSION_MAJOR, CARDMARK_VERSION_MINOR,                    \
				CARDMARK_VERSION_PATCH)

/* Backends. The numbers are names and never change; a higher number is not a better backend.
 * AUTO takes the first that works in the order of cardmark_probe(). */
enum cardmark_backend {
	CARDMARK_BACKEND_AUTO = 0,
	CARDMARK_BACKEND_PAGEMAP = 1,   /* async userfaultfd-wp + PAGEMAP_SCAN, Linux 6.7 */
	CARDMARK_BACKEND_SOFTDIRTY = 2, /* /proc/self/clear_refs, kernel option */
	CARDMARK_BACKEND_UFFD = 3,      /* sync userfaultfd-wp and a monitor thread, 5.14 */
	CARDMARK_BACKEND_MPROTECT = 4,  /* mprotect and SIGSEGV */
	CARDMARK_BACKEND_ALLDIRTY = 5   /* everything, always: the reference and last resort */
};

/* What a backend can do. A missing bit is a documented difference. */
enum cardmark_capability {
	CARDMARK_CAP_PRECISE = 1 << 0,       /* reports less than everything */
	CARDMARK_CAP_CONCURRENT = 1 << 1,    /* get-and-clear is sound while mutators write */
	CARDMARK_CAP_KERNEL_WRITES = 1 << 2, /* read(2) into a clean card works and is reported */
	CARDMARK_CAP_REMAP = 1 << 3,    /* notices a new mapping in a tracked piece: it is dirty */
	CARDMARK_CAP_MPROTECT = 1 << 4, /* the program may mprotect tracked memory */
	CARDMARK_CAP_NO_TRAP = 1 << 5,  /* no signal and no helper thread: may track any data */
	CARDMARK_CAP_SHARED = 1 << 6,   /* shared and file-backed memory too */
	CARDMARK_CAP_CATEGORIES =
		1 << 7 /* every category of the scan query, not only WRITTEN.. SWAPPED */
};

/* Page categories of the scan query; the values are Linux's PAGE_IS_*. */
#define CARDMARK_PAGE_WPALLOWED (UINT64_C(1) << 0)
#define CARDMARK_PAGE_WRITTEN (UINT64_C(1) << 1)
#define CARDMARK_PAGE_FILE (UINT64_C(1) << 2)
#define CARDMARK_PAGE_PRESENT (UINT64_C(1) << 3)
#define CARDMARK_PAGE_SWAPPED (UINT64_C(1) << 4)
#define CARDMARK_PAGE_PFNZERO (UINT64_C(1) << 5)
#define CARDMARK_PAGE_HUGE (UINT64_C(1) << 6)
#define CARDMARK_PAGE_SOFT_DIRTY (UINT64_C(1) << 7)
#define CARDMARK_PAGE_GUARD (UINT64_C(1) << 8)
#define CARDMARK_PAGE_ALL UINT64_C(0x1ff)

/* Opaque. */
struct cardmark;
struct cardmark_table;
struct cardmark_consumer;

/* ---- About the library ------------------------------------------------- */

/* "1.2.3". Static storage. */
CARDMARK_API const char *cardmark_version(void);

/* Bytes in a card: the page size of this process. A power of two. */
CARDMARK_API size_t cardmark_card_size(void);

/* A short text for an error of the closed list (either sign). Never NULL. */
CARDMARK_API const char *cardmark_strerror(int error);

/* The reason of this thread's last failing call, in words; "" if no call has failed. The adapters
 * (gc.h, jemalloc.h) and this library share the text. Valid until this thread's next failing call;
 * a call that succeeds leaves it as it is. */
CARDMARK_API const char *cardmark_last_error(void);

/* "auto", "pagemap", "softdirty", "uffd", "mprotect", "alldirty"; NULL if
 * there is no such backend. */
CARDMARK_API const char *cardmark_backend_name(enum cardmark_backend backend);

/* The backend of that name. -EINVAL: unknown name. */
CARDMARK_API int cardmark_backend_parse(const char *name, enum cardmark_backend *out);

/* ---- Probe --------------------------------------------------------------- */

struct cardmark_probe {
	size_t size; /* set by _INIT */
	enum cardmark_backend backend;
	bool usable;
	/* This kernel is known to lose writes in a way that no trial shows (Linux before 6.9 could
	 * lose dirty bits in the scan itself; fixed by c70dce4982ce). The automatic choice never
	 * takes the backend then; ask for it by name. */
	bool suspect;
	/* 0 unusable, 1 all dirty, 2 traps, 3 kernel bits that need stopped
	 * writers, 4 atomic get-and-clear, 5 the same with guard pages known */
	unsigned level;
	unsigned capabilities; /* enum cardmark_capability */
	uint64_t categories;   /* CARDMARK_PAGE_* that a scan can answer */
	char reason[256];      /* why it cannot be used, or its main properties, in words */
};

#define CARDMARK_PROBE_INIT                                                                        \
	{                                                                                          \
		sizeof(struct cardmark_probe), CARDMARK_BACKEND_AUTO, false, false, 0, 0, 0, ""    \
	}

/* Tries a backend on a few scratch pages (by behaviour, never by kernel version) and describes it.
 * Index 0 is the best backend; the others follow in order of preference:
 *
 *	struct cardmark_probe probe = CARDMARK_PROBE_INIT;
 *	for (unsigned i = 0; cardmark_probe(i, &probe) == 0; i++)
 *		puts(probe.reason);
 *
 * The trial runs once per process, and its result is kept. The first call for a backend
 * maps memory and opens descriptors; it may start and end a thread, and replace the SIGSEGV
 * handler for an instant. Not while the world is stopped. -ENOENT there are no more; -EINVAL
 * the struct's size. */
CARDMARK_API int cardmark_probe(unsigned index, struct cardmark_probe *out);

/* ---- Open and close ------------------------------------------------------ */

enum cardmark_open_flags {
	/* Get-and-clear will run while mutators write. The automatic choice then leaves out
	 * backends that need them stopped, and a long collect or scan rests now and then, so that
	 * other threads' mmap and munmap get through. */
	CARDMARK_OPEN_CONCURRENT = 1 << 0,
	/* The environment is not looked at. */
	CARDMARK_OPEN_NO_ENV = 1 << 1,
	/* Remember which cards held data, so that cardmark_discarded() can find those that were
	 * emptied. This costs a bit for each card, and time in each collect for each written
	 * card. */
	CARDMARK_OPEN_DISCARDS = 1 << 2,
	/* A card that was emptied counts as written: for snapshots, where zero is a
	 * change. A collector does not need it: a zero page holds no pointers. Includes DISCARDS.
	 * Each collect then looks at all cards that hold data. A card of file or shared memory is
	 * then reported twice, and each time while its page is not in memory (dropped, or swapped
	 * out); cardmark_discarded() does not repeat it. */
	CARDMARK_OPEN_DISCARD_IS_WRITE = 1 << 3
};

/* What to do about transparent huge pages in ranges that are tracked. */
enum cardmark_huge {
	CARDMARK_HUGE_KEEP = 0, /* nothing: the first write to an armed one splits it (20 us) */
	/* Split what is there when it is tracked. Until the first collect arms a card, khugepaged
	 * may make a huge page of it again: that costs the 20 us, and nothing is lost. */
	CARDMARK_HUGE_SPLIT = 1,
	CARDMARK_HUGE_NEVER = 2 /* and let the kernel make no new ones there */
};

enum cardmark_verify {
	CARDMARK_VERIFY_DEFAULT = 0, /* off, or as CARDMARK_VERIFY is set */
	CARDMARK_VERIFY_OFF = 1,
	/* Keep a hash of each card, and compare at each collect. A card that changed and was not
	 * reported is named on standard error (the first 10), counted, and added to the report.
	 * Slow: each collect reads all tracked memory that holds data. With
	 * CARDMARK_OPEN_CONCURRENT, a change may also be in the report that follows. */
	CARDMARK_VERIFY_HASH = 2
};

struct cardmark_options {
	size_t size; /* set by _INIT */
	enum cardmark_backend backend;
	unsigned flags;     /* enum cardmark_open_flags */
	size_t chunk_bytes; /* longest piece given to one kernel call; other threads'
			     * mmap and munmap wait for its end (64 MiB) */
	size_t vec_len;     /* regions fetched by one kernel call, 8..65536 (512) */
	/* Threads that take part in a collect, the caller among them: 1..64 (1). More
	 * than one is for backends with CARDMARK_CAP_NO_TRAP and
	 * CARDMARK_CAP_CONCURRENT, and ignored elsewhere. More are not always faster:
	 * measure with cardmark bench lock-wait. */
	unsigned threads;
	enum cardmark_huge huge;
	enum cardmark_verify verify;
	/* Cards in long runs that were dirty at three collects in a row are reported for this
	 * many more collects without asking the kernel. That saves a fault for each card. Then
	 * the kernel is asked again. 0: it is asked each time. Too much may be reported, never too
	 * little. For backends with CARDMARK_CAP_CONCURRENT, ignored elsewhere. */
	unsigned backoff;
};

#define CARDMARK_OPTIONS_INIT                                                                      \
	{                                                                                          \
		sizeof(struct cardmark_options), CARDMARK_BACKEND_AUTO, 0, 0, 0, 0,                \
			CARDMARK_HUGE_KEEP, CARDMARK_VERIFY_DEFAULT, 0                             \
	}

/* Opens a tracker. options may be NULL; zero fields mean the default. The
 * environment (CARDMARK_BACKEND, CARDMARK_CHUNK, CARDMARK_VEC, CARDMARK_THREADS,
 * CARDMARK_HUGE, CARDMARK_VERIFY, CARDMARK_BACKOFF) overrides the options, so that a user can
 * choose for a program without rebuilding it. An empty variable counts as not set. A set-user-ID
 * program ignores them. AUTO takes the best backend that can be opened now; cardmark_describe()
 * reports why better ones cannot. If a backend asked for by name cannot be opened, the call fails;
 * it never takes another. Freed by cardmark_close(). Not while the world is stopped. -EINVAL bad
 * option or environment; -ENOTSUP or -EPERM that backend cannot work here (cardmark_last_error()
 * has the probe's reason); -EBUSY only one softdirty tracker fits in a process; -ENOMEM. */
CARDMARK_API int cardmark_open(struct cardmark **out, const struct cardmark_options *options);

/* Ends tracking, frees the tracker and detaches its tables, and sets *cm to
 * NULL. NULL and pointer to NULL are fine. Unregisters before it closes, because otherwise pages
 * stay protected before Linux 6.9. Not while the world is stopped. */
CARDMARK_API void cardmark_close(struct cardmark **cm);

struct cardmark_description {
	size_t size;                   /* set by _INIT */
	enum cardmark_backend backend; /* in use */
	unsigned capabilities;         /* enum cardmark_capability */
	/* Why no better backend is in use; "" if this is the best one. Lives as long as
	 * the tracker. */
	const char *why_no_better;
};

#define CARDMARK_DESCRIPTION_INIT                                                                  \
	{                                                                                          \
		sizeof(struct cardmark_description), CARDMARK_BACKEND_AUTO, 0, ""                  \
	}

/* Which backend this tracker has, and why. The answer is the same as long as it is open. May run
 * while the world is stopped. -EINVAL the struct's size. */
CARDMARK_API int cardmark_describe(const struct cardmark *cm, struct cardmark_description *out);

/* ---- Ranges ---------------------------------------------------------------- */

enum cardmark_track_flags {
	/* The caller knows the kind of memory, which saves the library a look-up in
	 * /proc/self/maps. If that file can't be opened, track fails without one of these flags.
	 * Backend mprotect still looks if it can (for the protection); if it cannot, it assumes
	 * that the memory is readable, writable and not executable. PRIVATE: private anonymous
	 * memory. FILE: anything else (a file's private pages, shared memory). PRIVATE for shared
	 * memory loses writes. Two kernel bugs (seen on 6.18) concern FILE with backend pagemap:
	 * MADV_GUARD_INSTALL on memory that is tracked never returns, nor does mlock(2) over a hole
	 * punched into a disk file. */
	CARDMARK_TRACK_PRIVATE = 1 << 0,
	CARDMARK_TRACK_FILE = 1 << 1
};

/* Starts tracking [addr, addr + len). Until its first collect every card that
 * holds data counts as dirty. Ranges may touch or overlap ranges already tracked: the tracking of
 * the new piece then starts again. So if something new was mapped in a tracked range, track that
 * piece again. Adjacent ranges cost no more than one. If the call fails, nothing new is tracked.
 * Table memory is set aside here, so that collect allocates none. No malloc: may run while the
 * world is stopped.
 * -EINVAL not card-aligned, empty, wraps around, above user space, memory this
 * backend cannot watch, or that cannot be written; -ENOMEM part of it is not mapped, or out of
 * memory, descriptors or mappings (vm.max_map_count); -ENOTSUP huge TLB pages, or no /proc; -EPERM
 * the kernel forbids it; -EBUSY a stopped thread is inside the library, or another
 * userfaultfd has the memory. */
CARDMARK_API int cardmark_track(struct cardmark *cm, void *addr, size_t len, unsigned flags);

/* Stops tracking the tracked parts of [addr, addr + len), which may be in the middle of a range;
 * their cards leave all tables. Call it before munmap. -EINVAL as above,
 * -ENOENT nothing there was tracked, -ENOMEM, -EBUSY. May run while the world
 * is stopped. */
CARDMARK_API int cardmark_untrack(struct cardmark *cm, void *addr, size_t len);

/* Is every card of [addr, addr + len) tracked? The answer is in *out. Takes no lock and does
 * not wait: a card is tracked from before its track returns until its untrack begins.
 * O(len / 64 cards). May run while the world is stopped. -EINVAL the range is empty; -EBUSY the
 * library cannot know, because clone(2) made this process while a thread was inside. *out is
 * false then, and the memory counts as dirty. */
CARDMARK_API int cardmark_is_tracked(struct cardmark *cm, const void *addr, size_t len, bool *out);

/* ---- Card tables --------------------------------------------------------- */

struct cardmark_run {
	uintptr_t start, end; /* bytes, card-aligned, end not included */
};

/* A table of dirty cards, with one bit for each card. Its memory grows with the tracker's ranges.
 * Cards enter it by cardmark_collect(), cardmark_table_union() and cardmark_table_set_range(), and
 * leave it by cardmark_table_clear() and untrack. It belongs to the caller. Two threads must not
 * use it at once, and no thread may use it while another thread collects into it; a track or an
 * untrack may run. -ENOMEM,
 * -EBUSY. */
CARDMARK_API int cardmark_table_new(struct cardmark_table **out, struct cardmark *cm);
CARDMARK_API void cardmark_table_delete(struct cardmark_table **table);

/* Is this card dirty? O(1). Always true when the table is all dirty. False for
 * memory never tracked: see cardmark_is_tracked(). */
CARDMARK_API bool cardmark_table_is_dirty(const struct cardmark_table *table, const void *addr);

/* The first run of dirty cards in [from, to), cut to the cards that have a byte of it; false
 * if there is none. Start at the heap's start and go on from out->end:
 *
 *	for (uintptr_t at = start; cardmark_table_next(table, at, end, &run); at = run.end)
 *
 * For an all-dirty table the run is all of [from, to), so give bounds that you may read. */
CARDMARK_API bool cardmark_table_next(const struct cardmark_table *table, uintptr_t from,
				      uintptr_t to, struct cardmark_run *out);

/* True after a collect that could not find out what was written (see there). */
CARDMARK_API bool cardmark_table_all_dirty(const struct cardmark_table *table);

/* Dirty cards; SIZE_MAX when all dirty. */
CARDMARK_API size_t cardmark_table_count(const struct cardmark_table *table);

/* Adds the dirty cards of src, a table of the same tracker, to dst; makes dst all
 * dirty when another thread stays inside the library. -EINVAL tables of
 * different trackers. */
CARDMARK_API int cardmark_table_union(struct cardmark_table *dst, const struct cardmark_table *src);

/* Makes each card dirty that has a byte of [addr, addr + len): to import a remembered set, or for a
 * write that no tracker sees. Makes the table all dirty if another thread stays inside the library.
 * -EINVAL empty or outside user space; -ENOENT part of it is not tracked: the tracked cards are
 * dirty, and the caller must remember the rest, because a table has no room for it. */
CARDMARK_API int cardmark_table_set_range(struct cardmark_table *table, const void *addr,
					  size_t len);

/* Makes cards clean: all of them, or those of [addr, addr + len). Clearing a
 * piece leaves an all-dirty table all dirty. */
CARDMARK_API void cardmark_table_clear(struct cardmark_table *table);
CARDMARK_API int cardmark_table_clear_range(struct cardmark_table *table, const void *addr,
					    size_t len);

/* All table calls but new and delete may run while the world is stopped. */

/* ---- The questions --------------------------------------------------------- */

enum cardmark_collected {
	CARDMARK_EXACT = 0,     /* every card added was reported by the backend */
	CARDMARK_GUESSED = 1,   /* some ranges were added whole because a call failed */
	CARDMARK_ALL_DIRTY = 2, /* the table is all dirty; nothing was harvested */
	/* The call was wrong, for example with a table of another tracker; cardmark_last_error()
	 * has the reason. The table is all dirty; nothing was harvested. */
	CARDMARK_REFUSED = 3
};

/* No page-table tracker sees writes through another mapping of the same file,
 * pwrite(2) to the file, io_uring's registered buffers, or pages pinned for long
 * (DMA; process_vm_writev(2) if it pins before a collect and copies after it):
 * put such memory under cardmark_hold(). */

/* The collector's question: adds to table every card written since the last collect, and arms those
 * cards again. Cannot fail. Made to run while the world is stopped; with CARDMARK_CAP_CONCURRENT
 * also while mutators run, and then a card is either in this table or in the next. */
CARDMARK_API enum cardmark_collected cardmark_collect(struct cardmark *cm,
						      struct cardmark_table *table);

/* The same for the cards that have a byte of [addr, addr + len), which need not be tracked as a
 * whole, nor card-aligned: for the remembered set of one region, or for the cards of one object.
 * Other written cards stay for the next collect. The time grows with the range and not with the
 * heap; backend softdirty is the exception, because its clear is for the whole process. Cannot
 * fail: if it cannot find out, all of the table is dirty. May run when collect may. */
CARDMARK_API enum cardmark_collected cardmark_collect_range(struct cardmark *cm, const void *addr,
							    size_t len,
							    struct cardmark_table *table);

/* Several consumers: a collector and a snapshot, or two snapshots. cardmark_collect() reports the
 * cards written since its last call, by any caller. So each of two callers misses the cards that
 * the other got. A consumer's own calls report the cards written since *this* consumer last asked,
 * even if others asked meanwhile. Each consumer costs two bits a card, and a pass over the dirty
 * cards in each answer; a tracker without consumers is as fast as ever. A consumer's first collect
 * reports all cards that hold data, as that of a new tracker does; of file and shared memory all
 * cards. What precleans harvest is kept for each consumer. Scans, discarded and IGNORE_NEW belong
 * to the tracker, but the cards that a clearing scan takes are still in the consumers' answers. A
 * fork child has copies of the consumers. Not while the world is stopped. -ENOMEM, -EBUSY. */
CARDMARK_API int cardmark_consumer_new(struct cardmark_consumer **out, struct cardmark *cm);

/* NULL and pointer to NULL are fine. Sets *consumer to NULL. May come after cardmark_close(). Not
 * while the world is stopped. */
CARDMARK_API void cardmark_consumer_delete(struct cardmark_consumer **consumer);

/* As cardmark_collect() and cardmark_collect_range(), for one consumer. table belongs to the same
 * tracker. If it becomes all dirty because the tracker is busy, torn or closed, or because the
 * table belongs to another tracker, nothing is taken from any consumer. */
CARDMARK_API enum cardmark_collected cardmark_consumer_collect(struct cardmark_consumer *consumer,
							       struct cardmark_table *table);
CARDMARK_API enum cardmark_collected
cardmark_consumer_collect_range(struct cardmark_consumer *consumer, const void *addr, size_t len,
				struct cardmark_table *table);

/* The collector's question asked early, while mutators run: harvests every tracked
 * range and keeps the cards for the next collect (or scan), which then finds only
 * what was written since. So the pause is short, and a card written both before
 * and after costs two faults. Works chunk by chunk, blocks this thread's signals during each chunk,
 * lets other calls run in between, and stops early when a collect waits. Not while the world is
 * stopped: call collect there.
 * -ENOTSUP the backend cannot clear while mutators write (nothing was done, nothing
 * is lost); -EBUSY. */
CARDMARK_API int cardmark_preclean(struct cardmark *cm);

/* Cards of [addr, addr + len), bytes, count as dirty in every answer from now on: for memory whose
 * writes page tables do not show (I/O in flight, registered buffers). Holds are counted: the same
 * range may be held more than once. It need not be tracked: the tracked part is reported. No
 * malloc: may run while the world is stopped. -EINVAL empty or outside user space, -ENOMEM,
 * -EBUSY. */
CARDMARK_API int cardmark_hold(struct cardmark *cm, const void *addr, size_t len);

/* Ends one hold of exactly this range. Its cards are in the next answer once more.
 * -ENOENT no such hold, -EBUSY. May run while the world is stopped. */
CARDMARK_API int cardmark_release(struct cardmark *cm, const void *addr, size_t len);

/* Adds to table the cards that held data when they were last reported and hold
 * none now (MADV_DONTNEED, MADV_FREE once it took effect, a new mapping), and forgets them until
 * they are reported again: each is reported once. A card that was emptied and then written again is
 * not here but in the next collect. For file and shared memory it is rough: a page that was
 * reclaimed looks the same, and one that was emptied while armed may be missing. Returns the same
 * values as collect, and REFUSED also if the tracker was opened without CARDMARK_OPEN_DISCARDS. May
 * run while the world is stopped. */
CARDMARK_API enum cardmark_collected cardmark_discarded(struct cardmark *cm,
							struct cardmark_table *table);

/* Gives up userfaultfd, signal handler and descriptors for a while, as a dump by
 * CRIU needs (it refuses a process that uses userfaultfd). Until resume everything
 * tracked counts as dirty; ranges can still be tracked and untracked. Suspending a suspended
 * tracker does nothing. Not while the world is stopped. -EBUSY, also while a thread that shares in
 * collects is still in the kernel. */
CARDMARK_API int cardmark_suspend(struct cardmark *cm);

/* Starts tracking again, with everything dirty. On failure the tracker stays
 * suspended: call it again. -EINVAL not suspended; -EPERM, -ENOMEM, -ENOTSUP, -EIO as in open (a
 * dump may have been restored on another kernel); -EBUSY. */
CARDMARK_API int cardmark_resume(struct cardmark *cm);

struct sigaction; /* <signal.h> */

/* sigaction(2), with one difference: for SIGSEGV it sets and returns the action for faults that are
 * not ours. With a tracker on mprotect each first write to a clean card is a SIGSEGV. A handler
 * that sigaction(2) sets after the tracker was opened gets them all, until a collect puts our
 * handler in front again and reports everything. A handler that this call sets gets only its own
 * faults, as it would without us: its flags and mask count, but it always runs on an alternate
 * stack if there is one. Without such a tracker, and for other signals, it is sigaction(2). May be
 * called whenever sigaction(2) may, and while the world is stopped. -EINVAL as there; -EBUSY
 * another thread stayed in our handler for
 * 20 ms: nothing was set. */
CARDMARK_API int cardmark_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

enum cardmark_scan_op {
	CARDMARK_SCAN_GET = 1,          /* look */
	CARDMARK_SCAN_CLEAR = 2,        /* arm matching pages, report nothing */
	CARDMARK_SCAN_GET_AND_CLEAR = 3 /* both in one atomic step per page */
};

enum cardmark_scan_flags {
	/* Leave out new memory: cards that were not cleared since they were tracked, and that no
	 * collect has reported by ALL_DIRTY. Memory tracked while such a collect ran is still new.
	 * A clearing scan arms it, and does not report it. */
	CARDMARK_SCAN_IGNORE_NEW = 1 << 0
};

struct cardmark_region {
	uintptr_t start, end; /* bytes, card-aligned */
	uint64_t categories;  /* those of `returned` that all its pages have */
};

/* Begin with _INIT, fill in the question, read the answer. */
struct cardmark_query {
	size_t size; /* set by _INIT */
	/* question */
	void *start; /* card-aligned */
	size_t len;  /* bytes */
	enum cardmark_scan_op op;
	unsigned flags;    /* enum cardmark_scan_flags */
	uint64_t required; /* pages with all of these ... */
	uint64_t any_of;   /* ... and, if not 0, at least one of these ... */
	uint64_t excluded; /* ... and none of these */
	uint64_t returned; /* categories that split and label regions */
	size_t max_pages;  /* stop after this number of matching cards; 0: no limit */
	struct cardmark_region *regions;
	size_t capacity; /* of regions; not 0 unless op is CLEAR */
	/* answer */
	size_t count;     /* regions filled in: ascending, coalesced */
	size_t pages;     /* matching cards: over-reported where guessed */
	uintptr_t resume; /* where to go on; start + len when complete */
	bool guessed;     /* some of it was reported because a call failed */
};

#define CARDMARK_QUERY_INIT                                                                        \
	{                                                                                          \
		sizeof(struct cardmark_query), NULL, 0, CARDMARK_SCAN_GET, 0, 0, 0, 0, 0, 0, NULL, \
			0, 0, 0, 0, false                                                          \
	}

/* The full query, over tracked memory in [start, start + len); it skips the rest. No page is
 * cleared without being reported: if the kernel fails part-way, the piece is reported whole. CLEAR
 * and GET_AND_CLEAR must require the WRITTEN bit, because only written pages can be armed. Whether
 * a private card that holds nothing counts as WRITTEN differs between backends and kernels: ask for
 * PRESENT or SWAPPED in any_of to leave such cards out. May run while the world is stopped.
 * -EINVAL masks that can't match, bad range or capacity; -ENOTSUP a category
 * that this backend cannot answer; -EBUSY a stopped thread is inside. */
CARDMARK_API int cardmark_scan(struct cardmark *cm, struct cardmark_query *query);

/* ---- Counters -------------------------------------------------------------- */

struct cardmark_stats {
	size_t size; /* set by _INIT */
	enum cardmark_backend backend;
	uint64_t ranges;        /* after coalescing, now */
	uint64_t tracked_bytes; /* now */
	uint64_t table_bytes;   /* memory set aside for tables, now */
	uint64_t collects;
	uint64_t dirty_cards;    /* reported by collects, sum */
	uint64_t kernel_calls;   /* made to arm and harvest */
	uint64_t faults;         /* traps handled (uffd, mprotect) */
	uint64_t guessed_ranges; /* pieces reported whole after a failure */
	uint64_t rearmed_ranges; /* pieces found to be mapped anew */
	uint64_t all_dirty;      /* collects that answered all dirty */
	uint64_t forks;          /* times this tracker was rebuilt in a child */
	uint64_t collect_ns;     /* time in collects, sum */
	uint64_t collect_max_ns;
	int last_errno;            /* of the last failed kernel call; 0 if none */
	unsigned holds;            /* ranges held, now */
	uint64_t precleans;        /* calls that harvested */
	uint64_t precleaned_cards; /* cards that they kept for a collect, sum (without consumers) */
	uint64_t preclean_ns;
	uint64_t discarded_cards; /* answered by discarded, or counted as written, sum */
	uint64_t suspends;
	uint64_t reopened;            /* times that descriptors the program closed were reopened */
	uint64_t threads;             /* that take part in a collect, now */
	uint64_t verify_checked;      /* cards hashed */
	uint64_t verify_changed;      /* cards whose hash had changed */
	uint64_t verify_missed;       /* of those, not reported: lost writes. Must be 0 */
	uint64_t verify_false;        /* cards reported whose hash had not changed */
	uint64_t verify_first_missed; /* address of the first; 0: none */
	uint64_t backoff_cards;       /* reported without a look, sum */
};

#define CARDMARK_STATS_INIT                                                                        \
	{                                                                                          \
		sizeof(struct cardmark_stats), CARDMARK_BACKEND_AUTO, 0, 0, 0, 0, 0, 0, 0, 0, 0,   \
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                    \
	}

/* Fills *stats. Waits for the tracker's lock for 2 s at most, then returns -EBUSY. -EINVAL the
 * struct's size. May run while the world is stopped. */
CARDMARK_API int cardmark_stats(struct cardmark *cm, struct cardmark_stats *stats);

#ifdef __cplusplus
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
}
#endif
#endif
