/* SPDX-License-Identifier: MIT
 *
 * The interfaces between the files of the Boehm adapter. Both the adapter library and the preload
 * object are built from these files.
 *
 * Locking: all state below is written with libgc's allocation lock held (libgc
 * makes its mapping calls, its dirty-bit calls and its callbacks under it), or
 * before libgc starts. Nothing here waits for another lock, uses malloc or
 * stdio, or lets errno change, on a path that libgc calls. */
#ifndef CM_GC_GLUE_H
#define CM_GC_GLUE_H

#include <cardmark/gc.h>

#include "common/clock.h"
#include "common/histogram.h"
#include "gc-glue/boehm/cadence.h"
#include "gc-glue/boehm/out.h"
#include "gc-glue/boehm/testhooks.h"
#include "lib/export.h"

#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

/* ---- libgc's public interface, looked up at run time (gcapi.c) ------------ */

enum cm_gc_event { /* GC_EventType of gc.h, fixed since 7.6 */
		   CM_GC_EV_START,
		   CM_GC_EV_MARK_START,
		   CM_GC_EV_MARK_END,
		   CM_GC_EV_RECLAIM_START,
		   CM_GC_EV_RECLAIM_END,
		   CM_GC_EV_END,
		   CM_GC_EV_PRE_STOP_WORLD,
		   CM_GC_EV_POST_STOP_WORLD,
		   CM_GC_EV_PRE_START_WORLD,
		   CM_GC_EV_POST_START_WORLD
};

struct cm_gc_timeval { /* struct GC_timeval_s of gc.h */
	unsigned long ms, ns;
};

typedef void cm_gc_event_fn(int);
typedef void cm_gc_resize_fn(size_t);
typedef int cm_gc_stop_fn(void);
typedef void cm_gc_push_fn(void);
typedef void cm_gc_any_fn(void);
typedef void *cm_gc_locked_fn(void *);

struct cm_gc_mark_entry { /* struct GC_ms_entry of gc_mark.h */
	void *start;
	uintptr_t descr;
};
typedef struct cm_gc_mark_entry *cm_gc_mark_fn(uintptr_t *, struct cm_gc_mark_entry *,
					       struct cm_gc_mark_entry *, uintptr_t);
typedef int cm_gc_disclaim_fn(void *);
typedef void cm_gc_object_fn(void *, size_t, void *);

