/* SPDX-License-Identifier: MIT */
#include "tests/support/fake_kernel.h"

#include "lib/os/os.h"

#include <errno.h>
#include <string.h>

struct fake_kernel fake;

#define FAKE_UFFD 901
#define FAKE_PAGEMAP 902
#define KERNEL_BUFFER 512 /* regions that the kernel gathers before it copies out */

static struct cm_os table;

/* 0, or the error that this call is to fail with. */
static int fate(enum fake_call call)
{
	fake.calls[call]++;
	if (fake.fail_at[call] == 0 || --fake.fail_at[call] != 0)
		return 0;
	if (fake.fail_for_ever)
		fake.fail_at[call] = 1;
	return fake.error[call];
}

static size_t index_of(uintptr_t addr)
{
	return (addr - FAKE_BASE) / FAKE_PAGE;
}

static bool outside(uintptr_t start, size_t len)
{
	return start < FAKE_BASE || len > FAKE_PAGES * FAKE_PAGE ||
	       start - FAKE_BASE > FAKE_PAGES * FAKE_PAGE - len;
}

static int new_uffd(uint64_t features)
{
	uint64_t known = fake.no_async ? UFFD_FEATURE_WP_ASYNC - 1 : 0x1ffff;

	return features & ~known ? -EINVAL : FAKE_UFFD;
}

static int fake_uffd_open(bool user_mode_only, uint64_t features)
{
	int error = fate(FAKE_UFFD_OPEN);

	if (error == 0 && !user_mode_only)
		error = fake.privileged_error;
	return error < 0 ? error : new_uffd(features);
}

static int fake_uffd_open_device(bool user_mode_only, uint64_t features)
{
	int error = fate(FAKE_UFFD_DEVICE);

	(void)user_mode_only;
	return error < 0 ? error : new_uffd(features);
}

static int fake_seccomp_mode(void)
{
	return fake.seccomp_mode;
}

static int fake_sysctl(const char *name)
{
	return strcmp(name, "vm/unprivileged_userfaultfd") == 0 ? fake.sysctl : -ENOENT;
}

static int fake_release(char *buf, size_t len)
{
	size_t n = strlen(fake.release);

	if (n >= len)
		return -EINVAL;
	memcpy(buf, fake.release, n + 1);
	return 0;
}

static int fake_open_self(const char *name, int flags)
{
	int error = fate(FAKE_PAGEMAP_OPEN);

	(void)flags;
	if (error < 0)
		return error;
	return strcmp(name, "pagemap") == 0 ? FAKE_PAGEMAP : -ENOENT;
}

static int fake_open_proc(int pid, const char *name, int flags)
{
	return pid == FAKE_PID ? fake_open_self(name, flags) : -ENOENT;
}

/* Entries are all zero; there are none once the memory is gone. */
static ssize_t fake_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	(void)offset;
	if (fd != FAKE_PAGEMAP)
		return -EBADF;
	memset(buf, 0, len);
	return fake.dead ? 0 : (ssize_t)len;
}

static int fake_fd_id(int fd, struct cm_file_id *out)
{
	if (fd != FAKE_UFFD && fd != FAKE_PAGEMAP)
		return -EBADF;
	*out = (struct cm_file_id){ 1, (uint64_t)fd };
	return 0;
}

static int fake_close(int fd)
{
	return fd == FAKE_UFFD || fd == FAKE_PAGEMAP ? 0 : -EBADF;
}

static int fake_uffd_register(int fd, uintptr_t start, size_t len)
{
	int error = fate(FAKE_REGISTER);

	if (error < 0)
		return error;
	if (fd != FAKE_UFFD || outside(start, len))
		return -EINVAL;
	for (size_t i = index_of(start); i < index_of(start + len); i++)
		fake.page[i].registered = true;
	return 0;
}

static int fake_uffd_unregister(int fd, uintptr_t start, size_t len)
{
	if (fd != FAKE_UFFD || outside(start, len))
		return -EINVAL;
	for (size_t i = index_of(start); i < index_of(start + len); i++)
		fake.page[i].registered = fake.page[i].protected = fake.page[i].writable = false;
	return 0;
}

static int fake_uffd_protect(int fd, uintptr_t start, size_t len, bool protect)
{
	int error = fate(FAKE_PROTECT);

	if (error < 0)
		return error;
	if (fd != FAKE_UFFD || outside(start, len))
		return -EINVAL;
	for (size_t i = index_of(start); i < index_of(start + len); i++) {
		if (!fake.page[i].registered)
			return -ENOENT;
		fake.page[i].protected = protect;
		fake.page[i].writable = false;
	}
	return 0;
}

static uint64_t categories(const struct fake_page *p)
{
	return (p->registered ? PAGE_IS_WPALLOWED : 0u) | (p->protected ? 0u : PAGE_IS_WRITTEN) |
	       (p->present ? PAGE_IS_PRESENT : 0u) | (fake_page_is_file(p) ? PAGE_IS_FILE : 0u) |
	       p->other;
}

