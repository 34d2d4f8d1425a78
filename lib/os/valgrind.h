/* SPDX-License-Identifier: MIT
 *
 * What the library asks of valgrind, if it runs the program. The sequences change nothing on a
 * processor; they and the numbers of requests are valgrind's interface to programs. */
#ifndef CM_OS_VALGRIND_H
#define CM_OS_VALGRIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CM_VALGRIND_IS_THERE = 0x1001, CM_MEMCHECK_DEFINED = 'M' << 24 | 'C' << 16 | 2 };

/* 0 without valgrind. */
static inline uint64_t cm_valgrind_ask(uint64_t what, uintptr_t a, uint64_t b)
{
	volatile uint64_t request[6] = { what, a, b };
	uint64_t answer = 0;

#if defined __x86_64__ && defined __LP64__
	__asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\t"
			 "rolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
			 "xchgq %%rbx, %%rbx"
			 : "+d"(answer)
			 : "a"(request)
			 : "cc", "memory");
#elif defined __aarch64__
	__asm__ volatile("mov x3, %0\n\tmov x4, %1\n\t"
			 "ror x12, x12, #3\n\tror x12, x12, #13\n\t"
			 "ror x12, x12, #51\n\tror x12, x12, #61\n\t"
			 "orr x10, x10, x10\n\tmov %0, x3"
			 : "+r"(answer)
			 : "r"(request)
			 : "x3", "x4", "cc", "memory");
#else
	(void)request;
#endif
	return answer;
}

static inline bool cm_on_valgrind(void)
{
	return cm_valgrind_ask(CM_VALGRIND_IS_THERE, 0, 0) != 0;
}

/* The kernel has written there, in a way that memcheck does not know of. */
static inline void cm_valgrind_defined(uintptr_t at, size_t bytes)
{
	(void)cm_valgrind_ask(CM_MEMCHECK_DEFINED, at, bytes);
}

#endif
