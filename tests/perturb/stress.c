/* SPDX-License-Identifier: MIT
 *
 * Description: trackers that hand ranges over, forks and bare clones beside busy threads,
 * and collects beside scans that ignore new memory. No write may be missed, no child may
 * crash, and nobody may wait for ever. `make perturb` runs it with delays at chosen places.
 *
 * PROGRAM BACKEND [--seconds=S] [CASE] */
#include "tests/perturb/run.h"
#include "tests/perturb/watch.h"
#include "tests/support/backends.h"
#include "tests/support/random.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGIONS 8
#define CARDS 128 /* of a region */
#define PIECE 16  /* cards to a kernel call: there is something to share */
#define CHILD_SECONDS 20

static atomic_bool over;
static atomic_ulong n_lost, n_moves, n_children, n_bad_children;
/* For a backend that needs its writers stopped: writers share it. */
static pthread_rwlock_t world;
static bool concurrent;

struct region {
	pthread_mutex_t lock;
	unsigned char *mem;
	int owner;    /* index of the tracker that has it */
	unsigned age; /* counts hand-overs */
	struct watch watch[CARDS];
};

static struct region regions[REGIONS];
static unsigned char *heap;

static bool time_is_up(void)
{
	return atomic_load(&over);
}

static void lost(const char *who, const struct region *r, size_t card)
{
	if (atomic_fetch_add(&n_lost, 1) < 3)
		tap_note("LOST: %s does not report card %zu of region %d", who, card,
			 (int)(r - regions));
}

static struct cardmark *open_tracker(unsigned threads)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.threads = threads;
	options.chunk_bytes = PIECE * live_card;
	options.flags = concurrent ? CARDMARK_OPEN_CONCURRENT : 0;
	return live_open_options(&options);
}

static void stop_world(void)
{
	if (!concurrent)
		(void)pthread_rwlock_wrlock(&world);
}

static void start_world(void)
{
	if (!concurrent)
		(void)pthread_rwlock_unlock(&world);
}

static enum cardmark_collected collect(struct cardmark *cm, struct cardmark_table *table)
{
	enum cardmark_collected answer;

	cardmark_table_clear(table);
	stop_world();
	answer = cardmark_collect(cm, table);
	start_world();
	atomic_fetch_add(&n_answers, 1);
	return answer;
}

/* A few writes at a time, so that one that is lost is not covered by the next. */
static void *mutate(void *arg)
{
	uint64_t state = (uintptr_t)arg;

	while (!time_is_up()) {
		for (int i = 0; i < 4; i++) {
			struct region *r = &regions[random_below(&state, REGIONS)];
			size_t card = random_below(&state, CARDS);

			if (!concurrent)
				(void)pthread_rwlock_rdlock(&world);
			watch_write(&r->watch[card], r->mem + card * live_card);
			if (!concurrent)
				(void)pthread_rwlock_unlock(&world);
			atomic_fetch_add(&n_writes, 1);
		}
		sleep_us(200);
	}
	return NULL;
}

static void set_up(void)
{
	heap = live_map((size_t)REGIONS * CARDS);
	memset(heap, 1, REGIONS * CARDS * live_card);
	for (size_t i = 0; i < REGIONS; i++) {
		struct region *r = &regions[i];

		memset(r, 0, sizeof *r);
		(void)pthread_mutex_init(&r->lock, NULL);
		r->mem = heap + i * CARDS * live_card;
		r->owner = -1;
	}
	(void)pthread_rwlock_init(&world, NULL);
	concurrent = live_can(CARDMARK_CAP_CONCURRENT);
	atomic_store(&over, false);
	atomic_store(&n_lost, 0);
	atomic_store(&n_answers, 0);
	atomic_store(&n_writes, 0);
	atomic_store(&n_moves, 0);
	atomic_store(&n_children, 0);
	atomic_store(&n_bad_children, 0);
}

static void give(struct region *r, struct cardmark *cm, int owner)
{
	int error;

	/* -EBUSY: its lock did not come within 2 s. A thread that stands still has it, or one that
	 * gets no processor. */
	for (int tries = 0; tries < 30; tries++) {
		error = cardmark_track(cm, r->mem, CARDS * live_card, 0);
		if (error != -EBUSY)
			break;
		tap_note("%s", cardmark_last_error());
	}
	CHECK_EQ(error, 0);
	r->owner = owner;
	r->age++;
	for (size_t c = 0; c < CARDS; c++) {
		watch_settle(&r->watch[c]);
		r->watch[c].is_new = true;
	}
}

