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

void cm_gc_put_text(struct cm_gc_out *o, const char *key, const char *s)
{
	cm_gc_put(o, "  \"%s\": \"", key);
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
	cm_gc_put(o, "\",\n");
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

		/* One that was pending before is the program's. */
		if (sigismember(&g->pending, guarded[i]))
			continue;
		sigemptyset(&one);
		sigaddset(&one, guarded[i]);
		(void)sigtimedwait(&one, NULL, &now);
	}
	(void)pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
	(void)pthread_setcancelstate(g->cancel, NULL);
}

static struct {
	int fd; /* 0: none */
	dev_t dev;
	ino_t ino;
} kept;

static bool is_kept(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == kept.dev && st.st_ino == kept.ino;
}

/* A daemon is a child, and a reader of our standard error waits for its end. */
static void drop_stderr(void)
{
	if (kept.fd > 0 && is_kept(kept.fd))
		close(kept.fd);
	kept.fd = 0;
}

void cm_gc_keep_stderr(void)
{
	struct stat st;
	int fd;

	if (kept.fd > 0 || fstat(STDERR_FILENO, &st) != 0)
		return;
	kept.dev = st.st_dev;
	kept.ino = st.st_ino;
	/* Out of the way of what a shell gives its programs. */
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
	kept.fd = fd > 0 ? fd : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	if (kept.fd > 0 && pthread_atfork(NULL, NULL, drop_stderr) != 0)
		drop_stderr();
}

int cm_gc_stderr(void)
{
	/* The number may be another file's by now. */
	bool closed = fcntl(STDERR_FILENO, F_GETFD) < 0;

	return closed && kept.fd > 0 && is_kept(kept.fd) ? kept.fd : STDERR_FILENO;
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
