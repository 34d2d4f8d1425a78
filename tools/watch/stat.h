/* SPDX-License-Identifier: MIT
 *
 * What /proc/PID/stat has of the program: proc(5). The command reads it from outside, because the
 * program may have no /proc. */
#ifndef CARDMARK_WATCH_STAT_H
#define CARDMARK_WATCH_STAT_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct watch_stat {
	char name[32]; /* of the program, maybe cut */
	char state;    /* of the first thread; 'Z': it has ended */
	uint64_t threads;
	uint64_t stack; /* where it begins; another one after an exec. 0: not known */
	uint64_t code;  /* of the first thread's end, as of wait(2); 0: not known, too */
};

/* All 0, if it cannot be read. */
static inline struct watch_stat watch_stat_read(int fd)
{
	enum { STATE = 3, THREADS = 20, STACK = 28, CODE = 52 };
	struct watch_stat s = { 0 };
	char text[2048];
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, 0) : 0;
	const char *at;

	text[n > 0 ? n : 0] = '\0';
	at = strrchr(text, ')'); /* the name before it may hold anything */
	if (at != NULL && strchr(text, '(') != NULL)
		(void)snprintf(s.name, sizeof s.name, "%.*s", (int)(at - strchr(text, '(') - 1),
			       strchr(text, '(') + 1);
	for (unsigned field = STATE; at != NULL && (at = strchr(at, ' ')) != NULL; field++) {
		uint64_t number = 0;

		for (const char *digit = ++at; *digit >= '0' && *digit <= '9'; digit++)
			number = number * 10 + (uint64_t)(*digit - '0');
		if (field == STATE)
			s.state = *at;
		else if (field == THREADS)
			s.threads = number;
		else if (field == STACK)
			s.stack = number;
		else if (field == CODE)
			s.code = number;
	}
	return s;
}

#endif
