/* SPDX-License-Identifier: MIT */
#include "tests/containers/worlds.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NOBODY 65534
#define DEVICE "/dev/userfaultfd"

#define FILTER "a seccomp filter refuses userfaultfd"

const struct world worlds[] = {
	{ .name = "nothing is refused", .kernel_writes = true },
	{ .name = "the call is refused", .call_error = EPERM, .kernel_writes = true },
	{ .name = "the call is hidden", .call_error = ENOSYS, .kernel_writes = true },
	{ .name = "refused, no device",
	  .call_error = EPERM,
	  .dev = DEV_EMPTY,
	  .no_pagemap = FILTER ", and there is no /dev/userfaultfd",
	  .no_uffd = FILTER ", and there is no /dev/userfaultfd",
	  .error = -EPERM },
	{ .name = "hidden, no device",
	  .call_error = ENOSYS,
	  .dev = DEV_EMPTY,
	  .no_pagemap = FILTER ", and there is no /dev/userfaultfd",
	  .no_uffd = FILTER ", and there is no /dev/userfaultfd",
	  .error = -EPERM },
	{ .name = "refused, another error",
	  .call_error = EACCES,
	  .dev = DEV_EMPTY,
	  .no_pagemap = "a seccomp filter or a security module refuses userfaultfd, and there",
	  .no_uffd = "a seccomp filter or a security module refuses userfaultfd, and there",
	  .error = -EPERM },
	{ .name = "refused, another thing in the device's place",
	  .call_error = EPERM,
	  .dev = DEV_WRONG,
	  .no_pagemap = FILTER ", and /dev/userfaultfd is not the kernel's device",
	  .no_uffd = FILTER ", and /dev/userfaultfd is not the kernel's device",
	  .error = -EPERM },
	{ .name = "refused, and devices too",
	  .call_error = EPERM,
	  .no_open = true,
	  .no_pagemap = FILTER ", and a device cgroup or filter refuses /dev/userfaultfd",
	  .no_uffd = FILTER ", and a device cgroup or filter refuses /dev/userfaultfd",
	  .error = -EPERM },
	{ .name = "all of userfaultfd is refused",
	  .call_error = EPERM,
	  .no_uffd_ioctl = true,
	  .no_pagemap = FILTER ", and a device cgroup or filter refuses /dev/userfaultfd",
	  .no_uffd = FILTER ", and a device cgroup or filter refuses /dev/userfaultfd",
	  .error = -EPERM },
	{ .name = "PAGEMAP_SCAN is refused",
	  .no_scan = true,
	  .no_pagemap = "refuses PAGEMAP_SCAN: allow ioctl(2)",
	  .kernel_writes = true,
	  .error = -EPERM },
	{ .name = "nobody", .nobody = true },
	{ .name = "nobody, with the device",
	  .nobody = true,
	  .dev = DEV_READABLE,
	  .kernel_writes = true },
	{ .name = "nobody, refused",
	  .call_error = EPERM,
	  .nobody = true,
	  .no_pagemap = FILTER ", and this user may not read /dev/userfaultfd",
	  .no_uffd = FILTER ", and this user may not read /dev/userfaultfd",
	  .error = -EPERM },
	{ .name = "nobody, refused, no device",
	  .call_error = EPERM,
	  .nobody = true,
	  .dev = DEV_EMPTY,
	  .no_pagemap = FILTER ", and there is no /dev/userfaultfd",
	  .no_uffd = FILTER ", and there is no /dev/userfaultfd",
	  .error = -EPERM },
	{ .name = "nobody, refused, with the device",
	  .call_error = EPERM,
	  .nobody = true,
	  .dev = DEV_READABLE,
	  .kernel_writes = true },
};

const size_t n_worlds = sizeof worlds / sizeof *worlds;

const struct world *world_named(const char *name)
{
	for (size_t i = 0; i < n_worlds; i++)
		if (strcmp(worlds[i].name, name) == 0)
			return &worlds[i];
	return NULL;
}

/* ---- Filters ------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0
#endif

#define ARG_LOW(n) ((unsigned)(offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t)))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define AND(mask) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (mask))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))

/* The call fails if argument n, masked, is the value. */
static bool refuse(unsigned nr, unsigned n, unsigned mask, unsigned value, int error)
{
	struct sock_filter filter[] = { LOAD(offsetof(struct seccomp_data, arch)),
					UNLESS(ARCH, 6),
					LOAD(offsetof(struct seccomp_data, nr)),
					UNLESS(nr, 4),
					LOAD(ARG_LOW(n)),
					AND(mask),
					UNLESS(value, 1),
					ANSWER(SECCOMP_RET_ERRNO | (unsigned)error),
					ANSWER(SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ==
		       0;
}

/* The type of an ioctl is its second byte, its number the lowest. */
static bool refuse_all(const struct world *w)
{
	return (w->call_error == 0 || refuse(SYS_userfaultfd, 0, 0, 0, w->call_error)) &&
	       (!w->no_open || refuse(SYS_openat, 2, O_NONBLOCK, O_NONBLOCK, EPERM)) &&
	       (!w->no_uffd_ioctl || refuse(SYS_ioctl, 1, 0xff00, 0xaa00, EPERM)) &&
	       (!w->no_scan || refuse(SYS_ioctl, 1, 0xffff, 'f' << 8 | 16, EPERM));
}

/* ---- /dev ---------------------------------------------------------------------------- */

static bool change_dev(enum dev dev)
{
	struct stat st;

	if (dev == DEV_AS_IT_IS)
		return true;
	if (stat(DEVICE, &st) != 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return false;
	if (dev == DEV_WRONG)
		return mount("/dev/null", DEVICE, NULL, MS_BIND, NULL) == 0;
	if (mount("tmpfs", "/dev", "tmpfs", 0, "mode=755") != 0)
		return false;
	(void)umask(0);
	return dev != DEV_READABLE || mknod(DEVICE, S_IFCHR | 0444, st.st_rdev) == 0;
}

static bool change_user(void)
{
	return setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0 &&
	       prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0; /* or its /proc/self is root's */
}

bool world_enter(const struct world *w, const char **why)
{
	*why = "no mount namespace of its own, or no /dev/userfaultfd: this needs root";
	if (!change_dev(w->dev))
		return false;
	*why = "it cannot become nobody: this needs root";
	if (w->nobody && !change_user())
		return false;
	*why = "no seccomp filter may be installed";
	return refuse_all(w);
}
