/* SPDX-License-Identifier: MIT
 *
 * The pause target: how long a stop may mark, and how much an allocation does.
 *
 * With a time limit, libgc (alloc.c, 8.0 to 8.2) collects by attempts: a stop that
 * reads the dirty bits and marks until its time is over; then slices of marking
 * inside allocation, `rate` units each, until nothing is left to mark; then the next
 * stop. libgc has constants for the limit, the rate and the number of attempts. Here all three
 * follow measurements, through the stop function that libgc asks before each unit of a stop.
 *
 * A stop has a fixed part that grows with the heap: the dirty bits of all pages, and a
 * walk over all block headers in search of dirty ones (GC_push_next_marked_dirty in
 * mark.c). A limit below it makes every attempt a useless stop. So the limit is always somewhat
 * more than the time of the last successful stops, and the report shows when that is above the
 * target. A stop that can't end within its limit is given up before it begins to mark: the slices
 * do the same work while the mutators run.
 *
 * The thread that allocates waits for a slice, the stop that may follow it, and what libgc
 * does after a successful one (GC_finish_collection in alloc.c): all three together
 * are to fit into the target. */
#include "gc-glue/boehm/glue.h"

#define SLICE_SHARE 5                  /* of the target goes to a slice */
#define SHOCK_SHARE 2                  /* and this, if all units of a slice are long ones */
#define LEAST_ROOM_NS UINT64_C(200000) /* for marking, beyond the fixed part of a stop */
#define EQUAL_ATTEMPTS 3               /* later ones get half as much room again, each */
#define MOST_ATTEMPTS 40               /* then one without limit */
#define MOST_WHEN_ALL_IS_DIRTY 3       /* no attempt leaves less for the next one */
/* Ours comes first. 999999 is GC_TIME_UNLIMITED; libgc asserts that it is not more. With that one
 * libgc asks no stop function, and ecl sets it. */
#define LIMIT_OF_LIBGC_MS 999998UL
#define ATTEMPTS_OF_LIBGC 1000000
#define LEAST_RATE 4
#define LEAST_UNIT_NS 100
#define LEAST_LONG_NS 5000
#define MOST_RATE 100000
#define BLOCK 4096u
#define FORK_WAITS_NS UINT64_C(50000000) /* then it does not wait for the target any more */

struct cm_gc_pace cm_gc_pace;

static cm_gc_stop_fn *program_stop;
static struct { /* what the program set: it reads that, and libgc uses ours */
	struct cm_gc_timeval limit;
	int rate, attempts;
} program;
static uint64_t target, slice;

static const struct cm_gc_timeval no_limit = { LIMIT_OF_LIBGC_MS, 0 };

/* Of the stop under way. Not while a callback of the program's runs (cm_gc_step_out). */
static bool in_stop, asked_for; /* by the program: GC_gcollect() has no limit */
static bool given_up;           /* before it marked anything */
static uint64_t t_stop, t_first, limit;
static uint64_t cpu_stop, cpu_first; /* t_stop, t_first in this thread's processor time */

/* What was learned. */
#define LAST_STOPS 4
static uint64_t block_ps[LAST_STOPS]; /* what the last stops that got to the end took from
				       * their first unit on, for each block of the heap */
static unsigned last_stop;
static uint64_t card_ns = 2000; /* and for each dirty card beyond that */
static uint64_t need_ns;        /* so this one will take at least so long */
static uint64_t finish_ns;      /* after a successful stop */
static uint64_t cpu_started;    /* when that stop was over */
static unsigned failures;       /* of the collection under way */
static uint64_t in_vain_ns;     /* how long the longest of them walked */
static _Atomic uint64_t unit_ns = 10000, long_unit_ns = 10000;
static _Atomic bool marking; /* between two attempts */
static _Atomic uint64_t stops;

/* Forks that are on their way, and when the first of them began. */
static _Atomic unsigned forks;
static _Atomic uint64_t t_fork;

/* Threads that wait for the end of the collection under way. */
static _Atomic unsigned finishing;

/* Towards what was seen: at once a good part of the way up, slowly down. */
static uint64_t follow(uint64_t now, uint64_t seen)
{
	return seen > now ? now + (seen - now) / 4 : now - (now - seen) / 32;
}