/* X(required, result, name, parameters) */
#define CM_GC_API(X)                                                                               \
	X(1, void, GC_init, (void))                                                                \
	X(1, unsigned, GC_get_version, (void))                                                     \
	X(1, size_t, GC_get_gc_no, (void))                                                         \
	X(1, size_t, GC_get_heap_size, (void))                                                     \
	X(0, size_t, GC_get_unmapped_bytes, (void))                                                \
	X(1, void, GC_enable_incremental, (void))                                                  \
	X(1, void, GC_gcollect, (void))                                                            \
	X(1, int, GC_is_heap_ptr, (const void *))                                                  \
	X(1, void, GC_set_on_collection_event, (cm_gc_event_fn *))                                 \
	X(1, cm_gc_event_fn *, GC_get_on_collection_event, (void))                                 \
	X(1, void, GC_set_on_heap_resize, (cm_gc_resize_fn *))                                     \
	X(1, cm_gc_resize_fn *, GC_get_on_heap_resize, (void))                                     \
	X(1, void, GC_set_time_limit, (unsigned long))                                             \
	X(1, unsigned long, GC_get_time_limit, (void))                                             \
	X(1, void, GC_end_stubborn_change, (const void *))                                         \
	X(1, void, GC_add_roots, (void *, void *))                                                 \
	X(1, void, GC_remove_roots, (void *, void *))                                              \
	X(1, void, GC_clear_roots, (void))                                                         \
	X(1, void *, GC_call_with_alloc_lock, (cm_gc_locked_fn *, void *))                         \
	X(0, void, GC_register_has_static_roots_callback, (cm_gc_any_fn *))                        \
	X(0, int, GC_is_init_called, (void))                                                       \
	X(0, int, GC_collect_a_little, (void))                                                     \
	X(0, int, GC_thread_is_registered, (void))                                                 \
	X(0, void, GC_disable, (void))                                                             \
	X(0, void, GC_enable, (void))                                                              \
	X(0, int, GC_is_disabled, (void))                                                          \
	X(0, void, GC_pthread_exit, (void *))                                                      \
	X(0, int, GC_pthread_cancel, (pthread_t))                                                  \
	X(0, int, GC_is_incremental_mode, (void))                                                  \
	X(0, void, GC_set_time_limit_tv, (struct cm_gc_timeval))                                   \
	X(0, struct cm_gc_timeval, GC_get_time_limit_tv, (void))                                   \
	X(0, void, GC_set_max_prior_attempts, (int))                                               \
	X(0, int, GC_get_max_prior_attempts, (void))                                               \
	X(0, void, GC_set_rate, (int))                                                             \
	X(0, int, GC_get_rate, (void))                                                             \
	X(0, void, GC_set_stop_func, (cm_gc_stop_fn *))                                            \
	X(0, cm_gc_stop_fn *, GC_get_stop_func, (void))                                            \
	X(0, void, GC_set_manual_vdb_allowed, (int))                                               \
	X(0, int, GC_get_manual_vdb_allowed, (void))                                               \
	X(0, void, GC_set_free_space_divisor, (size_t))                                            \
	X(0, size_t, GC_get_free_space_divisor, (void))                                            \
	X(0, void, GC_set_min_bytes_allocd, (size_t))                                              \
	X(0, size_t, GC_get_min_bytes_allocd, (void))                                              \
	X(0, void, GC_set_full_freq, (int))                                                        \
	X(0, int, GC_get_full_freq, (void))                                                        \
	X(0, size_t, GC_get_free_bytes, (void))                                                    \
	X(0, size_t, GC_get_bytes_since_gc, (void))                                                \
	X(0, int, GC_get_suspend_signal, (void))                                                   \
	X(0, void, GC_set_push_other_roots, (cm_gc_push_fn *))                                     \
	X(0, cm_gc_push_fn *, GC_get_push_other_roots, (void))                                     \
	X(0, void, GC_push_all, (void *, void *))                                                  \
	X(0, void *, GC_base, (void *))                                                            \
	X(0, int, GC_is_marked, (const void *))                                                    \
	X(0, int, GC_get_kind_and_size, (const void *, size_t *))                                  \
	X(0, void, GC_set_mark_bit, (const void *))                                                \
	X(0, void, GC_clear_mark_bit, (const void *))                                              \
	X(0, struct cm_gc_mark_entry *, GC_mark_and_push,                                          \
	  (void *, struct cm_gc_mark_entry *, struct cm_gc_mark_entry *, void **))                 \
	X(0, void **, GC_new_free_list, (void))                                                    \
	X(0, unsigned, GC_new_proc, (cm_gc_mark_fn *))                                             \
	X(0, unsigned, GC_new_kind, (void **, uintptr_t, int, int))                                \
	X(0, void, GC_register_disclaim_proc, (int, cm_gc_disclaim_fn *, int))                     \
	X(0, void, GC_enumerate_reachable_objects_inner, (cm_gc_object_fn *, void *))              \
	X(1, void *, GC_generic_malloc, (size_t, int))                                             \
	X(0, void, GC_generic_malloc_many, (size_t, int, void **))                                 \
	X(0, void *, GC_generic_malloc_ignore_off_page, (size_t, int))                             \
	X(0, void *, GC_generic_malloc_uncollectable, (size_t, int))

enum cm_gc_place {                    /* of the object that holds libgc */
		   CM_GC_WITH_OTHERS, /* an object with other things in it */
		   CM_GC_IN_PROGRAM,  /* linked into the program itself */
		   CM_GC_ALONE        /* nothing but libgc, whatever its name is */
};

struct cm_gc_api {
#define CM_GC_API_FIELD(required, result, name, parameters) result(*name) parameters;
	CM_GC_API(CM_GC_API_FIELD)
#undef CM_GC_API_FIELD
	const void *base; /* load address of the object that holds libgc */
	uintptr_t end;    /* of that object */
	enum cm_gc_place place;
	bool shared;  /* alone, and calls mmap through a slot: all of its memory is seen */
	bool partial; /* some of its functions are not exported */
	bool threads; /* a threaded build: stop events exist */
};
extern struct cm_gc_api cm_gc_api;
/* libgc's variables, or NULL: not exported, or those of another libgc. The first words are scalars,
 * none that is read without the lock. */
void *cm_gc_arrays(void);
#define CM_GC_ARRAYS_WORDS 64
/* How often collections were turned off; under libgc's lock. NULL as above. */
int *cm_gc_dont_gc(void);

