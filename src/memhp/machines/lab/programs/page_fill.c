/*
 * page_fill: take anonymous memory, single pages, and tell what is free in which zone on the way.
 *
 *   page_fill MIB PORT
 *
 * A child takes MIB at most, until it has them or the kernel kills it for want of
 * memory. /proc/zoneinfo goes out before, as chunks "begin", and after every
 * STEP_MIB as chunks "step", each followed by an empty "next"; then "end".
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "chunks.h"

#define PAGE 4096UL
#define MIB (1UL << 20)
#define STEP_MIB 4UL

/* A child asks for more, a step at a time; whoever runs out of memory kills it, not us. */
static void grow(size_t bytes, int ready, int go)
{
	char byte = 0;
	int score = open("/proc/self/oom_score_adj", O_WRONLY);
	char *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (score < 0 || write(score, "1000", 4) != 4 || start == MAP_FAILED)
		fail("fill");
	madvise(start, bytes, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < bytes; at += PAGE) {
		if (at % (STEP_MIB * MIB) == 0 && (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1))
			_exit(1);
		start[at] = 1;
	}
	write(ready, &byte, 1);
	read(go, &byte, 1);
	_exit(0);
}

static void fill(size_t bytes)
{
	int ready[2], go[2];
	char byte = 0;
	pid_t pid;

	if (pipe(ready) || pipe(go))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		close(ready[0]);
		close(go[1]);
		grow(bytes, ready[1], go[0]);
	}
	close(ready[1]);
	close(go[0]);
	put_file("begin", "/proc/zoneinfo");
	while (read(ready[0], &byte, 1) == 1) {
		put_file("step", "/proc/zoneinfo");
		put_chunk("next", "", 0);
		if (write(go[1], &byte, 1) != 1)
			break;
	}
	waitpid(pid, NULL, 0);
	put_chunk("end", "", 0);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: page_fill MIB PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	port = open(argv[2], O_WRONLY);
	if (port < 0)
		fail(argv[2]);
	fill(strtoull(argv[1], NULL, 10) * MIB);
	return 0;
}