static bool matches(const struct pm_scan_arg *arg, uint64_t have)
{
	have ^= arg->category_inverted;
	if ((have & arg->category_mask) != arg->category_mask)
		return false;
	return arg->category_anyof_mask == 0 || (have & arg->category_anyof_mask) != 0;
}

/* Where the walk of one PAGEMAP_SCAN stands. */
struct walk {
	struct pm_scan_arg *arg;
	struct page_region *vec;
	size_t n, pages, flushed;
};

/* False: no room; the page was not taken, nor cleared. */
static bool take(struct walk *w, size_t i, uint64_t returned)
{
	uintptr_t at = fake_addr(i);
	struct page_region *last = w->n > 0 ? &w->vec[w->n - 1] : NULL;

	if (w->arg->max_pages != 0 && w->pages == w->arg->max_pages)
		return false;
	if (w->arg->vec_len != 0) {
		if (last != NULL && last->end == at && last->categories == returned) {
			last->end = at + FAKE_PAGE;
		} else {
			if (w->n == w->arg->vec_len)
				return false;
			w->vec[w->n++] = (struct page_region){ at, at + FAKE_PAGE, returned };
		}
	}
	w->pages++;
	return true;
}

static int check_scan(const struct pm_scan_arg *arg)
{
	uint64_t known = fake.no_guard_category ? 0xff : 0x1ff;
	uint64_t asked = arg->category_inverted | arg->category_mask | arg->category_anyof_mask |
			 arg->return_mask;

	if (fake.no_scan)
		return -ENOTTY;
	if (fake.refused_scan < 0)
		return fake.refused_scan;
	if (arg->size != sizeof *arg || asked & ~known || arg->start > arg->end)
		return -EINVAL;
	return 0;
}

static long fake_scan(int fd, struct pm_scan_arg *arg)
{
	struct walk w = { .arg = arg, .vec = (struct page_region *)(uintptr_t)arg->vec };
	int error = check_scan(arg), planned;
	size_t walked = 0;

	if (error < 0)
		return error;
	if (fd != FAKE_PAGEMAP)
		return -EBADF;
	if (arg->end <= FAKE_BASE) /* what knows() asks */
		return 0;
	planned = fate(FAKE_SCAN);
	if (fake.dead) /* as before 6.16: no error */
		return 0;
	if (outside((uintptr_t)arg->start, (size_t)(arg->end - arg->start)))
		return -EFAULT;
	arg->walk_end = arg->start;
	for (size_t i = index_of((uintptr_t)arg->start); i < index_of((uintptr_t)arg->end); i++) {
		struct fake_page *p = &fake.page[i];

		if (planned < 0 && walked++ >= fake.fail_after)
			return planned; /* what was cleared stays so, its count is lost: R3 */
		if (arg->flags & PM_SCAN_CHECK_WPASYNC && !p->registered)
			return -EPERM;
		if (!matches(arg, categories(p)))
			continue;
		if (!take(&w, i, categories(p) & arg->return_mask)) {
			arg->walk_end = fake_addr(i);
			return (long)w.n;
		}
		if (arg->flags & PM_SCAN_WP_MATCHING && p->registered) {
			p->protected = true;
			p->writable = false;
		}
		if (w.n / KERNEL_BUFFER > w.flushed) {
			w.flushed = w.n / KERNEL_BUFFER;
			arg->walk_end = fake_addr(i);
		}
	}
	if (planned < 0)
		return planned;
	/* R4: after more than one buffer a completed walk leaves the old value. */
	if (w.flushed == 0 || fake.honest_walk_end)
		arg->walk_end = arg->end;
	return (long)w.n;
}

void fake_kernel_begin(void)
{
	memset(&fake, 0, sizeof fake);
	fake.release = "6.18.0";
	table = cm_os_linux;
	table.uffd_open = fake_uffd_open;
	table.uffd_open_device = fake_uffd_open_device;
	table.seccomp_mode = fake_seccomp_mode;
	table.sysctl = fake_sysctl;
	table.release = fake_release;
	table.open_self = fake_open_self;
	table.open_proc = fake_open_proc;
	table.pread = fake_pread;
	table.fd_id = fake_fd_id;
	table.close = fake_close;
	table.uffd_register = fake_uffd_register;
	table.uffd_unregister = fake_uffd_unregister;
	table.uffd_protect = fake_uffd_protect;
	table.scan = fake_scan;
	cm_os = &table;
}

void fake_kernel_end(void)
{
	cm_os = &cm_os_linux;
}

void fake_write(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct fake_page *p = &fake.page[i];

		p->present = true;
		/* Whose fault it is tells the mapping, not the page: without a
		 * registration it becomes writable and keeps its mark. */
		if (p->protected && !p->registered)
			p->writable = true;
		if (!p->writable)
			p->protected = false;
	}
}

void fake_remap(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		fake.page[i] = (struct fake_page){ .present = true };
}

void fake_move_in(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		fake.page[i] = (struct fake_page){ .present = true, .protected = true };
}