/* Libgc's fork handler waits until no collection is under way. It does a slice of marking, looks
 * again, and lets other threads run between two slices; they begin the next collection. If stops
 * are given up, a collection is nearly always under way. */
static bool fork_waits(void)
{
	return atomic_load_explicit(&forks, memory_order_relaxed) &&
	       cm_now_ns() - atomic_load_explicit(&t_fork, memory_order_relaxed) > FORK_WAITS_NS;
}

/* Is a long stop better than one that is given up? */
static bool must_end(void)
{
	return fork_waits() || atomic_load_explicit(&finishing, memory_order_relaxed);
}

static int rate_now(void)
{
	uint64_t one = atomic_load_explicit(&unit_ns, memory_order_relaxed);
	uint64_t rate = slice / (one ? one : 1);
	uint64_t most =
		target / SHOCK_SHARE / atomic_load_explicit(&long_unit_ns, memory_order_relaxed);

	if (must_end())
		return MOST_RATE;
	if (rate > most)
		rate = most;
	return rate < LEAST_RATE ? LEAST_RATE : rate > MOST_RATE ? MOST_RATE : (int)rate;
}

/* ---- Stops -------------------------------------------------------------------------- */

static uint64_t heap_blocks(void)
{
	return cm_gc_api.GC_get_heap_size() / BLOCK;
}

static uint64_t least_need(void)
{
	uint64_t ps = 0, ns;

	for (unsigned i = 0; i < LAST_STOPS; i++)
		if (!ps || (block_ps[i] && block_ps[i] < ps))
			ps = block_ps[i];
	ns = ps * heap_blocks() / 1000;
	return ns > in_vain_ns ? ns : in_vain_ns;
}

static unsigned most_attempts(void)
{
	return cm_gc_heap.cm && cm_gc_heap.tracker.backend == CARDMARK_BACKEND_ALLDIRTY
		       ? MOST_WHEN_ALL_IS_DIRTY
		       : MOST_ATTEMPTS;
}

static uint64_t limit_for(uint64_t read_ns)
{
	uint64_t most = target - slice, fixed = read_ns + need_ns;
	uint64_t room = need_ns / 8 > LEAST_ROOM_NS ? need_ns / 8 : LEAST_ROOM_NS;

	if (failures >= most_attempts() || must_end())
		return UINT64_MAX;
	for (unsigned i = EQUAL_ATTEMPTS; i < failures; i++)
		room += room / 2;
	most -= finish_ns < most ? finish_ns : most;
	cm_gc_pace.fixed_ns = fixed;
	if (fixed + room <= most)
		return most;
	if (fixed + room > target - slice)
		cm_gc_pace.raised++;
	return fixed + room;
}

/* The first stop of a full collection marks everything. In a small heap that is one short stop;
 * in slices it would take more time, and what is allocated meanwhile is kept. Where it is not known
 * how long that takes, it is tried for as long as the limit allows. */
static uint64_t marking_ns(void)
{
	uint64_t full;

	if (!cm_gc_record_full())
		return need_ns + card_ns * cm_gc_record_stop_cards();
	full = cm_gc_growth_full_ns();
	return full || failures == 0 ? full : need_ns + card_ns * heap_blocks();
}

/* Only its limit would end the stop: there is too much to mark. The estimate may be wrong, so it
 * counts less with each stop that was given up. */
static bool is_hopeless(uint64_t read_ns)
{
	return limit != UINT64_MAX &&
	       read_ns + marking_ns() > limit + limit / EQUAL_ATTEMPTS * failures;
}

struct cm_gc_outside cm_gc_step_out(void)
{
	struct cm_gc_outside before = { cm_gc_world_stopped, in_stop, asked_for,
					cm_gc_walk_put_back() };

	cm_gc_world_stopped = in_stop = asked_for = false;
	return before;
}

void cm_gc_step_in(struct cm_gc_outside before)
{
	cm_gc_world_stopped = before.stopped;
	in_stop = before.in_stop;
	asked_for = before.asked_for;
	if (before.walk)
		cm_gc_walk_hide_again();
}

