/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "lib/errors.h"

#include "cardmark/cardmark.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In the static block of each thread. If the library was loaded by dlopen(3), other models call
 * malloc at a thread's first use, which may come while the world is stopped. */
static _Thread_local char last_error[640] __attribute__((tls_model("initial-exec")));

int cm_fail(int error, const char *format, ...)
{
	char text[sizeof last_error]; /* the new message may quote the last one */
	va_list args;
	int saved = errno;

	va_start(args, format);
	/* vsnprintf into a buffer takes no lock and, for %s, %zu and %p, no memory. */
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	memcpy(last_error, text, strlen(text) + 1);
	errno = saved;
	return error;
}

int cm_closed_error(int error)
{
	switch (error) {
	case -EINVAL:
	case -ENOMEM:
	case -ENOTSUP:
	case -EPERM:
	case -EBUSY:
		return error;
	case -EMFILE:
	case -ENFILE:
		return -ENOMEM;
	case -EACCES:
		return -EPERM;
	default:
		return -EIO;
	}
}

int cm_open_error(int error)
{
	switch (error) {
	case -EINVAL:
	case -ENOSYS:
	case -ENOTTY:
	case -ENODEV:
	case -ENOENT: /* no /proc */
		return -ENOTSUP;
	default:
		return cm_closed_error(error);
	}
}

const char *cm_errno_text(int error)
{
	switch (error < 0 ? -error : error) {
	case 0:
		return "no error";
	case EACCES:
		return "permission denied (EACCES)";
	case EAGAIN:
		return "the kernel cannot do it at this moment (EAGAIN): try again";
	case EBADF:
		return "the descriptor is closed, or its number belongs to another file now "
		       "(EBADF)";
	case EBUSY:
		return "it is in use elsewhere (EBUSY)";
	case ECANCELED:
		return "cancelled (ECANCELED)";
	case EEXIST:
		return "it is there already (EEXIST)";
	case EFAULT:
		return "the memory cannot be read or written (EFAULT)";
	case EINTR:
		return "interrupted by a signal (EINTR): try again";
	case EINVAL:
		return "the kernel does not know this request (EINVAL)";
	case EIO:
		return "input/output error (EIO)";
	case EMFILE:
		return "this process has too many open files (EMFILE): raise RLIMIT_NOFILE or "
		       "close some";
	case ENAMETOOLONG:
		return "the name is too long (ENAMETOOLONG)";
	case ENFILE:
		return "the system has too many open files (ENFILE): raise fs.file-max";
	case ENODEV:
		return "there is no such device (ENODEV)";
	case ENOENT:
		return "there is no such file (ENOENT): is /proc mounted?";
	case ENOMEM:
		return "out of memory, address space, mappings or threads (ENOMEM): see "
		       "RLIMIT_AS, vm.max_map_count and RLIMIT_NPROC";
	case ENOSPC:
		return "no space left (ENOSPC)";
	case ENOSYS:
		return "the kernel does not have this call (ENOSYS)";
	case ENOTSUP:
		return "not supported (ENOTSUP)";
	case ENOTTY:
		return "the kernel does not know this request (ENOTTY)";
	case EPERM:
		return "not permitted (EPERM)";
	case EPIPE:
		return "the other end is closed (EPIPE)";
	case ESRCH:
		return "there is no such process (ESRCH)";
	case ETIMEDOUT:
		return "it took too long (ETIMEDOUT)";
	default:
		return "an unexpected error of the kernel";
	}
}

const char *cardmark_last_error(void)
{
	return last_error;
}

const char *cardmark_strerror(int error)
{
	switch (error < 0 ? -error : error) {
	case 0:
		return "success";
	case EINVAL:
		return "invalid argument";
	case ENOMEM:
		return "out of memory, descriptors or mappings, or part of the range is not mapped";
	case ENOTSUP:
		return "not supported by this backend or kernel";
	case EPERM:
		return "this process is not permitted to do that";
	case ENOENT:
		return "nothing is tracked or held there, or there is no such process or backend";
	case EBUSY:
		return "in use by another tracker or thread";
	case EIO:
		return "unexpected failure of the kernel";
	default:
		return "unknown error";
	}
}

const char *cardmark_version(void)
{
	return PACKAGE_VERSION;
}

size_t cardmark_card_size(void)
{
	static size_t size;

	/* Every thread would store the same. */
	size_t s = __atomic_load_n(&size, __ATOMIC_RELAXED);
	if (s == 0) {
		s = (size_t)sysconf(_SC_PAGESIZE);
		__atomic_store_n(&size, s, __ATOMIC_RELAXED);
	}
	return s;
}