/* Finds libgc in this process. -ENOTSUP: none, a part of one, two, or one too old. */
int cm_gc_api_load(void);

/* ---- Redirected slots (plt.c) ------------------------------------------------ */

struct cm_gc_slot {
	const char *symbol;
	void *replacement;
	unsigned found; /* slots redirected */
};

/* Counts (apply false) or redirects the slots of the object loaded at base, or
 * of every object if base is NULL. Returns how many. It leaves out slots that can't be written, and
 * slots of an object that another thread still loads: then cm_gc_plt_early is set. Our own object
 * is left alone. Not while the world is stopped. */
extern _Atomic bool cm_gc_plt_early;
unsigned cm_gc_plt_redirect(const void *base, struct cm_gc_slot *slots, size_t n, bool apply);

/* The kind of object that holds addr: found by its exports, not by its name. */
enum cm_gc_place cm_gc_plt_place(const void *addr, uintptr_t *end);

/* ---- What is redirected (slots.c) -------------------------------------------------- */

/* Is libgc alone in its object, and does it map memory through a slot? Then we see all of its
 * memory, and no other memory. */
bool cm_gc_memory_is_seen(void);
/* Do slow allocations pass a slot, inside libgc? If not, we do not notice when the program replaces
 * our callback. */
bool cm_gc_is_defended(void);
bool cm_gc_asks_for_pagemap(void);
/* False: not all of them. */
bool cm_gc_redirect_way_a(void);
void cm_gc_redirect_libgc(void);
void cm_gc_allow_manual_vdb(void);
/* Redirects the calls to libgc of objects that were loaded since. */
void cm_gc_redirect_again(void);
/* In a fork child: no thread is inside. */
void cm_gc_redirect_child(void);

/* ---- Sets of address ranges (ranges.c) ----------------------------------------- */

struct cm_gc_ranges {
	struct cardmark_run *v; /* sorted, disjoint, not touching */
	size_t n, cap;
};

int cm_gc_ranges_add(struct cm_gc_ranges *set, uintptr_t start, uintptr_t end);
int cm_gc_ranges_remove(struct cm_gc_ranges *set, uintptr_t start, uintptr_t end);
/* Index of the first range that ends after addr. */
size_t cm_gc_ranges_from(const struct cm_gc_ranges *set, uintptr_t addr);
bool cm_gc_ranges_cover(const struct cm_gc_ranges *set, uintptr_t start, uintptr_t end);
/* Calls fn for each piece of [start, end) that is not in the set. fn may not change the set, except
 * to remove such a piece. */
void cm_gc_ranges_minus(uintptr_t start, uintptr_t end, const struct cm_gc_ranges *minus,
			void (*fn)(uintptr_t start, uintptr_t end, void *arg), void *arg);

/* ---- The heap (heapmap.c, maps.c) ------------------------------------------------ */

struct cm_gc_heap {
	struct cardmark *cm;
	struct cardmark_table *table;
	struct cardmark_description tracker;
	struct cm_gc_ranges tracked; /* what the tracker watches */
	struct cm_gc_ranges heap;    /* found to be heap, writable or not */
	struct cm_gc_ranges mapped;  /* all that libgc mapped and we saw */
	bool early;                  /* hooks were in place before GC_init */
	bool blind;                  /* heap grew in a way we did not see */
	bool retry;                  /* some of the heap could not be tracked */
	uint64_t track_failures;
	char track_error[128]; /* why the last one failed */
	/* NULL, or called before a range is no longer tracked. */
	void (*on_untrack)(uintptr_t start, uintptr_t end);
};
extern struct cm_gc_heap cm_gc_heap;

/* Takes over heap that exists already: finds it in /proc/self/maps. */
void cm_gc_heap_adopt(void);
/* libgc's on_heap_resize: its newest mappings have become heap. */
void cm_gc_heap_resized(size_t bytes);
/* Watches, or no longer watches, what is not heap. */
void cm_gc_heap_watch(uintptr_t start, uintptr_t end, unsigned flags);
void cm_gc_heap_unwatch(uintptr_t start, uintptr_t end);
/* Calls fn for every piece of memory that may hold heap and is not tracked.
 * False if it is not known. May run while the world is stopped. */
bool cm_gc_heap_untracked(void (*fn)(uintptr_t start, uintptr_t end));

