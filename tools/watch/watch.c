/* SPDX-License-Identifier: MIT
 * cardmark watch: starts a program with the object preloaded, takes the object's records, and
 * reports them when the program ends. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/ranges.h"
#include "tools/tool.h"
#include "tools/watch/report.h"
#include "tools/watch/stat.h"

#define OBJECT_VARIABLE "CARDMARK_WATCH_PRELOAD"
#define SHARE 10 /* a tenth of the time */
#define NAP_NS 10000000L
#define QUIET_NS UINT64_C(2000000000) /* a shorter run shows no progress */

struct options {
	const char *interval, *seconds, *svg, *json;
	bool raw;
	double interval_ms, limit_s;
};

struct watch {
	struct watch_shared *shared;
	struct watch_result result;
	bool first_ended_early; /* of the program's threads */
	bool reported, over;    /* over: the object has taken its last look */
	char *record;           /* the one that is being read */
	size_t capacity;
	uint64_t begin_ns, shown_ns;
	uint64_t stack;    /* where that of the watched program begins; 0: not known */
	uint64_t other_ns; /* since when it is another program, which the object did not report */
	char other[64];    /* its name */
};

static void help(void)
{
	printf("Usage: cardmark watch [OPTION]... [--] PROGRAM [ARG]...\n"
	       "Runs PROGRAM and reports how much of its private memory is written, how fast, and\n"
	       "where: what an incremental snapshot, a live migration or a save without a fork\n"
	       "would cost. PROGRAM is not rebuilt; it must be dynamically linked.\n\n"
	       "  --interval=MS  look every MS milliseconds, 0.5 to 10000; without it every 10, "
	       "or\n"
	       "                 less often, so that watching takes about a tenth of the time\n"
	       "  --seconds=N    stop watching after N seconds; PROGRAM goes on\n"
	       "  --svg=FILE     the heat map, address by time, as a picture\n"
	       "  --json=FILE    the report as JSON\n"
	       "  --raw          each look and the ranges written, in the JSON too\n"
	       "  -h, --help     this text\n"
	       "  -V, --version  the version\n\n"
	       "FILE: - is standard output. The report as text goes to standard error.\n"
	       "The process that is started is watched, also after an exec; its children are\n"
	       "not. The exit status is the program's own, or 127 not found, 126 not\n"
	       "executable, 1 it cannot be watched, 2 wrong usage.\n");
}

/* -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	const struct tool_option known[] = {
		{ .name = "interval", .value = &o->interval },
		{ .name = "seconds", .value = &o->seconds },
		{ .name = "svg", .value = &o->svg },
		{ .name = "json", .value = &o->json },
		{ .name = "raw", .flag = &o->raw },
	};
	int status = tool_read_options("watch", argc, argv, known, sizeof known / sizeof *known,
				       true, help);

	if (status >= 0)
		return status;
	o->interval_ms = 10;
	if (o->interval != NULL && !tool_parse_number(o->interval, 0.5, 10000, &o->interval_ms))
		return tool_usage_error("watch",
					"--interval is milliseconds, 0.5 to 10000, not \"%s\"",
					o->interval);
	if (o->seconds != NULL && !tool_parse_number(o->seconds, 0.01, 1e6, &o->limit_s))
		return tool_usage_error("watch", "--seconds is 0.01 to 1000000, not \"%s\"",
					o->seconds);
	if (o->raw && o->json == NULL)
		return tool_usage_error("watch", "--raw needs --json");
	if (o->svg != NULL && o->json != NULL && strcmp(o->svg, "-") == 0 &&
	    strcmp(o->json, "-") == 0)
		return tool_usage_error("watch", "--svg and --json cannot both be -");
	if (optind >= argc)
		return tool_usage_error("watch", "no program is named");
	if ((o->svg != NULL && !tool_output_usable("watch", "the picture", o->svg)) ||
	    (o->json != NULL && !tool_output_usable("watch", "the report", o->json)))
		return TOOL_CANNOT;
	return -1;
}

/* 0, or the exit status for a program that cannot be watched. */
static int find(const char *name, char program[TOOL_PATH], char object[TOOL_PATH],
		const char **suspect)
{
	static struct cardmark_probe probe;
	int status = tool_find_to_run("watch", name, "", program);
	const char *why;

	if (status != TOOL_OK)
		return status;
	why = tool_preload_obstacle(program);
	if (why != NULL)
		tool_message("watch",
			     "%s cannot be watched: %s, so nothing can be preloaded into it; "
			     "nothing was started",
			     name, why);
	else if (!tool_probe_one(CARDMARK_BACKEND_PAGEMAP, &probe) || !probe.usable)
		tool_message("watch",
			     "nothing can be watched on this system: backend pagemap cannot work: "
			     "%s; nothing was started",
			     probe.reason);
	else if (!tool_find_object(OBJECT_VARIABLE, "tools/watch", "libcardmark-watch.so", object))
		tool_message("watch", "the object to preload is missing (looked at %s)", object);
	else
		why = NULL, status = -1;
	*suspect = probe.suspect ? probe.reason : NULL;
	return status == -1 ? TOOL_OK : TOOL_CANNOT;
}

