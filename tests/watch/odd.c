/* SPDX-License-Identifier: MIT
 *
 * Does to itself what may take the ground from under the object that watches it.
 *
 * odd first   its first thread ends, a second one ends the program 50 ms later
 * odd bare    its only thread ends by a bare exit(2) with status 5
 * odd blind   one of many pages of a mapping of 1 TiB is written, and all descriptors are closed
 * odd refused a seccomp filter refuses what the object calls */
#include "common/die.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_ms(unsigned ms)
{
	(void)usleep(ms * 1000);
}

static void *last(void *unused)
{
	wait_ms(50);
	return unused;
}

static void first_thread_ends(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, last, NULL) != 0)
		die("no thread");
	pthread_exit(NULL);
}

static void go_blind(void)
{
	const struct rlimit none = { 0, 0 };
	volatile char *mem;
	struct rlimit data;

	(void)getrlimit(RLIMIT_DATA, &data); /* as far as it goes: the test lowers it */
	data.rlim_cur = data.rlim_max;
	(void)setrlimit(RLIMIT_DATA, &data);
	mem = mmap(NULL, (size_t)1 << 40, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		exit(77);
	wait_ms(30);
	mem[4096] = 1;
	(void)setrlimit(RLIMIT_NOFILE, &none);
	for (int fd = 0; fd < 1024; fd++)
		(void)close(fd);
	wait_ms(60);
}

static void refuse(void)
{
	static const int refused[] = { SYS_futex,   SYS_clock_gettime, SYS_ioctl,
				       SYS_pread64, SYS_getrusage,     SYS_openat };
	enum { N = sizeof refused / sizeof *refused };
	struct sock_filter code[2 * N + 2] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							offsetof(struct seccomp_data, nr)) };
	const struct sock_fprog filter = { sizeof code / sizeof *code, code };
	unsigned n = 1;

	for (unsigned i = 0; i < N; i++) {
		code[n++] = (struct sock_filter){ .code = BPF_JMP | BPF_JEQ | BPF_K,
						  .k = (unsigned)refused[i],
						  .jf = 1 };
		code[n++] = (struct sock_filter){ .code = BPF_RET | BPF_K,
						  .k = SECCOMP_RET_ERRNO | ENOSYS };
	}
	code[n] = (struct sock_filter){ .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
	wait_ms(30);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0)
		exit(77);
	wait_ms(60);
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";

	if (strcmp(what, "first") == 0)
		first_thread_ends();
	else if (strcmp(what, "bare") == 0)
		(void)syscall(SYS_exit, 5);
	else if (strcmp(what, "blind") == 0)
		go_blind();
	else if (strcmp(what, "refused") == 0)
		refuse();
	else
		die("takes first, bare, blind or refused");
	return 0;
}