/* At the end of a pass: tracks memory that has become heap without an event, and memory that could
 * not be tracked when it was mapped. was_read: did libgc ask for the dirty bits of all of this in
 * its last pass? NULL: it does not ask. */
typedef bool cm_gc_was_read_fn(uintptr_t start, uintptr_t end);
void cm_gc_heap_settle(cm_gc_was_read_fn *was_read);

/* Private anonymous writable mappings of this process, stacks excluded, in order
 * of address; by raw system calls into a buffer of our own. -EIO. */
int cm_gc_maps_each(void (*fn)(uintptr_t start, uintptr_t end, void *arg), void *arg);
/* Private mappings of files that are not writable. */
int cm_gc_maps_each_constant(void (*fn)(uintptr_t start, uintptr_t end, void *arg), void *arg);
uint64_t cm_gc_maps_count(void);

/* Replacements for libgc's own calls. */
void *cm_gc_hook_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int cm_gc_hook_munmap(void *addr, size_t len);
int cm_gc_hook_mprotect(void *addr, size_t len, int prot);
int cm_gc_hook_madvise(void *addr, size_t len, int advice);

/* ---- Roots (roots.c, rootset.c) ------------------------------------------------------ */

int cm_gc_hook_dl_iterate_phdr(int (*fn)(struct dl_phdr_info *, size_t, void *), void *arg);
void cm_gc_hook_add_roots(void *start, void *end);
void cm_gc_hook_remove_roots(void *start, void *end);
void cm_gc_hook_clear_roots(void);
void cm_gc_hook_register_has_static_roots(cm_gc_any_fn *filter);

/* All static data: whole pages, between the calls for begin and end. zeros: the data begins as
 * zeros, and may have no pages yet. */
void cm_gc_roots_show_begin(void);
void cm_gc_roots_show(uintptr_t start, uintptr_t end, bool zeros);
void cm_gc_roots_show_end(void);
/* Watches roots that came, drops those that went. */
void cm_gc_roots_sync(void);
/* A pass ends, and its cards are still in the table. seen: the memory that libgc asked for; other
 * memory that need not be kept is added. NULL: not known. */
void cm_gc_roots_pass(struct cm_gc_ranges *seen);
/* In a fork child. */
void cm_gc_roots_child(void);
void cm_gc_roots_put(struct cm_gc_out *o);

/* ---- SIGSEGV (signals.c) --------------------------------------------------------------- */

struct sigaction;
typedef void cm_gc_handler(int);
int cm_gc_hook_sigaction(int sig, const struct sigaction *act, struct sigaction *old);
cm_gc_handler *cm_gc_hook_signal(int sig, cm_gc_handler *handler);
cm_gc_handler *cm_gc_hook_sysv_signal(int sig, cm_gc_handler *handler);

/* ---- Way A (waya.c) and way B (wayb.c) -------------------------------------------------- */

int cm_gc_hook_open(const char *path, int flags, ...);
off_t cm_gc_hook_lseek(int fd, off_t off, int whence);
ssize_t cm_gc_hook_read(int fd, void *buf, size_t len);
ssize_t cm_gc_hook_read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t cm_gc_hook_write(int fd, const void *buf, size_t len);
int cm_gc_hook_close(int fd);
/* The mark begins: libgc will read its dirty bits again. */
void cm_gc_waya_begins(void);
bool cm_gc_waya_opened(void);

/* A collection's mark begins, without a pause target (markstack.c). */
void cm_gc_mark_stack_enlarge(void);

/* The stack below the caller's frame holds no addresses of dirty pages any more (wipe.c). */
void cm_gc_wipe_stack(void);

/* The world is stopped and libgc is about to read its dirty bits. */
void cm_gc_wayb_feed(void);

/* ---- Dirty pages of large objects (large.c) ---------------------------------------------- */

/* A pass begins. Returns how many runs of dirty cards of the pass before were kept but not
 * marked from since: they are dirty. */
size_t cm_gc_large_begin(const struct cardmark_run **left);
/* This dirty card need not be reported to libgc, because its part of a large object will be marked
 * from. */
bool cm_gc_large_keep(uintptr_t card);
/* A full collection marks everything. */
void cm_gc_large_forget(void);
void cm_gc_large_start(void);
/* As cm_gc_events_check(): has ours been replaced? Puts it back. By one thread at a time. */
bool cm_gc_large_replaced(void);
void cm_gc_large_put_back(void);
void cm_gc_hook_set_push_other_roots(cm_gc_push_fn *fn);
cm_gc_push_fn *cm_gc_hook_get_push_other_roots(void);