/* RLIMIT_FSIZE holds for files in memory, too. The program keeps it, and the signal's action. */
static int make_long(int fd)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	struct rlimit limit, wide;
	int err;

	(void)sigaction(SIGXFSZ, &ignore, &before);
	(void)getrlimit(RLIMIT_FSIZE, &limit);
	wide = (struct rlimit){ limit.rlim_max, limit.rlim_max };
	(void)setrlimit(RLIMIT_FSIZE, &wide);
	err = ftruncate(fd, WATCH_FILE) == 0 ? 0 : errno;
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	(void)sigaction(SIGXFSZ, &before, NULL);
	errno = err;
	return -(err != 0);
}

static struct watch_shared *share(int *fd)
{
	void *at = MAP_FAILED;

	*fd = memfd_create(WATCH_MEMORY, MFD_CLOEXEC);
	if (*fd >= 0 && make_long(*fd) == 0)
		at = mmap(NULL, sizeof(struct watch_shared), PROT_READ | PROT_WRITE, MAP_SHARED,
			  *fd, 0);
	if (at != MAP_FAILED)
		return at;
	if (errno == EFBIG)
		tool_message(
			"watch",
			"no memory to share with the program: files here may be no longer than "
			"RLIMIT_FSIZE (ulimit -f), and %d MiB are needed; nothing was started",
			WATCH_FILE >> 20);
	else
		tool_message("watch",
			     "no memory to share with the program: %s; nothing was started",
			     strerror(errno));
	return NULL;
}

_Noreturn static void become(char *program, const char *object, char **argv, pid_t parent, int fd,
			     const struct options *o, const sigset_t *mask)
{
	char text[96];

	snprintf(text, sizeof text, "%ld:%ld:%d:%.0f:%d", (long)getpid(), (long)parent, fd,
		 o->interval_ms * 1e6, o->interval == NULL ? SHARE : 0);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	if (!tool_set_preload("watch", OBJECT_VARIABLE, object) ||
	    !tool_set_variable("watch", WATCH_VARIABLE, text))
		_exit(TOOL_CANNOT);
	_exit(tool_become("watch", program, argv));
}

static void note_look(struct watch *w, const struct watch_look *look)
{
	struct tally *t = w->result.tally;
	FILE *f = w->result.each_look;

	if (f != NULL && !look->first) {
		fprintf(f, "%s\n[%llu,%llu,[", t->looks > 0 ? "," : "",
			(unsigned long long)look->start, (unsigned long long)look->end);
		for (size_t i = 0; i < t->n_runs; i++)
			fprintf(f, "%s[%zu,%zu]", i > 0 ? "," : "", (size_t)t->run[i].start,
				(size_t)t->run[i].end);
		fputs("]]", f);
	}
	tally_look(t, look);
}

static void start_anew(struct watch *w, const struct watch_start *start)
{
	struct watch_result *r = &w->result;

	r->execs += *r->name != '\0';
	(void)snprintf(r->name, sizeof r->name, "%s", start->name);
	w->stack = start->stack;
	w->other_ns = 0;
	if (r->each_look != NULL) {
		rewind(r->each_look);
		if (ftruncate(fileno(r->each_look), 0) != 0)
			tool_message("watch", "a temporary file: %s", strerror(errno));
	}
	tally_start(r->tally);
}