static bool program_stops(void)
{
	struct cm_gc_outside before;
	bool result;

	if (!program_stop)
		return false;
	before = cm_gc_step_out();
	result = program_stop() != 0;
	cm_gc_step_in(before);
	return result;
}

/* The limit is processor time: on a busy machine a stop of 2 ms may take 50 ms, and if it is given
 * up for that, the next one does not take less. */
static int stop_now(void)
{
	uint64_t now;

	/* When libgc makes the last attempts itself, it asks no function. While it finishes a
	 * collection for GC_gcollect(), it asks for ever. */
	bool last = in_stop && failures >= most_attempts() && !cm_gc_test(CM_GC_TEST_NO_FINISH);

	if (!last && program_stops()) {
		asked_for = false;
		return 1;
	}
	if (!in_stop || asked_for)
		return 0;
	now = cm_now_ns();
	if (!t_first) {
		t_first = now;
		cpu_first = cm_cpu_ns();
		need_ns = least_need();
		limit = limit_for(cpu_first - cpu_stop);
		given_up = is_hopeless(cpu_first - cpu_stop);
		return given_up;
	}
	return now - t_stop >= limit && cm_cpu_ns() - cpu_stop >= limit;
}

static void stop_begins(void)
{
	in_stop = true;
	given_up = false;
	t_stop = cm_now_ns();
	cpu_stop = cm_cpu_ns();
	t_first = 0;
	atomic_fetch_add_explicit(&stops, 1, memory_order_relaxed);
}

/* From a stop that marked to the end. */
static void learn(void)
{
	uint64_t cards = cm_gc_record_stop_cards(), mark = cm_cpu_ns() - cpu_first;
	uint64_t blocks = heap_blocks();

	if (!t_first || asked_for)
		return;
	if (cards >= 256 && mark > need_ns)
		card_ns = follow(card_ns, (mark - need_ns) / cards);
	block_ps[last_stop++ % LAST_STOPS] = mark * 1000 / (blocks ? blocks : 1);
}

/* From a stop that did not, but not because of its dirty pages: the walk is longer than
 * estimated. */
static void learn_from_failure(uint64_t mark)
{
	if (!given_up && !asked_for && card_ns * cm_gc_record_stop_cards() < mark / 4 &&
	    mark > in_vain_ns)
		in_vain_ns = mark;
}

/* A slice that did next to nothing paid for units of the stop before it (GC_deficit in
 * alloc.c), and shows nothing. Then units become long from one slice to the next. */
static void learn_unit(uint64_t ns)
{
	uint64_t one = atomic_load_explicit(&unit_ns, memory_order_relaxed);
	uint64_t most = atomic_load_explicit(&long_unit_ns, memory_order_relaxed);

	if (ns < LEAST_UNIT_NS)
		return;
	atomic_store_explicit(&unit_ns, follow(one, ns), memory_order_relaxed);
	most = ns > most ? most + (ns - most) / 4 : most - most / 1024;
	atomic_store_explicit(&long_unit_ns, most > LEAST_LONG_NS ? most : LEAST_LONG_NS,
			      memory_order_relaxed);
}

static void stop_ends(bool done)
{
	if (!in_stop) /* called twice (chain.c), or it began in a callback that never came back */
		return;
	in_stop = false;
	cpu_started = cm_cpu_ns();
	cm_gc_pace.asked = asked_for;
	cm_gc_pace.unlimited = t_first && limit == UINT64_MAX;
	cm_gc_pace.above = t_first && !cm_gc_pace.unlimited && limit > target - slice;
	if (done) {
		failures = 0;
		in_vain_ns = 0;
	} else {
		failures++;
		if (t_first)
			learn_from_failure(cm_cpu_ns() - cpu_first);
		cm_gc_pace.given_up++;
		if (failures > cm_gc_pace.most_attempts)
			cm_gc_pace.most_attempts = failures;
	}
	atomic_store_explicit(&marking, !done, memory_order_relaxed);
	cm_gc_api.GC_set_rate(rate_now());
	/* The program's call may have come from an object that was not redirected yet. */
	cm_gc_api.GC_set_time_limit_tv(no_limit);
}