/* Is the function that pushes them in libgc, in this pass? */
bool cm_gc_large_in_front(void);
bool cm_gc_large_is_on(void);

/* ---- The walk over all block headers, left out (walk.c) ------------------------------------ */

struct cm_gc_walk {
	uint64_t left_out, blocks, entries; /* walks; dirty blocks looked at, pushes, instead */
	const char *why_not;                /* "": it is left out */
};
extern struct cm_gc_walk cm_gc_walk;

/* At a slow allocation, without the lock: sets the walk up, once way A is open. pushed: is
 * cm_gc_walk_push() called? */
void cm_gc_walk_start(bool opened, bool pushed);
/* The mark begins. */
void cm_gc_walk_begins(void);
/* A pass begins. True: some dirty cards of the pass before were not marked from. Then the table
 * keeps them. */
bool cm_gc_walk_unfinished(void);
/* The pass is over. Keeps libgc from its walk. The dirty cards are in the table, which must not
 * change until the next pass, and in left. in_front: cm_gc_large_in_front(). False: libgc walks. */
bool cm_gc_walk_take(const struct cardmark_run *left, size_t left_n, bool in_front);
/* libgc pushes its roots. True: the dirty blocks are pushed, too. */
bool cm_gc_walk_push(void);
/* A full collection marks everything. */
void cm_gc_walk_forget(void);
/* From here on libgc's structures are whole. True: they were not. */
bool cm_gc_walk_put_back(void);
void cm_gc_walk_hide_again(void);
/* In a fork child. */
void cm_gc_walk_child(void);

/* ---- Callbacks of the program's that ours stand in front of (chain.c) --------------------- */

/* If our redirection was not bypassed, libgc has entry[front], which calls theirs[front] after its
 * own work. An object whose calls are not redirected replaces it, and its callback may call the
 * entry that it found. So that callback is put behind the *next* entry, and the callbacks of lower
 * entries stay. If a callback calls an entry that leads back to it, the next lower entry is called.
 * `busy` is the entry under way. It starts again with each call that libgc itself makes, so a
 * program may leave any of them by longjmp or an exception. */
#define CM_GC_ENTRIES 8

struct cm_gc_chain {
	cm_gc_any_fn *const entry[CM_GC_ENTRIES];
	_Atomic(cm_gc_any_fn *) theirs[CM_GC_ENTRIES];
	_Atomic unsigned front;
	bool busy[CM_GC_ENTRIES]; /* under libgc's lock */
};

/* Which entry fn is; CM_GC_ENTRIES if none. */
unsigned cm_gc_chain_find(const struct cm_gc_chain *c, cm_gc_any_fn *fn);
cm_gc_any_fn *cm_gc_chain_front(const struct cm_gc_chain *c);
/* libgc has fn, which is not the front entry: returns the entry that libgc must have. By one thread
 * at a time. */
cm_gc_any_fn *cm_gc_chain_over(struct cm_gc_chain *c, cm_gc_any_fn *fn);
/* The program sets or asks for its callback, by a redirected call. */
void cm_gc_chain_set(struct cm_gc_chain *c, cm_gc_any_fn *fn);
cm_gc_any_fn *cm_gc_chain_get(const struct cm_gc_chain *c);

/* This entry was called from there: returns the program's callback to call; NULL if there is none.
 * Leave the entry with *at after that. */
cm_gc_any_fn *cm_gc_chain_enter(struct cm_gc_chain *c, unsigned entry, const void *caller,
				unsigned *at);
void cm_gc_chain_leave(struct cm_gc_chain *c, unsigned at);

/* Around a call of a program's callback. The callback may not return, so our data on the stop under
 * way are put aside while it runs. A jump out of it leaves the state "no stop". */
struct cm_gc_outside {
	bool stopped, in_stop, asked_for, walk;
};
struct cm_gc_outside cm_gc_step_out(void);
void cm_gc_step_in(struct cm_gc_outside before);

/* ---- Recording (record.c, histogram.c) ------------------------------------------- */

#define CM_GC_HIST_SIZE CM_HIST_BUCKETS(48) /* up to 78 hours */

struct cm_gc_histogram {
	_Atomic uint64_t count, total, max;
	_Atomic uint64_t bucket[CM_GC_HIST_SIZE];
};