static void note(struct watch *w, enum watch_record kind, char *data, size_t n)
{
	struct tally *t = w->result.tally;
	struct watch_mapping mapping;
	struct watch_look look;

	switch (kind) {
	case WATCH_START:
		start_anew(w, (const void *)data);
		break;
	case WATCH_FAILED:
		(void)snprintf(w->result.failed, sizeof w->result.failed, "%s", data);
		break;
	case WATCH_MAPPED:
		tally_mapped(t, (const void *)data, n / sizeof mapping);
		break;
	case WATCH_REFUSED:
		memcpy(&mapping, data, sizeof mapping);
		tally_refused(t, &mapping, data + sizeof mapping);
		break;
	case WATCH_RUNS:
		tally_runs(t, (const void *)data, n / sizeof(struct cardmark_region));
		break;
	case WATCH_LOOKED:
		memcpy(&look, data, sizeof look);
		note_look(w, &look);
		break;
	case WATCH_FINISHED:
		w->over = w->result.finished = true;
		break;
	}
}

static void drain(struct watch *w)
{
	struct watch_shared *s = w->shared;
	uint64_t tail = atomic_load_explicit(&s->tail, memory_order_relaxed), header[2];

	/* Pairs with the release in the object. */
	while (tail < atomic_load_explicit(&s->head, memory_order_acquire)) {
		watch_copy(s, tail, header, sizeof header, false);
		if (header[1] > w->capacity) {
			w->capacity = header[1];
			w->record = realloc(w->record, w->capacity + 1);
			if (w->record == NULL)
				abort();
		}
		watch_copy(s, tail + sizeof header, w->record, header[1], false);
		w->record[header[1]] = '\0';
		note(w, (enum watch_record)header[0], w->record, header[1]);
		tail += sizeof header + header[1];
		atomic_store_explicit(&s->tail, tail, memory_order_release);
	}
}

static void write_file(const struct watch_result *r, const char *name,
		       void (*put)(const struct watch_result *r, FILE *f))
{
	FILE *f = strcmp(name, "-") == 0 ? stdout : fopen(name, "we");

	if (f != NULL)
		put(r, f);
	if (f == NULL || ferror(f) || (f == stdout ? fflush(f) : fclose(f)) != 0)
		tool_message("watch", "%s could not be written: %s", name, strerror(errno));
}

static void report(struct watch *w, const struct options *o)
{
	struct watch_result *r = &w->result;
	uint64_t now = cm_now_ns();

	if (w->reported)
		return;
	w->reported = true;
	if (isatty(STDERR_FILENO) == 1 && w->shown_ns != 0)
		fputs("\r\033[K", stderr);
	r->last_s =
		(double)(now - (r->tally->answered_ns != 0 ? r->tally->answered_ns : w->begin_ns)) *
		1e-9;
	r->finished &= r->tally->answered_ns == r->tally->end_ns;
	r->forks = atomic_load_explicit(&w->shared->forks, memory_order_relaxed);
	if (w->other_ns != 0) {
		r->became_s = (double)(now - w->other_ns) * 1e-9;
		(void)snprintf(r->became, sizeof r->became, "%s", w->other);
		tool_make_utf8(r->became);
	}
	tally_end(r->tally);
	if (*r->name == '\0')
		(void)snprintf(r->name, sizeof r->name, "%s", r->argv[0]);
	tool_make_utf8(r->name);
	report_text(r, stderr);
	if (o->json != NULL)
		write_file(r, o->json, report_json);
	if (o->svg != NULL)
		write_file(r, o->svg, report_svg);
}

static void progress(struct watch *w, double limit_s)
{
	const struct tally *t = w->result.tally;
	bool tty = isatty(STDERR_FILENO) == 1;
	uint64_t now = cm_now_ns(), every = tty ? QUIET_NS / 4 : 5 * QUIET_NS;
	double so_far = (double)(now - w->begin_ns) * 1e-9;
	char left[48] = "", a[2][16];

	if (w->reported || now - w->begin_ns < QUIET_NS || now - w->shown_ns < every)
		return;
	w->shown_ns = now;
	if (limit_s > 0)
		(void)snprintf(left, sizeof left, ", about %.0f s left",
			       limit_s > so_far ? limit_s - so_far : 0);
	fprintf(stderr, "%s%llu looks, %s written in %s (%.0f s so far%s)%s",
		tty ? "\r" : "cardmark watch: ", (unsigned long long)t->looks,
		report_size((double)(t->written * t->page), a[0]),
		report_size((double)(t->distinct * t->page), a[1]), so_far, left,
		tty ? "\033[K" : "\n");
	fflush(stderr);
}