void cm_gc_pace_event(int event)
{
	static bool done;

	if (!cm_gc_pace.on)
		return;
	switch (event) {
	case CM_GC_EV_START:
		asked_for = true;
		break;
	case CM_GC_EV_END:
		asked_for = false;
		break;
	case CM_GC_EV_PRE_STOP_WORLD:
		stop_begins();
		done = false;
		break;
	case CM_GC_EV_MARK_START:
		if (!cm_gc_api.threads)
			stop_begins();
		break;
	case CM_GC_EV_MARK_END:
		learn();
		done = true;
		if (!cm_gc_api.threads)
			stop_ends(true);
		break;
	case CM_GC_EV_POST_START_WORLD:
		stop_ends(done);
		break;
	case CM_GC_EV_RECLAIM_END:
		finish_ns = follow(finish_ns, cm_cpu_ns() - cpu_started);
		cm_gc_pace.finish_ns = finish_ns;
		break;
	default:
		break;
	}
}

/* ---- Forks --------------------------------------------------------------------------- */

static void fork_begins(void)
{
	if (atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed) == 0)
		atomic_store_explicit(&t_fork, cm_now_ns(), memory_order_relaxed);
}

static void fork_ends(void)
{
	atomic_fetch_sub_explicit(&forks, 1, memory_order_relaxed);
}

static void in_child(void)
{
	atomic_store_explicit(&forks, 0, memory_order_relaxed);
	atomic_store_explicit(&finishing, 0, memory_order_relaxed);
}

/* After GC_init(), where libgc adds its own handler: ours must run before it. */
static void watch_forks(void)
{
	static atomic_bool done;

	if (!atomic_load_explicit(&done, memory_order_relaxed) &&
	    !atomic_exchange_explicit(&done, true, memory_order_relaxed))
		(void)pthread_atfork(fork_begins, fork_ends, in_child);
}

/* ---- Slices -------------------------------------------------------------------------- */

/* A slice is `rate` units for each block of the request: a megabyte would do 256. */
struct cm_gc_paced cm_gc_pace_enter(size_t bytes)
{
	struct cm_gc_paced entered = { 0 };

	if (!cm_gc_pace.on || !atomic_load_explicit(&marking, memory_order_relaxed))
		return entered;
	if (bytes > BLOCK) {
		int rate = rate_now() /
			   (int)(bytes / BLOCK + 1 < MOST_RATE ? bytes / BLOCK + 1 : MOST_RATE);
		cm_gc_api.GC_set_rate(rate > 0 ? rate : 1);
		return entered;
	}
	entered.stops = atomic_load_explicit(&stops, memory_order_relaxed);
	entered.cpu = cm_cpu_ns();
	return entered;
}

bool cm_gc_pace_leave(struct cm_gc_paced entered, size_t bytes, uint64_t ns)
{
	if (!cm_gc_pace.on)
		return false;
	watch_forks();
	if (ns > target + 1000000)
		atomic_fetch_add_explicit(&cm_gc_pace.stalls_over, 1, memory_order_relaxed);
	if (!entered.stops || bytes > BLOCK) {
		if (bytes > BLOCK)
			cm_gc_api.GC_set_rate(rate_now());
		return false;
	}
	/* A call with a stop in it, or without a slice, shows nothing about slices. */
	if (entered.stops != atomic_load_explicit(&stops, memory_order_relaxed) ||
	    !atomic_load_explicit(&marking, memory_order_relaxed))
		return false;
	ns = cm_cpu_ns() - entered.cpu;
	learn_unit(ns / (uint64_t)rate_now());
	cm_gc_growth_slice(ns);
	cm_gc_api.GC_set_rate(rate_now());
	return true;
}

/* ---- Ending the collection under way -------------------------------------------------- */

/* In a thread that libgc does not know, that is not possible. */
bool cm_gc_pace_can_finish(void)
{
	const struct cm_gc_api *api = &cm_gc_api;

	return cm_gc_pace.on && api->GC_collect_a_little && api->GC_is_disabled &&
	       api->GC_disable && api->GC_enable && api->GC_is_init_called &&
	       api->GC_is_init_called() &&
	       (!api->threads ||
		(api->GC_thread_is_registered && api->GC_thread_is_registered())) &&
	       !cm_gc_test(CM_GC_TEST_NO_FINISH);
}

