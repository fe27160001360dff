/*
 * page_workload: put a seeded load on a guest's memory, then tell what its page allocator did.
 *
 *   page_workload NAME SEED MIB PORT DISK
 *
 * NAME is anon, cache, fork, slab or mixed; MIB about what it holds at the end;
 * PORT a device that the host reads; DISK a folder on a real file system.
 *
 * When the load stands (everything it holds is still held), tracing is stopped,
 * and /proc/kpageflags is read into memory that was there before. Only then the
 * ring buffer and the rest go out, as chunks "NAME LENGTH\n" and LENGTH bytes. The
 * last chunk is "end 0\n". The load is held until the program is killed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "chunks.h"

#define PAGE 4096UL
#define MIB (1UL << 20)
#define TRACING "/sys/kernel/tracing/"
#define MOST_RANGES 512
#define SETTLE_SECONDS 2
#define MOST_TRIES 20

static uint64_t state;

/* splitmix64: the same numbers from the same seed everywhere. */
static uint64_t chance(uint64_t below)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15UL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
	return (z ^ (z >> 31)) % below;
}

/* ---- what the loads are made of ---- */

struct range {
	char *start;
	size_t size;
};

static struct range ranges[MOST_RANGES];
static size_t held_bytes;

static void drop_range(struct range *range)
{
	if (!range->start)
		return;
	munmap(range->start, range->size);
	held_bytes -= range->size;
	range->start = NULL;
}

static void take_range(struct range *range, size_t size)
{
	range->start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (range->start == MAP_FAILED)
		fail("mmap");
	range->size = size;
	held_bytes += size;
	for (size_t at = 0; at < size; at += PAGE)
		range->start[at] = 1;
}

/* Anonymous memory that grows and shrinks; half the ranges may become huge pages. */
static void anon(size_t bytes, unsigned rounds)
{
	while (rounds--) {
		struct range *range = &ranges[chance(MOST_RANGES)];

		drop_range(range);
		if (held_bytes < bytes)
			take_range(range, PAGE * (1 + chance(chance(2) ? 64 : 1024)));
	}
	for (unsigned i = 0; i < MOST_RANGES && held_bytes < bytes; i++)
		if (!ranges[i].start)
			take_range(&ranges[i], PAGE * (1 + chance(1024)));
}

static void write_file(const char *name, size_t size)
{
	static char piece[16 * 1024];
	int file = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0600);

	if (file < 0)
		fail(name);
	for (size_t done = 0; done < size; done += sizeof(piece))
		if (write(file, piece, sizeof(piece)) != sizeof(piece))
			fail(name);
	close(file);
}

/* Page cache of many files on a disk: written, some deleted, some rewritten. */
static void cache(const char *disk, size_t bytes)
{
	char name[256];
	size_t written = 0;

	for (unsigned i = 0; written < bytes; i++) {
		size_t size = 16 * 1024UL << chance(6);

		snprintf(name, sizeof(name), "%s/c%u", disk, i);
		write_file(name, size);
		written += size;
		if (chance(8) == 0) {
			snprintf(name, sizeof(name), "%s/c%u", disk, (unsigned)chance(i + 1));
			unlink(name);
		}
	}
}

/* One child: some memory of its own, then gone at once, or asleep until the end. */
static void child(unsigned pages, int stays)
{
	struct range own = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	take_range(&own, PAGE * pages);
	if (!stays)
		_exit(0);
	for (;;)
		pause();
}

static void storm(unsigned children, unsigned most_pages, unsigned one_stays_in)
{
	while (children--) {
		unsigned pages = 1 + chance(most_pages);
		int stays = chance(one_stays_in) == 0;
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0)
			child(pages, stays);
		if (!stays)
			waitpid(pid, NULL, 0);
	}
}

