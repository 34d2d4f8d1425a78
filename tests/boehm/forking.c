/* SPDX-License-Identifier: MIT
 *
 * Description: threads that allocate beside one that forks, with the adapter loaded and enabled
 * before or after libgc is started: forking ADAPTER.so before|after|loaded.
 * Prints "forks: N lost: N", of parent and children. */
#define GC_THREADS
#include "tests/support/random.h"

#include "cardmark/gc.h"

#include <dlfcn.h>
#include <gc/gc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPTH 14
#define THREADS 3
#define FORKS 12
#define PAUSE_MS 3
#define ALLOCATED_MB 2 /* between two forks, by the thread that forks */

struct node {
	struct node *left, *right;
	uint64_t number;
};

static atomic_bool stop;

static struct node *tree(unsigned depth, uint64_t number)
{
	struct node *n = GC_MALLOC(sizeof *n);

	n->number = number;
	if (depth) {
		n->left = tree(depth - 1, 2 * number);
		n->right = tree(depth - 1, 2 * number + 1);
	}
	return n;
}

static unsigned missing(const struct node *n, unsigned depth, uint64_t number)
{
	if (!n || n->number != number)
		return 1;
	return depth ? missing(n->left, depth - 1, 2 * number) +
			       missing(n->right, depth - 1, 2 * number + 1)
		     : 0;
}

/* A new tree replaces an equal old one somewhere in the tree. */
static void replace(struct node *root, uint64_t *random)
{
	unsigned down = 4 + (unsigned)random_below(random, DEPTH - 8);
	struct node **place = &root;
	uint64_t number = 1;

	for (unsigned i = 0; i < down; i++) {
		bool right = random_below(random, 2) != 0;

		place = right ? &(*place)->right : &(*place)->left;
		number = 2 * number + right;
	}
	*place = tree(DEPTH - down, number);
}

static void *mutate(void *seed)
{
	uint64_t random = (uintptr_t)seed;
	struct node *root = tree(DEPTH, 1);

	while (!atomic_load(&stop))
		replace(root, &random);
	return (void *)(uintptr_t)missing(root, DEPTH, 1);
}

static void child(struct node *root, uint64_t *random)
{
	unsigned lost = missing(root, DEPTH, 1);

	for (int i = 0; i < 200; i++)
		replace(root, random);
	GC_gcollect();
	lost += missing(root, DEPTH, 1);
	_exit(lost ? 1 : 0);
}

static unsigned fork_now_and_then(uint64_t *random)
{
	struct node *root = tree(DEPTH, 1);
	unsigned lost = 0;

	for (int i = 0; i < FORKS; i++) {
		size_t until = GC_get_total_bytes() + ((size_t)ALLOCATED_MB << 20);
		int status = 1;
		pid_t pid;

		while (GC_get_total_bytes() < until)
			replace(root, random);
		pid = fork();
		if (pid == 0)
			child(root, random);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			lost++;
	}
	return lost + missing(root, DEPTH, 1);
}

static void *load(const char *path)
{
	void *adapter = dlopen(path, RTLD_NOW);

	if (!adapter) {
		printf("%s\n", dlerror());
		exit(99);
	}
	return dlsym(adapter, "cardmark_gc_enable");
}

static void enable(void *symbol)
{
	union {
		void *object;
		int (*call)(const struct cardmark_gc_options *);
	} call = { .object = symbol };
	struct cardmark_gc_options options = CARDMARK_GC_OPTIONS_INIT;
	int error;

	options.pause_target_ms = PAUSE_MS;
	error = call.call(&options);
	if (error != 0) {
		printf("cardmark_gc_enable: error %d\n", error);
		exit(99);
	}
}

int main(int argc, char **argv)
{
	const char *order = argc == 3 ? argv[2] : "";
	uint64_t random = random_seed(NULL);
	pthread_t threads[THREADS];
	void *symbol = NULL, *found;
	unsigned lost;

	if (!*order)
		return 2;
	if (strcmp(order, "loaded") != 0)
		symbol = load(argv[1]);
	if (strcmp(order, "before") == 0)
		enable(symbol);
	GC_set_handle_fork(1);
	GC_INIT();
	GC_allow_register_threads();
	if (strcmp(order, "loaded") == 0)
		symbol = load(argv[1]);
	if (strcmp(order, "before") != 0)
		enable(symbol);
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, mutate, (void *)(uintptr_t)(random + i)))
			return 99;
	lost = fork_now_and_then(&random);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++) {
		(void)pthread_join(threads[i], &found);
		lost += (unsigned)(uintptr_t)found;
	}
	printf("forks: %d lost: %u\n", FORKS, lost);
	return lost != 0;
}
