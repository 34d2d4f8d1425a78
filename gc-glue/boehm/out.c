/* SPDX-License-Identifier: MIT */
#include "gc-glue/boehm/out.h"

#include "common/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void cm_gc_flush(struct cm_gc_out *o)
{
	size_t at = 0;

	while (at < o->n && !o->error) {
		ssize_t w = write(o->fd, o->buf + at, o->n - at);

		if (w > 0)
			at += (size_t)w;
		else if (w == 0 || errno != EINTR)
			o->error = w == 0 ? ENOSPC : errno;
	}
	o->n = 0;
}

static size_t room(struct cm_gc_out *o)
{
	if (sizeof o->buf - o->n < 1024)
		cm_gc_flush(o);
	return sizeof o->buf - o->n;
}

void cm_gc_put(struct cm_gc_out *o, const char *format, ...)
{
	size_t left = room(o);
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(o->buf + o->n, left, format, args);
	va_end(args);
	if (n > 0)
		o->n += (size_t)n < left ? (size_t)n : left - 1;
}

void cm_gc_put_quoted(struct cm_gc_out *o, const char *s)
{
	cm_gc_put(o, "\"");
	while (*s) {
		size_t n = cm_utf8_length(s);

		if (n == 0)
			cm_gc_put(o, "\\ufffd");
		else if (*s == '"' || *s == '\\')
			cm_gc_put(o, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			cm_gc_put(o, "\\u%04x", (unsigned)*s);
		else
			cm_gc_put(o, "%.*s", (int)n, s);
		s += n ? n : 1;
	}
	cm_gc_put(o, "\"");
}

void cm_gc_put_text(struct cm_gc_out *o, const char *key, const char *s)
{
	cm_gc_put(o, "  \"%s\": ", key);
	cm_gc_put_quoted(o, s);
	cm_gc_put(o, ",\n");
}

void cm_gc_put_number(struct cm_gc_out *o, const char *key, uint64_t value)
{
	cm_gc_put(o, "  \"%s\": %llu,\n", key, (unsigned long long)value);
}

const char *cm_gc_ms_text(char buf[CM_GC_MS_ROOM], uint64_t ns)
{
	int n = snprintf(buf, CM_GC_MS_ROOM, "%llu.%06llu", (unsigned long long)(ns / 1000000),
			 (unsigned long long)(ns % 1000000));

	while (n > 0 && buf[n - 1] == '0')
		buf[--n] = '\0';
	if (n > 0 && buf[n - 1] == '.')
		buf[n - 1] = '\0';
	return buf;
}

const char *cm_gc_ms_brief(char buf[CM_GC_MS_ROOM], uint64_t ns)
{
	uint64_t tenths = (ns + 50000) / 100000, hundredths = (ns + 5000) / 10000;

	if (ns >= UINT64_C(9995000))
		(void)snprintf(buf, CM_GC_MS_ROOM, "%llu.%llu", (unsigned long long)(tenths / 10),
			       (unsigned long long)(tenths % 10));
	else
		(void)snprintf(buf, CM_GC_MS_ROOM, "%llu.%02llu",
			       (unsigned long long)(hundredths / 100),
			       (unsigned long long)(hundredths % 100));
	return buf;
}

const char *cm_gc_mib_brief(char buf[CM_GC_MS_ROOM], uint64_t bytes)
{
	uint64_t tenths = (bytes * 10 + (1 << 19)) >> 20;

	if (tenths >= 1000)
		(void)snprintf(buf, CM_GC_MS_ROOM, "%llu", (unsigned long long)(tenths / 10));
	else
		(void)snprintf(buf, CM_GC_MS_ROOM, "%llu.%llu", (unsigned long long)(tenths / 10),
			       (unsigned long long)(tenths % 10));
	return buf;
}

bool cm_gc_ms_parse(const char *text, uint64_t max_ns, uint64_t *ns)
{
	uint64_t value = 0, unit = 1000000;
	bool point = false, digits = false;

	for (; *text; text++) {
		if (*text == '.' && !point) {
			point = true;
			continue;
		}
		if (*text < '0' || *text > '9')
			return false;
		digits = true;
		if (!point)
			value = value * 10 + (uint64_t)(*text - '0') * unit;
		else
			value += (uint64_t)(*text - '0') * (unit /= 10);
		if (value > max_ns)
			return false;
	}
	*ns = value;
	return digits;
}

static const int guarded[] = { SIGPIPE, SIGXFSZ };

void cm_gc_guard(struct cm_gc_guard *g)
{
	sigset_t set;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &g->cancel);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++)
		sigaddset(&set, guarded[i]);
	sigemptyset(&g->pending);
	sigpending(&g->pending);
	(void)pthread_sigmask(SIG_BLOCK, &set, &g->mask);
}

void cm_gc_unguard(const struct cm_gc_guard *g)
{
	const struct timespec now = { 0, 0 };

	for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++) {
		sigset_t one;

		/* A signal that was pending before belongs to the program. */
		if (sigismember(&g->pending, guarded[i]))
			continue;
		sigemptyset(&one);
		sigaddset(&one, guarded[i]);
		(void)sigtimedwait(&one, NULL, &now);
	}
	(void)pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
	(void)pthread_setcancelstate(g->cancel, NULL);
}

static struct kept {
	int fd; /* 0: none */
	dev_t dev;
	ino_t ino;
} kept[STDERR_FILENO + 1];

static bool is_kept(const struct kept *k)
{
	struct stat st;

	return k->fd > 0 && fstat(k->fd, &st) == 0 && st.st_dev == k->dev && st.st_ino == k->ino;
}

/* A daemon is a child, and a reader of our standard error waits for its end. */
static void drop(void)
{
	for (int i = 0; i <= STDERR_FILENO; i++) {
		if (is_kept(&kept[i]))
			close(kept[i].fd);
		kept[i].fd = 0;
	}
}

static void keep(int number)
{
	static bool registered;
	struct kept *k = &kept[number];
	struct stat st;
	int fd;

	if (k->fd > 0 || fstat(number, &st) != 0)
		return;
	k->dev = st.st_dev;
	k->ino = st.st_ino;
	/* Above the numbers that a shell gives its programs. */
	fd = fcntl(number, F_DUPFD_CLOEXEC, 200);
	k->fd = fd > 0 ? fd : fcntl(number, F_DUPFD_CLOEXEC, 10);
	if (k->fd > 0 && !registered && pthread_atfork(NULL, NULL, drop) != 0)
		drop();
	else
		registered = true;
}

static int now_or_kept(int number)
{
	/* The number may be another file's by now. */
	bool closed = fcntl(number, F_GETFD) < 0;

	return closed && is_kept(&kept[number]) ? kept[number].fd : number;
}

void cm_gc_keep_stderr(void)
{
	keep(STDERR_FILENO);
}

void cm_gc_keep_stdout(void)
{
	keep(STDOUT_FILENO);
}

int cm_gc_stderr(void)
{
	return now_or_kept(STDERR_FILENO);
}

int cm_gc_stdout(void)
{
	return now_or_kept(STDOUT_FILENO);
}

void cm_gc_say(const char *who, const char *text)
{
	struct cm_gc_out o = { .fd = cm_gc_stderr() };
	struct cm_gc_guard g;

	cm_gc_guard(&g);
	cm_gc_put(&o, "%.200s: %.780s\n", who, text);
	cm_gc_flush(&o);
	cm_gc_unguard(&g);
}
