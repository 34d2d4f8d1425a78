/* SPDX-License-Identifier: MIT
 *
 * Description: a program of libgc in odd surroundings, told what to do, step by step:
 *   locale NAME | chdir DIR | collect N | sleep MS | fork STEP... (the rest is the
 *   child's, which exits; the parent waits) | run PROGRAM ARG... (the rest; waits) |
 *   exec PROGRAM ARG... | forget FILE (forks a child that lives for minutes and has no
 *   standard error; its id is in FILE) | close N | _exit N | raise SIGNAL | exit N |
 *   handle SIGNAL (by a handler that allocates) | action SIGNAL (which it is) | tiny SIGNAL
 *   (raises it on a stack of 16 KiB) | malloc N (times)
 * and, with the adapter linked in (SURROUNDINGS_API is 2, or 1 for the first alone):
 *   enable | info SIZE | write FILE | cancelled FILE (writes with a cancellation pending) */
#include <gc.h>
#ifdef SURROUNDINGS_API
#include <cardmark/gc.h>
#endif

#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void collect(int n)
{
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < 1000; k++)
			(void)GC_MALLOC(100);
		GC_gcollect();
	}
}

static void forget(const char *file)
{
	pid_t pid = fork();
	FILE *f;

	if (pid == 0) {
		close(STDERR_FILENO);
		sleep(300);
		_exit(0);
	}
	f = fopen(file, "w");
	if (f) {
		fprintf(f, "%d\n", pid);
		fclose(f);
	}
}

static int reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 99;
	return WEXITSTATUS(status);
}

#if SURROUNDINGS_API == 1
/* Only the call to enable it: everything else that the adapter needs must come by itself. */
static int api_step(char **argv)
{
	if (strcmp(*argv, "enable") != 0)
		return 0;
	printf("enable: %d\n", cardmark_gc_enable(NULL));
	fflush(stdout);
	return 1;
}
#elif SURROUNDINGS_API == 2
static void say(const char *call, int result)
{
	printf("%s: %d: %s\n", call, result, result < 0 ? cardmark_last_error() : "");
	fflush(stdout);
}

static void *write_cancelled(void *file)
{
	int result;

	pthread_cancel(pthread_self());
	result = cardmark_gc_write_stats(file);
	say("cancelled", result);
	pthread_testcancel();
	return file;
}

static int api_step(char **argv)
{
	if (strcmp(*argv, "enable") == 0) {
		struct cardmark_gc_info i = { .size = sizeof(i) };

		printf("euid %d uid %d\n", geteuid(), getuid());
		say("enable", cardmark_gc_enable(NULL));
		if (cardmark_gc_info(&i) == 0)
			printf("mode %d way %d\n", i.mode, i.way);
		fflush(stdout);
		return 1;
	}
	if (!argv[1])
		return 0;
	if (strcmp(*argv, "info") == 0) {
		struct cardmark_gc_info i = { .size = (size_t)atoi(argv[1]) };

		say("info", cardmark_gc_info(&i));
	} else if (strcmp(*argv, "write") == 0) {
		say("write", cardmark_gc_write_stats(argv[1]));
	} else if (strcmp(*argv, "cancelled") == 0) {
		pthread_t thread;
		void *result = NULL;

		pthread_create(&thread, NULL, write_cancelled, argv[1]);
		pthread_join(thread, &result);
		printf("cancelled after it: %s\n", result == PTHREAD_CANCELED ? "yes" : "no");
		fflush(stdout);
	} else {
		return 0;
	}
	return 2;
}
#else
static int api_step(char **argv)
{
	(void)argv;
	return 0;
}
#endif

static volatile sig_atomic_t handled;

static void handler(int sig)
{
	void *volatile p = malloc(10); /* which no handler should do */

	handled = p ? sig : -1;
	free(p);
}

static void handle(int sig)
{
	struct sigaction act = { .sa_handler = handler };

	sigaction(sig, &act, NULL);
}

static void print_action(int sig)
{
	struct sigaction old;
	void (*was)(int) = signal(sig, SIG_DFL);

	signal(sig, was);
	sigaction(sig, NULL, &old);
	printf("action %d: %s\n", sig,
	       old.sa_handler != was ? "two answers"
	       : was == SIG_DFL      ? "default"
	       : was == SIG_IGN      ? "ignored"
	       : was == handler      ? "its own"
				     : "another's");
	fflush(stdout);
}

static void *raise_it(void *sig)
{
	raise((int)(intptr_t)sig);
	return NULL;
}

static void tiny(int sig)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16384);
	if (pthread_create(&thread, &attr, raise_it, (void *)(intptr_t)sig) == 0)
		pthread_join(thread, NULL);
}

static void doze(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	if (nanosleep(&t, NULL) != 0)
		printf("interrupted\n");
	fflush(stdout);
}

static void mallocs(int n)
{
	for (int i = 0; i < n; i++) {
		void *volatile p = malloc(100);

		free(p);
		(void)GC_MALLOC(100);
	}
}

static int steps(char **argv)
{
	while (*argv) {
		int taken = api_step(argv);
		pid_t pid;

		if (taken) {
			argv += taken;
			continue;
		}
		if (!argv[1])
			return 98;
		if (strcmp(*argv, "locale") == 0 && !setlocale(LC_ALL, argv[1]))
			return 77;
		if (strcmp(*argv, "chdir") == 0 && chdir(argv[1]) != 0)
			return 97;
		if (strcmp(*argv, "collect") == 0)
			collect(atoi(argv[1]));
		if (strcmp(*argv, "sleep") == 0)
			doze(atoi(argv[1]));
		if (strcmp(*argv, "handle") == 0)
			handle(atoi(argv[1]));
		if (strcmp(*argv, "action") == 0)
			print_action(atoi(argv[1]));
		if (strcmp(*argv, "tiny") == 0)
			tiny(atoi(argv[1]));
		if (strcmp(*argv, "malloc") == 0)
			mallocs(atoi(argv[1]));
		if (strcmp(*argv, "fork") == 0) {
			fflush(stdout);
			pid = fork();
			if (pid == 0)
				exit(steps(argv + 1));
			return reap(pid);
		}
		if (strcmp(*argv, "run") == 0) {
			if (posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ) != 0)
				return 96;
			return reap(pid);
		}
		if (strcmp(*argv, "exec") == 0) {
			execvp(argv[1], argv + 1);
			return 96;
		}
		if (strcmp(*argv, "forget") == 0)
			forget(argv[1]);
		if (strcmp(*argv, "close") == 0)
			close(atoi(argv[1]));
		if (strcmp(*argv, "raise") == 0)
			raise(atoi(argv[1]));
		if (handled) {
			printf("handled %d\n", (int)handled);
			fflush(stdout);
			handled = 0;
		}
		if (strcmp(*argv, "exit") == 0)
			return atoi(argv[1]);
		if (strcmp(*argv, "_exit") == 0)
			_exit(atoi(argv[1]));
		argv += 2;
	}
	return 0;
}

int main(int argc, char **argv)
{
	(void)argc;
#ifndef SURROUNDINGS_API
	GC_set_handle_fork(1); /* before it starts */
	GC_INIT();
	collect(1);
#endif
	return steps(argv + 1);
}