static void check_counts(void)
{
	tap_note("%s %s: %lu writes, %lu answers, %lu hand-overs, %lu children, lost %lu",
		 cardmark_backend_name(live_backend), live_now->name, atomic_load(&n_writes),
		 atomic_load(&n_answers), atomic_load(&n_moves), atomic_load(&n_children),
		 atomic_load(&n_lost));
	CHECK(atomic_load(&n_writes) > 0 && atomic_load(&n_answers) > 0);
	CHECK_EQ(atomic_load(&n_lost), 0);
	CHECK_EQ(atomic_load(&n_bad_children), 0);
}

struct asker {
	struct cardmark *cm;
	struct cardmark_table *table;
	int number;
	bool mine[REGIONS];
	unsigned age[REGIONS];
};

/* One collect: it must have what was written to regions that its tracker had all the while. */
static void ask(struct asker *a)
{
	for (size_t i = 0; i < REGIONS; i++) {
		struct region *r = &regions[i];

		(void)pthread_mutex_lock(&r->lock);
		a->mine[i] = r->owner == a->number;
		a->age[i] = r->age;
		for (size_t c = 0; c < CARDS && a->mine[i]; c++)
			watch_ask(&r->watch[c]);
		(void)pthread_mutex_unlock(&r->lock);
	}
	(void)collect(a->cm, a->table);
	for (size_t i = 0; i < REGIONS; i++) {
		struct region *r = &regions[i];

		(void)pthread_mutex_lock(&r->lock);
		for (size_t c = 0; c < CARDS && r->owner == a->number; c++) {
			bool dirty = cardmark_table_is_dirty(a->table, r->mem + c * live_card);

			/* What came meanwhile may be in the answer. */
			if (!a->mine[i] || r->age != a->age[i]) {
				if (dirty)
					watch_settle(&r->watch[c]);
			} else if (!watch_answer(&r->watch[c], dirty)) {
				lost(a->number == 0 ? "the first tracker" : "the second tracker", r,
				     c);
			}
		}
		(void)pthread_mutex_unlock(&r->lock);
	}
}

static void *ask_and_ask(void *arg)
{
	while (!time_is_up()) {
		ask(arg);
		sleep_us(1000);
	}
	return NULL;
}

static void end_threads(pthread_t *threads, size_t n)
{
	atomic_store(&over, true);
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
}

/* ---- Ranges handed over ------------------------------------------------------------ */

static struct asker askers[2];

/* From the tracker that has it to the other one. */
static void hand_over(struct region *r)
{
	int error;

	(void)pthread_mutex_lock(&r->lock);
	error = cardmark_untrack(askers[r->owner].cm, r->mem, CARDS * live_card);
	if (error == 0) {
		give(r, askers[1 - r->owner].cm, 1 - r->owner);
		atomic_fetch_add(&n_moves, 1);
	}
	(void)pthread_mutex_unlock(&r->lock);
	CHECK(error == 0 || error == -EBUSY);
}

/* What is tracked stays so while its region is locked, however busy the trackers are. */
static void *is_it_tracked(void *arg)
{
	uint64_t state = (uintptr_t)arg;

	while (!time_is_up()) {
		struct region *r = &regions[random_below(&state, REGIONS)];

		(void)pthread_mutex_lock(&r->lock);
		if (!says_tracked(askers[r->owner].cm, r->mem, CARDS * live_card)) {
			atomic_fetch_add(&n_lost, 1);
			tap_note("LOST: what is tracked is not, says is_tracked");
		}
		(void)pthread_mutex_unlock(&r->lock);
		sleep_us(300);
	}
	return NULL;
}

/* Only the first has helpers. */
static void two_trackers(void)
{
	pthread_t threads[4];
	uint64_t state = 5, deadline;

	set_up();
	for (int i = 0; i < 2; i++) {
		if (i > 0)
			live_may_open_another();
		askers[i].cm = open_tracker(i == 0 ? 3 : 1);
		askers[i].table = live_table(askers[i].cm);
		askers[i].number = i;
	}
	for (size_t i = 0; i < REGIONS; i++)
		give(&regions[i], askers[i % 4 == 0].cm, i % 4 == 0);
	deadline = deadline_ns();
	(void)pthread_create(&threads[0], NULL, mutate, (void *)1);
	for (size_t i = 0; i < 2; i++)
		(void)pthread_create(&threads[1 + i], NULL, ask_and_ask, &askers[i]);
	(void)pthread_create(&threads[3], NULL, is_it_tracked, (void *)4);
	while (goes_on(deadline)) {
		hand_over(&regions[random_below(&state, REGIONS)]);
		sleep_us(2000);
	}
	end_threads(threads, 4);
	for (int i = 0; i < 2; i++)
		ask(&askers[i]);
	check_counts();
}

/* ---- Children ------------------------------------------------------------------------ */

