/*
 * chunks.h: what the lab's programs send to the host, as "NAME LENGTH\n" and LENGTH bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int port;

static void put(const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t done = write(port, at, size);

		if (done <= 0)
			fail("write to the port");
		at += done;
		size -= done;
	}
}

static void put_chunk(const char *name, const void *data, size_t size)
{
	char head[128];

	put(head, snprintf(head, sizeof(head), "%s %zu\n", name, size));
	put(data, size);
}

static void put_file(const char *chunk, const char *path)
{
	static char piece[64 * 1024];
	int file = open(path, O_RDONLY | O_NONBLOCK);
	ssize_t size;

	if (file < 0)
		fail(path);
	while ((size = read(file, piece, sizeof(piece))) > 0)
		put_chunk(chunk, piece, size);
	close(file);
}