/* Inodes, dentries, pipes and sockets by the thousand; a third goes again. */
static void slab(unsigned objects)
{
	char name[64];
	int pair[2];

	mkdir("/tmp/s", 0700);
	for (unsigned i = 0; i < objects; i++) {
		if (i % 256 == 0) {
			snprintf(name, sizeof(name), "/tmp/s/%u", i / 256);
			mkdir(name, 0700);
		}
		snprintf(name, sizeof(name), "/tmp/s/%u/%u", i / 256, i % 256);
		if (chance(4) == 0)
			symlink("a target that is somewhat long, so that it needs a place of its own", name);
		else
			close(open(name, O_CREAT | O_WRONLY, 0600));
		if (chance(64) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
			write(pair[0], name, sizeof(name));
		if (chance(3) == 0) {
			unsigned gone = chance(i + 1);

			snprintf(name, sizeof(name), "/tmp/s/%u/%u", gone / 256, gone % 256);
			unlink(name);
		}
	}
}

static void mixed(const char *disk, size_t bytes)
{
	char folder[256];

	for (unsigned i = 0; i < 8; i++) {
		anon(bytes / 2 / 8 * (i + 1), 120);
		snprintf(folder, sizeof(folder), "%s/m%u", disk, i);
		mkdir(folder, 0700);
		cache(folder, bytes / 4 / 8);
		storm(30, 128, 6);
	}
	slab(6000);
}

/* ---- what is told ---- */

/* The ring buffer, a page a read; a short read at the end would come as a whole page too. */
static void put_trace(void)
{
	static char piece[PAGE];
	int file = open(TRACING "per_cpu/cpu0/trace_pipe_raw", O_RDONLY | O_NONBLOCK);
	ssize_t size;

	if (file < 0)
		fail("trace_pipe_raw");
	while ((size = read(file, piece, sizeof(piece))) > 0)
		put_chunk("trace", piece, size);
	close(file);
}

struct flags {
	int file;
	char *data;
	size_t size;
};

/* Files that change at once when anything goes on: read into memory that is there. */
struct kept {
	const char *chunk;
	const char *path;
	int file;
	size_t size;
	char data[64 * 1024];
};

static struct kept kept[] = {
	{.chunk = "zoneinfo", .path = "/proc/zoneinfo"},
	{.chunk = "buddyinfo", .path = "/proc/buddyinfo"},
	{.chunk = "pagetypeinfo", .path = "/proc/pagetypeinfo"},
};
#define KEPT (sizeof(kept) / sizeof(kept[0]))

static void read_kept(struct kept *one)
{
	ssize_t size;

	one->size = 0;
	lseek(one->file, 0, SEEK_SET);
	while (one->size < sizeof(one->data) &&
	       (size = read(one->file, one->data + one->size, sizeof(one->data) - one->size)) > 0)
		one->size += size;
}

/* Read once beforehand, so that no page has to come when it counts. */
static void open_kept(void)
{
	for (size_t i = 0; i < KEPT; i++) {
		kept[i].file = open(kept[i].path, O_RDONLY);
		if (kept[i].file < 0)
			fail(kept[i].path);
		memset(kept[i].data, 0, sizeof(kept[i].data));
		read_kept(&kept[i]);
	}
}

/* Memory for the flags of every page, there before anything is counted. */
static struct flags flags_room(void)
{
	struct flags flags = {open("/proc/kpageflags", O_RDONLY), NULL, 0};
	static char piece[64 * 1024];
	ssize_t size;

	if (flags.file < 0)
		fail("kpageflags");
	while ((size = read(flags.file, piece, sizeof(piece))) > 0)
		flags.size += size;
	flags.data = mmap(NULL, flags.size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
	if (flags.data == MAP_FAILED)
		fail("room for kpageflags");
	return flags;
}

/* What zoneinfo says of free pages and per-processor lists, as one number. */
static unsigned long lists_and_free(void)
{
	unsigned long sum = 0;
	char *at = kept[0].data;

	read_kept(&kept[0]);
	kept[0].data[kept[0].size < sizeof(kept[0].data) ? kept[0].size : sizeof(kept[0].data) - 1] = 0;
	while ((at = strpbrk(at, "cp"))) {
		if (!strncmp(at, "count:", 6) || !strncmp(at, "pages free", 10))
			sum = sum * 31 + strtoul(at + strcspn(at, "0123456789\n"), NULL, 10);
		at++;
	}
	return sum;
}

/*
 * The kernel empties per-processor lists once a second, which changes flags while they are
 * read; then they are read again.
 */
static void stop_and_look(struct flags *flags)
{
	int on = open(TRACING "tracing_on", O_WRONLY);
	unsigned long before;

	if (on < 0 || write(on, "0", 1) != 1)
		fail("tracing_on");
	for (unsigned tries = 0; tries < MOST_TRIES; tries++) {
		size_t done = 0;
		ssize_t size;

		before = lists_and_free();
		lseek(flags->file, 0, SEEK_SET);
		while (done < flags->size &&
		       (size = read(flags->file, flags->data + done, flags->size - done)) > 0)
			done += size;
		for (size_t i = 1; i < KEPT; i++)
			read_kept(&kept[i]);
		if (lists_and_free() == before)
			return;
	}
	errno = EAGAIN;
	fail("the state of pages does not stand still");
}

static void tell(struct flags *flags)
{
	put_chunk("kpageflags", flags->data, flags->size);
	for (size_t i = 0; i < KEPT; i++)
		put_chunk(kept[i].chunk, kept[i].data, kept[i].size);
	put_file("header_page", TRACING "events/header_page");
	put_file("mm_page_alloc", TRACING "events/kmem/mm_page_alloc/format");
	put_file("mm_page_free", TRACING "events/kmem/mm_page_free/format");
	put_file("mm_page_alloc_extfrag", TRACING "events/kmem/mm_page_alloc_extfrag/format");
	put_file("stats", TRACING "per_cpu/cpu0/stats");
	put_trace();
	put_chunk("end", "", 0);
}

static void load(const char *name, size_t bytes, const char *disk)
{
	if (!strcmp(name, "anon"))
		anon(bytes, 1500);
	else if (!strcmp(name, "cache"))
		cache(disk, bytes);
	else if (!strcmp(name, "fork"))
		storm(400, 256, 8);
	else if (!strcmp(name, "slab"))
		slab(24000);
	else if (!strcmp(name, "mixed"))
		mixed(disk, bytes);
	else {
		errno = EINVAL;
		fail(name);
	}
}

int main(int argc, char **argv)
{
	struct flags flags;

	if (argc != 6) {
		fprintf(stderr, "usage: page_workload NAME SEED MIB PORT DISK\n");
		return 2;
	}
	state = strtoull(argv[2], NULL, 10);
	port = open(argv[4], O_WRONLY);
	if (port < 0)
		fail(argv[4]);
	flags = flags_room();
	open_kept();
	load(argv[1], strtoull(argv[3], NULL, 10) * MIB, argv[5]);
	/* The kernel gives back what its per-processor lists hold too much within seconds. */
	sleep(SETTLE_SECONDS);
	stop_and_look(&flags);
	tell(&flags);
	for (;;)
		pause();
}