/* Tracks and untracks: somebody is inside when a child is made. */
static void *busy(void *arg)
{
	unsigned char *side = arg;

	while (!time_is_up()) {
		if (cardmark_track(askers[0].cm, side, 16 * live_card, 0) == 0)
			live_store(side, 1);
		(void)cardmark_untrack(askers[0].cm, side, 16 * live_card);
		sleep_us(50);
	}
	return NULL;
}

static struct cardmark_table *in_handler, *in_second;
static atomic_int go;

static void handle(int sig)
{
	int error = errno;

	(void)sig;
	(void)cardmark_collect(askers[0].cm, in_handler);
	errno = error;
}

static void *second_thread(void *arg)
{
	(void)arg;
	(void)atomic_fetch_add(&go, 1);
	while (atomic_load(&go) < 2)
		;
	for (int i = 0; i < 3; i++)
		(void)cardmark_collect(askers[0].cm, in_second);
	return NULL;
}

/* Two threads, and perhaps a handler, make the first call in the child. Then it must find its
 * own writes. */
static _Noreturn void in_child(bool two)
{
	struct asker *a = &askers[0];
	pthread_t second;
	sigset_t all;

	if (two && pthread_create(&second, NULL, second_thread, NULL) != 0)
		two = false;
	if (two) {
		while (atomic_load(&go) < 1)
			;
		(void)atomic_fetch_add(&go, 1);
		(void)cardmark_collect(a->cm, a->table);
		(void)pthread_join(second, NULL);
	}
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGSEGV);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	for (int turn = 0; turn < 2; turn++) {
		cardmark_table_clear(a->table);
		(void)cardmark_collect(a->cm, a->table);
		cardmark_table_clear(a->table);
		for (size_t i = 0; i < REGIONS; i++)
			live_store(regions[i].mem, 7);
		(void)cardmark_collect(a->cm, a->table);
		for (size_t i = 0; i < REGIONS; i++)
			if (!cardmark_table_is_dirty(a->table, regions[i].mem))
				_exit(1);
	}
	if (two)
		cardmark_close(&a->cm);
	for (size_t i = 0; i < REGIONS; i++)
		live_store(regions[i].mem, 8);
	_exit(0);
}

/* False: it had to be ended. A child that hangs may have every signal blocked. */
static bool wait_for(pid_t pid, int *status)
{
	for (unsigned i = 0; i < CHILD_SECONDS * 2000; i++) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		sleep_us(500);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, status, 0);
	return false;
}

static void have_child(bool bare)
{
	int status = 0;
	pid_t pid;

	atomic_store(&go, 0);
	pid = bare ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
	if (pid == 0)
		in_child(bare);
	CHECK(pid > 0);
	(void)kill(pid, SIGUSR1);
	if (!wait_for(pid, &status))
		tap_note("a child hangs");
	else if (WIFSIGNALED(status))
		tap_note("a child crashed");
	else if (status != 0)
		tap_note("LOST: a child does not find its own write");
	atomic_fetch_add(&n_children, 1);
	if (status != 0)
		atomic_fetch_add(&n_bad_children, 1);
}

static void children(void)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART }, before_it;
	unsigned char *side = live_map(16);
	pthread_t threads[3];
	uint64_t deadline;

	set_up();
	memset(askers, 0, sizeof askers);
	askers[0].cm = open_tracker(1);
	askers[0].table = live_table(askers[0].cm);
	in_handler = live_table(askers[0].cm);
	in_second = live_table(askers[0].cm);
	for (size_t i = 0; i < REGIONS; i++)
		give(&regions[i], askers[0].cm, 0);
	(void)sigaction(SIGUSR1, &action, &before_it);
	deadline = deadline_ns();
	(void)pthread_create(&threads[0], NULL, mutate, (void *)2);
	(void)pthread_create(&threads[1], NULL, ask_and_ask, &askers[0]);
	(void)pthread_create(&threads[2], NULL, busy, side);
	for (bool bare = false; goes_on(deadline); bare = !bare)
		have_child(bare);
	end_threads(threads, 3);
	ask(&askers[0]);
	(void)sigaction(SIGUSR1, &before_it, NULL);
	check_counts();
}

/* ---- New memory, scans that ignore it, and collects that do not wait --------------------- */

/* Shared by whoever asks or tracks, and taken alone for the question that is checked. */
static pthread_rwlock_t asking;
static pthread_mutex_t books = PTHREAD_MUTEX_INITIALIZER;

static void ages(unsigned *out)
{
	(void)pthread_mutex_lock(&books);
	for (size_t i = 0; i < REGIONS; i++)
		out[i] = regions[i].age;
	(void)pthread_mutex_unlock(&books);
}