void cm_gc_hist_add(struct cm_gc_histogram *h, uint64_t ns);
/* Upper bound of the bucket of the q quantile, at most the maximum. */
uint64_t cm_gc_hist_quantile(const struct cm_gc_histogram *h, double q);

enum cm_gc_phase { CM_GC_PH_STOP, CM_GC_PH_DIRTY, CM_GC_PH_MARK, CM_GC_PH_RESUME, CM_GC_PH_COUNT };

struct cm_gc_recorder {
	struct cm_gc_histogram stops, stalls;
	uint64_t phase_total[CM_GC_PH_COUNT], phase_max[CM_GC_PH_COUNT];
	uint64_t dirty_cards;
	uint64_t large_cards;               /* of them, in large objects: marked from alone */
	uint64_t root_passes, root_scanned; /* bytes of roots that were dirty */
	uint64_t raw_n, raw_cap;
	struct {
		uint64_t start, end, phase[CM_GC_PH_COUNT];
	} raw[];
};
extern struct cm_gc_recorder *cm_gc_rec;
/* True between POST_STOP_WORLD and PRE_START_WORLD. */
extern bool cm_gc_world_stopped;

int cm_gc_record_init(bool raw);
void cm_gc_record_reset(void);
/* Time spent on dirty bits in the stop under way. */
void cm_gc_record_dirty(uint64_t ns, uint64_t cards);
/* Cards reported to libgc in the stop under way, and whether it is the first of a full
 * collection (way A: libgc does not read them). */
uint64_t cm_gc_record_stop_cards(void);
void cm_gc_record_set_full(void);
bool cm_gc_record_full(void);
/* The phases of a stop: it begins, the world is stopped, marking, the world goes on, the stop is
 * over. */
void cm_gc_record_begin(uint64_t now);
void cm_gc_record_stopped(uint64_t now);
void cm_gc_record_mark(uint64_t now);
void cm_gc_record_marked(void); /* it has got to its end */
void cm_gc_record_resume(uint64_t now);
struct cm_gc_stop { /* one that is over */
	uint64_t start, end, phase[CM_GC_PH_COUNT];
	uint64_t cards;
	uint64_t cpu_ns; /* of the thread that stopped the world; UINT64_MAX: not known */
	bool full, done;
};
/* False: none was under way. */
bool cm_gc_record_end(uint64_t now, struct cm_gc_stop *stop);

/* ---- What libgc reports to us (events.c) ------------------------------------------ */

/* redirect: also redirects the calls of objects that were loaded since. */
void cm_gc_events_install(void (*redirect)(void));
/* Puts our callbacks in front again if an object that was loaded later, so that its slots are not
 * redirected, has replaced them. Takes libgc's allocation lock. */
void cm_gc_events_check(void);
/* In a fork child: no thread is inside. */
void cm_gc_events_child(void);
void cm_gc_hook_set_on_collection_event(cm_gc_event_fn *fn);
cm_gc_event_fn *cm_gc_hook_get_on_collection_event(void);
void cm_gc_hook_set_on_heap_resize(cm_gc_resize_fn *fn);
cm_gc_resize_fn *cm_gc_hook_get_on_heap_resize(void);

/* ---- Allocations that take long (stall.c) ----------------------------------------- */

void *cm_gc_hook_generic_malloc(size_t lb, int k);
void cm_gc_hook_generic_malloc_many(size_t lb, int k, void **result);
void *cm_gc_hook_generic_malloc_ignore_off_page(size_t lb, int k);
void *cm_gc_hook_generic_malloc_uncollectable(size_t lb, int k);

/* ---- The pause target (pause_target.c) ------------------------------------------------------- */

struct cm_gc_pace {
	bool on;
	uint64_t fixed_ns;      /* of the last stop: what had to be done before it could mark */
	uint64_t finish_ns;     /* after a stop that got to the end, in the same allocation */
	uint64_t raised;        /* stops whose limit was above the target for that */
	uint64_t given_up;      /* attempts that did not get to the end */
	uint64_t most_attempts; /* of one collection */
	_Atomic uint64_t stalls_over; /* longer than the target and 1 ms */
	/* Of the last stop: the program asked for it; it had no limit; its limit was above what the
	 * target leaves. */
	bool asked, unlimited, above;
};
extern struct cm_gc_pace cm_gc_pace;