bool cm_gc_pace_is_marking(void)
{
	return atomic_load_explicit(&marking, memory_order_relaxed);
}

void cm_gc_pace_finish(void)
{
	if (!cm_gc_pace_can_finish())
		return;
	atomic_fetch_add_explicit(&finishing, 1, memory_order_relaxed);
	cm_gc_api.GC_set_rate(rate_now());
	while (!cm_gc_api.GC_is_disabled() && cm_gc_api.GC_collect_a_little())
		;
	atomic_fetch_sub_explicit(&finishing, 1, memory_order_relaxed);
	cm_gc_api.GC_set_rate(rate_now());
}

/* ---- Setting it up -------------------------------------------------------------------- */

void cm_gc_hook_set_stop_func(cm_gc_stop_fn *fn)
{
	if (cm_gc_pace.on)
		__atomic_store_n(&program_stop, fn, __ATOMIC_RELEASE);
	else /* without a target it is libgc that asks it */
		cm_gc_api.GC_set_stop_func(fn);
}

cm_gc_stop_fn *cm_gc_hook_get_stop_func(void)
{
	/* cppcheck-suppress CastIntegerToAddressAtReturn ; as below */
	return cm_gc_pace.on ? program_stop : cm_gc_api.GC_get_stop_func();
}

/* The pause target decides these, also if the program sets them later. */

void cm_gc_hook_set_time_limit_tv(struct cm_gc_timeval theirs)
{
	program.limit = theirs;
	if (!cm_gc_pace.on)
		cm_gc_api.GC_set_time_limit_tv(theirs);
}

struct cm_gc_timeval cm_gc_hook_get_time_limit_tv(void)
{
	return cm_gc_pace.on ? program.limit : cm_gc_api.GC_get_time_limit_tv();
}

void cm_gc_hook_set_time_limit(unsigned long ms)
{
	program.limit.ms = ms;
	if (!cm_gc_pace.on)
		cm_gc_api.GC_set_time_limit(ms);
}

unsigned long cm_gc_hook_get_time_limit(void)
{
	return cm_gc_pace.on ? program.limit.ms : cm_gc_api.GC_get_time_limit();
}

void cm_gc_hook_set_rate(int rate)
{
	program.rate = rate;
	if (!cm_gc_pace.on)
		cm_gc_api.GC_set_rate(rate);
}

int cm_gc_hook_get_rate(void)
{
	return cm_gc_pace.on ? program.rate : cm_gc_api.GC_get_rate();
}

void cm_gc_hook_set_max_prior_attempts(int n)
{
	program.attempts = n;
	if (!cm_gc_pace.on)
		cm_gc_api.GC_set_max_prior_attempts(n);
}

int cm_gc_hook_get_max_prior_attempts(void)
{
	return cm_gc_pace.on ? program.attempts : cm_gc_api.GC_get_max_prior_attempts();
}

/* False: this libgc lacks a knob. */
bool cm_gc_pace_start(uint64_t target_ns)
{
	const struct cm_gc_api *api = &cm_gc_api;

	if (!api->GC_set_stop_func || !api->GC_get_stop_func || !api->GC_set_time_limit_tv ||
	    !api->GC_get_time_limit_tv || !api->GC_set_max_prior_attempts ||
	    !api->GC_get_max_prior_attempts || !api->GC_set_rate || !api->GC_get_rate)
		return false;
	program.limit = api->GC_get_time_limit_tv();
	program.rate = api->GC_get_rate();
	program.attempts = api->GC_get_max_prior_attempts();
	target = target_ns;
	slice = target / SLICE_SHARE;
	/* cppcheck-suppress AssignmentIntegerToAddress ; it takes the function for one that returns
	 * int */
	program_stop = api->GC_get_stop_func();
	api->GC_set_stop_func(stop_now);
	api->GC_set_time_limit_tv(no_limit);
	api->GC_set_max_prior_attempts(ATTEMPTS_OF_LIBGC);
	api->GC_set_rate(rate_now());
	cm_gc_pace.on = true;
	return true;
}