/* What a collect reports is settled. */
static void settle_collected(struct asker *a)
{
	(void)pthread_mutex_lock(&books);
	for (size_t i = 0; i < REGIONS; i++)
		for (size_t c = 0; c < CARDS; c++) {
			struct region *r = &regions[i];
			bool is_new = r->watch[c].is_new && r->age != a->age[i];

			if (cardmark_table_is_dirty(a->table, r->mem + c * live_card)) {
				watch_settle(&r->watch[c]);
				r->watch[c].is_new = is_new;
			}
		}
	(void)pthread_mutex_unlock(&books);
}

static void *collect_and_settle(void *arg)
{
	struct asker *a = arg;

	while (!time_is_up()) {
		(void)pthread_rwlock_rdlock(&asking);
		ages(a->age);
		(void)collect(a->cm, a->table);
		settle_collected(a);
		(void)pthread_rwlock_unlock(&asking);
		sleep_us(3000);
	}
	return NULL;
}

/* What a scan reports is settled, and what was new to it is passed over. */
static void settle_scanned(const struct cardmark_query *q, const unsigned *age)
{
	size_t at = 0;

	(void)pthread_mutex_lock(&books);
	for (size_t i = 0; i < REGIONS; i++)
		for (size_t c = 0; c < CARDS; c++) {
			struct region *r = &regions[i];
			uintptr_t card = (uintptr_t)r->mem + c * live_card;
			bool is_new = r->watch[c].is_new;

			while (at < q->count && q->regions[at].end <= card)
				at++;
			if (is_new || (at < q->count && q->regions[at].start <= card)) {
				watch_settle(&r->watch[c]);
				r->watch[c].is_new = is_new && r->age != age[i];
			}
		}
	(void)pthread_mutex_unlock(&books);
}

static void *scan_and_settle(void *arg)
{
	static struct cardmark_region found[REGIONS * CARDS];
	struct asker *a = arg;
	unsigned age[REGIONS];

	while (!time_is_up()) {
		struct cardmark_query q = { .size = sizeof q,
					    .start = heap,
					    .len = REGIONS * CARDS * live_card,
					    .op = CARDMARK_SCAN_GET_AND_CLEAR,
					    .flags = CARDMARK_SCAN_IGNORE_NEW,
					    .required = CARDMARK_PAGE_WRITTEN,
					    .returned = CARDMARK_PAGE_WRITTEN,
					    .regions = found,
					    .capacity = REGIONS * CARDS };

		(void)pthread_rwlock_rdlock(&asking);
		ages(age);
		stop_world();
		if (cardmark_scan(a->cm, &q) == 0)
			settle_scanned(&q, age);
		start_world();
		(void)pthread_rwlock_unlock(&asking);
		sleep_us(1000);
	}
	return NULL;
}

static void *renew(void *arg)
{
	struct asker *a = arg;
	uint64_t state = 3;

	while (!time_is_up()) {
		struct region *r = &regions[random_below(&state, REGIONS)];

		(void)pthread_rwlock_rdlock(&asking);
		(void)pthread_mutex_lock(&books);
		if (cardmark_untrack(a->cm, r->mem, CARDS * live_card) == 0) {
			give(r, a->cm, 0);
			atomic_fetch_add(&n_moves, 1);
		}
		(void)pthread_mutex_unlock(&books);
		(void)pthread_rwlock_unlock(&asking);
		sleep_us(2000);
	}
	return NULL;
}

static void new_memory(void)
{
	pthread_t threads[4];
	struct asker *a = &askers[0];
	pthread_rwlockattr_t attr;
	uint64_t deadline;

	set_up();
	(void)pthread_rwlockattr_init(&attr);
	(void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&asking, &attr);
	(void)pthread_rwlockattr_destroy(&attr);
	memset(askers, 0, sizeof askers);
	a->cm = open_tracker(1);
	a->table = live_table(a->cm);
	for (size_t i = 0; i < REGIONS; i++)
		give(&regions[i], a->cm, 0);
	askers[1] = *a;
	askers[1].table = live_table(a->cm);
	deadline = deadline_ns();
	(void)pthread_create(&threads[0], NULL, mutate, (void *)3);
	(void)pthread_create(&threads[1], NULL, scan_and_settle, a);
	(void)pthread_create(&threads[2], NULL, collect_and_settle, a);
	(void)pthread_create(&threads[3], NULL, renew, a);
	while (goes_on(deadline)) {
		sleep_us(30000);
		(void)pthread_rwlock_wrlock(&asking);
		ask(&askers[1]);
		(void)pthread_rwlock_unlock(&asking);
	}
	end_threads(threads, 4);
	ask(&askers[1]);
	check_counts();
}

/* ---------------------------------------------------------------------------------------- */

static const struct live_case cases[] = {
	{ .name = "ranges handed over", .run = two_trackers },
	{ .name = "children", .run = children },
	{ .name = "new memory", .run = new_memory },
};

int main(int argc, char **argv)
{
	return stress_main(argc, argv, LIVE_CASES(cases));
}