/* A terminal sends its signals to the program as well. */
static void pass_on(const siginfo_t *info, pid_t pid)
{
	if (info->si_signo != SIGCHLD && info->si_code != SI_KERNEL)
		(void)kill(pid, info->si_signo);
}

/* A program whose first thread has ended goes on until the last thread ends. If that is the
 * object's, it must end now, and with the status that the program would have had. */
static bool only_the_object_runs(struct watch *w, const struct watch_stat *s)
{
	if (s->state != 'Z' || s->threads < 2)
		return false;
	if (s->threads > 2) {
		w->first_ended_early = true;
		return false;
	}
	/* The status is that of the thread which ends last. Only bare system calls give another
	 * one than 0. */
	if (!w->first_ended_early)
		atomic_store_explicit(&w->shared->last_code, s->code >> 8 & 0xff,
				      memory_order_relaxed);
	return true;
}

/* By exec. The object will report it soon, if it was loaded again. */
static void note_another_program(struct watch *w, const struct watch_stat *s)
{
	if (w->stack == 0 || s->stack == 0 || s->stack == w->stack)
		return;
	if (w->other_ns == 0)
		w->other_ns = cm_now_ns();
	(void)snprintf(w->other, sizeof w->other, "%s", s->name);
}

static void ask_for_the_end(struct watch_shared *s)
{
	atomic_store_explicit(&s->stop, 1, memory_order_release);
	watch_wake(&s->stop);
}

static int open_stat(long pid)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void follow(struct watch *w, const struct options *o, const sigset_t *signals)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	struct watch_result *r = &w->result;
	uint64_t limit_ns = (uint64_t)(o->limit_s * 1e9);
	int stat = open_stat(r->pid);
	struct watch_stat now;
	siginfo_t info;
	bool limit = false;

	r->running = true;
	while (r->running) {
		if (sigtimedwait(signals, &info, &nap) > 0)
			pass_on(&info, (pid_t)r->pid);
		if (!limit && limit_ns > 0 && cm_now_ns() - w->begin_ns >= limit_ns) {
			limit = true;
			ask_for_the_end(w->shared);
		}
		now = watch_stat_read(stat);
		note_another_program(w, &now);
		if (only_the_object_runs(w, &now))
			ask_for_the_end(w->shared);
		r->running = waitpid((pid_t)r->pid, &r->status, WNOHANG) != (pid_t)r->pid;
		drain(w); /* whatever the program left */
		if (limit && w->over && r->running)
			report(w, o);
		progress(w, o->limit_s);
	}
	if (stat >= 0)
		(void)close(stat);
	report(w, o);
}

/* Ends in the same way as the program, so that the parent sees no difference. */
static int end_like(int status, const sigset_t *mask)
{
	const struct rlimit none = { 0, 0 };

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	fflush(NULL);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(WTERMSIG(status), SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

int tool_watch(int argc, char **argv)
{
	static const int passed_on[] = {
		SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2
	};
	char program[TOOL_PATH], object[TOOL_PATH];
	struct options o = { 0 };
	struct watch w = { 0 };
	sigset_t signals, before;
	int status = parse(argc, argv, &o), fd;
	pid_t parent = getpid();

	if (status < 0)
		status = find(argv[optind], program, object, &w.result.suspect);
	else
		return status;
	if (status != TOOL_OK)
		return status;
	w.shared = share(&fd);
	if (w.shared == NULL)
		return TOOL_CANNOT;
	w.result.argv = argv + optind;
	w.result.tally = tally_new((uint64_t)(o.interval_ms * 1e6));
	w.result.each_look = o.raw ? tmpfile() : NULL;
	w.begin_ns = cm_now_ns();
	(void)sigemptyset(&signals);
	for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		(void)sigaddset(&signals, passed_on[i]);
	(void)sigprocmask(SIG_BLOCK, &signals, &before);
	fflush(NULL);
	w.result.pid = fork();
	if (w.result.pid < 0) {
		tool_message("watch", "cannot start %s: %s", program, strerror(errno));
		return TOOL_CANNOT;
	}
	if (w.result.pid == 0)
		become(program, object, argv + optind, parent, fd, &o, &before);
	follow(&w, &o, &signals);
	return end_like(w.result.status, &before);
}