bool cm_gc_pace_start(uint64_t target_ns);
void cm_gc_pace_event(int event);
/* Ends the collection under way at once, if this thread can. */
void cm_gc_pace_finish(void);
bool cm_gc_pace_can_finish(void);
/* Exact under libgc's lock. */
bool cm_gc_pace_is_marking(void);
/* finish.c */
int cm_gc_hook_dlclose(void *handle);
void cm_gc_hook_pthread_exit(void *result);
int cm_gc_hook_pthread_cancel(pthread_t thread);
void cm_gc_hook_remove_roots_only(void *start, void *end);
void cm_gc_hook_clear_roots_only(void);
/* pause_target.c */
/* Around an allocation of so many bytes; leave gets what enter returned. */
struct cm_gc_paced {
	uint64_t stops, cpu; /* so far; 0: no slice is expected */
};
struct cm_gc_paced cm_gc_pace_enter(size_t bytes);
bool cm_gc_pace_leave(struct cm_gc_paced entered, size_t bytes, uint64_t ns); /* it was a slice */
void cm_gc_hook_set_stop_func(cm_gc_stop_fn *fn);
cm_gc_stop_fn *cm_gc_hook_get_stop_func(void);
void cm_gc_hook_set_time_limit(unsigned long ms);
unsigned long cm_gc_hook_get_time_limit(void);
void cm_gc_hook_set_time_limit_tv(struct cm_gc_timeval limit);
struct cm_gc_timeval cm_gc_hook_get_time_limit_tv(void);
void cm_gc_hook_set_rate(int rate);
int cm_gc_hook_get_rate(void);
void cm_gc_hook_set_max_prior_attempts(int n);
int cm_gc_hook_get_max_prior_attempts(void);

/* ---- Choice and report (config.c, enable.c, report.c, statsfile.c) ---------------- */

struct cm_gc_config {
	enum cardmark_backend backend;
	enum cardmark_gc_mode mode;
	enum cardmark_gc_way way; /* chosen */
	uint64_t target_ns;
	char why[512];
	bool enabled, init_called;
	bool unchanged; /* for the reason in why nothing is done to the program */
	bool preloaded; /* the program was not made for us: nothing may depend on what it does */
	pid_t pid;      /* that was prepared */
	pid_t self;     /* this one: a fork child of it, or the same */
	uint64_t start_ns;
	bool verify; /* the tracker verifies itself */
	bool walk;   /* may be left out */
};
extern struct cm_gc_config cm_gc_config;

const char *cm_gc_mode_name(enum cardmark_gc_mode mode);
/* config.c. A program that runs with more rights than its user ignores the user's variables. */
int cm_gc_read_settings(const struct cardmark_gc_options *options, enum cardmark_gc_way *way);
/* One more reason in cm_gc_config.why. */
void cm_gc_because(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* enable.c. */
/* Reads options and environment, opens the tracker, redirects, sets the knobs.
 * Incremental mode is then on from GC_init on; it is not called here. */
int cm_gc_prepare(const struct cardmark_gc_options *options);
int cm_gc_enable(const struct cardmark_gc_options *options);
/* Sets the text of this thread's failing public call, for cardmark_last_error(). Returns error. */
int cm_gc_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Another function of ours of this name in this process, or NULL. */
void *cm_gc_find_other(const char *name, const void *ours);
/* For another adapter in this process: is this one enabled, and cardmark_last_error() of our
 * core. */
CM_PRIVATE_EXPORT bool cm_gc_is_enabled(void);
CM_PRIVATE_EXPORT const char *cm_gc_last_error(void);
#define CM_GC_NOT_ENABLED                                                                          \
	"not enabled: call cardmark_gc_enable() first, or start the program with cardmark run"

void cm_gc_report_put(struct cm_gc_out *o);
/* So far, in this process. */
uint64_t cm_gc_report_collections(void);
int cm_gc_info(struct cardmark_gc_info *info);
int cm_gc_write_stats(const char *path);
/* This process begins to count; a fork child anew; a parent has forked. */
void cm_gc_report_begin(void);
void cm_gc_report_begin_child(void);
void cm_gc_report_forked(void);

/* Reads CARDMARK_STATS and which process is to write it. A relative name is one in the directory
 * where the program was started. */
void cm_gc_statsfile_start(void);
/* Is this the process that `cardmark run` became? exec() keeps the process id. */
bool cm_gc_is_the_program(void);
/* What --stats asked for; NULL if nothing. */
const char *cm_gc_statsfile(void);

#endif
