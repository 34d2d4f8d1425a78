/* SPDX-License-Identifier: MIT
 *
 * The system call can be refused by vm.unprivileged_userfaultfd (5.2), by a security module and
 * by a seccomp filter. The device may be missing, or the permissions of its file or a device cgroup
 * may refuse it. A process that can open it needs no privilege for the kernel's own faults
 * (2d5de004e009, 6.1). The code looks for the cause only when both ways have failed, because the
 * error alone does not show it. */
#include "lib/backend/userfaultfd.h"
#include "lib/os/release.h"

enum call { CALL_FILTER, CALL_MODULE, CALL_EITHER, CALL_SYSCTL, CALL_HIDDEN, CALL_MISSING, CALLS };

enum device {
	DEVICE_NONE,
	DEVICE_TOO_OLD,
	DEVICE_CLOSED,
	DEVICE_RULED,
	DEVICE_STRANGE,
	DEVICES,
	DEVICE_NOT_REFUSED = DEVICES /* it works, or there is another cause */
};

#define WITH_EACH_DEVICE(call)                                                                     \
	{                                                                                          \
		[DEVICE_NONE] = call ", and there is no /dev/userfaultfd: allow the call, or "     \
				     "pass the device in",                                         \
		[DEVICE_TOO_OLD] = call ": allow the call (the other way, /dev/userfaultfd, came " \
					"with Linux 6.1)",                                         \
		[DEVICE_CLOSED] = call ", and this user may not read /dev/userfaultfd: allow "     \
				       "the call, or let the user read the device",                \
		[DEVICE_RULED] = call ", and a device cgroup or filter refuses "                   \
				      "/dev/userfaultfd: allow the call or the device",            \
		[DEVICE_STRANGE] = call ", and /dev/userfaultfd is not the kernel's device: "      \
					"allow the call, or pass the device in"                    \
	}

/* Each is put together from two, on purpose: NOLINTBEGIN(bugprone-suspicious-missing-comma) */
static const char *const causes[CALLS][DEVICES] = {
	[CALL_FILTER] = WITH_EACH_DEVICE("a seccomp filter refuses userfaultfd"),
	[CALL_MODULE] = WITH_EACH_DEVICE("a security module (SELinux, BPF) refuses userfaultfd"),
	[CALL_EITHER] = WITH_EACH_DEVICE("a seccomp filter or a security module refuses "
					 "userfaultfd"),
	[CALL_SYSCTL] = WITH_EACH_DEVICE("vm.unprivileged_userfaultfd=0 refuses userfaultfd here"),
	[CALL_HIDDEN] = WITH_EACH_DEVICE("the kernel is built without CONFIG_USERFAULTFD, or a "
					 "seccomp filter hides userfaultfd"),
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */

/* Only a kernel with CONFIG_USERFAULTFD has it. */
#define UNPRIVILEGED "vm/unprivileged_userfaultfd"

static bool is_refused(int error)
{
	return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

static enum device why_no_device(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
	case -ENXIO: /* a node, and no driver */
	case -ENODEV:
		return cm_release_before(6, 1) ? DEVICE_TOO_OLD : DEVICE_NONE;
	case -EACCES:
		return DEVICE_CLOSED;
	case -EPERM:
	case -ENOSYS:
		return DEVICE_RULED;
	case -ENOTTY:
		return DEVICE_STRANGE;
	default:
		return DEVICE_NOT_REFUSED;
	}
}

/* A call that the kernel lacks and one that a filter denies may look alike. */
static enum call why_no_call(int error)
{
	int mode = cm_os->seccomp_mode();

	if (error == -ENOSYS) {
		if (mode == 0)
			return CALL_MISSING;
		return cm_os->sysctl(UNPRIVILEGED) >= 0 ? CALL_FILTER : CALL_HIDDEN;
	}
	if (mode == 0)
		return CALL_MODULE;
	/* The usual error of filters; SELinux says EACCES, with a filter or without. */
	return mode > 0 && error == -EPERM ? CALL_FILTER : CALL_EITHER;
}

static int refused(enum call call, enum device device, const char **why)
{
	if (call == CALL_MISSING) {
		*why = "this kernel is built without userfaultfd: it needs CONFIG_USERFAULTFD=y";
		return -ENOTSUP;
	}
	*why = causes[call][device];
	return call == CALL_HIDDEN ? -ENOTSUP : -EPERM;
}

/* Any other error than a refusal, or the descriptor. */
static int finish(struct cm_file *out, int fd, const char *too_old, const char **why)
{
	int error = cm_file_take(out, fd);

	*why = fd == -EINVAL ? too_old : "a userfaultfd cannot be opened";
	return fd == -EINVAL ? -ENOTSUP : error;
}

int cm_userfaultfd_open(struct cm_file *out, uint64_t features, bool *privileged,
			const char *too_old, const char **why)
{
	bool user_mode_only = privileged == NULL;
	int fd = cm_os->uffd_open(user_mode_only, features), first = fd;
	enum device device;

	*out = CM_NO_FILE;
	if (!user_mode_only)
		*privileged = true;
	if (!is_refused(fd))
		return finish(out, fd, too_old, why);
	fd = cm_os->uffd_open_device(user_mode_only, features);
	device = fd >= 0 ? DEVICE_NOT_REFUSED : why_no_device(fd);
	if (device == DEVICE_NOT_REFUSED)
		return finish(out, fd, too_old, why);
	if (user_mode_only)
		return refused(why_no_call(first), device, why);
	/* Without privilege (5.11): the kernel's own writes to a protected card fail with
	 * EFAULT. */
	*privileged = false;
	fd = cm_os->uffd_open(true, features);
	if (is_refused(fd))
		return refused(why_no_call(fd), device, why);
	if (fd == -EINVAL && cm_os->sysctl(UNPRIVILEGED) == 0 && cm_os->seccomp_mode() == 0)
		return refused(CALL_SYSCTL, device, why);
	return finish(out, fd, too_old, why);
}
